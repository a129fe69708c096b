"""Everything one embedded authentik knows: its tables, and what its parts ask of each other.

Records are plain dicts with the names of the database columns, relations as primary keys. The API
(:mod:`.rest`, :mod:`.resources`), the worker and the blueprint importer all work on these tables.

A model is reached as ``state.models["authentik_core.application"]``, a
:class:`~authentik_entra_bootstrap.sandbox.authentik.rest.model.Model`: its ``serializer`` validates, its
``create``, ``update`` and ``delete`` change the table with every consequence (audit event, cascade,
started sync), whoever calls.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.profiles import Profile
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.rest.model import Model
    from authentik_entra_bootstrap.sandbox.world import World

Record = dict[str, Any]

TABLES: dict[str, str] = {
    "user": "pk",
    "group": "pk",
    "token": "pk",
    "role": "pk",
    "permission": "id",
    "provider": "pk",
    "mapping": "pk",
    "application": "pk",
    "binding": "pk",
    "policy": "pk",
    "entra_user": "id",
    "entra_group": "id",
    "blueprint": "pk",
    "event": "pk",
    "rule": "pk",
    "transport": "pk",
    "notification": "pk",
    "task": "message_id",
    "schedule": "id",
    "license": "license_uuid",
}
"""Table name to the column that identifies a row. ``task`` and ``schedule`` hold exactly the fields that
``/tasks/tasks/`` and ``/tasks/schedules/`` show (moments as aware datetimes); the worker writes them."""


class Table:
    """Rows in order of creation.

    :param key: the column that identifies a row.
    """

    def __init__(self, key: str = "pk") -> None:
        self.key = key
        self.rows: dict[Any, Record] = {}
        self._last_id = 0

    def __iter__(self) -> Iterator[Record]:
        return iter(list(self.rows.values()))

    def __len__(self) -> int:
        return len(self.rows)

    def next_id(self) -> int:
        """The next number of the table's sequence; numbers are never used twice."""
        self._last_id += 1
        return self._last_id

    def add(self, record: Record) -> Record:
        """Store a row (the dict itself, no copy) under its key."""
        self.rows[record[self.key]] = record
        if isinstance(record[self.key], int):
            self._last_id = max(self._last_id, record[self.key])
        return record

    def get(self, key: Any) -> Record | None:
        """The row with this key, or ``None``."""
        return self.rows.get(key)

    def remove(self, key: Any) -> None:
        """Drop a row; a missing one is no error."""
        self.rows.pop(key, None)

    def move_to_end(self, key: Any) -> None:
        """Make a row the last one, where PostgreSQL puts a changed row: unordered lists show it there."""
        if key in self.rows:
            self.rows[key] = self.rows.pop(key)

    def where(self, **equal: Any) -> list[Record]:
        """Rows whose columns equal the given values."""
        return [row for row in self if all(row.get(name) == value for name, value in equal.items())]

    def find(self, **equal: Any) -> Record | None:
        """The first such row, or ``None``."""
        return next(iter(self.where(**equal)), None)


@dataclass(frozen=True)
class SyncObjectOutcome:
    """What ``sync/object`` got from the worker.

    ``failed`` means that no result came in time (a refused sign-in, a busy worker): the API answers with
    its empty 405.
    """

    messages: list[Record] = field(default_factory=list)
    failed: bool = False


@dataclass(frozen=True)
class ImportResult:
    """Outcome of a blueprint import: ``logs`` as the API shows them."""

    success: bool
    logs: list[Record] = field(default_factory=list)


class Worker(Protocol):
    """The background worker. It writes ``tables["task"]`` and ``tables["schedule"]``."""

    async def start(self) -> None:
        """Begin to work on queued tasks and due schedules."""

    async def stop(self) -> None:
        """Stop; queued tasks stay queued."""

    def enqueue_full_sync(self, provider_pk: int, ctx: Context, *, created: bool) -> None:
        """Queue the full syncs that saving a provider starts.

        :param ctx: gets the "Task enqueued" line with :func:`.audit.log`, for the blueprint import's reply.
        """

    def try_mapping(self, mapping: Record, records: dict[str, Record], context: Record) -> tuple[Any, bool]:
        """What a mapping returns, in JSON's types, or the traceback's text and ``False``.

        :param records: ``user`` and ``group``, where asked for. :param context: further names.
        """

    def members_changed(self) -> None:
        """Queue the sync of memberships that changed without a save of the group."""

    async def sync_object(
        self, provider_pk: int, model: str, object_id: str, override_dry_run: bool
    ) -> SyncObjectOutcome:
        """Queue the sync of one object and wait for its result, ten seconds at most."""

    def is_running(self, provider_pk: int) -> bool:
        """Whether a full sync of the provider holds its lock."""

    def schedule_changed(self, schedule_id: str) -> None:
        """Keep ``next_run`` in step with a changed crontab or pause."""

    def send_schedule(self, schedule_id: str) -> None:
        """Run a schedule now."""

    def connected(self) -> list[str]:
        """Names of the workers that were heard of lately."""

    def retry(self, message_id: str) -> None:
        """Queue a finished task again."""

    def provider_saved(self, provider_pk: int) -> None:
        """Keep the provider's schedule in step; called for each save, before any sync is queued."""

    def provider_deleted(self, provider_pk: int) -> None:
        """Drop the provider's schedule and tasks."""

    def apply_blueprint(self, blueprint_pk: str) -> None:
        """Queue the application of a blueprint instance."""

    def event_created(self, event: Record, ctx: Context) -> None:
        """Queue the dispatch of notifications for a new audit event."""


class Blueprints(Protocol):
    """The blueprint importer."""

    def validate(self, content: str, context: Record, ctx: Context) -> tuple[bool, list[str]]:
        """Whether the content could be applied, with the log lines.

        :raises ServerCrash: for YAML that cannot be read, as the real one has it.
        """

    def apply(self, content: str, context: Record, ctx: Context) -> ImportResult:
        """Validate, then apply in one transaction."""


class State:
    """Tables, models and parts of one authentik.

    ``worker`` and ``blueprints`` are set by ``app.create_authentik`` before the first request.
    """

    worker: Worker
    blueprints: Blueprints

    def __init__(self, world: World, profile: Profile) -> None:
        self.world = world
        self.profile = profile
        self.rng = world.stream("authentik")
        self.tables: dict[str, Table] = {name: Table(key) for name, key in TABLES.items()}
        self.models: dict[str, Model] = {}
        self.application_cache: dict[tuple[int, int], list[Record]] = {}
        """Allowed applications by user and page, as authentik caches them for a day."""
        self.brand = self.uuid()
        """Key of the one brand, which every event names."""
        self.secret_key = f"{self.rng.getrandbits(128):032x}"

    def now(self) -> datetime:
        """The sandbox's moment, aware UTC."""
        return self.world.clock.now()

    def uuid(self) -> str:
        """A fresh version 4 UUID, in text with dashes, drawn from the world's seed."""
        return str(uuid.UUID(int=self.rng.getrandbits(128), version=4))

    def request_id(self) -> str:
        """A fresh request id: 32 hex digits."""
        return uuid.UUID(int=self.rng.getrandbits(128), version=4).hex

    def key(self, length: int = 60) -> str:
        """A fresh random key of letters and digits."""
        alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
        return "".join(self.rng.choice(alphabet) for _ in range(length))

    def user_uid(self, user: Record) -> str:
        """The opaque ``uid`` of a user: 64 hex digits that depend on the installation."""
        return hashlib.sha256(f"{user['pk']}-{self.secret_key}".encode()).hexdigest()

    def licence_status(self) -> str:
        """``unlicensed``, ``valid`` or ``expired``, from the installed licences."""
        licences = list(self.tables["license"])
        if not licences:
            return "unlicensed"
        return "valid" if any(row["expiry"] > self.now() for row in licences) else "expired"

    def licensed(self) -> bool:
        """Whether enterprise objects may be created and updated now."""
        return self.licence_status() == "valid"

    def in_a_year(self) -> datetime:
        """When an event that is written now expires."""
        return self.now() + timedelta(days=365)
