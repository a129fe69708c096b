"""What a rotation needs of both sides: each permission taken away in turn is named, and nothing is changed."""

from __future__ import annotations

import asyncio
import random

import pytest

from authentik_entra_bootstrap.authentik.adapter import AuthentikAdapter
from authentik_entra_bootstrap.authentik.permissions import wanted_for
from authentik_entra_bootstrap.authentik.requests import EVENTS, Call, mapping
from authentik_entra_bootstrap.domain import (
    AppId,
    Application,
    AppObjectId,
    Network,
    PermissionCheck,
    ProviderSpec,
    SecretText,
    TenantId,
    TokenClaims,
)
from authentik_entra_bootstrap.errors import Denied, ExitCode
from authentik_entra_bootstrap.sandbox import Sandbox
from authentik_entra_bootstrap.support.waiting import Waiter
from authentik_entra_bootstrap.workflows.context import Context
from authentik_entra_bootstrap.workflows.planning import (
    refuse_missing_for_rotation,
    refuse_unless_rotation_permitted,
)
from authentik_entra_bootstrap.workflows.service_account import make_account, observe_account

ROTATION = tuple(item.permission for item in wanted_for("rotation"))
APPLICATION = Application(AppObjectId("object"), AppId("client"), "x")


def waiter(sandbox: Sandbox) -> Waiter:
    clock = sandbox.world.clock

    async def sleep(seconds: float) -> None:
        clock.advance(seconds)
        await asyncio.sleep(0)

    return Waiter(lambda: clock.now().timestamp(), sleep, random.Random(3))


async def test_each_permission_of_a_rotation_is_needed_and_named() -> None:
    with Sandbox() as sandbox:
        environment, patience = sandbox.environment(), waiter(sandbox)
        network = Network(ca_file=str(sandbox.ca_file))

        def adapter(token: SecretText) -> AuthentikAdapter:
            return AuthentikAdapter(sandbox.authentik_url, token, network, patience)

        async with adapter(SecretText(environment["AUTHENTIK_TOKEN"])) as admin:
            spec = ProviderSpec(
                "Entra", environment["AZURE_CLIENT_ID"], environment["AZURE_TENANT_ID"], (), ()
            )
            await admin.create_provider(spec, SecretText("a secret"))
            seen = await observe_account(admin.accounts, "rotation")
            assert set(seen.needed) == set(ROTATION)
            key = await make_account(admin.accounts, seen, lambda _: None)
            role = await admin.accounts.role("authentik-entra-rotation")
            assert role is not None
            assert role.permissions == set(ROTATION)

            async def events() -> int | None:
                return (await admin._api.page(EVENTS, mapping)).count

            async with adapter(key) as rotator:
                context = Context(None, rotator, patience)
                await refuse_missing_for_rotation(context)
                for name in ROTATION:
                    call = Call(
                        "PATCH",
                        "/rbac/permissions/assigned_by_roles/{key}/unassign/",
                        role.pk,
                        body={"permissions": [name]},
                    )
                    await admin._api.repeat(call)
                    before = await events()
                    with pytest.raises(Denied) as caught:
                        await refuse_missing_for_rotation(context)
                    assert name in caught.value.message
                    assert caught.value.code == "authentik-permission-missing"
                    assert caught.value.exit_code is ExitCode.DENIED
                    others = [other for other in ROTATION if other != name and other in caught.value.message]
                    # Also not those that cannot be tried without it.
                    assert others == []
                    assert await events() == before
                    await admin.accounts.assign(role, [name])
                await refuse_missing_for_rotation(context)


class Port:
    """Just enough of both sides."""

    def __init__(self, roles: set[str], owners: set[str], checks: tuple[PermissionCheck, ...] = ()) -> None:
        self._claims = TokenClaims(TenantId("t"), "me", AppId("operator"), roles=frozenset(roles))
        self._owners, self._checks = owners, checks
        self.reads = 0

    async def operator(self) -> TokenClaims:
        return self._claims

    async def owners(self, _: AppObjectId) -> frozenset[str]:
        self.reads += 1
        # The first replica asked does not know yet.
        return frozenset(self._owners if self.reads > 1 else ())

    async def permissions(self, purpose: str) -> tuple[PermissionCheck, ...]:
        assert purpose == "rotation"
        return self._checks


def context(port: Port) -> Context:
    clock = [0.0]

    async def sleep(seconds: float) -> None:
        clock[0] += seconds

    return Context(port, port, Waiter(lambda: clock[0], sleep))


async def test_the_operator_s_right_and_ownership_are_told_apart() -> None:
    owned = "Application.ReadWrite.OwnedBy"
    await refuse_unless_rotation_permitted(context(Port({owned}, {"me"})), APPLICATION)
    everything = Port({"Application.ReadWrite.All"}, set())
    await refuse_unless_rotation_permitted(context(everything), APPLICATION)
    assert everything.reads == 0
    with pytest.raises(Denied, match="entra-not-an-owner") as caught:
        await refuse_unless_rotation_permitted(context(Port({owned}, {"somebody"})), APPLICATION)
    assert caught.value.exit_code is ExitCode.DENIED
    with pytest.raises(Denied, match="entra-permission-missing") as caught:
        await refuse_unless_rotation_permitted(context(Port({"User.Read.All"}, {"me"})), APPLICATION)
    assert caught.value.facts == {"missing_permission": owned}


async def test_what_a_rotation_lacks_in_authentik_is_refused_by_name() -> None:
    missing = PermissionCheck("a.view_secret", False, "finding the Secret")
    port = Port({"Application.ReadWrite.All"}, set(), (missing, PermissionCheck("a.other", None)))
    with pytest.raises(Denied, match=r"a\.view_secret"):
        await refuse_unless_rotation_permitted(context(port), APPLICATION)
