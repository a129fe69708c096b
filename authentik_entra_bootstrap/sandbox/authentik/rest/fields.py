"""Serializer fields: parsing with Django REST framework's words, and showing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
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

Shape = Mapping[str, Any]
"""A JSON schema of OpenAPI 3.0."""

STRING: Shape = {"type": "string"}
NULLABLE_STRING: Shape = {"type": "string", "nullable": True}
INTEGER: Shape = {"type": "integer"}
BOOLEAN: Shape = {"type": "boolean"}
KEY: Shape = {"type": "string", "format": "uuid"}
MOMENT: Shape = {"type": "string", "format": "date-time"}
OBJECT: Shape = {"type": "object", "additionalProperties": {}}

MAX_INT = 2147483647
NULL = "This field may not be null."
BLANK = "This field may not be blank."
NO_STRING = "Not a valid string."


def ref(name: str) -> Shape:
    """A reference to a component of the API schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def array(item: Shape) -> Shape:
    """An array in the API schema."""
    return {"type": "array", "items": item}


def show_moment(value: Any) -> Any:
    """A moment as Django REST framework writes it: ISO 8601, ``Z`` for UTC, no zero microseconds."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return value


def in_stored_order(value: Any) -> Any:
    """The value with the keys of every object as ``jsonb`` keeps them: shorter ones first, then by letter."""
    if isinstance(value, Mapping):
        return {key: in_stored_order(value[key]) for key in sorted(value, key=lambda key: (len(key), key))}
    if isinstance(value, list):
        return [in_stored_order(item) for item in value]
    return value


def no_choice(data: Any) -> ErrorDetail:
    """The refusal of what is not among the choices."""
    return ErrorDetail(f'"{data}" is not a valid choice.', "invalid_choice")


def read_uuid(value: Any) -> str:
    """A UUID from text or a number, in text with dashes.

    :raises ValidationError: with Django's message, in typographic quotes.
    """
    try:
        return str(UUID(int=value) if isinstance(value, int) else UUID(hex=value))
    except (ValueError, TypeError, AttributeError):
        raise ValidationError(f"“{value}” is not a valid UUID.") from None


@dataclass(kw_only=True)
class Field:
    """A field that shows and stores whatever it is given; the base of all others."""

    source: str = ""
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
    validators: Sequence[Callable[[Any, Record | None, Context], None]] = ()
    unique: tuple[str, str] | None = None
    """A table, and the message when another row of it has this value."""
    shape: Shape | None = None
    """The field in the API schema, where it is not that of its kind."""
    name: str = ""
    form: ClassVar[Shape] = {}

    @property
    def column(self) -> str:
        """The record's column behind the field."""
        return self.source or self.name

    @property
    def schema(self) -> Shape:
        """The field in the API schema, without its nullability."""
        return self.form if self.shape is None else self.shape

    @property
    def needed(self) -> bool:
        """Whether creation is refused without it."""
        return self.required if self.required is not None else not self.read_only and self.default is EMPTY

    def run(self, data: Any, instance: Record | None, ctx: Context) -> Any:
        """Parse and validate one value that is present.

        :param instance: the record that is updated, if any.
        :raises ValidationError: with every message about it.
        """
        if data is None:
            if not self.null:
                raise ValidationError(NULL, "null")
            return None
        value = self.parse(data, ctx)
        messages = [*self.problems(value)]
        for validator in self.validators:
            try:
                validator(value, instance, ctx)
            except ValidationError as error:
                messages += error.detail
        if self.unique:
            table = ctx.state.tables[self.unique[0]]
            if any(row is not instance for row in table.where(**{self.column: value})):
                messages.append(ErrorDetail(self.unique[1], "unique"))
        if messages:
            raise ValidationError(messages)
        return value

    def parse(self, data: Any, _ctx: Context) -> Any:
        """Turn JSON data into what the record stores."""
        return data

    def problems(self, _value: Any) -> Iterator[ErrorDetail]:
        """What is wrong with a parsed value."""
        yield from ()

    def shown(self, record: Record, ctx: Context) -> Any:
        """What a reply holds for this field."""
        return show_moment(self.get(record, ctx) if self.get else record.get(self.column))


def computed(shape: Shape, get: Callable[[Record, Context], Any] | None = None) -> Field:
    """A read-only field: a column of its name, or what ``get`` finds."""
    return Field(read_only=True, shape=shape, get=get)


@dataclass(kw_only=True)
class Integer(Field):
    """A whole number within bounds."""

    minimum: int | None = None
    maximum: int | None = None
    form: ClassVar[Shape] = INTEGER

    def parse(self, data: Any, _ctx: Context) -> Any:
        """Also reads ``"5"`` and ``5.0``."""
        try:
            return int(re.sub(r"\.0*\s*$", "", str(data)))
        except ValueError:
            raise ValidationError("A valid integer is required.") from None

    def problems(self, value: Any) -> Iterator[ErrorDetail]:
        """A value out of bounds."""
        if self.maximum is not None and value > self.maximum:
            yield ErrorDetail(f"Ensure this value is less than or equal to {self.maximum}.", "max_value")
        if self.minimum is not None and value < self.minimum:
            yield ErrorDetail(f"Ensure this value is greater than or equal to {self.minimum}.", "min_value")


WORDS = dict.fromkeys(("t", "y", "yes", "true", "on", "1", "1.0"), True)
WORDS |= dict.fromkeys(("f", "n", "no", "false", "off", "0", "0.0"), False)


@dataclass(kw_only=True)
class Boolean(Field):
    """True or false, in several spellings."""

    form: ClassVar[Shape] = BOOLEAN

    def parse(self, data: Any, _ctx: Context) -> Any:
        """Words are read without regard to case."""
        try:
            return WORDS[str(data).strip().lower()]
        except KeyError:
            raise ValidationError("Must be a valid boolean.") from None


@dataclass(kw_only=True)
class Choice(Field):
    """One of a few words.

    :param enum: name of the component in the API schema.
    """

    choices: Sequence[str]
    enum: str
    blank: bool = False

    @property
    def schema(self) -> Shape:
        """A reference to the enumeration."""
        return ref(self.enum)

    def parse(self, data: Any, _ctx: Context) -> Any:
        """Refuses what is not in the list; blank is a choice where the field allows it."""
        if data == "" and self.blank:
            return ""
        if isinstance(data, bool | list | dict) or str(data) not in self.choices:
            raise ValidationError([no_choice(data)])
        return str(data)


@dataclass(kw_only=True)
class Uuid(Field):
    """A UUID in any spelling; stored in text with dashes."""

    form: ClassVar[Shape] = KEY

    def parse(self, data: Any, _ctx: Context) -> Any:
        """Text or a number."""
        try:
            return read_uuid(data)
        except ValidationError:
            raise ValidationError("Must be a valid UUID.") from None


@dataclass(kw_only=True)
class Moment(Field):
    """A date and time; kept as aware UTC."""

    form: ClassVar[Shape] = MOMENT

    def parse(self, data: Any, _ctx: Context) -> Any:
        """ISO 8601, UTC when it names no zone."""
        try:
            moment = datetime.fromisoformat(data)
        except (ValueError, TypeError):
            form = "YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z]"
            text = f"Datetime has wrong format. Use one of these formats instead: {form}."
            raise ValidationError(text) from None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@dataclass(kw_only=True)
class Dictionary(Field):
    """A JSON object."""

    form: ClassVar[Shape] = OBJECT

    def parse(self, data: Any, _ctx: Context) -> Any:
        """Refuses every other JSON type."""
        if not isinstance(data, dict):
            raise ValidationError("Value must be a dictionary, and not have any duplicate keys.")
        return data

    def shown(self, record: Record, ctx: Context) -> Any:
        """Keys in PostgreSQL's order of a stored object, but as they were given right after writing."""
        value = super().shown(record, ctx)
        return value if ctx.method in {"POST", "PUT", "PATCH"} else in_stored_order(value)


@dataclass(kw_only=True)
class Text(Field):
    """A character field: stripped, blank refused, NUL refused.

    :param pattern: what the whole text must look like, unless it is blank.
    :param complaint: the message when it does not.
    """

    blank: bool = False
    max_length: int | None = None
    pattern: re.Pattern[str] | None = None
    complaint: str = ""
    form: ClassVar[Shape] = STRING

    def run(self, data: Any, instance: Record | None, ctx: Context) -> Any:
        """Blank is looked at before anything else."""
        if isinstance(data, str) and not data.strip():
            if not self.blank:
                raise ValidationError(BLANK, "blank")
            return ""
        return super().run(data, instance, ctx)

    def parse(self, data: Any, _ctx: Context) -> Any:
        """Numbers become text; booleans and containers are refused."""
        if isinstance(data, bool) or not isinstance(data, str | int | float):
            raise ValidationError(NO_STRING)
        return str(data).strip()

    def problems(self, value: Any) -> Iterator[ErrorDetail]:
        """Length, NUL, and what does not fit the pattern."""
        if self.pattern and not self.pattern.fullmatch(value):
            yield ErrorDetail(self.complaint)
        if self.max_length is not None and len(value) > self.max_length:
            yield ErrorDetail(
                f"Ensure this field has no more than {self.max_length} characters.", "max_length"
            )
        if "\x00" in value:
            yield ErrorDetail("Null characters are not allowed.", "null_characters_not_allowed")


SLUG = re.compile(r"[-a-zA-Z0-9_]+")
EMAIL = re.compile(r"[^@\s]+@(?:[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z0-9-]{2,63}|localhost)", re.IGNORECASE)
ADDRESS = re.compile(r"(?:https?|blank|ftps?)://\S+", re.IGNORECASE)


def slug(**options: Any) -> Text:
    """Letters, digits, hyphens, underscores."""
    complaint = "Enter a valid “slug” consisting of letters, numbers, underscores or hyphens."
    return Text(pattern=SLUG, complaint=complaint, **options)


def email(**options: Any) -> Text:
    """An e-mail address."""
    return Text(pattern=EMAIL, complaint="Enter a valid email address.", **options)


def url(**options: Any) -> Text:
    """The address of a web page, which may hold Python's ``%(…)s``."""
    return Text(pattern=ADDRESS, complaint="Enter a valid URL.", **options)
