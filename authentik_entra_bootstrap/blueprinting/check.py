"""What is wrong with a blueprint, as far as the document itself shows it.

authentik answers an unknown tag with an empty server error, and its validation knows nothing of a secret that
stands in a file: both are better said before anything is sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from authentik_entra_bootstrap.blueprinting.yaml_tags import Tag, walk

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
            yield Problem("secret", place, "a secret stands in the file")


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
                yield Problem("secret", place, "a secret stands in the file")


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
        yield Problem("secret", where, "something that looks like a client secret stands in the file")
