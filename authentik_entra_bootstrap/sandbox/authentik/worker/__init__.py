"""authentik's background worker: what a sync really does, tasks, retries, schedules."""

from authentik_entra_bootstrap.sandbox.authentik.worker.desk import Worker
from authentik_entra_bootstrap.sandbox.authentik.worker.engine import WorkerSwitches
from authentik_entra_bootstrap.sandbox.authentik.worker.graph import SignIn

__all__ = ["SignIn", "Worker", "WorkerSwitches"]
