"""Brands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from authentik_entra_bootstrap.sandbox.authentik.resources import common
from authentik_entra_bootstrap.sandbox.authentik.rest import listing
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
    from authentik_entra_bootstrap.sandbox.authentik.state import State


def brand_view(state: State) -> View:
    """The brands' calls."""
    texts = {
        "branding_title": "authentik",
        "branding_logo": "/static/dist/assets/icons/icon_left_brand.svg",
        "branding_favicon": "/static/dist/assets/icons/icon.png",
        "branding_custom_css": "",
        "branding_default_flow_background": "/static/dist/assets/images/flow_background.jpg",
    }
    flows = ("authentication", "invalidation", "recovery", "unenrollment", "user_settings", "device_code")
    serializer = Serializer(
        "Brand",
        {
            "brand_uuid": Uuid(read_only=True),
            "domain": Text(help_text="Domain that activates this brand."),
            "default": Boolean(default=False),
            **{name: Text(blank=True, default=value) for name, value in texts.items()},
            **{f"flow_{name}": Related(table="flow", null=True, default=None) for name in flows},
            "default_application": Related(table="application", null=True, default=None),
            "web_certificate": Related(table="certificate", null=True, default=None),
            "client_certificates": ManyRelated(table="certificate", default=list),
            "attributes": Dictionary(default=dict),
        },
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
        },
        search=["domain", "branding_title"],
        ordering=["domain"],
        used_by=common.nobody,
    )


def views(state: State) -> list[View]:
    """The addresses of this module; registers its model."""
    return [brand_view(state)]
