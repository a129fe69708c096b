"""The authentik adapter against the embedded authentik of every profile, over TLS, through the real library."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest

from authentik_entra_bootstrap import errors
from authentik_entra_bootstrap.authentik.adapter import AuthentikAdapter
from authentik_entra_bootstrap.authentik.requests import Call
from authentik_entra_bootstrap.domain import (
    Network,
    Provider,
    ProviderPk,
    ProviderSpec,
    SecretText,
    TaskRecord,
    Written,
)
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
        running.profile = request.param  # type: ignore[attr-defined]
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
    settings = Network(ca_file=str(sandbox.ca_file), **network)  # type: ignore[arg-type]
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
        **fields,  # type: ignore[arg-type]
    )


async def connected(adapter: AuthentikAdapter, sandbox: Sandbox, name: str, secret: str) -> Provider:
    spec = await spec_for(adapter, sandbox, name, dry_run=True)
    made = await adapter.create_provider(spec, SecretText(secret))
    slug = name.lower().replace(" ", "-")
    await adapter.create_application(
        slug=slug, name=name, backchannel_provider_pks=[made.value.pk], launch_url=None
    )
    found = await adapter.provider(made.value.pk)
    assert found is not None
    assert found.application_slug == slug
    return found


async def proof(adapter: AuthentikAdapter, provider: Provider, probe: int) -> TaskRecord:
    await adapter.request_proof(provider.pk, probe)
    found = await adapter.proof_task(provider.pk, provider.name, probe)
    assert found is not None
    return found


async def test_what_the_server_is(adapter: AuthentikAdapter, sandbox: Sandbox) -> None:
    profile = sandbox.profile  # type: ignore[attr-defined]
    info = await adapter.server()
    assert info.version.startswith(profile)
    assert "client_secret" in info.provider_fields
    assert await adapter.imports_blueprints() == (profile not in {"2025.12", "2026.2"})
    assert ("discovery_enabled" in info.provider_fields) == (profile == "2026.8")
    assert {"name", "client_id", "tenant_id", "dry_run", "sync_page_size"} <= info.provider_fields
    assert (await adapter.license()).allows_saving
    assert (await adapter.me()).is_superuser


async def test_the_servers_time_comes_from_a_fresh_reply(adapter: AuthentikAdapter, sandbox: Sandbox) -> None:
    for _ in range(2):
        told = await adapter.service_time()
        assert told is not None
        assert abs(sandbox.world.clock.now() - told) < timedelta(minutes=1)
        sandbox.world.clock.advance(191 * 24 * 3600)


async def test_bootstrap_in_one_write_each(adapter: AuthentikAdapter, sandbox: Sandbox, fresh: str) -> None:
    group = await adapter.find_group("Engineering")
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
    assert group is not None
    assert await adapter.provider_name_holder(fresh) is None
    await adapter.server()
    before = sandbox.world.log.last_seq
    made = await adapter.create_provider(spec, SecretText(WRONG))
    slug = fresh.lower().replace(" ", "-")
    application = await adapter.create_application(
        slug=slug,
        name=fresh,
        backchannel_provider_pks=[made.value.pk],
        launch_url="https://portal.example.com/",
    )
    writes = sandbox.world.log.writes(before, AGENT)
    assert [entry.method for entry in writes] == ["POST", "POST"]
    assert [made.request_id, application.request_id] == [entry.request_id for entry in writes]
    found = await adapter.find_provider(fresh)
    assert found is not None
    for field in (
        "name",
        "client_id",
        "tenant_id",
        "property_mappings",
        "property_mappings_group",
        "filter_group",
        "dry_run",
        "sync_page_size",
        "sync_page_timeout",
        "user_delete_action",
        "group_delete_action",
        "exclude_users_service_account",
    ):
        assert getattr(found, field) == getattr(spec, field), field
    assert found.application_slug == slug
    assert (await adapter.find_application(slug)) == application.value
    assert await adapter.provider_name_holder(fresh) == "Microsoft Entra Provider"
    assert found in await adapter.providers()
    with pytest.raises(errors.AlreadyExists) as caught:
        await adapter.create_provider(spec, SecretText(WRONG))
    assert caught.value.code == "authentik-name-taken"
    with pytest.raises(errors.AlreadyExists) as caught:
        await adapter.create_application(slug=slug, name="x", backchannel_provider_pks=[], launch_url=None)
    assert caught.value.code == "authentik-slug-taken"


async def test_proofs_of_a_good_and_a_wrong_secret(
    adapter: AuthentikAdapter, sandbox: Sandbox, fresh: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    good = sandbox.environment()["AZURE_CLIENT_SECRET"]
    provider = await connected(adapter, sandbox, fresh, good)
    proven = await proof(adapter, provider, 900_001)
    assert proven.state == "done"
    assert any("Syncing page" in line for line in proven.log_lines)

    written = await adapter.update_provider(provider.pk, {}, SecretText(WRONG))
    change = await adapter.last_change(provider.pk)
    assert change is not None
    assert change.request_id == written.request_id, "the audit trail shows our delivery as the last change"
    wrong = await proof(adapter, provider, 900_002)
    assert not any("Syncing page" in line for line in wrong.log_lines)
    assert wrong.state != "done"

    repaired = await adapter.update_provider(provider.pk, {}, SecretText(good))
    change = await adapter.last_change(provider.pk)
    assert change is not None
    assert change.request_id == repaired.request_id
    assert any("Syncing page" in line for line in (await proof(adapter, provider, 900_003)).log_lines)
    tasks = await adapter.sync_tasks(provider.pk)
    assert any(task.uid.endswith(":900003:manual") for task in tasks)
    for secret in (good, WRONG):
        assert secret not in repr(tasks) + repr(written) + caplog.text


async def test_saving_starts_a_sync(adapter: AuthentikAdapter, sandbox: Sandbox, fresh: str) -> None:
    provider = await connected(adapter, sandbox, fresh, sandbox.environment()["AZURE_CLIENT_SECRET"])
    assert (await adapter.start_sync(provider.pk)).request_id
    for _ in range(200):  # the worker is in another thread
        if (await adapter.sync_status(provider.pk)).last_successful_sync:
            break
        await asyncio.sleep(0.05)
    status = await adapter.sync_status(provider.pk)
    assert status.last_successful_sync is not None
    assert await adapter.linked_users(provider.pk) == frozenset(), "a dry run provisions nobody"


@pytest.mark.parametrize("kind", ["drop_after_commit", "status"])
async def test_a_lost_reply_of_a_create_is_settled(
    kind: str, adapter: AuthentikAdapter, sandbox: Sandbox, fresh: str
) -> None:
    await adapter.server()
    for path in ("/providers/microsoft_entra/$", "/core/applications/$"):
        sandbox.world.faults.add(
            kind=kind,
            server="authentik",
            method="POST",
            path=path,
            status=502,
            commit=True,
            name=f"{kind} {path}",
        )
    made = await adapter.create_provider(await spec_for(adapter, sandbox, fresh), SecretText(WRONG))
    assert made.value.name == fresh
    change = await adapter.last_change(made.value.pk)
    assert change is not None
    # Whoever made the provider that stands there: our secret was delivered once more.
    assert (change.action, change.request_id) == ("model_updated", made.request_id)
    assert len([one for one in await adapter.providers() if one.name == fresh]) == 1
    slug = fresh.lower().replace(" ", "-")
    application = await adapter.create_application(
        slug=slug, name=fresh, backchannel_provider_pks=[made.value.pk], launch_url=None
    )
    assert application.value.backchannel_provider_pks == (made.value.pk,)


async def test_refused_before_it_was_carried_out(
    adapter: AuthentikAdapter, sandbox: Sandbox, fresh: str, waiter: Waiter
) -> None:
    spec = await spec_for(adapter, sandbox, fresh)
    await adapter.server()
    faults, clock = sandbox.world.faults, sandbox.world.clock
    faults.add(kind="status", server="authentik", method="POST", status=429, retry_after=30)
    faults.add(kind="drop", server="authentik", method="POST", nth=1)
    began = clock.now()
    made = await adapter.create_provider(spec, SecretText(WRONG))
    assert (clock.now() - began).total_seconds() >= 30
    assert [provider.pk for provider in await adapter.providers() if provider.name == fresh] == [
        made.value.pk
    ]


BASE = (
    "authentik_providers_microsoft_entra.view_microsoftentraprovider",
    "authentik_providers_microsoft_entra.view_microsoftentraprovidermapping",
    "authentik_core.view_application",
    "authentik_tasks.view_task",
    "authentik_events.view_event",
)
WRITING = (
    "authentik_providers_microsoft_entra.add_microsoftentraprovider",
    "authentik_providers_microsoft_entra.change_microsoftentraprovider",
    "authentik_core.add_application",
    "authentik_core.change_application",
)
COUNTING = ("authentik_core.view_group", "authentik_core.view_user")


async def token_with(adapter: AuthentikAdapter, name: str, *permissions: str) -> str:
    """The token of a new service account with these permissions, made as an administrator makes it."""

    async def answer(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        return (await adapter._api.send(Call(method, path, body=body))).json()

    account = await answer("POST", "/core/users/service_account/", {"name": name, "create_group": False})
    role = await answer("POST", "/rbac/roles/", {"name": name})
    await answer(
        "POST", "/core/groups/", {"name": name, "users": [account["user_pk"]], "roles": [role["pk"]]}
    )
    assign = f"/rbac/permissions/assigned_by_roles/{role['pk']}/assign/"
    await adapter._api.send(Call("POST", assign, body={"permissions": list(permissions)}))
    wanted = {"identifier": name, "user": account["user_pk"], "intent": "api", "expiring": False}
    await answer("POST", "/core/tokens/", wanted)
    return str((await answer("GET", f"/core/tokens/{name}/view_key/"))["key"])


async def test_a_token_that_may_do_just_enough(
    adapter: AuthentikAdapter, sandbox: Sandbox, waiter: Waiter, fresh: str
) -> None:
    name = fresh.lower().replace(" ", "-")
    token = await token_with(adapter, name, *BASE, *WRITING, *COUNTING)
    other = await connected(adapter, sandbox, f"{fresh} other", WRONG)
    assert other.pk
    async with adapter_for(sandbox, waiter, token) as limited:
        assert not (await limited.me()).is_superuser
        before = sandbox.world.log.last_seq
        checks = await limited.permissions("bootstrap")
        assert {check.permission: check.held for check in checks} == dict.fromkeys(
            BASE + WRITING + COUNTING, True
        )
        assert sandbox.world.log.writes(before, AGENT) == [], "asked without a single write"
        good = sandbox.environment()["AZURE_CLIENT_SECRET"]
        provider = await connected(limited, sandbox, fresh, good)
        assert any("Syncing page" in line for line in (await proof(limited, provider, 900_009)).log_lines)
        delivered = await limited.update_provider(provider.pk, {}, SecretText(good + "x"))
        change = await limited.last_change(provider.pk)
        assert change is not None
        assert change.request_id == delivered.request_id


async def test_a_token_that_may_only_look(
    adapter: AuthentikAdapter, sandbox: Sandbox, waiter: Waiter, fresh: str
) -> None:
    provider = await connected(adapter, sandbox, fresh, WRONG)
    everything = await adapter.server()
    token = await token_with(adapter, fresh.lower().replace(" ", "-"), *BASE)
    async with adapter_for(sandbox, waiter, token) as looking:
        assert await looking.server() == everything, "the schema tells what OPTIONS does not"
        checks = {check.permission: check.held for check in await looking.permissions("bootstrap")}
        assert checks == dict.fromkeys(BASE, True) | dict.fromkeys(WRITING + COUNTING, False)
        unchanged = await adapter.last_change(provider.pk)
        assert await looking.last_change(provider.pk) == unchanged, "asking changed nothing"
        assert await looking.find_provider(fresh) == provider
        scope = await looking.provisioning_scope(filter_group=None, exclude_service_accounts=True)
        assert (scope.users, scope.groups) == (None, None)
        for call, permission in (
            (looking.update_provider(provider.pk, {"dry_run": False}), "change_microsoftentraprovider"),
            (looking.request_proof(provider.pk, 5), "add_microsoftentraprovider"),
            (
                looking.create_provider(await spec_for(looking, sandbox, "z"), SecretText(WRONG)),
                "add_microsoft",
            ),
            (looking.emit_event("secret_rotate", {}), "add_event"),
            (looking.find_group("Engineering"), "view_group"),
        ):
            with pytest.raises(errors.Denied) as caught:
                await call
            assert caught.value.code == "authentik-permission-missing"
            assert permission in caught.value.facts["missing_permission"]


async def test_without_a_licence(waiter: Waiter, sandbox: Sandbox) -> None:
    profile = sandbox.profile  # type: ignore[attr-defined]
    with Sandbox(authentik_profile=profile, authentik_options={"licensed": False}) as poor:
        async with adapter_for(poor, waiter) as adapter:
            assert not (await adapter.license()).allows_saving
            with pytest.raises(errors.AdminActionRequired) as caught:
                await adapter.create_provider(await spec_for(adapter, poor, "x"), SecretText(WRONG))
            assert caught.value.code == "licence-required"


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


async def test_events_and_other_backchannel_providers(
    adapter: AuthentikAdapter, sandbox: Sandbox, fresh: str
) -> None:
    await adapter.emit_event("secret_rotate", {"connection": fresh})
    await adapter.emit_event("custom_thing", {"refused": "by authentik, and that is no error"})
    first = await connected(adapter, sandbox, fresh, WRONG)
    second = await adapter.create_provider(await spec_for(adapter, sandbox, f"{fresh} b"), SecretText(WRONG))
    slug = first.application_slug or ""
    changed = await adapter.set_backchannel_providers(slug, [first.pk, second.value.pk])
    assert set(changed.value.backchannel_provider_pks) == {first.pk, second.value.pk}
    assert await adapter.find_application("nobody-has-this") is None
    assert await adapter.provider(ProviderPk(99_999)) is None
    with pytest.raises(errors.NotFound):
        await adapter.start_sync(ProviderPk(99_999))
    with pytest.raises(errors.NotFound):
        await adapter.request_proof(ProviderPk(99_999), 1)


async def test_bad_tokens_and_bad_addresses(sandbox: Sandbox, waiter: Waiter) -> None:
    async with adapter_for(sandbox, waiter, token="canary-not-a-token") as stranger:
        with pytest.raises(errors.Denied) as caught:
            await stranger.server()
        assert caught.value.code == "authentik-token-invalid"
        assert "canary" not in repr(caught.value)
    token = SecretText(sandbox.environment()["AUTHENTIK_TOKEN"])
    wrong_path = AuthentikAdapter(
        f"{sandbox.authentik_url}/nowhere", token, Network(ca_file=str(sandbox.ca_file)), waiter
    )
    async with wrong_path:
        with pytest.raises(errors.ConfigError) as wrong:
            await wrong_path.server()
        assert wrong.value.code == "authentik-not-found-at-url"
    async with AuthentikAdapter(sandbox.authentik_url, token, Network(), waiter) as untrusting:
        with pytest.raises(errors.ConfigError) as untrusted:
            await untrusting.me()
        assert untrusted.value.code == "authentik-certificate-not-trusted"


async def test_both_sides_can_be_observed_at_once(adapter: AuthentikAdapter, sandbox: Sandbox) -> None:
    """Calls run in threads: several are under way at one moment, on one event loop."""
    sandbox.world.faults.add(
        kind="slow", hold=True, seconds=0.3, server="authentik", path="/core/users/me/", times=4
    )
    await adapter.license()
    before = sandbox.world.log.last_seq
    people = await asyncio.gather(*(adapter.me() for _ in range(4)))
    assert len(people) == 4
    sandbox.world.faults.clear()
    held = [entry for entry in sandbox.world.log.since(before) if "/users/me/" in entry.path]
    assert any(one.overlaps(other) for one in held for other in held if one is not other)


def test_written_names_its_request() -> None:
    assert Written("x").request_id is None


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
