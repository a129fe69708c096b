"""Rotations, failures and recoveries are told: to the log, to authentik's audit trail, to whoever listens."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from model_world import Accident, Killed, World
from structlog.testing import capture_logs

from authentik_entra_bootstrap.errors import AdminActionRequired, RequestTrace, Temporary, Unreachable
from authentik_entra_bootstrap.support.logs import Happening, Kind, Listener
from authentik_entra_bootstrap.workflows.rotate import rotate
from authentik_entra_bootstrap.workflows.rotation_events import RotationListener
from authentik_entra_bootstrap.workflows.session import Context

REFUSED = AdminActionRequired(
    "licence-required",
    "Enterprise is required.",
    "Install a licence.",
    RequestTrace("authentik", "PATCH", "/x", 400, None, "request-of-the-failure"),
)


NO_CONSENT = AdminActionRequired("consent-required", "Consent is missing.")


class Ear(RotationListener):
    """Also remembers what it was told."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.told: list[Happening] = []
        self.steps: list[str] = []

    async def happened(self, what: Happening) -> None:
        self.told.append(what)
        await super().happened(what)

    def stepped(self, step: str, seconds: float) -> None:
        assert seconds >= 0
        self.steps.append(step)
        super().stepped(step, seconds)


async def run(world: World, *, force: bool = False) -> tuple[Ear, list[Any]]:
    """One rotation with everybody listening; its error, if any, is swallowed."""
    context = world.context()
    ear = context.listener = Ear(context)
    with capture_logs() as lines, contextlib.suppress(AdminActionRequired, Temporary):
        await rotate(context, world.desired, force=force)
    world.clock.advance(60)
    return ear, lines


def written(world: World) -> list[tuple[str, str]]:
    """Our events, oldest first: authentik's action, and what happened."""
    return [(action, str(context["happened"])) for action, context, _ in reversed(world.server.told)]


async def test_a_rotation_is_told_with_every_id(working: World) -> None:
    before = working.held()
    ear, lines = await run(working, force=True)
    (action, context, _) = working.server.told[0]
    held = working.held()
    assert written(working) == [("secret_rotate", "rotation-done")]
    assert action == "secret_rotate"
    assert context["connection"] == "default"
    assert context["rotation_id"] == (held.display_name or "").rpartition(":")[2]
    assert context["key_ids"] == {"made": [held.key_id], "held": [held.key_id]}
    assert working.server.change is not None
    assert context["request_ids"] == [working.server.change.request_id]
    assert context["expires"] == f"{held.end_date_time:%Y-%m-%dT%H:%M:%SZ}"
    line = next(line for line in lines if line["event"] == "rotation-done")
    assert {key: line[key] for key in ("connection", "rotation_id", "key_ids", "request_ids")} == {
        key: context[key] for key in ("connection", "rotation_id", "key_ids", "request_ids")
    }
    assert ear.steps == ["preflight", "create", "mark", "test", "cut-over", "prove", "record", "retire"]
    (told,) = ear.told
    assert told.secret is not None
    assert told.secret.proven_at is not None
    assert before.key_id not in json.dumps(context)
    assert working.server.secret not in json.dumps([context, [str(line) for line in lines]])


async def test_nothing_due_is_told_to_nobody_but_the_log(working: World) -> None:
    with working.wire.no_writes():
        ear, lines = await run(working)
    assert [line["event"] for line in lines] == ["rotation-not-needed"]
    assert working.server.told == []
    assert [what.kind for what in ear.told] == [Kind.KEPT]


async def test_a_retirement_is_in_the_log_with_its_key_id(working: World) -> None:
    before = working.held()
    await run(working, force=True)
    working.age(hours=30)
    _, lines = await run(working)
    assert lines[-1]["event"] == "rotation-not-needed"
    assert lines[-1]["key_ids"]["retired"] == [before.key_id]


async def test_a_failure_is_told_once_and_its_end_as_recovery(working: World) -> None:
    working.age(days=125)
    working.wire.fail("authentik.update_provider", REFUSED, times=3)
    ear, lines = await run(working)
    assert written(working) == [("configuration_error", "rotation-failed")]
    context = working.server.told[0][1]
    assert (context["code"], context["what_to_do"]) == ("licence-required", "Install a licence.")
    assert "request-of-the-failure" in context["request_ids"]
    assert context["key_ids"]["held"] == [working.held().key_id]
    assert context["key_ids"]["made"] != context["key_ids"]["held"]
    assert [line["event"] for line in lines if line["event"].startswith("rotation")] == ["rotation-failed"]
    assert [what.code for what in ear.told] == ["licence-required"]
    # The same again is counted and logged, and written again a day later.
    ear, lines = await run(working)
    assert [what.code for what in ear.told] == ["licence-required"]
    assert len(written(working)) == 1
    working.age(hours=25)
    await run(working)
    assert len(written(working)) == 2
    _, lines = await run(working)
    assert written(working)[2:] == [
        ("secret_rotate", "rotation-done"),
        ("configuration_warning", "rotation-recovered"),
    ]
    assert sum(line["event"] == "rotation-recovered" for line in lines) == 1
    await run(working)
    assert len(written(working)) == 4


async def test_another_failure_is_written_at_once(working: World) -> None:
    working.age(days=125)
    working.wire.fail("authentik.update_provider", REFUSED)
    await run(working)
    working.wire.fail("entra.find_application", NO_CONSENT)
    await run(working)
    assert [context["code"] for _, context, _ in working.server.told] == [
        "consent-required",
        "licence-required",
    ]


async def test_a_failure_of_looking_ends_with_a_look_that_succeeds(working: World) -> None:
    working.wire.fail("entra.find_application", NO_CONSENT)
    await run(working)
    await run(working)
    assert written(working) == [
        ("configuration_error", "rotation-failed"),
        ("configuration_warning", "rotation-recovered"),
    ]


async def test_an_interrupted_rotation_that_is_finished_is_a_recovery(working: World) -> None:
    working.age(days=125)
    behind = Accident(lambda call: call.name == "authentik.update_provider", Killed, "after")
    working.wire.accidents.append(behind)
    with pytest.raises(Killed):
        await run(working)
    working.wire.calm()
    await run(working)
    assert written(working) == [
        ("secret_rotate", "rotation-done"),
        ("configuration_warning", "rotation-recovered"),
    ]
    context = working.server.told[0][1]
    held = working.held()
    assert context["rotation_id"] == (held.display_name or "").rpartition(":")[2]
    assert "interrupted" in str(context["message"])


async def test_a_failure_near_the_end_is_a_warning_of_its_own(working: World) -> None:
    working.age(days=151)
    working.wire.fail("authentik.update_provider", REFUSED)
    await run(working)
    assert written(working) == [
        ("configuration_error", "rotation-failed"),
        ("configuration_warning", "secret-expiring"),
    ]
    assert "ends in 2" in str(working.server.told[0][1]["message"])


async def test_an_audit_trail_that_refuses_fails_nothing_and_is_reported_once(working: World) -> None:
    working.server.events_writable = False
    context = working.context()
    context.listener = RotationListener(context)
    for _ in range(2):
        outcome = await rotate(context, working.desired, force=True)
        assert outcome.rotated
        working.clock.advance(60)
    assert len([text for text in working.reporter.warnings if "audit trail" in text]) == 1
    assert working.server.told == []


async def test_where_events_cannot_be_read_failures_are_written_all_the_same(working: World) -> None:
    working.server.events_readable = False
    working.age(days=125)
    working.wire.fail("authentik.update_provider", REFUSED)
    await run(working)
    assert written(working) == [("configuration_error", "rotation-failed")]


async def test_giving_way_to_another_run_is_no_failure(working: World) -> None:
    busy = Temporary("another-run-active", "Another run is active.")
    working.wire.fail("entra.find_application", busy)
    ear, lines = await run(working)
    assert [line["event"] for line in lines] == ["rotation-gave-way"]
    assert ear.told == []
    assert working.server.told == []


async def test_an_authentik_that_is_away_is_not_asked_to_write(working: World) -> None:
    away = Unreachable("authentik-unreachable", "No answer.", "", RequestTrace("authentik", "GET", "/"))
    working.wire.fail("authentik.server", away)
    since = len(working.wire.calls)
    ear, _ = await run(working)
    assert [what.reachable for what in ear.told] == [False]
    assert {"authentik.emit_event", "authentik.own_events"}.isdisjoint(
        call.name for call in working.wire.calls[since:]
    )


async def test_nobody_hears_nothing() -> None:
    nobody = Listener()
    await nobody.happened(Happening(Kind.FAILED, "default"))
    nobody.stepped("create", 1.0)
    assert await nobody.failing("default") is False


def test_unknown_facts_are_left_out() -> None:
    assert Happening(Kind.FAILED, "default", key_ids={"made": []}).facts() == {"connection": "default"}
