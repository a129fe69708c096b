"""Notifications: rules, transports, expression policies, and what binds one to a rule or an application."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from authentik_entra_bootstrap.sandbox.authentik.resources.accounts import GROUP
from authentik_entra_bootstrap.sandbox.authentik.resources.mappings import is_python
from authentik_entra_bootstrap.sandbox.authentik.resources.people import partial_group, partial_user
from authentik_entra_bootstrap.sandbox.authentik.rest import filters
from authentik_entra_bootstrap.sandbox.authentik.rest.errors import ValidationError
from authentik_entra_bootstrap.sandbox.authentik.rest.fields import (
    INTEGER,
    MAX_INT,
    STRING,
    Boolean,
    Choice,
    Integer,
    Moment,
    Text,
    Uuid,
    computed,
    read_uuid,
)
from authentik_entra_bootstrap.sandbox.authentik.rest.model import Model, Serializer, kind_fields
from authentik_entra_bootstrap.sandbox.authentik.rest.relations import (
    ManyRelated,
    Nested,
    Related,
    no_such_row,
    row_of,
    unique_together,
)
from authentik_entra_bootstrap.sandbox.authentik.rest.views import ModelView, View

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.state import Record, State

RULE = "authentik_events.notificationrule"
TRANSPORT = "authentik_events.notificationtransport"
POLICY = "authentik_policies_expression.expressionpolicy"
BINDING = "authentik_policies.policybinding"
SEVERITIES = ("notice", "warning", "alert")
MODES = {
    "local": "authentik inbuilt notifications",
    "webhook": "Generic Webhook",
    "webhook_slack": "Slack Webhook (Slack/Discord)",
    "email": "Email",
}
BOUND = ("group", "policy", "user")


def forget_bindings(column: str) -> Callable[[Record, Context], None]:
    """A hook that deletes the bindings of a deleted object, which a column of theirs names."""
    return lambda record, ctx: ctx.state.tables["binding"].remove_where(**{column: record["pk"]})


def policy_model(state: State) -> Model:
    """The policy that evaluates an expression."""
    verbose = ("Expression Policy", "Expression Policies")

    def bindings(record: Record, ctx: Context) -> int:
        return len(ctx.state.tables["binding"].where(policy=record["pk"]))

    fields = {
        "pk": Uuid(read_only=True),
        "name": Text(unique=("policy", "Policy with this name already exists.")),
        "execution_logging": Boolean(default=False),
        **kind_fields("ak-policy-expression-form", verbose, POLICY),
        "bound_to": computed(INTEGER, bindings),
        "expression": Text(validators=[is_python]),
    }
    return Model(
        state=state,
        label=POLICY,
        table_name="policy",
        serializer=Serializer("ExpressionPolicy", fields),
        verbose_name=verbose[0],
        deleting=forget_bindings("policy"),
    )


def target_of(state: State, key: str) -> Record | None:
    """The application or rule that a binding's target names."""
    return state.tables["application"].get(key) or state.tables["rule"].get(key)


@dataclass(kw_only=True)
class Target(Uuid):
    """What the policy, the group or the user is bound to."""

    def parse(self, data: Any, ctx: Context) -> Any:
        """The key of an existing application or rule."""
        key = read_uuid(data)
        if target_of(ctx.state, key) is None:
            raise no_such_row(data)
        return key


same_place = unique_together("binding", ("policy", "target", "order"))


def check_binding(values: dict[str, Any], instance: Record | None, ctx: Context) -> None:
    """One of the three is bound, no more; an update that leaves the target alone is not looked at.

    :raises ValidationError: for none and for several, and for a policy that has this place already.
    """
    same_place(values, instance, ctx)
    count = sum(bool(values.get(name)) for name in BOUND)
    if "target" in values and count != 1:
        names = ", ".join(f"'{name}'" for name in BOUND)
        raise ValidationError(f"Only one of {names} can be set." if count else f"One of {names} must be set.")


def binding_title(state: State, record: Record) -> str:
    """A binding's text: from what, at which place, to whom."""
    target = target_of(state, record["target"])
    kind, name = next(
        (kind.title(), row["name"])
        for kind in BOUND
        if (row := state.tables[kind].get(record[kind])) is not None
    )
    rule = "Notification Rule " if state.tables["rule"].get(record["target"]) else ""
    return f"Binding from {rule}{target['name'] if target else ''} #{record['order']} to {kind} {name}"


def binding_model(state: State, policy: Model) -> Model:
    """What ties a policy, a group or a user to an application or a rule."""
    newest = state.profile.at_least("2026.8")
    every = policy.serializer.fields
    any_policy = Serializer("Policy", {name: every[name] for name in every if name != "expression"})
    serializer = Serializer(
        "PolicyBinding",
        {
            "pk": Uuid(read_only=True),
            "policy": Related(table="policy", null=True, default=None),
            "group": Related(table="group", null=True, default=None),
            "user": Related(table="user", integer=True, null=True, default=None),
            "policy_obj": Nested(serializer=any_policy, null=True, get=row_of("policy")),
            "group_obj": Nested(serializer=partial_group(), null=True, get=row_of("group")),
            "user_obj": Nested(serializer=partial_user(), null=True, get=row_of("user")),
            "target": Target(),
            "negate": Boolean(default=False),
            "enabled": Boolean(default=True),
            "order": Integer(minimum=-MAX_INT - 1, maximum=MAX_INT),
            "timeout": Integer(default=30, minimum=0, maximum=MAX_INT),
            "failure_result": Boolean(default=False),
            "expires": Moment(null=True, read_only=True, default=None) if newest else None,
            "expiring": Boolean(read_only=True, default=False) if newest else None,
        },
        check=check_binding,
    )
    return Model(
        state=state,
        label=BINDING,
        table_name="binding",
        serializer=serializer,
        verbose_name="Policy Binding",
        title=lambda record: binding_title(state, record),
        saved=lambda _record, ctx, _created: ctx.state.application_cache.clear(),
    )


def transport_deleting(record: Record, ctx: Context) -> None:
    """Rules lose the transport."""
    for rule in ctx.state.tables["rule"]:
        rule["transports"] = [key for key in rule["transports"] if key != record["pk"]]


def transport_model(state: State) -> Model:
    """How a notification travels."""
    older = not state.profile.at_least("2026.5")
    enum = "NotificationTransportModeEnum" if older else "TransportModeEnum"
    serializer = Serializer(
        "NotificationTransport",
        {
            "pk": Uuid(read_only=True),
            "name": Text(unique=("transport", "Notification Transport with this name already exists.")),
            "mode": Choice(choices=tuple(MODES), enum=enum, default="local"),
            "mode_verbose": computed(STRING, lambda record, _ctx: MODES[record["mode"]]),
            "webhook_url": Text(blank=True, default=""),
            "webhook_ca": None if older else Uuid(null=True, default=None),
            "webhook_mapping_body": Related(table="mapping", null=True, default=None),
            "webhook_mapping_headers": Related(table="mapping", null=True, default=None),
            "email_subject_prefix": Text(blank=True, default="authentik Notification: "),
            "email_template": Text(default="email/event_notification.html"),
            "send_once": Boolean(default=False),
        },
    )
    return Model(
        state=state,
        label=TRANSPORT,
        table_name="transport",
        serializer=serializer,
        verbose_name="Notification Transport",
        deleting=transport_deleting,
    )


def rule_model(state: State) -> Model:
    """Which events are worth a notification, and whose."""
    serializer = Serializer(
        "NotificationRule",
        {
            "pk": Uuid(read_only=True),
            "name": Text(unique=("rule", "Notification Rule with this name already exists.")),
            "transports": ManyRelated(table="transport", default=list),
            "severity": Choice(choices=SEVERITIES, enum="SeverityEnum", default="notice"),
            "destination_group": Related(table="group", null=True, default=None),
            "destination_group_obj": Nested(
                serializer=state.models[GROUP].serializer, get=row_of("group", "destination_group")
            ),
            "destination_event_user": Boolean(default=False),
        },
    )
    return Model(
        state=state,
        label=RULE,
        table_name="rule",
        serializer=serializer,
        verbose_name="Notification Rule",
        deleting=forget_bindings("target"),
    )


def views(state: State) -> list[View]:
    """The addresses of this module; registers its models."""
    policy = policy_model(state)
    transports = ModelView(
        path="events/transports",
        model=transport_model(state),
        filters={**filters.exact("name"), "mode": filters.one_of("mode", tuple(MODES), last=True)},
        search=["name", "mode", "webhook_url"],
        ordering=["name"],
    )
    rules = ModelView(
        path="events/rules",
        model=rule_model(state),
        lookup_name="pbm_uuid",
        filters={**filters.exact("name"), "severity": filters.one_of("severity", SEVERITIES, last=True)},
        search=["name", "severity"],
        ordering=["name"],
    )
    policies = ModelView(
        path="policies/expression",
        model=policy,
        lookup_name="policy_uuid",
        filters=filters.exact("name"),
        search=["name"],
        ordering=["name"],
    )
    bindings = ModelView(
        path="policies/bindings",
        model=binding_model(state, policy),
        lookup_name="policy_binding_uuid",
        filters={
            "target": filters.equal("target", filters.key),
            "policy": filters.reference("policy", "policy"),
            "enabled": filters.flag("enabled"),
        },
        ordering=["target", "order"],
    )
    return [transports, rules, policies, bindings]
