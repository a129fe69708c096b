"""One budget of Microsoft Graph's limits for all workers, as far as this process has a part in it."""

from __future__ import annotations

from authentik_entra_bootstrap.budget import Budget
from authentik_entra_bootstrap.config import WorkerSettings
from authentik_entra_bootstrap.ledgers import open_ledger

MACHINES = 4
"""As many like this one are reckoned with while nothing can be shared."""
_budgets: dict[tuple[str, float, int], Budget] = {}


def budget_of(worker: WorkerSettings) -> Budget:
    """The budget of this process, kept from run to run. The ledger is beside the leases.

    :raises ConfigError: ``url-file-unreadable``, ``setting-invalid``.
    """
    place = worker.lease(), worker.graph_share, worker.concurrency
    if place not in _budgets:
        part = 1 / (MACHINES * worker.concurrency)
        _budgets[place] = Budget(worker.graph_share, open_ledger(place[0]), part)
    return _budgets[place]
