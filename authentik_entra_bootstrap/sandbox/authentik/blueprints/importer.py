"""The blueprint importer: applies entries to the tables through the API's own serializers, all or nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from authentik_entra_bootstrap.sandbox.authentik import audit
from authentik_entra_bootstrap.sandbox.authentik.blueprints import attributes
from authentik_entra_bootstrap.sandbox.authentik.blueprints.document import Blueprint, Desired, Entry, parse
from authentik_entra_bootstrap.sandbox.authentik.blueprints.tags import (
    EntryInvalidError,
    Scope,
    Tag,
    UnreadableError,
)
from authentik_entra_bootstrap.sandbox.authentik.blueprints.values import LOOKUPS, merge, same, satisfies
from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
from authentik_entra_bootstrap.sandbox.authentik.rest.errors import (
    NON_FIELD_ERRORS,
    ErrorDetail,
    ServerCrash,
    ValidationError,
)
from authentik_entra_bootstrap.sandbox.authentik.rest.model import Model
from authentik_entra_bootstrap.sandbox.authentik.state import Record, State, Transaction

LOGGER = "authentik.blueprints.v1.importer"
Result = TypeVar("Result")


class ImportResult(NamedTuple):
    """Outcome of a blueprint import: ``logs`` as the API shows them."""

    success: bool
    logs: list[Record]


class FieldError(Exception):
    """A lookup names a field that the model does not have; the text is Django's."""


def read_file(path: str) -> str | None:
    """The text of a file, ``None`` when it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


class BlueprintImporter:
    """Validates and applies blueprints.

    :param environment: what ``!Env`` sees.
    """

    def __init__(self, state: State, environment: Mapping[str, str]) -> None:
        self._state = state
        self._environment = environment

    def validate(self, content: str, context: Record, ctx: Context) -> tuple[bool, list[str]]:
        """Whether the content could be applied, with the events of the log lines.

        :param context: of the instance.
        :raises ServerCrash: for YAML that cannot be read, unknown tags, wrong structure and unknown fields.
        """
        run = self._run(content, context, ctx)
        return _crashing(run.validate), [str(line["event"]) for line in run.ctx.logs]

    def apply(self, content: str, context: Record, ctx: Context) -> ImportResult:
        """Validate, then apply in one transaction.

        :raises ServerCrash: as :meth:`validate`.
        """
        run = self._run(content, context, ctx)
        return ImportResult(_crashing(lambda: run.validate() and run.apply()), run.ctx.logs)

    def metadata(self, content: str) -> Record | None:
        """The blueprint's metadata: name and labels.

        :raises ServerCrash: as :meth:`validate`.
        """
        return _crashing(lambda: parse(content).metadata)

    def _run(self, content: str, context: Record, ctx: Context) -> Run:
        models = {model.model_name: model.app for model in self._state.models.values()}
        defaults = {
            "goauthentik.io/enterprise/licensed": self._state.licensed(),
            "goauthentik.io/rbac/models": models,
        }
        blueprint = _crashing(lambda: parse(content, context, defaults))
        return Run(self._state, blueprint, replace(ctx, logs=[], blueprint=True), self._environment.get)


def _crashing(work: Callable[[], Result]) -> Result:
    try:
        return work()
    except (UnreadableError, FieldError) as exc:
        raise ServerCrash(str(exc)) from exc


def matches(model: Model, row: Record, name: str, wanted: Any) -> bool:
    """Whether a row satisfies one Django lookup (``name``, ``name__iexact``, ``attributes__key``).

    :raises FieldError: for a field that does not exist.
    """
    column, *rest = name.split("__")
    known = {"pk", "id", *model.extra, *model.serializer.fields}
    known |= {own.column for own in model.serializer.fields.values()}
    known |= {key for one in model.rows() for key in one if not key.startswith("_")}
    if column not in known:
        choices = ", ".join(sorted(known))
        raise FieldError(f"Cannot resolve keyword '{column}' into field. Choices are: {choices}")
    value = row.get(model.table.key) if column in {"pk", "id"} and column not in row else row.get(column)
    while rest and isinstance(value, dict) and rest[0] in value:
        value = value[rest.pop(0)]
    lookup = rest[0] if rest else "exact"
    if lookup not in LOOKUPS and not isinstance(value, dict):
        raise FieldError(f"Unsupported lookup '{lookup}'")
    return lookup in LOOKUPS and satisfies(value, lookup, wanted)


@dataclass
class Run:
    """One run over a blueprint's entries.

    :param environment: an environment variable of authentik's host.
    """

    state: State
    blueprint: Blueprint
    ctx: Context
    environment: Callable[[str], str | None]
    keys: dict[Any, Any] = field(default_factory=dict)
    """Keys that the blueprint gives to new objects, with the keys that these got."""

    # -- what tags ask for ---------------------------------------------------------------------------------

    def file(self, path: str) -> str | None:
        """The text of a file on authentik's host."""
        return read_file(path)

    def find(self, model: str, conditions: list[tuple[str, Any]], *, whole: bool) -> Any:
        """Key of the first object that satisfies all conditions, or the object as the API shows it."""
        found = self.state.models.get(model.lower())
        if found is None:
            app, _, name = model.partition(".")
            raise EntryInvalidError(f"App '{app}' doesn't have a '{name}' model.")
        for row in found.rows():
            if all(matches(found, row, key, value) for key, value in conditions):
                return found.serializer.show(row, self.ctx) if whole else row[found.table.key]
        return None

    # -- running -------------------------------------------------------------------------------------------

    def validate(self) -> bool:
        """Apply everything and take it back; log lines say what is wrong.

        :raises FieldError: for a ``!Find`` by an unknown field, where the real one crashes too.
        """
        if self.blueprint.version != 1:
            self._log("Invalid blueprint version")
            return False
        transaction = Transaction(self.state)
        try:
            good = self._apply_entries()
        finally:
            transaction.roll_back()
        if good:
            # What the trial run logged (events, queued tasks) never happened.
            self.ctx.logs.clear()
        else:
            self._log("Blueprint validation failed")
        return good

    def apply(self) -> bool:
        """Apply everything, or nothing."""
        transaction = Transaction(self.state)
        good = False
        try:
            good = self._apply_entries()
        finally:
            if not good:
                transaction.roll_back()
        return good

    def _log(self, event: str, **values: Any) -> None:
        audit.log(self.ctx, LOGGER, event, values, level="warning")

    def _apply_entries(self) -> bool:
        self.keys.clear()
        for entry in self.blueprint.entries:
            entry.instance = None
        for entry in self.blueprint.entries:
            scope = Scope(self.blueprint, self)
            label = str(scope.resolve(entry.model)).lower()
            model = self.state.models.get(label)
            if model is None:
                app, _, name = label.partition(".")
                self._log("App or Model does not exist", app=app, model=name)
                return False
            try:
                if all(scope.resolve(entry.conditions)):
                    self._apply_entry(model, entry, scope)
            except EntryInvalidError as exc:
                self._log(f"Entry invalid: {exc}", entry=self.shown(entry), error=str(exc))
                return False
        return True

    def _apply_entry(self, model: Model, entry: Entry, scope: Scope) -> None:
        desired, identifiers = Desired(scope.resolve(entry.state)), self._identifiers(entry, scope)
        found = self._existing(model, identifiers)
        if desired is Desired.ABSENT:
            if found is not None:
                model.delete(found, self.ctx)
            return
        if found is not None and desired is Desired.MUST_CREATED:
            text = ErrorDetail("State is set to must_created and object exists already", "unique")
            raise EntryInvalidError(repr({name: [text] for name in entry.identifiers}))
        data = merge(self._with_keys(scope.resolve(entry.attrs)), identifiers)
        values = self._validated(model, data, found)
        if found is None:
            columns = {model.table.key: identifiers["pk"]} if "pk" in identifiers else {}
            found = model.create(values, self.ctx, **columns)
            attributes.store(self.state, model.label, found, data)
        elif desired is not Desired.CREATED:
            found = model.update(found, values, self.ctx)
            attributes.store(self.state, model.label, found, data)
        entry.instance = found[model.table.key]
        if "pk" in entry.identifiers:
            self.keys[identifiers["pk"]] = entry.instance

    def _existing(self, model: Model, identifiers: dict[str, Any]) -> Record | None:
        """The first row with this primary key, or with all the other identifiers.

        :raises EntryInvalidError: without identifiers, or for a field that does not exist.
        """
        if not identifiers:
            raise EntryInvalidError("No or invalid identifiers")
        others = {
            f"{key}__contains" if isinstance(value, dict) else key: value
            for key, value in identifiers.items()
            if key != "pk"
        }
        try:
            # The first look is for names of fields alone.
            for row in ({}, *model.rows()):
                if row and "pk" in identifiers and same(row[model.table.key], identifiers["pk"]):
                    return row
                matched = [matches(model, row, key, value) for key, value in others.items()]
                if row and matched and all(matched):
                    return row
        except FieldError as exc:
            raise EntryInvalidError(f"Invalid identifier field: {exc}") from exc
        return None

    def _validated(self, model: Model, data: dict[str, Any], found: Record | None) -> dict[str, Any]:
        errors = attributes.check(model.label, data, self.ctx)
        values: dict[str, Any] = {}
        try:
            values = model.serializer.validate(data, self.ctx, instance=found, partial=found is not None)
        except ValidationError as exc:
            detail = exc.detail if isinstance(exc.detail, dict) else {NON_FIELD_ERRORS: exc.detail}
            errors = {**detail, **errors}
        if errors:
            raise EntryInvalidError(f"Serializer errors {errors!r}")
        return values

    def _identifiers(self, entry: Entry, scope: Scope) -> dict[str, Any]:
        found = self._with_keys(scope.resolve(entry.identifiers))
        return {
            key: value["pk"] if isinstance(value, dict) and "pk" in value else value
            for key, value in found.items()
        }

    def _with_keys(self, values: dict[str, Any]) -> dict[str, Any]:
        """Replace keys that a blueprint gives to new objects by the keys that these got."""

        def known(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: known(item) for key, item in value.items()}
            if isinstance(value, list):
                return [known(item) for item in value]
            return self.keys.get(value, value)

        return {name: known(value) for name, value in values.items()}

    # -- showing -------------------------------------------------------------------------------------------

    def shown(self, entry: Entry) -> Record:
        """An entry as the log line of a refusal has it: attributes included, literal secrets too.

        Tags show what they give without their blueprint: a ``!Context`` shows its default.
        """
        names = ("model", "state", "conditions", "identifiers", "attrs")
        shown = {name: self._plain(getattr(entry, name)) for name in names}
        return shown | {"permissions": [], "id": entry.id, "_state": {"instance": None}}

    def _plain(self, value: Any) -> Any:
        if isinstance(value, Desired):
            return value.value
        if isinstance(value, Tag):
            try:
                return str(Scope(Blueprint(), self).resolve(value))
            except (EntryInvalidError, FieldError) as exc:
                if (
                    value.name == "KeyOf"
                ):  # authentik does not expect this: the other entries are unknown here
                    raise ServerCrash(str(exc)) from exc
                return "None"
        if isinstance(value, dict):
            return {str(key): self._plain(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._plain(item) for item in value]
        return value if value is None or isinstance(value, int | float) else str(value)
