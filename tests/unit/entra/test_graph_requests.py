"""Requests to Microsoft Graph end: in time, within a limit of size, and with a code, whatever the service does."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.core.credentials import AccessToken

import authentik_entra_bootstrap
from authentik_entra_bootstrap.domain import (
    CLOUDS,
    AppId,
    ApplicationSpec,
    AppObjectId,
    FederatedCredential,
    KeyId,
    Network,
    ServicePrincipalObjectId,
    TenantId,
)
from authentik_entra_bootstrap.entra import graph
from authentik_entra_bootstrap.entra.adapter import EntraAdapter
from authentik_entra_bootstrap.errors import (
    BootstrapError,
    ExitCode,
    NotFound,
    Throttled,
    UnexpectedAnswer,
    Unreachable,
)
from authentik_entra_bootstrap.support.waiting import ANSWER_LIMIT, Waiter

TENANT = TenantId("10000000-0000-4000-8000-000000000001")
ID = "20000000-0000-4000-8000-000000000002"
OTHER = "30000000-0000-4000-8000-000000000003"
TOKEN = "e30.eyJ0aWQiOiIxMDAwMDAwMC0wMDAwLTQwMDAtODAwMC0wMDAwMDAwMDAwMDEifQ.x"
ORGANIZATION = {"value": [{"id": TENANT, "displayName": "Contoso"}]}


class Given:
    """A credential that has a token already."""

    def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        return AccessToken(TOKEN, 4_000_000_000)


class Service:
    """Answers in the place of Microsoft Graph, on a clock that only waiting moves."""

    def __init__(self) -> None:
        self.answer: Callable[[httpx.Request], Any] = lambda _: httpx.Response(200, json=ORGANIZATION)
        self.requests: list[httpx.Request] = []
        self.time = 0.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds

    async def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answer(request)
        if isinstance(answer, Exception):
            raise answer
        found: httpx.Response = await answer if asyncio.iscoroutine(answer) else answer
        return found

    def adapter(self, scale: float = 1.0) -> EntraAdapter:
        return EntraAdapter(
            TENANT,
            CLOUDS["global"],
            Network(),
            Waiter(lambda: self.time, self.sleep, random.Random(0), scale=scale),
            credential=Given(),
            transport=httpx.MockTransport(self.handle),
        )


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
async def entra(service: Service) -> AsyncIterator[EntraAdapter]:
    async with service.adapter() as adapter:
        yield adapter


def refused(status: int, code: str, message: str = "", **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"error": {"code": code, "message": message}}, headers=headers)


# --- how it is sent


@pytest.mark.parametrize("call", ["find_application", "managed_applications", "graph_principal", "granted"])
async def test_a_read_passes_at_most_six_frames_of_ours(
    service: Service, entra: EntraAdapter, call: str
) -> None:
    ours = str(Path(authentik_entra_bootstrap.__file__).parent)
    depth: list[int] = []

    def answer(_: httpx.Request) -> httpx.Response:
        frame, found = sys._getframe(), 0
        while frame is not None:
            found += frame.f_code.co_filename.startswith(ours)
            frame = frame.f_back  # type: ignore[assignment]
        depth.append(found)
        return httpx.Response(200, json={"id": ID, "appId": OTHER, "value": []})

    service.answer = answer
    given = {"find_application": ["name"], "granted": [AppId(ID), ServicePrincipalObjectId(ID)]}
    await getattr(entra, call)(*given.get(call, []))
    assert depth
    assert max(depth) <= 6


async def test_reads_side_by_side_ask_for_their_own_objects(service: Service, entra: EntraAdapter) -> None:
    paths: list[str] = []

    async def later(request: httpx.Request) -> httpx.Response:
        own = request.url.path.rpartition("/")[2]
        paths.append(own)
        await asyncio.sleep(0)
        return httpx.Response(200, json={"id": own, "appId": OTHER})

    service.answer = later
    ids = [ID, OTHER, TENANT]
    found = await asyncio.gather(*(entra.application(AppObjectId(key)) for key in ids))
    assert [item.app_object_id for item in found if item] == ids
    assert sorted(paths) == sorted(ids)


async def test_what_is_granted_is_read_in_one_go(service: Service, entra: EntraAdapter) -> None:
    running, most = 0, 0

    async def later(request: httpx.Request) -> httpx.Response:
        nonlocal running, most
        running, most = running + 1, max(most, running + 1)
        for _ in range(5):
            await asyncio.sleep(0)
        running -= 1
        return httpx.Response(200, json={"id": ID, "appId": OTHER, "value": []})

    service.answer = later
    await entra.granted(AppId(OTHER), ServicePrincipalObjectId(TENANT))
    assert (len(service.requests), most) == (3, 3)


# --- young objects


@pytest.mark.parametrize(("age", "waits"), [(20, True), (200, False), (None, True)])
async def test_an_application_is_young_by_its_own_date(
    service: Service, entra: EntraAdapter, age: int | None, waits: bool
) -> None:
    now = datetime(2026, 11, 30, 12, tzinfo=UTC)
    made = (
        {}
        if age is None
        else {"createdDateTime": f"2026-11-30T11:{59 - age // 60}:{60 - (age % 60 or 60):02}Z"}
    )
    headers = {"Date": now.strftime("%a, %d %b %Y %H:%M:%S GMT")}

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={"id": ID, "appId": OTHER, **made}, headers=headers)
        return refused(404, "Request_ResourceNotFound")

    service.answer = answer
    await entra.application(AppObjectId(ID))
    with pytest.raises(NotFound):
        await entra.update_application(AppObjectId(ID), tags=[])
    assert bool(service.slept) is waits


# --- nothing waits for ever


async def test_an_answer_that_never_comes_is_lost_at_the_deadline(service: Service) -> None:
    async def never(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    service.answer = never
    async with service.adapter(scale=0.001) as entra:
        with pytest.raises(Unreachable) as caught:
            await entra.organization()
        assert (caught.value.code, caught.value.sent) == ("entra-reply-lost", True)
        service.requests.clear()
        with pytest.raises(Unreachable):
            await entra.add_secret(AppObjectId(ID), display_name="x", end_date_time=datetime.now(UTC))
        assert len(service.requests) == 1, "a secret may have been made"


async def test_a_body_that_drips_is_lost_at_the_deadline(service: Service) -> None:
    class Drip(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                await asyncio.sleep(0.001)
                yield b" "

    service.answer = lambda _: httpx.Response(200, stream=Drip())
    async with service.adapter(scale=0.001) as entra:
        with pytest.raises(Unreachable) as caught:
            await entra.organization()
    assert caught.value.code == "entra-reply-lost"


@pytest.mark.parametrize("packed", [False, True])
async def test_an_answer_of_more_than_32_mb_is_not_kept(
    service: Service, entra: EntraAdapter, packed: bool
) -> None:
    much = b" " * (ANSWER_LIMIT + 1)
    content = gzip.compress(much * 2, 1) if packed else much
    headers = {"Content-Encoding": "gzip"} if packed else {}

    class Body(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield content

    service.answer = lambda _: httpx.Response(200, headers=headers, stream=Body())
    with pytest.raises(UnexpectedAnswer, match="more than 32 MB"):
        await entra.organization()
    assert len(service.requests) == 1


async def test_a_packed_answer_is_read(service: Service, entra: EntraAdapter) -> None:
    class Body(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            content = gzip.compress(json.dumps(ORGANIZATION).encode())
            yield content[:20]
            yield content[20:]

    service.answer = lambda _: httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=Body())
    assert (await entra.organization()).display_name == "Contoso"
    for wrong in ("br", "gzip, gzip"):
        service.answer = lambda _, wrong=wrong: httpx.Response(
            200, headers={"Content-Encoding": wrong}, stream=Body()
        )
        with pytest.raises(UnexpectedAnswer, match="encoding"):
            await entra.organization()


@pytest.mark.parametrize("seconds", [0.0, 60.0])
async def test_a_list_without_an_end_is_given_up(
    service: Service, entra: EntraAdapter, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    monkeypatch.setattr(graph, "PAGES_LIMIT", 30)

    def answer(request: httpx.Request) -> httpx.Response:
        service.time += seconds
        link = f"https://graph.microsoft.com/v1.0/applications?$skiptoken={len(service.requests)}"
        return httpx.Response(200, json={"value": [], "@odata.nextLink": link})

    service.answer = answer
    with pytest.raises(UnexpectedAnswer, match="does not end"):
        await entra.managed_applications()
    assert len(service.requests) == (31 if seconds == 0 else 2)


DEEP = b'{"value": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"


@pytest.mark.parametrize("status", [200, 400])
async def test_whatever_an_answer_holds_the_run_goes_on(
    service: Service, entra: EntraAdapter, status: int
) -> None:
    service.answer = lambda _: httpx.Response(status, content=DEEP)
    with pytest.raises(UnexpectedAnswer):
        await entra.organization()
    strange = b'{"value": [{"id": "x", "displayName": "a\\ud800b"}], "error": {"code": 7, "message": "\\udfff", "details": [1]}}'
    headers = [(b"request-id", b"\xe9\xff"), (b"retry-after", b"\xb2"), (b"date", b"\xfc"), (b"x", b"\x80")]
    service.answer = lambda _: httpx.Response(status, content=strange, headers=headers)
    if status == 200:
        assert (await entra.organization()).display_name == "a?b"
        return
    with pytest.raises(UnexpectedAnswer) as caught:
        await entra.organization()
    (caught.value.message + caught.value.trace.line()).encode()  # type: ignore[union-attr]


@pytest.mark.parametrize("again", [False, True])
async def test_only_a_host_that_was_never_reached_is_given_up_within_ten_seconds(
    service: Service, entra: EntraAdapter, again: bool
) -> None:
    if again:
        await entra.organization()
    service.answer = lambda request: httpx.ConnectError("refused", request=request)
    with pytest.raises(Unreachable) as caught:
        await entra.organization()
    assert caught.value.code == "entra-unreachable"
    assert "graph.microsoft.com" in caught.value.message
    assert (3 < sum(service.slept) < 10) is not again


# --- a long Retry-After

NAME = FederatedCredential("name", "https://issuer", "subject", "audience")
WRITES: dict[str, Callable[[EntraAdapter], Any]] = {
    "create": lambda entra: entra.create_application(ApplicationSpec("n", "n", (), frozenset(), ())),
    "update": lambda entra: entra.update_application(AppObjectId(ID), tags=[]),
    "restore": lambda entra: entra.restore_application(AppObjectId(ID)),
    "delete": lambda entra: entra.delete_application(AppObjectId(ID)),
    "purge": lambda entra: entra.purge_application(AppObjectId(ID)),
    "principal": lambda entra: entra.create_service_principal(AppId(ID)),
    "enable": lambda entra: entra.enable_service_principal(ServicePrincipalObjectId(ID)),
    "assign": lambda entra: entra.assign_role(
        ServicePrincipalObjectId(ID), ServicePrincipalObjectId(OTHER), ID
    ),
    "grant": lambda entra: entra.grant_scopes(
        ServicePrincipalObjectId(ID), ServicePrincipalObjectId(OTHER), frozenset({"User.Read"}), None
    ),
    "add secret": lambda entra: entra.add_secret(
        AppObjectId(ID), display_name="x", end_date_time=datetime.now(UTC)
    ),
    "remove secret": lambda entra: entra.remove_secret(AppObjectId(ID), KeyId(OTHER)),
    "owner": lambda entra: entra.add_owner(AppObjectId(ID), ServicePrincipalObjectId(OTHER)),
    "keys": lambda entra: entra.replace_keys(AppObjectId(ID), []),
    "federate": lambda entra: entra.set_federated_credential(AppObjectId(ID), NAME),
}


@pytest.mark.parametrize("name", sorted(WRITES))
@pytest.mark.parametrize("header", ["31536000", "inf", "Fri, 31 Dec 9999 23:59:59 GMT"])
async def test_a_long_retry_after_on_any_write_ends_it_at_once(
    service: Service, entra: EntraAdapter, name: str, header: str
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={"id": ID, "appId": OTHER, "value": []})
        return refused(429, "TooManyRequests", **{"Retry-After": header})

    service.answer = answer
    with pytest.raises(Throttled) as caught:
        await WRITES[name](entra)
    assert caught.value.exit_code is ExitCode.TEMPORARY
    assert service.slept == []
    assert sum(request.method != "GET" for request in service.requests) == 1


async def test_an_error_carries_no_token(service: Service, entra: EntraAdapter) -> None:
    service.answer = lambda _: httpx.Response(200, content=b"<html>")
    with pytest.raises(BootstrapError) as caught:
        await entra.organization()
    assert caught.value.__context__ is None
    assert TOKEN not in repr(caught.value) + repr(vars(caught.value))
