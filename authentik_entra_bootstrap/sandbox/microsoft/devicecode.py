"""Device sign-in: the endpoint that hands out codes, and the page where a person enters one."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from authentik_entra_bootstrap.sandbox.microsoft import aadsts, scopes
from authentik_entra_bootstrap.sandbox.microsoft.aadsts import Aadsts
from authentik_entra_bootstrap.sandbox.microsoft.clients import find_client, required
from authentik_entra_bootstrap.sandbox.microsoft.discovery import SHARED, origin
from authentik_entra_bootstrap.sandbox.microsoft.login import (
    form_html,
    locate,
    message_page,
    page,
    people_buttons,
    people_of,
    sign_in,
    tenants_for,
)
from authentik_entra_bootstrap.sandbox.microsoft.replica import Replica
from authentik_entra_bootstrap.sandbox.microsoft.sessions import (
    DEVICE_LIFETIME,
    DeviceCode,
    digest,
    sessions,
)
from authentik_entra_bootstrap.sandbox.microsoft.token import check_audience, read_form
from authentik_entra_bootstrap.sandbox.world import World

TITLE = "Sign in to your account"
ENTRY = "<p><label>Code <input name='otc' value='' autocomplete='off' autofocus></label> <button>Next</button></p>"


def device_routes(world: World) -> list[BaseRoute]:
    """Routes of the device flow. The page is ``/common/oauth2/deviceauth``, also as ``/devicelogin``."""

    async def begin(request: Request) -> Response:
        try:
            body = await _begin(world, request)
        except Aadsts as error:
            return aadsts.answer(world, request, error)
        return JSONResponse(body, headers=aadsts.reply_headers(world, request))

    async def enter(request: Request) -> Response:
        return await _page(world, request)

    return [
        Route("/{tenant}/oauth2/v2.0/devicecode", begin, methods=["POST"]),
        Route("/devicelogin", enter, methods=["GET", "POST"]),
        Route("/common/oauth2/deviceauth", enter, methods=["GET", "POST"]),
    ]


async def _begin(world: World, request: Request) -> dict[str, object]:
    form = await read_form(request)
    tenant = request.path_params["tenant"]
    app_id, scope = required(form, "client_id", "scope")
    replica = Replica(world, tenants_for(world, tenant)[0])
    client = find_client(replica, app_id)
    check_audience(client, tenant)
    scopes.for_user(replica, scope)
    store = sessions(world)
    text, user_code = store.new_text("D"), store.new_user_code()
    store.device_codes[digest(text)] = DeviceCode(
        user_code, client.app_id, tenant, scope, world.clock.now() + DEVICE_LIFETIME
    )
    address = f"{origin(world, request)}/devicelogin"
    return {
        "user_code": user_code,
        "device_code": text,
        "verification_uri": address,
        "expires_in": int(DEVICE_LIFETIME.total_seconds()),
        "interval": world.switches.device_code_interval,
        "message": (
            f"To sign in, use a web browser to open the page {address} and enter the code {user_code} to authenticate."
        ),
    }


def decide(world: World, user_code: str, user: str, *, approve: bool = True) -> None:
    """Enter a device code as a person would, and sign in or decline.

    :param user: user name or object id; not needed to decline.
    :raises LookupError: for an unknown, expired or used code, or a person who may not sign in there.
    :raises ValueError: when the person may not agree to what the client asks.
    """
    pending = sessions(world).by_user_code(user_code)
    if pending is None or pending.state != "pending" or world.clock.now() >= pending.expires:
        raise LookupError("there is no such code, or it has expired")
    if not approve:
        pending.state = "declined"
        return
    directory, person = locate(world, pending.tenant, user)
    replica = Replica(world, directory)
    try:
        pending.signed_in = sign_in(replica, find_client(replica, pending.client_id), person, pending.scope)
    except Aadsts as error:
        raise ValueError(str(error)) from error
    pending.state = "approved"


async def _page(world: World, request: Request) -> Response:
    form = await read_form(request) if request.method == "POST" else {}
    code = form.get("otc") or request.query_params.get("otc", "")
    if not code:
        return page(TITLE, "<p>Enter the code displayed on your app or device.</p>" + form_html({}, ENTRY))
    pending = sessions(world).by_user_code(code)
    if pending is None or pending.state != "pending":
        text = "<p>That code didn't work. Check the code and try again. (AADSTS70018)</p>"
        return page(TITLE, text + form_html({}, ENTRY), status=400)
    if world.clock.now() >= pending.expires:
        return message_page(
            TITLE, "That code has expired. Go back to your app for a new one. (AADSTS70019)", status=400
        )
    if "decision" not in form and "user" not in form:
        users = people_of(world, pending.tenant)
        where = "any organization" if pending.tenant.lower() in SHARED else "this organization"
        buttons = people_buttons(users) + "<button name='decision' value='decline'>Cancel</button>"
        text = f"<p>You are signing in to an app on another device, with an account of {where}.</p>"
        return page("Pick an account", text + form_html({"otc": code}, buttons))
    try:
        decide(world, code, form.get("user", ""), approve=form.get("decision") != "decline")
    except (LookupError, ValueError) as error:
        return message_page(TITLE, str(error), status=400)
    if form.get("decision") == "decline":
        return message_page(TITLE, "You have declined. You may close this window.")
    return message_page(
        TITLE, "You have signed in to the application on your device. You may now close this window."
    )
