"""Lists: filters, search, ordering, pages."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from authentik_entra_bootstrap.sandbox.authentik.rest.errors import NotFound, ValidationError
from authentik_entra_bootstrap.sandbox.authentik.rest.fields import read_uuid, show_moment

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.state import Record

PAGE_SIZE = 20
LARGEST_PAGE = 100
"""Also the size of a page when ``page_size`` is there and is no positive number."""

Keep = Callable[["Record"], bool]
Filter = Callable[[list[str], "Context"], "Keep | None"]
"""From the values of a query parameter to a test of records; ``None`` keeps all.

Raises ``ValidationError`` with a list of messages for a value that the filter does not understand.
"""

Column = str | Callable[["Record"], Any]
"""A column, or what is found by way of the record."""

FLAGS = {"1": True, "true": True, "0": False, "false": False}


def reader(column: Column) -> Callable[[Record], Any]:
    """What reads a column of a record."""
    return column if callable(column) else lambda record: record.get(column)


def equal(column: Column, parse: Callable[[str], Any] = str) -> Filter:
    """A value that is equal, letter case included; an empty parameter filters nothing.

    :param parse: reads the parameter; raises ``ValidationError`` for what it does not understand.
    """
    read = reader(column)

    def build(values: list[str], _ctx: Context) -> Keep | None:
        text = values[-1].strip()
        if not text:
            return None
        wanted = parse(text)
        if parse is str:
            return lambda record: str(read(record)) == wanted
        # A plain column is read without a detour: lists of links have a row for each user.
        return (
            (lambda record: read(record) == wanted)
            if callable(column)
            else (lambda record: record.get(column) == wanted)
        )

    return build


def exact(*columns: str) -> dict[str, Filter]:
    """Filters by equal text, each under the name of its column."""
    return {column: equal(column) for column in columns}


def number(text: str) -> float:
    """A number, for :func:`equal`.

    :raises ValidationError: for anything else.
    """
    try:
        return float(text)
    except ValueError:
        raise ValidationError("Enter a number.") from None


def key(text: str) -> str:
    """A UUID in any spelling, for :func:`equal`.

    :raises ValidationError: for anything else.
    """
    try:
        return read_uuid(text)
    except ValidationError:
        raise ValidationError("Enter a valid UUID.") from None


def contains(column: str) -> Filter:
    """Text that occurs, letter case ignored."""

    def build(values: list[str], _ctx: Context) -> Keep | None:
        value = values[-1].strip().lower()
        return (lambda record: value in str(record.get(column)).lower()) if value else None

    return build


def flag(column: Column, *, is_null: bool = False) -> Filter:
    """True or false; any other word filters nothing.

    :param is_null: whether the parameter asks for the column to be empty.
    """
    read = reader(column)

    def build(values: list[str], _ctx: Context) -> Keep | None:
        wanted = FLAGS.get(values[-1].lower())
        if wanted is None:
            return None
        return lambda record: (read(record) is None if is_null else bool(read(record))) is wanted

    return build


def no_such(value: str) -> ValidationError:
    """The refusal of a value that is not among the choices of a filter."""
    text = f"Select a valid choice. {value} not one of the available choices."
    return ValidationError(text, "invalid_choice")


def reference(column: str, table: str, *, many: bool = False, by: str = "pk") -> Filter:
    """The key of an existing row of another table.

    :param many: whether the column is a list and the parameter may be repeated.
    :param by: the column of the other table that the parameter holds.
    """

    def build(values: list[str], ctx: Context) -> Keep | None:
        rows = ctx.state.tables[table]
        found = {str(row[by]): row[rows.key] for row in rows}
        wanted: list[Any] = []
        for text in filter(None, values if many else values[-1:]):
            whole = by != "pk" or any(isinstance(row[by], int) for row in rows)
            known = found.get(text if whole else read_uuid(text))
            if known is None:
                raise no_such(f"{text} is" if many else "That choice is")
            wanted.append(known)
        if not wanted:
            return None
        if many:
            return lambda record: any(value in (record.get(column) or []) for value in wanted)
        return lambda record: record.get(column) == wanted[0]

    return build


def one_of(
    column: str, choices: Callable[[Context], Sequence[str]] | Sequence[str], *, last: bool = False
) -> Filter:
    """One or several of the known values (repeat the parameter).

    :param last: whether only the last value counts.
    """

    def build(values: list[str], ctx: Context) -> Keep | None:
        wanted = [*filter(None, values[-1:] if last else values)]
        known = choices(ctx) if callable(choices) else choices
        for value in wanted:
            if value not in known:
                raise no_such(f"{value} is")
        return (lambda record: record.get(column) in wanted) if wanted else None

    return build


def apply_filters(rows: list[Record], filters: Mapping[str, Filter], ctx: Context) -> list[Record]:
    """The rows that pass every filter the request names.

    :raises ValidationError: with messages by parameter.
    """
    keeps: list[Keep | None] = []
    errors: dict[str, Any] = {}
    for name in filters.keys() & ctx.params.keys():
        try:
            keeps.append(filters[name](ctx.params[name], ctx))
        except ValidationError as error:
            errors[name] = error.detail
    if errors:
        raise ValidationError(errors)
    for keep in filter(None, keeps):
        rows = [row for row in rows if keep(row)]
    return rows


def search(rows: list[Record], columns: Sequence[Column], text: str) -> list[Record]:
    """The rows in which every word occurs in one of the columns, letter case and quotes ignored."""
    words = [word.strip("\"'").lower() for word in re.split(r"[\s,]+", text) if word] if columns else []
    if not words:
        return rows
    readers = [reader(column) for column in columns]
    return [
        row for row in rows if all(any(word in str(read(row)).lower() for read in readers) for word in words)
    ]


def _sort_key(value: Any) -> tuple[int, Any]:
    """Empty values last, as PostgreSQL sorts them."""
    if value is None:
        return (1, "")
    return (0, value if isinstance(value, bool | int | float) else str(show_moment(value)))


def _sorted(rows: list[Record], read: Callable[[Record], Any], *, descending: bool) -> list[Record]:
    values = list(map(read, rows))
    if set(map(type, values)) not in ({str}, {int}):
        values = list(map(_sort_key, values))
    # Large tables are listed hundreds of times, page by page: the comparisons must be those of plain values.
    order = sorted(range(len(rows)), key=values.__getitem__, reverse=descending)
    return [rows[index] for index in order]


def order(rows: list[Record], wanted: Sequence[str]) -> list[Record]:
    """The rows, sorted by several columns; a leading ``-`` sorts a column in descending order.

    Equal rows keep their order. With a descending first column the newest row comes first, so a stopped clock
    does not change the order of events.
    """
    rows = [*rows]
    if wanted and wanted[0].startswith("-"):
        rows.reverse()
    for column in reversed(wanted):
        rows = _sorted(rows, reader(column.lstrip("-")), descending=column.startswith("-"))
    return rows


def paginate(rows: list[Record], ctx: Context, show: Callable[[Record], Any]) -> dict[str, Any]:
    """The body of a list reply: the page that the request asks for, with its numbers.

    :raises NotFound: "Invalid page." for a page that does not exist.
    """
    size = _page_size(ctx)
    pages = max(1, math.ceil(len(rows) / size))
    text = ctx.param("page") or "1"
    page = pages if text == "last" else int(text) if re.fullmatch(r"\s*\+?\d+\s*", text) else 0
    if not 1 <= page <= pages:
        raise NotFound("Invalid page.")
    start = (page - 1) * size
    return {
        "pagination": {
            "next": page + 1 if page < pages else 0,
            "previous": page - 1,
            "count": len(rows),
            "current": page,
            "total_pages": pages,
            "start_index": start + 1 if rows else 0,
            "end_index": min(page * size, len(rows)),
        },
        "results": [show(row) for row in rows[start : start + size]],
        "autocomplete": {},
    }


def _page_size(ctx: Context) -> int:
    asked = ctx.param("page_size", str(PAGE_SIZE))
    whole = re.fullmatch(r"\s*\+?\d+\s*", asked) is not None
    return min(int(asked), LARGEST_PAGE) if whole and int(asked) > 0 else LARGEST_PAGE
