"""The token endpoint: ``/{tenant}/oauth2/v2.0/token``."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from authentik_entra_bootstrap.sandbox.microsoft import aadsts, scopes, tokens
from authentik_entra_bootstrap.sandbox.microsoft.aadsts import Aadsts
from authentik_entra_bootstrap.sandbox.microsoft.clients import (
    Client,
    Form,
    authenticate,
    check_proof_given,
    find_client,
    required,
)
from authentik_entra_bootstrap.sandbox.microsoft.discovery import SHARED, find_tenant, origin
from authentik_entra_bootstrap.sandbox.microsoft.replica import Replica
from authentik_entra_bootstrap.sandbox.microsoft.sessions import (
    AuthorizationCode,
    DeviceCode,
    SignedIn,
    digest,
    sessions,
)
from authentik_entra_bootstrap.sandbox.microsoft.tokens import signing_key
from authentik_entra_bootstrap.sandbox.requestlog import note_caller
from authentik_entra_bootstrap.sandbox.store import Object
from authentik_entra_bootstrap.sandbox.world import World

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
MULTI_TENANT = frozenset({"AzureADMultipleOrgs", "AzureADandPersonalMicrosoftAccount"})


@dataclass(frozen=True)
class Call:
    """One request to a token endpoint."""

    world: World
    tenant: str
    form: Form
    origin: str

    def replica(self, tenant_id: str | None = None) -> Replica:
        """The replica that answers, for the tenant of the address or the one of the person signed in."""
        return Replica(self.world, find_tenant(self.world, tenant_id or self.tenant))


def token_routes(world: World) -> list[BaseRoute]:
    """The route of the token endpoint."""

    async def endpoint(request: Request) -> Response:
        return await aadsts.replied(world, request, _answer)

    return [Route("/{tenant}/oauth2/v2.0/token", endpoint, methods=["GET", "POST"])]


async def read_form(request: Request) -> Form:
    """The text fields of a form; nothing when the body is something else."""
    async with request.form() as form:
        return {name: value for name, value in form.items() if isinstance(value, str)}


async def _answer(world: World, request: Request) -> dict[str, Any]:
    if request.method != "POST":
        message = f"The endpoint only accepts POST requests. Received a {request.method} request."
        raise Aadsts(900561, aadsts.INVALID_REQUEST, message)
    form = await read_form(request)
    call = Call(world, request.path_params["tenant"], form, origin(world, request))
    if form.get("grant_type") == "client_credentials":
        check_proof_given(form)
    if call.tenant.lower() not in SHARED:
        find_tenant(world, call.tenant)
    (grant_type,) = required(form, "grant_type")
    grants: dict[str, Callable[[Call], dict[str, Any]]] = {
        "client_credentials": _client_credentials,
        DEVICE_GRANT: _device_code,
        "authorization_code": _authorization_code,
        "refresh_token": _refresh_token,
    }
    if grant_type not in grants:
        message = f"The app requested an unsupported grant type '{grant_type}'."
        raise Aadsts(70003, "unsupported_grant_type", message)
    if "resource" in form:
        message = "The 'resource' request parameter is not supported."
        raise Aadsts(901002, aadsts.INVALID_REQUEST, message)
    return grants[grant_type](call)


def _client_credentials(call: Call) -> dict[str, Any]:
    if call.tenant.lower() in SHARED:
        message = "No tenant-identifying information found in either the request or implied by any provided credentials."
        raise Aadsts(50059, aadsts.INVALID_REQUEST, message)
    app_id, asked = required(call.form, "client_id", "scope")
    replica = call.replica()
    client = find_client(replica, app_id)
    authenticate(replica, client, call.form, call.origin)
    wanted = scopes.for_app(replica, asked)
    if call.world.switches.conditional_access_blocks:
        raise _blocked("access_denied")
    principal = client.service_principal
    roles = replica.app_roles(principal["id"], wanted.resource)
    token = tokens.app_token(
        replica.now, replica.tenant_id, wanted.audience, principal, roles, call.world.guid("uti")
    )
    return _body(token)


def _device_code(call: Call) -> dict[str, Any]:
    app_id, text = required(call.form, "client_id", "device_code")
    store = sessions(call.world)
    pending = store.device_codes.get(digest(text))
    if pending is None or pending.client_id.lower() != app_id.lower() or pending.state == "redeemed":
        message = "The provided value for the input parameter 'device_code' is not valid."
        raise Aadsts(70018, "bad_verification_code", message)
    signed_in = _confirmed(call, pending)
    replica = call.replica(signed_in.tenant_id)
    client = _user_client(call, replica, app_id)
    wanted = scopes.for_user(replica, pending.scope)
    body = _user_body(call, replica, client, wanted, signed_in, None)
    pending.state = "redeemed"
    return body


def _confirmed(call: Call, pending: DeviceCode) -> SignedIn:
    if pending.state == "declined":
        message = "The end user denied the authorization request."
        raise Aadsts(65004, "authorization_declined", message)
    if call.world.clock.now() >= pending.expires:
        message = "The provided value for the input parameter 'device_code' is not valid. This device code has expired."
        raise Aadsts(70020, "expired_token", message)
    if pending.state == "pending" or pending.signed_in is None:
        message = "OAuth 2.0 device flow error. Authorization is pending. Continue polling."
        raise Aadsts(70016, "authorization_pending", message)
    return pending.signed_in


def _authorization_code(call: Call) -> dict[str, Any]:
    app_id, text, redirect_uri = required(call.form, "client_id", "code", "redirect_uri")
    code = sessions(call.world).codes.get(digest(text))
    if code is None or code.client_id.lower() != app_id.lower():
        raise Aadsts(9002313, aadsts.INVALID_GRANT, "Invalid request. Request is malformed or invalid.")
    replica = call.replica(code.signed_in.tenant_id)
    client = _user_client(call, replica, app_id)
    _check_code(call, code, redirect_uri)
    wanted = scopes.for_user(replica, call.form.get("scope") or code.scope)
    body = _user_body(call, replica, client, wanted, code.signed_in, code.nonce)
    code.redeemed = True
    return body


def _check_code(call: Call, code: AuthorizationCode, redirect_uri: str) -> None:
    if code.redeemed:
        message = (
            "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing "
            "refresh token."
        )
        raise Aadsts(54005, aadsts.INVALID_GRANT, message)
    if call.world.clock.now() >= code.expires:
        message = "The provided authorization code or refresh token has expired due to inactivity."
        raise Aadsts(70008, aadsts.INVALID_GRANT, message)
    if redirect_uri != code.redirect_uri:
        message = (
            f"The reply address '{redirect_uri}' does not match the reply address '{code.redirect_uri}' provided "
            "when requesting Authorization code."
        )
        raise Aadsts(500112, aadsts.INVALID_CLIENT, message)
    if code.challenge is None:
        return
    (verifier,) = required(call.form, "code_verifier")
    proof = verifier
    if code.challenge_method == "S256":
        proof = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    if proof != code.challenge:
        message = "The Code_Verifier does not match the code_challenge supplied in the authorization request."
        raise Aadsts(501481, aadsts.INVALID_GRANT, message)


def _refresh_token(call: Call) -> dict[str, Any]:
    app_id, text = required(call.form, "client_id", "refresh_token")
    kept = sessions(call.world).refresh_tokens.get(digest(text))
    if kept is None or kept.client_id.lower() != app_id.lower():
        raise Aadsts(9002313, aadsts.INVALID_GRANT, "Invalid request. Request is malformed or invalid.")
    if call.world.clock.now() >= kept.expires:
        raise Aadsts(700082, aadsts.INVALID_GRANT, "The refresh token has expired due to inactivity.")
    replica = call.replica(kept.signed_in.tenant_id)
    client = _user_client(call, replica, app_id)
    wanted = scopes.for_user(replica, call.form.get("scope", "openid"))
    return _user_body(call, replica, client, wanted, kept.signed_in, None)


def _user_client(call: Call, replica: Replica, app_id: str) -> Client:
    """The client of a flow with a person: a public one, or a confidential one that proves itself."""
    client = find_client(replica, app_id)
    check_audience(client, call.tenant)
    if not client.public:
        authenticate(replica, client, call.form, call.origin)
    return client


def check_audience(client: Client, tenant: str) -> None:
    """Refuse ``common`` and its like for single-tenant applications.

    :raises Aadsts: 50194.
    """
    if tenant.lower() not in SHARED or client.application is None:
        return
    if client.application.get("signInAudience") not in MULTI_TENANT:
        message = (
            f"Application '{client.app_id}'({client.name}) is not configured as a multi-tenant application. Usage "
            "of the /common endpoint is not supported for such apps created after '10/15/2018'. Use a "
            "tenant-specific endpoint or configure the application to be multi-tenant."
        )
        raise Aadsts(50194, aadsts.INVALID_REQUEST, message)


def _find_user(replica: Replica, user_id: str) -> Object:
    """A person of the tenant who may sign in.

    :raises Aadsts: 50034 for an unknown one, 50057 for a disabled one.
    """
    user = replica.directory.get("user", user_id)
    if user is None:
        message = (
            f"The user account {user_id} does not exist in the {replica.tenant_id} directory. To sign into this "
            "application, the account must be added to the directory."
        )
        raise Aadsts(50034, aadsts.INVALID_GRANT, message)
    if not user.get("accountEnabled", True):
        raise Aadsts(50057, aadsts.INVALID_GRANT, "The user account is disabled.")
    return user


def _user_body(
    call: Call,
    replica: Replica,
    client: Client,
    wanted: scopes.RequestedScopes,
    signed_in: SignedIn,
    nonce: str | None,
) -> dict[str, Any]:
    user = _find_user(replica, signed_in.user_id)
    note_caller(f"{user['userPrincipalName']} by {client.app_id}")
    granted = scopes.granted_scopes(replica, client, wanted, user, signed_in.consented)
    if call.world.switches.conditional_access_blocks:
        raise _blocked(aadsts.INVALID_GRANT)
    token = tokens.user_token(
        replica.now, replica.tenant_id, wanted.audience, client.app_id, user, granted, call.world.guid("uti")
    )
    body = _body(token) | {"scope": wanted.written(granted)}
    if "offline_access" in wanted.openid or call.form.get("grant_type") == "refresh_token":
        body["refresh_token"] = sessions(call.world).add_refresh_token(client.app_id, signed_in)
    if "openid" in wanted.openid:
        body["id_token"] = _id_token(call, replica, client, user, nonce)
    if call.form.get("client_info") == "1":
        info = json.dumps({"uid": user["id"], "utid": replica.tenant_id}).encode()
        body["client_info"] = base64.urlsafe_b64encode(info).rstrip(b"=").decode()
    return body


def _body(token: str) -> dict[str, Any]:
    return {
        "token_type": "Bearer",
        "expires_in": tokens.LIFETIME,
        "ext_expires_in": tokens.LIFETIME,
        "access_token": token,
    }


def _id_token(call: Call, replica: Replica, client: Client, user: Object, nonce: str | None) -> str:
    """Clients judge an id token by their own clock, so it holds on that one and on the sandbox's."""
    moments = replica.now, datetime.fromtimestamp(time.time(), tz=replica.now.tzinfo)
    begin = int(min(moments).timestamp()) - tokens.BACKDATED
    claims = {
        "aud": client.app_id,
        "iss": f"{call.origin}/{replica.tenant_id}/v2.0",
        "iat": begin,
        "nbf": begin,
        "exp": int(max(moments).timestamp()) + tokens.LIFETIME,
        "name": user.get("displayName"),
        "oid": user["id"],
        "preferred_username": user["userPrincipalName"],
        "sub": hashlib.sha256(f"{client.app_id}/{user['id']}".encode()).hexdigest(),
        "tid": replica.tenant_id,
        "ver": "2.0",
    }
    if nonce:
        claims["nonce"] = nonce
    return signing_key().sign(claims)


def _blocked(error: str) -> Aadsts:
    """Conditional Access refuses; the OAuth error for a client's own sign-in is not documented."""
    message = "Access has been blocked by Conditional Access policies. The access policy does not allow token issuance."
    return Aadsts(53003, error, message, suberror="message_only")
