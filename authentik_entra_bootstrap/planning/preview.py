"""What authentik's next full sync does to the tenant: its records, and the rules and pages that decide it. Pure.

:mod:`user_sync` and :mod:`group_sync` apply the rules. They hold what authentik 2025.12.4 and 2026.5.0-rc1 were seen to
do to a tenant, and what the source of 2026.2.2 says.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeVar

from authentik_entra_bootstrap.domain import Provider

T = TypeVar("T")
K = TypeVar("K")


class Fate(StrEnum):
    """What the sync does to a user or a group, the harmful first."""

    GONE = "gone"
    """It is linked, and its object in the tenant was deleted: the sync stops here."""
    CONFLICT = "conflict"
    """Entra ID refuses it: the sync stops here."""
    NOT_REACHED = "not-reached"
    """The sync stops before it, on the same page. It may be linked all the same, but nothing is written."""
    LEAVES = "leaves-scope"
    UNKNOWN = "unknown"
    SKIP = "skip"
    CREATE_AGAIN = "create-again"
    """A group that is created beside one of the same name."""
    CREATE = "create"
    LINK = "link"
    """It is linked to what the tenant has already, and overwrites it."""
    CHANGE = "change"
    KEEP = "keep"


STOPPING = (Fate.GONE, Fate.CONFLICT)
LINKED = (Fate.LINK, Fate.CHANGE, Fate.KEEP)
WRITTEN = (Fate.CREATE_AGAIN, Fate.CREATE, *LINKED)

NEW = "new"
"""Instead of an account's id: the sync creates it."""
MAYBE = "maybe"
"""Instead of an account's id: whether the sync creates one is not known."""
UNSURE = "several"
"""Instead of an object's id: which of several that the tenant has is not known."""


def candidates(links: Iterable[tuple[K, str]]) -> dict[K, set[str]]:
    """authentik's key -> ids of the objects that fit it, by what is linked or found."""
    found: dict[K, set[str]] = defaultdict(set)
    for key, microsoft_id in links:
        found[key].add(microsoft_id)
    return found


def certain(found: Mapping[K, set[str]]) -> dict[K, str]:
    """authentik's key -> id of its object. If several match, it is unknown which one authentik takes."""
    return {key: UNSURE if len(ids) > 1 else min(ids) for key, ids in found.items()}


@dataclass(frozen=True, slots=True)
class Change:
    """One property of an object in the tenant. ``None`` stands for a value that the operator may not read."""

    property: str
    before: str | bool | None
    after: str | bool | None


def changes(*compared: tuple[str, str | bool | None, str | bool | None]) -> tuple[Change, ...]:
    """The properties that differ before and after."""
    return tuple(Change(*values) for values in compared if values[1] != values[2])


@dataclass(frozen=True, slots=True)
class Foretold:
    """What happens to one user or group.

    :param key: authentik's primary key. :param name: username, or the group's name.
    :param reason: why, where the fate alone does not say it. :param remedy: what to do about it.
    :param microsoft_id: of the object in the tenant that it is linked to in the end; empty for none, or a new one;
        ``several`` where several fit.
    :param account: that object's userPrincipalName or display name today.
    :param members: of a group: how many are added; ``None`` where it is not certain.
    :param stops: whether the sync ends its page here; ``None`` where that is not known.
    :param left: how many after it on the page are not reached.
    """

    kind: str
    key: str
    name: str
    fate: Fate
    reason: str = ""
    remedy: str = ""
    microsoft_id: str = ""
    account: str = ""
    changes: tuple[Change, ...] = ()
    members: int | None = 0
    stops: bool | None = False
    left: int = 0

    @property
    def disables(self) -> bool:
        """Whether an account that may sign in today is disabled."""
        return any(item.property == "accountEnabled" and item.after is False for item in self.changes)


@dataclass(frozen=True)
class Preview:
    """What the next full sync does.

    :param notes: what else people should know, and what could not be read with what would help.
    """

    users: tuple[Foretold, ...] = ()
    groups: tuple[Foretold, ...] = ()
    dry_run: bool = False
    notes: tuple[str, ...] = ()
    unreadable: bool = False


@dataclass(frozen=True)
class SyncRules:
    """The provider and the server, as far as they decide what a sync does.

    :param newer: whether the server is authentik 2026.2 or later.
    :param default_users: whether authentik's own mapping alone makes the users; ``default_groups`` likewise.
    """

    newer: bool
    domains: tuple[str, ...]
    page_size: int = 100
    discovers: bool = True
    user_delete_action: str = "delete"
    default_users: bool = True
    default_groups: bool = True

    def pages(self, items: Sequence[T]) -> list[Sequence[T]]:
        """The items page by page."""
        return [items[start : start + self.page_size] for start in range(0, len(items), self.page_size)]


def sync_rules(
    provider: Provider,
    version: str,
    domains: tuple[str, ...],
    default_mappings: tuple[Sequence[str], Sequence[str]],
) -> SyncRules:
    """The rules of a provider.

    :param version: of the server. :param domains: verified in the tenant.
    :param default_mappings: authentik's own, for users and for groups.
    """
    release = re.match(r"(\d+)\.(\d+)", version)
    users, groups = default_mappings
    return SyncRules(
        release is None or (int(release[1]), int(release[2])) >= (2026, 2),
        domains,
        provider.sync_page_size or SyncRules.page_size,
        provider.discovery_enabled is not False,
        provider.user_delete_action,
        bool(users) and set(provider.property_mappings) == set(users),
        bool(groups) and set(provider.property_mappings_group) == set(groups),
    )


class Page:
    """The items of one page in authentik's order, and where its sync stops or becomes uncertain."""

    def __init__(self) -> None:
        self.items: list[Foretold] = []
        self._stop: int | None = None
        self._doubt = ""

    def add(self, item: Foretold) -> bool:
        """Put the next item on the page; whether the sync surely reaches it, and continues after it."""
        if self._stop is not None:
            reason = "the sync stops before it"
            item = replace(
                item, fate=Fate.NOT_REACHED, reason=reason, remedy="", changes=(), members=0, stops=False
            )
            stop = self.items[self._stop]
            self.items[self._stop] = replace(stop, left=stop.left + 1)
        elif self._doubt and item.fate in {Fate.UNKNOWN, Fate.SKIP, Fate.KEEP}:
            # Whether these are reached or not, nothing comes of it that is not told.
            item = replace(item, stops=False, members=None)
        elif self._doubt:
            reason = f"{item.fate} if the sync gets past {self._doubt}, which is not known"
            item = replace(item, fate=Fate.UNKNOWN, reason=reason, changes=(), stops=False, members=None)
        elif item.stops:
            self._stop = len(self.items)
        elif item.stops is None:
            self._doubt = item.name
        self.items.append(item)
        return self._stop is None and not self._doubt
