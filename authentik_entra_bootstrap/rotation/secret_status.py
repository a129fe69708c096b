"""The status of each client secret of an application, and when a connection is due. Pure.

From the application alone: what the sweep over a whole tenant reads in one listing, and what ``status`` shows.
What authentik holds is another question (:mod:`authentik_entra_bootstrap.rotation.decide`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from authentik_entra_bootstrap.domain import Application, ClientSecret, Desired
from authentik_entra_bootstrap.domain.application_tags import ApplicationTags, is_ours, read_tags
from authentik_entra_bootstrap.domain.policy import renew_at, stray_rest


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
