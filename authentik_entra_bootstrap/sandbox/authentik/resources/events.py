"""Audit events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from authentik_entra_bootstrap.sandbox.authentik import audit
from authentik_entra_bootstrap.sandbox.authentik.rest import filters
from authentik_entra_bootstrap.sandbox.authentik.rest.fields import Choice, Dictionary, Moment, Text, Uuid
from authentik_entra_bootstrap.sandbox.authentik.rest.model import Model, Serializer
from authentik_entra_bootstrap.sandbox.authentik.rest.views import ModelView, View

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.state import Record, State

ACTIONS = (
    *("login", "login_failed", "logout", "user_write", "suspicious_request", "password_set", "secret_view"),
    *("secret_rotate", "invitation_used", "authorize_application", "source_linked", "impersonation_started"),
    *("impersonation_ended", "flow_execution", "policy_execution", "policy_exception"),
    *("property_mapping_exception", "system_task_execution", "system_task_exception", "system_exception"),
    *("configuration_error", "model_created", "model_updated", "model_deleted", "email_sent"),
    *("update_available", "export_ready"),
)
NEWER_ACTIONS = (
    *("configuration_warning", "review_initiated", "review_overdue", "review_attested", "review_completed"),
)
"""Since 2026.2."""
NEWEST_ACTIONS = (
    *("access_request_created", "access_request_approved", "access_request_denied", "access_request_revoked"),
    "user_offboarded",
)
"""Since 2026.8."""


def actions_of(state: State) -> tuple[str, ...]:
    """Event actions of the release."""
    newer = NEWER_ACTIONS if state.profile.at_least("2026.2") else ()
    newest = NEWEST_ACTIONS if state.profile.at_least("2026.8") else ()
    return (*ACTIONS, *newer, *newest, "custom_")


def in_context(name: str) -> filters.Filter:
    """A text in the event's ``context.model``."""
    return filters.equal(lambda row: row["context"].get("model", {}).get(name))


def undashed(text: str) -> str:
    """A key as events keep it."""
    return text.replace("-", "")


def username(values: list[str], _ctx: Context) -> filters.Keep | None:
    """Events of a user, or about a failed login with that name."""
    wanted = values[-1].strip()
    if not wanted:
        return None
    return lambda row: wanted in (row["user"].get("username"), row["context"].get("username"))


class EventView(ModelView):
    """The events' calls."""

    def perform_create(self, values: dict[str, Any], ctx: Context) -> Record:
        """Store the caller's event. It names no user unless the request does, and its creation is not audited."""
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


def views(state: State) -> list[View]:
    """The addresses of this module; registers its model."""
    actions = actions_of(state)
    serializer = Serializer(
        "Event",
        {
            "pk": Uuid(read_only=True),
            "user": Dictionary(required=False),
            "action": Choice(choices=actions, enum="EventActions"),
            "app": Text(),
            "context": Dictionary(required=False),
            "client_ip": Text(null=True, required=False),
            "created": Moment(read_only=True),
            "expires": Moment(required=False),
            "brand": Dictionary(required=False),
        },
    )
    model = Model(
        state=state,
        label="authentik_events.event",
        serializer=serializer,
        audited=False,
    )
    view = EventView(
        path="events/events",
        model=model,
        lookup_name="event_uuid",
        filters={
            "action": filters.contains("action"),
            "actions": filters.one_of("action", actions),
            "username": username,
            "context_model_pk": filters.equal(
                lambda row: str(row["context"].get("model", {}).get("pk")), undashed
            ),
            "context_model_name": in_context("model_name"),
            "context_model_app": in_context("app"),
        },
        search=["pk", "user", "action", "app", "context", "client_ip"],
        ordering=["-created"],
    )
    return [view]
