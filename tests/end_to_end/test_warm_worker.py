"""Rotations one after the other in one worker process: what the later ones need not ask again, and what they do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from authentik_entra_bootstrap import trust
from authentik_entra_bootstrap.domain import Network
from authentik_entra_bootstrap.errors import BootstrapError
from authentik_entra_bootstrap.sandbox import Sandbox
from authentik_entra_bootstrap.sandbox.requestlog import Entry
from authentik_entra_bootstrap.worker import runs
from authentik_entra_bootstrap.worker.settings import read_settings
from authentik_entra_bootstrap.worker.warm import Warm
from tests.benchmarks.crowd import Crowd, variables

Rotate = Callable[[int], list[Entry]]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(authentik_options={"seed": "recorded"}) as running:
        yield running


@pytest.fixture
def rotate(sandbox: Sandbox, tmp_path: Path) -> Iterator[Rotate]:
    """Rotate one of eight connections in two tenants, which are due; the requests that it took."""
    from ordeal import Ordeal

    file = Crowd(sandbox, tmp_path, tenants=2).fill(8)
    environment = variables(sandbox, tmp_path, file)
    settings = read_settings({**environment, "AUTHENTIK_ENTRA_STATE_DIR": str(tmp_path)})
    warm = Warm()

    def run(number: int) -> list[Entry]:
        mark, runtime = sandbox.world.log.last_seq, Ordeal(sandbox).runtime()
        runtime.kept = warm.kept
        outcome = warm.run(runs.rotate_connection(settings, f"c{number:05d}", runtime))
        assert outcome.rotated
        return sandbox.world.log.since(mark, Network().user_agent)

    yield run
    warm.close()


def sign_ins(entries: list[Entry], sandbox: Sandbox) -> Counter[str]:
    """Successful requests for tokens: the operators', and those with a new client secret."""
    operators = {
        item["appId"]
        for tenant in sandbox.world.tenants.values()
        for item in tenant.all("application")
        if "operator" in item["displayName"]
    }
    return Counter(
        "operator" if entry.caller in operators else "sync"
        for entry in entries
        if entry.server == "entra" and entry.method == "POST" and entry.status == 200
    )


def descriptions(entries: list[Entry]) -> int:
    """How often authentik was asked what it is."""
    return sum(entry.method == "OPTIONS" or entry.path.endswith("/version/") for entry in entries)


def test_a_later_rotation_asks_only_what_is_its_own(sandbox: Sandbox, rotate: Rotate) -> None:
    first, second, third = rotate(0), rotate(2), rotate(1)
    assert sign_ins(first, sandbox)["operator"] == 1
    assert descriptions(first) == 2
    assert sign_ins(second, sandbox)["operator"] == 0
    assert sign_ins(third, sandbox)["operator"] == 1, "another tenant"
    assert descriptions(second) == descriptions(third) == 0
    proofs = [sign_ins(each, sandbox)["sync"] for each in (first, second, third)]
    assert proofs[0] == proofs[1] == proofs[2] > 1, "no proof is spared"
    # What a first run asks besides: one sign-in, and twice what authentik is.
    assert len(first) - 3 == len(second) == len(third) - 1
    made = trust._context.cache_info().misses
    rotate(4)
    assert trust._context.cache_info().misses == made


def test_each_tenant_has_its_own_token(sandbox: Sandbox, rotate: Rotate) -> None:
    for number in (0, 1):
        rotate(number)
    for number in (2, 3, 4, 5):
        entries = rotate(number)
        assert sign_ins(entries, sandbox)["operator"] == 0
        callers = {entry.caller for entry in entries if entry.server == "graph"}
        assert len(callers) == 2, "one operator and one sync identity"


def test_authentik_is_asked_again_what_it_is(sandbox: Sandbox, rotate: Rotate) -> None:
    rotate(0)
    sandbox.world.clock.advance(61)
    assert descriptions(rotate(2)) == 2


def test_a_token_that_is_refused_is_replaced_at_once(sandbox: Sandbox, rotate: Rotate) -> None:
    rotate(0)
    # It ends by the service's clock, not by ours.
    sandbox.world.clock.advance(7200)
    entries = rotate(2)
    assert 401 in {entry.status for entry in entries if entry.server == "graph"}
    assert sign_ins(entries, sandbox)["operator"] == 1
    assert sign_ins(rotate(4), sandbox)["operator"] == 0


def test_after_a_failure_everything_is_asked_again(sandbox: Sandbox, rotate: Rotate) -> None:
    rotate(0)
    body = {"error": {"code": "Authorization_RequestDenied", "message": "Insufficient privileges."}}
    refused = sandbox.world.faults.add(
        kind="status", status=403, method="POST", path="/addPassword", body=body, times=None
    )
    with pytest.raises(BootstrapError):
        rotate(2)
    sandbox.world.faults.remove(refused)
    entries = rotate(2)
    assert sign_ins(entries, sandbox)["operator"] == 1, "what the operator lacked may have been granted"
    assert descriptions(entries) == 2
    assert sign_ins(rotate(1), sandbox)["operator"] == 1
    assert sign_ins(rotate(4), sandbox)["operator"] == 0


def test_closed_connections_are_opened_again(sandbox: Sandbox, rotate: Rotate) -> None:
    rotate(0)
    for server in ("entra", "authentik"):
        # Refuses, and thereby cuts what is open; then takes connections again.
        sandbox.world.faults.remove(sandbox.world.faults.add(kind="refuse", server=server, times=None))
    rotate(2)
