"""Signing in as the application that authentik signs in as, and the call that authentik makes first."""

from __future__ import annotations

from typing import Any

from azure.core.credentials import AccessToken

from authentik_entra_bootstrap.domain import AppId, Organization, SecretText, TenantId, TokenClaims
from authentik_entra_bootstrap.entra.applications import organization
from authentik_entra_bootstrap.entra.claims import read_claims
from authentik_entra_bootstrap.entra.codes import fault
from authentik_entra_bootstrap.entra.credentials import Kind, TokenService, fresh_token
from authentik_entra_bootstrap.entra.graph import Graph
from authentik_entra_bootstrap.entra.http_pool import HttpPool
from authentik_entra_bootstrap.entra.names import checked_guid
from authentik_entra_bootstrap.errors import BootstrapError, Denied
from authentik_entra_bootstrap.waiting import Waiter

_REFUSED = frozenset({"entra-permission-missing", "operator-token-refused"})


class OneToken:
    """A token that was got already, for kiota. Never renewed: the session is one sign-in."""

    def __init__(self, token: str, expires_on: int, claims: TokenClaims) -> None:
        self._token = SecretText(token)
        self._expires_on = expires_on
        self.known_claims: TokenClaims | None = claims

    async def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        """That token."""
        return AccessToken(self._token.reveal(), self._expires_on)

    def forget(self) -> None:
        """Nothing can be done about a refusal."""


class SignedIn:
    """One fresh sign-in of the sync identity."""

    def __init__(self, claims: TokenClaims, graph: Graph) -> None:
        self.claims = claims
        self._graph = graph

    async def organization(self) -> Organization:
        """``GET /organization`` with this token.

        :raises Denied: ``sync-permission-missing``, also while a new grant is not effective everywhere.
        """
        failure: BootstrapError
        try:
            return await organization(self._graph)
        except Denied as error:
            if error.code not in _REFUSED:
                raise
            app_id = self.claims.app_id
            failure = fault(
                "sync-permission-missing", trace=error.trace, app_id=app_id, facts={"app_id": app_id}
            )
        raise failure


async def open_session(
    service: TokenService, pool: HttpPool, waiter: Waiter, tenant: TenantId, app_id: AppId, secret: SecretText
) -> SignedIn:
    """Sign in without any cache.

    :raises Denied: see :mod:`~.token_faults`.
    """
    client_id = AppId(checked_guid(app_id, "client id"))
    token = await fresh_token(service, waiter, tenant, client_id, Kind.SECRET, secret)
    claims = read_claims(token.token)
    return SignedIn(claims, Graph(pool, OneToken(token.token, token.expires_on, claims), waiter))
