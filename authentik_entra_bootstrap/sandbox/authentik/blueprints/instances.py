"""Blueprint instances in the worker: applying one, and the hourly look for changed contents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from authentik_entra_bootstrap.sandbox.authentik.blueprints.values import slugify
from authentik_entra_bootstrap.sandbox.authentik.resources.blueprints import content_hash
from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
from authentik_entra_bootstrap.sandbox.authentik.rest.errors import ServerCrash

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.state import Record, State
    from authentik_entra_bootstrap.sandbox.authentik.worker.tasks import TaskBook


def apply_instance(state: State, book: TaskBook, task: Record, pk: Any) -> None:
    """Apply one instance and note how it went, in its row and in the task's log."""
    instance = state.tables["blueprint"].get(pk)
    if instance is None:
        book.log(task, "warning", f"Could not find blueprint {pk}, skipping")
        return
    task["uid"] = f"{task['actor_name']}:{slugify(instance['name'])}"
    if not instance["enabled"]:
        book.log(task, "info", f"Blueprint {instance['name']} is disabled, skipping")
        return
    instance["status"] = "successful" if _applied(state, book, task, instance) else "error"
    instance["last_applied"] = state.now()


def _applied(state: State, book: TaskBook, task: Record, instance: Record) -> bool:
    content = instance["content"]
    if not content:  # one of authentik's own files, whose objects are there already
        return True
    try:
        metadata = state.blueprints.metadata(content)
        context = Context(state=state, blueprint=True)
        success, logs = state.blueprints.apply(content, instance["context"], context)
    except ServerCrash as exc:
        book.log(task, "error", str(exc))
        return False
    if metadata:
        instance["metadata"] = metadata
    if success:
        instance["last_applied_hash"] = content_hash(content)
    else:
        task["logs"] += logs
    return success


def changed(state: State) -> list[Any]:
    """Keys of enabled instances whose content is not what was applied last."""
    return [
        row["pk"]
        for row in state.tables["blueprint"]
        if row["enabled"] and row["content"] and content_hash(row["content"]) != row["last_applied_hash"]
    ]
