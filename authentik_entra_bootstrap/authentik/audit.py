"""authentik's audit trail: who changed the provider last, and our own events."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from authentik_client.models.event_request import EventRequest

from authentik_entra_bootstrap.authentik import records
from authentik_entra_bootstrap.authentik.client import Part
from authentik_entra_bootstrap.authentik.permission_names import ADD_EVENT, VIEW_EVENT
from authentik_entra_bootstrap.authentik.requests import Call, Query, typed
from authentik_entra_bootstrap.domain import OwnEvent, ProviderChange, ProviderPk
from authentik_entra_bootstrap.errors import BootstrapError, Denied

_log = logging.getLogger(__name__)

EVENTS = "/events/events/"
EVENT_APP = "authentik_entra_bootstrap"
PROVIDER_MODEL = ("authentik_providers_microsoft_entra", "microsoftentraprovider")
APPLICATION_MODEL = ("authentik_core", "application")
OWN_ACTIONS = ("secret_rotate", "configuration_error", "configuration_warning")
"""authentik's actions that fit what we tell; it takes no others."""
_CHANGES = {"model_created", "model_updated"}
_FEW = 20
_FEW_PAGES = 5


class AuditTrail(Part):
    """Reads and writes authentik's events."""

    async def last_change(self, pk: ProviderPk) -> ProviderChange | None:
        """The newest event that created or changed the provider itself."""
        return await self._newest(str(pk), *PROVIDER_MODEL)

    async def request_that_created(self, pk: str, model: tuple[str, str]) -> str | None:
        """Request id under which an object was created; ``None`` where events may not be read."""
        try:
            found = await self._newest(pk, *model, actions=frozenset({"model_created"}))
        except Denied:
            return None
        return found.request_id if found else None

    async def emit_event(self, action: str, context: Mapping[str, object]) -> None:
        """Write an event, best effort.

        :raises Denied: the token may not.
        """
        try:
            body = typed(EventRequest, {"action": action, "app": EVENT_APP, "context": dict(context)})
            await self._api.once(Call("POST", EVENTS, body=body, permission=ADD_EVENT))
        except Denied:
            raise
        except BootstrapError as error:
            _log.debug("audit event %s not written: %s", action, error.code)

    async def own_events(self, connection: str) -> tuple[OwnEvent, ...]:
        """The newest events of our own about a connection, newest first.

        :raises Denied: the token may not view events.
        """

        def mine(event: object) -> OwnEvent | None:
            # Unknown filters are ignored silently by authentik, so the event itself is looked at.
            fields = records.mapping(event)
            context, created = records.child(fields, "context"), records.moment(fields, "created")
            if fields.get("app") != EVENT_APP or context.get("connection") != connection or created is None:
                return None
            return OwnEvent(
                records.text(context, "happened") or "", created, records.text(context, "code") or ""
            )

        found = await self._api.pages(
            EVENTS,
            mine,
            permission=VIEW_EVENT,
            query=(*(("actions", action) for action in OWN_ACTIONS), ("ordering", "-created")),
            page_size=_FEW,
            max_pages=1,
        )
        return tuple(entry for entry in found if entry)

    async def _newest(
        self, pk: str, app: str, model: str, actions: frozenset[str] = frozenset(_CHANGES)
    ) -> ProviderChange | None:
        query: Query = [
            ("context_model_app", app),
            ("context_model_name", model),
            ("context_model_pk", pk),
            ("ordering", "-created"),
        ]

        def change(event: object) -> ProviderChange | None:
            # Unknown filters are ignored silently by authentik, so the event itself is looked at.
            fields = records.mapping(event)
            about = records.child(records.child(fields, "context"), "model")
            same = str(about.get("pk", "")).replace("-", "") == pk.replace("-", "")
            named = about.get("app") == app and about.get("model_name") == model
            return records.change(fields) if same and named and fields.get("action") in actions else None

        found = await self._api.pages(
            EVENTS,
            change,
            permission=VIEW_EVENT,
            query=query,
            page_size=_FEW,
            max_pages=_FEW_PAGES,
            done=lambda entry: entry is not None,
        )
        return max((entry for entry in found if entry), key=lambda entry: entry.created, default=None)
