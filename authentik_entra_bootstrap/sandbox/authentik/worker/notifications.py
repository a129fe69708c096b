"""Notification rules: which events are told to whom.

As in authentik, a rule needs one passing policy of those that are bound to it, and without any it is silent.
A local transport leaves a notification for each member of the rule's group; others send nothing here.
"""

from __future__ import annotations

from typing import Any

from authentik_entra_bootstrap.sandbox.authentik.state import Record, State
from authentik_entra_bootstrap.sandbox.authentik.worker.expressions import ExpressionError, evaluate
from authentik_entra_bootstrap.sandbox.authentik.worker.objects import Row


def notify(state: State, event: Any, rule: Any) -> None:
    """Run one rule on an event, by their keys."""
    found, wanted = state.tables["event"].get(event), state.tables["rule"].get(rule)
    if found is None or wanted is None:
        return
    bindings = state.tables["binding"].where(target=wanted["pk"], enabled=True)
    if any(_passes(state, binding, found) for binding in bindings):
        _notify_members(state, wanted, found)


def _passes(state: State, binding: Record, event: Record) -> bool:
    policy = state.tables["policy"].get(binding["policy"])
    if policy is None:
        return False
    try:
        result = bool(evaluate(state, policy, {"event": Row(state, event)}, None))
    except ExpressionError:
        return bool(binding["failure_result"])
    return result is not bool(binding["negate"])


def _notify_members(state: State, rule: Record, event: Record) -> None:
    tables = state.tables
    group = tables["group"].get(rule["destination_group"])
    transports = [tables["transport"].get(key) for key in rule["transports"]]
    local = [transport for transport in transports if transport and transport["mode"] == "local"]
    for user in group["users"] * len(local) if group else ():
        tables["notification"].add(
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
