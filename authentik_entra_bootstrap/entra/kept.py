"""What runs of one process keep for the next: connections to Microsoft Graph, and the operators' tokens.

A client secret of the sync identity is never among it, nor is a connection by which one was proven.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from dataclasses import dataclass, field
from time import time
from typing import TYPE_CHECKING, Any

from authentik_entra_bootstrap.addresses import Proxy, proxy_for
from authentik_entra_bootstrap.domain import Cloud, Network, OperatorIdentity, TenantId, TokenClaims
from authentik_entra_bootstrap.entra.logins import INTERACTIVE
from authentik_entra_bootstrap.trust import Stamp, stamp_of

if TYPE_CHECKING:
    import httpx
    from azure.core.credentials import AccessToken

    from authentik_entra_bootstrap.entra.credentials import OperatorTokens

MOST_TRANSPORTS = 4
"""Ways to Microsoft Graph (proxy and CA file) that are kept at the same time; nearly always there is one."""
MOST_TOKENS = 256
"""Operators' tokens that are kept, a few kilobytes each; of more tenants those that were used last."""
FRESH = 300.0
"""Seconds of validity below which a token is replaced before it is used."""


@dataclass(frozen=True)
class TokenKey:
    """Whose token it is. Where a file of the credential changes, it is another's."""

    authority: str
    scope: str
    tenant: TenantId | None
    login: str
    app_id: str | None
    files: tuple[Stamp | None, ...]
    environment: tuple[str | None, ...]


@dataclass(frozen=True)
class _Held:
    token: AccessToken = field(repr=False)
    claims: TokenClaims


def token_key(
    cloud: Cloud, tenant: TenantId | None, login: str, operator: OperatorIdentity | None
) -> TokenKey | None:
    """The key of an operator's token; ``None`` for a person's, which is not kept."""
    if login in INTERACTIVE:
        return None
    variables = ("AZURE_TENANT_ID", "AZURE_CLIENT_ID")
    paths = (operator.secret_file, operator.certificate_file) if operator else ()
    return TokenKey(
        cloud.authority,
        cloud.graph_scope,
        tenant,
        login,
        operator.app_id if operator else None,
        tuple(stamp_of(path) for path in paths),
        tuple(os.environ.get(name) for name in variables),
    )


class KeptEntra:
    """Connections and tokens for runs of one event loop."""

    def __init__(self) -> None:
        self._ways: OrderedDict[tuple[Proxy | None, str | None, Stamp | None], httpx.AsyncHTTPTransport] = (
            OrderedDict()
        )
        self._left: list[httpx.AsyncHTTPTransport] = []
        self._tokens: OrderedDict[TokenKey, _Held] = OrderedDict()

    def transport(self, cloud: Cloud, network: Network) -> httpx.AsyncHTTPTransport:
        """Connections to a cloud's Microsoft Graph, made where there are none; a changed CA file makes new ones.

        :param network: as ``trust.with_trust`` gives it.
        """
        from authentik_entra_bootstrap.entra.outgoing import connection  # noqa: PLC0415  # heavy

        key = (proxy_for(cloud.graph, network.proxy, os.environ), network.ca_file, stamp_of(network.ca_file))
        found = self._ways.pop(key, None) or connection(cloud.graph, network)
        self._ways[key] = found
        while len(self._ways) > MOST_TRANSPORTS:
            # Others of this loop may be using it: it is closed when they have ended.
            self._left.append(self._ways.popitem(last=False)[1])
        return found

    def tokens(self, inner: OperatorTokens, key: TokenKey | None) -> OperatorTokens | KeptTokens:
        """The tokens of one run, which take a kept one first."""
        return inner if key is None else KeptTokens(inner, self, key)

    def token(self, key: TokenKey) -> _Held | None:
        """A kept token that is valid for a while."""
        held = self._tokens.get(key)
        if held is None:
            return None
        if held.token.expires_on - time() < FRESH:
            del self._tokens[key]
            return None
        self._tokens.move_to_end(key)
        return held

    def keep(self, key: TokenKey, token: AccessToken, claims: TokenClaims) -> None:
        """Keep a token; the one that was not used for the longest time gives way."""
        self._tokens[key] = _Held(token, claims)
        self._tokens.move_to_end(key)
        while len(self._tokens) > MOST_TOKENS:
            self._tokens.popitem(last=False)

    def forget(self, key: TokenKey | None) -> None:
        """Keep this token no longer."""
        if key is not None:
            self._tokens.pop(key, None)

    async def tidy(self) -> None:
        """Close connections that were replaced; to be called when no run goes on."""
        left, self._left = self._left, []
        for transport in left:
            await transport.aclose()

    async def disconnect(self) -> None:
        """Close every connection; to be called when no run goes on. The next run opens new ones."""
        self._left += self._ways.values()
        self._ways.clear()
        await self.tidy()


class KeptTokens:
    """An operator's tokens, the kept one first; what kiota takes for a credential.

    :param inner: signs in where no token is kept.
    """

    def __init__(self, inner: OperatorTokens, kept: KeptEntra, key: TokenKey) -> None:
        self._inner = inner
        self._kept = kept
        self._key = key
        self._claims: TokenClaims | None = None

    @property
    def known_claims(self) -> TokenClaims | None:
        """Claims of the latest token, without signing in."""
        return self._claims

    async def claims(self) -> TokenClaims:
        """Sign in where necessary and tell who we are."""
        await self.get_token()
        assert self._claims is not None  # noqa: S101 - set together with the token
        return self._claims

    async def get_token(self, *scopes: str, claims: str | None = None, **options: Any) -> AccessToken:
        """The token for Microsoft Graph.

        :param claims: a claims challenge from Graph; makes a new token.
        """
        held = None if claims else self._kept.token(self._key)
        if held is not None:
            self._claims = held.claims
            return held.token
        token = await self._inner.get_token(*scopes, claims=claims, **options)
        self._claims = await self._inner.claims()
        self._kept.keep(self._key, token, self._claims)
        return token

    def forget(self) -> None:
        """Graph refused the token: the next one is another."""
        self._kept.forget(self._key)
        self._inner.forget()

    async def close(self) -> None:
        """Close the credential's connections."""
        await self._inner.close()
