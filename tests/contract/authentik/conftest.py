"""An embedded authentik that goes through everything that was recorded of a real one."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from authentik_entra_bootstrap.sandbox.authentik.app import create_authentik
from authentik_entra_bootstrap.sandbox.clock import SandboxClock
from authentik_entra_bootstrap.sandbox.world import World

CONTRACT = Path(__file__).resolve().parents[4] / "shared" / "contract" / "authentik"
VERSIONS = {"2025.12": "2025.12.4", "2026.5": "2026.5.0-rc1"}
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def microsoft(secrets: dict[str, str]) -> httpx.AsyncClient:
    """A tenant that signs in by ``secrets`` (AADSTS text by secret, empty text for good ones) and is empty."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/token"):
            form = dict(part.split("=", 1) for part in request.content.decode().split("&"))
            problem = secrets.get(form["client_secret"], "AADSTS7000215: Invalid client secret provided.")
            if problem:
                error = {"error": "invalid_client", "error_description": problem}
                return httpx.Response(401, json=error)
            return httpx.Response(200, json={"access_token": "t", "expires_in": 3599, "token_type": "Bearer"})
        if request.method == "GET":
            organization = {"id": "o", "verifiedDomains": [{"name": "example.com", "isDefault": True}]}
            found = [organization] if request.url.path.endswith("/organization") else []
            return httpx.Response(200, json={"value": found})
        return httpx.Response(201, json={"id": "11111111-2222-4333-8444-555555555555"})

    return httpx.AsyncClient(transport=httpx.MockTransport(answer))


def licence_key() -> str:
    claims = {"name": "local-test", "exp": 2054620169, "internal_users": 1000, "external_users": 1000}
    return f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.signature"


class Replay:
    """One authentik of one version, and the recorded calls made on it."""

    def __init__(self, profile: str) -> None:
        self.folder = CONTRACT / f"exchanges-{VERSIONS[profile]}"
        self.old = profile == "2025.12"
        world = World(clock=SandboxClock(datetime(2026, 11, 23, 8, 25, tzinfo=UTC)))
        world.entra_url = "https://graph.example"
        good = {
            "good-secret": "",
            "expired-secret": "AADSTS7000222: The provided client secret keys are expired.",
        }
        self.ak = create_authentik(
            world,
            profile,
            licensed=False,
            seed="recorded",
            outbound=lambda: microsoft(good),
            environment={"TEST_ENTRA_SECRET": "from the environment"},
        )
        # Two threads are blocked by the syncs of the providers that the recorded imports make.
        self.ak.worker.switches.threads = 6
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.ak.app), base_url="https://localhost"
        )
        self.token = self.ak.token
        self.known: dict[str, str] = {}
        self.results: dict[str, tuple[dict[str, Any], httpx.Response]] = {}

    def recorded(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / f"{name}.json").read_text())
        return found

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """A call that was not recorded, to bring about the state of the next one."""
        all_headers = {"Authorization": f"Bearer {self.token}", "Accept": "application/json", **headers}
        data = (
            body.encode() if isinstance(body, str) else json.dumps(body).encode() if body is not None else b""
        )
        if data:
            all_headers = {"Content-Type": "application/json", **all_headers}
        return await self.client.request(method, f"/api/v3{path}", content=data, headers=all_headers)

    async def must(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        answer = await self.call(method, path, body, **headers)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    async def steps(self, names: str) -> None:
        for name in names.split():
            recorded = self.recorded(name)
            request = recorded["request"]
            path = request["path"].replace("<path>", "/root/config/").removeprefix("/api/v3")
            body = request["body"]
            if body == {"key": "<left out>"}:
                body = {"key": licence_key()}
            headers = {key: value for key, value in request["headers"].items() if key != "Authorization"}
            text = self.ours(json.dumps([path, body]))
            path, body = json.loads(text)
            answer = await self.call(request["method"], path, body, **headers)
            self.results[name] = (recorded["response"], answer)
            if answer.headers.get("content-type", "").startswith("application/json"):
                self.learn(recorded["response"]["body"], answer.json())

    def ours(self, text: str) -> str:
        return UUID.sub(lambda found: self.known.get(found.group(0), found.group(0)), text)

    def learn(self, theirs: Any, ours: Any) -> None:
        """Remember which of our UUIDs stands for which of theirs."""
        if isinstance(theirs, dict) and isinstance(ours, dict):
            for key in theirs.keys() & ours.keys():
                self.learn(theirs[key], ours[key])
        elif isinstance(theirs, list) and isinstance(ours, list):
            for one, other in zip(theirs, ours, strict=False):
                self.learn(one, other)
        elif (
            isinstance(theirs, str)
            and isinstance(ours, str)
            and UUID.fullmatch(theirs)
            and UUID.fullmatch(ours)
        ):
            self.known.setdefault(theirs, ours)

    def number_providers_from(self, number: int) -> None:
        self.ak.state.tables["provider"]._last_id = number - 1

    async def settle(self) -> None:
        await self.ak.worker.settle()


Part = Callable[[Replay], Awaitable[None]]


async def licence_and_providers(run: Replay) -> None:
    await run.steps(
        "00_version_unlic 00_license_summary_unlic 00_entra_create_unlic 00_entra_create_unlic_full"
        " 00_entra_list_unlic 00_pm_list_unlic 00_bp_create_unlic"
        " 01_license_post 01_license_summary 01_license_summary_nocache"
        " 02_create_full 02_get 02_create_minimal 02_create_unknownfield 02_create_whitespace"
    )
    secret = "x" * 200 + "<cut>"
    long = {"name": "entra-long", "client_id": "c", "client_secret": secret, "tenant_id": "t"}
    await run.must("POST", "/providers/microsoft_entra/", long)
    await run.steps(
        "02_create_duplicate_pm 02_create_badjson 02_create_dupname 02_create_empty 02_create_form 02_create_list"
        " 02_create_nul 02_create_nulls 02_create_pm_by_managedname 02_create_wrongtypes 02_get_404 02_get_str"
        " 02_options 02_patch_secret 02_patch_secret_blank 02_patch_secret_null 02_patch_assigned_ro 02_patch_empty"
        " 02_patch_name_conflict 02_patch_unknown 02_put_partial 02_used_by 02_list_clientid 02_list_exclude"
        " 02_list_filtergroup 02_list_name 02_list_name_partial 02_list_pagesize 02_list_search 02_list_search_dsl"
        " 02_pm_all_managed 02_pm_lookup_both 02_pm_lookup_isnull 02_pm_lookup_user 02_providers_all_backchannel"
    )


async def applications(run: Replay) -> None:
    app = {"name": "Entra sync", "slug": "entra-sync", "backchannel_providers": [1]}
    await run.must("POST", "/core/applications/", app)
    await run.steps(
        "03_app_create_empty 03_app_create_badprov 03_app_create_dupslug 03_get_404 03_patch_null"
        " 03_patch_replace 03_prov2_after_replace 03_patch_both 03_patch_empty_list 03_patch_unrelated"
        " 03_app_create_steal 03_prov_after_steal 03_patch_back 03_delete_app"
    )
    await run.must("PATCH", "/core/applications/entra-sync/", {"meta_description": "x"})
    await run.steps("03_put_without_bp 03_app_create_dupname 03_app_create_min")
    await run.must("GET", "/core/applications/?slug=entra-sync")
    await run.steps(
        "03_list_slug_cached 03_list_superuser 03_list_name_cached 03_app_create_reserved 03_list_search"
        " 03_delete_prov 03_delete_prov_again 03_app_after_prov_delete 03_delete_app_with_prov"
        " 03_delete_app_with_prov2 03_prov_after_app_delete 03_app_create_as_provider 03_prov_after_as_provider"
    )
    run.number_providers_from(8)
    provider = {"name": "tx", "client_id": "c", "client_secret": "s", "tenant_id": "t"}
    made = await run.must("POST", "/providers/microsoft_entra/", provider)
    await run.must("POST", "/core/applications/", {"name": "tx", "slug": "tx", "provider": made["pk"]})
    await run.steps("03_transactional_app")


async def syncs_and_proofs(run: Replay) -> None:
    mappings = (await run.must("GET", "/propertymappings/provider/microsoft_entra/"))["results"]
    provider = {
        "name": "entra-sync-test",
        "client_id": "11111111-1111-1111-1111-111111111111",
        "client_secret": "good-secret",
        "tenant_id": "22222222-2222-2222-2222-222222222222",
        "property_mappings": [mappings[1]["pk"]],
        "property_mappings_group": [mappings[0]["pk"]],
    }
    await run.must("POST", "/providers/microsoft_entra/", provider)
    # The recorded schedule has run: only a later save of the provider makes it.
    await run.must("PATCH", "/providers/microsoft_entra/9/", {})
    groups = (await run.must("GET", "/core/groups/"))["results"]
    request = run.recorded("04_syncobj_group")["request"]["body"]
    run.known[request["sync_object_id"]] = groups[0]["pk"]
    await run.steps("04_syncobj_noapp")
    app = {"name": "entra-sync-test", "slug": "entra-sync-test", "backchannel_providers": [9]}
    await run.must("POST", "/core/applications/", app)
    await run.settle()
    await run.steps("04_status_fresh_app")
    switches = run.ak.worker.switches
    switches.busy = not run.old
    await run.steps(
        "04_syncobj_user 04_syncobj_user_override 04_syncobj_missing_user 04_syncobj_group 04_tasks_rel"
        " 04_schedules 04_syncobj_404 04_syncobj_badmodel 04_syncobj_empty"
    )
    switches.busy = False
    await run.settle()
    await run.steps("05_proof_good")
    await run.must("PATCH", "/providers/microsoft_entra/9/", {"client_secret": "wrong-secret"})
    await run.settle()
    await run.steps("05_proof_wrong 05_proof_wrong_task")
    await run.must("PATCH", "/providers/microsoft_entra/9/", {"client_secret": "expired-secret"})
    await run.settle()
    body = {"sync_object_model": "authentik.core.models.User", "sync_object_id": "999999"}
    await run.call("POST", "/providers/microsoft_entra/9/sync/object/", body)
    await run.steps("05_proof_expired_task 06_event_last_update 06_event_create_empty 06_event_create_rotate")
    await run.must("PATCH", "/providers/microsoft_entra/9/", {"client_secret": "good-secret"})
    await run.settle()


async def imports(run: Replay) -> None:
    await run.steps(
        "09_import_no_context 09_import_context 09_import_json 09_import_bad_yaml 09_import_bad_entry"
    )
    again = run.recorded("09_import_literal_again")["request"]
    content = again["body"].replace("imp-literal-2", "imp-literal")
    result = await run.must(
        "POST", "/managed/blueprints/import/", content, **{"Content-Type": again["headers"]["Content-Type"]}
    )
    assert result["success"]
    await run.steps("09_import_provider 09_import_literal_again 09_import_created")


async def blueprints(run: Replay) -> None:
    await run.steps("07_bp_create 07_bp_bad_tag 07_bp_bad_yaml")
    run.ak.worker.switches.halted = not run.old
    if run.old:
        await run.steps("07_bp_create_nocontext 07_bp_create_env 07_bp_apply_env")
        await run.settle()
        await run.steps("07_bp_get_env 07_bp_provider_env 07_bp_missing_field 07_bp_import_endpoint")
    await run.steps("07_bp_twostep_1 07_bp_twostep_2 07_bp_apply")
    if run.old:
        await run.settle()
    await run.steps("07_bp_get")
    if run.old:
        await run.steps("07_bp_provider 07_bp_reapply")
        await run.settle()
        await run.steps("07_bp_patch_created")
    run.ak.worker.switches.halted = False


ENTRA, CORE, BLUEPRINTS = "authentik_providers_microsoft_entra", "authentik_core", "authentik_blueprints"
PERMISSIONS = {
    "noperm": "",
    "rotate1": f"{ENTRA}.view_microsoftentraprovider {ENTRA}.change_microsoftentraprovider",
    "rotate2": f"{CORE}.view_application authentik_events.view_event authentik_events.add_event"
    " authentik_tasks.view_task authentik_rbac.view_system_info",
    "bootstrap": f"{ENTRA}.add_microsoftentraprovider {ENTRA}.view_microsoftentraprovidermapping"
    f" {CORE}.add_application {CORE}.view_group {CORE}.view_user"
    f" {BLUEPRINTS}.view_blueprintinstance {BLUEPRINTS}.add_blueprintinstance",
}
"""What each stage got in addition to the one before it."""


async def permissions(run: Replay) -> None:
    await run.settle()
    for provider in (await run.must("GET", "/providers/microsoft_entra/"))["results"]:
        if provider["pk"] != 9:
            await run.must("DELETE", f"/providers/microsoft_entra/{provider['pk']}/")
    if not run.old:
        await run.must("PATCH", "/providers/microsoft_entra/9/", {"dry_run": True})
    role = await run.must("POST", "/rbac/roles/", {"name": "entra-rotator"})
    group = run.recorded("08_group")["request"]["body"]
    run.known[group["roles"][0]] = role["pk"]
    account = 7 if not run.old else 5
    run.ak.state.tables["user"]._last_id = account - 1
    await run.steps("08_service_account 08_group 08_token_create 08_token_view_key")
    key = run.results["08_token_view_key"][1].json()["key"]
    administrator = run.token
    for stage, names in PERMISSIONS.items():
        path = f"/rbac/permissions/assigned_by_roles/{role['pk']}/assign/"
        await run.must("POST", path, {"permissions": names.split()})
        run.token = key
        for file in sorted(run.folder.glob(f"08_{stage}_*.json")):
            clogged = run.old and file.stem == "08_bootstrap_04"
            run.ak.worker.switches.busy = clogged
            await run.steps(file.stem)
            run.ak.worker.switches.busy = False
            if file.stem[-2:] == "02":
                await run.settle()
        run.token = administrator


async def replay(profile: str) -> dict[str, tuple[dict[str, Any], httpx.Response]]:
    run = Replay(profile)
    await run.ak.start()
    try:
        parts: list[Part] = [licence_and_providers, applications, syncs_and_proofs, blueprints, permissions]
        if not run.old:
            parts.insert(3, imports)
        for part in parts:
            await part(run)
    finally:
        await run.ak.stop()
        await run.client.aclose()
    return run.results


Replayed = dict[str, tuple[dict[str, Any], httpx.Response]]


@pytest.fixture(scope="session")
def replayed() -> Callable[[str], Replayed]:
    """The recorded reply and ours of every exchange, by profile and name; played once."""
    done: dict[str, Replayed] = {}

    def get(profile: str) -> Replayed:
        if profile not in done:
            done[profile] = asyncio.run(replay(profile))
        return done[profile]

    return get
