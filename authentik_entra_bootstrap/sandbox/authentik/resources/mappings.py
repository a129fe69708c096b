"""Property mappings of the Microsoft Entra provider, and its connections to Microsoft's objects."""

from __future__ import annotations

import json
from dataclasses import dataclass
from textwrap import indent
from typing import TYPE_CHECKING, Any

from authentik_entra_bootstrap.sandbox.authentik.resources import common
from authentik_entra_bootstrap.sandbox.authentik.rest import listing
from authentik_entra_bootstrap.sandbox.authentik.rest.errors import NotFound, ServerCrash
from authentik_entra_bootstrap.sandbox.authentik.rest.fields import Dictionary, Uuid
from authentik_entra_bootstrap.sandbox.authentik.rest.model import Model
from authentik_entra_bootstrap.sandbox.authentik.rest.rbac import Rights
from authentik_entra_bootstrap.sandbox.authentik.rest.relations import Nested, Related
from authentik_entra_bootstrap.sandbox.authentik.rest.replies import Reply
from authentik_entra_bootstrap.sandbox.authentik.rest.serializer import Serializer
from authentik_entra_bootstrap.sandbox.authentik.rest.texts import Text
from authentik_entra_bootstrap.sandbox.authentik.rest.viewset import Action, ModelView, View

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.state import Record, State

APP = "authentik_providers_microsoft_entra"
LABEL = f"{APP}.microsoftentraprovidermapping"
COMPONENT = "ak-property-mapping-provider-microsoft-entra-form"
VERBOSE = "Microsoft Entra Provider Mapping"
MANAGED = "goauthentik.io/providers/microsoft_entra/"

USER_EXPRESSION = """from msgraph.generated.models.password_profile import PasswordProfile

fields = {
    "display_name": request.user.name,
    "account_enabled": request.user.is_active,
    "mail_nickname": request.user.username,
    "user_principal_name": request.user.email,
}
if not connection:
    fields["password_profile"] = PasswordProfile(password=request.user.password)
"""
IMMUTABLE_ID = """    fields["on_premises_immutable_id"] = request.user.uid
else:
    fields["on_premises_immutable_id"] = connection.attributes.get("on_premises_immutable_id")
"""
GROUP_EXPRESSION = """return {
    "display_name": group.name,
    "mail_enabled": False,
    "security_enabled": True,
    "mail_nickname": slugify(group.name),
}"""
"""Own expressions with the effect of authentik's defaults."""


def user_expression(state: State) -> str:
    """The default mapping of users: releases after 2025.12 write an immutable id as well."""
    immutable_id = IMMUTABLE_ID if state.profile.at_least("2026.2") else ""
    return f"{USER_EXPRESSION}{immutable_id}return fields"


def managed_names(ctx: Context) -> list[str]:
    """The managed names that exist: the choices of the ``managed`` filter."""
    return [row["managed"] for row in ctx.state.tables["mapping"] if row["managed"]]


def mapping_serializer(name: str) -> Serializer:
    """A mapping, under the component's name."""
    meta = common.meta_fields(COMPONENT, VERBOSE, f"{VERBOSE}s", LABEL)
    return Serializer(
        name,
        {
            "pk": Uuid(read_only=True, label="Pm uuid"),
            "managed": common.managed_field("Property Mapping", "mapping"),
            "name": Text(unique="Property Mapping with this name already exists.", unique_table="mapping"),
            "expression": Expression(),
            **meta,
        },
    )


@dataclass(kw_only=True)
class Expression(Text):
    """The body of a Python function."""

    def check(self, value: Any, instance: Record | None, ctx: Context) -> None:
        """What is no Python is refused in the parser's words; the file it names is the mapping."""
        super().check(value, instance, ctx)
        name = str(instance["name"]) if instance else "None"
        try:
            compile(f"def handler():\n{indent(value, '    ')}\nresult = handler()", name, "exec")
        except (SyntaxError, ValueError) as error:
            raise self.fail(f"Expression Syntax Error: {error}") from None


def deleting(record: Record, ctx: Context) -> None:
    """Providers lose the mapping."""
    for provider in ctx.state.tables["provider"]:
        for column in ("property_mappings", "property_mappings_group"):
            provider[column] = [key for key in provider[column] if key != record["pk"]]


def mapping_test(state: State) -> Action:
    """What a mapping makes of a user or a group, for whoever may make mappings and see all three."""
    request = Serializer(
        "PropertyMappingTest",
        {
            "user": Related(table="user", integer=True, null=True, required=False),
            "context": Dictionary(required=False),
            "group": Related(table="group", null=True, required=False),
        },
    )

    def run(ctx: Context) -> Reply:
        rights = Rights(state, ctx.user)
        if not all(rights.has(f"authentik_core.{verb}_propertymapping") for verb in ("add", "view")):
            raise ServerCrash
        mapping = state.tables["mapping"].get(ctx.kwargs["lookup"])
        if mapping is None:
            raise NotFound("No PropertyMapping matches the given query.")
        values = request.validate(ctx.request.data if ctx.request else {}, ctx)
        records = {
            kind: state.tables[kind].rows[key] for kind in ("user", "group") if (key := values.get(kind))
        }
        for kind, record in records.items():
            rights.need(f"authentik_core.view_{kind}", record["pk"])
        result, good = state.worker.try_mapping(mapping, records, values.get("context", {}))
        if good:
            wide = ctx.request is not None and ctx.request.param("format_result").lower() == "true"
            result = json.dumps(result, indent=4 if wide else None)
        return Reply({"result": result, "successful": good})

    return Action(
        "test",
        "POST",
        run,
        detail=True,
        doc="Test Property Mapping",
        request=request,
        response={"$ref": "#/components/schemas/PropertyMappingTestResult"},
    )


def connection_serializer(state: State, kind: str) -> Serializer:
    """A synced user or group with its id in Microsoft's directory."""
    shown = state.models[f"authentik_core.{kind}"].serializer
    table = state.tables[kind]
    partial = Serializer(
        f"Partial{kind.title()}",
        {name: field for name, field in shown.fields.items() if name in PARTIAL[kind]},
    )
    return Serializer(
        f"MicrosoftEntraProvider{kind.title()}",
        {
            "id": Uuid(read_only=True, label="ID"),
            "microsoft_id": Text(),
            kind: Related(table=kind, integer=kind == "user"),
            f"{kind}_obj": Nested(serializer=lambda: partial, get=lambda record, _: table.get(record[kind])),
            "provider": Related(table="provider", integer=True),
            "attributes": Dictionary(read_only=True, default=dict),
        },
        check=common.together(f"entra_{kind}", ("microsoft_id", kind, "provider")),
    )


PARTIAL = {
    "user": ("pk", "username", "name", "is_active", "last_login", "email", "attributes", "uid"),
    "group": ("pk", "num_pk", "name", "is_superuser", "attributes"),
}


def connection_view(state: State, kind: str) -> View:
    """The list of synced users or groups."""
    model = Model(
        state=state,
        label=f"{APP}.microsoftentraprovider{kind}",
        class_name=f"MicrosoftEntraProvider{kind.title()}",
        table_name=f"entra_{kind}",
        serializer=connection_serializer(state, kind),
        verbose_name=f"Microsoft Entra Provider {kind.title()}",
        title=lambda record: (
            f"Microsoft Entra Provider {kind.title()} {record[kind]} to {record['provider']}"
        ),
        audited=False,
    )
    state.models[model.label] = model
    table = state.tables[kind]
    name = "username" if kind == "user" else "name"
    key = "user__id" if kind == "user" else "group__group_uuid"
    return ModelView(
        state,
        f"providers/microsoft_entra_{kind}s",
        model,
        standard=("list", "create", "retrieve", "destroy"),
        lookup_name="id",
        filters={
            "provider__id": listing.number("provider"),
            key: listing.number("user") if kind == "user" else listing.uuid_is("group"),
            f"{kind}__{name}": listing.exact("", value_of=lambda row: table.rows[row[kind]][name]),
        },
    )


def views(state: State) -> list[View]:
    """The addresses of this module; registers its models."""
    entra = Model(
        state=state,
        label=LABEL,
        class_name="MicrosoftEntraProviderMapping",
        table_name="mapping",
        serializer=mapping_serializer("MicrosoftEntraProviderMapping"),
        verbose_name=VERBOSE,
        title=lambda record: f"{VERBOSE} {record['name']}",
        deleting=deleting,
    )
    base = Model(
        state=state,
        label="authentik_core.propertymapping",
        class_name="PropertyMapping",
        table_name="mapping",
        serializer=mapping_serializer("PropertyMapping"),
        verbose_name="Property Mapping",
        title=lambda record: f"Property Mapping {record['name']}",
        deleting=deleting,
    )
    state.models |= {entra.label: entra, base.label: base}
    filters = {
        "managed": listing.one_of("managed", managed_names),
        "name": listing.exact("name"),
    }

    def types(ctx: Context) -> Reply:  # noqa: ARG001 - the signature of all handlers
        kind = {
            "name": VERBOSE,
            "description": "Map authentik users and groups to objects in Microsoft Entra.",
            "component": COMPONENT,
            "model_name": "microsoftentraprovidermapping",
            "icon_url": "",
            "requires_enterprise": True,
            "deprecated": False,
        }
        return Reply([kind])

    answer = {"type": "array", "items": {"$ref": "#/components/schemas/TypeCreate"}}
    return [
        ModelView(
            state,
            "propertymappings/provider/microsoft_entra",
            entra,
            lookup_name="pm_uuid",
            filters=filters | {"expression": listing.exact("expression"), "pm_uuid": listing.uuid_is("pk")},
            search=["name"],
            ordering=["name"],
        ),
        ModelView(
            state,
            "propertymappings/all",
            base,
            standard=("list", "retrieve", "destroy"),
            lookup_name="pm_uuid",
            filters=filters | {"managed__isnull": listing.flag("managed", is_null=True)},
            search=["name", "expression"],
            ordering=["name"],
            actions=[
                Action("types", "GET", types, doc="Get all creatable types", response=answer),
                mapping_test(state),
            ],
        ),
        connection_view(state, "user"),
        connection_view(state, "group"),
    ]
