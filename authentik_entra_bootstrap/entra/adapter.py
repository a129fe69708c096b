"""The tenant behind :class:`~authentik_entra_bootstrap.entra.EntraPort`.

Heavy (azure-identity, httpx, msgraph; half a second): imported when a session opens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import httpx
from azure.core.credentials import AccessToken, TokenCredential
from azure.core.credentials_async import AsyncTokenCredential
from azure.identity.aio import CertificateCredential, ClientAssertionCredential, ClientSecretCredential

from authentik_entra_bootstrap.domain import (
    AppId,
    Cloud,
    Network,
    OperatorIdentity,
    Organization,
    SecretText,
    TenantGroup,
    TenantId,
    TenantPeople,
    TenantUser,
    TokenClaims,
)
from authentik_entra_bootstrap.entra import EntraIdentities, EntraPort, operations
from authentik_entra_bootstrap.entra.applications import LISTING_PAGE, Applications, Tenant
from authentik_entra_bootstrap.entra.credentials import Credentials
from authentik_entra_bootstrap.entra.error_codes import fault
from authentik_entra_bootstrap.entra.graph import Graph, Query, Target, checked_guid
from authentik_entra_bootstrap.entra.http_client import TokenService, http_client
from authentik_entra_bootstrap.entra.operations import Operation
from authentik_entra_bootstrap.entra.records import Json, read_claims, text_of
from authentik_entra_bootstrap.entra.service_principals import ServicePrincipals
from authentik_entra_bootstrap.entra.sign_in import OneToken, OperatorTokens, find_tenant, fresh_token
from authentik_entra_bootstrap.entra.token_errors import Identity, SignIn
from authentik_entra_bootstrap.errors import BootstrapError, Denied
from authentik_entra_bootstrap.support.network import REQUEST_DEADLINE, with_trust
from authentik_entra_bootstrap.support.waiting import Waiter, result

T = TypeVar("T")

LIST_DEADLINE = 600.0
"""Seconds to read all of a list: 50,000 accounts are 51 pages."""
BASIC = ("id", "userPrincipalName", "displayName", "mail")
"""What ``User.ReadBasic.All`` shows of an account."""
FURTHER = ("mailNickname", "accountEnabled", "onPremisesImmutableId", "onPremisesSyncEnabled")
GROUP_PROPERTIES = ("id", "displayName", "uniqueName", "mailNickname")


class EntraAdapter(Tenant, Applications, ServicePrincipals, Credentials):
    """Entra ID and Microsoft Graph as the operator identity: implements ``EntraPort`` and ``EntraIdentities``.

    Use it as an async context manager, within one event loop.

    :param tenant_id: the wanted tenant; ``None`` takes the one that the operator is signed in to.
    :param cloud: authority and Graph; ``AZURE_AUTHORITY_HOST`` is resolved into it by the caller.
    :param network: CA, proxy and timeouts, for both libraries underneath.
    :param waiter: clock, sleep and budgets of every retry; the libraries' own retries are off.
    :param login: how the operator signs in: a key of :data:`~.logins.LOGINS`.
    :param announce: shows one line to the person who signs in (device code).
    :param credential: an azure-identity credential, synchronous or not, instead of ``login``; its owner closes it.
    :param operator: an application to sign in as instead of ``login``, with its secret or certificate in a file.
    :param transport: replaces the network under Microsoft Graph; its owner closes it.
    :raises ConfigError: ``entra-login-unknown``, ``ca-file-unreadable``; on entering ``operator-credential-unusable``.
    """

    def __init__(
        self,
        tenant_id: TenantId | None,
        cloud: Cloud,
        network: Network,
        waiter: Waiter,
        login: str = "default",
        announce: Callable[[str], None] = lambda _: None,
        *,
        credential: TokenCredential | AsyncTokenCredential | None = None,
        operator: OperatorIdentity | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        network = with_trust(network)
        deadline = REQUEST_DEADLINE * waiter.scale
        self._tenant_id = tenant_id
        self._waiter = waiter
        self._service = TokenService(cloud, network, deadline)
        self._http = http_client(cloud.graph, network, deadline, transport=transport)
        self._tokens = OperatorTokens(
            self._service,
            waiter,
            login=login,
            tenant_id=tenant_id,
            announce=announce,
            credential=credential,
            operator=operator,
        )

    async def __aenter__(self) -> Self:
        self._tokens.check()
        self._opened = Graph(self._http, self._service, self._tokens, self._waiter)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._opened = None
        await self._tokens.close()
        await self._http.aclose()

    async def operator(self) -> TokenClaims:
        """Sign in and tell who we are; see ``EntraPort``."""
        return await self._tokens.claims()

    async def find_tenant(self, name: str) -> TenantId:
        """The id of a tenant by its id or one of its verified domains. It needs no sign-in.

        :raises Denied: ``tenant-not-found``.
        """
        return await find_tenant(self._service, self._waiter, name)

    async def service_time(self) -> datetime | None:
        """Microsoft's time; see ``EntraPort``."""
        return await self._graph.service_time()

    async def people(self, seen: Callable[[str, int], None]) -> TenantPeople:
        """Every account and group; see ``EntraPort``."""
        target = Target("the tenant's groups", lambda graph: graph.groups)
        groups_seen = partial(seen, "groups of the tenant")
        accounts, groups = await asyncio.gather(
            self._accounts(partial(seen, "accounts of the tenant")),
            self._list(operations.READ_GROUPS, target, GROUP_PROPERTIES, _group, groups_seen),
            return_exceptions=True,
        )
        users, basic = result(accounts)
        return TenantPeople(users, result(groups), basic)

    async def _accounts(self, seen: Callable[[int], None]) -> tuple[list[TenantUser], bool]:
        """The accounts, and whether only their basic properties could be read."""

        async def read(*further: str) -> list[TenantUser]:
            target = Target("the tenant's users", lambda graph: graph.users)
            parse = partial(_account, full=bool(further))
            return await self._list(operations.READ_USERS, target, (*BASIC, *further), parse, seen)

        try:
            found = await read(*FURTHER)
        except Denied as error:
            if error.code != "entra-permission-missing":
                raise
        else:
            if not found or any(account.account_enabled is not None for account in found):
                return found, False
        # With User.ReadBasic.All alone the other properties are refused, or null.
        return await read(), True

    async def _list(
        self,
        operation: Operation,
        target: Target,
        properties: Sequence[str],
        parse: Callable[[Json], T],
        seen: Callable[[int], None],
    ) -> list[T]:
        """A list by pages of the largest size. Passwords and the like are never asked for."""
        found: list[T] = []

        def keep(page: list[Json]) -> bool:
            found.extend(map(parse, page))
            seen(len(found))
            return False

        query = Query(select=list(properties), top=LISTING_PAGE)
        await self._graph.pages(operation, target, query=query, each=keep, limit=LIST_DEADLINE)
        return found

    async def has_member(self, group: str, among: Collection[str]) -> bool:
        """Whether one of these objects is a member; reading ends at the first page that shows it."""
        key = checked_guid(group)
        target = Target(f"the group {key}", lambda graph: graph.groups.by_group_id(key).members)
        found = False

        def look(page: list[Json]) -> bool:
            nonlocal found
            found = any(item.get("id") in among for item in page)
            return found

        query = Query(select=["id"], top=LISTING_PAGE)
        await self._graph.pages(operations.READ_MEMBERS, target, query=query, each=look, limit=LIST_DEADLINE)
        return found

    async def sign_in_as(self, app_id: AppId, secret: SecretText) -> SignedIn:
        """One uncached client-credentials sign-in with the secret; see ``EntraPort``."""
        token = await self._fresh_token("sync", app_id, ClientSecretCredential, client_secret=secret.reveal())
        bearer = OneToken(token)
        return SignedIn(bearer.known_claims, Graph(self._http, self._service, bearer, self._waiter))

    async def sign_in_with_certificate(self, app_id: AppId, pem: SecretText) -> TokenClaims:
        """One uncached sign-in with a private key and its certificate; see ``EntraIdentities``."""
        data = pem.reveal().encode()
        token = await self._fresh_token("operator", app_id, CertificateCredential, certificate_data=data)
        return read_claims(token.token)

    async def sign_in_with_assertion(self, app_id: AppId, assertion: SecretText) -> TokenClaims:
        """One uncached sign-in with a federated identity's token; see ``EntraIdentities``."""
        token = await self._fresh_token("operator", app_id, ClientAssertionCredential, func=assertion.reveal)
        return read_claims(token.token)

    async def _fresh_token(
        self, identity: Identity, app_id: AppId, kind: Callable[..., Any], **proof: object
    ) -> AccessToken:
        client_id = checked_guid(app_id, "client id")
        tenant = self._tenant_id or (await self.operator()).tenant_id
        who = SignIn(identity, tenant, client_id)
        make = partial(kind, tenant_id=tenant, client_id=client_id, **proof)
        return await fresh_token(self._service, self._waiter, who, make)


def _account(item: Json, *, full: bool) -> TenantUser:
    """An account. With ``full=False``, properties that were not requested are ``None``."""
    enabled = item.get("accountEnabled")
    return TenantUser(
        text_of(item, "id"),
        text_of(item, "userPrincipalName"),
        text_of(item, "displayName"),
        text_of(item, "mail"),
        text_of(item, "mailNickname") if full else None,
        enabled if isinstance(enabled, bool) else None,
        text_of(item, "onPremisesImmutableId") if full else None,
        item.get("onPremisesSyncEnabled") is True,
    )


def _group(item: Json) -> TenantGroup:
    names: list[str] = [text_of(item, name) for name in GROUP_PROPERTIES]
    return TenantGroup(*names)


class SignedIn(Tenant):
    """One fresh sign-in of the sync identity."""

    def __init__(self, claims: TokenClaims, graph: Graph) -> None:
        self.claims = claims
        self._opened = graph

    async def organization(self) -> Organization:
        """``GET /organization`` with this token.

        :raises Denied: ``sync-permission-missing``, also while a new grant is not effective everywhere.
        """
        failure: BootstrapError
        try:
            return await super().organization()
        except Denied as error:
            if error.code not in {"entra-permission-missing", "operator-token-refused"}:
                raise
            app_id = self.claims.app_id
            failure = fault(
                "sync-permission-missing", trace=error.trace, app_id=app_id, facts={"app_id": app_id}
            )
        raise failure


if TYPE_CHECKING:

    def _implements(adapter: EntraAdapter) -> tuple[EntraPort, EntraIdentities]:
        """Checked by mypy alone: every method has the ports' signatures."""
        return adapter, adapter
