"""Addresses of Microsoft Graph: from a raw path to a route and its keys, and the query options of a request."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

from authentik_entra_bootstrap.sandbox.microsoft.graph import errors
from authentik_entra_bootstrap.sandbox.microsoft.graph.filters import read_filter
from authentik_entra_bootstrap.sandbox.microsoft.model import EntityType
from authentik_entra_bootstrap.sandbox.store import Object

_CALL = re.compile(r"([A-Za-z][\w.]*)\((.*)\)\Z", re.DOTALL)
_NAMED = re.compile(r"\s*([A-Za-z]\w*)\s*=\s*(.*)\Z", re.DOTALL)
_QUOTED = re.compile(r"'((?:[^']|'')*)'\Z", re.DOTALL)


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
        segments += [text] if call is None else [call.group(1), _key(call.group(2), text)]
    return segments


def _key(text: str, segment: str) -> Key:
    named = _NAMED.match(text)
    name, value = (named.group(1), named.group(2)) if named else ("id", text)
    quoted = _QUOTED.match(value.strip())
    if quoted:
        return Key(name, quoted.group(1).replace("''", "'"))
    if named is None and re.fullmatch(r"[\w-]+", value.strip()):
        return Key("id", value.strip())
    raise errors.malformed(
        f"Bad Request - Error in query syntax: the key in the segment '{segment}' is not valid."
    )


@dataclass(frozen=True)
class Route:
    """One operation: ``applications/{app}/owners/{owner}/$ref``, where braces stand for a key."""

    method: str
    pattern: str
    handler: Callable[[Any], Any]

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
        elif not isinstance(segment, str) or segment.casefold() != part.casefold():
            return None
    return tuple(keys)


def find_route(
    routes: Iterable[Route], method: str, segments: list[Segment]
) -> tuple[Route, tuple[Key, ...]]:
    """The route of a request and its keys; a literal segment wins over a key.

    :raises GraphError: 400 for an unknown address, 405 for a known one with another method.
    """
    candidates: list[tuple[tuple[bool, ...], Route, tuple[Key, ...]]] = []
    for route in routes:
        keys = match_keys(route.parts, segments)
        if keys is not None:
            candidates.append((tuple(part.startswith("{") for part in route.parts), route, keys))
    allowed = [candidate for candidate in candidates if candidate[1].method == method]
    if allowed:
        _, route, keys = min(allowed, key=lambda candidate: candidate[0])
        return route, keys
    if candidates:
        message = "Specified HTTP method is not allowed for the request target."
        raise errors.GraphError(405, "Request_BadRequest", message)
    names = [segment for segment in segments if isinstance(segment, str)]
    known = {route.parts[0].casefold() for route in routes}
    unknown = names[0] if names and names[0].casefold() not in known else (names or [""])[-1]
    raise no_segment(unknown)


def no_segment(name: str) -> Exception:
    """400 for an address that leads nowhere."""
    return errors.malformed(f"Resource not found for the segment '{name}'.")


DEFAULT_PAGE = 100
LARGEST_PAGE = 999
_OPTIONS = frozenset({"select", "filter", "top", "count", "skiptoken", "skip", "format"})
_NOT_SERVED = frozenset({"search", "orderby", "expand"})


@dataclass(frozen=True)
class Query:
    """The query options of a request, names without ``$`` and in lower case.

    :param eventual: the request has ``ConsistencyLevel: eventual``.
    :param raw: the options as sent, for the next page's address.
    """

    options: dict[str, str]
    eventual: bool = False
    raw: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, query: str, consistency_level: str = "") -> Query:
        """Read a query string.

        :raises GraphError: 400 for an unknown system option, or one given twice; 501 for what the sandbox does not serve.
        """
        pairs = tuple(parse_qsl(query, keep_blank_values=True))
        options: dict[str, str] = {}
        for name, value in pairs:
            plain = name.removeprefix("$").lower()
            if plain in _NOT_SERVED:
                raise errors.not_served(f"${plain}")
            if plain not in _OPTIONS:
                if name.startswith("$"):
                    raise errors.malformed(f"The query parameter '{name}' is not supported.")
                continue
            if plain in options:
                raise errors.malformed(
                    f"Query parameter '${plain}' is specified multiple times, but it should be specified once."
                )
            options[plain] = value
        return cls(options, consistency_level.strip().lower() == "eventual", pairs)

    @property
    def counts(self) -> bool:
        """Whether the reply tells the number of objects: only the first page does, and only with the header."""
        asked = self.options.get("count", "").lower() == "true"
        return asked and self.eventual and "skiptoken" not in self.options

    @property
    def top(self) -> int:
        """Page size.

        :raises GraphError: 400 outside 1 to 999.
        """
        text = self.options.get("top", str(DEFAULT_PAGE))
        if not re.fullmatch(r"-?\d{1,18}", text):
            raise errors.malformed(
                f"Invalid value '{text}' for $top query option found. The $top query option requires a non-negative integer value."
            )
        if not 1 <= int(text) <= LARGEST_PAGE:
            raise errors.bad_request(
                f"Invalid page size specified: '{text}'. Must be between 1 and {LARGEST_PAGE} inclusive."
            )
        return int(text)

    def select(self, entity: EntityType) -> list[str] | None:
        """Selected properties, ``None`` for the default ones.

        :raises GraphError: 400 for a property the type does not have.
        """
        names = [name.strip() for name in self.options.get("select", "").split(",") if name.strip()]
        if not names or "*" in names:
            return None
        known = {name.casefold(): name for name in entity.props}
        for name in names:
            if name.casefold() not in known:
                raise errors.unknown_property(name, entity.name, "Parsing OData Select and Expand failed: ")
        return [known[name.casefold()] for name in names]

    def filtered(self, items: list[Object], entity: EntityType) -> list[Object]:
        """The objects that ``$filter`` leaves.

        :raises GraphError: 400 for what the directory does not serve.
        """
        if self.options.get("skip"):
            raise errors.malformed("'$skip' is not supported by the service.")
        if "filter" not in self.options:
            return items
        fits = read_filter(self.options["filter"], entity)
        return [item for item in items if fits(item)]

    def page(self, items: list[Object]) -> tuple[list[Object], str | None]:
        """One page and the skip token of the next.

        :raises GraphError: 400 for a token that is not ours.
        """
        start = 0
        if "skiptoken" in self.options:
            last, offset = _read_token(self.options["skiptoken"])
            places = (place for place, item in enumerate(items, start=1) if item["id"] == last)
            start = next(places, min(offset, len(items)))
        chosen = items[start : start + self.top]
        end = start + len(chosen)
        if end >= len(items) or not chosen:
            return chosen, None
        token = base64.urlsafe_b64encode(json.dumps([chosen[-1]["id"], end]).encode())
        return chosen, token.decode().rstrip("=")

    def next_query(self, token: str) -> str:
        """The query string of the next page: the same options and the token."""
        pairs = [(name, value) for name, value in self.raw if name.lower() not in ("$skiptoken", "skiptoken")]
        pairs.append(("$skiptoken", token))
        return "&".join(f"{quote(name, safe='$')}={quote(value, safe='')}" for name, value in pairs)


def _read_token(token: str) -> tuple[str, int]:
    try:
        last, offset = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return str(last), int(offset)
    except (binascii.Error, ArithmeticError, RecursionError, ValueError, TypeError) as error:
        raise errors.GraphError(
            400,
            "Directory_ExpiredPageToken",
            "The specified page token value has expired and can no longer be included in your request.",
        ) from error
