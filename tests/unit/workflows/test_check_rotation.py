"""The preflight of a rotation: every line, and going on after a failure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from authentik_entra_bootstrap.domain import TenantId
from authentik_entra_bootstrap.errors import Denied, ExitCode, Unreachable
from authentik_entra_bootstrap.workflows.check import CheckLine, Level, check_rotation, worst

if TYPE_CHECKING:
    from model_world import World


async def lines_of(world: World) -> dict[str, CheckLine]:
    before = len(world.wire.calls)
    lines = await check_rotation(world.context(), world.desired)
    assert world.wire.writes(before) == []
    return {line.name: line for line in lines}


def act_as_rotator(world: World) -> None:
    claims = world.tenant.operator_claims
    world.tenant.operator_claims = replace(claims, roles=frozenset({"Application.ReadWrite.OwnedBy"}))


async def test_the_rotator_of_a_working_connection(working: World) -> None:
    act_as_rotator(working)
    lines = await lines_of(working)
    failures = [name for name, line in lines.items() if line.level is Level.FAILURE]
    assert failures == []
    assert lines["owns the application"].detail == working.tenant.app.app_id
    assert lines["provider"].level is Level.OK
    assert lines["no more than needed"].level is Level.OK


async def test_more_than_is_needed_is_a_warning(working: World) -> None:
    lines = await lines_of(working)
    assert lines["no more than needed"].level is Level.WARNING
    assert "AppRoleAssignment.ReadWrite.All" in lines["no more than needed"].detail


async def test_before_the_bootstrap(world: World) -> None:
    lines = await lines_of(world)
    assert lines["application"].level is Level.WARNING
    assert lines["provider"].level is Level.WARNING
    assert worst(tuple(lines.values())) is ExitCode.DONE


@pytest.mark.parametrize("missing", ["right", "ownership", "permission", "tenant"])
async def test_each_missing_thing_is_a_failure_with_its_code(missing: str, working: World) -> None:
    act_as_rotator(working)
    claims = working.tenant.operator_claims
    if missing == "right":
        working.tenant.operator_claims = replace(claims, roles=frozenset({"User.Read.All"}))
    elif missing == "ownership":
        working.tenant.change(owners=frozenset({"somebody"}))
    elif missing == "permission":
        working.server.missing_permissions = frozenset({"view_event"})
    else:
        working.want(tenant_id=TenantId("22222222-2222-4333-8444-555555555555"))
    lines = await lines_of(working)
    assert worst(tuple(lines.values())) is ExitCode.DENIED
    wanted = {
        "right": "entra-permission-missing",
        "ownership": "entra-not-an-owner",
        "permission": "authentik-permission-missing",
        "tenant": "wrong-tenant",
    }[missing]
    assert wanted in {line.code for line in lines.values()}


@pytest.mark.parametrize(
    ("call", "name"),
    [
        ("entra.operator", "Entra ID"),
        ("entra.find_application", "application"),
        ("entra.owners", "owns the application"),
        ("authentik.server", "authentik"),
        ("authentik.license", "authentik"),
        ("authentik.find_provider", "provider"),
        ("authentik.permissions", "authentik permissions"),
    ],
)
async def test_a_failure_does_not_hide_the_rest(call: str, name: str, working: World) -> None:
    act_as_rotator(working)
    error = Unreachable("unreachable", "No connection.") if "find" in call else Denied("refused", "No.")
    working.wire.fail(call, error, times=99)
    lines = await lines_of(working)
    assert name in lines
    assert len(lines) >= 5
