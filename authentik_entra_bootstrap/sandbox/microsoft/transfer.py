"""How Microsoft Graph sends a body: in chunks, and compressed for those who take it."""

from __future__ import annotations

import gzip
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
LEVEL = 1
"""Of compression: here the processor is scarcer than the line."""


class Transfer:
    """ASGI middleware for an application that sends each body as one message."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Handle one request."""
        compress = accepts_gzip(Headers(scope=scope).get("accept-encoding", ""))
        start: Message = {}

        async def pass_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
                return
            body = message.get("body", b"")
            if body:
                headers = MutableHeaders(scope=start)
                del headers["content-length"]  # the server sends in chunks what has no length
                if compress:
                    headers["Content-Encoding"] = "gzip"
                    body = gzip.compress(body, LEVEL, mtime=0)
            await send(start)
            await send({**message, "body": body})

        await self._app(scope, receive, pass_on)


def accepts_gzip(accepted: str) -> bool:
    """Whether an ``Accept-Encoding`` header takes gzip; a quality of zero refuses it."""
    for item in accepted.lower().split(","):
        name, _, options = item.partition(";")
        if name.strip() in ("gzip", "*"):
            return options.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
