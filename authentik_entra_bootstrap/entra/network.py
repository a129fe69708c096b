"""One setting for both HTTP stacks underneath: httpx, and requests where a person signs in."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from authentik_entra_bootstrap.domain import Network
from authentik_entra_bootstrap.entra.codes import fault
from authentik_entra_bootstrap.errors import BootstrapError, RequestTrace
from authentik_entra_bootstrap.trust import shared_context
from authentik_entra_bootstrap.waiting import is_transient

CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Followed for both stacks when no CA file is set: each library alone knows only some of them."""

_PROXY_VARIABLES = tuple(
    spelt for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy") for spelt in (name, name.upper())
)


def with_trust(network: Network, environ: Mapping[str, str] = os.environ) -> Network:
    """The settings with the PEM file that both stacks trust; ``None`` leaves certifi's, the default of both.

    :raises ConfigError: ``ca-file-unreadable``.
    """
    chosen = network.ca_file or next((environ[name] for name in CA_VARIABLES if environ.get(name)), None)
    if chosen is None:
        return network
    reason = ""
    try:
        # requests would name the missing file only in a long OSError, httpx in a bare FileNotFoundError.
        trusting(chosen)
    except ssl.SSLError as error:
        reason = f"no certificates in PEM form ({error.reason or 'unreadable'})"
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
    if reason:
        raise fault("ca-file-unreadable", ca_file=Path(chosen), reason=reason)
    return replace(network, ca_file=chosen)


def trusting(ca_file: str) -> ssl.SSLContext:
    """What trusts a PEM file, the same for every connection of this process until the file changes.

    Reading a bundle takes some 20 ms, and each sign-in opens connections of its own.

    :raises OSError: it cannot be read; ``ssl.SSLError``, which is one, where it holds no certificates.
    """
    return shared_context(_trusting, ca_file)


def _trusting(ca_file: str | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_file)


def proxy_for(url: str, network: Network) -> str | None:
    """The proxy for one address: the setting, else ``HTTPS_PROXY`` and ``NO_PROXY`` of the environment."""
    if network.proxy:
        return network.proxy
    parts = urlsplit(url)
    variables = tuple(os.environ.get(name) for name in _PROXY_VARIABLES)
    return _proxy_of_environment(parts.scheme, parts.hostname or "", variables)


@lru_cache(maxsize=64)
def _proxy_of_environment(scheme: str, host: str, _variables: tuple[str | None, ...]) -> str | None:
    # Every connection asks, and the library looks through the whole environment, twice.
    if proxy_bypass(host):
        return None
    proxies = getproxies()
    return proxies.get(scheme) or proxies.get("all")


@dataclass(frozen=True)
class Broken:
    """Why a request got no answer.

    :param kind: ``tls``, ``dns``, ``connect`` (never sent) or ``lost`` (it may have been carried out).
    :param reason: short, for people, without secrets.
    """

    kind: str
    reason: str

    def fault(self, host: str, trace: RequestTrace) -> BootstrapError:
        """The error for people. ``sent`` is false unless the request may have arrived."""
        code = {"tls": "tls-not-trusted", "dns": "host-not-found", "connect": "entra-unreachable"}.get(
            self.kind, "entra-reply-lost"
        )
        error = fault(code, trace=trace, host=host, reason=self.reason, facts={"host": host})
        if hasattr(error, "sent"):
            error.sent = self.kind == "lost"
        return error


def broken(error: BaseException, *, sent: bool) -> Broken:
    """Classify a failure of either stack by the exceptions inside it, never by their texts.

    :param sent: whether the stack says that the request may have left this machine.
    """
    inside = list(_inside(error))
    for cause in inside:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Broken("tls", cause.verify_message or "certificate verify failed")
    for cause in inside:
        # "Try again" of a resolver is an ordinary lost connection; every other answer is final.
        if isinstance(cause, socket.gaierror) and cause.errno != socket.EAI_AGAIN:
            return Broken("dns", cause.strerror or "name resolution failed")
    if sent:
        return Broken("lost", _short(inside))
    return Broken("connect", _short(inside))


def worth_another_try(error: BaseException) -> bool:
    """Whether a repeatable request may simply be sent again: transient, and not a misspelt host."""
    return is_transient(error) and not (isinstance(error, BootstrapError) and error.code == "host-not-found")


def _inside(error: BaseException) -> Iterator[BaseException]:
    """The error and everything it wraps: causes, arguments (urllib3), ``reason``, ``inner_exception``."""
    queue, seen = [error], set()
    while queue:
        current = queue.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        candidates = [
            current.__cause__,
            current.__context__,
            getattr(current, "reason", None),
            getattr(current, "inner_exception", None),
            *current.args,
        ]
        queue.extend(item for item in candidates if isinstance(item, BaseException))


def _short(inside: list[BaseException]) -> str:
    # Only the operating system's own words are shown: library texts may quote addresses with credentials.
    for cause in inside:
        if isinstance(cause, TimeoutError):
            return "timed out"
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror.lower()
    name = type(inside[0]).__name__
    return "timed out" if "Timeout" in name else name
