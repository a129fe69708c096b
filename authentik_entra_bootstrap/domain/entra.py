"""Entra ID's objects as this project sees them: immutable, times aware UTC, no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from authentik_entra_bootstrap.domain.connection import (
    AppId,
    AppObjectId,
    KeyId,
    PermissionKind,
    SecretText,
    ServicePrincipalObjectId,
    TenantId,
)


@dataclass(frozen=True)
class TokenClaims:
    """What a Microsoft Graph access token says about its bearer. Read, not validated: it is for Graph."""

    tenant_id: TenantId
    object_id: str
    app_id: AppId
    roles: frozenset[str] = frozenset()
    """Application permissions of an app-only token."""
    scopes: frozenset[str] = frozenset()
    """Delegated permissions of a token with a signed-in user."""
    directory_roles: frozenset[str] = frozenset()
    """Role template ids (``wids``) of a signed-in user."""
    user_principal_name: str | None = None

    @property
    def is_app_only(self) -> bool:
        """Whether the bearer is a service principal, not a person."""
        return self.user_principal_name is None and not self.scopes


@dataclass(frozen=True)
class Organization:
    """The tenant as Graph shows it."""

    tenant_id: TenantId
    display_name: str
    verified_domains: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Name and id; the id alone where the name could not be read."""
        named = self.display_name != self.tenant_id
        return f"{self.display_name} ({self.tenant_id})" if named else self.tenant_id


CLOCK_TOLERANCE = timedelta(minutes=10)


@dataclass(frozen=True)
class ClientSecret:
    """A passwordCredential as reads show it: everything but the text."""

    key_id: KeyId
    display_name: str | None
    hint: str | None
    """First three characters of the text."""
    start_date_time: datetime
    end_date_time: datetime

    def is_live(self, now: datetime) -> bool:
        """Whether the secret signs in at ``now``.

        The tenant's clock sets the start; a machine whose clock is a little behind must not take a secret that
        was just made for one that is not valid yet.
        """
        return self.start_date_time <= now + CLOCK_TOLERANCE and now < self.end_date_time

    @property
    def lifetime(self) -> timedelta:
        """Granted lifetime."""
        return self.end_date_time - self.start_date_time


@dataclass(frozen=True)
class NewClientSecret:
    """The reply to ``addPassword``: the only moment the text exists outside Entra."""

    record: ClientSecret
    secret_text: SecretText


@dataclass(frozen=True)
class PublicCertificate:
    """What leaves this machine of a key pair.

    :param key_id: made from the certificate itself, so that a key file is recognised among an application's keys.
    :param der: the certificate in DER.
    """

    key_id: KeyId
    der: bytes
    start_date_time: datetime
    end_date_time: datetime


@dataclass(frozen=True)
class KeyCredential:
    """A keyCredential as reads show it: everything but the key. Sent back as it is, an entry keeps its key."""

    key_id: KeyId
    display_name: str | None
    start_date_time: datetime
    end_date_time: datetime
    kind: str = "AsymmetricX509Cert"
    usage: str = "Verify"
    custom_key_identifier: str | None = None
    """Base64."""

    def is_live(self, now: datetime) -> bool:
        """Whether it has not ended; the start is the maker's clock and is not looked at."""
        return now < self.end_date_time


@dataclass(frozen=True)
class FederatedCredential:
    """A federated identity credential: tokens of this issuer and subject replace a certificate's signature."""

    name: str
    issuer: str
    subject: str
    audience: str


@dataclass(frozen=True)
class RequestedAccess:
    """One line of ``requiredResourceAccess`` for one resource: the list in the portal, not the grant."""

    resource_app_id: AppId
    permission_id: str
    kind: PermissionKind


@dataclass(frozen=True)
class Application:
    """An application (app registration)."""

    app_object_id: AppObjectId
    app_id: AppId
    display_name: str
    unique_name: str | None = None
    sign_in_audience: str | None = None
    tags: tuple[str, ...] = ()
    requested_access: frozenset[RequestedAccess] = frozenset()
    secrets: tuple[ClientSecret, ...] = ()
    redirect_uris: tuple[str, ...] = ()
    service_management_reference: str | None = None
    created_date_time: datetime | None = None
    enabled: bool = True
    """False where ``isDisabled`` keeps it from getting tokens."""
    certificates: tuple[str, ...] = ()
    """Display names (or key ids) of its keyCredentials."""
    keys: tuple[KeyCredential, ...] = ()
    """Its keyCredentials."""

    def key(self, key_id: KeyId | None) -> KeyCredential | None:
        """One of its keyCredentials."""
        return next((item for item in self.keys if item.key_id == key_id), None)


@dataclass(frozen=True)
class DeletedApplication:
    """An application in the tenant's deleted items: restorable for 30 days, its ``uniqueName`` stays taken."""

    app_object_id: AppObjectId
    app_id: AppId
    display_name: str
    unique_name: str | None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class ServicePrincipal:
    """An enterprise application; consent attaches here."""

    service_principal_object_id: ServicePrincipalObjectId
    app_id: AppId
    account_enabled: bool = True
    secrets: tuple[ClientSecret, ...] = ()
    """Its own passwordCredentials. They sign in as well, and the application does not list them."""


@dataclass(frozen=True)
class ResourcePrincipal:
    """A resource's service principal with the permissions it offers in this tenant, by value."""

    service_principal_object_id: ServicePrincipalObjectId
    app_id: AppId
    app_roles: Mapping[str, str]
    """Enabled app roles: value -> id."""
    scopes: Mapping[str, str]
    """Enabled delegated permissions: value -> id."""


@dataclass(frozen=True)
class AppRoleAssignment:
    """An application permission that was granted."""

    app_role_id: str
    principal_id: ServicePrincipalObjectId
    resource_id: ServicePrincipalObjectId


@dataclass(frozen=True)
class DelegatedGrant:
    """The oauth2PermissionGrant for all principals of one client on one resource."""

    grant_id: str
    client_id: ServicePrincipalObjectId
    resource_id: ServicePrincipalObjectId
    scopes: frozenset[str]


@dataclass(frozen=True)
class Granted:
    """The service principal of an application with what is granted to it; empty if it does not exist."""

    service_principal: ServicePrincipal | None = None
    role_assignments: tuple[AppRoleAssignment, ...] = ()
    delegated_grant: DelegatedGrant | None = None
    grants_readable: bool = True
    """Whether the operator may see delegated grants."""


@dataclass(frozen=True)
class SecretPolicy:
    """What the tenant's app management policy says of client secrets.

    ``known`` is false where the operator may not read policies: then the limits show when they bite.
    """

    known: bool = False
    addition_allowed: bool = True
    greatest_lifetime: timedelta | None = None


@dataclass(frozen=True)
class ApplicationSpec:
    """The application as we create it."""

    display_name: str
    unique_name: str
    tags: tuple[str, ...]
    requested_access: frozenset[RequestedAccess]
    owner_object_ids: tuple[str, ...]
    """Directory objects bound as owners in the create body; always contains the caller."""
    service_management_reference: str | None = None
    notes: str | None = None


@dataclass(frozen=True, slots=True)
class TenantUser:
    """An account of the tenant, or what a property mapping of authentik makes of a user: never with a password.

    :param mail_nickname: like the following fields, ``None`` where the operator may read only basic properties.
    :param on_premises: whether it is synchronised from an Active Directory.
    """

    object_id: str
    user_principal_name: str
    display_name: str = ""
    mail: str = ""
    mail_nickname: str | None = None
    account_enabled: bool | None = None
    immutable_id: str | None = None
    on_premises: bool | None = None


@dataclass(frozen=True, slots=True)
class TenantGroup:
    """A group of the tenant."""

    object_id: str
    display_name: str
    unique_name: str = ""
    mail_nickname: str = ""


@dataclass(frozen=True)
class TenantPeople:
    """The tenant's accounts and groups.

    :param basic: whether the operator may read only the basic properties of accounts (``User.ReadBasic.All``).
    """

    users: Sequence[TenantUser]
    groups: Sequence[TenantGroup]
    basic: bool = False
