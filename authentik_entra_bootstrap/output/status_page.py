"""The page of ``status --output html``: one file without scripts and without references, made from the document.

Names come from two services and from settings, so every text goes through :func:`~.timeline.escape`; addresses become
links only where they are ``https``. The policy in the page's head forbids everything but its own style.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from typing import Any

from authentik_entra_bootstrap._version import __version__
from authentik_entra_bootstrap.domain.times import parse_time
from authentik_entra_bootstrap.output.documents import Document, connections_of
from authentik_entra_bootstrap.output.status import BY, state_with_reason
from authentik_entra_bootstrap.output.timeline import chart, escape

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_STATES = {
    "good": ("✓", "healthy"),
    "watch": ("!", "needs attention"),
    "bad": ("✗", "could not be looked at"),
}
_NONE = '<span class="none">none</span>'


def page(document: Document) -> str:
    """The whole page.

    :param document: what ``status --output json`` prints.
    """
    documents = connections_of(document)
    states = [_state(item) for item in documents]
    style = resources.files(__package__).joinpath("status_page.css").read_text(encoding="utf-8")
    good = states.count("good")
    title = f"{len(documents)} connection{'s' if len(documents) != 1 else ''}, {good} healthy"
    seen = max((item["seen_at"] for item in documents if item.get("seen_at")), default=None)
    drawn = chart(documents)
    body = [
        _section("Timeline", drawn) if drawn else "",
        _overview(documents, states),
        *map(_details, range(len(documents)), documents, states),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">\n'
        f"<title>{title}: authentik-entra</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"{_head(title, states, seen)}<main>\n{''.join(body)}</main>\n"
        f"<footer>Made by authentik-entra {escape(__version__)} with <code>status --output html</code>. "
        "Times are UTC. No secret is on this page: key ids only name them.</footer>\n</body>\n</html>\n"
    )


def _state(item: Document) -> str:
    if item.get("error"):
        return "bad"
    return "good" if item["healthy"] else "watch"


def _badge(state: str) -> str:
    sign, words = _STATES[state]
    return f'<span class="badge {state}"><span aria-hidden="true">{sign}</span> {words}</span>'


def _head(title: str, states: Sequence[str], seen: str | None) -> str:
    counts = [
        f"<li>{_badge(state)} <strong>{states.count(state)}</strong></li>"
        for state in _STATES
        if state in states
    ]
    at = f" · seen {parse_time(seen):%Y-%m-%d %H:%M} UTC" if seen else ""
    return (
        f'<header>\n<p class="kicker">authentik and Microsoft Entra ID</p>\n<h1>Client secrets</h1>\n'
        f'<p class="lead">{title}{at}</p>\n<ul class="counts">{"".join(counts)}</ul>\n</header>\n'
    )


def _overview(documents: Sequence[Document], states: Sequence[str]) -> str:
    heads = (
        "Connection",
        "State",
        "Expires",
        "Renew from",
        "Last rotation",
        "Last proof",
        "Last sync",
        "Next run",
    )
    rows = []
    for number, (item, state) in enumerate(zip(documents, states, strict=True)):
        name = f'<th scope="row"><a href="#c{number}">{_name(item)}</a></th><td data-head="State">{_badge(state)}</td>'
        if item.get("error"):
            rows.append(f'{name}<td colspan="6" data-head="Error">{_code(item["error"]["code"])}</td>')
            continue
        current, proof, sync, wanted = (
            item.get(key) or {} for key in ("current_secret", "last_proof", "last_sync", "next")
        )
        moments = (
            current.get("end"),
            current.get("renew_at"),
            item.get("last_rotation"),
            proof.get("seen_at"),
            sync.get("at"),
            wanted.get("at"),
        )
        rows.append(name + _cells(heads[2:], map(_at, moments)))
    return _section("Connections", _table("Every connection of this run", heads, rows))


def _section(title: str, body: str) -> str:
    name = title.lower()
    return f'<section aria-labelledby="{name}">\n<h2 id="{name}">{title}</h2>\n{body}</section>\n'


def _details(number: int, item: Document, state: str) -> str:
    body = _failure(item["error"]) if item.get("error") else _connection(item)
    return (
        f'<article id="c{number}" class="{state}" aria-labelledby="c{number}-name">\n'
        f'<h2 id="c{number}-name">{_name(item)} {_badge(state)}</h2>\n{body}</article>\n'
    )


def _failure(error: Mapping[str, Any]) -> str:
    rows = [
        ("What happened", _text(error["message"])),
        ("What to do", _text(error.get("remedy"))),
        ("Code", _code(error["code"])),
        ("Request", _text(error.get("request"))),
        ("Request id", _code(error.get("request_id"))),
        ("Correlation id", _code(error.get("correlation_id"))),
    ]
    return _pairs(row for row in rows if row[1] != _NONE)


def _connection(item: Document) -> str:
    application, provider, sync = item.get("application"), item.get("provider"), item.get("last_sync")
    state, wanted = item["secret_state"], item.get("next")
    alarms = "".join(
        f"<li>{_code(alarm['code'])} {escape(alarm['message'])}</li>" for alarm in item["alarms"]
    )
    pairs = [
        ("Tenant", f"{_text(item['tenant']['name'])} {_code(item['tenant']['id'])}"),
        ("Application", f"{_link(application)} {_code(application['app_id'])}" if application else _NONE),
        ("Provider", f"{_link(provider)} <code>pk {provider['pk']}</code>" if provider else _NONE),
        ("Client secret", escape(state_with_reason(state["state"], state["reason"]))),
        ("Last proof", _evidence(item.get("last_proof"))),
        ("Last failure", _evidence(item.get("last_failure"))),
        ("authentik's last sync", _sync(sync) if sync else _NONE),
        ("Next run", f"{_at(wanted['at'])} {escape(wanted['reason'])}" if wanted else _NONE),
    ]
    return (
        (f'<ul class="alarms">{alarms}</ul>\n' if alarms else "")
        + _pairs(pair for pair in pairs if pair != ("Last failure", _NONE))
        + _secrets(_name(item), application["secrets"] if application else [])
        + _expiries(_name(item), item["expiries"])
        + _drift(_name(item), item["drift"])
        + "".join(f'<p class="note">{escape(text)}</p>\n' for text in item["warnings"])
    )


def _secrets(name: str, secrets: Sequence[Document]) -> str:
    if not secrets:
        return ""
    heads = ("Status", "Key id", "Name", "From", "Until", "Renew from", "May be removed from")
    rows = []
    for secret in secrets:
        standing = secret["standing"]
        cells = (
            f'<span class="word"><span class="key {standing}"></span>{standing}</span>',
            f'<code class="id">{escape(secret["key_id"])}</code>',
            _text(secret["display_name"]),
            _at(secret["start"]),
            _at(secret["end"]),
            _at(secret["renew_at"]) if standing == "current" else "–",
            _at(secret["retire_at"]) if secret["retire_at"] else "–",
        )
        rows.append(_cells(heads, cells))
    return _table(f"Client secrets of {name}, oldest first", heads, rows)


def _expiries(name: str, expiries: Sequence[Document]) -> str:
    heads = ("What", "Name", "Expires", "State")
    rows = [
        _cells(heads, (escape(each["kind"]), _code(each["name"]), _at(each["at"]), escape(each["detail"])))
        for each in expiries
        if each["kind"] != "client-secret"
    ]
    return _table(f"Other expiries of {name}", heads, rows) if rows else ""


def _drift(name: str, drift: Sequence[Document]) -> str:
    if not drift:
        return ""
    heads = ("Difference", "Found", "Wanted", "Action", "Reason")
    rows = []
    for item in drift:
        what = f"{escape(item['side'])} {escape(item['object'])} {_code(item['property'])}"
        cells = (what, *(_text(item[key]) for key in ("found", "wanted", "action", "reason")))
        rows.append(_cells(heads, cells))
    return _table(f"Differences from the settings of {name}", heads, rows)


def _cells(heads: Sequence[str], cells: Iterable[str]) -> str:
    # On a narrow screen, where columns stand below each other, each cell shows its head.
    return "".join(f'<td data-head="{head}">{cell}</td>' for head, cell in zip(heads, cells, strict=True))


def _table(caption: str, heads: Sequence[str], rows: Sequence[str]) -> str:
    head = "".join(f'<th scope="col">{text}</th>' for text in heads)
    body = "".join(f"<tr>{row}</tr>\n" for row in rows)
    # Reachable by keyboard, because it scrolls sideways on narrow screens.
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{caption}"><table>\n'
        f"<caption>{caption}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table></div>\n"
    )


def _pairs(pairs: Iterable[tuple[str, str]]) -> str:
    return f"<dl>{''.join(f'<div><dt>{name}</dt><dd>{value}</dd></div>' for name, value in pairs)}</dl>\n"


def _name(item: Document) -> str:
    return escape(str(item.get("connection") or "the run"))


def _evidence(seen: Mapping[str, Any] | None) -> str:
    if not seen:
        return _NONE
    by = f"by {escape(BY[seen['by']])}: " if seen.get("by") else ""
    return f"{_at(seen['seen_at'])} {by}{escape(seen['detail'])}"


def _at(value: str | None) -> str:
    if not value:
        return _NONE
    return f'<time datetime="{escape(value)}">{parse_time(value):%Y-%m-%d %H:%M}</time>'


def _text(value: str | None) -> str:
    return escape(value) if value else _NONE


def _code(value: str | None) -> str:
    return f"<code>{escape(value)}</code>" if value else _NONE


def _sync(sync: Mapping[str, Any]) -> str:
    return f"{_at(sync['at'])} {escape(sync['status'] or '')}{' (running)' if sync['running'] else ''}"


def _link(item: Mapping[str, Any]) -> str:
    name = escape(item["name"])
    if not item["url"].startswith("https://"):
        return name
    return f'<a href="{escape(item["url"])}" rel="noreferrer">{name}</a>'
