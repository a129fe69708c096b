"""What a rotation decided and did, for people and as JSON."""

from __future__ import annotations

from authentik_entra_bootstrap.output.documents import (
    Document,
    evidence_document,
    moment,
    secret_document,
    step_document,
)
from authentik_entra_bootstrap.output.terminal import Terminal
from authentik_entra_bootstrap.workflows.rotate import RotationOutcome, RotationPlan


def rotation_plan_document(plan: RotationPlan) -> Document:
    """The decision with its steps."""
    decision = plan.decision
    return {
        "connection": plan.desired.connection,
        "tenant_id": plan.sight.operator.tenant_id,
        "decision": {
            "action": decision.action.value,
            "state": decision.state.value,
            "reason": decision.reason,
            "certain": decision.certain,
        },
        "steps": [step_document(step) for step in plan.steps],
        "changes": len(plan.changes),
    }


def rotation_document(plan: RotationPlan, outcome: RotationOutcome) -> Document:
    """What came of it."""
    return {
        **rotation_plan_document(plan),
        "rotated": outcome.rotated,
        "secret": secret_document(outcome.secret, plan.desired.renewal),
        "retired": list(outcome.retired),
        "evidence": evidence_document(outcome.evidence),
        "next": {"at": moment(outcome.attention.at), "reason": outcome.attention.reason},
    }


def show_rotation_plan(terminal: Terminal, plan: RotationPlan) -> None:
    """The decision, and its steps where there are any."""
    terminal.say(f"Connection {plan.desired.connection}: {plan.decision.reason}", "bold")
    for step in plan.steps:
        terminal.step(step)


def show_rotation(terminal: Terminal, plan: RotationPlan, outcome: RotationOutcome) -> None:
    """What came of it, and when the next run is wanted."""
    terminal.evidence(outcome.evidence)
    removed = len(outcome.retired)
    if outcome.rotated:
        did = "has a new client secret, and authentik has signed in with it"
    elif removed:
        did = f"keeps its client secret; {removed} that nothing uses {'was' if removed == 1 else 'were'} removed"
    elif plan.steps and outcome.evidence:
        did = "keeps its client secret, and authentik has signed in with it"
    else:
        did = "keeps its client secret; nothing was changed"
    terminal.say(f"SUCCESS: connection {plan.desired.connection} {did}.", "bold green")
    secret = outcome.secret
    terminal.rows(
        [
            ("secret until", f"{secret.end_date_time:%Y-%m-%d %H:%M} UTC (key id {secret.key_id})"),
            ("next run", f"{outcome.attention.at:%Y-%m-%d %H:%M} UTC, {outcome.attention.reason}"),
        ]
    )
