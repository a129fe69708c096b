"""authentik's blueprints: importing one at once, storing one and having it applied, reading what an export needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType

from authentik_client.models.blueprint_instance_request import BlueprintInstanceRequest
from authentik_client.models.patched_blueprint_instance_request import PatchedBlueprintInstanceRequest
from pydantic_core import to_json

from authentik_entra_bootstrap.authentik import records
from authentik_entra_bootstrap.authentik.client import Part
from authentik_entra_bootstrap.authentik.directory import GROUPS, MAPPINGS
from authentik_entra_bootstrap.authentik.failures import VALIDATION, may_have_happened
from authentik_entra_bootstrap.authentik.permission_names import (
    ADD_BLUEPRINT,
    CHANGE_BLUEPRINT,
    DELETE_BLUEPRINT,
    VIEW_BLUEPRINT,
    VIEW_GROUP,
    VIEW_MAPPING,
    VIEW_TASK,
)
from authentik_entra_bootstrap.authentik.redaction import Redactor
from authentik_entra_bootstrap.authentik.requests import Call, typed
from authentik_entra_bootstrap.authentik.server import (
    BLUEPRINT_IMPORT,
    import_takes_context,
    offers_blueprint_import,
)
from authentik_entra_bootstrap.authentik.syncs import TASKS
from authentik_entra_bootstrap.domain import (
    BlueprintInstance,
    BlueprintResult,
    PropertyMapping,
    SecretText,
    Written,
)
from authentik_entra_bootstrap.errors import Denied, ServiceUnavailable, Temporary, UnexpectedAnswer

INSTANCES = "/managed/blueprints/"
ONE_INSTANCE = INSTANCES + "{pk}/"
TRANSPORTS = "/events/transports/"
_IMPORT_TIMEOUT = 120.0
"""Seconds. The import applies the blueprint twice before it answers: once to validate it."""
_LISTS: Mapping[str, str] = {
    "authentik_core.group": GROUPS,
    "authentik_events.notificationtransport": TRANSPORTS,
    "authentik_providers_microsoft_entra.microsoftentraprovidermapping": MAPPINGS,
}
_REASON_LEVELS = frozenset({"warn", "warning", "error", "exception", "critical"})


class Blueprints(Part):
    """Reads and writes of ``/managed/blueprints/``."""

    _imports: bool | None = None
    _takes_context: bool | None = None

    async def imports_blueprints(self) -> bool:
        """Whether the server imports; asked once."""
        if self._imports is None:
            self._imports = await offers_blueprint_import(self._api)
        return self._imports

    async def import_blueprint(
        self, content: str, values: Mapping[str, object], secrets: Mapping[str, SecretText]
    ) -> Written[BlueprintResult]:
        """Upload and apply, without an instance. The answer is 200 even when it was refused.

        Before 2026.8 the form's context is ignored: then the values stand in the uploaded text's own context.
        """
        if self._takes_context is None:
            self._takes_context = await import_takes_context(self._api)
        for secret in secrets.values():
            self._api.redactor.add(secret)
        given = {name: value for name, value in values.items() if value is not None}
        whole = {**given, **{name: secret.reveal() for name, secret in secrets.items()}}
        if self._takes_context:
            upload = {"file": SecretText(content), "context": SecretText(to_json(whole).decode())}
        else:
            upload = {"file": SecretText(_blueprinting().filled(content, whole))}
        call = Call(
            "POST",
            BLUEPRINT_IMPORT,
            upload=upload,
            permission=_import_permissions(content),
            read_timeout=max(self._api.network.read_timeout, _IMPORT_TIMEOUT),
        )
        try:
            reply = await self._api.once(call)
        except ServiceUnavailable as error:
            if error.trace is None or error.trace.status != 405:
                raise
            raise UnexpectedAnswer(
                "blueprint-import-crashed",
                "authentik failed while it imported the blueprint, and named no reason (405 with an empty answer). It does "
                "so over an entry that it refuses, such as a provider without a client secret, and over unreadable YAML.",
                "Look for the request id in authentik's log. Check the context values and secrets that the blueprint needs.",
                error.trace,
            ) from None
        return Written(
            self._api.read(reply, lambda body: _result(body, self._api.redactor)), reply.request_id
        )

    async def save_blueprint(self, name: str, content: str) -> BlueprintInstance:
        """Create the instance, or give the one of that name this content.

        :raises Conflict: ``blueprint-refused``.
        """
        found = await self._named(name)
        body = {"name": name, "content": content, "context": {}, "enabled": True}
        if found is None:
            call = Call(
                "POST", INSTANCES, body=typed(BlueprintInstanceRequest, body), permission=ADD_BLUEPRINT
            )
        else:
            wanted = typed(PatchedBlueprintInstanceRequest, body)
            call = Call("PATCH", ONE_INSTANCE, {"pk": found.pk}, body=wanted, permission=CHANGE_BLUEPRINT)
        try:
            reply = await (self._api.once(call) if found is None else self._api.repeat(call))
        except UnexpectedAnswer as error:
            if error.code != VALIDATION or "content" not in error.facts.get("fields", ""):
                raise
            raise _blueprinting().refusal([error.message]) from None
        except Temporary as error:
            made = await self._named(name) if found is None and may_have_happened(error) else None
            if made is None:
                raise
            return made
        return self._api.read(reply, _instance)

    async def apply_blueprint(self, pk: str) -> None:
        """Queue the application of an instance. A second one would refuse what must not exist yet.

        :raises Temporary: it was surely not queued; whether a lost answer was, the instance shows.
        """
        call = Call("POST", ONE_INSTANCE + "apply/", {"pk": pk}, permission=CHANGE_BLUEPRINT)
        try:
            await self._api.once(call)
        except (Temporary, UnexpectedAnswer) as error:
            if not may_have_happened(error):
                raise

    async def blueprint(self, pk: str) -> BlueprintInstance | None:
        """The instance by primary key."""
        return await self._api.find(ONE_INSTANCE, _instance, permission=VIEW_BLUEPRINT, pk=pk)

    async def blueprint_lines(self, pk: str) -> tuple[str, ...]:
        """The log of the newest task that applied the instance: reasons only, attributes left out."""
        query = (
            ("rel_obj_content_type__app_label", "authentik_blueprints"),
            ("rel_obj_content_type__model", "blueprintinstance"),
            ("rel_obj_id", pk),
            ("ordering", "-mtime"),
        )
        try:
            found = await self._api.pages(
                TASKS, records.mapping, permission=VIEW_TASK, query=query, max_pages=1
            )
        except Denied as error:
            if error.code != "authentik-permission-missing":
                raise
            return ()
        ours = [task for task in found if str(task.get("rel_obj_id", "")).replace("-", "") == _plain(pk)]
        return _reasons(ours[0].get("logs"), self._api.redactor) if ours else ()

    async def delete_blueprint(self, pk: str) -> bool:
        """Delete the instance; ``False`` when there was none."""
        return await self._api.delete(ONE_INSTANCE, permission=DELETE_BLUEPRINT, pk=pk)

    async def exists(self, model: str, conditions: Sequence[tuple[str, str]]) -> bool | None:
        """Whether a list shows such an object; ``None`` for other models, and where the token may not look."""
        path = _LISTS.get(model)
        if path is None:
            return None
        try:
            found = await self._api.pages(path, records.mapping, permission="")
        except Denied as error:
            if error.code != "authentik-permission-missing":
                raise
            return None
        return any(all(entry.get(field) == value for field, value in conditions) for entry in found)

    async def property_mappings(self) -> tuple[PropertyMapping, ...]:
        """Every property mapping of the provider's kind."""
        return tuple(await self._api.pages(MAPPINGS, _mapping, permission=VIEW_MAPPING))

    async def group_name(self, pk: str) -> str | None:
        """The name of a group."""
        found = await self._api.find(GROUPS + "{pk}/", records.mapping, permission=VIEW_GROUP, pk=pk)
        return None if found is None else records.text(found, "name")

    async def _named(self, name: str) -> BlueprintInstance | None:
        return await self._api.first(
            INSTANCES,
            _instance,
            lambda instance: instance.name == name,
            permission=VIEW_BLUEPRINT,
            query=(("name", name),),
        )


def _blueprinting() -> ModuleType:
    # With it come a YAML reader and the blueprints themselves, which most commands never need.
    from authentik_entra_bootstrap import blueprinting  # noqa: PLC0415

    return blueprinting


def _plain(pk: str) -> str:
    return pk.replace("-", "")


def _import_permissions(content: str) -> str:
    """What an import needs: the three rights on every model in it (authentik, ``check_blueprint_perms``)."""
    models = dict.fromkeys(str(entry["model"]) for entry in _blueprinting().load(content).get("entries", ()))
    pairs = [model.partition(".") for model in models]
    return ", ".join(f"{app}.{verb}_{name}" for app, _, name in pairs for verb in ("add", "change", "delete"))


def _result(body: object, redactor: Redactor) -> BlueprintResult:
    fields = records.mapping(body)
    return BlueprintResult(
        records.flag(fields, "success", default=False), _reasons(fields.get("logs"), redactor)
    )


def _reasons(entries: object, redactor: Redactor) -> tuple[str, ...]:
    """Texts of warnings and errors. Their attributes hold the whole entry, literal secrets included."""
    lines = []
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, str):
            lines.append(redactor.text(entry))
        elif isinstance(entry, dict) and entry.get("log_level") in _REASON_LEVELS:
            about = records.child(records.child(entry, "attributes"), "entry")
            model = records.text(about, "model")
            lines.append(redactor.text(f"{entry.get('event')}") + (f" ({model})" if model else ""))
    return tuple(lines)


def _instance(body: object) -> BlueprintInstance:
    fields = records.mapping(body)
    return BlueprintInstance(
        pk=records.needed_text(fields, "pk"),
        name=records.needed_text(fields, "name"),
        enabled=records.flag(fields, "enabled", default=True),
        status=records.text(fields, "status") or "unknown",
        last_applied=records.moment(fields, "last_applied"),
    )


def _mapping(body: object) -> PropertyMapping:
    fields = records.mapping(body)
    return PropertyMapping(
        pk=records.needed_text(fields, "pk"),
        name=records.needed_text(fields, "name"),
        managed=records.text(fields, "managed") or None,
        expression=records.text(fields, "expression") or "",
    )
