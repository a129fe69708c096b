"""authentik's worker: starting syncs, making it prove its secret, reading what it did."""

from __future__ import annotations

import asyncio
import re

from authentik_client.models.sync_object_request import SyncObjectRequest

from authentik_entra_bootstrap.authentik import records
from authentik_entra_bootstrap.authentik.audit import PROVIDER_MODEL
from authentik_entra_bootstrap.authentik.client import Part
from authentik_entra_bootstrap.authentik.failures import may_have_happened
from authentik_entra_bootstrap.authentik.permission_names import (
    ADD_PROVIDER,
    VIEW_PROVIDER,
    VIEW_PROVIDER_USER,
    VIEW_TASK,
)
from authentik_entra_bootstrap.authentik.providers import ONE_PROVIDER
from authentik_entra_bootstrap.authentik.requests import Call, typed
from authentik_entra_bootstrap.authentik.server import PROVIDERS
from authentik_entra_bootstrap.domain import ProviderPk, SyncStatus, TaskRecord
from authentik_entra_bootstrap.errors import Denied, Temporary

TASKS = "/tasks/tasks/"
PROVISIONED_USERS = "/providers/microsoft_entra_users/"
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


class Syncs(Part):
    """Sync calls, tasks and connections of one provider."""

    async def request_proof(self, pk: ProviderPk, probe_id: int) -> str | None:
        """Ask for the sync of a user that does not exist; whatever comes back proves nothing.

        :raises Denied: ``authentik-permission-missing``.
        :raises NotFound: no such provider.
        """
        wanted = {"sync_object_model": USER_MODEL, "sync_object_id": str(probe_id)}
        call = Call(
            "POST",
            ONE_PROVIDER + "sync/object/",
            {"pk": pk},
            body=typed(SyncObjectRequest, wanted),
            permission=ADD_PROVIDER,
            read_timeout=max(self._api.network.read_timeout, _PROOF_TIMEOUT),
        )
        try:
            return (await self._api.once(call)).request_id
        except Temporary as error:
            if not may_have_happened(error):
                raise
            return error.trace.request_id if error.trace else None

    async def proof_task(self, pk: ProviderPk, provider_name: str, probe_id: int) -> TaskRecord | None:
        """The task of one proof, told apart by the id that was asked for."""
        ending = f":{provider_name}:user:{probe_id}:manual"
        tasks = await self._tasks(pk, 100, _PROOF_PAGES, ending)
        return next((task for task in tasks if task.uid.endswith(ending)), None)

    async def sync_tasks(self, pk: ProviderPk) -> tuple[TaskRecord, ...]:
        """The newest tasks of the provider, newest first."""
        return tuple(await self._tasks(pk, _NEWEST, 1, None))

    async def scheduled_tasks(self, provider_name: str) -> tuple[TaskRecord, ...]:
        """The newest page syncs of a provider by its name, newest first, whoever started them.

        Tasks that a schedule starts hang on the schedule and not on the provider; only their ``uid`` names it.
        """
        return await self._of_actor(SYNC_PAGE, rf":{re.escape(provider_name)}:(user|group):\d+")

    async def full_syncs(self, provider_name: str) -> tuple[TaskRecord, ...]:
        """The newest full syncs of a provider by its name, newest first, whoever started them."""
        return await self._of_actor(FULL_SYNC, f":{re.escape(provider_name)}")

    async def _of_actor(self, actor: str, rest: str) -> tuple[TaskRecord, ...]:
        mine = re.compile(re.escape(actor) + rest)

        def of_provider(body: object) -> TaskRecord | None:
            task = records.task(records.mapping(body), self._api.redactor)
            return task if mine.fullmatch(task.uid) else None

        found = await self._api.pages(
            TASKS,
            of_provider,
            permission=VIEW_TASK,
            query=(("actor_name", actor), ("ordering", "-mtime")),
            page_size=_NEWEST_OF_ALL,
            max_pages=1,
        )
        return tuple(task for task in found if task is not None)

    async def running_syncs(self, besides: str = "") -> tuple[str, ...]:
        """Names of the providers whose full sync runs now; without the one called ``besides``.

        The tasks tell in one request which may; ``sync/status`` is asked of those alone, because a worker that was
        killed leaves tasks behind that say they run.
        """
        tasks = await self._api.pages(
            TASKS,
            lambda body: records.task(records.mapping(body), self._api.redactor),
            permission=VIEW_TASK,
            query=(("actor_name", FULL_SYNC), ("state", "running"), ("ordering", "-mtime")),
            page_size=_NEWEST_OF_ALL,
            max_pages=1,
        )
        names = {task.uid.removeprefix(f"{FULL_SYNC}:") for task in tasks} - {besides}
        if not names:
            return ()
        providers = await self._api.pages(PROVIDERS, records.provider, permission=VIEW_PROVIDER)
        candidates = [provider for provider in providers if provider.name in names]
        states = await asyncio.gather(*(self.sync_status(provider.pk) for provider in candidates))
        return tuple(item.name for item, state in zip(candidates, states, strict=True) if state.is_running)

    async def sync_status(self, pk: ProviderPk) -> SyncStatus:
        """authentik's own view of the last sync."""
        reply = await self._api.get(ONE_PROVIDER + "sync/status/", permission=VIEW_PROVIDER, pk=pk)
        return self._api.read(reply, records.sync_status)

    async def provisioned_users(self, pk: ProviderPk) -> tuple[str, ...]:
        """User principal names of the provider's connections (the user name where none is stored)."""

        def principal(body: object) -> str | None:
            fields = records.mapping(body)
            if records.number(fields, "provider") not in {None, pk}:
                return None
            attributes = records.child(fields, "attributes")
            local = records.child(fields, "user_obj")
            return (
                records.text(attributes, "userPrincipalName")
                or records.text(attributes, "mail")
                or records.text(local, "email")
                or records.text(local, "username")
            )

        found = await self._api.pages(
            PROVISIONED_USERS, principal, permission=VIEW_PROVIDER_USER, query=(("provider__id", str(pk)),)
        )
        return tuple(name for name in found if name)

    async def linked_users(self, pk: ProviderPk) -> frozenset[int] | None:
        """Primary keys of the users that authentik has linked to accounts of the tenant.

        ``None`` where the token may not look.
        """

        def user(body: object) -> int | None:
            fields = records.mapping(body)
            # Unknown filters are ignored silently by authentik, so the entry itself is looked at.
            return records.number(fields, "user") if records.number(fields, "provider") == pk else None

        try:
            found = await self._api.pages(
                PROVISIONED_USERS, user, permission=VIEW_PROVIDER_USER, query=(("provider__id", str(pk)),)
            )
        except Denied as error:
            if error.code != "authentik-permission-missing":
                raise
            return None
        return frozenset(key for key in found if key is not None)

    async def _tasks(
        self, pk: ProviderPk, page_size: int, max_pages: int, ending: str | None
    ) -> list[TaskRecord]:
        app, model = PROVIDER_MODEL

        def ours(body: object) -> TaskRecord | None:
            fields = records.mapping(body)
            if str(fields.get("rel_obj_id", pk)) != str(pk):
                return None
            return records.task(fields, self._api.redactor)

        found = await self._api.pages(
            TASKS,
            ours,
            permission=VIEW_TASK,
            query=(
                ("rel_obj_content_type__app_label", app),
                ("rel_obj_content_type__model", model),
                ("rel_obj_id", str(pk)),
                ("ordering", "-mtime"),
            ),
            page_size=page_size,
            max_pages=max_pages,
            done=lambda task: ending is not None and task is not None and task.uid.endswith(ending),
        )
        return [task for task in found if task is not None]
