"""What authentik did: the proof of its secret, its tasks and syncs, and the events of its audit trail."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from authentik_client.models.event_request import EventRequest
from authentik_client.models.sync_object_request import SyncObjectRequest

from authentik_entra_bootstrap.authentik.api_errors import may_have_happened
from authentik_entra_bootstrap.authentik.client import Part
from authentik_entra_bootstrap.authentik.providers import provider
from authentik_entra_bootstrap.authentik.requests import (
    EVENTS,
    HIDDEN,
    PROVIDERS,
    TASKS,
    Query,
    Redactor,
    Resource,
    child,
    flag,
    holds_secret,
    items,
    mapping,
    moment,
    needed_text,
    text,
    typed,
)
from authentik_entra_bootstrap.domain import (
    OwnEvent,
    ProviderChange,
    ProviderPk,
    SyncStatus,
    TaskRecord,
)
from authentik_entra_bootstrap.errors import (
    BootstrapError,
    Denied,
    Temporary,
)
from authentik_entra_bootstrap.support.waiting import result

USER_MODEL = "authentik.core.models.User"
SYNC_PAGE = "authentik.enterprise.providers.microsoft_entra.tasks.microsoft_entra_sync_objects"
"""The actor that syncs one page of a provider, and signs in for it."""
FULL_SYNC = "authentik.enterprise.providers.microsoft_entra.tasks.microsoft_entra_sync"
"""The actor that syncs a whole provider, and waits for its pages."""
_PROOF_TIMEOUT = 30.0
"""Seconds. authentik waits 10 s for the result before it gives up (its empty 405)."""
_NEWEST = 20
_NEWEST_OF_ALL = 100
_PROOF_PAGES = 10
_LONGEST_ATTRIBUTES = 600
EVENT_APP = "authentik_entra_bootstrap"
OWN_ACTIONS = ("secret_rotate", "configuration_error", "configuration_warning")
"""authentik's actions that fit what we tell; it takes no others."""
_CHANGES = {"model_created", "model_updated"}
_FEW = 20
_FEW_PAGES = 5
_log = logging.getLogger(__name__)


class Syncs(Part):
    """Sync calls and tasks of one provider."""

    async def request_proof(self, pk: ProviderPk, probe_id: int) -> str | None:
        """Ask for the sync of a user that does not exist. The answer proves nothing."""
        wanted = {"sync_object_model": USER_MODEL, "sync_object_id": str(probe_id)}
        call = PROVIDERS.call(
            "POST",
            pk,
            "sync/object/",
            body=typed(SyncObjectRequest, wanted),
            read_timeout=max(self._api.network.read_timeout, _PROOF_TIMEOUT),
        )
        try:
            return (await self._api.once(call)).request_id
        except Temporary as error:
            if not may_have_happened(error):
                raise
            return error.trace.request_id if error.trace else None

    async def proof_task(self, pk: ProviderPk, provider_name: str, probe_id: int) -> TaskRecord | None:
        """The task of one proof, found by the requested id."""
        ending = f":{provider_name}:user:{probe_id}:manual"

        def proof(found: TaskRecord) -> bool:
            return found.uid.endswith(ending)

        found = await self._of_provider(pk, _NEWEST_OF_ALL, _PROOF_PAGES, proof)
        return next(filter(proof, found), None)

    async def sync_tasks(self, pk: ProviderPk) -> tuple[TaskRecord, ...]:
        """The newest tasks of the provider, newest first."""
        return tuple(await self._of_provider(pk, _NEWEST, 1))

    async def scheduled_tasks(self, provider_name: str) -> tuple[TaskRecord, ...]:
        """The newest page syncs of a provider by its name, newest first, scheduled ones included.

        Tasks that a schedule starts hang on the schedule and not on the provider; only their ``uid`` names it.
        """
        return await self._of_actor(SYNC_PAGE, rf":{re.escape(provider_name)}:(user|group):\d+")

    async def full_syncs(self, provider_name: str) -> tuple[TaskRecord, ...]:
        """The newest full syncs of a provider by its name, newest first, scheduled ones included."""
        return await self._of_actor(FULL_SYNC, f":{re.escape(provider_name)}")

    async def running_syncs(self, besides: str = "") -> tuple[str, ...]:
        """Names of the providers whose full sync runs now; without the one called ``besides``.

        The tasks tell in one request which may; ``sync/status`` is asked of those alone, because a worker that was
        killed leaves tasks behind that say they run.
        """
        tasks = await self._of_actor(FULL_SYNC, ":.*", ("state", "running"))
        names = {found.uid.removeprefix(f"{FULL_SYNC}:") for found in tasks} - {besides}
        if not names:
            return ()
        found = await self._api.pages(PROVIDERS, provider)
        candidates = [item for item in found if item.name in names]
        read = await asyncio.gather(
            *(self.sync_status(item.pk) for item in candidates), return_exceptions=True
        )
        states = zip(candidates, map(result, read), strict=True)
        return tuple(item.name for item, state in states if state.is_running)

    async def sync_status(self, pk: ProviderPk) -> SyncStatus:
        """authentik's own view of the last sync."""
        reply = await self._api.repeat(PROVIDERS.call("GET", pk, "sync/status/"))
        return self._api.read(reply, sync_status)

    async def _of_provider(
        self,
        pk: ProviderPk,
        page_size: int,
        max_pages: int,
        done: Callable[[TaskRecord], bool] = lambda _: False,
    ) -> list[TaskRecord]:
        def own(body: object) -> TaskRecord | None:
            same = str(mapping(body).get("rel_obj_id", pk)) == str(pk)
            return task(body, self._api.redactor) if same else None

        query = tasks_of(PROVIDERS, pk)
        return await self._api.pages(TASKS, own, query, page_size=page_size, max_pages=max_pages, done=done)

    async def _of_actor(self, actor: str, rest: str, *filters: tuple[str, str]) -> tuple[TaskRecord, ...]:
        uid = re.compile(re.escape(actor) + rest, re.DOTALL)

        def own(body: object) -> TaskRecord | None:
            found = task(body, self._api.redactor)
            return found if uid.fullmatch(found.uid) else None

        query = (("actor_name", actor), *filters, ("ordering", "-mtime"))
        return tuple(await self._api.pages(TASKS, own, query, page_size=_NEWEST_OF_ALL, max_pages=1))


class AuditTrail(Part):
    """Reads and writes authentik's events. authentik ignores filters that it does not know: each event is looked at."""

    async def last_change(self, pk: ProviderPk) -> ProviderChange | None:
        """The newest event that created or changed the provider."""
        app, _, model = PROVIDERS.label.partition(".")

        def of_provider(event: object) -> ProviderChange | None:
            about = child(child(mapping(event), "context"), "model")
            same = (str(about.get("pk")), about.get("app"), about.get("model_name")) == (str(pk), app, model)
            return change(event) if same and text(mapping(event), "action") in _CHANGES else None

        query = (
            ("context_model_app", app),
            ("context_model_name", model),
            ("context_model_pk", str(pk)),
            ("ordering", "-created"),
        )
        found = await self._api.pages(
            EVENTS, of_provider, query, page_size=_FEW, max_pages=_FEW_PAGES, done=bool
        )
        changes = sorted(found, key=lambda entry: entry.created, reverse=True)
        if not changes:
            return None
        return replace(changes[0], earlier=tuple(entry.request_id for entry in changes[1:]))

    async def emit_event(self, action: str, context: Mapping[str, object]) -> None:
        """Write an event, best effort."""
        try:
            body = typed(EventRequest, {"action": action, "app": EVENT_APP, "context": dict(context)})
            await self._api.once(EVENTS.call("POST", body=body))
        except Denied:
            raise
        except BootstrapError as error:
            _log.debug("audit event %s not written: %s", action, error.code)

    async def own_events(self, connection: str) -> tuple[OwnEvent, ...]:
        """The newest events of our own about a connection, newest first."""

        def own(event: object) -> OwnEvent | None:
            fields = mapping(event)
            context, created = child(fields, "context"), moment(fields, "created")
            if fields.get("app") != EVENT_APP or context.get("connection") != connection or created is None:
                return None
            return OwnEvent(text(context, "happened") or "", created, text(context, "code") or "")

        query = (*(("actions", action) for action in OWN_ACTIONS), ("ordering", "-created"))
        return tuple(await self._api.pages(EVENTS, own, query, page_size=_FEW, max_pages=1))


def tasks_of(resource: Resource, pk: str | int) -> Query:
    """Filters of the tasks list for those of one object, newest first."""
    app, _, model = resource.label.partition(".")
    return (
        ("rel_obj_content_type__app_label", app),
        ("rel_obj_content_type__model", model),
        ("rel_obj_id", str(pk)),
        ("ordering", "-mtime"),
    )


def sync_status(body: object) -> SyncStatus:
    """authentik's view of its last sync; 2026.5 leaves fields out before the first one."""
    fields = mapping(body)
    return SyncStatus(
        flag(fields, "is_running"), moment(fields, "last_successful_sync"), text(fields, "last_sync_status")
    )


def task(body: object, redactor: Redactor) -> TaskRecord:
    """One task of the worker with its log lines, earlier attempts first, secrets removed."""
    fields = mapping(body)
    entries = [*items(fields, "previous_logs"), *items(fields, "logs")]
    return TaskRecord(
        uid=needed_text(fields, "uid"),
        state=text(fields, "state") or text(fields, "aggregated_status") or "",
        mtime=moment(fields, "mtime"),
        log_lines=tuple(redactor.text(_line(entry)) for entry in entries if isinstance(entry, str | dict)),
    )


def _line(entry: str | Mapping[str, object]) -> str:
    if isinstance(entry, str):
        return entry
    attributes = entry.get("attributes")
    shown = [
        f"{name}={_shown(str(name), value)}"
        for name, value in (attributes.items() if isinstance(attributes, dict) else ())
        if value is not None
    ]
    return f"{entry.get('event') or ''}" + (f" [{', '.join(shown)[:_LONGEST_ATTRIBUTES]}]" if shown else "")


def _shown(name: str, value: object) -> str:
    if holds_secret(name):
        return HIDDEN
    if isinstance(value, str):
        return value
    exceptions = [part for part in (value if isinstance(value, list) else [value]) if isinstance(part, dict)]
    # A structured traceback holds frames, which may hold local variables: only type and text are taken.
    told = [f"{part.get('exc_type')}: {part.get('exc_value')}" for part in exceptions if "exc_type" in part]
    return "; ".join(told) or json.dumps(_without_secrets(value), default=str)


def _without_secrets(value: object) -> object:
    if isinstance(value, dict):
        return {
            key: HIDDEN if holds_secret(str(key)) else _without_secrets(entry) for key, entry in value.items()
        }
    return [_without_secrets(entry) for entry in value] if isinstance(value, list) else value


def change(event: object) -> ProviderChange | None:
    """An event as a change of an object; ``None`` for one without a time."""
    fields = mapping(event)
    created = moment(fields, "created")
    if created is None:
        return None
    request = child(child(fields, "context"), "http_request")
    return ProviderChange(
        request_id=text(request, "request_id") or None,
        action=text(fields, "action") or "",
        created=created,
        user=text(child(fields, "user"), "username"),
        user_agent=text(request, "user_agent") or None,
    )
