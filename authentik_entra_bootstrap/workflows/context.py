"""What every workflow is given: the two ports and everything that is injected."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime

from authentik_entra_bootstrap.authentik.port import AuthentikPort
from authentik_entra_bootstrap.domain import Application, KeyId
from authentik_entra_bootstrap.domain.application_tags import made_in, rotation_id
from authentik_entra_bootstrap.entra.port import EntraPort
from authentik_entra_bootstrap.support.events import Listener, Nobody
from authentik_entra_bootstrap.support.waiting import Waiter
from authentik_entra_bootstrap.workflows.reporting import Quiet, Reporter


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


def _unguarded() -> None:
    """Nobody holds a lease."""


def new_rotation_id() -> str:
    """Sixteen random hexadecimal digits."""
    return uuid.uuid4().hex[:16]


@dataclass
class Context:
    """One connection's two sides.

    :param now: aware UTC.
    :param new_rotation_id: lower-case hexadecimal text, different at each call.
    :param guard: called before each write that matters; raises ``another-run-active`` once the lease is lost.
    :param turn: holds this authentik's lease while its body runs: one run at a time saves providers of it.
    :param listener: is told of rotations and failures, besides the log.
    :param domain: eight hexadecimal digits for the place in which no second run of this connection can be under
        way while this one holds its lease; empty where there is no such place. Secrets that were made there by
        an earlier run have lost their maker.
    """

    entra: EntraPort
    authentik: AuthentikPort
    waiter: Waiter
    reporter: Reporter = field(default_factory=Quiet)
    now: Callable[[], datetime] = utc_now
    new_rotation_id: Callable[[], str] = new_rotation_id
    guard: Callable[[], None] = _unguarded
    turn: Callable[[], AbstractAsyncContextManager[None]] = nullcontext
    domain: str = ""
    listener: Listener = field(default_factory=Nobody)
    rng: random.Random = field(default_factory=random.SystemRandom)

    def rotation_id(self) -> str:
        """The id of a new rotation: names the place where its secret was made."""
        return rotation_id(self.domain, self.new_rotation_id())

    def abandoned(self, application: Application | None) -> frozenset[KeyId]:
        """Secrets whose makers are known to have ended."""
        secrets = application.secrets if application else ()
        return frozenset(secret.key_id for secret in secrets if made_in(secret, self.domain))
