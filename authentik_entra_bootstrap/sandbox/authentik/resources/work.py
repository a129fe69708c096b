"""Tasks and schedules of the worker, as the API shows them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from authentik_entra_bootstrap.sandbox.authentik import cron
from authentik_entra_bootstrap.sandbox.authentik.resources import common
from authentik_entra_bootstrap.sandbox.authentik.rest import listing
from authentik_entra_bootstrap.sandbox.authentik.rest.errors import PermissionDenied, ValidationError
from authentik_entra_bootstrap.sandbox.authentik.rest.fields import EMPTY, Boolean, Moment, Plain, Uuid
from authentik_entra_bootstrap.sandbox.authentik.rest.model import Model
from authentik_entra_bootstrap.sandbox.authentik.rest.rbac import Rights
from authentik_entra_bootstrap.sandbox.authentik.rest.replies import Reply
from authentik_entra_bootstrap.sandbox.authentik.rest.serializer import Serializer
from authentik_entra_bootstrap.sandbox.authentik.rest.texts import Text
from authentik_entra_bootstrap.sandbox.authentik.rest.viewset import Action, ModelView, View

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.state import Record, State


def related(value: str) -> dict[str, listing.Filter]:
    """The filters on a task's or schedule's object."""
    return {
        "rel_obj_content_type__app_label": listing.exact("rel_obj_app_label"),
        "rel_obj_content_type__model": listing.exact("rel_obj_model"),
        "rel_obj_id": listing.exact("rel_obj_id"),
        "rel_obj_id__isnull": listing.flag("rel_obj_id", is_null=True),
        "actor_name": listing.exact("actor_name"),
        value: listing.flag("paused") if value == "paused" else listing.exact(value),
    }


TASK_STATES = ("queued", "consumed", "preprocess", "running", "postprocess", "rejected", "done")
TASK_STATUSES = (*TASK_STATES, "info", "warning", "error")


MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
NUMBERS = {name: str(number) for number, name in [*enumerate(MONTHS, start=1), *enumerate(DAYS)]}
NAMES = re.compile("|".join(NUMBERS), re.IGNORECASE)
"""Names in a crontab."""


def column(name: str, shape: dict[str, Any] | None = None) -> Plain:
    """A column that is shown when the row has it: tasks without an object lack the object's kind."""
    return Plain(shape=shape or common.STRING, get=lambda record, _: record.get(name, EMPTY))


def task_serializer() -> Serializer:
    """The task."""
    moment = {"type": "string", "format": "date-time"}
    logs = {"type": "array", "items": {"$ref": "#/components/schemas/LogEvent"}}
    names = {
        "message_id": {"type": "string", "format": "uuid"},
        "queue_name": common.STRING,
        "actor_name": common.STRING,
        "state": {"$ref": "#/components/schemas/TaskStatusEnum"},
        "mtime": moment,
        "retries": {"type": "integer", "format": "int64"},
        "eta": {**moment, "nullable": True},
        "rel_obj_app_label": common.STRING,
        "rel_obj_model": common.STRING,
        "rel_obj_id": common.NULLABLE_STRING,
        "uid": common.STRING,
        "logs": logs,
        "previous_logs": logs,
        "aggregated_status": {"$ref": "#/components/schemas/TaskAggregatedStatusEnum"},
        "description": common.NULLABLE_STRING,
    }
    return Serializer("Task", {name: column(name, shape) for name, shape in names.items()})


def schedule_serializer() -> Serializer:
    """The schedule."""
    return Serializer(
        "Schedule",
        {
            "id": Uuid(read_only=True, label="ID"),
            "identifier": column("identifier", common.NULLABLE_STRING),
            "uid": column("uid"),
            "actor_name": column("actor_name"),
            "rel_obj_app_label": column("rel_obj_app_label"),
            "rel_obj_model": column("rel_obj_model"),
            "rel_obj_id": Text(null=True, default=None),
            "crontab": Text(validators=[sound_crontab]),
            "paused": Boolean(default=False),
            "next_run": Moment(read_only=True),
            "description": column("description", common.NULLABLE_STRING),
            "last_task_status": column(
                "last_task_status",
                {"allOf": [{"$ref": "#/components/schemas/LastTaskStatusEnum"}], "nullable": True},
            ),
        },
    )


def sound_crontab(value: str, ctx: Context) -> None:  # noqa: ARG001 - the signature of all validators
    """Refuse what is no crontab; months and days may go by their names here.

    :raises ValidationError: for it.
    """
    numbers = NAMES.sub(lambda found: NUMBERS[found.group(0).lower()], value)
    try:
        cron.parse(numbers)
    except ValueError:
        raise ValidationError(f"{value} is not a valid crontab") from None


class TaskView(ModelView):
    """The tasks' calls."""

    def __init__(self, state: State, model: Model) -> None:
        super().__init__(
            state,
            "tasks/tasks",
            model,
            standard=("list", "retrieve"),
            lookup_name="message_id",
            filters=related("queue_name")
            | {
                "state": listing.choice("state", lambda _: TASK_STATES),
                "aggregated_status": listing.one_of("aggregated_status", lambda _: TASK_STATUSES),
            },
            search=[
                "message_id",
                "queue_name",
                "actor_name",
                "state",
                "rel_obj_id",
                "uid",
                "aggregated_status",
            ],
            ordering=["-mtime"],
            actions=[
                Action(
                    "status",
                    "GET",
                    self.status,
                    doc="Global status summary for all tasks",
                    response={"$ref": "#/components/schemas/GlobalTaskStatus"},
                ),
                Action("retry", "POST", self.retry, doc="Retry task", detail=True, status=204),
            ],
        )

    def status(self, ctx: Context) -> Reply:
        """How many tasks there are in each status."""
        rows = self.visible(ctx)
        return Reply({name: sum(row["aggregated_status"] == name for row in rows) for name in TASK_STATUSES})

    def retry(self, ctx: Context) -> Reply:
        """Queue a finished task again."""
        self.rights(ctx).need("authentik_tasks.retry_task")
        record = self.get_object(ctx, "GET")
        if record["state"] not in {"rejected", "done"}:
            return Reply(status=400)
        ctx.state.worker.retry(record["message_id"])
        return Reply(status=204)


class ScheduleView(ModelView):
    """The schedules' calls."""

    def __init__(self, state: State, model: Model) -> None:
        super().__init__(
            state,
            "tasks/schedules",
            model,
            standard=("list", "retrieve", "update", "partial_update"),
            lookup_name="id",
            filters=related("paused"),
            search=["id", "uid", "actor_name", "rel_obj_id", "description"],
            ordering=["next_run", "uid"],
            actions=[
                Action("send", "POST", self.send, doc="Trigger this schedule now", detail=True, status=204)
            ],
        )

    def send(self, ctx: Context) -> Reply:
        """Run it now."""
        record = self.get_object(ctx, "GET")
        self.rights(ctx).need("authentik_tasks_schedules.send_schedule", record["id"])
        ctx.state.worker.send_schedule(record["id"])
        return Reply({})


def workers(ctx: Context) -> Reply:
    """The workers that were heard of in the last minute: one, unless it is halted.

    :raises PermissionDenied: for a caller who may not look at the system.
    """
    if not Rights(ctx.state, ctx.user).has("authentik_rbac.view_system_info"):
        raise PermissionDenied
    version = ctx.state.profile.version
    return Reply(
        [
            {"worker_id": name, "version": version, "version_matching": True}
            for name in ctx.state.worker.connected()
        ]
    )


def schedule_saved(record: Record, ctx: Context, created: bool) -> None:  # noqa: ARG001
    """The next run follows a new crontab."""
    ctx.state.worker.schedule_changed(record["id"])


def views(state: State) -> list[View]:
    """The addresses of this module; registers its models."""
    task = Model(
        state=state,
        label="authentik_tasks.task",
        class_name="Task",
        table_name="task",
        serializer=task_serializer(),
        verbose_name="Task",
        title=lambda record: str(record["message_id"]),
        audited=False,
    )
    schedule = Model(
        state=state,
        label="authentik_tasks_schedules.schedule",
        class_name="Schedule",
        table_name="schedule",
        serializer=schedule_serializer(),
        verbose_name="Schedule",
        title=lambda record: f"Schedule {record['actor_name']}:{record['uid']}",
        saved=schedule_saved,
    )
    state.models |= {task.label: task, schedule.label: schedule}
    shape = {"type": "array", "items": {"$ref": "#/components/schemas/Worker"}}
    connected = View(
        state,
        "tasks/workers",
        title="Worker",
        doc="Get currently connected worker count.",
        slash="/" if state.profile.at_least("2026.5") else "",
        actions=[Action("workers", "GET", workers, url=".", response=shape)],
    )
    return [TaskView(state, task), ScheduleView(state, schedule), connected]
