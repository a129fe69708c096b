"""Notification rules: which events are told to whom.

As in authentik, a rule needs one passing policy of those that are bound to it, and without any it is silent.
A local transport leaves a notification for each member of the rule's group; others send nothing here.
"""

from __future__ import annotations

from typing import Any

from authentik_entra_bootstrap.sandbox.authentik.resources.policies import EXPRESSION
from authentik_entra_bootstrap.sandbox.authentik.state import Record, State
from authentik_entra_bootstrap.sandbox.authentik.worker.expressions import ExpressionError, evaluate
from authentik_entra_bootstrap.sandbox.authentik.worker.objects import Row


def notify(state: State, event: Any, rule: Any) -> None:
    """Run one rule on an event, by their keys."""
    found, wanted = state.tables["event"].get(event), state.tables["rule"].get(rule)
    if found is not None and wanted is not None and _fires(state, wanted, found):
        _tell(state, wanted, found)


def _fires(state: State, rule: Record, event: Record) -> bool:
    bindings = [row for row in state.tables["binding"].where(target=rule["pk"]) if row["enabled"]]
    return any(_passes(state, binding, event) for binding in bindings)


def _passes(state: State, binding: Record, event: Record) -> bool:
    policy = state.tables["policy"].get(binding["policy"])
    if policy is None:
        return False
    if state.models[EXPRESSION].get(policy["pk"]) is None:
        return _matches(policy, event) is not bool(binding["negate"])
    try:
        result = bool(evaluate(state, policy, {"event": Row(state, event)}, None))
    except ExpressionError:
        return bool(binding["failure_result"])
    return result is not bool(binding["negate"])


def _matches(policy: Record, event: Record) -> bool:
    """Everything that the matcher asks for; its ``query`` is a language of its own, which is not read here."""
    about = event["context"].get("model", {})
    model = f"{about.get('app')}.{about.get('model_name')}"
    asked = [
        (policy.get("action"), event["action"]),
        (policy.get("client_ip"), event["client_ip"]),
        (policy.get("app"), event["app"]),
        (policy.get("model"), model),
    ]
    return not policy.get("query") and all(wanted == seen for wanted, seen in asked if wanted)


def _tell(state: State, rule: Record, event: Record) -> None:
    group = state.tables["group"].get(rule["destination_group"])
    local = [
        transport
        for key in rule["transports"]
        if (transport := state.tables["transport"].get(key)) and transport["mode"] == "local"
    ]
    for _ in local:
        for user in group["users"] if group else ():
            state.tables["notification"].add(
                {
                    "pk": state.uuid(),
                    "user": user,
                    "event": event["pk"],
                    "severity": rule["severity"],
                    "body": f"{event['action']} {event['app']}",
                    "created": state.now(),
                    "seen": False,
                }
            )
