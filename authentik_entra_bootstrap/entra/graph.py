"""Requests to Microsoft Graph: msgraph-sdk's request builders on one HTTP client, repeated in one place.

Heavy (httpx, kiota, msgraph).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import httpx
from kiota_abstractions.base_request_configuration import RequestConfiguration
from kiota_abstractions.headers_collection import HeadersCollection
from kiota_abstractions.native_response_handler import NativeResponseHandler
from kiota_authentication_azure.azure_identity_authentication_provider import (
    AzureIdentityAuthenticationProvider,
)
from kiota_http.middleware.options import ResponseHandlerOption
from msgraph.graph_request_adapter import GraphRequestAdapter
from msgraph.graph_service_client import GraphServiceClient

from authentik_entra_bootstrap.domain import AppObjectId, ServicePrincipalObjectId
from authentik_entra_bootstrap.domain.times import http_date
from authentik_entra_bootstrap.entra.error_codes import GRAPH, fault
from authentik_entra_bootstrap.entra.http_client import TokenService, connection_fault
from authentik_entra_bootstrap.entra.operations import Operation, graph_fault, not_replicated
from authentik_entra_bootstrap.entra.records import Json, answered
from authentik_entra_bootstrap.entra.sign_in import OneToken, OperatorTokens
from authentik_entra_bootstrap.errors import BootstrapError, Denied, RequestTrace, Unreachable
from authentik_entra_bootstrap.support.network import PAGES_LIMIT, REQUEST_DEADLINE
from authentik_entra_bootstrap.support.waiting import (
    FIRST_CONTACT,
    REPLICATION,
    Backoff,
    Condition,
    Waiter,
    is_transient,
)

_GUID = re.compile(r" [0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
"""Left out of what people read while they wait; errors name the object."""
_OWNERSHIP = Backoff(budget=60.0, first=0.5, factor=1.5, ceiling=5.0)
"""For 403 on an object made a moment ago (HMCTS API marketplace, 2026-10); short, because it may also be true."""


# --- addresses of requests

# The SDK escapes neither quotes nor slashes in the keys of an address, so they are checked here.


def as_guid(value: str, what: str) -> UUID:
    """A GUID as the SDK's models want it.

    :param what: which id it is, for people.
    :raises ConfigError: ``id-invalid``.
    """
    try:
        return UUID(value)
    except ValueError:
        pass
    raise fault("id-invalid", what=what, value=value)


def checked_guid(value: str, what: str = "object id") -> str:
    """A GUID in its usual form; see :func:`as_guid`."""
    return str(as_guid(value, what))


Builder = Callable[[Any], Any]
"""Gives the request builder of an address from a ``GraphServiceClient``."""


@dataclass(frozen=True)
class Target:
    """What a request is about.

    :param what: the object, for people.
    """

    what: str
    build: Builder

    def at(self, part: Callable[[Any], Any]) -> Target:
        """The address of a part of it, or of an action on it."""
        return Target(self.what, lambda graph: part(self.build(graph)))


def application_target(app_object_id: AppObjectId) -> Target:
    """An application by its object id."""
    key = checked_guid(app_object_id)
    return Target(f"the application {key}", lambda graph: graph.applications.by_application_id(key))


def principal_target(principal: ServicePrincipalObjectId) -> Target:
    """A service principal by its object id."""
    key = checked_guid(principal)
    return Target(
        f"the service principal {key}", lambda graph: graph.service_principals.by_service_principal_id(key)
    )


# --- requests


@dataclass
class Query:
    """``$select``, ``$filter`` and ``$top`` for any request builder.

    The builders' own query classes differ only in which parameters they take.
    """

    select: list[str] | None = None
    filter: str | None = None
    top: int | None = None

    def get_query_parameter(self, original_name: str) -> str:
        """The parameter's name on the wire, as kiota asks for it."""
        return f"%24{original_name}"


class Graph:
    """Requests to Microsoft Graph as one bearer: sent, retried, and answered with JSON or our errors.

    :param http: the client, without redirects and retries; its owner closes it.
    :param service: the cloud, and how this machine reaches it.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        service: TokenService,
        bearer: OperatorTokens | OneToken,
        waiter: Waiter,
    ) -> None:
        cloud = service.cloud
        self._network = service.network
        self._http = http
        self.base_url = f"{cloud.graph.rstrip('/')}/v1.0"
        self.bearer = bearer
        self.waiter = waiter
        provider = AzureIdentityAuthenticationProvider(
            bearer,  # type: ignore[arg-type]  # kiota needs get_token alone
            scopes=[cloud.graph_scope],
            allowed_hosts=[urlsplit(cloud.graph).hostname or ""],
        )
        self._adapter = GraphRequestAdapter(provider, http)
        # Without this kiota would put two slashes before the path.
        self._adapter.base_url = self.base_url
        self._youngest = -math.inf
        self._reached = False

    def note_creation(self, age: float = 0.0) -> None:
        """An application or service principal of this run was created so many seconds ago.

        A replica may not know it yet.
        """
        self._youngest = max(self._youngest, self.waiter.monotonic() - age)

    def _just_created(self, backoff: Backoff) -> bool:
        return self.waiter.monotonic() - self._youngest < backoff.budget * self.waiter.scale

    async def call(
        self,
        operation: Operation,
        method: str,
        target: Target,
        body: object = None,
        *,
        exists: bool = False,
        maybe_new: bool = False,
        query: Query | None = None,
        when: Callable[[BaseException], bool] = is_transient,
    ) -> Json:
        """Send one request, and repeat it on temporary errors.

        :param method: of the request builder: ``get``, ``post``, ``patch`` or ``delete``.
        :param body: the SDK's model of it.
        :param exists: whether the object is known to exist. If this run created it, a 404 then means that a
            replica lags behind, and so may a 403 about ownership.
        :param maybe_new: whether the object may be new although this run has not seen it created.
        :param when: which further errors allow another try.
        :returns: the JSON body, or an empty one. Only a ``get`` must have a body.
        :raises BootstrapError: also for every exception of the SDK.
        """

        def unreached(error: BaseException) -> bool:
            return isinstance(error, Unreachable) and not error.sent and not self._reached and when(error)

        def owner_unknown(error: BaseException) -> bool:
            refused = isinstance(error, Denied) and error.code == "entra-permission-missing"
            return refused and exists and bool(operation.rule.owned) and self._just_created(_OWNERSHIP)

        def unknown(error: BaseException) -> bool:
            return not_replicated(error) and exists and (maybe_new or self._just_created(REPLICATION))

        known = f"Microsoft Graph to know {_GUID.sub('', target.what)} everywhere"
        retrying = self.waiter.retrying(
            Condition("Microsoft Graph to be reached", unreached, FIRST_CONTACT),
            Condition("Microsoft Graph to take the request", when),
            Condition("Microsoft Graph to know who owns the new application", owner_unknown, _OWNERSHIP),
            Condition(known, unknown, REPLICATION),
        )
        answer: Json = await retrying(self._attempt, operation, method, target, body, query)
        return answer

    async def pages(
        self,
        operation: Operation,
        target: Target,
        *,
        query: Query | None = None,
        exists: bool = False,
        each: Callable[[list[Json]], bool] | None = None,
        limit: float = REQUEST_DEADLINE,
    ) -> list[Json]:
        """Every entry of a collection, page by page.

        The SDK's own page iterator stops at an empty page and maps no errors.

        :param each: is given the entries of each page, which are not kept then; ``True`` ends the reading.
        :param limit: seconds to read them all, scaled like every budget.
        :raises UnexpectedAnswer: the list does not end.
        """
        started = self.waiter.monotonic()
        found: list[Json] = []
        followed: set[str] = set()
        page = target
        while True:
            body = await self.call(operation, "get", page, query=query, exists=exists)
            items = body.get("value")
            entries = (
                [Json(item) for item in items if isinstance(item, dict)] if isinstance(items, list) else []
            )
            if each is None:
                found += entries
            if (each is not None and each(entries)) or not body.get("@odata.nextLink"):
                return found
            link = str(body["@odata.nextLink"])
            self._check(link, followed, started, limit)
            followed.add(link)
            # The link is opaque and holds the query already: it is followed as it is.
            page, query = target.at(partial(_page, link)), None

    def _check(self, link: str, followed: set[str], started: float, limit: float) -> None:
        ours, theirs = urlsplit(self.base_url), urlsplit(link)
        reason = ""
        if (ours.scheme, ours.netloc) != (theirs.scheme, theirs.netloc) or link in followed:
            reason = "a next page that leads elsewhere or back"
        elif len(followed) >= PAGES_LIMIT or self.waiter.monotonic() - started > limit * self.waiter.scale:
            reason = f"a list that does not end after {len(followed) + 1} pages"
        if reason:
            raise fault("unexpected-answer", service=GRAPH, reason=reason)

    async def _attempt(
        self, operation: Operation, method: str, target: Target, body: object, query: Query | None
    ) -> Json:
        """Send once; with a new token once more where the present one is refused, as nothing was carried out then."""
        answer: Json | BootstrapError
        for last in (False, True):
            # Known beforehand, so that also a request that was never answered can be traced at Microsoft.
            correlation_id = str(uuid4())
            trace = RequestTrace("graph", correlation_id=correlation_id)
            try:
                # A client of its own: builders by key write the key into their client's parameters and read it when
                # the request leaves. Of two that are asked side by side, both would ask for the second one's object.
                builder = target.build(GraphServiceClient(request_adapter=self._adapter))
                given = () if body is None else (body,)
                response = await getattr(builder, method)(*given, _options(query, correlation_id))
                self._reached = True
                trace = self._trace(response.request, correlation_id, response)
                if response.is_success:
                    answer = answered(response, trace)
                else:
                    claims = self.bearer.known_claims
                    answer = graph_fault(operation, response, trace, claims, target.what)
            except BootstrapError as error:
                answer = error
            except httpx.RequestError as error:
                answer = connection_fault(error, self._network, self._trace(error.request, correlation_id))
            except Exception as error:  # the SDK documents no complete list; nothing may leak out
                reason = f"msgraph-sdk failed with {type(error).__name__}"
                answer = fault("unexpected-answer", trace=trace, service=GRAPH, reason=reason)
            if last or isinstance(answer, Json) or answer.code != "operator-token-refused":
                break
            self.bearer.forget()
        if isinstance(answer, Json):
            return answer
        # Raised here and not in a handler, so that no request with its token and body hangs on to the error.
        raise answer

    async def service_time(self) -> datetime | None:
        """The ``Date`` of Microsoft Graph's reply to a request without a token: any status tells it.

        :raises BootstrapError: there was no reply.
        """
        correlation_id = str(uuid4())
        try:
            response = await self._http.get(self.base_url, headers={"client-request-id": correlation_id})
        except httpx.RequestError as error:
            failure = connection_fault(error, self._network, self._trace(error.request, correlation_id))
        else:
            return http_date(response.headers.get("date"))
        raise failure

    def _trace(
        self, request: httpx.Request, correlation_id: str, response: httpx.Response | None = None
    ) -> RequestTrace:
        headers = {} if response is None else response.headers
        return RequestTrace(
            "graph",
            request.method,
            request.url.path.removeprefix(urlsplit(self.base_url).path),
            None if response is None else response.status_code,
            request_id=headers.get("request-id"),
            correlation_id=headers.get("client-request-id") or correlation_id,
        )


def _options(query: Query | None, correlation_id: str) -> RequestConfiguration[Any]:
    headers = HeadersCollection()
    headers.add("client-request-id", correlation_id)
    return RequestConfiguration(
        headers=headers, options=[ResponseHandlerOption(NativeResponseHandler())], query_parameters=query
    )


def _page(link: str, builder: Any) -> Any:
    return builder.with_url(link)


class OnGraph:
    """Speaks to Microsoft Graph while it is open; the base of what the adapter is made of."""

    _opened: Graph | None = None

    @property
    def _graph(self) -> Graph:
        if self._opened is None:
            raise RuntimeError("EntraAdapter is used outside of its 'async with'")
        return self._opened
