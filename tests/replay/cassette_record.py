"""Records the cassettes: ``make record`` runs this file.

Without further variables against the sandbox, under the real services' names. With ``CASSETTES=real`` against the
tenant and the authentik of ``AZURE_*`` and ``AUTHENTIK_*``: see ``CONTRIBUTING.md``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import httpcore
import urllib3.util.connection
from cassette_format import (
    FOLDER,
    Format,
    Header,
    library_versions,
    python_version,
    read_header,
    recording,
)
from cassette_libraries import import_all
from cassette_scenarios import AUTHENTIK_URL, BY_NAME, SCENARIOS, Scenario, run
from cassette_scrub import Scrubber
from vcr.request import Request

from authentik_entra_bootstrap._version import __version__
from authentik_entra_bootstrap.domain import CLOUDS
from authentik_entra_bootstrap.sandbox import Sandbox, server
from authentik_entra_bootstrap.sandbox.clock import SandboxClock

LOGIN, GRAPH = CLOUDS["global"].authority, CLOUDS["global"].graph
USER_AGENT = "authentik-entra-bootstrap"
REAL_TENANT = "10000000-0000-4000-8000-000000000001"
REAL_CLIENT = "10000000-0000-4000-8000-000000000002"
_SECONDS_FOR_THE_WORKER = 0.02


@dataclass
class Target:
    """Two services to record against.

    :param authentik: release of authentik; empty where it is asked.
    :param environment: variables for the command.
    :param names: what stands for what in the cassettes.
    """

    against: str
    authentik: str
    environment: dict[str, str]
    names: dict[str, str]
    tenant_id: str
    client_id: str
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    advance: Callable[[float], object] = field(default=lambda _: None)
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    settle: Callable[[], object] = field(default=lambda: None)
    """Waits until authentik has done what a command has started."""

    def clock(self) -> SandboxClock:
        """A clock for one command that stands still between its waits, at a full second not before now."""
        return SandboxClock((self.now() + timedelta(seconds=1)).replace(microsecond=0), running=False)

    async def wait(self, seconds: float) -> None:
        """What a wait of the command does besides moving its own clock."""
        self.advance(seconds)
        await self.pause(seconds)


def record(scenario: Scenario, target: Target) -> None:
    """Run one scenario and write its cassette.

    :raises SystemExit: it ended in another way than it should; the old cassette stays.
    """
    clock = target.clock()
    header = Header(
        against=target.against,
        version=__version__,
        authentik=target.authentik,
        started=clock.now().isoformat(),
        python=python_version(),
        tenant_id=target.tenant_id,
        client_id=target.client_id,
        command=" ".join(("authentik-entra", *scenario.arguments)),
        libraries=library_versions(),
    )
    environment = {**target.environment, **scenario.environment}
    secrets = {
        environment[name]
        for name in ("AZURE_CLIENT_SECRET", "AUTHENTIK_TOKEN", "AZURE_CLIENT_CERTIFICATE_PASSWORD")
        if environment.get(name)
    }
    form = Format(header)
    scrubber = Scrubber(target.names, secrets)
    scrubbed: list[Request] = []

    def ours(request: Request) -> Request | None:
        """The embedded authentik's own requests, made in this process, are not the program's."""
        agents = [value for name, value in request.headers.items() if name.lower() == "user-agent"]
        if request in scrubbed:
            return request  # vcrpy filters what it has filtered
        if USER_AGENT not in str(agents):
            return None
        scrubbed.append(scrubber.request(request))
        return scrubbed[-1]

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{scenario.name}.yaml"
        with (
            mock.patch.dict(os.environ, environment),
            recording(
                file, form, before_record_request=ours, before_record_response=scrubber.response
            ) as cassette,
        ):
            ran = run(scenario, clock, target.wait)
            form.header = replace(header, authentik=target.authentik or _release(cassette.responses))
        if (ran.code, ran.error) != (scenario.exit_code, scenario.error):
            raise SystemExit(f"{scenario.name}: exit code {ran.code} {ran.error}\n{ran.err}{ran.out}")
        text = file.read_text(encoding="utf-8")
        if left := [name for name in secrets if name in text]:
            raise SystemExit(f"{scenario.name}: {len(left)} secrets would stand in the cassette; not written")
        FOLDER.mkdir(exist_ok=True)
        (FOLDER / file.name).write_text(text, encoding="utf-8")
    say(f"{scenario.name}: {len(cassette)} requests")


def _release(responses: list[dict[str, Any]]) -> str:
    """The release that authentik named in its answers."""
    for response in responses:
        if found := re.search(rb'"version_current": "([^"]+)"', response["body"]["string"]):
            return found[1].decode()
    return "not asked"


@contextlib.contextmanager
def sandbox_target(scenario: Scenario) -> Iterator[Target]:
    """A sandbox that is reached under the real services' names."""
    hosts = {urlsplit(url).hostname or "" for url in (LOGIN, GRAPH, AUTHENTIK_URL)}
    with (
        mock.patch.object(server, "NAMES", (*server.NAMES, *sorted(hosts))),
        Sandbox(authentik_profile=scenario.profile, **scenario.sandbox) as sandbox,
    ):
        world = sandbox.world
        real = {urlsplit(LOGIN).hostname: world.entra_url, urlsplit(GRAPH).hostname: world.entra_url}
        real[urlsplit(AUTHENTIK_URL).hostname] = world.authentik_url
        ports = {str(name): urlsplit(url).port or 0 for name, url in real.items()}
        environment = sandbox.environment()
        for name in ("AZURE_AUTHORITY_HOST", "AUTHENTIK_ENTRA_GRAPH_URL"):
            environment.pop(name)
        environment["AUTHENTIK_URL"] = AUTHENTIK_URL
        names = {f"{LOGIN}/v1.0": f"{GRAPH}/v1.0", world.entra_url: LOGIN, world.authentik_url: AUTHENTIK_URL}
        world.entra_url, world.authentik_url = LOGIN, AUTHENTIK_URL
        environment |= (scenario.prepare(sandbox) if scenario.prepare else None) or {}

        async def pause(_seconds: float) -> None:
            await asyncio.sleep(_SECONDS_FOR_THE_WORKER)

        with routed(ports):
            yield Target(
                "sandbox",
                scenario.profile,
                environment,
                names,
                environment["AZURE_TENANT_ID"],
                environment["AZURE_CLIENT_ID"],
                pause,
                world.clock.advance,
                world.clock.now,
                sandbox.authentik.worker.settled,
            )


@contextlib.contextmanager
def routed(ports: Mapping[str, int]) -> Iterator[None]:
    """Connections to these names go to loopback; TLS still asks for the name. Other names are refused."""
    connect, connect_async = urllib3.util.connection.create_connection, httpcore.AnyIOBackend.connect_tcp

    def create_connection(address: tuple[str, int], *arguments: Any, **options: Any) -> Any:
        return connect(("127.0.0.1", ports[address[0]]), *arguments, **options)

    async def connect_tcp(backend: Any, host: str, port: int, **options: Any) -> Any:
        return await connect_async(backend, "127.0.0.1", ports.get(host, port), **options)

    with (
        mock.patch.object(urllib3.util.connection, "create_connection", create_connection),
        mock.patch.object(httpcore.AnyIOBackend, "connect_tcp", connect_tcp),
    ):
        yield


def real_target(environment: Mapping[str, str]) -> Target:
    """The tenant and the authentik that the environment names.

    :raises SystemExit: a variable is missing.
    """
    needed = ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AUTHENTIK_URL", "AUTHENTIK_TOKEN")
    if missing := [name for name in needed if not environment.get(name)]:
        raise SystemExit(f"CASSETTES=real needs {', '.join(missing)}.")
    url = environment["AUTHENTIK_URL"].rstrip("/")
    names = {
        url: AUTHENTIK_URL,
        urlsplit(url).netloc: urlsplit(AUTHENTIK_URL).netloc,
        environment["AZURE_TENANT_ID"]: REAL_TENANT,
        environment["AZURE_CLIENT_ID"]: REAL_CLIENT,
    }
    return Target("real tenant", "", {}, names, REAL_TENANT, REAL_CLIENT)


def say(text: str) -> None:
    """One line for who records."""
    sys.stderr.write(f"{text}\n")


def chosen(environment: Mapping[str, str]) -> list[Scenario]:
    """The scenarios to record: those named in ``CASSETTES_ONLY``, else all that any target can show.

    :raises SystemExit: for an unknown name.
    """
    real = environment.get("CASSETTES") == "real"
    names = environment.get("CASSETTES_ONLY", "").replace(",", " ").split()
    if unknown := [name for name in names if name not in BY_NAME]:
        raise SystemExit(f"There is no scenario {', '.join(unknown)}; there are {', '.join(BY_NAME)}.")
    if names:
        return [scenario for scenario in SCENARIOS if scenario.name in names]
    return [scenario for scenario in SCENARIOS if not (real and scenario.needs)]


def main() -> None:
    """Record what was chosen."""
    import_all()
    if os.environ.get("CASSETTES") == "real":
        target = real_target(os.environ)
        for scenario in chosen(os.environ):
            record(scenario, target)
        say("The application, the provider and its application that were made still stand; remove them.")
        return
    for name in [name for name in os.environ if name.startswith(("AZURE_", "AUTHENTIK_"))]:
        del os.environ[name]
    for scenario in chosen(os.environ):
        with sandbox_target(scenario) as target:
            if scenario.after:
                _prepare(BY_NAME[scenario.after], target)
            record(scenario, target)
    for file in sorted(FOLDER.glob("*.yaml")):
        if read_header(file) and file.stem not in BY_NAME:
            say(f"{file.name} belongs to no scenario any more; remove it.")


def _prepare(before: Scenario, target: Target) -> None:
    with mock.patch.dict(os.environ, target.environment):
        ran = run(before, target.clock(), target.wait)
    if ran.code:
        raise SystemExit(f"{before.name}: exit code {ran.code}\n{ran.err}{ran.out}")
    target.settle()


if __name__ == "__main__":
    main()
