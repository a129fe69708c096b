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
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from authentik_entra_bootstrap.sandbox.clock import SandboxClock
from authentik_entra_bootstrap.sandbox.faults import Switches

Object = dict[str, Any]


class View:
    """A read-only look at a tenant's objects, by kind and id. Everything that it returns is a copy, but for :meth:`shared`.

    Kinds in use: ``application``, ``servicePrincipal``, ``user``, ``group``, ``appRoleAssignment``,
    ``oauth2PermissionGrant``, ``organization``, ``policy``, ``deletedItem``.

    :param moment: it sees what was committed up to then; ``None`` sees everything.
    """

    def __init__(self, tables: _Tables, moment: datetime | None) -> None:
        self._tables = tables
        self.moment = moment

    def _peek(self, kind: str, object_id: str) -> Object | None:
        times, values = self._tables.history.get((kind, object_id), ((), ()))
        index = len(times) if self.moment is None else bisect_right(times, self.moment)
        return values[index - 1] if index else None

    def get(self, kind: str, object_id: str) -> Object | None:
        """An object's newest version, or ``None``."""
        with self._tables.lock:
            return copy.deepcopy(self._peek(kind, object_id))

    def has(self, kind: str, object_id: str) -> bool:
        """Whether the object lives."""
        with self._tables.lock:
            return self._peek(kind, object_id) is not None

    def select(self, kind: str, fits: Callable[[Object], bool]) -> list[Object]:
        """The live objects of a kind that fit, in order of creation.

        :param fits: is shown the directory's own versions, uncopied: it must neither keep nor change them.
        """
        with self._tables.lock:
            found = (self._peek(kind, object_id) for object_id in self._tables.ids.get(kind, ()))
            return [copy.deepcopy(item) for item in found if item is not None and fits(item)]

    def all(self, kind: str) -> list[Object]:
        """Every live object of a kind, in order of creation."""
        return self.select(kind, lambda _: True)

    def shared(self, kind: str) -> list[Object]:
        """The same, but the directory's own versions: the caller must neither keep nor change them.

        A page of a large list is shown without a copy of the whole.
        """
        with self._tables.lock:
            found = (self._peek(kind, object_id) for object_id in self._tables.ids.get(kind, ()))
            return [item for item in found if item is not None]

    def find(self, kind: str, fits: Callable[[Object], bool]) -> Object | None:
        """The first live object of a kind that fits."""
        return next(iter(self.select(kind, fits)), None)


@dataclass
class _Tables:
    """What a directory and its views share: the versions of every object with their commit times, oldest first."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    history: dict[tuple[str, str], tuple[list[datetime], list[Object | None]]] = field(default_factory=dict)
    ids: dict[str, list[str]] = field(default_factory=dict)


class Directory(View):
    """One tenant's directory: the view of its primary, to which writes go."""

    def __init__(self, tenant_id: str, clock: SandboxClock, switches: Switches, rng: random.Random) -> None:
        super().__init__(_Tables(), None)
        self.tenant_id = tenant_id
        self.clock = clock
        self.switches = switches
        self.rng = rng
        self.lock = self._tables.lock

    def put(self, kind: str, object_id: str, value: Object, *, at: datetime | None = None) -> None:
        """Commit a new version of an object (a deep copy is kept).

        :param at: commit moment, for seeding a tenant with objects that are long replicated.
        """
        self._commit(kind, object_id, copy.deepcopy(value), at or self.clock.now())

    def remove(self, kind: str, object_id: str) -> None:
        """Commit the object's disappearance."""
        self._commit(kind, object_id, None, self.clock.now())

    def _commit(self, kind: str, object_id: str, value: Object | None, moment: datetime) -> None:
        tables, key = self._tables, (kind, object_id)
        with self.lock:
            if key not in tables.history:
                tables.history[key] = ([], [])
                tables.ids.setdefault(kind, []).append(object_id)
            times, values = tables.history[key]
            times.append(max([moment, *times[-1:]]))
            values.append(value)

    def created_at(self, kind: str, object_id: str) -> datetime | None:
        """When the object's first version was committed."""
        entry = self._tables.history.get((kind, object_id))
        return entry[0][0] if entry else None

    def as_of(self, moment: datetime) -> View:
        """What a reader knew that had seen everything committed up to ``moment``."""
        return View(self._tables, moment)

    def replica(self) -> View:
        """The view of the read replica that answers the next Microsoft Graph request."""
        switches = self.switches
        index = self.rng.randrange(switches.replicas) if switches.flapping else switches.replicas - 1
        return self.as_of(self.clock.now() - replica_lag(switches.lag, index, switches.replicas))

    def history(self, kind: str, object_id: str, since: datetime) -> list[tuple[datetime, Object | None]]:
        """The version of a moment and every later one with its commit time, oldest first (copies)."""
        with self.lock:
            times, values = self._tables.history.get((kind, object_id), ([], []))
            first = max(bisect_right(times, since) - 1, 0)
            return list(zip(times[first:], copy.deepcopy(values[first:]), strict=True))


def replica_lag(greatest: float, index: int, replicas: int) -> timedelta:
    """Lag of replica ``index`` of ``replicas``: evenly spread, the last one has the greatest."""
    return timedelta(seconds=greatest * (index + 1) / replicas)
