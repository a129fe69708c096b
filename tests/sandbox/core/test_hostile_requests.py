"""Requests as no well-behaved client sends them: each is answered, soon, and never by a traceback."""

from __future__ import annotations

import logging
import re
import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlencode, urlsplit

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
    "null": b"null",
    "infinity": b"1e999",
    "deep": b"[" * 100_000,
    "deep objects": b'{"attributes":' + b'{"a":' * 5000 + b"1" + b"}" * 5001,
    "half a surrogate pair": b'{"name":"\\ud800","displayName":"\\ud800"}',
    "byte order mark": b'\xef\xbb\xbf{"name":"bom","displayName":"bom"}',
    "long number": b'{"name":' + b"9" * 5000 + b',"displayName":' + b"9" * 5000 + b"}",
}
PATHS = {
    "/v1.0": (
        "//applications",
        "/%61pplications",
        "/applications%2Fx",
        "/applications/%00",
        "/applications/%ff",
        "/applications/a%0Ab",
        "/applications(appId='%27')",
        "/applications(",
        "/applications()",
        "/applications?$top=99999999999999999999999",
        "/applications?$filter=displayName%20eq%20%27%00%27",
        "/applications?&&==&",
        "/$metadata",
        "/",
        "",
    ),
    "/api/v3": (
        "//core/groups/",
        "/core/groups",
        "/core/groups/%00/",
        "/core/users/99999999999999999999999999/",
        "/core/users/%C2%B2/",
        "/core/users/?page=%C2%B2",
        "/core/users/?page_size=99999999999999999999999",
        "/core/users/?attributes=%7B",
        "/core/users/?ordering=%00",
        "/core/applications/?for_user=99999999999",
        "/core/tokens/..%2F/view_key/",
        "/",
        "",
    ),
    "/common": (
        "/%ff/oauth2/v2.0/token",
        "/oauth2/v2.0/authorize",
        "/discovery/instance?authorization_endpoint=https://[",
        "/discovery/instance?authorization_endpoint=https://a:b",
        "/adminconsent?client_id=x",
    ),
}
LISTS = [("/v1.0", "/applications"), ("/api/v3", "/core/groups/"), ("/common", "/adminconsent")]


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
    form = {
        "grant_type": "client_credentials",
        "client_id": sandbox.operator.app_id,
        "client_secret": sandbox.operator.secret,
        "scope": "https://graph.microsoft.com/.default",
    }
    context = ssl.create_default_context(cafile=sandbox.ca_file)
    address = f"{sandbox.entra_url}/{sandbox.operator.tenant_id}/oauth2/v2.0/token"
    token = httpx.post(address, data=form, verify=context).json()["access_token"]
    return {"/v1.0": token, "/api/v3": sandbox.authentik.token, "/common": "none"}


def status(
    sandbox: Sandbox,
    method: str,
    base: str,
    path: str,
    *,
    token: str = "",
    body: bytes = b"",
    kind: str = "",
) -> int:
    """The status of the answer to a request that is written as it is, and no traceback in it."""
    lines = {
        "Host": "127.0.0.1",
        "Authorization": f"Bearer {token}",
        "Content-Type": kind or "application/json",
        "Content-Length": str(len(body)),
        "Connection": "close",
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    reply = exchange(sandbox, base, f"{method} {base}{path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body)
    assert reply.startswith(b"HTTP/1.1 "), reply[:200]
    assert b"Traceback" not in reply
    return int(reply[9:12])


def exchange(sandbox: Sandbox, base: str, sent: bytes) -> bytes:
    """Everything that the server answers to some bytes until it closes the connection."""
    address = urlsplit(sandbox.authentik_url if base == "/api/v3" else sandbox.entra_url)
    plain = socket.create_connection(("127.0.0.1", address.port or 0), SECONDS)
    context = ssl.create_default_context(cafile=sandbox.ca_file)
    with context.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
        reply = b""
        try:
            connection.sendall(sent)
            while piece := connection.recv(65536):
                reply += piece
        except (ConnectionError, ssl.SSLError):  # the answer came before all was sent
            pass
    return reply


def test_requests_that_follow_each_other_unasked_and_bodies_in_chunks(
    sandbox: Sandbox, tokens: dict[str, str]
) -> None:
    head = f"HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {tokens['/v1.0']}\r\n"
    body = '{"displayName": "in chunks"}'
    chunks = "".join(f"{len(part):x}\r\n{part}\r\n" for part in (body[:5], body[5:], ""))
    first = f"GET /v1.0/applications?$select=id {head}\r\n"
    second = f"POST /v1.0/applications {head}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"
    last = f"GET /v1.0/organization {head}Connection: close\r\n\r\n"
    reply = exchange(sandbox, "/v1.0", (first + second + last).encode()).decode()
    assert re.findall(r"HTTP/1\.1 (\d+)", reply) == ["200", "201", "200"]
    assert '"in chunks"' in reply
    assert reply.index("#applications(id)") < reply.index('"in chunks"') < reply.index("#organization")


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize(("base", "path"), LISTS[:2])
def test_bodies(sandbox: Sandbox, tokens: dict[str, str], base: str, path: str, name: str) -> None:
    assert status(sandbox, "POST", base, path, token=tokens[base], body=BODIES[name]) in {400, 413}


@pytest.mark.parametrize(
    "kind", ["text/plain", "; ;;", "application/json;charset=klingon", "multipart/form-data"]
)
@pytest.mark.parametrize(("base", "path"), LISTS[:2])
def test_content_types(sandbox: Sandbox, tokens: dict[str, str], base: str, path: str, kind: str) -> None:
    body = f'{{"name": "kind {kind}", "displayName": "x"}}'.encode()
    assert status(sandbox, "POST", base, path, token=tokens[base], body=body, kind=kind) in {201, 400, 415}


@pytest.mark.parametrize(("base", "path"), [(base, path) for base, paths in PATHS.items() for path in paths])
def test_addresses(sandbox: Sandbox, tokens: dict[str, str], base: str, path: str) -> None:
    assert status(sandbox, "GET", base, path, token=tokens[base]) < 500


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "DELETE", "TRACE", "FOO", "CONNECT", "get"])
@pytest.mark.parametrize(("base", "path"), LISTS)
def test_methods(sandbox: Sandbox, tokens: dict[str, str], base: str, path: str, method: str) -> None:
    assert status(sandbox, method, base, path, token=tokens[base]) < 500


@pytest.mark.parametrize("scope", ["https://[/.default", "https://a:b/.default", "\0/.default", "%"])
def test_scopes(sandbox: Sandbox, scope: str) -> None:
    form = {
        "grant_type": "client_credentials",
        "client_id": sandbox.operator.app_id,
        "client_secret": sandbox.operator.secret,
        "scope": scope,
    }
    path = f"/{sandbox.operator.tenant_id}/oauth2/v2.0/token"
    kind = "application/x-www-form-urlencoded"
    assert status(sandbox, "POST", path, "", body=urlencode(form).encode(), kind=kind) == 400
