"""What a full sync does to each user: authentik's order and checks, and Entra ID's refusals. Pure.

authentik links by ``mail`` before each page, takes its pages in any order (seen on 2026.5.0-rc1), and ends a page at
the first refusal. What depends on the order of pages is unknown.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from authentik_entra_bootstrap.domain import AuthentikPeople, Person, TenantPeople, TenantUser
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
from authentik_entra_bootstrap.planning.scope import NO_ADDRESS, address_problem

_PRINCIPAL = re.compile(r"[A-Za-z0-9'._!#^~-]+@[A-Za-z0-9.-]+")
_NICKNAME = re.compile(r"(?:(?![@,;:<>()\[\]])[!-~])+")
_LONGEST = {"displayName": 256, "mailNickname": 64, "userPrincipalName": 113}
"""Characters that Entra ID takes."""
_CUSTOM = "a property mapping of your own decides"


class UserSync:
    """One full sync of users.

    :ivar accounts: user's key -> id of the account that it has afterwards, or ``NEW``, ``MAYBE`` or ``UNSURE``. Users
        without an account are left out; linked users out of the scope are not.
    """

    def __init__(self, rules: SyncRules, authentik: AuthentikPeople, tenant: TenantPeople) -> None:
        self._rules = rules
        self._basic = tenant.basic
        self._tenant = {account.object_id: account for account in tenant.users}
        self._holders = {
            account.user_principal_name.casefold(): account.object_id for account in tenant.users
        }
        self._first_holders = frozenset(self._holders)
        self._immutable = {
            account.immutable_id.casefold(): account.object_id
            for account in tenant.users
            if account.immutable_id
        }
        self._people = sorted(authentik.users, key=lambda person: person.pk)
        self._pages = rules.pages(self._people)
        self._names: dict[str, str] = {}
        self._links = authentik.user_links
        links = [(int(link.key), link.microsoft_id) for link in self._links]
        self._linked_before = frozenset(key for key, _ in links)
        if rules.discovers:
            first = {person.email: person.pk for person in reversed(self._people) if person.email}
            links += [(first[one.mail], one.object_id) for one in tenant.users if one.mail in first]
        self._candidates = candidates(links)
        self.accounts = certain(self._candidates)
        self._linked = frozenset(self.accounts.values())
        self._wanted: dict[int, TenantUser | None] = {}
        """User's key -> what authentik writes; missing if a custom mapping decides and was not evaluated."""
        self._claimed: dict[str, set[int]] = defaultdict(set)
        self._released: dict[str, set[int]] = defaultdict(set)
        self._written: dict[str, set[int]] = defaultdict(set)
        self._wild: set[int] = set()

    def run(self, mapped: Mapping[int, TenantUser | None]) -> tuple[Foretold, ...]:
        """Every user in authentik's order, then the linked ones that leave the scope.

        :param mapped: user's key -> what its mappings make of it, where authentik was asked; ``None`` for no answer.
        """
        for person in self._people:
            uid = person.uid if self._rules.newer else ""
            if self._rules.default_users:
                name, active = person.username, person.is_active
                self._wanted[person.pk] = TenantUser("", person.email, person.name, "", name, active, uid)
            elif person.pk not in self.accounts:
                # A mapping may look at the link, which authentik's test of it cannot be given.
                self._wanted[person.pk] = mapped.get(person.pk)
        self._note_interference()
        found: list[Foretold] = []
        for number, people in enumerate(self._pages):
            page = Page()
            for person in people:
                item = self._one(person, number)
                reached, wanted = page.add(item), self._wanted.get(person.pk)
                if reached and wanted and item.fate in WRITTEN:
                    self._write(person, wanted, item.microsoft_id)
                elif page.items[-1].fate is Fate.UNKNOWN and item.fate in {Fate.UNKNOWN, Fate.CREATE}:
                    self.accounts.setdefault(person.pk, MAYBE)
            found += page.items
        return (*found, *self._leaving())

    def _write(self, person: Person, wanted: TenantUser, held: str) -> None:
        """What the rest of the page finds after this user is written."""
        if held:
            self._holders.pop(self._tenant[held].user_principal_name.casefold(), None)
            self._tenant[held] = replace(wanted, object_id=held)
        else:
            held, self.accounts[person.pk] = f"{NEW} {person.pk}", NEW
            self._names[held] = person.username
        self._holders[wanted.user_principal_name.casefold()] = held

    # --- what pages do to each other

    def _note_interference(self) -> None:
        """Note on which pages names are given to accounts, and taken from them."""
        for number, page in enumerate(self._pages):
            for person in page:
                wanted = self._wanted.get(person.pk)
                if wanted is None:
                    self._wild.add(number)
                elif not self._problem(wanted):
                    for key in self._candidates.get(person.pk, {""}):
                        self._note(wanted.user_principal_name.casefold(), self._tenant.get(key), number)

    def _note(self, name: str, account: TenantUser | None, page: int) -> None:
        before = account.user_principal_name.casefold() if account else ""
        if account is not None:
            self._written[account.object_id].add(page)
        if name and name != before:
            self._claimed[name].add(page)
        if before and name != before:
            self._released[before].add(page)

    def _depends_on_order(self, wanted: TenantUser, held: str, page: int) -> bool:
        """Whether other pages decide what happens, by the moment at which they run."""
        here, name = {page}, wanted.user_principal_name.casefold()
        account = self._tenant.get(held)
        if account is not None and self._written[held] - here:
            return True
        if account is not None and account.user_principal_name.casefold() == name:
            return False
        released = self._released.get(name, set())
        if name in self._first_holders and not released and not self._wild - here:
            return False  # Its holder keeps the name, so it is a conflict at any moment.
        return bool((self._claimed[name] | released | self._wild) - here)

    # --- one user

    def _problem(self, wanted: TenantUser) -> str:
        """Why authentik itself leaves the user out. From 2026.2 on it sends an empty name to Microsoft."""
        if not wanted.user_principal_name and self._rules.newer:
            return ""
        return address_problem(wanted.user_principal_name, self._rules.domains)

    def _told(self, key: str, name: str, held: str) -> Callable[..., Foretold]:
        """Makes the item of a user, given its fate and what else there is to say."""
        account = self._tenant[held].user_principal_name if held in self._tenant else ""
        return partial(Foretold, "user", key, name, microsoft_id=held, account=account)

    def _one(self, person: Person, page: int) -> Foretold:
        """What happens to a user that is reached."""
        who, held, wanted = person.username, self.accounts.get(person.pk, ""), self._wanted.get(person.pk)
        account = self._tenant.get(held)
        told = self._told(str(person.pk), who, held)
        unknown = partial(told, Fate.UNKNOWN, stops=None)
        if wanted is None:
            return unknown(f"linked, but {_CUSTOM}" if held else _CUSTOM)
        if not self._rules.domains:
            return unknown("the tenant's verified domains cannot be read")
        if problem := self._problem(wanted):
            return told(Fate.SKIP, problem, "Verify the domain in Entra ID, or change the e-mail address.")
        if held == UNSURE:
            remedy = "Leave the e-mail address of the user as mail of one account only."
            return unknown("several accounts of the tenant fit", remedy)
        if held and account is None:
            reason = f"the linked account {held} is not in the tenant"
            remedy = (
                f"Restore the account, or delete the link of {who} under Provisioned Users of the provider: the next "
                "sync makes it anew."
            )
            return told(Fate.GONE, reason, remedy, stops=True)
        if self._depends_on_order(wanted, held, page):
            reason = "it depends on the order in which authentik takes its pages"
            return unknown(reason, f"Give {who} an e-mail address that no other user or account has.")
        if refusal := self._refusal(who, wanted, account):
            return told(Fate.CONFLICT, *refusal, stops=True)
        if account is None:
            return told(Fate.CREATE, "" if wanted.account_enabled else "as a disabled account")
        if account.on_premises:
            reason = (
                "the account is synchronised from Active Directory, where Entra ID may refuse to change it"
            )
            return unknown(reason, f"Or leave {who} out of the scope.")
        return self._overwritten(person, wanted, account, told)

    def _overwritten(
        self, person: Person, wanted: TenantUser, account: TenantUser, told: Callable[..., Foretold]
    ) -> Foretold:
        """A user whose account in the tenant gets authentik's values."""
        found = changes(
            ("accountEnabled", account.account_enabled, wanted.account_enabled),
            ("userPrincipalName", account.user_principal_name, wanted.user_principal_name),
            ("displayName", account.display_name, wanted.display_name),
            ("mailNickname", account.mail_nickname, wanted.mail_nickname),
        )
        if person.pk not in self._linked_before:
            return told(Fate.LINK, changes=found)
        if self._basic and all(item.before is None for item in found):
            reason = "linked; mailNickname and accountEnabled cannot be read"
            return told(Fate.UNKNOWN, reason, changes=found)
        return told(Fate.CHANGE if found else Fate.KEEP, changes=found)

    def _refusal(self, who: str, wanted: TenantUser, account: TenantUser | None) -> tuple[str, str] | None:
        """Why Entra ID refuses to create or change the account, and what to do; ``None`` where it does not."""
        name, nickname = wanted.user_principal_name, wanted.mail_nickname or ""
        if not name:
            return NO_ADDRESS, f"Give {who} one in authentik, or leave {who} out of the scope."
        if not wanted.display_name:
            return "no name", f"Give {who} a name in authentik."
        if not _NICKNAME.fullmatch(nickname):
            remedy = f"Rename {who!r} in authentik to ASCII letters and digits, or leave it out of the scope."
            return "the username has characters that Entra ID takes in no mailNickname", remedy
        if not _PRINCIPAL.fullmatch(name):
            remedy = f"Change the e-mail address of {who} in authentik, or leave {who} out of the scope."
            return f"{name} has characters that Entra ID takes in no userPrincipalName", remedy
        values = {"displayName": wanted.display_name, "mailNickname": nickname, "userPrincipalName": name}
        for field, longest in _LONGEST.items():
            if len(values[field]) > longest:
                return f"its {field} is longer than {longest} characters", f"Shorten it in authentik: {who}."
        own = account.object_id if account else ""
        holder = self._holders.get(name.casefold(), own)
        if holder != own:
            return self._taken(who, name, holder, linked=bool(own))
        if not own and (holder := self._immutable.get((wanted.immutable_id or "").casefold(), "")):
            reason = f"{self._shown(holder)} was created for {who} before (onPremisesImmutableId)"
            return reason, self._mend(holder, name)
        return None

    def _taken(self, who: str, name: str, holder: str, *, linked: bool) -> tuple[str, str]:
        reason, another = (
            f"{name} is the userPrincipalName of {self._shown(holder)}",
            f"Give {who} another e-mail address",
        )
        if holder in self._names:
            return f"{reason}, created before it", f"{another} in authentik."
        if linked or holder in self._linked:
            return reason, f"{another}, or that account another userPrincipalName."
        return reason, self._mend(holder, name)

    def _mend(self, holder: str, email: str) -> str:
        turn_on = "" if self._rules.discovers else " and turn on the provider's discovery"
        return f"Set mail of {self._shown(holder)} to {email} in Entra ID{turn_on}, or leave the user out of the scope."

    def _shown(self, key: str) -> str:
        if key in self._names:
            return f"the account of {self._names[key]}"
        return self._tenant[key].user_principal_name

    # --- out of the scope

    def _leaving(self) -> list[Foretold]:
        action = self._rules.user_delete_action
        does = {"delete": "deleted", "suspend": "disabled"}.get(action, "left as it is")
        reason = (
            "authentik's clean-up fails and the whole sync is repeated; a release in which it works leaves the "
            f"account {does} (user_delete_action = {action})"
            if self._rules.newer
            else "This release of authentik leaves link and account as they are"
        )
        remedy = (
            "Put the user back into the scope, or delete the link under Provisioned Users of the provider."
        )
        covered = {str(person.pk) for person in self._people}
        return [
            self._told(link.key, link.name, link.microsoft_id)(Fate.LEAVES, reason, remedy)
            for link in self._links
            if link.key not in covered
        ]
