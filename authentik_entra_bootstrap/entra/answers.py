"""Microsoft Graph's answers: the response itself, and its errors as plain data.

Heavy (httpx, kiota): imported when Graph is asked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
from kiota_abstractions.api_error import APIError
from kiota_abstractions.response_handler import ResponseHandler
from kiota_serialization_json.json_parse_node_factory import JsonParseNodeFactory

from authentik_entra_bootstrap.errors import RequestTrace
from authentik_entra_bootstrap.waiting import retry_after


class Received(ResponseHandler):
    """Takes a request's answer from kiota before it is turned into models.

    The first model of an answer costs kiota 1.2 s of imports, and models drop what they do not know. Errors
    are still raised as the SDK's ``ODataError``.
    """

    def __init__(self) -> None:
        self.response: httpx.Response | None = None

    async def handle_response_async(self, response: Any, error_map: Any) -> Any:
        """Keep the response; raise the SDK's error for everything that is no success."""
        self.response = response
        if not response.is_success:
            raise _api_error(response, (error_map or {}).get("XXX"))

    @property
    def date(self) -> datetime | None:
        """The answer's ``Date``."""
        header = self.response.headers.get("date") if self.response is not None else None
        try:
            return parsedate_to_datetime(header) if header else None
        except ValueError:
            return None

    @property
    def body(self) -> dict[str, Any] | None:
        """The JSON object of a success; ``None`` where the answer has no body.

        :raises ValueError: the body is something else, e.g. a proxy's page.
        """
        if self.response is None or not self.response.content:
            return None
        value = json.loads(self.response.content)
        if not isinstance(value, dict):
            raise ValueError("no JSON object")  # noqa: TRY004  # one kind of error for every unusable body
        return value


def _api_error(response: httpx.Response, model: Any) -> APIError:
    error: object = None
    if model is not None:
        try:
            node = JsonParseNodeFactory().get_root_parse_node("application/json", response.content)
            error = node.get_object_value(model)
        except Exception:  # noqa: BLE001  # HTML, nothing at all, or JSON of another shape
            error = None
    if not isinstance(error, APIError):
        error = APIError("no error of Microsoft Graph")
    error.response_status_code = response.status_code
    error.response_headers = dict(response.headers)
    return error


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


def refusal(error: APIError, trace: RequestTrace) -> Refusal:
    """The SDK's error as plain data.

    :param trace: method and path of the request.
    """
    headers = {name.lower(): value for name, value in (error.response_headers or {}).items()}
    main = getattr(error, "error", None)
    inner = _inner(main)
    code = getattr(main, "code", None) or ""
    status = error.response_status_code or 0
    return Refusal(
        status,
        code,
        getattr(main, "message", None) or "",
        tuple((item.code or "", item.target or "") for item in getattr(main, "details", None) or ()),
        retry_after(headers.get("retry-after")),
        RequestTrace(
            "graph",
            trace.method,
            trace.path,
            status,
            code or None,
            headers.get("request-id") or inner.get("request-id"),
            headers.get("client-request-id") or inner.get("client-request-id") or trace.correlation_id,
        ),
        headers.get("content-type", ""),
    )


def _inner(main: Any) -> Mapping[str, str]:
    """Ids of ``innerError``, which Graph also spells ``innererror`` and ``InnerError``."""
    known = getattr(main, "inner_error", None)
    if known is not None:
        return {
            name: value
            for name, value in (
                ("request-id", known.request_id),
                ("client-request-id", known.client_request_id),
            )
            if value
        }
    for name, value in (getattr(main, "additional_data", None) or {}).items():
        if name.lower() == "innererror" and isinstance(value, dict):
            return {key.lower(): str(item) for key, item in value.items() if item}
    return {}
