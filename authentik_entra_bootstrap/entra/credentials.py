"""Signing in through azure-identity: the operator by any of its credentials, the sync identity by its secret.

Heavy (azure-identity, MSAL): imported when somebody signs in. The credentials are azure-identity's asynchronous ones,
which know the address of the token endpoint; its synchronous ones (device code and browser exist only so) leave the
protocol to MSAL, which asks for the token service's own description first, and run in threads here.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from datetime import datetime
from enum import Enum
from functools import partial
from time import time
from typing import Any
from urllib.parse import urlsplit

from azure.core.credentials import AccessToken

from authentik_entra_bootstrap.domain import (
    AppId,
    Cloud,
    Network,
    OperatorIdentity,
    SecretText,
    TenantId,
    TokenClaims,
)
from authentik_entra_bootstrap.entra.asking import (
    close,
    guarded,
    guarded_call,
    in_daemon_thread,
    is_asynchronous,
)
from authentik_entra_bootstrap.entra.claims import read_claims
from authentik_entra_bootstrap.entra.codes import fault
from authentik_entra_bootstrap.entra.exchanges import Exchange
from authentik_entra_bootstrap.entra.kept import FRESH
from authentik_entra_bootstrap.entra.lazy_identity import asynchronous
from authentik_entra_bootstrap.entra.logins import INTERACTIVE, LOGINS, sign_in_as_application
from authentik_entra_bootstrap.entra.network import worth_another_try
from authentik_entra_bootstrap.entra.token_faults import SignIn
from authentik_entra_bootstrap.entra.token_transport import NotingTransport
from authentik_entra_bootstrap.errors import BootstrapError, Temporary
from authentik_entra_bootstrap.waiting import Patience, Waiter

SIGN_IN = Patience(budget=60.0)
"""For a token service that is busy or not reached; shorter than for Graph, because nothing has begun yet."""


class TokenService:
    """One cloud's token service as this machine reaches it."""

    def __init__(self, cloud: Cloud, network: Network) -> None:
        self.cloud = cloud
        self.network = network
        self.host = urlsplit(cloud.authority).netloc

    def attempt(self) -> Attempt:
        """What one credential is made with."""
        return Attempt(self)


class Attempt:
    """What every credential that speaks to the token service itself is made with, and what it met there."""

    def __init__(self, service: TokenService) -> None:
        self._service = service
        self.exchanges: list[Exchange] = []

    def asynchronous(self) -> dict[str, Any]:
        """Options of a credential of ``azure.identity.aio``, with connections of its own."""
        return self._options(NotingTransport(self._service.network, self.exchanges))

    def blocking(self) -> dict[str, Any]:
        """Options of a credential of ``azure.identity``."""
        # requests, 0.1 s: most never need it
        from authentik_entra_bootstrap.entra.blocking_transport import BlockingTransport  # noqa: PLC0415

        return self._options(BlockingTransport(self._service.network, self.exchanges))

    def _options(self, transport: Any) -> dict[str, Any]:
        cloud = self._service.cloud
        return {
            "authority": cloud.authority,
            # With discovery on, MSAL would ask the global host about every other authority.
            "disable_instance_discovery": not cloud.discovers,
            "transport": transport,
            "retry_total": 0,
            "user_agent": self._service.network.user_agent,
        }


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
    :raises Denied: ``secret-not-accepted`` and the like, see :mod:`~.token_faults`.
    """
    who = SignIn("sync" if kind is Kind.SECRET else "operator", tenant, app_id, service.host)

    def credential(options: dict[str, Any]) -> Any:
        if kind is Kind.SECRET:
            return asynchronous("ClientSecretCredential")(tenant, app_id, proof.reveal(), **options)
        if kind is Kind.CERTIFICATE:
            data = proof.reveal().encode()
            return asynchronous("CertificateCredential")(tenant, app_id, certificate_data=data, **options)
        return asynchronous("ClientAssertionCredential")(tenant, app_id, proof.reveal, **options)

    async def once() -> AccessToken:
        attempt = service.attempt()

        async def ask() -> AccessToken:
            async with credential(attempt.asynchronous()) as made:
                token: AccessToken = await made.get_token(service.cloud.graph_scope, **_asked())
                return token

        return await guarded(who, attempt.exchanges, ask)

    return await waiter.retry(
        once, what="the token service to answer", when=worth_another_try, patience=SIGN_IN
    )


def _asked(claims: str | None = None) -> dict[str, Any]:
    """Options of ``get_token``."""
    # Kiota asks with CAE on, and the credentials keep separate caches for both: always the same answer here.
    return {"claims": claims, "enable_cae": True}


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
        self._attempt = service.attempt()
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
                if self._login not in INTERACTIVE:
                    # The credential would hand out the same token again: its cache goes by the wall clock.
                    await self._drop()
            elif claims and is_asynchronous(self._credential):
                # azure-identity 1.23 takes a token from the cache whatever the challenge.
                await self._drop()
            if self._token is None or claims or self._token.expires_on - time() < FRESH:
                token = await self._waiter.retry(
                    lambda: self._acquire(claims),
                    what="the token service to answer",
                    when=worth_another_try,
                    patience=SIGN_IN,
                )
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
        if self._given is None and self._credential is not None:
            credential, self._credential = self._credential, None
            await close(credential)

    async def _acquire(self, claims: str | None) -> AccessToken:
        who, make = self._who(), LOGINS[self._login]
        if self._operator is not None:
            make = partial(sign_in_as_application, self._operator)
        if self._credential is None:
            self._attempt = self._service.attempt()
        loop = asyncio.get_running_loop()

        def announce(text: str) -> None:
            loop.call_soon_threadsafe(self._announce, text)

        scope, options = self._service.cloud.graph_scope, _asked(claims)

        def call() -> AccessToken:
            token: AccessToken = self._credential.get_token(scope, **options)
            return token

        async def ask() -> AccessToken:
            if self._credential is None:
                self._credential = make(self._attempt, self._tenant_id, _announcing(announce))
            if is_asynchronous(self._credential):
                token: AccessToken = await self._credential.get_token(scope, **options)
                return token
            run = in_daemon_thread if self._login in INTERACTIVE else asyncio.to_thread
            return await run(partial(guarded_call, who, self._attempt.exchanges, call))

        try:
            return await guarded(who, self._attempt.exchanges, ask)
        except BootstrapError as error:
            # A new credential for the next try: MSAL replays refusals from its own cache for a while. A
            # person is not asked twice because the service was busy.
            if not (self._login in INTERACTIVE and isinstance(error, Temporary)):
                await self._drop()
            raise

    def _who(self) -> SignIn:
        app_id = os.environ.get("AZURE_CLIENT_ID", "of the operator")
        known = [os.environ.get("AZURE_TENANT_ID"), self._tenant_id]
        if self._operator is not None:
            app_id = self._operator.app_id
        if self._operator is not None or self._login in {*INTERACTIVE, "azure-cli"}:
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


def _announcing(announce: Callable[[str], None]) -> Callable[[str, str, datetime], None]:
    def prompt(verification_uri: str, user_code: str, expires_on: datetime) -> None:
        until = expires_on.astimezone().strftime("%H:%M")
        announce(f"To sign in, open {verification_uri} and enter the code {user_code} (valid until {until}).")

    return prompt
