"""The phases of a rotation and their order: how a decision about the client secret is carried out. Pure.

The table below is the protocol. The workflow asks it after each phase what comes next; the picture in
``docs/explanation/rotation.md`` is drawn from it; the tests change it to see that each change is noticed.
In brackets AWS's names for the steps of a rotation.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from authentik_entra_bootstrap.rotation.decide import SecretAction


class Phase(StrEnum):
    """One step of a rotation. Each makes one kind of write, or none."""

    PREFLIGHT = "preflight"
    """authentik's provider can be saved: reachable, licensed, permitted. Nothing was created yet."""
    CREATE = "create"
    """[createSecret] ``addPassword`` with a display name that was chosen before."""
    MARK = "mark"
    """The tag ``pending=KEY_ID``, before the secret is delivered."""
    TEST = "test"
    """[testSecret] Sign in with it several times in a row."""
    CUT_OVER = "cut-over"
    """[setSecret] Save the provider with it, unless another process has changed the provider."""
    PROVE = "prove"
    """Make authentik sign in with what it stores."""
    RECORD = "record"
    """[finishSecret] The tags ``current=KEY_ID@REQUEST_ID`` and ``previous=…``."""
    RETIRE = "retire"
    """``removePassword`` for this program's secrets past their overlap, after a fresh proof."""
    DISCARD = "discard"
    """Remove the secret that this run created and did not deliver."""
    NOTE_DELIVERED = "note-delivered"
    """The tag ``pending=KEY_ID@REQUEST_ID``: delivered, only the proof is missing."""
    NOTE_DOUBT = "note-doubt"
    """No tag ``pending`` any more: what authentik holds does not work, the next run makes another.

    The secret itself rests for as long as one on no record does. A tag that names it would let a run that sees its
    first characters in authentik ask for the same proof again and again.
    """
    END = "end"


class PhaseResult(StrEnum):
    """How a phase ended."""

    GOOD = "good"
    SAVED = "saved"
    """The provider was saved, or not changed, without a new secret: there is nothing to prove."""
    FAILED = "failed"
    """The phase was certainly not carried out, or its check failed."""
    UNKNOWN = "unknown"
    """The phase may have been carried out; only another read can tell."""


PROTOCOL: Mapping[tuple[Phase, PhaseResult], Phase] = {
    (Phase.PREFLIGHT, PhaseResult.GOOD): Phase.CREATE,
    (Phase.PREFLIGHT, PhaseResult.FAILED): Phase.END,
    (Phase.CREATE, PhaseResult.GOOD): Phase.MARK,
    (Phase.CREATE, PhaseResult.FAILED): Phase.END,
    (Phase.MARK, PhaseResult.GOOD): Phase.TEST,
    (Phase.MARK, PhaseResult.FAILED): Phase.DISCARD,
    (Phase.TEST, PhaseResult.GOOD): Phase.CUT_OVER,
    (Phase.TEST, PhaseResult.FAILED): Phase.DISCARD,
    (Phase.CUT_OVER, PhaseResult.GOOD): Phase.PROVE,
    (Phase.CUT_OVER, PhaseResult.SAVED): Phase.RECORD,
    (Phase.CUT_OVER, PhaseResult.FAILED): Phase.DISCARD,
    (Phase.CUT_OVER, PhaseResult.UNKNOWN): Phase.END,
    (Phase.PROVE, PhaseResult.GOOD): Phase.RECORD,
    (Phase.PROVE, PhaseResult.UNKNOWN): Phase.NOTE_DELIVERED,
    (Phase.PROVE, PhaseResult.FAILED): Phase.NOTE_DOUBT,
    (Phase.RECORD, PhaseResult.GOOD): Phase.RETIRE,
    (Phase.RECORD, PhaseResult.FAILED): Phase.END,
    (Phase.RETIRE, PhaseResult.GOOD): Phase.END,
    (Phase.RETIRE, PhaseResult.FAILED): Phase.END,
    (Phase.DISCARD, PhaseResult.GOOD): Phase.END,
    (Phase.DISCARD, PhaseResult.FAILED): Phase.END,
    (Phase.NOTE_DELIVERED, PhaseResult.GOOD): Phase.END,
    (Phase.NOTE_DELIVERED, PhaseResult.FAILED): Phase.END,
    (Phase.NOTE_DOUBT, PhaseResult.GOOD): Phase.END,
    (Phase.NOTE_DOUBT, PhaseResult.FAILED): Phase.END,
}
"""What follows a phase, by how it ended."""

ENTRY: Mapping[tuple[SecretAction, bool], Phase] = {
    (SecretAction.MAKE, False): Phase.PREFLIGHT,
    (SecretAction.PROVE, False): Phase.PROVE,
    (SecretAction.KEEP, False): Phase.RETIRE,
    (SecretAction.MAKE, True): Phase.PREFLIGHT,
    (SecretAction.PROVE, True): Phase.CUT_OVER,
    (SecretAction.KEEP, True): Phase.CUT_OVER,
}
"""Where a decision begins, by whether the run may change other fields of the provider, too (bootstrap does)."""
