"""The preview is never wrong where it does not say that it does not know."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from authentik_entra_bootstrap.planning.preview import Fate
from tests.contract.authentik.laboratory import Laboratory
from tests.contract.authentik.random_tenants import PROFILES, RandomTenant, Told
from tests.contract.authentik.recorded_syncs import Situation
from tests.contract.authentik.test_found import recordings

FRESH = 50
"""Worlds after which a laboratory is made anew: its tenant remembers every version of every object."""


async def hold(profile: str, seeds: range) -> Counter[tuple[str, Fate]]:
    """Foretell and sync every world; how often each fate was told."""
    told: Counter[tuple[str, Fate]] = Counter()
    for start in range(seeds.start, seeds.stop, FRESH):
        async with Laboratory(profile) as lab:
            for seed in range(start, min(start + FRESH, seeds.stop)):
                world = RandomTenant(lab, seed)
                # What the first sync wrote, the second one finds linked and unchanged.
                for sync in ("first", "second"):
                    preview = world.foretold()
                    await world.sync()
                    assert world.contradictions(preview) == [], f"profile {profile}, seed {seed}, {sync} sync"
                    told.update((item.kind, item.fate) for item in (*preview.users, *preview.groups))
    return told


@pytest.mark.parametrize("profile", PROFILES)
async def test_what_is_foretold_of_random_tenants_comes_true(profile: str) -> None:
    told = await hold(profile, range(8))
    assert len(told) > 10


@pytest.mark.ordeal
@pytest.mark.parametrize("profile", PROFILES)
async def test_what_is_foretold_of_very_many_random_tenants_comes_true(profile: str) -> None:
    told = await hold(profile, range(1000, 1500))
    people = {fate: number for (kind, fate), number in told.items() if kind == "user"}
    assert set(people) == set(Fate) - {Fate.CREATE_AGAIN}
    assert {fate for kind, fate in told if kind == "group"} >= {Fate.CREATE_AGAIN, Fate.LINK, Fate.GONE}
    assert people[Fate.UNKNOWN] < sum(people.values()) / 5, "unknown is the exception"


SINGLE_CHANGES = ("signal", "deleted", "sync-object", "removed-that")
FULL_SYNCS = [
    recording
    for recording in recordings("sync/0[1-8]*-2[56].json")
    if not any(word in str(recording.id) for word in SINGLE_CHANGES)
]


@pytest.mark.parametrize("path", FULL_SYNCS)
async def test_what_is_foretold_of_recorded_syncs_came_true(path: Path) -> None:
    situation = Situation(path)
    async with situation.laboratory as lab:
        await situation.build()
        told = Told(lab, situation.provider)
        preview = told.foretold()
        await situation.act()
        assert told.contradictions(preview) == []
