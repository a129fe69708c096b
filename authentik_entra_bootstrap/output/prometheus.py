"""``status --output prometheus``: the document as text for node_exporter's textfile collector."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from authentik_entra_bootstrap.domain.times import parse_time
from authentik_entra_bootstrap.output.documents import Document
from authentik_entra_bootstrap.output.page import connections_of
from authentik_entra_bootstrap.workflows.metrics import EXPIRY, HEALTHY, PROOF, RENEW, ROTATION


def exposition(document: Document) -> str:
    """The gauges of every connection; one that could not be looked at has only that it is not healthy.

    :param document: what ``status --output json`` prints.
    """
    sources: Mapping[tuple[str, str], Callable[[Document], float | None]] = {
        EXPIRY: lambda item: _moment(item.get("current_secret"), "end"),
        RENEW: lambda item: _moment(item.get("current_secret"), "renew_at"),
        ROTATION: lambda item: _moment(item, "last_rotation"),
        PROOF: lambda item: _moment(item.get("last_proof"), "seen_at"),
        HEALTHY: lambda item: float(not item.get("error") and not item.get("alarms")),
    }
    lines = []
    for (name, meaning), value_of in sources.items():
        lines += [f"# HELP {name} {meaning}", f"# TYPE {name} gauge"]
        for item in connections_of(document):
            value = value_of(item)
            if value is not None:
                lines.append(f'{name}{{connection="{_label(item.get("connection") or "")}"}} {value:.0f}')
    return "\n".join(lines) + "\n"


def _moment(item: Mapping[str, Any] | None, key: str) -> float | None:
    value = (item or {}).get(key)
    return parse_time(value).timestamp() if value else None


def _label(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
