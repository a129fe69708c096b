"""Any call may fail, lose its reply or be the last of a dying process: the next undisturbed run converges."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from authentik_entra_bootstrap.errors import (
    BootstrapError,
    Denied,
    ExitCode,
    ServiceUnavailable,
    Throttled,
    Unreachable,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from model_world import World

FRESH_CALLS = 60
DUE_CALLS = 60
"""More than a run makes; what lies beyond the last call is skipped inside the tests, which count that."""

KINDS = ("killed-before", "killed-after", "unavailable", "lost")


def _schedule(world: World, number: int, kind: str) -> None:
    from model_world import Killed, lost

    if kind.startswith("killed"):
        world.wire.at(number, Killed, kind.removeprefix("killed-"))
    elif kind == "unavailable":
        world.wire.at(number, lambda: ServiceUnavailable("service-unavailable", "503"), "before")
    else:
        world.wire.at(number, lost, "after")


async def _disturbed(world: World, number: int, kind: str) -> bool:
    """Run with an accident at a call; whether it happened."""
    from model_world import Killed

    start = len(world.wire.calls)
    _schedule(world, start + number, kind)
    try:
        await world.run()
    except (BootstrapError, Killed):
        pass
    finally:
        world.wire.calm()
    return len(world.wire.calls) > start + number


async def _recovers(world: World, secrets: int) -> None:
    """An undisturbed run converges; once the overlap has passed there is one secret; then nothing is written."""
    world.clock.advance(60)
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
    before = len(world.wire.calls)
    await world.run()
    assert world.wire.writes(before) == []


async def _sweep(make: Callable[[], object], kind: str, calls: int, secrets: int) -> int:
    happened = 0
    for number in range(calls):
        world: World = await make()
        if not await _disturbed(world, number, kind):
            break
        happened += 1
        try:
            await _recovers(world, secrets)
        except AssertionError as error:
            name = [call.name for call in world.wire.calls]
            raise AssertionError(f"{kind} at call {number} ({name[number]})") from error
    return happened


@pytest.mark.parametrize("kind", KINDS)
async def test_an_interrupted_first_run_is_finished_by_the_next(
    kind: str, make_world: Callable[..., World]
) -> None:
    async def empty() -> World:
        return make_world()

    assert FRESH_CALLS > await _sweep(empty, kind, FRESH_CALLS, secrets=1) > 30


@pytest.mark.parametrize("kind", KINDS)
async def test_an_interrupted_rotation_is_finished_by_the_next_run_without_an_outage(
    kind: str, make_world: Callable[..., World]
) -> None:
    async def due() -> World:
        world = make_world()
        await world.run()
        world.age(days=121)
        return world

    # The secret from before rests beside the new one, and one that authentik was given in between may too.
    assert DUE_CALLS > await _sweep(due, kind, DUE_CALLS, secrets=3) > 25


@pytest.mark.parametrize("kind", KINDS)
async def test_an_interrupted_retirement_is_finished_by_the_next_run(
    kind: str, make_world: Callable[..., World]
) -> None:
    async def overlap_over() -> World:
        world = make_world()
        await world.run()
        world.age(days=121)
        await world.run()
        world.age(hours=25)
        return world

    assert await _sweep(overlap_over, kind, 40, secrets=1) > 18


@pytest.mark.parametrize("lag", [0.0, 10.0])
async def test_two_accidents_in_a_row_are_survived(lag: float, make_world: Callable[..., World]) -> None:
    for number in range(14, 44, 3):
        world = make_world()
        world.tenant.lag = world.tenant.secret_lag = lag
        await _disturbed(world, number, "killed-after")
        world.clock.advance(60)
        await _disturbed(world, number - 6, "lost")
        await _recovers(world, secrets=1)


async def test_runs_that_fail_at_the_same_call_again_and_again_leave_no_heap_of_secrets(world: World) -> None:
    world.tenant.may_consent = False
    for _ in range(5):
        with pytest.raises(BootstrapError) as caught:
            await world.run()
        assert caught.value.code == "consent-required"
        assert caught.value.exit_code is ExitCode.ADMIN_ACTION
        assert world.ours == []
        assert world.marks.pending is None
        world.clock.advance(3600)
    world.tenant.may_consent = True
    await world.run()
    world.assert_converged()


@pytest.mark.parametrize("error", ["unsent", "throttled"])
async def test_a_secret_that_was_surely_not_made_is_not_looked_for(world: World, error: str) -> None:
    from model_world import refused

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
    from model_world import lost

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
    from dataclasses import replace

    original = world.entra.create_application

    async def stranger_first(spec: object) -> object:
        await original(replace(spec, tags=("theirs",)))
        return await original(spec)

    world.entra.create_application = stranger_first
    with pytest.raises(BootstrapError) as caught:
        await world.run()
    assert caught.value.code == "application-not-ours"
    assert world.wire.count("entra.add_secret") == 0


async def test_a_secret_that_never_works_is_removed_and_authentik_is_left_alone(world: World) -> None:
    world.tenant.secret_lag = 10_000
    with pytest.raises(BootstrapError) as caught:
        await world.run()
    assert caught.value.code == "secret-not-accepted-yet"
    assert caught.value.exit_code is ExitCode.TEMPORARY
    assert world.ours == []
    assert world.marks.pending is None
    assert world.server.stored is None
    assert len(world.tenant.removed) == 1


async def test_roles_that_never_arrive_ask_for_an_administrator(world: World) -> None:
    world.tenant.role_lag = 10_000
    with pytest.raises(BootstrapError) as caught:
        await world.run()
    assert caught.value.code == "consent-not-effective"
    assert "Group.Create" in caught.value.message
    assert caught.value.exit_code is ExitCode.ADMIN_ACTION
    assert world.ours == []


async def test_a_refusal_that_waiting_does_not_mend_is_told_at_once(world: World) -> None:
    world.wire.fail("entra.sign_in_as", Denied("conditional-access", "AADSTS53003"))
    with pytest.raises(Denied):
        await world.run()
    assert world.ours == []
    assert world.server.stored is None


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
    working.tenant.make_secret(
        "authentik-entra:default:0d0d0d0d00000000deadbeef", working.clock.now().replace(year=2027)
    )
    original = working.entra.remove_secret

    async def ineffective(app_object_id: object, key_id: object) -> bool:
        return await working.wire.call("entra.remove_secret", lambda _: True, kind="remove")

    working.entra.remove_secret = ineffective
    with pytest.raises(BootstrapError) as caught:
        await working.run()
    assert caught.value.code == "secret-removal-not-confirmed"
    working.entra.remove_secret = original
    await working.run()
    working.assert_converged()
