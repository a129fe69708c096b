"""Signing in through azure-identity: the operator by any of its credentials, an application by its secret or key.

Heavy (azure-identity, MSAL). Applications sign in by the asynchronous credentials, people by the synchronous ones in a
thread of their own. Both send by this program's HTTP client: one deadline, one size limit, one list of connection
errors.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import re
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, InvalidStateError
from datetime import datetime
from functools import partial
from time import time
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import httpx
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError

from authentik_entra_bootstrap.domain import (
    INTERACTIVE_LOGINS,
    OperatorIdentity,
    SecretText,
    TenantId,
    TokenClaims,
)
from authentik_entra_bootstrap.entra.error_codes import fault
from authentik_entra_bootstrap.entra.http_client import (
    CredentialTransport,
    TokenService,
    connection_fault,
    http_client,
    succeeded,
)
from authentik_entra_bootstrap.entra.logins import (
    LOGINS,
    async_options,
    check_environment,
    operator_proof,
    sign_in_as_application,
)
from authentik_entra_bootstrap.entra.records import read_claims
from authentik_entra_bootstrap.entra.token_errors import SignIn, no_answer_fault, token_fault
from authentik_entra_bootstrap.errors import BootstrapError, RequestTrace, Temporary, Unreachable
from authentik_entra_bootstrap.support.network import TOKEN_LIMIT
from authentik_entra_bootstrap.support.waiting import FIRST_CONTACT, Backoff, Condition, Waiter, is_transient

T = TypeVar("T")

FRESH = 300.0
"""Seconds of validity below which a token is replaced before it is used."""
SIGN_IN = Backoff(budget=60.0)
"""Time limit for a busy or unreachable token service; shorter than for Graph, because nothing has begun yet."""


async def fresh_token(
    service: TokenService, waiter: Waiter, who: SignIn, make: Callable[..., Any]
) -> AccessToken:
    """One client-credentials sign-in that uses no cache, and a connection of its own.

    :param make: makes the asynchronous credential from azure-identity's options.
    :raises Denied: ``secret-not-accepted`` and the like, see :func:`~.token_fault`.
    """

    async def once() -> AccessToken:
        # Anew for each try: nothing of the last one may answer in the place of the token service.
        transport = CredentialTransport(service, who)

        async def ask() -> AccessToken:
            async with make(**async_options(transport)) as credential:
                token: AccessToken = await credential.get_token(service.cloud.graph_scope, **_token_options())
                return token

        return await _with_our_errors(transport, ask)

    return await _retried(service, waiter, once)


async def find_tenant(service: TokenService, waiter: Waiter, name: str) -> TenantId:
    """The id of a tenant, from the public OpenID configuration of the token service.

    :param name: its id or one of its verified domains.
    :raises Denied: ``tenant-not-found``.
    """
    url = f"{service.cloud.authority}/{quote(name, safe='')}/v2.0/.well-known/openid-configuration"
    trace = RequestTrace("entra", "GET", urlsplit(url).path)

    async def once() -> TenantId:
        network, transport = service.network, service.transport
        try:
            async with http_client(
                url, network, service.deadline, limit=TOKEN_LIMIT, transport=transport
            ) as it:
                response = await it.get(url)
        except httpx.RequestError as error:
            raise connection_fault(error, network, trace) from None
        service.reached = True
        if not succeeded(response):
            raise token_fault(SignIn("operator", name, ""), response)
        # https://login.microsoftonline.com/TENANT/v2.0; "common" and the like show a placeholder there.
        tenant = urlsplit(str(response.json().get("issuer"))).path.strip("/").partition("/")[0]
        if not re.fullmatch(r"[0-9a-fA-F-]{36}", tenant):
            raise fault("tenant-not-found", trace=trace, tenant=name)
        return TenantId(tenant.lower())

    return await _retried(service, waiter, once)


async def _retried(service: TokenService, waiter: Waiter, once: Callable[[], Awaitable[T]]) -> T:
    def unreached(error: BaseException) -> bool:
        return isinstance(error, Unreachable) and not service.reached and is_transient(error)

    retrying = waiter.retrying(
        Condition("the token service to be reached", unreached, FIRST_CONTACT),
        Condition("the token service to answer", is_transient, SIGN_IN),
    )
    result: T = await retrying(once)
    return result


def _token_options(claims: str | None = None) -> dict[str, Any]:
    """Options of ``get_token``."""
    # Kiota asks with CAE on, and the credentials keep separate caches for both: always the same answer here.
    return {"claims": claims, "enable_cae": True}


async def _with_our_errors(transport: CredentialTransport, ask: Callable[[], Awaitable[T]]) -> T:
    """Get a token; failures become this program's errors.

    They are raised outside the handlers, so that no library exception, whose request may hold the secret, stays
    attached to them.
    """
    transport.sent, transport.failure = False, None
    failure: BootstrapError
    try:
        return await ask()
    except BootstrapError:
        raise
    except Exception as error:  # the library documents no complete list; nothing may leak out
        if isinstance(error, ValueError | OSError) and not transport.sent:
            # Malformed settings: a certificate that cannot be read, an authority that is no address.
            failure = fault("operator-credential-invalid", reason=error)
        else:
            text = error.message if isinstance(error, ClientAuthenticationError) else type(error).__name__
            failure = transport.failure or no_answer_fault(transport.sign_in, str(text))
    raise failure


async def _in_daemon_thread(call: Callable[[], T]) -> T:
    """Like ``asyncio.to_thread``, but an interrupt does not wait for the person to sign in."""
    future: Future[T] = Future()

    def work() -> None:
        with contextlib.suppress(InvalidStateError):  # an interrupt has cancelled it
            try:
                future.set_result(call())
            except Exception as error:  # handed on to the waiting task
                future.set_exception(error)
            except BaseException as error:  # must not end the waiting loop
                future.set_exception(RuntimeError(type(error).__name__))

    threading.Thread(target=work, name="sign-in", daemon=True).start()
    return await asyncio.wrap_future(future)


class OneToken:
    """An existing token, for kiota. Never renewed: the session is one sign-in."""

    def __init__(self, token: AccessToken) -> None:
        self._token = SecretText(token.token)
        self._expires_on = token.expires_on
        self.known_claims = read_claims(token.token)

    async def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        """That token."""
        return AccessToken(self._token.reveal(), self._expires_on)

    def forget(self) -> None:
        """A refusal cannot be solved here."""


class OperatorTokens:
    """Access tokens of the operator identity; kiota's credential.

    Keeps one token until it is about to expire, and checks that it is the wanted tenant's.

    :param credential: an azure-identity credential, of either kind, to use instead of ``login``; its owner closes it.
    :param operator: an application to sign in as instead of ``login``.
    :raises ConfigError: ``entra-login-unknown``.
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
        if login not in LOGINS:
            raise fault("entra-login-unknown", login=login, known=", ".join(LOGINS))
        self._service = service
        self._operator = operator
        self._waiter = waiter
        self._login = login
        self._tenant_id = tenant_id
        self._announce = announce
        self._given = credential
        self._credential: Any = credential
        self._transport = CredentialTransport(service, self._who())
        self._token: AccessToken | None = None
        self._refused: AccessToken | None = None
        self.known_claims: TokenClaims | None = None
        """Claims of the latest token."""
        self._lock = asyncio.Lock()

    def check(self) -> None:
        """Check the variables and files of the sign-in before any request.

        :raises ConfigError: ``operator-credential-unusable``.
        """
        if self._operator is not None:
            operator_proof(self._operator)
        elif self._given is None:
            check_environment(self._login, os.environ)

    async def claims(self) -> TokenClaims:
        """Sign in if necessary and return the operator's identity.

        :raises Denied: no credential, or not accepted, or ``wrong-tenant``.
        """
        return read_claims((await self.get_token()).token)

    async def get_token(self, *_scopes: str, claims: str | None = None, **_options: Any) -> AccessToken:
        """The token for Microsoft Graph; the scopes that kiota asks for are ignored.

        :param claims: a claims challenge from Graph; makes a new token.
        """
        async with self._lock:
            if self._token is not None and self._token is self._refused:
                self._token = None
                if self._login not in INTERACTIVE_LOGINS:
                    # The credential would hand out the same token again: its cache goes by the wall clock.
                    await self.close()
            elif claims and _is_async(self._credential):
                # azure-identity 1.23 takes a token from the cache in spite of a challenge.
                await self.close()
            if self._token is None or claims or self._token.expires_on - time() < FRESH:
                token = await _retried(self._service, self._waiter, partial(self._acquire, claims))
                self.known_claims = self._checked(read_claims(token.token))
                self._token = token
            return self._token

    def forget(self) -> None:
        """Graph refused the present token. Acts when the next one is asked for: others may be signing in."""
        self._refused = self._token

    async def close(self) -> None:
        """Close the credential. The next token is another one's."""
        if self._given is not None or self._credential is None:
            return
        credential, self._credential = self._credential, None
        with contextlib.suppress(Exception):
            closing = credential.close()
            if inspect.isawaitable(closing):
                await closing

    async def _acquire(self, claims: str | None) -> AccessToken:
        make = LOGINS[self._login]
        if self._operator is not None:
            make = partial(sign_in_as_application, self._operator)
        if self._credential is None:
            self._transport = CredentialTransport(self._service, self._who())
        loop = asyncio.get_running_loop()

        def prompt(verification_uri: str, user_code: str, expires_on: datetime) -> None:
            until = expires_on.astimezone().strftime("%H:%M")
            text = (
                f"To sign in, open {verification_uri} and enter the code {user_code} (valid until {until})."
            )
            loop.call_soon_threadsafe(self._announce, text)

        async def ask() -> AccessToken:
            if self._credential is None:
                self._credential = make(self._transport, self._tenant_id, prompt)
            get = partial(
                self._credential.get_token, self._service.cloud.graph_scope, **_token_options(claims)
            )
            token: AccessToken = await (get() if _is_async(self._credential) else _in_daemon_thread(get))
            return token

        try:
            return await _with_our_errors(self._transport, ask)
        except BootstrapError as error:
            # A new credential for the next try: MSAL replays refusals from its own cache for a while. A
            # person is not asked twice because the service was busy.
            if not (self._login in INTERACTIVE_LOGINS and isinstance(error, Temporary)):
                await self.close()
            raise

    def _who(self) -> SignIn:
        app_id = os.environ.get("AZURE_CLIENT_ID")
        tenants = [os.environ.get("AZURE_TENANT_ID"), self._tenant_id]
        if self._operator is not None:
            app_id = self._operator.app_id
        if self._operator is not None or self._login in {*INTERACTIVE_LOGINS, "azure-cli"}:
            tenants.reverse()
        unknown = "of the operator"
        return SignIn("operator", tenants[0] or tenants[1] or unknown, app_id or unknown)

    def _checked(self, claims: TokenClaims) -> TokenClaims:
        wanted, found = self._tenant_id, claims.tenant_id
        if wanted and wanted.lower() != found.lower():
            facts: dict[str, str] = {"found": found, "wanted": wanted}
            raise fault("wrong-tenant", facts=facts, found=found, wanted=wanted)
        return claims


def _is_async(credential: Any) -> bool:
    """Whether it is one of the asynchronous credentials."""
    return credential is not None and inspect.iscoroutinefunction(credential.get_token)
