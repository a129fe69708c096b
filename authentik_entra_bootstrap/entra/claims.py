"""Reading an access token's claims. Not validation: the token is meant for Microsoft Graph, which validates it."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import UTC, datetime

from authentik_entra_bootstrap.domain import AppId, TenantId, TokenClaims
from authentik_entra_bootstrap.entra.codes import fault


def read_claims(token: str) -> TokenClaims:
    """The claims of a Microsoft Graph access token.

    :raises UnexpectedAnswer: it is no JSON Web Token, or has no tenant.
    """
    claims = _payload(token)
    tenant = claims.get("tid") if claims else None
    if not claims or not isinstance(tenant, str):
        raise fault(
            "unexpected-answer", service="the token service", reason="the access token cannot be read"
        )
    expires = claims.get("exp")
    return TokenClaims(
        tenant_id=TenantId(tenant),
        object_id=_text(claims.get("oid")) or "",
        app_id=AppId(_text(claims.get("appid")) or _text(claims.get("azp")) or ""),
        roles=_set(claims.get("roles")),
        scopes=_set(claims.get("scp")),
        directory_roles=_set(claims.get("wids")),
        user_principal_name=_text(claims.get("upn"))
        or _text(claims.get("preferred_username"))
        or _text(claims.get("unique_name")),
        expires_on=datetime.fromtimestamp(expires, UTC) if isinstance(expires, int | float) else None,
    )


def _payload(token: str) -> dict[str, object] | None:
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        value = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _set(value: object) -> frozenset[str]:
    if isinstance(value, str):
        return frozenset(value.split())
    if isinstance(value, list):
        return frozenset(item for item in value if isinstance(item, str))
    return frozenset()
