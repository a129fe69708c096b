"""Each request to Microsoft Graph waits for the budget, and each answer's word on the limits is heeded.

Above the batches: a part of a batch costs what it would cost alone, and its answer carries headers of its own.

Source: Microsoft Graph, "Throttling limits", identity and access: response headers.
"""

from __future__ import annotations

import hashlib
from urllib.parse import urlsplit

import httpx

from authentik_entra_bootstrap.budget import Busy, Gate
from authentik_entra_bootstrap.entra.claims import read_claims
from authentik_entra_bootstrap.entra.codes import fault
from authentik_entra_bootstrap.errors import BootstrapError, RequestTrace, Temporary
from authentik_entra_bootstrap.pacing import Cost, Payer, cost_of
from authentik_entra_bootstrap.waiting import retry_after

PERCENTAGE = "x-ms-throttle-limit-percentage"
_UNKNOWN = Payer("unknown", "unknown")


class Paced(httpx.AsyncBaseTransport):
    """Sends by another transport what the budget lets through.

    Who signs in first is the operator, as whom every worker signs in. Other applications' requests are a few reads of
    their own limits, in which no other process has a part.

    :param inner: carries the requests; closed with this.
    :param base_url: of Microsoft Graph, with the version, without a slash at the end.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport, base_url: str, gate: Gate) -> None:
        self._inner = inner
        self._base = f"{base_url}/"
        self._path = urlsplit(base_url).path
        self._gate = gate
        self._payers: dict[bytes, Payer] = {}
        self._operator: Payer | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request when it may be sent.

        :raises Throttled: ``entra-busy``: the first one of a run would have to wait for too long.
        """
        if not str(request.url).startswith(self._base):
            return await self._inner.handle_async_request(request)
        payer = self._payer(request.headers.get("authorization", ""))
        path, _, query = request.url.raw_path.decode("ascii").removeprefix(self._path).partition("?")
        delay = await self._held_back(payer, cost_of(request.method, path, query))
        if delay is not None:
            busy = fault(
                "entra-busy", trace=RequestTrace("graph", request.method, path), seconds=f"{delay:.0f}"
            )
            if isinstance(busy, Temporary):
                busy.retry_after = delay
            raise busy
        response = await self._inner.handle_async_request(request)
        refused = response.status_code == 429
        if refused or PERCENTAGE in response.headers:
            await self._gate.heed(
                payer,
                percentage=_number(response.headers.get(PERCENTAGE)),
                retry_after=(retry_after(response.headers.get("retry-after")) or 0.0) if refused else None,
            )
        return response

    async def aclose(self) -> None:
        """Close the transport below."""
        await self._inner.aclose()

    async def _held_back(self, payer: Payer, cost: Cost) -> float | None:
        """Wait for the budget; seconds, where it would be for too long."""
        try:
            await self._gate.admit(payer, cost, shared=payer == self._operator)
        except Busy as busy:
            return busy.delay
        return None

    def _payer(self, authorization: str) -> Payer:
        # The token itself is not kept.
        mark = hashlib.blake2b(authorization.encode(), digest_size=16).digest()
        if mark not in self._payers:
            try:
                claims = read_claims(authorization.removeprefix("Bearer "))
            except BootstrapError:
                return _UNKNOWN
            self._payers[mark] = Payer(claims.app_id, claims.tenant_id)
            self._operator = self._operator or self._payers[mark]
        return self._payers[mark]


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
