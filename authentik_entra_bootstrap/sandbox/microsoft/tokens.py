"""Access tokens: made and signed by the token service, read by Microsoft Graph."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, Literal

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from jwt.types import Options

from authentik_entra_bootstrap.sandbox.microsoft.permissions_table import DIRECTORY_ROLES, GRAPH_APP_ID
from authentik_entra_bootstrap.sandbox.requestlog import note_caller
from authentik_entra_bootstrap.sandbox.store import Object
from authentik_entra_bootstrap.sandbox.world import World

GRAPH_AUDIENCES = frozenset(
    {
        "https://graph.microsoft.com",
        "https://graph.microsoft.us",
        "https://dod-graph.microsoft.us",
        "https://microsoftgraph.chinacloudapi.cn",
        GRAPH_APP_ID,
    }
)
LIFETIME = 3599
"""Seconds; ``expires_in`` of the real service."""
BACKDATED = 300
"""Seconds by which the real service dates tokens back, against clock skew."""

SIGNATURE_ONLY: Options = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}
"""The lifetime is judged on the sandbox's clock, which the library does not know."""
DEFAULT_USER_WID = "b79fbf4d-3ef9-4689-8143-76b194e85509"


@dataclass(frozen=True)
class Caller:
    """Who calls Microsoft Graph, as an accepted token says.

    ``oid`` is the service principal's object id for an app and the user's for a user; ``app_id`` is the
    client's in both cases. ``roles`` are application permissions, ``scopes`` delegated ones, by value.
    ``directory_roles`` are the holder's directory roles now, by display name.
    """

    kind: Literal["app", "user"]
    app_id: str
    oid: str
    tid: str
    roles: frozenset[str] = field(default_factory=frozenset)
    scopes: frozenset[str] = field(default_factory=frozenset)
    directory_roles: frozenset[str] = field(default_factory=frozenset)
    upn: str | None = None


class TokenRejected(Exception):
    """Microsoft Graph does not take the token: answer 401 with ``code`` and ``message``."""

    def __init__(self, message: str, code: str = "InvalidAuthenticationToken") -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def challenge(world: World) -> str:
    """The ``WWW-Authenticate`` header of a 401."""
    authority = f"{world.entra_url or 'https://login.microsoftonline.com'}/common/oauth2/authorize"
    return f'Bearer realm="", authorization_uri="{authority}", client_id="{GRAPH_APP_ID}"'


def verify_bearer(world: World, authorization_header: str | None) -> Caller:
    """Read an Authorization header as Microsoft Graph does, and note the caller in the request log.

    :raises TokenRejected: without a token, or for one that is malformed, not signed by this sandbox, not
        for Microsoft Graph, outside its lifetime, or of an unknown tenant.
    """
    scheme, _, token = (authorization_header or "").strip().partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise TokenRejected("Access token is empty.")
    claims = _claims(token)
    if str(claims.get("aud", "")).rstrip("/") not in GRAPH_AUDIENCES:
        raise TokenRejected("Access token validation failure. Invalid audience.")
    now = world.clock.now().timestamp()
    if now >= float(claims.get("exp", 0)):
        raise TokenRejected("Lifetime validation failed, the token is expired.")
    if now < float(claims.get("nbf", 0)):
        raise TokenRejected("Access token has expired or is not yet valid.")
    tid = str(claims.get("tid", ""))
    directory = world.tenants.get(tid)
    if directory is None or claims.get("iss") != issuer(tid):
        raise TokenRejected("Access token validation failure. Invalid issuer.")
    oid = str(claims.get("oid", ""))
    user = claims.get("idtyp") != "app"
    holder = directory.get("user" if user else "servicePrincipal", oid) or {}
    app_id = str(claims.get("appid", ""))
    upn = claims.get("upn")
    note_caller(f"{upn} by {app_id}" if upn else app_id)
    return Caller(
        kind="user" if user else "app",
        app_id=app_id,
        oid=oid,
        tid=tid,
        roles=frozenset(claims.get("roles", ())),
        scopes=frozenset(str(claims.get("scp", "")).split()),
        directory_roles=frozenset(holder.get("_directoryRoles", ())),
        upn=upn,
    )


def _claims(token: str) -> dict[str, Any]:
    key = signing_key()
    try:
        header = jwt.get_unverified_header(token)
    except jwt.InvalidTokenError as error:
        raise TokenRejected("CompactToken parsing failed with error code: 80049217") from error
    if header.get("kid") != key.kid:
        raise TokenRejected("CompactToken validation failed with reason code: 80049228.")
    try:
        return dict(jwt.decode(token, key.private.public_key(), algorithms=["RS256"], options=SIGNATURE_ONLY))
    except jwt.InvalidTokenError as error:
        raise TokenRejected("CompactToken validation failed with reason code: 80049228.") from error


def issuer(tenant_id: str) -> str:
    """The ``iss`` of a version 1.0 token, the form in which Microsoft Graph's are made."""
    return f"https://sts.windows.net/{tenant_id}/"


def app_token(
    now: datetime, tenant_id: str, audience: str, service_principal: Object, roles: Iterable[str], jti: str
) -> str:
    """An app-only access token. Without any role the ``roles`` claim is missing, as in the real service.

    :param jti: a GUID; becomes ``uti``, the identifier under which logs speak of the token.
    """
    claims = _common(now, tenant_id, audience, str(service_principal["appId"]), jti)
    claims |= {
        "app_displayname": service_principal.get("displayName"),
        "appidacr": "1",
        "idp": issuer(tenant_id),
        "idtyp": "app",
        "oid": service_principal["id"],
        "sub": service_principal["id"],
        "tenant_region_scope": "EU",
        "wids": [*_role_ids(service_principal), "0997a1d0-0d1d-4acb-b408-d5ca73121e90"],
    }
    if granted := sorted(roles):
        claims["roles"] = granted
    return signing_key().sign(claims)


def user_token(
    now: datetime, tenant_id: str, audience: str, app_id: str, user: Object, scopes: Iterable[str], jti: str
) -> str:
    """A delegated access token: ``user`` signed in to the client ``app_id``."""
    claims = _common(now, tenant_id, audience, app_id, jti)
    claims |= {
        "acr": "1",
        "amr": ["pwd", "mfa"],
        "appidacr": "0",
        "idtyp": "user",
        "name": user.get("displayName"),
        "oid": user["id"],
        "scp": " ".join(sorted(scopes)),
        "sub": user["id"],
        "unique_name": user["userPrincipalName"],
        "upn": user["userPrincipalName"],
        "wids": [*_role_ids(user), DEFAULT_USER_WID],
    }
    return signing_key().sign(claims)


def _role_ids(holder: Object) -> list[str]:
    return [DIRECTORY_ROLES[name] for name in holder.get("_directoryRoles", ()) if name in DIRECTORY_ROLES]


def _common(now: datetime, tenant_id: str, audience: str, app_id: str, jti: str) -> dict[str, Any]:
    moment = int(now.timestamp())
    return {
        "aud": audience,
        "iss": issuer(tenant_id),
        "iat": moment - BACKDATED,
        "nbf": moment - BACKDATED,
        "exp": moment + LIFETIME,
        "appid": app_id,
        "tid": tenant_id,
        "uti": jti,
        "ver": "1.0",
    }


@dataclass(frozen=True)
class SigningKey:
    """An RSA key and its key id (the base64url SHA-1 of the public key, as the real service's look)."""

    private: rsa.RSAPrivateKey
    kid: str

    def sign(self, claims: dict[str, Any]) -> str:
        """A compact RS256 JWT of the claims."""
        return jwt.encode(claims, self.private, algorithm="RS256", headers={"kid": self.kid, "x5t": self.kid})

    def jwk(self) -> dict[str, Any]:
        """The public key as a JSON Web Key."""
        public = RSAAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        return {**public, "use": "sig", "alg": "RS256", "kid": self.kid, "x5t": self.kid}


@cache
def signing_key() -> SigningKey:
    """The key of every sandbox in this process: making one costs as much as starting a server."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    der = private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    kid = base64.urlsafe_b64encode(hashlib.sha1(der, usedforsecurity=False).digest()).rstrip(b"=").decode()
    return SigningKey(private, kid)
