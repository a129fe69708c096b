"""Lists: filters, search, ordering, pages."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from authentik_entra_bootstrap.sandbox.authentik.rest.errors import NotFound, Rejected, ValidationError
from authentik_entra_bootstrap.sandbox.authentik.rest.fields import show_moment
from authentik_entra_bootstrap.sandbox.authentik.rest.relations import read_uuid

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
"""What ``search`` looks into: a column, or what is found by way of the record."""

NUL = "Null characters are not allowed."
TERM = re.compile(r"""(?:[^\s'"]*(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')[^\s'"]*)+|\S+""")
"""A word, or a quoted phrase with what clings to it: Django's own notion of a term."""

FLAGS = {"1": True, "true": True, "0": False, "false": False}


def plain(values: list[str]) -> str:
    """The last value as Django's text field reads it.

    :raises ValidationError: for NUL.
    """
    if "\x00" in values[-1]:
        raise ValidationError(NUL, "null_characters_not_allowed")
    return values[-1].strip()


def exact(column: str, *, value_of: Callable[[Record], Any] | None = None) -> Filter:
    """Text that is equal, letter case included; an empty value filters nothing."""

    def build(values: list[str], ctx: Context) -> Keep | None:  # noqa: ARG001
        value = plain(values)
        read = value_of or (lambda record: record.get(column))
        return (lambda record: str(read(record)) == value) if value else None

    return build


def contains(column: str) -> Filter:
    """Text that occurs, letter case ignored."""

    def build(values: list[str], ctx: Context) -> Keep | None:  # noqa: ARG001
        value = plain(values).lower()
        return (lambda record: value in str(record.get(column)).lower()) if value else None

    return build


def flag(column: str, *, is_null: bool = False, value_of: Callable[[Record], Any] | None = None) -> Filter:
    """True or false; any other word filters nothing.

    :param is_null: whether the parameter asks for the column to be empty.
    """

    def build(values: list[str], ctx: Context) -> Keep | None:  # noqa: ARG001
        wanted = FLAGS.get(values[-1].lower())
        if wanted is None:
            return None
        read = value_of or (lambda record: record.get(column))
        if is_null:
            return lambda record: (read(record) is None) is wanted
        return lambda record: bool(read(record)) is wanted

    return build


def number(column: str) -> Filter:
    """An equal number."""

    def build(values: list[str], ctx: Context) -> Keep | None:  # noqa: ARG001
        text = values[-1].strip()
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            raise ValidationError("Enter a number.") from None
        return lambda record: record.get(column) == value

    return build


def uuid_is(column: str) -> Filter:
    """An equal UUID, in any spelling."""

    def build(values: list[str], ctx: Context) -> Keep | None:  # noqa: ARG001
        if not values[-1].strip():
            return None
        try:
            value = read_uuid(values[-1].strip())
        except ValidationError:
            raise ValidationError("Enter a valid UUID.") from None
        return lambda record: record.get(column) == value

    return build


def reference(column: str, table: str, *, many: bool = False, key: str = "pk") -> Filter:
    """The key of an existing row of another table.

    :param many: whether the column is a list and the parameter may be repeated.
    """

    def build(values: list[str], ctx: Context) -> Keep | None:
        wanted: list[Any] = []
        for text in values if many else values[-1:]:
            if not text:
                continue
            rows = {str(row[key]): row[ctx.state.tables[table].key] for row in ctx.state.tables[table]}
            known = rows.get(_as_key(text, next(iter(rows.values()), ""), many=many) if key == "pk" else text)
            if known is None:
                what = f"{text} is" if many else "That choice is"
                message = f"Select a valid choice. {what} not one of the available choices."
                raise ValidationError(message, "invalid_choice")
            wanted.append(known)
        if not wanted:
            return None
        if many:
            return lambda record: any(value in (record.get(column) or []) for value in wanted)
        return lambda record: record.get(column) == wanted[0]

    return build


def _as_key(text: str, example: Any, *, many: bool) -> str:
    if not isinstance(example, int):
        return read_uuid(text)
    if re.fullmatch(r"\s*[-+]?\d+\s*", text):
        return str(int(text))
    if many:
        raise ValidationError(f"“{text}” is not a valid value.", "invalid_pk_value")
    return ""


def moment(column: str, compare: Callable[[datetime, datetime], bool] = operator.eq) -> Filter:
    """A date and time, equal or on one side; records without one never pass."""

    def build(values: list[str], ctx: Context) -> Keep | None:  # noqa: ARG001
        text = values[-1].strip()
        if not text:
            return None
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            raise ValidationError("Enter a valid date/time.") from None
        wanted = found if found.tzinfo else found.replace(tzinfo=UTC)
        return lambda record: record.get(column) is not None and compare(record[column], wanted)

    return build


def moments(*columns: str) -> dict[str, Filter]:
    """``column``, ``column__lt`` and ``column__gt`` of each."""
    sides = {"": operator.eq, "__lt": operator.lt, "__gt": operator.gt}
    return {
        f"{column}{suffix}": moment(column, compare)
        for column in columns
        for suffix, compare in sides.items()
    }


def choice(column: str, choices: Callable[[Context], Sequence[str]]) -> Filter:
    """One known value; of several the last counts."""
    several = one_of(column, choices)
    return lambda values, ctx: several(values[-1:], ctx)


def one_of(column: str, choices: Callable[[Context], Sequence[str]]) -> Filter:
    """One or several of the known values (repeat the parameter)."""

    def build(values: list[str], ctx: Context) -> Keep | None:
        wanted = [value for value in values if value]
        known = choices(ctx)
        for value in wanted:
            if value not in known:
                text = f"Select a valid choice. {value} is not one of the available choices."
                raise ValidationError(text, "invalid_choice")
        return (lambda record: record.get(column) in wanted) if wanted else None

    return build


def apply_filters(rows: list[Record], filters: Mapping[str, Filter], ctx: Context) -> list[Record]:
    """The rows that pass every filter the request names.

    :raises ValidationError: with messages by parameter.
    """
    params = ctx.request.params if ctx.request else {}
    keeps: list[Keep] = []
    errors: dict[str, Any] = {}
    for name, build in filters.items():
        if name in params:
            try:
                keep = build(params[name], ctx)
            except ValidationError as error:
                errors[name] = error.detail
            else:
                if keep is not None:
                    keeps.append(keep)
    if errors:
        raise ValidationError(errors)
    for keep in keeps:
        rows = [row for row in rows if keep(row)]
    return rows


def search_terms(text: str) -> list[str]:
    """Words, split at white space and commas; what stands in quotes is one term, quotes left out."""
    terms: list[str] = []
    for match in TERM.finditer(text):
        part = match.group(0).strip(",")
        if part[:1] in {'"', "'"} and part[-1] == part[0]:
            quote = part[0]
            terms.append(part[1:-1].replace(rf"\{quote}", quote).replace(r"\\", "\\"))
        else:
            terms += [piece.strip() for piece in part.split(",") if piece]
    return terms


def search(rows: list[Record], columns: Sequence[Column], text: str) -> list[Record]:
    """The rows in which every term occurs in one of the columns, letter case ignored.

    :raises Rejected: for NUL; the refusal names no parameter.
    """
    if "\x00" in text:
        raise Rejected([NUL])
    terms = search_terms(text) if columns else []

    def texts(row: Record) -> list[str]:
        found = [column(row) if callable(column) else row.get(column, "") for column in columns]
        return [str(value).lower() for value in found]

    return [row for row in rows if all(any(term.lower() in part for part in texts(row)) for term in terms)]


def _sort_key(value: Any) -> tuple[int, Any]:
    """Empty values last, as PostgreSQL sorts them; text without regard to punctuation's weight."""
    if value is None:
        return (1, "")
    if isinstance(value, bool | int | float):
        return (0, value)
    if isinstance(value, datetime):
        return (0, show_moment(value))
    return (0, str(value))


def order(rows: list[Record], wanted: Sequence[str]) -> list[Record]:
    """The rows by several columns; a leading ``-`` turns one round.

    Equal rows stay in their order, or come newest first when the first column is turned round: events of
    one moment on a standing clock are listed like those of different moments.
    """
    rows = [*rows]
    if wanted and wanted[0].startswith("-"):
        rows.reverse()
    for column in reversed(wanted):
        name = column.lstrip("-")
        rows = sorted(rows, key=lambda row: _sort_key(row.get(name)), reverse=column.startswith("-"))
    return rows


@dataclass(frozen=True)
class Page:
    """One page of rows and the numbers that go with it."""

    rows: list[Record]
    number: int
    count: int
    size: int

    @property
    def pages(self) -> int:
        """How many pages there are; one when nothing was found."""
        return max(1, math.ceil(self.count / self.size))

    def envelope(self, results: list[Any]) -> dict[str, Any]:
        """The body of a list reply."""
        first = (self.number - 1) * self.size + 1 if self.count else 0
        return {
            "pagination": {
                "next": self.number + 1 if self.number < self.pages else 0,
                "previous": self.number - 1 if self.number > 1 else 0,
                "count": self.count,
                "current": self.number,
                "total_pages": self.pages,
                "start_index": first,
                "end_index": min(self.number * self.size, self.count),
            },
            "results": results,
            "autocomplete": {},
        }


def paginate(rows: list[Record], ctx: Context, *, largest: int = LARGEST_PAGE) -> Page:
    """The page that the request asks for.

    :param largest: how many rows a request may ask for.

    :raises NotFound: "Invalid page." for a page that does not exist.
    """
    size = _page_size(ctx, largest)
    page = Page(rows=[], number=1, count=len(rows), size=size)
    text = (ctx.request.param("page") if ctx.request else "") or "1"
    number = page.pages if text == "last" else None
    if number is None:
        number = int(text) if re.fullmatch(r"\s*\+?\d+\s*", text) else 0
    if not 1 <= number <= page.pages:
        raise NotFound("Invalid page.")
    return Page(rows=rows[(number - 1) * size : number * size], number=number, count=len(rows), size=size)


def _page_size(ctx: Context, largest: int) -> int:
    if ctx.request is None or "page_size" not in ctx.request.params:
        return PAGE_SIZE
    asked = ctx.request.param("page_size")
    whole = re.fullmatch(r"\s*\+?\d+\s*", asked) is not None
    return min(int(asked), largest) if whole and int(asked) > 0 else LARGEST_PAGE
