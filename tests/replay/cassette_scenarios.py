"""What is recorded: each command with the state of both services that it begins in, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from on_sandbox import console

from authentik_entra_bootstrap.cli import cli
from authentik_entra_bootstrap.cli.runner import Embedded
from authentik_entra_bootstrap.output.terminal import Terminal
from authentik_entra_bootstrap.sandbox.clock import SandboxClock
from authentik_entra_bootstrap.support.waiting import Waiter
from authentik_entra_bootstrap.workflows.session import Runtime

AUTHENTIK_URL = "https://authentik.example.com"
COMMAND = ("bootstrap", "--yes", "--login", "environment", "--output", "json")
OPERATOR_ROLES = (
    "Application.ReadWrite.All",
    "DelegatedPermissionGrant.ReadWrite.All",
    "Directory.Read.All",
    "Policy.Read.All",
)


@dataclass(frozen=True)
class Scenario:
    """One cassette.

    :param exit_code: of the command; ``error`` is its error code, empty where it succeeds.
    :param profile: authentik's release in the sandbox.
    :param sandbox: further arguments of the sandbox; ``prepare`` is given the running one.
    :param environment: variables that differ from the right ones.
    :param after: the scenario that must have run on the same two services before.
    :param needs: what a real tenant or authentik has to be like; empty where any will do.
    """

    name: str
    exit_code: int = 0
    error: str = ""
    profile: str = "2026.5"
    sandbox: dict[str, Any] = field(default_factory=dict)
    prepare: Callable[[Any], dict[str, str] | None] | None = None
    environment: dict[str, str] = field(default_factory=dict)
    after: str = ""
    needs: str = ""
    arguments: tuple[str, ...] = COMMAND


def _forbid_secrets(sandbox: Any) -> None:
    rule = {
        "restrictionType": "passwordAddition",
        "restrictForAppsCreatedAfterDateTime": None,
        "state": "enabled",
        "maxLifetime": None,
    }
    policy = {
        "id": "00000000-0000-0000-0000-000000000000",
        "displayName": "Default app management tenant policy",
        "isEnabled": True,
        "applicationRestrictions": {"passwordCredentials": [rule], "keyCredentials": []},
        "servicePrincipalRestrictions": {"passwordCredentials": [], "keyCredentials": []},
    }
    sandbox.world.default_tenant.put("policy", policy["id"], policy)


def _without_consent(sandbox: Any) -> dict[str, str]:
    from authentik_entra_bootstrap.sandbox.microsoft.seed import seed_tenant

    operator = seed_tenant(sandbox.world, name="fabrikam", operator_roles=OPERATOR_ROLES)
    return {
        "AZURE_TENANT_ID": operator.tenant_id,
        "AZURE_CLIENT_ID": operator.app_id,
        "AZURE_CLIENT_SECRET": operator.secret,
    }


SCENARIOS = (
    Scenario("bootstrap"),
    Scenario("second-run", after="bootstrap"),
    *(
        Scenario(code, 4, code, environment={variable: "not-the-right-one"})
        for code, variable in (
            ("operator-secret-wrong", "AZURE_CLIENT_SECRET"),
            ("authentik-token-invalid", "AUTHENTIK_TOKEN"),
        )
    ),
    Scenario(
        "licence-missing",
        5,
        "licence-required",
        sandbox={"authentik_options": {"licensed": False}},
        needs="authentik without an enterprise licence",
    ),
    Scenario(
        "secrets-forbidden",
        5,
        "secrets-forbidden-by-policy",
        prepare=_forbid_secrets,
        needs="a tenant whose app management policy forbids client secrets",
    ),
    Scenario(
        "consent-missing",
        5,
        "consent-required",
        prepare=_without_consent,
        needs="an operator without AppRoleAssignment.ReadWrite.All",
    ),
)
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """Its JSON document."""
        return json.loads(self.out)

    @property
    def error(self) -> str:
        """Its error code, or nothing."""
        return (self.document["error"] or {}).get("code", "")


def run(
    scenario: Scenario,
    clock: SandboxClock,
    pause: Callable[[float], Awaitable[None]],
) -> Ran:
    """Run the command with everything injected that would make its requests differ from run to run.

    :param clock: stands still between pauses, so that dates in requests are the same in a replay.
    :param pause: what a wait does besides moving the clock.
    """

    async def sleep(seconds: float) -> None:
        clock.advance(seconds)
        await pause(seconds)

    seed = hashlib.sha256(scenario.name.encode()).hexdigest()
    ids = random.Random(seed)
    waiter = Waiter(lambda: clock.now().timestamp(), sleep, random.Random(0))
    out, err = io.StringIO(), io.StringIO()
    terminal = Terminal(console(out), console(err))
    runtime = Runtime(
        waiter,
        now=clock.now,
        new_rotation_id=lambda: f"{ids.getrandbits(64):016x}",
        rng=random.Random(seed),
    )
    with contextlib.redirect_stdout(out):
        code = cli.main([*scenario.arguments], standalone_mode=False, obj=Embedded(terminal, runtime))
    return Ran(int(code or 0), out.getvalue(), err.getvalue())


async def at_once(_seconds: float) -> None:
    """A wait of a replay."""
    await asyncio.sleep(0)
