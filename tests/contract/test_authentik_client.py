"""Recorded answers of real authentiks, read by the adapter: nothing is skipped, nothing is misread."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from authentik_entra_bootstrap import errors
from authentik_entra_bootstrap.authentik.adapter import AuthentikAdapter
from authentik_entra_bootstrap.authentik.api_errors import refusal
from authentik_entra_bootstrap.authentik.providers import application, provider
from authentik_entra_bootstrap.authentik.requests import Call, Redactor, Reply
from authentik_entra_bootstrap.authentik.server import (
    license_info,
    user,
)
from authentik_entra_bootstrap.authentik.syncs import change, sync_status, task
from authentik_entra_bootstrap.domain import Network, ProviderPk, SecretText
from authentik_entra_bootstrap.planning.preflight import allows_saving
from authentik_entra_bootstrap.support.waiting import Waiter

CONTRACT = Path(__file__).parents[2].parent / "shared" / "contract" / "authentik"
FOLDERS = sorted(CONTRACT.glob("exchanges-*")) if CONTRACT.is_dir() else []
EXCHANGES = [file for folder in FOLDERS for file in sorted(folder.glob("*.json"))]

needs_contract = pytest.mark.skipif(
    not EXCHANGES, reason="the recorded exchanges are not beside the repository"
)


def named(file: Path) -> str:
    return f"{file.parent.name.removeprefix('exchanges-')}/{file.stem}"


def recorded(file: Path) -> tuple[dict[str, Any], Reply]:
    exchange = json.loads(file.read_text(encoding="utf-8"))
    request, response = exchange["request"], exchange["response"]
    body = response["body"]
    headers = {name.lower(): value for name, value in response["headers"].items()}
    data = b"" if body in ("", None) else json.dumps(body).encode()
    path = request["path"].removeprefix("/api/v3").partition("?")[0]
    return request, Reply(request["method"], path, response["status"], headers, data)


def wanted(reply: Reply, text: str) -> tuple[type[errors.BootstrapError], str]:
    """Class and code of the error that a recorded refusal stands for."""
    if reply.status == 403 and "Token invalid" in text:
        return errors.Denied, "authentik-token-invalid"
    if reply.status == 403:
        return errors.Denied, "authentik-permission-missing"
    if reply.status == 404 and reply.is_json:
        return errors.NotFound, "authentik-not-found"
    if reply.status == 404:
        return errors.ConfigError, "authentik-not-found-at-url"
    if reply.status == 405 and not text:
        return errors.ServiceUnavailable, "authentik-server-error"
    if reply.status == 400 and "Enterprise is required" in text:
        return errors.AdminActionRequired, "licence-required"
    if reply.status == 400 and "already exists" in text:
        return errors.AlreadyExists, "-taken"
    return errors.UnexpectedAnswer, "authentik-"


@needs_contract
@pytest.mark.parametrize("file", EXCHANGES, ids=named)
def test_every_recorded_refusal_has_its_error(file: Path) -> None:
    request, reply = recorded(file)
    if reply.status < 300:
        assert reply.status in {200, 201, 204}
        return
    redactor = Redactor()
    body = request["body"] if isinstance(request["body"], dict) else {}
    secret = str(body.get("client_secret") or "")
    redactor.add(SecretText(secret))
    error = refusal(reply, "a.permission", redactor)
    kind, code = wanted(reply, reply.data.decode())
    assert type(error) is kind
    assert code in error.code
    assert error.trace is not None
    assert error.trace.request_id == reply.headers["x-authentik-id"]
    if len(secret) > 5:
        assert secret not in str(error)


def check_provider(body: Mapping[str, Any]) -> None:
    found = provider(body)
    assert (found.pk, found.name, found.client_id) == (body["pk"], body["name"], body["client_id"])
    assert list(found.property_mappings) == body["property_mappings"]
    assert found.application_slug == body["assigned_backchannel_application_slug"]
    assert found.sync_page_size == body["sync_page_size"]
    assert "client_secret=" not in repr(found)


def check_application(body: Mapping[str, Any]) -> None:
    found = application(body)
    assert (found.slug, found.provider_pk) == (body["slug"], body["provider"])
    assert list(found.backchannel_provider_pks) == body["backchannel_providers"]


def check_task(body: Mapping[str, Any]) -> None:
    found = task(body, Redactor())
    assert (found.uid, found.state, found.mtime is None) == (body["uid"], body["state"], False)
    entries = [*body["previous_logs"], *body["logs"]]
    pairs = zip(found.log_lines, entries, strict=True)
    assert all(line.startswith(entry["event"]) for line, entry in pairs)


def check_event(body: Mapping[str, Any]) -> None:
    found = change(body)
    request_id = body["context"].get("http_request", {}).get("request_id")
    assert found is not None
    assert (found.action, found.request_id) == (body["action"], request_id)


def check_status(body: Mapping[str, Any]) -> None:
    found = sync_status(body)
    assert (found.is_running, found.last_sync_status) == (body["is_running"], body.get("last_sync_status"))
    assert (found.last_successful_sync is None) == (body.get("last_successful_sync") is None)


def check_licence(body: Mapping[str, Any]) -> None:
    found = license_info(body)
    assert (found.status, allows_saving(found)) == (body["status"], body["status"] == "valid")


def check_me(body: Mapping[str, Any]) -> None:
    assert user(body).username == body["user"]["username"]


CHECKS = {
    r"/providers/microsoft_entra/(\d+/)?": check_provider,
    r"/core/applications/([-\w]+/)?": check_application,
    r"/tasks/tasks/": check_task,
    r"/events/events/": check_event,
    r"/providers/microsoft_entra/\d+/sync/status/": check_status,
    r"/enterprise/license/summary/": check_licence,
    r"/core/users/me/": check_me,
}


@needs_contract
@pytest.mark.parametrize("pattern", CHECKS)
def test_every_recorded_object_is_read(pattern: str) -> None:
    seen = 0
    for file in EXCHANGES:
        request, reply = recorded(file)
        read = reply.status in {200, 201} and reply.data and request["method"] != "OPTIONS"
        if not read or not re.fullmatch(pattern, reply.path):
            continue
        body: Any = reply.json()
        for entry in body.get("results", [body]):
            CHECKS[pattern](entry)
            seen += 1
    assert seen


class Replayed(AuthentikAdapter):
    """Answers every call from the recordings of one version, newest name first."""

    def __init__(self, folder: Path) -> None:
        async def no_sleep(seconds: float) -> None:
            self.slept.append(seconds)

        super().__init__(
            "https://authentik.example.com",
            SecretText("token-canary"),
            Network(),
            Waiter(lambda: sum(self.slept), no_sleep, random.Random(0)),
        )
        self.slept: list[float] = []
        self.folder = folder
        self.names: dict[tuple[str, str], str] = {}
        self._api.exchange = self.replay

    async def replay(self, call: Call) -> Reply:
        name = self.names.get((call.method, call.shown_path))
        if name is None:
            return Reply(call.method, call.shown_path, 404, {"content-type": "application/json"}, b"{}")
        return recorded(self.folder / f"{name}.json")[1]


@needs_contract
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
async def test_the_adapter_over_recorded_answers(folder: Path) -> None:
    adapter = Replayed(folder)
    entra, pk = "/providers/microsoft_entra/", ProviderPk(9)
    adapter.names = {
        ("GET", "/admin/version/"): "00_version_unlic",
        ("GET", "/root/config/"): "08_noperm_16",
        ("OPTIONS", entra): "02_options",
        ("GET", "/enterprise/license/summary/"): "01_license_summary_nocache",
        ("GET", "/core/users/me/"): "08_rotate1_20",
        ("GET", entra): "02_list_name",
        ("GET", f"{entra}9/sync/status/"): "08_bootstrap_03",
        ("POST", f"{entra}9/sync/object/"): "05_proof_wrong",
        ("GET", "/tasks/tasks/"): "05_proof_wrong_task",
        ("GET", "/events/events/"): "06_event_last_update",
        ("GET", "/propertymappings/provider/microsoft_entra/"): "02_pm_lookup_both",
        ("PATCH", f"{entra}9/"): "02_patch_empty",
    }
    info = await adapter.server()
    assert folder.name.endswith(info.version)
    assert "client_secret" in info.provider_fields
    assert allows_saving(await adapter.license())
    assert (await adapter.me()).username == "entra-rotator"
    assert await adapter.find_provider("entra-1") is not None
    assert (await adapter.sync_status(pk)).last_sync_status == "done"
    assert await adapter.request_proof(pk, 999999) is not None, "its 405 is no error"
    found = await adapter.proof_task(pk, "entra-sync-test", 999999)
    assert found is not None
    assert found.state == "queued"
    assert not any("Syncing page" in line for line in found.log_lines)
    changed = await adapter.last_change(pk)
    assert changed is not None
    assert changed.action == "model_updated"
    assert changed.request_id is not None
    assert len(changed.request_id) == 32
    users, groups = await adapter.default_mappings()
    assert len(users) == len(groups) == 1
    assert (await adapter.start_sync(pk)).request_id is not None
    assert adapter.slept == []
