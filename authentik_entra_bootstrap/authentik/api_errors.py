"""What authentik's refusals and broken connections mean: every one becomes one of our errors.

Texts are looked at only where authentik's statuses do not tell two things apart (403, 400). Sources: recorded
exchanges of 2025.12 and 2026.5.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import ssl
from collections.abc import Awaitable, Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

from urllib3 import exceptions

from authentik_entra_bootstrap.authentik.requests import Call, Redactor, Reply, holds_secret
from authentik_entra_bootstrap.domain import Network
from authentik_entra_bootstrap.errors import (
    AdminActionRequired,
    AlreadyExists,
    BootstrapError,
    ConfigError,
    Denied,
    ErrorRow,
    NotFound,
    RequestTrace,
    ServiceUnavailable,
    Throttled,
    UnexpectedAnswer,
    Unreachable,
    error_of,
)
from authentik_entra_bootstrap.support.addresses import host_and_port, proxy_for
from authentik_entra_bootstrap.support.network import causes, proxy_refusal, status_from_proxy
from authentik_entra_bootstrap.support.waiting import retry_after

T = TypeVar("T")

_CHECK_NETWORK = "Check the authentik address, the network and the proxy; then run the same command again."
CODES: Mapping[str, ErrorRow] = {
    "authentik-token-invalid": ErrorRow(
        Denied,
        "authentik does not accept the API token: it is wrong, expired, or not of the intent API.",
        "Create a token with the intent “API token” for the service account (app passwords do not work).",
    ),
    "authentik-permission-missing": ErrorRow(
        Denied,
        "The authentik token may not {method} {path}: {permission} is missing.",
        "Give {permission} to a role of the token's user.",
    ),
    "authentik-refused-by-proxy": ErrorRow(
        Denied,
        "A proxy in front of authentik refused the request (403 without authentik's answer).",
        "Allow this machine to reach /api/v3 in the proxy or firewall in front of authentik.",
    ),
    "authentik-not-found": ErrorRow(NotFound, "authentik knows no {path}."),
    "authentik-not-found-at-url": ErrorRow(
        ConfigError,
        "{what}",
        "Check the authentik address, its sub-path, and that authentik answers at /api/v3, not a login page or proxy.",
    ),
    "licence-required": ErrorRow(
        AdminActionRequired,
        "authentik has no valid enterprise licence; creating and saving the Microsoft Entra provider needs one.",
        "Install or renew the licence in authentik (Admin interface, Enterprise, Licenses).",
    ),
    "authentik-validation-failed": ErrorRow(
        UnexpectedAnswer, "authentik refused {method} {path}: {reasons}", "Check the named settings."
    ),
    "authentik-throttled": ErrorRow(
        Throttled, "authentik throttles the requests.", "Run the same command again later."
    ),
    "authentik-server-error": ErrorRow(
        ServiceUnavailable,
        "authentik failed to handle the request (status {status}).",
        "Look for the request id in authentik's log; run the same command again.",
    ),
    "authentik-unexpected-answer": ErrorRow(
        UnexpectedAnswer,
        "authentik answered in an unexpected way: {why}.",
        "Report this with the request id.",
    ),
    "authentik-certificate-not-trusted": ErrorRow(
        ConfigError,
        "authentik's TLS certificate is not trusted ({where}): {why}.",
        "Set ca_file to the CA's certificate, or use the host name of the certificate.",
    ),
    "authentik-tls-failed": ErrorRow(
        ConfigError,
        "The server at the authentik address does not speak TLS.",
        "Check the port and the scheme of the authentik address.",
    ),
    "authentik-url-invalid": ErrorRow(
        ConfigError,
        "The authentik address is invalid: it cannot be parsed.",
        "Use the address that people open in the browser, for example https://authentik.example.com.",
    ),
    "authentik-host-not-found": ErrorRow(Unreachable, "{what}", _CHECK_NETWORK),
    "authentik-unreachable": ErrorRow(Unreachable, "{what}", _CHECK_NETWORK),
    "authentik-timeout": ErrorRow(Unreachable, "{what}", _CHECK_NETWORK),
    "authentik-connection-lost": ErrorRow(Unreachable, "{what}", _CHECK_NETWORK),
    "authentik-client-failed": ErrorRow(
        UnexpectedAnswer,
        "The request could not be sent: the authentik client library raised {kind}.",
        "Report this with the versions of authentik-client and urllib3.",
    ),
}
"""Every error of the connection to authentik, by its code."""

_TOKEN_TEXT = re.compile("token invalid|invalid token|credentials were not|authentication type|inactive")
_HARMLESS_SECRET_TEXTS = (
    "This field is required.",
    "This field may not be blank.",
    "This field may not be null.",
    "Null characters are not allowed.",
    "Not a valid string.",
)


def _error(
    code: str, trace: RequestTrace, facts: dict[str, str] | None = None, **values: Any
) -> BootstrapError:
    values |= {"method": trace.method, "path": trace.path, "status": trace.status}
    return error_of(CODES, code, trace=trace, facts=facts, **values)


def refusal(reply: Reply, permission: str, redactor: Redactor) -> BootstrapError:
    """The error that an answer outside 2xx stands for.

    :param permission: the permission the call needs, named when it is missing.
    :param redactor: knows the secrets that the answer might echo.
    """
    status, trace, answered = reply.status, reply.trace(), reply.json_or_none()
    body = answered if isinstance(answered, Mapping) else None
    detail = str(body.get("detail") or "") if body else ""
    if 300 <= status < 400:
        return _redirect(reply)
    if status == 407:
        return proxy_refusal(407, "authentik", trace=trace)
    if status in {401, 403}:
        return _denied(trace, None if body is None else detail.lower(), permission)
    if status == 404:
        return not_an_api(trace) if body is None else _error("authentik-not-found", trace)
    if status == 400 and body is not None:
        return _validation(reply, body, redactor)
    if status == 429 or is_server_error(reply):
        code = "authentik-throttled" if status == 429 else "authentik-server-error"
        return _error(code, trace, retry_after=retry_after(reply.headers.get("retry-after")))
    return unexpected(reply, f"status {status}" + (f", {redactor.text(detail)[:200]}" if detail else ""))


def _denied(trace: RequestTrace, detail: str | None, permission: str) -> BootstrapError:
    if trace.status == 401 or _TOKEN_TEXT.search(detail or ""):
        return _error("authentik-token-invalid", trace)
    if detail is None:
        return _error("authentik-refused-by-proxy", trace)
    facts = {"missing_permission": permission} if permission else {}
    return _error("authentik-permission-missing", trace, facts, permission=permission or "a permission")


def is_server_error(reply: Reply) -> bool:
    """Whether authentik crashed: 5xx, or the empty ``text/html`` 405 that an unhandled exception becomes."""
    if reply.status >= 500 or reply.status in {408, 425}:
        return True
    return reply.status == 405 and not reply.data.strip() and not reply.is_json


def unexpected(reply: Reply, why: str) -> BootstrapError:
    """An answer that authentik's documentation does not mention."""
    return _error("authentik-unexpected-answer", reply.trace(), why=why)


def not_an_api(trace: RequestTrace) -> BootstrapError:
    """Another server, or a login page in front of authentik, where the API should answer."""
    what = f"A server other than authentik's API answered {trace.path} (status {trace.status})."
    return _error("authentik-not-found-at-url", trace, what=what)


def _redirect(reply: Reply) -> BootstrapError:
    where = "another path"
    with contextlib.suppress(ValueError):
        target = urlsplit(reply.headers.get("location", ""))
        where = f"{target.scheme}://{target.hostname}" if target.scheme and target.hostname else where
    what = f"The authentik address answers with a redirect to {where}; the API token is not sent along."
    error = _error("authentik-not-found-at-url", reply.trace(), what=what)
    error.remedy = f"Use the address that it redirects to, if that is authentik's. {error.remedy}"
    return error


def _validation(reply: Reply, body: Mapping[object, object], redactor: Redactor) -> BootstrapError:
    trace = reply.trace()
    try:
        messages = list(_messages(body, redactor))
    except RecursionError:
        return unexpected(reply, "status 400 with a body that is nested too deeply")
    if any("enterprise is required" in text.lower() for _, text, _ in messages):
        return _error("licence-required", trace)
    for field, text, shown in messages:
        if "already exists" in text.lower():
            return AlreadyExists(
                f"authentik-{field.replace('_', '-')}-taken",
                f"authentik has an object with that {field} already: {shown}",
                "Choose another one, or adopt the existing object.",
                trace,
                {"field": field},
            )
    reasons = "; ".join(f"{field}: {shown}" for field, _, shown in messages) or "no reason given"
    fields = ", ".join(field for field, _, _ in messages)
    return _error("authentik-validation-failed", trace, {"fields": fields}, reasons=reasons)


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
            hide = holds_secret(field) and text not in _HARMLESS_SECRET_TEXTS
            shown = "refused (authentik's message is left out: it may repeat the secret)" if hide else text
            yield field, text, redactor.text(shown)


def broken(error: BaseException, call: Call, base: str, network: Network) -> BootstrapError:
    """The error that an exception of the HTTP library stands for. Its own text is never shown.

    :param error: what the library raised; looked through to its causes.
    :param call: the request that failed.
    :param base: what was asked, and by which settings, to name host and proxy.
    """
    chain, where, trace = list(causes(error)), host_and_port(base), call.trace()
    tls = next((cause for cause in chain if isinstance(cause, ssl.SSLError)), None)
    if isinstance(tls, ssl.SSLCertVerificationError):
        why = tls.verify_message or "verification failed"
        return _error("authentik-certificate-not-trusted", trace, where=where, why=why)
    if tls is not None and getattr(tls, "reason", None) in {"WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL"}:
        return _error("authentik-tls-failed", trace)
    if _any(chain, exceptions.LocationParseError, UnicodeError):
        return _error("authentik-url-invalid", trace)
    proxy = proxy_for(base, network.proxy, os.environ)
    if status := status_from_proxy(chain):
        return proxy_refusal(status, where, proxy, trace)
    if _any(chain, exceptions.ProxyError):
        who = f"The proxy {proxy.where}" if proxy else "The proxy"
        return _unreachable(f"{who} cannot be connected to, so authentik at {where} was not asked.", call)
    if _any(chain, exceptions.HTTPError, OSError):
        return _no_answer(chain, call, f"authentik at {where}")
    return _error("authentik-client-failed", trace, kind=type(error).__name__)


def _no_answer(causes: list[BaseException], call: Call, server: str) -> BootstrapError:
    name = next((cause for cause in causes if isinstance(cause, socket.gaierror)), None)
    if name is not None or _any(causes, exceptions.NameResolutionError):
        again = name is not None and name.errno == socket.EAI_AGAIN
        code = "authentik-unreachable" if again else "authentik-host-not-found"
        return _unreachable(f"The host name of {server} cannot be resolved.", call, code)
    if _any(causes, ConnectionRefusedError):
        return _unreachable(f"{server} refuses connections.", call)
    if _any(causes, exceptions.ConnectTimeoutError, exceptions.NewConnectionError):
        return _unreachable(f"{server} cannot be connected to.", call)
    if _any(causes, exceptions.ReadTimeoutError, TimeoutError):
        return _unreachable(f"{server} did not answer in time.", call, "authentik-timeout", sent=True)
    return _unreachable(f"The connection to {server} broke.", call, "authentik-connection-lost", sent=True)


def too_slow(call: Call, base: str, seconds: float, *, connected: bool) -> BootstrapError:
    """The error of a request that was given up.

    :param seconds: how long it was waited for.
    :param connected: whether there was a connection; without one, nothing was sent.
    """
    server = f"authentik at {host_and_port(base)}"
    if connected:
        what = f"{server} did not answer completely within {seconds:.0f} s."
        return _unreachable(what, call, "authentik-timeout", sent=True)
    return _unreachable(f"{server} cannot be connected to within {seconds:.0f} s.", call)


def _unreachable(
    what: str, call: Call, code: str = "authentik-unreachable", *, sent: bool = False
) -> BootstrapError:
    return _error(code, call.trace(), what=what, sent=sent)


def _any(causes: list[BaseException], *kinds: type[BaseException]) -> bool:
    return any(isinstance(cause, kinds) for cause in causes)


def may_have_happened(error: BootstrapError) -> bool:
    """Whether the write that failed so may have been carried out."""
    if isinstance(error, Unreachable):
        return error.sent
    status = error.trace.status if error.trace else None
    unreadable = isinstance(error, UnexpectedAnswer) and status is not None and 200 <= status < 300
    return unreadable or isinstance(error, ServiceUnavailable)


async def permitted(reading: Awaitable[T]) -> T | None:
    """The result of a read; ``None`` where the token lacks the permission.

    :raises Denied: for every other reason.
    """
    try:
        return await reading
    except Denied as error:
        if error.code != "authentik-permission-missing":
            raise
        return None
