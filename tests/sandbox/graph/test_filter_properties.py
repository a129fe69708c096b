"""The filter parser under generated filters: it agrees with Python, and never fails but with a Graph error."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from authentik_entra_bootstrap.sandbox.microsoft.graph.errors import GraphError
from authentik_entra_bootstrap.sandbox.microsoft.graph.filters import read_filter
from authentik_entra_bootstrap.sandbox.microsoft.graph.model import APPLICATION

NAMES = ("displayName", "description", "uniqueName")
texts = st.text(alphabet="aB'é ()/%&,:.", max_size=4)
objects = st.fixed_dictionaries(
    {name: st.none() | texts for name in NAMES},
    optional={"tags": st.lists(texts, max_size=3), "isDisabled": st.none() | st.booleans()},
)


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def fold(value: object) -> object:
    return value.casefold() if isinstance(value, str) else value


def equal(name: str, text: str | None) -> tuple[str, Any]:
    literal = "null" if text is None else quoted(text)
    return f"{name} eq {literal}", lambda item: fold(item[name]) == fold(text)


def starts(name: str, text: str) -> tuple[str, Any]:
    return (
        f"startswith({name},{quoted(text)})",
        lambda item: item[name] is not None and item[name].casefold().startswith(text.casefold()),
    )


def one_of(name: str, values: list[str]) -> tuple[str, Any]:
    listed = ", ".join(quoted(value) for value in values)
    return f"{name} in ({listed})", lambda item: fold(item[name]) in [fold(value) for value in values]


def tagged(text: str) -> tuple[str, Any]:
    return (
        f"tags/any(t:t eq {quoted(text)})",
        lambda item: text.casefold() in [tag.casefold() for tag in item.get("tags", ())],
    )


def both(left: tuple[str, Any], right: tuple[str, Any]) -> tuple[str, Any]:
    return f"({left[0]} and {right[0]})", lambda item: left[1](item) and right[1](item)


def either(left: tuple[str, Any], right: tuple[str, Any]) -> tuple[str, Any]:
    return f"({left[0]} or {right[0]})", lambda item: left[1](item) or right[1](item)


def negated(inner: tuple[str, Any]) -> tuple[str, Any]:
    return f"not ({inner[0]})", lambda item: not inner[1](item)


names = st.sampled_from(NAMES)
leaves = st.one_of(
    st.builds(equal, names, st.none() | texts),
    st.builds(starts, names, texts),
    st.builds(one_of, names, st.lists(texts, min_size=1, max_size=3)),
    st.builds(tagged, texts),
)
filters = st.recursive(
    leaves,
    lambda inner: st.builds(both, inner, inner) | st.builds(either, inner, inner) | st.builds(negated, inner),
    max_leaves=5,
)


@settings(max_examples=100, deadline=None)
@given(filters, st.lists(objects, min_size=1, max_size=4))
def test_a_filter_means_what_it_says(generated: tuple[str, Any], items: list[dict[str, Any]]) -> None:
    text, expected = generated
    fits = read_filter(text, APPLICATION, advanced=True)
    assert [fits(item) for item in items] == [bool(expected(item)) for item in items]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.sampled_from([*"()',/: ", "eq", " not ", "any", "tags", "'x'", " or ", "null", "in", "1"]),
        max_size=12,
    )
)
def test_any_text_is_read_or_refused_with_400(parts: list[str]) -> None:
    assert outcome("".join(parts)) in (200, 400)


def outcome(text: str) -> int:
    try:
        read_filter(text, APPLICATION, advanced=False)
    except GraphError as error:
        return error.status
    return 200


def test_deep_and_long_filters_do_not_exhaust_the_stack() -> None:
    assert outcome("appId eq '1'") == 200
    for text in (
        "(" * 5000 + "appId eq '1'",
        "not " * 5000 + "appId eq '1'",
        " and ".join(["appId eq 'x'"] * 5000),
    ):
        assert outcome(text) == 400
