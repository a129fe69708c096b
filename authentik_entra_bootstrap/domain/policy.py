"""How long a client secret may live and when it is renewed. Pure functions over lifetimes and moments.

Every threshold scales with the lifetime that was granted, so that a tenant's policy which shortens lifetimes
moves everything with it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from authentik_entra_bootstrap.domain import ClientSecret, MaintenanceWindow, Renewal, SecretPolicy
from authentik_entra_bootstrap.domain.times import in_words
from authentik_entra_bootstrap.errors import AdminActionRequired, ConfigError

MINIMUM_LIFETIME = timedelta(hours=1)
GREATEST_LIFETIME = timedelta(days=730)
"""Two years: what ``addPassword`` gives when nothing is asked (Graph reference, addPassword)."""
CLOCK_MARGIN = timedelta(minutes=5)
"""Kept below a policy's limit: the tenant measures with its own clock."""
SPREAD = 1 / 20
"""Share of the lifetime over which connections are spread, so that a thousand do not renew at once."""
TRIES_LEFT = 10
"""Tries that must fit into what is left of a secret's lifetime."""
FLIGHT = timedelta(minutes=1)
"""How long a request may be under way after its client has ended. Clients give up after less
(:class:`~authentik_entra_bootstrap.domain.Network`), but a service still carries out what it has received."""


@dataclass(frozen=True)
class Grantable:
    """The end of a new secret, and whether a policy made it come sooner than asked."""

    end_date_time: datetime
    clamped: bool


def grantable_end(now: datetime, asked: timedelta, policy: SecretPolicy) -> Grantable:
    """The ``endDateTime`` to ask for.

    :raises AdminActionRequired: ``secrets-forbidden-by-policy``, or ``secret-lifetime-too-short`` when the
        policy leaves less than :data:`MINIMUM_LIFETIME`.
    """
    if not policy.addition_allowed:
        raise AdminActionRequired(
            "secrets-forbidden-by-policy",
            "The tenant's app management policy forbids client secrets.",
            "Ask an administrator to exempt this application from the restriction passwordAddition.",
        )
    limit = policy.greatest_lifetime
    if limit is None:
        return Grantable(now + asked, clamped=False)
    if limit < MINIMUM_LIFETIME:
        raise AdminActionRequired(
            "secret-lifetime-too-short",
            f"The tenant's policy allows client secrets of {in_words(limit)} at most. The program needs at least an hour.",
            "Ask an administrator to allow longer client secrets for this application.",
        )
    # A limit that equals the asked lifetime still needs the margin.
    return Grantable(now + min(asked, limit - CLOCK_MARGIN), clamped=asked > limit)


def check_lifetime(lifetime: timedelta) -> None:
    """Refuse lifetimes that cannot work.

    :raises ConfigError: ``secret-lifetime-invalid``.
    """
    if not MINIMUM_LIFETIME <= lifetime <= GREATEST_LIFETIME:
        raise ConfigError(
            "secret-lifetime-invalid",
            f"secret_lifetime is {in_words(lifetime)}; it must lie between one hour and two years.",
            'Set it like "180d" or "12h".',
        )


_NO_RULE = Renewal()


def check_renewal(lifetime: timedelta, renew_before: timedelta | None) -> None:
    """Refuse a renewal that would come right after the making, or never.

    :raises ConfigError: ``renew-before-invalid``.
    """
    if renew_before is not None and not timedelta(0) < renew_before <= lifetime * 2 / 3:
        raise ConfigError(
            "renew-before-invalid",
            f"renew_before is {in_words(renew_before)}; it must be at most two thirds of secret_lifetime "
            f"({in_words(lifetime)}).",
            'Set it like "30d", or leave it out.',
        )


def renew_at(secret: ClientSecret, renewal: Renewal = _NO_RULE) -> datetime:
    """When a secret is due for replacement.

    Two thirds into its *granted* lifetime, or ``renew_before`` its expiry. Then up to a twentieth of the lifetime
    sooner, by a share that is always the same for a connection. Never in the first third of the lifetime: a
    granted lifetime shorter than ``renew_before`` must not make rotation permanent. Postponed to the maintenance
    window, unless the secret would expire before the window opens.
    """
    lifetime = secret.lifetime
    wished = (
        secret.start_date_time + lifetime * 2 / 3
        if renewal.renew_before is None
        else secret.end_date_time - renewal.renew_before
    )
    soonest = secret.start_date_time + lifetime / 3
    due = max(wished - lifetime * SPREAD * _share(renewal.spread_by), soonest)
    if renewal.window is None:
        return due
    opens = next_opening(renewal.window, due)
    # Ten tries of the retry schedule have to fit between the opening and the end.
    return opens if opens + lifetime / TRIES_LEFT <= secret.end_date_time else due


def _share(text: str) -> float:
    """A number in [0, 1) that depends on nothing but the text."""
    if not text:
        return 0.0
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64


def next_opening(window: MaintenanceWindow, moment: datetime) -> datetime:
    """The first moment at or after ``moment`` at which the window is open, aware UTC."""
    local = moment.astimezone(window.zone)
    overnight = window.closes <= window.opens
    # The window that opened the day before may still be open.
    for day in range(-1, 8):
        date = (local + timedelta(days=day)).date()
        if date.weekday() not in window.days:
            continue
        opens = datetime.combine(date, window.opens, window.zone).astimezone(moment.tzinfo)
        end = date + timedelta(days=1) if overnight else date
        closes = datetime.combine(end, window.closes, window.zone).astimezone(moment.tzinfo)
        if moment < closes:
            return max(moment, opens)
    return moment


def overlap_of(lifetime: timedelta, overlap: timedelta) -> timedelta:
    """How long a replaced secret stays valid.

    :param lifetime: granted to the new secret.
    :param overlap: as set; at most a sixth of the lifetime is used.
    """
    return min(overlap, lifetime / 6)


def attempt_limit(lifetime: timedelta) -> timedelta:
    """How old a new secret may be when authentik is given it; an older one is thrown away."""
    return min(timedelta(hours=1), lifetime / 6)


def stray_rest(lifetime: timedelta) -> timedelta:
    """Minimum age at which another run may remove an unrecorded secret that this program created.

    Twice :func:`attempt_limit`: the run that created the secret may be about to deliver it to authentik, and
    neither service offers conditional writes.
    """
    return 2 * attempt_limit(lifetime)
