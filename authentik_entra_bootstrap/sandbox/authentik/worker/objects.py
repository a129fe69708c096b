"""Users and groups as authentik's expressions see them: attribute access and a little of Django's query sets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import Any

from authentik_entra_bootstrap.sandbox.authentik.state import Record, State

_MISSING = object()


class QuerySet:
    """A list of objects with the query methods that mappings commonly call.

    Lookups know ``exact``, ``iexact``, ``contains``, ``icontains``, ``startswith``, ``endswith``, ``in`` and
    ``isnull``, and follow attributes (``parent__name``).
    """

    def __init__(self, items: Iterable[Any]) -> None:
        self._items = list(items)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int | slice) -> Any:
        return self._items[index]

    def all(self) -> QuerySet:
        """Every object."""
        return QuerySet(self._items)

    def filter(self, **lookups: Any) -> QuerySet:
        """Objects that satisfy every lookup."""
        return QuerySet(item for item in self._items if matches(item, lookups))

    def exclude(self, **lookups: Any) -> QuerySet:
        """Objects that do not satisfy all of the lookups."""
        return QuerySet(item for item in self._items if not matches(item, lookups))

    def order_by(self, *names: str) -> QuerySet:
        """Objects sorted by attributes; a name that begins with ``-`` sorts downwards."""
        items = list(self._items)
        for name in reversed(names):
            items.sort(key=attrgetter(name.lstrip("-")), reverse=name.startswith("-"))
        return QuerySet(items)

    def values_list(self, *names: str, flat: bool = False) -> list[Any]:
        """Attributes of each object: tuples, or plain values when ``flat``."""
        rows = [tuple(getattr(item, name) for name in names) for item in self._items]
        return [row[0] for row in rows] if flat else rows

    def first(self) -> Any:
        """The first object or ``None``."""
        return self._items[0] if self._items else None

    def exists(self) -> bool:
        """Whether there is one."""
        return bool(self._items)

    def count(self) -> int:
        """How many there are."""
        return len(self._items)


def _test(operation: str, actual: Any, wanted: Any) -> bool:
    if operation == "in":
        return actual in wanted
    if operation == "isnull":
        return (actual is None) == bool(wanted)
    if operation == "exact":
        return bool(actual == wanted)
    left, right = str(actual), str(wanted)
    if operation.startswith("i"):
        left, right, operation = left.lower(), right.lower(), operation[1:]
    tests = {
        "exact": left == right,
        "contains": right in left,
        "startswith": left.startswith(right),
        "endswith": left.endswith(right),
    }
    return tests[operation]


_OPERATIONS = frozenset(
    {"exact", "contains", "startswith", "endswith", "iexact", "icontains", "in", "isnull"}
)
_OPERATIONS |= {"istartswith", "iendswith"}


def matches(item: Any, lookups: dict[str, Any]) -> bool:
    """Whether an object satisfies Django-like lookups.

    :raises ValueError: for a field that the object does not have (Django's ``FieldError``).
    """
    return all(_matches_one(item, lookup, wanted) for lookup, wanted in lookups.items())


def _matches_one(item: Any, lookup: str, wanted: Any) -> bool:
    parts = lookup.split("__")
    operation = parts.pop() if len(parts) > 1 and parts[-1] in _OPERATIONS else "exact"
    value = item
    for part in parts:
        found = value.get(part, _MISSING) if isinstance(value, dict) else getattr(value, part, _MISSING)
        if found is _MISSING:
            if value is None or isinstance(value, dict):
                return False
            raise ValueError(f"Cannot resolve keyword '{part}' into field.")
        value = found
    if isinstance(wanted, Row):
        wanted = wanted.pk
    if isinstance(value, Row):
        value = value.pk
    return _test(operation, value, wanted)


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
        found: dict[Any, Group] = {}
        queue = list(self.groups)
        while queue:
            group = queue.pop(0)
            if group.pk not in found:
                found[group.pk] = group
                queue.extend(group.parents)
        return QuerySet(found.values())

    def group_attributes(self, request: Any = None) -> dict[str, Any]:  # noqa: ARG002 - authentik's signature
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
        """Direct parents, whether the profile stores one or several."""
        stored = self._record.get("parents")
        keys = list(stored) if stored is not None else [self._record.get("parent")]
        rows = (self._state.tables["group"].get(key) for key in keys if key)
        return QuerySet(Group(self._state, row) for row in rows if row is not None)

    @property
    def parent(self) -> Group | None:
        """The first parent."""
        first: Group | None = self.parents.first()
        return first


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
