"""Who may do what: one rule for each operation, as data.

Sources: microsoftgraph/microsoft-graph-devx-content (permissions.json, 2026-08) for permissions, Microsoft's
documentation of admin consent and of the application resource for directory roles and ownership.
"""

from __future__ import annotations

from dataclasses import dataclass

Names = frozenset[str]


def _names(text: str) -> Names:
    return frozenset(text.split())


GLOBAL_ADMINISTRATOR = "Global Administrator"
APP_ADMINISTRATORS = frozenset(
    {GLOBAL_ADMINISTRATOR, "Application Administrator", "Cloud Application Administrator"}
)
APP_CREATORS = APP_ADMINISTRATORS | {"Application Developer"}
ROLE_ADMINISTRATORS = frozenset({GLOBAL_ADMINISTRATOR, "Privileged Role Administrator"})
USER_ADMINISTRATORS = frozenset({GLOBAL_ADMINISTRATOR, "User Administrator", "Directory Writers"})
GROUP_ADMINISTRATORS = USER_ADMINISTRATORS | {"Groups Administrator"}
POLICY_READERS = APP_ADMINISTRATORS | {"Global Reader", "Security Reader", "Security Administrator"}
ADMINISTRATORS = APP_ADMINISTRATORS | ROLE_ADMINISTRATORS | USER_ADMINISTRATORS | GROUP_ADMINISTRATORS
"""Roles whose holders are free of the object quota."""
AS_USER = "Directory.AccessAsUser.All"
"""Delegated permission that stands for every scope of the directory (Azure's own clients use it)."""


@dataclass(frozen=True)
class Rule:
    """What a caller needs for one operation.

    :param app: application permissions, any of which is enough.
    :param owned: application permissions that are enough for objects the caller owns.
    :param scopes: delegated permissions, any of which is needed.
    :param roles: directory roles of which a signed-in user needs one besides; ``None``: no role is needed.
    :param owner: whether a user who owns the object needs no directory role.
    :param also: permissions of which any is needed in addition, for apps and users.
    :param owned_also: the same, for callers that rely on ``owned``.
    """

    app: Names = frozenset()
    owned: Names = frozenset()
    scopes: Names = frozenset()
    roles: Names | None = None
    owner: bool = False
    also: Names = frozenset()
    owned_also: Names = frozenset()


_OWNED_BY = _names("Application.ReadWrite.OwnedBy")
_APP_WRITE = _names("Application.ReadWrite.All")
_APP_OR_DIRECTORY_WRITE = _APP_WRITE | _names("Directory.ReadWrite.All")
_DIRECTORY_READ = _names("Directory.Read.All Directory.ReadWrite.All")
_APP_READ_SCOPES = _names("Application.Read.All Application.ReadWrite.All") | _DIRECTORY_READ
_APP_READ = _APP_READ_SCOPES | _OWNED_BY
_POLICY_WRITE = _names("Policy.ReadWrite.ApplicationConfiguration")
_POLICY_READ = _POLICY_WRITE | _names("Policy.Read.All Policy.Read.ApplicationConfiguration")
_GRANT_WRITE = _names("DelegatedPermissionGrant.ReadWrite.All Directory.ReadWrite.All")
_ROLE_MANAGEMENT = _names("RoleManagement.ReadWrite.Directory")
_ROLE_WRITE = _names("AppRoleAssignment.ReadWrite.All")
_USER_WRITE = _names("User.ReadWrite.All Directory.ReadWrite.All")
_USER_READ = _USER_WRITE | _names("User.ReadBasic.All User.Read.All Directory.Read.All")
_GROUP_WRITE = _names("Group.ReadWrite.All Directory.ReadWrite.All")
_GROUP_READ = _GROUP_WRITE | _names(
    "Group.Read.All Group.ReadBasic.All GroupMember.Read.All GroupMember.ReadWrite.All Directory.Read.All"
)
_MEMBERS_READ = _GROUP_READ | _names("GroupMember.ReadBasic.All")
_MEMBERS_WRITE = _GROUP_WRITE | _names("GroupMember.ReadWrite.All")
# A write permission on users includes reading what User.Read.All reads: authentik, whose documentation asks for
# User.ReadWrite.All only, begins each sync with GET /organization.
_ORGANIZATION = (
    _names("Organization.Read.All Organization.ReadWrite.All User.Read.All User.ReadWrite.All")
    | _DIRECTORY_READ
)


def _app_write(permissions: Names, roles: Names = APP_ADMINISTRATORS, *, owner: bool = True) -> Rule:
    return Rule(app=permissions, owned=_OWNED_BY, scopes=permissions, roles=roles, owner=owner)


def _plain(permissions: Names, roles: Names | None = None, *, owner: bool = False) -> Rule:
    return Rule(app=permissions, scopes=permissions, roles=roles, owner=owner)


RULES: dict[str, Rule] = {
    "application.read": Rule(app=_APP_READ, scopes=_APP_READ_SCOPES),
    # Creation cannot ask for ownership; whether users may register is the tenant's switch.
    "application.create": Rule(
        app=_APP_WRITE | _OWNED_BY | {"AppRegistration.Create"},
        scopes=_APP_WRITE | {"AppRegistration.Create"},
    ),
    "application.update": _app_write(_APP_WRITE),
    "application.delete": _app_write(_APP_WRITE),
    "application.purge": _app_write(
        _APP_WRITE, frozenset({GLOBAL_ADMINISTRATOR, "Application Administrator"}), owner=False
    ),
    "application.credentials": _app_write(_APP_OR_DIRECTORY_WRITE),
    "application.owners": Rule(
        app=_APP_OR_DIRECTORY_WRITE,
        owned=_OWNED_BY,
        owned_also=_DIRECTORY_READ,
        scopes=_APP_OR_DIRECTORY_WRITE,
        roles=APP_ADMINISTRATORS,
        owner=True,
    ),
    "servicePrincipal.read": Rule(app=_APP_READ, scopes=_APP_READ_SCOPES),
    "servicePrincipal.create": _app_write(_APP_OR_DIRECTORY_WRITE),
    "servicePrincipal.update": _app_write(_APP_OR_DIRECTORY_WRITE),
    "servicePrincipal.delete": _app_write(_APP_OR_DIRECTORY_WRITE),
    "servicePrincipal.purge": _app_write(
        _APP_WRITE, frozenset({GLOBAL_ADMINISTRATOR, "Application Administrator"}), owner=False
    ),
    "servicePrincipal.credentials": _app_write(_APP_OR_DIRECTORY_WRITE),
    "servicePrincipal.owners": Rule(
        app=_APP_OR_DIRECTORY_WRITE,
        owned=_OWNED_BY,
        owned_also=_DIRECTORY_READ,
        scopes=_APP_OR_DIRECTORY_WRITE,
        roles=APP_ADMINISTRATORS,
        owner=True,
    ),
    "roleGrant.read": Rule(app=_APP_READ, scopes=_APP_READ_SCOPES),
    # App roles of Microsoft Graph: not even application administrators may grant them.
    "roleGrant.create.graph": Rule(
        app=_ROLE_WRITE, scopes=_ROLE_WRITE, roles=ROLE_ADMINISTRATORS, also=_APP_READ_SCOPES
    ),
    "roleGrant.create": Rule(
        app=_ROLE_WRITE,
        scopes=_ROLE_WRITE,
        roles=ROLE_ADMINISTRATORS | APP_ADMINISTRATORS,
        also=_APP_READ_SCOPES,
    ),
    "roleGrant.delete": _plain(_ROLE_WRITE, ROLE_ADMINISTRATORS | APP_ADMINISTRATORS),
    "scopeGrant.read": _plain(_GRANT_WRITE | _DIRECTORY_READ),
    "scopeGrant.write": _plain(_GRANT_WRITE, ROLE_ADMINISTRATORS | APP_ADMINISTRATORS),
    "policy.read": _plain(_POLICY_READ, POLICY_READERS),
    "policy.write": _plain(_POLICY_WRITE, APP_ADMINISTRATORS | {"Security Administrator"}),
    "policy.assign": Rule(
        app=_POLICY_WRITE, scopes=_POLICY_WRITE, roles=APP_ADMINISTRATORS, also=_APP_READ_SCOPES | _OWNED_BY
    ),
    "organization.read": Rule(app=_ORGANIZATION, scopes=_ORGANIZATION | {"User.Read", "User.ReadWrite"}),
    "domain.read": _plain(_DIRECTORY_READ | {"Domain.Read.All", "Domain.ReadWrite.All"}),
    "user.read": Rule(app=_USER_READ, scopes=_USER_READ),
    "user.read.self": Rule(scopes=_USER_READ | {"User.Read", "User.ReadWrite"}),
    "user.create": _plain(_USER_WRITE, USER_ADMINISTRATORS),
    "user.update": _plain(_USER_WRITE, USER_ADMINISTRATORS),
    "user.update.accountEnabled": _plain(
        _USER_WRITE | {"User.EnableDisableAccount.All"}, USER_ADMINISTRATORS
    ),
    "user.update.passwordProfile": _plain(
        _USER_WRITE | {"User-PasswordProfile.ReadWrite.All"}, USER_ADMINISTRATORS
    ),
    "user.delete": _plain(_names("User.ReadWrite.All User.DeleteRestore.All"), USER_ADMINISTRATORS),
    "user.purge": _plain(_names("User.ReadWrite.All User.DeleteRestore.All"), USER_ADMINISTRATORS),
    "memberOf.read": _plain(_MEMBERS_READ | _USER_READ),
    "group.read": _plain(_GROUP_READ),
    # Ordinary users may create security groups by default.
    "group.create": Rule(app=_GROUP_WRITE | {"Group.Create"}, scopes=_GROUP_WRITE),
    # A group that can hold directory roles takes this besides.
    "group.create.privileged": _plain(_ROLE_MANAGEMENT, ROLE_ADMINISTRATORS),
    "group.update": _plain(_GROUP_WRITE, GROUP_ADMINISTRATORS, owner=True),
    "group.delete": _plain(_names("Group.ReadWrite.All"), GROUP_ADMINISTRATORS, owner=True),
    "group.purge": _plain(_names("Group.ReadWrite.All"), GROUP_ADMINISTRATORS, owner=True),
    "group.owners": _plain(_GROUP_WRITE, GROUP_ADMINISTRATORS, owner=True),
    "group.members.read": _plain(_MEMBERS_READ),
    "group.members.write": _plain(_MEMBERS_WRITE, GROUP_ADMINISTRATORS, owner=True),
    "group.members.write.privileged": _plain(_ROLE_MANAGEMENT, ROLE_ADMINISTRATORS, owner=True),
    "directoryObject.read": _plain(_DIRECTORY_READ),
}
"""Operation to rule."""
