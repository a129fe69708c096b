"""Addresses: from a raw path to segments and keys, and from those to a route."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar
from urllib.parse import unquote

from authentik_entra_bootstrap.sandbox.microsoft.graph.errors import malformed, method_not_allowed

_CALL = re.compile(r"([A-Za-z][\w.]*)\((.*)\)\Z", re.DOTALL)
_NAMED = re.compile(r"\s*([A-Za-z]\w*)\s*=\s*(.*)\Z", re.DOTALL)
_QUOTED = re.compile(r"'((?:[^']|'')*)'\Z", re.DOTALL)
_T = TypeVar("_T")
PROPERTY = "{property}"
"""The last part of a pattern that addresses one property of an object."""
ACTIONS = frozenset({"addPassword", "removePassword", "restore", "delta"})
"""Operations that may also be called by their qualified name, as OData has it."""


@dataclass(frozen=True)
class Key:
    """How one object of a collection is addressed: ``name`` is ``id`` or an alternate key."""

    name: str
    value: str


Segment = str | Key


def parse_path(raw: str) -> list[Segment]:
    """Segments of a percent-encoded path; ``applications(appId='x')`` gives a name and a :class:`Key`.

    Empty segments are dropped: the SDK's own addresses begin with two slashes.

    :raises GraphError: for a key that is not written as OData wants it.
    """
    segments: list[Segment] = []
    for part in raw.split("/"):
        text = unquote(part)
        if not text:
            continue
        if text.startswith("graph."):
            # The schema's alias of the namespace; msgraph-sdk writes type casts with it.
            text = f"microsoft.{text}"
        call = _CALL.match(text)
        if call is None:
            segments.append(text)
            continue
        if not call.group(2):
            # A function without parameters: ``delta()``.
            segments.append(call.group(1))
            continue
        segments += [call.group(1), _key(call.group(2), text)]
    return segments


def _key(text: str, segment: str) -> Key:
    named = _NAMED.match(text)
    name, value = (named.group(1), named.group(2)) if named else ("id", text)
    quoted = _QUOTED.match(value.strip())
    if quoted:
        return Key(name, quoted.group(1).replace("''", "'"))
    if named is None and re.fullmatch(r"[\w-]+", value.strip()):
        return Key("id", value.strip())
    raise malformed(f"Bad Request - Error in query syntax: the key in the segment '{segment}' is not valid.")


@dataclass(frozen=True)
class Route(Generic[_T]):
    """One operation: ``applications/{app}/owners/{owner}/$ref``, where braces stand for a key."""

    method: str
    pattern: str
    handler: Callable[[_T], object]

    @cached_property
    def parts(self) -> list[str]:
        """The pattern's segments."""
        return self.pattern.split("/")


def match_keys(parts: list[str], segments: list[Segment]) -> tuple[Key, ...] | None:
    """The keys that fill a pattern's braces, or ``None`` when the address is another."""
    if len(parts) != len(segments):
        return None
    keys: list[Key] = []
    for part, segment in zip(parts, segments, strict=True):
        if part.startswith("{"):
            if isinstance(segment, str) and segment.startswith("$"):
                return None
            keys.append(segment if isinstance(segment, Key) else Key("id", segment))
        elif not isinstance(segment, str) or not _named(part, segment.casefold()):
            return None
    return tuple(keys)


def _named(part: str, segment: str) -> bool:
    return segment == part.casefold() or (part in ACTIONS and segment == f"microsoft.graph.{part}".casefold())


def find_route(
    routes: Iterable[Route[_T]], method: str, segments: list[Segment]
) -> tuple[Route[_T], tuple[Key, ...]]:
    """The route of a request and its keys; a literal segment wins over a key.

    :raises GraphError: 400 for an unknown address, 405 for a known one with another method.
    """
    candidates: list[tuple[tuple[bool, ...], Route[_T], tuple[Key, ...]]] = []
    for route in routes:
        keys = match_keys(route.parts, segments)
        if keys is not None:
            candidates.append((tuple(part.startswith("{") for part in route.parts), route, keys))
    # Whether a last segment is a property at all only its own handler knows: every other route goes before.
    others = [candidate for candidate in candidates if not candidate[1].pattern.endswith(PROPERTY)]
    allowed = [candidate for candidate in others or candidates if candidate[1].method == method]
    if allowed:
        _, route, keys = min(allowed, key=lambda candidate: candidate[0])
        return route, keys
    if others:
        raise method_not_allowed()
    names = [segment for segment in segments if isinstance(segment, str)]
    known = {route.parts[0].casefold() for route in routes}
    unknown = names[0] if names and names[0].casefold() not in known else (names or [""])[-1]
    raise no_segment(unknown)


def no_segment(name: str) -> Exception:
    """400 for an address that leads nowhere."""
    return malformed(f"Resource not found for the segment '{name}'.")
