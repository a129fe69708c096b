"""Signing in through azure-identity: the operator by any of its credentials, an application by its secret or key.

Heavy (azure-identity, MSAL). Applications sign in by the asynchronous credentials, people by the synchronous ones in a
thread of their own; both on azure-core's own transports.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import threading
from collections.abc import Awaitable, Callable
from datetime import datetime
from enum import Enum
from functools import partial
from time import time
from typing import Any, TypeVar

from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError
from azure.identity.aio import CertificateCredential, ClientAssertionCredential, ClientSecretCredential

from authentik_entra_bootstrap.domain import (
    INTERACTIVE_LOGINS,
    AppId,
    OperatorIdentity,
    SecretText,
    TenantId,
    TokenClaims,
)
from authentik_entra_bootstrap.entra.error_codes import fault
from authentik_entra_bootstrap.entra.http_client import worth_another_try
from authentik_entra_bootstrap.entra.logins import LOGINS, awaited, sign_in_as_application
from authentik_entra_bootstrap.entra.records import read_claims
from authentik_entra_bootstrap.entra.token_errors import SignIn, token_fault
from authentik_entra_bootstrap.entra.token_service import Attempt, TokenService
from authentik_entra_bootstrap.errors import BootstrapError, Temporary, Unreachable
from authentik_entra_bootstrap.support.waiting import FIRST_CONTACT, Backoff, Condition, Waiter

T = TypeVar("T")

FRESH = 300.0
"""Seconds of validity below which a token is replaced before it is used."""
SIGN_IN = Backoff(budget=60.0)
"""For a token service that is busy or not reached; shorter than for Graph, because nothing has begun yet."""


class Kind(Enum):
    """By what an application signs in."""

    SECRET = "client secret"  # noqa: S105 - a word
    CERTIFICATE = "certificate"
    ASSERTION = "assertion"


async def fresh_token(
    service: TokenService, waiter: Waiter, tenant: TenantId, app_id: AppId, kind: Kind, proof: SecretText
) -> AccessToken:
    """One client-credentials sign-in that uses no cache, and a connection of its own.

    :param proof: client secret, PEM of key and certificate, or a federated identity's token.
    :raises Denied: ``secret-not-accepted`` and the like, see :mod:`~.token_errors`.
    """
    who = SignIn("sync" if kind is Kind.SECRET else "operator", tenant, app_id, service.host)

    async def once() -> AccessToken:
        # Anew for each try: nothing of the last one may answer in the place of the token service.
        attempt = Attempt(service)
        text, options = proof.reveal(), awaited(attempt)

        async def ask() -> AccessToken:
            credential: Any
            if kind is Kind.SECRET:
                credential = ClientSecretCredential(tenant, app_id, text, **options)
            elif kind is Kind.CERTIFICATE:
                credential = CertificateCredential(tenant, app_id, certificate_data=text.encode(), **options)
            else:
                credential = ClientAssertionCredential(tenant, app_id, lambda: text, **options)
            async with credential:
                token: AccessToken = await credential.get_token(service.cloud.graph_scope, **_asked())
                return token

        return await _guarded(who, attempt, ask)

    return await _patient(service, waiter, once)


async def _patient(service: TokenService, waiter: Waiter, once: Callable[[], Awaitable[T]]) -> T:
    def unreached(error: BaseException) -> bool:
        return isinstance(error, Unreachable) and not service.reached and worth_another_try(error)

    retrying = waiter.retrying(
        Condition("the token service to be reached", unreached, FIRST_CONTACT),
        Condition("the token service to answer", worth_another_try, SIGN_IN),
    )
    result: T = await retrying(once)
    return result


def _asked(claims: str | None = None) -> dict[str, Any]:
    """Options of ``get_token``."""
    # Kiota asks with CAE on, and the credentials keep separate caches for both: always the same answer here.
    return {"claims": claims, "enable_cae": True}


async def _guarded(who: SignIn, attempt: Attempt, ask: Callable[[], Awaitable[T]]) -> T:
    """Ask, and give failures as ours.

    They are raised outside the handlers, so that no library exception, whose request may hold the secret, stays
    attached to them.
    """
    attempt.exchanges.clear()
    failure: BootstrapError
    try:
        return await ask()
    except BootstrapError:
        raise
    except Exception as error:  # noqa: BLE001  # the library documents no complete list; nothing may leak out
        failure = _failure(who, attempt, error)
    raise failure


def _failure(who: SignIn, attempt: Attempt, error: Exception) -> BootstrapError:
    if isinstance(error, ClientAuthenticationError):
        return token_fault(who, attempt.exchanges, str(error.message))
    if isinstance(error, ValueError | OSError) and not attempt.exchanges:
        # Malformed settings: a certificate that cannot be read, an authority that is no address.
        return fault("operator-credential-invalid", reason=error)
    return token_fault(who, attempt.exchanges, type(error).__name__)


async def _in_daemon_thread(call: Callable[[], T]) -> T:
    """Like ``asyncio.to_thread``, but an interrupt does not wait for a person who never signs in."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[tuple[T | None, Exception | None]] = loop.create_future()

    def settle(result: T | None, error: Exception | None) -> None:
        if not future.done():
            future.set_result((result, error))

    def work() -> None:
        result, failure = None, None
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001  # handed on to the waiting task, whatever it is
            failure = error if isinstance(error, Exception) else RuntimeError(type(error).__name__)
        with contextlib.suppress(RuntimeError):  # the loop was closed by an interrupt
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=work, name="sign-in", daemon=True).start()
    result, failure = await future
    if failure is not None:
        raise failure
    return result  # type: ignore[return-value]  # there is one where there is no failure


class OperatorTokens:
    """Access tokens of the operator identity; what kiota takes for a credential.

    Keeps one token until it is about to expire, and checks that it is the wanted tenant's.

    :param credential: an azure-identity credential, of either kind, to use instead of ``login``; its owner closes it.
    :param operator: an application to sign in as instead of ``login``.
    """

    def __init__(
        self,
        service: TokenService,
        waiter: Waiter,
        *,
        login: str,
        tenant_id: TenantId | None,
        announce: Callable[[str], None],
        credential: Any = None,
        operator: OperatorIdentity | None = None,
    ) -> None:
        self._service = service
        self._operator = operator
        self._waiter = waiter
        self._login = login
        self._tenant_id = tenant_id
        self._announce = announce
        self._given = credential
        self._credential: Any = credential
        self._attempt = Attempt(service)
        self._token: AccessToken | None = None
        self._refused: AccessToken | None = None
        self._claims: TokenClaims | None = None
        self._lock = asyncio.Lock()

    @property
    def known_claims(self) -> TokenClaims | None:
        """Claims of the latest token, without signing in."""
        return self._claims

    async def claims(self) -> TokenClaims:
        """Sign in where necessary and tell who we are.

        :raises Denied: no credential, or not accepted, or ``wrong-tenant``.
        """
        await self.get_token()
        assert self._claims is not None  # noqa: S101 - set together with the token
        return self._claims

    async def get_token(self, *_scopes: str, claims: str | None = None, **_options: Any) -> AccessToken:
        """The token for Microsoft Graph, whatever scopes kiota asks for.

        :param claims: a claims challenge from Graph; makes a new token.
        """
        async with self._lock:
            if self._token is not None and self._token is self._refused:
                self._token = None
                if self._login not in INTERACTIVE_LOGINS:
                    # The credential would hand out the same token again: its cache goes by the wall clock.
                    await self._drop()
            elif claims and _is_awaited(self._credential):
                # azure-identity 1.23 takes a token from the cache whatever the challenge.
                await self._drop()
            if self._token is None or claims or self._token.expires_on - time() < FRESH:
                token = await _patient(self._service, self._waiter, partial(self._acquire, claims))
                self._claims = self._checked(read_claims(token.token))
                self._token = token
            return self._token

    def forget(self) -> None:
        """Graph refused the present token. Acts when the next one is asked for: others may be signing in."""
        self._refused = self._token

    async def close(self) -> None:
        """Close the credential's connections."""
        await self._drop()

    async def _drop(self) -> None:
        if self._given is not None or self._credential is None:
            return
        credential, self._credential = self._credential, None
        with contextlib.suppress(Exception):
            closing = credential.close()
            if inspect.isawaitable(closing):
                await closing

    async def _acquire(self, claims: str | None) -> AccessToken:
        who, make = self._who(), LOGINS[self._login]
        if self._operator is not None:
            make = partial(sign_in_as_application, self._operator)
        if self._credential is None:
            self._attempt = Attempt(self._service)
        loop = asyncio.get_running_loop()

        def prompt(verification_uri: str, user_code: str, expires_on: datetime) -> None:
            until = expires_on.astimezone().strftime("%H:%M")
            text = (
                f"To sign in, open {verification_uri} and enter the code {user_code} (valid until {until})."
            )
            loop.call_soon_threadsafe(self._announce, text)

        async def ask() -> AccessToken:
            if self._credential is None:
                self._credential = make(self._attempt, self._tenant_id, prompt)
            get = partial(self._credential.get_token, self._service.cloud.graph_scope, **_asked(claims))
            token: AccessToken = await (get() if _is_awaited(self._credential) else _in_daemon_thread(get))
            return token

        try:
            return await _guarded(who, self._attempt, ask)
        except BootstrapError as error:
            # A new credential for the next try: MSAL replays refusals from its own cache for a while. A
            # person is not asked twice because the service was busy.
            if not (self._login in INTERACTIVE_LOGINS and isinstance(error, Temporary)):
                await self._drop()
            raise

    def _who(self) -> SignIn:
        app_id = os.environ.get("AZURE_CLIENT_ID", "of the operator")
        known = [os.environ.get("AZURE_TENANT_ID"), self._tenant_id]
        if self._operator is not None:
            app_id = self._operator.app_id
        if self._operator is not None or self._login in {*INTERACTIVE_LOGINS, "azure-cli"}:
            known.reverse()
        return SignIn("operator", known[0] or known[1] or "of the operator", app_id, self._service.host)

    def _checked(self, claims: TokenClaims) -> TokenClaims:
        wanted = self._tenant_id
        if wanted and wanted.lower() != claims.tenant_id.lower():
            raise fault(
                "wrong-tenant",
                found=claims.tenant_id,
                wanted=wanted,
                facts={"found": claims.tenant_id, "wanted": wanted},
            )
        return claims


def _is_awaited(credential: Any) -> bool:
    """Whether it is one of the asynchronous credentials."""
    return credential is not None and inspect.iscoroutinefunction(credential.get_token)
