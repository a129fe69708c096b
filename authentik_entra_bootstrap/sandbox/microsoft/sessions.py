"""What the token service remembers between requests: device codes, authorization codes, refresh tokens."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from authentik_entra_bootstrap.sandbox.world import World

DEVICE_LIFETIME = timedelta(seconds=900)
CODE_LIFETIME = timedelta(minutes=10)
REFRESH_LIFETIME = timedelta(days=90)
USER_CODE_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"


@dataclass
class DeviceCode:
    """A device sign-in that a person has to confirm. ``tenant`` is the path segment it was asked under."""

    user_code: str
    client_id: str
    tenant: str
    scope: str
    expires: datetime
    state: Literal["pending", "approved", "declined", "redeemed"] = "pending"
    signed_in: SignedIn | None = None


@dataclass
class SignedIn:
    """A person who signed in to a client, and the permissions they agreed to while doing so."""

    tenant_id: str
    user_id: str
    consented: frozenset[str] = frozenset()


@dataclass
class AuthorizationCode:
    """A code on its way from the browser to the client, with what the client must repeat."""

    client_id: str
    signed_in: SignedIn
    redirect_uri: str
    scope: str
    expires: datetime
    challenge: str | None
    challenge_method: str
    nonce: str | None
    redeemed: bool = False


@dataclass
class RefreshToken:
    """A long-lived grant for one person and client."""

    client_id: str
    signed_in: SignedIn
    expires: datetime


@dataclass
class Sessions:
    """The memory of one world. Codes and tokens are kept as hashes only."""

    world: World
    device_codes: dict[str, DeviceCode] = field(default_factory=dict)
    codes: dict[str, AuthorizationCode] = field(default_factory=dict)
    refresh_tokens: dict[str, RefreshToken] = field(default_factory=dict)

    def new_text(self, prefix: str) -> str:
        """A fresh opaque code or token."""
        stream = self.world.stream("sessions")
        return f"{prefix}{stream.getrandbits(512):0128x}"

    def new_user_code(self) -> str:
        """Nine letters and digits to type."""
        stream = self.world.stream("sessions")
        return "".join(stream.choice(USER_CODE_LETTERS) for _ in range(9))

    def add_refresh_token(self, client_id: str, signed_in: SignedIn) -> str:
        """Remember a refresh token and return its text."""
        text = self.new_text("1.")
        expires = self.world.clock.now() + REFRESH_LIFETIME
        self.refresh_tokens[digest(text)] = RefreshToken(client_id, signed_in, expires)
        return text

    def by_user_code(self, user_code: str) -> DeviceCode | None:
        """The device sign-in with this code; case and hyphens do not matter."""
        wanted = user_code.strip().replace("-", "").upper()
        return next((item for item in self.device_codes.values() if item.user_code == wanted), None)


def sessions(world: World) -> Sessions:
    """The memory of a world."""
    with world.lock:
        found = world.extras.setdefault("sessions", Sessions(world))
    assert isinstance(found, Sessions)  # noqa: S101  # only this module writes it
    return found


def digest(text: str) -> str:
    """How codes and tokens are kept."""
    return hashlib.sha256(text.encode()).hexdigest()
