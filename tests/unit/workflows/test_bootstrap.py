"""From nothing to a working connection, and again, and after something has drifted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from model_world import World

from authentik_entra_bootstrap.domain import AuthentikApplication, SecretPolicy
from authentik_entra_bootstrap.errors import Denied, Temporary
from authentik_entra_bootstrap.planning.differences import Target
from authentik_entra_bootstrap.rotation.decide import State
from authentik_entra_bootstrap.workflows.bootstrap import bootstrap
from authentik_entra_bootstrap.workflows.planning import prepare
from authentik_entra_bootstrap.workflows.rotate import rotate


async def test_an_empty_tenant_and_an_empty_authentik_become_a_proven_connection(world: World) -> None:
    outcome = await world.run()
    world.assert_converged()
    assert [item.name for item in outcome.evidence] == [
        "secret-signs-in",
        "token-has-roles",
        "graph-call",
        "authentik-signs-in",
    ]
    assert all(item.ok for item in outcome.evidence)
    assert outcome.secret.key_id == world.held().key_id
    assert outcome.secret.lifetime == timedelta(days=180)
    assert timedelta(days=111) < outcome.renew_at - outcome.secret.start_date_time <= timedelta(days=120)
    assert outcome.provider.client_id == world.tenant.app.app_id
    assert world.tenant.truth.owners == {world.tenant.operator_claims.object_id}
    assert world.server.syncs == 1


async def test_the_second_run_writes_nothing(working: World) -> None:
    outcome = await working.idle_run()
    assert outcome.changed == ()
    assert [item.name for item in outcome.evidence] == ["authentik-signs-in"]
    working.assert_converged()


async def test_a_lagging_tenant_with_slow_tokens_converges_and_the_second_run_writes_nothing(
    world: World,
) -> None:
    world.tenant.lag, world.tenant.secret_lag = 10.0, 20.0
    world.tenant.role_lag, world.tenant.directory_lag = 25.0, 30.0
    world.tenant.add_secret_refusals = 3
    await world.run()
    world.assert_converged()
    await world.idle_run()


async def test_a_secret_that_is_due_is_replaced_and_the_old_one_rests_for_the_overlap(working: World) -> None:
    old = working.held().key_id
    working.age(days=121)
    await working.run()
    working.assert_converged(secrets=2)
    assert working.held().key_id != old
    assert [item.key_id for item in working.marks.previous] == [old]
    assert working.marks.previous[0].retire_at > working.clock.now() + timedelta(hours=23)
    working.age(hours=20)
    await working.idle_run()
    working.age(hours=5)
    await working.run()
    working.assert_converged()
    assert working.tenant.removed == [old]
    assert working.marks.previous == ()


async def test_without_a_fresh_proof_an_old_secret_stays(working: World) -> None:
    working.age(days=121)
    await working.run()
    working.age(hours=25)
    working.server.worker_runs = False
    working.server.tasks.clear()
    outcome = await working.run()
    assert len(working.ours) == 2
    assert working.tenant.removed == []
    assert any("stays" in text for text in working.reporter.warnings)
    assert outcome.changed == ()
    working.server.worker_runs = True
    await working.run()
    working.assert_converged()


async def test_a_provider_changed_by_a_person_gets_one_new_secret(working: World) -> None:
    old = working.held().key_id
    working.server.person_changes_provider()
    working.clock.advance(60)
    await working.run()
    working.assert_converged(secrets=2)
    assert [item.key_id for item in working.marks.previous] == [old]
    await working.idle_run()


async def test_where_events_cannot_be_read_the_record_is_believed_and_nothing_is_retired(
    working: World,
) -> None:
    working.server.events_readable = False
    await working.idle_run()
    working.orphan()
    await working.run()
    assert working.tenant.removed == []


async def test_where_tasks_cannot_be_read_observation_goes_on(working: World) -> None:
    working.server.tasks_readable = False
    outcome = await working.idle_run()
    # What the tags and the audit trail say is left.
    assert ["since its delivery" in item.detail for item in outcome.evidence] == [True]


async def test_foreign_secrets_are_never_removed(working: World) -> None:
    end = working.clock.now() + timedelta(days=900)
    ours = "authentik-entra"
    for name in (None, "", "terraform", ours, f"{ours}:default", f"{ours}:default:XYZ"):
        working.tenant.make_secret(name, end)
    working.age(days=121)
    await working.run()
    working.age(hours=25)
    await working.run()
    assert len(working.foreign) == 6
    assert len(working.ours) == 1


async def test_an_orphan_of_ours_is_retired_even_when_nothing_else_is_due(working: World) -> None:
    orphan = working.orphan()
    working.server.tasks.clear()
    await working.run()
    working.assert_converged()
    assert working.tenant.removed == [orphan.key_id]


@pytest.mark.parametrize(
    ("setting", "value", "field", "there", "wanted"),
    [
        ("filter_group", "", "filter_group", "somebody-elses-group", None),
        ("filter_group", "entra-users", "filter_group", None, "group-1"),
        ("exclude_service_accounts", True, "exclude_users_service_account", False, True),
        ("user_delete_action", "delete", "user_delete_action", "suspend", "delete"),
        ("group_delete_action", "delete", "group_delete_action", "do_nothing", "delete"),
        ("dry_run", False, "dry_run", True, False),
        ("user_mappings", ("by mail",), "property_mappings", (), ("mapping-mail",)),
        ("group_mappings", (), "property_mappings_group", ("x", "mapping-group"), ()),
    ],
)
async def test_a_drifted_field_that_a_setting_names_is_set_back_without_a_new_secret(
    working: World, setting: str, value: object, field: str, there: object, wanted: object
) -> None:
    working.want(**{setting: value})
    # A change whose audit event is ours to the last byte: only the field differs.
    working.server.stored = replace(working.server.provider_now, **{field: there})
    key = working.held().key_id
    with working.wire.only_writes("authentik.update_provider", "entra.update_application"):
        outcome = await working.run()
    assert getattr(working.server.provider_now, field) == wanted
    assert working.held().key_id == key
    assert [step.target for step in outcome.changed] == [Target.PROVIDER]
    working.assert_converged()
    await working.idle_run()


async def test_a_change_by_hand_is_answered_without_waiting_for_entra(working: World) -> None:
    working.server.person_changes_provider()
    start = working.clock.now()
    prepared = await prepare(working.context(), working.desired)
    assert prepared.plan.secret.state is State.CHANGED
    assert (working.reporter.waits, working.clock.now() - start < timedelta(seconds=2)) == ([], True)


@pytest.mark.parametrize(
    ("setting", "value", "field"),
    [
        ("sync_page_size", 50, "sync_page_size"),
        ("sync_page_timeout", "minutes=5", "sync_page_timeout"),
        ("discovery_enabled", False, "discovery_enabled"),
    ],
)
async def test_a_setting_with_a_server_default_is_written_only_when_set(
    working: World, setting: str, value: object, field: str
) -> None:
    working.server.stored = replace(working.server.provider_now, **{field: "something else"})
    await working.idle_run()
    working.want(**{setting: value})
    await working.run()
    assert getattr(working.server.provider_now, field) == value


async def test_a_renamed_application_and_lost_tags_of_the_list_are_set_right(working: World) -> None:
    working.want(explicit_names=frozenset({"application_name"}))
    working.tenant.change_app(display_name="renamed", requested_access=frozenset())
    with working.wire.only_writes("entra.update_application"):
        outcome = await working.run()
    assert "displayName" in outcome.changed[0].reason
    assert working.tenant.app.display_name == working.desired.application_name
    assert len(working.tenant.app.requested_access) == 5
    working.assert_converged()


async def test_a_revoked_grant_is_given_again_without_a_new_secret(working: World) -> None:
    working.tenant.change(assignments=working.tenant.truth.assignments[1:], grant=None)
    before = len(working.wire.calls)
    await working.run()
    assert sorted(working.wire.writes(before)) == ["entra.assign_role", "entra.grant_scopes"]
    working.assert_converged()


async def test_other_backchannel_providers_of_the_application_stay(world: World) -> None:
    world.server.application = AuthentikApplication(
        "pk", "microsoft-entra-id", "Microsoft Entra ID", 8, (40, 41)
    )
    await world.run()
    assert world.server.application.backchannel_provider_pks == (40, 41, 3)


async def test_a_detached_provider_is_attached_again_without_a_new_secret(working: World) -> None:
    assert working.server.application is not None
    working.server.application = replace(working.server.application, backchannel_provider_pks=())
    working.server.stored = replace(working.server.provider_now, application_slug=None)
    before = len(working.wire.calls)
    await working.run()
    assert working.wire.writes(before) == [
        "authentik.set_backchannel_providers",
        "authentik.start_sync",
        "entra.update_application",
    ]
    assert working.server.syncs == 2
    working.assert_converged()


async def test_the_first_sync_is_started_by_a_save_after_the_assignment(world: World) -> None:
    world.server.own_sync_for = 3
    await world.run()
    writes = [name for name in world.wire.writes(0) if name.startswith("authentik.")]
    assert writes == [
        "authentik.create_provider",
        "authentik.create_application",
        "authentik.update_provider",
    ]
    assert world.server.own_sync_for == 0, "the sync that the creation started is waited for"
    assert any("the creation of" in item for item in world.reporter.waits)
    world.assert_converged()


async def test_a_first_sync_that_runs_already_is_not_started_again(world: World) -> None:
    world.server.own_sync_for = 10_000
    await world.run()
    assert world.wire.writes(0).count("authentik.update_provider") == 0
    world.assert_converged()


async def test_no_provider_is_saved_while_another_one_syncs(world: World) -> None:
    world.server.other_sync_for = 3
    await world.run()
    names = [call.name for call in world.wire.calls]
    looks = [number for number, name in enumerate(names) if name == "authentik.running_syncs"]
    assert looks[3] < names.index("authentik.create_provider")
    assert any("full sync of “Other”" in item for item in world.reporter.waits)
    world.assert_converged()


async def test_a_sync_that_goes_on_ends_the_run_and_is_named(world: World) -> None:
    world.server.other_sync_for = 10_000
    with pytest.raises(Temporary, match="full sync of “Other”") as caught:
        await world.run()
    assert caught.value.code == "authentik-syncing"
    assert "AUTHENTIK_WORKER__THREADS" in caught.value.remedy
    assert world.ours == [], "a secret that could not be delivered is removed again"
    assert not [name for name in world.wire.writes(0) if name.startswith("authentik.")]


async def test_no_secret_is_made_for_a_rotation_while_another_provider_syncs(working: World) -> None:
    working.age(days=121)
    before, working.server.other_sync_for = len(working.wire.calls), 10_000
    with pytest.raises(Temporary, match=r"\[authentik-syncing\]"):
        await rotate(working.context(), working.desired)
    assert working.wire.writes(before) == []


async def test_where_the_token_may_not_see_syncs_the_run_goes_on(world: World) -> None:
    missing = Denied("authentik-permission-missing", "The token may not view tasks.")
    world.wire.fail("authentik.running_syncs", missing, times=99)
    await world.run()
    world.assert_converged()


async def test_the_turn_is_held_from_before_the_secret_to_after_the_record(world: World) -> None:
    held: list[tuple[str, int]] = []

    @asynccontextmanager
    async def turn() -> AsyncIterator[None]:
        held.append(("taken", len(world.wire.calls)))
        yield
        held.append(("given back", len(world.wire.calls)))

    context = replace(world.context(), turn=turn)
    prepared = await prepare(context, world.desired)
    await bootstrap(context, prepared.plan, prepared.entra, prepared.authentik)
    (_, first), (_, last) = held
    names = [call.name for call in world.wire.calls]
    assert first <= names.index("entra.add_secret")
    assert last == len(names)


async def test_a_first_run_that_may_not_read_events_converges_as_soon_as_it_may(world: World) -> None:
    world.server.events_readable = False
    await world.run()
    world.assert_converged()


async def test_a_policy_shortens_the_secret_and_the_next_run_still_writes_nothing(world: World) -> None:
    world.tenant.policy = SecretPolicy(True, True, timedelta(days=30))
    outcome = await world.run()
    assert outcome.secret.lifetime == timedelta(days=30) - timedelta(minutes=5)
    with world.wire.no_writes():
        world.age(days=19)
        await world.run()
    world.age(days=2)
    await world.run()
    world.assert_converged(secrets=2)


async def test_names_and_references_of_the_settings_reach_both_sides() -> None:
    world = World(
        name="north",
        service_management_reference="42",
        filter_group="entra-users",
        user_mappings=["by mail"],
        group_mappings=[],
        dry_run_sync=True,
        permissions=["User.Read", "Group.Create"],
    )
    await world.run()
    assert world.tenant.app.service_management_reference == "42"
    assert world.tenant.app.unique_name == "authentik-entra-north"
    provider = world.server.provider_now
    assert provider.filter_group == "group-1"
    assert provider.property_mappings == ("mapping-mail",)
    assert provider.property_mappings_group == ()
    assert provider.dry_run
    assert len(world.tenant.truth.assignments) == 1
    assert world.marks.connection == "north"


async def test_only_one_kind_of_mapping_named_leaves_the_default_of_the_other() -> None:
    world = World(group_mappings=["by mail"])
    await world.run()
    assert world.server.provider_now.property_mappings == ("mapping-user",)
    assert world.server.provider_now.property_mappings_group == ("mapping-mail",)


async def test_delegated_permissions_alone_need_no_role_in_the_token() -> None:
    world = World(permissions=["User.Read"])
    outcome = await world.run()
    roles = next(item for item in outcome.evidence if item.name == "token-has-roles")
    assert roles.detail == "none wanted"
