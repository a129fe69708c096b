"""What goes wrong in the sandbox: switches for how the services behave, and faults to inject, drawn from the seed."""

from __future__ import annotations

import asyncio
import random
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from authentik_entra_bootstrap.sandbox.requestlog import ServerName, is_write

PostCreateVariant = Literal["none", "404", "400", "403"]
DuplicateGrantShape = Literal["400-bad-request", "400-same-key", "409-same-key"]
FaultKind = Literal["status", "html", "drop", "drop_after_commit", "refuse", "slow", "call"]
KINDS = get_args(FaultKind)
APPLICATIONS = re.compile(r"^/[^/]+/applications\b")


@dataclass
class Switches:
    """How the embedded Entra ID tenant misbehaves. Durations are seconds on the sandbox's clock."""

    replicas: int = 2
    """Read replicas of the directory. Replica k of n lags by ``lag * (k + 1) / n``."""
    lag: float = 0.0
    """Greatest replication lag of Microsoft Graph reads."""
    flapping: bool = False
    """Each request reads from a replica drawn by the seed; otherwise always from the slowest."""
    sts_replicas: int = 2
    """Replicas of the token service; they disagree in the same way as the directory's."""
    secret_lag: float = 0.0
    """Until a new client secret is accepted by the slowest token service replica."""
    removed_secret_lag: float = 0.0
    """How long a removed client secret still signs in."""
    role_lag: float = 0.0
    """Until new tokens contain a new app role assignment or delegated grant."""
    app_lag: float = 0.0
    """Until the token service knows a new application (AADSTS700016 until then)."""
    post_create_variant: PostCreateVariant = "none"
    """What a call on a just created application answers while it is younger than ``lag``:
    ``none`` leaves it to the replica that was hit (404 when it does not know the object); else ``404``, ``400`` or ``403``."""
    duplicate_grant: DuplicateGrantShape = "400-bad-request"
    """Status and code for an app role assignment that exists already, all seen in the field: ``400-bad-request``,
    ``400-same-key`` or ``409-same-key``."""
    creator_becomes_owner: bool = True
    """Whether an app-only creator becomes owner without an explicit bind (reports conflict)."""
    rate_servers: tuple[str, ...] = ("graph",)
    """Servers to which the rates below apply: any of ``graph``, ``entra`` (the token service), ``authentik``."""
    throttle_rate: float = 0.0
    """Share of requests answered 429."""
    throttle_retry_after: int | None = 1
    """Seconds in Retry-After of those answers; ``null`` leaves the header out."""
    unavailable_rate: float = 0.0
    """Share of requests answered 503."""
    concurrency_rate: float = 0.0
    """Share of writes on applications answered Directory_ConcurrencyViolation."""
    concurrency_status: Literal[409, 503] = 409
    """Status of those answers, 409 or 503."""
    device_code_interval: int = 5
    """Seconds between polls that the device flow asks of clients."""
    conditional_access_blocks: bool = False
    """Client credentials are refused with AADSTS53003."""
    own_certificates_refused: bool = False
    """An application may not change its own certificates, although it owns itself."""
    users_can_register_applications: bool = True
    require_service_management_reference: bool = False
    object_quota: int | None = None
    """Objects one principal may create (403 Directory_QuotaExceeded beyond)."""


@dataclass
class Fault:
    """One fault.

    The *n*-th request that fits ``server``, ``method`` and ``path`` is hit, and the following ones until
    it was hit ``times`` times.

    Kinds:
      - ``status``: answers ``status`` with ``body`` (JSON), or with the server's own words for that status;
      - ``html``: answers ``status`` with an HTML page, as a proxy or a gateway does;
      - ``drop``: closes the connection before the request is handled;
      - ``drop_after_commit``: handles the request, then closes the connection: the reply is lost;
      - ``refuse``: the whole server refuses connections until the fault is removed; only ``server`` counts;
      - ``slow``: moves the sandbox's clock by ``seconds``. With ``hold`` it delays the reply for ``seconds`` of
        real time or until the fault is removed. With ``commit`` it does so after the handling;
      - ``call``: runs ``call`` (in-process only), before the handling, or after it with ``commit``.
    """

    kind: FaultKind
    server: ServerName | None = None
    """``None`` fits every server."""
    method: str | None = None
    """A method, or several joined by ``|``; ``None`` fits all."""
    path: str = ""
    """Regular expression searched in path and query."""
    nth: int = 1
    times: int | None = 1
    """``None`` never ends."""
    probability: float = 1.0
    """Chance that a fitting request is hit, drawn from the seed."""
    status: int = 503
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    retry_after: int | None = None
    """Seconds, sent as Retry-After."""
    commit: bool = False
    """Whether the request is handled before its answer is replaced (``status``, ``html``) or delayed."""
    seconds: float = 0.0
    hold: bool = False
    call: Callable[[], object] | None = None
    name: str = ""
    """Shown in the request log; ``kind`` and a number when left out. Names are unique."""
    seen: int = field(default=0, init=False)
    hits: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind of fault: {self.kind!r}")
        if self.kind == "call" and self.call is None:
            raise ValueError("a fault of kind 'call' needs something to call")
        re.compile(self.path)

    @property
    def commits(self) -> bool:
        """Whether the request is handled although its caller does not see the answer."""
        return self.commit or self.kind == "drop_after_commit"

    @property
    def replaces(self) -> bool:
        """Whether the caller gets something else than the real answer."""
        return self.kind in {"status", "html", "drop", "drop_after_commit"}

    def fits(self, server: ServerName, method: str, path: str) -> bool:
        """Whether a request is one that this fault counts."""
        if self.kind == "refuse" or (self.server is not None and self.server != server):
            return False
        if self.method is not None and method.upper() not in self.method.upper().split("|"):
            return False
        return re.search(self.path, path) is not None

    def as_json(self) -> dict[str, Any]:
        """The fault for the control API."""
        return {item.name: getattr(self, item.name) for item in fields(self) if item.name != "call"}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Fault:
        """A fault from the control API.

        :raises ValueError: for unknown fields or kinds, and for ``call``, which needs code.
        """
        known = {item.name for item in fields(cls) if item.init} - {"call"}
        unknown = sorted(set(value) - known)
        if unknown or "kind" not in value:
            raise ValueError(f"unknown fields: {', '.join(unknown)}" if unknown else "kind is missing")
        try:
            return cls(**value)
        except (TypeError, re.error) as error:
            raise ValueError(str(error)) from error


class Faults:
    """The faults of one world: explicit ones first, then the rates of the switches."""

    def __init__(self, switches: Switches, rng: random.Random) -> None:
        self._switches = switches
        self._rng = rng
        self._lock = threading.Lock()
        self._items: list[Fault] = []
        self._number = 0
        self._watchers: list[Callable[[], None]] = []

    def add(self, fault: Fault | None = None, /, **values: Any) -> Fault:
        """Inject a fault, given as one or by its fields, and return it.

        :raises ValueError: for a name that is in use.
        """
        item = fault or Fault(**values)
        with self._lock:
            self._number += 1
            item.name = item.name or f"{item.kind}-{self._number}"
            if any(item.name == other.name for other in self._items):
                raise ValueError(f"there is a fault called {item.name!r} already")
            self._items.append(item)
        self._notify()
        return item

    def remove(self, fault: Fault | str) -> bool:
        """Take a fault back, by itself or by name; held replies go out. False when it was not there."""
        name = fault if isinstance(fault, str) else fault.name
        with self._lock:
            before = len(self._items)
            self._items = [item for item in self._items if item.name != name]
            removed = len(self._items) < before
        self._notify()
        return removed

    def clear(self) -> None:
        """Take every fault back."""
        with self._lock:
            self._items = []
        self._notify()

    def all(self) -> list[Fault]:
        """The faults, in the order in which they are asked."""
        with self._lock:
            return list(self._items)

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call ``watcher`` after every change (the servers start and stop listening by it)."""
        self._watchers.append(watcher)

    def unwatch(self, watcher: Callable[[], None]) -> None:
        """Undo :meth:`watch`."""
        self._watchers.remove(watcher)

    def _notify(self) -> None:
        for watcher in list(self._watchers):
            watcher()

    def refuses(self, application: str) -> bool:
        """Whether an application (``entra`` with Graph, or ``authentik``) refuses connections."""
        names = {"authentik"} if application == "authentik" else {"entra", "graph"}
        return any(
            fault.kind == "refuse" and (fault.server is None or fault.server in names) for fault in self.all()
        )

    def pick(self, server: ServerName, method: str, path: str) -> list[Fault]:
        """The faults that hit a request: every delay and call, and at most one that replaces the answer.

        Counts the request, so ask once per request.

        :param path: with query.
        """
        chosen: list[Fault] = []
        with self._lock:
            for fault in self._items:
                replaced = any(item.replaces for item in chosen)
                if (fault.replaces and replaced) or not fault.fits(server, method, path):
                    continue
                fault.seen += 1
                exhausted = fault.times is not None and fault.hits >= fault.times
                if exhausted or fault.seen < fault.nth:
                    continue
                if fault.probability < 1.0 and self._rng.random() >= fault.probability:
                    continue
                fault.hits += 1
                chosen.append(fault)
            if not any(item.replaces for item in chosen):
                by_rate = self._by_rate(server, method, path)
                chosen.extend([by_rate] if by_rate else [])
        return chosen

    def _by_rate(self, server: ServerName, method: str, path: str) -> Fault | None:
        switches = self._switches
        if server not in switches.rate_servers:
            return None
        if self._drawn(switches.throttle_rate):
            return Fault(
                "status", status=429, retry_after=switches.throttle_retry_after, name="throttle_rate"
            )
        if self._drawn(switches.unavailable_rate):
            return Fault("status", status=503, name="unavailable_rate")
        plain = path.partition("?")[0]
        if (
            server == "graph"
            and is_write(server, method, plain)
            and APPLICATIONS.match(plain)
            and self._drawn(switches.concurrency_rate)
        ):
            return Fault(
                "status", status=switches.concurrency_status, body=CONCURRENCY, name="concurrency_rate"
            )
        return None

    def _drawn(self, rate: float) -> bool:
        return rate > 0.0 and self._rng.random() < rate

    async def hold(self, fault: Fault) -> None:
        """Wait ``fault.seconds`` of real time, or until the fault is removed."""
        loop = asyncio.get_running_loop()
        end = loop.time() + fault.seconds
        while loop.time() < end and fault in self.all():  # noqa: ASYNC110  # removed by any thread
            await asyncio.sleep(0.01)


CONCURRENCY = {
    "error": {
        "code": "Directory_ConcurrencyViolation",
        "message": "Error due to concurrent requests being made to the tenant. Please wait briefly and retry.",
    }
}
"""Seen with 503 (Azure/azure-cli#23081) and with 409 (nais/azurerator#448) on ``addPassword``."""
