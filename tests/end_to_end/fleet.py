"""Real workers of the product against one sandbox: started, killed, and judged by what the sandbox holds."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from on_sandbox import clean_environment
from ordeal import Ordeal, hash_secret, iso, read_tags, wait_for

from authentik_entra_bootstrap.celery_app import App
from authentik_entra_bootstrap.config.worker import NO_LEASE
from authentik_entra_bootstrap.domain import TenantId
from authentik_entra_bootstrap.domain.policy import stray_rest
from authentik_entra_bootstrap.errors import Temporary
from authentik_entra_bootstrap.sandbox import Sandbox
from authentik_entra_bootstrap.support.leases import hold, lease_name, open_lease
from authentik_entra_bootstrap.worker import read_settings

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LIFETIME = 12 * 3600
UNTIL_DUE = LIFETIME * 2 / 3 + 300
"""Seconds after which a fresh secret is due, jitter included; also longer than its overlap."""
SECONDS = 300.0


@dataclass
class Worker:
    """One process group: the worker, its pool, and its beat."""

    process: subprocess.Popen[bytes]
    log: Path

    def kill(self) -> None:
        """``kill -9`` of everything at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def terminate(self) -> int:
        """SIGTERM, as a service manager sends it to the main process; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SECONDS)

    def gone(self) -> bool:
        """Whether no process of the group is left."""
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return True
        return False

    @property
    def text(self) -> str:
        """Everything that it has logged."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_ready(self) -> None:
        """Until it consumes."""
        assert wait_for(lambda: " ready." in self.text or self.process.poll() is not None, SECONDS), self.text
        assert self.process.poll() is None, self.text


@dataclass
class Fleet:
    """A bootstrapped connection, and workers for it.

    :param settings: further variables of every worker.
    """

    sandbox: Sandbox
    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    workers: list[Worker] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ordeal = Ordeal(self.sandbox)
        self.environment = {
            **clean_environment(),
            **self.sandbox.environment(),
            "PYTHONPATH": f"{ROOT}{os.pathsep}{HERE}",
            "AUTHENTIK_ENTRA_STATE_DIR": str(self.folder / "state"),
            "AUTHENTIK_ENTRA_SECRET_LIFETIME": f"{LIFETIME // 3600}h",
            **self.settings,
        }
        self._app: Any = None

    @property
    def app(self) -> Any:
        """A Celery application of this process that sends to the same broker."""
        if self._app is None:
            self._app = App("test", set_as_current=False, environment=self.environment)
        return self._app

    def bootstrap(self) -> None:
        """Make the connection."""
        done = self.ordeal.run(
            "bootstrap",
            "--yes",
            AUTHENTIK_ENTRA_SECRET_LIFETIME=self.environment["AUTHENTIK_ENTRA_SECRET_LIFETIME"],
        )
        assert done.exit == 0, done.text

    def start(self, *options: str, **environment: str) -> Worker:
        """Start one more worker; it sweeps at once."""
        number = len(self.workers)
        log = self.folder / f"worker-{number}.log"
        with log.open("wb") as said:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "celery", "-A", "clocked_app", "worker"),
                    *("-n", f"w{number}-{os.getpid()}@test", "-c", "1", "-l", "INFO"),
                    *("--without-mingle", "--without-gossip", *options),
                ],
                cwd=self.folder,
                env={**self.environment, **environment},
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        self.workers.append(Worker(process, log))
        return self.workers[-1]

    def send(self, task: str, *names: str) -> None:
        """Send a task as a sweep or beat would."""
        self.app.send_task(f"authentik-entra.{task}", args=names)

    def stop(self) -> None:
        """Kill what still runs."""
        for worker in self.workers:
            worker.kill()
        if self._app is not None:
            self._app.close()

    # --- what the sandbox holds

    def current(self) -> str | None:
        """The key id that is recorded as current."""
        marks = read_tags(tuple(self.ordeal.application()["tags"]))
        return marks.current.key_id if marks.current else None

    def flaws(self) -> list[str]:
        """What is not as it must be after an undisturbed run."""
        app = self.ordeal.application()
        marks = read_tags(tuple(app["tags"]))
        found = []
        if marks.pending is not None:
            found.append(f"still pending: {marks.pending}")
        if marks.current is None or app["_secrets"].get(marks.current.key_id) != hash_secret(
            self.ordeal.stored_secret()
        ):
            found.append("authentik does not hold what is recorded as current")
        used = {item.key_id for item in (marks.current, *marks.previous) if item}
        # One that another run may still be about to deliver is left alone for a while.
        young = iso(self.sandbox.world.clock.now() - stray_rest(timedelta(seconds=LIFETIME)))
        orphans = [
            item["keyId"]
            for item in self.ordeal.our_secrets()
            if item["keyId"] not in used and item["startDateTime"] < young
        ]
        if orphans:
            found.append(f"orphans: {orphans}")
        return found

    def outages(self) -> list[str]:
        """What broke authentik: refused sign-ins, and a secret in its hands that Entra ID does not know."""
        failed = [
            f"{item.moment}: {item.error_code}"
            for item in self.sandbox.authentik.worker.sign_ins
            if not item.ok
        ]
        known = self.ordeal.application()["_secrets"].values()
        if hash_secret(self.ordeal.stored_secret()) not in known:
            failed.append("authentik's secret is gone")
        return failed

    def wait(self, condition: Callable[[], bool], what: str, seconds: float = SECONDS) -> None:
        """Until the sandbox shows it; the workers' logs tell why not."""
        if not wait_for(condition, seconds):
            logs = "\n".join(f"--- {worker.log.name}\n{worker.text[-6000:]}" for worker in self.workers[-3:])
            raise AssertionError(f"in vain: {what}; {self.flaws()}\n{logs}")

    def idle(self) -> bool:
        """Whether no run goes on: nobody holds the connection's lease."""
        settings = read_settings(self.environment)
        name = lease_name("default", TenantId(self.sandbox.world.default_tenant.tenant_id))
        if settings.worker.lease_url == NO_LEASE:
            seen = self.sandbox.world.log.last_seq
            time.sleep(0.4)
            return self.sandbox.world.log.last_seq == seen
        try:
            with hold(open_lease(settings.worker.lease(), name), "test"):
                return True
        except Temporary:
            return False

    def rotated(self, before: str | None) -> bool:
        """Whether another secret is current by now, everything is in order, and the run is over."""
        return self.current() != before and not self.flaws() and self.idle()

    def make_due(self) -> str | None:
        """Let the time pass until the current secret is due; its key id."""
        self.sandbox.world.clock.advance(UNTIL_DUE)
        return self.current()


@contextlib.contextmanager
def fleet(folder: Path, *, seed: int = 0, **settings: str) -> Iterator[Fleet]:
    """A sandbox with a connection; workers are ended with it."""
    with Sandbox(seed=seed) as sandbox:
        found = Fleet(sandbox, folder, settings)
        try:
            found.bootstrap()
            yield found
        finally:
            found.stop()
