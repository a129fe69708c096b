"""The worker against the embedded tenant, over TLS, driven only through the two APIs."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from authentik_entra_bootstrap.sandbox import Sandbox, Switches
from authentik_entra_bootstrap.sandbox.clock import SandboxClock

ROLES = ("User.ReadWrite.All", "Group.ReadWrite.All", "GroupMember.ReadWrite.All", "Organization.Read.All")
GRAPH_APP = "00000003-0000-0000-c000-000000000000"
ENTRA = "/api/v3/providers/microsoft_entra/"
SYNC_OBJECT = {"sync_object_model": "authentik.core.models.User", "sync_object_id": "999999"}


class Life:
    """A running sandbox with one client per side, both as administrator."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.worker = sandbox.authentik.worker
        context = ssl.create_default_context(cafile=str(sandbox.ca_file))
        self.entra = httpx.Client(base_url=sandbox.entra_url, verify=context, timeout=20)
        operator = sandbox.operator
        self.entra.headers["authorization"] = f"Bearer {self.token(operator.app_id, operator.secret)}"
        self.authentik = httpx.Client(base_url=sandbox.authentik_url, verify=context, timeout=20)
        self.authentik.headers["authorization"] = f"Bearer {sandbox.authentik.token}"

    def refused_sign_ins(self) -> list[str]:
        return [sign_in.error_code for sign_in in self.worker.sign_ins if not sign_in.ok]

    def close(self) -> None:
        self.entra.close()
        self.authentik.close()

    def token(self, app_id: str, secret: str) -> str:
        form = {
            "client_id": app_id,
            "client_secret": secret,
            "grant_type": "client_credentials",
            "scope": "https://graph.microsoft.com/.default",
        }
        reply = self.entra.post(f"/{self.sandbox.operator.tenant_id}/oauth2/v2.0/token", data=form)
        return str(reply.raise_for_status().json()["access_token"])

    def graph(self, method: str, path: str, body: Any = None) -> Any:
        reply = self.entra.request(method, f"/v1.0{path}", json=body).raise_for_status()
        return reply.json() if reply.content else None

    def api(self, method: str, path: str, body: Any = None) -> Any:
        reply = self.authentik.request(method, path, json=body).raise_for_status()
        return reply.json() if reply.content else None

    def application(self) -> tuple[dict[str, Any], str]:
        """An application that may provision, and a secret of it."""
        app = self.graph("POST", "/applications", {"displayName": "authentik"})
        principal = self.graph("POST", "/servicePrincipals", {"appId": app["appId"]})
        graph = self.graph("GET", f"/servicePrincipals(appId='{GRAPH_APP}')")
        for role in graph["appRoles"]:
            if role["value"] in ROLES:
                grant = {"principalId": principal["id"], "resourceId": graph["id"], "appRoleId": role["id"]}
                self.graph("POST", f"/servicePrincipals/{principal['id']}/appRoleAssignments", grant)
        return app, self.secret(app)

    def secret(self, app: dict[str, Any], **ends: str) -> str:
        body = {"passwordCredential": {"displayName": "s", **ends}}
        return str(self.graph("POST", f"/applications/{app['id']}/addPassword", body)["secretText"])

    def provider(
        self, app: dict[str, Any], secret: str, *, assigned: bool = True, **data: Any
    ) -> dict[str, Any]:
        mappings = self.api("GET", "/api/v3/propertymappings/provider/microsoft_entra/")["results"]
        keys = {row["managed"].rpartition("/")[2]: row["pk"] for row in mappings}
        body = {
            "name": "entra",
            "client_id": app["appId"],
            "client_secret": secret,
            "tenant_id": self.sandbox.operator.tenant_id,
            "property_mappings": [keys["user"]],
            "property_mappings_group": [keys["group"]],
            # Their accounts have no e-mail address, which stops a sync from 2026.2 on.
            "exclude_users_service_account": True,
        }
        made: dict[str, Any] = self.api("POST", ENTRA, body | data)
        if assigned:
            self.api(
                "POST",
                "/api/v3/core/applications/",
                {"name": "e", "slug": "e", "backchannel_providers": [made["pk"]]},
            )
            self.api("PATCH", f"{ENTRA}{made['pk']}/", {})  # only a save starts a sync
        return made

    def names(self, kind: str) -> set[str]:
        return {row["displayName"] for row in self.graph("GET", f"/{kind}")["value"]}

    def prove(self, provider: dict[str, Any], object_id: str = "999999") -> tuple[int, Any]:
        """Status of ``sync/object``, and its task."""
        body = SYNC_OBJECT | {"sync_object_id": object_id}
        reply = self.authentik.post(f"{ENTRA}{provider['pk']}/sync/object/", json=body)
        query = (
            f"rel_obj_content_type__model=microsoftentraprovider&rel_obj_id={provider['pk']}&ordering=-mtime"
        )
        tasks = self.api("GET", f"/api/v3/tasks/tasks/?{query}")["results"]
        return reply.status_code, next(
            task for task in tasks if task["uid"].endswith(f":user:{object_id}:manual")
        )

    def until(self, check: Callable[[], bool]) -> None:
        limit = time.monotonic() + 8
        while not check():
            assert time.monotonic() < limit, "it did not happen in time"
            time.sleep(0.03)

    def settled(self) -> None:
        tasks = self.sandbox.authentik.state.tables["task"]
        self.until(lambda: all(task["state"] in {"done", "rejected"} or task["eta"] for task in tasks))


@pytest.fixture
def live() -> Iterator[Callable[..., Life]]:
    """Starts sandboxes; stops them at the end."""
    lives: list[Life] = []

    def start(profile: str = "2026.5", **options: Any) -> Life:
        sandbox = Sandbox(seed=2, authentik_profile=profile, clock=SandboxClock(running=False), **options)
        lives.append(Life(sandbox.start()))
        return lives[-1]

    yield start
    for life in lives:
        life.close()
        life.sandbox.stop()


@pytest.mark.parametrize("profile", ["2025.12", "2026.2", "2026.5", "2026.8"])
def test_users_groups_and_members_arrive_in_the_tenant(live: Callable[..., Life], profile: str) -> None:
    life = live(profile)
    app, secret = life.application()
    provider = life.provider(app, secret)
    life.settled()
    assert {"Ada Lovelace", "Grace Hopper", "Alan Turing", "Katherine Johnson"} <= life.names("users")
    assert {"Engineering", "Research"} <= life.names("groups")
    groups = life.graph("GET", "/groups")["value"]
    (engineering,) = [row for row in groups if row["displayName"] == "Engineering"]
    members = life.graph("GET", f"/groups/{engineering['id']}/members")["value"]
    assert {row["displayName"] for row in members} == {"Ada Lovelace", "Grace Hopper"}
    rows = life.api("GET", f"/api/v3/providers/microsoft_entra_users/?provider__id={provider['pk']}")[
        "results"
    ]
    assert len(rows) >= 4
    status = life.api("GET", f"{ENTRA}{provider['pk']}/sync/status/")
    assert (status["is_running"], status["last_sync_status"]) == (False, "done")
    assert life.refused_sign_ins() == []
    code, task = life.prove(provider)
    assert code == 200
    assert "Syncing page 1 or Users" in [line["event"] for line in task["logs"]]


def test_wrong_and_expired_secret(live: Callable[..., Life]) -> None:
    life = live("2025.12")
    app, _ = life.application()
    soon = life.sandbox.world.clock.now() + timedelta(minutes=5)
    short = life.secret(app, endDateTime=soon.strftime("%Y-%m-%dT%H:%M:%SZ"))
    wrong = life.provider(app, "not-a-secret")
    code, task = life.prove(wrong)
    assert code == 405
    assert "AADSTS7000215" in task["previous_logs"][-1]["event"]
    life.api("PATCH", f"{ENTRA}{wrong['pk']}/", {"client_secret": short})
    code, _ = life.prove(wrong, "999998")
    assert code == 200
    life.sandbox.world.clock.advance(timedelta(minutes=6))
    code, task = life.prove(wrong, "999997")
    assert code == 405
    assert "AADSTS7000222" in task["previous_logs"][-1]["event"]
    codes = set(life.refused_sign_ins())
    assert codes == {"AADSTS7000215", "AADSTS7000222"}


def test_unreachable_and_unassigned(live: Callable[..., Life]) -> None:
    life = live()
    app, secret = life.application()
    provider = life.provider(app, secret, assigned=False)
    code, task = life.prove(provider)
    assert code == 200
    assert "No provider found. Is it assigned to an application?" in [line["event"] for line in task["logs"]]
    life.api(
        "POST",
        "/api/v3/core/applications/",
        {"name": "e", "slug": "e", "backchannel_providers": [provider["pk"]]},
    )
    life.settled()
    life.worker.switches.microsoft_unreachable = True
    code, task = life.prove(provider, "999998")
    assert code == 200
    assert "Syncing page 1 or Users" not in [line["event"] for line in task["logs"]]


def test_deletions_and_dry_run_reach_the_tenant_or_not(live: Callable[..., Life]) -> None:
    life = live()
    app, secret = life.application()
    provider = life.provider(app, secret, user_delete_action="suspend")
    life.settled()
    people = {row["name"]: row["pk"] for row in life.api("GET", "/api/v3/core/users/")["results"]}
    life.api("DELETE", f"/api/v3/core/users/{people['Ada Lovelace']}/")
    life.settled()
    users = life.graph("GET", "/users?$select=displayName,accountEnabled")["value"]
    assert {row["displayName"]: row["accountEnabled"] for row in users}["Ada Lovelace"] is False
    life.api("PATCH", f"{ENTRA}{provider['pk']}/", {"user_delete_action": "delete"})
    life.api("DELETE", f"/api/v3/core/users/{people['Alan Turing']}/")
    life.settled()
    assert "Alan Turing" not in life.names("users")
    life.api("PATCH", f"{ENTRA}{provider['pk']}/", {"dry_run": True})
    life.api("DELETE", f"/api/v3/core/users/{people['Grace Hopper']}/")
    life.settled()
    assert "Grace Hopper" in life.names("users")


def test_schedule_runs_every_four_hours_and_the_secret_ends_in_between(live: Callable[..., Life]) -> None:
    life = live()
    app, _ = life.application()
    clock = life.sandbox.world.clock
    ends = clock.now() + timedelta(hours=9)
    life.provider(app, life.secret(app, endDateTime=ends.strftime("%Y-%m-%dT%H:%M:%SZ")))
    life.settled()
    for _ in range(2):
        before = len(life.worker.sign_ins)
        clock.advance(timedelta(hours=4))
        life.until(lambda count=before: len(life.worker.sign_ins) > count)
        life.settled()
    assert life.refused_sign_ins() == []
    clock.advance(timedelta(hours=4))
    life.until(lambda: bool(life.refused_sign_ins()))
    assert life.refused_sign_ins()[0] == "AADSTS7000222"


def test_lag_and_throttling_only_delay(live: Callable[..., Life]) -> None:
    life = live(switches=Switches(lag=10, flapping=True, throttle_rate=0.05))
    sandbox = life.sandbox
    sandbox.world.switches.throttle_rate = 0
    app, secret = _patiently(life)
    sandbox.world.switches.throttle_rate = 0.05
    life.provider(app, secret)
    tasks = sandbox.authentik.state.tables["task"]
    for _ in range(40):
        time.sleep(0.1)
        if all(task["state"] == "done" for task in tasks):
            break
        sandbox.world.clock.advance(timedelta(seconds=20))
    sandbox.world.switches.throttle_rate = 0
    sandbox.world.clock.advance(timedelta(seconds=20))
    assert {"Ada Lovelace", "Katherine Johnson"} <= life.names("users")


def _patiently(life: Life) -> tuple[dict[str, Any], str]:
    """Make the application without waiting for replicas: the lag is off meanwhile."""
    life.sandbox.world.switches.lag = 0
    made = life.application()
    life.sandbox.world.clock.advance(timedelta(minutes=1))
    life.sandbox.world.switches.lag = 10
    return made
