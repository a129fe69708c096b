"""Helpers of authentik and Django for values: merging, slugs, lookups such as ``name__iexact``."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Any


def merge(base: Any, new: Any) -> Any:
    """Merge as authentik does, without changing either: dicts by key, lists joined, anything else replaced."""
    if isinstance(base, dict) and isinstance(new, dict):
        return {
            **base,
            **{key: merge(base[key], value) if key in base else value for key, value in new.items()},
        }
    if isinstance(base, list) and isinstance(new, list):
        return base + new
    return new


def slugify(value: object) -> str:
    """Django's ``slugify``: ASCII letters, digits, hyphens and underscores, lower case."""
    text = unicodedata.normalize("NFKD", str(value)).encode("ascii", "ignore").decode("ascii")
    text = re.sub(r"[^\w\s-]", "", text.lower())
    return re.sub(r"[-\s]+", "-", text).strip("-_")


TEXT_LOOKUPS: dict[str, Callable[[str, str], bool]] = {
    "exact": lambda left, right: left == right,
    "contains": lambda left, right: right in left,
    "startswith": lambda left, right: left.startswith(right),
    "endswith": lambda left, right: left.endswith(right),
}
LOOKUPS = frozenset({*TEXT_LOOKUPS, *(f"i{name}" for name in TEXT_LOOKUPS), "in", "isnull"})


def satisfies(value: Any, lookup: str, wanted: Any) -> bool:
    """Whether a value satisfies one of Django's :data:`LOOKUPS`; of a list one item has to be equal."""
    if lookup == "isnull":
        return (value is None) == bool(wanted)
    if lookup == "in":
        return any(same(value, item) for item in wanted)
    if isinstance(value, dict) or isinstance(wanted, dict):
        return contained(value, wanted) if lookup == "contains" else bool(value == wanted)
    if isinstance(value, list):
        return any(same(item, wanted) for item in value)
    if lookup == "exact":
        return same(value, wanted)
    left, right = str(value), str(wanted)
    if lookup.startswith("i"):
        left, right, lookup = left.lower(), right.lower(), lookup[1:]
    return value is not None and TEXT_LOOKUPS[lookup](left, right)


def same(value: Any, wanted: Any) -> bool:
    """Whether two values are equal; keys may be written with or without dashes."""
    if value is None or wanted is None or isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    left, right = str(value), str(wanted)
    if left == right:
        return True
    left, right = left.replace("-", "").lower(), right.replace("-", "").lower()
    return len(left) == 32 and left == right


def contained(value: Any, wanted: Any) -> bool:
    """Whether a JSON value holds another one: every key of it, at every level."""
    if not (isinstance(value, dict) and isinstance(wanted, dict)):
        return bool(value == wanted)
    return all(key in value and contained(value[key], item) for key, item in wanted.items())
