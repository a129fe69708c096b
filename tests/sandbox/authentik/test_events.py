"""Events: which there are, whose they are, and their numbers."""

from __future__ import annotations

from typing import Any

EVENTS = "/events/events/"


async def test_the_order_of_the_actions(build: Any, caller_of: Any) -> None:
    for profile, warned in (("2025.12", False), ("2026.5", True)):
        ak = build(profile)
        found = await caller_of(ak, ak.token).must("GET", f"{EVENTS}actions/")
        names = [row["component"] for row in found]
        assert names[-1] == "custom_"
        after = names[names.index("configuration_error") + 1]
        assert (after == "configuration_warning") is warned
        assert ("configuration_warning" in names) is warned


async def test_whose_events_they_are(admin: Any) -> None:
    failed = {"action": "login_failed", "app": "a", "context": {"username": "eve"}}
    made = await admin.must("POST", EVENTS, failed)
    await admin.must("POST", "/core/groups/", {"name": "g"})

    async def found(query: str) -> list[str]:
        return [row["pk"] for row in (await admin.must("GET", f"{EVENTS}?{query}"))["results"]]

    assert await found("username=eve") == [made["pk"]]
    assert len(await found("username=akadmin")) == 1
    assert await found(f"search={made['pk']}") == [made["pk"]]
