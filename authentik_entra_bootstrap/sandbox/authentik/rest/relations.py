"""Fields that point to other records by primary key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from authentik_entra_bootstrap.sandbox.authentik.rest.errors import ErrorDetail, ValidationError
from authentik_entra_bootstrap.sandbox.authentik.rest.fields import Field
from authentik_entra_bootstrap.sandbox.authentik.rest.texts import Text

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.rest.serializer import Serializer
    from authentik_entra_bootstrap.sandbox.authentik.state import Record


def not_a_uuid(value: Any) -> ValidationError:
    """Django's own message, in typographic quotes."""
    return ValidationError([ErrorDetail(f"“{value}” is not a valid UUID.", "invalid")])


def read_uuid(value: Any) -> str:
    """A UUID from text or a number, in text with dashes.

    :raises ValidationError: with Django's message.
    """
    try:
        return str(UUID(int=value) if isinstance(value, int) else UUID(hex=value))
    except (ValueError, TypeError, AttributeError):
        raise not_a_uuid(value) from None


@dataclass(kw_only=True)
class Related(Field):
    """The primary key of a row in another table."""

    table: str
    integer: bool = False
    fits: Callable[[Record], bool] | None = None
    """Which rows of the table may be chosen; all when left out."""
    kind: ClassVar[str] = "field"

    def run(self, data: Any, instance: Record | None, ctx: Context) -> Any:
        """Empty text means null."""
        return super().run(None if data == "" else data, instance, ctx)

    def parse(self, data: Any, ctx: Context) -> Any:
        """The key of an existing row."""
        return self.find(data, ctx)

    def find(self, data: Any, ctx: Context) -> Any:
        """The stored form of a key.

        :raises ValidationError: for keys of the wrong kind and for missing rows.
        """
        if isinstance(data, bool) or (self.integer and not isinstance(data, int | str | float | None)):
            raise self._wrong_type(data)
        key: Any = None
        if data is not None:
            if self.integer:
                try:
                    key = int(data)
                except ValueError:
                    raise self._wrong_type(data) from None
            else:
                key = read_uuid(data)
        row = ctx.state.tables[self.table].get(key)
        if row is None or (self.fits is not None and not self.fits(row)):
            raise self.fail(f'Invalid pk "{data}" - object does not exist.', "does_not_exist")
        return key

    def _wrong_type(self, data: Any) -> ValidationError:
        text = f"Incorrect type. Expected pk value, received {type(data).__name__}."
        return self.fail(text, "incorrect_type")

    def schema(self) -> dict[str, Any]:
        """An integer or a UUID."""
        return {"type": "integer"} if self.integer else {"type": "string", "format": "uuid"}


@dataclass(kw_only=True)
class ManyRelated(Related):
    """A list of primary keys; duplicates collapse, as in a database relation."""

    def run(self, data: Any, instance: Record | None, ctx: Context) -> Any:
        """An empty text is no list."""
        return Field.run(self, data, instance, ctx)

    def parse(self, data: Any, ctx: Context) -> Any:
        """Every key of the list."""
        if isinstance(data, str | Mapping) or not isinstance(data, list | tuple | set):
            kind = type(data).__name__
            raise self.fail(f'Expected a list of items but got type "{kind}".', "not_a_list")
        return list(dict.fromkeys(self.find(item, ctx) for item in data))

    def show(self, value: Any) -> Any:
        """A list, also where nothing was ever stored."""
        return list(value or [])

    def schema(self) -> dict[str, Any]:
        """An array of keys."""
        return {"type": "array", "items": super().schema()}


@dataclass(kw_only=True)
class TextList(Field):
    """A list of texts."""

    kind: ClassVar[str] = "list"

    def parse(self, data: Any, ctx: Context) -> Any:
        """Refuses anything that is no list of texts, which are read like a field's."""
        if isinstance(data, str | Mapping) or not isinstance(data, list | tuple):
            kind = type(data).__name__
            raise self.fail(f'Expected a list of items but got type "{kind}".', "not_a_list")
        found, wrong = [], {}
        for index, item in enumerate(data):
            try:
                found.append(Text().run(item, None, ctx))
            except ValidationError as error:
                wrong[str(index)] = error.detail
        if wrong:
            raise ValidationError(wrong)
        return found

    def schema(self) -> dict[str, Any]:
        """An array of strings."""
        return {"type": "array", "items": {"type": "string"}}


@dataclass(kw_only=True)
class Nested(Field):
    """Another record, or a list of them, shown through its own serializer; never written."""

    serializer: Callable[[], Serializer]
    many: bool = False
    read_only: bool = True
    kind: ClassVar[str] = "nested object"

    def shown(self, record: Record, ctx: Context) -> Any:
        """What :attr:`get` found, through the serializer."""
        value = self.get(record, ctx) if self.get else record.get(self.column)
        if value is None:
            return None
        serializer = self.serializer()
        if self.many:
            return [serializer.show(item, ctx) for item in value]
        return serializer.show(value, ctx)

    def schema(self) -> dict[str, Any]:
        """A reference to the nested component."""
        reference = {"$ref": f"#/components/schemas/{self.serializer().name}"}
        return {"type": "array", "items": reference} if self.many else {"allOf": [reference]}
