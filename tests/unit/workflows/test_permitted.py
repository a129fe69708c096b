"""What a rotation needs of both sides is asked for before anything is changed, and named where it is missing."""

from __future__ import annotations

import pytest

from authentik_entra_bootstrap.domain import (
    AppId,
    Application,
    AppObjectId,
    PermissionCheck,
    TenantId,
    TokenClaims,
)
from authentik_entra_bootstrap.errors import Denied, ExitCode
from authentik_entra_bootstrap.support.waiting import Waiter
from authentik_entra_bootstrap.workflows.context import Context
from authentik_entra_bootstrap.workflows.planning import (
    refuse_unless_rotation_permitted,
)

APPLICATION = Application(AppObjectId("object"), AppId("client"), "x")


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
