"""The authentik adapter against the embedded authentik of every profile, over TLS, through the real library."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest
from on_sandbox import waiter_on

from authentik_entra_bootstrap import errors
from authentik_entra_bootstrap.authentik.adapter import AuthentikAdapter
from authentik_entra_bootstrap.domain import Network, ProviderSpec, SecretText
from authentik_entra_bootstrap.sandbox import Sandbox

WRONG = "canary-wrong-secret-0123456789"
NAME = "authentik-entra-test"


@pytest.fixture(params=("2025.12", "2026.2", "2026.5", "2026.8"))
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with Sandbox(authentik_profile=request.param) as running:
        yield running


def adapter_for(sandbox: Sandbox, token: str) -> AuthentikAdapter:
    network = Network(ca_file=str(sandbox.ca_file))
    return AuthentikAdapter(sandbox.authentik_url, SecretText(token), network, waiter_on(sandbox))


@pytest.fixture
async def adapter(sandbox: Sandbox) -> AsyncIterator[AuthentikAdapter]:
    async with adapter_for(sandbox, sandbox.environment()["AUTHENTIK_TOKEN"]) as made:
        yield made


LOOKING = (
    "authentik_providers_microsoft_entra.view_microsoftentraprovider",
    "authentik_providers_microsoft_entra.view_microsoftentraprovidermapping",
    "authentik_core.view_application",
    "authentik_tasks.view_task",
    "authentik_events.view_event",
)


async def test_a_token_that_may_only_look_and_then_do_just_enough(
    adapter: AuthentikAdapter, sandbox: Sandbox
) -> None:
    """The service account is made by the adapter, too."""
    needed = await adapter.needed("bootstrap")
    missing = [permission for permission in needed if permission not in LOOKING]
    role = await adapter.create_role(NAME)
    await adapter.assign(role, LOOKING)
    group, account = await adapter.create_group(NAME, role), await adapter.create_account(NAME)
    await adapter.add_member(group, account)
    token = await adapter.token_key((await adapter.create_token(NAME, account)).identifier)
    spec = ProviderSpec("Entra", "client", sandbox.operator.tenant_id, (), (), dry_run=True)
    pk = (await adapter.create_provider(spec, SecretText(WRONG))).value.pk
    await adapter.create_application(slug=NAME, name="Entra", backchannel_provider_pks=[pk])
    provider = await adapter.provider(pk)
    assert provider is not None
    assert provider.application_slug == NAME
    everything, unchanged = await adapter.server(), await adapter.last_change(pk)
    async with adapter_for(sandbox, token.reveal()) as limited:
        assert not (await limited.me()).is_superuser
        assert await limited.server() == everything, "the schema tells what OPTIONS does not"
        checks = {check.permission: check.held for check in await limited.permissions("bootstrap")}
        assert checks == dict.fromkeys(LOOKING, True) | dict.fromkeys(missing, False)
        assert await limited.last_change(pk) == unchanged, "asking changed nothing"
        assert await limited.find_provider(spec.name) == provider
        scope = await limited.provisioning_scope(filter_group=None, exclude_service_accounts=True)
        assert (scope.users, scope.groups) == (None, None)
        for call, permission in (
            (limited.update_provider(pk, {"dry_run": False}), "change_microsoftentraprovider"),
            (limited.request_proof(pk, 5), "add_microsoftentraprovider"),
            (
                limited.create_provider(replace(spec, name="z"), SecretText(WRONG)),
                "add_microsoftentraprovider",
            ),
            (limited.emit_event("secret_rotate", {}), "add_event"),
            (limited.find_group("Engineering"), "view_group"),
        ):
            with pytest.raises(errors.Denied, match="authentik-permission-missing") as caught:
                await call
            assert caught.value.facts["missing_permission"].endswith(f".{permission}")

        await adapter.assign(role, missing)
        before = sandbox.world.log.last_seq
        checks = {check.permission: check.held for check in await limited.permissions("bootstrap")}
        assert checks == dict.fromkeys(needed, True)
        assert sandbox.world.log.writes(before, Network().user_agent) == [], "asked without a single write"


async def test_an_import_that_crashes_authentik_says_so(adapter: AuthentikAdapter) -> None:
    imports = await adapter.imports_blueprints()
    odd = "version: 1\nmetadata: {name: x}\nentries:\n- {model: authentik_core.group, identifiers: {name: !Odd x}}\n"
    with pytest.raises(errors.BootstrapError) as caught:
        await adapter.import_blueprint(odd, {}, {})
    if not imports:
        assert caught.value.code == "authentik-unexpected-answer"
        return
    assert caught.value.code == "blueprint-import-crashed"
    assert "gave no reason" in caught.value.message
    assert caught.value.trace is not None
    assert caught.value.trace.request_id
