"""Requests as no well-behaved client sends them: each is answered, soon, and never by a traceback."""

from __future__ import annotations

import json
import logging
import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote, urlencode, urlsplit

import httpx
import pytest

from authentik_entra_bootstrap.sandbox import Sandbox

SECONDS = 20.0
BODIES = {
    "nothing": b"",
    "half": b'{"name":',
    "NUL": b"\0\0",
    "Latin-1": b'{"name":"\xff","displayName":"\xff"}',
    "a list": b"[]",
    "a text": b'"x"',
    "null": b"null",
    "infinity": b"1e999",
    "deep": b"[" * 100_000,
    "deep objects": b'{"attributes":' + b'{"a":' * 5000 + b"1" + b"}" * 5001,
    "half a surrogate pair": b'{"name":"\\ud800","displayName":"\\ud800"}',
    "byte order mark": b'\xef\xbb\xbf{"name":"bom","displayName":"bom"}',
    "long number": b'{"name":' + b"9" * 5000 + b',"displayName":' + b"9" * 5000 + b"}",
    "megabytes": b'{"name":"' + b"a" * 3_000_000 + b'","displayName":"' + b"a" * 3_000_000 + b'"}',
}
PATHS = {
    "graph": (
        "//applications",
        "/applications//",
        "/%61pplications",
        "/applications%2Fx",
        "/applications/%00",
        "/applications/%ff",
        "/applications/a%0Ab",
        "/applications/%2e%2e/users",
        "/applications(appId='%27')",
        "/applications(",
        "/applications()",
        "/applications?$top=99999999999999999999999",
        "/applications?$filter=" + "(" * 3000,
        "/applications?$filter=displayName%20eq%20%27%00%27",
        "/applications?$select=%ff",
        "/applications?&&==&",
        "/$metadata",
        "/",
        "",
    ),
    "authentik": (
        "//core/groups/",
        "/core/groups",
        "/core/groups/%00/",
        "/core/groups/%ff/",
        "/core/users/99999999999999999999999999/",
        "/core/users/%C2%B2/",
        "/core/users/?page=%C2%B2",
        "/core/users/?page_size=99999999999999999999999",
        "/core/users/?attributes=%7B",
        "/core/users/?ordering=%00",
        "/core/applications/?for_user=99999999999",
        "/tasks/tasks/?rel_obj_id=%00",
        "/core/tokens/..%2F/view_key/",
        "/rbac/permissions/assigned_by_roles/?model=a.b.c",
        "/",
        "",
    ),
    "entra": (
        "/",
        "/%ff/oauth2/v2.0/token",
        "/common/oauth2/v2.0/authorize",
        "/common/discovery/instance?authorization_endpoint=https://[",
        "/common/discovery/instance?authorization_endpoint=https://a:b",
        "/common/adminconsent?client_id=x",
        "/_sandbox/requests?writes=x",
    ),
}
HEADERS = {
    "If-None-Match": "*",
    "If-Match": '"x"',
    "Range": "bytes=0-1",
    "Accept": ";;;",
    "Accept-Encoding": "gzip;q=0, identity;q=0",
    "Expect": "100-continue",
    "Prefer": ",,,",
    "client-request-id": "no guid",
    "Content-Encoding": "gzip",
    "Cookie": "a=b; ;;;",
    "Host": "[",
}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(seed=3, authentik_profile="2026.8") as running:
        yield running


@pytest.fixture(autouse=True)
def _no_failure(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """A handler that fails says so in the log, also where the service hides it from the caller."""
    caplog.set_level(logging.ERROR)
    yield
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []


@pytest.fixture(scope="module")
def tokens(sandbox: Sandbox) -> dict[str, str]:
    operator = sandbox.operator
    form = {
        "grant_type": "client_credentials",
        "client_id": operator.app_id,
        "client_secret": operator.secret,
        "scope": "https://graph.microsoft.com/.default",
    }
    with httpx.Client(verify=context(sandbox)) as http:
        reply = http.post(f"{sandbox.entra_url}/{operator.tenant_id}/oauth2/v2.0/token", data=form)
    return {"graph": reply.json()["access_token"], "authentik": sandbox.authentik.token, "entra": "none"}


def context(sandbox: Sandbox) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(sandbox.ca_file))


def exchange(sandbox: Sandbox, service: str, *requests: bytes) -> bytes:
    """Everything that comes back on one connection, until the server closes it."""
    address = urlsplit(sandbox.authentik_url if service == "authentik" else sandbox.entra_url)
    plain = socket.create_connection(("127.0.0.1", address.port or 0), SECONDS)
    with context(sandbox).wrap_socket(plain, server_hostname="127.0.0.1") as connection:
        received = b""
        try:
            for request in requests:
                connection.sendall(request)
            while piece := connection.recv(65536):
                received += piece
        except (ConnectionError, ssl.SSLError):  # the answer came before all was sent
            pass
        return received


def request(
    service: str,
    token: str,
    method: str,
    path: str,
    *,
    body: bytes = b"",
    close: bool = True,
    **headers: str,
) -> bytes:
    base = {"graph": "/v1.0", "authentik": "/api/v3", "entra": ""}[service]
    lines = {
        "Host": "127.0.0.1",
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Connection": "close" if close else "keep-alive",
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {base}{path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body


def status_of(reply: bytes) -> int:
    assert reply.startswith(b"HTTP/1.1 "), reply[:200]
    assert b"Traceback" not in reply
    return int(reply[9:12])


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize(("service", "path"), [("graph", "/applications"), ("authentik", "/core/groups/")])
def test_bodies(sandbox: Sandbox, tokens: dict[str, str], service: str, path: str, name: str) -> None:
    reply = exchange(sandbox, service, request(service, tokens[service], "POST", path, body=BODIES[name]))
    wanted = {400, 413}
    if service == "authentik" and name in {"megabytes", "long number"}:
        wanted = {400} if name == "long number" else {201}
    assert status_of(reply) in wanted


@pytest.mark.parametrize(
    "kind", ["text/plain", "", "; ;;", "application/json;charset=klingon", "multipart/form-data"]
)
@pytest.mark.parametrize(("service", "path"), [("graph", "/applications"), ("authentik", "/core/groups/")])
def test_content_types(sandbox: Sandbox, tokens: dict[str, str], service: str, path: str, kind: str) -> None:
    body = json.dumps({"name": f"kind {kind}", "displayName": "x"}).encode()
    sent = request(service, tokens[service], "POST", path, body=body, Content_Type=kind)
    assert status_of(exchange(sandbox, service, sent)) in {201, 400, 415}


@pytest.mark.parametrize(
    ("service", "path"), [(service, path) for service, paths in PATHS.items() for path in paths]
)
def test_addresses(sandbox: Sandbox, tokens: dict[str, str], service: str, path: str) -> None:
    reply = exchange(sandbox, service, request(service, tokens[service], "GET", path))
    assert status_of(reply) < 500


@pytest.mark.parametrize(
    "method", ["HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "FOO", "CONNECT", "get"]
)
@pytest.mark.parametrize(
    ("service", "path"),
    [("graph", "/applications"), ("authentik", "/core/groups/"), ("entra", "/common/adminconsent")],
)
def test_methods(sandbox: Sandbox, tokens: dict[str, str], service: str, path: str, method: str) -> None:
    reply = exchange(sandbox, service, request(service, tokens[service], method, path))
    assert status_of(reply) < 500
    if service == "graph" and method not in {"HEAD", "CONNECT"}:
        assert b'"error"' in reply
    if method == "HEAD":
        assert reply.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize(
    ("service", "path"),
    [
        ("graph", "/applications"),
        ("authentik", "/core/groups/"),
        ("entra", "/common/v2.0/.well-known/openid-configuration"),
    ],
)
def test_headers(sandbox: Sandbox, tokens: dict[str, str], service: str, path: str, name: str) -> None:
    sent = request(service, tokens[service], "GET", path, **{name.replace("-", "_"): HEADERS[name]})
    assert status_of(exchange(sandbox, service, sent).replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")) < 500


@pytest.mark.parametrize(
    "scope", ["https://[/.default", "[//.default", "https://a:b/.default", "\0/.default", "%"]
)
def test_scopes(sandbox: Sandbox, scope: str) -> None:
    operator = sandbox.operator
    form = {
        "grant_type": "client_credentials",
        "client_id": operator.app_id,
        "client_secret": operator.secret,
    }
    body = urlencode(form | {"scope": scope}).encode()
    path = f"/{operator.tenant_id}/oauth2/v2.0/token"
    sent = request("entra", "none", "POST", path, body=body, Content_Type="application/x-www-form-urlencoded")
    assert status_of(exchange(sandbox, "entra", sent)) == 400


@pytest.mark.parametrize("seconds", ["1e400", "1e15", "-1", "null", '"x"'])
def test_steps_of_the_clock(sandbox: Sandbox, seconds: str) -> None:
    body = f'{{"advance": {seconds}}}'.encode()
    reply = exchange(sandbox, "entra", request("entra", "none", "POST", "/_sandbox/clock", body=body))
    assert status_of(reply) == 400


@pytest.mark.parametrize(("service", "path"), [("graph", "/organization"), ("authentik", "/admin/version/")])
def test_several_requests_sent_at_once_are_answered_in_order(
    sandbox: Sandbox, tokens: dict[str, str], service: str, path: str
) -> None:
    first = request(service, tokens[service], "GET", path, close=False)
    missing = request(service, tokens[service], "GET", quote("/no such thing"), close=False)
    reply = exchange(
        sandbox, service, first + missing + first, request(service, tokens[service], "GET", path)
    )
    found = [int(part[:3]) for part in reply.split(b"HTTP/1.1 ")[1:]]
    assert found[0] == found[2] == found[3] == 200
    assert found[1] in {400, 404}


def test_many_connections_at_once(sandbox: Sandbox, tokens: dict[str, str]) -> None:
    def one(number: int) -> int:
        service, path = (("graph", "/applications?$top=1"), ("authentik", "/core/groups/?page_size=1"))[
            number % 2
        ]
        return status_of(exchange(sandbox, service, request(service, tokens[service], "GET", path)))

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(one, range(60))) == {200}
