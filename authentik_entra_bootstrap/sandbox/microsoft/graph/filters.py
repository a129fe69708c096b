"""OData ``$filter``: from text to the question whether an object fits, in the words in which the directory refuses."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, NoReturn

from authentik_entra_bootstrap.sandbox.microsoft.graph import errors
from authentik_entra_bootstrap.sandbox.microsoft.graph.validation import parse_moment, spelling
from authentik_entra_bootstrap.sandbox.microsoft.model import EntityType
from authentik_entra_bootstrap.sandbox.store import Object

Fits = Callable[[Any, Any], bool]
"""Whether an object fits; the second argument is the item that a lambda's variable stands for."""
_TOKEN = re.compile(
    r"""\s*(?:
    (?P<string>'(?:[^']|'')*')
  | (?P<moment>\d{4}-\d\d-\d\d(?:T[\d:.]+(?:Z|[+-]\d\d:\d\d)?)?(?![\w-]))
  | (?P<guid>[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?![\w-]))
  | (?P<number>-?\d+(?![\w-]))
  | (?P<name>[A-Za-z_$@][\w$.@]*)
  | (?P<mark>[(),:/])
)""",
    re.VERBOSE,
)
_OPERATORS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "eq": ("Equal", operator.eq),
    "ge": ("GreaterThanOrEqual", operator.ge),
    "le": ("LessThanOrEqual", operator.le),
}
_ADVANCED = frozenset({"not", "ne", "gt", "lt", "endswith", "all"})
"""What the real service answers with ``ConsistencyLevel: eventual`` and ``$count=true`` only."""
_WORDS = {"true": True, "false": False, "null": None}
_EDM = {"str": "String", "guid": "Guid", "bool": "Boolean", "int": "Int32", "time": "DateTimeOffset"}
"""Kinds whose literals have a form of their own: OData converts none of them into another."""
_CLAUSE = "Invalid filter clause: "


def read_filter(text: str, entity: EntityType) -> Callable[[Object], bool]:
    """Whether an object (with its private lists) fits a filter.

    :raises GraphError: ``BadRequest`` for syntax, unknown properties and mismatched types,
        ``Request_UnsupportedQuery`` for properties that cannot be filtered (so), 501 for advanced queries.
    """
    try:
        fits = _FilterReader(text, entity).whole()
    except RecursionError as error:
        raise errors.malformed(f"{_CLAUSE}The node count limit has been exceeded.") from error
    return lambda value: fits(value, None)


class _FilterReader:
    """Reads a filter from left to right; what it has read is checked against the entity at once."""

    def __init__(self, text: str, entity: EntityType) -> None:
        self.text = text
        self.entity = entity
        self.tokens = list(self._split())
        self.at = 0
        self.variable: tuple[str, str] | None = None
        """Name of the lambda's variable that is being read, and the kind of its items."""

    def _split(self) -> Iterator[tuple[str, str, int]]:
        position, end = 0, len(self.text.rstrip())
        while position < end:
            match = _TOKEN.match(self.text, position)
            if match is None or match.lastgroup is None:
                self._fail(position)
            yield match.lastgroup, match.group(match.lastgroup), match.start(match.lastgroup)
            position = match.end()

    def _fail(self, position: int) -> NoReturn:
        raise errors.malformed(f"{_CLAUSE}Syntax error at position {position} in '{self.text}'.")

    def _peek(self) -> tuple[str, str, int]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("end", "", len(self.text))

    def _next(self, wanted: str = "") -> str:
        kind, text, position = self._peek()
        if wanted and kind != wanted:
            self._fail(position)
        self.at += 1
        if kind == "name" and text.lower() in _ADVANCED:
            raise errors.not_served(text.lower())
        return text

    def _take(self, text: str) -> bool:
        """Pass over a word or mark, if it comes next."""
        kind, found, _ = self._peek()
        fits = kind in ("name", "mark") and found.lower() == text
        self.at += fits
        return fits

    def _expect(self, mark: str) -> None:
        if not self._take(mark):
            self._fail(self._peek()[2])

    def whole(self) -> Fits:
        """The filter."""
        fits = self._or()
        if self._peek()[0] != "end":
            self._fail(self._peek()[2])
        return fits

    def _or(self) -> Fits:
        parts = [self._and()]
        while self._take("or"):
            parts.append(self._and())
        return parts[0] if len(parts) == 1 else lambda item, one: any(part(item, one) for part in parts)

    def _and(self) -> Fits:
        parts = [self._primary()]
        while self._take("and"):
            parts.append(self._primary())
        return parts[0] if len(parts) == 1 else lambda item, one: all(part(item, one) for part in parts)

    def _primary(self) -> Fits:
        if self._take("("):
            fits = self._or()
            self._expect(")")
            return fits
        name = self._next("name")
        if name.lower() in ("startswith", "contains") and self._take("("):
            return self._function(name.lower())
        path = [name]
        while self._take("/"):
            path.append(self._next("name"))
            if path[-1].lower() == "any" and self._take("("):
                return self._any(path[:-1])
        return self._comparison(*self._path(path))

    def _function(self, function: str) -> Fits:
        name, kind = self._path([self._next("name")])
        self._expect(",")
        prefix = str(self._literal(self._next("string"), "string")[0]).casefold()
        self._expect(")")
        if function == "contains" or kind not in ("str", "guid"):
            raise self._unsupported(name)
        return lambda item, one: str(_value(item, one, name) or "").casefold().startswith(prefix)

    def _any(self, path: list[str]) -> Fits:
        """``path/any(x:expression)``."""
        name, kind = self._path(path)
        if not kind.startswith("["):
            raise errors.malformed(
                f"{_CLAUSE}Any/All may only be used following a collection: '{'/'.join(path)}'."
            )
        self.variable = (self._next("name"), kind[1:-1])
        self._expect(":")
        body = self._or()
        self._expect(")")
        self.variable = None
        return lambda item, _: any(body(item, one) for one in item.get(name) or ())

    def _comparison(self, name: str, kind: str) -> Fits:
        if self._take("in"):
            self._expect("(")
            values = [self._operand()[0]]
            while self._take(","):
                values.append(self._operand()[0])
            self._expect(")")
            return lambda item, one: any(
                _compare(operator.eq, _value(item, one, name), wanted) for wanted in values
            )
        position = self._peek()[2]
        word = self._next("name").lower()
        if word not in _OPERATORS:
            self._fail(position)
        label, compare = _OPERATORS[word]
        wanted, edm = self._operand()
        if edm is not None and kind in _EDM and edm != _EDM[kind]:
            raise errors.malformed(
                f"{_CLAUSE}A binary operator with incompatible types was detected. Found operand types "
                f"'Edm.{_EDM[kind]}' and 'Edm.{edm}' for operator kind '{label}'."
            )
        if kind.startswith("["):
            raise self._unsupported(name)
        return lambda item, one: _compare(compare, _value(item, one, name), wanted)

    def _path(self, names: list[str]) -> tuple[str, str]:
        """Name and kind of a property; an empty name is what the lambda's variable stands for.

        :raises GraphError: 400 for properties that the type does not have, or that cannot be filtered.
        """
        if self.variable is not None and names == [self.variable[0]]:
            return "", self.variable[1]
        first = spelling(names[0], self.entity.props)
        if first is None:
            raise errors.unknown_property(names[0], self.entity.name, _CLAUSE)
        if first not in self.entity.filterable:
            raise self._unsupported(first)
        if len(names) > 1:
            raise errors.unknown_property(names[1], self.entity.name, _CLAUSE)
        return first, self.entity.props[first].rstrip("!")

    def _operand(self) -> tuple[Any, str | None]:
        kind, _, position = self._peek()
        try:
            return self._literal(self._next(), kind)
        except (ValueError, KeyError):
            self._fail(position)

    def _literal(self, text: str, kind: str) -> tuple[Any, str | None]:
        """A constant and the type that its form gives it; ``None`` for null, which fits every type."""
        if kind == "string":
            return text[1:-1].replace("''", "'"), "String"
        if kind == "guid":
            return text, "Guid"
        if kind == "number":
            return int(text), "Int32"
        if kind == "moment":
            return parse_moment(text), "DateTimeOffset"
        value = _WORDS[text.lower()]
        return value, None if value is None else "Boolean"

    def _unsupported(self, name: str) -> Exception:
        return errors.GraphError(
            400,
            "Request_UnsupportedQuery",
            f"Unsupported or invalid query filter clause specified for property '{name}' of resource "
            f"'{self.entity.label}'.",
        )


def _value(item: Any, variable: Any, name: str) -> Any:
    return item.get(name) if name else variable


def _compare(compare: Callable[[Any, Any], bool], found: Any, wanted: Any) -> bool:
    """One comparison; the directory compares text without letter case, and null only with null."""
    if isinstance(wanted, datetime) and isinstance(found, str):
        found = parse_moment(found)
    if isinstance(found, str) and isinstance(wanted, str):
        found, wanted = found.casefold(), wanted.casefold()
    if compare is operator.eq:
        return isinstance(found, bool) is isinstance(wanted, bool) and found == wanted
    return isinstance(found, type(wanted)) and wanted is not None and compare(found, wanted)
