"""Operators who may not grant: what they leave undone, what an administrator is sent, and how it goes on."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from authentik_entra_bootstrap.sandbox import Sandbox, Switches
from authentik_entra_bootstrap.sandbox.microsoft.login import decide
from authentik_entra_bootstrap.sandbox.microsoft.seed import operator_holds

WITHOUT = ("Application.ReadWrite.OwnedBy", "Application.Read.All", "Directory.Read.All")


def application(sandbox: Sandbox) -> dict[str, Any]:
    (found,) = [item for item in sandbox.world.default_tenant.all("application") if item.get("uniqueName")]
    return found


def administrator(sandbox: Sandbox, address: str, person: str = "admin", **form: str) -> httpx.Response:
    """Open the page at the address and answer it."""
    trust = ssl.create_default_context(cafile=sandbox.ca_file)
    with httpx.Client(verify=trust) as browser:
        assert "Permissions requested" in browser.get(address).text
        return browser.post(address, data={"user": sandbox.operator.upn(person), **form})


def nothing_unproven(sandbox: Sandbox) -> None:
    """No client secret was made, and authentik was not written to."""
    assert application(sandbox)["passwordCredentials"] == []
    writes = [f"{entry.method} {entry.path}" for entry in sandbox.world.log.writes()]
    assert not [text for text in writes if "addPassword" in text or "/api/v3/" in text], writes


def address_in(text: str) -> str:
    (found,) = set(re.findall(r"https://\S+/adminconsent\?\S+", text))
    return str(found)


@pytest.mark.parametrize("profile", ["2025.12", "2026.5"])
def test_an_operator_who_may_not_grant_asks_an_administrator_and_goes_on(
    shell: Callable, profile: str
) -> None:
    run = shell(authentik_profile=profile, switches=Switches(lag=5.0, flapping=True, role_lag=10.0))
    operator_holds(run.sandbox.world.default_tenant, run.sandbox.operator, *WITHOUT)
    early = run("consent", "--url")
    assert early.code == 5
    assert early.out == ""
    assert "[no-application-yet]" in early.err
    plan = run("plan")
    assert "an administrator's consent is asked for before a client secret is made" in plan.err

    first = run("bootstrap", "--yes")
    assert first.code == 5, first.err
    assert "[consent-required]" in first.err
    assert "What to do:" in first.err
    app = application(run.sandbox)
    assert len(app["requiredResourceAccess"][0]["resourceAccess"]) == 5
    address = address_in(first.out)
    assert parse_qs(urlsplit(address).query) == {"client_id": [app["appId"]]}
    for wanted in (
        "Contoso (sandbox)",
        run.sandbox.operator.tenant_id,
        app["displayName"],
        "User.ReadWrite.All (application permission): authentik creates",
        "User.Read (delegated permission)",
        "Privileged Role Administrator",
        "Afterwards",
    ):
        assert wanted in first.out, wanted
    nothing_unproven(run.sandbox)

    assert run("consent", "--url").out.strip() == address
    shown = run("consent", "--output", "json").document
    assert shown["exit_code"] == 5
    assert shown["consent"]["url"] == address
    assert {item["granted"] for item in shown["consent"]["permissions"]} == {False}

    # Declining changes nothing: the next run says the same and what it saw.
    administrator(run.sandbox, address, decision="cancel")
    declined = run("bootstrap", "--yes")
    assert declined.code == 5
    assert "Granted: none." in declined.err
    nothing_unproven(run.sandbox)

    assert "Permissions granted" in administrator(run.sandbox, address, "roleadmin").text
    again = run("bootstrap", "--yes")
    assert again.code == 0, again.err
    assert "default: working and proven" in again.out
    assert len(application(run.sandbox)["passwordCredentials"]) == 1
    state = run("consent")
    assert state.code == 0
    assert "missing" not in state.out
    mark = run.sandbox.world.log.last_seq
    assert run("bootstrap", "--yes").code == 0
    assert run.writes(mark) == []


class OnWait(list):
    """Somebody does something while a command waits for the n-th time."""

    def __init__(self, number: int, action: Callable[[], object]) -> None:
        super().__init__()
        self.number, self.action = number, action

    def append(self, seconds: float) -> None:
        super().append(seconds)
        if len(self) == self.number:
            self.action()


@pytest.mark.parametrize("output", ["text", "json"])
def test_waiting_goes_on_by_itself_when_the_administrator_has_consented(shell: Callable, output: str) -> None:
    run = shell(switches=Switches(lag=4.0, flapping=True))
    operator_holds(run.sandbox.world.default_tenant, run.sandbox.operator, *WITHOUT)
    assert run("bootstrap", "--yes").code == 5
    address = run("consent", "--url").out.strip()
    run.waited = OnWait(8, lambda: administrator(run.sandbox, address))
    result = run("consent", "--wait", "--yes", "--output", output)
    assert result.code == 0, result.err
    assert "an administrator to grant 5 of 5 permissions" in result.err
    if output == "json":
        assert result.document["evidence"]
        assert address_in(result.err) == address
    else:
        assert "default: working and proven" in result.out
        assert address_in(result.out) == address
    assert run("verify").code == 0


def sign_in(run: Any, person: str) -> None:
    """A person types each device code that is shown."""
    run.sandbox.world.switches.device_code_interval = 0

    def announce(self: Any, text: str) -> None:
        if "the code " in text:
            decide(
                run.sandbox.world, text.partition("the code ")[2].split()[0], run.sandbox.operator.upn(person)
            )
        self._line("", "", text)

    run.monkeypatch.setattr("authentik_entra_bootstrap.output.terminal.Terminal.announce", announce)


def test_a_person_without_the_role_and_an_administrator(shell: Callable) -> None:
    run = shell(authentik_profile="2026.8")
    sign_in(run, "appadmin")
    first = run("bootstrap", "--yes", "--login", "device-code", "--output", "json")
    assert first.code == 5, first.err
    assert first.document["error"]["code"] == "consent-required"
    states = {item["name"]: item["granted"] for item in first.document["consent"]["permissions"]}
    assert states.pop("User.Read") is True
    assert set(states.values()) == {False}
    nothing_unproven(run.sandbox)
    address = first.document["consent"]["url"]
    refused = administrator(run.sandbox, address, "cloudadmin")
    assert "AADSTS90094" in refused.text
    run.waited = OnWait(3, lambda: administrator(run.sandbox, address, "roleadmin"))
    again = run("consent", "--wait", "--yes", "--login", "device-code")
    assert again.code == 0, again.err


def test_a_person_without_any_role_is_told_which_one_is_needed(shell: Callable) -> None:
    run = shell()
    before = len(run.sandbox.world.default_tenant.all("application"))
    run.sandbox.world.switches.users_can_register_applications = False
    sign_in(run, "user")
    refused = run("bootstrap", "--yes", "--login", "device-code", "--output", "json")
    assert refused.code == 4, refused.out
    error = refused.document["error"]
    assert error["code"] == "entra-permission-missing"
    assert "the directory role Application Developer is missing" in error["message"]
    # What a person may do shows only in what is refused.
    assert run.writes(0) == [("graph", "POST", "/v1.0/applications")]
    assert len(run.sandbox.world.default_tenant.all("application")) == before
