"""Desired against observed: ordered steps with reasons, and what stands in the way. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from authentik_entra_bootstrap.domain import (
    Desired,
    KeyId,
    PermissionKind,
    ProvisioningScope,
)
from authentik_entra_bootstrap.domain.application_tags import Marks, read_marks
from authentik_entra_bootstrap.domain.policy import Grantable, grantable_end
from authentik_entra_bootstrap.planning.advice import warnings
from authentik_entra_bootstrap.planning.consent import states
from authentik_entra_bootstrap.planning.differences import (
    LeftOut,
    ScopeChange,
    application_differences,
    left_out,
    provider_changes,
    scope_change,
)
from authentik_entra_bootstrap.planning.observation import ObservedAuthentik, ObservedEntra
from authentik_entra_bootstrap.planning.permissions import ResolvedPermission, resolve
from authentik_entra_bootstrap.rotation.decide import SecretAction, SecretDecision, SecretObservation, decide


class Action(StrEnum):
    """What a step does, as the plan shows it."""

    CREATE = "create"
    CHANGE = "change"
    KEEP = "keep"
    RETIRE = "retire"
    PROVE = "prove"
    REMOVE = "remove"

    @property
    def changes(self) -> bool:
        """Whether the step writes."""
        return self in {Action.CREATE, Action.CHANGE, Action.RETIRE, Action.REMOVE}


class Target(StrEnum):
    """What a step is about; the workflow has one handler for each."""

    APPLICATION = "application"
    SERVICE_PRINCIPAL = "service-principal"
    ROLE = "application-permission"
    SCOPE = "delegated-permission"
    SECRET = "client-secret"  # noqa: S105 - a kind of object
    PROVIDER = "provider"
    AUTHENTIK_APPLICATION = "authentik-application"
    PROOF = "proof"
    FIRST_SYNC = "first-sync"
    DELETED_APPLICATION = "deleted-application"
    MARKS = "marks"


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
    def side(self) -> str:
        """``entra`` or ``authentik``."""
        ours = {
            Target.PROVIDER,
            Target.AUTHENTIK_APPLICATION,
            Target.FIRST_SYNC,
            Target.PROOF,
        }
        return "authentik" if self.target in ours else "entra"


def step_about(steps: Sequence[Step], target: Target, key: str = "") -> Step:
    """The step about ``target`` (and ``key``) that makes, changes, keeps or proves.

    :raises StopIteration: never for targets that every plan has.
    """
    return next(
        step
        for step in steps
        if step.target is target and key in {"", step.key} and step.action is not Action.RETIRE
    )


@dataclass(frozen=True)
class Plan:
    """Everything a run would do, and what people should know before they say yes."""

    desired: Desired
    steps: tuple[Step, ...]
    warnings: tuple[str, ...]
    permissions: tuple[ResolvedPermission, ...]
    secret: SecretDecision
    marks: Marks
    grantable: Grantable | None
    provider_changes: dict[str, object]
    scope: ProvisioningScope
    left_out: tuple[LeftOut, ...] = ()
    """Users of the scope who do not arrive in the tenant."""
    scope_change: ScopeChange | None = None
    """What needs a consent of its own."""

    @property
    def arriving(self) -> int | None:
        """How many users a full sync brings into the tenant; ``None`` where the token may not look."""
        return None if self.scope.users is None else len(self.scope.users) - len(self.left_out)

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
    gone: frozenset[KeyId] = frozenset(),
) -> Plan:
    """Compare both sides with what is wanted.

    :param gone: secrets of the application whose makers are known to have ended.

    :raises BootstrapError: a refusal (:func:`authentik_entra_bootstrap.planning.preflight.refuse` holds those that
        need no plan); here: unknown permissions, and policies that forbid the secret that would be made.
    """
    permissions = resolve(desired.permissions, entra.graph)
    marks = read_marks(entra.application.tags) if entra.application else Marks()
    secret = decide(secret_observation(desired, entra, authentik, now, gone))
    grantable = (
        grantable_end(now, desired.secret_lifetime, entra.policy)
        if secret.action is SecretAction.MAKE
        else None
    )
    every_change = provider_changes(desired, authentik)
    changes = every_change if entra.application else {}
    domains = entra.organization.verified_domains
    steps = (
        *_application_steps(desired, entra, permissions),
        *_grant_steps(entra, permissions),
        *secret_steps(secret, grantable),
        *_provider_steps(desired, authentik, secret, changes),
        *_closing_steps(authentik, secret, marks),
    )
    return Plan(
        desired,
        steps,
        tuple(warnings(desired, entra, authentik, permissions, grantable)),
        permissions,
        secret,
        marks,
        grantable,
        changes,
        authentik.scope,
        left_out(authentik.scope.users or (), domains),
        # Also where the application is missing: bootstrap --restore asks before it brings it back.
        scope_change(every_change, authentik, domains),
    )


def secret_observation(
    desired: Desired,
    entra: ObservedEntra,
    authentik: ObservedAuthentik,
    now: datetime,
    gone: frozenset[KeyId] = frozenset(),
) -> SecretObservation:
    """What the decision about the client secret is made from."""
    return SecretObservation(
        now,
        entra.application,
        read_marks(entra.application.tags) if entra.application else Marks(),
        authentik.provider,
        authentik.last_change,
        authentik.last_change_readable,
        desired.renewal,
        gone,
    )


def _application_steps(
    desired: Desired, entra: ObservedEntra, permissions: tuple[ResolvedPermission, ...]
) -> Iterator[Step]:
    application = entra.application
    if application is None:
        yield Step(Action.CREATE, Target.APPLICATION, desired.application_name, "not in the tenant")
    else:
        differing = application_differences(desired, application, permissions)
        action = Action.CHANGE if differing else Action.KEEP
        reason = f"differs in {', '.join(differing)}" if differing else f"client id {application.app_id}"
        yield Step(action, Target.APPLICATION, application.display_name, reason)
    if entra.service_principal is None:
        yield Step(
            Action.CREATE, Target.SERVICE_PRINCIPAL, desired.application_name, "admin consent attaches to it"
        )
    elif not entra.service_principal.account_enabled:
        yield Step(
            Action.CHANGE,
            Target.SERVICE_PRINCIPAL,
            desired.application_name,
            "is disabled: authentik's sign-in fails",
        )
    else:
        yield Step(Action.KEEP, Target.SERVICE_PRINCIPAL, desired.application_name, "already there")


def _grant_steps(entra: ObservedEntra, permissions: tuple[ResolvedPermission, ...]) -> Iterator[Step]:
    for item in states(permissions, entra):
        is_role = item.kind is PermissionKind.ROLE
        there = {
            True: "granted",
            False: "admin consent",
            None: "the operator may not see whether it is granted",
        }
        yield Step(
            Action.CREATE if item.granted is False else Action.KEEP,
            Target.ROLE if is_role else Target.SCOPE,
            item.name,
            f"{item.kind_in_words}, {there[item.granted]}",
            item.name,
        )


def secret_steps(secret: SecretDecision, grantable: Grantable | None) -> Iterator[Step]:
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
    for key_id in secret.retire:
        yield Step(
            Action.RETIRE,
            Target.SECRET,
            f"key id {key_id}",
            "ours, and nothing uses it; after the proof",
            key_id,
        )


def _provider_steps(
    desired: Desired, authentik: ObservedAuthentik, secret: SecretDecision, changes: dict[str, object]
) -> Iterator[Step]:
    provider, application = authentik.provider, authentik.application
    if provider is None:
        yield Step(Action.CREATE, Target.PROVIDER, desired.provider_name, "not in authentik")
    else:
        reasons = [f"differs in {', '.join(changes)}"] if changes else []
        if secret.action is SecretAction.MAKE:
            reasons.append("is given the new client secret")
        yield Step(
            Action.CHANGE if reasons else Action.KEEP,
            Target.PROVIDER,
            provider.name,
            "; ".join(reasons) or "already there",
        )
    slug = desired.authentik_application_slug
    if application is None:
        yield Step(
            Action.CREATE, Target.AUTHENTIK_APPLICATION, slug, "with the provider as backchannel provider"
        )
    elif provider is not None and int(provider.pk) in application.backchannel_provider_pks:
        yield Step(Action.KEEP, Target.AUTHENTIK_APPLICATION, slug, "holds the provider")
    else:
        others = len(application.backchannel_provider_pks)
        kept = f"; its {others} other backchannel providers stay" if others else ""
        moved = (
            f"; moves there from {provider.application_slug}"
            if provider and provider.application_slug
            else ""
        )
        yield Step(
            Action.CHANGE,
            Target.AUTHENTIK_APPLICATION,
            slug,
            f"gets the provider as backchannel provider{kept}{moved}",
        )


def _closing_steps(authentik: ObservedAuthentik, secret: SecretDecision, marks: Marks) -> Iterator[Step]:
    if secret.action is not SecretAction.KEEP:
        yield Step(
            Action.PROVE,
            Target.PROOF,
            "authentik signs in with what it stores",
            "before anything old is retired",
        )
    provider, application = authentik.provider, authentik.application
    attached = provider and application and int(provider.pk) in application.backchannel_provider_pks
    unfinished = secret.action is SecretAction.PROVE and marks.current is None
    if not attached or unfinished:
        # The sync of an unassigned provider syncs nothing, and a first run may have been interrupted before it.
        yield Step(
            Action.CHANGE,
            Target.FIRST_SYNC,
            "first full sync",
            "authentik starts it when the provider is saved",
        )
