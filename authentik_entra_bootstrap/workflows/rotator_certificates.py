"""The rotator's certificates: registering, proving and removing them so that it is never locked out.

In ``rotate`` and in the worker's sweeps the rotator renews its own certificate, signed in with it. The new certificate is
tagged, registered and proven by signing in. Then its private key replaces the content of the key file, and the old
certificate stays registered for a week. The key in the file signs in before and after the replacement.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from authentik_entra_bootstrap.domain import Application, KeyId, PublicCertificate, TokenClaims
from authentik_entra_bootstrap.domain.application_tags import (
    ApplicationTags,
    Delivered,
    current_key,
    read_tags,
)
from authentik_entra_bootstrap.entra import EntraIdentities
from authentik_entra_bootstrap.errors import (
    AdminActionRequired,
    BootstrapError,
    Denied,
    Temporary,
    VerificationFailed,
)
from authentik_entra_bootstrap.planning.expiry import TEXTS, ExpiryKind
from authentik_entra_bootstrap.rotation.proof import Evidence
from authentik_entra_bootstrap.rotator.credentials import (
    KEY_NAME,
    KeyAction,
    decide_own_key,
    finished,
    key_rest,
    removable,
    renew_key_at,
)
from authentik_entra_bootstrap.rotator.plan import ROLE, TAG, UNIQUE_NAME
from authentik_entra_bootstrap.support.certificates import BACKDATED, KeyPair, make_key_pair, read_key_pair
from authentik_entra_bootstrap.support.logs import record
from authentik_entra_bootstrap.support.private_files import replace_secret, why_not_replaceable
from authentik_entra_bootstrap.support.waiting import ROLES, Waiter
from authentik_entra_bootstrap.workflows.client_secrets import CONFIRMATIONS, SIGN_INS
from authentik_entra_bootstrap.workflows.session import Reporter

_NOT_YET = frozenset({"operator-credential-invalid", "application-not-found"})
"""What the token service answers while a new certificate or application is not known everywhere."""


@dataclass(frozen=True)
class RotatorContext:
    """The tenant's side alone, and what is injected.

    :param now: aware UTC.
    :param reporter: is told each step that is done, in words; ids, never secrets.
    """

    entra: EntraIdentities
    waiter: Waiter
    now: Callable[[], datetime]
    reporter: Reporter = field(default_factory=Reporter)


class RotatorKeys:
    """Writes the list of certificates, and the tags that record the purpose of each.

    Microsoft Graph replaces the whole list, and answers reads from any replica. An outdated list would remove a
    certificate that is in use. So this class writes only after several reads in a row agree, and show every
    certificate that this run knows of.
    """

    def __init__(self, context: RotatorContext, application: Application) -> None:
        self._context = context
        self._entra = context.entra
        self._id = application.app_object_id
        self._known: set[KeyId] = set()
        """Certificates that this run registered."""
        self._tags: tuple[str, ...] | None = None
        """The tags that this run wrote last."""

    async def mark_pending(self, key_id: KeyId) -> None:
        """Say which certificate is about to be registered."""
        tags = read_tags((await self._agreed()).tags)
        await self._write(replace(tags, pending=Delivered(key_id)))

    async def register(self, certificate: PublicCertificate) -> None:
        """Add a certificate and wait until reads agree that it is there."""
        seen = await self._agreed()
        if seen.key(certificate.key_id) is None:
            await self._entra.replace_keys(self._id, seen.keys, [(KEY_NAME, certificate)])
        self._known.add(certificate.key_id)
        await self._agreed()
        record("rotator-certificate-registered", key_id=certificate.key_id)
        self._context.reporter.finished(f"certificate registered (key id {certificate.key_id})")

    async def finish(self, key_id: KeyId, overlap: timedelta, rest: timedelta | None = None) -> None:
        """Remember the proven certificate as the current one; then remove those that are no longer needed.

        :param rest: age below which none is removed; ``None`` where no other run can be at work.
        """
        self._known.add(key_id)
        seen, now = await self._agreed(), self._context.now()
        after = finished(read_tags(seen.tags), key_id, now, overlap, current_key(seen))
        removed = tuple(
            item.key_id
            for item in removable(after, seen.keys, now)
            if rest is None or item.start_date_time + rest <= now
        )
        left = tuple(item for item in seen.keys if item.key_id not in removed)
        present = {item.key_id for item in left}
        # The tags of certificates that are not there any more are dropped; the tags go first, so that a crash leaves a
        # certificate too many, never a tag too few.
        after = replace(after, previous=tuple(item for item in after.previous if item.key_id in present))
        await self._write(after)
        if removed:
            await self._entra.replace_keys(self._id, left)
            await self._until(
                lambda app: all(app.key(gone) is None for gone in removed), "forget a certificate"
            )
        for gone in removed:
            record("rotator-certificate-removed", key_id=gone)
            self._context.reporter.finished(f"certificate removed (key id {gone})")

    async def _write(self, tags: ApplicationTags) -> None:
        texts = tags.texts()
        if self._tags is None:
            seen = await self._entra.application(self._id)
            if seen is not None and seen.tags == texts:
                return
        await self._entra.update_application(self._id, tags=texts)
        self._tags = texts

    async def _agreed(self) -> Application:
        return await self._until(
            lambda app: self._known <= {item.key_id for item in app.keys}, "show the rotator's certificates"
        )

    async def _until(self, holds: Callable[[Application], bool], what: str) -> Application:
        """The application once reads in a row agree, show what this run wrote, and fulfil the condition."""
        before: list[object] = []

        async def look() -> Application | None:
            seen = await self._entra.application(self._id)
            if seen is None or not holds(seen) or (self._tags is not None and seen.tags != self._tags):
                before.clear()
                return None
            state = (seen.tags, seen.keys)
            agrees = not before or before[-1] == state
            before[:] = [state]
            return seen if agrees else None

        return await self._context.waiter.until(
            look,
            what=f"Entra ID to {what} everywhere",
            code="rotator-not-settled",
            confirmations=CONFIRMATIONS,
        )


async def prove_certificate(
    context: RotatorContext, application: Application, pair: KeyPair
) -> tuple[Evidence, ...]:
    """Sign in as the rotator with a certificate: see :func:`prove_sign_in`."""
    sign_in = context.entra.sign_in_with_certificate
    return await prove_sign_in(context, lambda: sign_in(application.app_id, pair.pem), "certificate")


async def prove_sign_in(
    context: RotatorContext, sign_in: Callable[[], Awaitable[TokenClaims]], by: str
) -> tuple[Evidence, ...]:
    """Sign in as the rotator until it succeeds several times in a row, and look at the token.

    :param by: the credential, for people.
    :raises Temporary: it was not accepted within the budget.
    :raises VerificationFailed: ``rotator-not-least-privilege``: the token has more than the one role.
    """
    refusal: Denied | None = None

    async def signs_in() -> TokenClaims | None:
        nonlocal refusal
        try:
            claims = await sign_in()
        except Denied as error:
            if error.code not in _NOT_YET:
                raise
            refusal = error
            return None
        return claims if ROLE in claims.roles else None

    context.reporter.doing(f"signing in with the {by}")
    try:
        claims = await context.waiter.until(
            signs_in,
            what=f"Entra ID to accept the rotator's {by} with its permission",
            code="rotator-not-accepted-yet",
            backoff=ROLES,
            confirmations=SIGN_INS,
            usual="4 to 20 s, sometimes minutes",
        )
    except Temporary as error:
        if refusal is not None:
            error.facts["last_refusal"] = refusal.code
        raise
    if more := sorted(claims.roles - {ROLE}):
        raise VerificationFailed(
            "rotator-not-least-privilege",
            f"The rotator signs in, and its token has more than {ROLE}: {', '.join(more)}.",
            "This program did not grant it. Remove it under Enterprise applications > Permissions, then run again.",
            facts={"roles": ", ".join(more)},
        )
    return (
        Evidence("rotator-signs-in", True, f"{SIGN_INS} sign-ins in a row with its {by}", context.now()),
        Evidence("token-has-roles", True, f"{ROLE} and nothing else", context.now()),
    )


# --- the rotator renews its own certificate


async def renew_own_certificate(context: RotatorContext, path: str) -> KeyId | None:
    """Renew the certificate that this run is signed in with, where it is the rotator's and two thirds of its life are over.

    Any number of runs may do it at once, and each may die at any moment: the file always holds a certificate that signs in.
    Of two runs, the one that writes its tag last continues. The other one no longer finds its own tag.

    :param path: the key file.
    :returns: key id of the certificate in the file now; ``None`` where there is nothing to do.
    :raises AdminActionRequired: ``certificate-not-renewed``: an administrator has to do it.
    :raises Temporary: the next run tries again.
    """
    operator = await context.entra.operator()
    application = await context.entra.find_application(UNIQUE_NAME)
    if application is None or TAG not in application.tags or application.app_id != operator.app_id:
        return None
    file = Path(path)
    try:
        try:
            pair = read_key_pair(file)
        except BootstrapError:
            # PKCS12, or with a password: azure-identity reads it, and we would write another kind.
            current = current_key(application)
            if current is None or context.now() < renew_key_at(current):
                return None
            raise
        action = decide_own_key(application, pair.public, context.now())
        if action is KeyAction.KEEP:
            return None
        if action is KeyAction.MAKE and (why := why_not_replaceable(file)):
            raise _refused(f"the file {file} cannot be replaced: {why}")
        return await _renew(context, application, file, pair, action)
    except BootstrapError as error:
        if isinstance(error, Temporary) or error.code == "certificate-not-renewed":
            raise
        raise _refused(error.message) from None


async def _renew(
    context: RotatorContext, application: Application, file: Path, pair: KeyPair, action: KeyAction
) -> KeyId:
    rest = key_rest(pair.public)
    keys = RotatorKeys(context, application)
    if action is KeyAction.MAKE:
        context.reporter.doing("renewing the rotator's certificate")
        lifetime = pair.public.end_date_time - pair.public.start_date_time - BACKDATED
        pair = make_key_pair(KEY_NAME, context.now(), lifetime)
        await keys.mark_pending(pair.public.key_id)
        await keys.register(pair.public)
    await prove_certificate(context, application, pair)
    if action is KeyAction.MAKE:
        replace_secret(file, pair.pem)
        record("rotator-certificate-renewed", key_id=pair.public.key_id, file=str(file))
    await keys.finish(pair.public.key_id, rest, rest)
    return pair.public.key_id


def _refused(why: str) -> AdminActionRequired:
    return AdminActionRequired(
        "certificate-not-renewed",
        f"The rotator's certificate is due, and this run cannot renew it: {why.rstrip('.')}.",
        TEXTS[ExpiryKind.CERTIFICATE].remedy,
    )
