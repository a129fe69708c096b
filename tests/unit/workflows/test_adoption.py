"""Taking over, undisturbed and interrupted at every call: the foreign secret stays, authentik never fails."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from model_tenant import TENANT
from model_world import Accident, Call, World, at_each_call

from authentik_entra_bootstrap.domain import (
    AppId,
    Application,
    AppObjectId,
    AuthentikApplication,
    ClientSecret,
    KeyId,
    Provider,
    ProviderPk,
    ServicePrincipal,
    ServicePrincipalObjectId,
)
from authentik_entra_bootstrap.domain.application_tags import SecretStatus
from authentik_entra_bootstrap.errors import (
    AdminActionRequired,
    AlreadyExists,
    ConfigError,
)
from authentik_entra_bootstrap.planning.differences import Action
from authentik_entra_bootstrap.workflows.planning import prepare
from authentik_entra_bootstrap.workflows.status import look_at_status

SLUG = "by-hand"


def by_hand(**fields: object) -> World:
    """A connection that people made, working with a secret of their own."""
    world = World()
    application = Application(
        AppObjectId("object-hand"), AppId("client-hand"), "By hand", None, "AzureADMyOrg", ("terraform",)
    )
    world.tenant.change(application=replace(application, **fields), owners=frozenset({"somebody"}))
    text = world.tenant.make_secret("terraform", world.clock.now() + timedelta(days=700)).secret_text
    world.server.stored = Provider(
        ProviderPk(3), "By hand too", "client-hand", TENANT, ("mapping-user",), ("mapping-group",)
    )
    world.server.secret = text.reveal()
    world.server.application = AuthentikApplication("pk", SLUG, "Entra", None, (3,))
    world.server.stored = replace(world.server.stored, application_slug=SLUG)
    world.server.saved("model_updated")
    world.want(adopt=AppId("client-hand"))
    return world


async def converges(world: World) -> None:
    """What must stand after an undisturbed run with consent, and later without it."""
    await world.run()
    world.assert_converged()
    assert [item.display_name for item in world.foreign] == ["terraform"]
    assert world.marks.adopted is not None
    assert world.marks.foreign == ("terraform",)
    assert world.tenant.app.display_name == "By hand"
    assert world.server.provider_now.name == "By hand too"
    world.want(adopt=None)
    await world.idle_run()


async def test_the_unique_name_is_filled_in_once() -> None:
    world = by_hand()
    await converges(world)
    assert world.tenant.app.unique_name == "authentik-entra-default"


async def test_one_of_its_own_is_kept() -> None:
    world = by_hand(unique_name="bicep")
    await converges(world)
    assert world.tenant.app.unique_name == "bicep"


async def test_a_refused_unique_name_is_said_and_does_not_stop_the_run() -> None:
    world = by_hand()
    world.wire.accidents.append(_refuse_naming(world))
    await world.run()
    world.assert_converged()
    assert any("unique name" in text for text in world.reporter.warnings)
    world.want(adopt=None)
    await world.run()
    assert world.tenant.app.unique_name == "authentik-entra-default", "tags and provider led back to it"


def _refuse_naming(world: World) -> Accident:
    updates: list[Call] = []

    def second_update(call: Call) -> bool:
        updates.extend([call] * (call.name == "entra.update_application"))
        return len(updates) > 1 and updates[-1] is call and world.tenant.app.unique_name is None

    return Accident(second_update, lambda: AlreadyExists("unique-name-taken", "taken"))


@pytest.mark.parametrize("kind", ["killed-before", "killed-after", "unavailable"])
async def test_an_interrupted_adoption_is_finished_by_the_next(kind: str) -> None:
    async def begin() -> World:
        return by_hand()

    async def judge(world: World) -> None:
        await world.run()
        world.clock.advance(25 * 3600)
        await converges(world)

    assert await at_each_call(kind, begin, World.run, judge) > 20


async def test_nothing_is_there_to_be_taken_over(world: World) -> None:
    world.want(adopt=AppId("client-hand"))
    with pytest.raises(ConfigError, match=r"\[adopt-application-not-found\]"):
        await world.run()
    assert world.wire.writes() == []
    assert world.clock.slept, "somebody may have made it a moment ago"


async def test_an_application_without_a_place_for_a_secret_is_not_taken_over() -> None:
    world = by_hand(sign_in_audience="AzureADandPersonalMicrosoftAccount")
    world.tenant.make_secret("a second", world.clock.now() + timedelta(days=700))
    with world.wire.no_writes(), pytest.raises(AdminActionRequired, match=r"\[too-many-secrets\]"):
        await world.run()


async def test_secrets_of_the_service_principal_are_listed_and_left_alone() -> None:
    world = by_hand()
    now = world.clock.now()
    theirs = ClientSecret(KeyId("key-sp"), "on the principal", "abc", now, now + timedelta(days=9))
    principal = ServicePrincipal(
        ServicePrincipalObjectId("principal-hand"), AppId("client-hand"), secrets=(theirs,)
    )
    world.tenant.change(principal=principal)
    prepared = await prepare(world.context(), world.desired)
    listed = [item for item in prepared.plan.differences if "key-sp" in item.property]
    assert [(item.target, item.action) for item in listed] == [("service-principal", Action.KEEP)]
    await world.run()
    assert world.tenant.truth.principal is not None
    assert world.tenant.truth.principal.secrets == (theirs,)
    assert KeyId("key-sp") not in world.tenant.removed
    status = await look_at_status(world.context(), world.desired)
    (shown,) = [item for item in status.secrets if item.secret.key_id == "key-sp"]
    assert (shown.status, shown.holder) == (SecretStatus.FOREIGN, "service-principal")
