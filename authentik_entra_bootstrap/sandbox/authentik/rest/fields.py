"""Serializer fields: parsing with Django REST framework's words, and showing."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from authentik_entra_bootstrap.sandbox.authentik.rest.errors import ErrorDetail, ValidationError

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.state import Record, State

EMPTY: Any = type("Empty", (), {"__repr__": lambda _: "<empty>"})()
"""Stands for a key that is absent from the data."""

MAX_INT = 2147483647
WRITING = frozenset({"POST", "PUT", "PATCH"})


def show_moment(value: Any) -> Any:
    """A moment as Django REST framework writes it: ISO 8601, ``Z`` for UTC, no zero microseconds."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return value


def in_stored_order(value: Any) -> Any:
    """The value with the keys of every object as ``jsonb`` keeps them: shorter ones first, then by letter."""
    if isinstance(value, Mapping):
        ordered = sorted(value, key=lambda key: (len(key), key))
        return {key: in_stored_order(value[key]) for key in ordered}
    if isinstance(value, list):
        return [in_stored_order(item) for item in value]
    return value


@dataclass(kw_only=True)
class Field:
    """A field that shows and stores whatever it is given; the base of all others."""

    source: str | None = None
    """Column of the record; the field's own name when left out."""
    required: bool | None = None
    """``None``: required unless it is read-only or has a default."""
    read_only: bool = False
    write_only: bool = False
    null: bool = False
    default: Any = EMPTY
    """The model's default, used on creation only; a callable is called."""
    get: Callable[[Record, Context], Any] | None = None
    """Computes what is shown."""
    put: Callable[[State, Record, Any], None] | None = None
    """Stores the value instead of writing the column; called once the record is saved."""
    validators: Sequence[Callable[[Any, Context], None]] = ()
    unique: str | None = None
    """Message when another row of the model's unique table has this value."""
    unique_table: str | None = None
    label: str | None = None
    help_text: str | None = None
    name: str = ""
    kind: ClassVar[str] = "field"

    @property
    def column(self) -> str:
        """The record's column behind the field."""
        return self.source or self.name

    @property
    def needed(self) -> bool:
        """Whether creation is refused without it."""
        if self.required is not None:
            return self.required
        return not self.read_only and self.default is EMPTY

    def fail(self, message: str, code: str = "invalid") -> ValidationError:
        """The error to raise for one wrong value."""
        return ValidationError([ErrorDetail(message, code)])

    def run(self, data: Any, instance: Record | None, ctx: Context) -> Any:
        """Parse and validate one value that is present.

        :raises ValidationError: with every message about it.
        """
        if data is None:
            if not self.null:
                raise self.fail("This field may not be null.", "null")
            return None
        value = self.parse(data, ctx)
        self.check(value, instance, ctx)
        return value

    def parse(self, data: Any, ctx: Context) -> Any:  # noqa: ARG002 - the signature of all fields
        """Turn JSON data into what the record stores."""
        return data

    def check(self, value: Any, instance: Record | None, ctx: Context) -> None:
        """Run the validators, all of them, and collect what they say."""
        messages: list[Any] = []
        for validator in self.validators:
            try:
                validator(value, ctx)
            except ValidationError as error:
                messages += error.detail if isinstance(error.detail, list) else [error.detail]
        if self.unique and self.unique_table and self._taken(value, instance, ctx):
            messages.append(ErrorDetail(self.unique, "unique"))
        if messages:
            raise ValidationError(messages)

    def _taken(self, value: Any, instance: Record | None, ctx: Context) -> bool:
        table = ctx.state.tables[self.unique_table or ""]
        own = instance[table.key] if instance else EMPTY
        return any(row[table.key] != own for row in table.where(**{self.column: value}))

    def shown(self, record: Record, ctx: Context) -> Any:
        """What a reply holds for this field."""
        value = self.get(record, ctx) if self.get else record.get(self.column)
        return self.show(value)

    def show(self, value: Any) -> Any:
        """A stored value in JSON types."""
        return show_moment(value)

    def schema(self) -> dict[str, Any]:
        """The field in an OpenAPI schema, without title and nullability."""
        return {}


@dataclass(kw_only=True)
class Integer(Field):
    """A whole number within bounds."""

    minimum: int | None = None
    maximum: int | None = None
    kind: ClassVar[str] = "integer"

    def parse(self, data: Any, ctx: Context) -> Any:  # noqa: ARG002
        """Also reads ``"5"`` and ``5.0``."""
        if isinstance(data, str) and len(data) > 1000:
            raise self.fail("String value too large.", "max_string_length")
        try:
            return int(re.sub(r"\.0*\s*$", "", str(data)))
        except ValueError:
            raise self.fail("A valid integer is required.") from None

    def check(self, value: Any, instance: Record | None, ctx: Context) -> None:
        """Bounds, the upper one first as Django builds them."""
        if self.maximum is not None and value > self.maximum:
            raise self.fail(f"Ensure this value is less than or equal to {self.maximum}.", "max_value")
        if self.minimum is not None and value < self.minimum:
            raise self.fail(f"Ensure this value is greater than or equal to {self.minimum}.", "min_value")
        super().check(value, instance, ctx)

    def schema(self) -> dict[str, Any]:
        """An integer with its bounds."""
        bounds = {"maximum": self.maximum, "minimum": self.minimum}
        return {"type": "integer", **{key: value for key, value in bounds.items() if value is not None}}


TRUE = frozenset({"t", "y", "yes", "true", "on", "1"})
FALSE = frozenset({"f", "n", "no", "false", "off", "0"})


@dataclass(kw_only=True)
class Boolean(Field):
    """True or false, in several spellings."""

    kind: ClassVar[str] = "boolean"

    def parse(self, data: Any, ctx: Context) -> Any:  # noqa: ARG002
        """Words are read without regard to case."""
        if isinstance(data, bool):
            return data
        if isinstance(data, str | int | float):
            word = str(data).strip().lower()
            if word in TRUE or data == 1:
                return True
            if word in FALSE or data == 0:
                return False
        raise self.fail("Must be a valid boolean.")

    def schema(self) -> dict[str, Any]:
        """A boolean."""
        return {"type": "boolean"}


@dataclass(kw_only=True)
class Choice(Field):
    """One of a few words.

    :param choices: value to the text people see.
    :param enum: name of the component in the API schema.
    """

    choices: Mapping[str, str]
    enum: str
    blank: bool = False
    kind: ClassVar[str] = "choice"

    def run(self, data: Any, instance: Record | None, ctx: Context) -> Any:
        """Blank is a choice where the field allows it."""
        if data == "" and self.blank:
            return ""
        return super().run(data, instance, ctx)

    def parse(self, data: Any, ctx: Context) -> Any:  # noqa: ARG002
        """Refuses what is not in the list."""
        if isinstance(data, bool | list | dict) or str(data) not in self.choices:
            raise self.fail(f'"{data}" is not a valid choice.', "invalid_choice")
        return str(data)

    def schema(self) -> dict[str, Any]:
        """A reference to the enumeration."""
        return {"$ref": f"#/components/schemas/{self.enum}"}


@dataclass(kw_only=True)
class Uuid(Field):
    """A UUID in any spelling; stored in text with dashes."""

    kind: ClassVar[str] = "string"

    def parse(self, data: Any, ctx: Context) -> Any:  # noqa: ARG002
        """Text or a number."""
        try:
            return str(UUID(data) if isinstance(data, str) else UUID(int=data))
        except (ValueError, TypeError, AttributeError):
            raise self.fail("Must be a valid UUID.") from None

    def schema(self) -> dict[str, Any]:
        """A string of format uuid."""
        return {"type": "string", "format": "uuid"}


@dataclass(kw_only=True)
class Moment(Field):
    """A date and time; kept as aware UTC."""

    kind: ClassVar[str] = "datetime"

    def parse(self, data: Any, ctx: Context) -> Any:  # noqa: ARG002
        """ISO 8601, UTC when it names no zone."""
        try:
            moment = datetime.fromisoformat(data)
        except (ValueError, TypeError):
            form = "YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z]"
            text = f"Datetime has wrong format. Use one of these formats instead: {form}."
            raise self.fail(text) from None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    def schema(self) -> dict[str, Any]:
        """A string of format date-time."""
        return {"type": "string", "format": "date-time"}


@dataclass(kw_only=True)
class Dictionary(Field):
    """A JSON object."""

    def parse(self, data: Any, ctx: Context) -> Any:  # noqa: ARG002
        """Refuses every other JSON type."""
        if not isinstance(data, dict):
            raise self.fail("Value must be a dictionary, and not have any duplicate keys.")
        return data

    def shown(self, record: Record, ctx: Context) -> Any:
        """Keys in PostgreSQL's order of a stored object, but as they were given right after writing."""
        value = super().shown(record, ctx)
        return value if ctx.request and ctx.request.method in WRITING else in_stored_order(value)

    def schema(self) -> dict[str, Any]:
        """An open object."""
        return {"type": "object", "additionalProperties": {}}


@dataclass(kw_only=True)
class Plain(Field):
    """A read-only value whose shape in the API schema is given."""

    read_only: bool = True
    shape: Mapping[str, Any]
    told: str = "field"
    """Its kind in OPTIONS: that of a field which the real serializer declares, none of a method's."""

    def schema(self) -> dict[str, Any]:
        """The given shape."""
        return dict(self.shape)
