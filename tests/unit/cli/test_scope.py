"""A change of who is provisioned, or of what is deleted, needs a consent of its own."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import click
import pytest
from model_world import World

from authentik_entra_bootstrap.cli import prompts

from .conftest import Command


@pytest.fixture
def filtered(command: Command, world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A connection whose filter group, linked accounts and delete action a person chose in authentik."""
    assert command("bootstrap", "--yes").code == 0
    world.server.stored = replace(world.server.provider_now, filter_group="group-1")
    world.server.linked = frozenset({2, 3, 4})
    monkeypatch.setenv("AUTHENTIK_ENTRA_FILTER_GROUP", '""')
    return world


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """A terminal on which each question, by its first word, is answered so; others are answered no."""
    given: dict[str, bool] = {}
    monkeypatch.setattr(prompts, "_can_ask", lambda options: not options.json)
    monkeypatch.setattr(click, "confirm", lambda question, **_: given.get(question.split()[0], False))
    return given


def test_yes_alone_is_refused_and_nothing_is_changed_on_either_side(
    command: Command, filtered: World
) -> None:
    filtered.tenant.change_app(display_name="renamed", secrets=())
    with filtered.wire.no_writes():
        said = command.document("bootstrap", "--yes")
    assert (said.code, said.json["error"]["code"]) == (3, "confirmation-needed")
    assert "2 users -> 12 users" in said.json["error"]["message"]
    assert "--accept-scope-change" in said.json["error"]["remedy"]
    assert command("bootstrap", "--yes").code == 3
    assert filtered.server.provider_now.filter_group == "group-1"


def test_with_its_own_flag_it_is_done(command: Command, filtered: World) -> None:
    said = command("bootstrap", "--yes", "--accept-scope-change")
    assert said.code == 0
    assert "filter_group: entra-users (group-1) -> none" in said.out
    assert filtered.server.provider_now.filter_group is None
    assert command("bootstrap", "--yes").code == 0, "once it is done, there is nothing to accept"


def test_the_plan_shows_it_in_people_in_both_forms(command: Command, filtered: World) -> None:
    said = command("plan")
    assert said.code == 2
    assert "2 users -> 12 users" in said.out
    document = command.document("plan").json
    assert document["scope_change"] == {
        "fields": {"filter_group": "widens"},
        "users_before": 2,
        "users_after": 12,
        "linked_leaving": 0,
        "texts": ["filter_group: entra-users (group-1) -> none", "2 users -> 12 users"],
    }


@pytest.mark.parametrize(("second", "code"), [(True, 0), (False, 2)])
def test_on_a_terminal_a_second_question_is_asked(
    command: Command, filtered: World, answers: dict[str, bool], second: bool, code: int
) -> None:
    answers |= {"Apply": True, "Change": second}
    before = len(filtered.wire.calls)
    assert command("bootstrap").code == code
    assert bool(filtered.wire.writes(before)) is second
    assert (filtered.server.provider_now.filter_group is None) is second


def test_a_new_provider_is_no_change_of_scope(
    command: Command, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTHENTIK_ENTRA_FILTER_GROUP", '""')
    monkeypatch.setenv("AUTHENTIK_ENTRA_USER_DELETE_ACTION", "delete")
    assert command("bootstrap", "--yes").code == 0


def test_rotate_never_changes_the_scope(
    command: Command, filtered: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    filtered.server.stored = replace(
        filtered.server.provider_now, user_delete_action="do_nothing", dry_run=True
    )
    monkeypatch.setenv("AUTHENTIK_ENTRA_USER_DELETE_ACTION", "delete")
    monkeypatch.setenv("AUTHENTIK_ENTRA_DRY_RUN_SYNC", "false")
    before = filtered.server.provider_now
    assert command("rotate", "--now").code == 0
    assert filtered.server.provider_now == before


def test_drift_names_the_filter_group_before_its_key(command: Command, filtered: World) -> None:
    (item,) = command.document("status").json["drift"]
    assert (item["property"], item["found"], item["wanted"]) == (
        "filter_group",
        "entra-users (group-1)",
        None,
    )


@pytest.mark.parametrize("wish", ["--restore", "--purge-deleted"])
def test_a_deleted_application_is_left_alone_while_a_change_of_scope_is_not_accepted(
    command: Command, filtered: World, wish: str
) -> None:
    asyncio.run(filtered.entra.delete_application(filtered.tenant.app.app_object_id))
    with filtered.wire.no_writes():
        said = command.document("bootstrap", "--yes", wish)
    assert (said.code, said.json["error"]["code"]) == (3, "confirmation-needed")


def test_drift_names_a_mapping_before_its_key(
    command: Command, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command("bootstrap", "--yes").code == 0
    monkeypatch.setenv("AUTHENTIK_ENTRA_USER_MAPPINGS", "by mail")
    (item,) = command.document("status").json["drift"]
    assert (item["property"], item["wanted"]) == ("property_mappings", "by mail (mapping-mail)")


def test_check_warns_of_a_token_file_that_others_can_read(
    command: Command, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text("x")
    token.chmod(0o644)
    monkeypatch.setenv("AUTHENTIK_TOKEN_FILE", str(token))
    lines = command.document("check").json["lines"]
    (line,) = [line for line in lines if line["name"] == "files"]
    assert line["level"] == "warning"
    assert line["detail"].startswith(f"{token} (authentik_token_file)")
    token.chmod(0o600)
    assert "files" not in {line["name"] for line in command.document("check").json["lines"]}
