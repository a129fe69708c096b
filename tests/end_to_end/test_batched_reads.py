"""Reading side by side gives the records and the errors that reading one by one gives."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from authentik_entra_bootstrap.domain import (
    AppId,
    ApplicationSpec,
    Cloud,
    Network,
    ServicePrincipalObjectId,
    TenantId,
)
from authentik_entra_bootstrap.entra import EntraAdapter
from authentik_entra_bootstrap.errors import BootstrapError, Denied
from authentik_entra_bootstrap.sandbox import Sandbox
from authentik_entra_bootstrap.waiting import Waiter

NOBODY = AppId("00000000-0000-0000-0000-00000000dead")


@dataclass
class Opened:
    """A tenant with an application that has everything, and an open adapter."""

    sandbox: Sandbox
    entra: EntraAdapter
    app_id: AppId
    principal: ServicePrincipalObjectId
    graph: ServicePrincipalObjectId
    reads: dict[str, Callable[[], Awaitable[Any]]]

    def arrived(self, mark: int) -> list[str]:
        entries = self.sandbox.world.log.since(mark, Network().user_agent)
        return [
            f"{entry.method} {entry.path.partition('?')[0]}" for entry in entries if entry.server == "graph"
        ]

    async def together(self) -> dict[str, Any]:
        found = await asyncio.gather(*(read() for read in self.reads.values()), return_exceptions=True)
        return dict(zip(self.reads, map(comparable, found), strict=True))

    async def singly(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, read in self.reads.items():
            (found[name],) = map(comparable, await asyncio.gather(read(), return_exceptions=True))
        return found


def comparable(result: Any) -> Any:
    """A record as it is; an error by everything that people are told of it."""
    if isinstance(result, BootstrapError):
        trace = result.trace
        assert trace is None or trace.correlation_id
        told = (trace.method, trace.path, trace.status, trace.service_code) if trace else None
        return type(result).__name__, result.code, result.message, result.remedy, dict(result.facts), told
    if isinstance(result, BaseException):
        raise result
    return result


@pytest.fixture
async def opened(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Opened]:
    with Sandbox(authentik_profile=None) as sandbox:
        for name, value in sandbox.environment().items():
            monkeypatch.setenv(name, value)
        clock, url = sandbox.world.clock, sandbox.entra_url

        async def sleep(seconds: float) -> None:
            clock.advance(seconds)

        async with EntraAdapter(
            TenantId(sandbox.world.default_tenant_id),
            Cloud("sandbox", url, url, url, known=False),
            Network(ca_file=str(sandbox.ca_file)),
            Waiter(lambda: clock.now().timestamp(), sleep, random.Random(0)),
            "environment",
        ) as entra:
            owner = (await entra.operator()).object_id
            graph = await entra.graph_principal()
            made = await entra.create_application(
                ApplicationSpec("a", "authentik-entra-test", ("one",), frozenset(), (owner,))
            )
            principal = (await entra.create_service_principal(made.app_id)).service_principal_object_id
            for role in ("User.Read.All", "Group.Create"):
                await entra.assign_role(principal, graph.service_principal_object_id, graph.app_roles[role])
            scopes = frozenset({"User.Read"})
            await entra.grant_scopes(principal, graph.service_principal_object_id, scopes, None)
            key = made.app_object_id
            clock.advance(1800)
            yield Opened(
                sandbox,
                entra,
                made.app_id,
                principal,
                graph.service_principal_object_id,
                {
                    "organization": entra.organization,
                    "graph": entra.graph_principal,
                    "application": lambda: entra.find_application("authentik-entra-test"),
                    "no application": lambda: entra.find_application("authentik-entra-other"),
                    "tagged": lambda: entra.applications_tagged("one"),
                    "deleted": lambda: entra.find_deleted_application("authentik-entra-test"),
                    "owners": lambda: entra.owners(key),
                    "policy": lambda: entra.secret_policy(key),
                    "principal": lambda: entra.find_service_principal(made.app_id),
                    "assignments": lambda: entra.role_assignments(principal),
                    "grant": lambda: entra.delegated_grant(principal, graph.service_principal_object_id),
                    "granted": lambda: entra.granted(made.app_id, graph.service_principal_object_id),
                    "nothing granted": lambda: entra.granted(NOBODY, graph.service_principal_object_id),
                },
            )


async def test_a_batched_read_gives_the_same_records_and_the_same_errors(opened: Opened) -> None:
    faults = opened.sandbox.world.faults
    mark = opened.sandbox.world.log.last_seq
    records = await opened.together()
    assert opened.arrived(mark) == ["POST /v1.0/$batch"]
    mark = opened.sandbox.world.log.last_seq
    assert await opened.singly() == records
    assert len(opened.arrived(mark)) > len(records) / 2
    granted = records["granted"]
    assert granted.role_assignments == records["assignments"]
    assert len(granted.role_assignments) == 2
    assert granted.delegated_grant == records["grant"]
    assert granted.service_principal == records["principal"]
    # A refusal, a malformed answer and an unknown object, each for some of the parts.
    faults.add(kind="status", server="graph", path="/owners", status=403, times=None)
    faults.add(
        kind="status", server="graph", path="/organization", status=200, body={"value": []}, times=None
    )
    faults.add(kind="status", server="graph", path="oauth2PermissionGrants", status=403, times=None)
    faults.add(kind="status", server="graph", path="deletedItems", status=418, times=None)
    errors = await opened.together()
    assert await opened.singly() == errors
    assert {
        name for name, result in errors.items() if isinstance(result, tuple) and result[0] == "Denied"
    } == {
        "owners",
        "grant",
    }
    assert errors["granted"].grants_readable is False
    assert errors["organization"][1] == "unexpected-answer"
    assert {name for name in records if errors[name] == records[name]} == {*records} - {
        "owners",
        "grant",
        "granted",
        "organization",
        "deleted",
    }


async def test_a_throttled_part_is_waited_for_and_asked_again_alone(opened: Opened) -> None:
    records = await opened.singly()
    faults = opened.sandbox.world.faults
    faults.add(kind="status", server="graph", path="/owners", status=429, retry_after=9)
    faults.add(kind="status", server="graph", path=r"/organization", status=503)
    mark, start = opened.sandbox.world.log.last_seq, opened.sandbox.world.clock.now()
    assert await opened.together() == records
    first, *again = opened.arrived(mark)
    assert first == "POST /v1.0/$batch"
    assert 1 <= len(again) <= 2, "together if their waits end together"
    assert {path.rpartition("/")[2] for path in again} <= {"owners", "organization", "$batch"}
    assert (opened.sandbox.world.clock.now() - start).total_seconds() >= 9


async def test_a_gateway_without_batches_costs_round_trips_and_nothing_else(opened: Opened) -> None:
    records = await opened.together()
    opened.sandbox.world.faults.add(kind="status", server="graph", path=r"\$batch$", status=404, times=None)
    mark = opened.sandbox.world.log.last_seq
    assert await opened.together() == records
    assert await opened.together() == records
    assert opened.arrived(mark).count("POST /v1.0/$batch") == 1


@pytest.mark.parametrize("status", [404, 400])
async def test_who_does_not_take_the_client_id_is_asked_by_object_id(opened: Opened, status: int) -> None:
    wanted = await opened.entra.granted(opened.app_id, opened.graph)
    opened.sandbox.world.faults.add(
        kind="status", server="graph", path=r"appId='[^']+'\)/(appRole|oauth2)", status=status, times=None
    )
    assert await opened.entra.granted(opened.app_id, opened.graph) == wanted
    opened.sandbox.world.faults.add(
        kind="status", server="graph", path="appRoleAssignments", status=403, times=None
    )
    with pytest.raises(Denied):
        await opened.entra.granted(opened.app_id, opened.graph)


async def test_one_of_several_grants_may_be_refused(opened: Opened) -> None:
    graph = await opened.entra.graph_principal()
    body = {"error": {"code": "Authorization_RequestDenied", "message": "Insufficient privileges."}}
    opened.sandbox.world.faults.add(
        kind="status", server="graph", method="POST", path="appRoleAssignedTo", status=403, body=body, nth=2
    )
    mark = opened.sandbox.world.log.last_seq
    roles = ("User.ReadWrite.All", "Group.ReadWrite.All", "GroupMember.ReadWrite.All")
    results = await asyncio.gather(
        *(opened.entra.assign_role(opened.principal, opened.graph, graph.app_roles[role]) for role in roles),
        opened.entra.assign_role(opened.principal, opened.graph, graph.app_roles["Group.Create"]),
        return_exceptions=True,
    )
    codes = [getattr(result, "code", None) for result in results]
    # Which of them comes second in the batch depends on the roles' ids; one that stands already is success.
    assert sorted(codes, key=str) == [None, None, None, "consent-required"]
    assert opened.arrived(mark)[0] == "POST /v1.0/$batch"
    assert len(await opened.entra.role_assignments(opened.principal)) == 4
