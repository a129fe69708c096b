"""Below the SDK and above the batches: what is counted, who pays, and what is heeded."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import httpx
import pytest

from authentik_entra_bootstrap.budget import Budget, Gate
from authentik_entra_bootstrap.entra.batching import Batching
from authentik_entra_bootstrap.entra.paced import PERCENTAGE, Paced
from authentik_entra_bootstrap.errors import Throttled
from authentik_entra_bootstrap.pacing import Cost, Payer
from authentik_entra_bootstrap.waiting import Waiter

BASE = "https://graph.example/v1.0"
TENANT = "11111111-2222-4333-8444-555555555555"


def token(app: str) -> str:
    """A token that is good enough to be read."""
    claims = json.dumps({"tid": TENANT, "appid": app}).encode()
    return f"Bearer x.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.y"


class Watched(Budget):
    """Notes what it was asked and told."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[tuple[str, Cost]] = []
        self.shared: dict[str, bool] = {}
        self.told: list[tuple[str, float | None, float | None]] = []

    def take(self, payer: Payer, cost: Cost, now: float) -> bool:
        if super().take(payer, cost, now):
            self.taken.append((payer.name, cost))
            return True
        return False

    async def reserve(self, payer: Payer, cost: Cost, now: float, **how: Any) -> float:
        self.shared[payer.application] = how["shared"]
        return await super().reserve(payer, cost, now, **how)

    async def heed(self, payer: Payer, now: float, **told: Any) -> None:
        self.told.append((payer.application, told["percentage"], told["retry_after"]))
        await super().heed(payer, now, **told)


class Service:
    """A service whose parts answer by their path; the headers of a batch are its own."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.budget = Watched()
        self.now = 0.0

        async def sleep(seconds: float) -> None:
            self.now += seconds

        gate = Gate(self.budget, Waiter(lambda: self.now, sleep))
        below = Batching(httpx.MockTransport(self._handle), BASE, owned=True)
        self.client = httpx.AsyncClient(transport=Paced(below, BASE, gate))

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request.url.path.removeprefix("/v1.0"))
        if not request.url.path.endswith("/$batch"):
            return self._one(request.url.path)
        parts = []
        for item in json.loads(request.content)["requests"]:
            one = self._one(item["url"])
            parts.append(
                {"id": item["id"], "status": one.status_code, "headers": dict(one.headers), "body": {}}
            )
        return httpx.Response(200, json={"responses": parts})

    @staticmethod
    def _one(path: str) -> httpx.Response:
        if "busy" in path:
            return httpx.Response(200, headers={PERCENTAGE: "0.9"}, json={})
        if "full" in path:
            return httpx.Response(429, headers={PERCENTAGE: "1.1", "Retry-After": "7"}, json={})
        if "silent" in path:
            return httpx.Response(429, headers={PERCENTAGE: "much"}, json={})
        return httpx.Response(200, json={})

    async def get(self, *paths: str, app: str = "operator") -> list[httpx.Response]:
        headers = {"Authorization": token(app)}
        return await asyncio.gather(*(self.client.get(BASE + path, headers=headers) for path in paths))


@pytest.fixture
def service() -> Service:
    return Service()


async def test_parts_of_a_batch_are_counted_each_and_still_travel_together(service: Service) -> None:
    await service.get("/applications?$select=id", "/organization", "/applications/x/owners")
    assert service.sent == ["/$batch"]
    payer = f"operator@{TENANT}"
    assert service.budget.taken == [(payer, Cost(1)), (payer, Cost(1)), (payer, Cost(2))]


async def test_also_while_they_have_to_wait(service: Service) -> None:
    await service.budget.heed(Payer("operator", TENANT), 0.0, percentage=None, retry_after=30.0)
    await service.get(*(f"/organization?n={number}" for number in range(12)))
    assert service.now == pytest.approx(30)
    assert service.sent == ["/$batch"]


async def test_the_word_of_a_part_is_heeded(service: Service) -> None:
    await service.get("/organization", "/busy")
    assert service.budget.told == [("operator", 0.9, None)]
    answers = await service.get("/full", "/organization")
    assert [answer.status_code for answer in answers] == [429, 200]
    assert service.budget.told[1:] == [("operator", 1.1, 7.0)]
    await service.get("/organization")
    assert service.now == pytest.approx(7, abs=1)


async def test_a_first_request_that_would_wait_for_long_is_not_sent(service: Service) -> None:
    await service.budget.heed(Payer("operator", TENANT), 0.0, percentage=None, retry_after=900.0)
    with pytest.raises(Throttled, match=r"900 s.*\[entra-busy\]") as refused:
        await service.get("/organization")
    assert refused.value.retry_after == pytest.approx(900)
    assert refused.value.trace is not None
    assert refused.value.trace.service == "graph"
    assert service.sent == []


async def test_a_refusal_without_a_time_and_a_number_that_is_none(service: Service) -> None:
    (answer,) = await service.get("/silent")
    assert answer.status_code == 429
    assert service.budget.told == [("operator", None, 0.0)]


async def test_each_application_pays_for_itself_and_the_first_one_shares(service: Service) -> None:
    await service.get("/organization")
    await service.get("/organization", app="sync")
    assert service.budget.shared == {"operator": True, "sync": False}
    assert [name for name, _ in service.budget.taken] == [f"operator@{TENANT}", f"sync@{TENANT}"]


async def test_other_hosts_and_unreadable_tokens_are_let_through(service: Service) -> None:
    await service.client.get("https://elsewhere.example/v1.0/x")
    assert service.budget.taken == []
    await service.client.get(f"{BASE}/organization", headers={"Authorization": "Bearer opaque"})
    assert service.budget.shared == {"unknown": False}
    await service.client.aclose()
