"""An authentik whose API is called in process, and whose worker runs beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from tests.contract.authentik.laboratory import Laboratory


class Site(Laboratory):
    """One authentik with a client for its API."""

    def __init__(self, profile: str, **options: Any) -> None:
        super().__init__(profile, **{"environment": {"SECRET": "from-env"}, **options})
        self.importer = self.state.blueprints
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=self.ak.app),
            base_url="https://127.0.0.1:9100/api/v3",
            headers=self.api.headers,
        )

    def apply(self, content: str, context: dict[str, Any] | None = None) -> Any:
        return self.importer.apply(content, context or {}, self.ctx)

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
        await site.worker.start()
        return site

    yield make
    for site in sites:
        await site.http.aclose()
        await site.api.aclose()
        await site.worker.stop()


@pytest.fixture
async def site(make_site: MakeSite) -> Site:
    """A site of the default profile."""
    return await make_site()
