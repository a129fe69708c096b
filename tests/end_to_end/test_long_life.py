"""Ten years of a connection: rotations in time, one request in a hundred goes wrong, authentik syncs all the while."""

from __future__ import annotations

import os
from datetime import timedelta

import pytest

from authentik_entra_bootstrap.sandbox import Sandbox, Switches
from authentik_entra_bootstrap.sandbox.authentik.resources.system import install_licence

pytestmark = pytest.mark.ordeal
ALL = bool(os.environ.get("TEST_ALL_FAULTS"))
STEP = timedelta(hours=4) if ALL else timedelta(days=9)
"""How often authentik syncs: with ``make ordeal ALL=yes`` every four hours, as its schedule has it. A part of the time to a run."""
OPTIONS = ("--dry-run-sync",) if ALL else ()
"""22,000 syncs sign in and read; with their writes they would take an hour."""
RUN_EVERY = timedelta(days=5 if ALL else 45)
YEARS = timedelta(days=3653)
LIFETIME_DAYS = 180
LAGS = Switches(lag=6.0, flapping=True, secret_lag=12.0, removed_secret_lag=12.0)


def one_in_a_hundred(sandbox: Sandbox) -> None:
    """Lost replies, broken connections, 503 and 429, for us and for authentik's own syncs.

    Not at the token service: a sign-in of authentik's that a fault has broken would say nothing about us.
    """
    for server in ("graph", "authentik"):
        for kind, share in (("drop_after_commit", 0.003), ("drop", 0.003), ("status", 0.002)):
            sandbox.world.faults.add(
                kind=kind, server=server, probability=share, times=None, name=f"1 % at {server}: {kind}"
            )
        sandbox.world.faults.add(
            kind="status",
            status=429,
            server=server,
            probability=0.002,
            times=None,
            name=f"1 % at {server}: 429",
        )


def test_ten_years_without_one_refused_sign_in() -> None:
    from ordeal import Ordeal

    with Sandbox(seed=11, switches=LAGS) as sandbox:
        ordeal = Ordeal(sandbox)
        ordeal.place_foreign_objects()
        assert ordeal.run("bootstrap", "--yes", *OPTIONS).exit == 0
        app = ordeal.application()
        foreign = {
            **app["passwordCredentials"][0],
            "keyId": sandbox.world.guid(),
            "displayName": "somebody's",
        }
        app["passwordCredentials"].append({**foreign, "endDateTime": "2099-01-01T00:00:00Z"})
        sandbox.world.default_tenant.put("application", app["id"], app)
        directory = sandbox.world.default_tenant
        operator = directory.find("application", lambda item: item["appId"] == sandbox.operator.app_id)
        assert operator is not None
        lasting = [
            {**item, "endDateTime": "2099-01-01T00:00:00Z"} for item in operator["passwordCredentials"]
        ]
        directory.put("application", operator["id"], {**operator, "passwordCredentials": lasting})
        install_licence(sandbox.authentik.state, sandbox.world.clock.now() + 2 * YEARS)
        one_in_a_hundred(sandbox)

        began = sandbox.world.clock.now()
        made, ends, next_run = set(), [], began
        while sandbox.world.clock.now() - began < YEARS:
            sandbox.world.clock.advance(STEP.total_seconds())
            sandbox.authentik.worker.settled()
            if sandbox.world.clock.now() < next_run:
                continue
            next_run = sandbox.world.clock.now() + RUN_EVERY
            result = ordeal.run("rotate")
            assert result.exit in {0, 7}, result.text
            ends.append(result.exit)
            made |= {item["keyId"] for item in ordeal.our_secrets()}
            failed = [item.error_code for item in sandbox.authentik.worker.sign_ins if not item.ok]
            assert failed == [], (sandbox.world.clock.now(), failed, result.text)

        sandbox.world.faults.clear()
        # Nothing goes wrong any more: what a last failure left, and what rests, is gone after its time.
        for _ in range(3):
            assert ordeal.run("rotate").exit == 0
            sandbox.world.clock.advance(timedelta(hours=26).total_seconds())
            sandbox.authentik.worker.settled()
        assert ordeal.run("rotate").exit == 0
        assert ordeal.flaws() == []
        assert foreign["keyId"] in {item["keyId"] for item in ordeal.application()["passwordCredentials"]}
        assert len(made) >= YEARS / timedelta(days=LIFETIME_DAYS * 2 / 3) - 3, "too few rotations"
        assert sum(entry.fault is not None for entry in sandbox.world.log.all()) > 10, "too few faults"
        sign_ins = sandbox.authentik.worker.sign_ins
        assert len(sign_ins) > YEARS / STEP
        assert [item for item in sandbox.authentik.worker.sign_ins if not item.ok] == []
