"""authentik's YAML tags: read as nodes, resolved when the entry that holds them is applied.

Names and meaning: authentik's blueprint documentation. Every part of a tag may itself hold tags.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import xor
from typing import Any, Protocol

from authentik_entra_bootstrap.sandbox.authentik.blueprints.document import (
    Blueprint,
    Entry,
    EntryInvalidError,
    UnreadableError,
)
from authentik_entra_bootstrap.sandbox.authentik.blueprints.values import merge

UNSET: Any = type("Unset", (), {"__repr__": lambda _: "<unset>"})()


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

    def key_of(self, entry: Entry, wanted: Entry) -> Any:
        """How ``entry`` refers to the object of ``wanted``."""


@dataclass
class Scope:
    """Where a tag is resolved: its entry and blueprint, and the loops around it."""

    entry: Entry
    blueprint: Blueprint
    around: Surroundings
    loops: list[tuple[Any, ...]] = field(default_factory=list)

    def resolve(self, value: Any) -> Any:
        """The value with every tag in it replaced.

        :raises EntryInvalidError: when a tag cannot be resolved.
        """
        if isinstance(value, Tag):
            return value.resolve(self)
        if isinstance(value, dict):
            return {key: self.resolve(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.resolve(item) for item in value]
        return value


class Tag(ABC):
    """A tag of a blueprint.

    :param arguments: the tag's sequence, or its one scalar.
    """

    least = 1
    """Arguments that it needs."""

    def __init__(self, arguments: list[Any]) -> None:
        if len(arguments) < self.least:
            raise UnreadableError(f"{type(self).__name__} needs {self.least} values")
        self.arguments = arguments

    @abstractmethod
    def resolve(self, scope: Scope) -> Any:
        """The tag's value.

        :raises EntryInvalidError: when there is none.
        """

    def argument(self, scope: Scope, index: int, default: Any = None) -> Any:
        """One argument, resolved."""
        return scope.resolve(self.arguments[index]) if index < len(self.arguments) else default


class KeyOf(Tag):
    """``!KeyOf id``: primary key of the object of an earlier entry."""

    def resolve(self, scope: Scope) -> Any:
        """See :class:`Tag`."""
        wanted = str(self.arguments[0])
        for entry in scope.blueprint.entry_called(wanted):
            return scope.around.key_of(scope.entry, entry)
        raise EntryInvalidError(f"KeyOf: failed to find entry with `id` of `{wanted}` and a model instance")


class Env(Tag):
    """``!Env NAME`` or ``!Env [NAME, default]``."""

    def resolve(self, scope: Scope) -> Any:
        """See :class:`Tag`."""
        return scope.around.environment(str(self.argument(scope, 0))) or self.argument(scope, 1)


class File(Tag):
    """``!File path`` or ``!File [path, default]``: the text without white space around it."""

    def resolve(self, scope: Scope) -> Any:
        """See :class:`Tag`."""
        text = scope.around.file(str(self.argument(scope, 0)))
        return self.argument(scope, 1) if text is None else text.strip()


class Context(Tag):
    """``!Context key`` or ``!Context [key, default]``."""

    def resolve(self, scope: Scope) -> Any:
        """See :class:`Tag`."""
        key = self.argument(scope, 0)
        if key in scope.blueprint.context:
            return scope.resolve(scope.blueprint.context[key])
        return self.argument(scope, 1)


class ParseJSON(Tag):
    """``!ParseJSON text``."""

    def resolve(self, scope: Scope) -> Any:
        """See :class:`Tag`."""
        try:
            return json.loads(str(self.argument(scope, 0)))
        except json.JSONDecodeError as exc:
            raise EntryInvalidError(str(exc)) from exc


class Format(Tag):
    """``!Format [text, values…]``: Python's ``%``."""

    def resolve(self, scope: Scope) -> Any:
        """See :class:`Tag`."""
        text, *values = scope.resolve(self.arguments)
        try:
            return text % tuple(values)
        except TypeError as exc:
            raise EntryInvalidError(str(exc)) from exc


class Find(Tag):
    """``!Find [model, [field, value]…]``: primary key of the first match, or null."""

    whole = False

    def __init__(self, arguments: list[Any]) -> None:
        super().__init__(arguments)
        if any(not isinstance(condition, list) or len(condition) < 2 for condition in arguments[1:]):
            raise UnreadableError(f"{type(self).__name__} takes pairs of field and value")

    def resolve(self, scope: Scope) -> Any:
        """See :class:`Tag`."""
        model, *conditions = scope.resolve(self.arguments)
        pairs = [(str(condition[0]), condition[1]) for condition in conditions]
        return scope.around.find(str(model), pairs, whole=self.whole)


class FindObject(Find):
    """``!FindObject``: as ``!Find``, but the whole object."""

    whole = True


class Condition(Tag):
    """``!Condition [AND|NAND|OR|NOR|XOR|XNOR, values…]``."""

    _MODES: Mapping[str, Callable[[list[bool]], bool]] = {
        "AND": all,
        "NAND": lambda values: not all(values),
        "OR": any,
        "NOR": lambda values: not any(values),
        "XOR": lambda values: reduce(xor, values),
        "XNOR": lambda values: not reduce(xor, values),
    }

    def resolve(self, scope: Scope) -> Any:
        """See :class:`Tag`."""
        mode, *values = scope.resolve(self.arguments)
        if not values:
            raise EntryInvalidError("At least one value is required after mode selection.")
        compare = self._MODES.get(str(mode).upper())
        if compare is None:
            raise EntryInvalidError(repr(str(mode).upper()))
        return compare([bool(value) for value in values])


class If(Tag):
    """``!If [condition, then, else]``; ``!If [condition]`` is a boolean. Only the chosen side is resolved."""

    def __init__(self, arguments: list[Any]) -> None:
        super().__init__(arguments)
        if len(arguments) == 2:
            raise UnreadableError("If takes one value or three")

    def resolve(self, scope: Scope) -> Any:
        """See :class:`Tag`."""
        chosen = bool(self.argument(scope, 0))
        if len(self.arguments) == 1:
            return chosen
        return self.argument(scope, 1 if chosen else 2)


class Enumerate(Tag):
    """``!Enumerate [iterable, SEQ|MAP, body]``; ``!Index`` and ``!Value`` stand for the item in the body."""

    least = 3

    def resolve(self, scope: Scope) -> Any:
        """See :class:`Tag`."""
        source = self.arguments[0]
        if isinstance(source, LoopItem) and source.depth == 0:
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
            output = str(self.arguments[1]).upper()
            if output not in {"SEQ", "MAP"}:
                raise EntryInvalidError(repr(output))
            items = iterable.items() if isinstance(iterable, Mapping) else enumerate(iterable)
            bodies = []
            for item in list(items):
                scope.loops[-1] = item
                bodies.append(scope.resolve(self.arguments[2]))
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


class LoopItem(Tag):
    """Base of ``!Index`` and ``!Value``; their argument counts loops outwards from 0."""

    part: int

    @property
    def depth(self) -> int:
        """How many loops outwards."""
        return int(self.arguments[0])

    def __init__(self, arguments: list[Any]) -> None:
        super().__init__(arguments)
        try:
            int(arguments[0])
        except (TypeError, ValueError):
            raise UnreadableError(f"{type(self).__name__} takes a depth") from None

    def resolve(self, scope: Scope) -> Any:
        """See :class:`Tag`."""
        name = type(self).__name__
        if not 0 <= self.depth < len(scope.loops):
            if self.depth == 0:
                raise EntryInvalidError(f"{name} tags are only usable inside an Enumerate tag")
            limit = len(scope.loops) - 1
            raise EntryInvalidError(f"{name} tag: invalid depth: {self.depth}. Max depth: {limit}")
        item = scope.loops[-1 - self.depth]
        if not item:
            raise EntryInvalidError(f"Empty/invalid context: {item}")
        return item[self.part]


class Index(LoopItem):
    """``!Index depth``: number or key of the loop's item."""

    part = 0


class Value(LoopItem):
    """``!Value depth``: the loop's item."""

    part = 1


class AtIndex(Tag):
    """``!AtIndex [object, index]`` or ``!AtIndex [object, index, default]``."""

    least = 2

    def resolve(self, scope: Scope) -> Any:
        """See :class:`Tag`."""
        source, key = self.argument(scope, 0), self.argument(scope, 1)
        default = self.argument(scope, 2, UNSET)
        if isinstance(source, list | tuple):
            try:
                return source[key]
            except TypeError as exc:
                raise EntryInvalidError(f"Invalid index for list: {key}") from exc
            except IndexError as exc:
                if default is UNSET:
                    raise EntryInvalidError(f"Index out of range: {key}") from exc
                return default
        if isinstance(source, Mapping) and key in source:
            return source[key]
        if default is UNSET:
            raise EntryInvalidError(f"Key does not exist: {key}")
        return default
