"""Audit events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from authentik_entra_bootstrap.sandbox.authentik import audit
from authentik_entra_bootstrap.sandbox.authentik.rest import listing
from authentik_entra_bootstrap.sandbox.authentik.rest.fields import (
    Choice,
    Dictionary,
    Moment,
    Uuid,
)
from authentik_entra_bootstrap.sandbox.authentik.rest.model import Model
from authentik_entra_bootstrap.sandbox.authentik.rest.replies import Reply
from authentik_entra_bootstrap.sandbox.authentik.rest.serializer import Serializer
from authentik_entra_bootstrap.sandbox.authentik.rest.texts import Address, Text
from authentik_entra_bootstrap.sandbox.authentik.rest.viewset import Action, ModelView, View

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.state import Record, State

WARNING = "configuration_warning"
ACTIONS = (
    "login",
    "login_failed",
    "logout",
    "user_write",
    "suspicious_request",
    "password_set",
    "secret_view",
    "secret_rotate",
    "invitation_used",
    "authorize_application",
    "source_linked",
    "impersonation_started",
    "impersonation_ended",
    "flow_execution",
    "policy_execution",
    "policy_exception",
    "property_mapping_exception",
    "system_task_execution",
    "system_task_exception",
    "system_exception",
    "configuration_error",
    WARNING,
    "model_created",
    "model_updated",
    "model_deleted",
    "email_sent",
    "update_available",
    "export_ready",
    "custom_",
)
NEWEST_ACTIONS = (
    "access_request_created",
    "access_request_approved",
    "access_request_denied",
    "access_request_revoked",
    "user_offboarded",
)
NEWER_ACTIONS = (  # and the warning, whose place is beside the error
    "review_initiated",
    "review_overdue",
    "review_attested",
    "review_completed",
)


def actions_of(state: State) -> dict[str, str]:
    """Event actions of the release with their display texts."""
    newer = state.profile.at_least("2026.2")
    names = [name for name in ACTIONS[:-1] if newer or name != WARNING]
    names += NEWER_ACTIONS if newer else ()
    names += NEWEST_ACTIONS if state.profile.at_least("2026.8") else ()
    names.append(ACTIONS[-1])
    return {
        name: name.replace("_", " ").strip().title() if name != "custom_" else "Custom Prefix"
        for name in names
    }


def in_context(name: str) -> listing.Filter:
    """A text in the event's ``context.model``."""
    return listing.exact("", value_of=lambda row: row["context"].get("model", {}).get(name))


def key_in(name: str) -> listing.Filter:
    """The key of an object in the event's context; UUIDs with or without dashes."""

    def build(values: list[str], ctx: Context) -> listing.Keep | None:  # noqa: ARG001
        wanted = values[-1].strip().replace("-", "")
        if not wanted:
            return None
        return lambda row: str(row["context"].get(name, {}).get("pk")) == wanted

    return build


def caused_by(values: list[str], ctx: Context) -> listing.Keep | None:  # noqa: ARG001 - the signature of all filters
    """Events of a user, or about somebody who tried that name."""
    wanted = listing.plain(values)
    if not wanted:
        return None
    return lambda row: wanted in (row["user"].get("username"), row["context"].get("username"))


def several(values: list[str], ctx: Context) -> listing.Keep | None:
    """Any of the given actions."""
    return listing.one_of("action", lambda inner: list(actions_of(inner.state)))(values, ctx)


class EventView(ModelView):
    """The events' calls."""

    def __init__(self, state: State, model: Model) -> None:
        super().__init__(
            state,
            "events/events",
            model,
            doc="Event Read-Only Viewset",
            lookup_name="event_uuid",
            filters={
                "action": listing.contains("action"),
                "actions": several,
                "client_ip": listing.exact("client_ip"),
                "username": caused_by,
                "brand_name": listing.exact("", value_of=lambda row: row["brand"].get("name")),
                "context_model_pk": key_in("model"),
                "context_model_name": in_context("model_name"),
                "context_model_app": in_context("app"),
                **({"context_device": key_in("device")} if state.profile.at_least("2026.5") else {}),
                "context_authorized_app": listing.exact(
                    "", value_of=lambda row: row["context"].get("authorized_application", {}).get("pk")
                ),
            },
            search=["pk", "user", "action", "app", "context", "client_ip"],
            ordering=["-created"],
            actions=[
                Action(
                    "actions",
                    "GET",
                    self.list_actions,
                    doc="Get all actions",
                    response={"type": "array", "items": {"$ref": "#/components/schemas/TypeCreate"}},
                ),
            ],
        )

    def perform_create(self, values: dict[str, Any], ctx: Context) -> Record:
        """An event of the caller's own; nobody's name is put to it, and no audit event is written of it."""
        event = audit.store(
            ctx.state,
            action=values["action"],
            app=values["app"],
            context=values.get("context", {}),
            user=values.get("user", {}),
            client_ip=None,
        )
        event |= {name: values[name] for name in ("client_ip", "expires", "brand") if name in values}
        ctx.state.worker.event_created(event, ctx)
        return event

    def list_actions(self, ctx: Context) -> Reply:
        """The actions that exist."""
        return Reply(
            [
                {"name": display, "description": "", "component": name, "model_name": ""}
                for name, display in actions_of(ctx.state).items()
            ]
        )


def event_serializer(state: State) -> Serializer:
    """The event."""
    return Serializer(
        "Event",
        {
            "pk": Uuid(read_only=True, label="Event uuid"),
            "user": Dictionary(required=False),
            "action": Choice(choices=actions_of(state), enum="EventActions"),
            "app": Text(),
            "context": Dictionary(required=False),
            "client_ip": Address(null=True, required=False),
            "created": Moment(read_only=True),
            "expires": Moment(required=False),
            "brand": Dictionary(required=False),
        },
    )


def views(state: State) -> list[View]:
    """The addresses of this module; registers its model."""
    model = Model(
        state=state,
        label="authentik_events.event",
        class_name="Event",
        table_name="event",
        serializer=event_serializer(state),
        verbose_name="Event",
        audited=False,
    )
    state.models[model.label] = model
    return [EventView(state, model)]
