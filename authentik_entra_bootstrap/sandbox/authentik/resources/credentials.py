"""Managed Secrets of the 2026.11 draft, and how a provider refers to one.

Source: open pull requests of authentik, which may change.
"""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from authentik_entra_bootstrap.sandbox.authentik import audit
from authentik_entra_bootstrap.sandbox.authentik.resources import common, usage
from authentik_entra_bootstrap.sandbox.authentik.rest import listing
from authentik_entra_bootstrap.sandbox.authentik.rest.errors import PermissionDenied, ValidationError
from authentik_entra_bootstrap.sandbox.authentik.rest.fields import Choice, Field, Moment, Uuid
from authentik_entra_bootstrap.sandbox.authentik.rest.model import Model
from authentik_entra_bootstrap.sandbox.authentik.rest.rbac import Rights, grant
from authentik_entra_bootstrap.sandbox.authentik.rest.relations import Related
from authentik_entra_bootstrap.sandbox.authentik.rest.replies import Reply
from authentik_entra_bootstrap.sandbox.authentik.rest.serializer import Serializer
from authentik_entra_bootstrap.sandbox.authentik.rest.texts import Text
from authentik_entra_bootstrap.sandbox.authentik.rest.viewset import Action, ModelView, View

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.state import Record, State

APP = "authentik_crypto_secrets"
LABEL = f"{APP}.secret"
VIEW_VALUE = f"{APP}.view_secret_value"
ROTATE = f"{APP}.rotate_secret"
EITHER = "Provide either the credential or its secret reference."
PENDING = "_literal_secret"


@dataclass(kw_only=True)
class SecretReference(Related):
    """A reference to a Secret; attaching one can disclose it, so it needs the right to view its value."""

    table: str = "secret"

    def run(self, data: Any, instance: Record | None, ctx: Context) -> Any:
        """Also checks the caller's right to the Secret, unless it is attached already."""
        key = super().run(data, instance, ctx)
        unchanged = instance is not None and instance.get(self.column) == key
        if (
            key
            and ctx.request is not None
            and not unchanged
            and not Rights(ctx.state, ctx.user).has(VIEW_VALUE, key)
        ):
            raise PermissionDenied("You do not have permission to use this secret.")
        return key


def put_literal(state: State, record: Record, value: str) -> None:  # noqa: ARG001 - the signature of all
    """Keep a given value until the provider is saved."""
    if value:
        record[PENDING] = value


def fields() -> dict[str, Field | None]:
    """The provider's two ways to name its credential: a value that becomes a Secret, or a reference."""
    return {
        "client_secret": Text(write_only=True, required=False, blank=True, trim=False, put=put_literal),
        "client_secret_ref": SecretReference(null=True, default=None),
    }


def check_either(values: dict[str, Any]) -> None:
    """Refuse both at once.

    :raises ValidationError: on the literal one.
    """
    if "client_secret" in values and "client_secret_ref" in values:
        raise ValidationError({"client_secret": [EITHER]})


def store(record: Record, ctx: Context) -> None:
    """Turn a given literal into a Secret that only this provider uses."""
    value = record.pop(PENDING, None)
    if value is None:
        return
    current = ctx.state.tables["secret"].get(record["client_secret_ref"])
    if current and current["value"] == value:
        return
    secret = add_secret(ctx.state, f"{record['name']} client secret", value)
    record["client_secret_ref"] = secret["pk"]
    if ctx.user is not None:
        names = ("view_secret", "change_secret", "rotate_secret")
        grant(ctx.state, ctx.user, [f"{APP}.{name}" for name in names], secret["pk"])


def add_secret(state: State, name: str, value: str) -> Record:
    """Store a text Secret under a free name."""
    taken = {row["name"] for row in state.tables["secret"]}
    candidate, number = name, 1
    while candidate in taken:
        number += 1
        candidate = f"{name} ({number})"
    moment = state.now()
    row = {"pk": state.uuid(), "name": candidate, "type": "text", "managed": None, "value": value}
    return state.tables["secret"].add(row | {"created": moment, "last_updated": moment})


def client_secret_of(state: State, provider: Record) -> str:
    """The credential that authentik signs in with, whichever way it is stored."""
    secret = state.tables["secret"].get(provider.get("client_secret_ref"))
    return str(secret["value"] if secret else provider.get("client_secret") or "")


def check_secret(values: dict[str, Any], instance: Record | None, ctx: Context) -> None:
    """Type and value of a Secret together.

    :raises ValidationError: for a value that does not fit the type.
    :raises PermissionDenied: for a replaced value without the right to rotate.
    """
    value = values.get("value")
    if instance is None:
        kind = values.get("type", "text")
        if kind != "text" and not value:
            raise ValidationError({"value": ["A value is required for this type."]})
    else:
        kind = instance["type"]
        if values.get("type", kind) != kind:
            raise ValidationError({"type": ["Type cannot be changed after creation."]})
        if value and ctx.request and not Rights(ctx.state, ctx.user).has(ROTATE, instance["pk"]):
            raise PermissionDenied("You do not have permission to replace this value.")
    if not value:
        values.pop("value", None)
    else:
        check_value(kind, value)


def check_value(kind: str, value: str) -> None:
    """The form that a type demands.

    :raises ValidationError: otherwise.
    """
    if kind == "file" and not is_base64(value):
        raise ValidationError({"value": ["Value must be base64-encoded."]})
    if kind == "json" and not is_json_object(value):
        raise ValidationError({"value": ["Secret must contain a JSON object."]})


def is_base64(value: str) -> bool:
    """Whether the text is base64."""
    try:
        b64decode(value, validate=True)
    except ValueError:
        return False
    return True


def is_json_object(value: str) -> bool:
    """Whether the text is a JSON object."""
    try:
        return isinstance(json.loads(value), dict)
    except ValueError:
        return False


def replace_value(state: State, record: Record, value: str) -> None:  # noqa: ARG001 - the signature of all
    """Keep a replacement until the Secret is saved."""
    record[PENDING] = value


def secret_saved(record: Record, ctx: Context, created: bool) -> None:
    """Put a given value in place; the consumers are not saved, so nothing syncs."""
    value = record.pop(PENDING, None)
    if created:
        record["value"] = value or ctx.state.key(128)
        record["created"] = ctx.state.now()
    elif value is not None and value != record["value"]:
        set_value(record, value, ctx)


def set_value(record: Record, value: str, ctx: Context) -> None:
    """Replace a value and say so in the audit trail."""
    record["value"] = value
    record["last_updated"] = ctx.state.now()
    model = ctx.state.models[LABEL]
    audit.write(
        ctx,
        "secret_rotate",
        {"secret": audit.show_model(model, record)},
        app="authentik.crypto.secrets.models",
    )


class SecretView(ModelView):
    """The Secrets, their values, and the rotation that is of no use to an Entra provider."""

    def __init__(self, state: State, model: Model) -> None:
        value = {"type": "object", "properties": {"value": common.NULLABLE_STRING}, "required": ["value"]}
        super().__init__(
            state,
            "crypto/secrets",
            model,
            filters={
                "name": listing.exact("name"),
                "type": listing.exact("type"),
                "managed": listing.exact("managed"),
            },
            search=["name"],
            ordering=["name"],
            lookup_name="secret_uuid",
            used_by=usage.OF_SECRET,
            actions=[
                Action("view_value", "GET", self.view_value, detail=True, response=value),
                Action("rotate", "POST", self.rotate, detail=True, response=value),
            ],
        )

    def view_value(self, ctx: Context) -> Reply:
        """The value itself; looking is audited."""
        record = self.get_object(ctx, "GET")
        self.rights(ctx).need(VIEW_VALUE, record["pk"])
        audit.write(
            ctx,
            "secret_view",
            {"secret": audit.show_model(self.model, record)},
            app="authentik.crypto.secrets.api",
        )
        return Reply({"value": record["value"]})

    def rotate(self, ctx: Context) -> Reply:
        """A random value, generated here: it means nothing to Microsoft."""
        record = self.get_object(ctx, "GET")
        self.rights(ctx).need(ROTATE, record["pk"])
        if record["type"] != "text":
            raise ValidationError({"non_field_errors": ["Only text secrets can be rotated."]})
        set_value(record, ctx.state.key(128), ctx)
        shown = self.rights(ctx).has(VIEW_VALUE, record["pk"])
        return Reply({"value": record["value"] if shown else None})


def protect(record: Record, ctx: Context) -> None:
    """Refuse to delete a Secret that a provider uses.

    :raises ValidationError: as authentik's protected reference does.
    """
    if ctx.state.tables["provider"].find(client_secret_ref=record["pk"]):
        raise ValidationError("Secret is in use. Remove it from the objects referencing it first.")


def views(state: State) -> list[View]:
    """The addresses of this module; registers its model. Empty before the draft."""
    if not state.profile.managed_secrets:
        return []
    kinds = {"text": "Text", "json": "JSON", "file": "File"}
    serializer = Serializer(
        "Secret",
        {
            "pk": Uuid(read_only=True),
            "name": Text(unique="Secret with this name already exists.", unique_table="secret"),
            "type": Choice(choices=kinds, enum="SecretTypeEnum", default="text"),
            "managed": Text(read_only=True, null=True, default=None),
            "value": Text(write_only=True, required=False, blank=True, trim=False, put=replace_value),
            "created": Moment(read_only=True),
            "last_updated": Moment(read_only=True, default=None),
        },
        check=check_secret,
    )
    model = Model(
        state=state,
        label=LABEL,
        class_name="Secret",
        table_name="secret",
        serializer=serializer,
        verbose_name="Secret",
        hidden=frozenset({"value"}),
        saved=secret_saved,
        deleting=protect,
    )
    state.models[LABEL] = model
    return [SecretView(state, model)]
