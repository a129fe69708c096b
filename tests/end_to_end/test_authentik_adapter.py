"""The authentik adapter against the embedded authentik of every profile, over TLS, through the real library."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from authentik_entra_bootstrap import errors
from authentik_entra_bootstrap.authentik.adapter import AuthentikAdapter
from authentik_entra_bootstrap.domain import Network, Provider, ProviderSpec, SecretText, TaskRecord
from authentik_entra_bootstrap.sandbox import Sandbox
from authentik_entra_bootstrap.support.waiting import Waiter

PROFILES = ("2025.12", "2026.2", "2026.5", "2026.8")
WRONG = "canary-wrong-secret-0123456789"
AGENT = Network().user_agent


@pytest.fixture(scope="module", params=PROFILES)
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    # Many providers here hold a wrong secret: the sync of each keeps a thread for as long as it is tried again.
    threads = {"environment": {"AUTHENTIK_WORKER__THREADS": "100"}}
    with Sandbox(authentik_profile=request.param, authentik_options=threads) as running:
        running.profile = request.param
        yield running


@pytest.fixture
def waiter(sandbox: Sandbox) -> Waiter:
    clock = sandbox.world.clock

    async def sleep(seconds: float) -> None:
        clock.advance(seconds)
        await asyncio.sleep(0)

    return Waiter(lambda: clock.now().timestamp(), sleep, random.Random(3))


def adapter_for(sandbox: Sandbox, waiter: Waiter, token: str = "", **network: object) -> AuthentikAdapter:
    token = token or sandbox.environment()["AUTHENTIK_TOKEN"]
    settings = Network(ca_file=str(sandbox.ca_file), **network)
    return AuthentikAdapter(sandbox.authentik_url, SecretText(token), settings, waiter)


@pytest.fixture
async def adapter(sandbox: Sandbox, waiter: Waiter) -> AsyncIterator[AuthentikAdapter]:
    async with adapter_for(sandbox, waiter) as made:
        yield made


@pytest.fixture
def fresh(sandbox: Sandbox) -> Iterator[str]:
    """A name that nothing has yet; faults are gone afterwards."""
    yield f"Entra {sandbox.world.guid('tests')[:8]}"
    sandbox.world.faults.clear()


async def spec_for(adapter: AuthentikAdapter, sandbox: Sandbox, name: str, **fields: object) -> ProviderSpec:
    users, groups = await adapter.default_mappings()
    environment = sandbox.environment()
    return ProviderSpec(
        name=name,
        client_id=environment["AZURE_CLIENT_ID"],
        tenant_id=environment["AZURE_TENANT_ID"],
        property_mappings=users,
        property_mappings_group=groups,
        **fields,
    )


async def connected(adapter: AuthentikAdapter, spec: ProviderSpec, secret: str) -> Provider:
    made = (await adapter.create_provider(spec, SecretText(secret))).value
    slug = spec.name.lower().replace(" ", "-")
    await adapter.create_application(slug=slug, name=spec.name, backchannel_provider_pks=[made.pk])
    found = await adapter.provider(made.pk)
    assert found is not None
    assert found.application_slug == slug
    return found


async def proof(adapter: AuthentikAdapter, provider: Provider, probe: int) -> tuple[TaskRecord, bool]:
    """The task of a proof, and whether it shows that authentik signed in."""
    await adapter.request_proof(provider.pk, probe)
    found = await adapter.proof_task(provider.pk, provider.name, probe)
    assert found is not None
    return found, any("Syncing page" in line for line in found.log_lines)


async def test_what_the_server_is(adapter: AuthentikAdapter, sandbox: Sandbox) -> None:
    profile = sandbox.profile
    info = await adapter.server()
    assert info.version.startswith(profile)
    assert {
        "name",
        "client_id",
        "client_secret",
        "tenant_id",
        "dry_run",
        "sync_page_size",
    } <= info.provider_fields
    assert await adapter.imports_blueprints() == (profile not in {"2025.12", "2026.2"})
    assert ("discovery_enabled" in info.provider_fields) == (profile == "2026.8")
    assert (await adapter.license()).allows_saving
    assert (await adapter.me()).is_superuser


async def test_bootstrap_in_one_write_each(adapter: AuthentikAdapter, sandbox: Sandbox, fresh: str) -> None:
    group = await adapter.find_group("Engineering")
    assert group is not None
    spec = await spec_for(
        adapter,
        sandbox,
        fresh,
        filter_group=group,
        exclude_users_service_account=True,
        dry_run=True,
        sync_page_size=50,
        sync_page_timeout="minutes=5",
        user_delete_action="suspend",
        group_delete_action="do_nothing",
    )
    assert await adapter.provider_name_holder(fresh) is None
    await adapter.server()
    before = sandbox.world.log.last_seq
    made = await adapter.create_provider(spec, SecretText(WRONG))
    slug = fresh.lower().replace(" ", "-")
    application = await adapter.create_application(
        slug=slug,
        name=fresh,
        backchannel_provider_pks=[made.value.pk],
    )
    writes = sandbox.world.log.writes(before, AGENT)
    assert [entry.method for entry in writes] == ["POST", "POST"]
    assert [made.request_id, application.request_id] == [entry.request_id for entry in writes]
    found = await adapter.find_provider(fresh)
    assert found is not None
    asked = {name: value for name, value in vars(spec).items() if value is not None}
    assert {name: getattr(found, name) for name in asked} == asked
    assert found.application_slug == slug
    assert (await adapter.find_application(slug)) == application.value
    assert await adapter.provider_name_holder(fresh) == "Microsoft Entra Provider"
    assert found in await adapter.providers()
    with pytest.raises(errors.AlreadyExists, match="authentik-name-taken"):
        await adapter.create_provider(spec, SecretText(WRONG))
    with pytest.raises(errors.AlreadyExists, match="authentik-slug-taken"):
        await adapter.create_application(slug=slug, name="x", backchannel_provider_pks=[])


async def test_proofs_of_a_good_and_a_wrong_secret(
    adapter: AuthentikAdapter, sandbox: Sandbox, fresh: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    good = sandbox.environment()["AZURE_CLIENT_SECRET"]
    provider = await connected(adapter, await spec_for(adapter, sandbox, fresh, dry_run=True), good)
    proven, signed_in = await proof(adapter, provider, 900_001)
    assert (proven.state, signed_in) == ("done", True)
    for probe, secret in ((900_002, WRONG), (900_003, good)):
        written = await adapter.update_provider(provider.pk, {}, SecretText(secret))
        change = await adapter.last_change(provider.pk)
        assert change is not None
        assert change.request_id == written.request_id, (
            "the audit trail shows our delivery as the last change"
        )
        seen, signed_in = await proof(adapter, provider, probe)
        assert signed_in == (secret == good)
        assert signed_in or seen.state != "done"
    tasks = await adapter.sync_tasks(provider.pk)
    assert any(task.uid.endswith(":900003:manual") for task in tasks)
    for secret in (good, WRONG):
        assert secret not in repr(tasks) + repr(written) + caplog.text


LOOKING = (
    "authentik_providers_microsoft_entra.view_microsoftentraprovider",
    "authentik_providers_microsoft_entra.view_microsoftentraprovidermapping",
    "authentik_core.view_application",
    "authentik_tasks.view_task",
    "authentik_events.view_event",
)


async def test_a_token_that_may_only_look_and_then_do_just_enough(
    adapter: AuthentikAdapter, sandbox: Sandbox, waiter: Waiter, fresh: str
) -> None:
    """The service account is made by the adapter, too."""
    accounts, name = adapter.accounts, fresh.lower().replace(" ", "-")
    needed = await accounts.needed("bootstrap")
    missing = [permission for permission in needed if permission not in LOOKING]
    role = await accounts.create_role(name)
    await accounts.assign(role, LOOKING)
    group, account = await accounts.create_group(name, role), await accounts.create_account(name)
    await accounts.add_member(group, account)
    token = await accounts.token_key((await accounts.create_token(name, account)).identifier)
    spec = await spec_for(adapter, sandbox, fresh, dry_run=True)
    provider = await connected(adapter, spec, WRONG)
    everything, unchanged = await adapter.server(), await adapter.last_change(provider.pk)
    async with adapter_for(sandbox, waiter, token.reveal()) as limited:
        assert not (await limited.me()).is_superuser
        assert await limited.server() == everything, "the schema tells what OPTIONS does not"
        checks = {check.permission: check.held for check in await limited.permissions("bootstrap")}
        assert checks == dict.fromkeys(LOOKING, True) | dict.fromkeys(missing, False)
        assert await limited.last_change(provider.pk) == unchanged, "asking changed nothing"
        assert await limited.find_provider(fresh) == provider
        scope = await limited.provisioning_scope(filter_group=None, exclude_service_accounts=True)
        assert (scope.users, scope.groups) == (None, None)
        for call, permission in (
            (limited.update_provider(provider.pk, {"dry_run": False}), "change_microsoftentraprovider"),
            (limited.request_proof(provider.pk, 5), "add_microsoftentraprovider"),
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

        await accounts.assign(role, missing)
        before = sandbox.world.log.last_seq
        checks = {check.permission: check.held for check in await limited.permissions("bootstrap")}
        assert checks == dict.fromkeys(needed, True)
        assert sandbox.world.log.writes(before, AGENT) == [], "asked without a single write"
        good = sandbox.environment()["AZURE_CLIENT_SECRET"]
        made = await connected(limited, replace(spec, name=f"{fresh} b"), good)
        assert (await proof(limited, made, 900_009))[1]
        delivered = await limited.update_provider(made.pk, {}, SecretText(good + "x"))
        change = await limited.last_change(made.pk)
        assert change is not None
        assert change.request_id == delivered.request_id


async def test_what_would_be_provisioned(adapter: AuthentikAdapter) -> None:
    everyone = await adapter.provisioning_scope(filter_group=None, exclude_service_accounts=False)
    people = await adapter.provisioning_scope(filter_group=None, exclude_service_accounts=True)
    assert everyone.users is not None
    assert people.users is not None
    assert set(everyone.users) > set(people.users)
    assert len(people.users) >= 5
    assert "akadmin" in {user.username for user in people.users}
    assert people.builtin_groups == ("authentik Admins", "authentik Read-only")
    group = await adapter.find_group("Engineering")
    some = await adapter.provisioning_scope(filter_group=group, exclude_service_accounts=True)
    assert some.users is not None
    assert {user.username for user in some.users} == {"ada", "grace"}
    assert some.groups == people.groups, "a filter group filters users only"
    assert await adapter.mappings_by_name(["authentik default Microsoft Entra Mapping: User", "none"])


async def test_an_import_that_crashes_authentik_says_so(adapter: AuthentikAdapter) -> None:
    imports = await adapter.imports_blueprints()
    odd = "version: 1\nmetadata: {name: x}\nentries:\n- {model: authentik_core.group, identifiers: {name: !Odd x}}\n"
    with pytest.raises(errors.BootstrapError) as caught:
        await adapter.import_blueprint(odd, {}, {})
    if not imports:
        assert caught.value.code == "authentik-unexpected-answer"
        return
    assert caught.value.code == "blueprint-import-crashed"
    assert "named no reason" in caught.value.message
    assert caught.value.trace is not None
    assert caught.value.trace.request_id
