import time

import httpx
import pytest

from authentik_entra_bootstrap.sandbox import Sandbox

KEYS = "/common/discovery/v2.0/keys"


def test_state(sandbox: Sandbox, http: httpx.Client) -> None:
    state = http.get("/_sandbox/").json()
    assert state["tenants"] == [sandbox.operator.tenant_id]
    assert (state["seed"], state["entra_url"]) == (1, sandbox.entra_url)
    assert state["now"] == sandbox.world.clock.now().isoformat()
    assert http.get("/_sandbox").status_code in {200, 307}
    assert sandbox.world.log.all() == []


def test_environment_and_authority(sandbox: Sandbox, http: httpx.Client) -> None:
    assert http.get("/_sandbox/environment").json() == sandbox.environment()
    assert sandbox.environment()["AZURE_AUTHORITY_HOST"] == sandbox.entra_url
    assert http.get("/_sandbox/ca.pem").content == sandbox.ca_file.read_bytes()


def test_switches(sandbox: Sandbox, http: httpx.Client) -> None:
    changed = http.patch(
        "/_sandbox/switches",
        json={"lag": 10, "flapping": True, "throttle_retry_after": None, "rate_servers": ["graph", "entra"]},
    )
    assert changed.json()["lag"] == 10
    assert sandbox.world.switches.flapping is True
    assert sandbox.world.switches.throttle_retry_after is None
    assert sandbox.world.switches.rate_servers == ("graph", "entra")
    assert http.get("/_sandbox/switches").json()["rate_servers"] == ["graph", "entra"]


@pytest.mark.parametrize(
    "body",
    [
        {"nonsense": 1},
        {"lag": "ten"},
        {"lag": -1},
        {"lag": True},
        {"flapping": 1},
        {"post_create_variant": "x"},
        {"rate_servers": [1]},
        {"object_quota": 1.5},
        [],
    ],
)
def test_wrong_switches_change_nothing(sandbox: Sandbox, http: httpx.Client, body) -> None:
    before = http.get("/_sandbox/switches").json()
    together = {"replicas": 7, **body} if isinstance(body, dict) else body
    reply = http.patch("/_sandbox/switches", json=together)
    assert reply.status_code == 400
    assert reply.json()["error"]
    assert http.get("/_sandbox/switches").json() == before


def test_faults(sandbox: Sandbox, http: httpx.Client) -> None:
    added = http.post(
        "/_sandbox/faults", json={"kind": "status", "status": 500, "path": "keys$", "name": "one"}
    )
    assert added.status_code == 201
    assert http.get(KEYS).status_code == 500
    (fault,) = http.get("/_sandbox/faults").json()
    assert (fault["name"], fault["hits"]) == ("one", 1)
    for wrong in (
        {"kind": "x"},
        {"status": 1},
        {"kind": "drop", "x": 1},
        {"kind": "call"},
        {"kind": "drop", "path": "("},
    ):
        assert http.post("/_sandbox/faults", json=wrong).status_code == 400, wrong
    assert http.delete("/_sandbox/faults/one").status_code == 204
    assert http.delete("/_sandbox/faults/one").status_code == 404
    http.post("/_sandbox/faults", json={"kind": "drop"})
    assert http.delete("/_sandbox/faults").json() == []


def test_clock(sandbox: Sandbox, http: httpx.Client) -> None:
    before = sandbox.world.clock.now()
    reply = http.post("/_sandbox/clock", json={"advance": 90.5})
    assert (sandbox.world.clock.now() - before).total_seconds() == 90.5
    assert reply.json()["now"] == sandbox.world.clock.now().isoformat()
    for wrong in ({"advance": -1}, {"advance": "1"}, {"advance": True}, {}):
        assert http.post("/_sandbox/clock", json=wrong).status_code == 400
    assert http.post("/_sandbox/clock", content=b"{").status_code == 400
    assert (
        http.get(KEYS).headers["date"].startswith(sandbox.world.clock.now().strftime("%a, %d %b %Y %H:%M:%S"))
    )


def test_requests(sandbox: Sandbox, http: httpx.Client) -> None:
    http.get(KEYS)
    http.post("/v1.0/applications", json={})
    log = http.get("/_sandbox/requests").json()
    assert [(entry["server"], entry["status"]) for entry in log["requests"]] == [
        ("entra", 200),
        ("graph", 401),
    ]
    writes = http.get("/_sandbox/requests", params={"writes": "1"}).json()["requests"]
    assert [entry["method"] for entry in writes] == ["POST"]
    assert http.get("/_sandbox/requests", params={"since": log["seq"]}).json()["requests"] == []
    ours = http.get("/_sandbox/requests", params={"agent": "httpx"}).json()["requests"]
    assert ours == log["requests"]
    assert http.get("/_sandbox/requests", params={"agent": "curl"}).json()["requests"] == []
    assert http.get("/_sandbox/requests", params={"since": "x"}).status_code == 400
    assert http.delete("/_sandbox/requests").json()["requests"] == []


def test_reset(sandbox: Sandbox, http: httpx.Client) -> None:
    http.patch("/_sandbox/switches", json={"lag": 10})
    http.post("/_sandbox/faults", json={"kind": "drop", "path": "nowhere"})
    http.get(KEYS)
    assert http.post("/_sandbox/reset").status_code == 204
    state = http.get("/_sandbox/").json()
    assert (state["switches"]["lag"], state["faults"]) == (0.0, [])
    assert sandbox.world.log.all() == []
    assert sandbox.world.tenants


def test_issuers(http: httpx.Client) -> None:
    for wrong in (
        {},
        {"issuer": "https://i.example"},
        {"issuer": "https://i.example", "jwks": {"keys": [{}]}},
    ):
        assert http.post("/_sandbox/issuers", json=wrong).status_code == 400


def test_refusing_from_within_answers_first(sandbox: Sandbox, http: httpx.Client) -> None:
    assert http.post("/_sandbox/faults", json={"kind": "refuse", "server": "entra"}).status_code == 201
    deadline = time.monotonic() + 300
    refused = False
    while not refused and time.monotonic() < deadline:
        try:
            http.get(KEYS)
        except httpx.TransportError:
            refused = True
    assert refused
    sandbox.world.faults.clear()
    assert http.get(KEYS).is_success
