"""What we ask of Microsoft Graph, and the least permission that each request needs.

Sources: Microsoft Graph permissions data (2026-08) and "Grant tenant-wide admin consent to an application".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from authentik_entra_bootstrap.domain import TokenClaims

_COVERED_BY: Mapping[str, frozenset[str]] = {
    "Application.Read.All": frozenset(
        {"Application.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"}
    ),
    "Application.ReadWrite.OwnedBy": frozenset({"Application.ReadWrite.All"}),
    "Application.ReadWrite.All": frozenset({"Directory.AccessAsUser.All"}),
    "DelegatedPermissionGrant.ReadWrite.All": frozenset({"Directory.ReadWrite.All"}),
    "Directory.Read.All": frozenset({"Directory.ReadWrite.All"}),
}
"""Permission -> greater ones that include it."""


def _holds(permission: str, held: frozenset[str]) -> bool:
    return bool(held & ({permission} | _COVERED_BY.get(permission, frozenset())))


@dataclass(frozen=True)
class Operation:
    """One kind of request.

    :param key: stable name.
    :param purpose: completes "The operator may not …".
    :param app_roles: application permissions that are needed together, smallest choice.
    :param scopes: delegated permissions for a signed-in user, needed together.
    :param directory_role: smallest role that the user needs besides, in words; empty when none.
    :param ownership: whether ``Application.ReadWrite.OwnedBy`` is enough only for an owner.
    :param consent: whether a refusal means that an administrator has to consent instead of the operator.
    """

    key: str
    purpose: str
    app_roles: tuple[str, ...]
    scopes: tuple[str, ...]
    directory_role: str = ""
    ownership: bool = False
    consent: bool = False

    def lack(self, claims: TokenClaims | None) -> tuple[str, str]:
        """What is missing, in words, and the permission's or role's bare name.

        :param claims: the refused token's claims, where known.
        """
        if claims is not None and not claims.is_app_only:
            for scope in self.scopes:
                if not _holds(scope, claims.scopes):
                    return f"the delegated permission {scope} is missing", scope
            role = self.directory_role or "Cloud Application Administrator"
            return f"the directory role {role} is missing", role
        held = claims.roles if claims else frozenset()
        for name in self.app_roles:
            if not _holds(name, held):
                return f"the application permission {name} is missing", name
        if self.ownership and self.app_roles[0] in held and "Application.ReadWrite.All" not in held:
            return (
                f"{self.app_roles[0]} reaches only applications that the operator owns, and it does not own this one",
                "Application.ReadWrite.All",
            )
        return f"the token has {', '.join(self.app_roles)}, yet Microsoft Graph refuses", self.app_roles[0]

    @property
    def enough(self) -> str:
        """The smallest rights that would do, for service principals and for users."""
        app = " and ".join(self.app_roles) + (" as the application's owner" if self.ownership else "")
        user = " and ".join(self.scopes) + (
            f" with the role {self.directory_role}" if self.directory_role else ""
        )
        return f"application permission {app}; for a user {user}"


_OWNED = "Application.ReadWrite.OwnedBy"
_OWNER = "Cloud Application Administrator (or ownership)"

READ_ORGANIZATION = Operation(
    "read-organization", "read the tenant's name", ("Organization.Read.All",), ("User.Read",)
)
READ_APPLICATION = Operation(
    "read-application", "read applications", ("Application.Read.All",), ("Application.Read.All",)
)
READ_DELETED = Operation(
    "read-deleted-applications",
    "read deleted applications",
    ("Application.Read.All",),
    ("Application.Read.All",),
)
CREATE_APPLICATION = Operation(
    "create-application",
    "create applications",
    (_OWNED,),
    ("Application.ReadWrite.All",),
    "Application Developer (unless users may register applications)",
)
UPDATE_APPLICATION = Operation(
    "update-application",
    "change the application",
    (_OWNED,),
    ("Application.ReadWrite.All",),
    _OWNER,
    ownership=True,
)
DELETE_APPLICATION = Operation(
    "delete-application",
    "delete the application",
    (_OWNED,),
    ("Application.ReadWrite.All",),
    _OWNER,
    ownership=True,
)
RESTORE_APPLICATION = Operation(
    "restore-application",
    "restore the deleted application",
    (_OWNED,),
    ("Application.ReadWrite.All",),
    "Application Administrator",
    ownership=True,
)
PURGE_APPLICATION = Operation(
    "purge-application",
    "delete the application permanently",
    (_OWNED,),
    ("Application.ReadWrite.All",),
    "Application Administrator",
    ownership=True,
)
READ_SERVICE_PRINCIPAL = Operation(
    "read-service-principal", "read service principals", ("Application.Read.All",), ("Application.Read.All",)
)
CREATE_SERVICE_PRINCIPAL = Operation(
    "create-service-principal",
    "create the application's service principal",
    (_OWNED,),
    ("Application.ReadWrite.All",),
    "Application Developer (as owner) or Cloud Application Administrator",
    ownership=True,
)
UPDATE_SERVICE_PRINCIPAL = Operation(
    "update-service-principal",
    "change the application's service principal",
    (_OWNED,),
    ("Application.ReadWrite.All",),
    _OWNER,
    ownership=True,
)
READ_ASSIGNMENTS = Operation(
    "read-role-assignments", "read granted permissions", ("Application.Read.All",), ("Application.Read.All",)
)
ASSIGN_ROLE = Operation(
    "assign-role",
    "grant application permissions of Microsoft Graph",
    ("AppRoleAssignment.ReadWrite.All", "Application.Read.All"),
    ("AppRoleAssignment.ReadWrite.All", "Application.Read.All"),
    "Privileged Role Administrator",
    consent=True,
)
READ_GRANTS = Operation(
    "read-delegated-grants",
    "read granted delegated permissions",
    ("Directory.Read.All",),
    ("Directory.Read.All",),
)
GRANT_SCOPES = Operation(
    "grant-scopes",
    "grant delegated permissions for all users",
    ("DelegatedPermissionGrant.ReadWrite.All",),
    ("DelegatedPermissionGrant.ReadWrite.All",),
    "Cloud Application Administrator",
    consent=True,
)
READ_POLICY = Operation(
    "read-policy", "read the tenant's policies", ("Policy.Read.All",), ("Policy.Read.All",), "Global Reader"
)
ADD_SECRET = Operation(
    "add-secret",
    "make a client secret",
    (_OWNED,),
    ("Application.ReadWrite.All",),
    _OWNER,
    ownership=True,
)
REMOVE_SECRET = Operation(
    "remove-secret",
    "remove a client secret",
    (_OWNED,),
    ("Application.ReadWrite.All",),
    _OWNER,
    ownership=True,
)
ADD_OWNER = Operation(
    "add-owner",
    "add an owner to the application",
    ("Application.ReadWrite.All", "Directory.Read.All"),
    ("Application.ReadWrite.All",),
    _OWNER,
)
READ_OWNED = Operation(
    "read-owned-objects",
    "read what a service principal owns",
    ("Application.Read.All",),
    ("Application.Read.All",),
)
READ_FEDERATED = Operation(
    "read-federated-credentials",
    "read federated credentials",
    ("Application.Read.All",),
    ("Application.Read.All",),
)
FEDERATE = Operation(
    "federate",
    "write federated credentials of the application",
    (_OWNED,),
    ("Application.ReadWrite.All",),
    _OWNER,
    ownership=True,
)

OPERATIONS = (
    READ_ORGANIZATION,
    READ_APPLICATION,
    READ_DELETED,
    CREATE_APPLICATION,
    UPDATE_APPLICATION,
    DELETE_APPLICATION,
    RESTORE_APPLICATION,
    PURGE_APPLICATION,
    READ_SERVICE_PRINCIPAL,
    CREATE_SERVICE_PRINCIPAL,
    UPDATE_SERVICE_PRINCIPAL,
    READ_ASSIGNMENTS,
    ASSIGN_ROLE,
    READ_GRANTS,
    GRANT_SCOPES,
    READ_POLICY,
    ADD_SECRET,
    REMOVE_SECRET,
    ADD_OWNER,
    READ_OWNED,
    READ_FEDERATED,
    FEDERATE,
)
"""Every operation, in the order in which bootstrap needs them; then the rotator's."""
