"""Every kind of ledger against its real service: one book for all, and failures that harm nobody."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authentik_entra_bootstrap.budget import Ledger, LedgerFailed
from authentik_entra_bootstrap.ledgers import open_ledger
from authentik_entra_bootstrap.ledgers.file import FILE, FileLedger
from authentik_entra_bootstrap.ledgers.postgresql import TABLE, PostgresqlLedger
from authentik_entra_bootstrap.ledgers.redis_script import PREFIX, RedisLedger
from authentik_entra_bootstrap.pacing import SHARE, Ask, Book, Cost, Payer, asks

ROOT = Path(__file__).resolve().parents[3]
KINDS = ("file", "redis", "postgresql")
MUCH = Cost(100, 100)


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of each kind's place."""
    if request.param == "file":
        return f"file://{tmp_path / 'leases'}"
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def payer() -> Payer:
    """One that no other test uses."""
    return Payer(f"test-{uuid.uuid4().hex}", f"test-{uuid.uuid4().hex}")


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while made:
        made.pop().close()


made: list[Ledger] = []
"""To be closed."""


def opened(url: str) -> Ledger:
    ledger = open_ledger(url)
    assert ledger is not None
    made.append(ledger)
    return ledger


def test_several_share_one_book(url: str, payer: Payer) -> None:
    one, other = opened(url), opened(url)
    wanted = asks(payer, MUCH, SHARE)
    assert one.reserve(payer.name, wanted).delay == 0
    delays = [ledger.reserve(payer.name, wanted).delay for ledger in (other, one, other)]
    assert delays == sorted(delays)
    assert delays[0] > 1
    stranger = Payer("x" + payer.application, "x" + payer.tenant)
    assert one.reserve(stranger.name, asks(stranger, MUCH, SHARE)).delay == 0


def test_a_slower_pace_and_a_pause_are_everybodys(url: str, payer: Payer) -> None:
    one, other = opened(url), opened(url)
    one.slow(payer.name, 0.5, 30)
    other.slow(payer.name, 0.9, 5)
    grant = other.reserve(payer.name, asks(payer, Cost(1), SHARE))
    assert grant.factor == pytest.approx(0.5, abs=0.05)
    assert grant.delay == pytest.approx(30, abs=2)


def test_who_would_wait_for_longer_than_wanted_takes_nothing(url: str, payer: Payer) -> None:
    ledger, wanted = opened(url), asks(payer, MUCH, SHARE)
    ledger.reserve(payer.name, wanted)
    refused = [ledger.reserve(payer.name, wanted, 0.5) for _ in range(3)]
    assert not any(grant.granted for grant in refused)
    delays = [grant.delay for grant in refused]
    granted = ledger.reserve(payer.name, wanted, delays[0] + 1)
    assert granted.granted
    assert max(abs(granted.delay - delay) for delay in delays) < 1


def test_nobody_comes_between(url: str, payer: Payer) -> None:
    wanted = [Ask(f"units:test:{payer.name}", 1.0, 0.0)]
    starts: list[float] = []

    def several() -> None:
        ledger = opened(url)
        starts.extend(ledger.reserve(payer.name, wanted).delay for _ in range(20))

    threads = [threading.Thread(target=several) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(starts) == 80
    # Had two read before one wrote, the last would start sooner than all spacings together.
    assert max(starts) == pytest.approx(80, abs=3)


STEPS = st.lists(
    st.tuples(
        st.floats(0, 60),
        st.booleans(),
        st.floats(0.1, 1),
        st.floats(0, 40),
        st.integers(1, 30),
        st.integers(0, 9),
    ),
    min_size=1,
    max_size=12,
)


@given(steps=STEPS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_script_counts_as_the_book_does(redis_url: str, steps: list[tuple[Any, ...]]) -> None:
    payer, book, now = Payer(uuid.uuid4().hex, uuid.uuid4().hex), Book(), 1_800_000_000.0
    ledger = RedisLedger(redis_url, now)
    made.append(ledger)
    for gap, slows, factor, pause, units, writes in steps:
        now += gap
        ledger.now = now
        if slows:
            book.slow(payer.name, factor, pause, now)
            ledger.slow(payer.name, factor, pause)
            continue
        wanted = asks(payer, Cost(units, writes), SHARE)
        ours, theirs = book.reserve(payer.name, wanted, now), ledger.reserve(payer.name, wanted)
        assert theirs.delay == pytest.approx(ours.delay, abs=1e-3)
        assert theirs.factor == pytest.approx(ours.factor, abs=1e-5)


def test_redis_forgets_by_itself(redis_url: str, payer: Payer) -> None:
    ledger = opened(redis_url)
    ledger.reserve(payer.name, asks(payer, MUCH, SHARE))
    ledger.slow(payer.name, 0.5, 0)
    client = redis.Redis.from_url(redis_url)
    keys = [*client.scan_iter(f"{PREFIX}*{payer.name}*"), *client.scan_iter(f"{PREFIX}*{payer.tenant}")]
    assert len(keys) >= 4
    assert all(0 < client.ttl(key) <= 7200 for key in keys)


def test_a_spoilt_file_counts_as_empty_and_is_private(tmp_path: Path, payer: Payer) -> None:
    now = [1_000.0]
    ledger = FileLedger(tmp_path / "leases", lambda: now[0])
    file = tmp_path / "leases" / FILE
    for text in (
        "",
        '{"taken": {"a"',
        "[]",
        '{"taken": {"a": "b"}, "paces": {}}',
        '{"taken": 3, "paces": {}}',
    ):
        (tmp_path / "leases").mkdir(mode=0o700, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        assert ledger.reserve(payer.name, asks(payer, MUCH, SHARE)).delay == 0
        assert ledger.reserve(payer.name, asks(payer, MUCH, SHARE)).delay > 0
    file.unlink()
    ledger.slow(payer.name, 0.5, 9)
    assert file.stat().st_mode & 0o777 == 0o600
    now[0] += 10_000
    ledger.reserve(payer.name, asks(payer, Cost(1), SHARE))
    assert "paces" in file.read_text(encoding="utf-8")
    assert payer.name not in str(file.read_text(encoding="utf-8").partition("paces")[2])


HOLDER = """
import fcntl, sys, time
with open(sys.argv[1], "a") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_killed_process_leaves_the_file_free(tmp_path: Path, payer: Payer) -> None:
    ledger = FileLedger(tmp_path)
    ledger.reserve(payer.name, asks(payer, Cost(1), SHARE))
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / FILE)], stdout=subprocess.PIPE, env={**os.environ}
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        child.kill()
        child.wait()
    assert ledger.reserve(payer.name, asks(payer, Cost(1), SHARE)).delay == 0


def test_a_lost_connection_to_postgresql_is_made_anew(postgresql_url: str, payer: Payer) -> None:
    ledger = opened(postgresql_url)
    assert isinstance(ledger, PostgresqlLedger)
    wanted = asks(payer, MUCH, SHARE)
    assert ledger.reserve(payer.name, wanted).delay == 0
    with psycopg.connect(postgresql_url, autocommit=True) as other:
        ended = other.execute(
            "SELECT pg_terminate_backend(%s)", (ledger._connection.info.backend_pid,)
        ).fetchall()
    assert ended == [(True,)]
    with pytest.raises(LedgerFailed, match="PostgreSQL"):
        ledger.reserve(payer.name, wanted)
    assert ledger.reserve(payer.name, wanted).delay > 0


def test_who_may_not_make_the_table_is_told(postgresql_url: str, payer: Payer) -> None:
    role = f"nobody_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(postgresql_url, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {role} LOGIN")
        try:
            url = postgresql_url.replace("postgres@", f"{role}@")
            # One that is there, and not ours to use, is refused like one that cannot be made.
            opened(postgresql_url).reserve(payer.name, asks(payer, Cost(1), SHARE))
            with pytest.raises(LedgerFailed, match="InsufficientPrivilege"):
                opened(url).reserve(payer.name, asks(payer, Cost(1), SHARE))
            admin.execute(f"GRANT SELECT, INSERT, UPDATE ON {TABLE} TO {role}")
            assert opened(url).reserve(payer.name, asks(payer, Cost(1), SHARE)).delay == 0
        finally:
            admin.execute(f"DROP OWNED BY {role}")
            admin.execute(f"DROP ROLE {role}")


@pytest.mark.parametrize(
    "url",
    [
        "redis://user:hunter2@127.0.0.1:1",
        "redis://127.0.0.1:notaport",
        "postgresql://user:hunter2@127.0.0.1:1/x",
        "file:///proc/nowhere",
    ],
)
def test_what_cannot_be_reached_fails_without_its_address(url: str, payer: Payer) -> None:
    with pytest.raises(LedgerFailed) as failed:
        opened(url).reserve(payer.name, asks(payer, Cost(1), SHARE))
    assert "hunter2" not in str(failed.value)
    assert failed.value.__cause__ is None
    assert failed.value.__suppress_context__


@pytest.mark.parametrize(("package", "url"), [("redis", "redis://x"), ("psycopg", "postgresql://x")])
def test_without_its_library_it_fails_like_a_service_that_is_away(
    monkeypatch: pytest.MonkeyPatch, package: str, url: str, payer: Payer
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(LedgerFailed, match=f"{package} is not installed"):
        opened(url).slow(payer.name, 0.5, 1)


def test_no_leases_no_ledger() -> None:
    assert open_ledger("none") is None
