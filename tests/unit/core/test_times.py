"""Timestamps, spans and maintenance windows: read, written, and said in words."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from authentik_entra_bootstrap.domain import MaintenanceWindow
from authentik_entra_bootstrap.domain.policy import next_opening
from authentik_entra_bootstrap.domain.times import (
    in_words,
    parse_time,
    read_span,
    read_time,
    read_window,
    write_time,
)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-01T00:00:00", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-01-01T02:00:00.1234567+02:00", datetime(2026, 1, 1, 0, 0, 0, 123456, UTC)),
        ("2026-01-01T00:00:00Z", datetime(2026, 1, 1, tzinfo=UTC)),
        ("not a date", None),
        ("", None),
        (None, None),
        (20260101, None),
        ("0001-01-01T00:00:00+05:00", None),
    ],
)
def test_a_timestamp_is_read_as_aware_utc(text: object, moment: datetime | None) -> None:
    assert read_time(text) == moment
    if moment is not None:
        assert parse_time(write_time(moment)) == moment.replace(microsecond=0)


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (timedelta(days=180), "180 days"),
        (timedelta(days=1), "1 day"),
        (timedelta(hours=12), "12 hours"),
        (timedelta(days=1, hours=1), "1 day 1 hour"),
        (timedelta(minutes=30), "30 minutes"),
        (timedelta(0), "0 minutes"),
    ],
)
def test_spans_are_said_in_words(span: timedelta, words: str) -> None:
    assert in_words(span) == words


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("2w", timedelta(weeks=2)),
        (" 1.5 H ", timedelta(minutes=90)),
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        (timedelta(days=2), timedelta(days=2)),
    ],
)
def test_a_span_is_a_number_with_a_unit(text: object, span: timedelta) -> None:
    assert read_span(text) == span


@pytest.mark.parametrize("text", ["180", "tomorrow", "99999999999999d", "-1d", "", None])
def test_anything_else_is_no_span(text: object) -> None:
    with pytest.raises(ValueError, match=r"is wanted|longer than any calendar"):
        read_span(text)


# --- maintenance windows


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
    assert read_window(text) == MaintenanceWindow(frozenset(days), opens, closes, ZoneInfo(zone))


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
        read_window(text)


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
    assert next_opening(read_window(text), at) == datetime.fromisoformat(opens).replace(tzinfo=UTC)


def test_the_hour_that_does_not_exist_opens_no_window() -> None:
    window = MaintenanceWindow(frozenset({6}), time(2, 10), time(2, 50), ZoneInfo("Europe/Berlin"))
    before = datetime(2026, 3, 29, 0, 0, tzinfo=UTC)
    assert next_opening(window, before) >= before
