"""Blueprints as data: entries, their wanted state, and reading them from YAML."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


class EntryInvalidError(Exception):
    """An entry cannot be applied; its text ends up in the log line "Entry invalid: …"."""


class UnreadableError(Exception):
    """The content is no blueprint at all: YAML errors, unknown tags, wrong structure."""


class Desired(enum.Enum):
    """The state that an entry asks for."""

    ABSENT = "absent"
    PRESENT = "present"
    CREATED = "created"
    MUST_CREATED = "must_created"


@dataclass(frozen=True)
class Permission:
    """One object permission to grant with an entry; each part may be a tag."""

    permission: Any
    user: Any = None
    role: Any = None


@dataclass
class Entry:
    """One object of a blueprint. Values may hold tags until they are resolved."""

    model: Any
    state: Any = Desired.PRESENT
    conditions: list[Any] = field(default_factory=list)
    identifiers: dict[str, Any] = field(default_factory=dict)
    attrs: dict[str, Any] | None = field(default_factory=dict)
    permissions: list[Permission] = field(default_factory=list)
    id: str | None = None
    instance: Any = None
    """Primary key of the object once it is applied; what ``!KeyOf`` finds."""


@dataclass
class Blueprint:
    """A whole blueprint. ``sections`` keeps the form with named lists of entries."""

    version: int = 1
    entries: list[Entry] = field(default_factory=list)
    context: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] | None = None

    def entry_called(self, entry_id: str) -> Iterator[Entry]:
        """Entries with this ``id`` that have been applied."""
        return (entry for entry in self.entries if entry.id == entry_id and entry.instance is not None)


def from_mapping(raw: Any, *, sections: bool = True) -> Blueprint:
    """Check the structure of a loaded document.

    :param sections: whether ``entries`` may be a mapping of names to lists (since 2025.12).
    :raises UnreadableError: when it is none of a blueprint's.
    """
    document = _mapping(raw, "a blueprint")
    entries = document.get("entries", [])
    if isinstance(entries, Mapping) and sections:
        flat = [item for items in entries.values() for item in _list(items, "a section")]
    else:
        flat = _list(entries, "entries")
    version = document.get("version", 1)
    if not isinstance(version, int):
        raise UnreadableError("version must be a number")
    metadata = document.get("metadata")
    if metadata is not None:
        metadata = dict(_mapping(metadata, "metadata"))
        if not isinstance(metadata.get("name"), str):
            raise UnreadableError("metadata needs a name")
        metadata = {"name": metadata["name"], "labels": dict(_mapping(metadata.get("labels", {}), "labels"))}
    context = dict(_mapping(document.get("context", {}), "context"))
    return Blueprint(version, [_entry(item) for item in flat], context, metadata)


def _entry(raw: Any) -> Entry:
    item = _mapping(raw, "an entry")
    if "model" not in item:
        raise UnreadableError("an entry needs a model")
    state = item.get("state", Desired.PRESENT)
    if isinstance(state, str):
        try:
            state = Desired(state)
        except ValueError:
            raise UnreadableError(f"{state!r} is not a state") from None
    attrs = item.get("attrs", {})
    identifier = item.get("id")
    return Entry(
        model=item["model"],
        state=state,
        conditions=_list(item.get("conditions", []), "conditions"),
        identifiers=dict(_mapping(item.get("identifiers", {}), "identifiers")),
        attrs=None if attrs is None else dict(_mapping(attrs, "attrs")),
        permissions=[_permission(one) for one in _list(item.get("permissions", []), "permissions")],
        id=None if identifier is None else str(identifier),
    )


def _permission(raw: Any) -> Permission:
    item = _mapping(raw, "a permission")
    if "permission" not in item:
        raise UnreadableError("a permission needs its name")
    return Permission(item["permission"], item.get("user"), item.get("role"))


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise UnreadableError(f"{what} must be a mapping")
    return value


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise UnreadableError(f"{what} must be a list")
    return value
