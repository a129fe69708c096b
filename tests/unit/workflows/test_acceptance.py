"""A new client secret is tried early and confirmed by several sign-ins at once; a refusal makes it wait longer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from model_entra import Session
from model_world import World

from authentik_entra_bootstrap.domain import NewClientSecret, Organization, SecretText
from authentik_entra_bootstrap.errors import Denied, ReplicationTimeout, Temporary
from authentik_entra_bootstrap.support.waiting import NEW_SECRET
from authentik_entra_bootstrap.workflows.client_secrets import ROUNDS, SIGN_INS, SPREAD, SecretCheck

Accepts = Callable[[int, float], bool]
"""Whether the token service takes the secret: by the number of the sign-in and the seconds since the first."""


class Tried:
    """The test of a working world's secret, on a token service of its own mind."""

    def __init__(self, world: World, accepts: Accepts) -> None:
        self.world, self.accepts = world, accepts
        self.looks: list[int] = []
        self.at: list[float] = []
        context = world.context()
        self.began = world.clock.monotonic()
        self._inner = world.entra.sign_in_as
        world.entra.sign_in_as = self._sign_in
        held = world.held()
        secret = NewClientSecret(held, SecretText(world.tenant.texts[held.key_id]))
        roles = frozenset({"Group.Create"})
        self.test = SecretCheck(context, world.tenant.app, secret, roles, strict=True)

    async def _sign_in(self, *arguments: Any) -> Any:
        number, now = len(self.at), self.world.clock.monotonic() - self.began
        self.at.append(now)
        if not self.accepts(number, now):
            raise Denied("secret-not-accepted", "AADSTS7000215")
        return await self._inner(*arguments)

    async def look(self) -> None:
        self.looks.append(len(self.at))

    async def prove(self) -> dict[str, str]:
        return {item.name: item.detail for item in await self.test.prove(self.look)}


async def test_what_nothing_refuses_is_confirmed_at_once_beside_the_looks(working: World) -> None:
    tried = Tried(working, lambda number, now: True)
    await tried.test.try_early()
    assert tried.at == [0]
    seen = await tried.prove()
    assert seen["secret-signs-in"] == f"{SIGN_INS} sign-ins in a row"
    assert seen["graph-call"].startswith("GET /organization: ")
    assert tried.at == [0] * SIGN_INS
    assert tried.looks == [1], "the looks go out with the sign-ins that confirm the first"
    assert tried.test.looked


@pytest.mark.parametrize("early", [True, False])
async def test_after_a_refusal_three_rounds_over_some_time_have_to_succeed(
    working: World, early: bool
) -> None:
    tried = Tried(working, lambda number, now: now >= 9)
    if early:
        await tried.test.try_early()
    seen = await tried.prove()
    assert seen["secret-signs-in"] == f"{1 + ROUNDS * SIGN_INS} sign-ins in a row"
    good = [now for now in tried.at if now >= 9]
    assert good[0] < 10, "the moment is found quickly"
    assert good[-1] - good[0] == pytest.approx((ROUNDS - 1) * SPREAD)
    assert len(tried.at) - len(good) < 20, "without hammering"
    assert len(tried.looks) == 1
    assert tried.looks[0] > len(tried.at) - SIGN_INS - 1


async def test_one_replica_that_lags_makes_everything_wait_for_it(working: World) -> None:
    # Every other sign-in reaches a replica that learns of the secret after twelve seconds; the other knows it.
    tried = Tried(working, lambda number, now: number % 2 == 0 or now >= 12)
    await tried.prove()
    good = [now for now in tried.at if now >= 12]
    assert len(good) >= ROUNDS * SIGN_INS
    assert tried.at[-1] < 14


async def test_a_secret_that_some_replicas_never_take_is_given_up(working: World) -> None:
    tried = Tried(working, lambda number, now: number % 3 != 2)
    with pytest.raises(ReplicationTimeout, match=r"\[secret-not-accepted-yet\]") as caught:
        await tried.prove()
    assert "some of its servers" in caught.value.message
    assert NEW_SECRET.budget <= tried.at[-1] + 20
    assert tried.at[-1] <= NEW_SECRET.budget + 10
    assert len(tried.at) < 1000


async def test_one_that_none_takes_is_given_up_after_the_same_time(working: World) -> None:
    tried = Tried(working, lambda number, now: False)
    with pytest.raises(ReplicationTimeout, match=r"\[secret-not-accepted-yet\]"):
        await tried.prove()
    assert NEW_SECRET.budget - 10 <= tried.at[-1] <= NEW_SECRET.budget + 10
    assert len(tried.at) < 120


async def test_looks_that_something_came_after_are_not_the_last(
    working: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0
    original = Session.organization

    async def late(self: Session) -> Organization:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise Denied("sync-permission-missing", "Not yet.")
        return await original(self)

    monkeypatch.setattr(Session, "organization", late)
    tried = Tried(working, lambda number, now: True)
    seen = await tried.prove()
    assert asked == 3
    assert seen["graph-call"].startswith("GET /organization: ")
    assert not tried.test.looked


async def test_what_a_look_finds_is_raised(working: World) -> None:
    tried = Tried(working, lambda number, now: True)

    async def another() -> None:
        raise Temporary("another-run-active", "Another run.")

    with pytest.raises(Temporary, match="Another run"):
        await tried.test.prove(another)


async def test_another_refusal_is_no_reason_to_wait(working: World) -> None:
    tried = Tried(working, lambda number, now: True)

    async def blocked(*_: Any) -> None:
        raise Denied("conditional-access-blocked", "AADSTS53003")

    working.entra.sign_in_as = blocked
    await tried.test.try_early()
    with pytest.raises(Denied, match="AADSTS53003"):
        await tried.prove()
    assert working.clock.monotonic() == tried.began
