"""What was looked at and how it is: the lines of ``check``, and what ``consent`` finds granted and missing."""

from __future__ import annotations

from collections.abc import Sequence

from authentik_entra_bootstrap.domain import Cloud, PermissionKind
from authentik_entra_bootstrap.output.documents import Document, tenant_document, values
from authentik_entra_bootstrap.output.terminal import Terminal
from authentik_entra_bootstrap.planning.consent import ConsentState, request_text
from authentik_entra_bootstrap.workflows.check import PERMISSION, CheckLine, Level

_OK = {Level.OK: True, Level.WARNING: None, Level.FAILURE: False}
_KINDS = {PermissionKind.ROLE: "application", PermissionKind.SCOPE: "delegated"}
_GRANTED = {
    True: ("=", "granted", "dim"),
    False: ("+", "missing", "yellow"),
    None: ("?", "the operator may not see whether it is granted", "dim"),
}


# --- check


def check_document(lines: Sequence[CheckLine]) -> list[Document]:
    """The lines of a check."""
    return [
        {
            **values(line, "name", "level", "detail"),
            "remedy": line.remedy or None,
            "code": line.code or None,
        }
        for line in lines
    ]


def show_check(
    terminal: Terminal, connection: str, lines: Sequence[CheckLine], *, purpose: str | None = None
) -> None:
    """The verdict, and the lines of a check, each failure with its remedy.

    :param purpose: what was asked for by name: every permission in authentik has a line of its own then, also where
        all are held.
    """
    each = purpose is not None
    words = {Level.FAILURE: "problem", Level.WARNING: "warning"}
    counts = {level: sum(line.level is level for line in lines) for level in words}
    verdict = f"{'not ' if counts[Level.FAILURE] else ''}ready for {purpose or 'bootstrap'}"
    parts = [f"{count} {words[level]}{'s' if count > 1 else ''}" for level, count in counts.items() if count]
    terminal.headline(connection, ", ".join([verdict, *parts]), news=bool(parts))
    terminal.source()
    permissions = [line for line in lines if line.name.startswith(PERMISSION)]
    all_held = not each and bool(permissions) and all(line.level is Level.OK for line in permissions)
    for line in lines:
        name, detail = line.name, line.detail
        if line in permissions and line.level is Level.OK:
            if all_held and line is not permissions[0]:
                continue
            if all_held:
                name, detail = "permissions in authentik", f"all {len(permissions)} are held"
            elif each:
                name, detail = name.removeprefix(PERMISSION), f"held: {detail}"
        code = f" [{line.code}]" if line.code else ""
        terminal.verdict(_OK[line.level], f"{name}: {detail}{code}")
        if line.remedy and line.level is not Level.OK:
            terminal.say(f"      What to do: {line.remedy}", hang=8)


# --- consent


def consent_url(state: ConsentState, cloud: Cloud) -> str:
    """Where an administrator consents."""
    return cloud.consent_page(state.organization.tenant_id, state.app_id)


def consent_document(state: ConsentState, cloud: Cloud) -> Document:
    """The keys that tell the state of consent: ``connection``, ``tenant``, ``consent``."""
    url = consent_url(state, cloud)
    return {
        "connection": state.connection,
        "tenant": tenant_document(state.organization),
        "consent": {
            "complete": state.complete,
            "url": url,
            "text": request_text(state, url),
            "application": {"app_id": state.app_id, "name": state.application_name},
            "permissions": [
                {**values(item, "name", "granted", "why"), "kind": _KINDS[item.kind]}
                for item in state.permissions
            ],
        },
    }


def show_consent(terminal: Terminal, state: ConsentState, cloud: Cloud) -> None:
    """The verdict, and each permission, granted or missing."""
    count = len(state.missing)
    what = f"{count} of {len(state.permissions)} permissions need admin consent"
    terminal.headline(
        state.connection, "admin consent is complete" if state.complete else what, news=not state.complete
    )
    for item in state.permissions:
        mark, word, style = _GRANTED[item.granted]
        terminal.say(f"  {mark} {item.name}: {word}", style, item.kind_in_words)
    if state.complete:
        terminal.rows([("address", consent_url(state, cloud))])


def show_consent_request(
    terminal: Terminal, state: ConsentState, cloud: Cloud, *, announce: bool = False
) -> None:
    """The text to send to an administrator, address included, between two lines.

    :param announce: where no results are shown, tell it on standard error instead.
    """
    lines = request_text(state, consent_url(state, cloud)).splitlines()
    if announce and not terminal.shows_results:
        for line in lines:
            terminal.announce(line)
        return
    terminal.say()
    terminal.say("---- to send to an administrator ----", "bold")
    for line in lines:
        terminal.copyable(line)
    terminal.say("-------------------------------------", "bold")
