"""What a full sync does to each user: authentik's order and checks, and Entra ID's refusals. Pure.

authentik links by ``mail`` before each page, takes its pages in any order (seen on 2026.5.0-rc1), and ends a page at
the first refusal. What depends on the order of pages is unknown.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from authentik_entra_bootstrap.domain import AuthentikPeople, MappedUser, Person, TenantPeople, TenantUser
from authentik_entra_bootstrap.planning.preview import Change, Fate, Foretold, Page, SyncRules, batches

NEW = "new"
"""Instead of an account's id: the sync creates it."""
MAYBE = "maybe"
"""Instead of an account's id: whether the sync creates one is not known."""
UNSURE = "several"
"""Instead of an account's id: which of several that the tenant has is not known."""
NO_ADDRESS = "no e-mail address"
_PRINCIPAL = re.compile(r"[A-Za-z0-9'._!#^~-]+@[A-Za-z0-9.-]+")
_NICKNAME = re.compile(r"[!-~]+")
_NOT_IN_NICKNAME = frozenset("@,;:<>()[]")
_LONGEST = {"displayName": 256, "mailNickname": 64, "userPrincipalName": 113}
"""Characters that Entra ID takes."""


def address_problem(email: str, domains: Sequence[str]) -> str:
    """Why authentik cannot use an e-mail address as user principal name; empty where it can.

    authentik compares the end of the address by its exact case (``MicrosoftEntraSyncClient.check_email_valid``).

    :param domains: verified in the tenant; none where they could not be read: then nothing is wrong with any.
    """
    if not email:
        return NO_ADDRESS
    if domains and not any(email.endswith(f"@{domain}") for domain in domains):
        return f"{email.rpartition('@')[2]} is not verified in this tenant"
    return ""


class UserSync:
    """One full sync of users.

    :ivar accounts: user's key -> id of the account that it has afterwards, or one of the words above. Users without an
        account are left out; linked users out of the scope are not.
    """

    def __init__(self, rules: SyncRules, authentik: AuthentikPeople, tenant: TenantPeople) -> None:
        self._rules = rules
        self._basic = tenant.basic
        self._tenant = {account.object_id: account for account in tenant.users}
        self._holders = {account.user_principal_name.casefold(): key for key, account in self._tenant.items()}
        self._first_holders = frozenset(self._holders)
        self._immutable = {
            account.immutable_id.casefold(): key
            for key, account in self._tenant.items()
            if account.immutable_id
        }
        self._people = sorted(authentik.users, key=lambda person: person.pk)
        self._names: dict[str, str] = {}
        self._links = authentik.user_links
        self._linked_before = frozenset(int(link.key) for link in self._links)
        self._candidates: dict[int, set[str]] = {}
        self.accounts: dict[int, str] = {}
        for link in self._links:
            self._link(int(link.key), link.microsoft_id)
        self._discover(tenant.users if rules.discovers else ())
        self._linked = frozenset(self.accounts.values())
        self._pages = list(batches(self._people, rules.page_size))
        self._note_interference()

    def _discover(self, accounts: Iterable[TenantUser]) -> None:
        """Link the users to accounts of the same ``mail``."""
        first: dict[str, int] = {}
        for person in self._people:
            first.setdefault(person.email, person.pk)
        for account in accounts:
            if account.mail and account.mail in first:
                self._link(first[account.mail], account.object_id)

    def _link(self, key: int, microsoft_id: str) -> None:
        """Link a user. Of several accounts that fit, nobody knows which one authentik takes."""
        known = self.accounts.setdefault(key, microsoft_id)
        if known != microsoft_id:
            self._candidates.setdefault(key, {known}).add(microsoft_id)
            self.accounts[key] = UNSURE

    # --- what pages do to each other

    def _note_interference(self) -> None:
        """Note on which pages names are given to accounts, and taken from them."""
        self._claimed: dict[str, set[int]] = defaultdict(set)
        self._released: dict[str, set[int]] = defaultdict(set)
        self._written: dict[str, set[int]] = defaultdict(set)
        self._wild: set[int] = set()
        for number, page in enumerate(self._pages):
            for person in page:
                wanted = self._wanted(person)
                held = self._candidates.get(person.pk) or {self.accounts.get(person.pk, "")}
                if wanted is None:
                    self._wild.add(number)
                elif not self._problem(wanted):
                    self._note(wanted.user_principal_name.casefold(), held, number)

    def _note(self, name: str, held: Collection[str], page: int) -> None:
        for key in held:
            account = self._tenant.get(key)
            before = account.user_principal_name.casefold() if account else ""
            if account is not None:
                self._written[key].add(page)
            if name and name != before:
                self._claimed[name].add(page)
            if before and name != before:
                self._released[before].add(page)

    def _depends_on_order(self, wanted: MappedUser, held: str, page: int) -> bool:
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

    def _wanted(self, person: Person) -> MappedUser | None:
        """What authentik writes; ``None`` where a mapping decides that nobody has asked."""
        if self._rules.default_users:
            uid = person.uid if self._rules.newer else ""
            return MappedUser(person.name, person.username, person.email, person.is_active, uid)
        # A mapping may look at the link, which authentik's test of it cannot be given.
        return None if person.pk in self.accounts else self._rules.mapped.get(person.pk)

    def _problem(self, wanted: MappedUser) -> str:
        """Why authentik itself leaves the user out. From 2026.2 on it sends an empty name to Microsoft."""
        if not wanted.user_principal_name and self._rules.newer:
            return ""
        return address_problem(wanted.user_principal_name, self._rules.domains)

    def run(self) -> tuple[Foretold, ...]:
        """Every user in authentik's order, then the linked ones that leave the scope."""
        found: list[Foretold] = []
        for number, people in enumerate(self._pages):
            page = Page()
            for person in people:
                item, wanted, doubt = self._one(person, number)
                certain = page.add(item, doubt=doubt)
                if certain and wanted is not None and item.fate in _WRITTEN:
                    self._write(person, wanted, item)
                elif page.items[-1].fate is Fate.UNKNOWN and item.fate in {Fate.UNKNOWN, Fate.CREATE}:
                    self.accounts.setdefault(person.pk, MAYBE)
            found += page.closed()
        return (*found, *self._leaving())

    def _write(self, person: Person, wanted: MappedUser, item: Foretold) -> None:
        """What the rest of the page finds after this user is written."""
        key = item.microsoft_id
        if not key:
            key = f"{NEW} {person.pk}"
            self._names[key] = person.username
            self.accounts[person.pk] = NEW
        before = self._tenant.get(key)
        if before is not None:
            self._holders.pop(before.user_principal_name.casefold(), None)
            self._tenant[key] = replace(
                before,
                user_principal_name=wanted.user_principal_name,
                display_name=wanted.display_name,
                mail_nickname=wanted.mail_nickname,
                account_enabled=wanted.account_enabled,
            )
        self._holders[wanted.user_principal_name.casefold()] = key

    def _one(self, person: Person, page: int) -> tuple[Foretold, MappedUser | None, bool]:
        """What happens to a user that is reached; what is written; whether it is uncertain that the sync goes on."""
        held = self.accounts.get(person.pk, "")
        account = self._tenant.get(held)
        wanted = self._wanted(person)
        told = Foretold(
            "user",
            str(person.pk),
            person.username,
            Fate.UNKNOWN,
            microsoft_id=held,
            account=account.user_principal_name if account else "",
        )
        if wanted is None:
            return replace(told, reason=_CUSTOM if not held else f"linked, but {_CUSTOM}"), None, True
        if not self._rules.domains:
            return replace(told, reason="the tenant's verified domains cannot be read"), None, True
        if problem := self._problem(wanted):
            remedy = "Verify the domain in Entra ID, or change the e-mail address."
            return replace(told, fate=Fate.SKIP, reason=problem, remedy=remedy), None, False
        if held == UNSURE:
            return replace(told, reason="several accounts of the tenant fit", remedy=_SEVERAL), None, True
        if held and account is None:
            reason, remedy = f"the linked account {held} is not in the tenant", _GONE.format(person.username)
            return replace(told, fate=Fate.GONE, reason=reason, remedy=remedy, stops=True), None, False
        if self._depends_on_order(wanted, held, page):
            reason = "it depends on the order in which authentik takes its pages"
            remedy = f"Give {person.username} an e-mail address that no other user or account has."
            return replace(told, reason=reason, remedy=remedy), None, True
        reason, remedy = self._refusal(person, wanted, account)
        if reason:
            told = replace(told, fate=Fate.CONFLICT, reason=reason, remedy=remedy, stops=True)
            return told, None, False
        if account is not None and account.on_premises:
            reason = (
                "the account is synchronised from Active Directory, where Entra ID may refuse to change it"
            )
            return (
                replace(told, reason=reason, remedy=f"Or leave {person.username} out of the scope."),
                wanted,
                True,
            )
        return self._written_item(person, wanted, told, account), wanted, False

    def _written_item(
        self, person: Person, wanted: MappedUser, told: Foretold, account: TenantUser | None
    ) -> Foretold:
        told = replace(told, disabled=not wanted.account_enabled)
        if account is None:
            reason = "" if wanted.account_enabled else "as a disabled account"
            return replace(told, fate=Fate.CREATE, reason=reason)
        changes = self._changes(wanted, account)
        unread = self._basic and not any(item.before is not None for item in changes)
        if person.pk not in self._linked_before:
            return replace(told, fate=Fate.LINK, changes=changes)
        if unread:
            return replace(
                told, reason="linked; mailNickname and accountEnabled cannot be read", changes=changes
            )
        return replace(told, fate=Fate.CHANGE if changes else Fate.KEEP, changes=changes)

    def _changes(self, wanted: MappedUser, account: TenantUser) -> tuple[Change, ...]:
        compared: tuple[tuple[str, str | bool | None, str | bool], ...] = (
            ("accountEnabled", account.account_enabled, wanted.account_enabled),
            ("userPrincipalName", account.user_principal_name, wanted.user_principal_name),
            ("displayName", account.display_name, wanted.display_name),
            ("mailNickname", account.mail_nickname, wanted.mail_nickname),
        )
        return tuple(Change(name, before, after) for name, before, after in compared if before != after)

    def _refusal(self, person: Person, wanted: MappedUser, account: TenantUser | None) -> tuple[str, str]:
        """Why Entra ID refuses to create or change the account, and what to do; two empty texts where it does not."""
        who, name = person.username, wanted.user_principal_name
        if not name:
            return NO_ADDRESS, f"Give {who} one in authentik, or leave {who} out of the scope."
        if not wanted.display_name:
            return "no name", f"Give {who} a name in authentik."
        nickname = wanted.mail_nickname
        if not _NICKNAME.fullmatch(nickname) or set(nickname) & _NOT_IN_NICKNAME:
            reason = "the username has characters that Entra ID takes in no mailNickname"
            return (
                reason,
                f"Rename {who!r} in authentik to ASCII letters and digits, or leave it out of the scope.",
            )
        if not _PRINCIPAL.fullmatch(name):
            reason = f"{name} has characters that Entra ID takes in no userPrincipalName"
            return (
                reason,
                f"Change the e-mail address of {who} in authentik, or leave {who} out of the scope.",
            )
        values = {"displayName": wanted.display_name, "mailNickname": nickname, "userPrincipalName": name}
        for field, longest in _LONGEST.items():
            if len(values[field]) > longest:
                return f"its {field} is longer than {longest} characters", f"Shorten it in authentik: {who}."
        own = account.object_id if account else ""
        if (holder := self._holders.get(name.casefold())) not in {None, own}:
            return self._taken(person, name, str(holder), linked=bool(own))
        if not own and (holder := self._immutable.get(wanted.immutable_id.casefold())):
            reason = f"{self._shown(holder)} was created for {who} before (onPremisesImmutableId)"
            return reason, self._mend(holder, name)
        return "", ""

    def _taken(self, person: Person, name: str, holder: str, *, linked: bool) -> tuple[str, str]:
        reason = f"{name} is the userPrincipalName of {self._shown(holder)}"
        if holder in self._names:
            return (
                f"{reason}, created before it",
                f"Give {person.username} another e-mail address in authentik.",
            )
        if linked or holder in self._linked:
            return (
                reason,
                f"Give {person.username} another e-mail address, or that account another userPrincipalName.",
            )
        return reason, self._mend(holder, name)

    def _mend(self, holder: str, email: str) -> str:
        turn_on = "" if self._rules.discovers else " and turn on the provider's discovery"
        return f"Set mail of {self._shown(holder)} to {email} in Entra ID{turn_on}, or leave the user out of the scope."

    def _shown(self, key: str) -> str:
        if key in self._names:
            return f"the account of {self._names[key]}"
        account = self._tenant[key]
        return account.user_principal_name

    # --- out of the scope

    def _leaving(self) -> list[Foretold]:
        covered = {str(person.pk) for person in self._people}
        does = {"delete": "deleted", "suspend": "disabled"}.get(
            self._rules.user_delete_action, "left as it is"
        )
        if not self._rules.newer:
            reason = "This release of authentik leaves link and account as they are"
        else:
            reason = (
                "authentik's clean-up fails and the whole sync is repeated; a release in which it works leaves the "
                f"account {does} (user_delete_action = {self._rules.user_delete_action})"
            )
        remedy = (
            "Put the user back into the scope, or delete the link under Provisioned Users of the provider."
        )
        return [
            Foretold(
                "user",
                link.key,
                link.name,
                Fate.LEAVES,
                reason,
                remedy,
                link.microsoft_id,
                self._tenant[link.microsoft_id].user_principal_name
                if link.microsoft_id in self._tenant
                else "",
            )
            for link in self._links
            if link.key not in covered
        ]


_WRITTEN = frozenset({Fate.CREATE, Fate.LINK, Fate.CHANGE, Fate.KEEP})
_CUSTOM = "a property mapping of your own decides"
_SEVERAL = "Leave the e-mail address of the user as mail of one account only."
_GONE = "Restore the account, or delete the link of {} under Provisioned Users of the provider: the next sync makes it anew."
