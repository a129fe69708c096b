"""Which rights the operator identity needs in Entra ID for what, and which of them its token shows. Pure.

Sources: Microsoft Graph permissions reference (2026-08) and "Grant tenant-wide admin consent".
"""

from __future__ import annotations

from dataclasses import dataclass

from authentik_entra_bootstrap.domain import TokenClaims

GLOBAL_ADMINISTRATOR = "62e90394-69f5-4237-9190-012177145e10"
APPLICATION_ADMINISTRATOR = "9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3"
CLOUD_APPLICATION_ADMINISTRATOR = "158c047a-c907-4556-b7ef-446551a6b5f7"
APPLICATION_DEVELOPER = "cf1c38e5-3621-4004-a7cb-879624dced7c"
PRIVILEGED_ROLE_ADMINISTRATOR = "e8611ab8-c189-46e8-94e1-60213ab1f814"
"""Role template ids, as they stand in a token's ``wids``."""


@dataclass(frozen=True)
class Right:
    """One thing the operator does.

    :param purpose: in words, for people.
    :param app_roles: alternatives for a service principal; the first is the smallest.
    :param also: a second set of alternatives that is needed besides.
    :param scopes: alternatives for a signed-in user's token.
    :param directory_roles: role template ids, one of which the user needs besides (empty: none is known to be).
    :param directory_role_names: the same for people, smallest first.
    """

    key: str
    purpose: str
    app_roles: tuple[str, ...]
    scopes: tuple[str, ...]
    also: tuple[str, ...] = ()
    directory_roles: frozenset[str] = frozenset()
    directory_role_names: tuple[str, ...] = ()


_READ_APPLICATIONS = (
    "Application.Read.All",
    "Application.ReadWrite.All",
    "Directory.Read.All",
    "Directory.ReadWrite.All",
)
_WRITE_APPLICATIONS = (
    "Application.ReadWrite.OwnedBy",
    "Application.ReadWrite.All",
    "Directory.ReadWrite.All",
)

REGISTER = Right(
    "register-application",
    "create the application, its service principal and its client secret",
    app_roles=_WRITE_APPLICATIONS,
    scopes=("Application.ReadWrite.All", "Directory.ReadWrite.All", "Directory.AccessAsUser.All"),
)
GRANT_ROLES = Right(
    "grant-application-permissions",
    "grant admin consent for application permissions of Microsoft Graph",
    app_roles=("AppRoleAssignment.ReadWrite.All",),
    also=_READ_APPLICATIONS,
    scopes=("AppRoleAssignment.ReadWrite.All", "Directory.AccessAsUser.All"),
    directory_roles=frozenset({GLOBAL_ADMINISTRATOR, PRIVILEGED_ROLE_ADMINISTRATOR}),
    directory_role_names=("Privileged Role Administrator", "Global Administrator"),
)
GRANT_SCOPES = Right(
    "grant-delegated-permissions",
    "grant admin consent for delegated permissions",
    app_roles=("DelegatedPermissionGrant.ReadWrite.All", "Directory.ReadWrite.All"),
    scopes=(
        "DelegatedPermissionGrant.ReadWrite.All",
        "Directory.ReadWrite.All",
        "Directory.AccessAsUser.All",
    ),
    directory_roles=frozenset(
        {
            GLOBAL_ADMINISTRATOR,
            PRIVILEGED_ROLE_ADMINISTRATOR,
            APPLICATION_ADMINISTRATOR,
            CLOUD_APPLICATION_ADMINISTRATOR,
        }
    ),
    directory_role_names=(
        "Cloud Application Administrator",
        "Application Administrator",
        "Global Administrator",
    ),
)
READ_POLICY = Right(
    "read-policy",
    "read the tenant's limits for client secrets beforehand",
    app_roles=("Policy.Read.All", "Policy.ReadWrite.ApplicationConfiguration"),
    scopes=("Policy.Read.All", "Policy.ReadWrite.ApplicationConfiguration", "Directory.AccessAsUser.All"),
)
ADD_OWNERS = Right(
    "add-owners",
    "add an owner to an application",
    # OwnedBy does not reach this, not even for an owner (Graph reference, application: add owner).
    app_roles=("Application.ReadWrite.All", "Directory.ReadWrite.All"),
    also=("Directory.Read.All", "Directory.ReadWrite.All"),
    scopes=("Application.ReadWrite.All", "Directory.ReadWrite.All", "Directory.AccessAsUser.All"),
)
ROTATE = Right(
    "rotate",
    "make and remove client secrets of the connection's application",
    app_roles=_WRITE_APPLICATIONS,
    scopes=("Application.ReadWrite.All", "Directory.ReadWrite.All", "Directory.AccessAsUser.All"),
)
_EVERY_APPLICATION = frozenset({"Application.ReadWrite.All", "Directory.ReadWrite.All"})
NEEDED = (REGISTER, GRANT_ROLES, GRANT_SCOPES)


def needs_ownership(claims: TokenClaims) -> bool:
    """Whether the bearer reaches only applications that it owns. Of a person's roles a token may not tell."""
    return claims.is_app_only and not claims.roles & _EVERY_APPLICATION


def missing(right: Right, claims: TokenClaims) -> str | None:
    """What the token lacks for a right, in words; ``None`` when nothing seems to be missing.

    Ownership and roles given through groups or for a time may not show in a token, so a missing directory
    role is only ever said as a warning, never a reason to refuse.
    """
    if claims.is_app_only:
        for alternatives in (right.app_roles, right.also):
            if alternatives and not claims.roles & set(alternatives):
                return f"application permission {alternatives[0]}"
        return None
    if not claims.scopes & set(right.scopes):
        return f"delegated permission {right.scopes[0]}"
    if right.directory_roles and not claims.directory_roles & right.directory_roles:
        return f"directory role {right.directory_role_names[0]}"
    return None
