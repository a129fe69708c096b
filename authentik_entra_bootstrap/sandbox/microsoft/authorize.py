"""The authorization endpoint: a person picks an account, the browser carries a code to the client."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from authentik_entra_bootstrap.sandbox.microsoft import aadsts, scopes
from authentik_entra_bootstrap.sandbox.microsoft.aadsts import Aadsts
from authentik_entra_bootstrap.sandbox.microsoft.clients import Client, find_client, required
from authentik_entra_bootstrap.sandbox.microsoft.discovery import split_url
from authentik_entra_bootstrap.sandbox.microsoft.login import (
    form_html,
    listed,
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
    CODE_LIFETIME,
    AuthorizationCode,
    digest,
    sessions,
)
from authentik_entra_bootstrap.sandbox.microsoft.token import check_audience, read_form
from authentik_entra_bootstrap.sandbox.world import World

TITLE = "Pick an account"


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
            buttons = (
                people_buttons(people_of(world, tenant))
                + "<button name='decision' value='cancel'>Cancel</button>"
            )
            return page(TITLE, text + form_html({}, buttons))
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
        fields = "".join(
            f"<input type='hidden' name='{escape(name)}' value='{escape(value)}'>"
            for name, value in values.items()
        )
        return HTMLResponse(
            f"<form method='post' action='{escape(address)}'>{fields}<button>Continue</button></form>"
            "<script>document.forms[0].submit()</script>"
        )
    return redirect(address, values)


def redirect(address: str, values: Mapping[str, str]) -> Response:
    """Send the browser to ``address`` with ``values`` added to its query."""
    joint = "&" if "?" in address else "?"
    return RedirectResponse(f"{address}{joint}{urlencode(values)}", status_code=302)
