import gc
import socket
import ssl
import threading
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from authentik_entra_bootstrap.sandbox import Sandbox
from authentik_entra_bootstrap.sandbox.server import Authority, TlsServer

KEYS = "/common/discovery/v2.0/keys"


def sandbox_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("sandbox-")]


def left_behind(before: set[threading.Thread]) -> list[threading.Thread]:
    """Threads that came and stay. Those of the framework's pool are told to end, and nobody waits for them."""
    came = set(threading.enumerate()) - before
    for thread in came:
        thread.join(10)
    return [thread for thread in came if thread.is_alive()]


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with Sandbox(authentik_profile=None) as sandbox:
        ca_file, port = sandbox.ca_file, urlsplit(sandbox.entra_url).port
        assert sandbox_threads() == ["sandbox-entra"]
        context = ssl.create_default_context(cafile=ca_file)
        http = httpx.Client(base_url=sandbox.entra_url, verify=context)
        assert http.get(KEYS).is_success
        idle = ssl.create_default_context(cafile=ca_file).wrap_socket(
            socket.create_connection(("127.0.0.1", port)), server_hostname="localhost"
        )
    assert left_behind(before) == []
    assert not ca_file.exists()
    assert not ca_file.parent.exists()
    with pytest.raises(httpx.ConnectError):
        http.get(KEYS)
    http.close()
    idle.close()
    gc.collect()


def test_a_stopped_sandbox_starts_again_with_its_objects(tmp_path: Path) -> None:
    sandbox = Sandbox(authentik_profile=None, directory=tmp_path)
    with pytest.raises(RuntimeError, match="not running"):
        _ = sandbox.ca_file
    for _ in range(2):
        with sandbox:
            assert sandbox.ca_file == tmp_path / "ca.pem"
            verify = ssl.create_default_context(cafile=sandbox.ca_file)
            address = f"{sandbox.entra_url}/{sandbox.operator.domain}/v2.0/.well-known/openid-configuration"
            assert sandbox.operator.tenant_id in httpx.get(address, verify=verify).text
        sandbox.stop()
    assert list(tmp_path.iterdir()) == []


def test_who_has_the_whole_answer_finds_it_in_the_log(sandbox: Sandbox, http: httpx.Client) -> None:
    log = sandbox.world.log
    for _ in range(100):
        # An answer to HEAD ends with its head.
        for method in ("GET", "HEAD"):
            http.request(method, KEYS)
            entry = log.all()[-1]
            assert (entry.method, entry.left) == (method, log.last_seq)
            assert entry.status is not None
    sandbox.world.faults.add(kind="drop", times=None)
    for _ in range(20):
        with pytest.raises(httpx.RemoteProtocolError):
            http.get(KEYS)
        assert log.all()[-1].left == log.last_seq


def test_requests_under_way_end_when_the_sandbox_stops() -> None:
    failures = []
    with Sandbox(authentik_profile=None) as sandbox:
        arrived = threading.Event()
        sandbox.world.faults.add(kind="call", call=arrived.set)
        sandbox.world.faults.add(kind="slow", hold=True, seconds=30)
        verify = ssl.create_default_context(cafile=sandbox.ca_file)

        def ask(address: str) -> None:
            try:
                httpx.get(address, verify=verify, timeout=20)
            except httpx.TransportError as error:
                failures.append(error)

        thread = threading.Thread(target=ask, args=(f"{sandbox.entra_url}{KEYS}",))
        thread.start()
        assert arrived.wait(10)
    thread.join(10)
    assert len(failures) == 1
    assert sandbox_threads() == []
    (entry,) = sandbox.world.log.all()
    assert (entry.status, entry.left is not None) == (None, True)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_the_certificate_names_loopback(name: str) -> None:
    with Sandbox(authentik_profile=None) as sandbox:
        verify = ssl.create_default_context(cafile=sandbox.ca_file)
        port = urlsplit(sandbox.entra_url).port
        reply = httpx.get(
            f"https://{name}:{port}/common/v2.0/.well-known/openid-configuration", verify=verify
        )
        assert reply.json()["token_endpoint"].startswith(f"https://{name}:{port}/common/")


def test_a_chosen_port_and_a_taken_one() -> None:
    with Sandbox(authentik_profile=None) as first:
        port = urlsplit(first.entra_url).port
        assert port is not None
        with pytest.raises(OSError, match="in use"):
            Sandbox(authentik_profile=None, port=port).start()
    with Sandbox(authentik_profile=None, port=port) as again:
        assert urlsplit(again.entra_url).port == port
    assert sandbox_threads() == []


def test_an_application_that_does_not_start_is_reported() -> None:
    stopped = []

    async def fail() -> None:
        raise ValueError("no database")

    async def stop() -> None:
        stopped.append(True)

    server = TlsServer(Authority(), name="broken")
    with pytest.raises(RuntimeError, match="broken server did not start") as caught:
        server.start(None, on_start=fail, on_stop=stop)
    assert isinstance(caught.value.__cause__, ValueError)
    assert sandbox_threads() == []


def test_start_and_stop_run_in_the_servers_own_loop() -> None:
    order = []

    async def app(scope, receive, send) -> None:
        order.append("request")
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async def note_start() -> None:
        order.append(threading.current_thread().name)

    async def note_stop() -> None:
        order.append("stop")

    authority = Authority()
    server = TlsServer(authority, name="noted")
    server.start(app, on_start=note_start, on_stop=note_stop)
    context = ssl.create_default_context(cadata=authority.pem.decode())
    assert httpx.get(server.url, verify=context).status_code == 204
    server.stop()
    server.stop()
    assert order == ["sandbox-noted", "request", "stop"]


def test_both_servers(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with Sandbox(seed=2) as sandbox:
        values = sandbox.environment()
        verify = ssl.create_default_context(cafile=values["AUTHENTIK_ENTRA_CA_FILE"])
        bearer = {"Authorization": f"Bearer {values['AUTHENTIK_TOKEN']}"}
        with httpx.Client(base_url=values["AUTHENTIK_URL"], verify=verify, headers=bearer) as http:
            assert http.get("/api/v3/admin/version/").json()["version_current"].startswith("2026.5")
            sandbox.world.faults.add(kind="status", status=429, server="authentik", retry_after=1)
            throttled = http.get("/api/v3/admin/version/")
            assert throttled.json() == {"detail": "Request was throttled. Expected available in 1 second."}
            assert len(throttled.headers["x-authentik-id"]) == 32
            assert http.get("/_sandbox/").json()["authentik_url"] == values["AUTHENTIK_URL"]
        assert {entry.server for entry in sandbox.world.log.all()} == {"authentik"}
    assert left_behind(before) == []
    gc.collect()
