"""OData query options of one request, and how they shape a list or an entity."""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote

from authentik_entra_bootstrap.sandbox.microsoft.graph.errors import (
    GraphError,
    bad_request,
    malformed,
    not_served,
    unknown_property,
)
from authentik_entra_bootstrap.sandbox.microsoft.graph.filters import read_filter
from authentik_entra_bootstrap.sandbox.microsoft.graph.model import EntityType
from authentik_entra_bootstrap.sandbox.microsoft.graph.validation import spelling
from authentik_entra_bootstrap.sandbox.store import Object

DEFAULT_PAGE = 100
LARGEST_PAGE = 999
MOST_EXPANDED = 1
"""Relations that one request can expand ("Use query parameters to customize responses")."""
_OPTIONS = frozenset(
    {"select", "filter", "top", "count", "orderby", "search", "expand", "skiptoken", "skip", "format"}
)
_NOT_SERVED = frozenset({"search", "orderby"})
_EXPAND = re.compile(r"\s*(\w+)\s*(?:\((.*)\))?\s*\Z", re.DOTALL)
_SELECT_AND_EXPAND = "Parsing OData Select and Expand failed: "


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
            if plain not in _OPTIONS:
                if name.startswith("$"):
                    raise malformed(f"The query parameter '{name}' is not supported.")
                continue
            if plain in _NOT_SERVED:
                raise not_served(f"${plain}")
            if plain in options:
                raise malformed(
                    f"Query parameter '${plain}' is specified multiple times, but it should be specified once."
                )
            options[plain] = value
        return cls(options, consistency_level.strip().lower() == "eventual", pairs)

    @property
    def count(self) -> bool:
        """Whether ``$count=true`` is asked for."""
        return self.options.get("count", "").lower() == "true"

    @property
    def first_page(self) -> bool:
        """Whether this is no next link: only the first page tells the count."""
        return "skiptoken" not in self.options

    @property
    def advanced(self) -> bool:
        """Whether the request has what advanced queries need; they read a separate, staler index."""
        return self.eventual and self.count

    @property
    def top(self) -> int:
        """Page size.

        :raises GraphError: 400 outside 1 to 999.
        """
        text = self.options.get("top")
        if text is None:
            return DEFAULT_PAGE
        if not re.fullmatch(r"-?\d+", text):
            raise malformed(
                f"Invalid value '{text}' for $top query option found. The $top query option requires a non-negative integer value."
            )
        if not 1 <= int(text) <= LARGEST_PAGE:
            raise bad_request(
                f"Invalid page size specified: '{text}'. Must be between 1 and {LARGEST_PAGE} inclusive."
            )
        return int(text)

    def select(self, entity: EntityType) -> list[str] | None:
        """Selected properties, ``None`` for the default ones.

        :raises GraphError: 400 for a property the type does not have.
        """
        text = self.options.get("select", "").strip()
        names = [name.strip() for name in text.split(",") if name.strip()]
        if not names or "*" in names:
            return None
        by_fold = {name.casefold(): name for name in (*entity.props, *entity.relations)}
        for name in names:
            if name.casefold() not in by_fold:
                raise unknown_property(name, entity.name, _SELECT_AND_EXPAND)
        return [by_fold[name.casefold()] for name in names]

    def expand(self, entity: EntityType) -> dict[str, Query]:
        """Relations to expand, each with its own options.

        :raises GraphError: 400 for a relation the type does not have, or more than one.
        """
        text = self.options.get("expand", "").strip()
        result: dict[str, Query] = {}
        parts = _split_outside_parentheses(text, ",")
        if len(parts) > MOST_EXPANDED:
            raise malformed(
                f"The result of parsing $expand contained at least {len(parts)} items, but the maximum allowed is "
                f"{MOST_EXPANDED}."
            )
        for part in parts:
            match = _EXPAND.match(part)
            name = spelling(match.group(1), entity.relations) if match else None
            if match is None or name is None:
                raise unknown_property(part.strip(), entity.name, _SELECT_AND_EXPAND)
            inner = _split_outside_parentheses(match.group(2) or "", ";")
            result[name] = Query.parse("&".join(inner))
        return result

    def filtered(self, items: list[Object], entity: EntityType) -> list[Object]:
        """The objects that ``$filter`` leaves.

        :raises GraphError: 400 for what the directory does not serve.
        """
        if self.options.get("skip"):
            raise malformed("'$skip' is not supported by the service.")
        if "filter" in self.options:
            fits = read_filter(self.options["filter"], entity, advanced=self.advanced)
            items = [item for item in items if fits(item)]
        return items

    def page(self, items: list[Object]) -> tuple[list[Object], str | None]:
        """One page and the skip token of the next.

        :raises GraphError: 400 for a token that is not ours.
        """
        start = 0
        if "skiptoken" in self.options:
            last, offset = _read_token(self.options["skiptoken"])
            ids = [item["id"] for item in items]
            start = ids.index(last) + 1 if last in ids else min(offset, len(items))
        chosen = items[start : start + self.top]
        if start + len(chosen) >= len(items) or not chosen:
            return chosen, None
        return chosen, _write_token(chosen[-1]["id"], start + len(chosen))

    def next_query(self, token: str) -> str:
        """The query string of the next page: the same options and the token."""
        pairs = [(name, value) for name, value in self.raw if name.lower() not in ("$skiptoken", "skiptoken")]
        pairs.append(("$skiptoken", token))
        return "&".join(f"{quote(name, safe='$')}={quote(value, safe='')}" for name, value in pairs)


def _split_outside_parentheses(text: str, mark: str) -> list[str]:
    parts, depth = [""], 0
    for char in text:
        depth += (char == "(") - (char == ")")
        if char == mark and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    return [part for part in parts if part.strip()]


def _write_token(last_id: str, offset: int) -> str:
    return base64.urlsafe_b64encode(json.dumps([last_id, offset]).encode()).decode().rstrip("=")


def _read_token(token: str) -> tuple[str, int]:
    try:
        last, offset = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return str(last), int(offset)
    except (binascii.Error, ValueError, TypeError) as error:
        raise GraphError(
            400,
            "Directory_ExpiredPageToken",
            "The specified page token value has expired and can no longer be included in your request.",
        ) from error
