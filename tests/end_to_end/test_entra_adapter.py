"""The Entra adapter's fresh sign-ins against the sandbox over TLS: each has a connection of its own."""

from __future__ import annotations

import socket
from datetime import timedelta
from typing import Any

import pytest

from authentik_entra_bootstrap.domain import ApplicationSpec, Cloud, Network, TenantId
from authentik_entra_bootstrap.entra.adapter import EntraAdapter
from authentik_entra_bootstrap.errors import Denied
from authentik_entra_bootstrap.sandbox import Sandbox
from authentik_entra_bootstrap.support.waiting import Waiter

SPEC = ApplicationSpec("authentik provisioning", "authentik-entra-test", (), frozenset(), ())


async def test_every_sign_in_is_a_fresh_one(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []
    connect = socket.socket.connect

    def counted(self: socket.socket, address: Any) -> None:
        opened.append(address)
        connect(self, address)

    with Sandbox(authentik_profile=None) as sandbox:
        for name, value in sandbox.environment().items():
            monkeypatch.setenv(name, value)
        world, url = sandbox.world, sandbox.entra_url
        cloud, network = Cloud("sandbox", url, url, url, known=False), Network(ca_file=str(sandbox.ca_file))
        tenant_id = TenantId(world.default_tenant_id)
        async with EntraAdapter(tenant_id, cloud, network, Waiter(), "environment") as entra:
            application = await entra.create_application(SPEC)
            await entra.create_service_principal(application.app_id)
            end = world.clock.now() + timedelta(days=180)
            secret = await entra.add_secret(application.app_object_id, display_name="x", end_date_time=end)
            mark = world.log.last_seq
            monkeypatch.setattr(socket.socket, "connect", counted)
            for number in range(1, 3):
                session = await entra.sign_in_as(application.app_id, secret.secret_text)
                assert session.claims.app_id == application.app_id
                assert session.claims.roles == frozenset()
                # Several in a row are to reach several machines of the token service.
                assert len(opened) == number
            asked = [(entry.method, entry.path.rpartition("/")[2]) for entry in world.log.since(mark)]
            assert asked == [("POST", "token")] * 2
            with pytest.raises(Denied) as caught:
                await session.organization()
            assert caught.value.code == "sync-permission-missing"
