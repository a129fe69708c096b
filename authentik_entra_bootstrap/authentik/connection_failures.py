"""What a broken connection means: which cause, whether the request may have been carried out, what to do."""

from __future__ import annotations

import os
import socket
import ssl

import urllib3.exceptions

from authentik_entra_bootstrap.addresses import host_and_port, proxy_for, proxy_refusal, status_from_proxy
from authentik_entra_bootstrap.authentik.wire import Call
from authentik_entra_bootstrap.domain import Network
from authentik_entra_bootstrap.errors import BootstrapError, ConfigError, UnexpectedAnswer, Unreachable
from authentik_entra_bootstrap.trust import causes as inside
from authentik_entra_bootstrap.waiting import is_transient

HOST_NOT_FOUND = "authentik-host-not-found"


def broken(error: BaseException, call: Call, base: str, network: Network) -> BootstrapError:
    """The error that an exception of the HTTP library stands for. Its own text is never shown.

    :param error: what the library raised; looked through to its causes.
    :param call: the request that failed.
    :param base: what was asked, and by which settings, to name host and proxy.
    """
    causes = list(inside(error))
    where = host_and_port(base)
    tls = next((cause for cause in causes if isinstance(cause, ssl.SSLError)), None)
    if isinstance(tls, ssl.SSLCertVerificationError):
        return ConfigError(
            "authentik-certificate-not-trusted",
            f"authentik's TLS certificate is not trusted ({where}): {tls.verify_message or 'verification failed'}.",
            "Give the CA's certificate as ca_file, or use the host name the certificate is made for.",
            call.trace(),
        )
    if tls is not None and getattr(tls, "reason", None) in {"WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL"}:
        return ConfigError(
            "authentik-tls-failed",
            "The authentik address does not answer with TLS; something else listens there.",
            "Check the port and the scheme of the authentik address.",
            call.trace(),
        )
    if any(isinstance(cause, urllib3.exceptions.LocationParseError | UnicodeError) for cause in causes):
        return ConfigError(
            "authentik-url-invalid",
            "The authentik address is not usable: it cannot be parsed.",
            "Give the address that people open in the browser, e.g. https://authentik.example.com.",
            call.trace(),
        )
    if status := status_from_proxy(causes):
        return proxy_refusal(status, where, proxy_for(base, network.proxy, os.environ), call.trace())
    if isinstance(error, urllib3.exceptions.HTTPError | OSError):
        return _unreachable(causes, call)
    return UnexpectedAnswer(
        "authentik-client-failed",
        f"The request could not be made: the authentik client library raised {type(error).__name__}.",
        "Report this with the versions of authentik-client and urllib3.",
        call.trace(),
    )


def worth_repeating(error: BaseException) -> bool:
    """Whether a repeatable request may simply be sent again.

    A host name that does not exist is told at once: it is mistyped far more often than not yet there.
    """
    return is_transient(error) and not (isinstance(error, Unreachable) and error.code == HOST_NOT_FOUND)


def _unreachable(causes: list[BaseException], call: Call) -> Unreachable:
    remedy = "Check the authentik address, the network and the proxy; then run the same command again."
    name = next((cause for cause in causes if isinstance(cause, socket.gaierror)), None)
    if name is not None or _any(causes, urllib3.exceptions.NameResolutionError):
        again = name is not None and name.errno == socket.EAI_AGAIN
        code = "authentik-unreachable" if again else HOST_NOT_FOUND
        return _error(
            code, "The host name of the authentik address cannot be resolved.", remedy, call, sent=False
        )
    if _any(causes, urllib3.exceptions.ProxyError):
        return _error(
            "authentik-unreachable", "The proxy did not connect to authentik.", remedy, call, sent=False
        )
    if _any(causes, ConnectionRefusedError):
        return _error("authentik-unreachable", "authentik refuses connections.", remedy, call, sent=False)
    if _any(causes, urllib3.exceptions.ConnectTimeoutError):
        # NewConnectionError is one, too: no connection, so nothing was sent.
        return _error("authentik-unreachable", "authentik cannot be connected to.", remedy, call, sent=False)
    if _any(causes, urllib3.exceptions.NewConnectionError):
        return _error("authentik-unreachable", "authentik cannot be connected to.", remedy, call, sent=False)
    if _any(causes, urllib3.exceptions.ReadTimeoutError, TimeoutError):
        return _error("authentik-timeout", "authentik did not answer in time.", remedy, call, sent=True)
    return _error("authentik-connection-lost", "The connection to authentik broke.", remedy, call, sent=True)


def _any(causes: list[BaseException], *kinds: type[BaseException]) -> bool:
    return any(isinstance(cause, kinds) for cause in causes)


def _error(code: str, message: str, remedy: str, call: Call, *, sent: bool) -> Unreachable:
    error = Unreachable(code, message, remedy, call.trace())
    error.sent = sent
    return error
