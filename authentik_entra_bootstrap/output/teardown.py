"""What a teardown shows: its plan and its end, as text and as JSON values."""

from __future__ import annotations

from collections.abc import Sequence

from authentik_entra_bootstrap.output.documents import Document, step_document
from authentik_entra_bootstrap.output.terminal import Terminal
from authentik_entra_bootstrap.planning.plan import Step
from authentik_entra_bootstrap.planning.teardown import PEOPLE_STAY, TeardownPlan


def show_plan(terminal: Terminal, plan: TeardownPlan, authentik_url: str) -> None:
    """Every step in its order, what goes along, what stays."""
    organization = plan.seen.organization
    terminal.say(f"Teardown of connection {plan.desired.connection}", "bold")
    titles = {
        "authentik": f"authentik: {authentik_url}",
        "entra": f"Entra ID: {organization.display_name} ({organization.tenant_id})",
    }
    shown = ""
    for step in plan.steps:
        if step.target.side != shown:
            shown = step.target.side
            terminal.say(f"  {titles[shown]}", "bold")
        terminal.step(step)
    for text in plan.takes_along:
        terminal.say(f"  Goes along: {text}.")
    for text in plan.stays:
        terminal.say(f"  Stays: {text.rstrip('.')}.")
    if plan.steps:
        terminal.say(f"  {PEOPLE_STAY}")
    else:
        terminal.say("  Nothing to do: nothing of this connection is left.", "green")


def show_end(terminal: Terminal, plan: TeardownPlan, done: Sequence[Step]) -> None:
    """The end of a teardown that had something to do."""
    left = [step for step in plan.steps if step not in done]
    name = plan.desired.connection
    if left:
        terminal.say(f"Connection {name} is taken down but for what is named above.", "bold yellow")
    else:
        terminal.say(f"SUCCESS: connection {name} is taken down.", "bold green")


def teardown_document(plan: TeardownPlan, done: Sequence[Step]) -> Document:
    """What was removed, and what stays."""
    organization = plan.seen.organization
    return {
        "connection": plan.desired.connection,
        "tenant": {"id": organization.tenant_id, "name": organization.display_name},
        "removed": [step_document(step) for step in done],
        "left": [step_document(step) for step in plan.steps if step not in done],
        "takes_along": list(plan.takes_along),
        "stays": list(plan.stays),
    }
