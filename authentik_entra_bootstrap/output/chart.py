"""The timeline of all connections as HTML: a row for each client secret, one scale for all of them."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from authentik_entra_bootstrap.domain.times import parse_time
from authentik_entra_bootstrap.output.documents import Document
from authentik_entra_bootstrap.output.timeline import Scale
from authentik_entra_bootstrap.support.logs import clean, short

BEFORE, BEHIND = timedelta(days=400), timedelta(days=800)
"""How far the line reaches at the most: a secret of many years must not press all others into a dot."""


def escape(text: str) -> str:
    """A text of a service or a person for the page: no markup, nothing that steers the reading, and not endless."""
    return html.escape(short(clean(text), 1_000))


_TICKS = 8
_LEGEND = (
    ("current", "current: authentik signs in with it"),
    ("previous", "previous: replaced, in its overlap"),
    ("pending", "pending: not proven yet"),
    ("stray", "stray: ours, on no record"),
    ("foreign", "foreign: not made here, never removed"),
)


def minutes(value: str) -> str:
    """A moment of a document for people, in UTC."""
    return f"{parse_time(value):%Y-%m-%d %H:%M}"


def chart(documents: Sequence[Document]) -> str:
    """The chart; empty when no connection has a client secret."""
    shown = [item for item in documents if (item.get("application") or {}).get("secrets")]
    if not shown:
        return ""
    now = max(parse_time(item["seen_at"]) for item in shown)
    secrets = [secret for item in shown for secret in item["application"]["secrets"]]
    moments = [_near(now, parse_time(secret[key])) for secret in secrets for key in ("start", "end")]
    scale = Scale.over([now, *moments])
    # Air on the left, so that no mark is cut off, and on the right for the dates behind the bars.
    span = scale.end - scale.start
    scale = Scale(scale.start - span / 50, scale.end + span / 7)
    rows = []
    for item in shown:
        rows.append(
            f'<div class="row name"><strong>{escape(item["connection"])}</strong>{_track(scale, now, "")}</div>'
        )
        for secret in item["application"]["secrets"]:
            label = (
                f'<span class="what">{secret["standing"]} <code>{escape(secret["key_id"][:8])}</code></span>'
            )
            rows.append(f'<div class="row">{label}{_track(scale, now, _bar(scale, now, secret))}</div>')
    used = {secret["standing"] for secret in secrets}
    legend = "".join(
        f'<li><span class="key {name}"></span>{words}</li>' for name, words in _LEGEND if name in used
    )
    return (
        '<div class="chart" role="img" aria-label="Timeline of every client secret; '
        'the tables below hold the same dates">\n'
        f'<div class="row axis"><span></span><div class="track">{"".join(_ticks(scale))}'
        f'<span class="today" style="left:{_percent(scale, now)}">now</span></div></div>\n{"".join(rows)}</div>\n'
        f'<ul class="legend">{legend}<li><span class="sign" aria-hidden="true">◆</span>renew from</li>'
        '<li><span class="sign" aria-hidden="true">│</span>now</li></ul>\n'
    )


def _near(now: datetime, moment: datetime) -> datetime:
    """A moment as it is drawn: one that is very far away stands at the edge."""
    return min(max(moment, now - BEFORE), now + BEHIND)


def _track(scale: Scale, now: datetime, inside: str) -> str:
    return f'<div class="track"><span class="now" style="left:{_percent(scale, now)}"></span>{inside}</div>\n'


def _bar(scale: Scale, now: datetime, secret: Document) -> str:
    ends, standing = parse_time(secret["end"]), secret["standing"]
    start, end = _near(now, parse_time(secret["start"])), _near(now, ends)
    lived = min(max(now, start), end)
    parts = [
        f'<span class="bar lived {standing}" style="{_span(scale, start, lived)}"></span>'
        if lived > start
        else "",
        f'<span class="bar left {standing}" style="{_span(scale, lived, end)}"></span>'
        if lived < end
        else "",
    ]
    if standing == "current":
        due = parse_time(secret["renew_at"])
        parts.append(
            f'<span class="renew" style="left:{_percent(scale, due)}" title="renew from {due:%Y-%m-%d %H:%M} UTC">◆</span>'
        )
    parts.append(
        f'<span class="until" style="left:{_percent(scale, end)}">{ends:%Y-%m-%d}{" →" if ends > end else ""}</span>'
    )
    return "".join(parts)


def _span(scale: Scale, start: datetime, end: datetime) -> str:
    return f"left:{_percent(scale, start)};width:{scale.share(end) - scale.share(start):.2%}"


def _percent(scale: Scale, moment: datetime) -> str:
    return f"{scale.share(moment):.2%}"


def _ticks(scale: Scale) -> Iterator[str]:
    """Moments with round names, as many as have room."""
    for moment, words in _round(scale):
        yield f'<span class="tick" style="left:{_percent(scale, moment)}">{words}</span>'


def _round(scale: Scale) -> list[tuple[datetime, str]]:
    span = scale.end - scale.start
    if span > timedelta(days=60):
        step = next(
            months
            for months in (1, 2, 3, 6, 12)
            if span / timedelta(days=30.4 * months) <= _TICKS or months == 12
        )
        months = range(scale.start.year * 12, scale.end.year * 12 + 13, step)
        moments = [datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC) for month in months]
        form = "%b %Y"
    else:
        hours = next(
            hours
            for hours in (1, 3, 6, 12, 24, 48, 168)
            if span / timedelta(hours=hours) <= _TICKS or hours == 168
        )
        first = scale.start.replace(hour=0, minute=0, second=0, microsecond=0)
        count = int((scale.end - first) / timedelta(hours=hours)) + 1
        moments = [first + timedelta(hours=hours * number) for number in range(count)]
        form = "%d %b" if hours >= 24 else "%d %b %H:%M"
    return [(moment, f"{moment:{form}}") for moment in moments if scale.start <= moment <= scale.end]
