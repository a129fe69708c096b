"""Brands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from authentik_entra_bootstrap.sandbox.authentik.resources import usage
from authentik_entra_bootstrap.sandbox.authentik.rest import listing
from authentik_entra_bootstrap.sandbox.authentik.rest.errors import ValidationError
from authentik_entra_bootstrap.sandbox.authentik.rest.fields import (
    Boolean,
    Dictionary,
    Uuid,
)
from authentik_entra_bootstrap.sandbox.authentik.rest.model import Model
from authentik_entra_bootstrap.sandbox.authentik.rest.relations import ManyRelated, Related
from authentik_entra_bootstrap.sandbox.authentik.rest.serializer import Serializer
from authentik_entra_bootstrap.sandbox.authentik.rest.texts import Text
from authentik_entra_bootstrap.sandbox.authentik.rest.viewset import ModelView, View

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.state import Record, State


def one_default(values: dict[str, Any], instance: Record | None, ctx: Context) -> None:
    """There is one default brand at most.

    :raises ValidationError: when another has the flag.
    """
    others = [row for row in ctx.state.tables["brand"].where(default=True) if row is not instance]
    if values.get("default") and others:
        raise ValidationError({"default": ["Only a single brand can be set as default."]})


def brand_view(state: State) -> View:
    """The brands' calls."""
    texts = {
        "branding_title": "authentik",
        "branding_logo": "/static/dist/assets/icons/icon_left_brand.svg",
        "branding_favicon": "/static/dist/assets/icons/icon.png",
    }
    flows = ("authentication", "invalidation", "recovery", "unenrollment", "user_settings", "device_code")
    serializer = Serializer(
        "Brand",
        {
            "brand_uuid": Uuid(read_only=True),
            "domain": Text(help_text="Domain that activates this brand."),
            "default": Boolean(default=False),
            **{name: Text(default=value) for name, value in texts.items()},
            "branding_custom_css": Text(blank=True, default=""),
            "branding_default_flow_background": Text(
                default="/static/dist/assets/images/flow_background.jpg"
            ),
            **{f"flow_{name}": Related(table="flow", null=True, default=None) for name in flows},
            "default_application": Related(table="application", null=True, default=None),
            "web_certificate": Related(table="certificate", null=True, default=None),
            "client_certificates": ManyRelated(table="certificate", default=list),
            "attributes": Dictionary(default=dict),
        },
        check=one_default,
    )
    model = Model(
        state=state,
        label="authentik_brands.brand",
        class_name="Brand",
        table_name="brand",
        serializer=serializer,
        verbose_name="Brand",
        title=lambda record: "Default brand" if record["default"] else f"Brand {record['domain']}",
    )
    state.models[model.label] = model
    return ModelView(
        state,
        "core/brands",
        model,
        lookup_name="brand_uuid",
        filters={
            "domain": listing.exact("domain"),
            "default": listing.flag("default"),
            "brand_uuid": listing.uuid_is("brand_uuid"),
            **{name: listing.exact(name) for name in (*texts, "branding_default_flow_background")},
            **{f"flow_{name}": listing.reference(f"flow_{name}", "flow") for name in flows},
            "web_certificate": listing.reference("web_certificate", "certificate"),
            "client_certificates": listing.reference("client_certificates", "certificate", many=True),
        },
        search=["domain", "branding_title"],
        ordering=["domain"],
        used_by=usage.NOTHING,
    )


def views(state: State) -> list[View]:
    """The addresses of this module; registers its model."""
    return [brand_view(state)]
