"""One embedded authentik: its state, its API and its worker."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import httpx

from authentik_entra_bootstrap.sandbox.authentik import seed as contents
from authentik_entra_bootstrap.sandbox.authentik.blueprints.importer import BlueprintImporter
from authentik_entra_bootstrap.sandbox.authentik.profiles import profile_named
from authentik_entra_bootstrap.sandbox.authentik.resources import (
    alerts,
    applications,
    blueprints,
    events,
    mappings,
    people,
    providers,
    roles,
    schema,
    system,
    tasks,
    tokens,
)
from authentik_entra_bootstrap.sandbox.authentik.rest.api import Api
from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
from authentik_entra_bootstrap.sandbox.authentik.state import State
from authentik_entra_bootstrap.sandbox.authentik.worker.worker import Worker, WorkerSwitches

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.views import View
    from authentik_entra_bootstrap.sandbox.world import World

MODULES = (
    system,
    people,
    tokens,
    mappings,
    providers,
    applications,
    blueprints,
    tasks,
    events,
    alerts,
    roles,
)
"""In an order in which each finds the models it refers to; roles come last, for they name every model."""


@dataclass
class Authentik:
    """A ready authentik.

    :param app: the ASGI application.
    :param token: the administrator's API token.
    :param state: the tables, for tests and for the demo.
    """

    app: Api
    token: str
    state: State
    worker: Worker

    async def start(self) -> None:
        """Start the worker."""
        await self.worker.start()

    async def stop(self) -> None:
        """Stop the worker."""
        await self.worker.stop()

    def context(self) -> Context:
        """A context for changes that do not come over HTTP."""
        return Context(self.state)


def create_authentik(
    world: World,
    profile: str = "2026.5",
    *,
    licensed: bool = True,
    seed: Literal["demo", "recorded"] = "demo",
    system_blueprints: bool = True,
    outbound: Callable[[], httpx.AsyncClient] | None = None,
    switches: WorkerSwitches | None = None,
    environment: Mapping[str, str] | None = None,
) -> Authentik:
    """Build an authentik.

    :param profile: release line, such as ``2026.5``; see :data:`.profiles.PROFILES`.
    :param licensed: whether an enterprise licence is installed.
    :param seed: ``demo`` adds four users in two groups with addresses in the tenant's first verified
        domain; ``recorded`` leaves only what a fresh authentik has, as when it was recorded.
    :param system_blueprints: whether the worker has applied them; without them there are no default mappings yet.
    :param outbound: makes the client that the worker calls Microsoft with; the default trusts the world's CA.
    :param switches: how the worker misbehaves.
    :param environment: what ``!Env`` reads in blueprints, and where ``AUTHENTIK_WORKER__THREADS`` stands; the
        process's own when left out.
    :raises ValueError: for an unknown profile.
    """
    state = State(world, profile_named(profile))
    surroundings = os.environ if environment is None else environment
    switches = switches or WorkerSwitches(threads=int(surroundings.get("AUTHENTIK_WORKER__THREADS", "2")))
    worker = Worker(state, switches=switches, http=outbound)
    state.blueprints = BlueprintImporter(state, surroundings)
    state.worker = worker
    views: list[View] = []
    for module in MODULES:
        views += module.views(state)
    routes: list[Any] = []
    views.append(schema.view(state, lambda: routes))
    app = Api(state, views)
    routes += app.routes
    if licensed:
        system.install_licence(state)
    token = contents.fresh(state, system_blueprints=system_blueprints)
    if seed == "demo":
        contents.demo(state, verified_domain(world))
    return Authentik(app, token, state, worker)


def verified_domain(world: World) -> str:
    """The initial domain of the world's first tenant, or an example one while there is none."""
    for tenant in world.tenants.values():
        for organization in tenant.all("organization"):
            domains = organization.get("verifiedDomains", [])
            for domain in sorted(domains, key=lambda item: not item.get("isDefault")):
                return str(domain["name"])
    return "contoso.onmicrosoft.com"
