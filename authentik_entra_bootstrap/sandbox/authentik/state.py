"""Everything one embedded authentik knows: its tables, and what its parts ask of each other.

Records are plain dicts with the names of the database columns, relations as primary keys. The API
(:mod:`.rest`, :mod:`.resources`), the worker and the blueprint importer all work on these tables.

A model is reached as ``state.models["authentik_core.application"]``, a
:class:`~authentik_entra_bootstrap.sandbox.authentik.rest.model.Model`: its ``serializer`` validates, its
``create``, ``update`` and ``delete`` change the table with every consequence (audit event, cascade,
started sync), for API, blueprint and worker alike.
"""

from __future__ import annotations

import copy
import hashlib
import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.blueprints.importer import BlueprintImporter
    from authentik_entra_bootstrap.sandbox.authentik.profiles import Profile
    from authentik_entra_bootstrap.sandbox.authentik.rest.model import Model
    from authentik_entra_bootstrap.sandbox.authentik.worker.worker import Worker
    from authentik_entra_bootstrap.sandbox.world import World

Record = dict[str, Any]

TABLES: dict[str, str] = {
    **dict.fromkeys(("user", "group", "token", "role", "provider", "mapping", "application"), "pk"),
    **dict.fromkeys(("binding", "policy", "blueprint", "event", "rule", "transport", "notification"), "pk"),
    **dict.fromkeys(("permission", "entra_user", "entra_group", "schedule"), "id"),
    "task": "message_id",
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

    def remove_where(self, **equal: Any) -> None:
        """Drop the rows whose columns equal the given values."""
        for row in self.where(**equal):
            self.remove(row[self.key])

    def find(self, **equal: Any) -> Record | None:
        """The first such row, or ``None``."""
        return next(iter(self.where(**equal)), None)


class State:
    """Tables, models and parts of one authentik.

    ``worker`` and ``blueprints`` are set by ``app.create_authentik`` before the first request.
    """

    worker: Worker
    blueprints: BlueprintImporter

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


APPEND_ONLY = frozenset({"task", "event"})
"""Tables whose rows a blueprint adds to but never changes: no copies are needed to take it back."""


class Transaction:
    """The tables as they are when this is made.

    Rows are restored in place: the running request's user, for one, stays a valid row.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._rows = {
            name: [
                (key, row, None if name in APPEND_ONLY else copy.deepcopy(row))
                for key, row in table.rows.items()
            ]
            for name, table in state.tables.items()
        }
        self._cache = dict(state.application_cache)

    def roll_back(self) -> None:
        """Make everything as it was. Numbers that sequences gave out stay used, as in a database."""
        for name, rows in self._rows.items():
            table = self._state.tables[name]
            table.rows.clear()
            for key, row, before in rows:
                if before is not None:
                    row.clear()
                    row.update(before)
                table.rows[key] = row
        self._state.application_cache.clear()
        self._state.application_cache.update(self._cache)
        self._state.worker.rolled_back()
