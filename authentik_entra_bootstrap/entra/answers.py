"""Microsoft Graph's answers: their JSON, and refusals as plain data.

Heavy (httpx): imported when Graph is asked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import httpx

from authentik_entra_bootstrap.domain.times import http_date
from authentik_entra_bootstrap.entra.codes import fault
from authentik_entra_bootstrap.errors import RequestTrace
from authentik_entra_bootstrap.support.waiting import retry_after


class Json(dict[str, Any]):
    """The JSON object of an answer, with the trace of its request."""

    trace: RequestTrace | None = None
    date: datetime | None = None
    """When it was answered, by the service's clock."""


def answered(response: httpx.Response, trace: RequestTrace) -> Json:
    """The JSON object of a success; an empty one where the answer has no body, and none was asked for.

    :raises UnexpectedAnswer: it is something else, e.g. a proxy's page.
    """
    value = json_of(response.content) if response.content else None if trace.method == "GET" else {}
    if not isinstance(value, dict):
        kind = response.headers.get("content-type", "no content type")
        reason = f"HTTP {response.status_code} with {kind} instead of the JSON expected"
        raise fault("unexpected-answer", trace=trace, service="Microsoft Graph", reason=reason)
    found = Json(value)
    found.trace, found.date = trace, http_date(response.headers.get("date"))
    return found


def json_of(content: bytes) -> object:
    """What JSON text stands for; ``None`` for everything that is none, or nested too deeply to be read.

    Halves of surrogate pairs, which nothing can write again, become question marks.
    """
    try:
        value: object = json.loads(content.decode("utf-8-sig"))
        if b"\\u" in content:
            value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return value


@dataclass(frozen=True)
class Refusal:
    """An error answer of Microsoft Graph as plain data."""

    status: int
    code: str = ""
    message: str = ""
    details: tuple[tuple[str, str], ...] = ()
    """(code, target) pairs."""
    retry_after: float | None = None
    trace: RequestTrace = field(default_factory=lambda: RequestTrace("graph"))
    content_type: str = ""

    def has(self, *codes: str) -> bool:
        """Whether one of the codes is the error's own or one of its details'."""
        return self.code in codes or any(code in codes for code, _ in self.details)

    def says(self, *texts: str) -> bool:
        """Whether the message holds one of the texts. Only for where Graph gives no code of its own."""
        message = self.message.casefold()
        return any(text.casefold() in message for text in texts)


def refusal(response: httpx.Response, trace: RequestTrace) -> Refusal:
    """An answer that is no success.

    :param trace: of its request; gets Graph's code, and ids that stand only in the body.
    """
    body = json_of(response.content)
    error = _mapping(body, "error")
    # Graph spells it innerError, innererror and InnerError.
    inner = next((_mapping(error, name) for name in error if name.lower() == "innererror"), {})
    details = error.get("details")
    code = _text(error, "code")
    headers = response.headers
    return Refusal(
        response.status_code,
        code,
        _text(error, "message"),
        tuple(
            (_text(item, "code"), _text(item, "target"))
            for item in (details if isinstance(details, list) else ())
            if isinstance(item, Mapping)
        ),
        retry_after(headers.get("retry-after")),
        replace(
            trace,
            service_code=code or None,
            request_id=trace.request_id or _text(inner, "request-id") or None,
            correlation_id=headers.get("client-request-id")
            or _text(inner, "client-request-id")
            or trace.correlation_id,
        ),
        headers.get("content-type", ""),
    )


def _mapping(body: object, name: str) -> Mapping[str, Any]:
    value = body.get(name) if isinstance(body, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    return value if isinstance(value, str) else ""
