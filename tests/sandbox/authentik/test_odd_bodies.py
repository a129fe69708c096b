"""Calls with small bodies of their own, and what they refuse."""

from __future__ import annotations

from typing import Any

import pytest

INVALID = "Invalid data. Expected a dictionary, but got list."
MISSING = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
async def me(admin: Any) -> int:
    return int((await admin("GET", "/core/users/me/")).json()["user"]["pk"])


async def test_a_members_key(admin: Any, me: int) -> None:
    group = (await admin("POST", "/core/groups/", {"name": "g"})).json()["pk"]
    path = f"/core/groups/{group}/add_user/"
    assert (await admin("POST", path, [])).json() == {"non_field_errors": [INVALID]}
    assert (await admin("POST", path, {})).json() == {"pk": ["This field is required."]}
    assert (await admin("POST", path, {"pk": "²"})).json() == {"pk": ["A valid integer is required."]}
    assert (await admin("POST", path, {"pk": 999})).status_code == 404
    assert (await admin("POST", path, {"pk": str(me)})).status_code == 204
