"""The pages where people sign in: the authorization endpoint, and the one where a device code is entered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from authentik_entra_bootstrap.sandbox.microsoft import aadsts, scopes
from authentik_entra_bootstrap.sandbox.microsoft.aadsts import Aadsts
from authentik_entra_bootstrap.sandbox.microsoft.clients import Client, find_client, required
from authentik_entra_bootstrap.sandbox.microsoft.discovery import SHARED, origin, split_url
from authentik_entra_bootstrap.sandbox.microsoft.replica import Replica
from authentik_entra_bootstrap.sandbox.microsoft.sessions import (
    CODE_LIFETIME,
    DEVICE_LIFETIME,
    AuthorizationCode,
    DeviceCode,
    digest,
    locate,
    people_of,
    sessions,
    sign_in,
    tenants_for,
)
from authentik_entra_bootstrap.sandbox.microsoft.token_endpoint import check_audience, read_form
from authentik_entra_bootstrap.sandbox.store import Object
from authentik_entra_bootstrap.sandbox.world import World

PICK = "Pick an account"
TITLE = "Sign in to your account"
ENTRY = "<p><label>Code <input name='otc' value='' autocomplete='off' autofocus></label> <button>Next</button></p>"
STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;background:#f2f2f2;margin:0}"
    "main{max-width:34rem;margin:4rem auto;background:#fff;padding:2rem;box-shadow:0 2px 6px #0003}"
    "h1{font-size:1.4rem;margin-top:0}button{font:inherit;padding:.5rem 1rem;margin:.2rem .4rem .2rem 0}"
    "input[name=otc]{font:inherit;padding:.5rem}small{color:#555}"
)


def page(title: str, body: str, *, status: int = 200) -> HTMLResponse:
    """A page; ``title`` is text, ``body`` is HTML."""
    text = (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{escape(title)}</title>"
        f"<style>{STYLE}</style></head><body><main><h1>{escape(title)}</h1>{body}"
        "<p><small>Entra ID sandbox: made-up people, no passwords.</small></p></main></body></html>"
    )
    return HTMLResponse(text, status_code=status, headers={"Cache-Control": "no-store"})


def message_page(title: str, text: str, *, status: int = 200) -> HTMLResponse:
    """A page that says one thing."""
    return page(title, f"<p>{escape(text)}</p>", status=status)


def listed(items: Iterable[str]) -> str:
    """An HTML list of texts."""
    return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"


def form_html(hidden: Mapping[str, str], inside: str, *, action: str = "") -> str:
    """An HTML form that posts to ``action``, or to its own address; ``inside`` is HTML."""
    fields = "".join(
        f"<input type='hidden' name='{escape(name)}' value='{escape(value)}'>"
        for name, value in hidden.items()
    )
    target = f" action='{escape(action)}'" if action else ""
    return f"<form method='post'{target}>{fields}{inside}</form>"


def people_buttons(users: Iterable[Object], *, decline: str) -> str:
    """One button for each person who may sign in, and one to decline; they send ``user`` or ``decision``."""
    buttons = []
    for user in users:
        if user.get("accountEnabled", True):
            upn = escape(str(user["userPrincipalName"]))
            roles = escape(", ".join(user.get("_directoryRoles", ())) or "no directory role")
            buttons.append(
                f"<div><button name='user' value='{upn}'>{upn}</button><small>{roles}</small></div>"
            )
    return "".join(buttons) + f"<p><button name='decision' value='{decline}'>Cancel</button></p>"


def authorize_routes(world: World) -> list[BaseRoute]:
    """The route of the authorization endpoint."""

    async def endpoint(request: Request) -> Response:
        try:
            return await _authorize(world, request)
        except Aadsts as error:
            return problem(world, request, error)

    return [Route("/{tenant}/oauth2/v2.0/authorize", endpoint, methods=["GET", "POST"])]


def problem(world: World, request: Request, error: Aadsts) -> Response:
    """The page for an error that must not be sent to a redirect address."""
    lines = aadsts.description(world, request, error).split("\r\n")
    return page("Sorry, but we're having trouble signing you in.", listed(lines), status=error.status)


def check_redirect(client: Client, address: str) -> None:
    """Refuse a redirect address that the client has not registered; the port of a loopback one is free.

    :raises Aadsts: 50011.
    """
    application = client.application or {}
    registered = [
        uri
        for kind in ("publicClient", "web", "spa")
        for uri in (application.get(kind) or {}).get("redirectUris", ())
    ]
    if client.application is None:
        registered = ["http://localhost"]
    if any(_same_address(address, uri) for uri in registered):
        return
    message = (
        f"The redirect URI '{address}' specified in the request does not match the redirect URIs configured for the "
        f"application '{client.app_id}'. Make sure the redirect URI sent in the request matches one added to your "
        "application in the Azure portal."
    )
    raise Aadsts(50011, "invalid_request", message)


def _same_address(given: str, registered: str) -> bool:
    if given == registered:
        return True
    one, other = split_url(given), split_url(registered)
    loopback = other.hostname in {"localhost", "127.0.0.1"} and other.scheme == one.scheme == "http"
    return loopback and one.hostname == other.hostname and (one.path or "/") == (other.path or "/")


async def _authorize(world: World, request: Request) -> Response:
    asked = dict(request.query_params)
    form = await read_form(request) if request.method == "POST" else {}
    tenant = request.path_params["tenant"]
    app_id, redirect_uri = required(asked, "client_id", "redirect_uri")
    replica = Replica(world, tenants_for(world, tenant)[0])
    client = find_client(replica, app_id)
    check_audience(client, tenant)
    check_redirect(client, redirect_uri)
    try:
        scope = _scope(asked)
        wanted = scopes.for_user(replica, scope)
        if form.get("decision") == "cancel":
            declined = Aadsts(65004, "access_denied", "User declined to consent to access the app.")
            return _send_back(asked, _described(world, request, declined))
        if "user" not in form:
            names = sorted(wanted.values) or ["everything that is granted to it"]
            text = f"<p>{escape(client.name)} asks for:</p>{listed(names)}"
            buttons = people_buttons(people_of(world, tenant), decline="cancel")
            return page(PICK, text + form_html({}, buttons))
        directory, user = locate(world, tenant, form["user"])
        home = Replica(world, directory)
        signed_in = sign_in(home, find_client(home, app_id), user, scope)
    except Aadsts as error:
        return _send_back(asked, _described(world, request, error))
    except LookupError as error:
        return message_page(TITLE, str(error), status=400)
    store = sessions(world)
    code = store.new_text("1.")
    store.codes[digest(code)] = AuthorizationCode(
        client.app_id,
        signed_in,
        redirect_uri,
        scope,
        world.clock.now() + CODE_LIFETIME,
        asked.get("code_challenge"),
        asked.get("code_challenge_method", "plain"),
        asked.get("nonce"),
    )
    return _send_back(asked, {"code": code, "session_state": world.guid("session")})


def _described(world: World, request: Request, error: Aadsts) -> dict[str, str]:
    return {"error": error.error, "error_description": aadsts.description(world, request, error)}


def _scope(asked: Mapping[str, str]) -> str:
    if asked.get("response_type", "") != "code":
        message = f"The response_type '{asked.get('response_type', '')}' is not supported."
        raise Aadsts(70005, "unsupported_response_type", message)
    (scope,) = required(dict(asked), "scope")
    return scope


def _send_back(asked: Mapping[str, str], values: dict[str, str]) -> Response:
    if "state" in asked:
        values["state"] = asked["state"]
    address, mode = asked["redirect_uri"], asked.get("response_mode", "query")
    if mode == "form_post":
        form = form_html(values, "<button>Continue</button>", action=address)
        return HTMLResponse(f"{form}<script>document.forms[0].submit()</script>")
    return redirect(address, values)


def redirect(address: str, values: Mapping[str, str]) -> Response:
    """Send the browser to ``address`` with ``values`` added to its query."""
    joint = "&" if "?" in address else "?"
    return RedirectResponse(f"{address}{joint}{urlencode(values)}", status_code=302)


def device_routes(world: World) -> list[BaseRoute]:
    """Routes of the device flow. The page is ``/common/oauth2/deviceauth``, also as ``/devicelogin``."""

    async def begin(request: Request) -> Response:
        return await aadsts.replied(world, request, _begin)

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
        text = "That code has expired. Go back to your app for a new one. (AADSTS70019)"
        return message_page(TITLE, text, status=400)
    if "decision" not in form and "user" not in form:
        users = people_of(world, pending.tenant)
        where = "any organization" if pending.tenant.lower() in SHARED else "this organization"
        buttons = people_buttons(users, decline="decline")
        text = f"<p>You are signing in to an app on another device, with an account of {where}.</p>"
        return page(PICK, text + form_html({"otc": code}, buttons))
    try:
        decide(world, code, form.get("user", ""), approve=form.get("decision") != "decline")
    except (LookupError, ValueError) as error:
        return message_page(TITLE, str(error), status=400)
    done = "signed in to the application on your device"
    text = f"You have {'declined' if form.get('decision') == 'decline' else done}. You may now close this window."
    return message_page(TITLE, text)
