"""What starts when a user or group is saved, deleted, or changes its members."""

from __future__ import annotations

from collections.abc import Callable

from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
from authentik_entra_bootstrap.sandbox.authentik.rest.model import Model
from authentik_entra_bootstrap.sandbox.authentik.state import Record
from authentik_entra_bootstrap.sandbox.authentik.worker import tasks
from authentik_entra_bootstrap.sandbox.authentik.worker.repository import Repository
from authentik_entra_bootstrap.sandbox.authentik.worker.tasks import Message, TaskBook

KINDS = {"authentik_core.user": "user", "authentik_core.group": "group"}


class Signals:
    """Listens to the models of users and groups and queues the tasks that authentik queues.

    :param wake: called after something was queued.
    """

    def __init__(self, repository: Repository, book: TaskBook, wake: Callable[[], None]) -> None:
        self._repository = repository
        self._book = book
        self._wake = wake
        self._members: dict[str, frozenset[int]] = {}
        self._connected = False

    def connect(self) -> None:
        """Begin to listen; a second call changes nothing."""
        if self._connected:
            return
        self._connected = True
        for label, kind in KINDS.items():
            model = self._repository.state.models.get(label)
            if model is not None:
                self._listen(model, kind)
        self.refresh()

    def refresh(self) -> None:
        """Take the memberships as they are now for granted."""
        self._members = self._memberships()

    def _listen(self, model: Model, kind: str) -> None:
        saved, deleting = model.saved, model.deleting

        def after_save(record: Record, ctx: Context, created: bool) -> None:
            if saved:
                saved(record, ctx, created)
            self._saved(kind, record)

        def before_delete(record: Record, ctx: Context) -> None:
            self._deleted(kind, record)
            if deleting:
                deleting(record, ctx)

        model.saved, model.deleting = after_save, before_delete

    def _memberships(self) -> dict[str, frozenset[int]]:
        groups = self._repository.state.tables["group"]
        return {str(group["pk"]): frozenset(self._repository.members(group)) for group in groups}

    def _saved(self, kind: str, record: Record) -> None:
        for provider in self._repository.assigned_all():
            self._queue(
                tasks.SYNC_DIRECT,
                provider,
                {"kind": kind, "pk": record["pk"]},
                f"{kind}:{record['pk']}:direct",
            )
        self.members_changed()

    def members_changed(self) -> None:
        """Queue a task for what was added to each group, and one for what was taken out."""
        before, self._members = self._members, self._memberships()
        for pk, now in self._members.items():
            then = before.get(pk, frozenset())
            for change in ({"added": sorted(now - then)}, {"removed": sorted(then - now)}):
                for provider in self._repository.assigned_all() if any(change.values()) else ():
                    self._queue(tasks.SYNC_MEMBERS, provider, {"pk": pk, **change}, f"group:{pk}:m2m")

    def _deleted(self, kind: str, record: Record) -> None:
        for connection in self._repository.connections_of(kind, record["pk"]):
            provider = self._repository.assigned(connection["provider"])
            if provider is not None:
                arguments = {"kind": kind, "connection": dict(connection)}
                uid = f"{kind}:{connection['microsoft_id']}:delete"
                self._queue(tasks.SYNC_DELETE, provider, arguments, uid)
            self._repository.disconnect(kind, connection)
        if kind == "group":
            self._members.pop(str(record["pk"]), None)
        else:
            # The database forgets memberships of deleted users without a signal.
            self._members = {pk: members - {record["pk"]} for pk, members in self._members.items()}

    def _queue(self, actor: str, provider: Record, arguments: Record, uid: str) -> None:
        self._book.add(
            Message(actor, {"provider_pk": provider["pk"], **arguments}),
            uid=f"{provider['name']}:{uid}",
            related=(*tasks.PROVIDER, str(provider["pk"])),
        )
        self._wake()
