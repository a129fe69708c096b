"""A sandbox with its servers running."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from starlette.applications import Starlette
from starlette.routing import Mount

from authentik_entra_bootstrap.sandbox.clock import SandboxClock
from authentik_entra_bootstrap.sandbox.control import Control
from authentik_entra_bootstrap.sandbox.faults import Switches
from authentik_entra_bootstrap.sandbox.instrument import (
    CONTROL_PREFIX,
    AsgiApp,
    Instrumented,
    Receive,
    Scope,
    Send,
)
from authentik_entra_bootstrap.sandbox.microsoft.consent import consent_routes
from authentik_entra_bootstrap.sandbox.microsoft.discovery import discovery_routes, management_routes
from authentik_entra_bootstrap.sandbox.microsoft.login import authorize_routes, device_routes
from authentik_entra_bootstrap.sandbox.microsoft.seed import Operator, seed_tenant
from authentik_entra_bootstrap.sandbox.microsoft.token_endpoint import token_routes
from authentik_entra_bootstrap.sandbox.server import Authority, TlsServer
from authentik_entra_bootstrap.sandbox.world import World

DEFAULT_PROFILE = "2026.5"


class Sandbox:
    """An Entra ID tenant with Microsoft Graph, and an authentik, on two loopback addresses.

    Use it as a context manager, or call :meth:`start` and :meth:`stop`::

        with Sandbox(switches=Switches(lag=10)) as sandbox:
            os.environ.update(sandbox.environment())

    :param seed: of everything drawn: ids, secrets, replicas, faults.
    :param authentik_profile: authentik's version, ``None`` runs the tenant alone.
    :param switches: how the tenant misbehaves; may be changed while it runs.
    :param clock: the sandbox's clock, e.g. a frozen one.
    :param port: of the tenant, ``authentik_port`` of authentik; 0 takes a free one.
    :param directory: existing folder for the CA file; a temporary one, removed at the end, when left out.
    :param authentik_options: further arguments of ``create_authentik``.
    :param names: host names, besides the loopback ones, under which the tenant may be reached, e.g. those of a
        national cloud; that they lead here is the caller's business.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        authentik_profile: str | None = DEFAULT_PROFILE,
        switches: Switches | None = None,
        clock: SandboxClock | None = None,
        port: int = 0,
        authentik_port: int = 0,
        directory: Path | None = None,
        authentik_options: dict[str, Any] | None = None,
        names: Iterable[str] = (),
    ) -> None:
        self.world = World(seed=seed, clock=clock, switches=switches)
        self.world.names = frozenset(names)
        self._profile = authentik_profile
        self._ports = {"entra": port, "authentik": authentik_port}
        self._directory = directory
        self._options = authentik_options or {}
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._servers: list[TlsServer] = []
        self.authentik: Any = None
        self.operator: Operator = seed_tenant(self.world)

    @property
    def entra_url(self) -> str:
        """Where the token service and Microsoft Graph are, without a slash at the end."""
        return self.world.entra_url

    @property
    def authentik_url(self) -> str:
        """Where authentik is; empty without one."""
        return self.world.authentik_url

    @property
    def ca_file(self) -> Path:
        """The certificate authority of both servers, as a PEM file that lives while the sandbox runs.

        :raises RuntimeError: when the sandbox does not run.
        """
        if self.world.ca_file is None:
            raise RuntimeError("the sandbox is not running")
        return self.world.ca_file

    def start(self) -> Self:
        """Start both servers; returns when they answer.

        :raises OSError: when a port is in use.
        :raises RuntimeError: when a server does not start.
        """
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def _start(self) -> None:
        world = self.world
        authority = Authority(world.names)
        if self._directory is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="authentik-entra-sandbox-")
        folder = self._directory or Path(self._temporary.name if self._temporary else ".")
        world.ca_pem = authority.pem
        world.ca_file = folder / "ca.pem"
        world.ca_file.write_bytes(authority.pem)
        entra = self._server(authority, "entra")
        world.entra_url = entra.url
        authentik = None
        if self._profile is not None:
            authentik = self._server(authority, "authentik")
            world.authentik_url = authentik.url
        control = Control(world, self.environment).router()
        entra.start(_with_control(Instrumented(self._entra_app(), world, "entra"), control))
        if authentik is not None and self._profile is not None:
            from authentik_entra_bootstrap.sandbox.authentik.app import create_authentik  # optional

            self.authentik = create_authentik(world, self._profile, **self._options)
            authentik.start(
                _with_control(Instrumented(self.authentik.app, world, "authentik"), control),
                on_start=self.authentik.start,
                on_stop=self.authentik.stop,
            )

    def _server(self, authority: Authority, name: str) -> TlsServer:
        faults = self.world.faults
        server = TlsServer(authority, name=name, port=self._ports[name], refuses=lambda: faults.refuses(name))
        self._servers.append(server)
        faults.watch(server.apply_refusal)
        return server

    def _entra_app(self) -> Starlette:
        from authentik_entra_bootstrap.sandbox.microsoft.graph import graph_routes  # heavy

        return Starlette(
            routes=[
                Mount("/v1.0", routes=graph_routes(self.world)),
                *discovery_routes(self.world),
                *token_routes(self.world),
                *device_routes(self.world),
                *authorize_routes(self.world),
                *consent_routes(self.world),
                *management_routes(self.world),
            ]
        )

    def stop(self) -> None:
        """Stop both servers, authentik first, and remove the CA file. Harmless when stopped already."""
        for server in reversed(self._servers):
            self.world.faults.unwatch(server.apply_refusal)
            server.stop()
        self._servers.clear()
        if self.world.ca_file is not None:
            self.world.ca_file.unlink(missing_ok=True)
            self.world.ca_file = None
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def environment(self) -> dict[str, str]:
        """The variables that point the commands, and any azure-identity client, at this sandbox."""
        values = {
            "AZURE_TENANT_ID": self.world.default_tenant_id,
            "AZURE_CLIENT_ID": self.operator.app_id,
            "AZURE_CLIENT_SECRET": self.operator.secret,
            "AZURE_AUTHORITY_HOST": self.entra_url,
            "AUTHENTIK_ENTRA_GRAPH_URL": self.entra_url,
            "AUTHENTIK_ENTRA_CA_FILE": str(self.ca_file),
        }
        if self.authentik is not None:
            values["AUTHENTIK_URL"] = self.authentik_url
            values["AUTHENTIK_TOKEN"] = self.authentik.token
        return values


def _with_control(app: AsgiApp, control: AsgiApp) -> AsgiApp:
    """``control`` under ``/_sandbox``, ``app`` everywhere else."""

    async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
        path = str(scope.get("path", ""))
        if path == CONTROL_PREFIX or path.startswith(f"{CONTROL_PREFIX}/"):
            scope = {**scope, "path": path or "/", "root_path": CONTROL_PREFIX}
            await control(scope, receive, send)
        else:
            await app(scope, receive, send)

    return dispatch
