"""Every way authentik or the network refuses becomes one of our errors, without a secret in it."""

from __future__ import annotations

import errno
import logging
import socket
import ssl
import threading
import traceback

import pytest
import trustme

from authentik_entra_bootstrap import errors
from authentik_entra_bootstrap.authentik.adapter import AuthentikAdapter
from authentik_entra_bootstrap.domain import Network, ProviderPk, ProviderSpec, SecretText
from authentik_entra_bootstrap.errors import BootstrapError, ConfigError, ExitCode
from authentik_entra_bootstrap.support.waiting import Waiter

from .conftest import PERMISSION_TEXT, TOKEN, Answer, FakeTime, Stub, provider_body, serve_basics

SECRET = "canary-secret~8Q~value"
ID = {"X-authentik-id": "0123456789abcdef0123456789abcdef"}
PROVIDER = "/providers/microsoft_entra/9/"
CHANGE = "authentik_providers_microsoft_entra.change_microsoftentraprovider"
HTML = "text/html; charset=utf-8"

ROWS = [
    (Answer(403, {"detail": "Token invalid/expired"}), errors.Denied, "authentik-token-invalid", 1),
    (Answer(403, {"detail": "User inactive or deleted."}), errors.Denied, "authentik-token-invalid", 1),
    (Answer(403, {"detail": PERMISSION_TEXT}), errors.Denied, "authentik-permission-missing", 1),
    (Answer(403, {"detail": "Sie dürfen nicht."}), errors.Denied, "authentik-permission-missing", 1),
    (Answer(403, b"<h1>Forbidden</h1>", content_type=HTML), errors.Denied, "authentik-refused-by-proxy", 1),
    (Answer(401, {"detail": "no"}), errors.Denied, "authentik-token-invalid", 1),
    (
        Answer(400, {"non_field_errors": ["Enterprise is required to create/update this object."]}),
        errors.AdminActionRequired,
        "licence-required",
        1,
    ),
    (
        Answer(400, {"name": ["provider with this name already exists."]}),
        errors.AlreadyExists,
        "authentik-name-taken",
        1,
    ),
    (
        Answer(400, {"client_secret": [f'"{SECRET}" is not a valid string.']}),
        errors.UnexpectedAnswer,
        "authentik-validation-failed",
        1,
    ),
    (
        Answer(400, {"name": [f"strange value {SECRET}"], "x": {"y": [1, SECRET]}}),
        errors.UnexpectedAnswer,
        "authentik-validation-failed",
        1,
    ),
    (Answer(400, {}), errors.UnexpectedAnswer, "authentik-validation-failed", 1),
    (Answer(400, b"<html>", content_type=HTML), errors.UnexpectedAnswer, "authentik-unexpected-answer", 1),
    (Answer(405, b"", content_type=HTML), errors.ServiceUnavailable, "authentik-server-error", 2),
    (Answer(405, b"", content_type=None), errors.ServiceUnavailable, "authentik-server-error", 2),
    (
        Answer(405, {"detail": 'Method "PATCH" not allowed.'}),
        errors.UnexpectedAnswer,
        "authentik-unexpected-answer",
        1,
    ),
    (Answer(404, {"detail": "Not found."}), errors.NotFound, "authentik-not-found", 1),
    (Answer(404, b"<html>", content_type=HTML), ConfigError, "authentik-not-found-at-url", 1),
    (
        Answer(302, b"", {"Location": "https://login.example.com/x?token=1"}),
        ConfigError,
        "authentik-not-found-at-url",
        1,
    ),
    (Answer(308, b"", {"Location": "/sso/api/v3/"}), ConfigError, "authentik-not-found-at-url", 1),
    (Answer(200, b"<html>login</html>", content_type=HTML), ConfigError, "authentik-not-found-at-url", 1),
    (
        Answer(200, b"{", content_type="application/json"),
        errors.UnexpectedAnswer,
        "authentik-unexpected-answer",
        1,
    ),
    (Answer(200, [1, 2]), errors.UnexpectedAnswer, "authentik-unexpected-answer", 1),
    (Answer(200, {"pk": "x", "name": SECRET}), errors.UnexpectedAnswer, "authentik-unexpected-answer", 1),
    (
        Answer(415, {"detail": f"Unsupported {SECRET}"}),
        errors.UnexpectedAnswer,
        "authentik-unexpected-answer",
        1,
    ),
    (Answer(429, {"detail": "slow"}), errors.Throttled, "authentik-throttled", 2),
    (Answer(500, b"boom", content_type=HTML), errors.ServiceUnavailable, "authentik-server-error", 2),
    (Answer(502, b"<html>", content_type=HTML), errors.ServiceUnavailable, "authentik-server-error", 2),
    (Answer(503, {"detail": "starting"}), errors.ServiceUnavailable, "authentik-server-error", 2),
    (Answer(504, b"", content_type=None), errors.ServiceUnavailable, "authentik-server-error", 2),
    (Answer(408, b"", content_type=None), errors.ServiceUnavailable, "authentik-server-error", 2),
    (Answer(drop=True), errors.Unreachable, "authentik-connection-lost", 2),
]


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


@pytest.mark.parametrize(("answer", "kind", "code", "least"), ROWS)
async def test_answers(
    answer: Answer,
    kind: type[BootstrapError],
    code: str,
    least: int,
    stub: Stub,
    adapter: AuthentikAdapter,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    serve_basics(stub)
    answer.headers = {**ID, **answer.headers}
    stub.on("PATCH", PROVIDER, answer)
    with pytest.raises(BootstrapError) as caught:
        await adapter.update_provider(ProviderPk(9), {}, SecretText(SECRET))
    error = caught.value
    assert (type(error), error.code) == (kind, code)
    sent = len(stub.sent("PATCH"))
    assert sent == 1 if least == 1 else sent >= least
    assert error.trace is not None
    assert (error.trace.service, error.trace.method, error.trace.path) == ("authentik", "PATCH", PROVIDER)
    if not answer.drop:
        assert error.trace.status == answer.status
        assert error.trace.request_id == ID["X-authentik-id"]
    for canary in (SECRET, TOKEN):
        assert canary not in told(error)
        assert canary not in caplog.text
    assert sum(SECRET.encode() in raw for raw in stub.raw) == sent, "the secret did reach authentik"


async def test_a_missing_permission_is_named(stub: Stub, adapter: AuthentikAdapter) -> None:
    serve_basics(stub)
    stub.on("PATCH", PROVIDER, Answer(403, {"detail": PERMISSION_TEXT}))
    with pytest.raises(errors.Denied) as caught:
        await adapter.update_provider(ProviderPk(9), {"name": "x"})
    assert caught.value.facts == {"missing_permission": CHANGE}
    assert CHANGE in caught.value.message
    assert caught.value.exit_code is ExitCode.DENIED


async def test_the_token_never_follows_a_redirect(stub: Stub, adapter: AuthentikAdapter) -> None:
    other = Stub()
    try:
        stub.on(
            "GET", "/core/users/me/", Answer(307, b"", {"Location": f"{other.url}/api/v3/core/users/me/"})
        )
        with pytest.raises(ConfigError) as caught:
            await adapter.me()
        assert caught.value.code == "authentik-not-found-at-url"
        assert other.requests == []
    finally:
        other.close()


async def test_another_web_server_is_told_as_such(stub: Stub, adapter: AuthentikAdapter) -> None:
    with pytest.raises(ConfigError) as caught:  # the stub's 404 is JSON
        await adapter.server()
    assert caught.value.code == "authentik-not-found-at-url"


async def test_retry_after_is_waited_for_and_told(
    stub: Stub, adapter: AuthentikAdapter, time: FakeTime
) -> None:
    me = {"user": {"pk": 1, "username": "svc", "is_superuser": False}}
    stub.on("GET", "/core/users/me/", [Answer(429, {}, {"Retry-After": "17"}), Answer(200, me)])
    assert (await adapter.me()).username == "svc"
    assert time.sleeps == [17.0]
    stub.on("GET", "/core/users/me/", Answer(429, {}, {"Retry-After": "4000"}))
    with pytest.raises(errors.Throttled) as caught:
        await adapter.me()
    assert caught.value.retry_after == 3600  # never longer, whatever is asked
    assert time.sleeps == [17.0], "a pause that ends after the budget is not begun"


async def test_retries_end_with_their_budget(stub: Stub, adapter: AuthentikAdapter, time: FakeTime) -> None:
    stub.on("GET", "/core/users/me/", Answer(503, {}))
    with pytest.raises(errors.ServiceUnavailable):
        await adapter.me()
    assert 80 < time.now <= 90
    assert len(stub.sent("GET")) == len(time.sleeps) + 1


def adapter_for(url: str, waiter: Waiter, **network: object) -> AuthentikAdapter:
    return AuthentikAdapter(url, SecretText(TOKEN), Network(**network), waiter)  # type: ignore[arg-type]


async def failure(adapter: AuthentikAdapter) -> BootstrapError:
    async with adapter:
        with pytest.raises(BootstrapError) as caught:
            await adapter.me()
    assert TOKEN not in told(caught.value)
    return caught.value


async def test_refused_connection(waiter: Waiter, time: FakeTime) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    error = await failure(adapter_for(url, waiter))
    assert isinstance(error, errors.Unreachable)
    assert (error.code, error.sent) == ("authentik-unreachable", False)
    assert len(time.sleeps) > 1
    assert time.now < 10.0


@pytest.mark.parametrize(
    ("number", "code", "waits"),
    [
        (socket.EAI_NONAME, "authentik-host-not-found", False),
        (socket.EAI_AGAIN, "authentik-unreachable", True),
    ],
)
async def test_names_that_do_not_resolve(
    number: int, code: str, waits: bool, waiter: Waiter, time: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object, **__: object) -> object:
        raise socket.gaierror(number, "not known")

    adapter = adapter_for("https://authentik.invalid", waiter)
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    error = await failure(adapter)
    assert isinstance(error, errors.Unreachable)
    assert (error.code, error.sent, bool(time.sleeps)) == (code, False, waits)


async def test_connect_timeout(waiter: Waiter, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*_: object, **__: object) -> object:
        raise TimeoutError(errno.ETIMEDOUT, "timed out")

    adapter = adapter_for("https://127.0.0.1:9", waiter)
    monkeypatch.setattr("urllib3.util.connection.create_connection", slow)
    error = await failure(adapter)
    assert isinstance(error, errors.Unreachable)
    assert (error.code, error.sent) == ("authentik-unreachable", False)


async def test_read_timeout(stub: Stub, time: FakeTime) -> None:
    held = threading.Event()
    stub.on("GET", "/core/users/me/", Answer(200, {}, hold=held))
    hasty = Waiter(time.monotonic, time.sleep, scale=0.001)
    error = await failure(adapter_for(stub.url, hasty, read_timeout=0.05))
    held.set()
    assert isinstance(error, errors.Unreachable)
    assert (error.code, error.sent) == ("authentik-timeout", True)


async def test_unreachable_proxy(stub: Stub, waiter: Waiter) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        proxy = f"http://user:canary-proxy@127.0.0.1:{closed.getsockname()[1]}"
    error = await failure(adapter_for(stub.url, waiter, proxy=proxy))
    assert isinstance(error, errors.Unreachable)
    assert (error.code, error.sent, stub.requests) == ("authentik-unreachable", False, [])
    assert "canary-proxy" not in str(error) + repr(error)


class TlsServer:
    """Accepts TLS connections and answers nothing."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.context = context
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                try:
                    if self.context is None:
                        connection.recv(100)
                        connection.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
                    else:
                        self.context.wrap_socket(connection, server_side=True).close()
                except OSError:
                    pass

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()


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
    waiter: Waiter,
    time: FakeTime,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    ca, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(name).configure_cert(context)
    file = tmp_path_factory.mktemp("ca") / "ca.pem"
    (ca if trusted else trustme.CA()).cert_pem.write_to_path(str(file))
    server = TlsServer(None if trusted is None else context)
    try:
        error = await failure(adapter_for(f"https://127.0.0.1:{server.port}", waiter, ca_file=str(file)))
    finally:
        server.close()
    assert error.code == code
    assert word.lower() in error.message.lower()
    assert bool(time.sleeps) == (code == "authentik-connection-lost"), "settings are not waited for"


async def test_unreadable_ca_file(waiter: Waiter, tmp_path_factory: pytest.TempPathFactory) -> None:
    empty = tmp_path_factory.mktemp("ca") / "empty.pem"
    empty.write_text("")
    for path in (empty, empty.with_name("absent.pem")):
        error = await failure(adapter_for("https://127.0.0.1:9", waiter, ca_file=str(path)))
        assert error.code == "ca-file-unreadable"


@pytest.mark.parametrize(
    "token", ["", "a b", "canary\n", "canary\r\nX-Evil: 1", "canary\u20ac", "\x00canary"]
)
def test_tokens_that_no_header_can_carry(token: str, waiter: Waiter) -> None:
    with pytest.raises(ConfigError) as caught:
        AuthentikAdapter("https://h", SecretText(token), Network(), waiter)
    assert caught.value.code == "authentik-token-malformed"
    assert "canary" not in str(caught.value)


async def test_whatever_the_library_raises_stays_inside(
    adapter: AuthentikAdapter, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from authentik_client.api_client import ApiClient

    def explode(*_: object, **__: object) -> object:
        raise RuntimeError(f"Bearer {TOKEN} {SECRET}")

    serve_basics(stub)
    await adapter.server()
    monkeypatch.setattr(ApiClient, "call_api", explode)
    with pytest.raises(errors.UnexpectedAnswer) as caught:
        await adapter.update_provider(ProviderPk(9), {}, SecretText(SECRET))
    assert caught.value.code == "authentik-client-failed"
    assert SECRET not in told(caught.value)
    assert TOKEN not in told(caught.value)


async def test_values_the_models_refuse_are_named_not_shown(stub: Stub, adapter: AuthentikAdapter) -> None:
    serve_basics(stub)
    for changes in (
        {"property_mappings": ["canary-no-uuid"]},
        {"user_delete_action": "canary"},
        {"color": "canary"},
    ):
        with pytest.raises(ConfigError) as caught:
            await adapter.update_provider(ProviderPk(9), changes)
        assert caught.value.code in {"authentik-value-invalid", "authentik-option-unsupported"}
        assert next(iter(changes)) in caught.value.message
        assert "canary" not in told(caught.value).replace(repr(changes), "")
    spec = ProviderSpec("", "c", "t", (), ())
    with pytest.raises(ConfigError):
        await adapter.create_provider(spec, SecretText(SECRET))
    assert stub.sent("POST") == stub.sent("PATCH") == []


async def test_older_servers_that_show_the_secret(stub: Stub, adapter: AuthentikAdapter) -> None:
    stub.on("GET", PROVIDER, Answer(200, provider_body(client_secret=SECRET)))
    found = await adapter.provider(ProviderPk(9))
    assert found is not None
    assert SECRET not in repr(found)
