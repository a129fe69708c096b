"""Applying the entries of a blueprint to the tables, through the API's own serializers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from authentik_entra_bootstrap.sandbox.authentik import audit
from authentik_entra_bootstrap.sandbox.authentik.blueprints import extras, query
from authentik_entra_bootstrap.sandbox.authentik.blueprints.document import (
    Blueprint,
    Desired,
    Entry,
    EntryInvalidError,
)
from authentik_entra_bootstrap.sandbox.authentik.blueprints.permissions import grant
from authentik_entra_bootstrap.sandbox.authentik.blueprints.tags import KeyOf, Scope, Tag
from authentik_entra_bootstrap.sandbox.authentik.blueprints.transaction import Transaction
from authentik_entra_bootstrap.sandbox.authentik.blueprints.values import merge
from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
from authentik_entra_bootstrap.sandbox.authentik.rest.errors import (
    NON_FIELD_ERRORS,
    ErrorDetail,
    ServerCrash,
    ValidationError,
)
from authentik_entra_bootstrap.sandbox.authentik.rest.model import Model
from authentik_entra_bootstrap.sandbox.authentik.state import Record, State

LOGGER = "authentik.blueprints.v1.importer"
META_APPLY = "authentik_blueprints.metaapplyblueprint"
POLICY_BINDING = "authentik_policies.policybinding"

Applied = tuple[Model, Record]
Nested = Callable[[Record, Context], bool]
"""Applies another instance; ``False`` when it cannot be applied."""


class Importer:
    """One run over a blueprint's entries.

    :param environment: an environment variable of authentik's host.
    :param read: the text of a file there, ``None`` when it cannot be read.
    :param nested: applies a blueprint instance that an entry asks for.
    """

    def __init__(
        self,
        state: State,
        blueprint: Blueprint,
        ctx: Context,
        *,
        environment: Callable[[str], str | None],
        read: Callable[[str], str | None],
        nested: Nested,
    ) -> None:
        self._state = state
        self._blueprint = blueprint
        self._ctx = replace(ctx, blueprint=True)
        self._environment = environment
        self._read = read
        self._nested = nested
        self._keys: dict[Any, Any] = {}

    # -- what tags ask for ---------------------------------------------------------------------------------

    def environment(self, name: str) -> str | None:
        """An environment variable of authentik's host."""
        return self._environment(name)

    def file(self, path: str) -> str | None:
        """The text of a file there."""
        return self._read(path)

    def find(self, model: str, conditions: list[tuple[str, Any]], *, whole: bool) -> Any:
        """Key of the first object that satisfies all conditions, or the object as the API shows it."""
        found = self._state.models.get(model.lower())
        if found is None:
            app, _, name = model.partition(".")
            raise EntryInvalidError(f"App '{app}' doesn't have a '{name}' model.")
        for row in found.rows():
            if all(query.matches(found, row, key, value) for key, value in conditions):
                return found.serializer.show(row, self._ctx) if whole else row[found.table.key]
        return None

    def key_of(self, entry: Entry, wanted: Entry) -> Any:
        """Primary key of an applied entry; bindings refer to their target's own key for policies."""
        model, record = wanted.instance
        if str(entry.model).lower() == POLICY_BINDING and record.get("pbm_uuid"):
            return record["pbm_uuid"]
        return record[model.table.key]

    # -- running -------------------------------------------------------------------------------------------

    def validate(self) -> bool:
        """Apply everything and take it back; log lines say what is wrong.

        :raises query.FieldError: for a ``!Find`` by an unknown field, where the real one crashes too.
        """
        self._forget()
        transaction = Transaction(self._state)
        before = len(self._ctx.logs)
        try:
            good = self._blueprint_is_version_1() and self._apply_entries()
        finally:
            transaction.roll_back()
        if good:
            # What the trial run logged (events, queued tasks) never happened.
            del self._ctx.logs[before:]
        elif self._blueprint.version == 1:
            self._log("Blueprint validation failed")
        return good

    def apply(self) -> bool:
        """Apply everything, or nothing."""
        self._forget()
        transaction = Transaction(self._state)
        try:
            good = self._apply_entries()
        except BaseException:
            transaction.roll_back()
            raise
        if not good:
            transaction.roll_back()
        return good

    def _forget(self) -> None:
        self._keys = {}
        for entry in self._blueprint.entries:
            entry.instance = None

    def _blueprint_is_version_1(self) -> bool:
        if self._blueprint.version == 1:
            return True
        self._log("Invalid blueprint version")
        return False

    def _log(self, event: str, **attributes: Any) -> None:
        audit.log(self._ctx, LOGGER, event, attributes, level="warning")

    def _apply_entries(self) -> bool:
        for entry in self._blueprint.entries:
            scope = Scope(entry, self._blueprint, self)
            label = str(scope.resolve(entry.model)).lower()
            app, _, name = label.partition(".")
            model = self._state.models.get(label)
            if model is None and label != META_APPLY:
                self._log("App or Model does not exist", app=app, model=name)
                return False
            try:
                if not all(scope.resolve(entry.conditions)):
                    continue
                desired = Desired(scope.resolve(entry.state))
                if model is None:
                    self._apply_other(scope)
                else:
                    self._apply_entry(model, entry, scope, desired)
            except EntryInvalidError as exc:
                self._log(f"Entry invalid: {exc}", entry=self.shown(entry), error=str(exc))
                return False
        return True

    def _apply_entry(self, model: Model, entry: Entry, scope: Scope, desired: Desired) -> None:
        identifiers = self._identifiers(scope)
        found = query.by_identifiers(model, identifiers)
        if desired is Desired.ABSENT:
            if found is not None:
                model.delete(found, self._ctx)
            return
        if found is not None and desired is Desired.MUST_CREATED:
            text = ErrorDetail("State is set to must_created and object exists already", "unique")
            raise EntryInvalidError(repr({name: [text] for name in scope.entry.identifiers}))
        data = merge(self._with_keys(scope.resolve(entry.attrs or {})), copy.deepcopy(identifiers))
        values = self._validated(model, data, found)
        if found is None:
            columns = {model.table.key: identifiers["pk"]} if "pk" in identifiers else {}
            found = model.create(values, self._ctx, **columns)
            extras.store(self._state, model.label, found, data)
        elif desired is not Desired.CREATED:
            found = model.update(found, values, self._ctx)
            extras.store(self._state, model.label, found, data)
        if "pk" in entry.identifiers:
            self._keys[identifiers["pk"]] = found[model.table.key]
        entry.instance = (model, found)
        for permission in entry.permissions:
            grant(
                self._state,
                model,
                found,
                name=str(scope.resolve(permission.permission)),
                user=scope.resolve(permission.user),
                role=scope.resolve(permission.role),
            )

    def _validated(self, model: Model, data: dict[str, Any], found: Record | None) -> dict[str, Any]:
        errors = extras.check(self._state, model.label, data)
        values: dict[str, Any] = {}
        try:
            values = model.serializer.validate(data, self._ctx, instance=found, partial=found is not None)
        except ValidationError as exc:
            errors = (
                {**exc.detail, **errors} if isinstance(exc.detail, dict) else {NON_FIELD_ERRORS: exc.detail}
            )
        if errors:
            raise EntryInvalidError(f"Serializer errors {errors!r}")
        return values

    def _identifiers(self, scope: Scope) -> dict[str, Any]:
        found = self._with_keys(scope.resolve(scope.entry.identifiers))
        return {
            key: value["pk"] if isinstance(value, dict) and "pk" in value else value
            for key, value in found.items()
        }

    def _with_keys(self, values: dict[str, Any]) -> dict[str, Any]:
        """Replace keys that a blueprint gives to new objects by the keys that these got."""

        def known(value: Any) -> Any:
            return self._keys.get(value, value) if isinstance(value, str | int) else value

        result: dict[str, Any] = {}
        for name, value in values.items():
            if isinstance(value, dict):
                result[name] = {key: known(item) for key, item in value.items()}
            elif isinstance(value, list):
                result[name] = [known(item) for item in value]
            else:
                result[name] = known(value)
        return result

    def _apply_other(self, scope: Scope) -> None:
        """``metaapplyblueprint``: apply another instance first."""
        attrs = scope.resolve(scope.entry.attrs or {})
        if not isinstance(attrs.get("identifiers"), dict):
            missing = {"identifiers": [ErrorDetail("This field is required.", "required")]}
            raise EntryInvalidError(f"Serializer errors {missing!r}")
        model = self._state.models["authentik_blueprints.blueprintinstance"]
        wanted = attrs["identifiers"].items()
        rows = (
            row for row in model.rows() if all(query.matches(model, row, key, value) for key, value in wanted)
        )
        instance = next(rows, None)
        if instance is None:
            if attrs.get("required", True):
                error = {"identifiers": [ErrorDetail("Required blueprint does not exist", "invalid")]}
                raise EntryInvalidError(f"Serializer errors {error!r}")
            return
        self._nested(instance, self._ctx)

    # -- showing -------------------------------------------------------------------------------------------

    def shown(self, entry: Entry) -> Record:
        """An entry as the log line of a refusal has it: attributes included, literal secrets too.

        Tags show what they give without their blueprint: a ``!Context`` shows its default.
        """
        blank = Scope(Entry(""), Blueprint(), self)
        return {
            "model": self._plain(entry.model, blank),
            "state": entry.state.value
            if isinstance(entry.state, Desired)
            else self._plain(entry.state, blank),
            "conditions": self._plain(entry.conditions, blank),
            "identifiers": self._plain(entry.identifiers, blank),
            "attrs": self._plain(entry.attrs, blank),
            "permissions": [
                {
                    "permission": self._plain(one.permission, blank),
                    "user": self._plain(one.user, blank),
                    "role": self._plain(one.role, blank),
                }
                for one in entry.permissions
            ],
            "id": entry.id,
            "_state": {"instance": None},
        }

    def _plain(self, value: Any, blank: Scope) -> Any:
        if isinstance(value, Tag):
            try:
                return str(value.resolve(blank))
            except (EntryInvalidError, query.FieldError) as exc:
                if isinstance(value, KeyOf):  # the other entries are not at hand here, which nobody foresaw
                    raise ServerCrash(str(exc)) from exc
                return "None"
        if isinstance(value, dict):
            return {str(key): self._plain(item, blank) for key, item in value.items()}
        if isinstance(value, list):
            return [self._plain(item, blank) for item in value]
        return value if value is None or isinstance(value, int | float) else str(value)
