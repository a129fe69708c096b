"""Blueprints as data: reading them from YAML, and the entries with the state that each asks for."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from authentik_entra_bootstrap.sandbox.authentik.blueprints.tags import TAGS, Tag, UnreadableError
from authentik_entra_bootstrap.sandbox.authentik.blueprints.values import merge


class Desired(enum.Enum):
    """The state that an entry asks for."""

    ABSENT = "absent"
    PRESENT = "present"
    CREATED = "created"
    MUST_CREATED = "must_created"


@dataclass
class Entry:
    """One object of a blueprint. Values may hold tags until they are resolved."""

    model: Any
    state: Any = Desired.PRESENT
    conditions: list[Any] = field(default_factory=list)
    identifiers: dict[str, Any] = field(default_factory=dict)
    attrs: dict[str, Any] = field(default_factory=dict)
    id: str | None = None
    instance: Any = None
    """Primary key of the object once it is applied; what ``!KeyOf`` finds."""


@dataclass
class Blueprint:
    """A whole blueprint; named sections of entries are joined to one list."""

    version: int = 1
    entries: list[Entry] = field(default_factory=list)
    context: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] | None = None


class BlueprintLoader(yaml.SafeLoader):
    """A safe loader that knows authentik's tags."""


def _constructor(name: str) -> Callable[[yaml.SafeLoader, yaml.Node], Tag]:
    def construct(loader: yaml.SafeLoader, node: yaml.Node) -> Tag:
        if isinstance(node, yaml.ScalarNode):
            return Tag(name, [loader.construct_scalar(node)])
        if isinstance(node, yaml.SequenceNode):
            return Tag(name, [loader.construct_object(item, deep=True) for item in node.value])
        raise UnreadableError(f"{node.tag} takes no mapping")

    return construct


for _name in TAGS:
    BlueprintLoader.add_constructor(f"!{_name}", _constructor(_name))


def parse(
    content: str, context: dict[str, Any] | None = None, defaults: dict[str, Any] | None = None
) -> Blueprint:
    """Read a blueprint.

    :param context: of the instance; wins over the blueprint's own ``context``.
    :param defaults: names that authentik itself adds to the context.
    :raises UnreadableError: for YAML errors, unknown tags and wrong structure.
    """
    try:
        raw = yaml.load(content, Loader=BlueprintLoader)  # a subclass of SafeLoader
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as exc:
        # Unhashable keys and the like: the real one crashes on them as well.
        raise UnreadableError(str(exc)) from exc
    blueprint = _blueprint(raw)
    blueprint.context = merge(merge(dict(defaults or {}), blueprint.context), context or {})
    return blueprint


def _blueprint(raw: Any) -> Blueprint:
    document = _mapping(raw, "a blueprint")
    entries = document.get("entries", [])
    if isinstance(entries, Mapping):
        entries = [item for items in entries.values() for item in _list(items, "a section")]
    version = document.get("version", 1)
    if not isinstance(version, int):
        raise UnreadableError("version must be a number")
    metadata = document.get("metadata")
    if metadata is not None:
        if not isinstance(_mapping(metadata, "metadata").get("name"), str):
            raise UnreadableError("metadata needs a name")
        metadata = {"name": metadata["name"], "labels": _mapping(metadata.get("labels", {}), "labels")}
    context = _mapping(document.get("context", {}), "context")
    return Blueprint(version, [_entry(item) for item in _list(entries, "entries")], context, metadata)


def _entry(raw: Any) -> Entry:
    item = _mapping(raw, "an entry")
    if "model" not in item:
        raise UnreadableError("an entry needs a model")
    if item.get("permissions"):
        raise UnreadableError("the sandbox grants no permissions with an entry: use a role's attribute")
    state = item.get("state", Desired.PRESENT)
    if isinstance(state, str):
        try:
            state = Desired(state)
        except ValueError:
            raise UnreadableError(f"{state!r} is not a state") from None
    identifier = item.get("id")
    return Entry(
        model=item["model"],
        state=state,
        conditions=_list(item.get("conditions", []), "conditions"),
        identifiers=_mapping(item.get("identifiers", {}), "identifiers"),
        attrs=_mapping(item.get("attrs") or {}, "attrs"),
        id=None if identifier is None else str(identifier),
    )


def _mapping(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise UnreadableError(f"{what} must be a mapping")
    return dict(value)


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise UnreadableError(f"{what} must be a list")
    return value
