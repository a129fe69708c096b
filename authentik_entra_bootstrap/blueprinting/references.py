"""What a blueprint expects to find on the server: every ``!Find`` that its context leads to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from authentik_entra_bootstrap.blueprinting.yaml_tags import Tag

_UNKNOWN = object()


@dataclass(frozen=True)
class Reference:
    """One object that must exist.

    :param model: ``authentik_core.group``.
    :param conditions: field and value.
    """

    model: str
    conditions: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        wanted = ", ".join(f"{field} {value!r}" for field, value in self.conditions)
        return f"{self.model.rpartition('.')[2]} with {wanted}"


def references(document: Mapping[str, Any], values: Mapping[str, object]) -> tuple[Reference, ...]:
    """Every object that the attributes of its entries refer to by ``!Find``, as far as the context tells.

    Conditions are left out: there a ``!Find`` that finds nothing is an answer. So is what the blueprint makes itself.

    :param values: context that is given besides the document's own, and wins.
    """
    context = {**(document.get("context") or {}), **values}
    found: dict[Reference, None] = {}
    for entry in document.get("entries") or ():
        for part in ("identifiers", "attrs"):
            found.update(dict.fromkeys(_in(entry.get(part), context, ())))
    made = {
        (str(entry.get("model")), str(field), str(_value(value, context, ())))
        for entry in document.get("entries") or ()
        for field, value in (entry.get("identifiers") or {}).items()
    }
    return tuple(item for item in found if not {(item.model, *pair) for pair in item.conditions} <= made)


def _in(value: Any, context: Mapping[str, Any], loops: tuple[Any, ...]) -> Iterator[Reference]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _in(inner, context, loops)
    elif isinstance(value, list):
        for inner in value:
            yield from _in(inner, context, loops)
    elif isinstance(value, Tag):
        yield from _in_tag(value, context, loops)


def _in_tag(tag: Tag, context: Mapping[str, Any], loops: tuple[Any, ...]) -> Iterator[Reference]:
    parts = tag.arguments
    if tag.name in {"!Find", "!FindObject"}:
        known = _reference(parts, context, loops)
        if known is not None:
            yield known
    elif tag.name == "!If" and len(parts) == 3:
        chosen = _value(parts[0], context, loops)
        if isinstance(parts[0], Tag) and parts[0].name == "!Find":
            # "If there is one, that one": it is the same reference.
            yield from _in(parts[0], context, loops)
        elif chosen is not _UNKNOWN:
            yield from _in(parts[1] if chosen else parts[2], context, loops)
    elif tag.name == "!Enumerate" and len(parts) == 3:
        items = _value(parts[0], context, loops)
        for item in items if isinstance(items, list) else ():
            yield from _in(parts[2], context, (item, *loops))
    elif tag.name == "!Context":
        yield from _in(_context(parts, context), context, loops)
    else:
        yield from _in(parts, context, loops)


def _reference(parts: list[Any], context: Mapping[str, Any], loops: tuple[Any, ...]) -> Reference | None:
    pairs = [
        (_value(pair[0], context, loops), _value(pair[1], context, loops))
        for pair in parts[1:]
        if isinstance(pair, list) and len(pair) == 2
    ]
    model = _value(parts[0], context, loops)
    if not pairs or model is _UNKNOWN or any(_UNKNOWN in pair for pair in pairs):
        return None
    return Reference(str(model), tuple((str(field), str(value)) for field, value in pairs))


def _value(value: Any, context: Mapping[str, Any], loops: tuple[Any, ...]) -> Any:
    """The value as far as it is known here; ``_UNKNOWN`` where only the server knows."""
    if not isinstance(value, Tag):
        return value
    if value.name == "!Context":
        return _value(_context(value.arguments, context), context, loops)
    if value.name == "!Value" and str(value.value).isdigit() and int(value.value) < len(loops):
        return loops[int(value.value)]
    if value.name == "!Format":
        text, *inner = [_value(part, context, loops) for part in value.arguments]
        return _UNKNOWN if _UNKNOWN in inner else str(text) % tuple(inner)
    return _UNKNOWN


def _context(parts: list[Any], context: Mapping[str, Any]) -> Any:
    return context.get(parts[0], parts[1] if len(parts) > 1 else None)
