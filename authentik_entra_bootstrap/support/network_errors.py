"""Why a connection failed, for both services, brokers and leases: a certificate that is not trusted, a proxy that refuses. Pure."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable

from authentik_entra_bootstrap.errors import BootstrapError, ConfigError, Denied, RequestTrace, Unreachable
from authentik_entra_bootstrap.support.network import Proxy

_LIBPQ = re.compile(r"certificate verify failed|server certificate for \"[^\"]*\" does not match host name")
"""libpq has no error code for it."""
_TUNNEL = re.compile(r"(?:Tunnel connection failed: )?([1-5]\d\d)\b")


def untrusted(error: BaseException) -> str | None:
    """Why a certificate was not trusted, if that is what happened.

    :param error: any library's exception; looked through to its causes.
    """
    for item in causes(error):
        if isinstance(item, ssl.SSLCertVerificationError):
            return item.verify_message or "certificate verify failed"
        if type(item).__module__.startswith("psycopg") and (match := _LIBPQ.search(str(item))):
            return match[0]
    return None


def not_trusted(where: str, reason: str, trace: RequestTrace | None = None) -> ConfigError:
    """The error of a server whose certificate is not trusted.

    :param where: ``host:port``.
    :param reason: the library's words for it.
    """
    return ConfigError(
        "tls-not-trusted",
        f"The certificate of {where} is not trusted: {reason}.",
        "If a proxy or a private authority issued it, point the CA setting (ca_file) at the issuer's PEM file.",
        trace,
        {"host": where},
    )


def causes(error: BaseException) -> Iterable[BaseException]:
    """The exception and everything inside it: causes, arguments (urllib3), ``reason``, ``inner_exception``."""
    queue: list[object] = [error]
    seen: set[int] = set()
    while queue:
        current = queue.pop(0)
        if not isinstance(current, BaseException) or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        queue += [current.__cause__, current.__context__, *current.args]
        queue += [getattr(current, name, None) for name in ("reason", "inner_exception", "original_error")]


def status_from_proxy(causes: Iterable[BaseException]) -> int | None:
    """The status with which a proxy refused to connect, if that is what happened.

    Neither library keeps it but in a text: httpx's ``ProxyError("407 …")``, and the standard library's
    ``OSError("Tunnel connection failed: 407 …")`` inside urllib3's ``ProxyError``.

    :param causes: an exception of httpx, urllib3 or requests and everything inside it.
    """
    texts = [
        str(cause.args[0])
        for cause in causes
        if cause.args and (type(cause).__name__ == "ProxyError" or type(cause) is OSError)
    ]
    found = next((match for text in texts if (match := _TUNNEL.match(text))), None)
    return int(found[1]) if found else None


def proxy_refusal(
    status: int, target: str, proxy: Proxy | None = None, trace: RequestTrace | None = None
) -> BootstrapError:
    """The error of a proxy that does not connect.

    :param status: what it answered: 407 and other 4xx are final, the rest may pass.
    :param target: ``host:port`` that was to be reached.
    :param proxy: where it is known.
    """
    who = f"The proxy {proxy.where}" if proxy else "The proxy"
    if status == 407:
        lacks = (
            "does not accept the user name and password"
            if proxy and proxy.headers
            else "wants a user name and password"
        )
        return Denied(
            "proxy-authentication-required",
            f"{who} {lacks}, so it does not connect to {target} (status 407).",
            "Put them into the environment instead of the setting proxy: HTTPS_PROXY=http://USER:PASSWORD@host:port, "
            "with special characters percent-encoded.",
            trace,
        )
    if 400 <= status < 500:
        return Denied(
            "proxy-refused",
            f"{who} refuses to connect to {target} (status {status}).",
            f"Let the proxy allow {target}, or name its host in NO_PROXY where it can be reached directly.",
            trace,
        )
    error = Unreachable(
        "proxy-unavailable",
        f"{who} cannot connect to {target} (status {status}).",
        "Check the proxy and its own way to that host; then run the same command again.",
        trace,
    )
    error.sent = False
    return error
