"""Creates, tests and removes client secrets, and leaves no unknown secret.

A new secret counts as accepted after one early sign-in and several parallel ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from functools import partial

from authentik_entra_bootstrap.domain import (
    Application,
    KeyId,
    NewClientSecret,
    Organization,
    PermissionKind,
)
from authentik_entra_bootstrap.domain.application_tags import secret_display_name
from authentik_entra_bootstrap.entra import SyncSession
from authentik_entra_bootstrap.errors import (
    AdminActionRequired,
    BootstrapError,
    Denied,
    NotFound,
    ReplicationTimeout,
    Temporary,
    Unreachable,
)
from authentik_entra_bootstrap.rotation.proof import Evidence
from authentik_entra_bootstrap.support.waiting import NEW_SECRET, REPLICATION, Backoff
from authentik_entra_bootstrap.workflows.session import Context, both, outcome

CONFIRMATIONS = 3
"""Consecutive successes before a state that replicas may disagree on is believed."""
_LOST_REPLY = Backoff(budget=30.0, first=0.5, factor=1.5, ceiling=4.0)
"""How long to look for a secret after its reply was lost; longer than replication usually takes."""
_ATTEMPTS = 4
SIGN_INS = 5
"""Consecutive successes before a secret is believed to be accepted: token service replicas disagree for longer than
others (terraform-provider-azuread wants five reads)."""
ROUNDS = 3
"""Number of rounds of parallel sign-ins after a refusal. The refusal shows that the secret is still replicating, so one
replica that accepts it says little about the others."""
SPREAD = 0.4
"""Seconds between two such rounds."""
_FIRST_CALL = Backoff(budget=30.0, first=0.5, factor=1.5, ceiling=4.0)
_WHAT = "Entra ID to accept the new client secret with its permissions"
_NOT_ACCEPTED = "secret-not-accepted-yet"
_USUAL = "4 to 20 s, sometimes minutes"
_NOT_YET = frozenset({"secret-not-accepted", "application-not-found"})
"""The token service's answers while a new secret or application is not known everywhere."""


async def make_secret(
    context: Context, application: Application, connection: str, end_date_time: datetime
) -> NewClientSecret:
    """Create a client secret. If the reply is lost, find the secret by its display name and remove it.

    :raises Temporary: no secret could be made; none of this call is left behind, or the next run finds it.
    """
    failure: BootstrapError | None = None
    for _ in range(_ATTEMPTS):
        name = secret_display_name(connection, context.rotation_id())
        add = partial(
            context.entra.add_secret,
            application.app_object_id,
            display_name=name,
            end_date_time=end_date_time,
        )
        try:
            return await context.waiter.retry(
                add,
                what="Entra ID to know the new application everywhere",
                when=lambda error: isinstance(error, NotFound),
                backoff=REPLICATION,
            )
        except Unreachable as error:
            failure = error
            if error.sent:
                await _remove_lost(context, application, name)
    assert failure is not None  # the loop ends by return or after a failure
    raise failure


async def _remove_lost(context: Context, application: Application, display_name: str) -> None:
    """Look for a secret by display name for a while and remove it, because its text is lost."""
    wait = context.waiter.begin(_LOST_REPLY)
    waiting = True
    while waiting:
        seen = await context.entra.application(application.app_object_id)
        found = [secret for secret in (seen.secrets if seen else ()) if secret.display_name == display_name]
        if found:
            for secret in found:
                await remove_secret(context, application, secret.key_id)
            return
        waiting = await wait.pause("a client secret whose creation was not answered")


async def remove_secret(context: Context, application: Application, key_id: KeyId) -> None:
    """Remove one client secret of this program, and wait until reads agree that it is removed.

    Graph answers "not found" both for a removed key and for one that the replica has not seen yet. So several
    reads in a row must confirm the removal (Graph reference, removePassword; terraform-provider-azuread).

    :raises ReplicationTimeout: ``secret-removal-not-confirmed``.
    """

    async def removed() -> bool | None:
        seen = await context.entra.application(application.app_object_id)
        if seen is not None and all(secret.key_id != key_id for secret in seen.secrets):
            return True
        await context.entra.remove_secret(application.app_object_id, key_id)
        return None

    await context.entra.remove_secret(application.app_object_id, key_id)
    await context.waiter.until(
        removed,
        what="Entra ID to forget a removed client secret",
        code="secret-removal-not-confirmed",
        confirmations=CONFIRMATIONS,
    )


class SecretCheck:
    """The test of one new client secret, from our side.

    :param roles: application permissions that each token must hold.
    :param strict: false to report missing roles instead of waiting for them.
    """

    def __init__(
        self,
        context: Context,
        application: Application,
        secret: NewClientSecret,
        roles: frozenset[str],
        *,
        strict: bool,
    ) -> None:
        self._context = context
        self._application = application
        self._secret = secret
        self._roles = roles
        self._strict = strict
        self._early: Callable[[], SyncSession | None] | None = None
        self._missing: frozenset[str] = frozenset()
        self._refused = False
        self._first: Evidence | None = None
        self.looked = False
        """Whether what was to be looked at beside the last sign-ins was looked at, and nothing came after it."""

    async def try_early(self) -> None:
        """Sign in once, beside something else: the wait begins. What comes of it is told by :meth:`prove`."""
        self._early = await outcome(self._signs_in())

    async def prove(self, beside: Callable[[], Awaitable[None]]) -> tuple[Evidence, ...]:
        """Sign in until it succeeds several times in a row and each token has every role.

        And make the call that authentik itself makes first, ``GET /organization``.

        :param beside: what is looked at in the same moment as the last sign-ins. Its failure is raised.
        :raises Temporary: the secret did not become usable within the budget. It still exists.
        """
        start = self._context.waiter.monotonic()
        session = await self._accepted(NEW_SECRET.budget)
        while not (signed_in := (await self._again(session, beside))):
            # One replica has it and another has not: all of them, some time later.
            session = await self._accepted(await self._later(start))
        now = self._context.now()
        return (
            Evidence("secret-signs-in", True, f"{signed_in} sign-ins in a row", now),
            self._roles_evidence(),
            self._first or await self._first_call(session),
        )

    async def _accepted(self, budget: float) -> SyncSession:
        """The first sign-in that succeeds."""
        early, self._early = self._early, None
        if early is not None:
            session = early()
            if session is not None:
                return session
        try:
            return await self._context.waiter.until(
                self._signs_in,
                what=_WHAT,
                code=_NOT_ACCEPTED,
                backoff=replace(NEW_SECRET, budget=budget),
                usual=_USUAL,
            )
        except Temporary as error:
            if self._missing:
                raise AdminActionRequired(
                    "consent-not-effective",
                    f"The token still lacks {', '.join(sorted(self._missing))}. {error.message}",
                    "Check the application's API permissions in the Entra portal; then run the same command again.",
                ) from None
            raise

    async def _signs_in(self) -> SyncSession | None:
        try:
            session = await self._context.entra.sign_in_as(self._application.app_id, self._secret.secret_text)
        except Denied as error:
            if error.code not in _NOT_YET:
                raise
            self._refused = True
            return None
        self._missing = self._roles - session.claims.roles
        if self._missing and self._strict:
            self._refused = True
            return None
        return session

    async def _later(self, start: float) -> float:
        """A pause as in any other wait for this; what is left of the budget after it, in seconds.

        :raises ReplicationTimeout: nothing is left.
        """
        waiter = self._context.waiter
        waited = waiter.monotonic() - start
        waiter.progress.waiting(_WHAT, waited, _USUAL)
        await waiter.sleep(max(NEW_SECRET.first, waited * (NEW_SECRET.factor - 1)))
        waited = waiter.monotonic() - start
        left = NEW_SECRET.budget - waited / waiter.scale
        if left <= 0:
            raise ReplicationTimeout(
                _NOT_ACCEPTED,
                f"Timed out after {waited:.0f} s waiting for {_WHAT}; it is accepted by some of its servers only.",
                "Run the same command again; it continues where this run stopped.",
            )
        return left

    async def _again(self, session: SyncSession, beside: Callable[[], Awaitable[None]]) -> int:
        """The sign-ins that confirm the first, and beside the last of them the call and the other looks.

        :returns: how many succeeded in a row with the first; zero where one was refused.
        """
        rounds = ROUNDS if self._refused else 1
        each = SIGN_INS if self._refused else SIGN_INS - 1
        for number in range(rounds):
            if number:
                await self._context.waiter.sleep(SPREAD)
            if number < rounds - 1:
                held = await self._several(each)
            else:
                (looked, call), held = await both(
                    both(outcome(beside()), outcome(session.organization())), self._several(each)
                )
                looked()
                self._first = self._seen(call)
                self.looked = self._first is not None
            if not held:
                return 0
        return 1 + rounds * each

    async def _several(self, count: int) -> bool:
        """Sign in so often at once. Each is a connection of its own, and may reach another replica."""
        found = await asyncio.gather(*(outcome(self._signs_in()) for _ in range(count)))
        sessions = [one() for one in found]
        return all(session is not None for session in sessions)

    def _seen(self, call: Callable[[], Organization]) -> Evidence | None:
        try:
            return self._called(call())
        except Denied:
            return None

    def _called(self, organization: Organization) -> Evidence:
        detail = f"GET /organization: {organization.display_name}"
        return Evidence("graph-call", True, detail, self._context.now())

    async def _first_call(self, session: SyncSession) -> Evidence:
        """``GET /organization`` as the sync identity, until it is honoured.

        A refusal that lasts is no reason to stop: which permissions allow this call is documented narrowly, and
        authentik's own sign-in, which begins with the same call, is proven next.
        """

        async def call() -> Organization | None:
            try:
                return await session.organization()
            except Denied:
                return None

        try:
            organization = await self._context.waiter.until(
                call,
                what="Microsoft Graph to honour the new permissions",
                code="sync-permission-missing",
                backoff=_FIRST_CALL,
            )
        except ReplicationTimeout:
            refused = "GET /organization is refused to the sync identity"
            return Evidence("graph-call", None, refused, self._context.now())
        return self._called(organization)

    def _roles_evidence(self) -> Evidence:
        """What the token holds. As many wanted names as the application lists scopes are delegated permissions."""
        now, missing = self._context.now(), self._missing
        scopes = sum(item.kind is PermissionKind.SCOPE for item in self._application.requested_access)
        if len(missing) > scopes:
            detail = f"lacks some of {', '.join(sorted(missing))}"
            return Evidence("token-has-roles", False, detail, now)
        held = sorted(self._roles - missing)
        return Evidence("token-has-roles", True, ", ".join(held) or "none wanted", now)
