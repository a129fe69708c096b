"""The preflight of bootstrap and of rotation: every line, and going on after a failure."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from model_world import World

from authentik_entra_bootstrap.domain import (
    AppId,
    AuthentikApplication,
    LicenseInfo,
    SecretPolicy,
    TenantId,
    TokenClaims,
)
from authentik_entra_bootstrap.errors import (
    ConfigError,
    Denied,
    ExitCode,
    ServiceUnavailable,
    Temporary,
    Unreachable,
)
from authentik_entra_bootstrap.workflows.check import CheckLine, Level, check, check_rotation, worst
from authentik_entra_bootstrap.workflows.planning import look, prepare
from authentik_entra_bootstrap.workflows.session import Context, both, every


async def _lines(world: World, look: Callable[..., Any] = check) -> dict[str, CheckLine]:
    with world.wire.no_writes():
        lines = await look(world.context(), world.desired)
    found = {line.name: line for line in lines}
    assert len(found) == len(lines)
    return found


def _code(lines: dict[str, CheckLine]) -> ExitCode:
    return worst(tuple(lines.values()))


async def test_everything_in_order(world: World) -> None:
    lines = await _lines(world)
    assert [name for name, line in lines.items() if line.level is not Level.OK] == [
        "permission change_application"
    ]
    assert lines["clock: Entra ID"].detail == "agrees with Entra ID's"
    assert lines["clock: authentik"].detail == "agrees with authentik's"
    assert lines["secret policy"].detail == "allows 180 days"
    assert lines["names"].detail == "application, provider and slug are free or this connection's"
    assert _code(lines) is ExitCode.DONE


@pytest.mark.parametrize("side", ["entra", "authentik"])
@pytest.mark.parametrize(
    ("difference", "level", "part"),
    [
        (timedelta(seconds=119), Level.OK, "agrees"),
        (timedelta(seconds=-119), Level.OK, "agrees"),
        (timedelta(minutes=2), Level.WARNING, "2 minutes behind"),
        (timedelta(seconds=-299), Level.WARNING, "5 minutes ahead of"),
        (timedelta(minutes=5), Level.FAILURE, "5 minutes behind"),
        (timedelta(days=-191), Level.FAILURE, "191 days ahead of"),
        (timedelta(days=191), Level.FAILURE, "191 days behind"),
    ],
)
async def test_the_clock_is_compared_with_a_fresh_reply_of_each_service(
    world: World, side: str, difference: timedelta, level: Level, part: str
) -> None:
    model = world.tenant if side == "entra" else world.server
    model.clock_difference = difference
    lines = await _lines(world)
    named = {"entra": "clock: Entra ID", "authentik": "clock: authentik"}
    line = lines[named.pop(side)]
    assert line.level is level
    assert part in line.detail
    assert (line.code, _code(lines)) == (
        ("clock-off", ExitCode.DENIED) if level is Level.FAILURE else ("", ExitCode.DONE)
    )
    assert [lines[name].level for name in named.values()] == [Level.OK]


async def test_unencrypted_traffic_with_authentik_is_a_warning(world: World) -> None:
    assert "encryption" not in await _lines(world)
    world.server.info = replace(world.server.info, unencrypted="server")
    for purpose in (check, check_rotation):
        line = (await _lines(world, purpose))["encryption"]
        assert line.level is Level.WARNING
        assert "unencrypted to server" in line.detail


async def test_a_service_that_tells_no_time_is_a_warning(world: World) -> None:
    world.tenant.clock_difference = None
    assert (await _lines(world))["clock: Entra ID"].level is Level.WARNING


async def test_a_poor_service_principal_fails_and_a_poor_person_is_warned(world: World) -> None:
    name = "may create the application, its service principal and its client secret"
    world.tenant.operator_claims = TokenClaims(world.tenant.operator_claims.tenant_id, "o", AppId("a"))
    lines = await _lines(world)
    assert (lines[name].level, lines[name].exit_code) == (Level.FAILURE, ExitCode.DENIED)
    assert "names" not in lines  # said once already
    assert _code(lines) is ExitCode.DENIED
    world.tenant.operator_claims = replace(
        world.tenant.operator_claims, user_principal_name="a@contoso.example"
    )
    lines = await _lines(world)
    assert lines[name].level is Level.WARNING
    assert "a@contoso.example" in lines["operator identity"].detail


@pytest.mark.parametrize(
    ("policy", "name", "level", "part"),
    [
        (SecretPolicy(), "secret policy", Level.WARNING, "may not be read"),
        (
            SecretPolicy(True, True, timedelta(days=30)),
            "secret policy",
            Level.WARNING,
            "shortens client secrets to 30 days",
        ),
        (SecretPolicy(True, False), "permissions and secret policy", Level.FAILURE, "forbids"),
    ],
)
async def test_the_tenants_policy(
    world: World, policy: SecretPolicy, name: str, level: Level, part: str
) -> None:
    world.tenant.policy = policy
    line = (await _lines(world))[name]
    assert line.level is level
    assert part in line.detail


async def test_one_side_out_of_reach_does_not_hide_the_other(world: World) -> None:
    world.wire.fail("entra.operator", Denied("sign-in-failed", "AADSTS7000215"))
    lines = await _lines(world)
    assert lines["Entra ID"].code == "sign-in-failed"
    assert lines["authentik"].level is Level.OK
    assert "names" not in lines
    world.wire.calm()
    world.wire.fail("authentik.server", Unreachable("authentik-unreachable", "No connection."), times=9)
    lines = await _lines(world)
    assert lines["authentik"].code == "authentik-unreachable"
    assert lines["operator identity"].level is Level.OK
    assert _code(lines) is ExitCode.TEMPORARY


async def test_a_first_403_of_authentik_is_followed_by_the_list_of_permissions(world: World) -> None:
    world.server.missing_permissions = frozenset({"add_microsoftentraprovider"})
    world.wire.fail("authentik.find_provider", Denied("authentik-permission-missing", "403"))
    lines = await _lines(world)
    assert lines["authentik"].code == "authentik-permission-missing"
    assert lines["permission add_microsoftentraprovider"].level is Level.FAILURE
    assert lines["permission view_event"].level is Level.OK
    assert lines["permission change_application"].level is Level.WARNING


async def test_permissions_that_cannot_be_listed_are_a_failure(world: World) -> None:
    world.wire.fail("authentik.permissions", ServiceUnavailable("service-unavailable", "502"))
    assert (await _lines(world))["authentik permissions"].code == "service-unavailable"


@pytest.mark.parametrize(
    ("status", "level", "code"),
    [("valid", Level.OK, 0), ("expiry_soon", Level.WARNING, 0), ("unlicensed", Level.FAILURE, 5)],
)
async def test_the_licence(world: World, status: str, level: Level, code: int) -> None:
    world.server.licence = LicenseInfo(status)
    lines = await _lines(world)
    assert lines["licence"].level is level
    assert _code(lines) == code
    assert "names" not in lines or lines["names"].level is Level.OK


async def test_a_slug_of_another_application_is_not_called_free_or_ours(world: World) -> None:
    slug = world.desired.authentik_application_slug
    world.server.application = AuthentikApplication("a", slug, "Portal", backchannel_provider_pks=(9,))
    line = (await _lines(world))["names"]
    assert line.level is Level.WARNING
    assert f"the slug {slug} belongs to the authentik application “Portal”" in line.detail
    assert "slug are free" not in line.detail


async def test_a_permission_that_authentik_has_refused_is_never_shown_as_held(world: World) -> None:
    world.wire.fail(
        "authentik.find_application",
        Denied("authentik-permission-missing", "no", facts={"missing_permission": "view_event"}),
        times=99,
    )
    line = (await _lines(world))["permission view_event"]
    assert (line.level, line.code) == (Level.FAILURE, "authentik-permission-missing")


async def test_missing_default_mappings_are_temporary_and_named(world: World) -> None:
    world.server.defaults = ((), ())
    lines = await _lines(world)
    assert lines["authentik"].code == "default-mappings-missing"
    assert "System - Microsoft Entra Provider - Mappings" in lines["authentik"].detail
    assert _code(lines) is ExitCode.TEMPORARY
    with pytest.raises(Temporary, match="default Microsoft Entra mappings"):
        await prepare(world.context(), world.desired)
    with pytest.raises(Temporary, match="default Microsoft Entra mappings"):
        await look(world.context(), world.desired)
    world.server.mappings = {"mine": "m"}
    world.want(user_mappings=("mine",), group_mappings=("mine",))
    assert (await _lines(world))["names"].level is Level.OK


async def test_the_rotator_is_looked_up_where_others_own_the_application(world: World) -> None:
    await world.run()
    first = len(world.wire.calls)
    assert (await look(world.context(), world.desired)).entra.rotator is None
    alone = len(world.wire.calls) - first
    owners = {world.tenant.operator_claims.object_id, "rotator-oid"}
    world.tenant.change(owners=frozenset(owners))
    world.tenant.others["authentik-entra-rotator"] = replace(
        world.tenant.app, app_id=AppId("rotator"), tags=("authentik-entra:rotator",)
    )
    before = len(world.wire.calls)
    seen = await look(world.context(), world.desired)
    assert len(world.wire.calls) - before == alone + 2
    assert seen.entra.rotator == world.tenant.truth.principal.service_principal_object_id


async def test_two_providers_of_one_authentik_need_more_threads(world: World) -> None:
    assert "authentik's worker" not in await _lines(world)
    lines = {line.name: line for line in await check(world.context(), world.desired, frozenset({"Second"}))}
    line = lines["authentik's worker"]
    assert line.level is Level.WARNING
    assert "2 Microsoft Entra providers share it" in line.detail
    assert "AUTHENTIK_WORKER__THREADS=4" in line.remedy
    await world.run()
    world.server.stored = replace(world.server.provider_now, name="Hand made")
    assert "authentik's worker" in await _lines(world)


# --- the preflight of a rotation


def act_as_rotator(world: World) -> None:
    claims = world.tenant.operator_claims
    world.tenant.operator_claims = replace(claims, roles=frozenset({"Application.ReadWrite.OwnedBy"}))


async def test_the_rotator_of_a_working_connection(working: World) -> None:
    act_as_rotator(working)
    lines = await _lines(working, check_rotation)
    failures = [name for name, line in lines.items() if line.level is Level.FAILURE]
    assert failures == []
    app = working.tenant.app
    assert lines["owns the application"].detail == f"{app.display_name} (client id {app.app_id})"
    assert lines["provider"].level is Level.OK
    assert lines["no more than needed"].level is Level.OK


async def test_more_than_is_needed_is_a_warning(working: World) -> None:
    lines = await _lines(working, check_rotation)
    assert lines["no more than needed"].level is Level.WARNING
    assert "AppRoleAssignment.ReadWrite.All" in lines["no more than needed"].detail


async def test_before_the_bootstrap(world: World) -> None:
    lines = await _lines(world, check_rotation)
    assert lines["application"].level is Level.WARNING
    assert lines["provider"].level is Level.WARNING
    assert _code(lines) is ExitCode.DONE


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
    lines = await _lines(working, check_rotation)
    assert _code(lines) is ExitCode.DENIED
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
    lines = await _lines(working, check_rotation)
    assert name in lines
    assert len(lines) >= 5


async def test_each_failure_of_authentik_has_a_line(working: World) -> None:
    act_as_rotator(working)
    working.wire.fail("authentik.license", Denied("licence-refused", "No."), times=99)
    working.wire.fail("authentik.me", Denied("token-refused", "No."), times=99)
    lines = await check_rotation(working.context(), working.desired)
    assert [line.code for line in lines if line.name == "authentik"] == ["licence-refused", "token-refused"]


# --- what ends a run before its first write


@pytest.mark.parametrize(
    ("setting", "code"),
    [
        ({"user_mappings": ("nobody",)}, "unknown-mapping"),
        ({"filter_group": "nobody"}, "unknown-group"),
        ({"tenant_id": "another"}, "wrong-tenant"),
        ({"permissions": ("Nonsense",)}, "unknown-permission"),
    ],
)
async def test_settings_that_cannot_work_are_refused_before_any_write(
    world: World, setting: dict[str, object], code: str
) -> None:
    world.want(**setting)
    with pytest.raises((ConfigError, Denied), match=rf"\[{code}\]") as caught:
        await world.run()
    assert world.wire.writes() == []
    lines = await _lines(world)
    assert code in {line.code for line in lines.values()}
    assert _code(lines) is caught.value.exit_code


async def test_conflicts_are_refused_before_any_write_but_can_be_looked_at(world: World) -> None:
    world.server.holder = "LDAP Provider"
    with pytest.raises(Exception, match="provider-name-taken"):
        await prepare(world.context(), world.desired)
    seen = await look(world.context(), world.desired)
    assert seen.plan.changes
    lines = await _lines(world)
    assert (lines["names"].code, _code(lines)) == ("provider-name-taken", ExitCode.ADMIN_ACTION)
    assert world.wire.writes() == []


@pytest.mark.parametrize("call", ["authentik.last_change", "authentik.sync_tasks"])
async def test_other_denials_while_observing_are_not_swallowed(working: World, call: str) -> None:
    working.wire.fail(call, Denied("authentik-token-invalid", "Token invalid/expired"))
    with pytest.raises(Denied):
        await working.run()


async def test_a_contradiction_is_believed_after_a_while(working: World) -> None:
    # The application is really gone, and authentik still knows it.
    working.tenant.change(application=None, principal=None)
    with pytest.raises(Exception, match="provider-points-elsewhere"):
        await working.run()
    assert 20 <= sum(working.clock.slept[-30:]) < 30
    assert "Entra ID to show the application that authentik knows" in working.reporter.waits


@pytest.mark.parametrize("field", ["tenant_id", "client_id"])
async def test_looking_at_a_provider_of_another_tenant_or_application_does_not_wait(
    working: World, field: str
) -> None:
    working.server.stored = replace(working.server.provider_now, **{field: "another"})
    slept = len(working.clock.slept)
    seen = await look(working.context(), working.desired)
    assert len(working.clock.slept) == slept
    if field == "client_id":
        assert seen.plan.secret.reason == "the provider holds another application's client id"


# --- side by side


async def test_both_run_to_their_end_and_the_first_error_is_told_first() -> None:
    ended: list[str] = []

    async def job(name: str, error: Exception | None = None) -> str:
        for _ in range(3 if error is None else 1):
            await asyncio.sleep(0)
        if error:
            raise error
        ended.append(name)
        return name

    assert await both(job("a"), job("b")) == ("a", "b")
    with pytest.raises(KeyError):
        await both(job("c"), job("d", KeyError()))
    with pytest.raises(KeyError):
        await both(job("e", KeyError()), job("f", ValueError()))
    assert ended == ["a", "b", "c"]


async def test_every_job_ends_before_a_failure_is_told() -> None:
    ended: list[int] = []

    async def job(number: int) -> None:
        await asyncio.sleep(0)
        if number == 1:
            raise ValueError("job 1")
        await asyncio.sleep(0)
        ended.append(number)

    with pytest.raises(ValueError, match="job 1"):
        await every(job(number) for number in range(4))
    assert ended == [0, 2, 3]
    await every([])


def test_a_context_has_a_clock_and_ids_of_its_own(world: World) -> None:
    plain = Context(world.entra, world.authentik, world.context().waiter)
    assert plain.now().tzinfo is not None
    first, second = plain.new_rotation_id(), plain.new_rotation_id()
    assert first != second
    assert len(first) == 16
    assert set(first) <= set("0123456789abcdef")
