"""Fields that hold several values, or point to other records by primary key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from authentik_entra_bootstrap.sandbox.authentik.rest.errors import ValidationError
from authentik_entra_bootstrap.sandbox.authentik.rest.fields import (
    INTEGER,
    KEY,
    STRING,
    Field,
    Shape,
    Text,
    array,
    read_uuid,
    ref,
)

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.rest.model import Serializer
    from authentik_entra_bootstrap.sandbox.authentik.state import Record, State


def not_a_list(data: Any) -> ValidationError:
    """The refusal of what should be a list."""
    return ValidationError(f'Expected a list of items but got type "{type(data).__name__}".', "not_a_list")


def no_such_row(data: Any) -> ValidationError:
    """The refusal of a key that no row has."""
    return ValidationError(f'Invalid pk "{data}" - object does not exist.', "does_not_exist")


@dataclass(kw_only=True)
class Related(Field):
    """The primary key of a row in another table."""

    table: str
    integer: bool = False

    @property
    def schema(self) -> Shape:
        """An integer or a UUID."""
        return INTEGER if self.integer else KEY

    def run(self, data: Any, instance: Record | None, ctx: Context) -> Any:
        """Empty text means null."""
        return super().run(None if data == "" else data, instance, ctx)

    def parse(self, data: Any, ctx: Context) -> Any:
        """The key of an existing row."""
        return self.find(data, ctx.state)

    def find(self, data: Any, state: State) -> Any:
        """The stored form of a key.

        :raises ValidationError: for keys of the wrong kind and for missing rows.
        """
        wrong_type = f"Incorrect type. Expected pk value, received {type(data).__name__}."
        if isinstance(data, bool):
            raise ValidationError(wrong_type, "incorrect_type")
        key: Any = data
        if self.integer and data is not None:
            try:
                key = int(data)
            except (TypeError, ValueError):
                raise ValidationError(wrong_type, "incorrect_type") from None
        elif data is not None:
            key = read_uuid(data)
        if state.tables[self.table].get(key) is None:
            raise no_such_row(data)
        return key


@dataclass(kw_only=True)
class ManyRelated(Related):
    """A list of primary keys; duplicates collapse, as in a database relation."""

    @property
    def schema(self) -> Shape:
        """An array of keys."""
        return array(super().schema)

    def run(self, data: Any, instance: Record | None, ctx: Context) -> Any:
        """An empty text is no list."""
        return Field.run(self, data, instance, ctx)

    def parse(self, data: Any, ctx: Context) -> Any:
        """Every key of the list."""
        if not isinstance(data, list | tuple | set):
            raise not_a_list(data)
        return list(dict.fromkeys(self.find(item, ctx.state) for item in data))

    def shown(self, record: Record, ctx: Context) -> Any:
        """A list, also where nothing was ever stored."""
        return list(super().shown(record, ctx) or [])


@dataclass(kw_only=True)
class TextList(Field):
    """A list of texts."""

    form: ClassVar[Shape] = array(STRING)

    def parse(self, data: Any, ctx: Context) -> Any:
        """Refuses anything that is no list of texts, which are read like a field's."""
        if not isinstance(data, list):
            raise not_a_list(data)
        found, wrong = [], {}
        for index, item in enumerate(data):
            try:
                found.append(Text().run(item, None, ctx))
            except ValidationError as error:
                wrong[str(index)] = error.detail
        if wrong:
            raise ValidationError(wrong)
        return found


@dataclass(kw_only=True)
class Nested(Field):
    """Another record, or a list of them, shown through its own serializer; never written."""

    serializer: Serializer
    many: bool = False
    read_only: bool = True

    @property
    def schema(self) -> Shape:
        """A reference to the nested component."""
        reference = ref(self.serializer.name)
        return array(reference) if self.many else {"allOf": [reference]}

    def shown(self, record: Record, ctx: Context) -> Any:
        """What :attr:`get` found, through the serializer."""
        value = self.get(record, ctx) if self.get else record.get(self.column)
        if value is None:
            return None
        if self.many:
            return [self.serializer.show(item, ctx) for item in value]
        return self.serializer.show(value, ctx)


def row_of(table: str, column: str = "") -> Callable[[Record, Context], Record | None]:
    """A getter for the row of another table that a column names.

    :param column: the table's name when left out.
    """
    return lambda record, ctx: ctx.state.tables[table].get(record[column or table])


def rows_of(table: str, column: str) -> Callable[[Record, Context], list[Record]]:
    """A getter for the rows that a list of keys names."""
    return lambda record, ctx: [
        row for key in record[column] if (row := ctx.state.tables[table].get(key)) is not None
    ]


def unique_together(table: str, names: tuple[str, ...]) -> Callable[..., None]:
    """A check that no two rows have the same values in all of these columns; empty ones are never the same."""
    text = f"The fields {', '.join(names)} must make a unique set."

    def check(values: dict[str, Any], instance: Record | None, ctx: Context) -> None:
        wanted = {name: values.get(name, instance[name] if instance else None) for name in names}
        found = [] if None in wanted.values() else ctx.state.tables[table].where(**wanted)
        if any(row is not instance for row in found):
            raise ValidationError(text, "unique")

    return check
