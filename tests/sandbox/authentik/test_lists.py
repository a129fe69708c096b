"""Pages, searches and filters, at their edges."""

from __future__ import annotations

from typing import Any

import pytest

GROUPS = "/core/groups/"


@pytest.fixture
async def many(admin: Any) -> None:
    for number in range(23):
        await admin.must("POST", GROUPS, {"name": f"page{number:02}"})


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("", 20),
        ("page_size=5", 5),
        ("page_size=%2B5", 5),
        ("page_size=0", 23),
        ("page_size=-1", 23),
        ("page_size=x", 23),
        ("page_size=", 23),
        ("page_size=1000", 23),
        ("page=", 20),
    ],
)
async def test_the_size_of_a_page(admin: Any, query: str, shown: int) -> None:
    found = await admin.must("GET", f"{GROUPS}?search=page&{query}")
    assert len(found["results"]) == shown


async def test_a_filter_with_choices_takes_the_last_one(admin: Any) -> None:
    both = await admin.must("GET", "/core/tokens/?intent=app_password&intent=api")
    assert [row["identifier"] for row in both["results"]] == ["authentik-bootstrap-token"]
    for path, name in (
        ("/core/tokens/", "intent"),
        ("/events/transports/", "mode"),
        ("/events/rules/", "severity"),
        ("/tasks/tasks/", "state"),
    ):
        answer = await admin("GET", f"{path}?{name}=no")
        text = "Select a valid choice. no is not one of the available choices."
        assert (answer.status_code, answer.json()) == (400, {name: [text]}), path
