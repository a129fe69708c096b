"""How azure-identity's credentials are made, and what they send and receive through our transport."""

from __future__ import annotations

import asyncio
import gzip
import inspect
import json
import os
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from azure.core.exceptions import ServiceRequestError, ServiceResponseError
from azure.core.rest import HttpRequest

from authentik_entra_bootstrap.domain import CLOUDS, AppId, Network, OperatorIdentity, SecretText, TenantId
from authentik_entra_bootstrap.entra.credentials import Kind, OperatorTokens, TokenService, fresh_token
from authentik_entra_bootstrap.entra.exchanges import Exchange
from authentik_entra_bootstrap.entra.logins import LOGINS, sign_in_as_application
from authentik_entra_bootstrap.entra.token_transport import NotingTransport
from authentik_entra_bootstrap.errors import BootstrapError, Temporary
from authentik_entra_bootstrap.waiting import Waiter

TENANT = TenantId("10000000-0000-4000-8000-000000000001")
APP = AppId("20000000-0000-4000-8000-000000000002")
CANARY = "c4n~ary.S3cret &+%"
TOKEN = "e30." + "eyJ0aWQiOiIxMDAwMDAwMC0wMDAwLTQwMDAtODAwMC0wMDAwMDAwMDAwMDEifQ" + ".x"
GRANTED = {"token_type": "Bearer", "expires_in": 3599, "access_token": TOKEN}


class Service:
    """Answers in the place of the network what it is told, and keeps what was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: list[Any] = []
        self.requests: list[httpx.Request] = []
        service = self

        async def answer(_pool: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
            service.requests.append(request)
            given = service.answers.pop(0) if len(service.answers) > 1 else service.answers[0]
            if isinstance(given, Exception):
                raise given
            return given

        monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", answer)

    def form(self, number: int = -1) -> dict[str, str]:
        """The form of a request."""
        return {name: values[0] for name, values in parse_qs(self.requests[number].content.decode()).items()}


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    return Service(monkeypatch)


def waiter() -> Waiter:
    moment = [0.0]

    async def sleep(seconds: float) -> None:
        moment[0] += seconds

    return Waiter(lambda: moment[0], sleep)


def at(cloud: str = "global", **network: Any) -> TokenService:
    return TokenService(CLOUDS[cloud], Network(**network))


async def signed_in(service: TokenService, kind: Kind = Kind.SECRET, proof: str = CANARY) -> Any:
    return await fresh_token(service, waiter(), TENANT, APP, kind, SecretText(proof))


def refusing(number: int, error: str = "invalid_client", status: int = 401) -> httpx.Response:
    body = {
        "error": error,
        "error_codes": [number],
        "error_description": f"AADSTS{number}: no.\r\nTrace ID: x",
    }
    return httpx.Response(status, json=body | {"trace_id": "trace", "correlation_id": "correlation"})


# --- what is sent


@pytest.mark.parametrize("cloud", sorted(CLOUDS))
async def test_one_request_for_a_token(service: Service, cloud: str) -> None:
    service.answers = [httpx.Response(200, json=GRANTED)]
    token = await signed_in(at(cloud, user_agent="us/1"))
    assert token.token == TOKEN
    (request,) = service.requests
    assert str(request.url) == f"{CLOUDS[cloud].authority}/{TENANT}/oauth2/v2.0/token"
    assert (request.method, request.headers["content-type"]) == ("POST", "application/x-www-form-urlencoded")
    assert request.headers["user-agent"].startswith("us/1 azsdk-python-identity/")
    assert request.headers["host"] == CLOUDS[cloud].authority.removeprefix("https://")
    form = service.form()
    assert json.loads(form.pop("claims")) == {"access_token": {"xms_cc": {"values": ["CP1"]}}}
    assert form == {
        "client_id": APP,
        "client_secret": CANARY,
        "grant_type": "client_credentials",
        "scope": CLOUDS[cloud].graph_scope,
    }


async def test_an_assertion_is_sent_as_it_is(service: Service) -> None:
    service.answers = [httpx.Response(200, json=GRANTED)]
    await signed_in(at(), Kind.ASSERTION, "an.assertion.x")
    assert service.form()["client_assertion"] == "an.assertion.x"
    assert "client_secret" not in service.form()


async def test_timeouts_are_the_settings_unless_the_library_names_its_own(service: Service) -> None:
    service.answers = [httpx.Response(200, json={})]
    transport = NotingTransport(Network(connect_timeout=3, read_timeout=7), [])
    await transport.send(HttpRequest("GET", "https://login.example/t"))
    await transport.send(
        HttpRequest("GET", "https://login.example/t"), connection_timeout=1, read_timeout=2, stream=False
    )
    given = [request.extensions["timeout"] for request in service.requests]
    assert [(item["connect"], item["read"]) for item in given] == [(3, 7), (1, 2)]
    assert [(item["write"], item["pool"]) for item in given] == [(7, 7), (7, 7)]


@pytest.mark.parametrize("legacy", [False, True])
async def test_requests_of_either_kind(service: Service, legacy: bool) -> None:
    # azure-identity 1.23 still uses the older class.
    from azure.core.pipeline.transport import HttpRequest as Legacy

    service.answers = [httpx.Response(200, json={})]
    transport = NotingTransport(Network(), [])
    kind: Any = Legacy if legacy else HttpRequest
    await transport.send(kind("POST", "https://login.example/t", headers={"A": "b"}, data={"one": "1 &"}))
    await transport.send(kind("GET", "https://login.example/t?x=1"))
    assert [request.content for request in service.requests] == [b"one=1+%26", b""]
    assert (service.requests[0].headers["a"], str(service.requests[1].url)) == (
        "b",
        "https://login.example/t?x=1",
    )


# --- what is received


async def test_answers_are_noted(service: Service) -> None:
    packed = gzip.compress(json.dumps(refusing(7000215).json()).encode())
    service.answers = [
        httpx.Response(
            401, headers={"Content-Encoding": "gzip", "content-type": "application/json"}, content=packed
        ),
        httpx.Response(302, headers={"Location": "https://elsewhere.example/"}),
        httpx.Response(429, headers={"Retry-After": "7"}, text="slow down"),
    ]
    noted: list[Exchange] = []
    transport = NotingTransport(Network(), noted)
    for _ in range(3):
        await transport.send(HttpRequest("POST", "https://login.example:8443/t/token", data={}))
    assert [item.status for item in noted] == [401, 302, 429]
    assert {(item.method, item.host, item.path) for item in noted} == {
        ("POST", "login.example:8443", "/t/token")
    }
    assert (noted[0].numbers, noted[0].error, noted[0].request_id) == ((7000215,), "invalid_client", "trace")
    assert (noted[2].retry_after, noted[2].readable) == (7.0, False)
    assert len(service.requests) == 3


BROKEN: list[tuple[Exception, type[Exception], str]] = [
    (httpx.ConnectError("x"), ServiceRequestError, "connect"),
    (httpx.ConnectTimeout("x"), ServiceRequestError, "connect"),
    (httpx.ProxyError("407 for user:canary@proxy"), ServiceRequestError, "proxy"),
    (httpx.ReadTimeout("x"), ServiceResponseError, "lost"),
    (httpx.ReadError("x"), ServiceResponseError, "lost"),
    (httpx.RemoteProtocolError("x"), ServiceResponseError, "lost"),
]


@pytest.mark.parametrize(("error", "kind", "name"), BROKEN, ids=lambda item: type(item).__name__)
async def test_failures_are_azure_core_s_and_carry_nothing(
    service: Service, error: Exception, kind: type[Exception], name: str
) -> None:
    service.answers = [error]
    noted: list[Exchange] = []
    transport = NotingTransport(Network(), noted)
    with pytest.raises(kind) as caught:
        await transport.send(HttpRequest("POST", "https://login.example/t", data={"client_secret": CANARY}))
    assert [item.broken.kind for item in noted if item.broken] == [name]
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    assert "canary" not in str(caught.value)
    assert not isinstance(getattr(caught.value, "inner_exception", None), httpx.HTTPError)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (refusing(7000215), "secret-not-accepted"),
        (refusing(7000222), "secret-expired"),
        (refusing(700016, "unauthorized_client", 400), "application-not-found"),
        (refusing(90002, "invalid_request", 400), "tenant-not-found"),
        (refusing(53003, "interaction_required", 400), "conditional-access"),
        (httpx.Response(429, headers={"Retry-After": "1"}), "entra-throttled"),
        (httpx.Response(503, html="<p>busy</p>"), "entra-unavailable"),
        (httpx.Response(403, html="<p>error, says the proxy</p>"), "unexpected-answer"),
        (httpx.Response(200, html="<p>error: access_token expires_in</p>"), "unexpected-answer"),
        (httpx.Response(302, headers={"location": "https://proxy.example/"}), "unexpected-answer"),
        (httpx.ProxyError("407 Proxy Authentication Required"), "proxy-authentication-required"),
        (httpx.ProxyError("403 Forbidden"), "proxy-refused"),
        (httpx.ProxyError("502 Bad Gateway"), "proxy-unavailable"),
        (httpx.Response(407), "proxy-authentication-required"),
        (httpx.ReadTimeout("x"), "entra-reply-lost"),
        (httpx.ConnectError("x"), "entra-unreachable"),
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
    error = httpx.ConnectError("x")
    error.__cause__ = cause
    service.answers = [error]
    with pytest.raises(BootstrapError) as caught:
        await signed_in(at())
    assert caught.value.code == "tls-not-trusted"
    assert "self-signed certificate" in caught.value.message


async def test_retry_after_is_heeded(service: Service) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    service.answers = [
        httpx.Response(429, headers={"Retry-After": "9"}),
        httpx.Response(200, json=GRANTED),
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
    service.answers = [httpx.Response(200, json=GRANTED)]
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

    service.answers = [httpx.Response(200, json=GRANTED)]
    transport = NotingTransport(Network(), [])
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
    attempt = at().attempt()
    credential = LOGINS[login](attempt, TENANT, lambda *_: None)
    assert type(credential).__name__ == NAMES[login]
    blocking = login in {"browser", "device-code", *among}
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
    service.answers = [httpx.Response(200, json=GRANTED)]
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
    service.answers = [httpx.Response(200, json=MANAGED)]
    operator = tokens(login)
    assert (await operator.claims()).tenant_id == TENANT
    request = service.requests[-1]
    assert (request.method, request.url.host) == ("GET", "169.254.169.254")
    assert request.headers["metadata"] == "true"
    assert request.url.params["resource"] == "https://graph.microsoft.com"
    await operator.close()


async def test_a_managed_identity_of_app_service_signs_in(
    service: Service, environment: Callable[..., None]
) -> None:
    environment(IDENTITY_ENDPOINT="http://127.0.0.1:41/msi/token", IDENTITY_HEADER=CANARY)
    service.answers = [httpx.Response(200, json=MANAGED)]
    operator = tokens("managed-identity")
    assert (await operator.claims()).tenant_id == TENANT
    assert service.requests[-1].headers["x-identity-header"] == CANARY
    service.answers = [httpx.Response(500, text=CANARY)]
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
    service.answers = [httpx.Response(200, json=GRANTED)]
    operator = tokens("default", operator=OperatorIdentity(APP, secret_file=str(secret)))
    await operator.get_token()
    assert (service.form()["client_secret"], service.form()["client_id"]) == (CANARY, APP)
    await operator.close()
    with pytest.raises(ValueError, match="tenant_id"):
        sign_in_as_application(OperatorIdentity(APP, secret_file=str(secret)), at().attempt(), None, print)
    unreadable = tokens("default", operator=OperatorIdentity(APP, certificate_file=str(secret)))
    with pytest.raises(BootstrapError) as caught:
        await unreadable.get_token()
    assert caught.value.code == "operator-credential-invalid"
    assert CANARY not in repr(caught.value) + repr(vars(caught.value))


@pytest.mark.parametrize("proxied", [False, True])
async def test_giving_up_in_the_middle_of_a_handshake_leaves_no_connection(proxied: bool) -> None:
    met, ended = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if proxied:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await reader.readexactly(1)
        met.set()
        await reader.read()
        ended.set()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    network = Network(proxy=f"http://127.0.0.1:{port}" if proxied else None)
    transport = NotingTransport(network, [])
    asking = asyncio.create_task(transport.send(HttpRequest("GET", f"https://127.0.0.1:{port}/")))
    await met.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await transport.close()
    await asyncio.wait_for(ended.wait(), 5)
    server.close()
    await server.wait_closed()
