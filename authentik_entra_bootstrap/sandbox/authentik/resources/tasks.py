"""Tasks and schedules of the worker, as the API shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from authentik_entra_bootstrap.sandbox.authentik.rest import filters
from authentik_entra_bootstrap.sandbox.authentik.rest.bodies import Reply
from authentik_entra_bootstrap.sandbox.authentik.rest.fields import (
    BOOLEAN,
    EMPTY,
    KEY,
    MOMENT,
    NULLABLE_STRING,
    STRING,
    Field,
    Shape,
    array,
    computed,
    ref,
)
from authentik_entra_bootstrap.sandbox.authentik.rest.model import Model, Serializer
from authentik_entra_bootstrap.sandbox.authentik.rest.views import Action, ModelView, View

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.state import State

TASK_STATES = ("queued", "consumed", "preprocess", "running", "postprocess", "rejected", "done")
TASK_STATUSES = (*TASK_STATES, "info", "warning", "error")

TASK: dict[str, Shape] = {
    "message_id": KEY,
    "queue_name": STRING,
    "actor_name": STRING,
    "state": ref("TaskStatusEnum"),
    "mtime": MOMENT,
    "retries": {"type": "integer", "format": "int64"},
    "eta": {**MOMENT, "nullable": True},
    "rel_obj_app_label": STRING,
    "rel_obj_model": STRING,
    "rel_obj_id": NULLABLE_STRING,
    "uid": STRING,
    "logs": array(ref("LogEvent")),
    "previous_logs": array(ref("LogEvent")),
    "aggregated_status": ref("TaskAggregatedStatusEnum"),
    "description": NULLABLE_STRING,
}
SCHEDULE: dict[str, Shape] = {
    "id": KEY,
    "identifier": NULLABLE_STRING,
    "uid": STRING,
    "actor_name": STRING,
    "rel_obj_app_label": STRING,
    "rel_obj_model": STRING,
    "rel_obj_id": NULLABLE_STRING,
    "crontab": STRING,
    "paused": BOOLEAN,
    "next_run": MOMENT,
    "description": NULLABLE_STRING,
    "last_task_status": {"allOf": [ref("LastTaskStatusEnum")], "nullable": True},
}


def column(name: str, shape: Shape) -> Field:
    """A column that is shown when the row has it: tasks without an object lack the object's kind."""
    return computed(shape, lambda record, _ctx: record.get(name, EMPTY))


def serializer_of(name: str, columns: dict[str, Shape]) -> Serializer:
    """Columns with their shapes."""
    return Serializer(name, {key: column(key, shape) for key, shape in columns.items()})


FILTERS: dict[str, filters.Filter] = {
    "rel_obj_content_type__app_label": filters.equal("rel_obj_app_label"),
    "rel_obj_content_type__model": filters.equal("rel_obj_model"),
    "rel_obj_id__isnull": filters.flag("rel_obj_id", is_null=True),
    **filters.exact("rel_obj_id", "actor_name"),
}
"""The filters by the object of a task or schedule."""


def views(state: State) -> list[View]:
    """The addresses of this module; registers its models."""
    task = Model(
        state=state,
        label="authentik_tasks.task",
        serializer=serializer_of("Task", TASK),
        title=lambda record: str(record["message_id"]),
        audited=False,
    )
    schedule = Model(
        state=state,
        label="authentik_tasks_schedules.schedule",
        serializer=serializer_of("Schedule", SCHEDULE),
        title=lambda record: f"Schedule {record['actor_name']}:{record['uid']}",
    )
    tasks = ModelView(
        path="tasks/tasks",
        model=task,
        standard=("list", "retrieve"),
        lookup_name="message_id",
        filters={
            **FILTERS,
            **filters.exact("queue_name"),
            "state": filters.one_of("state", TASK_STATES, last=True),
            "aggregated_status": filters.one_of("aggregated_status", TASK_STATUSES),
        },
        search=["message_id", "actor_name", "state", "rel_obj_id", "uid", "aggregated_status"],
        ordering=["-mtime"],
    )
    schedules = ModelView(
        path="tasks/schedules",
        model=schedule,
        standard=("list", "retrieve"),
        lookup_name="id",
        filters={**FILTERS, "paused": filters.flag("paused")},
        search=["id", "uid", "actor_name", "rel_obj_id", "description"],
        ordering=["next_run", "uid"],
    )

    def send(ctx: Context) -> Reply:
        """Run a schedule now."""
        record = schedules.get_object(ctx, "GET")
        ctx.rights.need("authentik_tasks_schedules.send_schedule", record["id"])
        state.worker.send(record)
        return Reply(status=204)

    schedules.actions = [Action("send", "POST", send, "send", detail=True, status=204)]
    return [tasks, schedules]
