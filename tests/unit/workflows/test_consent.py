"""Consent that is missing, given, given late, and waited for, on in-memory services."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from model_tenant import GRAPH
from model_world import World

from authentik_entra_bootstrap.errors import (
    AdminActionRequired,
    BootstrapError,
    Denied,
    ExitCode,
    ServiceUnavailable,
)
from authentik_entra_bootstrap.planning.consent import ConsentRequired
from authentik_entra_bootstrap.workflows.consent import await_consent, see_consent


async def refused(world: World) -> ConsentRequired:
    with pytest.raises(ConsentRequired) as caught:
        await world.run()
    return caught.value


async def consent(world: World) -> None:
    """An administrator grants everything, now."""
    world.tenant.may_consent = True
    principal = world.tenant.truth.principal
    assert principal is not None
    by = (principal.service_principal_object_id, GRAPH.service_principal_object_id)
    for role_id in GRAPH.app_roles.values():
        await world.entra.assign_role(*by, role_id)
    await world.entra.grant_scopes(*by, frozenset({"User.Read", "openid"}), None)
    world.tenant.may_consent = False


async def test_without_roles_no_secret_is_ever_made(world: World) -> None:
    world.tenant.may_consent = False
    claims = world.tenant.operator_claims
    world.tenant.operator_claims = replace(claims, roles=claims.roles - {"AppRoleAssignment.ReadWrite.All"})
    for _ in range(3):
        error = await refused(world)
        assert len(error.state.missing) == 5
    assert world.wire.count("entra.add_secret") == 0
    assert world.tenant.truth.application is not None
    assert world.tenant.truth.principal is not None
    assert len(world.tenant.app.requested_access) == 5
    assert world.server.stored is None


async def test_a_refusal_in_spite_of_every_right_costs_one_secret_once_and_leaves_none(world: World) -> None:
    world.tenant.may_consent = False
    for _ in range(3):
        error = await refused(world)
        assert (error.code, error.exit_code) == ("consent-required", ExitCode.ADMIN_ACTION)
        assert len(error.state.missing) == 5
        assert world.ours == []
        assert world.marks.pending is None
    assert world.wire.count("entra.add_secret") == 1
    world.tenant.may_consent = True
    world.clock.advance(3600)
    await world.run()
    world.assert_converged()


async def test_a_run_goes_on_after_consent_also_where_replicas_lag(world: World) -> None:
    world.tenant.may_consent = False
    await refused(world)
    world.clock.advance(60)
    world.tenant.lag = 5.0
    await consent(world)
    await world.run()
    world.assert_converged()


async def test_a_refused_scope_is_left_and_the_rest_is_done(world: World) -> None:
    error = AdminActionRequired("consent-required", "The operator may not grant.")
    world.wire.fail("entra.grant_scopes", error)
    outcome = await world.run()
    assert outcome.consent is not None
    assert [item.name for item in outcome.consent.missing] == ["User.Read"]
    assert "User.Read" not in {step.key for step in outcome.changed}
    assert world.server.stored is not None
    made = world.wire.count("entra.add_secret")
    world.wire.calm()
    world.clock.advance(60)
    again = await world.run()
    assert again.consent is None
    assert world.wire.count("entra.add_secret") == made
    world.assert_converged()


async def test_one_refused_role_keeps_the_others_from_nothing(world: World) -> None:
    world.wire.fail("entra.assign_role", AdminActionRequired("consent-required", "no"), times=1)
    error = await refused(world)
    assert len(error.state.missing_roles) == 1
    assert len(world.tenant.truth.assignments) == 3
    assert world.tenant.truth.grant is not None
    assert world.ours == []


async def test_another_refusal_is_no_matter_of_consent(world: World) -> None:
    world.wire.fail("entra.assign_role", AdminActionRequired("quota-exceeded", "full"))
    with pytest.raises(AdminActionRequired, match=r"\[quota-exceeded\]") as caught:
        await world.run()
    assert not isinstance(caught.value, ConsentRequired)
    assert world.ours == []


async def test_without_an_application_there_is_nothing_to_consent_to(world: World) -> None:
    with pytest.raises(AdminActionRequired, match=r"\[no-application-yet\]"):
        await see_consent(world.context(), world.desired)
    assert 5 < sum(world.clock.slept) < 20


async def test_grants_that_may_not_be_read_are_unknown(working: World) -> None:
    working.wire.fail("entra.delegated_grant", Denied("entra-permission-missing", "no"), times=9)
    seen = await see_consent(working.context(), working.desired)
    assert seen.complete
    assert [item.granted for item in seen.permissions].count(None) == 1
    working.wire.calm()
    working.wire.fail("entra.delegated_grant", Denied("wrong-tenant", "no"))
    with pytest.raises(Denied):
        await see_consent(working.context(), working.desired)


def at(world: World, seconds: float, action: Callable[[], object]) -> None:
    """Do something at a moment of the world's clock."""
    original = world.clock.sleep
    end = world.clock.monotonic() + seconds
    done: list[bool] = []

    async def sleep(pause: float) -> None:
        await original(pause)
        if not done and world.clock.monotonic() >= end:
            done.append(True)
            result = action()
            if hasattr(result, "__await__"):
                await result

    world.clock.sleep = sleep


async def test_waiting_sees_the_consent_and_says_what_is_missing_until_then(world: World) -> None:
    world.tenant.may_consent = False
    error = await refused(world)
    world.clock.advance(60)
    world.tenant.lag = 4.0
    at(world, 600, lambda: consent(world))
    world.reporter.waits.clear()
    seen = await await_consent(world.context(), world.desired, error.state)
    assert seen.complete
    assert any("grant 5 of 5 permissions (Group.Create" in text for text in world.reporter.waits)
    assert 600 <= sum(world.clock.slept) < 750


async def test_waiting_survives_an_outage_and_gives_up_after_its_budget(world: World) -> None:
    world.tenant.may_consent = False
    error = await refused(world)
    world.wire.fail("entra.operator", ServiceUnavailable("service-unavailable", "503"), times=3)
    with pytest.raises(ConsentRequired) as caught:
        await await_consent(world.context(), world.desired, error.state)
    assert caught.value.state.app_id == world.tenant.app.app_id
    assert 3600 <= sum(world.clock.slept) < 3700
    assert len([text for text in world.reporter.warnings if "Could not look" in text]) == 3
    assert len(world.reporter.waits) > 100


async def test_waiting_ends_at_once_for_what_waiting_does_not_mend(world: World) -> None:
    world.tenant.may_consent = False
    error = await refused(world)
    world.wire.fail("entra.operator", Denied("operator-secret-wrong", "no"))
    with pytest.raises(BootstrapError, match=r"\[operator-secret-wrong\]"):
        await await_consent(world.context(), world.desired, error.state)
