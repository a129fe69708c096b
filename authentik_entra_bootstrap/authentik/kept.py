"""What runs of one process keep for the next: connections to authentik, and for a minute what the server is."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

from authentik_entra_bootstrap.authentik.connections import Connections
from authentik_entra_bootstrap.domain import Network, SecretText, ServerInfo
from authentik_entra_bootstrap.trust import Stamp, stamp_of

MOST = 4
"""Servers that are kept at the same time; nearly always there is one."""
SHAPE_LIVES = 60.0
"""Seconds for which version and shape of a server are believed. It may be upgraded at any time."""


@dataclass(frozen=True)
class ServerKey:
    """A server as one token sees it: which fields it shows depends on what the token may do."""

    base: str
    digest: bytes


def server_key(base: str, token: SecretText) -> ServerKey:
    """The key of a server; the token cannot be told from it."""
    return ServerKey(base, hashlib.sha256(token.reveal().encode()).digest())


class KeptAuthentik:
    """Connections and descriptions of servers."""

    def __init__(self) -> None:
        self._connections: OrderedDict[tuple[str, str | None, str | None, Stamp | None], Connections] = (
            OrderedDict()
        )
        self._servers: OrderedDict[ServerKey, tuple[ServerInfo, float]] = OrderedDict()

    def connections(self, base: str, network: Network) -> Connections:
        """Connections to a server; a changed CA file makes new ones."""
        key = (base, network.ca_file, network.proxy, stamp_of(network.ca_file))
        found = self._connections.pop(key, None) or Connections()
        self._connections[key] = found
        while len(self._connections) > MOST:
            self._connections.popitem(last=False)[1].close()
        return found

    def server(self, key: ServerKey, now: float) -> ServerInfo | None:
        """What the server is, if that was read lately.

        :param now: seconds by the clock that :meth:`keep` was given.
        """
        info, read = self._servers.get(key, (None, 0.0))
        return info if info is not None and 0 <= now - read < SHAPE_LIVES else None

    def keep(self, key: ServerKey, info: ServerInfo, now: float) -> None:
        """Keep what was just read.

        :param now: seconds by a clock that never goes back.
        """
        self._servers[key] = (info, now)
        self._servers.move_to_end(key)
        while len(self._servers) > MOST:
            self._servers.popitem(last=False)

    def forget(self, key: ServerKey) -> None:
        """Read it anew the next time."""
        self._servers.pop(key, None)

    def disconnect(self) -> None:
        """Close every connection; the next run opens new ones."""
        for connections in self._connections.values():
            connections.close()
