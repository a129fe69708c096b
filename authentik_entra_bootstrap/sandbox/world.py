"""Everything that one sandbox holds: clock, randomness, switches, faults, request log, tenants, addresses."""

from __future__ import annotations

import random
import threading
import zlib
from pathlib import Path
from typing import Any
from uuid import UUID

from authentik_entra_bootstrap.sandbox.clock import SandboxClock
from authentik_entra_bootstrap.sandbox.faults import Faults, Switches
from authentik_entra_bootstrap.sandbox.requestlog import RequestLog
from authentik_entra_bootstrap.sandbox.store import Directory


class World:
    """One sandbox without its servers.

    :param seed: two worlds with one seed, one clock and the same requests in the same order behave alike.
    :param clock: the clock of everything inside; a running one that starts now when left out.
    :param switches: how the tenant misbehaves; kept by reference, so that changes apply at once.
    """

    def __init__(
        self, *, seed: int = 0, clock: SandboxClock | None = None, switches: Switches | None = None
    ) -> None:
        self.seed = seed
        self.clock = clock or SandboxClock()
        self.switches = switches or Switches()
        self.rng = random.Random(seed)
        self.lock = threading.RLock()
        self._streams: dict[str, random.Random] = {}
        self.faults = Faults(self.switches, self.stream("faults"))
        self.log = RequestLog(self.clock)
        self.tenants: dict[str, Directory] = {}
        self.entra_url = ""
        self.authentik_url = ""
        self.names: frozenset[str] = frozenset()
        """Host names besides the loopback ones under which the tenant may be reached."""
        self.ca_pem = b""
        self.ca_file: Path | None = None
        self.extras: dict[str, Any] = {}
        """State of the parts that live longer than a request (signing keys, device codes), by part."""

    def stream(self, name: str) -> random.Random:
        """Randomness of one part, independent of how often the others draw."""
        with self.lock:
            if name not in self._streams:
                self._streams[name] = random.Random(zlib.crc32(f"{self.seed}/{name}".encode()))
            return self._streams[name]

    def guid(self, stream: str = "guid") -> str:
        """A new version 4 GUID from the seed, in lower case with hyphens."""
        return str(UUID(int=self.stream(stream).getrandbits(128), version=4))

    def add_tenant(self, tenant_id: str | None = None) -> Directory:
        """Add an empty tenant and return its directory; the first one is the default tenant.

        ``microsoft.seed.seed_tenant`` fills it.

        :raises ValueError: when the tenant exists.
        """
        tenant_id = (tenant_id or self.guid()).lower()
        with self.lock:
            if tenant_id in self.tenants:
                raise ValueError(f"there is a tenant {tenant_id} already")
            directory = Directory(tenant_id, self.clock, self.switches, self.stream(f"replica/{tenant_id}"))
            self.tenants[tenant_id] = directory
            return directory

    @property
    def default_tenant(self) -> Directory:
        """The tenant that was added first.

        :raises LookupError: when there is none.
        """
        for directory in self.tenants.values():
            return directory
        raise LookupError("the world has no tenant yet")

    @property
    def default_tenant_id(self) -> str:
        """The default tenant's id."""
        return self.default_tenant.tenant_id

    def tenant(self, identifier: str) -> Directory | None:
        """The tenant with this id or this verified domain name, letter case ignored."""
        wanted = identifier.lower()
        if wanted in self.tenants:
            return self.tenants[wanted]
        for directory in list(self.tenants.values()):
            for organization in directory.all("organization"):
                if any(
                    domain["name"].lower() == wanted for domain in organization.get("verifiedDomains", ())
                ):
                    return directory
        return None
