"""Requests that are waiting at the same moment travel together, as one ``POST /$batch``.

This sits below msgraph-sdk: its request builders, tokens and error types stay as they are, and every request gets
an answer of its own, so that a batched read gives the same record or the same error as a single one. Who asks
for several things side by side saves the round trips; nothing else changes, and nothing relies on the answers
coming from one replica. Written here because msgraph-core's own batch (1.5) sends absolute addresses and loses
the answers' bodies.

Source: Microsoft Graph, "Combine multiple HTTP requests using JSON batching".
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx

MOST = 20
"""Requests of one batch, by the documentation."""
_IDLE_TURNS = 3
"""Turns of the event loop without a further request after which a batch leaves. Who asks side by side does so
within one or two; no time passes."""
_GRANTS = re.compile(r"^/(servicePrincipals/[^/]+/appRoleAssignedTo|oauth2PermissionGrants)$")
"""The only writes that travel together: several belong to one consent, and who sends them finds out by itself
whether one stands already. A request for a client secret always travels alone."""
_PASSED_ON = frozenset({"client-request-id", "consistencylevel", "content-type", "prefer"})
"""Headers that belong to a request and not to the connection."""
_NO_BATCH = frozenset({401, 408, 429}) | frozenset(range(500, 600))
"""Answers to a whole batch that say nothing about its kind: each of its requests is answered so."""
_OWN_ONLY = frozenset(
    {"content-encoding", "content-length", "content-type", "transfer-encoding", "retry-after"}
)
"""Headers of the whole answer that its parts do not share."""


@dataclass(frozen=True)
class _Waiting:
    request: httpx.Request
    answer: asyncio.Future[httpx.Response]


class Batching(httpx.AsyncBaseTransport):
    """Sends by another transport, and together what waits together.

    Where a proxy or a gateway does not let ``$batch`` through, everything is sent singly from then on.

    :param inner: carries the requests.
    :param base_url: of Microsoft Graph, with the version, without a slash at the end.
    :param owned: whether closing this closes ``inner``.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport, base_url: str, *, owned: bool) -> None:
        self._inner = inner
        self._base = base_url
        self._path = urlsplit(base_url).path
        self._owned = owned
        self._refused = False
        self._waiting: list[_Waiting] = []
        self._running: set[asyncio.Task[None]] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request, alone or with those that wait beside it."""
        if self._refused or not self._takes(request):
            return await self._inner.handle_async_request(request)
        waiting = _Waiting(request, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if len(self._waiting) == 1:
            self._start(self._collect())
        return await waiting.answer

    async def aclose(self) -> None:
        """End what still runs, and close the transport below where it is ours."""
        for task in tuple(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        if self._owned:
            await self._inner.aclose()

    def _start(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def _takes(self, request: httpx.Request) -> bool:
        if not str(request.url).startswith(f"{self._base}/"):
            return False
        return request.method == "GET" or (
            request.method == "POST" and _GRANTS.match(request.url.path.removeprefix(self._path)) is not None
        )

    async def _collect(self) -> None:
        """Wait until nobody else comes, then send: by bearer, since a batch has one token."""
        seen, idle = 1, 0
        while idle < _IDLE_TURNS:
            await asyncio.sleep(0)
            idle = idle + 1 if len(self._waiting) == seen else 0
            seen = len(self._waiting)
        gathered, self._waiting = self._waiting, []
        bearers: dict[str, list[_Waiting]] = {}
        for item in gathered:
            # Who was interrupted meanwhile waits no longer.
            if not item.answer.done():
                bearers.setdefault(item.request.headers.get("authorization", ""), []).append(item)
        for items in bearers.values():
            # The same things asked for make the same batch, whoever came first.
            items.sort(
                key=lambda item: (item.request.method, item.request.url.raw_path, item.request.content)
            )
            for start in range(0, len(items), MOST):
                self._start(self._together(items[start : start + MOST]))

    async def _together(self, items: list[_Waiting]) -> None:
        if len(items) == 1:
            await self._alone(items)
            return
        try:
            whole = await self._inner.handle_async_request(_batch(self._base, self._path, items))
            await whole.aread()
            await whole.aclose()
        except Exception as error:  # noqa: BLE001  # whatever the network raises belongs to every request
            for item in items:
                _fail(item, error)
            return
        except asyncio.CancelledError:
            for item in items:
                item.answer.cancel()
            raise
        await self._alone(self._answered(items, whole))

    def _answered(self, items: list[_Waiting], whole: httpx.Response) -> list[_Waiting]:
        """Give each its answer; those that got none."""
        parts = _answers(whole)
        if parts is None:
            self._refused = whole.status_code not in {401, 429}
            if whole.status_code in _NO_BATCH:
                for item in items:
                    _give(item, _copy(whole, item.request))
                return []
            return items
        left = []
        for number, item in enumerate(items):
            response = _response(parts.get(str(number), {}), whole, item.request)
            if response is None:
                left.append(item)
            else:
                _give(item, response)
        return left

    async def _alone(self, items: Iterable[_Waiting]) -> None:
        """Send each by itself, side by side."""

        async def send(item: _Waiting) -> None:
            try:
                _give(item, await self._inner.handle_async_request(item.request))
            except Exception as error:  # noqa: BLE001  # handed on to whoever waits, whatever it is
                _fail(item, error)
            except asyncio.CancelledError:
                item.answer.cancel()
                raise

        await asyncio.gather(*(send(item) for item in items))


def _batch(base: str, path: str, items: list[_Waiting]) -> httpx.Request:
    """One request for all; what belongs to the connection is taken from the first."""
    first = items[0].request
    headers = {
        name: value
        for name, value in first.headers.items()
        if name.lower() not in {"host", "content-length", *_PASSED_ON}
    }
    # Known beforehand, so that it can be traced at Microsoft like any other.
    headers |= {"content-type": "application/json", "client-request-id": str(uuid4())}
    body = {"requests": [_item(str(number), path, item.request) for number, item in enumerate(items)]}
    return httpx.Request(
        "POST", f"{base}/$batch", headers=headers, content=json.dumps(body), extensions=first.extensions
    )


def _item(number: str, path: str, request: httpx.Request) -> dict[str, Any]:
    item: dict[str, Any] = {
        "id": number,
        "method": request.method,
        "url": request.url.raw_path.decode("ascii").removeprefix(path),
        "headers": {name: value for name, value in request.headers.items() if name.lower() in _PASSED_ON},
    }
    if request.method != "GET":
        item["body"] = json.loads(request.content)
    return item


def _answers(whole: httpx.Response) -> dict[str, Mapping[str, Any]] | None:
    """The parts by id; ``None`` where this is no answer to a batch."""
    if whole.status_code != 200:
        return None
    try:
        body = json.loads(whole.content)
    except ValueError:
        return None
    parts = body.get("responses") if isinstance(body, dict) else None
    if not isinstance(parts, list):
        return None
    return {str(part.get("id")): part for part in parts if isinstance(part, dict)}


def _response(
    part: Mapping[str, Any], whole: httpx.Response, request: httpx.Request
) -> httpx.Response | None:
    """One part as the answer to its own request; ``None`` where it cannot be one."""
    status, given = part.get("status"), part.get("headers")
    if not isinstance(status, int) or not 100 <= status <= 599:
        return None
    headers = {name: value for name, value in whole.headers.items() if name.lower() not in _OWN_ONLY}
    if isinstance(given, Mapping):
        own = {str(name).lower(): str(value) for name, value in given.items()}
        headers |= {
            name: value for name, value in own.items() if name not in {"content-length", "content-encoding"}
        }
    body = part.get("body")
    if isinstance(body, str) and "json" not in headers.get("content-type", ""):
        content = body.encode()
    else:
        content = b"" if body is None else json.dumps(body).encode()
    return httpx.Response(status, headers=headers, content=content, request=request)


def _copy(whole: httpx.Response, request: httpx.Request) -> httpx.Response:
    headers = {
        name: value
        for name, value in whole.headers.items()
        # Its content is decoded by now.
        if name.lower() not in {"content-encoding", "content-length", "transfer-encoding"}
    }
    return httpx.Response(whole.status_code, headers=headers, content=whole.content, request=request)


def _give(item: _Waiting, response: httpx.Response) -> None:
    if not item.answer.done():
        item.answer.set_result(response)


def _fail(item: _Waiting, error: Exception) -> None:
    if item.answer.done():
        return
    if isinstance(error, httpx.RequestError):
        # One for each, because httpx writes the request into it; the first one tells what lies beneath.
        copy = type(error)(str(error))
        copy.__cause__ = error
        error = copy
    item.answer.set_exception(error)
