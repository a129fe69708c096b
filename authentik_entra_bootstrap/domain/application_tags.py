"""What the application itself remembers for us: tags, display names and the status of client secrets. Pure.

There is no state file. ``tags`` say what we manage and which client secret is pending, current or previous;
each secret's ``displayName`` says who made it, and in which rotation. The next run on any machine finds them.

They also give the status of each client secret, and when a connection is due. One listing of the application is enough
for that. What authentik holds is another question (:mod:`authentik_entra_bootstrap.rotation.decide`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache

from authentik_entra_bootstrap.domain import Application, ClientSecret, Desired, KeyCredential, KeyId
from authentik_entra_bootstrap.domain.policy import renew_at, stray_rest
from authentik_entra_bootstrap.domain.times import parse_time, write_time

PREFIX = "authentik-entra"
_SECRET_NAME = re.compile(rf"{PREFIX}:(?P<connection>[\w.-]+):(?P<rotation>[0-9a-f-]{{8,36}})")
_TAG = re.compile(rf"{PREFIX}:(?P<key>[a-z]+)=(?P<value>.*)")


@dataclass(frozen=True)
class Delivered:
    """A client secret and, once authentik was given it, the request id of that change."""

    key_id: KeyId
    request_id: str | None = None

    def text(self) -> str:
        """The value of a tag."""
        return f"{self.key_id}@{self.request_id}" if self.request_id else str(self.key_id)

    @classmethod
    def parse(cls, text: str) -> Delivered | None:
        """Read what :meth:`text` wrote; ``None`` for a text without a key id."""
        key_id, _, request_id = text.partition("@")
        return cls(KeyId(key_id), request_id or None) if key_id else None


@dataclass(frozen=True)
class Previous:
    """A replaced client secret and the moment from which it may be removed."""

    key_id: KeyId
    retire_at: datetime


@dataclass(frozen=True)
class ApplicationTags:
    """This program's tags on an application, and the other tags, which are kept."""

    connection: str | None = None
    pending: Delivered | None = None
    current: Delivered | None = None
    previous: tuple[Previous, ...] = ()
    foreign: tuple[str, ...] = ()
    managed: bool = False
    adopted: str | None = None
    """Day on which the application was taken over; ``None`` for one that this program created."""

    def texts(self) -> tuple[str, ...]:
        """The whole list to write: the service replaces tags as one."""
        ours = [PREFIX]
        if self.connection:
            ours.append(connection_tag(self.connection))
        if self.adopted:
            ours.append(f"{PREFIX}:adopted={self.adopted}")
        if self.pending:
            ours.append(f"{PREFIX}:pending={self.pending.text()}")
        if self.current:
            ours.append(f"{PREFIX}:current={self.current.text()}")
        ours += [f"{PREFIX}:previous={item.key_id}@{write_time(item.retire_at)}" for item in self.previous]
        return (*self.foreign, *ours)

    def with_pending(self, pending: Delivered | None) -> ApplicationTags:
        """The same tags with another pending secret."""
        return replace(self, pending=pending)

    @property
    def known(self) -> frozenset[KeyId]:
        """Key ids of every secret that the tags name."""
        return frozenset(item.key_id for item in (self.pending, self.current, *self.previous) if item)


@lru_cache(maxsize=64)
def read_tags(tags: tuple[str, ...]) -> ApplicationTags:
    """Parse this program's tags of an application. Drops malformed ones, and keeps the tags of other programs.

    A run reads the same tags many times, so the last results are cached.
    """
    found = ApplicationTags()
    foreign: list[str] = []
    previous: list[Previous] = []
    for tag in tags:
        match = _TAG.fullmatch(tag)
        if tag == PREFIX:
            found = replace(found, managed=True)
        elif match is None:
            foreign.append(tag)
        elif match["key"] == "connection":
            found = replace(found, connection=match["value"] or None)
        elif match["key"] == "adopted":
            found = replace(found, adopted=match["value"] or None)
        elif match["key"] == "pending":
            found = replace(found, pending=Delivered.parse(match["value"]))
        elif match["key"] == "current":
            found = replace(found, current=Delivered.parse(match["value"]))
        elif match["key"] == "previous":
            item = _previous(match["value"])
            if item:
                previous.append(item)
    return replace(found, previous=tuple(previous), foreign=tuple(foreign))


def _previous(text: str) -> Previous | None:
    key_id, _, moment = text.partition("@")
    if not key_id:
        return None
    try:
        return Previous(KeyId(key_id), parse_time(moment))
    except ValueError:
        return None


def current_key(application: Application | None) -> KeyCredential | None:
    """The certificate that the tags record as proven, where it is still registered."""
    current = read_tags(application.tags).current if application else None
    return application.key(current.key_id) if application and current else None


def secret_display_name(connection: str, rotation_id: str) -> str:
    """The display name of a new client secret, chosen before the request is sent.

    :param rotation_id: lower-case hexadecimal; finds the secret again if the reply is lost.
    """
    return f"{PREFIX}:{connection}:{rotation_id}"


def connection_tag(connection: str) -> str:
    """The tag that names the connection of an application."""
    return f"{PREFIX}:connection={connection}"


def made_in(secret: ClientSecret, domain: str) -> bool:
    """Whether a client secret was made by a run that held the exclusive lease of this domain."""
    match = _SECRET_NAME.fullmatch(secret.display_name or "")
    return bool(domain and match and match["rotation"].startswith(domain) and len(match["rotation"]) > 16)


def is_ours(secret: ClientSecret) -> bool:
    """Whether we made a client secret. What we did not make is never removed."""
    return bool(secret.display_name and _SECRET_NAME.fullmatch(secret.display_name))


class SecretStatus(StrEnum):
    """The status of a client secret."""

    CURRENT = "current"
    """Delivered to authentik, and proven."""
    PREVIOUS = "previous"
    """Replaced; stays for its overlap."""
    PENDING = "pending"
    """Created, and not proven yet."""
    STRAY = "stray"
    """Created by this program and not recorded: a run ended before it recorded the secret, or is about to."""
    FOREIGN = "foreign"
    """Not created by this program: never removed."""


@dataclass(frozen=True)
class ClassifiedSecret:
    """A client secret with its status.

    :param retire_at: from when it may be removed; ``None`` for the current one and foreign ones.
    :param holder: ``application``, or ``service-principal`` for one that only that lists.
    """

    secret: ClientSecret
    status: SecretStatus
    retire_at: datetime | None = None
    holder: str = "application"

    @property
    def ours(self) -> bool:
        """Whether this program created it, by its name. Only such a secret is ever removed."""
        return is_ours(self.secret)


@dataclass(frozen=True)
class Attention:
    """When a connection needs its next run, and why.

    :param due: whether it needs the run now.
    :param at: the moment, aware UTC; not after now where ``due`` is true.
    """

    due: bool
    reason: str
    at: datetime


def classify_secrets(
    application: Application, tags: ApplicationTags | None = None, of_principal: tuple[ClientSecret, ...] = ()
) -> tuple[ClassifiedSecret, ...]:
    """Every client secret of an application with its status, oldest first.

    :param of_principal: those of its service principal, which this program never made.
    """
    tags = read_tags(application.tags) if tags is None else tags
    resting = {item.key_id: item.retire_at for item in sorted(tags.previous, key=lambda item: item.retire_at)}
    found: list[ClassifiedSecret] = []
    for secret in sorted(application.secrets, key=lambda item: item.start_date_time):
        rest = secret.start_date_time + stray_rest(secret.lifetime)
        if tags.current is not None and secret.key_id == tags.current.key_id:
            found.append(ClassifiedSecret(secret, SecretStatus.CURRENT))
        elif tags.pending is not None and secret.key_id == tags.pending.key_id:
            found.append(ClassifiedSecret(secret, SecretStatus.PENDING, rest))
        elif not is_ours(secret):
            found.append(ClassifiedSecret(secret, SecretStatus.FOREIGN))
        elif secret.key_id in resting:
            found.append(ClassifiedSecret(secret, SecretStatus.PREVIOUS, resting[secret.key_id]))
        else:
            found.append(ClassifiedSecret(secret, SecretStatus.STRAY, rest))
    found += [
        ClassifiedSecret(secret, SecretStatus.FOREIGN, holder="service-principal") for secret in of_principal
    ]
    return tuple(sorted(found, key=lambda item: item.secret.start_date_time))


def attention(application: Application, desired: Desired, now: datetime) -> Attention:
    """When a connection's next run is due.

    :param application: as one read shows it; it may be a little old, so the run looks again.
    """
    tags = read_tags(application.tags)
    secrets = {secret.key_id: secret for secret in application.secrets}
    current = secrets.get(tags.current.key_id) if tags.current else None
    if current is None:
        reason = "no delivered secret is on record" if tags.current is None else "the current secret is gone"
        return Attention(True, reason, now)
    if tags.pending is not None and tags.pending.request_id:
        return Attention(True, "a delivered secret has not been proven", now)
    wishes = [(renew_at(current, desired.renewal), "the client secret is due")]
    wishes += [
        (item.retire_at, f"a {item.status.value} secret may be removed")
        for item in classify_secrets(application, tags)
        if item.retire_at is not None and item.ours
    ]
    at, reason = min(wishes)
    return Attention(at <= now, reason, at)


def urgency(application: Application) -> datetime:
    """Latest safe time for the next run: the end of the current secret, or ``datetime.min`` if none is proven."""
    tags = read_tags(application.tags)
    ends = {secret.key_id: secret.end_date_time for secret in application.secrets}
    if tags.current is None or (tags.pending is not None and tags.pending.request_id):
        return datetime.min.replace(tzinfo=UTC)
    return ends.get(tags.current.key_id, datetime.min.replace(tzinfo=UTC))
