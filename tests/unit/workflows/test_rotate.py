"""One rotation on the in-memory services: what it refuses, what it only tells, and what a disturbed one says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from model_world import Killed, World

from authentik_entra_bootstrap.domain import KeyId, LicenseInfo, SecretPolicy, TenantId
from authentik_entra_bootstrap.errors import BootstrapError, ExitCode, Temporary, Throttled
from authentik_entra_bootstrap.rotation.decide import SecretAction
from authentik_entra_bootstrap.workflows.rotate import RotationOutcome, plan_rotation, rotate

DUE = {"days": 121}
EXPIRED = LicenseInfo("expired")


async def _rotate(world: World, *, force: bool = False) -> RotationOutcome:
    return await rotate(world.context(), world.desired, force=force)


async def _refused(world: World, *, force: bool = True) -> BootstrapError:
    """The error of a run that has written nothing."""
    with world.wire.no_writes(), pytest.raises(BootstrapError) as caught:
        await _rotate(world, force=force)
    assert world.outages == []
    return caught.value


async def test_a_rotation_replaces_proves_and_later_retires(working: World) -> None:
    old = working.held().key_id
    working.age(**DUE)
    outcome = await _rotate(working)
    assert outcome.rotated
    assert outcome.secret.key_id == working.held().key_id != old
    assert {item.name for item in outcome.evidence} >= {"secret-signs-in", "authentik-signs-in"}
    assert {secret.key_id for secret in working.ours} == {old, outcome.secret.key_id}
    assert not outcome.attention.due
    working.age(hours=25)
    later = await _rotate(working)
    assert (later.rotated, later.retired) == (False, (old,))
    working.assert_converged()
    assert outcome.due_at < later.due_at


async def test_a_secret_whose_mark_is_refused_is_taken_back(working: World) -> None:
    before = working.ours
    working.wire.fail("entra.update_application", Throttled("entra-throttled", "429"), times=9)
    with pytest.raises(Throttled):
        await _rotate(working, force=True)
    assert working.ours == before
    assert len(working.tenant.removed) == 1


async def test_with_nothing_due_nothing_is_written_and_the_next_time_is_told(working: World) -> None:
    with working.wire.no_writes():
        outcome = await _rotate(working)
    assert outcome.decision.action is SecretAction.KEEP
    assert outcome.attention.reason == "the client secret is due"


async def test_a_plan_changes_nothing(working: World) -> None:
    working.age(**DUE)
    with working.wire.no_writes():
        plan = await plan_rotation(working.context(), working.desired)
    assert [step.action.value for step in plan.changes][:1] == ["create"]
    assert plan.end_date_time is not None


async def test_an_empty_tenant_has_nothing_to_rotate(world: World) -> None:
    error = await _refused(world)
    assert (error.code, error.exit_code) == ("connection-not-bootstrapped", ExitCode.USAGE)
    assert "no application" in error.message


async def test_a_provider_that_is_gone_is_not_made_by_a_rotation(working: World) -> None:
    working.server.stored = None
    error = await _refused(working)
    assert error.code == "connection-not-bootstrapped"
    assert "no provider" in error.message


OWNED = "Application.ReadWrite.OwnedBy"


def operator_with(world: World, *roles: str) -> None:
    world.tenant.operator_claims = replace(world.tenant.operator_claims, roles=frozenset(roles))


def of_another_connection(world: World) -> None:
    tags = [tag.replace("connection=default", "connection=other") for tag in world.tenant.app.tags]
    world.tenant.change_app(tags=tuple(tags))


def unassigned(world: World) -> None:
    world.server.stored = replace(world.server.provider_now, application_slug=None)


HINDRANCES: list[tuple[Callable[[World], object], str, ExitCode]] = [
    (lambda world: vars(world.server).update(licence=EXPIRED), "licence-required", ExitCode.ADMIN_ACTION),
    (
        lambda world: vars(world.server).update(missing_permissions={"add_microsoftentraprovider"}),
        "authentik-permission-missing",
        ExitCode.DENIED,
    ),
    (unassigned, "provider-not-assigned", ExitCode.VERIFICATION_FAILED),
    (lambda world: world.want(tenant_id=TenantId("another")), "wrong-tenant", ExitCode.DENIED),
    (lambda world: operator_with(world, "User.Read.All"), "entra-permission-missing", ExitCode.DENIED),
    (lambda world: world.tenant.change(owners=frozenset({"else"})), "entra-not-an-owner", ExitCode.DENIED),
    (lambda world: world.tenant.change_app(enabled=False), "application-disabled", ExitCode.ADMIN_ACTION),
    (of_another_connection, "application-of-another-connection", ExitCode.ADMIN_ACTION),
    (lambda world: world.tenant.change_app(tags=("theirs",)), "application-not-ours", ExitCode.ADMIN_ACTION),
    (
        lambda world: vars(world.tenant).update(policy=SecretPolicy(True, addition_allowed=False)),
        "secrets-forbidden-by-policy",
        ExitCode.ADMIN_ACTION,
    ),
]


@pytest.mark.parametrize(("hinder", "code", "exit_code"), HINDRANCES)
async def test_what_would_fail_is_refused_before_the_first_write(
    hinder: Callable[[Any], Any], code: str, exit_code: ExitCode, working: World
) -> None:
    operator_with(working, OWNED)
    hinder(working)
    error = await _refused(working)
    assert (error.code, error.exit_code) == (code, exit_code)
    assert error.remedy
    missing = {
        "entra-permission-missing": OWNED,
        "authentik-permission-missing": "add_microsoftentraprovider",
    }
    assert missing.get(code, "") in f"{error.facts} {error.message}"


async def test_ownership_is_looked_for_again_and_only_where_it_is_needed(working: World) -> None:
    owners, looks = working.entra.owners, []

    async def late(app_object_id: Any) -> frozenset[str]:
        looks.append(app_object_id)
        # The first replica asked does not know yet.
        return await owners(app_object_id) if len(looks) > 1 else frozenset()

    working.entra.owners = late
    operator_with(working, OWNED)
    assert (await _rotate(working, force=True)).rotated
    assert len(looks) == 2
    operator_with(working, "Application.ReadWrite.All")
    assert (await _rotate(working, force=True)).rotated
    assert len(looks) == 2


async def test_with_nothing_due_a_licence_that_has_ended_is_no_reason_to_fail(working: World) -> None:
    working.server.licence = EXPIRED
    assert (await _rotate(working)).decision.action is SecretAction.KEEP


async def test_permissions_that_are_missing_are_told_and_do_not_stop_the_rotation(working: World) -> None:
    working.tenant.change(assignments=working.tenant.truth.assignments[:2])
    working.age(**DUE)
    outcome = await _rotate(working)
    assert outcome.rotated
    roles = next(item for item in outcome.evidence if item.name == "token-has-roles")
    assert roles.ok is False
    assert "lacks" in roles.detail


async def test_a_provider_with_another_name_is_found_by_its_client_id(working: World) -> None:
    working.server.stored = replace(working.server.provider_now, name="Renamed")
    assert (await _rotate(working, force=True)).provider.name == "Renamed"


async def test_a_lease_that_is_lost_stops_the_run_before_its_next_write(working: World) -> None:
    def guard() -> None:
        if "entra.update_application" in working.wire.writes(before):
            raise Temporary("another-run-active", "The lease was lost.")

    old = working.held().key_id
    before = len(working.wire.calls)
    context = working.context()
    context.guard = guard
    with pytest.raises(Temporary, match=r"\[another-run-active\]"):
        await rotate(context, working.desired, force=True)
    assert "authentik.update_provider" not in working.wire.writes(before)
    # What it had made is gone again.
    assert [secret.key_id for secret in working.ours] == [old]
    assert working.marks.pending is None


async def test_a_secret_that_grew_too_old_on_the_way_is_thrown_away(working: World) -> None:
    original, old = working.authentik.last_change, working.held().key_id
    looks = 0

    async def slow(pk: Any) -> Any:
        nonlocal looks
        looks += 1
        if looks == 2:  # the look just before the cut-over
            working.clock.advance(hours=1, minutes=1)
        return await original(pk)

    working.authentik.last_change = slow
    with pytest.raises(Temporary, match=r"\[secret-too-old-to-deliver\]"):
        await _rotate(working, force=True)
    assert working.held().key_id == old
    assert [secret.key_id for secret in working.ours] == [old]


async def _killed_at_the_cut_over(world: World) -> KeyId:
    """A run that was killed while its cut-over was under way; the secret that it made."""
    world.wire.fail("authentik.update_provider", Killed)
    with pytest.raises(Killed):
        await _rotate(world, force=True)
    world.wire.calm()
    return world.ours[-1].key_id


async def test_an_orphan_goes_only_when_the_last_request_of_its_maker_is_over(working: World) -> None:
    orphan = await _killed_at_the_cut_over(working)
    before = working.clock.monotonic()
    outcome = await _rotate(working)
    assert (outcome.rotated, outcome.retired) == (False, (orphan,))
    assert working.clock.monotonic() - before >= 60
    assert any("to be over" in line for line in working.reporter.waits)
    working.assert_converged()


async def test_an_orphan_that_was_delivered_after_all_stays(working: World) -> None:
    orphan = await _killed_at_the_cut_over(working)
    original = working.clock.sleep

    async def sleep(seconds: float) -> None:
        if seconds > 30:  # the wait for the dead run's last request, which is carried out now
            working.server.person_changes_provider(working.tenant.texts[orphan])
        await original(seconds)

    working.clock.sleep = sleep
    outcome = await _rotate(working)
    assert outcome.retired == ()
    assert working.held().key_id == orphan
    assert any("just now" in line for line in working.reporter.warnings)
    assert working.outages == []


# --- how many client secrets fit


def _personal(world: World) -> None:
    world.tenant.change_app(sign_in_audience="AzureADandPersonalMicrosoftAccount")


async def test_two_secrets_that_stay_leave_no_place_and_nothing_is_changed(working: World) -> None:
    _personal(working)
    working.tenant.make_secret("by hand", working.clock.now() + timedelta(days=700))
    working.age(**DUE)
    error = await _refused(working, force=False)
    assert (error.code, error.exit_code) == ("too-many-secrets", ExitCode.ADMIN_ACTION)
    assert "by hand (until " in error.message
    assert [item.display_name for item in working.foreign] == ["by hand"]


async def test_an_expired_secret_takes_no_place(working: World) -> None:
    _personal(working)
    working.tenant.make_secret("by hand", working.clock.now() + timedelta(days=30))
    working.age(**DUE)
    assert (await _rotate(working)).rotated


async def test_the_one_before_is_retired_first_where_only_that_makes_a_place(working: World) -> None:
    _personal(working)
    first = working.held().key_id
    working.age(**DUE)
    second = (await _rotate(working)).secret.key_id
    # No run has come by since the overlap ended.
    working.age(days=2)
    before = len(working.wire.calls)
    outcome = await _rotate(working, force=True)
    assert outcome.rotated
    assert outcome.retired == (first,)
    writes = working.wire.writes(before)
    assert writes.index("entra.remove_secret") < writes.index("entra.add_secret")
    assert {secret.key_id for secret in working.ours} == {second, outcome.secret.key_id}
    assert working.outages == []
    working.age(hours=25)
    assert (await _rotate(working)).retired == (second,)
    working.assert_converged()


async def test_within_the_overlap_there_is_no_place_for_a_third(working: World) -> None:
    _personal(working)
    working.age(**DUE)
    await _rotate(working)
    error = await _refused(working)
    assert error.code == "too-many-secrets"
    working.age(hours=25)
    assert (await _rotate(working, force=True)).rotated


async def test_what_authentik_may_be_using_is_not_retired_to_make_a_place(working: World) -> None:
    _personal(working)
    working.age(**DUE)
    await _rotate(working)
    working.age(days=2)
    # Somebody saved the provider: which of the two secrets authentik holds is not known any more.
    working.server.saved("model_updated")
    error = await _refused(working, force=False)
    assert error.code == "too-many-secrets"
    assert len(working.ours) == 2


async def test_other_audiences_have_no_limit_of_two(working: World) -> None:
    for name in ("one", "two", "three"):
        working.tenant.make_secret(name, working.clock.now() + timedelta(days=700))
    working.age(**DUE)
    assert (await _rotate(working)).rotated
