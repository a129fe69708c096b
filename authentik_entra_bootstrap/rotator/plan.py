"""The rotator: what was read of it, and what is missing to it, step by step. Pure.

Its application remembers by tags, as the connections' applications do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from authentik_entra_bootstrap.domain import (
    AppId,
    Application,
    AppRoleAssignment,
    DeletedApplication,
    FederatedCredential,
    KeyId,
    ResourcePrincipal,
    ServicePrincipal,
    TenantId,
    TokenClaims,
)
from authentik_entra_bootstrap.domain.application_tags import ApplicationTags, current_key, read_tags
from authentik_entra_bootstrap.errors import Conflict
from authentik_entra_bootstrap.planning.differences import Action
from authentik_entra_bootstrap.planning.permissions import ADD_OWNERS, GRANT_ROLES, REGISTER
from authentik_entra_bootstrap.rotator.credentials import (
    KEY_NAME,
    OVERLAP,
    KeyAction,
    KeyDecision,
    finished,
    removable,
    renew_key_at,
)

UNIQUE_NAME = "authentik-entra-rotator"
DISPLAY_NAME = "authentik-entra rotator"
TAG = "authentik-entra:rotator"
"""Marks the rotator's application, besides the tags of every application that this program creates."""
ROLE = "Application.ReadWrite.OwnedBy"
_NOT_MADE = KeyId("not made yet")


@dataclass(frozen=True)
class ConnectionSeen:
    """A connection's application, and whether the rotator owns it."""

    connection: str
    application: Application | None = None
    owned: bool = False


@dataclass(frozen=True)
class RotatorSeen:
    """What was read of the rotator and of the connections it is for.

    :param owned: client ids of everything that it owns, also beyond the connections asked for.
    """

    operator: TokenClaims
    graph: ResourcePrincipal
    application: Application | None = None
    deleted: DeletedApplication | None = None
    principal: ServicePrincipal | None = None
    assignments: tuple[AppRoleAssignment, ...] = ()
    federated: tuple[FederatedCredential, ...] = ()
    owned: frozenset[AppId] = frozenset()
    connections: tuple[ConnectionSeen, ...] = ()

    @property
    def tenant_id(self) -> TenantId:
        """The operator's tenant."""
        return self.operator.tenant_id

    @property
    def tags(self) -> ApplicationTags:
        """Which certificate is pending, current, previous."""
        return read_tags(self.application.tags if self.application else ())

    @property
    def granted(self) -> frozenset[str]:
        """Names of Microsoft Graph's application permissions that it holds; ids where a name is not known."""
        names = {role_id.lower(): name for name, role_id in self.graph.app_roles.items()}
        return frozenset(names.get(item.app_role_id.lower(), item.app_role_id) for item in self.assignments)

    @property
    def owns_itself(self) -> bool:
        """Whether it owns its own application, so that it can renew its certificate."""
        return self.application is not None and self.application.app_id in self.owned

    def lacks_owner(self, *, certificate: bool) -> bool:
        """Whether it has to become the owner of an application.

        :param certificate: whether of its own one as well.
        """
        lacks = any(item.application and not item.owned for item in self.connections)
        return lacks or (certificate and not self.owns_itself)


@dataclass(frozen=True)
class RotatorStep:
    """One step for people and programs."""

    action: Action
    target: str
    subject: str
    reason: str


@dataclass(frozen=True)
class RotatorPlan:
    """Every step in its order, and what people should know besides."""

    steps: tuple[RotatorStep, ...]
    key: KeyDecision
    federated: FederatedCredential | None = None
    warnings: tuple[str, ...] = ()

    @property
    def changes(self) -> tuple[RotatorStep, ...]:
        """The steps that change something in the tenant or on this machine."""
        return tuple(step for step in self.steps if step.action not in {Action.KEEP, Action.PROVE})

    def wants(self, target: str) -> bool:
        """Whether a step changes this."""
        return any(step.target == target for step in self.changes)


def refuse_rotator(seen: RotatorSeen, *, certificate: bool = True) -> None:
    """What is known to fail before the first write.

    :param certificate: whether it signs in with a certificate, which it renews itself.
    :raises Conflict: ``rotator-name-taken``: another application has the unique name; ``rotator-deleted``.
    :raises Denied: ``entra-permission-missing``: the operator's token lacks what a missing step needs.
    """
    application = seen.application
    if application is not None and TAG not in application.tags:
        raise Conflict(
            "rotator-name-taken",
            f"The application {application.app_id} has the unique name {UNIQUE_NAME} but not this program's tags.",
            f"This program did not create it. Rename or delete it; the rotator is found by the tag {TAG}.",
        )
    if application is None and seen.deleted is not None:
        raise Conflict(
            "rotator-deleted",
            f"The rotator's application {seen.deleted.app_id} was deleted and keeps its unique name.",
            "Restore it or delete it permanently under App registrations > Deleted applications; then run again.",
        )
    needed = []
    if application is None:
        needed.append(REGISTER)
    if ROLE not in seen.granted:
        needed.append(GRANT_ROLES)
    if seen.lacks_owner(certificate=certificate):
        needed.append(ADD_OWNERS)
    for right in needed:
        lack = right.lack(seen.operator)
        if lack is not None and (seen.operator.is_app_only or lack.kind == "delegated permission"):
            raise right.refused(lack, f"Grant the {lack}, or let an operator run this who has it.")


def make_rotator_plan(
    seen: RotatorSeen,
    key: KeyDecision,
    now: datetime,
    *,
    federated: FederatedCredential | None = None,
    overlap: timedelta = OVERLAP,
) -> RotatorPlan:
    """Every step with its reason."""
    application, principal = seen.application, seen.principal
    if application is None:
        steps = [RotatorStep(Action.CREATE, "application", DISPLAY_NAME, f"found later by {UNIQUE_NAME}")]
    else:
        found = f"client id {application.app_id}"
        steps = [_enabled("application", found, enabled=application.enabled)]
    if principal is None:
        steps.append(RotatorStep(Action.CREATE, "service principal", DISPLAY_NAME, "it signs in as this"))
    else:
        steps.append(_enabled("service principal", "enabled", enabled=principal.account_enabled))
    if ROLE in seen.granted:
        steps.append(RotatorStep(Action.KEEP, "permission", ROLE, "granted"))
    else:
        reason = "client secrets of applications that it owns"
        steps.append(RotatorStep(Action.CREATE, "permission", ROLE, reason))
    actions = {KeyAction.MAKE: Action.CREATE, KeyAction.REGISTER: Action.CHANGE}
    steps.append(RotatorStep(actions.get(key.action, Action.KEEP), "certificate", KEY_NAME, key.reason))
    if federated is not None:
        steps.append(_federated_step(seen, federated))
    if key.action is not KeyAction.NONE:
        action = Action.KEEP if seen.owns_itself else Action.CREATE
        steps.append(RotatorStep(action, "owner", "the rotator itself", "so that it renews its certificate"))
    for item in seen.connections:
        if item.owned:
            reason = "the rotator owns its application"
            steps.append(RotatorStep(Action.KEEP, "owner", item.connection, reason))
        elif item.application is not None:
            reason = f"of its application, client id {item.application.app_id}"
            steps.append(RotatorStep(Action.CREATE, "owner", item.connection, reason))
    if key.proves:
        steps.append(RotatorStep(Action.PROVE, "proof", "sign-in", f"the token has {ROLE} and nothing else"))
        after = finished(seen.tags, key.key_id or _NOT_MADE, now, overlap, current_key(application))
        steps += [
            RotatorStep(Action.RETIRE, "certificate", item.key_id, "replaced, or never proven")
            for item in removable(after, application.keys if application else (), now)
        ]
    return RotatorPlan(tuple(steps), key, federated, _warnings(seen))


def _enabled(target: str, reason: str, *, enabled: bool) -> RotatorStep:
    """The step about an object that exists."""
    action = Action.KEEP if enabled else Action.CHANGE
    return RotatorStep(action, target, DISPLAY_NAME, reason if enabled else "disabled")


def _federated_step(seen: RotatorSeen, wanted: FederatedCredential) -> RotatorStep:
    reason = f"{wanted.subject} of {wanted.issuer}"
    # Issuer and subject are unique on an application, whatever the credential is called.
    for item in seen.federated:
        if replace(item, name=wanted.name) == wanted:
            return RotatorStep(Action.KEEP, "federated credential", item.name, reason)
    taken = any(item.name == wanted.name for item in seen.federated)
    action = Action.CHANGE if taken else Action.CREATE
    return RotatorStep(action, "federated credential", wanted.name, reason)


def _warnings(seen: RotatorSeen) -> tuple[str, ...]:
    found = [
        f"Connection {item.connection} has no application yet: run `bootstrap`, then this command again."
        for item in seen.connections
        if item.application is None
    ]
    if more := sorted(seen.granted - {ROLE}):
        found.append(
            f"The rotator holds more than it needs: {', '.join(more)}. This program did not grant it."
        )
    if seen.application is not None and seen.application.secrets:
        found.append("The rotator's application has a client secret. We made none; a certificate is enough.")
    return tuple(found)


def shortcomings(seen: RotatorSeen, now: datetime) -> tuple[str, ...]:
    """What keeps the rotator from rotating every connection that was asked for, now or soon."""
    if seen.application is None or seen.principal is None:
        return ("there is no rotator in this tenant",)
    found = []
    if not (seen.application.enabled and seen.principal.account_enabled):
        found.append("it is disabled")
    if ROLE not in seen.granted:
        found.append(f"{ROLE} is not granted")
    current = current_key(seen.application)
    if current is not None and now >= renew_key_at(current):
        state = "is due" if current.is_live(now) else "has ended"
        found.append(f"its certificate {state} (until {current.end_date_time:%Y-%m-%d})")
    if current is None and not seen.federated:
        found.append("it has neither a proven certificate nor a federated credential")
    if current is not None and not seen.owns_itself:
        found.append("it does not own its own application, so it cannot renew its certificate")
    found += [
        f"it does not own the application of connection {item.connection}"
        for item in seen.connections
        if item.application is not None and not item.owned
    ]
    return tuple(found)
