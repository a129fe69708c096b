"""The plans of ``bootstrap``, ``rotate`` and ``teardown``, what differs from the settings, and how each ended."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from authentik_entra_bootstrap.domain import ClientSecret, Cloud, Organization
from authentik_entra_bootstrap.output.documents import (
    Document,
    application_document,
    decision_document,
    evidence_document,
    provider_document,
    secret_document,
    step_document,
    tenant_document,
    values,
)
from authentik_entra_bootstrap.output.terminal import MARKS, Terminal
from authentik_entra_bootstrap.planning.differences import Action, Difference
from authentik_entra_bootstrap.planning.plan import Plan, Step
from authentik_entra_bootstrap.planning.scope import ScopeChange, in_short
from authentik_entra_bootstrap.planning.teardown import PEOPLE_STAY, TeardownPlan
from authentik_entra_bootstrap.workflows.bootstrap import Outcome
from authentik_entra_bootstrap.workflows.planning import Prepared
from authentik_entra_bootstrap.workflows.rotate import RotationOutcome, RotationPlan

_SIDES = {"entra": "Entra ID", "authentik": "authentik"}
_NEXT_STEPS = (
    "authentik-entra status     shows the connection and when its secret is due",
    "authentik-entra verify     takes the proofs again at any time",
    "authentik-entra bootstrap  run again from the renewal date on replaces the secret",
)


def _titles(organization: Organization, authentik_url: str) -> dict[str, str]:
    """The heading of the steps of each side."""
    return {
        "entra": f"  Entra ID: {organization.display_name} ({organization.tenant_id})",
        "authentik": f"  authentik: {authentik_url}",
    }


def _secret_until(secret: ClientSecret) -> tuple[str, str]:
    return "secret until", f"{secret.end_date_time:%Y-%m-%d %H:%M} UTC (key id {secret.key_id})"


# --- plan and drift


def plan_document(prepared: Prepared) -> Document:
    """A plan with its counts, and what differs from the settings."""
    plan = prepared.plan
    return {
        "connection": plan.desired.connection,
        "tenant": tenant_document(prepared.entra.organization),
        "steps": [step_document(step) for step in plan.steps],
        "changes": len(plan.changes),
        "warnings": list(plan.warnings),
        "provisioning": {
            "users": plan.arriving,
            "groups": plan.scope.groups,
            "left_out": [{"user": item.username, "reason": item.reason} for item in plan.left_out],
        },
        "scope_change": _scope_document(plan.scope_change),
        "drift": drift_document(plan.differences),
    }


def _scope_document(change: ScopeChange | None) -> Document | None:
    if change is None:
        return None
    return {
        "fields": {name: effect.value for name, effect in change.fields.items()},
        "users_before": change.before,
        "users_after": change.after,
        "linked_leaving": change.leaving,
        "texts": list(change.texts),
    }


def drift_document(drift: Sequence[Difference]) -> list[Document]:
    """Every difference with what is done about it."""
    return [
        {
            **values(item, "property", "wanted", "found", "action", "reason"),
            "side": item.target.side,
            "object": item.target.value,
        }
        for item in drift
    ]


def show_plan(terminal: Terminal, prepared: Prepared, authentik_url: str) -> None:
    """Every step with its reason, whom authentik will provision, counts, warnings, what differs."""
    plan = prepared.plan
    terminal.say(f"Plan for connection {plan.desired.connection}", "bold")
    terminal.source()
    for side, title in _titles(prepared.entra.organization, authentik_url).items():
        terminal.say(title, "bold")
        for step in plan.steps:
            if step.target.side == side:
                terminal.step(step)
    if plan.scope_change is not None:
        show_scope_change(terminal, plan.scope_change)
    elif plan.arriving is not None and plan.scope.groups is not None:
        dry = " Dry run: nothing is written to the tenant." if plan.desired.dry_run else ""
        terminal.say(
            f"  authentik will provision {plan.arriving} users, and all {plan.scope.groups} groups "
            f"(authentik does not filter groups).{dry}"
        )
    if plan.left_out:
        terminal.say(f"    Left out: {in_short(plan.left_out)}")
    if plan.changes:
        terminal.say(
            f"  {plan.count(Action.CREATE)} to create, {plan.count(Action.CHANGE)} to change, "
            f"{plan.count(Action.RETIRE)} to retire."
        )
    else:
        terminal.say("  Nothing to do: everything is as it should be.", "green")
    terminal.warnings(plan.warnings)
    # What is missing altogether stands in the steps.
    if differing := [item for item in plan.differences if item.property != "exists"]:
        terminal.say("  What differs from the settings:", "bold")
        _show_differences(terminal, differing)


def show_scope_change(terminal: Terminal, change: ScopeChange) -> None:
    """What a run would change about who is provisioned and what is deleted."""
    terminal.say("  This changes who is provisioned, or what is deleted in the tenant:", "bold yellow")
    for text in change.texts:
        terminal.say(f"    {text}", "yellow")


def show_drift(terminal: Terminal, drift: Sequence[Difference]) -> None:
    """What differs, line by line: found, wanted, what is done, why."""
    if any(item.action is not Action.KEEP for item in drift):
        terminal.say("  drift:", "yellow")
    else:
        terminal.say("  no drift" + (". Notes:" if drift else ""), "green")
    _show_differences(terminal, drift)


def _show_differences(terminal: Terminal, drift: Sequence[Difference]) -> None:
    for item in drift:
        symbol, style = MARKS[item.action]
        found = "nothing" if item.found is None else item.found
        wanted = "" if item.wanted is None else f", wanted {item.wanted}"
        terminal.say(
            f"    {symbol} {item.action.value:<10}{_SIDES[item.target.side]} {item.target.value} {item.property}: "
            f"found {found}{wanted} ({item.reason})",
            style,
        )


# --- outcome of bootstrap


def outcome_document(outcome: Outcome, prepared: Prepared, cloud: Cloud, authentik_url: str) -> Document:
    """The connection after a bootstrap, and what was changed."""
    plan = prepared.plan
    return {
        "connection": plan.desired.connection,
        "tenant": tenant_document(prepared.entra.organization),
        "application": {
            **application_document(outcome.application, cloud),
            "service_principal_object_id": outcome.service_principal.service_principal_object_id,
        },
        "secret": secret_document(outcome.secret, plan.desired.renewal),
        "provider": provider_document(outcome.provider, outcome.authentik_application.slug, authentik_url),
        "changed": [step_document(step) for step in outcome.changed],
        "warnings": list(plan.warnings),
        "evidence": evidence_document(outcome.evidence),
    }


def show_outcome(terminal: Terminal, outcome: Outcome, plan: Plan, cloud: Cloud, authentik_url: str) -> None:
    """The end of a bootstrap: success, addresses, dates, next steps."""
    terminal.evidence(outcome.evidence)
    if not outcome.changed:
        did = "is as it should be; nothing was changed"
    elif any(item.name == "authentik-signs-in" and item.ok for item in outcome.evidence):
        did = "is working and proven"
    else:
        did = "was brought up to date; `authentik-entra verify` proves it"
    if outcome.consent is None:
        terminal.say(f"SUCCESS: connection {plan.desired.connection} {did}.", "bold green")
    else:
        terminal.say(
            f"Connection {plan.desired.connection} {did}. Some consent is left to an administrator.", "bold"
        )
    terminal.rows(
        [
            ("application", cloud.application_page(outcome.application.app_id)),
            ("provider", outcome.provider.page(authentik_url)),
            ("client id", outcome.application.app_id),
            _secret_until(outcome.secret),
            ("renew from", f"{outcome.renew_at:%Y-%m-%d %H:%M} UTC"),
        ]
    )
    if plan.changes:
        terminal.say("(->) NEXT STEPS:", "bold")
        for text in _NEXT_STEPS:
            terminal.say(f"  {text}")


# --- rotation


def rotation_document(plan: RotationPlan, outcome: RotationOutcome | None = None) -> Document:
    """The decision with its steps, and once it was carried out what came of it."""
    document: Document = {
        "connection": plan.desired.connection,
        "tenant_id": plan.sight.operator.tenant_id,
        "decision": decision_document(plan.decision),
        "steps": [step_document(step) for step in plan.steps],
        "changes": len(plan.changes),
    }
    if outcome is None:
        return document
    return {
        **document,
        "rotated": outcome.rotated,
        "secret": secret_document(outcome.secret, plan.desired.renewal),
        "retired": list(outcome.retired),
        "evidence": evidence_document(outcome.evidence),
        "next": values(outcome.attention, "at", "reason"),
    }


def show_rotation_plan(terminal: Terminal, plan: RotationPlan) -> None:
    """The decision, and its steps where there are any."""
    terminal.say(f"Connection {plan.desired.connection}: {plan.decision.reason}", "bold")
    for step in plan.steps:
        terminal.step(step)


def show_rotation(terminal: Terminal, plan: RotationPlan, outcome: RotationOutcome) -> None:
    """How a rotation ended, and when the next run is wanted."""
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
    terminal.rows(
        [
            _secret_until(outcome.secret),
            ("next run", f"{outcome.attention.at:%Y-%m-%d %H:%M} UTC, {outcome.attention.reason}"),
        ]
    )


# --- teardown


def teardown_document(plan: TeardownPlan, done: Sequence[Step]) -> Document:
    """What was removed, and what is left."""
    return {
        "connection": plan.desired.connection,
        "tenant": tenant_document(plan.seen.organization),
        "removed": [step_document(step) for step in done],
        "left": [step_document(step) for step in plan.steps if step not in done],
        "takes_along": list(plan.takes_along),
        "stays": list(plan.stays),
    }


def show_teardown_plan(terminal: Terminal, plan: TeardownPlan, authentik_url: str) -> None:
    """Every step in its order, what is deleted with it, what is kept."""
    terminal.say(f"Teardown of connection {plan.desired.connection}", "bold")
    titles = _titles(plan.seen.organization, authentik_url)
    for side, steps in groupby(plan.steps, lambda step: step.target.side):
        terminal.say(titles[side], "bold")
        for step in steps:
            terminal.step(step)
    for text in plan.takes_along:
        terminal.say(f"  Also deleted: {text}.")
    for text in plan.stays:
        terminal.say(f"  Kept: {text.rstrip('.')}.")
    if plan.steps:
        terminal.say(f"  {PEOPLE_STAY}")
    else:
        terminal.say("  Nothing to do: nothing of this connection is left.", "green")


def show_teardown(terminal: Terminal, plan: TeardownPlan, done: Sequence[Step]) -> None:
    """The end of a teardown that had something to do."""
    name = plan.desired.connection
    if any(step not in done for step in plan.steps):
        terminal.say(f"Connection {name} is taken down but for what is named above.", "bold yellow")
    else:
        terminal.say(f"SUCCESS: connection {name} is taken down.", "bold green")
