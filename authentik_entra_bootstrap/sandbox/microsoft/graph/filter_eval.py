"""OData ``$filter``: whether the directory serves it, and which objects it fits."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from authentik_entra_bootstrap.sandbox.microsoft.graph.errors import malformed, unsupported_query
from authentik_entra_bootstrap.sandbox.microsoft.graph.filter_syntax import (
    Call,
    Compare,
    In,
    Lambda,
    Literal,
    Logic,
    Node,
    Not,
    Path,
    Scalar,
)
from authentik_entra_bootstrap.sandbox.microsoft.graph.model import COMPLEX, EntityType
from authentik_entra_bootstrap.sandbox.microsoft.graph.values import parse_moment

_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
}
MAX_ALTERNATIVES = 15
"""Clauses joined by ``or``, or values of one ``in``, that the directory takes."""
_CLAUSE = "Invalid filter clause: "
_WITHOUT_HEADER = frozenset({"eq", "ge", "le"})
_EDM = {"str": "String", "guid": "Guid", "bool": "Boolean", "int": "Int32", "time": "DateTimeOffset"}
"""Kinds whose literals have a form of their own: OData converts none of them into another."""
_OPERATOR_KINDS = {
    "eq": "Equal",
    "ne": "NotEqual",
    "gt": "GreaterThan",
    "ge": "GreaterThanOrEqual",
    "lt": "LessThan",
    "le": "LessThanOrEqual",
}


def check_filter(node: Node, entity: EntityType, *, advanced: bool) -> None:
    """Refuse what the directory does not serve.

    :param advanced: the request has ``ConsistencyLevel: eventual`` and ``$count=true``.
    :raises GraphError: ``BadRequest`` for unknown properties and mismatched types,
        ``Request_UnsupportedQuery`` for operators and properties that cannot be filtered (so).
    """
    alternatives = _alternatives(node)
    if alternatives > MAX_ALTERNATIVES:
        raise unsupported_query(
            "Too many child clauses specified in search filter expression containing 'OR' operators: "
            f"{alternatives}. Max allowed: {MAX_ALTERNATIVES}."
        )
    _Check(entity, advanced).visit(node, None)


def _alternatives(node: Node) -> int:
    if isinstance(node, Logic):
        left, right = _alternatives(node.left), _alternatives(node.right)
        return left + right if node.op == "or" else max(left, right)
    return len(node.values) if isinstance(node, In) else 1


class _Check:
    def __init__(self, entity: EntityType, advanced: bool) -> None:
        self.entity = entity
        self.advanced = advanced

    def visit(self, node: Node, variable: tuple[str, str] | None) -> None:
        """``variable``: name of the enclosing lambda's variable and kind of its items."""
        if isinstance(node, Logic):
            self.visit(node.left, variable)
            self.visit(node.right, variable)
        elif isinstance(node, Not):
            self._needs_advanced(self.entity.name)
            self.visit(node.body, variable)
        elif isinstance(node, Lambda):
            self._lambda(node)
        else:
            kind = self._kind(node.path, variable)
            if isinstance(node, Compare):
                self._compare(node, kind)
            elif isinstance(node, Call):
                self._call(node, kind)

    def _lambda(self, node: Lambda) -> None:
        kind = self._kind(node.path, None)
        if not kind.startswith("["):
            raise malformed(
                "Invalid filter clause: Any/All may only be used following a collection: "
                f"'{'/'.join(node.path.names)}'."
            )
        if node.quantifier == "all" or node.body is None:
            self._needs_advanced(node.path.names[0])
        if node.body is not None:
            self.visit(node.body, (node.variable, kind[1:-1]))

    def _compare(self, node: Compare, kind: str) -> None:
        if node.op not in _WITHOUT_HEADER or node.path.names[-1] == "$count":
            self._needs_advanced(node.path.names[0])
        given = _edm(node.value)
        if given is not None and kind in _EDM and given != _EDM[kind]:
            raise malformed(
                "Invalid filter clause: A binary operator with incompatible types was detected. Found operand types "
                f"'Edm.{_EDM[kind]}' and 'Edm.{given}' for operator kind '{_OPERATOR_KINDS[node.op]}'."
            )
        if kind.startswith("["):
            raise unsupported_query(self._clause(node.path.names[0]))

    def _call(self, node: Call, kind: str) -> None:
        if node.name == "contains" or kind not in ("str", "guid"):
            raise unsupported_query(self._clause(node.path.names[0]))
        if node.name == "endswith":
            self._needs_advanced(node.path.names[0])

    def _kind(self, path: Path, variable: tuple[str, str] | None) -> str:
        names = path.names
        if variable is not None and names[0] == variable[0]:
            kind, names = variable[1], names[1:]
        elif len(names) == 2 and names[1] == "$count" and names[0] in self.entity.relations:
            return "int"
        else:
            first = spelling(names[0], self.entity.props)
            if first is None:
                raise unknown_property(names[0], self.entity, _CLAUSE)
            if first not in self.entity.filterable:
                raise unsupported_query(self._clause(first))
            kind, names = self.entity.props[first], names[1:]
        for name in names:
            inner = COMPLEX.get(kind.strip("@!"), {}) if kind.startswith("@") else {}
            known = spelling(name, inner)
            if known is None:
                raise unknown_property(name, self.entity, _CLAUSE)
            kind = inner[known]
        return kind.rstrip("!")

    def _needs_advanced(self, name: str) -> None:
        if not self.advanced:
            raise unsupported_query(self._clause(name))

    def _clause(self, name: str) -> str:
        return (
            f"Unsupported or invalid query filter clause specified for property '{name}' of resource "
            f"'{self.entity.label}'."
        )


def spelling(name: str, known: Iterable[str]) -> str | None:
    """A name as the model or an object spells it, whatever its case; ``None`` where it has no such name."""
    return next((item for item in known if item.casefold() == name.casefold()), None)


def _edm(literal: Literal) -> str | None:
    """The type that a literal's form gives it; ``None`` for null, which fits every type."""
    value = literal.value
    if value is None:
        return None
    if isinstance(value, bool):
        return "Boolean"
    if isinstance(value, int):
        return "Int32"
    if isinstance(value, float):
        return "Double"
    if isinstance(value, datetime):
        return "DateTimeOffset"
    return "Guid" if literal.guid else "String"


def unknown_property(name: str, entity: EntityType, clause: str = "") -> Exception:
    """400 for a property a query names and the type does not have.

    :param clause: begins the message: what could not be read.
    """
    return malformed(
        f"{clause}Could not find a property named '{name}' on type 'microsoft.graph.{entity.name}'."
    )


def matches(node: Node, value: dict[str, Any], relations: dict[str, str] | None = None) -> bool:
    """Whether an object (with its private lists) fits a filter.

    :param relations: navigation property to the private list that ``$count`` counts.
    """
    return _holds(node, value, {}, relations or {})


def _holds(node: Node, value: dict[str, Any], scope: dict[str, Any], relations: dict[str, str]) -> bool:
    if isinstance(node, Logic):
        if node.op == "and":
            return _holds(node.left, value, scope, relations) and _holds(node.right, value, scope, relations)
        return _holds(node.left, value, scope, relations) or _holds(node.right, value, scope, relations)
    if isinstance(node, Not):
        return not _holds(node.body, value, scope, relations)
    actual = _read(node.path, value, scope, relations)
    if isinstance(node, Lambda):
        items = actual if isinstance(actual, list) else []
        body = node.body
        if body is None:
            return bool(items)
        results = (_holds(body, value, {**scope, node.variable: item}, relations) for item in items)
        return all(results) if node.quantifier == "all" else any(results)
    if isinstance(node, In):
        return any(_compare("eq", actual, literal) for literal in node.values)
    if isinstance(node, Call):
        return _text_call(node, actual)
    return _compare(node.op, actual, node.value)


def _read(path: Path, value: dict[str, Any], scope: dict[str, Any], relations: dict[str, str]) -> Any:
    names = path.names
    if names[-1] == "$count" and names[0] in relations:
        return len(value.get(relations[names[0]], ()))
    current: Any = value
    if names[0] in scope:
        current, names = scope[names[0]], names[1:]
    for name in names:
        if not isinstance(current, dict):
            return None
        current = current.get(spelling(name, current) or name)
    return current


def _text_call(node: Call, actual: object) -> bool:
    if not isinstance(actual, str):
        return False
    text, part = actual.casefold(), node.text.casefold()
    if node.name == "startswith":
        return text.startswith(part)
    return text.endswith(part) if node.name == "endswith" else part in text


def _compare(op: str, actual: object, literal: Literal) -> bool:
    wanted = literal.value
    if op in ("eq", "ne"):
        return _equal(actual, wanted) is (op == "eq")
    if actual is None or wanted is None:
        return False
    left, right = _comparable(actual, wanted)
    try:
        return bool(_ORDER[op](left, right))
    except TypeError:
        return False


def _equal(actual: object, wanted: Scalar) -> bool:
    if actual is None or wanted is None:
        return actual is wanted
    if isinstance(actual, bool) or isinstance(wanted, bool):
        return actual is wanted
    left, right = _comparable(actual, wanted)
    return bool(left == right)


def _comparable(actual: object, wanted: object) -> tuple[Any, Any]:
    """Both sides in one form: the directory compares text without letter case."""
    if isinstance(wanted, datetime):
        try:
            return (parse_moment(actual) if isinstance(actual, str) else actual), wanted
        except ValueError:
            return actual, wanted
    if isinstance(actual, str) and isinstance(wanted, str):
        return actual.casefold(), wanted.casefold()
    return actual, wanted
