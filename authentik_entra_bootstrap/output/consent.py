"""Admin consent for people and for programs: the state, the address, the text to send."""

from __future__ import annotations

from authentik_entra_bootstrap.domain import Cloud, PermissionKind
from authentik_entra_bootstrap.output.documents import Document
from authentik_entra_bootstrap.output.terminal import Terminal
from authentik_entra_bootstrap.planning.consent import ConsentState, request_text
from authentik_entra_bootstrap.support import addresses

_KINDS = {PermissionKind.ROLE: "application", PermissionKind.SCOPE: "delegated"}


def address(state: ConsentState, cloud: Cloud) -> str:
    """Where an administrator consents."""
    return addresses.admin_consent(cloud, state.organization.tenant_id, state.app_id)


def consent_document(state: ConsentState, cloud: Cloud) -> Document:
    """The keys that tell the state of consent: ``connection``, ``tenant``, ``consent``."""
    organization = state.organization
    url = address(state, cloud)
    return {
        "connection": state.connection,
        "tenant": {"id": organization.tenant_id, "name": organization.display_name},
        "consent": {
            "complete": state.complete,
            "url": url,
            "text": request_text(state, url),
            "application": {"app_id": state.app_id, "name": state.application_name},
            "permissions": [
                {"name": item.name, "kind": _KINDS[item.kind], "granted": item.granted, "why": item.why}
                for item in state.permissions
            ],
        },
    }


def show_state(terminal: Terminal, state: ConsentState) -> None:
    """Each permission, granted or missing."""
    terminal.say(f"Admin consent for connection {state.connection}", "bold")
    for item in state.permissions:
        mark, word, style = {
            True: ("=", "granted", "dim"),
            False: ("+", "missing", "yellow"),
            None: ("?", "the operator may not see whether it is granted", "dim"),
        }[item.granted]
        terminal.say(f"  {mark} {item.name:<24} {item.kind_in_words:<24} {word}", style)


def show_request(terminal: Terminal, state: ConsentState, cloud: Cloud) -> None:
    """The text to send to an administrator, address included, between two lines."""
    terminal.say()
    terminal.say("---- to send to an administrator ----", "bold")
    for line in request_text(state, address(state, cloud)).splitlines():
        terminal.say(line)
    terminal.say("-------------------------------------", "bold")


def announce_request(terminal: Terminal, state: ConsentState, cloud: Cloud) -> None:
    """The same on standard error, for runs whose standard output is a JSON document."""
    for line in request_text(state, address(state, cloud)).splitlines():
        terminal.announce(line)
