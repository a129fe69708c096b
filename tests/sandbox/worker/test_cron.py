"""When schedules run."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from authentik_entra_bootstrap.sandbox.authentik.cron import parse, spread_minute

NOON = datetime(2026, 11, 23, 12, 0, 30, tzinfo=UTC)
"""A Monday."""


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("33 */4 * * *", (2026, 11, 23, 12, 33)),
        ("0 */4 * * *", (2026, 11, 23, 16, 0)),
        ("* * * * *", (2026, 11, 23, 12, 1)),
        ("0 0 1 1 *", (2027, 1, 1, 0, 0)),
        ("15,45 8-10 * * 2", (2026, 11, 24, 8, 15)),
        ("0 0 29 2 *", (2028, 2, 29, 0, 0)),
        ("0 6 1 * 7", (2026, 11, 29, 6, 0)),
        ("0 6 1 * 0", (2026, 11, 29, 6, 0)),
        ("5/20 23 * * *", (2026, 11, 23, 23, 5)),
    ],
)
def test_next_run(expression: str, expected: tuple[int, ...]) -> None:
    assert parse(expression).next_after(NOON) == datetime(*expected, tzinfo=UTC)


def test_a_run_is_never_at_the_moment_asked_about() -> None:
    exact = NOON.replace(minute=33, second=0)
    assert parse("33 12 * * *").next_after(exact).day == 24


@pytest.mark.parametrize(
    "expression", ["", "* * * *", "60 * * * *", "* * 0 * *", "*/0 * * * *", "a * * * *", "9-3 * * * *"]
)
def test_nonsense_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(expression)


def test_a_day_that_never_comes() -> None:
    with pytest.raises(ValueError, match="never"):
        parse("0 0 30 2 *").next_after(NOON)


def test_spread_minutes_are_fixed_and_spread() -> None:
    minutes = {spread_minute(str(key)) for key in range(200)}
    assert spread_minute("9") == spread_minute("9")
    assert minutes <= set(range(60))
    assert len(minutes) > 40
