"""Notification rules and transports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from authentik_entra_bootstrap.sandbox.authentik.resources import common, people
from authentik_entra_bootstrap.sandbox.authentik.resources.policies import forget_bindings
from authentik_entra_bootstrap.sandbox.authentik.rest import listing
from authentik_entra_bootstrap.sandbox.authentik.rest.fields import Boolean, Choice, Plain, Uuid
from authentik_entra_bootstrap.sandbox.authentik.rest.model import Model
from authentik_entra_bootstrap.sandbox.authentik.rest.relations import ManyRelated, Nested, Related
from authentik_entra_bootstrap.sandbox.authentik.rest.serializer import Serializer
from authentik_entra_bootstrap.sandbox.authentik.rest.texts import Text
from authentik_entra_bootstrap.sandbox.authentik.rest.viewset import ModelView, View

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.state import Record, State

RULE = "authentik_events.notificationrule"
SEVERITIES = ("notice", "warning", "alert")
MODES = {
    "local": "authentik inbuilt notifications",
    "webhook": "Generic Webhook",
    "webhook_slack": "Slack Webhook (Slack/Discord)",
    "email": "Email",
}


def transport_model(state: State) -> Model:
    """How a notification travels."""
    older = not state.profile.at_least("2026.5")
    key = {"null": True, "default": None}
    serializer = Serializer(
        "NotificationTransport",
        {
            "pk": Uuid(read_only=True, label="Uuid"),
            "name": Text(
                unique="Notification Transport with this name already exists.", unique_table="transport"
            ),
            "mode": Choice(
                choices=MODES,
                enum="NotificationTransportModeEnum" if older else "TransportModeEnum",
                default="local",
            ),
            "mode_verbose": Plain(shape=common.STRING, get=lambda record, _: MODES[record["mode"]]),
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
        title=lambda record: f"Notification Transport {record['name']}",
        deleting=transport_deleting,
    )


def transport_deleting(record: Record, ctx: Context) -> None:
    """Rules lose the transport."""
    for rule in ctx.state.tables["rule"]:
        rule["transports"] = [key for key in rule["transports"] if key != record["pk"]]


def rule_model(state: State) -> Model:
    """Which events are worth a notification, and whose."""
    groups = state.models[people.GROUP].serializer
    serializer = Serializer(
        "NotificationRule",
        {
            "pk": Uuid(read_only=True, label="Pbm uuid"),
            "name": Text(unique="Notification Rule with this name already exists.", unique_table="rule"),
            "transports": ManyRelated(table="transport", default=list),
            "severity": common.choice(SEVERITIES, "SeverityEnum", "notice"),
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
        label=RULE,
        class_name="NotificationRule",
        table_name="rule",
        serializer=serializer,
        verbose_name="Notification Rule",
        title=lambda record: f"Notification Rule {record['name']}",
        deleting=forget_bindings("target"),
    )


def group_name(record: Record, state: State) -> str:
    """The name of a rule's group, empty without one."""
    group = state.tables["group"].get(record["destination_group"])
    return str(group["name"]) if group else ""


def views(state: State) -> list[View]:
    """The addresses of this module; registers its models."""
    transport, rule = transport_model(state), rule_model(state)
    for model in (transport, rule):
        state.models[model.label] = model
    named = {"name": listing.exact("name")}
    return [
        ModelView(
            state,
            "events/transports",
            transport,
            lookup_name="uuid",
            filters=named
            | {
                "mode": listing.choice("mode", lambda _: list(MODES)),
                "send_once": listing.flag("send_once"),
                "webhook_url": listing.exact("webhook_url"),
            },
            search=["name", "mode", "webhook_url"],
            ordering=["name"],
        ),
        ModelView(
            state,
            "events/rules",
            rule,
            lookup_name="pbm_uuid",
            filters=named
            | {
                "severity": listing.choice("severity", lambda _: SEVERITIES),
                "destination_group__name": listing.exact("", value_of=lambda row: group_name(row, state)),
            },
            search=["name", "severity"],
            ordering=["name"],
        ),
    ]
