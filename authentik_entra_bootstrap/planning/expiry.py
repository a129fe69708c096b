"""Everything with an expiry that a connection depends on, and how near each expiry is. Pure.

One record and one judgement: ``status``, its alarms, ``check``, the page and the metrics all read these.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from authentik_entra_bootstrap.domain import ApiToken, Application, AuthentikUser, ClientSecret, LicenseInfo
from authentik_entra_bootstrap.domain.application_tags import current_key, read_tags
from authentik_entra_bootstrap.domain.times import about

NOTICE = timedelta(days=30)
"""How long before its expiry something is an alarm; sooner for what lives less than six times as long."""
SHARE = 1 / 6
"""Share of the lifetime that is left when a renewal is long overdue."""

_LATER = "Give it a later expiry in authentik under Directory > Tokens and App passwords, or make one that does not expire."


class ExpiryKind(StrEnum):
    """What expires. The values are labels of the metric and keys of the JSON document."""

    SECRET = "client-secret"
    CERTIFICATE = "rotator-certificate"
    ROTATOR_TOKEN = "rotator-token"
    TOKEN = "authentik-token"
    """The token of authentik that this run uses, where it is not the rotator's."""
    LICENCE = "authentik-licence"


@dataclass(frozen=True)
class KindTexts:
    """Everything that is said of a kind.

    :param noun: for people.
    :param label: the same in a column of the status.
    :param alarm: what the codes of its alarms begin with.
    :param remedy: what to do about one that expires soon.
    """

    noun: str
    label: str
    alarm: str
    remedy: str


TEXTS = {
    ExpiryKind.SECRET: KindTexts("client secret", "client secret", "secret", "Run `authentik-entra rotate`."),
    ExpiryKind.CERTIFICATE: KindTexts(
        "rotator's certificate",
        "certificate",
        "certificate",
        "Run `authentik-entra rotator renew --to NEW_FILE` as an administrator, and give workers that file.",
    ),
    ExpiryKind.ROTATOR_TOKEN: KindTexts("rotator's token", "rotator token", "token", _LATER),
    ExpiryKind.TOKEN: KindTexts("authentik token", "token", "token", _LATER),
    ExpiryKind.LICENCE: KindTexts(
        "authentik licence",
        "licence",
        "licence",
        "Install a new licence in authentik under Enterprise > Licenses.",
    ),
}


class ExpiryState(StrEnum):
    """How near an expiry is."""

    VALID = "valid"
    SOON = "soon"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Expiry:
    """One thing with an expiry.

    :param name: a key id, a token's identifier; never a secret.
    :param at: aware UTC; ``None`` for what does not expire, or is not known.
    :param notice: how long before ``at`` it is an alarm.
    :param unknown: why its expiry is not known; empty where it is.
    """

    kind: ExpiryKind
    name: str = ""
    at: datetime | None = None
    notice: timedelta = NOTICE
    unknown: str = ""

    def state(self, now: datetime, within: timedelta | None = None) -> ExpiryState:
        """How near the expiry is.

        :param within: instead of ``notice``.
        """
        if self.unknown:
            return ExpiryState.UNKNOWN
        if self.at is None:
            return ExpiryState.VALID
        left = self.at - now
        if left <= timedelta():
            return ExpiryState.EXPIRED
        return ExpiryState.SOON if left <= (self.notice if within is None else within) else ExpiryState.VALID

    def detail(self, now: datetime) -> str:
        """When it expires, or why that is not known, for people."""
        if self.unknown:
            return f"unknown: {self.unknown}"
        if self.at is None:
            return "does not expire"
        left = self.at - now
        if left <= timedelta():
            return f"expired on {self.at:%Y-%m-%d %H:%M} UTC"
        return f"expires on {self.at:%Y-%m-%d %H:%M} UTC, in {about(left)}"


def secret_expiries(secrets: Iterable[ClientSecret]) -> tuple[Expiry, ...]:
    """The client secrets in use: an alarm comes when one has been due for long."""
    return tuple(
        Expiry(ExpiryKind.SECRET, item.key_id, item.end_date_time, item.lifetime * SHARE) for item in secrets
    )


def certificate_expiry(rotator: Application | None, *, readable: bool = True) -> tuple[Expiry, ...]:
    """The rotator's proven certificate; nothing where the tenant has no rotator, or one without certificates.

    :param readable: whether the operator may look for it.
    """
    kind = ExpiryKind.CERTIFICATE
    if not readable:
        return (Expiry(kind, unknown="the operator may not read the rotator's application"),)
    current, key = read_tags(rotator.tags if rotator else ()).current, current_key(rotator)
    if current is None:
        return ()
    if key is None:
        return (Expiry(kind, current.key_id, unknown="the certificate on record is not registered any more"),)
    notice = min(NOTICE, (key.end_date_time - key.start_date_time) * SHARE)
    return (Expiry(kind, key.key_id, key.end_date_time, notice),)


def token_expiries(
    user: AuthentikUser, tokens: Sequence[ApiToken], rotator: str, rotator_token: str
) -> tuple[Expiry, ...]:
    """The token that this run uses, and the rotator's.

    authentik does not tell which token a request used. The expiry is certain only if all API tokens of the user expire
    at the same moment, e.g. if there is only one.

    :param tokens: the tokens that this token may read.
    :param rotator: the user name of the rotator's service account; ``rotator_token``: the identifier of its token.
    """
    own = [item for item in tokens if item.user == user.pk]
    mine = _one_of(ExpiryKind.ROTATOR_TOKEN if user.username == rotator else ExpiryKind.TOKEN, own)
    others = [item for item in tokens if item.identifier == rotator_token and item.user != user.pk]
    return (mine, *(_one_of(ExpiryKind.ROTATOR_TOKEN, [item]) for item in others))


def _one_of(kind: ExpiryKind, tokens: Sequence[ApiToken]) -> Expiry:
    if not tokens:
        return Expiry(kind, unknown="its user has no API token that may be looked at")
    ends = {item.expires for item in tokens}
    if len(ends) == 1:
        return Expiry(kind, ", ".join(item.identifier for item in tokens), ends.pop())
    first = min(item for item in ends if item is not None)
    return Expiry(
        kind, unknown=f"its user has {len(tokens)} API tokens; the first of them expires on {first:%Y-%m-%d}"
    )


def licence_expiry(licence: LicenseInfo) -> tuple[Expiry, ...]:
    """authentik's licence; nothing without one."""
    if licence.status == "unlicensed":
        return ()
    unknown = "" if licence.valid_until else "authentik does not tell it"
    return (Expiry(ExpiryKind.LICENCE, at=licence.valid_until, unknown=unknown),)
