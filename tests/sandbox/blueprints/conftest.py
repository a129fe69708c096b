"""An authentik whose API is called in process, and whose worker runs beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from authentik_entra_bootstrap.sandbox.authentik.app import create_authentik
from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
from authentik_entra_bootstrap.sandbox.clock import SandboxClock
from authentik_entra_bootstrap.sandbox.world import World

START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


class Site:
    """One authentik with a client for its API."""

    def __init__(self, profile: str, **options: Any) -> None:
        self.clock = SandboxClock(START, running=False)
        self.world = World(seed=5, clock=self.clock)
        offline = httpx.MockTransport(lambda _: httpx.Response(503))
        self.authentik = create_authentik(
            self.world,
            profile,
            seed="recorded",
            outbound=lambda: httpx.AsyncClient(transport=offline),
            **{"environment": {"SECRET": "from-env"}, **options},
        )
        self.state = self.authentik.state
        self.worker = self.authentik.worker
        self.importer = self.state.blueprints
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=self.authentik.app),
            base_url="https://127.0.0.1:9100/api/v3",
            headers={"authorization": f"Bearer {self.authentik.token}"},
        )

    def context(self) -> Context:
        return self.authentik.context()

    def apply(self, content: str, context: dict[str, Any] | None = None) -> Any:
        return self.importer.apply(content, context or {}, self.context())

    def rows(self, table: str, **where: Any) -> list[Any]:
        return self.state.tables[table].where(**where)

    def one(self, table: str, **where: Any) -> Any:
        (row,) = self.rows(table, **where)
        return row

    async def later(self, **step: float) -> None:
        self.clock.advance(timedelta(**step))
        await self.worker.settle()


MakeSite = Callable[..., Awaitable[Site]]


@pytest.fixture
async def make_site() -> AsyncIterator[MakeSite]:
    """Sites with a running worker; all are stopped at the end."""
    sites: list[Site] = []

    async def make(profile: str = "2026.5", **options: Any) -> Site:
        site = Site(profile, **options)
        sites.append(site)
        await site.authentik.start()
        return site

    yield make
    for site in sites:
        await site.http.aclose()
        await site.authentik.stop()


@pytest.fixture
async def site(make_site: MakeSite) -> Site:
    """A site of the default profile."""
    return await make_site()
