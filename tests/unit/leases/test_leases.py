"""Every kind of lease against its real service: one holder, loss, death, renewal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import redis
from on_sandbox import free_port

from authentik_entra_bootstrap.domain import TenantId
from authentik_entra_bootstrap.errors import ConfigError, Temporary, Unreachable
from authentik_entra_bootstrap.support.leases import Lease, hold, lease_name, open_lease
from authentik_entra_bootstrap.support.server_leases import KEY, RedisLease

ROOT = Path(__file__).resolve().parents[3]
KINDS = ("file", "redis", "postgresql")


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of each kind's place."""
    if request.param == "file":
        return f"file://{tmp_path / 'leases'}"
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def name() -> str:
    """A lease that no other test uses."""
    return lease_name(f"test-{uuid.uuid4().hex}", TenantId("11111111-2222-4333-8444-555555555555"))


def take(lease: Lease) -> Lease:
    """Take a lease that is about to become free."""
    end = time.monotonic() + 300
    while not lease.acquire():
        assert time.monotonic() < end
        time.sleep(0.02)
    return lease


def lose(url: str, name: str) -> None:
    """What an operator, a restart or a network can do to a held lease."""
    if url.startswith("file"):
        next(Path(url.removeprefix("file://")).glob(f"{name}.lock")).unlink()
    elif url.startswith("redis"):
        assert redis.Redis.from_url(url).delete(KEY + name) == 1
    else:
        with psycopg.connect(url, autocommit=True) as connection:
            ended = connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND"
                " (classid::bigint << 32 | objid::bigint) = %s",
                (open_lease(url, name)._key,),
            ).fetchall()
        assert ended == [(True,)]


def test_one_at_a_time(url: str, name: str) -> None:
    lease = open_lease(url, name)
    assert lease.period > 0
    assert not lease.held()
    lease.release()
    with hold(lease, "connection x") as held:
        held.guard()
        with (
            pytest.raises(Temporary, match=r"\[another-run-active\]") as refused,
            hold(open_lease(url, name), "connection x"),
        ):
            pytest.fail("two hold it")
        assert refused.value.exit_code == 7
        with hold(open_lease(url, f"{name}-other"), "another connection"):
            held.guard()
    with hold(open_lease(url, name), "connection x") as again:
        again.guard()


def test_a_lost_lease_stops_the_run_and_is_not_taken_from_the_next(url: str, name: str) -> None:
    lease = open_lease(url, name)
    with hold(lease, "connection x") as held:
        held.guard()
        lose(url, name)
        other = take(open_lease(url, name))
        with pytest.raises(Temporary, match="was lost during this run"):
            held.guard()
        assert other.held()
        assert not lease.renew()
        lease.release()
        assert other.held()
        other.release()


HOLDER = """
import sys, time
from authentik_entra_bootstrap.support.leases import hold, open_lease
with hold(open_lease(sys.argv[1], sys.argv[2]), "x"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("url", ["file", "postgresql"], indirect=True)
def test_the_lease_of_a_killed_process_is_free(url: str, name: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, url, name],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        with pytest.raises(Temporary), hold(open_lease(url, name), "x"):
            pytest.fail("two hold it")
        child.send_signal(signal.SIGKILL)
        child.wait()
    take(open_lease(url, name)).release()


def test_redis_frees_the_lease_of_a_dead_process_and_keeps_that_of_a_living_one(
    redis_url: str, name: str
) -> None:
    dead = RedisLease(redis_url, name, lifetime=0.3)
    assert dead.acquire()
    began = time.monotonic()
    living = take(RedisLease(redis_url, name, lifetime=0.3))
    assert time.monotonic() - began > 0.2
    living.release()
    with hold(living, "x") as held:
        assert not dead.held()
        # Three lives long: it is renewed in the background.
        time.sleep(0.9)
        held.guard()
        assert not dead.renew()


def test_redis_that_does_not_answer_leaves_the_lease_until_its_end(redis_url: str, name: str) -> None:
    now = [0.0]
    lease = RedisLease(redis_url, name, monotonic=lambda: now[0])
    assert lease.acquire()

    class Away:
        def __getattr__(self, _: str) -> Callable[..., object]:
            def fail(*_: object) -> object:
                raise redis.exceptions.ConnectionError("gone")

            return fail

    real, lease._lock = lease._lock, Away()
    now[0] = 59.0
    assert lease.held()
    assert lease.renew()
    now[0] = 60.0
    assert not lease.held()
    assert not lease.renew()
    lease._lock = real
    lease.release()


@pytest.mark.parametrize("scheme", ["redis", "postgresql"])
def test_a_place_that_does_not_answer(scheme: str, name: str) -> None:
    port = free_port()
    with (
        pytest.raises(Unreachable, match=r"\[lease-unreachable\]") as failed,
        hold(open_lease(f"{scheme}://user:hunter2@127.0.0.1:{port}/0", name), "x"),
    ):
        pytest.fail("nobody answered")
    assert "hunter2" not in repr(failed.value)
    assert failed.value.__suppress_context__


def test_the_folder_of_the_files_is_private(tmp_path: Path, name: str) -> None:
    with hold(open_lease(f"file://{tmp_path}/a%20b/leases", name), "x"):
        folder = tmp_path / "a b" / "leases"
        assert folder.stat().st_mode & 0o777 == 0o700
        assert [item.stat().st_mode & 0o777 for item in folder.iterdir()] == [0o600] * 2


@pytest.mark.parametrize("url", ["file://elsewhere/folder", "file:relative", "memcached://host", "nonsense"])
def test_addresses_that_name_no_place(url: str) -> None:
    with pytest.raises(ConfigError, match=r"\[lease-url-invalid\]"):
        open_lease(url, "x")


@pytest.mark.parametrize(("package", "url"), [("redis", "redis://h"), ("psycopg", "postgresql://h/d")])
def test_a_missing_library_names_its_extra(package: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=r"\[lease-library-missing\]") as missing:
        open_lease(url, "x")
    assert "pip install '.[" in missing.value.remedy


def test_the_name_is_the_same_everywhere_and_each_tenants_own() -> None:
    upper = TenantId("AAAAAAAA-2222-4333-8444-555555555555")
    assert lease_name("staff", upper) == "aaaaaaaa-2222-4333-8444-555555555555.staff"
    assert lease_name("staff", upper) != lease_name("guests", upper)
