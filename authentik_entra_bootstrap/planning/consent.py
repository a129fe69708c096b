"""Admin consent as a state: what is granted, what is missing, and the request that asks for it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from authentik_entra_bootstrap.domain import (
    MICROSOFT_GRAPH_APP_ID,
    AppId,
    Application,
    Desired,
    Organization,
    PermissionKind,
)
from authentik_entra_bootstrap.errors import AdminActionRequired
from authentik_entra_bootstrap.planning import ObservedEntra
from authentik_entra_bootstrap.planning.permissions import (
    GRANT_ROLES,
    GRANT_SCOPES,
    ResolvedPermission,
    resolve,
)

_WHY = {
    "Group.Create": "authentik creates groups",
    "Group.ReadWrite.All": "authentik changes and deletes groups, and finds those that exist",
    "GroupMember.ReadWrite.All": "authentik adds and removes members of groups",
    "User.Read": "listed by authentik's documentation; has no effect without a signed-in user",
    "User.ReadWrite.All": "authentik creates, changes and deletes users, and finds those that exist",
}


@dataclass(frozen=True)
class PermissionState(ResolvedPermission):
    """One wanted permission of the sync identity and whether it is granted.

    :param granted: ``None`` when the operator may not look.
    """

    granted: bool | None

    @property
    def kind_in_words(self) -> str:
        """``application permission`` or ``delegated permission``."""
        return "application permission" if self.kind is PermissionKind.ROLE else "delegated permission"

    @property
    def why(self) -> str:
        """What it is for, for the administrator who is asked."""
        return _WHY.get(self.name, "listed in the settings of this connection")


@dataclass(frozen=True)
class ConsentState:
    """Who asks for what in which tenant, and how much of it is granted."""

    organization: Organization
    connection: str
    application_name: str
    app_id: AppId
    permissions: tuple[PermissionState, ...]

    @property
    def missing(self) -> tuple[PermissionState, ...]:
        """What was looked at and is not granted."""
        return tuple(item for item in self.permissions if item.granted is False)

    @property
    def missing_roles(self) -> tuple[PermissionState, ...]:
        """The application permissions among them: without these no token of the sync identity is of use."""
        return tuple(item for item in self.missing if item.kind is PermissionKind.ROLE)

    @property
    def complete(self) -> bool:
        """Whether nothing is known to be missing."""
        return not self.missing

    @property
    def grantors(self) -> tuple[str, ...]:
        """Directory roles that may grant what is missing, smallest first."""
        return (GRANT_ROLES if self.missing_roles else GRANT_SCOPES).directory_role_names


class ConsentRequired(AdminActionRequired):
    """Consent is missing and the operator may not grant it. ``state`` is what was seen."""

    state: ConsentState


def states(
    permissions: Iterable[ResolvedPermission], entra: ObservedEntra, also: frozenset[str] = frozenset()
) -> tuple[PermissionState, ...]:
    """Wanted permissions against what was observed.

    A grant may hold more scopes than are wanted, e.g. after consent in the portal: they do not matter here.

    :param also: names known to be granted, although the observation does not show them yet.
    """
    graph = entra.graph.service_principal_object_id
    roles = {item.app_role_id for item in entra.role_assignments if item.resource_id == graph}
    scopes = entra.delegated_grant.scopes if entra.delegated_grant else frozenset()

    def granted(item: ResolvedPermission) -> bool | None:
        is_role = item.kind is PermissionKind.ROLE
        if item.name in also or (item.permission_id in roles if is_role else item.name in scopes):
            return True
        return False if is_role or entra.grants_readable else None

    return tuple(
        PermissionState(item.name, item.permission_id, item.kind, granted(item)) for item in permissions
    )


def unwanted(
    permissions: Iterable[ResolvedPermission], entra: ObservedEntra, application: Application
) -> dict[tuple[PermissionKind, str], list[str]]:
    """Permissions beyond the settings, by kind and name: ``listed``, ``granted`` or both."""
    wanted, graph = tuple(permissions), entra.graph
    offered = {PermissionKind.ROLE: graph.app_roles, PermissionKind.SCOPE: graph.scopes}
    names = {kind: {its_id: name for name, its_id in values.items()} for kind, values in offered.items()}
    found: dict[tuple[PermissionKind, str], list[str]] = {}
    for access in application.requested_access - {item.requested_access() for item in wanted}:
        name = names[access.kind].get(access.permission_id, access.permission_id)
        if access.resource_app_id.lower() != MICROSOFT_GRAPH_APP_ID:
            name = f"{access.permission_id} of application {access.resource_app_id}"
        found.setdefault((access.kind, name), []).append("listed")
    for assignment in entra.role_assignments:
        role = assignment.app_role_id
        name = names[PermissionKind.ROLE].get(role, role)
        if assignment.resource_id != graph.service_principal_object_id:
            name = f"{role} of resource {assignment.resource_id}"
        elif role in {item.permission_id for item in wanted}:
            continue
        found.setdefault((PermissionKind.ROLE, name), []).append("granted")
    scopes = entra.delegated_grant.scopes if entra.delegated_grant else frozenset()
    for name in scopes - {item.name for item in wanted if item.kind is PermissionKind.SCOPE}:
        found.setdefault((PermissionKind.SCOPE, name), []).append("granted")
    return found


def consent_state(
    desired: Desired,
    entra: ObservedEntra,
    application: Application,
    also: frozenset[str] = frozenset(),
) -> ConsentState:
    """The state of consent as observed.

    :param also: see :func:`states`.
    :raises ConfigError: ``unknown-permission``.
    """
    return ConsentState(
        entra.organization,
        desired.connection,
        application.display_name,
        application.app_id,
        states(resolve(desired.permissions, entra.graph), entra, also),
    )


def consent_required(state: ConsentState, cause: AdminActionRequired | None = None) -> ConsentRequired:
    """The error for a state with something missing.

    :param cause: the refusal of the operator's own attempt to grant, if there was one; its trace is kept.
    """
    granted = ", ".join(item.name for item in state.permissions if item.granted) or "none"
    missing = ", ".join(item.name for item in state.missing)
    done = (
        "No client secret is made before these permissions are granted."
        if state.missing_roles
        else "The connection does not need them to work."
    )
    refused = "The operator may not grant admin consent. " if cause else ""
    error = ConsentRequired(
        "consent-required",
        f"{refused}Consent is missing for: {missing}. Granted: {granted}. {done}",
        f"Send the request with its address to a {' or '.join(state.grantors)}. Then run `authentik-entra bootstrap` again, or let "
        "`authentik-entra consent --wait` wait for it.",
        trace=cause.trace if cause else None,
        facts={**(cause.facts if cause else {}), "missing_consent": missing},
    )
    error.state = state
    return error


def request_text(state: ConsentState, address: str) -> str:
    """What to send to an administrator: plain text, lines of their own, no line from a service's name.

    :param address: the admin consent URL.
    """
    lines = [
        f"Please grant admin consent to the application {_line(state.application_name)}.",
        "",
        f"Tenant:       {_line(state.organization.display_name)} ({state.organization.tenant_id})",
        f"Application:  {_line(state.application_name)}",
        f"Client ID:    {state.app_id}",
        "",
        "authentik signs in as this application to provision users and groups into the tenant.",
        "It asks for these permissions of Microsoft Graph:",
    ]
    lines += [
        f"- {item.name} ({item.kind_in_words}{', already granted' if item.granted else ''}): {item.why}"
        for item in state.permissions
    ]
    lines += [
        "",
        f"Open this address, sign in as {' or '.join(state.grantors)}, compare the application, and accept:",
        address,
        "",
        "Afterwards nothing is left to do for you. Please tell the sender of this message that it is done.",
    ]
    return "\n".join(lines)


def _line(text: str) -> str:
    """A name as one line."""
    return " ".join(text.split())
