"""Users and groups as authentik's expressions see them: attribute access and a little of Django's query sets."""

from __future__ import annotations

import hashlib
from typing import Any

from authentik_entra_bootstrap.sandbox.authentik.blueprints.values import LOOKUPS, satisfies
from authentik_entra_bootstrap.sandbox.authentik.rest.context import groups_of
from authentik_entra_bootstrap.sandbox.authentik.state import Record, State

_MISSING = object()


class QuerySet(list[Any]):
    """A list of objects with the query methods that mappings commonly call.

    Lookups are those of :data:`~..blueprints.values.LOOKUPS`, and follow attributes (``parent__name``).
    """

    def all(self) -> QuerySet:
        """Every object."""
        return QuerySet(self)

    def filter(self, **lookups: Any) -> QuerySet:
        """Objects that satisfy every lookup."""
        return QuerySet(item for item in self if matches(item, lookups))

    def first(self) -> Any:
        """The first object or ``None``."""
        return self[0] if self else None

    def exists(self) -> bool:
        """Whether there is one."""
        return bool(self)

    def count(self, *_: Any) -> int:
        """How many there are."""
        return len(self)


def matches(item: Any, lookups: dict[str, Any]) -> bool:
    """Whether an object satisfies Django-like lookups.

    :raises ValueError: for a field that the object does not have (Django's ``FieldError``).
    """
    return all(_matches_one(item, lookup, wanted) for lookup, wanted in lookups.items())


def _matches_one(item: Any, lookup: str, wanted: Any) -> bool:
    parts = lookup.split("__")
    operation = parts.pop() if len(parts) > 1 and parts[-1] in LOOKUPS else "exact"
    value = item
    for part in parts:
        if value is None or (isinstance(value, dict) and part not in value):
            return False
        value = value[part] if isinstance(value, dict) else getattr(value, part, _MISSING)
        if value is _MISSING:
            raise ValueError(f"Cannot resolve keyword '{part}' into field.")
    value, wanted = (one.pk if isinstance(one, Row) else one for one in (value, wanted))
    return satisfies(value, operation, wanted)


class Row:
    """A record with its columns as attributes. Two rows are equal when they are the same record."""

    def __init__(self, state: State, record: Record) -> None:
        self._state = state
        self._record = record

    def __getattr__(self, name: str) -> Any:
        record: Record = object.__getattribute__(self, "_record")
        if name.startswith("_") or name not in record:
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
        return record[name]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Row) and type(self) is type(other) and bool(self.pk == other.pk)

    def __hash__(self) -> int:
        return hash((type(self).__name__, self.pk))

    @property
    def pk(self) -> Any:
        """The primary key."""
        return self._record["pk"]


class User(Row):
    """A user as ``request.user`` shows it."""

    def __str__(self) -> str:
        return str(self._record["username"])

    @property
    def id(self) -> Any:
        """The primary key under Django's name."""
        return self.pk

    @property
    def uid(self) -> str:
        """authentik's opaque user id."""
        return self._state.user_uid(self._record)

    @property
    def password(self) -> str:
        """A stand-in for the password hash: authentik's default mapping sends the hash as first password."""
        if self.pk is None:
            return ""
        digest = hashlib.sha256(f"password-{self.uid}".encode()).hexdigest()
        return f"pbkdf2_sha256$1000000${digest[:22]}${digest[22:]}="

    @property
    def groups(self) -> QuerySet:
        """Groups with this user as direct member, in the order of their names."""
        groups = [row for row in self._state.tables["group"] if self.pk in row.get("users", ())]
        return QuerySet(Group(self._state, row) for row in sorted(groups, key=lambda row: str(row["name"])))

    ak_groups = groups

    def all_groups(self) -> QuerySet:
        """Direct groups and all of their ancestors."""
        return QuerySet(Group(self._state, row) for row in groups_of(self._state, self._record))

    def group_attributes(self, request: Any = None) -> dict[str, Any]:
        """Attributes of all groups merged, the user's own last."""
        merged: dict[str, Any] = {}
        for group in self.all_groups():
            merged.update(group.attributes or {})
        merged.update(self._record.get("attributes") or {})
        return merged


class Group(Row):
    """A group as expressions see it."""

    def __str__(self) -> str:
        return f"Group {self._record['name']}"

    @property
    def users(self) -> QuerySet:
        """Direct members, by primary key."""
        rows = (self._state.tables["user"].get(pk) for pk in sorted(self._record.get("users") or ()))
        return QuerySet(User(self._state, row) for row in rows if row is not None)

    @property
    def parents(self) -> QuerySet:
        """Direct parents."""
        rows = (self._state.tables["group"].get(key) for key in self._record["parents"])
        return QuerySet(Group(self._state, row) for row in rows if row is not None)


class Connection(Row):
    """A stored link between a user or group and its object in Microsoft Entra ID."""

    @property
    def pk(self) -> Any:
        """The primary key, which this table calls ``id``."""
        return self._record["id"]


class Provider(Row):
    """The provider, for mappings that look at its settings. The secret is kept back."""

    def __getattr__(self, name: str) -> Any:
        if name == "client_secret":
            raise AttributeError(f"the sandbox keeps {name} from expressions")
        return super().__getattr__(name)
