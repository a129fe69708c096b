"""Task and schedule records: the rows behind ``/tasks/tasks/`` and ``/tasks/schedules/``.

The log lines are the ones authentik's task middleware writes; facts: recorded exchanges of 2025.12 and 2026.5.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from authentik_entra_bootstrap.sandbox.authentik.rest.fields import show_moment
from authentik_entra_bootstrap.sandbox.authentik.state import Record, State

ENTRA_TASKS = "authentik.enterprise.providers.microsoft_entra.tasks."
SYNC = f"{ENTRA_TASKS}microsoft_entra_sync"
SYNC_OBJECTS = f"{ENTRA_TASKS}microsoft_entra_sync_objects"
SYNC_DIRECT = f"{ENTRA_TASKS}microsoft_entra_sync_direct"
SYNC_DELETE = f"{ENTRA_TASKS}microsoft_entra_sync_delete"
SYNC_MEMBERS = f"{ENTRA_TASKS}microsoft_entra_sync_m2m"
APPLY_BLUEPRINT = "authentik.blueprints.v1.tasks.apply_blueprint"
DISCOVER_BLUEPRINTS = "authentik.blueprints.v1.tasks.blueprints_discovery"
DISPATCH_EVENT = "authentik.events.tasks.event_trigger_dispatch"
HANDLE_EVENT = "authentik.events.tasks.event_trigger_handler"

DESCRIPTIONS = {
    SYNC: "Full sync for Microsoft Entra provider.",
    SYNC_OBJECTS: "Sync Microsoft Entra provider objects.",
    SYNC_DIRECT: "Sync a direct object (user, group) for Microsoft Entra provider.",
    SYNC_DELETE: "Delete an object (user, group) for Microsoft Entra provider.",
    SYNC_MEMBERS: "Sync a related object (memberships) for Microsoft Entra provider.",
    APPLY_BLUEPRINT: "Apply single blueprint.",
    DISCOVER_BLUEPRINTS: "Find blueprints and check if they need to be created in the database.",
    DISPATCH_EVENT: "Dispatch new event notifications.",
    HANDLE_EVENT: "Check if policies attached to NotificationRule match event.",
}

PROVIDER = ("authentik_providers_microsoft_entra", "microsoftentraprovider")
SCHEDULE = ("authentik_tasks_schedules", "schedule")
BLUEPRINT = ("authentik_blueprints", "blueprintinstance")

MIDDLEWARE = "authentik.tasks.middleware.TaskLogMiddleware"
KEPT_FOR = timedelta(days=30)
KEPT_EVENT_TASKS = 200
UNFINISHED = frozenset({"queued", "consumed", "preprocess", "running", "postprocess"})

RelatedObject = tuple[str, str, str]
"""App label, model name and primary key of the object that a task belongs to."""


@dataclass(frozen=True)
class Message:
    """What a queued task will do: an actor and its arguments."""

    actor: str
    arguments: dict[str, Any] = field(default_factory=dict)


class TaskBook:
    """Writes task records; holds the messages that belong to them.

    :param watch: called with a record after each change of its state.
    """

    def __init__(self, state: State, watch: Callable[[Record], None] | None = None) -> None:
        self._state = state
        self._watch = watch
        self._last: datetime | None = None
        self._open: dict[str, None] = {}
        self.messages: dict[str, Message] = {}

    def _now(self) -> datetime:
        """A moment later than any before: lists are ordered by it, also under a frozen clock."""
        moment = self._state.now()
        if self._last is not None and moment <= self._last:
            moment = self._last + timedelta(microseconds=1)
        self._last = moment
        return moment

    def add(self, message: Message, *, uid: str = "", related: RelatedObject | None = None) -> Record:
        """Queue a task.

        :param uid: what follows the actor's name in the task's ``uid``.
        """
        record: Record = {
            "message_id": self._state.uuid(),
            "queue_name": "default",
            "actor_name": message.actor,
            "state": "queued",
            "mtime": self._now(),
            "retries": 0,
            "eta": None,
        }
        if related:
            record |= {"rel_obj_app_label": related[0], "rel_obj_model": related[1]}
        record |= {
            "rel_obj_id": related[2] if related else None,
            "uid": f"{message.actor}:{uid}" if uid else message.actor,
            "logs": [],
            "previous_logs": [],
            "aggregated_status": "queued",
            "description": DESCRIPTIONS[message.actor],
        }
        self.log(record, "info", "Task has been queued", logger=MIDDLEWARE, delay=None)
        self._state.tables["task"].add(record)
        self._open[record["message_id"]] = None
        self.messages[record["message_id"]] = message
        self._changed(record)
        return record

    def log(
        self, record: Record, level: str, event: str, *, logger: str | None = None, **attributes: Any
    ) -> None:
        """Add a line to the task's log; the task itself is the logger when none is named."""
        record["logs"].append(
            {
                "timestamp": show_moment(self._now()),
                "log_level": level,
                "logger": logger or record["uid"],
                "event": event,
                "attributes": attributes,
            }
        )

    def begin(self, record: Record) -> None:
        """The worker takes the task."""
        record["eta"] = None
        self._set(record, "running")
        self.log(record, "info", "Task is being processed", logger=MIDDLEWARE)

    def finish(self, record: Record) -> None:
        """The task ended without an exception."""
        self.log(record, "info", "Task finished processing without errors", logger=MIDDLEWARE)
        self._set(record, "done")

    def fail(self, record: Record, error: str) -> None:
        """Note why an attempt failed."""
        self.log(record, "error", error, logger=MIDDLEWARE, exception={})

    def requeue(self, record: Record, delay_ms: int) -> None:
        """Queue the task again.

        :param delay_ms: milliseconds on the sandbox's clock.
        """
        record["retries"] += 1
        eta = self._now() + timedelta(milliseconds=delay_ms)
        record["eta"] = eta.replace(microsecond=eta.microsecond // 1000 * 1000)
        record["previous_logs"] = record["previous_logs"] + record["logs"]
        record["logs"] = []
        self._set(record, "queued")
        self.log(record, "info", "Task will be retried", logger=MIDDLEWARE, delay=delay_ms)

    def reject(self, record: Record) -> None:
        """Give the task up."""
        self._set(record, "rejected")

    def _set(self, record: Record, state: str) -> None:
        record["state"] = state
        # Recorded servers show the bare state here, also for tasks that logged warnings.
        record["aggregated_status"] = state
        record["mtime"] = self._now()
        self._changed(record)

    def _changed(self, record: Record) -> None:
        schedule = self._schedule_of(record)
        if schedule is not None:
            schedule["last_task_status"] = record["aggregated_status"]
        if self._watch:
            self._watch(record)

    def _schedule_of(self, record: Record) -> Record | None:
        if record.get("rel_obj_model") != SCHEDULE[1]:
            return None
        return self._state.tables["schedule"].get(record["rel_obj_id"])

    def due(self, moment: datetime) -> list[Record]:
        """Queued tasks whose time has come, oldest first."""
        rows = self._state.tables["task"].rows
        # Finished tasks are not looked at again: after a while there are thousands.
        for key in [key for key in self._open if key not in rows or rows[key]["state"] not in UNFINISHED]:
            del self._open[key]
        unfinished = [rows[key] for key in self._open]
        return [
            record
            for record in unfinished
            if record["state"] == "queued" and (record["eta"] is None or record["eta"] <= moment)
        ]

    def reopen(self) -> None:
        """Look through every task for those that are not finished."""
        rows = self._state.tables["task"].rows
        self._open = {key: None for key, row in rows.items() if row["state"] in UNFINISHED}

    def purge(self, moment: datetime) -> None:
        """Drop finished tasks as authentik does after a month, and all but the newest that belong to events."""
        table = self._state.tables["task"]
        finished = [record for record in table if record["state"] not in UNFINISHED]
        of_events = [row for row in finished if row["actor_name"] in {DISPATCH_EVENT, HANDLE_EVENT}]
        for record in finished:
            if record["mtime"] < moment - KEPT_FOR:
                self.drop(record)
        for record in of_events[:-KEPT_EVENT_TASKS]:
            self.drop(record)

    def drop(self, record: Record) -> None:
        """Forget a task."""
        self._state.tables["task"].remove(record["message_id"])
        self.messages.pop(record["message_id"], None)

    def forget_missing(self) -> None:
        """Forget messages whose records are gone (a blueprint was rolled back)."""
        rows = self._state.tables["task"].rows
        for message_id in self.messages.keys() - rows.keys():
            del self.messages[message_id]


def spread_minute(key: str) -> int:
    """The minute at which a schedule runs: fixed for a key, spread over the hour (authentik's ``fqdn_rand``)."""
    return int.from_bytes(sha256(key.encode()).digest()[:4]) % 60


def next_run(crontab: str, moment: datetime) -> datetime:
    """The first moment after another one that fits a crontab of a minute and of every so many hours."""
    minute, hours, *_ = crontab.split()
    step = int(hours.partition("/")[2] or 1)
    found = moment.replace(minute=int(minute), second=0, microsecond=0)
    while found <= moment or found.hour % step:
        found += timedelta(hours=1)
    return found


class ScheduleBook:
    """Writes schedule records."""

    def __init__(self, state: State) -> None:
        self._state = state

    def for_provider(self, provider: Record) -> Record:
        """The schedule of a provider's full sync, made or kept in step."""
        key = str(provider["pk"])
        found = self.of_provider(provider["pk"])
        uid = f"{SYNC}:{provider['name']}"
        if found is not None:
            found["uid"] = uid
            return found
        crontab = f"{spread_minute(key)} */4 * * *"
        return self._add(SYNC, key, uid, crontab, (*PROVIDER, key))

    def of_provider(self, provider_pk: int) -> Record | None:
        """The provider's schedule, if it has one."""
        return self._state.tables["schedule"].find(actor_name=SYNC, identifier=str(provider_pk))

    def for_blueprints(self) -> Record:
        """The hourly look for blueprints whose content changed."""
        found = self._state.tables["schedule"].find(actor_name=DISCOVER_BLUEPRINTS)
        crontab = f"{spread_minute('blueprints_v1_discover')} * * * *"
        return found or self._add(DISCOVER_BLUEPRINTS, None, DISCOVER_BLUEPRINTS, crontab, None)

    def _add(
        self, actor: str, identifier: str | None, uid: str, crontab: str, related: RelatedObject | None
    ) -> Record:
        record: Record = {"id": self._state.uuid(), "identifier": identifier, "uid": uid, "actor_name": actor}
        if related:
            record |= {"rel_obj_app_label": related[0], "rel_obj_model": related[1]}
        record |= {
            "rel_obj_id": related[2] if related else None,
            "crontab": crontab,
            "paused": False,
            "next_run": next_run(crontab, self._state.now()),
            "description": DESCRIPTIONS[actor],
            "last_task_status": None,
        }
        return self._state.tables["schedule"].add(record)

    def take_due(self, moment: datetime) -> list[Record]:
        """Schedules that should have run by now, their next run moved behind ``moment``.

        However many runs were missed, each schedule is due once, as in authentik's scheduler.
        """
        due: list[Record] = []
        for record in self._state.tables["schedule"]:
            if record["paused"] or record["next_run"] is None or record["next_run"] > moment:
                continue
            record["next_run"] = next_run(record["crontab"], moment)
            due.append(record)
        return due
