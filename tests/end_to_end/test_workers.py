"""Real workers with real brokers: killed, two at once, stopped in the middle, with a broker that goes away."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import filelock
import pytest
import redis
from kombu import Queue
from on_sandbox import free_port

from authentik_entra_bootstrap.sandbox import Sandbox

if TYPE_CHECKING:
    from fleet import Fleet, Worker

ALL = bool(os.environ.get("TEST_ALL_FAULTS"))
SHARDS = 4 if ALL else 1
MOMENTS = 200 // SHARDS if ALL else 4
"""Kills at random moments in each shard; ``make ordeal ALL=yes`` takes 200."""
MEETINGS = 200 if ALL else 3
"""Rotations for which two workers meet on Redis; elsewhere a few."""
FEW = 20 if ALL else 2
SECONDS = 300.0
ROOT = Path(__file__).resolve().parents[2]


# --- kill -9, with the broker that needs no server


@pytest.mark.ordeal
@pytest.mark.parametrize("shard", range(SHARDS))
def test_killed_at_random_moments(shard: int, tmp_path: Path) -> None:
    from fleet import fleet

    rng = random.Random(f"kill -9/{shard}")
    with fleet(tmp_path, seed=shard) as crew:
        worker = crew.start("-B")
        worker.wait_ready()
        before, seen = crew.make_due(), crew.sandbox.world.log.last_seq
        crew.send("rotate", "default")
        crew.wait(lambda: bool(crew.ordeal.ours(seen)), "the rotation to begin")
        began = time.monotonic()
        crew.wait(lambda: crew.rotated(before), "an undisturbed rotation")
        took = time.monotonic() - began
        broken = 0
        for moment in range(MOMENTS):
            before = crew.make_due()
            seen = crew.sandbox.world.log.last_seq
            crew.send("rotate", "default")
            crew.wait(lambda since=seen: bool(crew.ordeal.ours(since)), "the rotation to begin")
            time.sleep(rng.uniform(0, took))
            worker.kill()
            broken += not (crew.current() != before and not crew.flaws())
            worker = crew.start("-B")
            crew.wait(partial(crew.rotated, before), f"moment {moment}")
            assert crew.outages() == [], moment
        # Far enough for every overlap: one more run leaves a single secret.
        crew.sandbox.world.clock.advance(3 * 3600)
        crew.send("rotate", "default")
        crew.wait(lambda: len(crew.ordeal.our_secrets()) == 1 and not crew.flaws(), "the end of the overlap")
        assert crew.outages() == []
        assert broken >= MOMENTS // 4, f"only {broken} of {MOMENTS} kills hit a rotation that was going on"
        ping_and_stop(crew, worker)


def ping_and_stop(crew: Fleet, worker: Worker) -> None:
    """The health check answers; SIGTERM in the middle of a rotation lets it end, and leaves nothing behind."""
    ping = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "authentik_entra_bootstrap.celery_app", "inspect", "ping"],
        cwd=crew.folder,
        env=crew.environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ping.returncode == 0, ping
    assert "pong" in ping.stdout
    before = crew.make_due()
    reached = threading.Event()
    crew.sandbox.world.faults.add(
        kind="call", method="POST", path="/addPassword", commit=True, call=reached.set
    )
    crew.send("rotate", "default")
    assert reached.wait(20)
    assert worker.terminate() == 0
    assert crew.current() != before
    assert crew.flaws() == []
    assert crew.outages() == []
    crew.wait(worker.gone, "the end of pool and beat", 10)
    for each in crew.workers:
        assert "Traceback" not in each.text
    state = crew.folder / "state"
    assert [oct(path.stat().st_mode & 0o777) for path in (state, state / "broker")] == ["0o700", "0o700"]
    assert_nothing_secret(crew, "".join(each.text for each in crew.workers), state)


# --- kill -9 at each request of a rotation


@pytest.mark.ordeal
def test_killed_at_each_request_of_a_rotation(tmp_path: Path) -> None:
    """The worker dies before or behind a request, in turns; another worker finishes or undoes what was begun."""
    from fleet import fleet

    with fleet(tmp_path, seed=77) as crew:
        worker = crew.start("-B")
        worker.wait_ready()
        before = crew.make_due()
        seen = len(crew.ordeal.requests())
        crew.send("rotate", "default")
        crew.wait(lambda: crew.rotated(before), "an undisturbed rotation")
        # Sweeps list the tenant's applications; all else is the rotation's.
        requests = [item for item in crew.ordeal.requests()[seen:] if "filter=tags" not in item.pattern]
        patterns = list(dict.fromkeys((item.server, item.method, item.pattern) for item in requests))
        assert len(patterns) > 10
        for number, (server, method, pattern) in list(enumerate(patterns))[:: 1 if ALL else 4]:
            before = crew.make_due()
            died = threading.Event()

            def die(worker: Worker = worker, died: threading.Event = died) -> None:
                worker.kill()
                died.set()

            fault = crew.sandbox.world.faults.add(
                kind="call", server=server, method=method, path=pattern, commit=number % 2 == 1, call=die
            )
            crew.send("rotate", "default")
            assert died.wait(SECONDS), f"no {method} {pattern}"
            crew.sandbox.world.faults.remove(fault)
            worker = crew.start("-B")
            crew.wait(partial(crew.rotated, before), f"killed at {method} {pattern}")
            assert crew.outages() == [], (method, pattern)
        crew.sandbox.world.clock.advance(3 * 3600)
        crew.send("rotate", "default")
        crew.wait(lambda: len(crew.ordeal.our_secrets()) == 1 and not crew.flaws(), "the end of the overlap")


# --- two workers, one connection


@pytest.mark.parametrize(
    "way", ["redis", "rabbitmq and postgresql", pytest.param("no lease", marks=pytest.mark.ordeal)]
)
def test_two_workers_meet(
    way: str, tmp_path: Path, request: pytest.FixtureRequest, private_redis: PrivateRedis
) -> None:
    from fleet import fleet

    settings = {"AUTHENTIK_ENTRA_BROKER_URL": private_redis.url, "AUTHENTIK_ENTRA_LEASE_URL": "none"}
    meetings = FEW
    if way == "redis":
        settings = {"AUTHENTIK_ENTRA_BROKER_URL": f"{request.getfixturevalue('redis_url')}/15"}
        meetings = MEETINGS
    elif way != "no lease":
        settings = {
            "AUTHENTIK_ENTRA_BROKER_URL": request.getfixturevalue("rabbitmq_url"),
            "AUTHENTIK_ENTRA_LEASE_URL": request.getfixturevalue("postgresql_url"),
        }
    with fleet(tmp_path, **settings) as crew, emptied(crew):
        for worker in (crew.start(), crew.start()):
            worker.wait_ready()
        for meeting in range(meetings):
            before, known = crew.make_due(), keys(crew)
            crew.send("rotate", "default")
            crew.send("rotate", "default")
            crew.wait(partial(crew.rotated, before), f"meeting {meeting}")
            crew.wait(
                lambda least=2 * (meeting + 1): taken(crew) >= least, "both to have taken their message"
            )
            crew.wait(crew.idle, "both to end")
            made = keys(crew) - known
            assert 1 <= len(made) <= 2, made
            assert crew.flaws() == []
            assert crew.outages() == []
        said = "".join(worker.text for worker in crew.workers)
        assert_nothing_secret(crew, said)


def keys(crew: Fleet) -> set[str]:
    """Key ids of the secrets that were made here and still exist."""
    return {item["keyId"] for item in crew.ordeal.our_secrets()}


def taken(crew: Fleet) -> int:
    """How many rotations all workers together began, first tries alone."""
    ended = re.compile(r"authentik-entra\.rotate\[[^]]+\] (?:succeeded|retry|raised)")
    return sum(len(ended.findall(worker.text)) for worker in crew.workers)


# --- the place of lease and broker goes away


@pytest.mark.ordeal
def test_a_lost_lease_and_a_broker_that_has_forgotten_everything(
    tmp_path: Path, private_redis: PrivateRedis
) -> None:
    from fleet import fleet

    port = free_port()
    with fleet(
        tmp_path,
        AUTHENTIK_ENTRA_BROKER_URL=private_redis.url,
        AUTHENTIK_ENTRA_SWEEP_INTERVAL="1s",
        AUTHENTIK_ENTRA_METRICS_PORT=str(port),
    ) as crew:
        worker = crew.start("-B")
        worker.wait_ready()
        before = crew.make_due()
        lost = crew.sandbox.world.faults.add(
            kind="call", method="POST", path="/addPassword", commit=True, call=private_redis.forget_leases
        )
        crew.wait(lambda: "event='another-run-active'" in worker.text, "the run to give way")
        crew.sandbox.world.faults.remove(lost)
        crew.wait(lambda: crew.rotated(before), "the next run")
        assert crew.outages() == []

        before = crew.make_due()
        killed = crew.sandbox.world.faults.add(
            kind="call", method="POST", path="/addPassword", commit=True, call=private_redis.kill
        )
        crew.wait(lambda: not private_redis.runs, "beat to send a sweep, and a rotation to begin")
        crew.sandbox.world.faults.remove(killed)
        time.sleep(1)
        private_redis.start()
        crew.wait(lambda: crew.rotated(before), "the rotation to be completed")
        # Nothing but beat sends sweeps: its schedule and its lock were lost with Redis.
        before = crew.make_due()
        crew.wait(lambda: crew.rotated(before), "beat to go on")
        assert crew.outages() == []
        assert worker.process.poll() is None
        assert "another-run-active" not in served(crew, port), "giving way to another run is no failure"


def served(crew: Fleet, port: int) -> str:
    """The metrics of the pool's processes, which the main one serves."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        shown = str(answer.read().decode())
    assert 'authentik_entra_secret_expiry_timestamp_seconds{connection="default"}' in shown
    assert 'authentik_entra_step_duration_seconds_count{step="cut-over"}' in shown
    assert crew.ordeal.stored_secret() not in shown
    return shown


@pytest.mark.parametrize("loss", [pytest.param("killed", marks=pytest.mark.ordeal), "flushed"])
def test_redis_that_goes_away_while_a_message_waits(
    loss: str, tmp_path: Path, private_redis: PrivateRedis
) -> None:
    from fleet import fleet

    port = free_port()
    with fleet(
        tmp_path, AUTHENTIK_ENTRA_BROKER_URL=private_redis.url, AUTHENTIK_ENTRA_METRICS_PORT=str(port)
    ) as crew:
        worker = crew.start()
        worker.wait_ready()
        for _ in range(2):
            # A retry is such a message: it waits in the worker, not acknowledged.
            crew.app.send_task("authentik-entra.rotate", args=("default",), countdown=600)
        crew.wait(lambda: private_redis.client.hlen("unacked") == 2, "the messages to be taken")
        if loss == "killed":
            private_redis.kill()
            time.sleep(3)
            private_redis.start()
        else:
            private_redis.client.flushall()
        before = crew.make_due()
        crew.send("rotate", "default")
        crew.wait(lambda: crew.rotated(before), "a rotation afterwards")
        served(crew, port)
        assert worker.process.poll() is None
        assert "Traceback" not in worker.text
        assert worker.terminate() == 0


def test_messages_that_cannot_be_read_are_dropped_with_one_line_each(
    tmp_path: Path, private_redis: PrivateRedis
) -> None:
    from fleet import fleet

    with fleet(tmp_path, AUTHENTIK_ENTRA_BROKER_URL=private_redis.url) as crew:
        crew.send("rotate", "default")
        good = json.loads(private_redis.client.lpop("authentik-entra"))

        def changed(**parts: object) -> bytes:
            return json.dumps({**good, **parts}).encode()

        def headed(**headers: object) -> bytes:
            return changed(headers={**good["headers"], **headers})

        unreadable = [
            *(b"[]", b"null", b"{}", b"5", b"not json", b"\xff\xfe", b"[" * 100_000),
            *(changed(properties=None), changed(properties={"delivery_tag": "x"}), changed(body="abc")),
            *(changed(body=None), changed(body="W10="), changed(body="bnVsbA==")),
            *(headed(timelimit="strange"), headed(timelimit=[1]), headed(timelimit=["a", "b"])),
            *(
                headed(timelimit=5),
                headed(timelimit=[-1, "x"]),
                headed(expires=[]),
                headed(task=[]),
                headed(id=[]),
            ),
        ]
        worker = crew.start()
        worker.wait_ready()
        for message in unreadable:
            private_redis.client.lpush("authentik-entra", message)
        before = crew.make_due()
        crew.send("rotate", "default")
        crew.wait(lambda: crew.rotated(before), "a rotation afterwards")
        assert worker.process.poll() is None
        assert worker.text.count("event='message-dropped'") == len(unreadable)
        assert "Traceback" not in worker.text
        crew.wait(lambda: private_redis.client.hlen("unacked") == 0, "nothing to come again")
        assert worker.terminate() == 0


# --- beat


def test_beat_ends_with_its_worker_however_that_ended(tmp_path: Path) -> None:
    from fleet import fleet

    with fleet(tmp_path) as crew:
        worker = crew.start("-B")
        worker.wait_ready()
        crew.wait(lambda: "beat: this beat sends now" in worker.text, "beat")
        os.kill(worker.process.pid, signal.SIGKILL)
        worker.process.wait(10)
        crew.wait(worker.gone, "the end of beat and pool", 20)


# --- start


def test_the_line_that_the_page_tells_people_to_type(tmp_path: Path) -> None:
    from fleet import Fleet, Worker

    page = (ROOT / "docs" / "how-to" / "scheduled-rotation.md").read_text(encoding="utf-8")
    lines = [line for line in page.splitlines() if line.startswith("celery ")]
    assert len(lines) == 3
    assert len(set(lines)) == 1
    with Sandbox() as sandbox:
        crew = Fleet(sandbox, tmp_path)
        log = tmp_path / "worker.log"
        with log.open("wb") as said:
            process = subprocess.Popen(
                shlex.split(lines[0]),
                cwd=tmp_path,
                env={
                    **crew.environment,
                    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
                },
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        crew.workers.append(Worker(process, log))
        try:
            crew.workers[0].wait_ready()
            # Nothing was bootstrapped: it is looked for, and said.
            crew.wait(lambda: "event='swept' connections=1 due=0" in crew.workers[0].text, "the first sweep")
            assert "event='connection-not-bootstrapped' connection='default'" in crew.workers[0].text
        finally:
            crew.stop()


def test_a_worker_with_broken_settings_says_what_to_change(tmp_path: Path) -> None:
    file = tmp_path / "authentik-entra.toml"
    file.write_text("[worker]\nsweep_interval = 'often'\n")
    ran = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "authentik_entra_bootstrap.celery_app", "worker"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "AUTHENTIK_ENTRA_CONFIG": str(file)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 3, ran
    assert f"{file}:2: sweep_interval" in ran.stderr
    assert "Traceback" not in ran.stderr


# --- helpers


class PrivateRedis:
    """A Redis of this test's own, which may be killed; it keeps nothing."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url)

    def forget_leases(self) -> None:
        """What happens to leases that somebody removes, or that expire while their holder hangs."""
        for key in self.client.scan_iter("authentik-entra:lease:*"):
            self.client.delete(key)

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                *(shutil.which("redis-server") or "", "--port", str(self.port), "--bind", "127.0.0.1"),
                *("--save", "", "--appendonly", "no"),
            ],
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
        )
        for _ in range(200):
            with contextlib.suppress(redis.exceptions.ConnectionError):
                self.client.ping()
                return
            time.sleep(0.02)
        raise AssertionError("the private Redis does not answer")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@pytest.fixture
def private_redis(tmp_path: Path) -> Iterator[PrivateRedis]:
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed here: the test needs one that it may kill")
    server = PrivateRedis(tmp_path)
    server.start()
    yield server
    server.kill()


@contextlib.contextmanager
def emptied(crew: Fleet) -> Iterator[None]:
    """The shared brokers of this machine are left as they were found: without our queues.

    Two runs of the tests at once wait here for each other.
    """

    def clean() -> None:
        if crew.settings["AUTHENTIK_ENTRA_BROKER_URL"].startswith("redis"):
            redis.Redis.from_url(crew.settings["AUTHENTIK_ENTRA_BROKER_URL"]).flushdb()
            return
        with crew.app.connection_for_write() as connection:
            Queue("authentik-entra")(connection.default_channel).delete()

    with filelock.FileLock(Path(tempfile.gettempdir()) / "authentik-entra-tests-brokers.lock", timeout=300):
        yield from _between(crew, clean)


def _between(crew: Fleet, clean: Callable[[], None]) -> Iterator[None]:
    clean()
    try:
        yield
        if crew.settings["AUTHENTIK_ENTRA_BROKER_URL"].startswith("redis"):
            assert_nothing_secret(crew, dump(crew.settings["AUTHENTIK_ENTRA_BROKER_URL"]))
    finally:
        crew.stop()
        clean()


def dump(url: str) -> str:
    """Everything that a Redis database holds."""
    client = redis.Redis.from_url(url)
    return "".join(str(key) + str(client.dump(key)) for key in client.scan_iter())


def assert_nothing_secret(crew: Fleet, text: str, folder: Path | None = None) -> None:
    """No secret of this sandbox stands in a text or in any file of a folder."""
    names = ("AZURE_CLIENT_SECRET", "AUTHENTIK_TOKEN")
    secrets = [crew.ordeal.stored_secret(), *(crew.sandbox.environment()[name] for name in names)]
    files = [path for path in (folder.rglob("*") if folder else ()) if path.is_file()]
    for secret in secrets:
        assert len(secret) > 20
        assert secret not in text
        for path in files:
            assert secret.encode() not in path.read_bytes(), path
