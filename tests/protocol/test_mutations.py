"""The test of the test: each change of the protocol breaks an invariant, and the search finds the schedule.

Small bounds come first, so what is found is a shortest schedule. Each mutation names the invariant that it must break.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from sim_explorer import Bound, deepen
from sim_families import FLIGHT
from sim_starts import Scenario
from sim_worker import BOOTSTRAP, NOW, ROTATE

from authentik_entra_bootstrap.domain.application_tags import secret_display_name
from authentik_entra_bootstrap.errors import Unreachable
from authentik_entra_bootstrap.rotation import decide
from authentik_entra_bootstrap.rotation.phases import PROTOCOL, Phase, PhaseResult
from authentik_entra_bootstrap.workflows import (
    bootstrap,
    client_secrets,
    concurrent_runs,
    rotate,
    rotation_phases,
    secret_run,
)
from authentik_entra_bootstrap.workflows.secret_run import SecretRun

pytestmark = pytest.mark.no_cover
"""Measuring what other tests cover as well would take three times as long."""
Patch = pytest.MonkeyPatch
Edit = Mapping[tuple[Phase, PhaseResult], Phase]
GOOD, FAILED, UNKNOWN = PhaseResult.GOOD, PhaseResult.FAILED, PhaseResult.UNKNOWN


@dataclass(frozen=True)
class Mutation:
    """A change of the protocol.

    :param breaks: the invariant.
    :param edit: of the table; or ``patch``, of single functions.
    """

    breaks: str
    scenario: Scenario
    bound: Bound
    edit: Edit | None = None
    patch: Callable[[Patch], None] | None = None
    first: int = 0
    """How much that is unusual the shortest schedule holds, where fewer take long to look at."""


def _replaced(module: Any, name: str, value: Any) -> Callable[[Patch], None]:
    return lambda patch: patch.setattr(module, name, value)


def _without_proof(patch: Patch) -> None:
    async def proven(_run: Any) -> bool:
        return True

    patch.setattr(rotation_phases, "_proven", proven)


def _blind_retry(patch: Patch) -> None:
    async def make_secret(context: Any, application: Any, connection: str, end_date_time: Any) -> Any:
        for _ in range(3):
            name = secret_display_name(connection, context.rotation_id())
            try:
                return await context.entra.add_secret(
                    application.app_object_id, display_name=name, end_date_time=end_date_time
                )
            except Unreachable as error:
                failure = error
        raise failure

    patch.setattr(rotation_phases, "make_secret", make_secret)


def _looks_before_the_save_only(patch: Patch) -> None:
    original = client_secrets.SecretCheck.prove

    async def prove(self: Any, _beside: Any) -> Any:
        async def nothing() -> None:
            """The provider was saved by this run meanwhile."""

        return await original(self, nothing)

    patch.setattr(client_secrets.SecretCheck, "prove", prove)


def _no_trail_check(patch: Patch) -> None:
    async def changed(_run: Any) -> bool:
        return False

    patch.setattr(rotation_phases, "_changed", changed)


def _from_the_asked_lifetime(patch: Patch) -> None:
    def renew_at(secret: Any, renewal: Any) -> Any:
        return secret.end_date_time - timedelta(days=60)

    patch.setattr(decide, "renew_at", renew_at)


def _current_goes_at_once(patch: Patch) -> None:
    original = decide._with_unused
    patch.setattr(decide, "_with_unused", lambda seen, in_use, made: original(seen, set(), made))


def _no_second_read(patch: Patch) -> None:
    async def confirmed(_port: Any, seen: Any, _application: Any) -> Any:
        return seen

    patch.setattr(rotate, "confirmed", confirmed)


def _no_wait_for_flights(patch: Patch) -> None:
    async def requests_over(_run: Any) -> None:
        """Nobody waits."""

    patch.setattr(rotation_phases, "_requests_over", requests_over)


def _no_tag_before_the_delivery(patch: Patch) -> None:
    async def mark(run: Any) -> PhaseResult:
        await run.tested().try_early()
        return GOOD

    patch.setattr(rotation_phases, "mark", mark)


def _no_record(patch: Patch) -> None:
    async def write_record(_run: Any) -> None:
        """The delivery stays pending."""

    patch.setattr(rotation_phases, "write_record", write_record)


def _only_the_last_change(change: Any, saved: Any, observed: Any, carried: Any) -> None:
    concurrent_runs.ours_was_last(replace(change, earlier=()), saved, observed, carried)


def _first_sync_with_another_secret(patch: Patch) -> None:
    original = bootstrap.ProviderSetup._first_sync

    async def first_sync(self: Any, run: Any) -> None:
        run.new = await run.context.entra.add_secret(
            run.application.app_object_id,
            display_name=run.new.record.display_name,
            end_date_time=run.case.end_date_time,
        )
        await original(self, run)

    patch.setattr(bootstrap.ProviderSetup, "_first_sync", first_sync)


def _only_the_record(seen: Any, current: Any, secret: Any) -> tuple[bool, str]:
    return True, "current"


def _at(start: str, *runs: str, **more: Any) -> Scenario:
    return Scenario(start, runs=runs or (ROTATE,), **more)


def _within(**parts: int) -> Bound:
    return Bound(sum(parts.values()), parts)


MARK, TEST, CUT_OVER, PROVE, RECORD = Phase.MARK, Phase.TEST, Phase.CUT_OVER, Phase.PROVE, Phase.RECORD
BEFORE_THE_TEST = {(MARK, GOOD): CUT_OVER, (CUT_OVER, GOOD): TEST, (TEST, GOOD): PROVE}
MARKED_LATE = {(Phase.CREATE, GOOD): TEST, (CUT_OVER, GOOD): MARK, (MARK, GOOD): PROVE}
RECORDED_EARLY = {(CUT_OVER, GOOD): RECORD, (RECORD, GOOD): PROVE, (PROVE, GOOD): Phase.RETIRE}
DISCARDED = {(CUT_OVER, UNKNOWN): Phase.DISCARD}
BY_HAND, BROUGHT_BACK = ("another secret",), ("the secret before",)
_everything_is_ours = _replaced(decide, "is_ours", lambda secret: True)
_no_second_look = _replaced(secret_run, "ours_was_last", lambda change, saved, observed, carried: None)
_one_sign_in = _replaced(client_secrets, "SIGN_INS", 1)
_believe_the_record = _replaced(decide, "_holds", _only_the_record)
_no_rest_for_strays = _replaced(decide, "stray_rest", lambda lifetime: timedelta(0))
_always_in_time = _replaced(SecretRun, "in_time", lambda self: None)
_first_answer = _replaced(rotate, "stale_read_reason", lambda seen, decision: None)
_last_change_alone = _replaced(secret_run, "ours_was_last", _only_the_last_change)
EXCLUSIVE = _at("not due", NOW, ROTATE, lease="exclusive", margin=FLIGHT)
MUTATIONS: Mapping[str, Mutation] = {
    "deliver before the test": Mutation(
        "I1", _at("due"), _within(lag=1), BEFORE_THE_TEST, _looks_before_the_save_only
    ),
    "no test": Mutation("I1", _at("due"), _within(lag=1), {(MARK, GOOD): CUT_OVER}),
    "believe one sign-in": Mutation("I1", _at("due"), _within(lag=1), patch=_one_sign_in),
    "write the tag after the delivery": Mutation("I3", _at("due"), _within(crash=1), MARKED_LATE),
    "record before the proof": Mutation(
        "I5", _at("due", ROTATE, ROTATE), _within(mangle=1, crash=1), RECORDED_EARLY
    ),
    "retire without a proof": Mutation(
        "I1", _at("due, with older ones"), _within(mangle=1), {(CUT_OVER, GOOD): RECORD}, _without_proof
    ),
    "discard what may have been delivered": Mutation("I1", _at("due"), _within(lost=1), DISCARDED),
    "after a failed proof only ask again": Mutation(
        "I3", _at("due"), _within(mangle=1), {(PROVE, FAILED): Phase.NOTE_DELIVERED}
    ),
    "remove foreign secrets": Mutation("I2", _at("overlap over"), _within(), patch=_everything_is_ours),
    "ignore the audit trail": Mutation(
        "I5", _at("not due", people=BY_HAND), _within(person=1), patch=_believe_the_record
    ),
    "record without another look at the trail": Mutation(
        "I5", _at("due", ROTATE, ROTATE, people=BROUGHT_BACK), _within(person=1), patch=_no_second_look
    ),
    "no look at the trail before a removal": Mutation(
        "I1", _at("overlap over", people=BROUGHT_BACK), _within(person=1), patch=_no_trail_check
    ),
    "remove young strays at once": Mutation(
        "I1", _at("not due", NOW, ROTATE), _within(switch=1), patch=_no_rest_for_strays
    ),
    "deliver at any age": Mutation(
        "I1", _at("not due", NOW, ROTATE), _within(stall=3, switch=1), patch=_always_in_time, first=4
    ),
    "do not wait for a dead run's last request": Mutation(
        "I1", EXCLUSIVE, _within(late=1), patch=_no_wait_for_flights
    ),
    "no overlap": Mutation("I1", _at("due"), _within(), patch=_current_goes_at_once),
    "compute the renewal from the requested lifetime": Mutation(
        "I4", _at("policy shortens"), _within(), patch=_from_the_asked_lifetime
    ),
    "believe the first answer of any replica": Mutation(
        "I4", _at("just rotated"), _within(stale=2), patch=_first_answer
    ),
    "repeat addPassword without a look": Mutation("I3", _at("due"), _within(lost=1), patch=_blind_retry),
    "compare first characters read before the audit trail": Mutation(
        "I5", _at("not due", people=BY_HAND, hints=True), _within(person=1), patch=_no_second_read
    ),
    "bootstrap: deliver before the test": Mutation(
        "I1", _at("nothing", BOOTSTRAP), _within(lag=1), BEFORE_THE_TEST, _looks_before_the_save_only
    ),
    "bootstrap: no tag before the delivery": Mutation(
        "I3", _at("nothing", BOOTSTRAP), _within(), patch=_no_tag_before_the_delivery
    ),
    "bootstrap: no record of what was delivered": Mutation(
        "I5", _at("nothing", BOOTSTRAP), _within(), patch=_no_record
    ),
    "bootstrap: the first sync brings another secret": Mutation(
        "I3", _at("nothing", BOOTSTRAP), _within(), patch=_first_sync_with_another_secret
    ),
    "bootstrap: discard what may have been delivered": Mutation(
        "I1", _at("nothing", BOOTSTRAP), _within(lost=1), DISCARDED
    ),
    "bootstrap: remove foreign secrets": Mutation(
        "I2", _at("drifted", BOOTSTRAP), _within(), patch=_everything_is_ours
    ),
    "bootstrap: only the last change has to be ours": Mutation(
        "I5", _at("drifted", BOOTSTRAP, NOW), _within(switch=1), patch=_last_change_alone
    ),
    "bootstrap: record without another look at the trail": Mutation(
        "I5", _at("detached", BOOTSTRAP, NOW), _within(switch=1), patch=_no_second_look
    ),
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.ordeal) if name == "deliver at any age" else name
        for name in MUTATIONS
    ],
)
def test_the_search_finds_what_a_change_of_the_protocol_breaks(
    name: str, monkeypatch: Patch, record_property: Callable[[str, object], None]
) -> None:
    mutation = MUTATIONS[name]
    assert (
        deepen(mutation.scenario, replace(mutation.bound, total=min(mutation.bound.total, 1))).violation
        is None
    )
    if mutation.edit is not None:
        monkeypatch.setattr(rotation_phases, "PROTOCOL", {**PROTOCOL, **mutation.edit})
    if mutation.patch is not None:
        mutation.patch(monkeypatch)
    found = deepen(mutation.scenario, mutation.bound, mutation.first)
    assert found.violation is not None, f"it survives {found.schedules} schedules"
    assert found.violation.invariant == mutation.breaks, found.violation.text
    record_property("protocol mutation", f"{name}: {found.schedules} schedules, {mutation.breaks}")


def test_every_phase_and_every_end_of_it_has_a_successor() -> None:
    assert {phase for phase, _ in PROTOCOL} == set(Phase) - {Phase.END}
    assert {phase for phase, came in PROTOCOL if came is GOOD} == set(Phase) - {Phase.END}
