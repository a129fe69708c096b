"""Microsoft Graph's permissions with their world-wide ids, and which of them each operation takes.

Source of the ids: microsoftgraph/microsoft-graph-devx-content, permissions/permissions-descriptions.json. Operations
and directory roles come from the data file that also tells people what to grant; it names its sources.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, NamedTuple

GRAPH_APP_ID = "00000003-0000-0000-c000-000000000000"
"""Microsoft Graph's application id in every tenant and cloud."""


class Role(NamedTuple):
    """An application permission: an app role of Microsoft Graph."""

    value: str
    id: str
    display_name: str


class Scope(NamedTuple):
    """A delegated permission. ``admin``: only an administrator may consent to it."""

    value: str
    id: str
    display_name: str
    admin: bool


_ROLES = """\
Group.Create bf7b1a76-6e77-406b-b258-bf5c7720e98f Create groups
Group.ReadWrite.All 62a82d76-70ea-41e2-9197-370581804d09 Read and write all groups
GroupMember.ReadWrite.All dbaae8cf-10b5-4b86-a4a1-f871c94c6695 Read and write all group memberships
User.Read.All df021288-bdef-4463-88db-98f22de89214 Read all users' full profiles and company properties
User.ReadWrite.All 741f803b-c850-494e-b5df-cde7c675a1ca Read and write all users' full profiles
Organization.Read.All 498476ce-e0fe-48b0-b801-37ba7e2685c6 Read organization information
Application.ReadWrite.OwnedBy 18a4783c-866b-4cc7-a460-3d5e5662c884 Manage apps that this app creates or owns
Application.ReadWrite.All 1bfefb4e-e0b5-418b-a88f-73c46d2cc8e9 Read and write all applications
AppRoleAssignment.ReadWrite.All 06b708a9-e830-4db3-a914-8e69da51d44f Manage app permission grants and app role assignments
DelegatedPermissionGrant.ReadWrite.All 8e8e4742-1d95-4f68-9d56-6ee75648c72a Manage all delegated permission grants
Policy.Read.All 246dd0d5-5bd0-4def-940b-0421030a5b68 Read your organization's policies
Application.Read.All 9a5d68dd-52b0-4cc2-bd40-abcf44ac3a30 Read all applications
Directory.Read.All 7ab1d382-f21e-4acd-a863-ba3e13f7da61 Read directory data
Directory.ReadWrite.All 19dbc75e-c2e2-444c-a770-ec69d8559fc7 Read and write directory data
Group.Read.All 5b567255-7703-4780-807c-7be8301ae99b Read all groups
GroupMember.Read.All 98830695-27a2-44f7-8c18-0c3ebc9698f6 Read all group memberships
Group.ReadBasic.All 07d67222-3a10-4d3b-9ddc-b8aa43198a00 Read all groups' basic property
GroupMember.ReadBasic.All 8222c640-cae5-4860-8d11-b32cfad95e03 Read all group memberships
User.ReadBasic.All 97235f07-e226-4f63-ace3-39588e11d3a1 Read all users' basic profiles
User.DeleteRestore.All eccc023d-eccf-4e7b-9683-8813ab36cecc Delete and restore user accounts
User.EnableDisableAccount.All 3011c876-62b7-4ada-afa2-506cbbecc68c Enable and disable user accounts
User-PasswordProfile.ReadWrite.All cc117bb9-00cf-4eb8-b580-ea2a878fe8f7 Update password profile property and reset password for all users
Policy.ReadWrite.ApplicationConfiguration be74164b-cff1-491c-8741-e671cb536e13 Read and write your organization's application configuration policies
Policy.Read.PermissionGrant 9e640839-a198-48fb-8b9a-013fd6f6cbcd Read consent and permission grant policies
Domain.Read.All dbb9058a-0e50-45d7-ae91-66909b5d4664 Read domains
"""
_SCOPES = """\
Group.ReadWrite.All 4e46008b-f24c-477d-8fff-7bb4ec7aafe0 admin Read and write all groups
GroupMember.ReadWrite.All f81125ac-d3b7-4573-a3b2-7099cc39df9e admin Read and write group memberships
User.Read e1fe6dd8-ba31-4d61-89e7-88639da4683d user Sign in and read user profile
User.Read.All a154be20-db9c-4678-8ab7-66f6cc099a59 admin Read all users' full profiles and company properties
User.ReadWrite.All 204e0828-b5ca-4ad8-b9f3-f32a958e7cc4 admin Read and write all users' full profiles
Organization.Read.All 4908d5b9-3fb2-4b1e-9336-1888b7937185 admin Read organization information
Application.ReadWrite.All bdfbf15f-ee85-4955-8675-146e8e5296b5 admin Read and write all applications
AppRoleAssignment.ReadWrite.All 84bccea3-f856-4a8a-967b-dbe0a3d53a64 admin Manage app permission grants and app role assignments
DelegatedPermissionGrant.ReadWrite.All 41ce6ca6-6826-4807-84f1-1c82854f7ee5 admin Manage all delegated permission grants
Policy.Read.All 572fea84-0151-49b2-9301-11cb16974376 admin Read your organization's policies
Application.Read.All c79f8feb-a9db-4090-85f9-90d820caa0eb admin Read applications
Directory.Read.All 06da0dbc-49e2-44d2-8312-53f166ab848a admin Read directory data
Directory.ReadWrite.All c5366453-9fb0-48a5-a156-24f0c49a4b84 admin Read and write directory data
Directory.AccessAsUser.All 0e263e50-5827-48a4-b97c-d940288653c7 admin Access directory as the signed in user
Group.Read.All 5f8c59db-677d-491f-a6b8-5f174b11ec1d admin Read all groups
GroupMember.Read.All bc024368-1153-4739-b217-4326f2e966d0 admin Read group memberships
Group.ReadBasic.All ba1917bc-a64b-4c71-b66d-229d4a520e66 admin Read all groups' basic property
GroupMember.ReadBasic.All 28539367-358c-4ed9-b7f0-793eccb8fd34 admin Read group memberships
User.ReadBasic.All b340eb25-3456-403f-be2f-af7a0d370277 user Read all users' basic profiles
User.DeleteRestore.All 4bb440cd-2cf2-4f90-8004-aa2acd2537c5 admin Delete and restore user accounts
User.EnableDisableAccount.All f92e74e7-2563-467f-9dd0-902688cb5863 admin Enable and disable user accounts
User-PasswordProfile.ReadWrite.All 56760768-b641-451f-8906-e1b8ab31bca7 admin Update password profile property and reset password for all users
Policy.ReadWrite.ApplicationConfiguration b27add92-efb2-4f16-84f5-8108ba77985c admin Read and write your organization's application configuration policies
Policy.Read.PermissionGrant 414de6ea-2d92-462f-b120-6e2a809a6d01 admin Read consent and permission grant policies
Domain.Read.All 2f9ee017-59c1-4f1d-9472-bd5529a7b311 admin Read domains
openid 37f7f235-527c-4136-accd-4a02d197296e user Sign users in
profile 14dad69e-099b-42c9-810b-d002981feec1 user View users' basic profile
email 64a6cdd6-aab1-4aaf-94b8-3cc8405e90d0 user View users' email address
offline_access 7427e0e9-2fba-42fe-b0c0-848c9e6a8182 user Maintain access to data you have given it access to
"""

ROLES = tuple(Role(*line.split(maxsplit=2)) for line in _ROLES.splitlines())
SCOPES = tuple(
    Scope(value, id_, name, who == "admin")
    for value, id_, who, name in (line.split(maxsplit=3) for line in _SCOPES.splitlines())
)


@dataclass(frozen=True)
class Rule:
    """What a caller needs for one operation; ``_fields`` in the file says what each field means."""

    application: frozenset[str] = frozenset()
    owned: frozenset[str] = frozenset()
    delegated: frozenset[str] = frozenset()
    also: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    role_by_setting: bool = False
    owner_without_role: bool = False
    as_user: bool = True


def _field(value: list[str] | bool) -> Any:
    return value if isinstance(value, bool) else frozenset(value)


_TABLE: dict[str, Any] = json.loads(
    files("authentik_entra_bootstrap").joinpath("planning", "graph_permissions.json").read_bytes()
)
DIRECTORY_ROLES: dict[str, str] = _TABLE["directory_roles"]
"""Directory roles by display name, with the template ids that tokens carry as ``wids``."""
RULES = {
    name: Rule(**{key: _field(value) for key, value in entry.items()})
    for name, entry in _TABLE["operations"].items()
}
"""Operation to rule."""
