"""authentik's blueprints: importing one at once, storing one and having it applied, reading what an export needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from authentik_client.models.blueprint_instance_request import BlueprintInstanceRequest
from authentik_client.models.patched_blueprint_instance_request import PatchedBlueprintInstanceRequest
from pydantic_core import to_json

from authentik_entra_bootstrap.authentik.api_errors import may_have_happened, permitted
from authentik_entra_bootstrap.authentik.requests import (
    BLUEPRINTS,
    GROUPS,
    MAPPINGS,
    TASKS,
    TRANSPORTS,
    Call,
    Redactor,
    child,
    flag,
    items,
    mapping,
    moment,
    needed_text,
    text,
    typed,
)
from authentik_entra_bootstrap.authentik.server import Server, posted_fields
from authentik_entra_bootstrap.authentik.syncs import tasks_of
from authentik_entra_bootstrap.domain import BlueprintInstance, BlueprintResult, SecretText, Written
from authentik_entra_bootstrap.errors import ServiceUnavailable, Temporary, UnexpectedAnswer

IMPORT = "/managed/blueprints/import/"
_IMPORT_TIMEOUT = 120.0
"""Seconds. The import applies the blueprint twice before it answers: once to validate it."""
_LISTED = {GROUPS.label: GROUPS, TRANSPORTS.label: TRANSPORTS, MAPPINGS.label: MAPPINGS}
_REASON_LEVELS = frozenset({"warn", "warning", "error", "exception", "critical"})


class Blueprints(Server):
    """Reads and writes of ``/managed/blueprints/``."""

    _imports: bool | None = None
    _takes_context: bool | None = None

    async def imports_blueprints(self) -> bool:
        """Whether the server imports blueprints without storing them (since 2026.5); asked once.

        The ``Allow`` header of the address says so; refusals carry it as well. Without that header, the server's
        own description of its API does.
        """
        if self._imports is None:
            reply = await self._api.exchange(Call("OPTIONS", IMPORT))
            if reply.status in {200, 403} and "allow" in reply.headers:
                self._imports = "POST" in reply.headers["allow"].replace(" ", "").split(",")
            else:
                self._imports = (
                    reply.status != 404 and posted_fields(await self._schema(), IMPORT) is not None
                )
        return self._imports

    async def import_blueprint(
        self, content: str, values: Mapping[str, object], secrets: Mapping[str, SecretText]
    ) -> Written[BlueprintResult]:
        """Upload and apply, without an instance. The answer is 200 even when it was refused.

        Before 2026.8 the form's context is ignored: then the values are written into the uploaded text's own
        context. Only the server's own description says which: authentik ignores unknown fields silently.
        """
        if self._takes_context is None:
            fields = posted_fields(await self._schema(), IMPORT, "multipart/form-data")
            self._takes_context = "context" in (fields or ())
        for secret in secrets.values():
            self._api.redactor.add(secret)
        given = {name: value for name, value in values.items() if value is not None}
        whole = {**given, **{name: secret.reveal() for name, secret in secrets.items()}}
        if self._takes_context:
            upload = {"file": SecretText(content), "context": SecretText(to_json(whole).decode())}
        else:
            from authentik_entra_bootstrap.blueprinting import filled

            upload = {"file": SecretText(filled(content, whole))}
        call = Call(
            "POST",
            IMPORT,
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
                "authentik failed to import the blueprint and gave no reason (405 with an empty "
                "answer). It does so for an entry that it refuses, such as a provider without a client "
                "secret, and for unreadable YAML.",
                "Look for the request id in authentik's log. Check the context values and secrets that the blueprint needs.",
                error.trace,
            ) from None
        return Written(self._api.read(reply, self._result), reply.request_id)

    async def save_blueprint(self, name: str, content: str) -> BlueprintInstance:
        """Create the instance, or give the one of that name this content."""
        found = await self._stored(name)
        body = {"name": name, "content": content, "context": {}, "enabled": True}
        try:
            if found is not None:
                call = BLUEPRINTS.call("PATCH", found.pk, body=typed(PatchedBlueprintInstanceRequest, body))
                return (await self._api.write(call, _instance)).value
            reply = await self._api.once(BLUEPRINTS.call("POST", body=typed(BlueprintInstanceRequest, body)))
            return self._api.read(reply, _instance)
        except UnexpectedAnswer as error:
            if error.code != "authentik-validation-failed" or "content" not in error.facts.get("fields", ""):
                raise
            from authentik_entra_bootstrap.blueprinting.check import refusal

            raise refusal([error.message]) from None
        except Temporary as error:
            made = await self._stored(name) if found is None and may_have_happened(error) else None
            if made is None:
                raise
            return made

    async def apply_blueprint(self, pk: str) -> None:
        """Queue the application of an instance. A second one would refuse what must not exist yet.

        :raises Temporary: it was surely not queued; whether a lost answer was, the instance shows.
        """
        try:
            await self._api.once(
                BLUEPRINTS.call("POST", pk, "apply/", permission=BLUEPRINTS.permission("change"))
            )
        except (Temporary, UnexpectedAnswer) as error:
            if not may_have_happened(error):
                raise

    async def blueprint(self, pk: str) -> BlueprintInstance | None:
        """The instance by primary key."""
        return await self._api.find(BLUEPRINTS, pk, _instance)

    async def blueprint_lines(self, pk: str) -> tuple[str, ...]:
        """The log of the newest task that applied the instance: reasons only, attributes left out."""

        def own(body: object) -> Mapping[str, object] | None:
            same = str(mapping(body).get("rel_obj_id")).replace("-", "") == pk.replace("-", "")
            return mapping(body) if same else None

        found = await permitted(self._api.pages(TASKS, own, tasks_of(BLUEPRINTS, pk), max_pages=1))
        return _reasons(items(found[0], "logs"), self._api.redactor) if found else ()

    async def delete_blueprint(self, pk: str) -> bool:
        """Delete the instance; ``False`` when there was none."""
        return await self._api.delete(BLUEPRINTS, pk)

    async def exists(self, model: str, conditions: Sequence[tuple[str, str]]) -> bool | None:
        """Whether a list shows such an object; ``None`` for other models, and where the token may not look."""
        if model not in _LISTED:
            return None
        found = await permitted(self._api.pages(_LISTED[model], mapping))
        if found is None:
            return None
        return any(all(entry.get(field) == value for field, value in conditions) for entry in found)

    async def _stored(self, name: str) -> BlueprintInstance | None:
        return await self._api.first(
            BLUEPRINTS, _instance, lambda found: found.name == name, (("name", name),)
        )

    def _result(self, body: object) -> BlueprintResult:
        fields = mapping(body)
        return BlueprintResult(flag(fields, "success"), _reasons(items(fields, "logs"), self._api.redactor))


def _import_permissions(content: str) -> str:
    """What an import needs: the three rights on every model in it (authentik, ``check_blueprint_perms``)."""
    # With it comes a YAML reader, which most commands never need.
    from authentik_entra_bootstrap.blueprinting import load

    models = dict.fromkeys(str(entry["model"]) for entry in load(content).get("entries", ()))
    pairs = [model.partition(".") for model in models]
    return ", ".join(f"{app}.{verb}_{name}" for app, _, name in pairs for verb in ("add", "change", "delete"))


def _reasons(entries: Sequence[object], redactor: Redactor) -> tuple[str, ...]:
    """Texts of warnings and errors. Their attributes hold the whole entry, literal secrets included."""
    lines = []
    for entry in entries:
        if isinstance(entry, str):
            lines.append(redactor.text(entry))
        elif isinstance(entry, dict) and entry.get("log_level") in _REASON_LEVELS:
            model = text(child(child(entry, "attributes"), "entry"), "model")
            lines.append(redactor.text(f"{entry.get('event')}") + (f" ({model})" if model else ""))
    return tuple(lines)


def _instance(body: object) -> BlueprintInstance:
    fields = mapping(body)
    return BlueprintInstance(
        pk=needed_text(fields, "pk"),
        name=needed_text(fields, "name"),
        status=text(fields, "status") or "unknown",
        last_applied=moment(fields, "last_applied"),
    )
