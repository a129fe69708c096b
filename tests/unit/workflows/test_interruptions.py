"""Any call may fail, lose its reply or be the last of a dying process: the next undisturbed run converges."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
from model_world import ACCIDENTS, World, at_each_call, disturbed, lost, refused

from authentik_entra_bootstrap.errors import (
    BootstrapError,
    Denied,
    ExitCode,
    ServiceUnavailable,
    Throttled,
    Unreachable,
)


async def _recovers(world: World, secrets: int) -> None:
    """An undisturbed run converges; once the overlap has passed there is one secret; then nothing is written."""
    await world.run()
    assert world.outages == []
    assert world.server.syncs, "users wait for the four-hourly sync"
    assert world.marks.pending is None
    assert world.marks.current is not None
    assert world.marks.current.key_id == world.held().key_id
    assert len(world.ours) <= secrets
    world.age(hours=25)
    await world.run()
    world.assert_converged()
    await world.idle_run()


@pytest.mark.parametrize("kind", ACCIDENTS)
async def test_an_interrupted_first_run_is_finished_by_the_next(kind: str) -> None:
    async def empty() -> World:
        return World()

    assert await at_each_call(kind, empty, World.run, partial(_recovers, secrets=1)) > 30


@pytest.mark.parametrize("kind", ACCIDENTS)
async def test_an_interrupted_rotation_is_finished_by_the_next_run_without_an_outage(kind: str) -> None:
    async def due() -> World:
        world = World()
        await world.run()
        world.age(days=121)
        return world

    # The secret from before rests beside the new one, and one that authentik was given in between may too.
    assert await at_each_call(kind, due, World.run, partial(_recovers, secrets=3)) > 25


@pytest.mark.parametrize(
    "kind",
    [kind if kind == "killed-after" else pytest.param(kind, marks=pytest.mark.ordeal) for kind in ACCIDENTS],
)
async def test_an_interrupted_retirement_is_finished_by_the_next_run(kind: str) -> None:
    async def overlap_over() -> World:
        world = World()
        await world.run()
        world.age(days=121)
        await world.run()
        world.age(hours=25)
        return world

    assert await at_each_call(kind, overlap_over, World.run, partial(_recovers, secrets=1)) > 18


@pytest.mark.parametrize("lag", [0.0, 10.0])
async def test_two_accidents_in_a_row_are_survived(lag: float) -> None:
    for number in range(14, 44, 3):
        world = World()
        world.tenant.lag = world.tenant.secret_lag = lag
        await disturbed(world.wire, number, "killed-after", world.run)
        world.clock.advance(60)
        await disturbed(world.wire, number - 6, "lost", world.run)
        world.clock.advance(60)
        await _recovers(world, secrets=1)


@pytest.mark.parametrize("error", ["unsent", "throttled"])
async def test_a_secret_that_was_surely_not_made_is_not_looked_for(world: World, error: str) -> None:
    if error == "unsent":
        world.wire.fail("entra.add_secret", refused, times=2)
        await world.run()
        world.assert_converged()
        assert world.wire.count("entra.add_secret") == 3
    else:
        world.wire.fail("entra.add_secret", Throttled("throttled", "429"))
        with pytest.raises(Throttled):
            await world.run()
        assert world.wire.count("entra.add_secret") == 1
    assert sum(world.clock.slept) < 30


async def test_a_lost_secret_is_found_by_its_name_removed_and_made_again(world: World) -> None:
    world.tenant.lag, world.tenant.flapping = 5.0, False
    world.wire.lose("entra.add_secret")
    await world.run()
    world.assert_converged()
    assert world.wire.count("entra.add_secret") == 2
    assert len(world.tenant.removed) == 1
    assert "a client secret whose creation was not answered" in world.reporter.waits


async def test_when_every_reply_is_lost_the_run_gives_up_and_leaves_none_behind(world: World) -> None:
    world.wire.lose("entra.add_secret", times=9)
    with pytest.raises(Unreachable):
        await world.run()
    assert world.wire.count("entra.add_secret") == 4
    assert world.ours == []
    world.wire.calm()
    await world.run()
    world.assert_converged()


async def test_a_request_that_was_lost_before_it_arrived_is_waited_for_only_so_long(world: World) -> None:
    world.wire.fail("entra.add_secret", lost)
    await world.run()
    world.assert_converged()
    assert 30 <= sum(world.clock.slept) < 45


async def test_a_lost_reply_to_the_creation_of_the_application_finds_it_again(world: World) -> None:
    # What an adapter does that repeats the request: the second one meets the first one's result.
    world.tenant.lag = 8.0
    original = world.entra.create_application

    async def twice(spec: object) -> object:
        await original(spec)
        return await original(spec)

    world.entra.create_application = twice
    await world.run()
    world.assert_converged()


async def test_a_name_taken_meanwhile_by_a_stranger_is_refused(world: World) -> None:
    original = world.entra.create_application

    async def stranger_first(spec: object) -> object:
        await original(replace(spec, tags=("theirs",)))
        return await original(spec)

    world.entra.create_application = stranger_first
    with pytest.raises(BootstrapError, match=r"\[application-not-ours\]"):
        await world.run()
    assert world.wire.count("entra.add_secret") == 0


async def test_a_secret_that_never_works_is_removed_and_authentik_is_left_alone(world: World) -> None:
    world.tenant.secret_lag = 10_000
    with pytest.raises(BootstrapError, match=r"\[secret-not-accepted-yet\]") as caught:
        await world.run()
    assert caught.value.exit_code is ExitCode.TEMPORARY
    assert world.ours == []
    assert world.marks.pending is None
    assert world.server.stored is None
    assert len(world.tenant.removed) == 1


async def test_roles_that_never_arrive_ask_for_an_administrator(world: World) -> None:
    world.tenant.role_lag = 10_000
    with pytest.raises(BootstrapError, match=r"\[consent-not-effective\]") as caught:
        await world.run()
    assert "Group.Create" in caught.value.message
    assert caught.value.exit_code is ExitCode.ADMIN_ACTION
    assert world.ours == []


async def test_an_unused_secret_that_cannot_be_removed_now_is_left_to_the_next_run(world: World) -> None:
    world.wire.fail("entra.sign_in_as", Denied("conditional-access", "AADSTS53003"))
    world.wire.fail("entra.remove_secret", ServiceUnavailable("service-unavailable", "503"))
    with pytest.raises(Denied):
        await world.run()
    assert len(world.ours) == 1
    assert any("could not be removed now" in text for text in world.reporter.warnings)
    world.wire.calm()
    await world.run()
    world.assert_converged()


async def test_a_removal_that_reads_do_not_confirm_ends_the_run(working: World) -> None:
    working.orphan()
    original = working.entra.remove_secret

    async def ineffective(app_object_id: object, key_id: object) -> bool:
        return await working.wire.call("entra.remove_secret", lambda _: True, kind="remove")

    working.entra.remove_secret = ineffective
    with pytest.raises(BootstrapError, match=r"\[secret-removal-not-confirmed\]"):
        await working.run()
    working.entra.remove_secret = original
    await working.run()
    working.assert_converged()
