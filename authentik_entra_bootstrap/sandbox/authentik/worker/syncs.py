"""What the worker's tasks do. Names, order of steps and log lines follow authentik's outgoing sync."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from authentik_entra_bootstrap.sandbox.authentik import audit
from authentik_entra_bootstrap.sandbox.authentik.resources.providers import seconds
from authentik_entra_bootstrap.sandbox.authentik.state import Record
from authentik_entra_bootstrap.sandbox.authentik.worker.graph import (
    BadRequestSyncError,
    DryRunRejectedError,
    FaultError,
    GraphSession,
    SkipObjectError,
    StopSyncError,
    TransientSyncError,
    Transport,
)
from authentik_entra_bootstrap.sandbox.authentik.worker.provisioning import (
    GroupClient,
    ObjectClient,
    UserClient,
)
from authentik_entra_bootstrap.sandbox.authentik.worker.repository import Repository
from authentik_entra_bootstrap.sandbox.authentik.worker.tasks import (
    SYNC_OBJECTS,
    Message,
    RelatedObject,
    TaskBook,
)

PLURALS = {"user": "Users", "group": "Groups"}
NO_PROVIDER = "No provider found. Is it assigned to an application?"

RunPages = Callable[[Record, list[Record], float], Awaitable[None]]
"""Lets a full sync wait for its page tasks, at most so many seconds of sandbox time; raises when one is given up."""


class SyncActors:
    """The tasks of the Microsoft Entra provider.

    :param running: primary keys of providers whose full sync holds the lock; shared with the worker.
    """

    def __init__(
        self, repository: Repository, book: TaskBook, transport: Callable[[], Transport], running: set[int]
    ) -> None:
        self._repository = repository
        self._book = book
        self._transport = transport
        self._running = running

    def _assigned(self, task: Record, provider_pk: int) -> Record | None:
        """The provider, if an application uses it; without one the task's log says so."""
        provider = self._repository.assigned(provider_pk)
        if provider is None:
            self._book.log(task, "warning", NO_PROVIDER)
        return provider

    async def _client(self, provider: Record, kind: str, *, dry_run: bool) -> ObjectClient:
        """Sign in and read the organization, as authentik does for every client it makes."""
        graph = GraphSession(self._transport(), provider, dry_run=dry_run)
        domains: list[str] = []
        async for organization in graph.pages("/organization"):
            domains += [domain["name"] for domain in organization.get("verifiedDomains", ())]
        cls = UserClient if kind == "user" else GroupClient
        return cls(self._repository, provider, graph, domains)

    async def full_sync(self, task: Record, provider_pk: int, run_pages: RunPages) -> None:
        """Sync every user, then every group, page by page in tasks of their own; then remove what left the scope.

        A refusal while removing ends the task with an error line; it counts as done all the same.

        :raises TransientSyncError: when Microsoft cannot be reached for removing.
        :raises FaultError: where the release's removing fails; the whole sync is then repeated.
        """
        provider = self._assigned(task, provider_pk)
        if provider is None:
            return
        self._book.log(task, "info", "Starting full provider sync")
        if provider_pk in self._running:
            self._book.log(task, "info", "Synchronization is already running. Skipping.")
            return
        self._running.add(provider_pk)
        try:
            for kind in ("user", "group"):
                pages = self._page_tasks(task, provider, kind)
                limit = (seconds(provider["sync_page_timeout"]) or 1800) * len(pages) * 1.5
                await run_pages(task, pages, limit)
            await self._clean_up(task, provider_pk)
        except StopSyncError as exc:
            self._book.log(task, "error", str(exc))
        finally:
            self._running.discard(provider_pk)

    def _page_tasks(self, task: Record, provider: Record, kind: str) -> list[Record]:
        size = max(int(provider["sync_page_size"]), 1)
        count = max(-(-len(self._repository.in_scope(provider, kind)) // size), 1)
        related: RelatedObject | None = None
        if task["rel_obj_id"] is not None:
            related = (task["rel_obj_app_label"], task["rel_obj_model"], task["rel_obj_id"])
        return [
            self._book.add(
                Message(SYNC_OBJECTS, {"provider_pk": provider["pk"], "kind": kind, "page": page}),
                uid=f"{provider['name']}:{kind}:{page}",
                related=related,
            )
            for page in range(1, count + 1)
        ]

    async def _clean_up(self, task: Record, provider_pk: int) -> None:
        """Remove what is linked and no longer in scope, as the release does it: not at all, failing, or at last."""
        provider = self._repository.assigned(provider_pk)
        way = self._repository.state.profile.clean_up
        if provider is None or way == "none":
            return
        for kind in ("user", "group"):
            client = await self._client(provider, kind, dry_run=bool(provider["dry_run"]))
            scope = {row["pk"] for row in self._repository.in_scope(provider, kind)}
            for connection in self._repository.connections(provider, kind):
                if connection[kind] in scope:
                    continue
                if way == "failing":
                    name = f"MicrosoftEntraProvider{kind.title()}"
                    raise FaultError(f"'{name}' object has no attribute 'scim_id'")
                try:
                    await client.delete(connection)
                    self._book.log(task, "info", f"Deleted out-of-scope {kind}")
                except DryRunRejectedError:
                    continue

    async def sync_objects(
        self,
        task: Record,
        *,
        provider_pk: int,
        kind: str,
        page: int = 1,
        pk: str | None = None,
        override_dry_run: bool = False,
    ) -> None:
        """Sync one page of users or groups, or one object.

        :param pk: the only object wanted; one that does not exist makes the page empty.
        :raises SyncError: for a refused sign-in, and for objects that Microsoft Graph does not know yet.
        """
        provider = self._assigned(task, provider_pk)
        if provider is None:
            return
        dry_run = bool(provider["dry_run"]) and not override_dry_run
        try:
            client = await self._client(provider, kind, dry_run=dry_run)
            if provider.get("discovery_enabled", True):
                await client.discover()
        except TransientSyncError:
            return
        self._book.log(task, "info", f"Syncing page {page} or {PLURALS[kind]}")
        scope = self._repository.in_scope(provider, kind)
        if pk is not None:
            scope = [row for row in scope if str(row["pk"]) == pk]
        size = max(int(provider["sync_page_size"]), 1)
        for record in scope[(page - 1) * size : page * size]:
            if not await self._write_one(task, client, record):
                break

    async def _write_one(self, task: Record, client: ObjectClient, record: Record) -> bool:
        """Write one object of a page; ``False`` when the rest is pointless."""
        name, shown = str(self._repository.wrap(client.kind, record)), _shown(client.kind, record)
        try:
            await client.write(record)
        except SkipObjectError:
            pass
        except DryRunRejectedError as exc:
            said = {"method": exc.method, "url": exc.url, "body": exc.body}
            self._book.log(task, "info", "Dropping mutating request due to dry run", obj=shown, **said)
        except (BadRequestSyncError, TransientSyncError) as exc:
            kind = "transient " if isinstance(exc, TransientSyncError) else ""
            self._book.log(task, "warning", f"Failed to sync {name} due to {kind}error: {exc}", obj=shown)
        except StopSyncError as exc:
            self._book.log(task, "warning", f"Stopping sync due to error: {exc.detail()}", obj=shown)
            return False
        return True

    async def sync_direct(self, task: Record, *, provider_pk: int, kind: str, pk: Any) -> None:
        """A user or group was saved.

        :raises SyncError: for what should be tried again.
        """
        record = self._repository.find(kind, pk)
        provider = self._assigned(task, provider_pk) if record is not None else None
        if record is None or provider is None:
            return
        if all(row["pk"] != pk for row in self._repository.in_scope(provider, kind)):
            return
        client = await self._client(provider, kind, dry_run=bool(provider["dry_run"]))
        await _quietly(client.write(record))

    async def sync_delete(self, task: Record, *, provider_pk: int, kind: str, connection: Record) -> None:
        """A connected user or group was deleted here.

        :raises SyncError: for what should be tried again.
        """
        provider = self._assigned(task, provider_pk)
        if provider is None:
            return
        client = await self._client(provider, kind, dry_run=bool(provider["dry_run"]))
        await _quietly(client.delete(connection))

    async def sync_members(
        self,
        task: Record,
        *,
        provider_pk: int,
        pk: str,
        added: Sequence[int] = (),
        removed: Sequence[int] = (),
    ) -> None:
        """A group's members changed.

        :raises SyncError: for what should be tried again.
        """
        group = self._repository.find("group", pk)
        provider = self._assigned(task, provider_pk) if group is not None else None
        if group is None or provider is None:
            return
        client = await self._client(provider, "group", dry_run=bool(provider["dry_run"]))
        if isinstance(client, GroupClient):
            work = client.add_members(group, added) if added else client.remove_members(group, removed)
            await _quietly(work)


async def _quietly(work: Awaitable[Any]) -> None:
    """Tasks of single changes pass over skipped objects, dry runs and every refusal, without a line in their log."""
    try:
        await work
    except (SkipObjectError, DryRunRejectedError, StopSyncError, BadRequestSyncError):
        return


def _shown(kind: str, record: Record) -> Record:
    """The object as a task's log line has it."""
    if kind == "user":
        return audit.show_user(record)
    return {
        "pk": audit.undashed(record["pk"]),
        "app": "authentik_core",
        "name": record["name"],
        "model_name": "group",
    }
