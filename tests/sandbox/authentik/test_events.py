"""Events: which there are, whose they are, and their numbers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from authentik_entra_bootstrap.sandbox.clock import SandboxClock

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


async def test_the_volume_of_events(admin: Any, clock: SandboxClock) -> None:
    async def write(action: str) -> None:
        await admin.must("POST", EVENTS, {"action": action, "app": "a"})

    await write("login")
    clock.advance(timedelta(hours=8))  # from 9:00 to 17:00
    for action in ("logout", "login", "login"):
        await write(action)
    clock.advance(timedelta(hours=2))
    await write("login")
    day = "2026-11-23T"
    everything = [
        {"time": f"{day}06:00:00Z", "action": "login", "count": 1},
        {"time": f"{day}12:00:00Z", "action": "login", "count": 2},
        {"time": f"{day}12:00:00Z", "action": "logout", "count": 1},
        {"time": f"{day}18:00:00Z", "action": "login", "count": 1},
    ]
    assert await admin.must("GET", f"{EVENTS}volume/") == everything
    assert await admin.must("GET", f"{EVENTS}volume/?action=logout") == [everything[2]]
    clock.advance(timedelta(days=1))
    assert await admin.must("GET", f"{EVENTS}volume/?history_days=1") == everything[3:]
    assert await admin.must("GET", f"{EVENTS}volume/?history_days=0") == []
    clock.advance(timedelta(days=61))
    assert await admin.must("GET", f"{EVENTS}volume/?history_days=100") == []
    assert (await admin("GET", f"{EVENTS}volume/?history_days=x")).status_code == 500


async def test_the_applications_most_used(admin: Any, robot: Any) -> None:
    for name, users in (("one", (1, 1, 2)), ("two", (1,))):
        for user in users:
            context = {"authorized_application": {"name": name}}
            body = {"action": "authorize_application", "app": "a", "context": context, "user": {"pk": user}}
            await admin.must("POST", EVENTS, body)
    query = "top_per_user/?action=authorize_application"
    assert await admin.must("GET", f"{EVENTS}{query}") == [
        {"application": {"name": "one"}, "counted_events": 3, "unique_users": 2},
        {"application": {"name": "two"}, "counted_events": 1, "unique_users": 1},
    ]
    assert len(await admin.must("GET", f"{EVENTS}{query}&top_n=1")) == 1
    assert await admin.must("GET", f"{EVENTS}top_per_user/") == []
    caller = await robot()
    assert await caller.must("GET", f"{EVENTS}{query}") == []
    assert (await caller("GET", f"{EVENTS}volume/")).status_code == 403
