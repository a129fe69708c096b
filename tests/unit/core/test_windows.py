"""Maintenance windows as people write them, and when they open, also where clocks are put on and back."""

from __future__ import annotations

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest

from authentik_entra_bootstrap.config.windows import maintenance_window
from authentik_entra_bootstrap.domain import MaintenanceWindow
from authentik_entra_bootstrap.domain.policy import next_opening

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "days", "opens", "closes", "zone"),
    [
        ("sat,sun 02:00-05:00 Europe/Berlin", {5, 6}, time(2), time(5), "Europe/Berlin"),
        ("  Mon-Fri   9:30-17:00   UTC ", {0, 1, 2, 3, 4}, time(9, 30), time(17), "UTC"),
        ("22:00-04:00 UTC", set(range(7)), time(22), time(4), "UTC"),
        ("fri-mon 00:00-23:59 UTC", {4, 5, 6, 0}, time(0), time(23, 59), "UTC"),
        ("wed 01:00-02:00 UTC", {2}, time(1), time(2), "UTC"),
    ],
)
def test_a_window_is_read(text: str, days: set[int], opens: time, closes: time, zone: str) -> None:
    assert maintenance_window(text) == MaintenanceWindow(frozenset(days), opens, closes, ZoneInfo(zone))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "always",
        "02:00-05:00",
        "02:00-05:00 Mars/Base",
        "02:00-02:00 UTC",
        "25:00-26:00 UTC",
        "mo 02:00-05:00 UTC",
        "sat-foo 02:00-05:00 UTC",
        "sat, sun 02:00-05:00 UTC",
        "02:00-05:00 ../../etc/passwd",
        "2-5 UTC",
    ],
)
def test_what_is_no_window_is_refused_with_what_is_wanted(text: str) -> None:
    with pytest.raises(ValueError, match="is wanted"):
        maintenance_window(text)


@pytest.mark.parametrize(
    ("text", "moment", "opens"),
    [
        # Sunday, 1 March 2026.
        ("sun 02:00-05:00 UTC", "2026-03-01T01:00", "2026-03-01T02:00"),
        ("sun 02:00-05:00 UTC", "2026-03-01T03:00", "2026-03-01T03:00"),
        ("sun 02:00-05:00 UTC", "2026-03-01T05:00", "2026-03-08T02:00"),
        # Overnight: the window of the evening before is still open.
        ("sat 22:00-04:00 UTC", "2026-03-01T03:59", "2026-03-01T03:59"),
        ("sat 22:00-04:00 UTC", "2026-03-01T04:00", "2026-03-07T22:00"),
        # Clocks are put on at 02:00 in Berlin on 29 March: 02:30 does not exist, 05:00 is 03:00 UTC.
        ("sun 02:30-05:00 Europe/Berlin", "2026-03-29T00:00", "2026-03-29T01:30"),
        ("sun 02:30-05:00 Europe/Berlin", "2026-03-29T02:59", "2026-03-29T02:59"),
        ("sun 02:30-05:00 Europe/Berlin", "2026-03-29T03:00", "2026-04-05T00:30"),
        # And back at 03:00 on 25 October: the window is an hour longer.
        ("sun 01:00-04:00 Europe/Berlin", "2026-10-24T20:00", "2026-10-24T23:00"),
        ("sun 01:00-04:00 Europe/Berlin", "2026-10-25T02:59", "2026-10-25T02:59"),
        ("sun 01:00-04:00 Europe/Berlin", "2026-10-25T03:00", "2026-11-01T00:00"),
        # Another date there than here.
        ("mon 06:00-07:00 Asia/Tokyo", "2026-03-01T20:00", "2026-03-01T21:00"),
    ],
)
def test_a_window_opens_by_its_own_clock(text: str, moment: str, opens: str) -> None:
    at = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    assert next_opening(maintenance_window(text), at) == datetime.fromisoformat(opens).replace(tzinfo=UTC)


def test_the_hour_that_does_not_exist_opens_no_window() -> None:
    window = MaintenanceWindow(frozenset({6}), time(2, 10), time(2, 50), BERLIN)
    before = datetime(2026, 3, 29, 0, 0, tzinfo=UTC)
    assert next_opening(window, before) >= before
