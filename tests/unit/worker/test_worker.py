"""The worker's parts without processes: settings that change, queues, back-off, configuration, the tasks' decisions."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import os
import signal
import ssl
from collections.abc import Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery._state import _task_stack
from celery.canvas import Signature
from celery.exceptions import Retry
from hypothesis import given
from hypothesis import strategies as st
from kombu import Exchange, Queue

import authentik_entra_bootstrap.worker as settings_module
from authentik_entra_bootstrap import celery_app
from authentik_entra_bootstrap.errors import (
    AdminActionRequired,
    BootstrapError,
    ConfigError,
    RequestTrace,
    Temporary,
    Throttled,
)
from authentik_entra_bootstrap.worker import SettingsSource, broker, read_settings, redis_broker
from authentik_entra_bootstrap.worker import sweep as sweeps
from authentik_entra_bootstrap.workflows import metrics
from authentik_entra_bootstrap.workflows.session import Runtime

NOW = datetime(2026, 3, 1, tzinfo=UTC)
TENANT = "11111111-2222-4333-8444-555555555555"
OTHER = "22222222-3333-4444-8555-666666666666"
ONE = f"[connections.one]\ntenant_id = '{TENANT}'\n"
TWO = f"[connections.two]\ntenant_id = '{OTHER}'\n"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Variables that name a settings file of one connection, and a folder for state."""
    file = tmp_path / "authentik-entra.toml"
    file.write_text(ONE, encoding="utf-8")
    return {"AUTHENTIK_ENTRA_CONFIG": str(file), "AUTHENTIK_ENTRA_STATE_DIR": str(tmp_path / "state")}


@pytest.fixture
def write(environment: dict[str, str]) -> Callable[[str], None]:
    """Write the settings file; each text has another length, as the clock of file systems is coarse."""
    path = Path(environment["AUTHENTIK_ENTRA_CONFIG"])
    return lambda text: path.write_text(text, encoding="utf-8") and None


def application(environment: dict[str, str], name: str = "test", **more: str) -> celery_app.App:
    return celery_app.App(name, set_as_current=False, environment={**environment, **more})


@pytest.fixture
def app(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """The application on these settings; nothing is sent, what would be is kept in ``app.sent``."""
    made = application(environment)
    made.sent = []
    made.send_task = lambda name, **options: made.sent.append((name, options))
    monkeypatch.setattr(celery_app, "app", made)
    monkeypatch.setattr(sweeps, "new_runtime", lambda: Runtime(now=lambda: NOW))
    return made


# --- settings


def test_a_changed_file_is_read_again_and_a_broken_one_is_not(environment, write, caplog):
    source = SettingsSource(environment)
    assert list(source.current().connections) == ["one"]
    assert source.current() is source.current()
    write(ONE + TWO)
    assert list(source.current().connections) == ["one", "two"]
    for broken, code in (
        ("[connections.one", "settings-file-malformed"),
        (ONE + "cloud = 'cumulus'\n", "setting-invalid"),
        (ONE + "secret_lifetime = '1m'\n", "secret-lifetime-invalid"),
        (ONE + "[worker]\nsweep_interval = 'often'\n", "setting-invalid"),
    ):
        caplog.clear()
        write(broken)
        assert list(source.current().connections) == ["one", "two"]
        assert code in caplog.text
        caplog.clear()
        assert list(source.current().connections) == ["one", "two"]
        assert caplog.text == "", "told once, not at each look"
    Path(environment["AUTHENTIK_ENTRA_CONFIG"]).unlink()
    assert list(source.current().connections) == ["one", "two"]
    assert "settings-file-unreadable" in caplog.text
    write(TWO)
    assert list(source.current().connections) == ["two"]


def test_the_file_is_read_once_however_many_tasks_ask(environment, write, monkeypatch):
    asked = []
    monkeypatch.setattr(
        settings_module, "read_settings", lambda given: asked.append(given) or read_settings(given)
    )
    write(ONE + TWO)
    source = SettingsSource(environment)
    for _ in range(50):
        assert list(source.current().connections) == ["one", "two"]
    assert len(asked) == 1


def test_without_good_settings_there_is_no_start(environment, write):
    write("[worker]\nbroker_url = 'memory://'\n")
    with pytest.raises(ConfigError, match="broker_url: an address that begins with filesystem://"):
        SettingsSource(environment).current()


@pytest.mark.parametrize(
    ("line", "minutes"),
    [
        ("", 15),
        ("secret_lifetime = '1h'", 5),
        ("secret_lifetime = '2h'\noverlap = '6m'", 3),
        ("overlap = '20m'", 10),
        ("overlap = '0s'", 1),
    ],
)
def test_sweeps_follow_the_shortest_overlap(environment, write, line, minutes):
    write(ONE + TWO + line + "\n")
    settings = read_settings(environment)
    assert settings.sweep_every == timedelta(minutes=minutes)
    entry = celery_app.schedule(settings)["sweep"]
    assert entry["schedule"] == entry["options"]["expires"] == 60 * minutes


# --- configuration


def test_the_default_needs_no_server(environment):
    found = broker.configuration(read_settings(environment))
    assert found["broker_url"].startswith("filesystem://")
    folders = found["broker_transport_options"]
    assert folders["data_folder_in"] == folders["data_folder_out"]
    for key in ("data_folder_in", "control_folder"):
        assert Path(folders[key]).stat().st_mode & 0o777 == 0o700
    assert Path(found["beat_schedule_filename"]).parent == Path(environment["AUTHENTIK_ENTRA_STATE_DIR"])
    conf = application(environment).conf
    assert (conf.accept_content, conf.task_serializer, conf.result_backend) == (["json"], "json", None)
    assert conf.task_ignore_result
    assert not conf.task_store_errors_even_if_ignored
    assert conf.task_acks_late
    assert conf.task_reject_on_worker_lost


def test_rabbitmq_keeps_schedule_and_leases_in_the_state_folder(environment):
    settings = read_settings({**environment, "AUTHENTIK_ENTRA_BROKER_URL": "amqp://mq.example//"})
    state = environment["AUTHENTIK_ENTRA_STATE_DIR"]
    assert broker.configuration(settings)["beat_schedule_filename"].startswith(state)
    assert settings.worker.lease() == f"file://{state}/leases"


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
def test_redis_brings_redbeat_and_the_leases(environment, scheme):
    url = f"{scheme}://user:hunter2@redis.example:6379/3"
    settings = read_settings({**environment, "AUTHENTIK_ENTRA_BROKER_URL": url})
    found = broker.configuration(settings)
    assert found["beat_scheduler"].endswith(":RedisScheduler")
    assert found["redbeat_redis_url"] == url
    asked = application(environment, AUTHENTIK_ENTRA_BROKER_URL=url).connection_for_write()
    assert isinstance(asked.transport, redis_broker.Transport)
    assert bool(asked.ssl) == (scheme == "rediss")
    if asked.ssl:
        assert asked.ssl["ssl_cert_reqs"] == ssl.CERT_REQUIRED
    assert settings.worker.lease() == url
    assert "hunter2" not in repr(settings)
    # Wait and run together end before a message is delivered again.
    visible = found["broker_transport_options"]["visibility_timeout"]
    assert broker.LONGEST_WAIT.total_seconds() + found["task_time_limit"] < visible
    assert timedelta(minutes=30) > broker.LONGEST_WAIT + broker.HARD_LIMIT, "RabbitMQ's consumer_timeout"
    assert broker.RUN_LIMIT < broker.HARD_LIMIT


def test_addresses_may_stand_in_files_and_passwords_not_in_the_settings(environment, write, tmp_path):
    (tmp_path / "broker").write_text("sqla+sqlite:///x\n", encoding="utf-8")
    for name, code in (("broker", "setting-invalid"), ("nowhere", "url-file-unreadable")):
        write(f"[worker]\nbroker_url_file = '{tmp_path / name}'\n")
        with pytest.raises(ConfigError, match=rf"\[{code}\]"):
            read_settings(environment).worker.broker()
    write("[worker]\nlease_url = 'postgresql://u:hunter2@db.example/x'\n")
    with pytest.raises(ConfigError, match=r"\[secret-in-settings-file\]") as refused:
        read_settings(environment)
    assert "hunter2" not in str(refused.value)


def test_half_a_message_of_a_killed_process_is_removed(environment):
    options = broker.configuration(read_settings(environment))["broker_transport_options"]
    control, messages = Path(options["control_folder"]), Path(options["data_folder_in"])
    (control / "good.exchange").write_text("[]")
    (control / "half.exchange").write_text('[["a", "b"')
    (messages / "1.good.msg").write_text("{}")
    (messages / "2.half.msg").write_text("")
    assert {path.name for path in broker.remove_half_messages(options)} == {"half.exchange", "2.half.msg"}
    assert broker.remove_half_messages(options) == []
    assert {path.name for path in (*control.iterdir(), *messages.iterdir())} == {
        "good.exchange",
        "1.good.msg",
    }
    assert broker.remove_half_messages({}) == []


# --- verification


@given(st.text(min_size=1, max_size=20), st.integers(0, 2**40), st.sampled_from([300, 900, 3600]))
def test_each_connection_has_its_moment_once_a_day(connection: str, begin: int, step: int) -> None:
    start = datetime.fromtimestamp(begin / 2**9, UTC)
    sweep, day = timedelta(seconds=step), timedelta(days=1)
    hits = [
        number
        for number in range(day // sweep)
        if sweeps.verification_due(connection, start + number * sweep, sweep, day)
    ]
    # Twice where a sweep falls into the minute that makes up for late ones.
    assert 1 <= len(hits) <= 2


# --- what a sweep sends


def due(number: int, task: str = sweeps.ROTATE) -> sweeps.Due:
    return sweeps.Due(task, f"{task}-{number}", "due", NOW + timedelta(days=number))


def test_no_more_rotations_are_sent_than_were_set_and_the_soonest_to_expire_first():
    found = [due(number) for number in (5, 3, 9, 1, 7)]
    now, later = sweeps.choose(found, 3)
    assert [item.connection for item in now] == ["rotate-1", "rotate-3", "rotate-5"]
    assert [item.connection for item in later] == ["rotate-7", "rotate-9"]
    assert sweeps.choose(found, 5)[1] == []
    assert sweeps.choose([], 3) == ([], [])


def test_verifications_are_sent_whatever_is_to_be_rotated():
    found = [due(number, sweeps.VERIFY) for number in range(5)] + [due(number) for number in range(1000)]
    now, later = sweeps.choose(found, 200)
    assert [item.connection for item in now[200:]] == [f"verify-{number}" for number in range(5)]
    assert len(now) == 205
    assert len(later) == 800


def test_how_many_rotations_a_sweep_sends_has_limits(environment):
    assert read_settings(environment).worker.rotations_per_sweep == 200
    for wrong in ("0", "10001"):
        with pytest.raises(ConfigError, match="AUTHENTIK_ENTRA_ROTATIONS_PER_SWEEP"):
            read_settings({**environment, "AUTHENTIK_ENTRA_ROTATIONS_PER_SWEEP": wrong})


# --- tasks


def rotating(monkeypatch: pytest.MonkeyPatch, result: Exception | None = None) -> list[str]:
    """Runs end like this; the connections that were run."""
    run: list[str] = []

    async def rotate(_settings: Any, connection: str, _runtime: Runtime) -> None:
        run.append(connection)
        if result is not None:
            raise result

    monkeypatch.setattr(sweeps, "rotate_connection", rotate)
    return run


def slow_down(service: str) -> Throttled:
    return Throttled("throttled", "Slow down.", "Wait.", RequestTrace(service, "GET", "/x", 429))


def take(task: Any, connection: str, *, retries: int = 0, sweep: str = "sweep 1") -> dict[str, Any] | None:
    """Run a task as a worker does; how its retry is sent, if it asks for one."""
    sent: list[dict[str, Any]] = []
    expires = (NOW + timedelta(minutes=15)).isoformat()
    told = {"id": f"{sweep}, {connection}", "root_id": sweep, "args": (connection,), "retries": retries}
    task.push_request(**told, expires=expires, called_directly=False)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Signature, "apply_async", lambda self: sent.append(dict(self.options)))
            task.run(connection)
    except Retry:
        return sent[0]
    finally:
        task.pop_request()
    return None


def test_a_temporary_failure_is_tried_again_by_celery(app, monkeypatch, caplog):
    run = rotating(monkeypatch, Temporary("entra-unavailable", "Away.", "Wait."))
    waits = []
    for number in range(8):
        again = take(celery_app.rotate, "one", retries=number)
        assert again is not None
        assert again["retries"] == number + 1
        assert again["expires"] == (NOW + timedelta(minutes=15)).isoformat(), "the next sweep finds it anew"
        waits.append(again["countdown"])
    assert all(0 <= wait <= min(30 * 2**number, 720) for number, wait in enumerate(waits)), waits
    with pytest.raises(Temporary):
        take(celery_app.rotate, "one", retries=8)
    assert run == ["one"] * 9
    assert caplog.text.count("entra-unavailable") == 9
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def longest_waits(task: Any) -> list[float]:
    """Before each retry, without jitter."""
    return [min(task.retry_backoff * 2**number, task.retry_backoff_max) for number in range(task.max_retries)]


def test_tries_are_over_within_about_an_hour_and_none_waits_for_longer_than_the_brokers_bear(app):
    task = celery_app.rotate
    longest = longest_waits(task)
    assert 1800 < sum(longest) < 3700
    assert max(longest) == broker.LONGEST_WAIT.total_seconds()
    assert task.retry_jitter is True
    assert celery_app.verify.retry_backoff_max == task.retry_backoff_max


@pytest.mark.parametrize("lifetime", ["1h", "2h", "12h", "7d", "180d"])
def test_ten_tries_fit_between_renewal_and_expiry(app, environment, write, lifetime):
    write(ONE + f"secret_lifetime = '{lifetime}'\n")
    settings = read_settings(environment)
    waits, every = longest_waits(celery_app.rotate), settings.sweep_every.total_seconds()
    # Of each sweep's message the first try, and those that come before it is forgotten.
    tries = 1 + sum(sum(waits[: number + 1]) < every for number in range(len(waits)))
    assert settings.connections["one"].secret_lifetime.total_seconds() / 3 // every * tries >= 10


def test_a_429_stops_what_is_left_of_its_tenant_until_the_next_sweep(app, monkeypatch, write):
    write(ONE + TWO + f"[connections.three]\ntenant_id = '{TENANT}'\n")
    year = slow_down("graph")
    year.retry_after = 365 * 86_400.0
    run = rotating(monkeypatch, year)
    with pytest.raises(Throttled):
        take(celery_app.rotate, "one")
    assert take(celery_app.rotate, "three") is None
    assert run == ["one"], "no retry, and no other of this tenant"
    verified = []
    monkeypatch.setattr(sweeps, "verify_connection", lambda *_: verified.append(1))
    take(celery_app.verify, "three")
    assert verified == []
    other = rotating(monkeypatch)
    take(celery_app.rotate, "two")
    assert other == ["two"]
    # However long the service asked for: the next sweep tries again.
    take(celery_app.rotate, "three", sweep="sweep 2")
    assert other == ["two", "three"]


def test_a_message_names_the_sweep_that_sent_it_and_holds_names_only(environment):
    sender = application(environment)
    task = celery_app.sweep
    task.push_request(id="the sweep", root_id="the sweep", called_directly=False)
    _task_stack.push(task)
    try:
        sender.send_task("authentik-entra.rotate", args=("one",), expires=900)
    finally:
        _task_stack.pop()
        task.pop_request()
    (path,) = Path(sender.conf.broker_transport_options["data_folder_in"]).iterdir()
    message = json.loads(path.read_text())
    judge_message(message)
    assert message["headers"]["root_id"] == "the sweep"
    sender.close()


@pytest.mark.parametrize(
    ("error", "level", "told"),
    [
        (AdminActionRequired("licence-required", "No licence.", "Buy one."), logging.ERROR, "task-failed"),
        # A later sweep finds what is left.
        (Temporary("another-run-active", "Held.", "Wait."), logging.INFO, "another-run-active"),
        (slow_down("authentik"), logging.WARNING, "task-failed"),
    ],
)
def test_what_is_not_tried_again(app, monkeypatch, caplog, error, level, told):
    caplog.set_level(logging.INFO, "authentik_entra_bootstrap.worker")
    rotating(monkeypatch, error)
    active = error.code == "another-run-active"
    with contextlib.nullcontext() if active else pytest.raises(type(error)):
        assert take(celery_app.rotate, "one") is None
    assert {(record.levelno, error.code in record.getMessage()) for record in caplog.records} == {
        (level, True)
    }
    assert told in caplog.text
    assert ("task-failed" in caplog.text) is not active
    run = rotating(monkeypatch)
    take(celery_app.rotate, "one")
    assert run == ["one"], "the tenant was not slowed down"


def test_a_message_that_is_older_than_the_settings(app, monkeypatch):
    assert rotating(monkeypatch) == []
    with pytest.raises(ConfigError, match=r"\[unknown-connection\]"):
        take(celery_app.rotate, "gone")


@pytest.mark.parametrize(("wrong", "mends"), [(None, False), ("failed", True), ("failed", False)])
def test_verification_sends_a_rotation_where_that_mends_it(app, monkeypatch, caplog, wrong, mends):
    error = AdminActionRequired("proof-not-available", "No worker.", "Wait.") if wrong else None
    failed = []
    monkeypatch.setattr(metrics, "failed", lambda *what: failed.append(what))

    async def verify(*_: Any) -> Any:
        return error, mends

    monkeypatch.setattr(sweeps, "verify_connection", verify)
    with pytest.raises(AdminActionRequired) if wrong else contextlib.nullcontext():
        take(celery_app.verify, "one")
    assert ("proof-not-available" in caplog.text) is bool(wrong)
    assert failed == ([("one", "proof-not-available")] if wrong else [])
    # What is sent is forgotten when the next sweep is due.
    again = ("authentik-entra.rotate", {"args": ("one",), "expires": 900.0})
    assert app.sent == ([again] if mends else [])


@pytest.mark.parametrize("run", [sweeps.rotate_connection, sweeps.verify_connection])
def test_a_run_that_takes_too_long_ends_as_a_temporary_failure(monkeypatch, run):
    monkeypatch.setattr(sweeps, "RUN_LIMIT", timedelta(milliseconds=5))

    @asynccontextmanager
    async def hang(*_: object):
        await asyncio.Event().wait()
        yield

    monkeypatch.setattr(sweeps, "_session", hang)
    with pytest.raises(Temporary, match=r"\[run-too-long\]"):
        asyncio.run(run(None, "one", None))


# --- messages


def test_a_message_in_rabbitmq_holds_names_only(environment, rabbitmq_url):
    sender = application(environment, AUTHENTIK_ENTRA_BROKER_URL=rabbitmq_url)
    with sender.connection_for_write() as connection:
        queue = Queue("authentik-entra.test-of-messages")(connection.default_channel)
        queue.declare()
        try:
            sender.send_task("authentik-entra.rotate", args=("one",), queue=queue, expires=900)
            message = None
            while message is None:
                message = queue.get(no_ack=True)
            body = message.body if isinstance(message.body, str) else bytes(message.body).decode()
            judge_message({"body": body, "headers": message.headers, **message.properties})
        finally:
            queue.delete()
    sender.close()


def judge_message(message: dict[str, Any]) -> None:
    """A name, and what Celery itself needs; no setting, no address, no secret."""
    body = message["body"]
    if not body.startswith("["):
        body = base64.b64decode(body).decode()
    args, kwargs, embedded = json.loads(body)
    assert args == ["one"]
    assert kwargs == {}
    assert not any(embedded.values())
    assert message["headers"]["task"] == "authentik-entra.rotate"
    assert message["headers"]["argsrepr"] == "('one',)"
    assert "guest" not in json.dumps(message, default=str)


def test_the_embedded_broker_drops_what_is_no_message_and_hands_on_the_rest(environment, caplog):
    sender = application(environment)
    folder = Path(sender.conf.broker_transport_options["data_folder_in"])
    sender.send_task("authentik-entra.rotate", args=("one",))
    (whole,) = folder.iterdir()
    bad = {
        name: json.dumps({**json.loads(whole.read_text()), "properties": value})
        for name, value in (("1", None), ("2", {}), ("3", {"delivery_tag": "x", "body_encoding": "base64"}))
    }
    for name, text in {**bad, "4": "[]", "5": "null", "6": "{", "7": '"x"', "8": "\udcff"}.items():
        (folder / f"0{name}.authentik-entra.msg").write_text(text, errors="surrogateescape")
    taken: list[Any] = []
    with sender.connection_for_read() as connection:
        queue = Queue(broker.QUEUE, Exchange(broker.QUEUE))
        with connection.Consumer(queue, on_message=lambda message: taken.append(message) or message.ack()):
            while not taken:
                # One file at each look; where it was none, nothing has come.
                with contextlib.suppress(TimeoutError):
                    connection.drain_events(timeout=0.01)
    sender.close()
    assert [message.headers["argsrepr"] for message in taken] == ["('one',)"]
    assert caplog.text.count("message-dropped") == 8
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("acknowledged", [False, True])
def test_a_message_that_celery_stumbles_over_is_dropped(monkeypatch, caplog, acknowledged):
    def stumble(_message: Any) -> None:
        raise TypeError("'<' not supported")

    monkeypatch.setattr(broker.consumer.Consumer, "create_task_handler", lambda _self: stumble)
    worker = broker.Consumer.__new__(broker.Consumer)
    worker.connection_errors = ()
    rejected = []
    message = SimpleNamespace(
        headers={},
        delivery_info={"routing_key": "authentik-entra"},
        acknowledged=acknowledged,
        reject_log_error=lambda *_: rejected.append(1),
    )
    worker.create_task_handler()(message)
    assert rejected == ([] if acknowledged else [1])
    assert caplog.text.count("message-dropped") == 1
    monkeypatch.setattr(
        broker.consumer.Consumer,
        "create_task_handler",
        lambda _self: lambda _: (_ for _ in ()).throw(OSError("reset by peer")),
    )
    with pytest.raises(OSError, match="reset by peer"):
        # A broker that goes away is Celery's to deal with.
        worker.create_task_handler()(message)


# --- beat


def test_of_two_beats_on_one_machine_one_sends_and_the_other_follows(environment, monkeypatch):
    sent: list[str] = []

    def started(name: str) -> broker.Scheduler:
        made = application(environment, name)
        file = made.conf.beat_schedule_filename
        scheduler = broker.Scheduler(made, schedule_filename=file)
        scheduler.schedule["sweep"].last_run_at = datetime.now(UTC) - timedelta(days=1)
        monkeypatch.setattr(scheduler, "apply_async", lambda entry, **_: sent.append(f"{name}: {entry.name}"))
        return scheduler

    first, second = started("first"), started("second")
    for _ in range(3):
        first.tick()
        assert second.tick() > 0
    assert sent == ["first: sweep"]
    first.close()
    second.tick()
    second.close()
    assert sent == ["first: sweep", "second: sweep"]


def test_beat_is_ended_when_its_worker_is_gone(monkeypatch):
    parents = iter([7, 7, 1])
    ended: list[tuple[int, int]] = []
    monkeypatch.setattr(broker.os, "getppid", lambda: next(parents))
    monkeypatch.setattr(broker.os, "kill", lambda *what: ended.append(what))
    monkeypatch.setattr(broker.time, "sleep", lambda _: None)
    broker.end_with(7).join(10)
    assert ended == [(os.getpid(), signal.SIGTERM)]


def test_redis_without_its_libraries_says_what_to_install(environment, monkeypatch):
    monkeypatch.setattr(broker.importlib.util, "find_spec", lambda _: None)
    settings = read_settings({**environment, "AUTHENTIK_ENTRA_BROKER_URL": "redis://redis.example/0"})
    with pytest.raises(ConfigError, match=r"\[broker-library-missing\]"):
        broker.configuration(settings)


# --- what nobody expected


def test_what_nobody_expected_is_told_without_its_text(environment, monkeypatch, caplog):
    canary = "canary-of-the-worker"

    def breaks(*_: object) -> None:
        raise ValueError(f"cannot read redis://:{canary}/x@h")

    monkeypatch.setattr(celery_app.app, "settings", SettingsSource(environment))
    for module, name, call in (
        (sweeps, "sweep", celery_app.sweep),
        (sweeps, "rotate_connection", lambda: celery_app.rotate("one")),
    ):
        monkeypatch.setattr(module, name, breaks)
        with pytest.raises(BootstrapError, match=r"\[unexpected\]") as caught:
            call()
        assert caught.value.__suppress_context__
    told = [record.getMessage() for record in caplog.records if "task-failed" in record.getMessage()]
    assert len(told) == 2
    assert all("unexpected" in line and "ValueError" in line for line in told)
    assert canary not in caplog.text


def test_a_worker_that_cannot_start_is_told_without_a_traceback(monkeypatch, capsys):
    def breaks() -> None:
        raise ValueError("redis://:canary@h")

    found = celery_app.App("test", set_as_current=False)
    monkeypatch.setattr(found.settings, "current", breaks)
    with pytest.raises(SystemExit) as ended:
        found._configuration()
    assert ended.value.code == 1
    assert "[unexpected]" in capsys.readouterr().err


def test_files_that_others_can_read_are_told_once(environment, write, tmp_path, caplog):
    (tmp_path / "token").write_text("t")
    (tmp_path / "token").chmod(0o644)
    write(f"[defaults]\nauthentik_token_file = '{tmp_path / 'token'}'\n" + ONE)
    source = SettingsSource(environment)
    source.current()
    write(f"# changed\n[defaults]\nauthentik_token_file = '{tmp_path / 'token'}'\n" + ONE)
    source.current()
    told = [record.getMessage() for record in caplog.records if "file-exposed" in record.getMessage()]
    assert len(told) == 1
    assert "every user of this machine can read it" in told[0]


async def test_a_certificate_that_cannot_be_renewed_holds_up_no_rotation(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    counted: list[tuple[str, str]] = []
    monkeypatch.setattr(metrics, "failed", lambda *given: counted.append(given))
    for error, level in (
        (AdminActionRequired("certificate-not-renewed", "It is due.", "Run this."), logging.ERROR),
        (Temporary("entra-unavailable", "503"), logging.WARNING),
    ):

        async def renew(*_: object, error: BootstrapError = error) -> None:
            raise error

        monkeypatch.setattr(sweeps, "renew_own_certificate", renew)
        caplog.clear()
        await sweeps._renew_certificate(None, "rotator.pem", ("a", "b"))
        assert [item.levelno for item in caplog.records] == [level]
        assert counted[-2:] == [("a", error.code), ("b", error.code)]
