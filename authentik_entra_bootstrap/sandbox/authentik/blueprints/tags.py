"""authentik's YAML tags: read as nodes, resolved when the entry that holds them is applied.

Names and meaning: authentik's blueprint documentation. Every part of a tag may itself hold tags.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import xor
from typing import TYPE_CHECKING, Any, Protocol

from authentik_entra_bootstrap.sandbox.authentik.blueprints.values import merge

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.blueprints.document import Blueprint

UNSET: Any = type("Unset", (), {"__repr__": lambda _: "<unset>"})()


class EntryInvalidError(Exception):
    """An entry cannot be applied; its text ends up in the log line "Entry invalid: …"."""


class UnreadableError(Exception):
    """The content is no blueprint at all: YAML errors, unknown tags, wrong structure."""


class Surroundings(Protocol):
    """What tags read beside the blueprint."""

    def environment(self, name: str) -> str | None:
        """An environment variable of authentik's host."""

    def file(self, path: str) -> str | None:
        """The text of a file on authentik's host, ``None`` when it cannot be read."""

    def find(self, model: str, conditions: list[tuple[str, Any]], *, whole: bool) -> Any:
        """Primary key of the first object, or the object as the API shows it; ``None`` without one.

        :raises EntryInvalidError: for an unknown model or field.
        """


@dataclass
class Scope:
    """Where a tag is resolved: its blueprint, and the loops around it."""

    blueprint: Blueprint
    around: Surroundings
    loops: list[tuple[Any, ...]] = field(default_factory=list)

    def resolve(self, value: Any) -> Any:
        """The value with every tag in it replaced.

        :raises EntryInvalidError: when a tag cannot be resolved.
        """
        if isinstance(value, Tag):
            return TAGS[value.name](value, self)
        if isinstance(value, dict):
            return {key: self.resolve(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.resolve(item) for item in value]
        return value


@dataclass
class Tag:
    """A tag of a blueprint.

    :param name: without the exclamation mark.
    :param arguments: the tag's sequence, or its one scalar.
    """

    name: str
    arguments: list[Any]

    def __post_init__(self) -> None:
        """Refuse wrong arguments.

        :raises UnreadableError: for them.
        """
        count = len(self.arguments)
        if count < {"Enumerate": 3, "AtIndex": 2}.get(self.name, 1) or (self.name == "If" and count == 2):
            raise UnreadableError(f"{self.name} takes another number of values")
        pairs = [isinstance(one, list) and len(one) > 1 for one in self.arguments[1:]]
        if self.name in {"Find", "FindObject"} and not all(pairs):
            raise UnreadableError(f"{self.name} takes pairs of field and value")
        if self.name in {"Index", "Value"}:
            try:
                self.depth = int(self.arguments[0])
            except (TypeError, ValueError):
                raise UnreadableError(f"{self.name} takes a depth") from None

    def argument(self, scope: Scope, index: int, default: Any = None) -> Any:
        """One argument, resolved."""
        return scope.resolve(self.arguments[index]) if index < len(self.arguments) else default


def key_of(tag: Tag, scope: Scope) -> Any:
    """``!KeyOf id``: primary key of the object of an earlier entry."""
    wanted = str(tag.arguments[0])
    for entry in scope.blueprint.entries:
        if entry.id == wanted and entry.instance is not None:
            return entry.instance
    raise EntryInvalidError(f"KeyOf: failed to find entry with `id` of `{wanted}` and a model instance")


def env(tag: Tag, scope: Scope) -> Any:
    """``!Env NAME`` or ``!Env [NAME, default]``."""
    return scope.around.environment(str(tag.argument(scope, 0))) or tag.argument(scope, 1)


def file(tag: Tag, scope: Scope) -> Any:
    """``!File path`` or ``!File [path, default]``: the text without white space around it."""
    text = scope.around.file(str(tag.argument(scope, 0)))
    return tag.argument(scope, 1) if text is None else text.strip()


def context(tag: Tag, scope: Scope) -> Any:
    """``!Context key`` or ``!Context [key, default]``."""
    key = tag.argument(scope, 0)
    if key in scope.blueprint.context:
        return scope.resolve(scope.blueprint.context[key])
    return tag.argument(scope, 1)


def parse_json(tag: Tag, scope: Scope) -> Any:
    """``!ParseJSON text``."""
    try:
        return json.loads(str(tag.argument(scope, 0)))
    except json.JSONDecodeError as exc:
        raise EntryInvalidError(str(exc)) from exc


def format_text(tag: Tag, scope: Scope) -> Any:
    """``!Format [text, values…]``: Python's ``%``."""
    text, *values = scope.resolve(tag.arguments)
    try:
        return text % tuple(values)
    except TypeError as exc:
        raise EntryInvalidError(str(exc)) from exc


def find(tag: Tag, scope: Scope) -> Any:
    """``!Find [model, [field, value]…]``: primary key of the first match, or null; ``!FindObject``: the whole object."""
    model, *conditions = scope.resolve(tag.arguments)
    pairs = [(str(condition[0]), condition[1]) for condition in conditions]
    return scope.around.find(str(model), pairs, whole=tag.name == "FindObject")


MODES: Mapping[str, Callable[[list[bool]], bool]] = {
    "AND": all,
    "NAND": lambda values: not all(values),
    "OR": any,
    "NOR": lambda values: not any(values),
    "XOR": lambda values: reduce(xor, values),
    "XNOR": lambda values: not reduce(xor, values),
}


def condition(tag: Tag, scope: Scope) -> Any:
    """``!Condition [AND|NAND|OR|NOR|XOR|XNOR, values…]``."""
    mode, *values = scope.resolve(tag.arguments)
    if not values:
        raise EntryInvalidError("At least one value is required after mode selection.")
    mode = str(mode).upper()
    if mode not in MODES:
        raise EntryInvalidError(repr(mode))
    return MODES[mode]([bool(value) for value in values])


def choose(tag: Tag, scope: Scope) -> Any:
    """``!If [condition, then, else]``; ``!If [condition]`` is a boolean. Only the chosen side is resolved."""
    chosen = bool(tag.argument(scope, 0))
    return chosen if len(tag.arguments) == 1 else tag.argument(scope, 1 if chosen else 2)


def enumerate_items(tag: Tag, scope: Scope) -> Any:
    """``!Enumerate [iterable, SEQ|MAP, body]``; ``!Index`` and ``!Value`` stand for the item in the body."""
    source = tag.arguments[0]
    if isinstance(source, Tag) and source.name in {"Index", "Value"} and source.depth == 0:
        raise EntryInvalidError(
            "Enumerate tag's iterable references this tag's context. "
            "This is a noop. Check you are setting depth bigger than 0."
        )
    # The loop is open while its source is resolved too: depths count from the tag outwards.
    scope.loops.append(())
    try:
        iterable = scope.resolve(source)
        if not isinstance(iterable, Iterable):
            raise EntryInvalidError(
                "Enumerate's iterable must be an iterable such as a sequence or a mapping"
            )
        output = str(tag.arguments[1]).upper()
        if output not in {"SEQ", "MAP"}:
            raise EntryInvalidError(repr(output))
        bodies = []
        for item in [*(iterable.items() if isinstance(iterable, Mapping) else enumerate(iterable))]:
            scope.loops[-1] = item
            bodies.append(scope.resolve(tag.arguments[2]))
    finally:
        scope.loops.pop()
    return bodies if output == "SEQ" else _mapping(bodies)


def _mapping(bodies: list[Any]) -> dict[Any, Any]:
    result: dict[Any, Any] = {}
    for item in bodies:
        if isinstance(item, list | tuple) and len(item) >= 2:
            result = merge(result, {item[0]: item[1]})
        elif isinstance(item, Mapping):
            result = merge(result, dict(item))
        else:
            raise EntryInvalidError(f"Invalid Enumerate item found: {item}")
    return result


def loop_item(tag: Tag, scope: Scope) -> Any:
    """``!Index depth``: number or key of a loop's item; ``!Value depth``: the item. Depths count outwards from 0."""
    if not 0 <= tag.depth < len(scope.loops):
        if tag.depth == 0:
            raise EntryInvalidError(f"{tag.name} tags are only usable inside an Enumerate tag")
        limit = len(scope.loops) - 1
        raise EntryInvalidError(f"{tag.name} tag: invalid depth: {tag.depth}. Max depth: {limit}")
    item = scope.loops[-1 - tag.depth]
    if not item:
        raise EntryInvalidError(f"Empty/invalid context: {item}")
    return item[tag.name == "Value"]


def at_index(tag: Tag, scope: Scope) -> Any:
    """``!AtIndex [object, index]`` or ``!AtIndex [object, index, default]``."""
    source, key = tag.argument(scope, 0), tag.argument(scope, 1)
    default = tag.argument(scope, 2, UNSET)
    complaint = "Index out of range" if isinstance(source, list | tuple) else "Key does not exist"
    try:
        return source[key]
    except TypeError as exc:
        if isinstance(source, list | tuple):
            raise EntryInvalidError(f"Invalid index for list: {key}") from exc
    except (IndexError, KeyError):
        pass
    if default is UNSET:
        raise EntryInvalidError(f"{complaint}: {key}")
    return default


TAGS: dict[str, Callable[[Tag, Scope], Any]] = {
    "AtIndex": at_index,
    "Condition": condition,
    "Context": context,
    "Enumerate": enumerate_items,
    "Env": env,
    "File": file,
    "Find": find,
    "FindObject": find,
    "Format": format_text,
    "If": choose,
    "Index": loop_item,
    "KeyOf": key_of,
    "ParseJSON": parse_json,
    "Value": loop_item,
}
"""By name in YAML, without the exclamation mark."""
