"""One tenant's directory as a history of versions, so that any replica can be asked what it knew when.

Writes commit to the primary at once. A reader sees the versions committed before ``now - lag`` of its
replica. Objects are JSON-like dicts in Microsoft Graph's own shape; keys that begin with ``_`` are the
directory's private part (secret hashes, owners, members) and never leave the sandbox.
"""

from __future__ import annotations

import copy
import random
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from authentik_entra_bootstrap.sandbox.clock import SandboxClock
from authentik_entra_bootstrap.sandbox.switches import Switches

Object = dict[str, Any]

INDEXED = {
    "application": ("appId",),
    "servicePrincipal": ("appId",),
    "appRoleAssignment": ("principalId",),
    "oauth2PermissionGrant": ("clientId",),
}
"""By what objects of a kind are found without looking at each: properties that never change."""


class Directory:
    """The versioned objects of one tenant, by kind and id.

    Kinds in use: ``application``, ``servicePrincipal``, ``user``, ``group``, ``appRoleAssignment``,
    ``oauth2PermissionGrant``, ``organization``, ``policy``, ``directoryRoleAssignment``, ``deletedItem``.
    """

    def __init__(self, tenant_id: str, clock: SandboxClock, switches: Switches, rng: random.Random) -> None:
        self.tenant_id = tenant_id
        self.clock = clock
        self.switches = switches
        self.rng = rng
        self.lock = threading.RLock()
        self._history: dict[tuple[str, str], tuple[list[datetime], list[Object | None]]] = {}
        self._ids: dict[str, list[str]] = {}
        self._index: dict[tuple[str, str, str], dict[str, None]] = {}

    def put(self, kind: str, object_id: str, value: Object, *, at: datetime | None = None) -> None:
        """Commit a new version of an object (a deep copy is kept).

        :param at: commit moment, for seeding a tenant with objects that are long replicated.
        """
        self._commit(kind, object_id, copy.deepcopy(value), at)

    def remove(self, kind: str, object_id: str) -> None:
        """Commit the object's disappearance."""
        self._commit(kind, object_id, None, None)

    def _commit(self, kind: str, object_id: str, value: Object | None, at: datetime | None) -> None:
        with self.lock:
            key = (kind, object_id)
            if key not in self._history:
                self._history[key] = ([], [])
                self._ids.setdefault(kind, []).append(object_id)
            if value is not None:
                for name in INDEXED.get(kind, ()):
                    self._index.setdefault((kind, name, str(value[name]).lower()), {})[object_id] = None
            times, values = self._history[key]
            moment = at or self.clock.now()
            if times and moment < times[-1]:
                moment = times[-1]
            times.append(moment)
            values.append(value)

    def get(self, kind: str, object_id: str) -> Object | None:
        """The newest version on the primary (a copy), or ``None``."""
        return self.read_at(kind, object_id, None)

    def all(self, kind: str) -> list[Object]:
        """Newest versions of every live object of a kind, in order of creation."""
        return list(self.scan_at(kind, None))

    def find(self, kind: str, fits: Callable[[Object], bool]) -> Object | None:
        """A copy of the first live object on the primary that fits; see :meth:`find_at`."""
        return self.find_at(kind, None, fits)

    def has(self, kind: str, object_id: str) -> bool:
        """Whether the object lives on the primary."""
        return self._peek((kind, object_id), None) is not None

    def created_at(self, kind: str, object_id: str) -> datetime | None:
        """When the object's first version was committed."""
        entry = self._history.get((kind, object_id))
        return entry[0][0] if entry else None

    def as_of(self, moment: datetime) -> View:
        """What a reader knew that had seen everything committed up to ``moment``."""
        return View(self, moment)

    def replica(self) -> View:
        """The view of the read replica that answers the next Microsoft Graph request."""
        switches = self.switches
        index = self.rng.randrange(switches.replicas) if switches.flapping else switches.replicas - 1
        return self.as_of(self.clock.now() - replica_lag(switches.lag, index, switches.replicas))

    def history(self, kind: str, object_id: str, since: datetime) -> list[tuple[datetime, Object | None]]:
        """The version of a moment and every later one with its commit time, oldest first (copies)."""
        with self.lock:
            times, values = self._history.get((kind, object_id), ([], []))
            first = max(bisect_right(times, since) - 1, 0)
            return list(zip(times[first:], copy.deepcopy(values[first:]), strict=True))

    def read_at(self, kind: str, object_id: str, moment: datetime | None) -> Object | None:
        """An object's newest version committed up to ``moment`` (``None``: the primary's), as a copy."""
        with self.lock:
            return copy.deepcopy(self._peek((kind, object_id), moment))

    def find_at(self, kind: str, moment: datetime | None, fits: Callable[[Object], bool]) -> Object | None:
        """A copy of the first object of a kind, oldest first, that was live at ``moment`` and fits.

        :param fits: is shown the directory's own versions, uncopied: it must neither keep nor change them.
        """
        with self.lock:
            for object_id in self._ids.get(kind, ()):
                value = self._peek((kind, object_id), moment)
                if value is not None and fits(value):
                    return copy.deepcopy(value)
        return None

    def where_at(self, kind: str, moment: datetime | None, name: str, value: str) -> list[Object]:
        """Copies of the objects of a kind that were live at ``moment`` with this value, oldest first.

        :param name: one of :data:`INDEXED`.
        :param value: its letter case does not count.
        """
        with self.lock:
            ids = self._index.get((kind, name, value.lower()), {})
            found = (self._peek((kind, object_id), moment) for object_id in ids)
            return [copy.deepcopy(item) for item in found if item is not None]

    def has_at(self, kind: str, object_id: str, moment: datetime) -> bool:
        """Whether an object was live at ``moment``."""
        return self._peek((kind, object_id), moment) is not None

    def _peek(self, key: tuple[str, str], moment: datetime | None) -> Object | None:
        with self.lock:
            entry = self._history.get(key)
            if entry is None:
                return None
            times, values = entry
            index = len(times) if moment is None else bisect_right(times, moment)
            return values[index - 1] if index else None

    def scan_at(self, kind: str, moment: datetime | None) -> Iterator[Object]:
        """Every object of a kind that was live at ``moment`` (``None``: on the primary), oldest first."""
        for object_id in list(self._ids.get(kind, ())):
            value = self.read_at(kind, object_id, moment)
            if value is not None:
                yield value


class View:
    """A read-only look at the directory as one replica has it."""

    def __init__(self, directory: Directory, moment: datetime) -> None:
        self._directory = directory
        self.moment = moment

    def get(self, kind: str, object_id: str) -> Object | None:
        """The object as this replica knows it, or ``None``."""
        return self._directory.read_at(kind, object_id, self.moment)

    def find(self, kind: str, fits: Callable[[Object], bool]) -> Object | None:
        """A copy of the first object that this replica knows and that fits; see :meth:`Directory.find_at`."""
        return self._directory.find_at(kind, self.moment, fits)

    def where(self, kind: str, name: str, value: str) -> list[Object]:
        """Copies of the objects that this replica knows with this value; see :meth:`Directory.where_at`."""
        return self._directory.where_at(kind, self.moment, name, value)

    def has(self, kind: str, object_id: str) -> bool:
        """Whether this replica knows the object."""
        return self._directory.has_at(kind, object_id, self.moment)

    def all(self, kind: str) -> list[Object]:
        """Every object of a kind that this replica knows."""
        return list(self._directory.scan_at(kind, self.moment))


def replica_lag(greatest: float, index: int, replicas: int) -> timedelta:
    """Lag of replica ``index`` of ``replicas``: evenly spread, the last one has the greatest."""
    return timedelta(seconds=greatest * (index + 1) / replicas)
