"""What starts when a user or group is saved, deleted, or changes its members."""

from __future__ import annotations

from collections.abc import Callable

from authentik_entra_bootstrap.sandbox.authentik.state import Record
from authentik_entra_bootstrap.sandbox.authentik.worker import tasks
from authentik_entra_bootstrap.sandbox.authentik.worker.repository import Repository
from authentik_entra_bootstrap.sandbox.authentik.worker.tasks import Message, TaskBook


class Signals:
    """Queues the tasks that authentik queues when its users and groups change.

    :param wake: called after something was queued.
    """

    def __init__(self, repository: Repository, book: TaskBook, wake: Callable[[], None]) -> None:
        self._repository = repository
        self._book = book
        self._wake = wake
        self._members = self._memberships()

    def refresh(self) -> None:
        """Forget which memberships changed until now."""
        self._members = self._memberships()

    def _memberships(self) -> dict[str, frozenset[int]]:
        groups = self._repository.state.tables["group"]
        return {str(group["pk"]): frozenset(self._repository.members(group)) for group in groups}

    def saved(self, kind: str, record: Record) -> None:
        """A user or group was saved: queue its sync for every assigned provider."""
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

    def deleted(self, kind: str, record: Record) -> None:
        """A user or group is deleted: queue the deletion of what it is linked to, and forget the links."""
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
