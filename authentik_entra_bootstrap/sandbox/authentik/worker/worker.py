"""authentik's background worker, as the API and the sandbox's owner see it."""

from __future__ import annotations

import asyncio
from typing import Any

from authentik_entra_bootstrap.sandbox.authentik import audit
from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
from authentik_entra_bootstrap.sandbox.authentik.state import Record
from authentik_entra_bootstrap.sandbox.authentik.worker import tasks
from authentik_entra_bootstrap.sandbox.authentik.worker.engine import RESULT_WAIT, Engine, WorkerSwitches
from authentik_entra_bootstrap.sandbox.authentik.worker.expressions import ExpressionError, evaluate, plain
from authentik_entra_bootstrap.sandbox.authentik.worker.objects import User
from authentik_entra_bootstrap.sandbox.authentik.worker.repository import MODELS
from authentik_entra_bootstrap.sandbox.authentik.worker.tasks import Message

__all__ = ["Worker", "WorkerSwitches"]

NOBODY: Record = {"pk": None, "username": "", "name": "", "email": "", "is_active": True, "attributes": {}}
"""Whom a mapping sees that is tried without a user."""


class Worker(Engine):
    """authentik's background worker; see :class:`~.engine.Engine` for its parameters."""

    def settled(self) -> None:
        """:meth:`settle`, from another thread than the worker's.

        :raises TimeoutError: it takes longer.
        :raises RuntimeError: the worker is not running.
        """
        if self._loop is None:
            raise RuntimeError("the worker is not running")
        asyncio.run_coroutine_threadsafe(self.settle(), self._loop.get_loop()).result()

    def provider_saved(self, provider: Record, ctx: Context, *, created: bool) -> None:
        """Queue what a save of the provider starts, assigned or not: one full sync, two when it is new.

        Those two belong to no schedule: ``sync/status`` does not know them.

        :param ctx: gets a log line for each, for the blueprint import's reply.
        """
        schedule = self.schedules.for_provider(provider)
        for _ in range(2 if created else 1):
            record = self.send(schedule, alone=created)
            if record is not None:
                _note_enqueued(ctx, record)

    def try_mapping(self, mapping: Record, records: dict[str, Record], context: Record) -> tuple[Any, bool]:
        """What a mapping returns, in JSON's types, or the traceback's text and ``False``."""
        wrapped = {kind: self.repository.wrap(kind, record) for kind, record in records.items()}
        user = User(self.state, records.get("user", NOBODY))
        try:
            value = evaluate(self.state, mapping, {"user": None, **context, **wrapped}, user)
        except ExpressionError as error:
            return f"Traceback (most recent call last):\nbuiltins.{error}", False
        return plain(value), True

    async def sync_object(self, provider_pk: int, model: str, object_id: str, override_dry_run: bool) -> bool:
        """Queue the sync of one object; whether its result came in time: not from a refused sign-in, or a busy worker."""
        provider = self.state.tables["provider"].rows[provider_pk]
        kind = MODELS[model]
        arguments = {
            "provider_pk": provider_pk,
            "kind": kind,
            "pk": str(object_id),
            "override_dry_run": override_dry_run,
        }
        record = self.book.add(
            Message(tasks.SYNC_OBJECTS, arguments),
            uid=f"{provider['name']}:{kind}:{object_id}:manual",
            related=(*tasks.PROVIDER, str(provider_pk)),
        )
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._settled[record["message_id"]] = future
        self._wake_up()
        outcome = "queued"
        try:
            if self.working:
                async with asyncio.timeout(RESULT_WAIT):
                    outcome = await future
        except TimeoutError:
            return False
        finally:
            del self._settled[record["message_id"]]
        if outcome != "done":
            await asyncio.sleep(self.switches.patience)
        return outcome == "done"

    def provider_deleted(self, provider_pk: int) -> None:
        """Drop the provider's schedule, tasks and connections."""
        schedule = self.schedules.of_provider(provider_pk)
        owners = {(tasks.PROVIDER[1], str(provider_pk))}
        if schedule is not None:
            owners.add((tasks.SCHEDULE[1], str(schedule["id"])))
            self.state.tables["schedule"].remove(schedule["id"])
        for record in self.state.tables["task"]:
            if (record.get("rel_obj_model"), record["rel_obj_id"]) in owners:
                self.book.drop(record)
        for name in ("entra_user", "entra_group"):
            self.state.tables[name].remove_where(provider=provider_pk)

    def event_created(self, event: Record, ctx: Context) -> None:
        """Queue the dispatch of notifications for a new audit event."""
        _note_enqueued(ctx, self.book.add(Message(tasks.DISPATCH_EVENT, {"event": event["pk"]})))
        self._wake_up()


def _note_enqueued(ctx: Context, record: Record) -> None:
    note = {"task_id": record["message_id"], "task_name": record["actor_name"]}
    audit.log(ctx, "authentik.tasks.middleware", "Task enqueued", note)
