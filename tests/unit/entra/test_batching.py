"""What waits together travels together, and every request gets the answer that it would have got alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from authentik_entra_bootstrap.entra.batching import MOST, Batching

BASE = "https://graph.example/v1.0"
Answer = Callable[[httpx.Request], httpx.Response]


def single(request: httpx.Request) -> httpx.Response:
    """A service without batches in mind: each path answers its own way."""
    path = request.url.path.removeprefix("/v1.0")
    if path == "/missing":
        return httpx.Response(404, json={"error": {"code": "Request_ResourceNotFound", "message": "no"}})
    if path == "/busy":
        return httpx.Response(429, headers={"Retry-After": "7"}, json={"error": {"code": "TooManyRequests"}})
    if path == "/broken":
        return httpx.Response(503, json={"error": {"code": "ServiceUnavailable"}})
    if path == "/empty":
        return httpx.Response(204)
    return httpx.Response(200, json={"path": path, "query": request.url.query.decode()})


def batched(request: httpx.Request) -> httpx.Response:
    """The same service with ``$batch``, its answers in another order."""
    if not request.url.path.endswith("/$batch"):
        return single(request)
    parts = []
    for item in json.loads(request.content)["requests"]:
        assert item["url"].startswith("/"), "addresses of parts are relative"
        inner = single(httpx.Request(item["method"], BASE + item["url"]))
        part = {"id": item["id"], "status": inner.status_code, "headers": dict(inner.headers)}
        if inner.content:
            part["body"] = inner.json()
        parts.append(part)
    headers = {"Date": "Mon, 02 Mar 2026 10:00:00 GMT", "request-id": "whole"}
    return httpx.Response(200, headers=headers, json={"responses": parts[::-1]})


class Service:
    """Counts what really arrives."""

    def __init__(self, answer: Answer) -> None:
        self.sent: list[httpx.Request] = []
        self._answer = answer
        self.client = httpx.AsyncClient(
            transport=Batching(httpx.MockTransport(self._handle), BASE, owned=True),
            headers={"Authorization": "Bearer one"},
        )

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        return self._answer(request)

    async def get(self, *paths: str, **options: Any) -> list[httpx.Response]:
        return await asyncio.gather(*(self.client.get(BASE + path, **options) for path in paths))

    @property
    def paths(self) -> list[str]:
        return [request.url.path.removeprefix("/v1.0") for request in self.sent]


PATHS = ("/a?$select=id,appId", "/missing", "/busy", "/broken", "/empty", "/b(uniqueName='x%20y')")


async def test_a_batched_answer_is_the_single_answer() -> None:
    together, alone = Service(batched), Service(single)
    many = await together.get(*PATHS)
    assert together.paths == ["/$batch"]
    ones = [(await alone.get(path))[0] for path in PATHS]
    assert alone.paths == [httpx.URL(BASE + path).path.removeprefix("/v1.0") for path in PATHS]
    for one, other in zip(many, ones, strict=True):
        assert (one.status_code, one.request.url, one.request.method) == (
            other.status_code,
            other.request.url,
            other.request.method,
        )
        assert one.headers.get("retry-after") == other.headers.get("retry-after")
        assert (one.json() if one.content else None) == (other.json() if other.content else None)
        assert one.headers["date"], "when it was answered is known of every part"


async def test_one_alone_travels_alone_and_other_hosts_are_let_through() -> None:
    service = Service(batched)
    await service.get("/a")
    await asyncio.gather(service.client.get("https://elsewhere.example/v1.0/a"), *[service.get("/b")])
    assert service.paths == ["/a", "/a", "/b"]


async def test_only_reads_and_grants_travel_together() -> None:
    service = Service(batched)
    grants = ["/oauth2PermissionGrants", "/servicePrincipals/x/appRoleAssignedTo"]
    others = ["/applications", "/applications/x/addPassword", "/servicePrincipals"]
    await asyncio.gather(*(service.client.post(BASE + path, json={"n": 1}) for path in [*grants, *others]))
    assert sorted(service.paths) == sorted(["/$batch", *others])
    (whole,) = [request for request in service.sent if request.url.path.endswith("/$batch")]
    parts = json.loads(whole.content)["requests"]
    assert [(part["method"], part["url"], part["body"]) for part in parts] == [
        ("POST", path, {"n": 1}) for path in grants
    ]
    assert all(part["headers"]["content-type"] == "application/json" for part in parts)


async def test_bearers_are_not_mixed_and_twenty_are_the_most() -> None:
    service = Service(batched)
    paths = [f"/item/{number}" for number in range(MOST + 3)]
    mine, theirs = await asyncio.gather(
        service.get(*paths), service.get("/x", "/y", headers={"Authorization": "Bearer two"})
    )
    assert [answer.json()["path"] for answer in [*mine, *theirs]] == [*paths, "/x", "/y"]
    sizes = [
        (request.headers["authorization"], len(json.loads(request.content)["requests"]))
        for request in service.sent
    ]
    assert sizes == [("Bearer one", MOST), ("Bearer one", 3), ("Bearer two", 2)]


@pytest.mark.parametrize(
    "refusal",
    [
        httpx.Response(404, text="not here"),
        httpx.Response(403, json={"error": {"code": "Blocked"}}),
        httpx.Response(405),
        httpx.Response(302, headers={"Location": "https://login.example/"}),
        httpx.Response(200, text="<html>sign in at the gateway</html>"),
        httpx.Response(200, json={"value": []}),
    ],
    ids=lambda answer: f"{answer.status_code}-{len(answer.content)}",
)
async def test_where_batches_are_refused_everything_is_sent_singly(refusal: httpx.Response) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/$batch"):
            return httpx.Response(refusal.status_code, headers=refusal.headers, content=refusal.content)
        return single(request)

    service = Service(answer)
    first = await service.get("/a", "/missing")
    again = await service.get("/a", "/b")
    assert [item.status_code for item in [*first, *again]] == [200, 404, 200, 200]
    assert service.paths == ["/$batch", "/a", "/missing", "/a", "/b"]


@pytest.mark.parametrize(("status", "tries_again"), [(401, True), (429, True), (502, False)])
async def test_an_answer_about_the_moment_is_everybodys(status: int, tries_again: bool) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/$batch"):
            return httpx.Response(status, headers={"Retry-After": "3"}, json={"error": {"code": "X"}})
        return single(request)

    service = Service(answer)
    first = await service.get("/a", "/b")
    assert [(item.status_code, item.headers["retry-after"]) for item in first] == [(status, "3")] * 2
    assert [item.request.url.path for item in first] == ["/v1.0/a", "/v1.0/b"]
    await service.get("/a", "/b")
    assert service.paths == (["/$batch"] * 2 if tries_again else ["/$batch", "/a", "/b"])


async def test_a_part_without_an_answer_is_sent_by_itself() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/$batch"):
            parts = [{"id": "1", "status": 200, "body": {"path": "/b"}}, {"id": "2", "status": "soon"}, "odd"]
            return httpx.Response(200, json={"responses": parts})
        return single(request)

    service = Service(answer)
    found = await service.get("/a", "/b", "/c")
    assert [item.json()["path"] for item in found] == ["/a", "/b", "/c"]
    assert service.paths == ["/$batch", "/a", "/c"]


async def test_a_lost_connection_is_everybodys_with_its_cause() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("gone") from ConnectionResetError(104, "Connection reset by peer")

    service = Service(answer)
    found = await asyncio.gather(
        *(service.client.get(BASE + path) for path in ("/a", "/b")), return_exceptions=True
    )
    assert [type(error) for error in found] == [httpx.ReadError] * 2
    assert [error.request.url.path for error in found] == ["/v1.0/a", "/v1.0/b"]
    assert all(isinstance(error.__cause__.__cause__, ConnectionResetError) for error in found)


async def test_who_stops_waiting_takes_nobody_along() -> None:
    hold = asyncio.Event()

    async def handle(request: httpx.Request) -> httpx.Response:
        await hold.wait()
        return batched(request)

    client = httpx.AsyncClient(transport=Batching(httpx.MockTransport(handle), BASE, owned=True))
    one, other, late = (asyncio.ensure_future(client.get(f"{BASE}/{name}")) for name in "abc")
    late.cancel()
    for _ in range(9):
        await asyncio.sleep(0)
    one.cancel()
    hold.set()
    assert (await other).json()["path"] == "/b"
    assert one.cancelled()
    assert late.cancelled()


async def test_closing_ends_what_is_under_way() -> None:
    async def handle(request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    transport = Batching(httpx.MockTransport(handle), BASE, owned=False)
    client = httpx.AsyncClient(transport=transport)
    waiting = [asyncio.ensure_future(client.get(f"{BASE}/{name}")) for name in "ab"]
    for _ in range(9):
        await asyncio.sleep(0)
    await transport.aclose()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(result) for result in results] == [asyncio.CancelledError] * 2
