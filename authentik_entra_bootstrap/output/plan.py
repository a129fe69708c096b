"""The plans of ``bootstrap``, ``rotate`` and ``teardown``, what differs from the settings, and how each ended."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from authentik_entra_bootstrap.domain import ClientSecret, Cloud, DeletedApplication, Desired, Organization
from authentik_entra_bootstrap.domain.policy import renew_at
from authentik_entra_bootstrap.output.documents import (
    Document,
    application_document,
    decision_document,
    evidence_document,
    provider_document,
    provider_page,
    secret_document,
    step_document,
    tenant_document,
    values,
)
from authentik_entra_bootstrap.output.preview import show_summary, summary_document
from authentik_entra_bootstrap.output.terminal import Terminal
from authentik_entra_bootstrap.planning.differences import Action, Difference
from authentik_entra_bootstrap.planning.plan import NAMES, Plan, Step
from authentik_entra_bootstrap.planning.preflight import is_this_connections
from authentik_entra_bootstrap.planning.preview import Preview
from authentik_entra_bootstrap.planning.scope import ScopeChange, in_short
from authentik_entra_bootstrap.planning.teardown import PEOPLE_STAY, TeardownPlan
from authentik_entra_bootstrap.rotation.decide import SecretAction
from authentik_entra_bootstrap.workflows.bootstrap import Outcome
from authentik_entra_bootstrap.workflows.planning import Prepared
from authentik_entra_bootstrap.workflows.rotate import RotationOutcome, RotationPlan

_SIDES = {"entra": "Entra ID", "authentik": "authentik"}


def _titles(organization: Organization, authentik_url: str) -> dict[str, str]:
    """The heading of the steps of each side."""
    return {
        "entra": f"  Entra ID: {organization.label}",
        "authentik": f"  authentik: {authentik_url}",
    }


def _secret_until(secret: ClientSecret) -> tuple[str, str]:
    return "secret until", f"{secret.end_date_time:%Y-%m-%d %H:%M} UTC (key id {secret.key_id})"


# --- plan and drift


def plan_document(prepared: Prepared, preview: Preview | None = None) -> Document:
    """A plan with its counts, what differs from the settings, and what authentik's sync then does."""
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
            "left_out": [{"user": user, "reason": reason} for user, reason in plan.left_out.items()],
        },
        "preview": summary_document(preview),
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


def show_plan(
    terminal: Terminal, prepared: Prepared, authentik_url: str, preview: Preview | None = None
) -> None:
    """Counts, every step with its reason, whom authentik will provision, counts, warnings, what differs."""
    plan = prepared.plan
    verbs = ((Action.CREATE, "create"), (Action.CHANGE, "change"), (Action.RETIRE, "retire"))
    counts = ", ".join(f"{plan.count(action)} to {verb}" for action, verb in verbs if plan.count(action))
    terminal.headline(
        plan.desired.connection,
        counts or "nothing to do, everything matches the settings",
        news=bool(plan.changes),
    )
    terminal.source()
    for side, title in _titles(prepared.entra.organization, authentik_url).items():
        terminal.say(title, "bold")
        for step in plan.steps:
            if step.target.side == side:
                terminal.step(step)
    if plan.scope_change is not None:
        show_scope_change(terminal, plan.scope_change)
    if preview is not None:
        show_summary(terminal, preview)
    elif plan.scope_change is None and plan.arriving is not None and plan.scope.groups is not None:
        dry = " Dry run: nothing is written to the tenant." if plan.desired.dry_run else ""
        terminal.say(
            f"  authentik's sync: {plan.arriving} users and all {plan.scope.groups} groups "
            f"(authentik does not filter groups).{dry}",
            "bold",
        )
    if plan.left_out and preview is None:
        away = [f"{user}: {reason}" for user, reason in plan.left_out.items()]
        terminal.say(f"    Left out: {in_short(away)}")
    terminal.warnings(plan.warnings)
    # What is missing altogether stands in the steps.
    if differing := [item for item in plan.differences if item.property != "exists"]:
        terminal.say("  Differences from the settings:", "bold")
        _show_differences(terminal, differing)


def show_scope_change(terminal: Terminal, change: ScopeChange) -> None:
    """What a run would change about who is provisioned and what is deleted."""
    terminal.say("  This changes who is provisioned, or what is deleted in the tenant:", "bold yellow")
    for text in change.texts:
        terminal.say(f"    {text}", "yellow")


def show_drift(terminal: Terminal, drift: Sequence[Difference]) -> None:
    """The differences, one per line: found, wanted, action, reason."""
    if any(item.action is not Action.KEEP for item in drift):
        terminal.say("  drift:", "yellow")
    else:
        terminal.say("  no drift" + (". Notes:" if drift else ""), "green")
    _show_differences(terminal, drift)


def _show_differences(terminal: Terminal, drift: Sequence[Difference]) -> None:
    for item in drift:
        where = f"{_SIDES[item.target.side]} {NAMES[item.target]}"
        if item.property == "exists" and item.found is None:
            terminal.action(item.action, f"{where} {item.wanted}", item.reason)
            continue
        found = "nothing" if item.found is None else item.found
        wanted = "" if item.wanted is None else f", wanted {item.wanted}"
        terminal.action(item.action, f"{where} {item.property}: found {found}{wanted}", item.reason)


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
    """The end of a bootstrap: the verdict, the proofs, addresses, dates, next steps."""
    proven = any(item.name == "authentik-signs-in" and item.ok for item in outcome.evidence)
    if outcome.consent is not None:
        did = "brought up to date, but an administrator has to grant the remaining consent"
    elif not outcome.changed:
        did = f"up to date, nothing was changed, next rotation {outcome.renew_at:%Y-%m-%d}"
    elif proven:
        did = f"working and proven, next rotation {outcome.renew_at:%Y-%m-%d}"
    else:
        did = "brought up to date; `authentik-entra verify` proves it"
    style = "bold green" if outcome.consent is None else "bold"
    terminal.headline(plan.desired.connection, did, style, news=bool(outcome.changed or outcome.consent))
    terminal.evidence(outcome.evidence)
    application, provider = outcome.application, outcome.provider
    terminal.rows(
        [
            ("application", f"{application.display_name} (client id {application.app_id})"),
            ("", cloud.application_page(application.app_id)),
            ("provider", f"{provider.name} (pk {provider.pk})"),
            ("", provider_page(provider, authentik_url)),
            _secret_until(outcome.secret),
            ("renew from", f"{outcome.renew_at:%Y-%m-%d %H:%M} UTC"),
        ]
    )
    if plan.changes:
        terminal.next_steps(
            (
                "authentik-entra rotator create --to rotator.pem",
                "an identity for rotation",
            ),
            ("authentik-entra schedule systemd", "files for unattended rotation"),
            ("authentik-entra status", "when its secret is due"),
        )


# --- rotation


def rotation_document(plan: RotationPlan, outcome: RotationOutcome | None = None) -> Document:
    """The decision with its steps, and once it was carried out what came of it."""
    document: Document = {
        "connection": plan.desired.connection,
        "tenant_id": plan.seen.operator.tenant_id,
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


def rotation_due(plan: RotationPlan) -> str:
    """What a run does about the client secret, and why; empty where there is nothing to do."""
    needs = {SecretAction.MAKE: "needs a new client secret", SecretAction.PROVE: "needs a proof"}
    if plan.decision.action in needs:
        return f"{needs[plan.decision.action]}: {plan.decision.reason}"
    count = len(plan.changes)
    return f"{count} client secret{'s are' if count > 1 else ' is'} no longer used" if count else ""


def show_rotation_plan(terminal: Terminal, plan: RotationPlan) -> None:
    """The decision, and its steps where there are any."""
    due = rotation_due(plan)
    terminal.headline(plan.desired.connection, due or "nothing to do", news=bool(due))
    for step in plan.steps:
        terminal.step(step)


def show_rotation(terminal: Terminal, plan: RotationPlan, outcome: RotationOutcome) -> None:
    """How a rotation ended, and when the next run is wanted."""
    removed = len(outcome.retired)
    if outcome.rotated:
        did = "rotated and proven"
    elif removed:
        did = f"{removed} unused client secret{'s' if removed > 1 else ''} removed"
    elif plan.steps and outcome.evidence:
        did = "proven"
    else:
        did = "nothing to do"
    due = renew_at(outcome.secret, plan.desired.renewal)
    terminal.headline(
        plan.desired.connection,
        f"{did}, next rotation {due:%Y-%m-%d}",
        "bold green",
        news=did != "nothing to do",
    )
    terminal.evidence(outcome.evidence)
    terminal.rows(
        [
            _secret_until(outcome.secret),
            ("next run", f"{outcome.attention.at:%Y-%m-%d %H:%M} UTC: {outcome.attention.reason}"),
        ]
    )


def steps_to_connect(desired: Desired, deleted: DeletedApplication | None) -> tuple[tuple[str, str], ...]:
    """What makes the connection: where its application is deleted, a person decides what becomes of it."""
    if deleted is None or not is_this_connections(desired, deleted):
        return (("authentik-entra bootstrap", "asks, then makes the connection"),)
    return (
        ("authentik-entra bootstrap --restore", "restores the deleted application"),
        ("authentik-entra bootstrap --purge-deleted", "deletes it permanently and makes a new one"),
        ("authentik-entra teardown --purge", "deletes it permanently"),
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
    if plan.steps:
        what = f"{len(plan.steps)} to remove"
    elif plan.seen.application is None and plan.seen.deleted is None:
        what = "nothing to do, the connection does not exist"
    else:
        what = "nothing to do"
    terminal.headline(plan.desired.connection, what, news=bool(plan.steps))
    titles = _titles(plan.seen.organization, authentik_url)
    for side, steps in groupby(plan.steps, lambda step: step.target.side):
        terminal.say(titles[side], "bold")
        for step in steps:
            terminal.step(step)
    for text in plan.takes_along:
        terminal.say(f"  {text[0].upper()}{text[1:]}.")
    for text in plan.stays:
        terminal.say(f"  Kept: {text.rstrip('.')}.")
    if plan.steps:
        terminal.say(f"  {PEOPLE_STAY}")


def show_teardown(terminal: Terminal, plan: TeardownPlan, done: Sequence[Step]) -> None:
    """The end of a teardown that had something to do."""
    left = any(step not in done for step in plan.steps)
    what, style = (
        ("taken down, except for the steps above", "bold yellow") if left else ("taken down", "bold green")
    )
    terminal.headline(plan.desired.connection, what, style)
