"""The line of time of text and page, and the page's safety against hostile names."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authentik_entra_bootstrap.output.documents import exposition
from authentik_entra_bootstrap.output.status import PLAIN, UNICODE, Scale, Signs, bar
from authentik_entra_bootstrap.output.status_page import page

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MOMENTS = st.datetimes(
    min_value=datetime.fromisoformat("2000-01-01"),
    max_value=datetime.fromisoformat("2060-01-01"),
    timezones=st.just(UTC),
)


@given(
    st.lists(MOMENTS, min_size=1, max_size=6), MOMENTS, st.sampled_from([PLAIN, UNICODE]), st.integers(4, 80)
)
def test_a_bar_is_as_wide_as_asked_and_holds_what_it_shows(
    moments: list[datetime], now: datetime, signs: Signs, width: int
) -> None:
    start, end = min(moments), max(moments)
    scale = Scale.over([now, *moments])
    drawn = bar(scale, start, end, now, end, signs, width)
    assert len(drawn) == width
    assert drawn.count(signs.now) == 1
    assert drawn.isascii() or signs is UNICODE
    today, last = scale.column(now, width), scale.column(end, width)
    if today != last:
        assert drawn[last] == signs.renew
    shares = [scale.share(moment) for moment in sorted(moments)]
    assert shares == sorted(shares)
    assert all(0 <= share <= 1 for share in shares)


def test_a_bar_reads_from_left_to_right() -> None:
    end = NOW + timedelta(days=90)
    scale = Scale.over([NOW, end])
    drawn = bar(scale, NOW, end, NOW + timedelta(days=30), NOW + timedelta(days=60), PLAIN, 30)
    assert drawn == "[=========|---------R--------]"


# --- the page


def document(text: str = "name", **changes: Any) -> dict[str, Any]:
    """A connection's document with a text wherever a name may stand."""
    secret = {
        "key_id": text,
        "ours": True,
        "start": "2026-01-01T00:00:00Z",
        "end": "2026-06-30T00:00:00Z",
        "renew_at": "2026-05-01T00:00:00Z",
        "standing": "current",
        "display_name": text,
        "retire_at": None,
    }
    evidence = {"name": "authentik-signs-in", "ok": True, "detail": text, "seen_at": None, "by": "sync"}
    return {
        "command": "status",
        "exit_code": 0,
        "error": None,
        "connection": text,
        "seen_at": "2026-03-01T12:00:00Z",
        "tenant": {"id": text, "name": text},
        "application": {
            "app_id": text,
            "app_object_id": text,
            "name": text,
            "url": f"https://entra.example/{text}",
            "secrets": [secret, {**secret, "standing": "foreign"}],
        },
        "current_secret": secret,
        "last_rotation": "2026-01-01T00:00:00Z",
        "secret_state": {"action": "keep", "state": "current", "reason": text, "certain": True},
        "next": {"at": "2026-05-01T00:00:00Z", "due": False, "reason": text},
        "provider": {
            "pk": 1,
            "name": text,
            "application_slug": text,
            "dry_run": False,
            "url": f"javascript:{text}",
        },
        "last_proof": evidence,
        "last_failure": {**evidence, "ok": False},
        "last_sync": {"running": True, "status": text, "at": None},
        "expiries": [
            {
                "kind": "rotator-certificate",
                "name": "k",
                "at": None,
                "state": "unknown",
                "detail": "unknown: x",
            }
        ],
        "drift": [
            {
                "side": "entra",
                "object": "application",
                "property": text,
                "wanted": text,
                "found": None,
                "action": "change",
                "reason": text,
            }
        ],
        "healthy": False,
        "alarms": [{"code": "drift", "message": text}],
        "warnings": [text],
        **changes,
    }


def failure(text: str) -> dict[str, Any]:
    error = {"code": "throttled", "message": text, "remedy": text, "request": text, "request_id": text}
    return {"connection": text, "exit_code": 7, "error": error}


class Reader(HTMLParser):
    """Every element with its attributes, and the text between them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def shape(text: str) -> list[tuple[str, list[str]]]:
    return [(tag, sorted(attributes)) for tag, attributes in Reader(text).found]


HOSTILE = st.text() | st.sampled_from(
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "</style><b>",
        "'&amp;\"",
        "<!--",
        "]]>",
        "\x00",
    ]
)


@settings(deadline=None)
@given(HOSTILE.filter(bool))
def test_no_name_changes_the_shape_of_the_page(text: str) -> None:
    several = {"connections": [document(text), failure(text)]}
    plain = {"connections": [document("name"), failure("name")]}
    assert shape(page(several)) == shape(page(plain))


def test_the_page_needs_nothing_from_anywhere() -> None:
    text = page(
        {"connections": [document(), failure("What happened"), document("another", alarms=[], healthy=True)]}
    )
    reader = Reader(text)
    assert reader.open == []
    tags = {tag for tag, _ in reader.found}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "base", "form", "svg"}
    assert not {name for _, attributes in reader.found for name in attributes} & {
        "src",
        "srcset",
        "onload",
        "onclick",
    }
    links = [attributes["href"] or "" for tag, attributes in reader.found if tag == "a"]
    assert links
    assert all(link.startswith(("https://entra.example/", "#c")) for link in links)
    assert "url(" not in text
    assert "@import" not in text
    policy = next(a["content"] or "" for tag, a in reader.found if a.get("http-equiv"))
    assert policy.startswith("default-src 'none'")


def test_the_page_says_in_tables_what_the_picture_shows() -> None:
    text = page(
        {"connections": [document("contoso"), document("fabrikam", alarms=[], healthy=True), failure("lost")]}
    )
    reader = Reader(text)
    assert '<html lang="en">' in text
    assert sum(tag == "table" for tag, _ in reader.found) == 7
    assert all(a.get("scope") in {"col", "row"} for tag, a in reader.found if tag == "th")
    pictures = [a for _, a in reader.found if a.get("role") == "img"]
    assert len(pictures) == 1
    assert pictures[0]["aria-label"]
    for shown in (
        "3 connections, 1 healthy",
        "2026-06-30 00:00",
        "needs attention",
        "could not be looked at",
    ):
        assert shown in reader.text
    # Where columns stand below each other, each cell shows its head; regions are told apart by name.
    assert all(a.get("data-head") for tag, a in reader.found if tag == "td")
    regions = [a["aria-label"] for _, a in reader.found if a.get("role") == "region"]
    assert len(regions) == len(set(regions)) == 7
    # Each section and connection can be jumped to by its heading.
    ids = [a["id"] for _, a in reader.found if "id" in a]
    assert len(ids) == len(set(ids))
    labels = [a["aria-labelledby"] for _, a in reader.found if "aria-labelledby" in a]
    assert set(labels) <= set(ids)


def test_a_run_of_one_connection_and_one_without_secrets_have_pages() -> None:
    assert "1 connection, 0 healthy" in page(document())
    empty = document(
        application=None, current_secret=None, provider=None, last_proof=None, last_failure=None, next=None
    )
    assert 'role="img"' not in page(empty)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2026-03-01T11:00:00Z", "2026-03-01T13:00:00Z"),
        ("2026-02-20T00:00:00Z", "2026-03-20T00:00:00Z"),
        ("2026-01-01T00:00:00Z", "2028-01-01T00:00:00Z"),
        ("2000-01-01T00:00:00Z", "2299-01-01T00:00:00Z"),
    ],
)
def test_the_axis_has_a_few_ticks_over_any_span(start: str, end: str) -> None:
    made = document()
    made["application"]["secrets"][0] |= {"start": start, "end": end}
    text = page(made)
    ticks = re.findall(r'class="tick" style="left:([\d.]+)%"', text)
    assert 2 <= len(ticks) <= 14
    places = [float(place) for place in ticks]
    assert places == sorted(places)
    assert all(0 <= float(place) <= 100 for place in re.findall(r"(?:left|width):([\d.]+)%", text))
    assert (" →" in text) == end.startswith("22")


@given(st.text())
def test_metrics_can_be_read_whatever_a_connection_is_called(text: str) -> None:
    prometheus = pytest.importorskip("prometheus_client.parser")
    # Names of connections have no line ends but \n at the most; the parser splits at others, too.
    name = "".join(char for char in text if char.isprintable())
    families = prometheus.text_string_to_metric_families(exposition(document(name)))
    labels = {sample.labels["connection"] for family in families for sample in family.samples}
    assert labels == {name}
