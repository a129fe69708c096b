"""What is wrong with a blueprint, what it expects to find on the server, and what its importer refused.

authentik answers an unknown tag with an empty server error, and its validation does not look for secrets
in the file. Both are better found before anything is sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from authentik_entra_bootstrap.blueprinting import Tag, walk
from authentik_entra_bootstrap.errors import AdminActionRequired, AlreadyExists, BootstrapError, Conflict

TAGS: Mapping[str, tuple[int, int]] = {
    "!AtIndex": (2, 3),
    "!Condition": (2, 99),
    "!Context": (1, 2),
    "!Enumerate": (3, 3),
    "!Env": (1, 2),
    "!File": (1, 2),
    "!Find": (2, 99),
    "!FindObject": (2, 99),
    "!Format": (1, 99),
    "!If": (1, 3),
    "!Index": (1, 1),
    "!KeyOf": (1, 1),
    "!ParseJSON": (1, 1),
    "!Value": (1, 1),
}
"""authentik's tags with the least and the greatest number of values (its blueprint documentation)."""
_UNKNOWN = object()
STATES = frozenset({"present", "created", "must_created", "absent"})
META_APPLY = "authentik_blueprints.metaapplyblueprint"
_SECRET_FIELDS = re.compile(r"(?i)(?:secret|password|passwd|api_?key|private_?key)$")
_ENTRA_SECRET = re.compile(r"[A-Za-z0-9_~.-]{3}\dQ~[A-Za-z0-9_~.-]{31,34}")
"""Entra's client secrets: three characters, a digit, "Q~", then 31 to 34 more."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    :param code: ``unknown-tag``, ``malformed``, ``missing-identifiers``, ``unresolved``, ``missing-value``,
        ``secret``.
    :param where: place in the document, e.g. ``entries.0.attrs.client_id``.
    """

    code: str
    where: str
    what: str


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


def check(document: Mapping[str, Any], given: Iterable[str] = ()) -> tuple[Problem, ...]:
    """Everything that is wrong, in the order of the document.

    :param given: names of context values that will be given with it.
    """
    return tuple(_problems(document, {*given, *(document.get("context") or {})}))


def _problems(document: Mapping[str, Any], known: set[str]) -> Iterator[Problem]:
    if document.get("version") != 1:
        yield Problem("malformed", "version", "the version must be 1")
    metadata = document.get("metadata")
    if not isinstance(metadata, Mapping) or not isinstance(metadata.get("name"), str):
        yield Problem("malformed", "metadata", "a name is missing")
    entries = document.get("entries")
    if not isinstance(entries, list):
        yield Problem("malformed", "entries", "a list of entries is missing")
        return
    ids: set[str] = set()
    for index, entry in enumerate(entries):
        where = f"entries.{index}"
        if not isinstance(entry, Mapping) or not isinstance(entry.get("model"), str):
            yield Problem("malformed", where, "an entry needs a model")
            continue
        yield from _of_entry(entry, where)
        for place, value in walk(entry, where):
            yield from _of_value(place, value, known, ids)
        if entry.get("id") is not None:
            ids.add(str(entry["id"]))
    for place, value in walk(document.get("context") or {}, "context"):
        yield from _of_text(place, value)
        if isinstance(value, str) and value and _SECRET_FIELDS.search(place.rpartition(".")[2]):
            yield Problem("secret", place, "the file contains a secret")


def _of_entry(entry: Mapping[str, Any], where: str) -> Iterator[Problem]:
    identifiers = entry.get("identifiers")
    if entry["model"] != META_APPLY and not (isinstance(identifiers, Mapping) and identifiers):
        yield Problem("missing-identifiers", where, "without identifiers nothing can be found again")
    state = entry.get("state", "present")
    if not isinstance(state, Tag) and state not in STATES:
        yield Problem("malformed", f"{where}.state", f"{state!r} is no state")
    hidden = "key" if entry["model"] == "authentik_core.token" else None
    for part in ("identifiers", "attrs"):
        for place, value in walk(entry.get(part) or {}, f"{where}.{part}"):
            name = place.rpartition(".")[2]
            if isinstance(value, str) and value and (name == hidden or _SECRET_FIELDS.search(name)):
                yield Problem("secret", place, "the file contains a secret")


def _of_value(where: str, value: Any, known: set[str], ids: set[str]) -> Iterator[Problem]:
    if not isinstance(value, Tag):
        yield from _of_text(where, value)
        return
    limits = TAGS.get(value.name)
    if limits is None:
        yield Problem("unknown-tag", where, f"authentik knows no tag {value.name}")
        return
    parts = value.arguments
    if isinstance(value.value, Mapping) or not limits[0] <= len(parts) <= limits[1]:
        yield Problem("malformed", where, f"{value.name} takes {limits[0]} to {limits[1]} values")
        return
    if value.name in {"!Find", "!FindObject"} and not all(
        isinstance(pair, list) and len(pair) == 2 for pair in parts[1:]
    ):
        yield Problem("malformed", where, f"{value.name} takes pairs of field and value")
    elif value.name == "!If" and len(parts) == 2:
        yield Problem("malformed", where, "!If takes one value or three")
    elif value.name == "!KeyOf" and str(parts[0]) not in ids:
        yield Problem("unresolved", where, f"no earlier entry has the id {parts[0]!r}")
    elif value.name == "!Context" and len(parts) == 1 and parts[0] not in known:
        yield Problem("missing-value", where, f"the context has no {parts[0]!r}, and there is no default")


def _of_text(where: str, value: Any) -> Iterator[Problem]:
    if isinstance(value, str) and _ENTRA_SECRET.search(value):
        yield Problem("secret", where, "the file contains something that looks like a client secret")


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


def refusal(lines: Sequence[str]) -> BootstrapError:
    """What authentik's importer says when it refuses a blueprint, as one of our errors.

    The importer answers in log lines alone; there are no codes to go by (recorded imports of 2026.5).

    :param lines: its log lines, secrets redacted.
    """
    text = "; ".join(lines) or "it gave no reason"
    if "enterprise is required" in text.lower():
        return AdminActionRequired(
            "licence-required",
            "authentik has no valid enterprise licence; creating and saving the Microsoft Entra provider needs one.",
            "Install or renew the licence in authentik (Admin interface, Enterprise, Licenses).",
        )
    if "already exists" in text.lower() or "object exists already" in text.lower():
        return AlreadyExists(
            "blueprint-object-exists",
            f"The blueprint creates an object that already exists in authentik: {text}",
            "Run the same command again.",
        )
    return Conflict(
        "blueprint-refused",
        f"authentik refused the blueprint, and nothing of it was applied: {text}",
        "Correct the entries that the lines name. Secrets and attributes were removed from the lines.",
        facts={"lines": text},
    )
