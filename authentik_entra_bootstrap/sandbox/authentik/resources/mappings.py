"""Property mappings of the Microsoft Entra provider, and its connections to Microsoft's objects."""

from __future__ import annotations

import json
from textwrap import indent
from types import CodeType
from typing import TYPE_CHECKING, Any

from authentik_entra_bootstrap.sandbox.authentik.resources.people import partial_group, partial_user
from authentik_entra_bootstrap.sandbox.authentik.rest import filters
from authentik_entra_bootstrap.sandbox.authentik.rest.bodies import Reply
from authentik_entra_bootstrap.sandbox.authentik.rest.errors import NotFound, ServerCrash, ValidationError
from authentik_entra_bootstrap.sandbox.authentik.rest.fields import Dictionary, Text, Uuid, ref
from authentik_entra_bootstrap.sandbox.authentik.rest.model import Model, Serializer, kind_fields
from authentik_entra_bootstrap.sandbox.authentik.rest.relations import (
    Nested,
    Related,
    row_of,
    unique_together,
)
from authentik_entra_bootstrap.sandbox.authentik.rest.views import Action, ModelView, View

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.state import Record, State

APP = "authentik_providers_microsoft_entra"
LABEL = f"{APP}.microsoftentraprovidermapping"
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


def compile_expression(expression: str, name: str) -> CodeType:
    """Compile the body of a function.

    :param name: of the mapping or policy, which tracebacks and complaints show as the file.
    :raises SyntaxError: when it is not valid Python.
    """
    body = indent(expression or "pass", "    ")
    return compile(f"def handler():\n{body}\nresult = handler()", name, "exec")


def is_python(value: str, instance: Record | None, _ctx: Context) -> None:
    """Refuse what is not the body of a Python function.

    :raises ValidationError: for it, in the parser's words.
    """
    try:
        compile_expression(value, str(instance["name"]) if instance else "None")
    except (SyntaxError, ValueError) as error:
        raise ValidationError(f"Expression Syntax Error: {error}") from None


def mapping_serializer(name: str) -> Serializer:
    """A mapping, under the component's name."""
    taken = "Property Mapping with this {} already exists."
    return Serializer(
        name,
        {
            "pk": Uuid(read_only=True),
            "managed": Text(
                null=True, default=None, unique=("mapping", taken.format("Managed by authentik"))
            ),
            "name": Text(unique=("mapping", taken.format("name"))),
            "expression": Text(validators=[is_python]),
            **kind_fields(
                "ak-property-mapping-provider-microsoft-entra-form", (VERBOSE, f"{VERBOSE}s"), LABEL
            ),
        },
    )


def deleting(record: Record, ctx: Context) -> None:
    """Providers lose the mapping."""
    for provider in ctx.state.tables["provider"]:
        for column in ("property_mappings", "property_mappings_group"):
            provider[column] = [key for key in provider[column] if key != record["pk"]]


def managed_names(ctx: Context) -> list[str]:
    """The managed names that exist: the choices of the ``managed`` filter."""
    return [row["managed"] for row in ctx.state.tables["mapping"] if row["managed"]]


MAPPING_TEST = Serializer(
    "PropertyMappingTest",
    {
        "user": Related(table="user", integer=True, null=True, required=False),
        "context": Dictionary(required=False),
        "group": Related(table="group", null=True, required=False),
    },
)


def try_mapping(ctx: Context) -> Reply:
    """The result of a mapping for a user or a group.

    The caller needs the permissions to add and view mappings, and to view the user and the group.
    """
    rights, tables = ctx.rights, ctx.state.tables
    if not all(rights.has(f"authentik_core.{verb}_propertymapping") for verb in ("add", "view")):
        raise ServerCrash
    mapping = tables["mapping"].get(ctx.lookup)
    if mapping is None:
        raise NotFound("No PropertyMapping matches the given query.")
    values = MAPPING_TEST.validate(ctx.data, ctx)
    records = {kind: tables[kind].rows[key] for kind in ("user", "group") if (key := values.get(kind))}
    for kind, record in records.items():
        rights.need(f"authentik_core.view_{kind}", record["pk"])
    result, good = ctx.state.worker.try_mapping(mapping, records, values.get("context", {}))
    if good:
        wide = ctx.param("format_result").lower() == "true"
        result = json.dumps(result, indent=4 if wide else None)
    return Reply({"result": result, "successful": good})


def connection_view(state: State, kind: str) -> View:
    """The list of synced users or groups, each with its id in Microsoft's directory."""
    shown, name, key, parse = {
        "user": (partial_user(), "username", "user__id", filters.number),
        "group": (partial_group(), "name", "group__group_uuid", filters.key),
    }[kind]
    serializer = Serializer(
        f"MicrosoftEntraProvider{kind.title()}",
        {
            "id": Uuid(read_only=True),
            "microsoft_id": Text(),
            kind: Related(table=kind, integer=kind == "user"),
            f"{kind}_obj": Nested(serializer=shown, get=row_of(kind)),
            "provider": Related(table="provider", integer=True),
            "attributes": Dictionary(read_only=True, default=dict),
        },
        check=unique_together(f"entra_{kind}", ("microsoft_id", kind, "provider")),
    )
    verbose = f"Microsoft Entra Provider {kind.title()}"
    model = Model(
        state=state,
        label=f"{APP}.microsoftentraprovider{kind}",
        table_name=f"entra_{kind}",
        serializer=serializer,
        verbose_name=verbose,
        title=lambda record: f"{verbose} {record[kind]} to {record['provider']}",
        audited=False,
    )
    return ModelView(
        path=f"providers/microsoft_entra_{kind}s",
        model=model,
        standard=("list", "create", "retrieve", "destroy"),
        lookup_name="id",
        filters={
            "provider__id": filters.equal("provider", filters.number),
            key: filters.equal(kind, parse),
            f"{kind}__{name}": filters.equal(lambda row: state.tables[kind].rows[row[kind]][name]),
        },
    )


def views(state: State) -> list[View]:
    """The addresses of this module; registers its models."""
    entra = Model(
        state=state,
        label=LABEL,
        table_name="mapping",
        serializer=mapping_serializer("MicrosoftEntraProviderMapping"),
        verbose_name=VERBOSE,
        deleting=deleting,
    )
    base = Model(
        state=state,
        label="authentik_core.propertymapping",
        table_name="mapping",
        serializer=mapping_serializer("PropertyMapping"),
        verbose_name="Property Mapping",
        deleting=deleting,
    )
    common: dict[str, Any] = {
        "lookup_name": "pm_uuid",
        "filters": {**filters.exact("name"), "managed": filters.one_of("managed", managed_names)},
        "search": ["name", "expression"],
        "ordering": ["name"],
    }
    test = Action(
        "test",
        "POST",
        try_mapping,
        "test",
        detail=True,
        request=MAPPING_TEST,
        response=ref("PropertyMappingTestResult"),
    )
    return [
        ModelView(path="propertymappings/provider/microsoft_entra", model=entra, **common),
        ModelView(
            path="propertymappings/all",
            model=base,
            standard=("list", "retrieve", "destroy"),
            actions=[test],
            **common,
        ),
        connection_view(state, "user"),
        connection_view(state, "group"),
    ]
