"""Signing in by azure-identity: what it sends through our transport, what comes back, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import inspect
import json
import logging
import os
import select
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ServiceRequestError
from azure.core.pipeline.transport import HttpRequest
from azure.identity.aio import ClientSecretCredential

from authentik_entra_bootstrap.domain import CLOUDS, AppId, Network, OperatorIdentity, TenantId
from authentik_entra_bootstrap.entra.adapter import EntraAdapter
from authentik_entra_bootstrap.entra.http_client import CredentialTransport, TokenService
from authentik_entra_bootstrap.entra.logins import LOGINS, sign_in_as_application
from authentik_entra_bootstrap.entra.sign_in import OneToken, OperatorTokens, _in_daemon_thread, fresh_token
from authentik_entra_bootstrap.entra.token_errors import SignIn
from authentik_entra_bootstrap.errors import BootstrapError, Denied, Temporary
from authentik_entra_bootstrap.support.network import TOKEN_LIMIT
from authentik_entra_bootstrap.support.waiting import Waiter

from .conftest import CANARY, CONTOSO, OTHER, TENANT, Given, Service, jwt, refused

APP = AppId(OTHER)
TOKEN = jwt()
GRANTED = httpx.Response(200, json={"token_type": "Bearer", "expires_in": 3599, "access_token": TOKEN})
CHALLENGE = '{"access_token":{"nbf":{"essential":true}}}'


SECRET = partial(ClientSecretCredential, TENANT, APP, CANARY)
WHO = SignIn("sync", TENANT, APP)


async def signed_in(service: Service, make: Any = SECRET, **network: Any) -> AccessToken:
    return await fresh_token(service.tokens(**network), service.waiter(), WHO, make)


def form(service: Service, number: int = -1) -> dict[str, str]:
    """The form of a request."""
    fields = parse_qs(service.requests[number].content.decode())
    return {name: values[0] for name, values in fields.items()}


def refusing(number: int, error: str = "invalid_client", status: int = 401) -> httpx.Response:
    body = {
        "error": error,
        "error_codes": [number],
        "error_description": f"AADSTS{number}: no.\r\nTrace ID: x",
    }
    return httpx.Response(status, json=body | {"trace_id": "trace", "correlation_id": "correlation"})


def shown(error: BootstrapError) -> str:
    """Everything that an error could give away."""
    return repr(error) + repr(vars(error)) + repr(error.__context__) + repr(error.__cause__)


# --- one sign-in


@pytest.mark.parametrize("cloud", sorted(CLOUDS))
async def test_one_request_for_a_token(service: Service, cloud: str) -> None:
    service.always = GRANTED
    token = await signed_in(service, cloud=cloud, user_agent="us/1")
    assert token.token == TOKEN
    (request,) = service.requests
    assert str(request.url) == f"{CLOUDS[cloud].authority}/{TENANT}/oauth2/v2.0/token"
    assert (request.method, request.headers["content-type"]) == ("POST", "application/x-www-form-urlencoded")
    assert request.headers["user-agent"].startswith("us/1 azsdk-python-identity/")
    sent = form(service)
    assert json.loads(sent.pop("claims")) == {"access_token": {"xms_cc": {"values": ["CP1"]}}}
    assert sent == {
        "client_id": APP,
        "client_secret": CANARY,
        "grant_type": "client_credentials",
        "scope": CLOUDS[cloud].graph_scope,
    }


async def test_timeouts_are_the_settings_unless_the_library_wants_shorter_ones(service: Service) -> None:
    transport = CredentialTransport(service.tokens(connect_timeout=3, read_timeout=7), WHO)
    async with ClientSecretCredential(TENANT, APP, CANARY, transport=transport, retry_total=0) as credential:
        service.always = GRANTED
        for shorter in (300, 1):
            await credential.get_token("a/.default", connection_timeout=shorter, tenant_id=TENANT)
            credential._client._cache = None
    limits = [request.extensions["timeout"] for request in service.requests]
    assert [(item["connect"], item["read"]) for item in limits] == [(3, 7), (1, 1)]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (refusing(7000215), "secret-not-accepted"),
        (refusing(700016, "unauthorized_client", 400), "application-not-found"),
        (httpx.Response(429, headers={"Retry-After": "1"}), "entra-throttled"),
        (httpx.Response(503, html="<p>busy</p>"), "entra-unavailable"),
        (httpx.Response(403, html="<p>error, says the proxy</p>"), "unexpected-answer"),
        (httpx.Response(200, html="<p>error: access_token expires_in</p>"), "unexpected-answer"),
        (httpx.Response(302, headers={"location": "https://proxy.example/"}), "unexpected-answer"),
        (httpx.Response(407), "proxy-authentication-required"),
        (httpx.ProxyError("403 Forbidden"), "proxy-refused"),
        (httpx.ReadTimeout(CANARY), "entra-reply-lost"),
        (httpx.ConnectTimeout(CANARY), "entra-unreachable"),
    ],
)
async def test_refusals_become_the_errors_of_the_table(service: Service, answer: Any, code: str) -> None:
    service.always = answer
    with pytest.raises(BootstrapError, match=rf"\[{code}\]") as caught:
        await signed_in(service)
    assert caught.value.__context__ is None
    assert CANARY not in shown(caught.value)
    assert (len(service.requests) > 1) is isinstance(caught.value, Temporary)


async def test_an_error_for_the_library_holds_nothing_of_the_request(service: Service) -> None:
    service.always = httpx.ReadTimeout(CANARY)
    transport = CredentialTransport(service.tokens(), WHO)
    request = HttpRequest("POST", "https://login.microsoftonline.com/token", data={"client_secret": CANARY})
    with pytest.raises(ServiceRequestError) as caught:
        await transport.send(request)
    error = caught.value
    assert (error.__context__, error.__cause__, error.inner_exception) == (None, None, None)
    assert CANARY not in repr(error) + repr(vars(error))


async def test_a_packed_answer_is_read(service: Service) -> None:
    packed = httpx.ByteStream(gzip.compress(refusing(7000215).content))
    service.always = httpx.Response(401, headers={"Content-Encoding": "gzip"}, stream=packed)
    with pytest.raises(Denied, match=r"\[secret-not-accepted\]") as caught:
        await signed_in(service)
    assert caught.value.trace is not None
    assert caught.value.trace.line() == (
        f"entra POST /{TENANT}/oauth2/v2.0/token: 401 AADSTS7000215 (request id trace, correlation id correlation)"
    )


@pytest.mark.parametrize("bomb", [False, True])
async def test_an_answer_of_more_than_a_megabyte_is_not_read(service: Service, bomb: bool) -> None:
    much = b"x" * (TOKEN_LIMIT + 1)
    content, headers = (gzip.compress(much * 50), {"Content-Encoding": "gzip"}) if bomb else (much, {})
    service.always = httpx.Response(200, headers=headers, stream=httpx.ByteStream(content))
    with pytest.raises(BootstrapError, match="more than 1 MB") as caught:
        await signed_in(service)
    assert caught.value.code == "unexpected-answer"
    assert len(service.requests) == 1


async def test_a_token_service_that_was_never_reached_is_told_within_ten_seconds(service: Service) -> None:
    service.always = httpx.ConnectTimeout("x")
    with pytest.raises(BootstrapError, match=r"login\.microsoftonline\.com") as caught:
        await signed_in(service)
    assert caught.value.code == "entra-unreachable"
    assert 3 < sum(service.slept) < 10


DEEP = b'{"error": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
STRANGE = b'{"error": "a\\ud800", "error_description": "\\udfff", "error_codes": {}, "trace_id": "\\ud800", "access_token": 7}'


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("content", [DEEP, STRANGE, b"[]", b"null", b"7", b"\xff\xfe"])
async def test_whatever_an_answer_holds_the_sign_in_ends(
    service: Service, caplog: pytest.LogCaptureFixture, status: int, content: bytes
) -> None:
    # The library logs whole refusals, halves of surrogate pairs included.
    caplog.set_level(logging.CRITICAL, "azure")
    headers = [(b"x-ms-request-id", b"\xe9\xff"), (b"Retry-After", b"\xb2"), (b"Date", b"\xfc")]
    headers.append((b"Content-Type", b"application/json"))
    service.always = lambda _: httpx.Response(status, content=content, headers=headers)
    with pytest.raises(BootstrapError) as caught:
        await signed_in(service)
    assert caught.value.code in {"unexpected-answer", "sign-in-failed"}
    (str(caught.value) + caught.value.trace.line()).encode()


class Line:
    """A server on loopback that answers a piece at a time until its peer hangs up."""

    def __init__(self, first: bytes) -> None:
        self.first = first
        self.met, self.over = threading.Event(), threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        peer, _ = self._listener.accept()
        with peer, self._listener:
            peer.recv(65536)
            peer.sendall(self.first)
            self.met.set()
            with contextlib.suppress(OSError):
                while not select.select([peer], [], [], 0.02)[0] or peer.recv(65536):
                    pass
        self.over.set()


@pytest.mark.parametrize("proxied", [False, True])
@pytest.mark.parametrize("late", [False, True])
async def test_giving_up_in_the_middle_of_a_handshake_ends_its_connection(
    service: Service, proxied: bool, late: bool
) -> None:
    line = Line(b"HTTP/1.1 200 OK\r\n\r\n" if proxied else b"")
    cloud = replace(CLOUDS["global"], authority=f"https://127.0.0.1:{line.port}")
    network = Network(proxy=f"http://127.0.0.1:{line.port}" if proxied else None)
    tokens = TokenService(cloud, network, 0.2 if late else 100.0)
    waiter = Waiter(lambda: service.time, service.sleep, scale=0.0)
    asking = asyncio.create_task(fresh_token(tokens, waiter, WHO, SECRET))
    await asyncio.to_thread(line.met.wait, 10)
    if late:
        with pytest.raises(Temporary):
            await asking
    else:
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    assert await asyncio.to_thread(line.over.wait, 3)


# --- the operator


def tokens(service: Service, login: str, **changes: Any) -> OperatorTokens:
    options: dict[str, Any] = {"login": login, "tenant_id": TENANT, "announce": lambda _: None}
    return OperatorTokens(service.tokens(), service.waiter(), **(options | changes))


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    for name in BLOCKING:
        monkeypatch.delenv(name, raising=False)

    def give(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    give(AZURE_CLIENT_ID=APP, AZURE_TENANT_ID=TENANT, AZURE_CLIENT_SECRET=CANARY)
    return give


async def test_a_challenge_is_answered_with_a_new_token(
    service: Service, environment: Callable[..., None]
) -> None:
    service.always = GRANTED
    operator = tokens(service, "environment")
    for _ in range(2):
        await operator.get_token()
    assert len(service.requests) == 1
    await operator.get_token(claims=CHALLENGE)
    assert len(service.requests) == 2
    assert json.loads(form(service)["claims"]) == {
        "access_token": {"nbf": {"essential": True}, "xms_cc": {"values": ["CP1"]}}
    }
    operator.forget()
    await operator.get_token()
    assert len(service.requests) == 3
    await operator.close()


async def test_a_given_credential_may_be_asynchronous(service: Service) -> None:
    service.always = GRANTED
    transport = CredentialTransport(service.tokens(), WHO)
    async with ClientSecretCredential(TENANT, APP, CANARY, transport=transport) as credential:
        operator = tokens(service, "default", credential=credential)
        assert (await operator.claims()).tenant_id == TENANT
        await operator.close()
    assert len(service.requests) == 1


async def test_a_token_of_another_tenant_is_refused(service: Service) -> None:
    with pytest.raises(Denied, match=r"\[wrong-tenant\]"):
        await tokens(service, "default", credential=Given(), tenant_id=TenantId(OTHER)).claims()
    upper = TenantId(TENANT.upper())
    operator = tokens(service, "default", credential=Given(), tenant_id=upper)
    assert (await operator.claims()).tenant_id == TENANT


async def test_the_token_is_kept_until_it_is_about_to_expire(service: Service) -> None:
    operator = tokens(service, "default", credential=service.credential)
    for _ in range(3):
        await operator.get_token()
    assert service.credential.asked == 1
    operator._token = AccessToken(TOKEN, 0)
    await operator.get_token()
    assert service.credential.asked == 2


async def test_requests_side_by_side_share_one_new_token(service: Service, entra: EntraAdapter) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        expired = service.credential.asked == 1
        return refused(401, "InvalidAuthenticationToken", "expired") if expired else CONTOSO

    service.always = answer
    await asyncio.gather(*(entra.organization() for _ in range(5)))
    assert service.credential.asked == 2


async def test_a_credential_that_fails_in_its_own_way(service: Service) -> None:
    class Failing:
        def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
            raise KeyError(CANARY)

    with pytest.raises(Denied, match=r"\[no-operator-identity\]") as caught:
        await tokens(service, "default", credential=Failing()).claims()
    assert CANARY not in shown(caught.value)


def test_a_token_is_never_shown_by_its_session() -> None:
    token = OneToken(AccessToken(TOKEN, 0))
    assert TOKEN not in repr(token) + repr(vars(token))


def test_a_person_s_thread_that_fails_in_an_odd_way_is_told() -> None:
    def end() -> None:
        raise SystemExit(1)

    with pytest.raises(RuntimeError, match="SystemExit"):
        asyncio.run(_in_daemon_thread(end))


# --- every login

NAMES = {
    "default": "DefaultAzureCredential",
    "environment": "EnvironmentCredential",
    "workload-identity": "WorkloadIdentityCredential",
    "managed-identity": "ManagedIdentityCredential",
    "azure-cli": "AzureCliCredential",
    "browser": "InteractiveBrowserCredential",
    "device-code": "DeviceCodeCredential",
}
BLOCKING = {
    "AZURE_CLIENT_SEND_CERTIFICATE_CHAIN": ("1", {"default", "environment"}),
    "IDENTITY_SERVER_THUMBPRINT": ("ab", {"default", "managed-identity"}),
    "AZURE_TOKEN_CREDENTIALS": ("InteractiveBrowserCredential", {"default"}),
    "NOTHING_OF_INTEREST": ("1", set()),
}


@pytest.mark.parametrize("variable", sorted(BLOCKING))
@pytest.mark.parametrize("login", sorted(LOGINS))
async def test_every_login_makes_its_credential(
    service: Service, login: str, variable: str, environment: Callable[..., None], tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("x")
    value, among = BLOCKING[variable]
    environment(AZURE_FEDERATED_TOKEN_FILE=str(token), **{variable: value})
    credential = LOGINS[login](CredentialTransport(service.tokens(), WHO), TENANT, lambda *_: None)
    assert type(credential).__name__ == NAMES[login]
    blocking = login in {"azure-cli", "browser", "device-code", *among}
    assert inspect.iscoroutinefunction(credential.get_token) is not blocking
    assert (".aio." in type(credential).__module__) is not blocking
    closing = credential.close()
    if not blocking:
        await closing
    assert service.requests == []


async def test_a_blocking_credential_signs_in_beside_the_loop(
    service: Service, environment: Callable[..., None]
) -> None:
    environment(AZURE_CLIENT_SEND_CERTIFICATE_CHAIN="1")
    authority = CLOUDS["global"].authority
    found = {
        "token_endpoint": f"{authority}/{TENANT}/oauth2/v2.0/token",
        "authorization_endpoint": f"{authority}/a",
        "issuer": f"{authority}/{TENANT}/v2.0",
    }
    service.always = lambda request: httpx.Response(200, json=found) if request.method == "GET" else GRANTED
    operator = tokens(service, "environment")
    assert (await operator.claims()).tenant_id == TENANT
    assert service.methods()[-1] == "POST"
    service.always = refusing(7000215)
    operator.forget()
    with pytest.raises(BootstrapError, match=r"\[operator-secret-wrong\]") as caught:
        await operator.get_token()
    assert CANARY not in shown(caught.value)


async def test_a_workload_identity_signs_in(
    service: Service, environment: Callable[..., None], tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("an.assertion.x")
    environment(AZURE_FEDERATED_TOKEN_FILE=str(token))
    service.always = GRANTED
    operator = tokens(service, "workload-identity")
    assert (await operator.claims()).tenant_id == TENANT
    assert form(service)["client_assertion"] == "an.assertion.x"
    await operator.close()


MANAGED_TOKEN = {"access_token": TOKEN, "expires_in": "3599", "expires_on": "4000000000", "resource": "x"}
MANAGED = httpx.Response(200, json=MANAGED_TOKEN | {"token_type": "Bearer"})


@pytest.mark.parametrize("login", ["managed-identity", "default"])
async def test_a_managed_identity_of_a_machine_signs_in(
    service: Service, environment: Callable[..., None], monkeypatch: pytest.MonkeyPatch, login: str
) -> None:
    monkeypatch.delenv("AZURE_CLIENT_SECRET")
    service.always = MANAGED
    operator = tokens(service, login)
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
    service.always = MANAGED
    operator = tokens(service, "managed-identity")
    assert (await operator.claims()).tenant_id == TENANT
    assert service.requests[-1].headers["x-identity-header"] == CANARY
    service.always = httpx.Response(500, html=CANARY)
    operator.forget()
    with pytest.raises(BootstrapError, match=r"\[no-operator-identity\]") as caught:
        await operator.get_token()
    assert CANARY not in shown(caught.value)
    await operator.close()


async def test_azure_s_command_line_signs_in(
    service: Service, environment: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "az"
    token = json.dumps({"accessToken": TOKEN, "expires_on": 4000000000})
    program.write_text(f"#!/bin/sh\ncase $1 in account) echo '{token}';; esac\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert (await tokens(service, "azure-cli").claims()).tenant_id == TENANT
    program.write_text("#!/bin/sh\necho 'ERROR: AADSTS700082: The refresh token has expired.' >&2\nexit 1\n")
    with pytest.raises(BootstrapError, match=r"\[interaction-required\]"):
        await tokens(service, "azure-cli").claims()
    program.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BootstrapError, match=r"\[no-operator-identity\]") as caught:
        await tokens(service, "azure-cli").claims()
    assert caught.value.facts["tried"] == "Azure CLI not found on path"


async def test_the_operator_of_the_settings(service: Service, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{CANARY}\n")
    service.always = GRANTED
    operator = tokens(service, "default", operator=OperatorIdentity(APP, secret_file=str(secret)))
    await operator.get_token()
    assert (form(service)["client_secret"], form(service)["client_id"]) == (CANARY, APP)
    await operator.close()
    with pytest.raises(ValueError, match="tenant_id"):
        sign_in_as_application(
            OperatorIdentity(APP, str(secret)), CredentialTransport(service.tokens(), WHO), None, print
        )
    unreadable = tokens(service, "default", operator=OperatorIdentity(APP, certificate_file=str(secret)))
    with pytest.raises(BootstrapError, match=r"\[operator-credential-unusable\]") as caught:
        await unreadable.get_token()
    assert CANARY not in shown(caught.value)
