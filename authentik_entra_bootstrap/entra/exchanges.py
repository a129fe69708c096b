"""What the token service answered, noted beside azure-identity, whose exceptions keep only a text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from authentik_entra_bootstrap.entra.network import Broken
from authentik_entra_bootstrap.errors import RequestTrace
from authentik_entra_bootstrap.waiting import http_date, retry_after

LINK_LOCAL = "169.254.169.254"
"""The instance metadata service; never behind a proxy."""


@dataclass(frozen=True)
class Exchange:
    """One request that azure-identity made, and its outcome. Holds neither bodies nor credentials."""

    method: str
    host: str
    path: str
    status: int | None = None
    readable: bool = False
    """Whether the answer was a JSON object."""
    error: str = ""
    """OAuth's error code."""
    numbers: tuple[int, ...] = ()
    """The numbers behind AADSTS."""
    text: str = ""
    """First line of the error description."""
    request_id: str | None = None
    correlation_id: str | None = None
    retry_after: float | None = None
    content_type: str = ""
    date: datetime | None = None
    """The service's own time, from the answer's ``Date``."""
    usable: bool = True
    """False for a success that is no JSON object, or no token where one was asked for."""
    broken: Broken | None = None

    @property
    def failed(self) -> bool:
        """Whether it gave no token and no metadata."""
        return self.broken is not None or (self.status or 0) >= 300

    @property
    def trace(self) -> RequestTrace:
        """For the error."""
        number = f"AADSTS{self.numbers[0]}" if self.numbers else (self.error or None)
        return RequestTrace(
            "entra", self.method, self.path, self.status, number, self.request_id, self.correlation_id
        )


def noted(
    method: str, host: str, path: str, status: int, headers: Mapping[str, str], content: bytes
) -> Exchange:
    """An answered request.

    :param headers: in any case.
    :param content: the body; of a success nothing is kept.
    """
    names = {name.lower(): value for name, value in headers.items()}
    answer = _json(content)
    body = answer if status >= 400 else {}
    usable = answer is not None and ("access_token" in answer or not path.endswith("/oauth2/v2.0/token"))
    text = body.get("error_description") if body else ""
    numbers = body.get("error_codes") if body else ()
    return Exchange(
        method,
        host,
        path,
        status,
        readable=body is not None,
        error=str(body.get("error") or "") if body else "",
        numbers=tuple(item for item in numbers if isinstance(item, int)) if isinstance(numbers, list) else (),
        text=str(text or "").partition("\n")[0].strip(),
        request_id=(body or {}).get("trace_id") or names.get("x-ms-request-id"),
        correlation_id=(body or {}).get("correlation_id") or names.get("client-request-id"),
        retry_after=retry_after(names.get("retry-after")),
        content_type=names.get("content-type", ""),
        date=http_date(names.get("date")),
        usable=usable,
    )


def _json(content: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(content.decode("utf-8-sig"))
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
