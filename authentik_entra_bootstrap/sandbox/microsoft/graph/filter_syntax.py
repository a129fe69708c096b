"""OData ``$filter``: from text to a tree. Pure; knows no entity."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn

from authentik_entra_bootstrap.sandbox.microsoft.graph.errors import malformed
from authentik_entra_bootstrap.sandbox.microsoft.graph.values import parse_moment

Scalar = str | bool | int | float | datetime | None
MAX_DEPTH = 60
"""Nesting that is still read; deeper filters are refused instead of exhausting the stack."""
MAX_CLAUSES = 200
"""Clauses that are still read, for the same reason."""


@dataclass(frozen=True)
class Literal:
    """A constant; ``guid`` keeps an unquoted GUID apart from a string."""

    value: Scalar
    guid: bool = False


@dataclass(frozen=True)
class Path:
    """A property, e.g. ``("displayName",)``, ``("owners", "$count")``, or a lambda's variable."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class Compare:
    """``path op literal``."""

    path: Path
    op: str
    value: Literal


@dataclass(frozen=True)
class In:
    """``path in (literal, ...)``."""

    path: Path
    values: tuple[Literal, ...]


@dataclass(frozen=True)
class Call:
    """``startswith(path,'text')`` and its kin."""

    name: str
    path: Path
    text: str


@dataclass(frozen=True)
class Lambda:
    """``path/any(x:expr)``; without an expression: the collection is not empty."""

    path: Path
    quantifier: str
    variable: str
    body: Node | None


@dataclass(frozen=True)
class Not:
    """``not expr``."""

    body: Node


@dataclass(frozen=True)
class Logic:
    """``left and right`` or ``left or right``."""

    op: str
    left: Node
    right: Node


Node = Compare | In | Call | Lambda | Not | Logic

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
_COMPARISONS = frozenset({"eq", "ne", "gt", "ge", "lt", "le"})
_FUNCTIONS = frozenset({"startswith", "endswith", "contains"})
_WORDS: dict[str, Scalar] = {"true": True, "false": False, "null": None}


def parse_filter(text: str) -> Node:
    """The tree of a filter.

    :raises GraphError: 400 ``BadRequest`` with the position of the fault.
    """
    return _Parser(text).parse()


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[tuple[str, str, int]] = []
        position = 0
        end = len(text.rstrip())
        while position < end:
            match = _TOKEN.match(text, position)
            if match is None or match.lastgroup is None:
                self._fail(position)
            self.tokens.append((match.lastgroup, match.group(match.lastgroup), match.start(match.lastgroup)))
            position = match.end()
        self.at = 0
        self.depth = 0
        self.clauses = 0

    def _fail(self, position: int) -> NoReturn:
        raise malformed(f"Invalid filter clause: Syntax error at position {position} in '{self.text}'.")

    def _peek(self, ahead: int = 0) -> tuple[str, str, int]:
        index = self.at + ahead
        return self.tokens[index] if index < len(self.tokens) else ("end", "", len(self.text))

    def _next(self) -> tuple[str, str, int]:
        token = self._peek()
        self.at += 1
        return token

    def _is_word(self, word: str) -> bool:
        kind, text, _ = self._peek()
        return kind == "name" and text.lower() == word

    def _expect(self, mark: str) -> None:
        kind, text, position = self._next()
        if (kind, text) != ("mark", mark):
            self._fail(position)

    def parse(self) -> Node:
        node = self._or()
        if self._peek()[0] != "end":
            self._fail(self._peek()[2])
        return node

    def _or(self) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise malformed("Invalid filter clause: The node count limit has been exceeded.")
        node = self._and()
        while self._is_word("or"):
            self._next()
            node = Logic("or", node, self._and())
        self.depth -= 1
        return node

    def _and(self) -> Node:
        node = self._unary()
        while self._is_word("and"):
            self._next()
            node = Logic("and", node, self._unary())
        return node

    def _unary(self) -> Node:
        negations = 0
        while self._is_word("not"):
            self._next()
            negations += 1
        if negations > MAX_DEPTH:
            raise malformed("Invalid filter clause: The node count limit has been exceeded.")
        self.clauses += 1
        if self.clauses > MAX_CLAUSES:
            raise malformed("Invalid filter clause: The node count limit has been exceeded.")
        node = self._primary()
        for _ in range(negations):
            node = Not(node)
        return node

    def _primary(self) -> Node:
        kind, text, position = self._peek()
        if (kind, text) == ("mark", "("):
            self._next()
            node = self._or()
            self._expect(")")
            return node
        if kind != "name":
            self._fail(position)
        if self._peek(1)[:2] == ("mark", "(") and text.lower() in _FUNCTIONS:
            return self._function()
        path = self._path()
        if isinstance(path, Lambda):
            return path
        return self._comparison(path)

    def _function(self) -> Node:
        name = self._next()[1].lower()
        self._expect("(")
        path = self._path()
        if isinstance(path, Lambda):
            self._fail(self._peek()[2])
        self._expect(",")
        position = self._peek()[2]
        argument = self._literal()
        if not isinstance(argument.value, str):
            self._fail(position)
        self._expect(")")
        node: Node = Call(name, path, argument.value)
        if self._is_word("eq") and self._peek(1)[1].lower() in ("true", "false"):
            self._next()
            node = node if self._next()[1].lower() == "true" else Not(node)
        return node

    def _path(self) -> Path | Lambda:
        names: list[str] = []
        while True:
            kind, text, position = self._next()
            if kind != "name":
                self._fail(position)
            if names and text.lower() in ("any", "all") and self._peek()[:2] == ("mark", "("):
                return self._lambda(Path(tuple(names)), text.lower())
            names.append(text)
            if self._peek()[:2] != ("mark", "/"):
                return Path(tuple(names))
            self._next()

    def _lambda(self, path: Path, quantifier: str) -> Lambda:
        self._expect("(")
        if self._peek()[:2] == ("mark", ")") and quantifier == "any":
            self._next()
            return Lambda(path, quantifier, "", None)
        kind, variable, position = self._next()
        if kind != "name":
            self._fail(position)
        self._expect(":")
        body = self._or()
        self._expect(")")
        return Lambda(path, quantifier, variable, body)

    def _comparison(self, path: Path) -> Node:
        kind, text, position = self._next()
        op = text.lower()
        if kind == "name" and op == "in":
            self._expect("(")
            values = [self._literal()]
            while self._peek()[:2] == ("mark", ","):
                self._next()
                values.append(self._literal())
            self._expect(")")
            return In(path, tuple(values))
        if kind != "name" or op not in _COMPARISONS:
            self._fail(position)
        return Compare(path, op, self._literal())

    def _literal(self) -> Literal:
        kind, text, position = self._next()
        if kind == "string":
            return Literal(text[1:-1].replace("''", "'"))
        if kind == "guid":
            return Literal(text, guid=True)
        if kind == "number":
            return Literal(float(text) if "." in text else int(text))
        if kind == "moment":
            return self._moment(text, position)
        if kind != "name" or text.lower() not in _WORDS:
            self._fail(position)
        return Literal(_WORDS[text.lower()])

    def _moment(self, text: str, position: int) -> Literal:
        try:
            return Literal(parse_moment(text))
        except ValueError:
            self._fail(position)
