"""How azure-identity's credentials are made, and what they send and receive through our session."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import inspect
import io
import json
import logging
import os
import select
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import replace
from json import dumps
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import urllib3
from azure.core.pipeline.transport import AsyncioRequestsTransport
from requests.adapters import HTTPAdapter
from urllib3 import HTTPResponse
from urllib3.exceptions import MaxRetryError, NewConnectionError, ProtocolError, ReadTimeoutError

from authentik_entra_bootstrap.domain import CLOUDS, AppId, Network, OperatorIdentity, SecretText, TenantId
from authentik_entra_bootstrap.entra.logins import LOGINS, sign_in_as_application
from authentik_entra_bootstrap.entra.sign_in import Kind, OperatorTokens, _in_daemon_thread, fresh_token
from authentik_entra_bootstrap.entra.token_service import Attempt, TokenService
from authentik_entra_bootstrap.errors import BootstrapError, Temporary
from authentik_entra_bootstrap.support.waiting import TOKEN_LIMIT, Waiter

TENANT = TenantId("10000000-0000-4000-8000-000000000001")
APP = AppId("20000000-0000-4000-8000-000000000002")
CANARY = "c4n~ary.S3cret &+%"
TOKEN = "e30." + "eyJ0aWQiOiIxMDAwMDAwMC0wMDAwLTQwMDAtODAwMC0wMDAwMDAwMDAwMDEifQ" + ".x"
GRANTED = {"token_type": "Bearer", "expires_in": 3599, "access_token": TOKEN}


class Answer:
    """What the network gives for one request."""

    def __init__(
        self,
        status: int,
        *,
        json: object = None,
        html: str = "",
        content: bytes = b"",
        headers: dict[str, str] | None = None,
    ) -> None:
        self.status = status
        self.content = content or (dumps(json).encode() if json is not None else html.encode())
        kind = "application/json" if json is not None else "text/html" if html else "text/plain"
        self.headers = {"Content-Type": kind} | (headers or {})


class Service:
    """Answers in the place of the network what it is told, and keeps what was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: list[Any] = []
        self.requests: list[requests.PreparedRequest] = []
        self.options: list[dict[str, Any]] = []
        service = self

        def answer(
            adapter: HTTPAdapter, request: requests.PreparedRequest, **options: Any
        ) -> requests.Response:
            service.requests.append(request)
            service.options.append(options)
            given = service.answers.pop(0) if len(service.answers) > 1 else service.answers[0]
            if isinstance(given, Exception):
                raise given
            raw = HTTPResponse(io.BytesIO(given.content), given.headers, given.status, preload_content=False)
            return adapter.build_response(request, raw)

        monkeypatch.setattr(HTTPAdapter, "send", answer)

    def form(self, number: int = -1) -> dict[str, str]:
        """The form of a request."""
        body = str(self.requests[number].body)
        return {name: values[0] for name, values in parse_qs(body).items()}


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    return Service(monkeypatch)


def waiter() -> Waiter:
    moment = [0.0]

    async def sleep(seconds: float) -> None:
        moment[0] += seconds

    return Waiter(lambda: moment[0], sleep)


def at(cloud: str = "global", **network: Any) -> TokenService:
    return TokenService(CLOUDS[cloud], Network(**network), 100.0)


async def signed_in(service: TokenService, kind: Kind = Kind.SECRET, proof: str = CANARY) -> Any:
    return await fresh_token(service, waiter(), TENANT, APP, kind, SecretText(proof))


def refusing(number: int, error: str = "invalid_client", status: int = 401) -> Answer:
    body = {
        "error": error,
        "error_codes": [number],
        "error_description": f"AADSTS{number}: no.\r\nTrace ID: x",
    }
    return Answer(status, json=body | {"trace_id": "trace", "correlation_id": "correlation"})


def tunnel(status: str) -> Exception:
    """What requests makes of a proxy that refuses."""
    refused = urllib3.exceptions.ProxyError("Cannot connect", OSError(f"Tunnel connection failed: {status}"))
    return requests.exceptions.ProxyError(MaxRetryError(None, "", refused))  # type: ignore[arg-type]


# --- what is sent


@pytest.mark.parametrize("cloud", sorted(CLOUDS))
async def test_one_request_for_a_token(service: Service, cloud: str) -> None:
    service.answers = [Answer(200, json=GRANTED)]
    token = await signed_in(at(cloud, user_agent="us/1"))
    assert token.token == TOKEN
    (request,) = service.requests
    assert request.url == f"{CLOUDS[cloud].authority}/{TENANT}/oauth2/v2.0/token"
    assert (request.method, request.headers["content-type"]) == ("POST", "application/x-www-form-urlencoded")
    assert request.headers["user-agent"].startswith("us/1 azsdk-python-identity/")
    form = service.form()
    assert json.loads(form.pop("claims")) == {"access_token": {"xms_cc": {"values": ["CP1"]}}}
    assert form == {
        "client_id": APP,
        "client_secret": CANARY,
        "grant_type": "client_credentials",
        "scope": CLOUDS[cloud].graph_scope,
    }


async def test_an_assertion_is_sent_as_it_is(service: Service) -> None:
    service.answers = [Answer(200, json=GRANTED)]
    await signed_in(at(), Kind.ASSERTION, "an.assertion.x")
    assert service.form()["client_assertion"] == "an.assertion.x"
    assert "client_secret" not in service.form()


async def test_timeouts_are_the_settings_unless_the_library_wants_shorter_ones(service: Service) -> None:
    service.answers = [Answer(200, json={})]
    session = Attempt(at(connect_timeout=3, read_timeout=7)).session()
    for wanted in (None, 300, 1):
        session.get("https://login.example/t", timeout=wanted)
    assert [given["timeout"] for given in service.options] == [(3, 7), (3, 7), (1, 1)]


# --- what is received


async def test_answers_are_noted(service: Service) -> None:
    packed = gzip.compress(refusing(7000215).content)
    service.answers = [
        Answer(401, headers={"Content-Encoding": "gzip"}, content=packed),
        Answer(302, headers={"Location": "https://elsewhere.example/"}),
        Answer(429, headers={"Retry-After": "7"}, html="slow down"),
    ]
    attempt = Attempt(at())
    for _ in range(3):
        attempt.session().post("https://login.example:8443/t/token", allow_redirects=False)
    noted = attempt.exchanges
    assert [item.status for item in noted] == [401, 302, 429]
    assert {(item.method, item.host, item.path) for item in noted} == {
        ("POST", "login.example:8443", "/t/token")
    }
    assert (noted[0].numbers, noted[0].error, noted[0].request_id) == ((7000215,), "invalid_client", "trace")
    assert (noted[2].retry_after, noted[2].readable) == (7.0, False)
    assert len(service.requests) == 3


BROKEN: list[tuple[Exception, str]] = [
    (requests.ConnectionError(NewConnectionError(None, "refused")), "connect"),  # type: ignore[arg-type]
    (requests.ConnectTimeout("x"), "connect"),
    (requests.exceptions.SSLError("x"), "connect"),
    (requests.exceptions.ProxyError("407 for user:canary@proxy"), "proxy"),
    (requests.ConnectionError(ReadTimeoutError(None, "", "x")), "lost"),  # type: ignore[arg-type]
    (requests.ConnectionError(ProtocolError("aborted", ConnectionResetError(104, "Reset"))), "lost"),
]


@pytest.mark.parametrize(("error", "name"), BROKEN, ids=lambda item: str(item)[:20])
async def test_failures_carry_nothing_of_the_request(service: Service, error: Exception, name: str) -> None:
    service.answers = [error]
    attempt = Attempt(at())
    with pytest.raises(requests.ConnectionError) as caught:
        attempt.session().post("https://login.example/t", data={"client_secret": CANARY})
    assert [item.broken.kind for item in attempt.exchanges if item.broken] == [name]
    assert (caught.value.__cause__, caught.value.__context__, caught.value.request) == (None, None, None)
    assert "canary" not in str(caught.value)


def test_a_person_s_sign_in_and_an_application_s_take_the_proxy_and_metadata_never(service: Service) -> None:
    service.answers = [Answer(200, json={})]
    session = Attempt(at(proxy="http://proxy.example:1")).session()
    for url in ("https://login.example/t", "http://169.254.169.254/metadata"):
        session.get(url)
    assert [given["proxies"] for given in service.options] == [{"https": "http://proxy.example:1"}, {}]


@pytest.mark.parametrize("bomb", [False, True])
async def test_an_answer_of_more_than_a_megabyte_is_not_read(service: Service, bomb: bool) -> None:
    much = b"x" * (TOKEN_LIMIT + 1)
    service.answers = [
        Answer(200, content=gzip.compress(much * 50), headers={"Content-Encoding": "gzip"})
        if bomb
        else Answer(200, content=much)
    ]
    with pytest.raises(BootstrapError) as caught:
        await signed_in(at())
    assert caught.value.code == "unexpected-answer"
    assert "more than 1 MB" in caught.value.message
    assert len(service.requests) == 1


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (refusing(7000215), "secret-not-accepted"),
        (refusing(7000222), "secret-expired"),
        (refusing(700016, "unauthorized_client", 400), "application-not-found"),
        (refusing(90002, "invalid_request", 400), "tenant-not-found"),
        (refusing(53003, "interaction_required", 400), "conditional-access"),
        (Answer(429, headers={"Retry-After": "1"}), "entra-throttled"),
        (Answer(503, html="<p>busy</p>"), "entra-unavailable"),
        (Answer(403, html="<p>error, says the proxy</p>"), "unexpected-answer"),
        (Answer(200, html="<p>error: access_token expires_in</p>"), "unexpected-answer"),
        (Answer(302, headers={"location": "https://proxy.example/"}), "unexpected-answer"),
        (tunnel("407 Proxy Authentication Required"), "proxy-authentication-required"),
        (tunnel("403 Forbidden"), "proxy-refused"),
        (tunnel("502 Bad Gateway"), "proxy-unavailable"),
        (Answer(407), "proxy-authentication-required"),
        (requests.ConnectionError(ReadTimeoutError(None, "", "x")), "entra-reply-lost"),  # type: ignore[arg-type]
        (requests.ConnectTimeout("x"), "entra-unreachable"),
    ],
)
async def test_refusals_become_the_errors_of_the_table(service: Service, answer: Any, code: str) -> None:
    service.answers = [answer]
    with pytest.raises(BootstrapError) as caught:
        await signed_in(at())
    assert caught.value.code == code
    assert caught.value.__context__ is None
    assert CANARY not in repr(caught.value) + repr(vars(caught.value))
    assert (len(service.requests) > 1) is isinstance(caught.value, Temporary)


async def test_an_untrusted_certificate_is_named(service: Service) -> None:
    cause = ssl.SSLCertVerificationError(1, "x")
    cause.verify_message = "self-signed certificate"
    service.answers = [requests.exceptions.SSLError(MaxRetryError(None, "", cause))]  # type: ignore[arg-type]
    with pytest.raises(BootstrapError) as caught:
        await signed_in(at())
    assert caught.value.code == "tls-not-trusted"
    assert "self-signed certificate" in caught.value.message


async def test_retry_after_is_heeded(service: Service) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    service.answers = [
        Answer(429, headers={"Retry-After": "9"}),
        Answer(200, json=GRANTED),
    ]
    await fresh_token(at(), Waiter(lambda: sum(slept), sleep), TENANT, APP, Kind.SECRET, SecretText(CANARY))
    assert len(slept) == 1
    assert slept[0] >= 9


# --- the operator


def tokens(login: str, **changes: Any) -> OperatorTokens:
    options: dict[str, Any] = {"login": login, "tenant_id": TENANT, "announce": lambda _: None}
    return OperatorTokens(at(), waiter(), **(options | changes))


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    for name in (
        "AZURE_CLIENT_SEND_CERTIFICATE_CHAIN",
        "IDENTITY_SERVER_THUMBPRINT",
        "AZURE_TOKEN_CREDENTIALS",
    ):
        monkeypatch.delenv(name, raising=False)

    def give(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    give(AZURE_CLIENT_ID=APP, AZURE_TENANT_ID=TENANT, AZURE_CLIENT_SECRET=CANARY)
    return give


async def test_a_challenge_is_answered_with_a_new_token(
    service: Service, environment: Callable[..., None]
) -> None:
    service.answers = [Answer(200, json=GRANTED)]
    operator = tokens("environment")
    await operator.get_token()
    await operator.get_token()
    assert len(service.requests) == 1
    await operator.get_token(claims='{"access_token":{"nbf":{"essential":true}}}')
    assert len(service.requests) == 2
    assert json.loads(service.form()["claims"]) == {
        "access_token": {"nbf": {"essential": True}, "xms_cc": {"values": ["CP1"]}}
    }
    operator.forget()
    await operator.get_token()
    assert len(service.requests) == 3
    await operator.close()


async def test_a_given_credential_may_be_asynchronous(service: Service) -> None:
    from azure.identity.aio import ClientSecretCredential

    service.answers = [Answer(200, json=GRANTED)]
    transport = AsyncioRequestsTransport(session=Attempt(at()).session())
    async with ClientSecretCredential(TENANT, APP, CANARY, transport=transport) as credential:
        operator = tokens("default", credential=credential)
        assert (await operator.claims()).tenant_id == TENANT
        await operator.close()
    assert len(service.requests) == 1


NAMES = {
    "default": "DefaultAzureCredential",
    "environment": "EnvironmentCredential",
    "certificate": "EnvironmentCredential",
    "workload-identity": "WorkloadIdentityCredential",
    "managed-identity": "ManagedIdentityCredential",
    "azure-cli": "AzureCliCredential",
    "browser": "InteractiveBrowserCredential",
    "device-code": "DeviceCodeCredential",
}
BLOCKING = {
    "AZURE_CLIENT_SEND_CERTIFICATE_CHAIN": ("1", {"default", "environment", "certificate"}),
    "IDENTITY_SERVER_THUMBPRINT": ("ab", {"default", "managed-identity"}),
    "AZURE_TOKEN_CREDENTIALS": ("InteractiveBrowserCredential", {"default"}),
    "NOTHING_OF_INTEREST": ("1", set()),
}


@pytest.mark.parametrize("variable", sorted(BLOCKING))
@pytest.mark.parametrize("login", sorted(LOGINS))
async def test_every_login_makes_its_credential(
    login: str, variable: str, environment: Callable[..., None], tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("x")
    value, among = BLOCKING[variable]
    environment(AZURE_FEDERATED_TOKEN_FILE=str(token), **{variable: value})
    attempt = Attempt(at())
    credential = LOGINS[login](attempt, TENANT, lambda *_: None)
    assert type(credential).__name__ == NAMES[login]
    blocking = login in {"azure-cli", "browser", "device-code", *among}
    assert inspect.iscoroutinefunction(credential.get_token) is not blocking
    assert (".aio." in type(credential).__module__) is not blocking
    closing = credential.close()
    if not blocking:
        await closing
    assert attempt.exchanges == []


MANAGED = {
    "access_token": TOKEN,
    "expires_in": "3599",
    "expires_on": "4000000000",
    "resource": "x",
    "token_type": "Bearer",
}


async def test_a_workload_identity_signs_in(
    service: Service, environment: Callable[..., None], tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("an.assertion.x")
    environment(AZURE_FEDERATED_TOKEN_FILE=str(token))
    service.answers = [Answer(200, json=GRANTED)]
    operator = tokens("workload-identity")
    assert (await operator.claims()).tenant_id == TENANT
    assert service.form()["client_assertion"] == "an.assertion.x"
    await operator.close()


@pytest.mark.parametrize("login", ["managed-identity", "default"])
async def test_a_managed_identity_of_a_machine_signs_in(
    service: Service, environment: Callable[..., None], monkeypatch: pytest.MonkeyPatch, login: str
) -> None:
    monkeypatch.delenv("AZURE_CLIENT_SECRET")
    environment(HTTP_PROXY="http://proxy.example:1")
    service.answers = [Answer(200, json=MANAGED)]
    operator = tokens(login)
    assert (await operator.claims()).tenant_id == TENANT
    request = service.requests[-1]
    assert request.method == "GET"
    assert str(request.url).startswith("http://169.254.169.254/")
    assert request.headers["metadata"] == "true"
    assert parse_qs(urlsplit(str(request.url)).query)["resource"] == ["https://graph.microsoft.com"]
    await operator.close()


async def test_a_managed_identity_of_app_service_signs_in(
    service: Service, environment: Callable[..., None]
) -> None:
    environment(IDENTITY_ENDPOINT="http://127.0.0.1:41/msi/token", IDENTITY_HEADER=CANARY)
    service.answers = [Answer(200, json=MANAGED)]
    operator = tokens("managed-identity")
    assert (await operator.claims()).tenant_id == TENANT
    assert service.requests[-1].headers["x-identity-header"] == CANARY
    service.answers = [Answer(500, html=CANARY)]
    operator.forget()
    with pytest.raises(BootstrapError) as caught:
        await operator.get_token()
    assert caught.value.code == "no-operator-identity"
    assert CANARY not in repr(caught.value) + repr(vars(caught.value))
    await operator.close()


async def test_azure_s_command_line_signs_in(
    environment: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "az"
    program.write_text(
        f"#!/bin/sh\ncase $1 in account) echo '{json.dumps({'accessToken': TOKEN, 'expires_on': 4000000000})}';; esac\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert (await tokens("azure-cli").claims()).tenant_id == TENANT
    program.write_text("#!/bin/sh\necho 'ERROR: AADSTS700082: The refresh token has expired.' >&2\nexit 1\n")
    with pytest.raises(BootstrapError) as caught:
        await tokens("azure-cli").claims()
    assert caught.value.code == "interaction-required"
    program.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BootstrapError) as caught:
        await tokens("azure-cli").claims()
    assert (caught.value.code, caught.value.facts["tried"]) == (
        "no-operator-identity",
        "Azure CLI not found on path",
    )


async def test_the_operator_of_the_settings(service: Service, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{CANARY}\n")
    service.answers = [Answer(200, json=GRANTED)]
    operator = tokens("default", operator=OperatorIdentity(APP, secret_file=str(secret)))
    await operator.get_token()
    assert (service.form()["client_secret"], service.form()["client_id"]) == (CANARY, APP)
    await operator.close()
    with pytest.raises(ValueError, match="tenant_id"):
        sign_in_as_application(OperatorIdentity(APP, secret_file=str(secret)), Attempt(at()), None, print)
    unreadable = tokens("default", operator=OperatorIdentity(APP, certificate_file=str(secret)))
    with pytest.raises(BootstrapError) as caught:
        await unreadable.get_token()
    assert caught.value.code == "operator-credential-unusable"
    assert CANARY not in repr(caught.value) + repr(vars(caught.value))


DEEP = b'{"error": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
STRANGE = b'{"error": "a\\ud800", "error_description": "\\udfff", "error_codes": {}, "trace_id": "\\ud800", "access_token": 7}'


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("content", [DEEP, STRANGE, b"[]", b"null", b"7", b"\xff\xfe"])
async def test_whatever_an_answer_holds_the_sign_in_ends(
    service: Service, caplog: pytest.LogCaptureFixture, status: int, content: bytes
) -> None:
    # The library logs whole refusals, halves of surrogate pairs included.
    caplog.set_level(logging.CRITICAL, "azure")
    headers = {
        "x-ms-request-id": "\xe9\xff",
        "Retry-After": "\xb2",
        "Date": "\xfc",
        "Content-Type": "application/json",
    }
    service.answers = [Answer(status, content=content, headers=headers)]
    with pytest.raises(BootstrapError) as caught:
        await signed_in(at())
    assert caught.value.code in {"unexpected-answer", "sign-in-failed"}
    (str(caught.value) + caught.value.trace.line()).encode()  # type: ignore[union-attr]


# --- nothing waits for ever


class Line:
    """A server on loopback that answers as it is told to, a piece at a time, until its peer hangs up."""

    def __init__(self, first: bytes, then: bytes) -> None:
        self.first, self.then = first, then
        self.met, self.over = threading.Event(), threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        peer, _ = self._listener.accept()
        with peer:
            peer.recv(65536)
            peer.sendall(self.first)
            self.met.set()
            with contextlib.suppress(OSError):
                while not select.select([peer], [], [], 0.02)[0] or peer.recv(65536):
                    peer.sendall(self.then)
        self.over.set()

    def close(self) -> None:
        self._listener.close()


DRIPS = {
    "nothing": (b"", b""),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"x"),
    "a body": (b"HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n", b"x"),
    "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "a body without an end": (b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
}


@pytest.mark.parametrize("drip", sorted(DRIPS))
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_answer_that_never_ends_is_given_up_at_the_deadline(drip: str, scheme: str) -> None:
    line = Line(*DRIPS[drip])
    attempt = Attempt(TokenService(CLOUDS["global"], Network(), 0.2))
    with pytest.raises(requests.ConnectionError):
        attempt.session().get(f"{scheme}://127.0.0.1:{line.port}/t")
    assert line.over.wait(3)
    (noted,) = attempt.exchanges
    assert noted.broken is not None
    if scheme == "http":
        assert (noted.broken.kind, noted.broken.reason) == ("lost", "no whole answer within 0 s")
    attempt.close()
    line.close()


@pytest.mark.parametrize("proxied", [False, True])
async def test_giving_up_in_the_middle_of_a_handshake_ends_its_thread_and_its_connection(
    proxied: bool,
) -> None:
    line = Line(b"HTTP/1.1 200 OK\r\n\r\n" if proxied else b"", b"")
    cloud = replace(CLOUDS["global"], authority=f"https://127.0.0.1:{line.port}")
    network = Network(proxy=f"http://127.0.0.1:{line.port}" if proxied else None)
    service = TokenService(cloud, network, 100.0)
    asking = asyncio.create_task(signed_in(service))
    await asyncio.to_thread(line.met.wait, 10)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert await asyncio.to_thread(line.over.wait, 3)
    line.close()


async def test_a_token_service_that_was_never_reached_is_told_within_ten_seconds(service: Service) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    service.answers = [requests.ConnectTimeout("x")]
    with pytest.raises(BootstrapError) as caught:
        await fresh_token(
            at(), Waiter(lambda: sum(slept), sleep), TENANT, APP, Kind.SECRET, SecretText(CANARY)
        )
    assert caught.value.code == "entra-unreachable"
    assert "login.microsoftonline.com" in caught.value.message
    assert 3 < sum(slept) < 10


def test_a_person_s_thread_that_fails_in_an_odd_way_is_told() -> None:
    def end() -> None:
        raise SystemExit(1)

    with pytest.raises(RuntimeError, match="SystemExit"):
        asyncio.run(_in_daemon_thread(end))
