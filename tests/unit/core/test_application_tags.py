"""Tags and display names: what the application remembers for us."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authentik_entra_bootstrap.domain import ClientSecret, KeyId
from authentik_entra_bootstrap.domain.application_tags import (
    PREFIX,
    ApplicationTags,
    Delivered,
    Previous,
    is_ours,
    read_tags,
    secret_display_name,
)

MOMENT = datetime(2026, 3, 1, 12, 30, 15, tzinfo=UTC)

ids = st.text(st.characters(codec="utf-8", exclude_characters="@\n\r"), min_size=1, max_size=40)
moments = st.datetimes(
    datetime.fromisoformat("1000-01-01"), datetime.fromisoformat("9999-01-01"), timezones=st.just(UTC)
).map(lambda moment: moment.replace(microsecond=0))
delivered = st.builds(Delivered, ids.map(KeyId), st.none() | ids)
foreign = st.text(max_size=60).filter(lambda tag: not tag.startswith(PREFIX))
marks = st.builds(
    ApplicationTags,
    connection=st.none() | st.from_regex(r"[\w.-]{1,30}", fullmatch=True),
    pending=st.none() | delivered,
    current=st.none() | delivered,
    previous=st.lists(st.builds(Previous, ids.map(KeyId), moments), max_size=4).map(tuple),
    foreign=st.lists(foreign, max_size=4).map(tuple),
    managed=st.just(True),
)
ours_or_broken = st.tuples(
    st.sampled_from(["connection", "pending", "current", "previous", "future", "", "UPPER"]),
    st.text(max_size=30)
    | st.sampled_from(["", "@", "@x", "x@", "a@2026-03-01T12:30:15Z", "@2026-03-01T12:30:15Z"]),
).map(lambda pair: f"{PREFIX}:{pair[0]}={pair[1]}")
any_tags = st.lists(foreign | ours_or_broken | st.just(PREFIX), max_size=12).map(tuple)


@given(marks)
def test_what_was_written_is_read_back(written: ApplicationTags) -> None:
    assert read_tags(written.texts()) == written


@given(any_tags)
def test_any_tags_are_read_and_reading_again_changes_nothing(tags: tuple[str, ...]) -> None:
    once = read_tags(tags)
    again = read_tags(once.texts())
    assert again.managed
    assert (again.connection, again.pending, again.current, again.foreign) == (
        once.connection,
        once.pending,
        once.current,
        once.foreign,
    )
    assert set(again.previous) <= set(once.previous)


@given(any_tags)
def test_foreign_tags_survive_in_their_order(tags: tuple[str, ...]) -> None:
    theirs = tuple(tag for tag in tags if not tag.startswith(PREFIX))
    assert tuple(tag for tag in read_tags(tags).texts() if not tag.startswith(PREFIX)) == theirs


def test_the_tags_as_they_stand_in_the_tenant() -> None:
    full = ApplicationTags(
        "default",
        Delivered(KeyId("p")),
        Delivered(KeyId("c"), "00ff"),
        (Previous(KeyId("old"), MOMENT),),
        ("HideApp",),
        managed=True,
    )
    assert full.texts() == (
        "HideApp",
        "authentik-entra",
        "authentik-entra:connection=default",
        "authentik-entra:pending=p",
        "authentik-entra:current=c@00ff",
        "authentik-entra:previous=old@2026-03-01T12:30:15Z",
    )


@pytest.mark.parametrize(
    "tag",
    [
        "authentik-entra:pending=",
        "authentik-entra:current=@00ff",
        "authentik-entra:previous=old",
        "authentik-entra:previous=old@yesterday",
        "authentik-entra:previous=@2026-03-01T12:30:15Z",
        "authentik-entra:connection=",
        "authentik-entra:future=something",
    ],
)
def test_malformed_marks_of_ours_are_dropped(tag: str) -> None:
    assert read_tags((tag,)) == ApplicationTags()


@pytest.mark.parametrize(
    "tag", ["authentik-entraX", "authentik-entra:", "authentik-entra:current=a\nb", "x:current=a"]
)
def test_what_is_not_exactly_a_mark_is_foreign(tag: str) -> None:
    assert read_tags((tag,)).foreign == (tag,)


def _secret(name: str | None) -> ClientSecret:
    return ClientSecret(KeyId("k"), name, None, MOMENT, MOMENT.replace(year=2027))


@given(
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True),
    st.from_regex(r"[0-9a-f]{16}", fullmatch=True),
)
def test_secrets_that_we_name_are_ours(connection: str, rotation: str) -> None:
    assert is_ours(_secret(secret_display_name(connection, rotation)))


@given(st.text(max_size=60))
def test_secrets_that_others_name_are_not(name: str) -> None:
    assert not is_ours(_secret(name))


@pytest.mark.parametrize(
    "name",
    [
        None,
        "",
        "authentik-entra",
        "authentik-entra:default",
        "authentik-entra:default:12",
        "authentik-entra:default:0123456789abcdefg",
        "authentik-entra:default:0123456789abcdef\n",
        " authentik-entra:default:0123456789abcdef",
        "authentik-entra:de fault:0123456789abcdef",
    ],
)
def test_names_that_only_resemble_ours_are_not_ours(name: str | None) -> None:
    assert not is_ours(_secret(name))
