"""What the tests of faults, interruptions and refusals share: a connection on a sandbox, and what must hold."""

from __future__ import annotations

import functools
import io
import os
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

from on_sandbox import console, runtime_on

from authentik_entra_bootstrap.cli import run as run_command
from authentik_entra_bootstrap.cli.runner import Embedded
from authentik_entra_bootstrap.config.connection import ConnectionSettings
from authentik_entra_bootstrap.domain import Network
from authentik_entra_bootstrap.domain.application_tags import read_tags
from authentik_entra_bootstrap.output.terminal import Terminal
from authentik_entra_bootstrap.sandbox import Sandbox
from authentik_entra_bootstrap.sandbox.microsoft.objects import (
    application,
    hash_secret,
    iso,
    service_principal,
)
from authentik_entra_bootstrap.sandbox.requestlog import Entry
from authentik_entra_bootstrap.workflows.session import Runtime

ERRORS_PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "errors.md"
UNIQUE_NAME = "authentik-entra-default"
PROVIDER_NAME = "Microsoft Entra ID"
_CODE = re.compile(r"ERROR:.*?\[([A-Za-z0-9-]+)\]", re.DOTALL)
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\d+")


@functools.cache
def documented() -> dict[str, frozenset[int]]:
    """Error code -> exit codes, as the reference page has them."""
    found = re.findall(
        r"^### ([\w-]+)\n\nExit code ([\d, or]+)\.", ERRORS_PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    return {code: frozenset(map(int, re.findall(r"\d+", exits))) for code, exits in found}


@dataclass(frozen=True)
class Result:
    """What one run of a command left behind."""

    exit: int
    text: str

    @property
    def code(self) -> str | None:
        """The stable code of its error, if it ended with one."""
        found = _CODE.search(self.text)
        return found[1] if found else None

    def refuses_well(self) -> str | None:
        """What is wrong with the way it ended; ``None`` when it is done or says clearly why not."""
        if "Traceback" in self.text:
            return "a traceback was shown"
        if self.exit == 0:
            return None
        if self.code is None:
            return f"exit code {self.exit} without an error code"
        exits = documented().get(self.code) or documented().get(
            re.sub("-(\\w+)-taken", "-FIELD-taken", self.code)
        )
        if exits is None:
            return f"{self.code} is not documented"
        if self.exit not in exits:
            return f"{self.code} is documented with {set(exits)}, not with {self.exit}"
        return None


@dataclass(frozen=True)
class Request:
    """One request of a run, told apart from the others by what it asks and the how manieth it is."""

    server: str
    method: str
    pattern: str
    nth: int
    write: bool

    def __str__(self) -> str:
        return f"{self.server} {self.method} {self.pattern} #{self.nth}"

    def fault(self) -> dict[str, Any]:
        """The fields of a fault that hits just this request."""
        return {"server": self.server, "method": self.method, "path": self.pattern, "nth": self.nth}


@dataclass
class Ordeal:
    """A sandbox and commands against it, on the sandbox's clock.

    :param pause: real seconds that each wait takes, so that authentik's worker gets on.
    """

    sandbox: Sandbox
    pause: float = 0.004
    foreign: dict[str, Any] = field(default_factory=dict)

    def run(self, *arguments: str, network: dict[str, float] | None = None, **environment: str) -> Result:
        """Run a command as a person would; never raises.

        :param network: timeouts of this run, instead of the product's.
        """
        with mock.patch.dict(os.environ, {**self.sandbox.environment(), **environment}), short(network):
            return self.run_here(*arguments)

    def run_here(self, *arguments: str) -> Result:
        """The same with the environment as it is; may be called by several threads at once."""
        out = io.StringIO()
        terminal = Terminal(console(out), console(out))
        code = run_command(arguments, Embedded(terminal, self.runtime()))
        return Result(int(code), out.getvalue())

    def runtime(self) -> Runtime:
        """Everything injected, on the sandbox's clock."""
        return runtime_on(self.sandbox, self.pause)

    def requests(self) -> list[Request]:
        """Every request of ours so far; authentik's own syncs are left out."""
        found: dict[tuple[str, str, str], int] = {}
        result = []
        for entry in self.ours():
            pattern = (
                "^"
                + _ID.sub(
                    lambda match: r"\d+" if match[0].isdigit() else "[0-9a-f-]{36}", _literal(entry.path)
                )
                + "$"
            )
            key = (entry.server, entry.method, pattern)
            found[key] = found.get(key, 0) + 1
            result.append(Request(*key, found[key], entry.write))
        return result

    def ours(self, since: int = 0) -> list[Entry]:
        """The log without what authentik's worker and people sent."""
        return self.sandbox.world.log.since(since, Network().user_agent)

    def place_foreign_objects(self) -> None:
        """Things of other people on both sides, which nothing may touch."""
        world, directory = self.sandbox.world, self.sandbox.world.default_tenant
        when = iso(world.clock.now())
        app = application(world.guid(), world.guid(), "authentik provisioning", "contoso.example", when)
        key = world.guid()
        app["passwordCredentials"] = [
            {
                "customKeyIdentifier": None,
                "displayName": "somebody's",
                "startDateTime": when,
                "endDateTime": "2099-01-01T00:00:00Z",
                "hint": "abc",
                "keyId": key,
                "secretText": None,
            }
        ]
        app["_secrets"] = {key: hash_secret("somebody's")}
        directory.put("application", app["id"], app)
        principal = service_principal(
            world.guid(), app["appId"], app["displayName"], directory.tenant_id, when
        )
        directory.put("servicePrincipal", principal["id"], principal)
        authentik = self.sandbox.authentik
        context = authentik.context()
        models = authentik.state.models
        other = models["authentik_core.application"].create({"name": "Wiki", "slug": "wiki"}, context)
        self.foreign = {
            "application": (app["id"], _frozen(app)),
            "servicePrincipal": (principal["id"], _frozen(principal)),
            "wiki": _frozen(other),
        }

    def flaws(self) -> list[str]:
        """What is not as it has to be after an undisturbed run: empty when the connection stands alone and works."""
        return [*self._flaws_of_tenant(), *self._flaws_of_authentik(), *self._foreign_flaws()]

    def application(self) -> dict[str, Any]:
        """Our application."""
        (found,) = (
            app
            for app in self.sandbox.world.default_tenant.all("application")
            if app.get("uniqueName") == UNIQUE_NAME
        )
        return found

    def our_secrets(self) -> list[dict[str, Any]]:
        """The client secrets of our application that we made."""
        return [
            item
            for item in self.application()["passwordCredentials"]
            if str(item["displayName"]).startswith("authentik-entra:")
        ]

    def stored_secret(self) -> str:
        """What authentik signs in with."""
        state = self.sandbox.authentik.state
        (provider,) = [row for row in state.tables["provider"] if row["name"] == PROVIDER_NAME]
        return str(provider["client_secret"])

    def _flaws_of_tenant(self) -> Iterable[str]:
        directory = self.sandbox.world.default_tenant
        apps = [app for app in directory.all("application") if "authentik-entra" in app.get("tags", ())]
        if len(apps) != 1:
            yield f"{len(apps)} applications of ours"
            return
        app = apps[0]
        secrets = self.our_secrets()
        if len(secrets) != 1:
            yield f"{len(secrets)} live client secrets of ours"
        marks = read_tags(tuple(app["tags"]))
        if marks.pending is not None:
            yield f"still pending: {marks.pending}"
        if marks.current is None or [marks.current.key_id] != [item["keyId"] for item in secrets]:
            yield f"current is {marks.current}, there is {[item['keyId'] for item in secrets]}"
        principals = [item for item in directory.all("servicePrincipal") if item["appId"] == app["appId"]]
        if len(principals) != 1:
            yield f"{len(principals)} service principals"
            return
        mine = principals[0]["id"]
        roles = [
            item["appRoleId"] for item in directory.all("appRoleAssignment") if item["principalId"] == mine
        ]
        if len(roles) != 4 or len(set(roles)) != 4:
            yield f"{len(roles)} application permissions"
        grants = [item for item in directory.all("oauth2PermissionGrant") if item["clientId"] == mine]
        if [sorted(item["scope"].split()) for item in grants] != [["User.Read"]]:
            yield f"delegated grants {[item['scope'] for item in grants]}"

    def _flaws_of_authentik(self) -> Iterable[str]:
        tables = self.sandbox.authentik.state.tables
        providers = [row for row in tables["provider"] if row["name"] == PROVIDER_NAME]
        if len(providers) != 1 or len(list(tables["provider"])) != 1:
            yield f"providers {[row['name'] for row in tables['provider']]}"
            return
        app = self.application()
        if hash_secret(self.stored_secret()) not in app["_secrets"].values():
            yield "authentik holds a secret that is not the application's"
        holder = tables["application"].get(providers[0]["backchannel_application"])
        if holder is None or holder["slug"] != "microsoft-entra-id":
            yield f"the provider belongs to {holder and holder['slug']}"

    def _foreign_flaws(self) -> Iterable[str]:
        if not self.foreign:
            return
        directory = self.sandbox.world.default_tenant
        for kind in ("application", "servicePrincipal"):
            identifier, before = self.foreign[kind]
            now = directory.get(kind, identifier)
            if now is None or _frozen(now) != before:
                yield f"somebody's {kind} was changed"
        wiki = next(
            (row for row in self.sandbox.authentik.state.tables["application"] if row["slug"] == "wiki"), None
        )
        if wiki is None or _frozen(wiki) != self.foreign["wiki"]:
            yield "somebody's authentik application was changed"


def _literal(path: str) -> str:
    return re.escape(path).replace(r"\-", "-")


def _frozen(value: dict[str, Any]) -> str:
    return repr(sorted((key, str(item)) for key, item in value.items()))


def short(network: dict[str, float] | None) -> Any:
    """Timeouts for one run."""
    real: Callable[[ConnectionSettings], Network] = ConnectionSettings.network
    values: dict[str, Any] = dict(network or {})
    return mock.patch.object(
        ConnectionSettings, "network", lambda settings: replace(real(settings), **values)
    )


def wait_for(condition: Callable[[], bool], seconds: float = 300.0) -> bool:
    """Look until a condition of another thread holds. The limit is for what never comes, also on a busy machine."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return condition()
