"""The command ``consent`` as typed, and the documents of runs that lack consent."""

from __future__ import annotations

import pytest
from model_world import World

from authentik_entra_bootstrap.errors import AdminActionRequired

from .conftest import Command

HOST = "https://login.microsoftonline.us"


def test_the_documents_of_each_state(command: Command, world: World) -> None:
    world.tenant.may_consent = False
    before = command.document("consent")
    assert (before.code, before.json["error"]["code"]) == (5, "no-application-yet")
    refused = command.document("bootstrap", "--yes").json
    assert refused["error"]["code"] == "consent-required"
    missing = command.document("consent").json
    assert missing["consent"] == refused["consent"]
    assert missing["consent"]["complete"] is False
    world.tenant.may_consent = True
    world.wire.fail("entra.grant_scopes", AdminActionRequired("consent-required", "no"))
    partly = command.document("bootstrap", "--yes").json
    assert (partly["error"]["code"], partly["provider"]["pk"]) == ("consent-required", 3)
    world.wire.calm()
    world.clock.advance(60)
    waited = command.document("consent", "--wait", "--yes").json
    assert waited["error"]["code"] == "consent-required"
    assert command.document("bootstrap", "--yes").json["exit_code"] == 0
    done = command.document("consent").json
    assert (done["exit_code"], done["consent"]["complete"]) == (0, True)


def test_a_scope_that_is_left_to_an_administrator_is_no_success(command: Command, world: World) -> None:
    world.wire.fail("entra.grant_scopes", AdminActionRequired("consent-required", "no"))
    said = command("bootstrap", "--yes")
    assert said.code == 5
    assert "working and proven" not in said.out
    assert (
        "\ndefault: brought up to date, but an administrator has to grant the remaining consent\n" in said.out
    )


def test_waiting_where_nobody_can_be_asked_says_so_before_the_wait(command: Command, world: World) -> None:
    world.tenant.may_consent = False
    text = command("bootstrap", "--yes").out
    before = list(world.clock.slept)
    said = command("consent", "--wait", "--no-input")
    assert (said.code, "[confirmation-needed]" in said.err) == (3, True)
    assert world.clock.slept == before
    gave_up = command("consent", "--wait", "--yes", "--timeout", "0.1")
    assert (gave_up.code, "[consent-required]" in gave_up.err) == (5, True)
    assert gave_up.out.endswith(text[text.index("---- to send") :])


def test_the_address_alone_of_each_cloud(command: Command, world: World) -> None:
    world.tenant.may_consent = False
    early = command("consent", "--url")
    assert (early.code, early.out) == (5, "")
    command("bootstrap", "--yes")
    said = command("consent", "--url", "--cloud", "usgov")
    tenant, client = world.tenant.operator_claims.tenant_id, world.tenant.app.app_id
    assert said.out == f"{HOST}/{tenant}/adminconsent?client_id={client}\n"
    assert said.code == 0


@pytest.mark.parametrize("flags", [["--url", "--wait"], ["--url", "--output", "json"], ["--yes"]])
def test_flags_that_exclude_each_other(command: Command, flags: list[str]) -> None:
    said = command("consent", *flags)
    assert said.code == 3
    assert "goes with" in said.out + said.err


def test_text_of_a_complete_state(command: Command, world: World) -> None:
    command("bootstrap", "--yes")
    said = command("consent")
    assert said.code == 0
    assert said.out.count("granted") == 5
    assert said.out.startswith("default: admin consent is complete\n")
