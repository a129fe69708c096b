"""Why a request to Microsoft got no answer, for both HTTP stacks underneath: requests for the token service, httpx for Graph."""

from __future__ import annotations

import os
import socket
import zlib
from dataclasses import dataclass

from authentik_entra_bootstrap.domain import Network
from authentik_entra_bootstrap.entra.codes import fault
from authentik_entra_bootstrap.errors import BootstrapError, RequestTrace
from authentik_entra_bootstrap.support.addresses import (
    Proxy,
    host_and_port,
    proxy_for,
    proxy_refusal,
    status_from_proxy,
)
from authentik_entra_bootstrap.support.trust import causes, not_trusted, untrusted
from authentik_entra_bootstrap.support.waiting import is_transient


@dataclass(frozen=True)
class Broken:
    """Why a request got no answer.

    :param kind: ``tls``, ``dns``, ``proxy``, ``connect`` (never sent), ``lost`` (it may have been carried out) or
        ``unusable`` (an answer that is too long).
    :param reason: short, for people, without secrets.
    :param status: what the proxy answered, and which proxy that was, where it is known.
    """

    kind: str
    reason: str
    status: int = 0
    proxy: Proxy | None = None

    def fault(self, host: str, trace: RequestTrace) -> BootstrapError:
        """The error for people. ``sent`` is false unless the request may have arrived."""
        where = host_and_port(f"https://{host}")
        if self.kind == "unusable":
            return fault("unexpected-answer", trace=trace, service=where, reason=self.reason)
        if self.kind == "tls":
            return not_trusted(where, self.reason, trace)
        if self.kind == "proxy":
            return proxy_refusal(self.status, where, self.proxy, trace)
        code = {"dns": "host-not-found", "connect": "entra-unreachable"}.get(self.kind, "entra-reply-lost")
        error = fault(code, trace=trace, host=where, reason=self.reason, facts={"host": host})
        if hasattr(error, "sent"):
            error.sent = self.kind == "lost"
        return error


def broken(error: BaseException, *, sent: bool, url: str = "", network: Network | None = None) -> Broken:
    """Classify a failure of either stack by the exceptions inside it; by a text only where a proxy refused.

    :param sent: whether the stack says that the request may have left this machine.
    :param url: what was asked, and by which settings, to name the proxy.
    """
    inside = list(causes(error))
    if reason := untrusted(error):
        return Broken("tls", reason)
    for cause in inside:
        # "Try again" of a resolver is an ordinary lost connection; every other answer is final.
        if isinstance(cause, socket.gaierror) and cause.errno != socket.EAI_AGAIN:
            return Broken("dns", cause.strerror or "name resolution failed")
    if not sent and (status := status_from_proxy(inside)):
        proxy = proxy_for(url, network.proxy, os.environ) if network else None
        return Broken("proxy", f"the proxy answers {status}", status, proxy)
    if sent:
        return Broken("lost", _short(inside))
    return Broken("connect", _short(inside))


def unpacked(content: bytes, encoding: str, limit: int) -> bytes:
    """The body of an answer.

    :param content: as it was received, at most one byte more than the limit.
    :param encoding: its ``Content-Encoding``.
    :param limit: bytes; no more is unpacked, because a little can become very much.
    :raises ValueError: it is longer, or cannot be unpacked.
    """
    kind = encoding.strip().lower() or "identity"
    if kind not in {"identity", "gzip"}:
        raise ValueError(f"an answer in the encoding {kind[:40]}")
    try:
        whole = zlib.decompressobj(wbits=31).decompress(content, limit + 1) if kind == "gzip" else content
    except zlib.error:
        raise ValueError("an answer that cannot be unpacked") from None
    if max(len(content), len(whole)) > limit:
        raise ValueError(f"an answer of more than {limit >> 20} MB")
    return whole


def worth_another_try(error: BaseException) -> bool:
    """Whether a repeatable request may simply be sent again: transient, and not a misspelt host."""
    return is_transient(error) and not (isinstance(error, BootstrapError) and error.code == "host-not-found")


def _short(inside: list[BaseException]) -> str:
    # Only the operating system's own words are shown: library texts may quote addresses with credentials.
    for cause in inside:
        if isinstance(cause, TimeoutError):
            return "timed out"
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror.lower()
    name = type(inside[0]).__name__
    return "timed out" if "Timeout" in name else name
