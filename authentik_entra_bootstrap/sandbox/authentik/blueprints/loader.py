"""Reading blueprints from YAML."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import yaml

from authentik_entra_bootstrap.sandbox.authentik.blueprints import tags
from authentik_entra_bootstrap.sandbox.authentik.blueprints.document import (
    Blueprint,
    UnreadableError,
    from_mapping,
)
from authentik_entra_bootstrap.sandbox.authentik.blueprints.tags import Tag

TAGS: dict[str, type[Tag]] = {
    f"!{cls.__name__}": cls
    for cls in (
        tags.AtIndex,
        tags.Condition,
        tags.Context,
        tags.Enumerate,
        tags.Env,
        tags.File,
        tags.Find,
        tags.FindObject,
        tags.Format,
        tags.If,
        tags.Index,
        tags.KeyOf,
        tags.ParseJSON,
        tags.Value,
    )
}
"""By name in YAML."""


class BlueprintLoader(yaml.SafeLoader):
    """A safe loader that knows authentik's tags."""


def _constructor(cls: type[Tag]) -> Callable[[yaml.SafeLoader, yaml.Node], Tag]:
    def construct(loader: yaml.SafeLoader, node: yaml.Node) -> Tag:
        if isinstance(node, yaml.ScalarNode):
            return cls([loader.construct_scalar(node)])
        if isinstance(node, yaml.SequenceNode):
            return cls([loader.construct_object(item, deep=True) for item in node.value])
        raise UnreadableError(f"{node.tag} takes no mapping")

    return construct


for _name, _cls in TAGS.items():
    BlueprintLoader.add_constructor(_name, _constructor(_cls))


def parse(
    content: str, context: dict[str, Any] | None = None, defaults: dict[str, Any] | None = None
) -> Blueprint:
    """Read a blueprint.

    :param context: of the instance; wins over the blueprint's own ``context``.
    :param defaults: names that authentik itself adds to the context.
    :raises UnreadableError: for YAML errors, unknown tags and wrong structure.
    """
    try:
        raw = yaml.load(content, Loader=BlueprintLoader)  # noqa: S506 - a subclass of SafeLoader
    except yaml.YAMLError as exc:
        raise UnreadableError(str(exc)) from exc
    except (ValueError, TypeError, RecursionError) as exc:
        # Unhashable keys and the like: the real one crashes on them as well.
        raise UnreadableError(str(exc)) from exc
    blueprint = from_mapping(raw)
    merged: dict[str, Any] = dict(defaults or {})
    for layer in (blueprint.context, context or {}):
        merged = _merged(merged, layer)
    blueprint.context = merged
    return blueprint


def _merged(base: Any, new: Any) -> Any:
    """Dicts by key, lists joined, anything else replaced; nothing that was given is changed."""
    if isinstance(base, dict) and isinstance(new, dict):
        result = dict(base)
        for key, value in new.items():
            result[key] = _merged(base[key], value) if key in base else copy.copy(value)
        return result
    if isinstance(base, list) and isinstance(new, list):
        return base + new
    return new
