"""Events: which there are, whose they are, and their numbers."""

from __future__ import annotations

from typing import Any

from authentik_entra_bootstrap.sandbox.authentik.app import Authentik

EVENTS = "/events/events/"


async def test_whose_events_they_are(admin: Any) -> None:
    failed = {"action": "login_failed", "app": "a", "context": {"username": "eve"}}
    made = await admin.must("POST", EVENTS, failed)
    await admin.must("POST", "/core/groups/", {"name": "g"})

    async def found(query: str) -> list[str]:
        return [row["pk"] for row in (await admin.must("GET", f"{EVENTS}?{query}"))["results"]]

    assert await found("username=eve") == [made["pk"]]
    assert len(await found("username=akadmin")) == 1
    assert await found(f"search={made['pk']}") == [made["pk"]]


async def test_each_event_is_looked_at_by_each_of_three_rules(ak: Authentik, admin: Any) -> None:
    rules = (await admin.must("GET", "/events/rules/"))["results"]
    assert [rule["name"] for rule in rules] == [
        "default-notify-configuration-error",
        "default-notify-exception",
        "default-notify-update",
    ]
    assert {rule["destination_group_obj"]["name"] for rule in rules} == {"authentik Admins"}
    await admin.must("POST", EVENTS, {"action": "configuration_error", "app": "a"})
    await ak.worker.settle()
    names = [task["actor_name"].rpartition(".")[2] for task in ak.state.tables["task"]]
    assert names == ["event_trigger_dispatch", *["event_trigger_handler"] * 3]
