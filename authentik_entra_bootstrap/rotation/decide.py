"""Which client secret authentik holds, and what to do about it. Pure: observation in, decision out.

Two facts carry every decision. authentik's audit trail names the request that last changed the provider; the
application's ``current`` tag names the request with which we delivered the secret. Equal: authentik holds
what we recorded. Different, or never recorded: it is not known what authentik holds, one new secret settles it, and nothing is
retired before authentik has proven the new one. On servers that still give the secret back, its first three
characters against the credential's ``hint`` tell the same, and more: that only another field was changed.

:mod:`authentik_entra_bootstrap.rotation.phases` says how a decision is carried out.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from authentik_entra_bootstrap.domain import (
    USER_AGENT,
    Application,
    ClientSecret,
    KeyId,
    Provider,
    ProviderChange,
    Renewal,
)
from authentik_entra_bootstrap.domain.application_tags import ApplicationTags, Delivered, Previous, is_ours
from authentik_entra_bootstrap.domain.policy import renew_at, stray_rest
from authentik_entra_bootstrap.errors import AdminActionRequired

SECRETS_WITH_PERSONAL_ACCOUNTS = 2
"""Live client secrets of an application that personal accounts can sign in to
(hashicorp/terraform-provider-azuread#640). For others only the size of the whole object counts."""
PERSONAL_AUDIENCES = frozenset({"AzureADandPersonalMicrosoftAccount", "PersonalMicrosoftAccount"})
_INTERRUPTED = "no delivered secret is on record: an earlier run was interrupted"
_TAKEN_OVER = "the application is taken over; authentik holds a secret that this program did not create"
_CHANGED = "the provider was changed in authentik since the secret was delivered"


class SecretAction(StrEnum):
    """What a run does about the client secret."""

    KEEP = "keep"
    PROVE = "prove"
    """authentik holds the pending secret already; only the proof is missing."""
    MAKE = "make"


class State(StrEnum):
    """The state of a connection's client secret, according to one observation."""

    ABSENT = "absent"
    """No application or no provider exists, or the provider signs in as another application."""
    CURRENT = "current"
    """authentik holds the recorded secret, and it is not due."""
    DUE = "due"
    """authentik holds the recorded secret, and it is due."""
    DELIVERED = "delivered"
    """authentik holds the pending secret; an earlier run ended before the proof."""
    UNRECORDED = "unrecorded"
    """No delivered secret is on record: an earlier run was interrupted, or the application was taken over."""
    CHANGED = "changed"
    """A person or another program changed the provider last, so it is not known what authentik holds."""
    REMOVED = "removed"
    """The recorded secret was removed from the application."""
    ENDED = "ended"
    """The recorded secret has expired."""


@dataclass(frozen=True)
class SecretObservation:
    """One observation of a connection's secrets.

    :param change: authentik's last change of the provider, or ``None`` when there is none on record.
    :param change_readable: false where the token may not read audit events.
    :param abandoned: secrets whose runs are known to have ended. The run of any other secret may be about to deliver it.
    :param force: make a new one although none is due.
    """

    now: datetime
    application: Application | None
    tags: ApplicationTags
    provider: Provider | None
    change: ProviderChange | None = None
    change_readable: bool = True
    renewal: Renewal = field(default_factory=Renewal)
    abandoned: frozenset[KeyId] = frozenset()
    force: bool = False


@dataclass(frozen=True)
class SecretDecision:
    """The decision with its reason, and the secrets to remove after authentik's proof.

    :param kept: the secret that authentik holds: for ``keep`` and ``prove``, and one that is due.
    :param retire: this program's unused secrets; removed only after a fresh proof.
    :param orphaned: secrets of ``retire`` that are removed early, because the runs that created them have ended.
        The last requests of these runs may still be under way.
    :param resting: unrecorded secrets of this program that another run may still deliver, and until when.
    :param certain: false if the audit trail could not confirm which secret authentik holds.
    """

    action: SecretAction
    reason: str
    state: State
    kept: ClientSecret | None = None
    delivered: Delivered | None = None
    retire: tuple[KeyId, ...] = ()
    orphaned: frozenset[KeyId] = frozenset()
    resting: tuple[Previous, ...] = ()
    certain: bool = True


def decide(seen: SecretObservation) -> SecretDecision:
    """Decide for one connection. Every branch has a reason that ``plan``, ``status`` and the log show."""
    application, tags = seen.application, seen.tags
    if application is None:
        return SecretDecision(SecretAction.MAKE, "there is no application yet", State.ABSENT)
    by_key = {secret.key_id: secret for secret in application.secrets}
    if seen.provider is None:
        return _make(seen, State.ABSENT, "no provider holds a client secret yet")
    if seen.provider.client_id.lower() != application.app_id.lower():
        return _make(seen, State.ABSENT, "the provider holds another application's client id")
    delivered = _delivered(seen, by_key)
    if delivered is not None:
        in_use = {delivered.key_id} | ({tags.current.key_id} if tags.current else set())
        # The one before stays for its overlap: a sync that began earlier may still be using it.
        return _with_unused(
            seen,
            in_use,
            SecretDecision(
                SecretAction.PROVE,
                "authentik holds the new secret; its proof is missing",
                State.DELIVERED,
                kept=by_key[delivered.key_id],
                delivered=delivered,
            ),
        )
    current = tags.current
    if current is None:
        return _make(seen, State.UNRECORDED, _INTERRUPTED if tags.managed else _TAKEN_OVER)
    secret = by_key.get(current.key_id)
    if secret is None:
        return _make(seen, State.REMOVED, "the current client secret was removed in Entra ID")
    if not secret.is_live(seen.now):
        return _make(seen, State.ENDED, "the current client secret has expired")
    holds, why = _holds(seen, current, secret)
    if holds is False:
        return _make(seen, State.CHANGED, why)
    if seen.force or renew_at(secret, seen.renewal) <= seen.now:
        due = _make(seen, State.DUE, "asked for" if seen.force else _due_because(seen.renewal))
        return replace(due, kept=secret, delivered=current, certain=holds is True)
    keep = SecretDecision(
        SecretAction.KEEP, why, State.CURRENT, kept=secret, delivered=current, certain=holds is True
    )
    return _with_unused(seen, {current.key_id}, keep)


def _due_because(renewal: Renewal) -> str:
    if renewal.renew_before is None:
        return "about two thirds of its lifetime have passed"
    return "its end is nearer than renew_before"


def _delivered(seen: SecretObservation, by_key: dict[KeyId, ClientSecret]) -> Delivered | None:
    """The pending secret, if authentik holds it; with the request that the audit trail shows."""
    pending = seen.tags.pending
    secret = by_key.get(pending.key_id) if pending else None
    if pending is None or secret is None or not secret.is_live(seen.now):
        return None
    held = seen.change.request_id if seen.change else None
    if pending.request_id:
        return pending if pending.request_id == held else None
    if _hinted(seen, secret) and held is not None:
        return Delivered(pending.key_id, held)
    return None


def _holds(seen: SecretObservation, current: Delivered, secret: ClientSecret) -> tuple[bool | None, str]:
    """Whether authentik holds the recorded secret, with the reason; ``None`` if unknown."""
    hinted = _hinted(seen, secret)
    if hinted is False:
        return False, "authentik holds a different client secret from the recorded one"
    if not seen.change_readable:
        if hinted:
            return True, "current; its first characters are those that authentik holds"
        return None, "current as recorded; audit events cannot be read to confirm it"
    held = seen.change.request_id if seen.change else None
    if held is not None and held == current.request_id:
        return True, "current"
    if hinted:
        return True, "current; a person or program changed the provider, but not its client secret"
    return False, _CHANGED


def _hinted(seen: SecretObservation, secret: ClientSecret) -> bool | None:
    """Whether authentik shows this secret's first characters; ``None`` if it shows none."""
    shown = seen.provider.secret_hint if seen.provider else None
    if shown is None or not secret.hint or seen.application is None:
        return None
    alike = [item for item in seen.application.secrets if item.hint == shown]
    if shown != secret.hint:
        return False
    return True if len(alike) == 1 else None


def _make(seen: SecretObservation, state: State, reason: str) -> SecretDecision:
    # The secret recorded as current stays for an overlap: authentik may still be using it.
    in_use = {seen.tags.current.key_id} if seen.tags.current else set()
    return _with_unused(seen, in_use, SecretDecision(SecretAction.MAKE, reason, state))


def _with_unused(seen: SecretObservation, in_use: set[KeyId], decision: SecretDecision) -> SecretDecision:
    """The decision, completed with which unused secrets of this program to remove and which to keep."""
    retire: list[KeyId] = []
    orphaned: list[KeyId] = []
    resting: list[Previous] = []
    for secret in seen.application.secrets if seen.application else ():
        if not is_ours(secret) or secret.key_id in in_use:
            continue
        rest = _rest(seen, secret)
        if rest is None or rest.retire_at <= seen.now:
            retire.append(secret.key_id)
            if rest is None and secret.key_id in seen.abandoned and _age_rest(secret) > seen.now:
                orphaned.append(secret.key_id)
        elif rest not in seen.tags.previous:
            resting.append(rest)
    return replace(decision, retire=tuple(retire), orphaned=frozenset(orphaned), resting=tuple(resting))


def _rest(seen: SecretObservation, secret: ClientSecret) -> Previous | None:
    """Until when an unused secret has to stay; ``None`` if it may be removed now."""
    # Only a tag written by hand names one twice: the later time counts.
    recorded = [item for item in seen.tags.previous if item.key_id == secret.key_id]
    if recorded:
        return max(recorded, key=lambda item: item.retire_at)
    if seen.provider is None or secret.key_id in seen.abandoned or not secret.is_live(seen.now):
        # Without a provider there was nothing to give it to: the run that made it will fail when it tries to deliver it.
        return None
    return Previous(secret.key_id, _age_rest(secret))


def _age_rest(secret: ClientSecret) -> datetime:
    """From when an unrecorded secret is too old to be delivered by any run."""
    return secret.start_date_time + stray_rest(secret.lifetime)


def stale_read_reason(seen: SecretObservation, decision: SecretDecision) -> str | None:
    """Why the tenant's answer may come from a replica that lags behind; ``None`` if there is no sign of that.

    authentik's database is consistent. Where its audit trail contradicts the tags, the tags are likely old; and
    secrets that seem ready to be retired may just have been.
    """
    provider, application = seen.provider, seen.application
    if provider is None or application is None or provider.client_id.lower() != application.app_id.lower():
        return None
    recorded = {item.request_id for item in (seen.tags.current, seen.tags.pending) if item}
    held = seen.change.request_id if seen.change else None
    agent = seen.change.user_agent if seen.change else None
    # A change made with another program is on no record, however long one waits.
    by_others = agent is not None and not agent.startswith(USER_AGENT)
    if decision.action is not SecretAction.KEEP and held not in recorded and not by_others:
        return "Entra ID to show the last delivered client secret"
    if decision.retire and seen.tags.pending is None:
        return "Entra ID to forget removed client secrets"
    return None


def places_left(application: Application, now: datetime) -> int | None:
    """How many client secrets can still be added; ``None`` if the audience sets no limit."""
    if application.sign_in_audience not in PERSONAL_AUDIENCES:
        return None
    live = sum(now < secret.end_date_time for secret in application.secrets)
    return max(0, SECRETS_WITH_PERSONAL_ACCOUNTS - live)


def removable_first(decision: SecretDecision) -> tuple[KeyId, ...]:
    """Secrets that may be removed before the new one is created, to make room for it.

    Only where it is certain that authentik signs in with the recorded secret: a proof shows that it signs in, not
    with which one.
    """
    sure = decision.state is State.DUE and decision.certain
    return decision.retire if sure else ()


def refuse_without_place(application: Application | None, decision: SecretDecision, now: datetime) -> None:
    """Refuse a run that could not add its client secret.

    :raises AdminActionRequired: ``too-many-secrets``.
    """
    if application is None or decision.action is not SecretAction.MAKE:
        return
    first = removable_first(decision)
    left = replace(
        application, secrets=tuple(item for item in application.secrets if item.key_id not in first)
    )
    if places_left(left, now) == 0:
        raise too_many_secrets(left, now)


def too_many_secrets(application: Application, now: datetime) -> AdminActionRequired:
    """The error of an application without room for another client secret."""
    live = [secret for secret in application.secrets if now < secret.end_date_time]
    names = ", ".join(
        f"{secret.display_name or secret.key_id} (until {secret.end_date_time:%Y-%m-%d})" for secret in live
    )
    return AdminActionRequired(
        "too-many-secrets",
        f"The application {application.app_id} has no place for another client secret: personal accounts can sign in to "
        f"it (signInAudience {application.sign_in_audience}), so it may hold {SECRETS_WITH_PERSONAL_ACCOUNTS}. "
        f"It holds {names}.",
        "Remove an unused one in the portal under Certificates & secrets, or set signInAudience to AzureADMyOrg. "
        "One that this program has replaced is removed by the run after its overlap.",
        facts={"app_id": application.app_id, "live": str(len(live))},
    )


def without_place_for_the_next(application: Application, tags: ApplicationTags, now: datetime) -> bool:
    """Whether the next rotation will find no room: secrets that no run removes take all places."""
    current = tags.current.key_id if tags.current else None
    stays = tuple(item for item in application.secrets if item.key_id == current or not is_ours(item))
    return places_left(replace(application, secrets=stays), now) == 0
