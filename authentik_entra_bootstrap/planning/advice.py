"""What people should know before they say yes. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from authentik_entra_bootstrap.domain import Application, Desired, PermissionKind
from authentik_entra_bootstrap.domain.application_tags import is_ours
from authentik_entra_bootstrap.domain.policy import Grantable, in_words
from authentik_entra_bootstrap.planning import rights
from authentik_entra_bootstrap.planning.consent import states
from authentik_entra_bootstrap.planning.differences import NO_ADDRESS, in_short, left_out
from authentik_entra_bootstrap.planning.observation import ObservedAuthentik, ObservedEntra
from authentik_entra_bootstrap.planning.permissions import ResolvedPermission

ADMINISTRATOR = "akadmin"


def warnings(
    desired: Desired,
    entra: ObservedEntra,
    authentik: ObservedAuthentik,
    permissions: tuple[ResolvedPermission, ...],
    grantable: Grantable | None,
) -> Iterator[str]:
    """Everything worth saying about a run that is not a reason to refuse it."""
    yield from _consent(entra, permissions)
    if grantable and grantable.clamped:
        yield (
            f"The tenant's policy shortens the client secret's lifetime from {in_words(desired.secret_lifetime)} "
            f"to {in_words(entra.policy.greatest_lifetime or desired.secret_lifetime)}."
        )
    if authentik.provider is None and not desired.dry_run:
        yield from _provisioning(entra, authentik)
    if authentik.license.status not in {"valid", "unlicensed"}:
        yield f"authentik's enterprise licence reports: {authentik.license.status}."
    if entra.application is not None:
        yield from _application(entra.application, entra, permissions)


def _provisioning(entra: ObservedEntra, authentik: ObservedAuthentik) -> Iterator[str]:
    """About the first full sync of a provider that is created."""
    scope = authentik.scope
    away = left_out(scope.users or (), entra.organization.verified_domains)
    arriving = {user.username for user in scope.users or ()} - {item.username for item in away}
    if authentik.filter_group is None:
        told = f", its administrator {ADMINISTRATOR} included" if ADMINISTRATOR in arriving else ""
        yield (
            f"No filter group is set: authentik provisions all its users{told}. "
            "Set filter_group to provision only the members of one group."
        )
    elif ADMINISTRATOR in arriving:
        yield f"authentik's administrator {ADMINISTRATOR} is a member of the filter group, and is provisioned."
    if scope.builtin_groups:
        names = ", ".join(scope.builtin_groups)
        yield f"authentik creates every group in the tenant, its built-in ones included: {names}."
    without = [item.username for item in away if item.reason == NO_ADDRESS]
    if without:
        yield (
            f"authentik 2026.2 and later stops its sync of users at one without an e-mail address: {in_short(without)}. "
            "Set exclude_service_accounts = true, or give each an address."
        )


def _consent(entra: ObservedEntra, permissions: tuple[ResolvedPermission, ...]) -> Iterator[str]:
    missing = {item.kind for item in states(permissions, entra) if item.granted is False}
    for kind, right, when in (
        (PermissionKind.ROLE, rights.GRANT_ROLES, "before a client secret is made"),
        (PermissionKind.SCOPE, rights.GRANT_SCOPES, "after everything else"),
    ):
        lack = rights.missing(right, entra.operator)
        if kind in missing and lack:
            yield (
                f"The operator's token does not show what it takes to {right.purpose}: {lack}. "
                f"If Entra ID refuses it, an administrator's consent is asked for {when} (exit code 5)."
            )


def _application(
    application: Application, entra: ObservedEntra, permissions: tuple[ResolvedPermission, ...]
) -> Iterator[str]:
    foreign = [secret for secret in application.secrets if not is_ours(secret)]
    if foreign:
        yield f"{len(foreign)} client secrets of the application were not made by us; they are left alone."
    if entra.service_principal is not None and entra.service_principal.secrets:
        yield (
            f"{len(entra.service_principal.secrets)} client secrets stand on the service principal. They sign in as well, "
            "and were not made by us; they are left alone."
        )
    known = {permission.requested_access() for permission in permissions}
    if application.requested_access - known:
        yield "The application lists permissions that are not in the settings; they are left alone."
    if application.sign_in_audience not in {None, "AzureADMyOrg"}:
        yield f"The application's signInAudience is {application.sign_in_audience}; AzureADMyOrg is expected."
    if entra.owners and entra.operator.object_id not in entra.owners:
        yield "The operator identity is not among the application's owners."
