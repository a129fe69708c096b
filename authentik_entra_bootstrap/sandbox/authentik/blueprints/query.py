"""Finding objects by what blueprints say of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from authentik_entra_bootstrap.sandbox.authentik.blueprints.document import EntryInvalidError
from authentik_entra_bootstrap.sandbox.authentik.rest.model import Model
from authentik_entra_bootstrap.sandbox.authentik.state import Record

_TEXT_TESTS: dict[str, Callable[[str, str], bool]] = {
    "exact": lambda left, right: left == right,
    "contains": lambda left, right: right in left,
    "startswith": lambda left, right: left.startswith(right),
    "endswith": lambda left, right: left.endswith(right),
}


class FieldError(Exception):
    """A lookup names a field that the model does not have; the text is Django's."""


def columns(model: Model) -> set[str]:
    """Names by which rows of the model can be found."""
    names = {"pk", "id", model.table.key} | {field.column for field in model.serializer.fields.values()}
    names |= set(model.extra) | set(model.serializer.fields)
    for row in model.rows():
        names |= {name for name in row if not name.startswith("_")}
    return names


def matches(model: Model, row: Record, lookup: str, wanted: Any) -> bool:
    """Whether a row satisfies one Django lookup (``name``, ``name__iexact``, ``attributes__key``).

    :raises FieldError: for a field that does not exist.
    """
    name, *rest = lookup.split("__")
    known = columns(model)
    if name not in known:
        choices = ", ".join(sorted(known))
        raise FieldError(f"Cannot resolve keyword '{name}' into field. Choices are: {choices}")
    value = row.get(model.table.key) if name in {"pk", "id"} and name not in row else row.get(name)
    while rest and isinstance(value, dict) and rest[0] in value:
        value = value[rest.pop(0)]
    return _test(rest[0] if rest else "exact", value, wanted)


def _test(operation: str, value: Any, wanted: Any) -> bool:
    if operation == "isnull":
        return (value is None) == bool(wanted)
    if operation == "in":
        return any(_same(value, item) for item in wanted)
    if isinstance(value, dict) or isinstance(wanted, dict):
        return _contained(value, wanted) if operation == "contains" else bool(value == wanted)
    if isinstance(value, list):
        # A relation to many: one of them is meant.
        return any(_same(item, wanted) for item in value)
    if operation == "exact":
        return _same(value, wanted)
    left, right = str(value), str(wanted)
    if operation.startswith("i"):
        left, right, operation = left.lower(), right.lower(), operation[1:]
    if operation not in _TEXT_TESTS:
        raise FieldError(f"Unsupported lookup '{operation}'")
    return value is not None and _TEXT_TESTS[operation](left, right)


def _same(value: Any, wanted: Any) -> bool:
    if value is None or wanted is None or isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    if isinstance(value, int) or isinstance(wanted, int):
        return str(value) == str(wanted)
    if value == wanted:
        return True
    # Keys may be written with or without dashes.
    left, right = str(value).replace("-", ""), str(wanted).replace("-", "")
    return len(left) == len(right) == 32 and left.lower() == right.lower()


def _contained(value: Any, wanted: Any) -> bool:
    if not (isinstance(value, dict) and isinstance(wanted, dict)):
        return bool(value == wanted)
    return all(key in value and _contained(value[key], item) for key, item in wanted.items())


def by_identifiers(model: Model, identifiers: dict[str, Any]) -> Record | None:
    """The first row with this primary key, or with all the other identifiers.

    :raises EntryInvalidError: without identifiers, or for a field that does not exist.
    """
    others = {key: value for key, value in identifiers.items() if key != "pk"}
    if not identifiers:
        raise EntryInvalidError("No or invalid identifiers")
    try:
        for row in model.rows():
            if "pk" in identifiers and _same(row[model.table.key], identifiers["pk"]):
                return row
            if others and all(_identified(model, row, key, value) for key, value in others.items()):
                return row
        for key in others:
            matches(model, {}, key, None)
    except FieldError as exc:
        raise EntryInvalidError(f"Invalid identifier field: {exc}") from exc
    return None


def _identified(model: Model, row: Record, key: str, value: Any) -> bool:
    lookup = f"{key}__contains" if isinstance(value, dict) else key
    return matches(model, row, lookup, value)
