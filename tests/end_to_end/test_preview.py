"""``authentik-entra preview`` against the embedded services: what it tells comes true, and what it may not read it says."""

from __future__ import annotations

import copy
import csv
import io
import logging
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from authentik_entra_bootstrap.sandbox.microsoft.seed import operator_holds

ACCOUNTS = ("Application.ReadWrite.OwnedBy", "Application.Read.All", "Organization.Read.All")
CUSTOM = """
if request.user.username == "alan":
    return None
return {
    "display_name": request.user.name.upper(),
    "account_enabled": True,
    "mail_nickname": request.user.username,
    "user_principal_name": request.user.email,
    "password_profile": request.user.password,
}
"""


def account(run: Any, name: str, **values: Any) -> str:
    """An account of the tenant that was there before authentik."""
    directory, key = run.sandbox.world.default_tenant, run.sandbox.world.guid()
    row = {
        "id": key,
        "createdDateTime": "2026-01-01T00:00:00Z",
        "businessPhones": [],
        "displayName": name.title(),
        "mailNickname": name,
        "userPrincipalName": f"{name}@contoso.example",
        "accountEnabled": True,
        "mail": None,
        "userType": "Member",
        "_directoryRoles": [],
    }
    directory.put("user", key, row | values, at=datetime(2026, 1, 1, tzinfo=UTC))
    return key


def fates(document: dict[str, Any]) -> dict[str, str]:
    return {item["name"]: item["fate"] for item in document["items"]}


def test_before_and_after_a_bootstrap(shell: Callable[..., Any]) -> None:
    run = shell()
    account(run, "grace", mail="grace@contoso.example", displayName="Admiral")
    account(run, "alan")
    mark = run.sandbox.world.log.last_seq
    told = run("preview")
    assert told.code == 0
    assert told.out.splitlines()[0] == (
        "default: 5 users: 1 linked, 1 created, 1 conflict, 1 not reached, 1 skipped; 4 groups created"
    )
    assert "Set mail of alan@contoso.example to alan@contoso.example in Entra ID" in told.out
    assert run.writes(mark) == []
    planned = run("plan")
    assert "authentik's sync: 5 users: 1 linked, 1 created, 1 conflict" in planned.out
    assert "user alan: alan@contoso.example is the userPrincipalName of alan@contoso.example" in planned.err
    before = run("preview", "--output", "json").document
    assert fates(before) | {"ada": "create", "grace": "link", "alan": "conflict"} == fates(before)
    assert run("bootstrap", "--yes").code == 0
    run.sandbox.authentik.worker.settled()
    links = {row["user"] for row in run.sandbox.authentik.state.tables["entra_user"]}
    names = {row["username"] for row in run.sandbox.authentik.state.tables["user"] if row["pk"] in links}
    assert names == {"ada", "grace"}
    after = run("preview", "--output", "json").document
    assert fates(after) | {"ada": "keep", "grace": "keep", "katherine": "not-reached"} == fates(after)
    assert "preview" in run("plan", "--output", "json").document
    (stop,) = [item for item in after["items"] if item["kind"] == "group" and item["stops"]]
    assert "Known, and harmless" in stop["reason"]


def test_csv_and_limit(shell: Callable[..., Any]) -> None:
    run = shell()
    rows = list(csv.DictReader(io.StringIO(run("preview", "--output", "csv").out)))
    assert Counter(row["fate"] for row in rows) == {"create": 8, "skip": 1}
    few = run("preview", "--limit", "1")
    assert "and 3 more (--limit shows more)" in few.out
    assert len(run("preview", "--limit", "1", "--output", "json").document["items"]) == 3


def test_who_may_not_read_people_is_told_so_and_can_plan(shell: Callable[..., Any]) -> None:
    run = shell()
    operator_holds(run.sandbox.world.default_tenant, run.sandbox.operator, *ACCOUNTS)
    told = run("preview", "--output", "json")
    assert (told.code, told.document["preview"]["readable"], told.document["items"]) == (0, False, [])
    assert "User.ReadBasic.All and Group.ReadBasic.All" in " ".join(told.document["preview"]["notes"])
    planned = run("plan")
    assert planned.code == 2
    assert "User.ReadBasic.All and Group.ReadBasic.All" in planned.out
    operator_holds(
        run.sandbox.world.default_tenant,
        run.sandbox.operator,
        *ACCOUNTS,
        "User.ReadBasic.All",
        "Group.ReadBasic.All",
    )
    assert "5 users: 4 created, 1 skipped; 4 groups created" in run("preview").out


def test_basic_properties_alone_leave_what_changes_unknown(shell: Callable[..., Any]) -> None:
    run = shell()
    run("bootstrap", "--yes")
    run.sandbox.authentik.worker.settled()
    refused = {"error": {"code": "Authorization_RequestDenied", "message": "Insufficient privileges."}}
    run.sandbox.world.faults.add(
        kind="status", server="graph", path="v1.0/users", method="GET", times=1, status=403, body=refused
    )
    told = run("preview", "--output", "json").document
    assert fates(told)["ada"] == "unknown"
    (ada,) = [item for item in told["items"] if item["name"] == "ada"]
    assert ada["reason"] == "linked; mailNickname and accountEnabled cannot be read"
    assert {change["before"] for change in ada["changes"]} == {None}
    assert any("basic properties only" in note for note in told["preview"]["notes"])


def test_own_mappings_are_unknown_until_authentik_is_asked(
    shell: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = shell()
    caplog.set_level(logging.DEBUG)
    mapping = {"name": "Ours", "expression": CUSTOM}
    run.api("POST", "/propertymappings/provider/microsoft_entra/", mapping)
    monkeypatch.setenv("AUTHENTIK_ENTRA_USER_MAPPINGS", "Ours")
    told = run("preview", "--output", "json").document
    assert {fates(told)[name] for name in ("ada", "alan", "akadmin")} == {"unknown"}
    assert any("--evaluate-mappings" in note for note in told["preview"]["notes"])
    said = [run("preview", "--evaluate-mappings", "-vv", "--output", form) for form in ("text", "json")]
    asked = fates(said[1].document)
    assert (asked["akadmin"], asked["ada"], asked["alan"]) == ("skip", "create", "unknown")
    logged = "\n".join(record.getMessage() for record in caplog.records if "sandbox" not in record.name)
    state = run.sandbox.authentik.state
    hashes = {
        run.sandbox.authentik.worker.repository.wrap("user", row).password for row in state.tables["user"]
    }
    assert not [one for one in hashes for text in (logged, *(x.out + x.err for x in said)) if one in text]
    faults = run.sandbox.world.faults
    faults.add(kind="status", server="authentik", path="/test/", method="POST", times=None, status=403)
    refused = run("preview", "--evaluate-mappings", "--output", "json").document
    assert any("may not try property mappings" in note for note in refused["preview"]["notes"])
    assert fates(refused)["ada"] == "unknown"


@pytest.mark.parametrize("many", [250, pytest.param(50_000, marks=pytest.mark.ordeal)])
def test_both_sides_are_read_by_pages(shell: Callable[..., Any], many: int) -> None:
    run = shell()
    users = run.sandbox.authentik.state.tables["user"]
    pattern = next(row for row in users if row["username"] == "ada")
    for number in range(many):
        name = f"user{number:05d}"
        row = copy.copy(pattern) | {"pk": users.next_id(), "username": name, "attributes": {}}
        users.add(row | {"email": f"{name}@contoso.example"})
        account(run, name, mail=f"{name}@contoso.example")
    mark = run.sandbox.world.log.last_seq
    told = run("preview", "--output", "json", "--limit", "0").document
    assert told["preview"]["users"] == {"skip": 1, "create": 4, "link": many}
    sent = Counter(
        f"{entry.server} {entry.path.partition('?')[0].rstrip('/').rpartition('/')[2]}"
        for entry in run.sandbox.world.log.since(mark)
    )
    assert (sent["authentik users"], sent["graph users"]) == (many // 100 + 1, -(-(many + 1) // 999))
    assert sum(sent.values()) < sent["authentik users"] + sent["graph users"] + 25
