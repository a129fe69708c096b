"""Audit events: one for every change of an object, as authentik's audit middleware writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from authentik_entra_bootstrap.sandbox.authentik.rest.fields import show_moment

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.rest.model import Model
    from authentik_entra_bootstrap.sandbox.authentik.state import Record, State

KEPT_FOR = timedelta(days=365)
CLEANSED = "********************"
SENSITIVE = re.compile("API|AUTH|TOKEN|KEY|SECRET|PASS|SIGNATURE|HTTP_COOKIE", re.IGNORECASE)
UUID_TEXT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def undashed(value: Any) -> Any:
    """Events keep UUIDs as 32 hex digits."""
    return value.replace("-", "") if isinstance(value, str) and UUID_TEXT.fullmatch(value) else value


def cleansed(source: Mapping[str, Any]) -> Record:
    """The mapping with the values under sensitive names replaced, as Django's error reporter does."""
    found: Record = {}
    for key, value in source.items():
        if isinstance(value, Mapping):
            found[key] = cleansed(value)
        else:
            found[key] = CLEANSED if SENSITIVE.search(str(key)) else value
    return found


def sanitized(value: Any) -> Any:
    """The value in JSON types: UUIDs without dashes, moments in ISO 8601."""
    if isinstance(value, Mapping):
        return {str(key): sanitized(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [sanitized(item) for item in value]
    if isinstance(value, datetime):
        return show_moment(value)
    return undashed(value)


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> Record:
    """Changed columns with both values. A changed secret does not show: both sides are cleansed first."""
    old, new = cleansed(before), cleansed(after)
    names = [*old, *(name for name in new if name not in old)]
    return {
        name: {"previous_value": sanitized(old.get(name)), "new_value": sanitized(new.get(name))}
        for name in names
        if old.get(name) != new.get(name)
    }


def show_user(user: Record) -> Record:
    """The user as events show one."""
    return {"username": user["username"], "pk": user["pk"], "email": user["email"]}


def show_model(model: Model, record: Record) -> Record:
    """The object as events show one."""
    name = record["name"] if "name" in record else model.name_of(record)
    return {
        "app": model.app,
        "model_name": model.model_name,
        "pk": undashed(record[model.table.key]),
        "name": name,
    }


KEY_COLUMNS = {
    "application": "pbm_uuid",
    "binding": "policy_binding_uuid",
    "blueprint": "instance_uuid",
    "group": "group_uuid",
    "mapping": "pm_uuid",
    "policy": "policy_uuid",
    "provider": "id",
    "role": "uuid",
    "rule": "pbm_uuid",
    "token": "token_uuid",
    "transport": "uuid",
    "user": "id",
}
"""How authentik's own code names what the API calls ``pk``, by table."""


def scalar_columns(model: Model, record: Record) -> Record:
    """The columns of the row without lists and without those that the model hides."""
    return {
        KEY_COLUMNS.get(model.table_name, key) if key == "pk" else key: value
        for key, value in record.items()
        if not isinstance(value, list) and key[0] != "_" and key not in model.hidden
    }


def model_event(
    action: str, model: Model, record: Record, ctx: Context, *, before: Record | None = None
) -> Record | None:
    """Write ``model_created``, ``model_updated`` or ``model_deleted``.

    Changes that do not come over HTTP write nothing: the middleware is bound to a request.

    :param before: the row before the change; the difference is only kept under a valid licence.
    """
    if ctx.request is None:
        return None
    context: Record = {"model": show_model(model, record)}
    if ctx.state.licensed():
        columns = scalar_columns(model, record)
        if action == "model_deleted":
            context["model_state"] = sanitized(cleansed(columns))
        else:
            context["diff"] = difference(scalar_columns(model, before or {}), columns)
    return write(ctx, action, context)


def write(ctx: Context, action: str, context: Record, *, app: str = "authentik.events.middleware") -> Record:
    """Add an event of the running request and hand it to the worker."""
    state, request = ctx.state, ctx.request
    if request is not None:
        context["http_request"] = {
            "path": request.path,
            "method": request.method,
            "args": {name: values[-1] for name, values in request.params.items()},
            "user_agent": request.headers.get("user-agent", ""),
            "request_id": request.request_id,
        }
    user = show_user(ctx.user) if ctx.user else {}
    client_ip = request.client_ip if request else None
    event = store(state, action=action, app=app, context=context, user=user, client_ip=client_ip)
    note = {"action": action, "context": context, "client_ip": client_ip, "user": user}
    log(ctx, "authentik.events.models", "Created Event", note)
    state.worker.event_created(event, ctx)
    return event


def store(
    state: State, *, action: str, app: str, context: Record, user: Record, client_ip: str | None
) -> Record:
    """Add an event to the table. No task and no log line follows."""
    shown = {"app": "authentik_brands", "model_name": "brand"}
    if client_ip:
        shown |= {"pk": undashed(state.brand), "name": "Default brand"}
    else:
        shown |= {"pk": undashed(state.uuid()), "name": "Brand fallback"}
    return state.tables["event"].add(
        {
            "pk": state.uuid(),
            "user": user,
            "action": action,
            "app": app,
            "context": context,
            "client_ip": client_ip,
            "created": state.now(),
            "expires": state.now() + KEPT_FOR,
            "brand": shown,
        }
    )


def log(ctx: Context, logger: str, event: str, attributes: Record, *, level: str = "info") -> None:
    """Note a log line of the running request, in the shape that the blueprint import shows."""
    bound: Record = {}
    if ctx.request is not None:
        bound = {
            "auth_via": "api_token",
            "host": ctx.request.host,
            "request_id": ctx.request.request_id,
            "schema_name": "public",
            "domain_url": ctx.request.host.partition(":")[0],
        }
    ctx.logs.append(
        {
            "timestamp": show_moment(ctx.state.now()),
            "log_level": level,
            "logger": logger,
            "event": event,
            "attributes": attributes | bound,
        }
    )
