"""What reached the sandbox, request by request: never bodies, never secrets."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from authentik_entra_bootstrap.sandbox.clock import SandboxClock

ServerName = Literal["entra", "graph", "authentik"]

READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
SYNC_OBJECT = re.compile(r"/sync/object/?$")


@dataclass
class Entry:
    """One request.

    ``seq`` and ``left`` come from one counter that ticks at every entry and every exit, so two requests
    overlapped when each entered before the other left. ``left`` and ``status`` are ``None`` while the
    request runs; ``status`` stays ``None`` when the caller got no answer. Both are set before the caller
    can see the end of its request. ``agent`` is the caller's ``User-Agent``.
    """

    seq: int
    moment: datetime
    server: ServerName
    method: str
    path: str
    write: bool
    request_id: str
    agent: str = ""
    status: int | None = None
    caller: str | None = None
    fault: str | None = None
    left: int | None = None

    def overlaps(self, other: Entry) -> bool:
        """Whether both requests were being handled at one moment."""
        return self._ends() > other.seq and other._ends() > self.seq

    def _ends(self) -> float:
        return float("inf") if self.left is None else self.left

    def as_json(self) -> dict[str, Any]:
        """The entry for the control API; the moment in ISO 8601."""
        return {**vars(self), "moment": self.moment.isoformat()}


def longest_chain(entries: Iterable[Entry]) -> int:
    """The most requests of which each arrived after the one before was answered: round trips one after the other.

    Requests that do not need each other overlap only where answers take time: see the fault ``slow`` with ``hold``.
    """
    count, end = 0, -1
    for left, seq in sorted((entry.left, entry.seq) for entry in entries if entry.left is not None):
        if seq > end:
            count, end = count + 1, left
    return count


_current: ContextVar[Entry | None] = ContextVar("sandbox_request", default=None)


def current_request() -> Entry | None:
    """The entry of the request that the running code handles, or ``None`` outside of one."""
    return _current.get()


def note_caller(caller: str) -> None:
    """Record who called: an app id, a user name or a token's identifier; never a credential."""
    entry = _current.get()
    if entry is not None:
        entry.caller = caller


def server_for(application: str, path: str) -> ServerName:
    """The server name of a request: the tenant's host serves Microsoft Graph and the token service."""
    if application == "authentik":
        return "authentik"
    return "graph" if path.startswith(("/v1.0", "/beta")) else "entra"


def is_write(server: ServerName, method: str, path: str) -> bool:
    """Whether a request may change the directory or authentik's objects.

    Everything but GET, HEAD and OPTIONS on Microsoft Graph and authentik. authentik's ``sync/object`` is a proof, not
    a change of configuration. Requests to the token service are never writes.

    :param path: without the query.
    """
    if method.upper() in READING_METHODS or server == "entra":
        return False
    return server == "graph" or not SYNC_OBJECT.search(path)


class RequestLog:
    """Thread-safe list of :class:`Entry`, oldest first."""

    def __init__(self, clock: SandboxClock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: list[Entry] = []
        self._ticks = 0

    def enter(
        self, server: ServerName, method: str, path: str, request_id: str, *, query: str = "", agent: str = ""
    ) -> Entry:
        """Record the arrival of a request and return its entry; :meth:`leave` completes it.

        :param path: decoded path; ``query`` is appended to it in the log, without the leading ``?``.
        :param agent: the request's ``User-Agent``.
        """
        with self._lock:
            self._ticks += 1
            entry = Entry(
                seq=self._ticks,
                moment=self._clock.now(),
                server=server,
                method=method,
                path=f"{path}?{query}" if query else path,
                write=is_write(server, method, path),
                request_id=request_id,
                agent=agent,
            )
            self._entries.append(entry)
            return entry

    def leave(self, entry: Entry, status: int | None) -> None:
        """Complete an entry, once; ``None`` says that the caller got no answer."""
        with self._lock:
            if entry.left is not None:
                return
            self._ticks += 1
            entry.left = self._ticks
            entry.status = status

    @contextmanager
    def handling(self, entry: Entry) -> Iterator[Entry]:
        """Make ``entry`` the one that :func:`note_caller` speaks of."""
        token = _current.set(entry)
        try:
            yield entry
        finally:
            _current.reset(token)

    def all(self) -> list[Entry]:
        """Copies of every entry."""
        return self.since(0)

    def since(self, seq: int, agent: str = "") -> list[Entry]:
        """Copies of the entries whose ``seq`` is greater.

        :param agent: only of a program with this in its ``User-Agent``. Who called is known of every request
            from its arrival on; ``caller`` is only noted when the request is handled, and not always.
        """
        with self._lock:
            return [replace(entry) for entry in self._entries if entry.seq > seq and agent in entry.agent]

    def writes(self, since: int = 0, agent: str = "") -> list[Entry]:
        """The entries of :meth:`since` that are writes, as :func:`is_write` defines them."""
        return [entry for entry in self.since(since, agent) if entry.write]

    @property
    def last_seq(self) -> int:
        """The counter's value now: ``log.since(log.last_seq)`` is empty until the next request."""
        with self._lock:
            return self._ticks

    def clear(self) -> None:
        """Forget the entries; the counters continue."""
        with self._lock:
            self._entries.clear()
