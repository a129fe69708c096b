"""``rotate`` as typed: what is due, what is asked for, nothing, and what it says about it."""

from __future__ import annotations

from model_world import World

from authentik_entra_bootstrap.errors import Denied

from .conftest import Command


def test_with_nothing_due_nothing_is_written(command: Command, made: World) -> None:
    with made.wire.no_writes():
        text = command("rotate")
        assert text.code == 0
        assert text.out.startswith("default: nothing to do, next rotation 2026-06-27\n")
        assert "next run      2026-06-27 13:02 UTC: the client secret is due" in text.out
        document = command.document("rotate")
    assert document.json["decision"] == {
        "action": "keep",
        "state": "current",
        "reason": "current",
        "certain": True,
    }
    assert (document.json["rotated"], document.json["changes"]) == (False, 0)
    assert made.server.told == []


def test_what_is_due_is_replaced_and_the_one_before_goes_after_its_overlap(
    command: Command, made: World
) -> None:
    before = made.held()
    made.age(days=130)
    wanted = command.document("rotate", "--dry-run")
    assert (wanted.code, wanted.json["exit_code"], wanted.json["changes"]) == (2, 2, 2)
    assert "rotated" not in wanted.json
    assert made.held() == before
    done = command.document("rotate")
    assert done.code == 0
    assert done.json["rotated"] is True
    assert done.json["secret"]["key_id"] == made.held().key_id != before.key_id
    assert done.json["next"]["reason"] == "a previous secret may be removed"
    made.assert_converged(secrets=2)
    made.age(hours=30)
    retired = command.document("rotate")
    assert retired.json["retired"] == [before.key_id]
    made.assert_converged(secrets=1)
    for said in (wanted, done, retired):
        assert made.server.secret not in said.out + said.err


def test_a_new_secret_can_be_asked_for(command: Command, made: World) -> None:
    before = made.held()
    text = command("rotate", "--now")
    assert text.code == 0
    assert text.err.startswith("default: needs a new client secret: asked for\n")
    assert text.out.startswith("default: rotated and proven, next rotation ")
    assert made.held() != before
    made.assert_converged(secrets=2)


def test_quiet_is_silent_with_nothing_to_do_and_speaks_of_what_was_done(
    command: Command, made: World
) -> None:
    for name in ("rotate", "status", "verify", "plan", "bootstrap"):
        said = command(name, "--quiet")
        assert (said.code, said.out, said.err) == (0, "", ""), name
    made.age(days=130)
    done = command("rotate", "--quiet")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("default: rotated and proven, next rotation ")
    made.wire.fail("entra.find_application", Denied("entra-permission-missing", "May not look."))
    failed = command("rotate", "--quiet")
    assert (failed.code, failed.out) == (4, "")
    assert failed.err.startswith("ERROR: May not look. [entra-permission-missing]\n")


def test_a_dry_run_tells_nobody_that_it_could_not_look(command: Command, made: World) -> None:
    made.wire.fail("entra.find_application", Denied("entra-permission-missing", "May not look."), times=2)
    with made.wire.no_writes():
        said = command.document("rotate", "--dry-run")
    assert said.code == 4
    assert made.server.told == []
