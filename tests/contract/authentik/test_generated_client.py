"""The generated client of the newest release parses what the sandbox answers."""

from __future__ import annotations

import json
import re
from importlib import import_module
from typing import Any

import httpx
import pytest

from authentik_entra_bootstrap.sandbox.authentik.app import create_authentik
from authentik_entra_bootstrap.sandbox.world import World

READ = [
    ("Version", "/admin/version/"),
    ("Config", "/root/config/"),
    ("LicenseSummary", "/enterprise/license/summary/"),
    ("PaginatedLicenseList", "/enterprise/license/"),
    ("SessionUser", "/core/users/me/"),
    ("PaginatedUserList", "/core/users/"),
    ("PaginatedGroupList", "/core/groups/"),
    ("PaginatedTokenList", "/core/tokens/"),
    ("PaginatedApplicationList", "/core/applications/?superuser_full_list=true"),
    ("Application", "/core/applications/entra/"),
    ("PaginatedMicrosoftEntraProviderList", "/providers/microsoft_entra/"),
    ("MicrosoftEntraProvider", "/providers/microsoft_entra/1/"),
    ("SyncStatus", "/providers/microsoft_entra/1/sync/status/"),
    ("PaginatedPropertyMappingList", "/propertymappings/all/"),
    (
        "PaginatedMicrosoftEntraProviderMappingList",
        "/propertymappings/provider/microsoft_entra/",
    ),
    ("PaginatedBlueprintInstanceList", "/managed/blueprints/"),
    ("PaginatedEventList", "/events/events/"),
    ("PaginatedNotificationTransportList", "/events/transports/"),
    ("PaginatedScheduleList", "/tasks/schedules/"),
    ("PaginatedTaskList", "/tasks/tasks/?rel_obj_id=1"),
    ("PaginatedRoleList", "/rbac/roles/"),
    ("PaginatedPermissionList", "/rbac/permissions/"),
]


def model(name: str) -> Any:
    """A class of ``authentik_client.models``, whose modules are named after their classes."""
    import authentik_entra_bootstrap.authentik  # noqa: F401 - the client's packages bare

    module = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
    return getattr(import_module(f"authentik_client.models.{module}"), name)


@pytest.fixture
async def replies() -> dict[str, Any]:
    ak = create_authentik(World(), "2026.8", environment={})
    headers = {"Authorization": f"Bearer {ak.token}"}
    transport = httpx.ASGITransport(ak.app)
    async with httpx.AsyncClient(
        transport=transport, base_url="https://ak/api/v3", headers=headers
    ) as client:
        provider = {"name": "entra", "client_id": "c", "client_secret": "s", "tenant_id": "t"}
        made = await client.post("/providers/microsoft_entra/", json=provider)
        app = {"name": "entra", "slug": "entra", "backchannel_providers": [made.json()["pk"]]}
        await client.post("/core/applications/", json=app)
        return {path: (await client.get(path)).json() for _, path in READ}


async def test_every_reply_is_parsed(replies: dict[str, Any]) -> None:
    for name, path in READ:
        parsed = model(name).from_json(json.dumps(replies[path]))
        assert parsed is not None, path
        assert set(parsed.to_dict()) <= set(replies[path]) | {"original"}, path
