"""The worker's parts without processes: settings that change, queues, back-off, configuration, the tasks' decisions."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery.exceptions import Retry
from hypothesis import given
from hypothesis import strategies as st

from authentik_entra_bootstrap import celery_app
from authentik_entra_bootstrap.errors import (
    AdminActionRequired,
    ConfigError,
    RequestTrace,
    Temporary,
    Throttled,
)
from authentik_entra_bootstrap.session import Runtime
from authentik_entra_bootstrap.worker import broker, choosing, queues, runs
from authentik_entra_bootstrap.worker import settings as settings_module
from authentik_entra_bootstrap.worker.attempts import Attempts
from authentik_entra_bootstrap.worker.settings import SettingsSource, read_settings

NOW = datetime(2026, 3, 1, tzinfo=UTC)
TENANT = "11111111-2222-4333-8444-555555555555"
OTHER = "22222222-3333-4444-8555-666666666666"
ONE = f"[connections.one]\ntenant_id = '{TENANT}'\n"
TWO = f"[connections.two]\ntenant_id = '{OTHER}'\n"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {
        "AUTHENTIK_ENTRA_CONFIG": str(tmp_path / "authentik-entra.toml"),
        "AUTHENTIK_ENTRA_STATE_DIR": str(tmp_path / "state"),
    }


@pytest.fixture
def write(environment: dict[str, str]) -> Callable[[str], None]:
    """Write the settings file; each text has another length, as the clock of file systems is coarse."""
    path = Path(environment["AUTHENTIK_ENTRA_CONFIG"])
    return lambda text: path.write_text(text, encoding="utf-8") and None


@pytest.fixture
def app(
    environment: dict[str, str], write: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """The application on these settings; nothing is sent, what would be is kept in ``app.sent``."""
    write(ONE)
    made = celery_app.App("test", set_as_current=False, environment=environment)
    made.sent = []
    made.send_task = lambda name, **options: made.sent.append((name, options))
    made.attempts = Attempts(lambda: NOW)
    monkeypatch.setattr(celery_app, "app", made)
    monkeypatch.setattr(runs, "new_runtime", lambda: Runtime(context_options={"now": lambda: NOW}))
    yield made
    made.warm.close()


# --- settings


def test_a_changed_file_is_read_again_and_a_broken_one_is_not(environment, write, caplog):
    source = SettingsSource(environment)
    write(ONE)
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


def test_short_lives_are_looked_at_more_often(environment, write):
    write(ONE)
    assert read_settings(environment).sweep_every == timedelta(minutes=15)
    write(ONE + TWO + "secret_lifetime = '1h'\n")
    assert read_settings(environment).sweep_every == timedelta(minutes=5)


# --- queues


def test_a_queue_for_each_tenant(environment, write):
    write(ONE + TWO + f"[connections.three]\ntenant_id = '{TENANT}'\n[connections.home]\n")
    found = queues.make_queues(read_settings(environment).connections.values())
    root = "authentik-entra"
    assert [queue.name for queue in found] == [root, f"{root}.{TENANT}", f"{root}.{OTHER}", f"{root}.home"]
    assert all(queue.durable and queue.exchange.durable for queue in found)


class Timer:
    def call_repeatedly(self, _seconds: float, call: Callable[..., None], args: tuple[Any, ...]) -> Any:
        self.tick = lambda: call(*args)
        self.cancelled = False
        return self

    def cancel(self) -> None:
        self.cancelled = True


def consumer_of(app: Any) -> Any:
    added: list[str] = []
    return SimpleNamespace(
        app=app,
        timer=Timer(),
        added=added,
        add_task_queue=added.append,
        controller=SimpleNamespace(beat=None),
    )


def test_a_running_worker_takes_up_the_queue_of_a_new_tenant(app, write):
    consumer = consumer_of(app)
    step = queues.Caretaker(consumer)
    step.start(consumer)
    consumer.timer.tick()
    assert consumer.added == []
    write(ONE + TWO)
    consumer.timer.tick()
    assert consumer.added == [f"authentik-entra.{OTHER}"]
    step.stop(consumer)
    assert consumer.timer.cancelled


def test_a_worker_with_queues_of_its_own_keeps_to_them(app, write):
    app.amqp.queues.select(["authentik-entra"])
    consumer = consumer_of(app)
    queues.Caretaker(consumer).start(consumer)
    write(ONE + TWO)
    consumer.timer.tick()
    assert consumer.added == []


def test_a_beat_that_ended_is_started_again(app, monkeypatch):
    class Beat:
        started = False

        def __init__(self, alive: bool) -> None:
            self._alive = alive

        def is_alive(self) -> bool:
            return self._alive

        def start(self) -> None:
            self.started = True

    monkeypatch.setattr(queues, "EmbeddedService", lambda *_, **__: Beat(True))
    ended = Beat(False)
    step = SimpleNamespace(obj=ended)
    consumer = consumer_of(app)
    consumer.controller = SimpleNamespace(
        app=app, beat=ended, schedule_filename="x", scheduler=None, steps=[SimpleNamespace(), step]
    )
    queues.Caretaker(consumer).start(consumer)
    consumer.timer.tick()
    again = consumer.controller.beat
    assert again is not ended
    assert again.started
    assert step.obj is again
    consumer.timer.tick()
    assert consumer.controller.beat is again


# --- back-off


def test_failures_in_a_row_wait_longer_and_success_forgets_them():
    now = [NOW]
    attempts = Attempts(lambda: now[0])
    left = timedelta(days=60)
    assert not attempts.waits("one")
    first = attempts.failed("one", left)
    assert first == timedelta(minutes=5)
    assert attempts.waits("one")
    assert not attempts.waits("two")
    now[0] += first
    assert not attempts.waits("one")
    assert attempts.failed("one", left) == 2 * first
    assert attempts.failed("one", left, before=3) == 8 * first
    assert attempts.failed("one", left, asked=365 * 86400) == timedelta(hours=1)
    attempts.succeeded("one")
    assert not attempts.waits("one")
    assert attempts.failed("one", left) == first


def test_a_service_that_asks_for_a_year_leaves_ten_tries_before_the_secret_expires():
    now = [NOW]
    attempts = Attempts(lambda: now[0])
    expiry, tries = NOW + timedelta(hours=5), 0
    while now[0] < expiry and tries < 10:
        now[0] += attempts.failed("one", expiry - now[0], asked=365 * 86400)
        tries += 1
    assert tries == 10
    assert now[0] < expiry


# --- configuration


def test_the_default_needs_no_server(environment, write):
    write(ONE)
    found = broker.configuration(read_settings(environment))
    assert found["broker_url"].startswith("filesystem://")
    folders = found["broker_transport_options"]
    assert folders["data_folder_in"] == folders["data_folder_out"]
    for key in ("data_folder_in", "control_folder"):
        assert Path(folders[key]).stat().st_mode & 0o777 == 0o700
    assert Path(found["beat_schedule_filename"]).parent == Path(environment["AUTHENTIK_ENTRA_STATE_DIR"])
    assert found["accept_content"] == ["json"]
    assert found["task_ignore_result"] is True
    assert found["result_backend"] is None
    assert found["task_acks_late"] is True
    assert found["task_reject_on_worker_lost"] is True


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
def test_redis_brings_redbeat_and_the_leases(environment, write, scheme):
    write(ONE)
    url = f"{scheme}://user:hunter2@redis.example:6379/3"
    settings = read_settings({**environment, "AUTHENTIK_ENTRA_BROKER_URL": url})
    found = broker.configuration(settings)
    assert found["beat_scheduler"].endswith(":RedisScheduler")
    assert found["redbeat_redis_url"] == url
    assert settings.worker.lease() == url
    assert "hunter2" not in repr(settings)
    # Wait and run together end before a message is delivered again.
    visible = found["broker_transport_options"]["visibility_timeout"]
    assert broker.LONGEST_COUNTDOWN.total_seconds() + found["task_time_limit"] < visible
    assert timedelta(minutes=30) > broker.LONGEST_COUNTDOWN + broker.HARD_LIMIT, "RabbitMQ's consumer_timeout"
    assert broker.RUN_LIMIT < broker.HARD_LIMIT


def test_rabbitmq_keeps_schedule_and_leases_in_the_state_folder(environment, write):
    write(ONE)
    settings = read_settings({**environment, "AUTHENTIK_ENTRA_BROKER_URL": "amqp://mq.example//"})
    found = broker.configuration(settings)
    state = environment["AUTHENTIK_ENTRA_STATE_DIR"]
    assert found["beat_schedule_filename"].startswith(state)
    assert settings.worker.lease() == f"file://{state}/leases"


def test_addresses_may_stand_in_files_and_passwords_not_in_the_settings(environment, write, tmp_path):
    (tmp_path / "broker").write_text("redis://:hunter2@redis.example/0\n", encoding="utf-8")
    write(f"[worker]\nbroker_url_file = '{tmp_path / 'broker'}'\nlease_url = 'none'\n")
    settings = read_settings(environment)
    assert settings.worker.broker() == "redis://:hunter2@redis.example/0"
    assert settings.worker.lease() == "none"
    write("[worker]\nlease_url = 'postgresql://u:hunter2@db.example/x'\n")
    with pytest.raises(ConfigError, match=r"\[secret-in-settings-file\]") as refused:
        read_settings(environment)
    assert "hunter2" not in str(refused.value)
    write(f"[worker]\nbroker_url_file = '{tmp_path / 'nowhere'}'\n")
    with pytest.raises(ConfigError, match=r"\[url-file-unreadable\]"):
        read_settings(environment).worker.broker()
    (tmp_path / "broker").write_text("sqla+sqlite:///x\n", encoding="utf-8")
    write(f"[worker]\nbroker_url_file = '{tmp_path / 'broker'}'\n# longer\n")
    with pytest.raises(ConfigError, match="broker_url: an address that begins with"):
        read_settings(environment).worker.broker()


def test_a_state_folder_that_others_write_to_is_refused(environment, write, tmp_path):
    write(ONE)
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(0o777)
    with pytest.raises(ConfigError, match=r"\[state-folder-unusable\]"):
        broker.configuration(read_settings(environment))


def test_half_a_message_of_a_killed_process_is_removed(environment, write):
    write(ONE)
    options = broker.configuration(read_settings(environment))["broker_transport_options"]
    control, messages = Path(options["control_folder"]), Path(options["data_folder_in"])
    (control / "good.exchange").write_text("[]")
    (control / "half.exchange").write_text('[["a", "b"')
    (messages / "1.good.msg").write_text("{}")
    (messages / "2.half.msg").write_text("")
    assert {path.name for path in broker.mend(options)} == {"half.exchange", "2.half.msg"}
    assert broker.mend(options) == []
    assert {path.name for path in (*control.iterdir(), *messages.iterdir())} == {
        "good.exchange",
        "1.good.msg",
    }
    assert broker.mend({}) == []


# --- verification


@given(st.text(min_size=1, max_size=20), st.integers(0, 2**40), st.sampled_from([300, 900, 3600]))
def test_each_connection_has_its_moment_once_a_day(connection: str, begin: int, step: int) -> None:
    start = datetime.fromtimestamp(begin / 2**9, UTC)
    sweep, day = timedelta(seconds=step), timedelta(days=1)
    hits = [
        number
        for number in range(day // sweep)
        if runs.verification_due(connection, start + number * sweep, sweep, day)
    ]
    # Twice where a sweep falls into the minute that makes up for late ones.
    assert 1 <= len(hits) <= 2


# --- what a sweep sends


def due(number: int, task: str = choosing.ROTATE) -> choosing.Due:
    return choosing.Due(task, f"{task}-{number}", "due", NOW + timedelta(days=number))


def test_no_more_rotations_are_sent_than_were_set_and_the_soonest_to_expire_first():
    found = [due(number) for number in (5, 3, 9, 1, 7)]
    now, later = choosing.choose(found, 3)
    assert [item.connection for item in now] == ["rotate-1", "rotate-3", "rotate-5"]
    assert [item.connection for item in later] == ["rotate-7", "rotate-9"]
    assert choosing.choose(found, 5)[1] == []
    assert choosing.choose([], 3) == ([], [])


def test_verifications_are_sent_whatever_is_to_be_rotated():
    found = [due(number, choosing.VERIFY) for number in range(5)] + [due(number) for number in range(1000)]
    now, later = choosing.choose(found, 200)
    assert [item.connection for item in now[200:]] == [f"verify_connection-{number}" for number in range(5)]
    assert len(now) == 205
    assert len(later) == 800


def test_how_many_rotations_a_sweep_sends_is_a_setting(environment, write):
    write(ONE)
    assert read_settings(environment).worker.rotations_per_sweep == 200
    write(ONE + "[worker]\nrotations_per_sweep = 7\n")
    assert read_settings(environment).worker.rotations_per_sweep == 7
    for wrong in ("0", "10001"):
        with pytest.raises(ConfigError, match="rotations_per_sweep"):
            read_settings({**environment, "AUTHENTIK_ENTRA_ROTATIONS_PER_SWEEP": wrong})


# --- tasks


class Request:
    """A task's request and its retries, as Celery gives them."""

    name = "authentik-entra.rotate"

    def __init__(self, retries: int = 0) -> None:
        self.request = SimpleNamespace(retries=retries)
        self.options: dict[str, Any] = {}

    def retry(self, **options: Any) -> Retry:
        self.options = options
        return Retry()


def rotating(monkeypatch: pytest.MonkeyPatch, result: Exception | timedelta) -> list[str]:
    """Runs end like this; the connections that were run."""
    run: list[str] = []

    async def rotate(_settings: Any, connection: str, _runtime: Runtime) -> Any:
        run.append(connection)
        if isinstance(result, Exception):
            raise result
        return SimpleNamespace(due_at=NOW + result)

    monkeypatch.setattr(runs, "rotate_connection", rotate)
    return run


def test_a_temporary_failure_is_tried_again_by_itself_for_a_while(app, monkeypatch, caplog):
    failure = Throttled("graph-throttled", "Slow down.", "Wait.")
    run = rotating(monkeypatch, failure)
    first = Request()
    with pytest.raises(Retry):
        celery_app._run(first, "one")
    assert first.options["countdown"] == 300
    assert first.options["max_retries"] is None
    # A hint of a sweep in between changes nothing; the retry itself runs.
    celery_app._run(Request(), "one")
    assert run == ["one"]
    with pytest.raises(Retry):
        celery_app._run(Request(retries=1), "one")
    # Twenty minutes are longer than a message may wait: the sweeps go on.
    last = Request(retries=2)
    with pytest.raises(Throttled):
        celery_app._run(last, "one")
    assert last.options == {}
    assert caplog.text.count("graph-throttled") == 3


def test_a_tenant_that_throttles_does_not_fill_the_pool(app, monkeypatch, write):
    write(ONE + TWO + f"[connections.three]\ntenant_id = '{TENANT}'\n")
    trace = RequestTrace("graph", "GET", "/applications", 429)
    run = rotating(monkeypatch, Throttled("graph-throttled", "Slow down.", "Wait.", trace))
    with pytest.raises(Retry):
        celery_app._run(Request(), "one")
    celery_app._run(Request(), "three")
    assert run == ["one"]
    other = rotating(monkeypatch, timedelta(days=1))
    celery_app._run(Request(), "two")
    assert other == ["two"]
    # Its own retry shows that the tenant answers again.
    celery_app._run(Request(retries=1), "one")
    celery_app._run(Request(), "three")
    assert other == ["two", "one", "three"]


def test_what_a_person_must_mend_is_not_tried_again(app, monkeypatch, caplog):
    rotating(monkeypatch, AdminActionRequired("licence-required", "No licence.", "Buy one."))
    task = Request()
    with pytest.raises(AdminActionRequired):
        celery_app._run(task, "one")
    assert task.options == {}
    assert "licence-required" in caplog.text
    assert caplog.records[-1].levelno == logging.ERROR


def test_another_run_is_no_failure(app, monkeypatch):
    run = rotating(monkeypatch, Temporary("another-run-active", "Held.", "Wait."))
    task = Request()
    with pytest.raises(Retry):
        celery_app._run(task, "one")
    assert task.options["countdown"] == celery_app._AFTER_ANOTHER
    celery_app._run(Request(retries=1), "one")
    celery_app._run(Request(retries=1), "one")
    assert run == ["one"] * 3
    assert not app.attempts.waits("one")


def test_what_is_due_soon_is_not_left_to_the_next_sweep(app, monkeypatch):
    rotating(monkeypatch, timedelta(minutes=4))
    celery_app._run(Request(), "one")
    ((name, options),) = app.sent
    assert name == "authentik-entra.retire"
    assert options["args"] == ("one",)
    assert options["countdown"] == 240
    assert options["queue"].name == f"authentik-entra.{TENANT}"
    app.sent.clear()
    rotating(monkeypatch, timedelta(hours=4))
    celery_app._run(Request(), "one")
    assert app.sent == []


def test_a_message_that_is_older_than_the_settings(app, monkeypatch):
    assert rotating(monkeypatch, timedelta(days=1)) == []
    with pytest.raises(ConfigError, match=r"\[unknown-connection\]"):
        celery_app._run(Request(), "gone")


@pytest.mark.parametrize(("wrong", "mends"), [(None, False), ("failed", True), ("failed", False)])
def test_verification_sends_a_rotation_where_that_mends_it(app, monkeypatch, caplog, wrong, mends):
    error = Temporary("proof-not-available", "No worker.", "Wait.") if wrong else None

    async def verify(*_: Any) -> Any:
        return error, mends

    monkeypatch.setattr(runs, "verify_connection", verify)
    if error is None:
        celery_app.verify_connection("one")
    else:
        with pytest.raises(Temporary):
            celery_app.verify_connection("one")
        assert "proof-not-available" in caplog.text
    assert [name for name, _ in app.sent] == (["authentik-entra.rotate"] if mends else [])


def test_a_run_that_takes_too_long_ends_as_a_temporary_failure(monkeypatch):
    monkeypatch.setattr(runs, "RUN_LIMIT", timedelta(milliseconds=5))

    async def hang() -> None:
        async with runs._limited("one"):
            await asyncio.sleep(10)

    with pytest.raises(Temporary, match=r"\[run-too-long\]"):
        asyncio.run(hang())


# --- messages


def test_a_message_in_a_folder_holds_names_only(environment, write):
    write(ONE)
    sender = celery_app.App("test", set_as_current=False, environment=environment)
    queue = queues.make_queue(f"authentik-entra.{TENANT}")
    sender.send_task("authentik-entra.rotate", args=("one",), queue=queue, countdown=5, expires=900)
    (path,) = Path(sender.conf.broker_transport_options["data_folder_in"]).iterdir()
    judge_message(json.loads(path.read_text()))
    sender.close()


def test_a_message_in_rabbitmq_holds_names_only(environment, write, rabbitmq_url):
    write(ONE)
    sender = celery_app.App(
        "test", set_as_current=False, environment={**environment, "AUTHENTIK_ENTRA_BROKER_URL": rabbitmq_url}
    )
    with sender.connection_for_write() as connection:
        queue = queues.make_queue("authentik-entra.test-of-messages")(connection.default_channel)
        queue.declare()
        try:
            sender.send_task("authentik-entra.rotate", args=("one",), queue=queue, countdown=5, expires=900)
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
    import base64

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
