"""How bodies travel, seen on the wire."""

from __future__ import annotations

import gzip
import json
import ssl
from collections.abc import Iterator

import httpx
import pytest

from authentik_entra_bootstrap.sandbox import Sandbox
from authentik_entra_bootstrap.sandbox.clock import SandboxClock


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with Sandbox(seed=1, authentik_profile=None, clock=SandboxClock(running=False)) as sandbox:
        operator = sandbox.operator
        form = {
            "grant_type": "client_credentials",
            "client_id": operator.app_id,
            "client_secret": operator.secret,
            "scope": "https://graph.microsoft.com/.default",
        }
        verify = ssl.create_default_context(cafile=sandbox.ca_file)
        with httpx.Client(base_url=sandbox.entra_url, verify=verify) as client:
            token = client.post(f"/{operator.tenant_id}/oauth2/v2.0/token", data=form).json()["access_token"]
            client.headers["Authorization"] = f"Bearer {token}"
            yield client


def raw(http: httpx.Client, path: str, accepted: str) -> tuple[httpx.Response, bytes]:
    with http.stream("GET", path, headers={"Accept-Encoding": accepted}) as reply:
        return reply, b"".join(reply.iter_raw())


@pytest.mark.parametrize(
    ("accepted", "compressed"),
    [
        ("gzip", True),
        ("deflate, GZIP;q=0.5", True),
        ("*", True),
        ("identity", False),
        ("gzip;q=0, identity", False),
        ("", False),
    ],
)
def test_bodies_come_in_chunks_and_compressed_for_those_who_take_it(
    http: httpx.Client, accepted: str, compressed: bool
) -> None:
    for path, status in (("/v1.0/organization", 200), ("/v1.0/nothing", 400)):
        reply, body = raw(http, path, accepted)
        assert (reply.status_code, reply.headers["Transfer-Encoding"]) == (status, "chunked")
        assert "Content-Length" not in reply.headers
        assert reply.headers["Vary"] == "Accept-Encoding"
        assert reply.headers.get("Content-Encoding") == ("gzip" if compressed else None)
        assert json.loads(gzip.decompress(body) if compressed else body)


def test_nothing_stays_nothing(http: httpx.Client) -> None:
    made = http.post("/v1.0/applications", json={"displayName": "A"}).json()
    reply = http.delete(f"/v1.0/applications/{made['id']}")
    assert (reply.status_code, reply.content) == (204, b"")
    assert "Content-Encoding" not in reply.headers
    assert http.head("/v1.0/applications").status_code == 405
