"""authentik proves what it stores, or the run says so with the right exit code."""

from __future__ import annotations

from datetime import timedelta

import pytest
from model_world import World

from authentik_entra_bootstrap.domain import KeyId
from authentik_entra_bootstrap.domain.application_tags import Delivered
from authentik_entra_bootstrap.errors import BootstrapError, ExitCode, Temporary, VerificationFailed
from authentik_entra_bootstrap.rotation.proof import Evidence
from authentik_entra_bootstrap.workflows.planning import look
from authentik_entra_bootstrap.workflows.verify import consumer_proof, judge, verify


async def _fails(world: World) -> BootstrapError:
    with pytest.raises(BootstrapError) as caught:
        await world.run()
    return caught.value


async def _evidence(world: World) -> dict[str, Evidence]:
    context = world.context()
    with world.wire.no_writes():
        seen = await look(context, world.desired)
        found = await verify(context, seen.plan, seen.entra, seen.authentik)
    return {item.name: item for item in found}


async def test_without_a_worker_the_run_is_to_be_repeated_and_the_next_only_takes_the_proof(
    world: World,
) -> None:
    world.server.worker_runs = False
    error = await _fails(world)
    assert (error.code, error.exit_code) == ("proof-not-available", ExitCode.TEMPORARY)
    pending = world.marks.pending
    assert pending is not None
    assert pending.key_id == world.held().key_id
    assert world.server.change is not None
    assert pending.request_id == world.server.change.request_id
    world.server.worker_runs = True
    with world.wire.only_writes("authentik.start_sync", "entra.update_application"):
        await world.run()
    assert world.wire.count("entra.add_secret") == 1
    assert world.server.syncs == 1
    world.assert_converged()


async def test_a_secret_that_authentik_garbles_fails_the_proof_and_is_never_current(world: World) -> None:
    world.server.stores = lambda text: text + "x"
    error = await _fails(world)
    assert (error.code, error.exit_code) == ("authentik-sign-in-failed", ExitCode.VERIFICATION_FAILED)
    assert "AADSTS7000215" in error.message
    assert error.facts == {"seen": "AADSTS7000215"}
    assert world.marks.current is None
    assert world.marks.pending is None
    # As the remedy says: the next run delivers a new one, and only its proof lets the first one go.
    world.server.stores = lambda text: text
    await world.run()
    assert world.wire.count("entra.add_secret") == 2
    world.assert_converged()


async def test_a_failed_proof_of_a_rotation_leaves_the_old_secret(working: World) -> None:
    old = working.held().key_id
    working.age(days=121)
    working.server.worker_runs = False
    error = await _fails(working)
    assert error.exit_code is ExitCode.TEMPORARY
    assert old in {secret.key_id for secret in working.ours}
    working.server.worker_runs = True
    before = len(working.wire.calls)
    await working.run()
    assert working.wire.writes(before) == ["entra.update_application"]
    # Only the proof was missing: the one before rests for the whole overlap.
    assert [item.key_id for item in working.marks.previous] == [old]
    working.assert_converged(secrets=2)


async def test_a_mark_of_an_interrupted_run_whose_secret_is_gone_is_cleared_once(working: World) -> None:
    working.tenant.change_app(tags=working.marks.with_pending(Delivered(KeyId("gone"))).texts())
    with working.wire.only_writes("entra.update_application"):
        await working.run()
    working.assert_converged()


async def test_where_authentik_does_not_reach_microsoft_it_is_asked_again_and_then_reported(
    world: World,
) -> None:
    world.server.reaches_microsoft = False
    error = await _fails(world)
    assert (error.code, error.exit_code) == (
        "authentik-does-not-reach-microsoft",
        ExitCode.VERIFICATION_FAILED,
    )
    assert "does not reach Microsoft" in error.message
    assert len(set(world.server.probes)) == len(world.server.probes) > 3
    assert all(probe >= 1 << 30 for probe in world.server.probes)
    # It says nothing about the secret: the next run only takes the proof again.
    pending = world.marks.pending
    assert pending is not None
    assert (pending.key_id, pending.request_id is not None) == (world.held().key_id, True)
    world.server.reaches_microsoft = True
    await world.run()
    assert world.wire.count("entra.add_secret") == 1
    world.assert_converged()


async def test_a_proof_that_waits_behind_full_syncs_says_so(working: World) -> None:
    working.server.worker_runs = False
    working.server.other_sync_for = 10_000
    with pytest.raises(Temporary, match=r"\[proof-not-available\]") as caught:
        await consumer_proof(working.context(), working.server.provider_now)
    assert "behind the full sync of “Other”" in caught.value.message
    assert "AUTHENTIK_WORKER__THREADS=4" in caught.value.remedy


async def test_a_secret_that_authentik_2026_5_refuses_is_not_called_unreachable(working: World) -> None:
    working.server.names_errors = False
    working.server.secret = "wrong"
    with pytest.raises(VerificationFailed, match=r"\[authentik-sign-in-failed\]") as caught:
        await consumer_proof(working.context(), working.server.provider_now)
    assert "Microsoft answered and refused" in caught.value.message
    assert "sign-ins in Entra ID" in caught.value.remedy


async def test_an_attempt_that_fails_while_replicas_disagree_is_not_the_end(working: World) -> None:
    reads = 0
    good = working.server.secret
    working.server.secret = "not yet"
    original = working.authentik.proof_task

    async def later(*arguments: object) -> object:
        nonlocal reads
        reads += 1
        if reads == 4:
            working.server.secret = good
        return await original(*arguments)

    working.authentik.proof_task = later
    evidence, _ = await consumer_proof(working.context(), working.server.provider_now)
    assert evidence.ok
    assert reads == 4
    assert len(working.server.probes) == 2  # one of the bootstrap before, one of this proof


async def test_an_expired_secret_fails_at_once(working: World) -> None:
    working.clock.advance(timedelta(days=181).total_seconds())
    slept = len(working.clock.slept)
    with pytest.raises(VerificationFailed):
        await consumer_proof(working.context(), working.server.provider_now)
    assert len(working.clock.slept) == slept


async def test_a_provider_without_an_application_is_named(working: World) -> None:
    working.server.application = None
    with pytest.raises(VerificationFailed, match=r"\[provider-not-assigned\]"):
        await consumer_proof(working.context(), working.server.provider_now)


async def test_the_budget_of_the_proof_follows_the_timeout_factor(working: World) -> None:
    working.server.worker_runs = False
    context = working.context()
    context.waiter = context.waiter.scaled(0.1)
    start = working.clock.monotonic()
    with pytest.raises(Temporary):
        await consumer_proof(context, working.server.provider_now)
    assert 12 <= working.clock.monotonic() - start < 16


async def test_verify_of_a_working_connection_sees_everything(working: World) -> None:
    found = await _evidence(working)
    assert {name: item.ok for name, item in found.items()} == {
        "secret-lives": True,
        "authentik-holds-current": True,
        "grants": True,
        "authentik-signs-in": True,
    }
    assert "Group.Create" in found["grants"].detail
    assert judge(tuple(found.values())) is None


async def test_verify_of_a_secret_that_is_due_is_no_failure(working: World) -> None:
    working.age(days=130)
    found = await _evidence(working)
    assert judge(tuple(found.values())) is None
    assert "two thirds" in found["authentik-holds-current"].detail


async def test_verify_names_a_missing_grant_and_a_wrong_secret(working: World) -> None:
    working.tenant.change(assignments=working.tenant.truth.assignments[1:])
    working.server.person_changes_provider("typed by hand")
    found = await _evidence(working)
    assert found["grants"].ok is False
    assert "Group.Create" in found["grants"].detail
    assert found["authentik-holds-current"].ok is False
    assert found["authentik-signs-in"].ok is False
    verdict = judge(tuple(found.values()))
    assert verdict is not None
    assert verdict.exit_code is ExitCode.VERIFICATION_FAILED
    assert found["grants"].detail in verdict.message
    beside = judge(tuple(found.values()), shown=True)
    assert beside is not None
    assert beside.message == "Failed: authentik-holds-current, grants, authentik-signs-in."


async def test_verify_without_a_worker_is_temporary(working: World) -> None:
    working.server.worker_runs = False
    found = await _evidence(working)
    assert found["authentik-signs-in"].ok is None
    verdict = judge(tuple(found.values()))
    assert verdict is not None
    assert (verdict.code, verdict.exit_code) == ("proof-not-available", ExitCode.TEMPORARY)


async def test_what_cannot_be_read_is_unknown_and_alone_no_failure(working: World) -> None:
    working.server.events_readable = False
    found = await _evidence(working)
    assert found["authentik-holds-current"].ok is None
    assert judge(tuple(found.values())) is None


@pytest.mark.parametrize("missing", ["application", "provider"])
async def test_verify_of_nothing_says_what_is_missing(world: World, missing: str) -> None:
    if missing == "provider":
        await world.run()
        world.server.stored = None
    found = await _evidence(world)
    assert found["connection-exists"].ok is False
    assert missing in found["connection-exists"].detail
