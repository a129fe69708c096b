"""The timeline of client secrets as a chart of the status page."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from authentik_entra_bootstrap.domain.times import parse_time
from authentik_entra_bootstrap.output.documents import Document
from authentik_entra_bootstrap.output.status import Scale
from authentik_entra_bootstrap.support.logs import clean, short

BEFORE, BEHIND = timedelta(days=400), timedelta(days=800)
"""How far the line reaches at the most: a secret of many years must not press all others into a dot."""
_TICKS = 8
_LEGEND = (
    ("current", "current: authentik signs in with it"),
    ("previous", "previous: replaced, in its overlap"),
    ("pending", "pending: not proven yet"),
    ("stray", "stray: created by this program, on no record"),
    ("foreign", "foreign: not created by this program, never removed"),
)


def escape(text: str) -> str:
    """A text of a service or a person for the page: no markup, nothing that steers the reading, and not endless."""
    return html.escape(short(clean(text), 1_000))


def chart(documents: Sequence[Document]) -> str:
    """The chart as HTML, a row for each client secret; empty when no connection has one."""
    shown = [item for item in documents if (item.get("application") or {}).get("secrets")]
    if not shown:
        return ""
    drawn = _Chart.of(shown)
    rows, used = [], set()
    for item in shown:
        name = f"<strong>{escape(item['connection'])}</strong>"
        rows.append(f'<div class="row name">{name}{drawn.track("")}</div>')
        for secret in item["application"]["secrets"]:
            used.add(secret["standing"])
            label = f"{secret['standing']} <code>{escape(secret['key_id'][:8])}</code>"
            bars = drawn.track(drawn.bars(secret))
            rows.append(f'<div class="row"><span class="what">{label}</span>{bars}</div>')
    legend = "".join(
        f'<li><span class="key {name}"></span>{words}</li>' for name, words in _LEGEND if name in used
    )
    return (
        '<div class="chart" role="img" aria-label="Timeline of every client secret; '
        'the tables below hold the same dates">\n'
        f'<div class="row axis"><span></span><div class="track">{drawn.ticks()}'
        f"{drawn.mark('today', drawn.now, 'now')}</div></div>\n{''.join(rows)}</div>\n"
        f'<ul class="legend">{legend}<li><span class="sign" aria-hidden="true">◆</span>renew from</li>'
        '<li><span class="sign" aria-hidden="true">│</span>now</li></ul>\n'
    )


@dataclass(frozen=True)
class _Chart:
    """The scale that all rows share, and its marks."""

    scale: Scale
    now: datetime

    @classmethod
    def of(cls, documents: Sequence[Document]) -> _Chart:
        now = max(parse_time(item["seen_at"]) for item in documents)
        secrets = [secret for item in documents for secret in item["application"]["secrets"]]
        moments = [_clamped(now, parse_time(secret[key])) for secret in secrets for key in ("start", "end")]
        scale = Scale.over([now, *moments])
        # Air on the left, so that no mark is cut off, and on the right for the dates behind the bars.
        span = scale.end - scale.start
        return cls(Scale(scale.start - span / 50, scale.end + span / 7), now)

    def mark(self, kind: str, at: datetime, text: str = "", title: str = "") -> str:
        attributes = f' title="{title}"' if title else ""
        return f'<span class="{kind}" style="left:{self.scale.share(at):.2%}"{attributes}>{text}</span>'

    def track(self, inside: str) -> str:
        return f'<div class="track">{self.mark("now", self.now)}{inside}</div>\n'

    def bars(self, secret: Document) -> str:
        ends, standing = parse_time(secret["end"]), secret["standing"]
        start, end = _clamped(self.now, parse_time(secret["start"])), _clamped(self.now, ends)
        lived = min(max(self.now, start), end)
        parts = [self._bar(f"lived {standing}", start, lived), self._bar(f"left {standing}", lived, end)]
        if standing == "current":
            due = parse_time(secret["renew_at"])
            parts.append(self.mark("renew", due, "◆", f"renew from {due:%Y-%m-%d %H:%M} UTC"))
        return "".join(parts) + self.mark("until", end, f"{ends:%Y-%m-%d}{' →' if ends > end else ''}")

    def _bar(self, kind: str, start: datetime, end: datetime) -> str:
        if end <= start:
            return ""
        left, width = self.scale.share(start), self.scale.share(end) - self.scale.share(start)
        return f'<span class="bar {kind}" style="left:{left:.2%};width:{width:.2%}"></span>'

    def ticks(self) -> str:
        """Moments with round names, as many as have room."""
        first, last = self.scale.start, self.scale.end
        span = last - first
        if span > timedelta(days=60):
            form = "%b %Y"
            step = next(
                (months for months in (1, 2, 3, 6) if span / timedelta(days=30.4 * months) <= _TICKS), 12
            )
            months = range(first.year * 12, last.year * 12 + 13, step)
            moments = [datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC) for month in months]
        else:
            hours = next(
                (hours for hours in (1, 3, 6, 12, 24, 48) if span / timedelta(hours=hours) <= _TICKS), 168
            )
            form = "%d %b" if hours >= 24 else "%d %b %H:%M"
            midnight = first.replace(hour=0, minute=0, second=0, microsecond=0)
            count = int((last - midnight) / timedelta(hours=hours)) + 1
            moments = [midnight + timedelta(hours=hours * number) for number in range(count)]
        return "".join(self.mark("tick", at, f"{at:{form}}") for at in moments if first <= at <= last)


def _clamped(now: datetime, moment: datetime) -> datetime:
    """The moment to draw: a moment beyond the timeline is drawn at its edge."""
    return min(max(moment, now - BEFORE), now + BEHIND)
