"""The Microsoft Entra provider, and the view on all providers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from authentik_entra_bootstrap.sandbox.authentik.resources import common, usage
from authentik_entra_bootstrap.sandbox.authentik.resources.provider_calls import EntraView
from authentik_entra_bootstrap.sandbox.authentik.rest import listing
from authentik_entra_bootstrap.sandbox.authentik.rest.errors import ValidationError
from authentik_entra_bootstrap.sandbox.authentik.rest.fields import (
    MAX_INT,
    Boolean,
    Field,
    Integer,
    Plain,
)
from authentik_entra_bootstrap.sandbox.authentik.rest.model import Model
from authentik_entra_bootstrap.sandbox.authentik.rest.relations import ManyRelated, Related
from authentik_entra_bootstrap.sandbox.authentik.rest.replies import Reply
from authentik_entra_bootstrap.sandbox.authentik.rest.serializer import Serializer
from authentik_entra_bootstrap.sandbox.authentik.rest.texts import Text, duration
from authentik_entra_bootstrap.sandbox.authentik.rest.viewset import Action, ModelView, View

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.state import Record, State

LABEL = "authentik_providers_microsoft_entra.microsoftentraprovider"
COMPONENT = "ak-provider-microsoft-entra-form"
VERBOSE = "Microsoft Entra Provider"
DELETE_ACTIONS = ("do_nothing", "delete", "suspend")
ENTERPRISE_REQUIRED = "Enterprise is required to create/update this object."


def enterprise_only(values: dict[str, Any], instance: Record | None, ctx: Context) -> None:  # noqa: ARG001
    """Refuse without a valid licence; field errors have come first.

    :raises ValidationError: without one.
    """
    if not ctx.state.licensed():
        raise ValidationError(ENTERPRISE_REQUIRED)


def backchannel(column: str) -> Field:
    """A column of the application that the provider is a backchannel of."""

    def read(record: Record, ctx: Context) -> Any:
        application = ctx.state.tables["application"].get(record["backchannel_application"])
        return application[column] if application else None

    return Plain(shape=common.NULLABLE_STRING, get=read)


def assigned(column: str) -> Field:
    """A column of the application whose main provider it is."""

    def read(record: Record, ctx: Context) -> Any:
        application = ctx.state.tables["application"].find(provider=record["pk"])
        return application[column] if application else None

    return Plain(shape=common.NULLABLE_STRING, get=read)


def entra_serializer(state: State) -> Serializer:
    """The provider with the fields of the state's release."""
    profile = state.profile
    meta = common.meta_fields(COMPONENT, VERBOSE, f"{VERBOSE}s", LABEL)
    return Serializer(
        "MicrosoftEntraProvider",
        {
            "pk": Integer(read_only=True),
            "name": Text(unique="provider with this name already exists.", unique_table="provider"),
            "property_mappings": ManyRelated(table="mapping", default=list),
            "property_mappings_group": ManyRelated(
                table="mapping",
                default=list,
                help_text="Property mappings used for group creation/updating.",
            ),
            "component": meta["component"],
            "assigned_backchannel_application_slug": backchannel("slug"),
            "assigned_backchannel_application_name": backchannel("name"),
            "verbose_name": meta["verbose_name"],
            "verbose_name_plural": meta["verbose_name_plural"],
            "meta_model_name": meta["meta_model_name"],
            "client_id": Text(),
            "client_secret": Text(write_only=not profile.secret_readable),
            "tenant_id": Text(),
            "exclude_users_service_account": Boolean(default=False),
            "filter_group": Related(table="group", null=True, default=None),
            "user_delete_action": common.choice(DELETE_ACTIONS, "OutgoingSyncDeleteAction", "delete"),
            "group_delete_action": common.choice(DELETE_ACTIONS, "OutgoingSyncDeleteAction", "delete"),
            "sync_page_size": Integer(
                default=100,
                minimum=1,
                maximum=MAX_INT,
                help_text="Controls the number of objects synced in a single task",
            ),
            "sync_page_timeout": Text(
                default="minutes=30",
                validators=[duration],
                help_text="Timeout for synchronization of a single page",
            ),
            "dry_run": Boolean(
                default=False,
                help_text="When enabled, provider will not modify or create objects in the remote system.",
            ),
            "discovery_enabled": Boolean(
                default=True,
                help_text="When enabled, provider will discover existing objects in the remote system.",
            )
            if profile.discovery_enabled
            else None,
        },
        check=enterprise_only,
    )


def provider_saved(record: Record, ctx: Context, created: bool) -> None:
    """Keep the schedule in step, and sync at once, whether an application uses the provider or not."""
    ctx.state.worker.provider_saved(record["pk"])
    ctx.state.worker.enqueue_full_sync(record["pk"], ctx, created=created)


def provider_deleting(record: Record, ctx: Context) -> None:
    """Drop what belongs to the provider; an application that used it stays."""
    for application in ctx.state.tables["application"].where(provider=record["pk"]):
        application["provider"] = None
    ctx.state.worker.provider_deleted(record["pk"])


def entra_model(state: State) -> Model:
    """The provider's model."""
    return Model(
        state=state,
        label=LABEL,
        class_name="MicrosoftEntraProvider",
        table_name="provider",
        serializer=entra_serializer(state),
        verbose_name=VERBOSE,
        key_kind="integer",
        title=lambda record: f"{VERBOSE} {record['name']}",
        extra={"authentication_flow": None, "backchannel_application": None, "is_backchannel": True},
        saved=provider_saved,
        deleting=provider_deleting,
    )


def provider_serializer(*, base: bool = False) -> Serializer:
    """Any provider.

    :param base: as an application shows its backchannel providers: without looking at their real kind.
    """
    kind = (
        ("", "provider", "providers", "authentik_core.provider")
        if base
        else (COMPONENT, VERBOSE, f"{VERBOSE}s", LABEL)
    )
    meta = common.meta_fields(*kind)
    flow = {"type": "string", "format": "uuid"}
    return Serializer(
        "Provider",
        {
            "pk": Integer(read_only=True),
            "name": Text(),
            "authentication_flow": Plain(shape={**flow, "nullable": True}),
            "authorization_flow": Plain(shape=flow),
            "invalidation_flow": Plain(shape=flow),
            "property_mappings": ManyRelated(table="mapping", default=list),
            "component": meta["component"],
            "assigned_application_slug": assigned("slug"),
            "assigned_application_name": assigned("name"),
            "assigned_backchannel_application_slug": backchannel("slug"),
            "assigned_backchannel_application_name": backchannel("name"),
            "verbose_name": meta["verbose_name"],
            "verbose_name_plural": meta["verbose_name_plural"],
            "meta_model_name": meta["meta_model_name"],
        },
    )


def views(state: State) -> list[View]:
    """The addresses of this module; registers its models."""
    entra = state.models[LABEL] = entra_model(state)
    base = Model(
        state=state,
        label="authentik_core.provider",
        class_name="Provider",
        table_name="provider",
        serializer=provider_serializer(),
        verbose_name="provider",
        key_kind="integer",
        deleting=provider_deleting,
    )
    state.models[base.label] = base

    def types(ctx: Context) -> Reply:  # noqa: ARG001 - the signature of all handlers
        return Reply(
            [
                {
                    "name": VERBOSE,
                    "description": "Sync users from authentik into Microsoft Entra.",
                    "component": COMPONENT,
                    "model_name": "microsoftentraprovider",
                    "icon_url": "/static/authentik/sources/azuread.svg",
                    "requires_enterprise": True,
                    "deprecated": False,
                }
            ]
        )

    everything = ModelView(
        state,
        "providers/all",
        base,
        standard=("list", "retrieve", "destroy"),
        filters={
            "application__isnull": listing.flag(
                "pk", is_null=True, value_of=lambda row: state.tables["application"].find(provider=row["pk"])
            ),
            "backchannel": listing.flag("is_backchannel"),
        },
        search=["name"],
        used_by=usage.OF_PROVIDER,
        actions=[
            Action(
                "types",
                "GET",
                types,
                doc="Get all creatable types",
                response={"type": "array", "items": {"$ref": "#/components/schemas/TypeCreate"}},
            )
        ],
    )
    return [EntraView(state, entra), everything]
