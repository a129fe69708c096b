"""The Microsoft Entra provider with its two sync calls, and the view on all providers."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

from authentik_entra_bootstrap.sandbox.authentik.rest import filters
from authentik_entra_bootstrap.sandbox.authentik.rest.bodies import Reply
from authentik_entra_bootstrap.sandbox.authentik.rest.errors import ServerCrash, ValidationError
from authentik_entra_bootstrap.sandbox.authentik.rest.fields import (
    KEY,
    MAX_INT,
    NULLABLE_STRING,
    Boolean,
    Choice,
    Field,
    Integer,
    Text,
    array,
    computed,
    ref,
    show_moment,
)
from authentik_entra_bootstrap.sandbox.authentik.rest.model import Model, Serializer, kind_fields
from authentik_entra_bootstrap.sandbox.authentik.rest.relations import ManyRelated, Related, rows_of
from authentik_entra_bootstrap.sandbox.authentik.rest.views import Action, ModelView, View

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.state import Record, State

LABEL = "authentik_providers_microsoft_entra.microsoftentraprovider"
VERBOSE = "Microsoft Entra Provider"
KIND = kind_fields("ak-provider-microsoft-entra-form", (VERBOSE, f"{VERBOSE}s"), LABEL)
DELETE_ACTION = Choice(
    choices=("do_nothing", "delete", "suspend"), enum="OutgoingSyncDeleteAction", default="delete"
)
FULL_SYNC = "authentik.enterprise.providers.microsoft_entra.tasks.microsoft_entra_sync"
UNFINISHED = frozenset({"queued", "consumed", "preprocess", "running", "postprocess"})
SYNC_MODELS = ("authentik.core.models.User", "authentik.core.models.Group")
SYNC_OBJECT = Serializer(
    "SyncObject",
    {
        "sync_object_model": Choice(choices=SYNC_MODELS, enum="SyncObjectModelEnum"),
        "sync_object_id": Text(),
        "override_dry_run": Boolean(default=False),
    },
)
UNITS = {
    "microseconds": 1e-6,
    "milliseconds": 1e-3,
    "seconds": 1,
    "minutes": 60,
    "hours": 3600,
    "days": 86400,
    "weeks": 604800,
}
PERIOD = re.compile(r"(\w+)=\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*", re.IGNORECASE)


def seconds(text: str) -> float | None:
    """Seconds of authentik's ``hours=3;minutes=1``; ``None`` for anything else. Keys that are no unit are passed over."""
    found = [PERIOD.fullmatch(part) for part in text.split(";")]
    known = [match for match in found if match and match[1].lower() in UNITS]
    if not known or None in found:
        return None
    return sum(UNITS[match[1].lower()] * float(match[2]) for match in known)


def duration(value: str, _instance: Record | None, _ctx: Context) -> None:
    """Refuse what is no period of time.

    :raises ValidationError: for it.
    """
    if seconds(value) is None:
        raise ValidationError(f"{value} is not in the correct format of 'hours=3;minutes=1'.")


def enterprise_only(_values: dict[str, Any], _instance: Record | None, ctx: Context) -> None:
    """Refuse without a valid licence; field errors have come first.

    :raises ValidationError: without one.
    """
    if not ctx.state.licensed():
        raise ValidationError("Enterprise is required to create/update this object.")


def backchannel(column: str) -> Field:
    """A column of the application that the provider is a backchannel of."""

    def read(record: Record, ctx: Context) -> Any:
        application = ctx.state.tables["application"].get(record["backchannel_application"])
        return application[column] if application else None

    return computed(NULLABLE_STRING, read)


def assigned(column: str) -> Field:
    """A column of the application whose main provider it is."""

    def read(record: Record, ctx: Context) -> Any:
        application = ctx.state.tables["application"].find(provider=record["pk"])
        return application[column] if application else None

    return computed(NULLABLE_STRING, read)


BACKCHANNEL = {
    "assigned_backchannel_application_slug": backchannel("slug"),
    "assigned_backchannel_application_name": backchannel("name"),
}


def entra_serializer(state: State) -> Serializer:
    """The provider with the fields of the state's release."""
    profile, kind = state.profile, dict(KIND)
    return Serializer(
        "MicrosoftEntraProvider",
        {
            "pk": Integer(read_only=True),
            "name": Text(unique=("provider", "provider with this name already exists.")),
            "property_mappings": ManyRelated(table="mapping", default=list),
            "property_mappings_group": ManyRelated(table="mapping", default=list),
            "component": kind.pop("component"),
            **BACKCHANNEL,
            **kind,
            "client_id": Text(),
            "client_secret": Text(write_only=not profile.secret_readable),
            "tenant_id": Text(),
            "exclude_users_service_account": Boolean(default=False),
            "filter_group": Related(table="group", null=True, default=None),
            "user_delete_action": DELETE_ACTION,
            "group_delete_action": DELETE_ACTION,
            "sync_page_size": Integer(default=100, minimum=1, maximum=MAX_INT),
            "sync_page_timeout": Text(default="minutes=30", validators=[duration]),
            "dry_run": Boolean(default=False),
            "discovery_enabled": Boolean(default=True) if profile.discovery_enabled else None,
        },
        check=enterprise_only,
    )


def provider_serializer(*, base: bool = False) -> Serializer:
    """Any provider.

    :param base: as an application shows its backchannel providers: without looking at their real kind.
    """
    kind = kind_fields("", ("provider", "providers"), "authentik_core.provider") if base else dict(KIND)
    return Serializer(
        "Provider",
        {
            "pk": Integer(read_only=True),
            "name": Text(),
            "authentication_flow": computed({**KEY, "nullable": True}),
            "authorization_flow": computed(KEY),
            "invalidation_flow": computed(KEY),
            "property_mappings": ManyRelated(table="mapping", default=list),
            "component": kind.pop("component"),
            "assigned_application_slug": assigned("slug"),
            "assigned_application_name": assigned("name"),
            **BACKCHANNEL,
            **kind,
        },
    )


def provider_saved(record: Record, ctx: Context, created: bool) -> None:
    """Sync at once, whether an application uses the provider or not."""
    ctx.state.worker.provider_saved(record, ctx, created=created)


def provider_deleting(record: Record, ctx: Context) -> None:
    """Drop what belongs to the provider; an application that used it stays."""
    for application in ctx.state.tables["application"].where(provider=record["pk"]):
        application["provider"] = None
    ctx.state.worker.provider_deleted(record["pk"])


def sync_status(state: State, provider: Record) -> Record:
    """What ``sync/status`` shows: the last two are absent before the first sync ends."""
    found: Record = {"is_running": state.worker.is_running(provider["pk"])}
    schedules = state.tables["schedule"].where(
        rel_obj_model="microsoftentraprovider", rel_obj_id=str(provider["pk"])
    )
    keys = {schedule["id"] for schedule in schedules}
    tasks = [
        task
        for task in state.tables["task"].where(actor_name=FULL_SYNC)
        if task["rel_obj_id"] in keys and task["aggregated_status"] not in UNFINISHED
    ]
    tasks.sort(key=lambda task: task["mtime"])
    good = [task for task in tasks if task["aggregated_status"] in {"done", "info"}]
    if good:
        found["last_successful_sync"] = show_moment(good[-1]["mtime"])
    if tasks:
        found["last_sync_status"] = tasks[-1]["aggregated_status"]
    return found


async def sync_object(ctx: Context, *, view: ModelView) -> Reply:
    """Sync one object now and wait for it; the reply holds no messages, whatever the task logged.

    :raises ServerCrash: when no result came in time.
    """
    provider = view.get_object(ctx)
    values = SYNC_OBJECT.validate(ctx.data, ctx)
    done = await ctx.state.worker.sync_object(
        provider["pk"],
        values["sync_object_model"],
        values["sync_object_id"],
        values.get("override_dry_run", False),
    )
    if not done:
        raise ServerCrash
    return Reply({"messages": []})


def used_by(ctx: Context, *found: tuple[str, list[Record], str]) -> Reply:
    """What points to an object, as far as the caller may see it.

    :param found: label of a model, its rows, and what becomes of them when the object is deleted.
    """
    entries = []
    for label, rows, action in found:
        model = ctx.state.models[label]
        for row in rows:
            key = str(row[model.table.key])
            if ctx.rights.has(model.permission("view"), key):
                shown = {"pk": key, "name": model.name_of(row), "action": action}
                entries.append({"app": model.app, "model_name": model.model_name, **shown})
    return Reply(entries)


def provider_used_by(ctx: Context, *, view: ModelView) -> Reply:
    """What points to the provider: links, mappings, its schedule and its tasks."""
    record, tables, app = view.get_object(ctx, "GET"), ctx.state.tables, view.model.app
    mapping = "authentik_core.propertymapping"
    of_worker = {"rel_obj_model": "microsoftentraprovider", "rel_obj_id": str(record["pk"])}
    return used_by(
        ctx,
        (f"{app}.microsoftentraprovidergroup", tables["entra_group"].where(provider=record["pk"]), "cascade"),
        (f"{app}.microsoftentraprovideruser", tables["entra_user"].where(provider=record["pk"]), "cascade"),
        (mapping, rows_of("mapping", "property_mappings")(record, ctx), "cascade_many"),
        (mapping, rows_of("mapping", "property_mappings_group")(record, ctx), "cascade_many"),
        ("authentik_tasks_schedules.schedule", tables["schedule"].where(**of_worker), "cascade"),
        ("authentik_tasks.task", tables["task"].where(**of_worker), "cascade"),
    )


USED_BY = array(ref("UsedBy"))


def views(state: State) -> list[View]:
    """The addresses of this module; registers its models."""
    entra = Model(
        state=state,
        label=LABEL,
        table_name="provider",
        serializer=entra_serializer(state),
        verbose_name=VERBOSE,
        key_kind="integer",
        extra={"authentication_flow": None, "backchannel_application": None, "is_backchannel": True},
        saved=provider_saved,
        deleting=provider_deleting,
    )
    base = Model(
        state=state,
        label="authentik_core.provider",
        serializer=provider_serializer(),
        verbose_name="provider",
        title=lambda record: str(record["name"]),
        key_kind="integer",
        deleting=provider_deleting,
    )
    view = ModelView(
        path="providers/microsoft_entra",
        model=entra,
        filters={
            **filters.exact("name"),
            "exclude_users_service_account": filters.flag("exclude_users_service_account"),
            "filter_group": filters.reference("filter_group", "group"),
        },
        search=["name"],
        ordering=["name"],
    )
    view.actions = [
        Action(
            "used_by", "GET", partial(provider_used_by, view=view), "used_by", detail=True, response=USED_BY
        ),
        Action(
            "sync_status",
            "GET",
            lambda ctx: Reply(sync_status(state, view.get_object(ctx))),
            "sync/status",
            detail=True,
            response=ref("SyncStatus"),
        ),
        Action(
            "sync_object",
            "POST",
            partial(sync_object, view=view),
            "sync/object",
            detail=True,
            request=SYNC_OBJECT,
            response=ref("SyncObjectResult"),
        ),
    ]
    everything = ModelView(
        path="providers/all",
        model=base,
        standard=("list", "retrieve", "destroy"),
        filters={
            "application__isnull": filters.flag(
                lambda row: state.tables["application"].find(provider=row["pk"]), is_null=True
            ),
            "backchannel": filters.flag("is_backchannel"),
        },
        search=["name"],
    )
    return [view, everything]
