"""Everything that was found on real authentiks in November 2026 happens on the sandbox's authentik as well.

A recording is replayed by its form, not by its name: a further one of a known form is picked up by itself, and one of
an unknown form fails.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from authentik_entra_bootstrap.sandbox.authentik.resources import accounts, providers
from authentik_entra_bootstrap.sandbox.authentik.state import Record
from authentik_entra_bootstrap.sandbox.authentik.worker.repository import MODELS
from tests.contract.authentik.laboratory import Laboratory, without_moments
from tests.contract.authentik.recorded_syncs import (
    APPLICATION,
    PROFILES,
    Situation,
    collection,
    kept_log,
)

FOUND = Path(__file__).resolve().parents[4] / "shared" / "contract" / "authentik" / "found-2026-11"
ENTRA = "/api/v3/providers/microsoft_entra/"
APPLICATIONS = "/api/v3/core/applications/"


def recordings(pattern: str) -> list[Any]:
    found = [pytest.param(path, id=path.stem) for path in sorted(FOUND.glob(pattern))]
    reason = pytest.mark.skip(reason="the recordings are not here")
    return found or [pytest.param(None, marks=reason)]


def read(path: Path) -> Record:
    found: Record = json.loads(path.read_text())
    return found


def profile_of(path: Path) -> str:
    return PROFILES.get(path.stem.rpartition("-")[2], "2026.5")


# -- what a sync does to the tenant ------------------------------------------------------------------------


async def sync(path: Path) -> None:
    situation = Situation(path)
    async with situation.laboratory:
        await situation.build()
        await situation.act()
        theirs, ours = situation.outcome()
    for part, wanted in theirs.items():
        assert ours[part] == wanted, part
    if "links_raw" in situation.recorded and situation.users_after:
        link = situation.recorded["links_raw"][0][-1]
        row = situation.laboratory.state.tables["entra_user"].find()
        assert row is not None
        assert set(row["attributes"]) == set(link["attributes"])


async def one_object(path: Path) -> None:
    """``sync/object`` while the provider only tries."""
    recorded = read(path)
    async with Laboratory(profile_of(path)) as lab:
        group = lab.make(accounts.GROUP, name="F")
        user = lab.user("cat", "cat@contoso.example")
        provider = lab.provider("E8", dry_run=True)
        lab.make(APPLICATION, name="e8", slug="e8", backchannel_providers=[provider["pk"]])
        await lab.worker.settle()
        kind = MODELS[recorded["request"]["sync_object_model"]]
        body = recorded["request"] | {"sync_object_id": str((user if kind == "user" else group)["pk"])}
        answer = await lab.api.post(f"{ENTRA}{provider['pk']}/sync/object/", json=body)
        assert (answer.status_code, answer.json()) == (recorded["status"], recorded["body"])
        assert all(call["method"] == "GET" or collection(call) == "token" for call in lab.recorder.calls)


async def request_counts(path: Path) -> None:
    """50 users in twelve groups, 95 memberships: two syncs, and a third one with small pages."""
    counts = read(path)["counts"]
    async with Laboratory(profile_of(path)) as lab:
        lab.without_people()
        lab.worker.switches.threads = 6
        users = [lab.user(f"u{number}", f"u{number}@contoso.example")["pk"] for number in range(50)]
        members = [users, *(users[number * 5 : number * 5 + 5] for number in range(8)), [], users[:5], []]
        for number, keys in enumerate(members):
            group = lab.make(accounts.GROUP, name=f"g{number}", users=keys)
            lab.state.tables["group"].remove(group["pk"])
            group["pk"] = f"{number:08d}-1111-4111-8111-111111111111"
            lab.state.tables["group"].add(group)
        provider = lab.provider("E11")
        await lab.worker.settle()
        lab.make(APPLICATION, name="e11", slug="e11", backchannel_providers=[provider["pk"]])
        for name, recorded in counts.items():
            lab.recorder.calls.clear()
            size = re.search(r"page size (\d+)", name)
            lab.change(providers.LABEL, provider, **({"sync_page_size": int(size[1])} if size else {}))
            await lab.worker.settle()
            assert dict(Counter(map(counted, lab.recorder.calls))) == recorded["by_kind"], name
            assert len(lab.recorder.calls) == recorded["total"]


def counted(call: Record) -> str:
    path = re.sub(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", "{id}", call["path"].split("?")[0])
    return f"{call['server']} {call['method']} {path} {call['status']}"


# -- what starts one ---------------------------------------------------------------------------------------


async def assignment(path: Path) -> None:
    recorded = read(path)
    async with Laboratory(profile_of(path)) as lab:
        provider = lab.provider("E9")
        await lab.worker.settle()
        body = {"name": "e9", "slug": "e9", "backchannel_providers": [provider["pk"]]}
        assert await observed(lab, provider, lab.api.post(APPLICATIONS, json=body)) == {
            "status_before": recorded["status_before"],
            "status_after": recorded["status_after"],
            "tasks": recorded["tasks"],
            "graph_requests": len(recorded["graph"]),
        }


async def observed(lab: Laboratory, provider: Record, change: Awaitable[httpx.Response]) -> Record:
    """What one request leads to, in the recordings' form."""
    before, seen = lab.status(provider), set(lab.state.tables["task"].rows)
    calls = len(lab.recorder.calls)
    answer = await change
    assert answer.status_code < 300, answer.text
    await lab.worker.settle()
    return {
        "status_before": before,
        "status_after": lab.status(provider),
        "tasks": started(lab, seen),
        "graph_requests": len(lab.recorder.calls) - calls,
    }


def started(lab: Laboratory, seen: set[Any]) -> list[list[str]]:
    """Tasks of syncs that were not there before: actor, end of the name, state, status."""
    rows = [row for key, row in lab.state.tables["task"].rows.items() if key not in seen]
    found = [(row["actor_name"].rpartition(".")[2], row) for row in rows]
    return [
        [actor, row["uid"].rpartition(":")[2], row["state"], row["aggregated_status"]]
        for actor, row in found
        if actor in {"microsoft_entra_sync", "microsoft_entra_sync_objects"}
    ]


async def starts(path: Path) -> None:
    told = read(path)["observations"]
    async with Laboratory(profile_of(path)) as lab:
        lab.user("ann", "ann@contoso.example")
        first, second = "POST provider", "POST provider then POST application at once"
        provider: Record = {}
        for name, recorded in told.items():
            if name == first:
                seen = set(lab.state.tables["task"].rows)
                provider = await posted(lab, "E9")
                await lab.worker.settle()
                assert started(lab, seen) == recorded
            elif name == second:
                await at_once(lab, recorded)
            elif name.startswith("events"):
                await events(lab, recorded)
            else:
                change = request_called(lab, name, provider)
                found = await observed(lab, provider, change)
                wanted = {**recorded, "status_after": without_moments(recorded["status_after"])}
                assert found == wanted, name


async def posted(lab: Laboratory, name: str) -> Record:
    mappings = (await lab.api.get("/api/v3/propertymappings/provider/microsoft_entra/")).json()["results"]
    keys = {row["managed"].rpartition("/")[2]: row["pk"] for row in mappings}
    body = {
        "name": name,
        "client_id": lab.operator.app_id,
        "client_secret": lab.operator.secret,
        "tenant_id": lab.operator.tenant_id,
        "property_mappings": [keys["user"]],
        "property_mappings_group": [keys["group"]],
        "exclude_users_service_account": True,
        # One kind of write is enough: what counts is what starts.
        "dry_run": True,
    }
    answer = await lab.api.post(ENTRA, json=body)
    found = lab.state.tables["provider"].get(answer.json()["pk"])
    assert found is not None
    return found


async def at_once(lab: Laboratory, recorded: Record) -> None:
    """Posted at once, the application is there when the provider's own syncs begin: one works, one is skipped."""
    lab.worker.switches.busy = True
    seen = set(lab.state.tables["task"].rows)
    provider = await posted(lab, "E9b")
    before = lab.status(provider)
    calls = len(lab.recorder.calls)
    body = {"name": "e9b", "slug": "e9b", "backchannel_providers": [provider["pk"]]}
    await lab.api.post(APPLICATIONS, json=body)
    lab.worker.switches.busy = False
    await lab.worker.settle()
    assert started(lab, seen) == recorded["tasks"]
    assert (before, lab.status(provider)) == (recorded["status_before"], recorded["status_after"])
    assert len(lab.recorder.calls) - calls == recorded["graph_requests"]


async def events(lab: Laboratory, recorded: list[Any]) -> None:
    """Newest first: the provider's own saves are told, its assignments are events of applications."""
    found = (await lab.api.get("/api/v3/events/events/?action=model_updated&ordering=-created")).json()
    ours = [
        [event["context"]["model"]["model_name"], event["context"]["http_request"]["method"]]
        for event in found["results"]
    ]
    assert ours == [[model, method] for model, method, _ in recorded[: len(ours)]]
    assert len(ours) == 4, "one for the provider, three for its application"


def request_called(lab: Laboratory, name: str, provider: Record) -> Awaitable[httpx.Response]:
    """The request that a recording's key describes."""
    method, what, *body = name.split(maxsplit=2)
    value: Any = {}
    if body and body[0].startswith("backchannel_providers"):
        value = {"backchannel_providers": [provider["pk"]] if "pk" in body[0] else []}
    elif body and body[0] == "name":
        value = {"name": "renamed"}
    if what == "provider":
        return lab.api.patch(f"{ENTRA}{provider['pk']}/", json=value)
    if method == "POST":
        return lab.api.post(APPLICATIONS, json={"name": "e9", "slug": "e9", **value})
    return lab.api.patch(f"{APPLICATIONS}e9/", json=value)


# -- what a mapping makes of somebody ----------------------------------------------------------------------


async def mapping_tests(path: Path) -> None:
    answers = read(path)["answers"]
    async with Laboratory(profile_of(path)) as lab:
        user = lab.user("Dee", "dee@contoso.example")
        group = lab.make(accounts.GROUP, name="F")
        role = lab.state.tables["role"].add(
            {"pk": lab.state.uuid(), "name": "tester", "managed": None, "permissions": []}
        )
        account = lab.user("tester", "")
        account["roles"] = [role["pk"]]
        token = lab.make("authentik_core.token", identifier="t", intent="api", user=account["pk"])
        limited = {"authorization": f"Bearer {token['key']}"}
        for name, recorded in answers.items():
            status, body = recorded if isinstance(recorded, list) else (recorded["status"], recorded["body"])
            permission = re.fullmatch(r"(?:permission: )?\+?(none|(?:\w+\.)?(?:view|add)_\w+)", name)
            grown = re.search(r"\+(view_group)$", name)
            if grown or (permission and permission[1] != "none"):
                codename = grown[1] if grown else str(permission and permission[1])
                app = "authentik_providers_microsoft_entra" if "microsoft" in codename else "authentik_core"
                full = codename if "." in codename else f"{app}.{codename}"
                role["permissions"] = [*role["permissions"], (full, "")]
            as_limited = permission is not None or "view_group" in name
            sent, query = mapping_request(name, user, group)
            kind = "group" if "group mapping" in name else "user"
            mapping = lab.state.tables["mapping"].find(
                managed=f"goauthentik.io/providers/microsoft_entra/{kind}"
            )
            assert mapping is not None
            answer = await lab.api.post(
                f"/api/v3/propertymappings/all/{mapping['pk']}/test/{query}",
                json=sent,
                headers=limited if as_limited else {},
            )
            assert answer.status_code == status, name
            compare_result(name, body, answer)


def mapping_request(name: str, user: Record, group: Record) -> tuple[Record, str]:
    """Body and query that a recording's key describes."""
    if name == "user only":
        return {"user": user["pk"]}, ""
    if name == "with connection attributes":
        return {"user": user["pk"], "context": {"connection": {"attributes": {}}}}, ""
    if name == "no user":
        return {"context": {"connection": None}}, ""
    if name == "group mapping, context text":
        return {"context": {"group": {"name": "F"}}}, ""
    if name.startswith("group mapping"):
        return {"group": group["pk"]}, ""
    query = "?format_result=true" if name == "format_result" else ""
    return {"user": user["pk"], "context": {"connection": None}}, query


def compare_result(name: str, body: Any, answer: httpx.Response) -> None:
    if not isinstance(body, dict):
        assert answer.text == body, name
        return
    ours = answer.json()
    if "result" not in body:
        assert body.items() <= ours.items(), name
        return
    assert ours["successful"] is body["successful"], name
    if body["successful"]:
        assert re.findall(r'\n? *"\w+": ?', ours["result"]) == re.findall(r'\n? *"\w+": ?', body["result"]), (
            name
        )
        theirs, value = json.loads(body["result"]), json.loads(ours["result"])
        secret = theirs.pop("password_profile", {}).get("password")
        assert bool(value.pop("password_profile", {}).get("password")) is bool(secret), name
        assert {**value, "on_premises_immutable_id": ""} == {**theirs, "on_premises_immutable_id": ""} or (
            "on_premises_immutable_id" not in theirs and value == theirs
        ), name
    else:
        assert ours["result"].startswith("Traceback "), name
        assert ours["result"].splitlines()[-1] == body["result"].partition("… ")[2], name


FORMS: dict[str, Callable[[Path], Awaitable[None]]] = {
    "counts": request_counts,
    "observations": starts,
    "answers": mapping_tests,
    "status_before": assignment,
    "request": one_object,
    "graph": sync,
}
"""How a recording is replayed, by a key that it has; the first one counts."""


@pytest.mark.parametrize("path", recordings("sync/*.json"))
async def test_recorded_sync(path: Path) -> None:
    recorded = read(path)
    replay = next((FORMS[key] for key in FORMS if key in recorded), None)
    assert replay is not None, "a recording of a form that nothing here replays"
    await replay(path)


# -- single exchanges --------------------------------------------------------------------------------------


async def no_worker(lab: Laboratory) -> None:
    await seven_providers(lab)
    lab.worker.switches.halted = True


async def seven_providers(lab: Laboratory) -> None:
    for number in range(7):
        lab.provider(f"E{number}")
    await lab.worker.settle()


async def stranger(lab: Laboratory) -> None:
    """An application, and a token of somebody without any right."""
    lab.state.tables["provider"]._last_id = 4
    provider = lab.provider("Hand made provider")
    lab.make(APPLICATION, name="Hand app", slug="hand-app", backchannel_providers=[provider["pk"]])
    lab.make(APPLICATION, name="Second", slug="second")
    account = lab.user("nobody", "")
    token = lab.make("authentik_core.token", identifier="n", intent="api", user=account["pk"])
    lab.api.headers["authorization"] = f"Bearer {token['key']}"


BEFORE: dict[str, tuple[dict[str, Any], Callable[[Laboratory], Awaitable[None]] | None]] = {
    "01-mapping-filter-before-blueprints": ({"system_blueprints": False}, None),
    "04-view-application-list-vs-object": ({}, stranger),
    "07-sync-object-405-worker-stopped": ({}, no_worker),
}
"""What must have been before an exchange, where it was not a fresh authentik."""


@pytest.mark.parametrize("path", recordings("*.json"))
async def test_found(path: Path) -> None:
    recorded = read(path)
    exchanges = recorded.get("exchanges") or ([recorded] if "response" in recorded else [])
    if not exchanges:
        replay = next((WHOLE[key] for key in WHOLE if key in recorded), None)
        assert replay is not None, "a recording of a form that nothing here replays"
        await replay(recorded)
        return
    if recorded["request" if "request" in recorded else "exchanges"] and "same_without_id" in recorded:
        await graph_exchange(recorded)
        return
    options, prepare = BEFORE.get(path.stem, ({}, None))
    async with Laboratory("2026.5", **options) as lab:
        if prepare is not None:
            await prepare(lab)
        for exchange in exchanges:
            await api_exchange(lab, exchange["request"], exchange["response"])


async def api_exchange(lab: Laboratory, request: Record, response: Record) -> None:
    headers = {"content-type": request["content_type"]} if request["content_type"] else {}
    if "Token invalid" in response["body"]:
        headers["authorization"] = "Bearer nothing"
    answer = await lab.api.request(
        request["method"], request["path"], content=request["body"].encode(), headers=headers
    )
    assert answer.status_code == response["status"], answer.text
    for name in ("content-type", "allow"):
        assert answer.headers.get(name) == response["headers"].get(name), name
    if response["body"].startswith("{"):
        assert shape(answer.json()) == shape(json.loads(response["body"]))
    else:
        assert answer.text == response["body"]


def shape(value: Any) -> Any:
    """The value without keys of objects, which differ from run to run."""
    if isinstance(value, dict):
        return {name: "<pk>" if name == "pk" else shape(item) for name, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value]
    is_key = isinstance(value, str) and re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", value)
    return "<pk>" if is_key else value


async def graph_exchange(recorded: Record) -> None:
    """A group's PATCH that names the group's own id is as good as one that does not."""
    request = recorded["request"]
    key = request["body"]["id"]
    async with Laboratory("2026.5") as lab:
        values = {
            "displayName": "before",
            "mailNickname": "before",
            "groupTypes": [],
            "_owners": [],
            "_members": [],
        }
        lab.directory.put("group", key, {"id": key, "createdDateTime": "2026-01-01T00:00:00Z", **values})
        form = {
            "client_id": lab.operator.app_id,
            "client_secret": lab.operator.secret,
            "grant_type": "client_credentials",
            "scope": "https://graph.microsoft.com/.default",
        }
        async with httpx.AsyncClient(transport=lab.recorder, base_url=lab.world.entra_url) as client:
            path = f"/{lab.operator.tenant_id}/oauth2/v2.0/token"
            token = (await client.post(path, data=form)).json()["access_token"]
            headers = {"authorization": f"Bearer {token}"}
            answer = await client.patch(request["path"], json=request["body"], headers=headers)
            assert answer.status_code == recorded["same_without_id"]
            other = {"id": lab.world.guid()}
            refused = await client.patch(request["path"], json=other, headers=headers)
            assert refused.json()["error"]["message"] == recorded["response"]["body"]["error"]["message"]
        changed = lab.directory.get("group", key)
        assert changed is not None
        assert changed["displayName"] == request["body"]["displayName"]


async def blocked_worker(recorded: Record) -> None:
    """Two providers that were saved at the same moment: both threads wait for pages that none is left to run."""
    rows = recorded["tasks"]
    full = [row["uid"].rpartition(":")[2] for row in rows if "microsoft_entra_sync:" in row["uid"]]
    proofs = [row["uid"] for row in rows if row["uid"].endswith(":manual")]
    async with Laboratory("2026.5") as lab:
        made = {name: lab.provider(name) for name in reversed(full)}
        await lab.worker.settle()
        for number, provider in enumerate(made.values()):
            slug = f"a{number}"
            lab.make(APPLICATION, name=slug, slug=slug, backchannel_providers=[provider["pk"]])
        for row in list(lab.state.tables["task"]):
            lab.worker.book.drop(row)
        lab.worker.switches.busy = True
        for provider in made.values():
            lab.change(providers.LABEL, provider)
        lab.worker.switches.busy = False
        await lab.worker.settle()
        await lab.api.post("/api/v3/events/events/", json={"action": "secret_rotate", "app": "x"})
        for uid in proofs:
            name, _, key = uid.split(":")[1:4]
            body = {"sync_object_model": "authentik.core.models.User", "sync_object_id": key}
            answer = await lab.api.post(f"{ENTRA}{made[name]['pk']}/sync/object/", json=body)
            assert (answer.status_code, answer.text) == (405, "")
        theirs = {task_outcome(row["uid"], row["state"], row["logs"]) for row in rows}
        ours = {
            task_outcome(row["uid"], row["state"], [line["event"] for line in kept_log(row)])
            for row in lab.state.tables["task"]
        }
        # What authentik cleans up on its own schedule is not in the sandbox.
        assert ours == {row for row in theirs if "clean_expired" not in row[0]}


def task_outcome(uid: str, state: str, events: list[str]) -> tuple[Any, ...]:
    """A task's name, whether it runs, and its log; fetched beforehand or not, a waiting task waits."""
    return uid, "waits" if state in {"queued", "consumed"} else state, tuple(events)


async def proofs(recorded: Record) -> None:
    """What tells a refused secret from a Microsoft that cannot be reached."""
    async with Laboratory("2026.5") as lab:
        provider = lab.provider("Microsoft Entra ID (six)")
        lab.make(APPLICATION, name="six", slug="six", backchannel_providers=[provider["pk"]])
        await lab.worker.settle()
        for case in ("not_reachable", "wrong_secret"):
            task = recorded[case]["task"]
            lab.worker.switches.microsoft_unreachable = case == "not_reachable"
            if case == "wrong_secret":
                provider["client_secret"] = "wrong"
            _, _, key, _ = task["uid"].rsplit(":", 3)
            body = {"sync_object_model": "authentik.core.models.User", "sync_object_id": key}
            answer = await lab.api.post(f"{ENTRA}{provider['pk']}/sync/object/", json=body)
            assert str(answer.status_code) == recorded[case]["answer"].split()[0]
            (ours,) = [row for row in lab.state.tables["task"] if row["uid"] == task["uid"]]
            log = [[line["level"], line["event"]] for line in kept_log(ours)]
            assert (ours["state"], ours["retries"], log) == (task["state"], task["retries"], task["logs"])


WHOLE: dict[str, Callable[[Record], Awaitable[None]]] = {"tasks": blocked_worker, "wrong_secret": proofs}
