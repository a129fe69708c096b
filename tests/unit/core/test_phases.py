"""The table of the protocol, and where a decision begins."""

from __future__ import annotations

import pytest

from authentik_entra_bootstrap.rotation.decide import SecretAction
from authentik_entra_bootstrap.rotation.phases import ENTRY, PROTOCOL, Phase, PhaseResult


def _reached(first: Phase) -> set[Phase]:
    found, open_ = {first}, [first]
    while open_:
        here = open_.pop()
        for (phase, _), following in PROTOCOL.items():
            if phase is here and following not in found:
                found.add(following)
                open_.append(following)
    return found


def test_every_phase_is_reached_and_every_path_ends() -> None:
    assert _reached(Phase.PREFLIGHT) == set(Phase)
    for phase, came in PROTOCOL:
        here, steps = PROTOCOL[phase, came], 0
        while here is not Phase.END:
            here, steps = PROTOCOL[here, PhaseResult.GOOD], steps + 1
            assert steps < len(Phase)


def test_every_phase_can_end_well_and_can_fail() -> None:
    for phase in set(Phase) - {Phase.END}:
        assert (phase, PhaseResult.GOOD) in PROTOCOL
        assert (phase, PhaseResult.FAILED) in PROTOCOL


def test_nothing_is_delivered_before_its_mark_and_test_and_nothing_retired_before_a_proof() -> None:
    def passes(first: Phase, last: Phase, without: Phase) -> bool:
        found, open_ = {first}, [first]
        while open_:
            here = open_.pop()
            steps = [to for (phase, _), to in PROTOCOL.items() if phase is here and to is not without]
            open_ += [to for to in steps if to not in found]
            found |= set(steps)
        return last in found

    for first in (Phase.MARK, Phase.TEST):
        assert not passes(Phase.PREFLIGHT, Phase.CUT_OVER, first)
    assert passes(Phase.PREFLIGHT, Phase.RETIRE, Phase.DISCARD)
    # A save without a new secret needs no proof; a new one never comes to its record without.
    new = {key: to for key, to in PROTOCOL.items() if key[1] is not PhaseResult.SAVED}
    assert [key for key, to in new.items() if to is Phase.RECORD] == [(Phase.PROVE, PhaseResult.GOOD)]


@pytest.mark.parametrize(
    ("action", "alone", "saving"),
    [
        (SecretAction.MAKE, Phase.PREFLIGHT, Phase.PREFLIGHT),
        (SecretAction.PROVE, Phase.PROVE, Phase.CUT_OVER),
        (SecretAction.KEEP, Phase.RETIRE, Phase.CUT_OVER),
    ],
)
def test_a_decision_begins_in_its_phase(action: SecretAction, alone: Phase, saving: Phase) -> None:
    assert (ENTRY[action, False], ENTRY[action, True]) == (alone, saving)
    assert len(ENTRY) == 2 * len(SecretAction)
