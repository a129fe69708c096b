"""Serializers, which validate data and show records, and models: tables with the consequences of each change."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from authentik_entra_bootstrap.sandbox.authentik import audit
from authentik_entra_bootstrap.sandbox.authentik.rest.errors import (
    NON_FIELD_ERRORS,
    ErrorDetail,
    ValidationError,
    not_an_object,
)
from authentik_entra_bootstrap.sandbox.authentik.rest.fields import EMPTY, STRING, Field, computed

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.state import Record, State, Table

Check = Callable[[dict[str, Any], "Record | None", "Context"], None]
Hook = Callable[["Record", "Context"], None]


class Serializer:
    """Fields in order.

    :param name: the component's name in the API schema, such as ``MicrosoftEntraProvider``.
    :param fields: name to field; ``None`` stands for a field that this release does not have.
    :param check: looks at all values together once each field is right; raises ``ValidationError``.
    """

    def __init__(self, name: str, fields: Mapping[str, Field | None], *, check: Check | None = None) -> None:
        self.name = name
        self.check = check
        self.fields = {key: copy.copy(found) for key, found in fields.items() if found is not None}
        for key, own in self.fields.items():
            own.name = key
        self.writable = {key: own for key, own in self.fields.items() if not own.read_only}
        """The fields that requests may set."""
        self.readable = {key: own for key, own in self.fields.items() if not own.write_only}
        """The fields that replies hold."""

    def validate(
        self, data: Any, ctx: Context, *, instance: Record | None = None, partial: bool = False
    ) -> dict[str, Any]:
        """Validated values by field name; only those that were given.

        :param instance: the record that is updated, if any.
        :param partial: whether required fields may be absent (PATCH).
        :raises ValidationError: with the messages of every field.
        """
        if data is None:
            raise ValidationError({NON_FIELD_ERRORS: "No data provided"}, "null")
        if not isinstance(data, Mapping):
            raise not_an_object(data)
        values: dict[str, Any] = {}
        errors: dict[str, Any] = {}
        for name, own in self.writable.items():
            if name in data:
                try:
                    values[name] = own.run(data[name], instance, ctx)
                except ValidationError as error:
                    errors[name] = error.detail
            elif own.needed and not partial:
                errors[name] = [ErrorDetail("This field is required.", "required")]
        if errors:
            raise ValidationError(errors)
        self._check_together(values, instance, ctx)
        return values

    def _check_together(self, values: dict[str, Any], instance: Record | None, ctx: Context) -> None:
        if self.check is not None:
            try:
                self.check(values, instance, ctx)
            except ValidationError as error:
                if isinstance(error.detail, list):
                    raise ValidationError({NON_FIELD_ERRORS: error.detail}) from None
                raise

    def defaults(self) -> dict[str, Any]:
        """The model's default by column, of every field that has one."""
        return {
            own.column: own.default() if callable(own.default) else copy.deepcopy(own.default)
            for own in self.fields.values()
            if own.default is not EMPTY and own.put is None
        }

    def show(self, record: Record, ctx: Context) -> dict[str, Any]:
        """The record as replies hold it; a field that answers :data:`EMPTY` is left out."""
        shown = {name: own.shown(record, ctx) for name, own in self.readable.items()}
        return {name: value for name, value in shown.items() if value is not EMPTY}


def kind_fields(component: str, verbose: tuple[str, str], label: str) -> dict[str, Field]:
    """The four read-only fields that tell an object's kind.

    :param component: its form in the browser.
    :param verbose: the name of the kind, and that of several.
    """
    texts = {
        "component": component,
        "verbose_name": verbose[0],
        "verbose_name_plural": verbose[1],
        "meta_model_name": label,
    }

    def always(text: str) -> Field:
        return computed(STRING, lambda _record, _ctx: text)

    return {name: always(text) for name, text in texts.items()}


@dataclass(kw_only=True)
class Model:
    """One kind of object, found as ``state.models[label]``.

    :param label: ``authentik_core.application``: the name in blueprints, permissions and events.
    :param class_name: the name in 404 texts; the serializer's when left out.
    :param table_name: the model's name in the label when left out.
    :param verbose_name: the name for people; the class's when left out.
    :param title: the object's text (Django's ``__str__``): the name for people and the object's when left out.
    """

    state: State
    label: str
    serializer: Serializer
    class_name: str = ""
    table_name: str = ""
    verbose_name: str = ""
    title: Callable[[Record], str] | None = None
    key_kind: Literal["uuid", "integer"] = "uuid"
    audited: bool = True
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Columns that no field writes, with their first value."""
    hidden: frozenset[str] = frozenset()
    """Columns that audit events never show."""
    before_create: Hook | None = None
    saved: Callable[[Record, Context, bool], None] | None = None
    """Called after each save; the flag says whether the object is new."""
    after_audit: Hook | None = None
    """Called last, for relations that are set once the object and its event are written."""
    deleting: Hook | None = None
    fits: Callable[[Record], bool] | None = None
    """Which rows of a shared table are of this model; ``None`` for all of them."""

    def __post_init__(self) -> None:
        self.app, _, self.model_name = self.label.partition(".")
        self.class_name = self.class_name or self.serializer.name
        self.table_name = self.table_name or self.model_name
        self.verbose_name = self.verbose_name or self.class_name
        self.state.models[self.label] = self

    def name_of(self, record: Record) -> str:
        """The object's text."""
        return self.title(record) if self.title else f"{self.verbose_name} {record.get('name', '')}"

    @property
    def table(self) -> Table:
        """The table of the model's rows."""
        return self.state.tables[self.table_name]

    def rows(self) -> list[Record]:
        """The rows of this model, in order of creation."""
        fits = self.fits
        return list(self.table) if fits is None else [row for row in self.table if fits(row)]

    def get(self, key: Any) -> Record | None:
        """The row with this key, if it is of this model."""
        row = self.table.get(key)
        return row if row is not None and (self.fits is None or self.fits(row)) else None

    def permission(self, verb: str) -> str:
        """``app.verb_model``."""
        return f"{self.app}.{verb}_{self.model_name}"

    def create(self, values: Mapping[str, Any], ctx: Context, **columns: Any) -> Record:
        """Add a row from validated values.

        :param columns: further columns that the API does not set.
        """
        key = self.table.next_id() if self.key_kind == "integer" else self.state.uuid()
        record: Record = {self.table.key: key}
        record |= {name: value() if callable(value) else value for name, value in self.extra.items()}
        record |= self.serializer.defaults() | columns
        later = self._assign(record, values)
        if self.before_create:
            self.before_create(record, ctx)
        self.table.add(record)
        for put, value in later:
            put(self.state, record, value)
        self._after_save(record, ctx, before=None)
        return record

    def update(self, record: Record, values: Mapping[str, Any], ctx: Context) -> Record:
        """Change a row, also when nothing differs: every save counts."""
        before = dict(record)
        for put, value in self._assign(record, values):
            put(self.state, record, value)
        self._after_save(record, ctx, before=before)
        return record

    def delete(self, record: Record, ctx: Context) -> None:
        """Remove a row with everything that depends on it."""
        if self.deleting:
            self.deleting(record, ctx)
        self.table.remove(record[self.table.key])
        if self.audited:
            audit.model_event("model_deleted", self, record, ctx)

    def _assign(self, record: Record, values: Mapping[str, Any]) -> list[tuple[Callable[..., None], Any]]:
        later: list[tuple[Callable[..., None], Any]] = []
        for name, value in values.items():
            own = self.serializer.fields[name]
            if own.put is not None:
                later.append((own.put, value))
            else:
                record[own.column] = value
        return later

    def _after_save(self, record: Record, ctx: Context, *, before: Record | None) -> None:
        if before is not None:
            self.table.move_to_end(record[self.table.key])
        if "last_updated" in record:
            record["last_updated"] = self.state.now()
        if self.saved:
            self.saved(record, ctx, before is None)
        if self.audited:
            action = "model_created" if before is None else "model_updated"
            audit.model_event(action, self, record, ctx, before=before)
        if self.after_audit:
            self.after_audit(record, ctx)
