"""The identity service's limits as a switch: what it tells, when it refuses, and that each part of a batch counts."""

from __future__ import annotations

from typing import Any

import pytest

from authentik_entra_bootstrap.sandbox.microsoft.graph.errors import GraphError
from authentik_entra_bootstrap.sandbox.microsoft.graph.limits import PERCENTAGE, UNITS, Charge, Limits
from authentik_entra_bootstrap.sandbox.microsoft.graph.service import limits_of

ONE = {"id": "1", "method": "GET", "url": "/organization"}


def charge(
    moment: float, *, write: bool = True, units: int = 1, app: str = "app", tenant: str = "t"
) -> Charge:
    return Charge(moment, app, tenant, "PATCH" if write else "GET", "/applications/x", "", units)


def test_off_by_default(graph: Any) -> None:
    for _ in range(3):
        assert PERCENTAGE not in graph.get("organization").headers
    assert not limits_of(graph.world).charges


def test_the_use_is_told_above_eighty_percent_and_refused_above_the_limit(graph: Any, errors: Any) -> None:
    graph.world.switches.tenant_size = "S"
    graph.world.switches.limits_used = 0.79
    assert PERCENTAGE not in graph.get("organization").headers
    graph.world.switches.limits_used = 0.9
    assert graph.get("organization").headers[PERCENTAGE] == "0.90"
    graph.world.switches.limits_used = 1.1
    reply = graph.get("organization")
    assert errors(reply)[:2] == (429, "TooManyRequests")
    assert int(reply.headers["Retry-After"]) >= 1
    assert reply.headers[PERCENTAGE] == "1.10"
    assert reply.headers["x-ms-throttle-scope"].startswith("Tenant_Application/ReadWrite/")
    assert reply.headers["x-ms-throttle-information"] == "ResourceUnitLimitExceeded"
    graph.world.switches.limits_used = 5.0
    assert graph.get("organization").headers[PERCENTAGE] == "1.80"


def test_each_part_of_a_batch_counts_and_is_told_by_itself(graph: Any) -> None:
    graph.world.switches.tenant_size = "S"
    graph.world.switches.limits_used = 1 - 2.5 / UNITS["S"]
    parts = [{**ONE, "id": str(number)} for number in range(4)]
    reply = graph.post("$batch", {"requests": parts})
    assert reply.status_code == 200
    assert PERCENTAGE not in reply.headers
    answers = {item["id"]: item for item in reply.json()["responses"]}
    assert [answers[str(number)]["status"] for number in range(4)] == [200, 200, 429, 429]
    assert answers["0"]["headers"][PERCENTAGE] == "1.00"
    assert answers["3"]["headers"]["Retry-After"]
    assert len(limits_of(graph.world).charges) == 4


@pytest.mark.parametrize(("size", "units"), [("S", 3_500), ("M", 5_000), ("L", 8_000)])
def test_resource_units_by_the_size_of_the_tenant(size: str, units: int) -> None:
    limits = Limits()
    for _ in range(units // 4):
        limits.charge(size, 0.0, charge(0.0, write=False, units=4))
    with pytest.raises(GraphError, match="429") as refused:
        limits.charge(size, 0.0, charge(5.0, write=False))
    # Refused ones count, too; what was asked at the beginning is forgotten after ten seconds.
    assert refused.value.headers["Retry-After"] == "5"
    assert limits.charge(size, 0.0, charge(10.0, write=False)) < 0.1
    # Another application has its own.
    limits.charge(size, 0.0, charge(5.0, write=False, app="other"))


def test_writes_of_an_application_of_a_tenant_and_of_all_tenants() -> None:
    limits = Limits()
    for number in range(3_000):
        limits.charge("L", 0.0, charge(number / 30))
    with pytest.raises(GraphError) as refused:
        limits.charge("L", 0.0, charge(100.0))
    assert refused.value.headers["x-ms-throttle-information"] == "WriteLimitExceeded"
    assert refused.value.headers["x-ms-throttle-scope"] == "Tenant_Application/Write/app/t"
    limits = Limits()
    for number in range(18_000):
        limits.charge("L", 0.0, charge(0.0, app=f"app-{number // 3_000}"))
    with pytest.raises(GraphError) as refused:
        limits.charge("L", 0.0, charge(0.0, app="another"))
    assert refused.value.headers["x-ms-throttle-scope"].startswith("Tenant/Write/")
    assert refused.value.headers["Retry-After"] == "300"


def test_the_whole_of_it_by_somebody_else_is_refused_for_a_window() -> None:
    with pytest.raises(GraphError) as refused:
        Limits().charge("S", 1.0, charge(0.0, write=False))
    assert refused.value.headers["Retry-After"] == "10"
    limits = Limits()
    limits.charge("S", 0.0, charge(0.0))
    limits.charge("S", 0.0, charge(400.0))
    assert len(limits.charges) == 1, "what is long ago is forgotten"
