"""What was read of the rotator. Its application remembers by tags, as the connections' applications do."""

from __future__ import annotations

from dataclasses import dataclass

from authentik_entra_bootstrap.domain import (
    AppId,
    Application,
    AppRoleAssignment,
    DeletedApplication,
    FederatedCredential,
    KeyCredential,
    KeyId,
    ResourcePrincipal,
    ServicePrincipal,
    TenantId,
    TokenClaims,
)
from authentik_entra_bootstrap.domain.application_tags import ApplicationTags, read_tags

UNIQUE_NAME = "authentik-entra-rotator"
DISPLAY_NAME = "authentik-entra rotator"
TAG = "authentik-entra:rotator"
"""Marks the rotator's application, besides the tags of every application that this tool creates."""
ROLE = "Application.ReadWrite.OwnedBy"


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
        return read_tags(self.application.tags) if self.application else ApplicationTags()

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

    def key(self, key_id: KeyId | None) -> KeyCredential | None:
        """One of its certificates."""
        keys = self.application.keys if self.application else ()
        return next((item for item in keys if item.key_id == key_id), None)

    @property
    def current(self) -> KeyCredential | None:
        """The proven certificate, where it is still registered."""
        return self.key(self.tags.current.key_id) if self.tags.current else None

    def is_current(self, key_id: KeyId) -> bool:
        """Whether a certificate is registered and remembered as the proven one."""
        return self.current is not None and self.current.key_id == key_id
