"""Teardown in memory: whatever happens at any call, the next run finishes, and authentik's provider never fails."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from model_world import ACCIDENTS, World, at_each_call

from authentik_entra_bootstrap.domain.application_tags import is_ours
from authentik_entra_bootstrap.errors import Conflict
from authentik_entra_bootstrap.planning.teardown import TeardownPlan, plan_teardown
from authentik_entra_bootstrap.workflows.teardown import look_before_teardown, teardown
from authentik_entra_bootstrap.workflows.tenant import Wish, find_deleted, settle

WAYS: tuple[dict[str, bool], ...] = ({}, {"purge": True}, {"keep_application": True})


async def take_down(world: World, **options: bool) -> TeardownPlan:
    context = world.context()
    plan = plan_teardown(world.desired, await look_before_teardown(context, world.desired), **options)
    await teardown(context, plan, purge=options.get("purge", False))
    return plan


def watch_provider(world: World) -> list[str]:
    """Names of the calls after which authentik had a provider that could not sign in."""
    failing: list[str] = []

    def look(call: Any) -> None:
        if world.server.stored is not None and not world.server.works():
            failing.append(call.name)

    world.wire.watch = look
    return failing


def assert_gone(world: World, options: dict[str, bool]) -> None:
    truth = world.tenant.truth
    assert world.server.stored is None
    assert world.server.application is None
    if options.get("keep_application"):
        assert truth.application is not None
        assert truth.application.tags == ()
        assert not any(is_ours(item) for item in truth.application.secrets)
    else:
        assert truth.application is None
        assert (truth.deleted is None) is options.get("purge", False)


@pytest.mark.parametrize("options", WAYS)
async def test_a_second_run_has_nothing_to_do(working: World, options: dict[str, bool]) -> None:
    failing = watch_provider(working)
    await take_down(working, **options)
    assert_gone(working, options)
    writes = len(working.wire.writes())
    assert (await take_down(working, **options)).steps == ()
    assert len(working.wire.writes()) == writes
    assert failing == []


@pytest.mark.parametrize("kind", ACCIDENTS)
@pytest.mark.parametrize("options", WAYS)
async def test_an_accident_at_any_call_is_finished_by_the_next_run(
    options: dict[str, bool], kind: str
) -> None:
    async def begin() -> World:
        world = World()
        await world.run()
        world.clock.advance(60)
        world.failing = watch_provider(world)
        return world

    async def judge(world: World) -> None:
        await take_down(world, **options)
        assert_gone(world, options)
        assert world.failing == []

    assert await at_each_call(kind, begin, partial(take_down, **options), judge) > 15


async def test_replicas_that_lag_do_not_hide_the_application(working: World) -> None:
    working.tenant.lag, working.tenant.flapping = 90.0, True
    assert (await take_down(working)).steps
    assert_gone(working, {})


async def test_what_was_attached_in_the_meantime_keeps_authentik_s_application(working: World) -> None:
    context = working.context()
    plan = plan_teardown(working.desired, await look_before_teardown(context, working.desired))
    working.server.bindings = 1
    done = await teardown(context, plan)
    assert [step.target.value for step in done] == ["provider", "application"]
    assert working.server.application is not None
    assert any("stays" in text for text in working.reporter.warnings)


@pytest.mark.parametrize("wish", list(Wish))
async def test_a_bootstrap_works_after_a_teardown(working: World, wish: Wish) -> None:
    before = working.tenant.app.app_id
    await take_down(working)
    context = working.context()
    deleted = await find_deleted(context, working.desired)
    assert deleted is not None
    await settle(context, working.desired, deleted, wish)
    assert await find_deleted(context, working.desired) is None
    await working.run()
    assert (working.tenant.app.app_id == before) is (wish is Wish.RESTORE)
    assert working.server.stored is not None
    assert working.tenant.accepted(working.tenant.app.app_id, working.server.secret)


async def test_a_stranger_s_deleted_application_is_neither_restored_nor_purged(working: World) -> None:
    working.tenant.change_app(tags=("authentik-entra", "authentik-entra:connection=staff"))
    await working.entra.delete_application(working.tenant.app.app_object_id)
    with pytest.raises(Conflict, match="does not carry this connection's tags"):
        await find_deleted(working.context(), working.desired)
