"""A connection in plain values: ids, secrets, clouds, the network, and what one connection should be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any, Generic, NewType, NoReturn, TypeVar
from urllib.parse import urlencode

from authentik_entra_bootstrap.domain.times import MaintenanceWindow

T = TypeVar("T")

TenantId = NewType("TenantId", str)
AppId = NewType("AppId", str)
"""Application (client) ID: what authentik calls ``client_id``."""
AppObjectId = NewType("AppObjectId", str)
"""Object id of the application (app registration); never the same as its :data:`AppId`."""
ServicePrincipalObjectId = NewType("ServicePrincipalObjectId", str)
KeyId = NewType("KeyId", str)
ProviderPk = NewType("ProviderPk", int)

MICROSOFT_GRAPH_APP_ID = AppId("00000003-0000-0000-c000-000000000000")
"""The same in every cloud; its service principal's object id differs per tenant."""


class SecretText:
    """The text of a secret: kept in memory, shown as ``***``, never pickled, printed or compared by repr.

    ``reveal()`` is the only way out, so that every use can be found by searching for it.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the one request that needs it."""
        return self._text

    def __repr__(self) -> str:
        return "SecretText(***)"

    def __str__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretText) and other._text == self._text

    def __hash__(self) -> int:
        return hash((SecretText, self._text))

    def __bool__(self) -> bool:
        return bool(self._text)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret must not leave the process")


class PermissionKind(StrEnum):
    """``Role``: application permission (app role). ``Scope``: delegated permission."""

    ROLE = "Role"
    SCOPE = "Scope"


@dataclass(frozen=True)
class Cloud:
    """One Microsoft cloud. Sources: Entra documentation, "National clouds"; go-azure-sdk environments."""

    name: str
    authority: str
    graph: str
    """Origin of Microsoft Graph, without the version."""
    portal: str
    known: bool = True
    """Whether Microsoft's instance discovery knows the authority."""

    @property
    def discovers(self) -> bool:
        """Whether the sign-in may ask instance discovery: at the global authority alone.

        It only confirms what the settings say, and releases of MSAL ask the global host about every other
        authority, which the networks of national clouds need not reach.
        """
        return self.known and self.authority == CLOUDS["global"].authority

    @property
    def graph_scope(self) -> str:
        """The scope to ask the token service for."""
        return f"{self.graph}/.default"

    def application_page(self, app_id: AppId) -> str:
        """The application in the Microsoft Entra admin center."""
        return (
            f"{self.portal}/#view/Microsoft_AAD_RegisteredApps/ApplicationMenuBlade/~/Overview/appId/{app_id}"
        )

    def consent_page(self, tenant_id: TenantId, app_id: AppId) -> str:
        """Where an administrator grants what the application lists (v1 admin consent endpoint)."""
        return f"{self.authority}/{tenant_id}/adminconsent?{urlencode({'client_id': app_id})}"


CLOUDS: Mapping[str, Cloud] = {
    cloud.name: cloud
    for cloud in (
        Cloud(
            "global",
            "https://login.microsoftonline.com",
            "https://graph.microsoft.com",
            "https://entra.microsoft.com",
        ),
        Cloud(
            "usgov",
            "https://login.microsoftonline.us",
            "https://graph.microsoft.us",
            "https://entra.microsoft.us",
        ),
        Cloud(
            "usgov-dod",
            "https://login.microsoftonline.us",
            "https://dod-graph.microsoft.us",
            "https://entra.microsoft.us",
        ),
        Cloud(
            "china",
            "https://login.partner.microsoftonline.cn",
            "https://microsoftgraph.chinacloudapi.cn",
            "https://entra.microsoftonline.cn",
        ),
    )
}


AUTHORITY_CLOUDS: Mapping[str, tuple[str, ...]] = {
    "login.microsoftonline.com": ("global",),
    "login.microsoft.com": ("global",),
    "login.windows.net": ("global",),
    "login.microsoftonline.us": ("usgov", "usgov-dod"),
    "login.partner.microsoftonline.cn": ("china",),
    "login.chinacloudapi.cn": ("china",),
}
"""Host of a token service -> clouds that it serves, the one first that is meant when nothing says more. Sources:
Entra documentation, "National clouds"; MSAL's list of well-known hosts; azure-identity's AzureAuthorityHosts."""


@dataclass(frozen=True)
class Written(Generic[T]):
    """The result of a write and the request id under which authentik's audit trail shows it."""

    value: T
    request_id: str | None = field(default=None)


USER_AGENT = "authentik-entra-bootstrap"
"""What this program's requests begin their user agent with; authentik keeps it in its audit trail."""


@dataclass(frozen=True)
class Network:
    """How both services are reached. One setting for every library underneath.

    :param ca_file: PEM file with the CAs to trust instead of the system's, or ``None``.
    :param proxy: URL of an HTTP(S) proxy for both sides; ``None`` leaves ``HTTPS_PROXY``, ``HTTP_PROXY`` and
        ``NO_PROXY`` in force.
    :param connect_timeout: seconds.
    :param read_timeout: seconds.
    :param user_agent: sent to both services.
    :param allow_plain_http: speak to authentik without TLS although it is not on this machine.
    """

    ca_file: str | None = None
    proxy: str | None = field(default=None, repr=False)
    connect_timeout: float = 10.0
    read_timeout: float = 40.0
    user_agent: str = USER_AGENT
    allow_plain_http: bool = False


INTERACTIVE_LOGINS = frozenset({"browser", "device-code"})
"""Values of the setting ``login`` that need a person."""


@dataclass(frozen=True)
class OperatorIdentity:
    """An application as which the operator signs in, where the environment's is not the right one.

    :param secret_file: file that holds its client secret.
    :param certificate_file: PEM or PKCS12 file with certificate and private key; preferred to a secret.
    :param certificate_password_file: file that holds the password of its private key, where it has one.
    """

    app_id: AppId
    secret_file: str | None = None
    certificate_file: str | None = None
    certificate_password_file: str | None = None


DEFAULT_PERMISSIONS = (
    "Group.Create",
    "Group.ReadWrite.All",
    "GroupMember.ReadWrite.All",
    "User.Read",
    "User.ReadWrite.All",
)
"""The five permissions of authentik's documentation, by name."""

PROVIDER_OPTIONS = (
    "exclude_users_service_account",
    "user_delete_action",
    "group_delete_action",
    "dry_run",
    "sync_page_size",
    "sync_page_timeout",
    "discovery_enabled",
)
"""Fields of the provider that are left to the server where no setting names them."""


@dataclass(frozen=True)
class Renewal:
    """When a client secret is replaced.

    :param spread_by: text that decides the connection's place in the spread; empty for none.
    :param renew_before: how long before its end, or ``None`` for two thirds into the granted lifetime.
    :param window: wait for it, unless the secret would end before.
    """

    spread_by: str = ""
    renew_before: timedelta | None = None
    window: MaintenanceWindow | None = None


@dataclass(frozen=True)
class Desired:
    """One tenant's application, one authentik provider, its authentik application.

    :param connection: the connection's name; letters, digits, ``-``, ``_`` and ``.`` only.
    :param tenant_id: the wanted tenant, or ``None`` to take the one the operator signs in to.
    :param application_name: display name of the application in Entra.
    :param unique_name: its ``uniqueName``, by which every later run finds it.
    :param permissions: Microsoft Graph permissions by name.
    :param secret_lifetime: asked lifetime of a client secret; the tenant's policy may shorten it.
    :param overlap: how long a replaced secret stays valid at the most; short lifetimes shorten it.
    :param renew_before: how long before its end a secret is replaced, or ``None`` for two thirds into its lifetime.
    :param maintenance_window: when secrets are replaced, or ``None`` for any time.
    :param user_mappings: names of property mappings. ``None``, as for every field of the provider below: an existing
        provider keeps what it has, a new one gets authentik's default.
    :param filter_group: name of the group whose members alone are provisioned; ``""`` for no filter.
    :param adopt: client id of an existing application to take over in this run.
    :param explicit_names: settings for names that were set by a person (``application_name``, ``provider_name``,
        ``authentik_application_slug``): only those rename what exists.
    :param dry_run: authentik's own dry run: it signs in and reads, and writes nothing to the tenant.
    """

    connection: str
    tenant_id: TenantId | None
    application_name: str
    unique_name: str
    permissions: tuple[str, ...]
    secret_lifetime: timedelta
    overlap: timedelta
    provider_name: str
    authentik_application_name: str
    authentik_application_slug: str
    service_management_reference: str | None = None
    user_mappings: tuple[str, ...] | None = None
    group_mappings: tuple[str, ...] | None = None
    filter_group: str | None = None
    exclude_service_accounts: bool | None = None
    user_delete_action: str | None = None
    group_delete_action: str | None = None
    sync_page_size: int | None = None
    sync_page_timeout: str | None = None
    discovery_enabled: bool | None = None
    dry_run: bool | None = None
    adopt: AppId | None = None
    explicit_names: frozenset[str] = frozenset()
    renew_before: timedelta | None = None
    maintenance_window: MaintenanceWindow | None = None

    @property
    def renewal(self) -> Renewal:
        """When this connection's client secrets are replaced."""
        return Renewal(self.connection, self.renew_before, self.maintenance_window)

    @property
    def provider_options(self) -> dict[str, Any]:
        """The settings of :data:`PROVIDER_OPTIONS` by the provider's field; ``None`` for one that is not set."""
        renamed = {"exclude_users_service_account": "exclude_service_accounts"}
        return {field: getattr(self, renamed.get(field, field)) for field in PROVIDER_OPTIONS}
