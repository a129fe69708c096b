"""Models: a table with its serializer and the consequences of each change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from authentik_entra_bootstrap.sandbox.authentik import audit

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.rest.serializer import Serializer
    from authentik_entra_bootstrap.sandbox.authentik.state import Record, State, Table

Hook = Callable[["Record", "Context"], None]


@dataclass(kw_only=True)
class Model:
    """One kind of object.

    :param label: ``authentik_core.application``: the name in blueprints, permissions and events.
    :param class_name: ``Application``: the name in 404 texts.
    :param title: the object's text (Django's ``__str__``).
    """

    state: State
    label: str
    class_name: str
    table_name: str
    serializer: Serializer
    verbose_name: str
    verbose_name_plural: str = ""
    title: Callable[[Record], str] = lambda record: str(record.get("name", ""))
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
    """Which rows of a shared table are of this model; all when left out."""

    def __post_init__(self) -> None:
        self.verbose_name_plural = self.verbose_name_plural or f"{self.verbose_name}s"
        self.app, _, self.model_name = self.label.partition(".")

    @property
    def table(self) -> Table:
        """The table of the model's rows."""
        return self.state.tables[self.table_name]

    def rows(self) -> list[Record]:
        """The rows of this model, in order of creation."""
        return [row for row in self.table if self.fits is None or self.fits(row)]

    def get(self, key: Any) -> Record | None:
        """The row with this key, if it is of this model."""
        row = self.table.get(key)
        return row if row is not None and (self.fits is None or self.fits(row)) else None

    def new_key(self) -> Any:
        """A key for the next row."""
        return self.table.next_id() if self.key_kind == "integer" else self.state.uuid()

    def create(self, values: Mapping[str, Any], ctx: Context, **columns: Any) -> Record:
        """Add a row from validated values.

        :param columns: further columns that the API does not set.
        """
        record: Record = {self.table.key: self.new_key()}
        record |= {name: value() if callable(value) else value for name, value in self.extra.items()}
        record |= self.serializer.defaults() | columns
        later = self._assign(record, values)
        if self.before_create:
            self.before_create(record, ctx)
        self.table.add(record)
        for put, value in later:
            put(self.state, record, value)
        self._after_save(record, ctx, created=True, before={})
        return record

    def update(self, record: Record, values: Mapping[str, Any], ctx: Context) -> Record:
        """Change a row, also when nothing differs: every save counts."""
        before = dict(record)
        for put, value in self._assign(record, values):
            put(self.state, record, value)
        self._after_save(record, ctx, created=False, before=before)
        return record

    def touch(self, record: Record, before: Record, ctx: Context) -> None:
        """Save a row whose columns were changed directly.

        :param before: the row as it was.
        """
        self._after_save(record, ctx, created=False, before=before)

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

    def _after_save(self, record: Record, ctx: Context, *, created: bool, before: Record) -> None:
        if not created:
            self.table.move_to_end(record[self.table.key])
        if "last_updated" in record:
            record["last_updated"] = self.state.now()
        if self.saved:
            self.saved(record, ctx, created)
        if self.audited:
            action = "model_created" if created else "model_updated"
            audit.model_event(action, self, record, ctx, before=before)
        if self.after_audit:
            self.after_audit(record, ctx)
