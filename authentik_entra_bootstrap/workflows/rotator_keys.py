"""The rotator's certificates: registering, proving and removing them so that it is never locked out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta

from authentik_entra_bootstrap.domain import (
    Application,
    AppObjectId,
    KeyCredential,
    KeyId,
    PublicCertificate,
    TokenClaims,
)
from authentik_entra_bootstrap.domain.application_tags import ApplicationTags, Delivered, read_tags
from authentik_entra_bootstrap.entra.port import EntraIdentities, EntraPort
from authentik_entra_bootstrap.errors import Denied, Temporary, VerificationFailed
from authentik_entra_bootstrap.rotation.proof import Evidence
from authentik_entra_bootstrap.rotator.credentials import KEY_NAME, finished, removable
from authentik_entra_bootstrap.rotator.observation import ROLE
from authentik_entra_bootstrap.support.waiting import ROLES, Waiter
from authentik_entra_bootstrap.workflows.client_secrets import CONFIRMATIONS, SIGN_INS

_NOT_YET = frozenset({"operator-credential-invalid", "application-not-found"})
"""What the token service answers while a new certificate or application is not known everywhere."""


class RotatorKeys:
    """Writes the list of certificates, and the tags that record the purpose of each.

    Microsoft Graph replaces the whole list, and answers reads from any replica. An outdated list would remove a
    certificate that is in use. So this class writes only after several reads in a row agree, and show every
    certificate that this run knows of.
    """

    def __init__(
        self, entra: EntraPort, identities: EntraIdentities, waiter: Waiter, app_object_id: AppObjectId
    ) -> None:
        self._entra = entra
        self._identities = identities
        self._waiter = waiter
        self._id = app_object_id
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
        if all(item.key_id != certificate.key_id for item in seen.keys):
            await self._identities.replace_keys(self._id, seen.keys, [(KEY_NAME, certificate)])
        self._known.add(certificate.key_id)
        await self._agreed()

    async def finish(
        self, key_id: KeyId, now: datetime, overlap: timedelta, rest: timedelta | None = None
    ) -> tuple[KeyCredential, ...]:
        """Remember the proven certificate as the current one; then remove those that nobody needs any more.

        :param rest: age below which none is removed; ``None`` where no other run can be at work.
        :returns: what was removed.
        """
        self._known.add(key_id)
        seen = await self._agreed()
        tags = read_tags(seen.tags)
        current = tags.current.key_id if tags.current else None
        old = next((item for item in seen.keys if item.key_id == current), None)
        after = finished(tags, key_id, now, overlap, old)
        removed = tuple(
            item
            for item in removable(after, seen.keys, now)
            if rest is None or item.start_date_time + rest <= now
        )
        left = tuple(item for item in seen.keys if item not in removed)
        present = {item.key_id for item in left}
        # ApplicationTags of certificates that are not there any more are dropped; the tags go first, so that a crash
        # leaves a certificate too many, never a tag too few.
        after = replace(after, previous=tuple(item for item in after.previous if item.key_id in present))
        await self._write(after)
        if removed:
            old_ids = {item.key_id for item in removed}
            await self._identities.replace_keys(self._id, left)
            await self._until(
                lambda app: not old_ids & {item.key_id for item in app.keys}, "forget a certificate"
            )
        return removed

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

        return await self._waiter.until(
            look,
            what=f"Entra ID to {what} everywhere",
            code="rotator-not-settled",
            confirmations=CONFIRMATIONS,
        )


async def prove_sign_in(
    waiter: Waiter, sign_in: Callable[[], Awaitable[TokenClaims]], by: str, now: Callable[[], datetime]
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

    try:
        claims = await waiter.until(
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
            "This tool did not grant it. Remove it under Enterprise applications > Permissions, then run again.",
            facts={"roles": ", ".join(more)},
        )
    return (
        Evidence("rotator-signs-in", True, f"{SIGN_INS} sign-ins in a row with its {by}", now()),
        Evidence("token-has-roles", True, f"{ROLE} and nothing else", now()),
    )
