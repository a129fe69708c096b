"""The worker's way to Microsoft: one sign-in per task, then Microsoft Graph; and how a sync can end.

The names of the errors and their meaning are authentik's.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx

from authentik_entra_bootstrap.sandbox.authentik.state import Record

SCOPE = "https://graph.microsoft.com/.default"
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_RETRIED = frozenset({429, 503, 504})
_RETRIES = 3


class SyncError(Exception):
    """Base of everything a sync raises on purpose."""


class TransientSyncError(SyncError):
    """Microsoft could not be reached; authentik ends such a task quietly."""


class FaultError(Exception):
    """A mistake in authentik's own code, in the words of the Python error that it is there."""


class BadRequestSyncError(SyncError):
    """authentik itself refuses one object; the others continue."""


class SkipObjectError(SyncError):
    """A mapping asked to leave this object out (``raise SkipObject``)."""


class DryRunRejectedError(SyncError):
    """A write that authentik's own dry run held back.

    :ivar url: below ``/v1.0``. :ivar method: HTTP method. :ivar body: JSON text of the request.
    """

    def __init__(self, url: str, method: str, body: str) -> None:
        super().__init__()
        self.url = url
        self.method = method
        self.body = body


class StopSyncError(SyncError):
    """Microsoft refused a sign-in or a request, or a mapping fails: what is left of the page is dropped.

    :param cause_text: ``repr`` of what went wrong, as authentik shows it in the task's error line.
    :param detail: the same for people.
    :param obj: the object that was being written, if any.
    """

    def __init__(self, cause_text: str, detail: str, obj: str | None = None) -> None:
        super().__init__(cause_text)
        self.cause_text = cause_text
        self.detail_text = detail
        self.obj = obj

    def __str__(self) -> str:
        # authentik's exception never calls its base's constructor: its text is the tuple of its arguments.
        return f"({self.cause_text}, None, None)"

    def detail(self) -> str:
        """Human readable, as in "Stopping sync due to error: …"."""
        return f"Error {self.detail_text}" + (f", caused by {self.obj}" if self.obj else "")


@dataclass(frozen=True)
class SignIn:
    """One token request of the worker.

    :ivar moment: on the sandbox's clock, aware UTC.
    :ivar provider: primary key of the provider whose secret was used.
    :ivar ok: whether a token came back.
    :ivar error_code: such as ``AADSTS7000215``; empty when it worked, ``unreachable`` without an answer.
    """

    moment: datetime
    provider: int
    ok: bool
    error_code: str = ""


@dataclass
class Transport:
    """What the sessions of one worker share.

    :param http: made in the running loop, trusting the sandbox's CA.
    :param base: address of the tenant: its token service, and Microsoft Graph below ``/v1.0``.
    :param note: told about every sign-in.
    :param now: the sandbox's moment.
    :param pause: real seconds before a throttled request is repeated (the SDK would wait for Retry-After).
    """

    http: httpx.AsyncClient
    base: str
    note: Callable[[SignIn], None]
    now: Callable[[], datetime]
    unreachable: Callable[[], bool] = lambda: False
    pause: float = 0.05


class GraphSession:
    """Microsoft Graph as one task uses it. The token is fetched at the first request.

    :param provider: the record whose tenant, client and secret are used.
    :param dry_run: hold back every write (authentik's own dry run).
    """

    def __init__(self, transport: Transport, provider: Record, *, dry_run: bool) -> None:
        self._transport = transport
        self._provider = provider
        self._dry_run = dry_run
        self._token: str | None = None

    async def pages(self, path: str, params: dict[str, str] | None = None) -> AsyncIterator[dict[str, Any]]:
        """Every object of a collection, following the next links.

        :raises SyncError: see :meth:`request`.
        """
        link: str | None = path
        while link:
            page = await self.request("GET", link, params=params) or {}
            for item in page.get("value", ()):
                yield item
            link, params = page.get("@odata.nextLink"), None

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
    ) -> dict[str, Any] | None:
        """One call; the reply's object, or ``None`` when it is empty.

        :param path: below ``/v1.0``, or an absolute next link.

        :raises TransientSyncError: no answer.
        :raises DryRunRejectedError: a write during a dry run; nothing was sent.
        :raises FaultError: a write without a body during a dry run, which authentik does not foresee.
        :raises StopSyncError: every refusal, of the sign-in too: authentik makes no difference between them.
        """
        if self._dry_run and method not in _READING:
            if body is None:
                raise FaultError("'NoneType' object has no attribute 'decode'")
            raise DryRunRejectedError(path, method, json.dumps(body))
        url = path if path.startswith("http") else f"{self._transport.base}/v1.0{path}"
        if self._token is None:
            self._token = await self._sign_in()
        headers = {"authorization": f"Bearer {self._token}", "accept": "application/json"}
        for attempt in range(_RETRIES + 1):
            response = await self._send(method, url, params=params, json=body, headers=headers)
            if response.status_code not in _RETRIED or attempt == _RETRIES:
                break
            await asyncio.sleep(self._transport.pause)
        if response.is_success:
            result: dict[str, Any] | None = response.json() if response.content else None
            return result
        raise _refusal(response)

    async def _send(self, method: str, url: str, **options: Any) -> httpx.Response:
        if self._transport.unreachable():
            raise TransientSyncError("Failed to sent request")
        try:
            return await self._transport.http.request(
                method, url, extensions={"trace": _Handshake()}, **options
            )
        except httpx.TransportError as exc:
            raise TransientSyncError("Failed to sent request") from exc

    async def _sign_in(self) -> str:
        who = self._provider
        url = f"{self._transport.base}/{who['tenant_id']}/oauth2/v2.0/token"
        form = {
            "client_id": who["client_id"],
            "client_secret": str(who["client_secret"]),
            "grant_type": "client_credentials",
            "scope": SCOPE,
        }
        try:
            response = await self._send("POST", url, data=form)
        except TransientSyncError:
            self._note(ok=False, error_code="unreachable")
            raise
        reply = _object(response)
        if response.is_success and "access_token" in reply:
            self._note(ok=True)
            return str(reply["access_token"])
        codes = reply.get("error_codes") or ["?"]
        self._note(ok=False, error_code=f"AADSTS{codes[0]}" if codes[0] != "?" else str(response.status_code))
        text = f"Microsoft Entra ID error '({reply.get('error')}) {reply.get('error_description')}'"
        # azure-identity shows the description on one line of the task's log.
        text = text.replace("\r\n", " ")
        raise StopSyncError(f"ClientAuthenticationError({text!r})", text)

    def _note(self, *, ok: bool, error_code: str = "") -> None:
        self._transport.note(SignIn(self._transport.now(), self._provider["pk"], ok, error_code))


class _Handshake:
    """Closes a connection whose TLS handshake is cancelled, as stopping the worker does; httpcore 1.0 leaves it open."""

    def __init__(self) -> None:
        self._stream: Any = None

    async def __call__(self, event: str, info: dict[str, Any]) -> None:
        """httpcore's extension ``trace``."""
        if event.endswith("connect_tcp.complete"):
            self._stream = info["return_value"]
        elif event.endswith("start_tls.failed") and isinstance(info["exception"], asyncio.CancelledError):
            await self._stream.aclose()


def _object(response: httpx.Response) -> dict[str, Any]:
    try:
        value = response.json()
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _refusal(response: httpx.Response) -> Exception:
    error = _object(response).get("error")
    if not isinstance(error, dict):
        return RuntimeError(f"APIError Code: {response.status_code}")
    message = str(error.get("message", ""))
    shown = f"APIError Code: {response.status_code} message: {message} error: {error.get('code')}"
    return StopSyncError(f"ODataError({shown!r})", f"{message} (status {response.status_code})")
