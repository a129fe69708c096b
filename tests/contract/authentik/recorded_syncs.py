"""What real authentiks did to a tenant, played again on the sandbox's authentik and its tenant.

A recording tells the requests that one change led to, what the tenant held afterwards and what the worker's tasks
logged. From these :class:`Situation` works out what must have been there before, builds it, makes the same change,
and tells what the sandbox did in the recording's own form.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

from authentik_entra_bootstrap.sandbox.authentik.resources import accounts, people, providers
from authentik_entra_bootstrap.sandbox.authentik.state import Record
from tests.contract.authentik.laboratory import Laboratory, without_moments

PROFILES = {"25": "2025.12", "26": "2026.5"}
"""Release lines by how the recordings' names end."""
APPLICATION = "authentik_core.application"
NO_PROVIDER = "No provider found. Is it assigned to an application?"
GROUP_PATH = re.compile(r"/v1\.0/groups/([^/?]+)")
RETRIED = "Task will be retried"


def collection(call: Record) -> str:
    """What a request is about: ``users``, ``groups``, ``organization`` or ``token``."""
    return "token" if call["server"] == "entra" else call["path"].split("?")[0].split("/")[2]


def kept_log(task: Record) -> list[Record]:
    return [
        {"level": line["log_level"], "event": line["event"], "attributes": line["attributes"]}
        for line in task["previous_logs"] + task["logs"]
    ]


class Situation:
    """One recording, and how to bring about what came before it."""

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        self.profile = PROFILES[path.stem.rpartition("-")[2]]
        self.recorded: Record = json.loads(path.read_text())
        self.calls: list[Record] = self.recorded["graph"]
        self._correct()
        self.made = {call["reply"]["id"] for call in self.calls if call["status"] == 201}
        """Ids of what was made in the recording."""
        self.tasks: list[Record] = self.recorded.get("tasks", [])
        after = self.recorded.get("tenant_after") or []
        if isinstance(after, dict):
            self.users_after, self.groups_after = after["users"], after["groups"]
        else:
            people_after = bool(after) and "userPrincipalName" in after[0]
            self.users_after = after if people_after else []
            self.groups_after = [] if people_after else after
        self.whole = any(collection(call) == "organization" for call in self.calls)
        """Whether every request was kept, and not those of one kind only."""
        self.laboratory = Laboratory(self.profile)
        self.theirs: dict[str, str] = {}
        """The recording's id of each of our objects."""
        self.users: dict[str, Record] = {}
        """authentik's users by the id of their account in the recording, or by user name."""
        self.groups: dict[str, Record] = {}
        self.linked_before: set[str] = set()

    def _correct(self) -> None:
        """The tenant that was recorded against took ``@`` in a user's mailNickname; the real one does not."""
        wrong = {
            call["request"]["mailNickname"]: call
            for call in self.calls
            if collection(call) == "users" and "@" in (call["request"] or {}).get("mailNickname", "")
        }
        message = "Invalid value specified for property 'mailNickname' of resource 'User'."
        for nickname, call in wrong.items():
            name = call["request"]["userPrincipalName"]
            call |= {"status": 400, "reply": {"error": {"message": message}}}
            if call["method"] == "PATCH":  # it was never made, so it is never updated
                call |= {"method": "POST", "path": "/v1.0/users"}
                call["request"] |= {"passwordProfile": {}, "onPremisesImmutableId": ""}
            for key in ("tenant_after", "links"):
                rows = self.recorded.get(key)
                if isinstance(rows, list):
                    rows[:] = [
                        row for row in rows if name not in _values(row) and nickname not in _values(row)
                    ]
            for task in self.recorded["tasks"]:
                text = f"Stopping sync due to error: Error {message} (status 400)"
                obj = {"username": nickname, "email": name}
                shown = {"level": "warning", "event": text, "attributes": {"obj": obj}}
                if task["uid"].endswith(":user:10"):
                    task["log"].insert(-1, shown)

    def _known_links(self) -> list[list[str]]:
        """Pairs of a name and an id; some recordings tell the names alone."""
        return [row for row in self.recorded.get("links", ()) if isinstance(row, list)]

    # -- what was there before -----------------------------------------------------------------------------

    def of(self, method: str, kind: str) -> list[Record]:
        return [call for call in self.calls if (call["method"], collection(call)) == (method, kind)]

    async def build(self) -> None:
        lab = self.laboratory
        lab.without_people()
        lab.worker.switches.halted = True
        lab.worker.switches.threads = 6
        first = lab.make(accounts.GROUP, name="for the provider's links")
        self._tenant()
        self._people()
        self._memberships()
        lab.state.tables["group"].remove(first["pk"])
        scope = next((row for row in self.groups.values() if row["name"] == "F"), None)
        action = next((word for word in ("do_nothing", "suspend", "delete") if word in self.name), "delete")
        pages = [task["uid"] for task in self.tasks if ":user:" in task["uid"] and "objects" in task["actor"]]
        self.provider = lab.provider(
            next((task["uid"].split(":")[1] for task in self.tasks), "E"),
            filter_group=scope["pk"] if scope and self._full_sync() else None,
            user_delete_action=action,
            group_delete_action=action,
            dry_run="dry-run" in self.name,
            sync_page_size=1 if any(uid.endswith(":2") for uid in pages) else 100,
        )
        self._links()
        lab.worker.signals.refresh()
        created = sum(NO_PROVIDER in _events(task) for task in self.tasks)
        if not created:
            self._forget_tasks()
        lab.worker.switches.halted = False
        await lab.worker.settle()
        lab.make(APPLICATION, name="e", slug="e", backchannel_providers=[self.provider["pk"]])
        if not created:
            self._forget_tasks()
        if "last_sync_status" in self.recorded.get("status", {}):
            schedule = lab.worker.schedules.of_provider(self.provider["pk"])
            lab.worker.book.finish(lab.worker.send(schedule))
            self._forget_tasks(keep="microsoft_entra_sync")
        lab.recorder.calls.clear()

    def _forget_tasks(self, keep: str = "?") -> None:
        for row in list(self.laboratory.state.tables["task"]):
            if not row["actor_name"].endswith(keep):
                self.laboratory.worker.book.drop(row)

    def _full_sync(self) -> bool:
        actors = {task["actor"] for task in self.tasks}
        return not actors or bool(actors & {"microsoft_entra_sync", "microsoft_entra_sync_objects"})

    def _tenant(self) -> None:
        """Accounts and groups that were not made in the recording, as they may have been before it."""
        self._accounts_told()
        self._members_told()
        has = self.laboratory.directory.has
        for row in self.groups_after:
            if row["id"] not in self.made:
                self._group(row)
        keys = {match[1] for call in self.calls if (match := GROUP_PATH.match(call["path"]))}
        for key in keys - self.made:
            if not has("group", key):
                self._group({"id": key, "uniqueName": None})
        for kind, key in self._deleted():
            if not has(kind, key):
                (self._account if kind == "user" else self._group)({"id": key})
        for name, key in self.recorded.get("group_links", ()):
            self._group({"id": key, "uniqueName": name})

    def _deleted(self) -> list[tuple[str, str]]:
        """Kind and Microsoft's id of what was deleted in authentik."""
        uids = [task["uid"] for task in self.tasks if task["actor"] == "microsoft_entra_sync_delete"]
        return [(uid.split(":")[2], uid.split(":")[3]) for uid in uids]

    def _accounts_told(self) -> None:
        """Accounts that stand in the tenant afterwards, that were changed, and that are linked."""
        has = self.laboratory.directory.has
        for row in self.users_after:
            if row["id"] not in self.made:
                self._account(row)
        for call in [*self.of("PATCH", "users"), *self.of("DELETE", "users")]:
            key = call["path"].rpartition("/")[2]
            if call["status"] == 204 and not has("user", key):
                body = {"userPrincipalName": f"{key}@contoso.example", **(call["request"] or {})}
                self._account({"id": key, "mail": body["userPrincipalName"], **body})
        groups = {row["id"] for row in self.groups_after}
        for name, key in self._known_links():
            if key not in self.made | groups and not has("user", key):
                self._account({"id": key, "mail": f"{name}@contoso.example"})

    def _members_told(self) -> None:
        """Accounts that are only told as members of groups; the order of the requests tells which is which."""
        known = {account["userPrincipalName"] for account in self.laboratory.directory.all("user")}
        known |= {row["userPrincipalName"] for row in self.users_after}
        for row in self.groups_after:
            refs = [key for key, status in self._refs(row["id"], "POST") if status == 204]
            keys = dict(zip(row["members"][-len(refs) :], refs, strict=True)) if refs else {}
            for name in row["members"]:
                if name not in known:
                    known.add(name)
                    key = keys.get(name, self.laboratory.world.guid())
                    self._account({"id": key, "userPrincipalName": name})

    def _refs(self, group: str, method: str) -> list[tuple[str, int]]:
        """Whom the recorded requests added to a group or took out, with the status of each."""
        found = []
        for call in self.calls:
            if call["method"] == method and call["path"].startswith(f"/v1.0/groups/{group}/members/"):
                named = (
                    call["request"]["@odata.id"] if call["request"] else call["path"].removesuffix("/$ref")
                )
                found.append((named.rpartition("/")[2], call["status"]))
        return found

    def _account(self, row: Record) -> None:
        """An account, other than authentik will leave it where the recording says that it overwrote it."""
        key = row["id"]
        patches = [call["request"] for call in self.of("PATCH", "users") if key in call["path"]]
        value = {
            "createdDateTime": "2026-01-01T00:00:00Z",
            "businessPhones": [],
            "mailNickname": "x",
            "userPrincipalName": f"{key}@contoso.example",
            "accountEnabled": True,
            "mail": None,
            "userType": "Member",
            "_directoryRoles": [],
            **{name: value for name, value in row.items() if not name.startswith("@")},
        }
        for body in patches:
            value |= {
                name: "before" if name == "displayName" else True
                for name in body
                if name in {"displayName", "accountEnabled"}
            }
        self.laboratory.directory.put("user", key, value)
        self.theirs[key] = key

    def _group(self, row: Record) -> None:
        key = row["id"]
        value = {
            "createdDateTime": "2026-01-01T00:00:00Z",
            "displayName": "before",
            "mailNickname": "before",
            "mailEnabled": False,
            "securityEnabled": True,
            "groupTypes": [],
            **{name: value for name, value in row.items() if name != "members"},
        }
        if any(call["path"].endswith(key) for call in self.of("PATCH", "groups")):
            value["displayName"] = "before"
        directory = self.laboratory.directory
        accounts = {one["userPrincipalName"]: one["id"] for one in directory.all("user")}
        members = {accounts[name] for name in row.get("members", ()) if name in accounts}
        for method, status in (("POST", 400), ("DELETE", 204)):
            for member, answered in self._refs(key, method):
                (members.add if answered == status else members.discard)(member)
                if answered in {204, 400} and not directory.has("user", member):
                    self._account({"id": member})
        live = [member for member in members if directory.has("user", member)]
        directory.put("group", key, {**value, "_owners": [], "_members": live})
        self.theirs[key] = key

    def _people(self) -> None:
        """authentik's users, in the order in which its pages took them, and its groups."""
        for key, (username, email, name), active in self._order():
            if username not in {row["username"] for row in self.users.values()}:
                self.users[key] = self.laboratory.user(username, email, name, active=active)
        known = {row["username"] for row in self.users.values()}
        for name, key in self._known_links():
            if name not in known and self.laboratory.directory.has("user", key):
                self.users[key] = self.laboratory.user(name, f"{name}@contoso.example")
        for kind, key in self._deleted():
            if kind == "user" and key not in self.users:
                self.users[key] = self.laboratory.user(key, f"{key}@contoso.example")
        self._groups_of_authentik()

    def _order(self) -> list[tuple[str, tuple[str, str, str], bool]]:
        """Every user that is told, page by page: those without a warning are on the pages that have none."""
        refused = self._users_of_warnings()
        order = self._users_of_requests()
        sent = {username for _, (username, _, _), _ in order}
        silent = [(name, (name, email, name)) for name, (_, email) in refused.items()]
        names = self.recorded.get("authentik_users", ())
        silent += [(name, (name, f"{name}@contoso.example", name.title())) for name in names]
        order += [(key, fields, True) for key, fields in silent if key not in sent]
        if any(page > 1 for page, _ in refused.values()):
            free = iter(set(range(1, len(order) + 1)) - {page for page, _ in refused.values()})
            order.sort(key=lambda one: refused[one[1][0]][0] if one[1][0] in refused else next(free))
        return order

    def _users_of_warnings(self) -> dict[str, tuple[int, str]]:
        """Page and e-mail address of the users that a page's warning tells of, by user name."""
        found = {}
        for task in self.tasks:
            page = task["uid"].rpartition(":")[2] if "objects" in task["actor"] else "0"
            for line in task["log"]:
                shown = line["attributes"].get("obj", {})
                if line["level"] == "warning" and "username" in shown:
                    found[shown["username"]] = (int(page), shown["email"])
        return found

    def _users_of_requests(self) -> list[tuple[str, tuple[str, str, str], bool]]:
        """Key, fields and state of the users that were written, or would have been in a dry run."""
        bodies = [(call["path"], call["request"] or {}) for call in self.calls]
        for task in self.tasks:
            shown = [line["attributes"] for line in task["log"] if "body" in line["attributes"]]
            bodies += [(one["url"], json.loads(one["body"])) for one in shown]
        found = []
        for path, body in bodies:
            if "userPrincipalName" in body:
                fields = (body["mailNickname"], body["userPrincipalName"], body["displayName"])
                key = body["mailNickname"] if path.endswith("/users") else path.rpartition("/")[2]
                found.append((key, fields, body["accountEnabled"]))
        return found

    def _groups_of_authentik(self) -> None:
        names: dict[str, str] = {}
        for call in self.calls:
            path, body = GROUP_PATH.match(call["path"]), call["request"] or {}
            if path and call["method"] != "GET":
                names.setdefault(path[1], body.get("displayName", "F"))
            elif call["path"] == "/v1.0/groups" and body:
                names[call["reply"]["id"]] = body["displayName"]
        names |= {key: "deleted" for kind, key in self._deleted() if kind == "group"}
        if not names and any(task["actor"] == "microsoft_entra_sync_m2m" for task in self.tasks):
            names["m2m"] = "F"
        lines = [line["attributes"] for task in self.tasks for line in task["log"]]
        for body in [json.loads(one["body"]) for one in lines if "body" in one]:
            if "securityEnabled" in body:
                names.setdefault(body.get("id", body["displayName"]), body["displayName"])
        for number, (key, name) in enumerate(names.items(), start=1):
            group = self.laboratory.make(accounts.GROUP, name=name)
            self.laboratory.state.tables["group"].remove(group["pk"])
            group["pk"] = f"{number:08d}-1111-4111-8111-111111111111"
            self.groups[key] = self.laboratory.state.tables["group"].add(group)

    def _memberships(self) -> None:
        """Who is in which group of authentik: whom it tried to add, and everybody in scope in the filter group."""
        ids = {}
        for call in self.of("POST", "users"):
            if call["status"] == 201:
                ids[call["reply"]["id"]] = call["request"]["mailNickname"]
        for key, group in self.groups.items():
            for member, _ in [*self._refs(key, "POST"), *self._refs(key, "DELETE")]:
                user = self.users.get(ids.get(member, member))
                if user is None:
                    account = self.laboratory.directory.get("user", member) or {}
                    email = account.get("userPrincipalName", f"{member}@contoso.example")
                    user = self.users[member] = self.laboratory.user(member[:8], email)
                    self.linked_before.add(member)
                group["users"] = [*group["users"], user["pk"]]
        members = next((row for row in self.groups.values() if row["name"] == "F"), None)
        if members is not None and self._full_sync():
            leavers = {name for name, _ in self._known_links() if self._left(name)}
            members["users"] = [user["pk"] for user in self.users.values() if user["username"] not in leavers]

    def _left(self, username: str) -> bool:
        """Whether a linked user is none of those that the sync wrote."""
        bodies = [call["request"] or {} for call in self.calls if collection(call) == "users"]
        bodies += [
            json.loads(line["attributes"].get("body", "{}")) for task in self.tasks for line in task["log"]
        ]
        return username not in {body.get("mailNickname") for body in bodies}

    def _links(self) -> None:
        """Link what discovery would not find."""
        repository, directory = self.laboratory.worker.repository, self.laboratory.directory
        discovers = bool(self.of("GET", "users")) or not self.whole
        for key, user in self.users.items():
            account = directory.get("user", key)
            patched = [call for call in self.of("PATCH", "users") if call["path"].endswith(key)]
            if account is None and not patched and key not in self.linked_before:
                continue
            entity = {"id": key, "displayName": "x"}
            if any("onPremisesImmutableId" in call["request"] for call in patched):
                entity["onPremisesImmutableId"] = (account or {}).get("onPremisesImmutableId") or "kept"
                directory.put("user", key, {**(account or {}), **entity, "displayName": "before"})
            if not (discovers and account and account.get("mail") == user["email"] and self._full_sync()):
                repository.connect(self.provider, "user", user["pk"], entity)
        for key, group in self.groups.items():
            found = directory.get("group", key)
            if found is not None and found.get("uniqueName") != group["name"]:
                repository.connect(self.provider, "group", group["pk"], {"id": key})

    # -- the change ----------------------------------------------------------------------------------------

    async def act(self) -> None:
        lab = self.laboratory
        if self._full_sync():
            order = [task["uid"].rpartition("objects:")[2] for task in self.tasks]
            due = lab.worker.book.due

            def place(row: dict[str, Any]) -> int:
                uid = row["uid"].rpartition("objects:")[2]
                return order.index(uid) if uid in order else len(order)

            # Pages are taken as the recorded worker took them.
            lab.worker.book.due = lambda moment: sorted(due(moment), key=place)
            if order and "_objects" in self.tasks[0]["uid"] and ":user:2" in " ".join(order):
                lab.worker.switches.threads = 2
            lab.change(providers.LABEL, self.provider)
        for task in [] if self._full_sync() else self.tasks:
            self._change_one(task)
            await lab.worker.settle()
        await lab.worker.settle()
        wanted = max((_events(task).count(RETRIED) for task in self.tasks), default=0)
        for _ in range(wanted - 1):
            lab.clock.advance(timedelta(minutes=10))
            await lab.worker.settle()

    def _change_one(self, task: Record) -> None:
        lab = self.laboratory
        _, _, kind, key, _ = task["uid"].split(":")
        rows, label = (self.users, accounts.USER) if kind == "user" else (self.groups, accounts.GROUP)
        record = rows.get(key) or next(iter(rows.values()))
        if task["actor"] == "microsoft_entra_sync_delete":
            lab.state.models[label].delete(record, lab.ctx)
        elif task["actor"] == "microsoft_entra_sync_m2m":
            user = next(iter(self.users.values()))
            removed = bool(self.of("DELETE", "groups"))
            people.set_member(record, user["pk"], lab.ctx, joins=not removed)
        else:
            lab.change(label, record)

    # -- what came of it -----------------------------------------------------------------------------------

    def outcome(self) -> tuple[Record, Record]:
        """What was recorded and what the sandbox did, in one form."""
        self._learn()
        theirs: Record = {"requests": self._requests(self.calls), "tasks": self._tasks(self.tasks)}
        ours: Record = {"requests": self._requests(self._ours()), "tasks": self._tasks(self._our_tasks())}
        directory = self.laboratory.directory
        if self.users_after:
            theirs["users"] = sorted(map(_account_form, self.users_after))
            ours["users"] = sorted(map(_account_form, self._meant(directory.all("user"), self.users_after)))
        if self.groups_after:
            names = {row["id"]: row["userPrincipalName"] for row in directory.all("user")}
            theirs["groups"] = sorted(_group_form(row, row["members"]) for row in self.groups_after)
            ours["groups"] = sorted(
                _group_form(row, [names[key] for key in row["_members"]])
                for row in self._meant(directory.all("group"), self.groups_after)
            )
        of_groups = bool(self.groups_after) and not self.users_after
        kinds = {"links": "group" if of_groups else "user", "links_after": "user", "group_links": "group"}
        for key, kind in kinds.items():
            if key in self.recorded:
                theirs[key], ours[key] = sorted(_names_of(self.recorded[key])), self._linked(kind)
        if "status" in self.recorded:
            theirs["status"] = without_moments(self.recorded["status"])
            ours["status"] = self.laboratory.status(self.provider)
        return theirs, ours

    def _meant(self, rows: list[Record], after: list[Record]) -> list[Record]:
        """Objects that were made now, or that the recording tells of afterwards."""
        told = {row["id"] for row in after}
        made = {call["reply"]["id"] for call in self.laboratory.recorder.calls if call["status"] == 201}
        return [row for row in rows if row["id"] in told | made]

    def _linked(self, kind: str) -> list[str]:
        table = self.laboratory.state.tables
        name = "username" if kind == "user" else "name"
        rows = table[f"entra_{kind}"].where(provider=self.provider["pk"])
        return sorted(table[kind].rows[row[kind]][name] for row in rows)

    def _ours(self) -> list[Record]:
        if self.whole:
            return self.laboratory.recorder.calls
        seen = {(collection(call), call["method"] == "GET") for call in self.calls}
        return [
            call
            for call in self.laboratory.recorder.calls
            if (collection(call), call["method"] == "GET") in seen
        ]

    def _our_tasks(self) -> list[Record]:
        kinds = {_kind(task["actor"], task["uid"]) for task in self.tasks}
        return [
            {**task, "actor": task["actor_name"].rpartition(".")[2], "log": kept_log(task)}
            for task in self.laboratory.state.tables["task"]
            if _kind(task["actor_name"].rpartition(".")[2], task["uid"]) in kinds
            and task["logs"] != []
            and len(kept_log(task)) > 2
        ]

    def _learn(self) -> None:
        """Which of our new objects is which of theirs."""

        def made(calls: Iterable[Record]) -> dict[tuple[str, str], list[str]]:
            found: dict[tuple[str, str], list[str]] = {}
            for call in calls:
                if call["status"] == 201:
                    body = call["request"]
                    name = body.get("userPrincipalName") or body["displayName"]
                    found.setdefault((collection(call), name), []).append(call["reply"]["id"])
            return found

        ours = made(self.laboratory.recorder.calls)
        for key, ids in made(self.calls).items():
            self.theirs |= dict(zip(ours.get(key, ()), ids, strict=False))

    def _requests(self, calls: list[Record]) -> list[str]:
        shown = []
        for call in calls:
            if collection(call) == "token" and not self.whole:
                continue
            body = dict(call["request"] or {})
            for name in ("passwordProfile", "onPremisesImmutableId"):
                if name in body:
                    body[name] = "<value>"
            reply = call["reply"] if isinstance(call["reply"], dict) else {}
            path = "token" if collection(call) == "token" else call["path"]
            line = f"{call['method']} {path} {json.dumps(body, sort_keys=True)} -> {call['status']}"
            line += f" {reply.get('error', {}).get('message', '')}"
            shown.append(self._plain(line))
        several = sum("microsoft_entra_sync_objects" in task["actor"] for task in self.tasks) > 2
        return sorted(shown) if several and not self._repeated() else shown

    def _repeated(self) -> bool:
        return any(_events(task).count(RETRIED) > 1 for task in self.tasks)

    def _plain(self, text: str) -> str:
        for ours, theirs in self.theirs.items():
            text = text.replace(ours, theirs)
        return text

    def _tasks(self, rows: list[Record]) -> list[Any]:
        """Each task's kind, state and log; lines that a queue wrote late are put in their place."""
        found = []
        for row in rows:
            lines = sorted(
                self._plain(f"{line['level']}: {line['event']} {_about(line['attributes'])}")
                for line in row["log"]
            )
            uid = re.sub(r"[0-9a-f-]{36}|:\d+:direct", "<key>", row["uid"].rpartition("tasks.")[2])
            found.append((uid, row["state"], row["aggregated_status"], lines))
        return sorted(found)


def _values(row: Any) -> list[Any]:
    return list(row.values()) if isinstance(row, dict) else list(row)


def _events(task: Record) -> list[str]:
    return [line["event"] for line in task["log"]]


def _kind(actor: str, uid: str) -> tuple[str, str]:
    parts = uid.split(":")
    return actor, parts[2] if "objects" in actor and len(parts) > 3 else ""


def _about(attributes: Record) -> str:
    shown = attributes.get("obj", {})
    said = {name: attributes[name] for name in ("method", "url") if name in attributes}
    body = json.loads(attributes.get("body", "{}"))
    for name in ("passwordProfile", "onPremisesImmutableId"):
        body.pop(name, None)
    name = shown.get("username") or shown.get("name")
    return json.dumps([name, "email" in shown or None, said, body], sort_keys=True)


def _account_form(row: Record) -> tuple[Any, ...]:
    names = ("userPrincipalName", "displayName", "mail", "mailNickname", "accountEnabled")
    return (*(str(row.get(name)) for name in names), bool(row.get("onPremisesImmutableId")))


def _group_form(row: Record, members: Iterable[str]) -> tuple[Any, ...]:
    names = ("displayName", "uniqueName", "mailNickname")
    return (*(str(row.get(name)) for name in names), sorted(members))


def _names_of(rows: Iterable[Any]) -> list[str]:
    return [row if isinstance(row, str) else row[0] for row in rows]
