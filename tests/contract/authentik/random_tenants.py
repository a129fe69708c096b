"""What a preview foretells, held against what the sandbox's authentik then does; and random tenants to try it on."""

from __future__ import annotations

import random

from authentik_entra_bootstrap.domain import (
    AuthentikPeople,
    Link,
    Person,
    PersonGroup,
    Provider,
    ProviderPk,
    TenantGroup,
    TenantPeople,
    TenantUser,
)
from authentik_entra_bootstrap.planning.group_sync import GroupSync
from authentik_entra_bootstrap.planning.preview import UNSURE, Fate, Foretold, Preview, SyncRules, sync_rules
from authentik_entra_bootstrap.planning.user_sync import UserSync
from authentik_entra_bootstrap.sandbox.authentik.resources import accounts, people, providers
from authentik_entra_bootstrap.sandbox.authentik.state import Record
from tests.contract.authentik.laboratory import Laboratory

APPLICATION = "authentik_core.application"
PROFILES = ("2025.12", "2026.2", "2026.5", "2026.8")
NAMES = ("ada", "bob", "cyd")
ADDRESSES = (
    *(f"{name}@contoso.example" for name in NAMES * 2),
    *(f"{name.title()}@contoso.example" for name in NAMES),
    "",
    "ada@CONTOSO.example",
    "bob@mail.contoso.example",
    "cyd@elsewhere.example",
    "ada+tag@contoso.example",
)
USERNAMES = ("{}", "{} x", "jürgen {}", "{}@contoso.example", "l" * 65 + "{}")
GROUPS = ("Staff", "staff", "Research", "Sales & More", "Ünits")
ODD_GROUPS = ("日本", "g" * 70)
WRITTEN = ("displayName", "mailNickname", "userPrincipalName", "accountEnabled")


class Told:
    """A preview of a laboratory's provider, and what contradicts it after the sync."""

    def __init__(self, lab: Laboratory, provider: Record) -> None:
        self.lab = lab
        self.provider = provider

    # -- what is foretold ----------------------------------------------------------------------------------

    def foretold(self) -> Preview:
        """The preview, from the tables instead of requests."""
        self.before = {kind: self._objects(kind) for kind in ("user", "group")}
        self.logged = {key: len(lines) for key, _, lines in self._logs()}
        users = UserSync(self.rules, self.authentik, self.tenant)
        items = users.run({})
        groups = GroupSync(self.rules, self.authentik, self.tenant, users.accounts)
        occupied = {
            key: bool(among & set(self.lab.directory.get("group", key)["_members"]))
            for page in groups.questions()
            for key, among in page
        }
        return Preview(items, groups.run(occupied), self.provider["dry_run"])

    @property
    def rules(self) -> SyncRules:
        row = self.provider
        mappings = tuple(row["property_mappings"]), tuple(row["property_mappings_group"])
        names = ("filter_group", "user_delete_action", "sync_page_size")
        provider = Provider(
            ProviderPk(row["pk"]),
            "E",
            "",
            "",
            *mappings,
            discovery_enabled=row.get("discovery_enabled"),
            **{name: row[name] for name in names},
        )
        (organization,) = self.lab.directory.all("organization")
        domains = tuple(item["name"] for item in organization["verifiedDomains"])
        version = self.lab.state.profile.version
        return sync_rules(provider, version, domains, mappings)

    @property
    def authentik(self) -> AuthentikPeople:
        state, repository = self.lab.state, self.lab.worker.repository
        groups = list(state.tables["group"])
        names = {row["pk"]: row.get("username") or row["name"] for row in (*state.tables["user"], *groups)}
        links = {
            kind: [
                Link(str(row[kind]), str(names[row[kind]]), row["microsoft_id"])
                for row in repository.connections(self.provider, kind)
            ]
            for kind in ("user", "group")
        }
        return AuthentikPeople(
            [
                Person(
                    row["pk"],
                    row["username"],
                    row["email"],
                    row["name"],
                    row["is_active"],
                    state.user_uid(row),
                )
                for row in repository.in_scope(self.provider, "user")
            ],
            [PersonGroup(row["pk"], row["name"], tuple(row["users"])) for row in groups],
            links["user"],
            links["group"],
        )

    @property
    def tenant(self) -> TenantPeople:
        directory = self.lab.directory
        return TenantPeople(
            [
                TenantUser(
                    row["id"],
                    row["userPrincipalName"],
                    row.get("displayName") or "",
                    row.get("mail") or "",
                    row["mailNickname"],
                    row["accountEnabled"],
                    row.get("onPremisesImmutableId") or "",
                )
                for row in directory.all("user")
            ],
            [
                TenantGroup(row["id"], row["displayName"], row.get("uniqueName") or "", row["mailNickname"])
                for row in directory.all("group")
            ],
        )

    # -- what comes true -----------------------------------------------------------------------------------

    def _objects(self, kind: str) -> dict[str, Record]:
        return {row["id"]: row for row in self.lab.directory.all(kind)}

    def contradictions(self, preview: Preview) -> list[str]:
        """What the preview told otherwise than it came, except where it said that it does not know."""
        wrong: list[str] = []
        for kind, items in (("user", preview.users), ("group", preview.groups)):
            after = self._objects(kind)
            uses = [item.microsoft_id for item in items]
            links = {
                str(row[kind]): row["microsoft_id"]
                for row in self.lab.worker.repository.connections(self.provider, kind)
            }
            for item in items:
                account = links.get(item.key, "")
                alone = not account or uses.count(account) < 2
                wrong += [f"{item}: {text}" for text in self._of_one(item, account, after, preview, alone)]
            wrong += self._stops(kind, items) if not preview.dry_run else []
            made = set(after) - set(self.before[kind])
            told = [item for item in items if item.fate in {Fate.CREATE, Fate.CREATE_AGAIN}]
            unknown = [item for item in items if item.fate is Fate.UNKNOWN]
            if not preview.dry_run and not len(told) <= len(made) <= len(told) + len(unknown):
                wrong.append(f"{len(made)} {kind}s were made, foretold {len(told)}")
            if preview.dry_run and after != self.before[kind]:
                wrong.append("a dry run wrote")
        return wrong

    def _of_one(
        self, item: Foretold, linked: str, after: dict[str, Record], preview: Preview, alone: bool
    ) -> list[str]:
        before, now = self.before[item.kind].get(linked), after.get(linked)
        if item.fate is Fate.LEAVES and self.lab.state.profile.clean_up == "working":
            return []
        if item.fate is Fate.UNKNOWN:
            return [] if item.microsoft_id in {"", UNSURE, linked} else [f"linked to {linked}"]
        if item.fate in {Fate.CREATE, Fate.CREATE_AGAIN} and not preview.dry_run:
            if before is not None or now is None:
                return ["it was not made"]
            enabled = now.get("accountEnabled") in {None, item.reason != "as a disabled account"}
            return [*([] if enabled else ["enabled otherwise"]), *self._members(item, now)]
        if item.microsoft_id not in {UNSURE, linked}:
            return [f"linked to {linked}"]
        if preview.dry_run or not alone or now is None or before is None:
            return []
        wanted = {**before, **{one.property: one.after for one in item.changes}}
        differing = [name for name in WRITTEN if now.get(name) != wanted.get(name)]
        return [*([f"other {differing}"] if differing else []), *self._members(item, now, before)]

    def _members(self, item: Foretold, now: Record, before: Record | None = None) -> list[str]:
        if item.kind == "user" or item.members is None:
            return []
        added = len(now["_members"]) - len(before["_members"] if before else ())
        return [] if added == item.members else [f"{added} members were added"]

    def _logs(self) -> list[tuple[str, str, list[Record]]]:
        """Message id, uid and log of every task, with its earlier attempts."""
        return [
            (task["message_id"], task["uid"], [*task["previous_logs"], *task["logs"]])
            for task in self.lab.state.tables["task"]
        ]

    def _stops(self, kind: str, items: tuple[Foretold, ...]) -> list[str]:
        """Compare where pages stopped, by the warnings of their tasks."""
        seen = {
            line["attributes"]["obj"].get("username" if kind == "user" else "name")
            for key, uid, lines in self._logs()
            if f":{kind}:" in uid
            for line in lines[self.logged.get(key, 0) :]
            if line["event"].startswith("Stopping sync")
        }
        told = {item.name for item in items if item.stops}
        unknown = {item.name for item in items if item.fate is Fate.UNKNOWN or item.members is None}
        return [f"stops at {seen}, foretold {told}"] if not told <= seen <= told | unknown else []


class RandomTenant(Told):
    """One random world in a laboratory that is emptied first.

    :param seed: decides everything.
    """

    def __init__(self, lab: Laboratory, seed: int) -> None:
        super().__init__(lab, {})
        self.rng = random.Random(seed)
        self.hazard = self.rng.choice((0.05, 0.2, 1.0))
        """How often something is out of the ordinary."""
        self._empty()
        lab.worker.switches.halted = True
        self._tenant()
        self._people()
        self._provider()
        self._links()
        lab.worker.signals.refresh()

    def _empty(self) -> None:
        tables, directory = self.lab.state.tables, self.lab.directory
        for name in ("provider", "application", "entra_user", "entra_group", "schedule", "event"):
            tables[name].rows.clear()
        for row in tables["task"]:
            self.lab.worker.book.drop(row)
        self.lab.without_people()
        for kind in ("user", "group"):
            for found in directory.all(kind):
                directory.remove(kind, found["id"])

    def _odd(self, values: tuple[str, ...]) -> str:
        """The first one, or with the world's hazard any."""
        return self.rng.choice(values) if self.rng.random() < self.hazard else values[0]

    def _tenant(self) -> None:
        rng, lab = self.rng, self.lab
        taken: set[str] = set()
        self.account_ids: list[str] = []
        for _ in range(rng.randrange(6)):
            name = rng.choice((*(f"user{number}@contoso.example" for number in range(6)), *ADDRESSES[:9]))
            if name.casefold() in taken:
                continue
            taken.add(name.casefold())
            key = lab.world.guid()
            self.account_ids.append(key)
            lab.directory.put(
                "user",
                key,
                {
                    "id": key,
                    "createdDateTime": "2026-01-01T00:00:00Z",
                    "businessPhones": [],
                    "displayName": rng.choice(("Ada", "Somebody")),
                    "mailNickname": rng.choice(("ada", "x")),
                    "userPrincipalName": name,
                    "accountEnabled": rng.random() < 0.7,
                    "mail": rng.choice((None, name, name, name, rng.choice(ADDRESSES) or None)),
                    "userType": "Member",
                    "_directoryRoles": [],
                },
            )
        self.group_ids: list[str] = []
        unique: set[str] = set()
        for _ in range(rng.randrange(5)):
            name, key = rng.choice(GROUPS), lab.world.guid()
            called = rng.choice((None, rng.choice(GROUPS)))
            if called in unique:
                called = None
            unique |= {called} if called else set()
            self.group_ids.append(key)
            members = [one for one in self.account_ids if rng.random() < 0.3]
            lab.directory.put(
                "group",
                key,
                {
                    "id": key,
                    "createdDateTime": "2026-01-01T00:00:00Z",
                    "displayName": name,
                    "mailNickname": "x",
                    "mailEnabled": False,
                    "securityEnabled": True,
                    "groupTypes": [],
                    "uniqueName": called,
                    "_owners": [],
                    "_members": members,
                },
            )

    def _people(self) -> None:
        rng, lab = self.rng, self.lab
        self.users: list[Record] = []
        for number in range(rng.randrange(1, 9)):
            username = self._odd(USERNAMES).format(f"{rng.choice(NAMES)}{number}")
            email = self._odd((f"user{number}@contoso.example", *ADDRESSES))
            name = self._odd(("Ada", "Bob", "", "n" * 257))
            record = lab.user(username, "", name, active=rng.random() < 0.8)
            # Whatever stands in its database: the API would refuse some of these.
            record |= {"email": email, "type": rng.choice((*people.TYPES, "internal", "internal"))}
            self.users.append(record)
        self.groups: list[Record] = []
        odd = ODD_GROUPS if rng.random() < self.hazard / 4 else ()
        for name in rng.sample((*GROUPS, *odd), rng.randrange(5)):
            members = [row["pk"] for row in self.users if rng.random() < 0.4]
            self.groups.append(lab.make(accounts.GROUP, name=name, users=members))
        for row in self.users:
            if rng.random() < 0.1 and self.account_ids:
                key = rng.choice(self.account_ids)
                found = lab.directory.get("user", key) or {}
                lab.directory.put("user", key, {**found, "onPremisesImmutableId": lab.state.user_uid(row)})

    def _provider(self) -> None:
        rng, lab = self.rng, self.lab
        newest = {"discovery_enabled": rng.random() < 0.7} if lab.state.profile.discovery_enabled else {}
        self.provider = lab.provider(
            "E",
            filter_group=rng.choice([None, None, *(row["pk"] for row in self.groups)]),
            exclude_users_service_account=rng.random() < 0.5,
            user_delete_action=rng.choice(("delete", "suspend", "do_nothing")),
            sync_page_size=rng.choice((1, 2, 3, 100, 100, 100)),
            dry_run=rng.random() < 0.15,
            **newest,
        )
        lab.make(APPLICATION, name="e", slug="e", backchannel_providers=[self.provider["pk"]])
        for row in lab.state.tables["task"]:
            lab.worker.book.drop(row)

    def _links(self) -> None:
        rng, repository = self.rng, self.lab.worker.repository
        for kind, rows, ids in (
            ("user", self.users, self.account_ids),
            ("group", self.groups, self.group_ids),
        ):
            for row in rows:
                if rng.random() < 0.25:
                    key = rng.choice(ids) if ids and rng.random() > self.hazard / 4 else self.lab.world.guid()
                    repository.connect(self.provider, kind, row["pk"], {"id": key})

    async def sync(self) -> None:
        """One full sync, whose pages are taken in any order."""
        book = self.lab.worker.book
        places: dict[str, float] = {}
        due = type(book).due
        book.due = lambda moment: sorted(  # type: ignore[method-assign]  # another order of the same tasks
            due(book, moment), key=lambda row: places.setdefault(row["message_id"], self.rng.random())
        )
        self.lab.worker.switches.halted = False
        self.lab.change(providers.LABEL, self.provider)
        await self.lab.worker.settle()
