"""The YAML tags, one by one, without a server."""

from __future__ import annotations

from typing import Any

import pytest

from authentik_entra_bootstrap.sandbox.authentik.blueprints.document import Desired, parse
from authentik_entra_bootstrap.sandbox.authentik.blueprints.tags import (
    EntryInvalidError,
    Scope,
    UnreadableError,
)


class Surroundings:
    """A host with one variable, one file and one mapping."""

    def environment(self, name: str) -> str | None:
        return {"FULL": "value", "EMPTY": ""}.get(name)

    def file(self, path: str) -> str | None:
        return {"/run/secrets/a": "  from a file\n"}.get(path)

    def find(self, model: str, conditions: list[tuple[str, Any]], *, whole: bool) -> Any:
        if (model, conditions) != ("authentik_core.group", [("name", "admins")]):
            return None
        return {"pk": "g1", "name": "admins"} if whole else "g1"


def resolve(text: str, context: dict[str, Any] | None = None) -> Any:
    """The value of ``attrs.x`` of a blueprint's second entry; the first has id ``first`` and key 7."""
    content = f"version: 1\nentries:\n- {{model: a.b, id: first}}\n- model: a.b\n  attrs:\n    x: {text}\n"
    blueprint = parse(content, context)
    blueprint.entries[0].instance = 7
    return Scope(blueprint, Surroundings()).resolve(blueprint.entries[1].attrs["x"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("!KeyOf first", 7),
        ("!Env FULL", "value"),
        ("!Env MISSING", None),
        ("!Env [EMPTY, fallback]", "fallback"),
        ("!Env [MISSING, !Env FULL]", "value"),
        ("!File /run/secrets/a", "from a file"),
        ("!File [/nowhere, none]", "none"),
        ("!File /nowhere", None),
        ("!Find [authentik_core.group, [name, admins]]", "g1"),
        ("!Find [authentik_core.group, [name, !Context who]]", "g1"),
        ("!Find [authentik_core.group, [name, others]]", None),
        ("!FindObject [authentik_core.group, [name, admins]]", {"pk": "g1", "name": "admins"}),
        ("!AtIndex [!FindObject [authentik_core.group, [name, admins]], name]", "admins"),
        ("!Context who", "admins"),
        ("!Context [missing, 5]", 5),
        ("!Context missing", None),
        ("!Format ['%s-%s', !Context who, 3]", "admins-3"),
        ("!Format [plain]", "plain"),
        ("!If [true, yes, no]", True),
        ("!If [!Context nothing, a, b]", "b"),
        ("!If [!Context who]", True),
        ("!If [false, !KeyOf nobody, fine]", "fine"),
        ("!If [true, [1, !Context who], {}]", [1, "admins"]),
        ("!Condition [AND, true, !Context who]", True),
        ("!Condition [OR, false, !Context nothing]", False),
        ("!Condition [nand, true, true]", False),
        ("!Condition [NOR, false]", True),
        ("!Condition [XOR, true, true, true]", True),
        ("!Condition [XNOR, true, false]", False),
        ("!Enumerate [[a, b], SEQ, !Format ['%s%d', !Value 0, !Index 0]]", ["a0", "b1"]),
        ("!Enumerate [{k: 1}, MAP, [!Index 0, !Value 0]]", {"k": 1}),
        ("!Enumerate [!Context list, MAP, {same: [!Value 0]}]", {"same": ["x", "y"]}),
        (
            "!Enumerate [[[1, 2], [3]], SEQ, !Enumerate [!Value 1, SEQ, !Format ['%d.%d', !Index 1, !Value 0]]]",
            [["0.1", "0.2"], ["1.3"]],
        ),
        ("!AtIndex [[1, 2], 1]", 2),
        ("!AtIndex [[1, 2], 9, none]", "none"),
        ("!AtIndex [{a: 1}, a]", 1),
        ("!AtIndex [{a: 1}, b, !Context who]", "admins"),
        ("!ParseJSON '{\"a\": [1]}'", {"a": [1]}),
    ],
)
def test_tag_gives(text: str, expected: Any) -> None:
    context = {"who": "admins", "nothing": None, "list": ["x", "y"]}
    assert resolve(text, context) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("!KeyOf second", "KeyOf: failed to find entry with `id` of `second` and a model instance"),
        ("!Format ['%d', text]", "%d format: a real number is required, not str"),
        ("!Condition [AND]", "At least one value is required after mode selection."),
        ("!Condition [MAYBE, true]", "'MAYBE'"),
        (
            "!Enumerate [5, SEQ, 1]",
            "Enumerate's iterable must be an iterable such as a sequence or a mapping",
        ),
        ("!Enumerate [[1], BAG, 1]", "'BAG'"),
        ("!Enumerate [[1], MAP, !Value 0]", "Invalid Enumerate item found: 1"),
        ("!Value 0", "Value tags are only usable inside an Enumerate tag"),
        ("!Enumerate [[1], SEQ, !Index 3]", "Index tag: invalid depth: 3. Max depth: 0"),
        ("!AtIndex [[1], 4]", "Index out of range: 4"),
        ("!AtIndex [[1], a]", "Invalid index for list: a"),
        ("!AtIndex [{}, a]", "Key does not exist: a"),
        ("!ParseJSON '{'", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
    ],
)
def test_tag_refuses(text: str, message: str) -> None:
    with pytest.raises(EntryInvalidError) as caught:
        resolve(text)
    assert str(caught.value) == message


def test_enumerate_may_not_loop_over_itself() -> None:
    with pytest.raises(EntryInvalidError, match="This is a noop"):
        resolve("!Enumerate [!Value 0, SEQ, 1]")


@pytest.mark.parametrize(
    "content",
    [
        "version: 1\nentries: [}",
        "version: 1\nentries:\n- {model: a.b, attrs: {x: !Nope y}}",
        "",
        "just text",
        "version: one\nentries: []",
        "version: 1\nentries: text",
        "version: 1\nentries: [text]",
        "version: 1\nentries: [{identifiers: {}}]",
        "version: 1\nentries: [{model: a.b, state: perhaps}]",
        "version: 1\nentries: [{model: a.b, identifiers: []}]",
        "version: 1\nentries: [{model: a.b, permissions: [{user: 1}]}]",
        "version: 1\nmetadata: {labels: {}}\nentries: []",
        "version: 1\nentries: [{model: a.b, attrs: {x: !Find text, y: !Enumerate [1]}}]",
        "version: 1\nentries: [{model: a.b, attrs: {x: !Value deep}}]",
        "version: 1\nentries: [{model: a.b, attrs: {x: !If {a: b}}}]",
        "version: 1\nentries: [{model: a.b, attrs: {x: !If [true, 1]}}]",
        "version: 1\nentries: [{model: a.b, attrs: {? [1] : 2}}]",
    ],
)
def test_unreadable_content_is_refused(content: str) -> None:
    with pytest.raises(UnreadableError):
        parse(content)


def test_entries_may_come_in_sections() -> None:
    blueprint = parse("entries:\n  one: [{model: a.b}]\n  two: [{model: c.d, state: created}]\n")
    assert [entry.model for entry in blueprint.entries] == ["a.b", "c.d"]
    assert blueprint.entries[1].state is Desired.CREATED


def test_context_layers_merge_and_leave_their_sources_alone() -> None:
    own = {"shared": {"b": 2}, "list": [2]}
    defaults = {"shared": {"a": 1}, "list": [1]}
    blueprint = parse("context: {shared: {c: 3}, name: default}\nentries: []\n", own, defaults)
    assert blueprint.context == {"shared": {"a": 1, "b": 2, "c": 3}, "list": [1, 2], "name": "default"}
    assert (own, defaults) == ({"shared": {"b": 2}, "list": [2]}, {"shared": {"a": 1}, "list": [1]})


def test_instance_context_wins_over_the_blueprint() -> None:
    assert parse("context: {a: 1}\nentries: []\n", {"a": 2}).context == {"a": 2}
