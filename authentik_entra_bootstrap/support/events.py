"""What happens to a connection's client secret, told to the log and to listeners.

Each happening becomes one structured line of the log. Listeners are told as well: authentik's audit trail and the
metrics. None of it ever holds the text of a secret, and none of it can make a rotation fail.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from authentik_entra_bootstrap.domain.times import write_time

_logger = logging.getLogger("authentik_entra_bootstrap.support.events")


def record(event: str, **fields: object) -> None:
    """Write one line: connection, key ids and request ids, never the text of a secret.

    :param event: stable kebab-case name, e.g. ``secret-created``.
    """
    if not _logger.isEnabledFor(logging.INFO) and "structlog" not in sys.modules:
        # Nobody listens, as in a command without -v: structlog with all it imports is not needed.
        return
    import structlog

    # Bound to the standard logger, so that a library user's output stays clean without any configuration.
    structlog.wrap_logger(_logger).info(event, **fields)


class Kind(StrEnum):
    """What happened to a connection."""

    ROTATED = "rotation-done"
    """It has a new client secret, and authentik has signed in with it."""
    KEPT = "rotation-not-needed"
    """Its client secret stays; what nothing uses may have been removed."""
    FAILED = "rotation-failed"
    EXPIRING = "secret-expiring"
    """A run failed, and the secret in use ends soon."""
    RECOVERED = "rotation-recovered"
    """The first success after a failure, or after a run that was interrupted."""


@dataclass(frozen=True)
class SecretDates:
    """The client secret that authentik holds, as far as it is known. Moments are aware UTC.

    :param made_at: when it was made.
    :param ends_at: when it ends.
    :param renew_at: from when a run replaces it.
    :param proven_at: when authentik was last seen to sign in, by this run.
    """

    made_at: datetime
    ends_at: datetime
    renew_at: datetime
    proven_at: datetime | None = None


@dataclass(frozen=True)
class Happening:
    """One thing that happened.

    :param rotation_id: of the rotation that made the secret; empty where none was made.
    :param key_ids: of the secrets by what became of them: ``made``, ``held``, ``retired``.
    :param request_ids: of the requests that tell it in the services' own logs.
    :param reachable: false where authentik itself did not answer, so that it need not be asked to write anything.
    :param code: of the error, with ``message``, and in ``remedy`` what to do.
    """

    kind: Kind
    connection: str
    rotation_id: str = ""
    key_ids: Mapping[str, Sequence[str]] | None = None
    request_ids: tuple[str, ...] = ()
    code: str = ""
    message: str = ""
    remedy: str = ""
    secret: SecretDates | None = None
    reachable: bool = True

    def facts(self) -> dict[str, object]:
        """What is known, as plain values; unknown things are left out."""
        found: dict[str, object] = {
            "connection": self.connection,
            "rotation_id": self.rotation_id,
            "key_ids": {name: list(ids) for name, ids in (self.key_ids or {}).items() if ids},
            "request_ids": list(self.request_ids),
            "code": self.code,
            "message": self.message,
            "what_to_do": self.remedy,
        }
        if self.secret is not None:
            found["expires"] = write_time(self.secret.ends_at)
            found["renew_from"] = write_time(self.secret.renew_at)
        return {name: value for name, value in found.items() if value}


class Listener:
    """Who is told besides the log; this one does nothing. No listener ever raises."""

    async def happened(self, what: Happening) -> None:
        """Something happened."""

    async def failing(self, connection: str) -> bool:
        """Whether the last that was told of a connection is a failure."""
        return False

    def proven(self, connection: str, at: datetime) -> None:
        """A verification saw authentik sign in with what it stores."""

    def stepped(self, step: str, seconds: float) -> None:
        """A phase of a rotation took so long."""


class Several(Listener):
    """Tells several listeners, in order."""

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = listeners

    async def happened(self, what: Happening) -> None:
        """Tell each of them."""
        for listener in self._listeners:
            await listener.happened(what)

    async def failing(self, connection: str) -> bool:
        """Whether one of them knows of a failure."""
        for listener in self._listeners:
            if await listener.failing(connection):
                return True
        return False

    def proven(self, connection: str, at: datetime) -> None:
        """Tell each of them."""
        for listener in self._listeners:
            listener.proven(connection, at)

    def stepped(self, step: str, seconds: float) -> None:
        """Tell each of them."""
        for listener in self._listeners:
            listener.stepped(step, seconds)


async def tell(listener: Listener, what: Happening) -> None:
    """Write one line of the log, and tell the listener."""
    record(what.kind.value, **what.facts())
    await listener.happened(what)
