"""Which certificate the rotator uses, when a new one is due, and when an old one may go. Pure.

Tags say which is pending, current or previous, as they do of client secrets.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from authentik_entra_bootstrap.domain import KeyCredential, KeyId, PublicCertificate
from authentik_entra_bootstrap.domain.application_tags import Delivered, Marks, Previous
from authentik_entra_bootstrap.errors import ConfigError
from authentik_entra_bootstrap.rotator.observation import RotatorSeen

KEY_NAME = "authentik-entra-rotator"
"""Display name of our certificates; others on the application are kept and never removed."""
LIFETIME = timedelta(days=365)
OVERLAP = timedelta(days=7)
MINIMUM_LIFETIME = timedelta(days=1)
GREATEST_LIFETIME = timedelta(days=730)


class KeyAction(StrEnum):
    """What is done about the certificate."""

    KEEP = "keep"
    MAKE = "make"
    """Make a new key pair."""
    REGISTER = "register"
    """The key file is one that an interrupted run made: only its public half is missing in the tenant."""
    PROVE = "prove"
    """The key file's certificate is registered."""
    NONE = "none"
    """Nothing is wanted: a federated credential takes its place."""


@dataclass(frozen=True)
class KeyDecision:
    """What is done about the certificate, and why.

    :param key_id: of the key file's certificate, where there is one.
    """

    action: KeyAction
    reason: str
    overlap: timedelta = OVERLAP
    key_id: KeyId | None = None

    @property
    def proves(self) -> bool:
        """Whether the run signs in with the key file, so that replaced certificates can be removed after it."""
        return self.action in {KeyAction.MAKE, KeyAction.REGISTER, KeyAction.PROVE}


def renew_key_at(key: KeyCredential) -> datetime:
    """When a certificate is due: two thirds into its life, as client secrets are."""
    return key.start_date_time + (key.end_date_time - key.start_date_time) * 2 / 3


def check_key_lifetime(lifetime: timedelta) -> None:
    """Refuse lifetimes that cannot work.

    :raises ConfigError: ``certificate-lifetime-invalid``.
    """
    if not MINIMUM_LIFETIME <= lifetime <= GREATEST_LIFETIME:
        raise ConfigError(
            "certificate-lifetime-invalid",
            "The lifetime of a certificate must lie between one day and two years.",
            'Give it like "365d".',
        )


def decide_key(
    seen: RotatorSeen,
    now: datetime,
    *,
    file: PublicCertificate | None,
    named: bool,
    force: bool = False,
    overlap: timedelta = OVERLAP,
) -> KeyDecision:
    """What to do about the certificate.

    :param file: what the key file holds; ``None`` when it does not exist.
    :param named: whether a key file was named at all.
    :param force: make a new one although none is due.
    :raises ConfigError: ``certificate-file-missing``; ``certificate-not-registered`` for a key file that was
        never this rotator's, or no longer is; ``certificate-file-in-use`` where a new one is due.
    """
    marks, current = seen.marks, seen.current
    live = current if current and current.is_live(now) else None
    due = live is None or force or now >= renew_key_at(live)
    if file is not None:
        decision = _with_file(seen, now, file, due=due and live is not None)
        return replace(decision, overlap=overlap, key_id=file.key_id)
    if live is not None and not due:
        reason = f"valid until {live.end_date_time:%Y-%m-%d}, due from {renew_key_at(live):%Y-%m-%d}"
        return KeyDecision(KeyAction.KEEP, reason, overlap)
    if not named:
        raise ConfigError(
            "certificate-file-missing",
            "The rotator needs a new certificate, and no file is named for its private key.",
            "Name a file that does not exist yet with --certificate-file.",
        )
    if marks.current is None:
        reason = "it has no certificate of ours yet"
    elif live is None:
        reason = "its certificate has ended or was removed"
    else:
        reason = "asked for" if force else "two thirds of its life have passed"
    return KeyDecision(KeyAction.MAKE, reason, overlap)


def _with_file(seen: RotatorSeen, now: datetime, file: PublicCertificate, *, due: bool) -> KeyDecision:
    marks = seen.marks
    remembered = {item.key_id for item in (marks.pending, marks.current) if item}
    registered = seen.key(file.key_id)
    if registered is not None and file.key_id not in remembered and seen.current is not None:
        raise ConfigError(
            "certificate-replaced",
            "The key file's certificate was replaced by a newer one; it is not made the current one again.",
            "Name the file of the newer one, or one that does not exist yet.",
        )
    if file.end_date_time <= now or (registered is None and file.key_id not in remembered):
        raise ConfigError(
            "certificate-not-registered",
            "The key file's certificate has ended, or the rotator's application does not hold it.",
            "Name a file that does not exist yet: a new key is made for it. No file is ever overwritten.",
        )
    if due and marks.current and file.key_id == marks.current.key_id:
        raise ConfigError(
            "certificate-file-in-use",
            "The rotator's certificate is due, and the key file named is the one that holds it.",
            "Name another file for the new key; workers go on with the old one until the overlap is over.",
        )
    if registered is None:
        return KeyDecision(KeyAction.REGISTER, "an interrupted run made the key file")
    if marks.current is None or marks.current.key_id != file.key_id:
        return KeyDecision(KeyAction.PROVE, "registered, never proven")
    return KeyDecision(KeyAction.PROVE, f"valid until {file.end_date_time:%Y-%m-%d}")


def finished(
    marks: Marks, key_id: KeyId, now: datetime, overlap: timedelta, old: KeyCredential | None
) -> Marks:
    """The marks once a certificate is proven.

    :param old: the certificate that it replaces, if that is still registered; it stays for the overlap.
    """
    previous = tuple(item for item in marks.previous if item.key_id != key_id)
    if old is not None and old.key_id != key_id:
        previous += (Previous(old.key_id, min(now + overlap, old.end_date_time)),)
    return replace(marks, pending=None, current=Delivered(key_id), previous=previous, managed=True)


def over(marks: Marks, keys: tuple[KeyCredential, ...], now: datetime) -> tuple[KeyCredential, ...]:
    """Certificates of ours that nobody needs any more: replaced and past their overlap, or never proven."""
    waiting = {item.key_id for item in marks.previous if item.retire_at > now}
    kept = waiting | {item.key_id for item in (marks.current, marks.pending) if item}
    return tuple(item for item in keys if item.display_name == KEY_NAME and item.key_id not in kept)
