"""What a full sync does to each group and its members, after the users. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

from authentik_entra_bootstrap.domain import AuthentikPeople, PersonGroup, TenantPeople
from authentik_entra_bootstrap.planning.preview import (
    MAYBE,
    NEW,
    UNSURE,
    WRITTEN,
    Fate,
    Foretold,
    Page,
    SyncRules,
    candidates,
    certain,
    changes,
)

_LONGEST_NAME = 256
_LONGEST_NICKNAME = 64
EXISTING = "One or more added object references already exist"
"""Microsoft Graph's words about a member that is one already."""


def slugify(value: str) -> str:
    """Django's ``slugify``, with which authentik's default mapping makes a mailNickname of a group's name."""
    text = unicodedata.normalize("NFKD", value).encode("ascii", "ignore").decode("ascii")
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", text.lower())).strip("-_")


class GroupSync:
    """One full sync of groups.

    :param accounts: the users' accounts after their sync (:class:`UserSync`).
    """

    def __init__(
        self, rules: SyncRules, authentik: AuthentikPeople, tenant: TenantPeople, accounts: Mapping[int, str]
    ) -> None:
        self._rules = rules
        self._accounts = accounts
        self._people = frozenset(account.object_id for account in tenant.users)
        self._tenant = {group.object_id: group for group in tenant.groups}
        self._names = frozenset(group.display_name for group in tenant.groups)
        groups = sorted(authentik.groups, key=lambda group: group.pk)
        self._pages = rules.pages(groups)
        links = [(link.key, link.microsoft_id) for link in authentik.group_links]
        self._linked_before = frozenset(key for key, _ in links)
        if rules.discovers:
            keys = {group.name: group.pk for group in groups}
            links += [
                (keys[one.unique_name], one.object_id) for one in tenant.groups if one.unique_name in keys
            ]
        self._links = certain(candidates(links))
        self._uses = Counter(held for _, held in set(links))

    def questions(self) -> Iterator[list[tuple[str, frozenset[str]]]]:
        """For each page: groups of the tenant, with accounts of which one may be a member already.

        The groups are in authentik's order. The first group with such a member stops the rest of the page.
        """
        for page in self._pages:
            asked = [
                (self._links.get(group.pk, ""), self._people.intersection(self._known(group)))
                for group in page
            ]
            yield [(held, members) for held, members in asked if held in self._tenant and members]

    def run(self, occupied: Mapping[str, bool]) -> tuple[Foretold, ...]:
        """Every group in authentik's order.

        :param occupied: group in the tenant -> whether one of the accounts of :meth:`questions` is a member. Groups
            whose members could not be read are left out.
        """
        found: list[Foretold] = []
        for groups in self._pages:
            page = Page()
            for group in groups:
                item = self._one(group)
                page.add(self._with_members(item, group, occupied) if item.fate in WRITTEN else item)
            found += page.items
        return tuple(found)

    def _one(self, group: PersonGroup) -> Foretold:
        """What happens to a group that is reached, before its members."""
        held, nickname = self._links.get(group.pk, ""), slugify(group.name)
        there = self._tenant.get(held)
        account = there.display_name if there else ""
        told = partial(Foretold, "group", group.pk, group.name, microsoft_id=held, account=account)
        unknown = partial(told, Fate.UNKNOWN, members=None, stops=None)
        if not self._rules.default_groups:
            return unknown("a property mapping of your own decides")
        if held == UNSURE or self._uses[held] > 1:
            return unknown("its links in authentik are not unique")
        if held and there is None:
            reason = f"the linked group {held} is not in the tenant"
            remedy = f"Delete the link of {group.name} under Provisioned Groups of the provider: the next sync makes it anew."
            return told(Fate.GONE, reason, remedy, stops=True)
        if len(nickname) > _LONGEST_NICKNAME or len(group.name) > _LONGEST_NAME or not (nickname or held):
            reason = f"its name makes no mailNickname of 1 to {_LONGEST_NICKNAME} characters"
            return told(Fate.CONFLICT, reason, f"Rename {group.name!r} in authentik.", stops=True)
        if not nickname:
            return unknown("its name makes an empty mailNickname")
        if there is None:
            return told(Fate.CREATE_AGAIN if group.name in self._names else Fate.CREATE)
        found = changes(
            ("displayName", there.display_name, group.name), ("mailNickname", there.mail_nickname, nickname)
        )
        if group.pk not in self._linked_before:
            return told(Fate.LINK, changes=found)
        return told(Fate.CHANGE if found else Fate.KEEP, changes=found)

    def _known(self, group: PersonGroup) -> list[str]:
        """Ids of the accounts that authentik adds to a group, as far as they are known before the sync."""
        held = (self._accounts.get(key, MAYBE) for key in group.members)
        return [account for account in held if account not in {NEW, MAYBE, UNSURE}]

    def _with_members(self, item: Foretold, group: PersonGroup, occupied: Mapping[str, bool]) -> Foretold:
        """The group with what adding its members comes to. authentik adds each linked member, whether it is one or not."""
        held = [self._accounts[key] for key in group.members if key in self._accounts]
        known = self._known(group)
        gone = [account for account in known if account not in self._people]
        stops = ""
        if occupied.get(item.microsoft_id):
            stops = f"authentik adds its members again, and stops ({EXISTING}). Known, and harmless for this group"
        elif gone:
            stops = f"the account {gone[0]} of a member is not in the tenant"
        elif len(set(known)) < len(known):
            stops = "two of its members are linked to the same account"
        if stops:
            return replace(item, reason=stops, stops=True, members=0 if len(held) == 1 else None)
        if known and item.microsoft_id and item.microsoft_id not in occupied:
            return replace(item, reason="its members in the tenant cannot be read", stops=None, members=None)
        if UNSURE in held:
            return replace(item, stops=None, members=None)
        return replace(item, members=None if MAYBE in held else len(held))
