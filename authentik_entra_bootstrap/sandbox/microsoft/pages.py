"""The few HTML pages that a person sees while signing in to the sandbox's tenant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape

from starlette.responses import HTMLResponse

from authentik_entra_bootstrap.sandbox.store import Object

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


def message(title: str, text: str, *, status: int = 200) -> HTMLResponse:
    """A page that says one thing."""
    return page(title, f"<p>{escape(text)}</p>", status=status)


def listed(items: Iterable[str]) -> str:
    """An HTML list of texts."""
    return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"


def form(hidden: Mapping[str, str], inside: str) -> str:
    """An HTML form that posts to its own address; ``inside`` is HTML."""
    fields = "".join(
        f"<input type='hidden' name='{escape(name)}' value='{escape(value)}'>"
        for name, value in hidden.items()
    )
    return f"<form method='post'>{fields}{inside}</form>"


def people(users: Iterable[Object], *, name: str = "user") -> str:
    """One button for each person who may sign in; sends the user name as ``name``."""
    buttons = []
    for user in users:
        if user.get("accountEnabled", True):
            upn = escape(str(user["userPrincipalName"]))
            roles = escape(", ".join(user.get("_directoryRoles", ())) or "no directory role")
            buttons.append(
                f"<div><button name='{name}' value='{upn}'>{upn}</button><small>{roles}</small></div>"
            )
    return "".join(buttons)
