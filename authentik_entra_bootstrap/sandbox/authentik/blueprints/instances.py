"""Blueprint instances in the worker: applying one, and the hourly look for changed contents."""

from __future__ import annotations

from hashlib import sha512
from typing import TYPE_CHECKING, Any

from authentik_entra_bootstrap.sandbox.authentik.blueprints.values import slugify
from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
from authentik_entra_bootstrap.sandbox.authentik.rest.errors import ServerCrash
from authentik_entra_bootstrap.sandbox.authentik.state import Record, State

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.blueprints.service import BlueprintImporter
    from authentik_entra_bootstrap.sandbox.authentik.worker.tasks import TaskBook


def content_hash(content: str) -> str:
    """The hash that authentik keeps of what it applied last: SHA-512 in hex."""
    return sha512(content.encode()).hexdigest()


class Instances:
    """The instances of one authentik.

    :param book: gets the log lines of their tasks.
    """

    def __init__(self, state: State, importer: BlueprintImporter, book: TaskBook) -> None:
        self._state = state
        self._importer = importer
        self._book = book

    def apply(self, task: Record, pk: Any) -> None:
        """Apply one instance and note how it went, in its row and in the task's log."""
        instance = self._state.tables["blueprint"].get(pk)
        if instance is None:
            self._book.log(task, "warning", f"Could not find blueprint {pk}, skipping")
            return
        task["uid"] = f"{task['actor_name']}:{slugify(instance['name'])}"
        if not instance["enabled"]:
            self._book.log(task, "info", f"Blueprint {instance['name']} is disabled, skipping")
            return
        instance["status"] = "successful" if self._applied(task, instance) else "error"
        instance["last_applied"] = self._state.now()

    def _applied(self, task: Record, instance: Record) -> bool:
        content = self._importer.content_of(instance)
        if content is None and self._importer.bundled(instance):
            return True
        if content is None:
            self._book.log(task, "error", "Failed to retrieve the blueprint's content")
            return False
        try:
            metadata = self._importer.metadata(content)
            context = instance.get("context") or {}
            result = self._importer.apply(content, context, Context(state=self._state, blueprint=True))
        except ServerCrash as exc:
            self._book.log(task, "error", str(exc))
            return False
        if metadata:
            instance["metadata"] = metadata
        if not result.success:
            task["logs"] += result.logs
            return False
        instance["last_applied_hash"] = content_hash(content)
        return True

    def changed(self) -> list[Any]:
        """Keys of enabled instances whose content is not what was applied last."""
        found = []
        for instance in self._state.tables["blueprint"]:
            content = self._importer.content_of(instance) if instance["enabled"] else None
            if content is not None and content_hash(content) != instance.get("last_applied_hash"):
                found.append(instance["pk"])
        return found
