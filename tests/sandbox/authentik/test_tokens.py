"""Tokens: whose they are, who sees their keys, and what an update leaves of them."""

from __future__ import annotations

from typing import Any

TOKENS = "/core/tokens/"


async def test_an_update_takes_what_it_leaves_out_from_the_caller(admin: Any, robot: Any) -> None:
    caller = await robot()
    me = (await caller.must("GET", "/core/users/me/"))["user"]["pk"]
    password = {"identifier": "password", "user": me, "intent": "app_password", "expiring": False}
    made = await admin.must("POST", TOKENS, password)
    assert (made["user"], made["intent"]) == (me, "app_password")
    other = await admin("PATCH", f"{TOKENS}password/", {"user": 3})
    assert other.json() == {"user": ["User cannot be changed"]}
    kept = await admin.must("PATCH", f"{TOKENS}password/", {"user": me, "intent": "app_password"})
    assert (kept["user"], kept["intent"]) == (me, "app_password")
    moved = await admin.must("PATCH", f"{TOKENS}password/", {"description": "mine now"})
    assert (moved["user_obj"]["username"], moved["intent"]) == ("akadmin", "api")


async def test_the_key_is_for_whom_made_it_and_those_with_the_right(admin: Any, robot: Any) -> None:
    caller = await robot()
    # The administrator made this one.
    assert (await caller("GET", f"{TOKENS}robot/view_key/")).status_code == 403
    await caller.must("POST", TOKENS, {"identifier": "own"})
    assert len((await caller.must("GET", f"{TOKENS}own/view_key/"))["key"]) == 60
    role = (await admin.must("GET", "/rbac/roles/?search=ak-managed-role&ordering=-name"))["results"][0]
    listed = await admin.must("GET", f"/rbac/roles/?managed={role['name']}")
    assert [row["pk"] for row in listed["results"]] == [role["pk"]]
