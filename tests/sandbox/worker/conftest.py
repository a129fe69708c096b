"""A worker over the API's own models, which provisions the embedded tenant."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from authentik_entra_bootstrap.sandbox.authentik.resources import accounts, applications
from authentik_entra_bootstrap.sandbox.authentik.state import Record
from tests.contract.authentik.laboratory import Laboratory


class Bench(Laboratory):
    """An authentik without people, its tenant, and short ways to the tables of both."""

    def __init__(self, profile: str) -> None:
        super().__init__(profile)
        self.without_people()

    # -- authentik -----------------------------------------------------------------------------------------

    def person(self, name: str, **data: Any) -> Record:
        data = {"username": name, "name": name.title(), "email": f"{name}@contoso.example", **data}
        return self.make(accounts.USER, **data)

    def group(self, name: str, *users: Record) -> Record:
        return self.make(accounts.GROUP, name=name, users=[user["pk"] for user in users])

    def connection(self, name: str = "entra", *, assigned: bool = True, **data: Any) -> Record:
        """A provider, and an application that uses it."""
        record = self.provider(name, **{"exclude_users_service_account": False, **data})
        if assigned:
            self.make(applications.LABEL, name=name, slug=name, backchannel_providers=[record["pk"]])
        return record

    async def settle(self) -> None:
        await self.worker.settle()

    async def later(self, **step: float) -> None:
        self.clock.advance(timedelta(**step))
        await self.worker.settle()

    def tasks(self, actor: str = "") -> list[Record]:
        """Tasks of an actor (end of its name), oldest first."""
        return [row for row in self.state.tables["task"] if row["actor_name"].endswith(actor)]

    def events(self, record: Record) -> list[str]:
        return [line["event"] for line in record["logs"]]

    def refused_sign_ins(self) -> list[str]:
        return [sign_in.error_code for sign_in in self.worker.sign_ins if not sign_in.ok]

    # -- the tenant ----------------------------------------------------------------------------------------

    def names(self, kind: str) -> list[str]:
        """Display names of the tenant's users or groups."""
        return sorted(row["displayName"] for row in self.directory.all(kind))

    def entity(self, kind: str, name: str) -> Record:
        (found,) = [row for row in self.directory.all(kind) if row["displayName"] == name]
        return found

    def member_names(self, group: str) -> list[str]:
        members = self.entity("group", group)["_members"]
        return sorted(row["displayName"] for row in self.directory.all("user") if row["id"] in members)

    def writes(self) -> list[Record]:
        return [call for call in self.recorder.calls if call["server"] == "graph" and call["method"] != "GET"]


MakeBench = Callable[..., Awaitable[Bench]]


@pytest.fixture
async def make_bench() -> AsyncIterator[MakeBench]:
    """Benches with a running worker; all are stopped at the end."""
    benches: list[Bench] = []

    async def make(profile: str = "2026.5") -> Bench:
        bench = Bench(profile)
        benches.append(bench)
        await bench.worker.start()
        return bench

    yield make
    for bench in benches:
        await bench.api.aclose()
        await bench.worker.stop()


@pytest.fixture
async def bench(make_bench: MakeBench) -> Bench:
    """A bench of the default profile."""
    return await make_bench()
