"""Two of authentik's helpers for values: merging and slugs."""

from __future__ import annotations

import re
import unicodedata
from typing import Any


def merge(into: Any, new: Any) -> Any:
    """Merge as authentik does: dicts by key (``into`` is changed), lists joined, anything else replaced."""
    if isinstance(into, dict) and isinstance(new, dict):
        for key, value in new.items():
            into[key] = merge(into[key], value) if key in into else value
        return into
    if isinstance(into, list) and isinstance(new, list):
        return into + new
    return new


def slugify(value: object) -> str:
    """Django's ``slugify``: ASCII letters, digits, hyphens and underscores, lower case."""
    text = unicodedata.normalize("NFKD", str(value)).encode("ascii", "ignore").decode("ascii")
    text = re.sub(r"[^\w\s-]", "", text.lower())
    return re.sub(r"[-\s]+", "-", text).strip("-_")
