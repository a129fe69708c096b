"""Notification rules and transports, policies that match events, and policy bindings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from authentik_entra_bootstrap.sandbox.authentik.resources import common, people
from authentik_entra_bootstrap.sandbox.authentik.resources.mappings import Expression
from authentik_entra_bootstrap.sandbox.authentik.resources.trail import actions_of
from authentik_entra_bootstrap.sandbox.authentik.rest import listing
from authentik_entra_bootstrap.sandbox.authentik.rest.errors import ErrorDetail, ValidationError
from authentik_entra_bootstrap.sandbox.authentik.rest.fields import (
    MAX_INT,
    Boolean,
    Choice,
    Field,
    Integer,
    Moment,
    Plain,
    Uuid,
)
from authentik_entra_bootstrap.sandbox.authentik.rest.model import Model
from authentik_entra_bootstrap.sandbox.authentik.rest.relations import ManyRelated, Nested, Related
from authentik_entra_bootstrap.sandbox.authentik.rest.serializer import Serializer
from authentik_entra_bootstrap.sandbox.authentik.rest.texts import Address, Text
from authentik_entra_bootstrap.sandbox.authentik.rest.viewset import ModelView, View

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.state import Record, State


EXPRESSION = "authentik_policies_expression.expressionpolicy"


def of_authentik(value: Any, ctx: Context) -> None:  # noqa: ARG001 - the signature of all validators
    """Refuse what cannot be one of authentik's own apps; the real list has some eighty of them.

    :raises ValidationError: as for any choice that there is not.
    """
    if value and not value.startswith("authentik."):
        raise ValidationError([ErrorDetail(f'"{value}" is not a valid choice.', "invalid_choice")])


def expression_model(state: State) -> Model:
    """The policy that evaluates an expression."""
    return one_kind(
        state,
        EXPRESSION,
        "ExpressionPolicy",
        ("Expression Policy", "Expression Policies"),
        "ak-policy-expression-form",
        {"expression": Expression(trim=False)},
        lambda record: "expression" in record,
    )


def one_kind(
    state: State,
    label: str,
    class_name: str,
    verbose: tuple[str, str],
    component: str,
    own: Mapping[str, Field | None],
    fits: Callable[[Record], bool],
) -> Model:
    """One kind of policy; all kinds stand in one table.

    :param verbose: its name, and that of several.
    :param component: its form in the browser.
    :param own: the fields that other kinds do not have.
    :param fits: whether a row is of this kind.
    """
    fields = {
        "pk": Uuid(read_only=True, label="Policy uuid"),
        "name": Text(unique="Policy with this name already exists.", unique_table="policy"),
        "execution_logging": Boolean(default=False),
        **common.meta_fields(component, *verbose, label),
        "bound_to": bound_to(),
        **own,
    }
    return Model(
        state=state,
        label=label,
        class_name=class_name,
        table_name="policy",
        serializer=Serializer(class_name, fields),
        verbose_name=verbose[0],
        verbose_name_plural=verbose[1],
        fits=fits,
    )


def bound_to() -> Plain:
    """How many bindings a policy has."""
    return Plain(
        shape={"type": "integer"},
        get=lambda record, ctx: len(ctx.state.tables["binding"].where(policy=record["pk"])),
    )


def policy_model(state: State) -> Model:
    """The policy that matches events."""
    choice = {"null": True, "default": None, "blank": True}
    return one_kind(
        state,
        "authentik_policies_event_matcher.eventmatcherpolicy",
        "EventMatcherPolicy",
        ("Event Matcher Policy", "Event Matcher Policies"),
        "ak-policy-event-matcher-form",
        {
            "action": Choice(choices=actions_of(state), enum="EventActions", **choice),  # type: ignore[arg-type]
            "client_ip": Address(**choice),  # type: ignore[arg-type]
            "app": Text(validators=[of_authentik], **choice),  # type: ignore[arg-type]
            "model": Text(**choice),  # type: ignore[arg-type]
            "query": Text(**choice) if state.profile.at_least("2026.5") else None,  # type: ignore[arg-type]
        },
        lambda record: "expression" not in record,
    )


def base_policy(state: State) -> Serializer:
    """Any policy, as a binding shows it."""
    fields = policy_model(state).serializer.fields
    own = {"action", "client_ip", "app", "model", "query"}
    return Serializer("Policy", {name: field for name, field in fields.items() if name not in own})


def binding_model(state: State) -> Model:
    """What ties a policy, a group or a user to an application or a rule."""
    newest = state.profile.at_least("2026.8")
    policies = base_policy(state)
    group, user = people.partial_group(), people.partial_user()

    def row(table: str) -> Callable[[Record, Context], Record | None]:
        return lambda record, ctx: ctx.state.tables[table].get(record[table])

    serializer = Serializer(
        "PolicyBinding",
        {
            "pk": Uuid(read_only=True, label="Policy binding uuid"),
            "policy": Related(table="policy", null=True, default=None),
            "group": Related(table="group", null=True, default=None),
            "user": Related(table="user", integer=True, null=True, default=None),
            "policy_obj": Nested(serializer=lambda: policies, null=True, get=row("policy")),
            "group_obj": Nested(serializer=lambda: group, null=True, get=row("group")),
            "user_obj": Nested(serializer=lambda: user, null=True, get=row("user")),
            "target": Uuid(),
            "negate": Boolean(default=False),
            "enabled": Boolean(default=True),
            "order": Integer(),
            "timeout": Integer(default=30, minimum=0, maximum=MAX_INT),
            "failure_result": Boolean(default=False),
            "expires": Moment(null=True, read_only=True, default=None) if newest else None,
            "expiring": Boolean(read_only=True, default=False) if newest else None,
        },
    )
    return Model(
        state=state,
        label="authentik_policies.policybinding",
        class_name="PolicyBinding",
        table_name="binding",
        serializer=serializer,
        verbose_name="Policy Binding",
        title=lambda record: f"Binding to {record['target']}",
        saved=lambda record, ctx, created: ctx.state.application_cache.clear(),  # noqa: ARG005
    )


def transport_model(state: State) -> Model:
    """How a notification travels."""
    modes = {
        "local": "authentik inbuilt notifications",
        "webhook": "Generic Webhook",
        "webhook_slack": "Slack Webhook (Slack/Discord)",
        "email": "Email",
    }
    older = not state.profile.at_least("2026.5")
    key = {"null": True, "default": None}
    serializer = Serializer(
        "NotificationTransport",
        {
            "pk": Uuid(read_only=True),
            "name": Text(
                unique="Notification Transport with this name already exists.", unique_table="transport"
            ),
            "mode": Choice(
                choices=modes,
                enum="NotificationTransportModeEnum" if older else "TransportModeEnum",
                default="local",
            ),
            "mode_verbose": Plain(shape=common.STRING, get=lambda record, _: modes[record["mode"]]),
            "webhook_url": Text(blank=True, default=""),
            "webhook_ca": None if older else Uuid(**key),  # type: ignore[arg-type]
            "webhook_mapping_body": Related(table="mapping", **key),  # type: ignore[arg-type]
            "webhook_mapping_headers": Related(table="mapping", **key),  # type: ignore[arg-type]
            "email_subject_prefix": Text(blank=True, default="authentik Notification: "),
            "email_template": Text(default="email/event_notification.html"),
            "send_once": Boolean(default=False),
        },
    )
    return Model(
        state=state,
        label="authentik_events.notificationtransport",
        class_name="NotificationTransport",
        table_name="transport",
        serializer=serializer,
        verbose_name="Notification Transport",
    )


def rule_model(state: State) -> Model:
    """Which events are worth a notification, and whose."""
    groups = state.models[people.GROUP].serializer
    serializer = Serializer(
        "NotificationRule",
        {
            "pk": Uuid(read_only=True, label="Pbm uuid"),
            "name": Text(unique="Notification Rule with this name already exists.", unique_table="rule"),
            "transports": ManyRelated(table="transport", default=list),
            "severity": common.choice(("notice", "warning", "alert"), "SeverityEnum", "notice"),
            "destination_group": Related(table="group", null=True, default=None),
            "destination_group_obj": Nested(
                serializer=lambda: groups,
                get=lambda record, ctx: ctx.state.tables["group"].get(record["destination_group"]),
            ),
            "destination_event_user": Boolean(default=False),
        },
    )
    return Model(
        state=state,
        label="authentik_events.notificationrule",
        class_name="NotificationRule",
        table_name="rule",
        serializer=serializer,
        verbose_name="Notification Rule",
    )


def any_uuid(column: str) -> listing.Filter:
    """One of several UUIDs; repeat the parameter."""

    def build(values: list[str], ctx: Context) -> listing.Keep | None:
        keeps = [keep for value in values if (keep := listing.uuid_is(column)([value], ctx))]
        return (lambda record: any(keep(record) for keep in keeps)) if keeps else None

    return build


def views(state: State) -> list[View]:
    """The addresses of this module; registers its models."""
    policy, expression, binding = policy_model(state), expression_model(state), binding_model(state)
    transport, rule = transport_model(state), rule_model(state)
    for model in (policy, expression, binding, transport, rule):
        state.models[model.label] = model
    named = {"name": listing.exact("name")}
    return [
        ModelView(
            state,
            "policies/event_matcher",
            policy,
            lookup_name="policy_uuid",
            filters=named
            | {name: listing.exact(name) for name in ("action", "app", "client_ip", "query")}
            | {
                "execution_logging": listing.flag("execution_logging"),
                "policy_uuid": listing.uuid_is("pk"),
            },
            search=["name"],
            ordering=["name"],
            used_by=common.nobody,
        ),
        ModelView(
            state,
            "policies/expression",
            expression,
            lookup_name="policy_uuid",
            filters=named,
            search=["name"],
            ordering=["name"],
            used_by=common.nobody,
        ),
        ModelView(
            state,
            "policies/bindings",
            binding,
            lookup_name="policy_binding_uuid",
            filters={
                "target": listing.uuid_is("target"),
                "target_in": any_uuid("target"),
                "policy": listing.reference("policy", "policy"),
                "policy__isnull": listing.flag("policy", is_null=True),
                "timeout": listing.number("timeout"),
                "enabled": listing.flag("enabled"),
                "order": listing.number("order"),
            },
            ordering=["target", "order"],
            used_by=common.nobody,
        ),
        ModelView(
            state,
            "events/transports",
            transport,
            lookup_name="uuid",
            filters=named
            | {
                "mode": listing.exact("mode"),
                "send_once": listing.flag("send_once"),
                "webhook_url": listing.exact("webhook_url"),
            },
            search=["name", "mode", "webhook_url"],
            ordering=["name"],
            used_by=common.nobody,
        ),
        ModelView(
            state,
            "events/rules",
            rule,
            lookup_name="pbm_uuid",
            filters=named | {"severity": listing.exact("severity")},
            search=["name", "severity"],
            ordering=["name"],
            used_by=common.nobody,
        ),
    ]
