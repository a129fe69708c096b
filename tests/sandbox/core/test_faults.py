import threading

import httpx
import pytest

from authentik_entra_bootstrap.sandbox import Sandbox
from authentik_entra_bootstrap.sandbox.faults import Fault

KEYS = "/common/discovery/v2.0/keys"
APPLICATIONS = "/v1.0/applications"


def names(sandbox: Sandbox) -> list[str]:
    return [app["displayName"] for app in sandbox.world.default_tenant.all("application")]


def create(http: httpx.Client, bearer: dict[str, str], name: str = "made") -> httpx.Response:
    return http.post(APPLICATIONS, headers=bearer, json={"displayName": name})


def test_the_nth_and_the_following(sandbox: Sandbox, http: httpx.Client) -> None:
    fault = sandbox.world.faults.add(kind="status", status=500, path="/discovery/", nth=2, times=2)
    assert [http.get(KEYS).status_code for _ in range(5)] == [200, 500, 500, 200, 200]
    assert (fault.seen, fault.hits) == (5, 2)
    assert http.get("/devicelogin").status_code == 200


def test_method_and_server_are_looked_at(
    sandbox: Sandbox, http: httpx.Client, bearer: dict[str, str]
) -> None:
    sandbox.world.faults.add(kind="status", status=503, server="graph", method="POST|PATCH", times=None)
    assert http.get(APPLICATIONS, headers=bearer).status_code == 200
    assert http.get(KEYS).status_code == 200
    assert create(http, bearer).status_code == 503
    assert "made" not in names(sandbox)


def test_probability_is_drawn_from_the_seed() -> None:
    def draws(seed: int) -> list[int]:
        sandbox = Sandbox(seed=seed, authentik_profile=None)
        sandbox.world.faults.add(kind="drop", times=None, probability=0.5)
        return [len(sandbox.world.faults.pick("graph", "GET", "/")) for _ in range(40)]

    assert set(draws(1)) == {0, 1}
    assert draws(1) == draws(1)
    assert draws(1) != draws(2)


def test_a_dropped_request_is_not_handled(
    sandbox: Sandbox, http: httpx.Client, bearer: dict[str, str]
) -> None:
    sandbox.world.faults.add(kind="drop", method="POST", name="lost")
    with pytest.raises(httpx.RemoteProtocolError):
        create(http, bearer)
    assert "made" not in names(sandbox)
    (entry,) = sandbox.world.log.all()
    assert (entry.status, entry.fault, entry.write) == (None, "lost", True)
    assert entry.caller == sandbox.operator.app_id
    assert create(http, bearer).status_code == 201


def test_a_reply_lost_after_the_commit(sandbox: Sandbox, http: httpx.Client, bearer: dict[str, str]) -> None:
    sandbox.world.faults.add(kind="drop_after_commit", server="graph", method="POST", path="/applications$")
    with pytest.raises(httpx.RemoteProtocolError):
        create(http, bearer)
    assert "made" in names(sandbox)
    assert sandbox.world.log.all()[0].status is None
    assert sandbox.world.log.all()[0].caller == sandbox.operator.app_id


def test_an_error_after_the_commit(sandbox: Sandbox, http: httpx.Client, bearer: dict[str, str]) -> None:
    sandbox.world.faults.add(kind="status", status=504, method="POST", commit=True)
    assert create(http, bearer).status_code == 504
    assert "made" in names(sandbox)


def test_refused_connections(sandbox: Sandbox, http: httpx.Client) -> None:
    assert http.get(KEYS).is_success
    fault = sandbox.world.faults.add(kind="refuse", server="entra")
    with pytest.raises(httpx.ConnectError, match="refused"):
        http.get(KEYS)
    sandbox.world.faults.remove(fault)
    assert http.get(KEYS).is_success
    sandbox.world.faults.add(kind="refuse", server="authentik")
    assert http.get(KEYS).is_success


def test_slow_moves_the_clock_before_or_behind(
    sandbox: Sandbox, http: httpx.Client, bearer: dict[str, str]
) -> None:
    start = sandbox.world.clock.now()
    sandbox.world.faults.add(kind="slow", seconds=60, method="POST")
    sandbox.world.faults.add(kind="slow", seconds=30, method="POST", commit=True)
    assert create(http, bearer).status_code == 201
    made = next(
        app for app in sandbox.world.default_tenant.all("application") if app["displayName"] == "made"
    )
    committed = sandbox.world.default_tenant.created_at("application", made["id"])
    assert committed is not None
    assert (committed - start).total_seconds() == 60
    assert (sandbox.world.clock.now() - start).total_seconds() == 90


def test_a_held_reply_goes_out_when_the_fault_is_removed(sandbox: Sandbox, http: httpx.Client) -> None:
    arrived = threading.Event()
    sandbox.world.faults.add(kind="call", call=arrived.set, path="/discovery/")
    fault = sandbox.world.faults.add(kind="slow", hold=True, seconds=30, path="/discovery/")
    replies = []
    thread = threading.Thread(target=lambda: replies.append(http.get(KEYS)))
    thread.start()
    assert arrived.wait(10)
    assert http.get("/devicelogin").status_code == 200
    sandbox.world.faults.remove(fault)
    thread.join(10)
    assert replies[0].status_code == 200
    held, other = sandbox.world.log.all()
    assert held.overlaps(other)


def test_a_reply_held_behind_the_commit(sandbox: Sandbox, http: httpx.Client, bearer: dict[str, str]) -> None:
    sandbox.world.faults.add(
        kind="slow", hold=True, seconds=30, commit=True, method="POST", path="/applications$"
    )
    with pytest.raises(httpx.ReadTimeout):
        http.post(APPLICATIONS, headers=bearer, json={"displayName": "made"}, timeout=0.2)
    assert "made" in names(sandbox)


def test_a_call_at_a_chosen_moment(sandbox: Sandbox, http: httpx.Client, bearer: dict[str, str]) -> None:
    seen = []
    sandbox.world.faults.add(kind="call", method="POST", call=lambda: seen.append("made" in names(sandbox)))
    sandbox.world.faults.add(
        kind="call", method="POST", commit=True, call=lambda: seen.append("made" in names(sandbox))
    )
    assert create(http, bearer).status_code == 201
    assert seen == [False, True]


def test_a_gateways_page(sandbox: Sandbox, http: httpx.Client) -> None:
    sandbox.world.faults.add(kind="html", status=502)
    reply = http.get(APPLICATIONS)
    assert (reply.status_code, reply.headers["content-type"]) == (502, "text/html; charset=utf-8")
    assert "<html>" in reply.text


def test_microsoft_graphs_words_for_429(sandbox: Sandbox, http: httpx.Client) -> None:
    sandbox.world.faults.add(kind="status", status=429, retry_after=10)
    sandbox.world.faults.add(kind="status", status=429)
    reply = http.get(APPLICATIONS, headers={"client-request-id": "mine"})
    error = reply.json()["error"]
    assert (reply.status_code, reply.headers["retry-after"]) == (429, "10")
    assert (error["code"], error["message"]) == ("TooManyRequests", "Please retry again later.")
    assert (
        error["innerError"]["request-id"]
        == reply.headers["request-id"]
        == sandbox.world.log.all()[0].request_id
    )
    assert error["innerError"]["client-request-id"] == reply.headers["client-request-id"] == "mine"
    assert "retry-after" not in http.get(APPLICATIONS).headers


def test_the_token_services_words(sandbox: Sandbox, http: httpx.Client) -> None:
    sandbox.world.faults.add(kind="status", status=503, server="entra", path="/token$")
    body = http.post(f"/{sandbox.operator.tenant_id}/oauth2/v2.0/token", data={}).json()
    assert (body["error"], body["error_codes"]) == ("temporarily_unavailable", [90033])


def test_a_body_of_ones_own(sandbox: Sandbox, http: httpx.Client) -> None:
    sandbox.world.faults.add(kind="status", status=403, body={"error": {"code": "X", "message": "Y"}})
    sandbox.world.faults.add(kind="status", status=400, body="plain", headers={"X-Own": "1"})
    error = http.get(APPLICATIONS).json()["error"]
    assert (error["code"], error["message"]) == ("X", "Y")
    assert {"date", "request-id", "client-request-id"} <= error["innerError"].keys()
    reply = http.get(APPLICATIONS)
    assert (reply.text, reply.headers["x-own"]) == ("plain", "1")


def test_rates(sandbox: Sandbox, http: httpx.Client, bearer: dict[str, str]) -> None:
    switches = sandbox.world.switches
    switches.throttle_rate = 0.5
    switches.throttle_retry_after = 3
    replies = [http.get(APPLICATIONS, headers=bearer) for _ in range(40)]
    throttled = [reply for reply in replies if reply.status_code == 429]
    assert 8 <= len(throttled) <= 32
    assert {reply.headers["retry-after"] for reply in throttled} == {"3"}
    assert all(http.get(KEYS).is_success for _ in range(10))
    switches.rate_servers = ("entra",)
    assert {http.get(KEYS).status_code for _ in range(20)} == {200, 429}
    switches.rate_servers, switches.throttle_rate, switches.unavailable_rate = ("graph",), 0.0, 1.0
    assert http.get(APPLICATIONS, headers=bearer).status_code == 503


@pytest.mark.parametrize("status", [409, 503])
def test_concurrency_errors_hit_writes_on_applications_only(
    sandbox: Sandbox, http: httpx.Client, bearer: dict[str, str], status: int
) -> None:
    sandbox.world.switches.concurrency_rate = 1.0
    sandbox.world.switches.concurrency_status = status
    reply = create(http, bearer)
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, "Directory_ConcurrencyViolation")
    assert http.get(APPLICATIONS, headers=bearer).is_success
    assert http.post("/v1.0/groups", headers=bearer, json={}).json()["error"]["code"] != (
        "Directory_ConcurrencyViolation"
    )


def test_faults_are_checked_when_made(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="unknown kind"):
        Fault(kind="nonsense")
    with pytest.raises(ValueError, match="something to call"):
        Fault(kind="call")
    sandbox.world.faults.add(kind="drop", name="one")
    with pytest.raises(ValueError, match="already"):
        sandbox.world.faults.add(kind="drop", name="one")
    assert sandbox.world.faults.remove("one")
    assert not sandbox.world.faults.remove("one")
