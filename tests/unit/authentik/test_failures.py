"""Every way authentik or the network refuses becomes one of our errors, without a secret in it."""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import ssl
import threading
import traceback

import pytest
import trustme
from authentik_client.api_client import ApiClient
from model_line import Clock
from on_sandbox import free_port

from authentik_entra_bootstrap import errors
from authentik_entra_bootstrap.authentik.adapter import AuthentikAdapter
from authentik_entra_bootstrap.domain import ProviderPk, ProviderSpec, SecretText
from authentik_entra_bootstrap.errors import BootstrapError, ConfigError, ExitCode
from authentik_entra_bootstrap.support.waiting import Waiter

from .conftest import (
    HTML,
    ID,
    ME,
    ONE,
    TOKEN,
    Answer,
    Raw,
    Stub,
    adapter_for,
    bad_token,
    crashed,
    forbidden,
    provider_body,
    serve_basics,
)

SECRET = "canary-secret~8Q~value"
PK = ProviderPk(9)
CHANGE = "authentik_providers_microsoft_entra.change_microsoftentraprovider"


def refused(**fields: object) -> Answer:
    return Answer(400, fields)


def html(status: int, body: bytes = b"<html>", **headers: str) -> Answer:
    return Answer(status, body, headers, HTML)


REFUSALS = [
    (bad_token(), "authentik-token-invalid"),
    (forbidden("User inactive or deleted."), "authentik-token-invalid"),
    (forbidden(), "authentik-permission-missing"),
    (forbidden("Sie dürfen nicht."), "authentik-permission-missing"),
    (html(403), "authentik-refused-by-proxy"),
    (Answer(401, {"detail": "no"}), "authentik-token-invalid"),
    (refused(x=["Enterprise is required to create/update this object."]), "licence-required"),
    (refused(name=["provider with this name already exists."]), "authentik-name-taken"),
    (refused(client_secret=[f'"{SECRET}" is not a valid string.']), "authentik-validation-failed"),
    (refused(name=[f"strange value {SECRET}"], x={"y": [1, SECRET]}), "authentik-validation-failed"),
    (refused(), "authentik-validation-failed"),
    (html(400), "authentik-unexpected-answer"),
    (Answer(405, {"detail": 'Method "PATCH" not allowed.'}), "authentik-unexpected-answer"),
    (Answer(404, {"detail": "Not found."}), "authentik-not-found"),
    (html(404), "authentik-not-found-at-url"),
    (html(302, b"", Location="https://login.example.com/x?token=1"), "authentik-not-found-at-url"),
    (html(308, b"", Location="/sso/api/v3/"), "authentik-not-found-at-url"),
    (html(200), "authentik-not-found-at-url"),
    (Answer(200, b"{"), "authentik-unexpected-answer"),
    (Answer(200, [1, 2]), "authentik-unexpected-answer"),
    (Answer(200, {"pk": "x", "name": SECRET}), "authentik-unexpected-answer"),
    (Answer(415, {"detail": f"Unsupported {SECRET}"}), "authentik-unexpected-answer"),
]
REPEATED = [
    (crashed(), "authentik-server-error"),
    (Answer(405, b"", content_type=None), "authentik-server-error"),
    (Answer(429, {"detail": "slow"}), "authentik-throttled"),
    (html(500, b"boom"), "authentik-server-error"),
    (html(502), "authentik-server-error"),
    (Answer(503, {"detail": "starting"}), "authentik-server-error"),
    (Answer(504, b"", content_type=None), "authentik-server-error"),
    (Answer(408, b"", content_type=None), "authentik-server-error"),
    (Answer(drop=True), "authentik-connection-lost"),
]
KINDS = {
    "authentik-token-invalid": errors.Denied,
    "authentik-permission-missing": errors.Denied,
    "authentik-refused-by-proxy": errors.Denied,
    "licence-required": errors.AdminActionRequired,
    "authentik-name-taken": errors.AlreadyExists,
    "authentik-validation-failed": errors.UnexpectedAnswer,
    "authentik-unexpected-answer": errors.UnexpectedAnswer,
    "authentik-not-found": errors.NotFound,
    "authentik-not-found-at-url": errors.ConfigError,
    "authentik-server-error": errors.ServiceUnavailable,
    "authentik-throttled": errors.Throttled,
    "authentik-connection-lost": errors.Unreachable,
}


def told(error: BaseException) -> str:
    """Everything that a log, a traceback with local variables or a person may see of an error."""
    texts = [str(error), repr(error), *traceback.format_exception(error)]
    seen: BaseException | None = error
    while seen is not None:
        texts.append(repr(vars(seen)))
        trace = seen.__traceback__
        while trace is not None:
            if "/authentik_entra_bootstrap/" in trace.tb_frame.f_code.co_filename:
                texts.append(repr(trace.tb_frame.f_locals))
            trace = trace.tb_next
        seen = seen.__cause__ or seen.__context__
    return "\n".join(texts)


@pytest.mark.parametrize(
    ("answer", "code", "again"),
    [*((*row, False) for row in REFUSALS), *((*row, True) for row in REPEATED)],
)
async def test_answers(
    answer: Answer,
    code: str,
    again: bool,
    stub: Stub,
    adapter: AuthentikAdapter,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    serve_basics(stub)
    answer.headers = {**ID, **answer.headers}
    stub.on("PATCH", ONE, answer)
    with pytest.raises(BootstrapError) as caught:
        await adapter.update_provider(PK, {}, SecretText(SECRET))
    error = caught.value
    assert (type(error), error.code) == (KINDS[code], code)
    sent = len(stub.sent("PATCH"))
    assert (sent > 1) == again
    assert error.trace is not None
    assert (error.trace.service, error.trace.method, error.trace.path) == ("authentik", "PATCH", ONE)
    if not answer.drop:
        assert (error.trace.status, error.trace.request_id) == (answer.status, "a" * 32)
    for canary in (SECRET, TOKEN):
        assert canary not in told(error)
        assert canary not in caplog.text
    assert sum(SECRET.encode() in raw for raw in stub.raw) == sent, "the secret did reach authentik"


async def test_a_missing_permission_is_named(stub: Stub, adapter: AuthentikAdapter) -> None:
    serve_basics(stub)
    stub.on("PATCH", ONE, forbidden())
    with pytest.raises(errors.Denied) as caught:
        await adapter.update_provider(PK, {"name": "x"})
    assert caught.value.facts == {"missing_permission": CHANGE}
    assert CHANGE in caught.value.message
    assert CHANGE in caught.value.remedy
    assert caught.value.exit_code is ExitCode.DENIED


async def test_the_token_never_follows_a_redirect(stub: Stub, adapter: AuthentikAdapter) -> None:
    other = Stub()
    stub.on("GET", ME, Answer(307, b"", {"Location": f"{other.url}/api/v3{ME}"}))
    with contextlib.closing(other), pytest.raises(ConfigError) as caught:
        await adapter.me()
    assert caught.value.code == "authentik-not-found-at-url"
    assert "the address that it redirects to" in caught.value.remedy
    assert other.requests == []


async def test_another_web_server_is_told_as_such(adapter: AuthentikAdapter) -> None:
    with pytest.raises(ConfigError) as caught:  # the stub's 404 is JSON
        await adapter.server()
    assert caught.value.code == "authentik-not-found-at-url"


BODIES = {
    "lists": b"[" * 100_000 + b"]" * 100_000,
    "objects": b'{"user":' * 100_000 + b"1" + b"}" * 100_000,
    "NaN": b'{"user": {"pk": 1, "username": NaN}}',
    "digits": b'{"user": {"pk": ' + b"9" * 10_000 + b', "username": "a"}}',
    "bytes": b"\xff\xfe\x00",
    **{
        f"{depth} {kind}": b'{"a":' + start * depth + b"1" + end * depth + b"}"
        for depth in (300, 600, 900, 990)
        for kind, start, end in (("objects", b'{"a":', b"}"), ("lists", b"[", b"]"))
    },
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("status", [200, 400, 403, 404, 500])
async def test_a_body_that_cannot_be_read_is_an_error_with_a_code(
    status: int, name: str, adapter: AuthentikAdapter, stub: Stub
) -> None:
    stub.on("GET", ME, Answer(status, BODIES[name]))
    with pytest.raises(BootstrapError) as caught:
        await adapter.me()
    assert caught.value.code.startswith("authentik-")
    assert status != 400 or isinstance(caught.value, errors.UnexpectedAnswer)


# --- no answer


async def failure(adapter: AuthentikAdapter) -> BootstrapError:
    async with adapter:
        with pytest.raises(BootstrapError) as caught:
            await adapter.me()
    assert TOKEN not in told(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("raised", "code", "words", "waits"),
    [
        (socket.gaierror(socket.EAI_NONAME, ""), "authentik-host-not-found", "cannot be resolved", False),
        (socket.gaierror(socket.EAI_AGAIN, ""), "authentik-unreachable", "cannot be resolved", True),
        (TimeoutError(errno.ETIMEDOUT, ""), "authentik-unreachable", "cannot be connected to", True),
        (ConnectionRefusedError(), "authentik-unreachable", "refuses connections", True),
    ],
    ids=repr,
)
async def test_a_connection_that_cannot_be_made_is_told_within_ten_seconds_with_host_and_port(
    raised: OSError,
    code: str,
    words: str,
    waits: bool,
    waiter: Waiter,
    time: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> object:
        raise raised

    where = "getaddrinfo" if isinstance(raised, socket.gaierror) else "create_connection"
    adapter = adapter_for("https://id.example.com", waiter)
    monkeypatch.setattr(f"urllib3.util.connection.{where.replace('getaddrinfo', 'socket.getaddrinfo')}", fail)
    error = await failure(adapter)
    assert isinstance(error, errors.Unreachable)
    assert (error.code, error.sent) == (code, False)
    assert f"authentik at id.example.com:443 {words}" in error.message
    assert bool(time.slept) == waits, "a server that restarts is waited for a little"
    assert time.seconds < 10.0


async def test_reads_of_a_closed_port_fail_within_ten_seconds_together(waiter: Waiter, time: Clock) -> None:
    port = free_port()
    async with adapter_for(f"http://127.0.0.1:{port}", waiter) as made:
        for read in (made.server, made.me, made.license, made.server, made.providers):
            with pytest.raises(errors.Unreachable, match=rf"127\.0\.0\.1:{port} refuses connections"):
                await read()
    assert 0.0 < time.seconds < 10.0


async def test_read_timeout(stub: Stub, time: Clock) -> None:
    held = threading.Event()
    stub.on("GET", ME, Answer(200, {}, hold=held))
    hasty = Waiter(time.monotonic, time.sleep, scale=0.001)
    error = await failure(adapter_for(stub.url, hasty, read_timeout=0.05))
    held.set()
    assert isinstance(error, errors.Unreachable)
    assert (error.code, error.sent) == ("authentik-timeout", True)


async def test_unreachable_proxy(stub: Stub, waiter: Waiter) -> None:
    proxy = f"http://user:canary-proxy@127.0.0.1:{free_port()}"
    error = await failure(adapter_for(stub.url, waiter, proxy=proxy))
    assert isinstance(error, errors.Unreachable)
    assert (error.code, error.sent, stub.requests) == ("authentik-unreachable", False, [])
    assert "canary-proxy" not in str(error) + repr(error)


@pytest.mark.parametrize(
    ("trusted", "name", "code", "word"),
    [
        (False, "127.0.0.1", "authentik-certificate-not-trusted", "certificate"),
        (True, "127.0.0.2", "authentik-certificate-not-trusted", "mismatch"),
        (True, "127.0.0.1", "authentik-connection-lost", "broke"),
        (None, "127.0.0.1", "authentik-tls-failed", "TLS"),
    ],
)
async def test_tls(
    trusted: bool | None,
    name: str,
    code: str,
    word: str,
    raw: Raw,
    waiter: Waiter,
    time: Clock,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    ca, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(name).configure_cert(context)
    file = tmp_path_factory.mktemp("ca") / "ca.pem"
    (ca if trusted else trustme.CA()).cert_pem.write_to_path(str(file))

    def talk(client: socket.socket, _: threading.Event) -> None:
        if trusted is None:
            client.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        else:
            context.wrap_socket(client, server_side=True).close()

    raw.reads, raw.talk = trusted is None, talk
    error = await failure(adapter_for(raw.url.replace("http:", "https:"), waiter, ca_file=str(file)))
    assert error.code == code
    assert word.lower() in error.message.lower()
    assert bool(time.slept) == (code == "authentik-connection-lost"), "settings are not waited for"


async def test_unreadable_ca_file(waiter: Waiter, tmp_path_factory: pytest.TempPathFactory) -> None:
    empty = tmp_path_factory.mktemp("ca") / "empty.pem"
    empty.write_text("")
    for path in (empty, empty.with_name("absent.pem")):
        error = await failure(adapter_for("https://127.0.0.1:9", waiter, ca_file=str(path)))
        assert error.code == "ca-file-unreadable"


async def test_whatever_the_library_raises_stays_inside(
    adapter: AuthentikAdapter, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_: object, **__: object) -> object:
        raise RuntimeError(f"Bearer {TOKEN} {SECRET}")

    serve_basics(stub)
    await adapter.server()
    monkeypatch.setattr(ApiClient, "call_api", explode)
    with pytest.raises(errors.UnexpectedAnswer, match=r"\[authentik-client-failed\]") as caught:
        await adapter.update_provider(PK, {}, SecretText(SECRET))
    assert SECRET not in told(caught.value)
    assert TOKEN not in told(caught.value)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"property_mappings": ["canary-no-uuid"]}, "authentik-value-invalid"),
        ({"user_delete_action": "canary"}, "authentik-value-invalid"),
        ({"color": "canary"}, "authentik-option-unsupported"),
    ],
)
async def test_values_that_authentik_would_refuse_are_named_not_shown(
    changes: dict[str, object], code: str, stub: Stub, adapter: AuthentikAdapter
) -> None:
    serve_basics(stub)
    with pytest.raises(ConfigError, match=rf"\[{code}\]") as caught:
        await adapter.update_provider(PK, changes)
    assert next(iter(changes)) in caught.value.message
    assert "canary" not in told(caught.value).replace(repr(changes), "")
    with pytest.raises(ConfigError):
        await adapter.create_provider(ProviderSpec("", "c", "t", (), ()), SecretText(SECRET))
    assert stub.sent("POST") == stub.sent("PATCH") == []


async def test_older_servers_that_show_the_secret(stub: Stub, adapter: AuthentikAdapter) -> None:
    stub.on("GET", ONE, provider_body(client_secret=SECRET))
    found = await adapter.provider(PK)
    assert found is not None
    assert SECRET not in repr(found)
    assert found.secret_hint == SECRET[:3]
