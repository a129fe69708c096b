"""What authentik's refusals and broken connections mean: every one becomes one of our errors.

Texts are looked at only where authentik's statuses do not tell two things apart (403). Sources: recorded
exchanges of 2025.12 and 2026.5.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

import urllib3.exceptions

from authentik_entra_bootstrap.authentik.redaction import Redactor
from authentik_entra_bootstrap.authentik.requests import Call, Reply
from authentik_entra_bootstrap.domain import Network
from authentik_entra_bootstrap.errors import (
    AdminActionRequired,
    AlreadyExists,
    BootstrapError,
    ConfigError,
    Denied,
    NotFound,
    ServiceUnavailable,
    Temporary,
    Throttled,
    UnexpectedAnswer,
    Unreachable,
)
from authentik_entra_bootstrap.support.addresses import (
    Proxy,
    host_and_port,
    proxy_for,
    proxy_refusal,
    status_from_proxy,
)
from authentik_entra_bootstrap.support.trust import causes as inside
from authentik_entra_bootstrap.support.waiting import is_transient, retry_after

UNEXPECTED = "authentik-unexpected-answer"
SERVER_ERROR = "authentik-server-error"
NOT_AT_URL = "authentik-not-found-at-url"
HOST_NOT_FOUND = "authentik-host-not-found"
VALIDATION = "authentik-validation-failed"

_LICENCE_TEXT = "enterprise is required"
_TOKEN_TEXTS = (
    "token invalid",
    "credentials were not provided",
    "authentication type",
    "inactive",
    "invalid token",
)
_UNIQUE_TEXT = "already exists"
_HARMLESS_SECRET_TEXTS = (
    "This field is required.",
    "This field may not be blank.",
    "This field may not be null.",
    "Null characters are not allowed.",
    "Not a valid string.",
    "Provide either the credential or its secret reference.",
)


def refusal(reply: Reply, permission: str, redactor: Redactor) -> BootstrapError:
    """The error that an answer outside 2xx stands for.

    :param permission: the permission the call needs, named when it is missing.
    :param redactor: knows the secrets that the answer might echo.
    """
    status = reply.status
    if 300 <= status < 400:
        return _redirect(reply)
    if status == 407:
        return proxy_refusal(407, "authentik", trace=reply.trace())
    if status == 401:
        return _token_invalid(reply)
    if status == 403:
        return _forbidden(reply, permission)
    if status == 404:
        return _missing(reply)
    if status == 400:
        try:
            return _validation(reply, redactor)
        except RecursionError:
            return unexpected(reply, "status 400 with a body that is nested too deeply")
    if status == 429:
        return _with_retry_after(
            Throttled(
                "authentik-throttled",
                "authentik asked to slow down.",
                "Run the same command again later.",
                reply.trace(),
            ),
            reply,
        )
    if is_server_error(reply):
        return _with_retry_after(
            ServiceUnavailable(
                SERVER_ERROR,
                f"authentik failed to handle the request (status {status}).",
                "Look for the request id in authentik's log; run the same command again.",
                reply.trace(),
            ),
            reply,
        )
    return unexpected(reply, f"status {status}{_detail(reply, redactor)}")


def is_server_error(reply: Reply) -> bool:
    """Whether authentik crashed: 5xx, or the empty ``text/html`` 405 that an unhandled exception becomes."""
    if reply.status >= 500 or reply.status in {408, 425}:
        return True
    return reply.status == 405 and not reply.data.strip() and not reply.is_json


def unexpected(reply: Reply, why: str) -> UnexpectedAnswer:
    """An answer that authentik's documentation does not mention."""
    return UnexpectedAnswer(
        UNEXPECTED,
        f"authentik answered in an unexpected way: {why}.",
        "Report this with the request id.",
        reply.trace(),
    )


def not_an_api(reply: Reply) -> ConfigError:
    """A web page where the API should answer: a login page in front of authentik, or another server."""
    return ConfigError(
        NOT_AT_URL,
        f"A web page answered {reply.path} instead of authentik's API (status {reply.status}).",
        "Check the authentik address, its sub-path, and that no login page or proxy stands in front of /api/v3.",
        reply.trace(),
    )


def _redirect(reply: Reply) -> ConfigError:
    where = "another path"
    with contextlib.suppress(ValueError):
        target = urlsplit(reply.headers.get("location", ""))
        where = f"{target.scheme}://{target.hostname}" if target.scheme and target.hostname else where
    return ConfigError(
        NOT_AT_URL,
        f"The authentik address answers with a redirect to {where}; the API token is not sent along.",
        "Use the address that it redirects to, if that is authentik, and check for a login page in front of it.",
        reply.trace(),
    )


def _token_invalid(reply: Reply) -> Denied:
    return Denied(
        "authentik-token-invalid",
        "authentik does not accept the API token: it is wrong, expired, or not of the intent API.",
        "Create a token with the intent “API token” for the service account (app passwords do not work).",
        reply.trace(),
    )


def _forbidden(reply: Reply, permission: str) -> Denied:
    body = reply.json_or_none()
    if not isinstance(body, Mapping):
        return Denied(
            "authentik-refused-by-proxy",
            "Something in front of authentik refused the request (403 without authentik's answer).",
            "Allow this machine to reach /api/v3 in the proxy or firewall in front of authentik.",
            reply.trace(),
        )
    text = str(body.get("detail", "")).lower()
    if any(sign in text for sign in _TOKEN_TEXTS):
        return _token_invalid(reply)
    missing = permission or "a permission"
    return Denied(
        "authentik-permission-missing",
        f"The authentik token may not {reply.method} {reply.path}: {missing} is missing.",
        f"Give {missing} to a role of the token's user.",
        reply.trace(),
        {"missing_permission": permission} if permission else {},
    )


def _missing(reply: Reply) -> BootstrapError:
    if not isinstance(reply.json_or_none(), Mapping):
        return not_an_api(reply)
    return NotFound("authentik-not-found", f"authentik knows no {reply.path}.", "", reply.trace())


def _validation(reply: Reply, redactor: Redactor) -> BootstrapError:
    body = reply.json_or_none()
    if not isinstance(body, Mapping):
        return unexpected(reply, "status 400 without fields")
    messages = list(_messages(body, redactor))
    joined = "; ".join(f"{field}: {shown}" for field, _, shown in messages)
    if any(_LICENCE_TEXT in text.lower() for _, text, _ in messages):
        return AdminActionRequired(
            "licence-required",
            "authentik has no valid enterprise licence; creating and saving the Microsoft Entra provider needs one.",
            "Install or renew the licence in authentik (Admin interface, Enterprise, Licenses).",
            reply.trace(),
        )
    for field, text, shown in messages:
        if _UNIQUE_TEXT in text.lower():
            return AlreadyExists(
                f"authentik-{field.replace('_', '-')}-taken",
                f"authentik has an object with that {field} already: {shown}",
                "Choose another, or adopt what exists.",
                reply.trace(),
                {"field": field},
            )
    return UnexpectedAnswer(
        VALIDATION,
        f"authentik refused {reply.method} {reply.path}: {joined or 'no reason given'}",
        "Check the settings named.",
        reply.trace(),
        {"fields": ", ".join(field for field, _, _ in messages)},
    )


def _messages(
    body: Mapping[object, object], redactor: Redactor, prefix: str = ""
) -> Iterator[tuple[str, str, str]]:
    """Field, message as answered (for telling apart only), message to show."""
    for key, value in body.items():
        field = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _messages(value, redactor, f"{field}.")
            continue
        for entry in value if isinstance(value, list) else [value]:
            text = entry if isinstance(entry, str) else json.dumps(entry)
            # authentik may echo what it refuses, also shortened: known texts only for fields that hold secrets.
            hide = Redactor.is_secret_name(field) and text not in _HARMLESS_SECRET_TEXTS
            shown = "refused (authentik's message is left out: it may repeat the secret)" if hide else text
            yield field, text, redactor.text(shown)


def _detail(reply: Reply, redactor: Redactor) -> str:
    body = reply.json_or_none()
    detail = body.get("detail") if isinstance(body, Mapping) else None
    return f", {redactor.text(detail)[:200]}" if isinstance(detail, str) and detail else ""


def _with_retry_after(error: Temporary, reply: Reply) -> Temporary:
    error.retry_after = retry_after(reply.headers.get("retry-after"))
    return error


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
    proxy = proxy_for(base, network.proxy, os.environ)
    if status := status_from_proxy(causes):
        return proxy_refusal(status, where, proxy, call.trace())
    if _any(causes, urllib3.exceptions.HTTPError, OSError):
        return _unreachable(causes, call, where, proxy)
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


def too_slow(call: Call, base: str, seconds: float, *, connected: bool) -> Unreachable:
    """The error of a request that was given up.

    :param seconds: how long it was waited for.
    :param connected: whether a connection stood; where none did, nothing was sent.
    """
    where = host_and_port(base)
    if connected:
        text = f"authentik at {where} did not answer completely within {seconds:.0f} s."
        return _error("authentik-timeout", text, call, sent=True)
    text = f"authentik at {where} cannot be connected to within {seconds:.0f} s."
    return _error("authentik-unreachable", text, call, sent=False)


def _unreachable(causes: list[BaseException], call: Call, where: str, proxy: Proxy | None) -> Unreachable:
    exceptions = urllib3.exceptions
    if _any(causes, exceptions.ProxyError):
        who = f"The proxy {proxy.where}" if proxy else "The proxy"
        text = f"{who} cannot be connected to, so authentik at {where} was not asked."
        return _error("authentik-unreachable", text, call, sent=False)
    name = next((cause for cause in causes if isinstance(cause, socket.gaierror)), None)
    if name is not None or _any(causes, exceptions.NameResolutionError):
        again = name is not None and name.errno == socket.EAI_AGAIN
        code = "authentik-unreachable" if again else HOST_NOT_FOUND
        return _error(code, f"The host name of authentik at {where} cannot be resolved.", call, sent=False)
    if _any(causes, ConnectionRefusedError):
        return _error("authentik-unreachable", f"authentik at {where} refuses connections.", call, sent=False)
    if _any(causes, exceptions.ConnectTimeoutError, exceptions.NewConnectionError):
        text = f"authentik at {where} cannot be connected to."
        return _error("authentik-unreachable", text, call, sent=False)
    if _any(causes, exceptions.ReadTimeoutError, TimeoutError):
        return _error("authentik-timeout", f"authentik at {where} did not answer in time.", call, sent=True)
    return _error(
        "authentik-connection-lost", f"The connection to authentik at {where} broke.", call, sent=True
    )


def _any(causes: list[BaseException], *kinds: type[BaseException]) -> bool:
    return any(isinstance(cause, kinds) for cause in causes)


def _error(code: str, message: str, call: Call, *, sent: bool) -> Unreachable:
    remedy = "Check the authentik address, the network and the proxy; then run the same command again."
    error = Unreachable(code, message, remedy, call.trace())
    error.sent = sent
    return error


def may_have_happened(error: BootstrapError) -> bool:
    """Whether the write that failed so may have been carried out."""
    if isinstance(error, Throttled):
        return False
    if isinstance(error, Unreachable):
        return error.sent
    if isinstance(error, ServiceUnavailable):
        return True
    status = error.trace.status if error.trace else None
    return isinstance(error, UnexpectedAnswer) and status is not None and 200 <= status < 300
