"""The sweep: one listing for a whole tenant, and what it sends."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from on_sandbox import runtime_on

from authentik_entra_bootstrap.cli import run
from authentik_entra_bootstrap.config.worker import WorkerSettings
from authentik_entra_bootstrap.domain import Network, TenantId
from authentik_entra_bootstrap.errors import BootstrapError
from authentik_entra_bootstrap.sandbox import Sandbox
from authentik_entra_bootstrap.sandbox.microsoft.objects import application, hash_secret, iso
from authentik_entra_bootstrap.support.leases import hold, lease_name, open_lease
from authentik_entra_bootstrap.worker import Settings, read_settings
from authentik_entra_bootstrap.worker import sweep as sweeps
from authentik_entra_bootstrap.worker.sweep import Due
from authentik_entra_bootstrap.workflows import metrics
from authentik_entra_bootstrap.workflows.session import Runtime

MANY = 1000
DAY = timedelta(days=1)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


def settings_for(sandbox: Sandbox, folder: Path, *names: str, worker: str = "") -> Settings:
    """A settings file with these connections in the sandbox's tenant."""
    file = folder / "authentik-entra.toml"
    file.write_text("".join(f"[connections.{name}]\n" for name in names) + worker, encoding="utf-8")
    return read_settings({**sandbox.environment(), "AUTHENTIK_ENTRA_CONFIG": str(file)})


def add_connection(
    sandbox: Sandbox, name: str, age: timedelta = DAY, unique_name: str = "", **tags: str
) -> None:
    """An application as a bootstrap leaves it, its one client secret of 180 days made a while ago.

    :param tags: further tags, or others.
    """
    world = sandbox.world
    made, key = world.clock.now() - age, world.guid()
    title = f"authentik provisioning ({name})"
    app = application(world.guid(), world.guid(), title, "contoso.example", iso(made))
    credential = {
        "customKeyIdentifier": None,
        "displayName": f"authentik-entra:{name}:0123456789abcdef",
        "startDateTime": iso(made),
        "endDateTime": iso(made + 180 * DAY),
        "hint": "mad",
        "keyId": key,
        "secretText": None,
    }
    values = {"connection": name, "current": f"{key}@request", **tags}
    world.default_tenant.put(
        "application",
        app["id"],
        {
            **app,
            "uniqueName": unique_name or f"authentik-entra-{name}",
            "tags": ["authentik-entra", *(f"authentik-entra:{tag}={value}" for tag, value in values.items())],
            "passwordCredentials": [credential],
            "_secrets": {key: hash_secret("made up")},
        },
    )


@pytest.fixture
def swept(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Settings], tuple[sweeps.Swept, list[Due]]]:
    """Sweep once; what it sent."""
    for name, value in sandbox.environment().items():
        monkeypatch.setenv(name, value)

    def sweep(settings: Settings) -> tuple[sweeps.Swept, list[Due]]:
        sent: list[Due] = []
        result = asyncio.run(sweeps.sweep(settings, runtime_on(sandbox), sent.append))
        return result, sent

    return sweep


def test_a_thousand_connections_with_nothing_due(sandbox, tmp_path, swept, record_property):
    names = [f"c{number:04d}" for number in range(MANY)]
    for name in names:
        add_connection(sandbox, name)
    settings = settings_for(sandbox, tmp_path, *names, worker='[worker]\nverify_interval = "7d"\n')
    mark = sandbox.world.log.last_seq
    result, sent = swept(settings)
    entries = sandbox.world.log.since(mark)
    graph = [entry for entry in entries if entry.server == "graph"]
    assert result.connections == MANY
    assert result.unread == ()
    assert {due.task for due in sent} <= {"verify"}
    # A sixteenth of an hour out of a week: a handful has its moment.
    assert len(sent) < 20
    record_property("graph requests of a sweep of 1000", len(graph))
    assert 1 <= len(graph) <= 3 + MANY / 100
    assert [entry for entry in entries if entry.write or entry.server == "authentik"] == []
    assert len([entry for entry in entries if entry.server == "entra" and entry.method == "POST"]) == 1


def test_what_is_due_is_sent_with_its_reason(sandbox, tmp_path, swept, caplog):
    add_connection(sandbox, "fresh")
    add_connection(sandbox, "due", age=170 * DAY)
    add_connection(sandbox, "interrupted", pending="11111111-2222-4333-8444-555555555555@request")
    add_connection(sandbox, "adopted", age=170 * DAY, adopted="2026-01-01", unique_name="somebody-elses")
    settings = settings_for(sandbox, tmp_path, "fresh", "due", "interrupted", "adopted", "never")
    result, sent = swept(settings)
    assert {due.connection for due in sent if due.task == "rotate"} == {"due", "interrupted", "adopted"}
    assert all(due.reason for due in sent)
    assert result.due == len(sent)
    assert "connection-not-bootstrapped" in caplog.text
    assert "never" in caplog.text


def test_a_tenant_with_more_due_than_a_sweep_sends_is_sent_the_soonest_to_expire(sandbox, tmp_path, swept):
    names = [f"c{number}" for number in range(12)]
    for number, name in enumerate(names):
        add_connection(sandbox, name, age=(150 + number) * DAY)
    worker = "[worker]\nrotations_per_sweep = 5\n"
    result, sent = swept(settings_for(sandbox, tmp_path, *names, worker=worker))
    rotations = [due.connection for due in sent if due.task == "rotate"]
    assert rotations == ["c11", "c10", "c9", "c8", "c7"]
    assert result.later == 7
    assert result.due == len(sent) == 5


def test_who_may_not_list_asks_for_each(sandbox, tmp_path, swept):
    add_connection(sandbox, "due", age=170 * DAY)
    body = {"error": {"code": "Authorization_RequestDenied", "message": "Insufficient privileges."}}
    refused = sandbox.world.faults.add(
        kind="status", status=403, method="GET", path=r"/applications(\?|$)", body=body, times=None
    )
    _, sent = swept(settings_for(sandbox, tmp_path, "due"))
    assert refused.hits > 0
    assert [(due.task, due.connection) for due in sent] == [("rotate", "due")]


def test_a_tenant_that_cannot_be_read_does_not_hold_up_the_others(sandbox, tmp_path, swept, caplog):
    add_connection(sandbox, "due", age=170 * DAY)
    settings = settings_for(
        sandbox,
        tmp_path,
        "due",
        "elsewhere",
    )
    other = settings.connections["elsewhere"].model_copy(
        update={"tenant_id": "99999999-2222-4333-8444-555555555555"}
    )
    mixed = Settings(settings.worker, {**settings.connections, "elsewhere": other})
    result, sent = swept(mixed)
    assert [due.connection for due in sent] == ["due"]
    assert result.unread == ("elsewhere",)
    assert "tenant-not-read" in caplog.text


def test_nobody_sits_at_the_worker(sandbox, tmp_path, swept, caplog):
    settings = settings_for(sandbox, tmp_path, "due")
    browser = settings.connections["due"].model_copy(update={"login": "browser"})
    result, _ = swept(Settings(settings.worker, {"due": browser}))
    assert result.unread == ("due",)
    assert "login-needs-a-person" in caplog.text
    with pytest.raises(BootstrapError, match="login-needs-a-person"):
        asyncio.run(sweeps.rotate_connection(Settings(settings.worker, {"due": browser}), "due", Runtime()))


def test_verification_finds_what_a_person_changed(sandbox, tmp_path, swept, monkeypatch):
    from ordeal import Ordeal

    ordeal = Ordeal(sandbox)
    assert ordeal.run("bootstrap", "--yes").exit == 0
    settings = settings_for(sandbox, tmp_path, "default")

    def verify() -> tuple[BootstrapError | None, bool]:
        return asyncio.run(sweeps.verify_connection(settings, "default", runtime_on(sandbox)))

    proven: list[str] = []
    monkeypatch.setattr(metrics, "proven", lambda connection, _: proven.append(connection))
    mark = sandbox.world.log.last_seq
    assert verify() == (None, False)
    assert proven == ["default"]
    callers = {entry.caller for entry in sandbox.world.log.writes(mark) if entry.server == "graph"}
    # authentik's own sync may be at work.
    assert callers <= {ordeal.application()["appId"]}
    assert [entry for entry in sandbox.world.log.writes(mark) if entry.server == "authentik"] == []
    # Somebody types another secret into authentik's form.
    context = ssl.create_default_context(cafile=sandbox.ca_file)
    answer = httpx.patch(
        f"{sandbox.authentik_url}/api/v3/providers/microsoft_entra/1/",
        headers={"Authorization": f"Bearer {sandbox.environment()['AUTHENTIK_TOKEN']}"},
        json={"client_secret": "typed by hand"},
        verify=context,
    )
    assert answer.status_code == 200
    wrong, mends = verify()
    assert wrong is not None
    assert wrong.code == "verification-failed"
    assert mends
    assert proven == ["default"]
    asyncio.run(sweeps.rotate_connection(settings, "default", runtime_on(sandbox)))
    assert verify() == (None, False)


def test_commands_give_way_to_who_holds_the_lease(sandbox, tmp_path, monkeypatch, capsys):
    from ordeal import Ordeal

    ordeal = Ordeal(sandbox)
    assert ordeal.run("bootstrap", "--yes").exit == 0
    mark = sandbox.world.log.last_seq
    name = lease_name("default", TenantId(sandbox.world.default_tenant.tenant_id))
    monkeypatch.setenv("AUTHENTIK_ENTRA_STATE_DIR", str(tmp_path / "state"))
    for variable, value in sandbox.environment().items():
        monkeypatch.setenv(variable, value)
    with hold(open_lease(f"file://{tmp_path}/state/leases", name), "x"):
        for command in (["bootstrap", "--yes"], ["rotate", "--now"]):
            assert run(command) == 7
            assert "[another-run-active]" in capsys.readouterr().err
    operator = sandbox.operator.app_id
    assert [
        e for e in sandbox.world.log.writes(mark) if e.caller == operator or e.server == "authentik"
    ] == []


def test_a_sweeps_worth_of_rotations_stays_below_microsoft_graphs_limits(sandbox):
    """3,000 writes in 150 seconds, of an application in a tenant (Microsoft Graph, service-specific limits)."""
    from ordeal import Ordeal

    ordeal = Ordeal(sandbox)
    assert ordeal.run("bootstrap", "--yes").exit == 0
    sandbox.world.clock.advance(600)
    mark = sandbox.world.log.last_seq
    assert ordeal.run("rotate", "--now").exit == 0
    operator = sandbox.operator.app_id
    writes = [entry for entry in sandbox.world.log.writes(mark) if entry.caller == operator]
    # What a rotation retires comes later, and is one write more.
    assert 3 <= len(writes) + 1 <= 3_000 / WorkerSettings().rotations_per_sweep / 2


@pytest.mark.usefixtures("swept")
def test_a_rotation_asks_the_same_among_a_hundred_connections_and_among_a_thousand(sandbox, tmp_path):
    from ordeal import Ordeal

    ordeal = Ordeal(sandbox)
    assert ordeal.run("bootstrap", "--yes").exit == 0
    names = [f"c{number:04d}" for number in range(MANY)]
    settings = settings_for(sandbox, tmp_path, "default", *names)
    asked = []
    # The first one of all has nothing to retire.
    for some in ([], names[:100], names[100:]):
        for name in some:
            add_connection(sandbox, name)
        sandbox.world.clock.advance(170 * 86_400)
        mark = sandbox.world.log.last_seq
        outcome = asyncio.run(sweeps.rotate_connection(settings, "default", runtime_on(sandbox)))
        assert outcome.rotated
        asked.append(sandbox.world.log.since(mark, Network().user_agent))
    # Each request once: a wait asks again, and more often on a busy machine. A list's further pages are other requests.
    first, second = (
        {(e.server, e.method, e.path if e.server == "graph" else e.path.partition("?")[0]) for e in run}
        for run in asked[1:]
    )
    assert first == second
    assert len(asked[2]) <= 60
