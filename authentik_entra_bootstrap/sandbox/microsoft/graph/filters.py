"""OData ``$filter``: from text to the question whether an object fits, in the words in which the directory refuses."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from authentik_entra_bootstrap.sandbox.microsoft.graph.errors import (
    malformed,
    not_served,
    unknown_property,
    unsupported_query,
)
from authentik_entra_bootstrap.sandbox.microsoft.graph.model import EntityType
from authentik_entra_bootstrap.sandbox.microsoft.graph.validation import parse_moment, spelling

MAX_DEPTH = 60
"""Nesting that is still read; deeper filters are refused instead of exhausting the stack."""
MAX_CLAUSES = 200
"""Clauses that are still read, for the same reason."""
MAX_ALTERNATIVES = 15
"""Clauses joined by ``or``, or values of one ``in``, that the directory takes."""

Scalar = str | bool | int | float | datetime | None
Fits = Callable[[Any, Any], bool]
"""Whether an object fits; the second argument is the item that a lambda's variable stands for."""

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<string>'(?:[^']|'')*')
  | (?P<moment>\d{4}-\d\d-\d\d(?:T[\d:.]+(?:Z|[+-]\d\d:\d\d)?)?(?![\w-]))
  | (?P<guid>[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?![\w-]))
  | (?P<number>-?\d+(?:\.\d+)?(?![\w-]))
  | (?P<name>[A-Za-z_$@][\w$.@]*)
  | (?P<mark>[(),:/])
)""",
    re.VERBOSE,
)
_OPERATORS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "eq": ("Equal", operator.eq),
    "ne": ("NotEqual", operator.ne),
    "gt": ("GreaterThan", operator.gt),
    "ge": ("GreaterThanOrEqual", operator.ge),
    "lt": ("LessThan", operator.lt),
    "le": ("LessThanOrEqual", operator.le),
}
_WITHOUT_HEADER = frozenset({"eq", "ge", "le"})
_FUNCTIONS = frozenset({"startswith", "endswith", "contains"})
_WORDS: dict[str, Scalar] = {"true": True, "false": False, "null": None}
_EDM = {"str": "String", "guid": "Guid", "bool": "Boolean", "int": "Int32", "time": "DateTimeOffset"}
"""Kinds whose literals have a form of their own: OData converts none of them into another."""
_CLAUSE = "Invalid filter clause: "


def read_filter(text: str, entity: EntityType, *, advanced: bool) -> Callable[[dict[str, Any]], bool]:
    """Whether an object (with its private lists) fits a filter.

    :param advanced: the request has ``ConsistencyLevel: eventual`` and ``$count=true``.
    :raises GraphError: ``BadRequest`` for syntax, unknown properties and mismatched types,
        ``Request_UnsupportedQuery`` for operators and properties that cannot be filtered (so), 501 for what the
        sandbox does not serve.
    """
    reader = _Reader(text, entity, advanced)
    clause = reader.whole()
    if clause.alternatives > MAX_ALTERNATIVES:
        raise unsupported_query(
            "Too many child clauses specified in search filter expression containing 'OR' operators: "
            f"{clause.alternatives}. Max allowed: {MAX_ALTERNATIVES}."
        )
    return lambda value: clause.fits(value, None)


@dataclass(frozen=True)
class _Literal:
    """A constant and the type that its form gives it; ``None`` for null, which fits every type."""

    value: Scalar
    edm: str | None


@dataclass(frozen=True)
class _Path:
    """A property, or what a lambda's variable stands for (an empty name).

    :param kind: as the model has it, without ``!``.
    """

    name: str
    kind: str

    def value(self, item: Any, variable: Any) -> Any:
        """What an object has there."""
        return item.get(self.name) if self.name else variable


@dataclass(frozen=True)
class _Clause:
    """A part of the filter, and how many alternatives it joins by ``or``."""

    fits: Fits
    alternatives: int = 1


class _Reader:
    """Reads a filter from left to right; what it has read is checked against the entity at once."""

    def __init__(self, text: str, entity: EntityType, advanced: bool) -> None:
        self.text = text
        self.entity = entity
        self.advanced = advanced
        self.tokens = list(self._split())
        self.at = 0
        self.depth = 0
        self.clauses = 0
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
        raise malformed(f"{_CLAUSE}Syntax error at position {position} in '{self.text}'.")

    def _peek(self) -> tuple[str, str, int]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("end", "", len(self.text))

    def _next(self, wanted: str = "") -> tuple[str, str, int]:
        token = self._peek()
        if wanted and token[0] != wanted:
            self._fail(token[2])
        self.at += 1
        return token

    def _take(self, text: str) -> bool:
        """Pass over a word or mark, if it comes next."""
        kind, found, _ = self._peek()
        if kind not in ("name", "mark") or found.lower() != text:
            return False
        self.at += 1
        return True

    def _expect(self, mark: str) -> None:
        if not self._take(mark):
            self._fail(self._peek()[2])

    def whole(self) -> _Clause:
        """The filter."""
        clause = self._or()
        if self._peek()[0] != "end":
            self._fail(self._peek()[2])
        return clause

    def _or(self) -> _Clause:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise malformed(f"{_CLAUSE}The node count limit has been exceeded.")
        parts = [self._and()]
        while self._take("or"):
            parts.append(self._and())
        self.depth -= 1
        if len(parts) == 1:
            return parts[0]
        total = sum(part.alternatives for part in parts)
        return _Clause(lambda item, variable: any(part.fits(item, variable) for part in parts), total)

    def _and(self) -> _Clause:
        parts = [self._unary()]
        while self._take("and"):
            parts.append(self._unary())
        if len(parts) == 1:
            return parts[0]
        most = max(part.alternatives for part in parts)
        return _Clause(lambda item, variable: all(part.fits(item, variable) for part in parts), most)

    def _unary(self) -> _Clause:
        negated = False
        while self._take("not"):
            negated = not negated
            self._needs_advanced(self.entity.name)
        self.clauses += 1
        if self.clauses > MAX_CLAUSES:
            raise malformed(f"{_CLAUSE}The node count limit has been exceeded.")
        clause = self._primary()
        if not negated:
            return clause
        return _Clause(lambda item, variable: not clause.fits(item, variable), clause.alternatives)

    def _primary(self) -> _Clause:
        if self._take("("):
            clause = self._or()
            self._expect(")")
            return clause
        _, text, _ = self._next("name")
        if text.lower() in _FUNCTIONS and self._peek()[1] == "(":
            return self._function(text.lower())
        names = [text]
        while self._take("/"):
            _, text, _ = self._next("name")
            if text.lower() in ("any", "all") and self._take("("):
                return self._any(names, text.lower())
            names.append(text)
        return self._comparison(self._path(names))

    def _function(self, name: str) -> _Clause:
        self._expect("(")
        names = [self._next("name")[1]]
        while self._take("/"):
            names.append(self._next("name")[1])
        self._expect(",")
        part = self._literal(self._next("string")).value
        self._expect(")")
        path = self._path(names)
        if name == "endswith":
            raise not_served("endswith")
        if name == "contains" or path.kind not in ("str", "guid"):
            raise self._unsupported(path.name)
        prefix = str(part).casefold()

        def fits(item: Any, variable: Any) -> bool:
            found = path.value(item, variable)
            return isinstance(found, str) and found.casefold().startswith(prefix)

        return _Clause(fits)

    def _any(self, names: list[str], quantifier: str) -> _Clause:
        """``path/any(x:expr)``; without an expression: the collection is not empty."""
        if quantifier == "all":
            raise not_served("all")
        path = self._path(names)
        if not path.kind.startswith("["):
            where = "/".join(names)
            raise malformed(f"{_CLAUSE}Any/All may only be used following a collection: '{where}'.")
        if self._take(")"):
            self._needs_advanced(names[0])
            return _Clause(lambda item, variable: bool(path.value(item, variable)))
        outer, self.variable = self.variable, (self._next("name")[1], path.kind[1:-1])
        self._expect(":")
        body = self._or()
        self._expect(")")
        self.variable = outer

        def fits(item: Any, variable: Any) -> bool:
            found = path.value(item, variable)
            return isinstance(found, list) and any(body.fits(item, one) for one in found)

        return _Clause(fits, body.alternatives)

    def _comparison(self, path: _Path) -> _Clause:
        if self._take("in"):
            self._expect("(")
            values = [self._literal(self._next())]
            while self._take(","):
                values.append(self._literal(self._next()))
            self._expect(")")
            return _Clause(
                lambda item, variable: any(
                    _compare(operator.eq, path.value(item, variable), one.value) for one in values
                ),
                len(values),
            )
        _, text, position = self._next("name")
        if text.lower() not in _OPERATORS:
            self._fail(position)
        wanted = self._literal(self._next())
        if text.lower() not in _WITHOUT_HEADER:
            self._needs_advanced(path.name)
        name, compare = _OPERATORS[text.lower()]
        if wanted.edm is not None and path.kind in _EDM and wanted.edm != _EDM[path.kind]:
            raise malformed(
                f"{_CLAUSE}A binary operator with incompatible types was detected. Found operand types "
                f"'Edm.{_EDM[path.kind]}' and 'Edm.{wanted.edm}' for operator kind '{name}'."
            )
        if path.kind.startswith("["):
            raise self._unsupported(path.name)
        return _Clause(lambda item, variable: _compare(compare, path.value(item, variable), wanted.value))

    def _path(self, names: list[str]) -> _Path:
        """A path as the model knows it; nothing inside of complex values can be filtered.

        :raises GraphError: 400 for properties that the type does not have, or that cannot be filtered.
        """
        if self.variable is not None and names == [self.variable[0]]:
            return _Path("", self.variable[1])
        first = spelling(names[0], self.entity.props)
        if first is None:
            raise unknown_property(names[0], self.entity.name, _CLAUSE)
        if first not in self.entity.filterable:
            raise self._unsupported(first)
        if len(names) > 1:
            raise unknown_property(names[1], self.entity.name, _CLAUSE)
        return _Path(first, self.entity.props[first].rstrip("!"))

    def _literal(self, token: tuple[str, str, int]) -> _Literal:
        kind, text, position = token
        if kind == "string":
            return _Literal(text[1:-1].replace("''", "'"), "String")
        if kind == "guid":
            return _Literal(text, "Guid")
        if kind == "number":
            return _Literal(float(text), "Double") if "." in text else _Literal(int(text), "Int32")
        if kind == "moment":
            try:
                return _Literal(parse_moment(text), "DateTimeOffset")
            except ValueError:
                self._fail(position)
        if kind != "name" or text.lower() not in _WORDS:
            self._fail(position)
        value = _WORDS[text.lower()]
        return _Literal(value, None if value is None else "Boolean")

    def _needs_advanced(self, name: str) -> None:
        if not self.advanced:
            raise self._unsupported(name)

    def _unsupported(self, name: str) -> Exception:
        return unsupported_query(
            f"Unsupported or invalid query filter clause specified for property '{name}' of resource "
            f"'{self.entity.label}'."
        )


def _compare(compare: Callable[[Any, Any], bool], found: Any, wanted: Scalar) -> bool:
    """One comparison; the directory compares text without letter case, and null only with null."""
    if isinstance(wanted, datetime) and isinstance(found, str):
        try:
            found = parse_moment(found)
        except ValueError:
            return compare is operator.ne
    if isinstance(found, str) and isinstance(wanted, str):
        found, wanted = found.casefold(), wanted.casefold()
    if compare in (operator.eq, operator.ne):
        same_type = isinstance(found, bool) is isinstance(wanted, bool)
        return (same_type and found == wanted) is (compare is operator.eq)
    try:
        return found is not None and wanted is not None and compare(found, wanted)
    except TypeError:
        return False
