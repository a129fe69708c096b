"""What authentik's next full sync does to the tenant: its records, its summary, and what people are warned of. Pure.

The rules are in :mod:`user_sync` and :mod:`group_sync`. They hold what authentik 2025.12.4 and 2026.5.0-rc1 were seen to
do to a tenant, and what the source of 2026.2.2 says.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import TypeVar

from authentik_entra_bootstrap.domain import (
    MappedUser,
    Organization,
    Provider,
)

PAGE_SIZE = 100
"""authentik's own size of a page, where the provider names none."""


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


@dataclass(frozen=True, slots=True)
class Change:
    """One property of an object in the tenant. ``None`` stands for a value that the operator may not read."""

    property: str
    before: str | bool | None
    after: str | bool


@dataclass(frozen=True, slots=True)
class Foretold:
    """What happens to one user or group.

    :param key: authentik's primary key. :param name: username, or the group's name.
    :param reason: why, where the fate alone does not say it. :param remedy: what to do about it.
    :param microsoft_id: of the object in the tenant that it is linked to in the end; empty for none, or a new one;
        ``several`` where several fit.
    :param account: that object's userPrincipalName or display name today.
    :param disabled: whether the account in the tenant is disabled afterwards.
    :param members: of a group: how many are added; ``None`` where it is not certain.
    :param stops: whether the sync ends its page here. :param left: how many after it on the page are not reached.
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
    disabled: bool = False
    members: int | None = 0
    stops: bool = False
    left: int = 0

    @property
    def disables(self) -> bool:
        """Whether an account that may sign in today is disabled."""
        return any(item.property == "accountEnabled" and item.after is False for item in self.changes)


@dataclass(frozen=True)
class SyncRules:
    """The provider and the server, as far as they decide what a sync does.

    :param version: of the server.
    :param default_users: whether authentik's own mapping alone makes the users; ``default_groups`` likewise.
    :param mapped: user's key -> what its mappings make of it, where authentik was asked; ``None`` for no answer.
    """

    version: str
    domains: tuple[str, ...]
    page_size: int = PAGE_SIZE
    discovers: bool = True
    dry_run: bool = False
    user_delete_action: str = "delete"
    default_users: bool = True
    default_groups: bool = True
    mapped: Mapping[int, MappedUser | None] = field(default_factory=dict)

    @cached_property
    def newer(self) -> bool:
        """Whether it is authentik 2026.2 or later."""
        found = re.match(r"(\d+)\.(\d+)", self.version)
        return found is None or (int(found[1]), int(found[2])) >= (2026, 2)


def sync_rules(
    provider: Provider,
    version: str,
    organization: Organization,
    default_mappings: tuple[Sequence[str], Sequence[str]],
    mapped: Mapping[int, MappedUser | None],
) -> SyncRules:
    """The rules of a provider.

    :param default_mappings: authentik's own, for users and for groups.
    """
    users, groups = default_mappings
    return SyncRules(
        version,
        organization.verified_domains,
        provider.sync_page_size or PAGE_SIZE,
        provider.discovery_enabled is not False,
        provider.dry_run,
        provider.user_delete_action,
        bool(users) and set(provider.property_mappings) == set(users),
        bool(groups) and set(provider.property_mappings_group) == set(groups),
        mapped,
    )


@dataclass(frozen=True)
class Preview:
    """What the next full sync does.

    :param scope: how many users are in the scope.
    :param notes: what else people should know, and what could not be read with what would help.
    """

    users: tuple[Foretold, ...] = ()
    groups: tuple[Foretold, ...] = ()
    dry_run: bool = False
    notes: tuple[str, ...] = ()
    unreadable: bool = False

    @property
    def scope(self) -> int:
        """How many users are in the scope."""
        return sum(item.fate is not Fate.LEAVES for item in self.users)

    def count(self, kind: str, *fates: Fate) -> int:
        """How many users (``kind`` ``user``) or groups meet one of the fates."""
        items = self.users if kind == "user" else self.groups
        return sum(item.fate in fates for item in items)

    @property
    def summary(self) -> str:
        """The numbers in one line; zeros are left out, but for the number of users."""
        if self.unreadable:
            return "what authentik's next sync does cannot be told"
        created = self.count("group", Fate.CREATE, Fate.CREATE_AGAIN)
        parts = [_counted(self.count("user", *fates), word) for word, fates in _USER_WORDS]
        groups = [
            _counted(created, "groups created"),
            _counted(self.count("group", Fate.CREATE_AGAIN), "of them a second time"),
            *(_counted(self.count("group", *fates), f"groups {word}") for word, fates in _GROUP_WORDS),
        ]
        told = f"{self.scope} user{'' if self.scope == 1 else 's'}" + _list(": ", parts) + _list("; ", groups)
        return f"dry run, nothing is written but links. Without it: {told}" if self.dry_run else told


_STOPPING = (Fate.GONE, Fate.CONFLICT)
LINKED = (Fate.LINK, Fate.CHANGE, Fate.KEEP)
_USER_WORDS: Sequence[tuple[str, tuple[Fate, ...]]] = (
    ("linked", LINKED),
    ("created", (Fate.CREATE,)),
    ("conflicts", _STOPPING),
    ("not reached", (Fate.NOT_REACHED,)),
    ("skipped", (Fate.SKIP,)),
    ("unknown", (Fate.UNKNOWN,)),
    ("linked accounts leave the scope", (Fate.LEAVES,)),
)
_GROUP_WORDS: Sequence[tuple[str, tuple[Fate, ...]]] = (
    ("linked", LINKED),
    ("in conflict", _STOPPING),
    ("not reached", (Fate.NOT_REACHED,)),
    ("unknown", (Fate.UNKNOWN,)),
)


def _counted(number: int, word: str) -> str:
    """A number with its word, in the singular for one; nothing for zero."""
    if number == 1:
        word = _ONE.get(word, word)
    return f"{number} {word}" if number else ""


def _list(before: str, parts: Sequence[str]) -> str:
    told = ", ".join(filter(None, parts))
    return before + told if told else ""


_ONE = {
    "conflicts": "conflict",
    "linked accounts leave the scope": "linked account leaves the scope",
    **{f"groups {word}": f"group {word}" for word in ("created", *(word for word, _ in _GROUP_WORDS))},
}

_FEW = 5
MORE = "`authentik-entra preview` shows them all."


def warnings(preview: Preview) -> Iterator[str]:
    """Conflicts, deletions and what else harms, each in one line with what to do."""
    if preview.dry_run:
        return
    stops = [item for item in (*preview.users, *preview.groups) if item.fate in _STOPPING]
    for item in stops[:_FEW]:
        yield f"{item.kind} {item.name}: {item.reason}. The sync stops here{unreached(item)}. {item.remedy}"
    if len(stops) > _FEW:
        yield f"{len(stops) - _FEW} more users or groups stop the sync. {MORE}"
    disabled = [item.account for item in preview.users if item.disables]
    if disabled:
        yield (
            f"{_are(len(disabled), 'account')} disabled in the tenant: {_few(disabled)}. Activate these users in authentik, "
            "or leave them out of the filter group."
        )
    leaving = [item for item in preview.users if item.fate is Fate.LEAVES]
    if leaving:
        names = _few([item.name for item in leaving])
        yield f"{_are(len(leaving), 'linked user')} out of the scope: {names}. {leaving[0].reason}. {leaving[0].remedy}"
    again = [item.name for item in preview.groups if item.fate is Fate.CREATE_AGAIN]
    if again:
        yield (
            f"{_are(len(again), 'group')} created beside one of the same name: {_few(again)}. Rename or delete one of each two."
        )


def unreached(item: Foretold) -> str:
    """A clause with the number of items not reached after a stop; empty if there are none."""
    return f", and {item.left} after it on this page are not reached" if item.left else ""


def _are(number: int, noun: str) -> str:
    return f"{number} {noun} is" if number == 1 else f"{number} {noun}s are"


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return ", ".join(names[:_FEW]) + more


# --- one page after another


class Page:
    """The items of one page in authentik's order, and where its sync stops or becomes uncertain."""

    def __init__(self) -> None:
        self.items: list[Foretold] = []
        self._stop: int | None = None
        self._doubt = ""

    @property
    def stopped(self) -> bool:
        """Whether the sync has ended this page."""
        return self._stop is not None

    def add(self, item: Foretold, *, doubt: bool = False) -> bool:
        """Put the next item on the page; whether it happens for certain.

        :param doubt: whether it is uncertain if the sync goes on after it.
        """
        if self.stopped:
            item = replace(
                item,
                fate=Fate.NOT_REACHED,
                reason="the sync stops before it",
                remedy="",
                changes=(),
                members=0,
                stops=False,
            )
        elif self._doubt and item.fate in {Fate.UNKNOWN, Fate.SKIP, Fate.KEEP}:
            # Whether these are reached or not, nothing comes of it that is not told.
            item = replace(item, stops=False, members=None)
        elif self._doubt:
            reason = f"{item.fate} if the sync gets past {self._doubt}, which is not known"
            item = replace(item, fate=Fate.UNKNOWN, reason=reason, changes=(), stops=False, members=None)
        elif item.stops:
            self._stop = len(self.items)
        if doubt and not self._doubt:
            self._doubt = item.name
        self.items.append(item)
        return not self.stopped and not self._doubt

    def closed(self) -> list[Foretold]:
        """All items, the one that stops the page with how many it leaves."""
        if self._stop is not None:
            stop = self.items[self._stop]
            self.items[self._stop] = replace(stop, left=len(self.items) - self._stop - 1)
        return self.items


T = TypeVar("T")


def batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The items page by page."""
    return (items[start : start + size] for start in range(0, len(items), size))


def counts(items: Sequence[Foretold]) -> dict[str, int]:
    """The number of items for each fate, harmful fates first. Fates without items are left out."""
    found = Counter(item.fate for item in items)
    return {fate.value: found[fate] for fate in Fate if found[fate]}
