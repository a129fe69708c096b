"""The rotator's credentials: which certificate is used, when a new one is due, and federated credentials. Pure.

Tags say which certificate is pending, current or previous, as they do of client secrets. Sources for federation:
Microsoft's "Workload identity federation" (audiences of the clouds), Kubernetes' "Service account token volume
projection", GitHub's "About security hardening with OpenID Connect" (subjects).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from authentik_entra_bootstrap.domain import (
    Application,
    FederatedCredential,
    KeyCredential,
    KeyId,
    PublicCertificate,
)
from authentik_entra_bootstrap.domain.application_tags import (
    ApplicationTags,
    Delivered,
    Previous,
    current_key,
    read_tags,
)
from authentik_entra_bootstrap.errors import ConfigError

KEY_NAME = "authentik-entra-rotator"
"""Display name of our certificates; others on the application are kept and never removed."""
OVERLAP = timedelta(days=7)
GITHUB_ISSUER = "https://token.actions.githubusercontent.com"
AUDIENCES: Mapping[str, str] = {
    "global": "api://AzureADTokenExchange",
    "usgov": "api://AzureADTokenExchangeUSGov",
    "usgov-dod": "api://AzureADTokenExchangeUSGov",
    "china": "api://AzureADTokenExchangeChina",
}


class KeyAction(StrEnum):
    """What is done about the certificate."""

    KEEP = "keep"
    MAKE = "make"
    """Make a new key pair."""
    REGISTER = "register"
    """The key file is one that an interrupted run made: only its public half is missing in the tenant."""
    PROVE = "prove"
    """Prove the key file's certificate, record it as the current one, and remove those that are not needed."""
    NONE = "none"
    """Nothing is wanted: a federated credential takes its place."""


@dataclass(frozen=True)
class KeyDecision:
    """What is done about the certificate, and why.

    :param key_id: of the key file's certificate, where there is one.
    """

    action: KeyAction
    reason: str
    key_id: KeyId | None = None

    @property
    def proves(self) -> bool:
        """Whether the run signs in with the key file, so that replaced certificates can be removed after it."""
        return self.action in {KeyAction.MAKE, KeyAction.REGISTER, KeyAction.PROVE}


def renew_key_at(key: KeyCredential) -> datetime:
    """When a certificate is due: two thirds into its life, as client secrets are."""
    return key.start_date_time + (key.end_date_time - key.start_date_time) * 2 / 3


def key_rest(key: KeyCredential | PublicCertificate) -> timedelta:
    """How long a replaced certificate stays, and one that was never proven: another run may be about to use it."""
    return min(OVERLAP, (key.end_date_time - key.start_date_time) / 50)


def decide_own_key(application: Application, file: PublicCertificate, now: datetime) -> KeyAction:
    """What the rotator does about its own certificate: keep it, make a new one, or prove the key file's.

    :param application: as one read shows it; it may be out of date.
    :param file: what the key file holds, with which this run is signed in.
    :raises ConfigError: ``certificate-replaced``: another file holds the newer one.
    """
    tags, own, rest = read_tags(application.tags), application.key(file.key_id), key_rest(file)
    if own is None:
        # The token service took it, so this replica is late.
        return KeyAction.KEEP
    if tags.current is None or tags.current.key_id != own.key_id:
        if tags.pending is not None and tags.pending.key_id == own.key_id:
            return KeyAction.PROVE
        raise ConfigError(
            "certificate-replaced",
            "The key file's certificate was replaced by a newer one, which another file holds.",
            "Give this machine the newer file. The older certificate is removed after the overlap.",
        )
    unused = removable(replace(tags, pending=None), application.keys, now)
    if any(item.start_date_time + rest <= now for item in unused):
        return KeyAction.PROVE
    tried = application.key(tags.pending.key_id) if tags.pending else None
    if now < renew_key_at(own) or (tried is not None and now < tried.start_date_time + rest):
        return KeyAction.KEEP
    return KeyAction.MAKE


def check_key_lifetime(lifetime: timedelta) -> None:
    """Refuse lifetimes that cannot work.

    :raises ConfigError: ``certificate-lifetime-invalid``.
    """
    if not timedelta(days=1) <= lifetime <= timedelta(days=730):
        raise ConfigError(
            "certificate-lifetime-invalid",
            "The lifetime of a certificate must lie between one day and two years.",
            'Give it like "365d".',
        )


def decide_key(
    application: Application | None,
    now: datetime,
    *,
    file: PublicCertificate | None,
    named: bool,
    force: bool = False,
) -> KeyDecision:
    """What to do about the certificate.

    :param file: what the key file holds; ``None`` when it does not exist.
    :param named: whether a key file was named at all.
    :param force: make a new one although none is due.
    :raises ConfigError: ``certificate-file-missing``; ``certificate-not-registered`` for a key file that was
        never this rotator's, or no longer is; ``certificate-file-in-use`` where a new one is due.
    """
    current = current_key(application)
    live = current if current and current.is_live(now) else None
    due = live is not None and (force or now >= renew_key_at(live))
    if file is not None:
        return _with_file(application, now, file, due=due)
    if live is not None and not due:
        reason = f"valid until {live.end_date_time:%Y-%m-%d}, due from {renew_key_at(live):%Y-%m-%d}"
        return KeyDecision(KeyAction.KEEP, reason)
    if not named:
        raise ConfigError(
            "certificate-file-missing",
            "The rotator needs a new certificate, and no file is named for its private key.",
            "Name a file that does not exist yet with --to.",
        )
    if application is None or read_tags(application.tags).current is None:
        reason = "it has no certificate of this program yet"
    elif live is None:
        reason = "its certificate has expired or was removed"
    else:
        reason = "asked for" if force else "two thirds of its life have passed"
    return KeyDecision(KeyAction.MAKE, reason)


def _with_file(
    application: Application | None, now: datetime, file: PublicCertificate, *, due: bool
) -> KeyDecision:
    tags = read_tags(application.tags if application else ())
    remembered = {item.key_id for item in (tags.pending, tags.current) if item}
    registered = application is not None and application.key(file.key_id) is not None
    if registered and file.key_id not in remembered and current_key(application) is not None:
        raise ConfigError(
            "certificate-replaced",
            "The key file's certificate was replaced by a newer one; it is not made the current one again.",
            "Name the file of the newer one, or one that does not exist yet.",
        )
    if file.end_date_time <= now or not (registered or file.key_id in remembered):
        raise ConfigError(
            "certificate-not-registered",
            "The key file's certificate has ended, or the rotator's application does not hold it.",
            "Name a file that does not exist yet: a new key is made for it. No file is ever overwritten.",
        )
    is_current = tags.current is not None and file.key_id == tags.current.key_id
    if due and is_current:
        raise ConfigError(
            "certificate-file-in-use",
            "The rotator's certificate is due, and the key file named is the one that holds it.",
            "Name another file for the new key; workers can use the old one until the end of the overlap.",
        )
    if not registered:
        return KeyDecision(KeyAction.REGISTER, "an interrupted run made the key file", file.key_id)
    reason = f"valid until {file.end_date_time:%Y-%m-%d}" if is_current else "registered, never proven"
    return KeyDecision(KeyAction.PROVE, reason, file.key_id)


def finished(
    tags: ApplicationTags, key_id: KeyId, now: datetime, overlap: timedelta, old: KeyCredential | None
) -> ApplicationTags:
    """The tags once a certificate is proven.

    :param old: the certificate that it replaces, if that is still registered; it stays for the overlap.
    """
    previous = tuple(item for item in tags.previous if item.key_id != key_id)
    if old is not None and old.key_id != key_id:
        previous += (Previous(old.key_id, min(now + overlap, old.end_date_time)),)
    return replace(tags, pending=None, current=Delivered(key_id), previous=previous, managed=True)


def removable(
    tags: ApplicationTags, keys: tuple[KeyCredential, ...], now: datetime
) -> tuple[KeyCredential, ...]:
    """This program's certificates that are no longer used: replaced and past their overlap, or never proven."""
    needed = {item.key_id for item in tags.previous if item.retire_at > now}
    needed |= {item.key_id for item in (tags.current, tags.pending) if item}
    return tuple(item for item in keys if item.display_name == KEY_NAME and item.key_id not in needed)


def federated_credential(
    cloud: str,
    *,
    issuer: str | None = None,
    subject: str | None = None,
    kubernetes: str | None = None,
    github: str | None = None,
    branch: str | None = None,
    environment: str | None = None,
    name: str | None = None,
) -> FederatedCredential:
    """The credential that these words describe.

    :param cloud: name of the cloud, which decides the audience.
    :param kubernetes: ``NAMESPACE/ACCOUNT``, with the cluster's ``issuer``.
    :param github: ``OWNER/REPOSITORY``, with ``branch`` or ``environment``.
    :raises ConfigError: ``federation-unclear`` for words that name no identity, or more than one.
    """
    kind = "federated"
    if kubernetes is not None:
        kind, (namespace, _, account) = "kubernetes", kubernetes.partition("/")
        _demand(bool(namespace and account) and "/" not in account, "--kubernetes takes NAMESPACE/ACCOUNT")
        alone = bool(issuer) and not (subject or github)
        _demand(alone, "--kubernetes goes with --issuer alone, the cluster's")
        subject = f"system:serviceaccount:{namespace}:{account}"
    elif github is not None:
        kind, (owner, _, repository) = "github", github.partition("/")
        _demand(bool(owner and repository) and "/" not in repository, "--github takes OWNER/REPOSITORY")
        _demand(bool(branch) != bool(environment), "--github goes with one of --branch and --environment")
        _demand(not (issuer or subject), "--github says issuer and subject itself")
        place = f"ref:refs/heads/{branch}" if branch else f"environment:{environment}"
        issuer, subject = GITHUB_ISSUER, f"repo:{github}:{place}"
    _demand(github is not None or not (branch or environment), "--branch and --environment go with --github")
    _demand(bool(issuer and subject), "say who signs in: --kubernetes, --github, or --issuer and --subject")
    _demand(str(issuer).startswith("https://"), "an issuer is an https:// address")
    return FederatedCredential(name or kind, str(issuer), str(subject), AUDIENCES[cloud])


def _demand(holds: bool, words: str) -> None:
    if not holds:
        raise ConfigError(
            "federation-unclear",
            f"The federated credential is not clear: {words}.",
            "See docs/how-to/rotator-identity.md for each kind.",
        )
