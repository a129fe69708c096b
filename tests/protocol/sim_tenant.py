"""A small Entra ID: one truth, Graph replicas that lag and flap, token service replicas that learn separately.

A read is answered by a replica that is up to date, or by one that shows the tenant as it was some seconds ago. A
sign-in is answered by one of two token service replicas, each of which learns of a new secret, and forgets a removed
one, at a time of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from authentik_entra_bootstrap.domain import (
    AppId,
    Application,
    AppObjectId,
    ClientSecret,
    KeyId,
    TenantId,
)

START = datetime(2026, 3, 1, tzinfo=UTC)
TENANT = TenantId("11111111-2222-4333-8444-555555555555")
NEVER = float("inf")


def moment(seconds: float) -> datetime:
    """The model's seconds as the product sees them."""
    return START + timedelta(seconds=seconds)


@dataclass(frozen=True)
class Version:
    """The application from a moment on.

    :param digest: equal for equal contents.
    """

    at: float
    app: Application
    digest: int


class Tenant:
    """The directory and its token service.

    :param lag: seconds by which a Graph replica may be behind.
    """

    def __init__(self, lag: float) -> None:
        self.lag = lag
        app = Application(
            AppObjectId("object"), AppId("client"), "authentik", "authentik-entra-default", tags=()
        )
        self.versions = [Version(-NEVER, app, 0)]
        self.texts: dict[KeyId, str] = {}
        self.owners: dict[KeyId, str] = {}
        """Who made a secret: a worker's name, ``start`` for one of ours from before, ``stranger``."""
        self.learns: dict[KeyId, tuple[float, float]] = {}
        """From when each token service replica accepts a secret."""
        self.ends: dict[str, tuple[ClientSecret, tuple[float, float]]] = {}
        """Removed secrets by text, and until when each replica still accepts them."""
        self.taken_away: set[KeyId] = set()
        """Secrets that a person removed."""
        self.ever_marked = ""
        self.asked: dict[str, tuple[int, int]] = {}
        """Who signed in last at which token service replica, and how often in a row."""

    @property
    def app(self) -> Application:
        """The truth."""
        return self.versions[-1].app

    @property
    def digest(self) -> int:
        """Equal for equal contents."""
        return self.versions[-1].digest

    def write(self, now: float, app: Application) -> None:
        """The truth changes; replicas that lag learn of it later."""
        digest = hash((app.tags, tuple((item.key_id, item.end_date_time) for item in app.secrets)))
        self.versions.append(Version(now, app, digest))
        self.ever_marked += " ".join(app.tags)

    def views(self, now: float) -> list[Version]:
        """What replicas may show now, the truth first, then as it was longer and longer ago."""
        shown: list[Version] = []
        for version in reversed(self.versions):
            if all(version.digest != item.digest for item in shown):
                shown.append(version)
            if version.at < now - self.lag:
                break
        return shown

    def secret(self, key_id: KeyId) -> ClientSecret | None:
        """A secret that exists."""
        return next((item for item in self.app.secrets if item.key_id == key_id), None)

    def holder_of(self, text: str) -> ClientSecret | None:
        """The secret with this text that exists."""
        return next((item for item in self.app.secrets if self.texts[item.key_id] == text), None)

    def add(
        self,
        now: float,
        name: str | None,
        end: datetime,
        owner: str,
        delays: tuple[float, float] = (0.0, 0.0),
        *,
        start: float | None = None,
    ) -> ClientSecret:
        """A new secret, known to each token service replica after a delay."""
        key = KeyId(f"k{len(self.texts)}")
        self.texts[key] = f"{len(self.texts):03d}~{key}"
        self.owners[key] = owner
        self.learns[key] = (now + delays[0], now + delays[1])
        begins = moment(now if start is None else start)
        made = ClientSecret(key, name, self.texts[key][:3], begins, end)
        self.write(now, replace(self.app, secrets=(*self.app.secrets, made)))
        return made

    def remove(self, now: float, key_id: KeyId, delays: tuple[float, float] = (5.0, 30.0)) -> bool:
        """Take a secret away; the token service forgets it a little later."""
        gone = self.secret(key_id)
        if gone is None:
            return False
        self.ends[self.texts[key_id]] = (gone, (now + delays[0], now + delays[1]))
        self.write(now, replace(self.app, secrets=tuple(item for item in self.app.secrets if item != gone)))
        return True

    def replica(self, asker: str, wish: int | None = None) -> int:
        """The token service replica that answers: the other one than before, unless wished.

        Of five sign-ins in a row, each replica answers one: the assumption behind the product's number of sign-ins.
        """
        last, in_a_row = self.asked.get(asker, (1, 0))
        chosen = 1 - last if wish is None or (wish == last and in_a_row >= 4) else wish
        self.asked[asker] = (chosen, in_a_row + 1 if chosen == last else 1)
        return chosen

    def refusal(self, now: float, text: str, replica: int) -> str | None:
        """A token service replica's answer to a sign-in: ``None`` for success, else an AADSTS code."""
        found = self.holder_of(text)
        if found is None:
            gone = self.ends.get(text)
            return None if gone is not None and now < gone[1][replica] else "AADSTS7000215"
        if not found.is_live(moment(now)):
            return "AADSTS7000222"
        return None if now >= self.learns[found.key_id][replica] else "AADSTS7000215"

    def accepted(self, now: float, text: str) -> bool:
        """Whether a secret with this text exists and every token service replica accepts it."""
        found = self.holder_of(text)
        return found is not None and all(self.refusal(now, text, replica) is None for replica in (0, 1))
