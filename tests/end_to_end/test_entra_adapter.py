"""The Entra adapter against the sandbox over TLS: the whole life of an application, and everything that goes wrong."""

from __future__ import annotations

import logging
import random
import socket
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from authentik_entra_bootstrap.domain import (
    Application,
    ApplicationSpec,
    Cloud,
    Network,
    NewClientSecret,
    PermissionKind,
    RequestedAccess,
    SecretText,
    ServicePrincipal,
    TenantId,
)
from authentik_entra_bootstrap.entra.adapter import EntraAdapter
from authentik_entra_bootstrap.errors import (
    AdminActionRequired,
    AlreadyExists,
    BootstrapError,
    ConfigError,
    Denied,
    NotFound,
    Unreachable,
)
from authentik_entra_bootstrap.sandbox import Sandbox
from authentik_entra_bootstrap.support.waiting import Waiter

ROLES = ("User.Read.All", "Group.Create")
NAME = "authentik-entra-test"


class Tenant:
    """A running sandbox and adapters that wait on its clock."""

    def __init__(self, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sandbox = sandbox
        self.world = sandbox.world
        self.slept: list[float] = []
        self.announced: list[str] = []
        for name, value in sandbox.environment().items():
            monkeypatch.setenv(name, value)

    @property
    def cloud(self) -> Cloud:
        url = self.sandbox.entra_url
        return Cloud("sandbox", url, url, url, known=False)

    def waiter(self) -> Waiter:
        clock = self.world.clock

        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)
            clock.advance(seconds)

        return Waiter(lambda: clock.now().timestamp(), sleep, random.Random(0))

    def adapter(self, **changes: Any) -> EntraAdapter:
        options = {
            "tenant_id": TenantId(self.world.default_tenant_id),
            "cloud": self.cloud,
            "network": Network(ca_file=str(self.sandbox.ca_file), connect_timeout=5, read_timeout=5),
            "waiter": self.waiter(),
            "login": "environment",
            "announce": self.announced.append,
        }
        return EntraAdapter(**(options | changes))

    def paths(self, method: str, suffix: str) -> list[int | None]:
        """Status of every request of that kind."""
        return [
            entry.status
            for entry in self.world.log.all()
            if entry.method == method and entry.path.partition("?")[0].endswith(suffix)
        ]


@pytest.fixture
def tenant(monkeypatch: pytest.MonkeyPatch) -> Any:
    with Sandbox(authentik_profile=None) as sandbox:
        yield Tenant(sandbox, monkeypatch)


@pytest.fixture
async def entra(tenant: Tenant) -> AsyncIterator[EntraAdapter]:
    async with tenant.adapter() as adapter:
        yield adapter


async def spec(entra: EntraAdapter, **changes: Any) -> ApplicationSpec:
    graph = await entra.graph_principal()
    operator = await entra.operator()
    access = {RequestedAccess(graph.app_id, graph.app_roles[role], PermissionKind.ROLE) for role in ROLES}
    access.add(RequestedAccess(graph.app_id, graph.scopes["User.Read"], PermissionKind.SCOPE))
    values = {
        "display_name": "authentik provisioning",
        "unique_name": NAME,
        "tags": ("one", "two"),
        "requested_access": frozenset(access),
        "owner_object_ids": (operator.object_id,),
        "notes": "made by a test",
    }
    return ApplicationSpec(**(values | changes))


async def made(entra: EntraAdapter) -> tuple[Application, ServicePrincipal]:
    application = await entra.create_application(await spec(entra))
    return application, await entra.create_service_principal(application.app_id)


def until(tenant: Tenant, days: float = 180) -> datetime:
    return tenant.world.clock.now() + timedelta(days=days)


async def whole_life(tenant: Tenant, entra: EntraAdapter) -> tuple[Application, NewClientSecret]:
    """Create, grant, make a secret, sign in, remove the secret."""
    waiter = tenant.waiter()
    application, principal = await made(entra)
    graph = await entra.graph_principal()
    for role in ROLES:
        await entra.assign_role(
            principal.service_principal_object_id, graph.service_principal_object_id, graph.app_roles[role]
        )
    await entra.grant_scopes(
        principal.service_principal_object_id,
        graph.service_principal_object_id,
        frozenset({"User.Read"}),
        None,
    )
    await entra.update_application(application.app_object_id, tags=["three"])
    secret = await entra.add_secret(
        application.app_object_id, display_name="first", end_date_time=until(tenant)
    )

    async def signs_in() -> Any:
        try:
            session = await entra.sign_in_as(application.app_id, secret.secret_text)
            if not set(ROLES) <= session.claims.roles:
                return None
            return await session.organization()
        except Denied as error:
            if error.code in {"secret-not-accepted", "application-not-found", "sync-permission-missing"}:
                return None
            raise

    organization = await waiter.until(signs_in, what="sign-in", code="x", confirmations=3)
    assert organization.tenant_id == tenant.world.default_tenant_id

    async def settled() -> Any:
        found = await entra.application(application.app_object_id)
        assignments = await entra.role_assignments(principal.service_principal_object_id)
        grant = await entra.delegated_grant(
            principal.service_principal_object_id, graph.service_principal_object_id
        )
        complete = (
            found
            and found.tags == ("three",)
            and [item.key_id for item in found.secrets] == [secret.record.key_id]
            and {item.app_role_id for item in assignments} == {graph.app_roles[role] for role in ROLES}
            and grant
            and grant.scopes == {"User.Read"}
        )
        return found if complete else None

    found = await waiter.until(settled, what="everything to be visible", code="x", confirmations=3)
    assert found.unique_name == NAME
    assert found.sign_in_audience == "AzureADMyOrg"
    assert found.redirect_uris == ()
    assert len(found.requested_access) == 3
    assert found.secrets[0].display_name == "first"
    assert found.secrets[0].hint == secret.secret_text.reveal()[:3]
    assert await entra.owners(application.app_object_id) == {(await entra.operator()).object_id}

    async def gone() -> Any:
        await entra.remove_secret(application.app_object_id, secret.record.key_id)
        now = await entra.application(application.app_object_id)
        return True if now and not now.secrets else None

    await waiter.until(gone, what="removal", code="x", confirmations=3)
    return application, secret


async def test_whole_life_in_a_calm_tenant(tenant: Tenant, entra: EntraAdapter) -> None:
    claims = await entra.operator()
    assert claims.is_app_only
    assert claims.app_id == tenant.sandbox.operator.app_id
    assert (await entra.organization()).display_name == "Contoso (sandbox)"
    assert await entra.find_application(NAME) is None
    assert await entra.find_deleted_application(NAME) is None
    application, _ = await whole_life(tenant, entra)
    assert await entra.application_by_app_id(application.app_id) == await entra.find_application(NAME)
    principal = await entra.find_service_principal(application.app_id)
    assert principal is not None
    assert principal.account_enabled
    # Only the three waits of the test itself for consecutive confirmations.
    assert len(tenant.slept) == 6


async def test_the_services_time_comes_from_a_fresh_reply_and_needs_no_token(
    tenant: Tenant, entra: EntraAdapter
) -> None:
    for _ in range(2):
        told = await entra.service_time()
        assert told is not None
        assert abs(tenant.world.clock.now() - told) < timedelta(minutes=1)
        tenant.world.clock.advance(191 * 24 * 3600)
    assert tenant.paths("POST", "/token") == []


async def test_delete_and_restore(tenant: Tenant, entra: EntraAdapter) -> None:
    application, _ = await made(entra)
    await entra.delete_application(application.app_object_id)
    assert await entra.find_application(NAME) is None
    deleted = await entra.find_deleted_application(NAME)
    assert deleted is not None
    assert deleted.app_id == application.app_id
    assert deleted.tags == ("one", "two")
    with pytest.raises(AlreadyExists) as caught:
        await entra.create_application(await spec(entra))
    assert caught.value.code == "unique-name-taken"
    await entra.delete_application(application.app_object_id)  # twice is as good as once
    await entra.restore_application(application.app_object_id)
    found = await entra.find_application(NAME)
    assert found is not None
    assert found.app_object_id == application.app_object_id


@pytest.mark.parametrize("variant", ["none", "404", "400", "403"])
@pytest.mark.parametrize("duplicate", ["400-bad-request", "400-same-key", "409-same-key"])
async def test_whole_life_in_a_rough_tenant(tenant: Tenant, variant: Any, duplicate: Any) -> None:
    switches = tenant.world.switches
    switches.lag, switches.flapping, switches.replicas = 10.0, True, 3
    switches.secret_lag, switches.role_lag, switches.app_lag = 20.0, 20.0, 5.0
    switches.throttle_rate, switches.concurrency_rate = 0.05, 0.1
    switches.rate_servers = ("graph", "entra")
    switches.post_create_variant, switches.duplicate_grant = variant, duplicate
    async with tenant.adapter() as entra:
        await whole_life(tenant, entra)
    # Waiting was needed, so the switches were in force.
    assert tenant.slept


@pytest.mark.parametrize("kind", ["drop", "drop_after_commit"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", r"/applications$"),
        ("POST", r"/servicePrincipals$"),
        ("POST", r"/appRoleAssignedTo$"),
        ("POST", r"/oauth2PermissionGrants$"),
        ("PATCH", r"/applications/"),
        ("POST", r"/removePassword$"),
        ("DELETE", r"/applications/"),
    ],
)
async def test_a_lost_reply_to_each_repeatable_write(
    tenant: Tenant, entra: EntraAdapter, kind: Any, method: str, path: str
) -> None:
    tenant.world.faults.add(kind=kind, server="graph", method=method, path=path)
    try:
        application = await entra.create_application(await spec(entra))
    except AlreadyExists:
        # What a retry after a commit meets; the caller looks it up.
        assert (kind, path) == ("drop_after_commit", r"/applications$")
        found = await entra.find_application(NAME)
        assert found is not None
        application = found
    principal = await entra.create_service_principal(application.app_id)
    graph = await entra.graph_principal()
    ids = (principal.service_principal_object_id, graph.service_principal_object_id)
    await entra.assign_role(*ids, graph.app_roles["User.Read.All"])
    await entra.grant_scopes(*ids, frozenset({"User.Read"}), None)
    await entra.update_application(application.app_object_id, tags=["five"])
    secret = await entra.add_secret(application.app_object_id, display_name="x", end_date_time=until(tenant))
    removed = await entra.remove_secret(application.app_object_id, secret.record.key_id)
    assert removed is not (kind == "drop_after_commit" and "removePassword" in path)
    directory = tenant.world.default_tenant
    [stored] = [item for item in directory.all("application") if item.get("uniqueName") == NAME]
    assert (stored["tags"], stored["passwordCredentials"]) == (["five"], [])
    assert [
        item["appRoleId"] for item in directory.all("appRoleAssignment") if item["principalId"] == ids[0]
    ] == [graph.app_roles["User.Read.All"]]
    assert [
        item["scope"] for item in directory.all("oauth2PermissionGrant") if item["clientId"] == ids[0]
    ] == ["User.Read"]
    await entra.delete_application(application.app_object_id)
    assert not [item for item in directory.all("application") if item.get("uniqueName") == NAME]
    assert any(fault.hits for fault in tenant.world.faults.all())


async def test_existing_grants_are_kept_and_extended(tenant: Tenant, entra: EntraAdapter) -> None:
    _, principal = await made(entra)
    graph = await entra.graph_principal()
    ids = (principal.service_principal_object_id, graph.service_principal_object_id)
    await entra.grant_scopes(*ids, frozenset({"User.Read"}), None)
    # A stale reader believes that there is none yet.
    await entra.grant_scopes(*ids, frozenset({"openid"}), None)
    grant = await entra.delegated_grant(*ids)
    assert grant is not None
    assert grant.scopes == {"User.Read", "openid"}
    seq = tenant.world.log.last_seq
    await entra.grant_scopes(*ids, frozenset({"openid"}), grant)
    assert tenant.world.log.writes(seq) == []
    for _ in range(2):
        await entra.assign_role(*ids, graph.app_roles["Group.Create"])
    assert len(await entra.role_assignments(ids[0])) == 1
    with pytest.raises(NotFound) as caught:
        await entra.assign_role(*ids, "11111111-1111-4111-8111-111111111111")
    assert caught.value.code == "permission-not-offered"


# --- rights and policies


async def limited(tenant: Tenant, monkeypatch: pytest.MonkeyPatch, *roles: str) -> EntraAdapter:
    """An adapter for a second tenant's operator that holds only the given permissions."""
    from authentik_entra_bootstrap.sandbox.microsoft.seed import seed_tenant

    operator = seed_tenant(tenant.world, name=f"t{len(tenant.world.tenants)}", operator_roles=roles)
    monkeypatch.setenv("AZURE_TENANT_ID", operator.tenant_id)
    monkeypatch.setenv("AZURE_CLIENT_ID", operator.app_id)
    monkeypatch.setenv("AZURE_CLIENT_SECRET", operator.secret)
    return tenant.adapter(tenant_id=TenantId(operator.tenant_id))


async def test_missing_permissions_are_named(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    async with await limited(tenant, monkeypatch, "Application.ReadWrite.OwnedBy") as entra:
        application, principal = await made(entra)
        graph = await entra.graph_principal()
        ids = (principal.service_principal_object_id, graph.service_principal_object_id)
        assert not (await entra.secret_policy(None)).known
        with pytest.raises(AdminActionRequired) as caught:
            await entra.assign_role(*ids, graph.app_roles["User.Read.All"])
        assert caught.value.code == "consent-required"
        assert caught.value.facts["missing_permission"] == "AppRoleAssignment.ReadWrite.All"
        with pytest.raises(AdminActionRequired) as caught:
            await entra.grant_scopes(*ids, frozenset({"User.Read"}), None)
        assert caught.value.facts["missing_permission"] == "DelegatedPermissionGrant.ReadWrite.All"
        await entra.add_secret(application.app_object_id, display_name="x", end_date_time=until(tenant))
        foreign = next(
            item
            for item in tenant.world.tenant(entra._tenant_id).all("application")
            if item["displayName"].startswith("authentik-entra operator")
        )
        with pytest.raises(Denied) as denied:
            await entra.add_secret(foreign["id"], display_name="x", end_date_time=until(tenant))
        assert denied.value.code == "entra-permission-missing"
        assert "does not own" in denied.value.message
        assert denied.value.facts["missing_permission"] == "Application.ReadWrite.All"
    async with await limited(tenant, monkeypatch, "User.Read.All") as entra:
        with pytest.raises(Denied) as denied:
            await entra.find_application(NAME)
        assert denied.value.facts["missing_permission"] == "Application.Read.All"
        assert denied.value.exit_code == 4


def restrict(tenant: Tenant, **restriction: Any) -> None:
    directory = tenant.world.default_tenant
    policy = {
        "id": "00000000-0000-0000-0000-000000000000",
        "displayName": "Default app management tenant policy",
        "isEnabled": True,
        "applicationRestrictions": {
            "passwordCredentials": [
                {"restrictForAppsCreatedAfterDateTime": None, "state": "enabled", "maxLifetime": None}
                | restriction
            ],
            "keyCredentials": [],
        },
        "servicePrincipalRestrictions": {"passwordCredentials": [], "keyCredentials": []},
    }
    directory.put("policy", policy["id"], policy)


async def test_lifetime_policy(tenant: Tenant, entra: EntraAdapter) -> None:
    assert (await entra.secret_policy(None)).greatest_lifetime is None
    application, _ = await made(entra)
    restrict(tenant, restrictionType="passwordLifetime", maxLifetime="P90D")
    policy = await entra.secret_policy(application.app_object_id)
    assert policy.known
    assert policy.addition_allowed
    assert policy.greatest_lifetime == timedelta(days=90)
    with pytest.raises(AdminActionRequired) as caught:
        await entra.add_secret(application.app_object_id, display_name="x", end_date_time=until(tenant))
    assert caught.value.code == "secret-lifetime-exceeds-policy"
    assert caught.value.facts["policy_id"]
    assert datetime.fromisoformat(caught.value.facts["asked_end_date_time"]).tzinfo is not None
    new = await entra.add_secret(application.app_object_id, display_name="x", end_date_time=until(tenant, 89))
    assert new.record.lifetime < timedelta(days=90)


# --- signing in


async def test_every_sign_in_is_a_fresh_one(
    tenant: Tenant, entra: EntraAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    application, _ = await made(entra)
    secret = await entra.add_secret(application.app_object_id, display_name="x", end_date_time=until(tenant))
    before = len(tenant.paths("POST", "/oauth2/v2.0/token"))
    opened: list[Any] = []
    connect = socket.socket.connect

    def counted(self: socket.socket, address: Any) -> None:
        opened.append(address)
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", counted)
    for number in range(1, 3):
        session = await entra.sign_in_as(application.app_id, secret.secret_text)
        assert session.claims.app_id == application.app_id
        assert session.claims.roles == frozenset()
        # Several in a row are to reach several machines of the token service.
        assert len(opened) == number
    assert len(tenant.paths("POST", "/oauth2/v2.0/token")) == before + 2
    assert tenant.paths("GET", "openid-configuration") == []
    with pytest.raises(Denied) as caught:
        await session.organization()
    assert caught.value.code == "sync-permission-missing"


async def test_default_chain_and_wrong_tenant(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    async with tenant.adapter(login="default") as entra:
        assert (await entra.operator()).tenant_id == tenant.world.default_tenant_id
    other = TenantId("22222222-2222-4222-8222-222222222222")
    async with tenant.adapter(login="default", tenant_id=other) as entra:
        with pytest.raises(Denied) as caught:
            await entra.operator()
    assert caught.value.code == "wrong-tenant"
    assert caught.value.facts == {"found": tenant.world.default_tenant_id, "wanted": other}
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "environmentcredential")
    monkeypatch.delenv("AZURE_CLIENT_SECRET")
    async with tenant.adapter(login="default") as entra:
        with pytest.raises(Denied) as caught:
            await entra.operator()
    assert caught.value.code == "no-operator-identity"
    assert "EnvironmentCredential" in caught.value.facts["tried"]


async def test_an_unknown_authority_and_an_untrusted_one(tenant: Tenant, tmp_path: Any) -> None:
    from dataclasses import replace

    lost = replace(tenant.cloud, authority="https://localhost:1")
    async with tenant.adapter(cloud=lost) as entra:
        with pytest.raises(Unreachable) as unreachable:
            await entra.operator()
    assert unreachable.value.code == "entra-unreachable"
    assert sum(tenant.slept) <= 60
    assert not unreachable.value.sent
    async with tenant.adapter(network=Network(ca_file=other_ca(tmp_path))) as entra:
        with pytest.raises(ConfigError) as untrusted:
            await entra.operator()
    assert untrusted.value.code == "tls-not-trusted"
    assert "ca_file" in untrusted.value.remedy
    with pytest.raises(ConfigError) as unreadable:
        await tenant.adapter(network=Network(ca_file=str(tmp_path / "no.pem"))).__aenter__()
    assert unreadable.value.code == "ca-file-unreadable"


def other_ca(folder: Any) -> str:
    import trustme

    path = folder / "other.pem"
    trustme.CA().cert_pem.write_to_path(path)
    return str(path)


async def test_a_person_signs_in_by_device_code(tenant: Tenant) -> None:
    from authentik_entra_bootstrap.sandbox.microsoft.login import decide

    def person(upn: str, *, approve: bool = True) -> Callable[[str], None]:
        def read(line: str) -> None:
            tenant.announced.append(line)
            decide(tenant.world, line.partition("the code ")[2].split()[0], upn, approve=approve)

        return read

    tenant.world.switches.device_code_interval = 0
    operator = tenant.sandbox.operator
    async with tenant.adapter(login="device-code", announce=person(operator.upn("appadmin"))) as entra:
        claims = await entra.operator()
        assert not claims.is_app_only
        assert claims.user_principal_name == operator.upn("appadmin")
        application, principal = await made(entra)
        graph = await entra.graph_principal()
        with pytest.raises(AdminActionRequired) as caught:
            await entra.assign_role(
                principal.service_principal_object_id,
                graph.service_principal_object_id,
                graph.app_roles["User.Read.All"],
            )
        assert caught.value.facts["missing_permission"] == "Privileged Role Administrator"
        await entra.add_secret(application.app_object_id, display_name="x", end_date_time=until(tenant))
    assert len(tenant.announced) == 1
    assert f"{tenant.sandbox.entra_url}/devicelogin" in tenant.announced[0]
    async with tenant.adapter(login="device-code", announce=person("", approve=False)) as entra:
        with pytest.raises(Denied) as declined:
            await entra.operator()
    assert declined.value.code == "sign-in-declined"


# --- nothing leaks


async def test_no_secret_in_logs_errors_or_reprs(
    tenant: Tenant, entra: EntraAdapter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    errors: list[BootstrapError] = []

    async def failing(call: Callable[[], Any]) -> None:
        try:
            await call()
        except BootstrapError as error:
            errors.append(error)

    application, secret = await whole_life(tenant, entra)
    await failing(lambda: entra.sign_in_as(application.app_id, SecretText("canary~wrong")))
    for kind in ("drop_after_commit", "html"):
        tenant.world.faults.add(kind=kind, server="graph", path="addPassword", status=200, commit=True)
        await failing(
            lambda: entra.add_secret(
                application.app_object_id, display_name="lost", end_date_time=datetime(2027, 1, 1, tzinfo=UTC)
            )
        )
    tenant.world.faults.add(kind="drop", server="entra", path="/token", times=None)
    await failing(lambda: entra.sign_in_as(application.app_id, SecretText("canary~lost")))
    assert len(errors) == 4
    told = caplog.text + "".join(map(repr, caplog.records)) + repr(secret) + "".join(map(everything, errors))
    token = (await entra._tokens.get_token()).token
    for canary in (
        secret.secret_text.reveal(),
        "canary~wrong",
        "canary~lost",
        tenant.sandbox.operator.secret,
        token,
    ):
        assert canary not in told


def everything(error: BaseException) -> str:
    """An error with all that hangs on it, as a debugger or a log of local variables would show it."""
    import traceback

    assert error.__cause__ is None
    assert error.__context__ is None
    return repr(error) + repr(vars(error)) + "".join(traceback.format_exception(error))


async def test_own_policy_replaces_the_default_and_ages_count(tenant: Tenant, entra: EntraAdapter) -> None:
    application, _ = await made(entra)
    later = (tenant.world.clock.now() + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    restrict(
        tenant,
        restrictionType="passwordLifetime",
        maxLifetime="P90D",
        restrictForAppsCreatedAfterDateTime=later,
    )
    assert (await entra.secret_policy(application.app_object_id)).greatest_lifetime is None
    assert (await entra.secret_policy(None)).greatest_lifetime == timedelta(days=90)
    own = {
        "id": tenant.world.guid("policies"),
        "displayName": "own",
        "isEnabled": True,
        "restrictions": {
            "passwordCredentials": [
                {"restrictionType": "passwordLifetime", "maxLifetime": "P30D", "state": "enabled"}
            ]
        },
    }
    directory = tenant.world.default_tenant
    directory.put("policy", own["id"], own)
    stored = directory.get("application", application.app_object_id)
    assert stored is not None
    directory.put("application", stored["id"], {**stored, "_appManagementPolicies": [own["id"]]})
    policy = await entra.secret_policy(application.app_object_id)
    assert policy.greatest_lifetime == timedelta(days=30)
    assert policy.policy_id == own["id"]
