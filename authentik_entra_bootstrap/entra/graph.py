"""The connection to Microsoft Graph: msgraph-sdk's request builders on one HTTP client, with our own patience.

Heavy (httpx, kiota, msgraph): imported when Graph is asked.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from copy import copy
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
from kiota_abstractions.api_error import APIError
from kiota_abstractions.base_request_configuration import RequestConfiguration
from kiota_abstractions.headers_collection import HeadersCollection
from kiota_http.middleware.options import ResponseHandlerOption
from msgraph.graph_service_client import GraphServiceClient

from authentik_entra_bootstrap.entra.answers import Received, refusal
from authentik_entra_bootstrap.entra.codes import fault
from authentik_entra_bootstrap.entra.graph_faults import SERVICE, graph_fault, not_replicated
from authentik_entra_bootstrap.entra.http_pool import Bearer, HttpPool, Query
from authentik_entra_bootstrap.entra.network import broken, worth_another_try
from authentik_entra_bootstrap.entra.operations import Operation
from authentik_entra_bootstrap.entra.outgoing import NOT_SENT
from authentik_entra_bootstrap.errors import BootstrapError, Denied, RequestTrace
from authentik_entra_bootstrap.waiting import REPLICATION, TRANSIENT, Patience, Waiter

_GUID = re.compile(r" [0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
"""Left out of what people read while they wait; errors name the object."""


class Json(dict[str, Any]):
    """The JSON object of an answer, with the trace of its request."""

    trace: RequestTrace | None = None
    date: datetime | None = None
    """When it was answered, by the service's clock."""


Send = Callable[[GraphServiceClient, "RequestConfiguration[Any]"], Awaitable[object]]

REFUSED_YOUNG = Patience(budget=60.0, first=0.5, factor=1.5, ceiling=5.0)
"""For 403 on an object made a moment ago (HMCTS API marketplace, 2026-10); short, because it may also be true."""


@dataclass
class Births:
    """How old the objects are that this run met: a 404 for a young one means a replica that lags behind."""

    waiter: Waiter
    moments: dict[str, float] = field(default_factory=dict)

    def note(self, *ids: str, age: float = 0.0) -> None:
        """These objects exist.

        :param age: seconds since they were made, by the service's clock; where it is not known, an object
            counts from when it was met first.
        """
        for item in ids:
            self.moments.setdefault(item, self.waiter.monotonic() - age)

    def again(self, item: str) -> None:
        """The object came back just now."""
        self.moments[item] = self.waiter.monotonic()

    def young(self, ids: Iterable[str], budget: float) -> bool:
        """Whether one of the objects is younger than a budget."""
        limit = self.waiter.monotonic() - budget * self.waiter.scale
        return any(self.moments.get(item, limit) > limit for item in ids)


@dataclass(frozen=True)
class _Request:
    operation: Operation
    send: Send
    what: str
    query: Query | None
    with_body: bool


class Graph:
    """Requests to Microsoft Graph as one bearer: sent, retried, and answered with JSON or our errors."""

    def __init__(self, pool: HttpPool, bearer: Bearer, waiter: Waiter) -> None:
        self.pool = pool
        self.bearer = bearer
        self.waiter = waiter
        self.births = Births(waiter)
        self._client = pool.graph(bearer)

    async def call(
        self,
        operation: Operation,
        send: Send,
        *,
        what: str,
        of: Iterable[str] = (),
        query: Query | None = None,
        when: Callable[[BaseException], bool] = worth_another_try,
    ) -> Json | None:
        """One request, repeated on conditions that pass by themselves.

        :param send: calls a request builder's method with the configuration it is given.
        :param what: the object asked about, for people.
        :param of: ids of objects that must exist for it: while they are young, a 404 is a replica that lags
            behind, and so may be a 403 about ownership.
        :param when: which errors allow another try besides.
        :returns: the JSON body, ``None`` where there is none.
        :raises BootstrapError: ours, whatever the SDK raised.
        """
        return await self._waited(operation, send, what, tuple(of), query, when)

    async def required(
        self,
        operation: Operation,
        send: Send,
        *,
        what: str,
        of: Iterable[str] = (),
        query: Query | None = None,
        when: Callable[[BaseException], bool] = worth_another_try,
    ) -> Json:
        """Like :meth:`call`, for answers that must have a body."""
        body = await self._waited(operation, send, what, tuple(of), query, when, with_body=True)
        assert body is not None  # noqa: S101 - an answer without one was refused
        return body

    async def _waited(
        self,
        operation: Operation,
        send: Send,
        what: str,
        ids: tuple[str, ...],
        query: Query | None,
        when: Callable[[BaseException], bool],
        *,
        with_body: bool = False,
    ) -> Json | None:
        request = _Request(operation, send, what, query, with_body)

        async def patient() -> Json | None:
            return await self.waiter.retry(
                lambda: self._signed(request),
                what="Microsoft Graph to take the request",
                when=when,
                patience=TRANSIENT,
            )

        async def despite_refusals() -> Json | None:
            return await self.waiter.retry(
                patient,
                what="Microsoft Graph to know who owns the new application",
                when=lambda error: (
                    request.operation.ownership
                    and _refused(error)
                    and self.births.young(ids, REFUSED_YOUNG.budget)
                ),
                patience=REFUSED_YOUNG,
            )

        return await self.waiter.retry(
            despite_refusals,
            what=f"Microsoft Graph to know {_GUID.sub('', what)} everywhere",
            when=lambda error: not_replicated(error) and self.births.young(ids, REPLICATION.budget),
            patience=REPLICATION,
        )

    async def pages(
        self, operation: Operation, build: Callable[[GraphServiceClient], Any], **options: Any
    ) -> list[dict[str, Any]]:
        """Every entry of a collection, page by page.

        The SDK's own page iterator stops at an empty page and maps no errors.

        :param build: gives the collection's request builder.
        """
        return [item async for item in self._entries(operation, build, options)]

    async def _entries(
        self, operation: Operation, build: Callable[[GraphServiceClient], Any], options: dict[str, Any]
    ) -> AsyncIterator[dict[str, Any]]:
        body = await self.required(operation, lambda graph, config: build(graph).get(config), **options)
        followed: set[str] = set()
        while True:
            for item in body.get("value") or ():
                if isinstance(item, dict):
                    yield item
            link = body.get("@odata.nextLink")
            if not link:
                return
            self._check(link, followed)
            followed.add(link)
            # The link is opaque and holds the query already: it is followed as it is.
            options = {**options, "query": None}

            def follow(graph: GraphServiceClient, config: RequestConfiguration[Any], link: str = link) -> Any:
                return build(graph).with_url(link).get(config)

            body = await self.required(operation, follow, **options)

    def _check(self, link: str, followed: set[str]) -> None:
        ours, theirs = urlsplit(self.pool.base_url), urlsplit(link)
        if (ours.scheme, ours.netloc) != (theirs.scheme, theirs.netloc) or link in followed:
            raise fault(
                "unexpected-answer", service=SERVICE, reason="a next page that leads elsewhere or back"
            )

    async def _signed(self, request: _Request) -> Json | None:
        try:
            return await self._once(request)
        except Denied as error:
            if error.code != "operator-token-refused":
                raise
        # The token may have expired or been revoked meanwhile; nothing was carried out without one.
        self.bearer.forget()
        return await self._once(request)

    async def _once(self, request: _Request) -> Json | None:
        received = Received()
        # Known beforehand, so that also a request that was never answered can be traced at Microsoft.
        correlation_id = str(uuid4())
        headers = HeadersCollection()
        headers.add("client-request-id", correlation_id)
        config: RequestConfiguration[Any] = RequestConfiguration(
            headers=headers, options=[ResponseHandlerOption(received)], query_parameters=request.query
        )
        failure: BootstrapError
        try:
            await request.send(self._own_client(), config)
            body = received.body
            if body is None and request.with_body:
                raise ValueError("no body")  # noqa: TRY301  # handled like every other unusable answer
        except BootstrapError:
            raise
        except APIError as error:
            trace = self._trace(received, correlation_id)
            failure = graph_fault(
                request.operation, refusal(error, trace), self.bearer.known_claims, request.what
            )
        except httpx.RequestError as error:
            failure = self._broken(error, correlation_id)
        except Exception as error:  # noqa: BLE001  # the SDK documents no complete list; nothing may leak out
            failure = self._unusable(received, error, correlation_id)
        else:
            return self._traced(body, received, correlation_id)
        # Raised here and not in a handler, so that no request with its token and body hangs on to the error.
        raise failure

    def _own_client(self) -> GraphServiceClient:
        """The SDK's client for one request.

        Its builders by key write the key into the client's own parameters and read it when the request leaves: of
        two that are asked side by side, both would ask for the second one's object.
        """
        client = copy(self._client)
        client.path_parameters = dict(self._client.path_parameters)
        return client

    def _traced(self, body: dict[str, Any] | None, received: Received, correlation_id: str) -> Json | None:
        if body is None:
            return None
        json = Json(body)
        json.trace = self._trace(received, correlation_id)
        json.date = received.date
        return json

    def _trace(self, received: Received, correlation_id: str) -> RequestTrace:
        response = received.response
        if response is None:
            return RequestTrace("graph", correlation_id=correlation_id)
        request = response.request
        return RequestTrace(
            "graph",
            request.method,
            self._path(request),
            response.status_code,
            request_id=response.headers.get("request-id"),
            correlation_id=response.headers.get("client-request-id") or correlation_id,
        )

    def _path(self, request: httpx.Request) -> str:
        return request.url.path.removeprefix(urlsplit(self.pool.base_url).path)

    def _broken(self, error: httpx.RequestError, correlation_id: str) -> BootstrapError:
        request = error.request
        trace = RequestTrace("graph", request.method, self._path(request), correlation_id=correlation_id)
        why = broken(
            error, sent=not isinstance(error, NOT_SENT), url=str(request.url), network=self.pool.network
        )
        return why.fault(request.url.netloc.decode(), trace)

    def _unusable(self, received: Received, error: Exception, correlation_id: str) -> BootstrapError:
        trace = self._trace(received, correlation_id)
        response = received.response
        if response is None:
            reason = f"msgraph-sdk failed with {type(error).__name__}"
        else:
            kind = response.headers.get("content-type", "no content type")
            reason = f"HTTP {response.status_code} with {kind} instead of the JSON expected"
        return fault("unexpected-answer", trace=trace, service=SERVICE, reason=reason)


def _refused(error: BaseException) -> bool:
    return isinstance(error, Denied) and error.code == "entra-permission-missing"
