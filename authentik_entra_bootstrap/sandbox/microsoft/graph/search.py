"""``$search``: clauses in double quotes, joined by ``AND`` and ``OR``, as Microsoft Graph documents them.

Display names and descriptions are searched by their words; any other property by how it begins.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

from authentik_entra_bootstrap.sandbox.microsoft.graph.errors import (
    bad_request,
    malformed,
    unsupported_query,
)
from authentik_entra_bootstrap.sandbox.microsoft.graph.model import EntityType
from authentik_entra_bootstrap.sandbox.store import Object

BY_WORDS = frozenset({"displayName", "description"})
"""Properties whose values are split into words."""
MAX_DEPTH = 60
"""Nesting that is still read."""
_TOKEN = re.compile(r'\s*(?:(?P<clause>"(?:[^"\\]|\\.)*")|(?P<word>AND|OR)\b|(?P<mark>[()]))')
_CLAUSE = re.compile(r"(\w+):(.*)\Z", re.DOTALL)
_WORD = re.compile(r"[^\W\d_]+|\d+")
_CASE = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True)
class Clause:
    """``"property:text"``."""

    name: str
    text: str


@dataclass(frozen=True)
class Joined:
    """Clauses of which all (``AND``) or any (``OR``) must fit."""

    op: str
    parts: tuple[Search, ...]


Search = Clause | Joined


def parse_search(text: str, entity: EntityType) -> Search:
    """The tree of a ``$search``.

    :raises GraphError: 400 for what is no search, or of a property that cannot be searched.
    """
    return _Parser(text, entity).parse()


class _Parser:
    def __init__(self, text: str, entity: EntityType) -> None:
        self.text = text
        self.entity = entity
        self.at = 0
        self.depth = 0

    def _fail(self) -> NoReturn:
        """The first character that can stand in no bare word either is the one that is named."""
        odd = re.compile(r"[^\s\w]").search(self.text, self.at)
        position = odd.start() if odd else len(self.text.rstrip())
        char = self.text[position : position + 1]
        raise bad_request(
            f"Syntax error: character '{char}' is not valid at position {position} in '{self.text}'."
        )

    def _take(self, kind: str, *wanted: str) -> str | None:
        """The next token when it is of a kind (and one of the wanted ones)."""
        match = _TOKEN.match(self.text, self.at)
        if match is None or match.lastgroup != kind or (wanted and match.group(kind) not in wanted):
            return None
        self.at = match.end()
        return str(match.group(kind))

    def parse(self) -> Search:
        found = self._joined("OR")
        if self.text[self.at :].strip():
            self._fail()
        return found

    def _joined(self, op: str) -> Search:
        """``AND`` binds more than ``OR``."""
        parts = [self._part(op)]
        while self._take("word", op):
            parts.append(self._part(op))
        return parts[0] if len(parts) == 1 else Joined(op, tuple(parts))

    def _part(self, op: str) -> Search:
        return self._joined("AND") if op == "OR" else self._primary()

    def _primary(self) -> Search:
        if self._take("mark", "("):
            self.depth += 1
            if self.depth > MAX_DEPTH:
                raise malformed("Invalid search clause: The node count limit has been exceeded.")
            found = self._joined("OR")
            if not self._take("mark", ")"):
                self._fail()
            self.depth -= 1
            return found
        quoted = self._take("clause")
        match = _CLAUSE.match(re.sub(r"\\(.)", r"\1", quoted[1:-1])) if quoted else None
        if match is None:
            self._fail()
        name = match.group(1)
        if name not in self.entity.filterable or self.entity.props[name] not in ("str", "[str]"):
            raise unsupported_query(f"Property '{name}' does not support $search.")
        return Clause(name, match.group(2))


def found_by(search: Search, value: Object) -> bool:
    """Whether an object fits a search."""
    if isinstance(search, Joined):
        results = (found_by(part, value) for part in search.parts)
        return all(results) if search.op == "AND" else any(results)
    given = value.get(search.name)
    texts = [str(item) for item in (given if isinstance(given, list) else [given]) if item]
    if search.name in BY_WORDS:
        return any(_has_words(text, search.text) for text in texts)
    return any(text.casefold().startswith(search.text.casefold()) for text in texts)


def _has_words(text: str, wanted: str) -> bool:
    """Whether each word that is wanted begins one of the text's, in any order.

    Words that only a symbol or a change of case parts count as one word, too.
    """
    known = {*_words(text), *(re.sub(r"[\W_]", "", part).casefold() for part in text.split())}
    asked = _words(wanted)
    return bool(asked) and all(any(word.startswith(part) for word in known) for part in asked)


def _words(text: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(_CASE.sub(" ", text))]
