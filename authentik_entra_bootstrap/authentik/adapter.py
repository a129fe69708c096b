"""Everything that speaks to authentik, behind :class:`~authentik_entra_bootstrap.ports.AuthentikPort`."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Self

from authentik_entra_bootstrap.authentik import records
from authentik_entra_bootstrap.authentik.accounts import Accounts
from authentik_entra_bootstrap.authentik.address import api_base
from authentik_entra_bootstrap.authentik.applications import Applications
from authentik_entra_bootstrap.authentik.audit import AuditTrail
from authentik_entra_bootstrap.authentik.blueprint_methods import BlueprintMethods
from authentik_entra_bootstrap.authentik.bodies import provider_body
from authentik_entra_bootstrap.authentik.directory import Directory
from authentik_entra_bootstrap.authentik.permission_names import VIEW_ANY_PROVIDER
from authentik_entra_bootstrap.authentik.permissions import Permissions
from authentik_entra_bootstrap.authentik.providers import ProviderCalls
from authentik_entra_bootstrap.authentik.removal import Removal
from authentik_entra_bootstrap.authentik.server import read_server
from authentik_entra_bootstrap.authentik.syncs import Syncs
from authentik_entra_bootstrap.authentik.transport import Api
from authentik_entra_bootstrap.authentik.wire import Call
from authentik_entra_bootstrap.domain import (
    AuthentikApplication,
    AuthentikUser,
    Dependent,
    LicenseInfo,
    Network,
    OwnEvent,
    PermissionCheck,
    Provider,
    ProviderChange,
    ProviderPk,
    ProviderSpec,
    ProvisioningScope,
    SecretText,
    ServerInfo,
    SyncStatus,
    TaskRecord,
    Written,
)
from authentik_entra_bootstrap.errors import Denied, NotFound
from authentik_entra_bootstrap.waiting import Waiter, http_date

if TYPE_CHECKING:
    from authentik_entra_bootstrap.ports import AuthentikPort


_PLAIN = re.compile(r"[\w .()-]+")
"""Names that authentik's search finds for certain: it looks for each word within the name."""


class AuthentikAdapter(BlueprintMethods):
    """authentik, as the owner of an API token. Every method is described by ``AuthentikPort``.

    An asynchronous context manager; the connections are closed at its end. The client library is synchronous:
    its calls run in threads, so that both services can be observed at the same time.

    :param url: authentik's address, with or without ``/api/v3``, also below a sub-path.
    :param token: API token (intent “API token”).
    :param network: CA file, proxy, timeouts, user agent.
    :param waiter: clock, sleep and randomness of every retry.
    :param allow_http: accept an ``http://`` address of another machine.
    :raises ConfigError: ``authentik-url-invalid``, ``authentik-url-insecure``, ``authentik-token-malformed``.
    """

    def __init__(
        self,
        url: str,
        token: SecretText,
        network: Network,
        waiter: Waiter,
        *,
        allow_http: bool = False,
    ) -> None:
        self._api = Api(api_base(url, allow_http=allow_http), token, network, waiter)
        self._audit = AuditTrail(self._api)
        self._providers = ProviderCalls(self._api, self._audit)
        self._applications = Applications(self._api, self._audit)
        self._directory = Directory(self._api)
        self._removal = Removal(self._api)
        self._syncs = Syncs(self._api)
        self._permissions = Permissions(self._api)
        self.accounts = Accounts(self._api)
        """Roles, service accounts and tokens. See ``AuthentikAccounts``."""
        self._info: ServerInfo | None = None
        self._reading: asyncio.Future[ServerInfo] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._api.close()

    async def server(self) -> ServerInfo:
        """Version and shape, read anew."""
        self._reading = asyncio.ensure_future(read_server(self._api))
        self._info = await self._reading
        return self._info

    async def service_time(self) -> datetime | None:
        """authentik's time; any answer tells it."""
        reply = await self._api.exchange(Call("GET", "/root/config/"))
        return http_date(reply.headers.get("date"))

    async def license(self) -> LicenseInfo:
        """The licence's summary, past authentik's own cache."""
        reply = await self._api.get("/enterprise/license/summary/", query=(("cached", "false"),))
        return self._api.read(reply, records.license_info)

    async def me(self) -> AuthentikUser:
        """Whom the token belongs to."""
        return self._api.read(await self._api.get("/core/users/me/"), records.user)

    async def permissions(self, purpose: str) -> tuple[PermissionCheck, ...]:
        """Each permission that a purpose needs; nothing is changed."""
        return await self._permissions.check(purpose)

    async def default_mappings(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """authentik's managed mappings: (users, groups)."""
        return await self._directory.default_mappings()

    async def mappings_by_name(self, names: Sequence[str]) -> Mapping[str, str]:
        """name -> pk; unknown names are left out."""
        return await self._directory.mappings_by_name(names)

    async def find_provider(self, name: str) -> Provider | None:
        """The provider of exactly that name."""
        return await self._providers.named(name)

    async def provider(self, pk: ProviderPk) -> Provider | None:
        """The provider by primary key."""
        return await self._providers.get(pk)

    async def providers(self) -> tuple[Provider, ...]:
        """Every Microsoft Entra provider."""
        return await self._providers.all()

    async def provider_name_holder(self, name: str) -> str | None:
        """Verbose type of any provider of that name.

        A token that may not see the other types is told only of Microsoft Entra providers.
        """
        try:
            holders = await self._holders(name, search=True)
            if not holders and not _PLAIN.fullmatch(name):
                # The search takes quotes and commas for its own.
                holders = await self._holders(name, search=False)
        except Denied as error:
            if error.code != "authentik-permission-missing":
                raise
            found = await self._providers.named(name)
            return "Microsoft Entra Provider" if found else None
        return holders[0] if holders else None

    async def create_provider(self, spec: ProviderSpec, secret: SecretText) -> Written[Provider]:
        """Create the provider with its secret.

        :raises ConfigError: ``authentik-option-unsupported``, see :func:`unsupported_fields`.
        """
        info = await self._known_server()
        return await self._providers.post(provider_body(spec, info), {"client_secret": secret})

    async def update_provider(
        self, pk: ProviderPk, changes: Mapping[str, object], secret: SecretText | None = None
    ) -> Written[Provider]:
        """Change fields and, where given, the secret.

        :raises NotFound: no such provider.
        """
        info = await self._known_server()
        body = provider_body(changes, info)
        return await self._providers.patch(pk, body, {"client_secret": secret} if secret is not None else {})

    async def find_application(self, slug: str) -> AuthentikApplication | None:
        """The application by slug."""
        return await self._applications.get(slug)

    async def create_application(
        self, *, slug: str, name: str, backchannel_provider_pks: Sequence[int], launch_url: str | None
    ) -> Written[AuthentikApplication]:
        """Create the application with its backchannel providers."""
        return await self._applications.create(slug, name, backchannel_provider_pks, launch_url)

    async def set_backchannel_providers(self, slug: str, pks: Sequence[int]) -> Written[AuthentikApplication]:
        """Replace the application's backchannel providers."""
        return await self._applications.set_backchannel_providers(slug, pks)

    async def provider_dependents(self, pk: ProviderPk) -> tuple[Dependent, ...]:
        """What hangs from the provider, by authentik's own list."""
        return await self._removal.provider_dependents(pk)

    async def application_dependents(self, application: AuthentikApplication) -> tuple[Dependent, ...]:
        """What hangs from the application, by authentik's own list."""
        return await self._removal.application_dependents(application)

    async def application_bindings(self, application: AuthentikApplication) -> int | None:
        """Number of its policy bindings; ``None`` where the token may not look."""
        return await self._removal.bindings(application)

    async def delete_provider(self, pk: ProviderPk) -> bool:
        """Delete the provider; ``False`` when there was none."""
        return await self._removal.delete_provider(pk)

    async def delete_application(self, application: AuthentikApplication) -> bool:
        """Delete the application with its backchannel providers; ``False`` when there was none."""
        return await self._removal.delete_application(application)

    async def find_group(self, name: str) -> str | None:
        """Primary key of the group of exactly that name."""
        return await self._directory.group_named(name)

    async def provisioning_scope(
        self, *, filter_group: str | None, exclude_service_accounts: bool
    ) -> ProvisioningScope:
        """Count what a full sync would provision.

        :param filter_group: primary key of the filter group.
        """
        return await self._directory.scope(filter_group, exclude_service_accounts=exclude_service_accounts)

    async def start_sync(
        self, pk: ProviderPk, changes: Mapping[str, object] | None = None
    ) -> Written[Provider]:
        """Save the provider, which starts a full sync when it is assigned to an application."""
        return await self.update_provider(pk, changes or {})

    async def request_proof(self, pk: ProviderPk, probe_id: int) -> str | None:
        """Make authentik sign in with the secret that it stores."""
        return await self._syncs.request_proof(pk, probe_id)

    async def proof_task(self, pk: ProviderPk, provider_name: str, probe_id: int) -> TaskRecord | None:
        """The task that a proof started."""
        return await self._syncs.proof_task(pk, provider_name, probe_id)

    async def sync_tasks(self, pk: ProviderPk) -> tuple[TaskRecord, ...]:
        """The newest tasks of the provider, newest first."""
        return tuple(await self._syncs.newest_tasks(pk))

    async def scheduled_tasks(self, provider_name: str) -> tuple[TaskRecord, ...]:
        """The newest page syncs of a provider, whoever started them."""
        return tuple(await self._syncs.scheduled_tasks(provider_name))

    async def sync_status(self, pk: ProviderPk) -> SyncStatus:
        """authentik's own view of its last sync."""
        return await self._syncs.status(pk)

    async def last_change(self, pk: ProviderPk) -> ProviderChange | None:
        """The newest event that created or changed the provider."""
        return await self._audit.provider_change(pk)

    async def provisioned_users(self, pk: ProviderPk) -> tuple[str, ...]:
        """User principal names of the provider's connections."""
        return await self._syncs.provisioned_users(pk)

    async def emit_event(self, action: str, context: Mapping[str, object]) -> None:
        """Write an audit event, best effort."""
        await self._audit.emit(action, context)

    async def own_events(self, connection: str) -> tuple[OwnEvent, ...]:
        """The newest events of our own about a connection."""
        return await self._audit.own(connection)

    async def _known_server(self) -> ServerInfo:
        if self._info is not None:
            return self._info
        reading = self._reading
        if reading is not None and not (reading.done() and (reading.cancelled() or reading.exception())):
            # Asked side by side with what needs it: read once. Who began it tells of its failure, too.
            return await asyncio.shield(reading)
        return await self.server()

    async def _holders(self, name: str, *, search: bool) -> list[str]:
        """Verbose types of the providers of that name; the search may miss names with unusual characters."""

        def holder(body: object) -> str | None:
            fields = records.mapping(body)
            if fields.get("name") != name:
                return None
            return records.text(fields, "verbose_name") or "provider"

        try:
            found = await self._api.pages(
                "/providers/all/",
                holder,
                permission=VIEW_ANY_PROVIDER,
                query=(("search", name),) if search else (),
                done=lambda entry: entry is not None,
            )
        except NotFound:
            return []
        return [entry for entry in found if entry]


def _is_a_port(adapter: AuthentikAdapter) -> AuthentikPort:
    """Checked by mypy: the adapter has every method of the port."""
    return adapter
