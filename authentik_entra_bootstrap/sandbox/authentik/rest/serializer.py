"""Serializers: a named set of fields that validates data and shows records."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from authentik_entra_bootstrap.sandbox.authentik.rest.errors import (
    NON_FIELD_ERRORS,
    ErrorDetail,
    ValidationError,
)
from authentik_entra_bootstrap.sandbox.authentik.rest.fields import EMPTY, Field

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.state import Record

Check = Callable[[dict[str, Any], "Record | None", "Context"], None]


class Serializer:
    """Fields in order.

    :param name: the component's name in the API schema, such as ``MicrosoftEntraProvider``.
    :param fields: name to field; ``None`` stands for a field that this release does not have.
    :param check: looks at all values together once each field is right; raises ``ValidationError``.
    """

    def __init__(
        self, name: str, fields: Mapping[str, Field | None], *, check: Check | None = None, doc: str = ""
    ) -> None:
        self.name = name
        self.doc = doc or f"{name} Serializer"
        self.check = check
        self.fields: dict[str, Field] = {}
        for key, field in fields.items():
            if field is not None:
                own = copy.copy(field)
                own.name = key
                self.fields[key] = own

    @property
    def writable(self) -> dict[str, Field]:
        """The fields that requests may set."""
        return {name: field for name, field in self.fields.items() if not field.read_only}

    @property
    def readable(self) -> dict[str, Field]:
        """The fields that replies hold."""
        return {name: field for name, field in self.fields.items() if not field.write_only}

    def validate(
        self, data: Any, ctx: Context, *, instance: Record | None = None, partial: bool = False
    ) -> dict[str, Any]:
        """Validated values by field name; only those that were given.

        :param instance: the record that is updated, if any.
        :param partial: whether required fields may be absent (PATCH).
        :raises ValidationError: with the messages of every field.
        """
        if data is None:
            raise ValidationError({NON_FIELD_ERRORS: [ErrorDetail("No data provided", "null")]})
        if not isinstance(data, Mapping):
            text = f"Invalid data. Expected a dictionary, but got {type(data).__name__}."
            raise ValidationError({NON_FIELD_ERRORS: [ErrorDetail(text, "invalid")]})
        values = self._each(data, ctx, instance, partial=partial)
        if self.check is not None:
            try:
                self.check(values, instance, ctx)
            except ValidationError as error:
                if isinstance(error.detail, list):
                    raise ValidationError({NON_FIELD_ERRORS: error.detail}) from None
                raise
        return values

    def _each(
        self, data: Mapping[str, Any], ctx: Context, instance: Record | None, *, partial: bool
    ) -> dict[str, Any]:
        values: dict[str, Any] = {}
        errors: dict[str, Any] = {}
        for name, field in self.writable.items():
            value = data.get(name, EMPTY)
            try:
                if value is not EMPTY:
                    values[name] = field.run(value, instance, ctx)
                elif field.needed and not partial:
                    raise field.fail("This field is required.", "required")
            except ValidationError as error:
                errors[name] = error.detail
        if errors:
            raise ValidationError(errors)
        return values

    def defaults(self) -> dict[str, Any]:
        """The model's default by column, of every field that has one."""
        found: dict[str, Any] = {}
        for field in self.fields.values():
            if field.default is not EMPTY and field.put is None:
                value = field.default() if callable(field.default) else copy.deepcopy(field.default)
                found[field.column] = value
        return found

    def show(self, record: Record, ctx: Context) -> dict[str, Any]:
        """The record as replies hold it; a field that answers :data:`EMPTY` is left out."""
        shown = {name: field.shown(record, ctx) for name, field in self.readable.items()}
        return {name: value for name, value in shown.items() if value is not EMPTY}
