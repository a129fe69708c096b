"""The routes of the token service."""

from __future__ import annotations

from starlette.routing import BaseRoute

from authentik_entra_bootstrap.sandbox.microsoft.authorize import authorize_routes
from authentik_entra_bootstrap.sandbox.microsoft.consent import consent_routes
from authentik_entra_bootstrap.sandbox.microsoft.devicecode import device_routes
from authentik_entra_bootstrap.sandbox.microsoft.discovery import discovery_routes
from authentik_entra_bootstrap.sandbox.microsoft.management import management_routes
from authentik_entra_bootstrap.sandbox.microsoft.token import token_routes
from authentik_entra_bootstrap.sandbox.world import World


def entra_routes(world: World) -> list[BaseRoute]:
    """Everything that ``login.microsoftonline.com`` serves, for one world, and a little of Azure's management."""
    parts = (
        *(discovery_routes, token_routes, device_routes, authorize_routes, consent_routes),
        management_routes,
    )
    return [route for part in parts for route in part(world)]
