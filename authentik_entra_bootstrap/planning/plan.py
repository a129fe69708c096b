"""Desired against observed: ordered steps with reasons, and what people should know before they say yes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from authentik_entra_bootstrap.domain import Application, ClientSecret, Desired, KeyId, ProvisioningScope
from authentik_entra_bootstrap.domain.application_tags import ApplicationTags, read_tags
from authentik_entra_bootstrap.domain.policy import Grantable, grantable_end
from authentik_entra_bootstrap.planning import ObservedAuthentik, ObservedEntra, ObservedProvider
from authentik_entra_bootstrap.planning.consent import states
from authentik_entra_bootstrap.planning.differences import (
    LISTED_ONLY,
    PERMISSION_TARGETS,
    Action,
    Difference,
    Target,
    find_differences,
)
from authentik_entra_bootstrap.planning.permissions import ResolvedPermission, resolve
from authentik_entra_bootstrap.planning.preflight import warnings
from authentik_entra_bootstrap.planning.scope import (
    ScopeChange,
    arriving,
    left_out,
    provider_changes,
    scope_change,
)
from authentik_entra_bootstrap.rotation.decide import SecretAction, SecretDecision, SecretObservation, decide

NAMES = {
    Target.APPLICATION: "application",
    Target.SERVICE_PRINCIPAL: "service principal",
    Target.ROLE: "permission",
    Target.SCOPE: "permission",
    Target.SECRET: "client secret",
    Target.PROVIDER: "provider",
    Target.AUTHENTIK_APPLICATION: "application",
    Target.PROOF: "proof",
    Target.FIRST_SYNC: "sync",
    Target.DELETED_APPLICATION: "deleted application",
    Target.TAGS: "tags on application",
}
"""Each target in a sentence."""


@dataclass(frozen=True)
class Step:
    """One line of the plan.

    :param subject: which object, for people.
    :param reason: why.
    :param key: what the handler needs to know beyond the target (permission name, key id).
    """

    action: Action
    target: Target
    subject: str
    reason: str
    key: str = ""

    @property
    def label(self) -> str:
        """What the step is about, in a sentence: the subjects of proof and first sync say it all."""
        named = self.target not in {Target.PROOF, Target.FIRST_SYNC}
        return f"{NAMES[self.target]} {self.subject}" if named else self.subject


def step_about(steps: Sequence[Step], target: Target, key: str = "") -> Step:
    """The step about ``target`` (and ``key``) that makes, changes, keeps or proves.

    :raises StopIteration: never for targets that every plan has.
    """
    return next(
        step
        for step in steps
        if step.target is target and key in {"", step.key} and step.action is not Action.RETIRE
    )


def secret_name(secret: ClientSecret) -> str:
    """A client secret for people: ``until 2027-05-29 (key id 1b2c…)``."""
    return f"until {secret.end_date_time:%Y-%m-%d} (key id {secret.key_id})"


@dataclass(frozen=True)
class Plan:
    """Everything a run would do, and what people should know before they say yes."""

    desired: Desired
    steps: tuple[Step, ...]
    warnings: tuple[str, ...]
    permissions: tuple[ResolvedPermission, ...]
    secret: SecretDecision
    tags: ApplicationTags
    grantable: Grantable | None
    provider_changes: dict[str, object]
    scope: ProvisioningScope
    differences: tuple[Difference, ...]
    """Also those that a run does not change."""
    arriving: int | None
    """How many users a full sync brings into the tenant; ``None`` where the token may not look."""
    left_out: Mapping[str, str]
    """Users of the scope who do not arrive in the tenant: username -> why."""
    scope_change: ScopeChange | None = None
    """What needs a consent of its own."""

    @property
    def drift(self) -> tuple[Difference, ...]:
        """The differences that make the connection drift."""
        return tuple(item for item in self.differences if item.action is not Action.KEEP)

    @property
    def changes(self) -> tuple[Step, ...]:
        """The steps that write."""
        return tuple(step for step in self.steps if step.action.changes)

    def step(self, target: Target, key: str = "") -> Step:
        """The step about ``target`` (and ``key``) that makes, changes, keeps or proves.

        :raises StopIteration: never for targets that every plan has.
        """
        return step_about(self.steps, target, key)

    def count(self, action: Action) -> int:
        """How many steps have an action."""
        return sum(step.action is action for step in self.steps)

    def has(self, target: Target, *actions: Action) -> bool:
        """Whether a step about ``target`` takes one of the actions."""
        return any(step.target is target and step.action in actions for step in self.steps)


def make_plan(
    desired: Desired,
    entra: ObservedEntra,
    authentik: ObservedAuthentik,
    now: datetime,
    abandoned: frozenset[KeyId] = frozenset(),
) -> Plan:
    """Compare both sides with what is wanted.

    :param abandoned: secrets of the application made by runs that are known to have ended.
    :raises BootstrapError: a refusal (:func:`authentik_entra_bootstrap.planning.preflight.refuse` holds those that
        need no plan); here: unknown permissions, and policies that forbid the secret that would be made.
    """
    permissions = resolve(desired.permissions, entra.graph)
    tags = read_tags(entra.application.tags) if entra.application else ApplicationTags()
    secret = decide(secret_observation(desired, entra.application, authentik, now, abandoned))
    grantable = None
    if secret.action is SecretAction.MAKE:
        grantable = grantable_end(now, desired.secret_lifetime, entra.policy)
    differences = find_differences(desired, entra, authentik, permissions, secret, now)
    changes = provider_changes(desired, authentik)
    domains = entra.organization.verified_domains
    return Plan(
        desired,
        (
            *_tenant_steps(desired, entra, permissions, differences),
            *secret_steps(secret, grantable, entra.application),
            *_authentik_steps(desired, authentik, secret, differences),
            *_closing_steps(authentik, secret, tags),
        ),
        tuple(warnings(desired, entra, authentik, permissions, grantable)),
        permissions,
        secret,
        tags,
        grantable,
        changes if entra.application else {},
        authentik.scope,
        differences,
        arriving(authentik.scope, domains),
        left_out(authentik.scope.users or (), domains),
        # Also where the application is missing: bootstrap --restore asks before it brings it back.
        scope_change(changes, authentik, domains),
    )


def secret_observation(
    desired: Desired,
    application: Application | None,
    seen: ObservedProvider,
    now: datetime,
    abandoned: frozenset[KeyId],
    *,
    force: bool = False,
) -> SecretObservation:
    """What the decision about the client secret is made from.

    :param force: make a new one although none is due.
    """
    return SecretObservation(
        now,
        application,
        read_tags(application.tags) if application else ApplicationTags(),
        seen.provider,
        seen.last_change,
        seen.last_change_readable,
        desired.renewal,
        abandoned,
        force,
    )


def _changed(differences: Iterable[Difference], target: Target) -> list[str]:
    """Which properties of an existing object a run changes."""
    return [item.property for item in differences if item.target is target and item.action is Action.CHANGE]


def _tenant_steps(
    desired: Desired,
    entra: ObservedEntra,
    permissions: tuple[ResolvedPermission, ...],
    differences: Sequence[Difference],
) -> Iterator[Step]:
    application, name = entra.application, desired.application_name
    if application is None:
        yield Step(Action.CREATE, Target.APPLICATION, name, "not in the tenant")
    else:
        differing = set(_changed(differences, Target.APPLICATION))
        if any(
            item.target in PERMISSION_TARGETS.values()
            and item.action is Action.CHANGE
            and item.found != LISTED_ONLY
            for item in differences
        ):
            differing.add("requiredResourceAccess")
        action = Action.CHANGE if differing else Action.KEEP
        reason = (
            f"differs in {', '.join(sorted(differing))}" if differing else f"client id {application.app_id}"
        )
        yield Step(action, Target.APPLICATION, application.display_name, reason)
    if entra.service_principal is None:
        yield Step(Action.CREATE, Target.SERVICE_PRINCIPAL, name, "admin consent attaches to it")
    elif not entra.service_principal.account_enabled:
        yield Step(Action.CHANGE, Target.SERVICE_PRINCIPAL, name, "is disabled: authentik's sign-in fails")
    else:
        yield Step(Action.KEEP, Target.SERVICE_PRINCIPAL, name, "already there")
    there = {
        True: "granted",
        False: "admin consent",
        None: "the operator may not see whether it is granted",
    }
    for item in states(permissions, entra):
        action = Action.CREATE if item.granted is False else Action.KEEP
        reason = f"{item.kind_in_words}, {there[item.granted]}"
        yield Step(action, PERMISSION_TARGETS[item.kind], item.name, reason, item.name)


def secret_steps(
    secret: SecretDecision, grantable: Grantable | None, application: Application | None
) -> Iterator[Step]:
    """What happens to the client secrets.

    :param grantable: of the secret that is made, if one is.
    """
    if grantable is not None:
        shortened = ", shortened by the tenant's policy" if grantable.clamped else ""
        until = f"until {grantable.end_date_time:%Y-%m-%d %H:%M} UTC{shortened}"
        yield Step(Action.CREATE, Target.SECRET, until, secret.reason)
    elif secret.kept is not None:
        until = f"until {secret.kept.end_date_time:%Y-%m-%d %H:%M} UTC"
        yield Step(Action.KEEP, Target.SECRET, until, secret.reason, secret.kept.key_id)
    for item in application.secrets if application else ():
        if item.key_id in secret.retire:
            reason = "created by this program, no longer used; removed after the proof"
            yield Step(Action.RETIRE, Target.SECRET, secret_name(item), reason, item.key_id)


def _authentik_steps(
    desired: Desired, authentik: ObservedAuthentik, secret: SecretDecision, differences: Sequence[Difference]
) -> Iterator[Step]:
    provider, application = authentik.provider, authentik.application
    if provider is None:
        yield Step(Action.CREATE, Target.PROVIDER, desired.provider_name, "not in authentik")
    else:
        differing = _changed(differences, Target.PROVIDER)
        reasons = [f"differs in {', '.join(differing)}"] if differing else []
        if secret.action is SecretAction.MAKE:
            reasons.append("is given the new client secret")
        action = Action.CHANGE if reasons else Action.KEEP
        yield Step(action, Target.PROVIDER, provider.name, "; ".join(reasons) or "already there")
    step = partial(Step, target=Target.AUTHENTIK_APPLICATION, subject=desired.authentik_application_slug)
    if application is None:
        yield step(Action.CREATE, reason="with the provider as backchannel provider")
    elif not _changed(differences, Target.AUTHENTIK_APPLICATION):
        yield step(Action.KEEP, reason="holds the provider")
    else:
        reason = "gets the provider as backchannel provider"
        if others := len(application.backchannel_provider_pks):
            reason += f"; its {others} other backchannel providers stay"
        if provider and provider.application_slug:
            reason += f"; moves there from {provider.application_slug}"
        yield step(Action.CHANGE, reason=reason)


PROOF_STEP = Step(
    Action.PROVE, Target.PROOF, "authentik signs in with what it stores", "before anything old is retired"
)


def _closing_steps(
    authentik: ObservedAuthentik, secret: SecretDecision, tags: ApplicationTags
) -> Iterator[Step]:
    if secret.action is not SecretAction.KEEP:
        yield PROOF_STEP
    provider, application = authentik.provider, authentik.application
    attached = provider and application and int(provider.pk) in application.backchannel_provider_pks
    unfinished = secret.action is SecretAction.PROVE and tags.current is None
    if not attached or unfinished:
        # The sync of an unassigned provider syncs nothing, and a first run may have been interrupted before it.
        reason = "authentik starts it when the provider is saved"
        yield Step(Action.CHANGE, Target.FIRST_SYNC, "first full sync", reason)
