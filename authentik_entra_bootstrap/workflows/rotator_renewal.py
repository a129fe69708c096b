"""The rotator renews its own certificate, signed in with it: in ``rotate`` and in the worker's sweeps.

The protocol is the one of ``rotator renew``. The new certificate is tagged, registered and proven by signing in. Then its
private key replaces the content of the key file, and the old certificate stays registered for a week. The key in the
file signs in before and after the replacement.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from authentik_entra_bootstrap.domain import Application, KeyId, PublicCertificate
from authentik_entra_bootstrap.domain.application_tags import read_tags
from authentik_entra_bootstrap.entra.port import EntraIdentities, EntraPort
from authentik_entra_bootstrap.errors import AdminActionRequired, BootstrapError, Temporary
from authentik_entra_bootstrap.planning.expiry import ExpiryKind
from authentik_entra_bootstrap.rotator.credentials import (
    KEY_NAME,
    OwnKeyAction,
    decide_own_key,
    key_rest,
    renew_key_at,
)
from authentik_entra_bootstrap.rotator.observation import TAG, UNIQUE_NAME
from authentik_entra_bootstrap.support.certificates import BACKDATED, KeyPair, make_key_pair, read_key_pair
from authentik_entra_bootstrap.support.logs import record
from authentik_entra_bootstrap.support.private_files import replace_secret, why_not_replaceable
from authentik_entra_bootstrap.support.waiting import Waiter
from authentik_entra_bootstrap.workflows.context import Reporter
from authentik_entra_bootstrap.workflows.rotator import RotatorContext
from authentik_entra_bootstrap.workflows.rotator_keys import RotatorKeys, prove_sign_in


@dataclass(frozen=True)
class Renewed:
    """What became of the rotator's certificate.

    :param key_id: of the certificate in the file now.
    :param removed: key ids of certificates that nobody needs any more.
    """

    key_id: KeyId
    removed: tuple[KeyId, ...]


def renewal_context(
    entra: EntraPort, identities: EntraIdentities, waiter: Waiter, now: Callable[[], datetime]
) -> RotatorContext:
    """What a renewal beside a rotation works with; nobody is told of its steps but the log."""
    return RotatorContext(entra, identities, waiter, Reporter(), now, lambda _: None)


async def renew_own_certificate(context: RotatorContext, path: str | None) -> Renewed | None:
    """Renew the certificate that this run is signed in with, where it is the rotator's and two thirds of its life are over.

    Any number of runs may do it at once, and each may die at any moment: the file always holds a certificate that signs in.
    Of two runs the one that marks its certificate last goes on; the other one does not see its own mark any more.

    :param path: the key file; ``None`` where the operator signs in without one.
    :returns: ``None`` where there is nothing to do.
    :raises AdminActionRequired: ``certificate-not-renewed``: an administrator has to do it.
    :raises Temporary: the next run tries again.
    """
    if path is None:
        return None
    operator = await context.entra.operator()
    application = await context.entra.find_application(UNIQUE_NAME)
    if application is None or TAG not in application.tags or application.app_id != operator.app_id:
        return None
    file = Path(path)
    try:
        action = _decide(context, application, file)
        if action is OwnKeyAction.KEEP:
            return None
        if action is OwnKeyAction.MAKE and (why := why_not_replaceable(file)):
            raise _refused(f"the file {file} cannot be replaced: {why}")
        return await _renew(context, application, file, action)
    except Temporary:
        raise
    except BootstrapError as error:
        if error.code == "certificate-not-renewed":
            raise
        refusal = _refused(error.message)
    raise refusal


def _decide(context: RotatorContext, application: Application, file: Path) -> OwnKeyAction:
    marks, now = read_tags(application.tags), context.now()
    try:
        public = read_key_pair(file).public
    except BootstrapError:
        # PKCS12, or with a password: azure-identity reads it, and we would write another kind.
        current = next(
            (item for item in application.keys if marks.current and item.key_id == marks.current.key_id), None
        )
        if current is None or now < renew_key_at(current):
            return OwnKeyAction.KEEP
        raise
    return decide_own_key(marks, application.keys, public, now)


async def _renew(
    context: RotatorContext, application: Application, file: Path, action: OwnKeyAction
) -> Renewed:
    pair, identities = read_key_pair(file), context.identities
    rest = key_rest(pair.public)
    keys = RotatorKeys(context.entra, identities, context.waiter, application.app_object_id)
    if action is OwnKeyAction.MAKE:
        context.reporter.doing("renewing the rotator's certificate")
        pair = make_key_pair(KEY_NAME, context.now(), _lifetime(pair.public))
        await keys.mark_pending(pair.public.key_id)
        await keys.register(pair.public)
        record("rotator-certificate-registered", key_id=pair.public.key_id)
    await _prove(context, application, pair)
    if action is OwnKeyAction.MAKE:
        replace_secret(file, pair.pem)
        record("rotator-certificate-renewed", key_id=pair.public.key_id, file=str(file))
    removed = await keys.finish(pair.public.key_id, context.now(), rest, rest)
    for item in removed:
        record("rotator-certificate-removed", key_id=item.key_id)
    return Renewed(pair.public.key_id, tuple(item.key_id for item in removed))


async def _prove(context: RotatorContext, application: Application, pair: KeyPair) -> None:
    await prove_sign_in(
        context.waiter,
        lambda: context.identities.sign_in_with_certificate(application.app_id, pair.pem),
        "new certificate",
        context.now,
    )


def _lifetime(certificate: PublicCertificate) -> timedelta:
    return certificate.end_date_time - certificate.start_date_time - BACKDATED


def _refused(why: str) -> AdminActionRequired:
    return AdminActionRequired(
        "certificate-not-renewed",
        f"The rotator's certificate is due, and this run cannot renew it: {why.rstrip('.')}.",
        ExpiryKind.CERTIFICATE.remedy,
    )
