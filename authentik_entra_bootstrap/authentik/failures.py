"""What authentik's refusals and broken connections mean: every one becomes one of our errors.

Texts are looked at only where authentik's statuses do not tell two things apart (403). Sources: recorded
exchanges of 2025.12 and 2026.5.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from authentik_entra_bootstrap.addresses import proxy_refusal
from authentik_entra_bootstrap.authentik.redaction import Redactor
from authentik_entra_bootstrap.authentik.wire import Reply
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
)
from authentik_entra_bootstrap.waiting import retry_after

UNEXPECTED = "authentik-unexpected-answer"
SERVER_ERROR = "authentik-server-error"
NOT_AT_URL = "authentik-not-found-at-url"
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
        return _validation(reply, redactor)
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
    target = urlsplit(reply.headers.get("location", ""))
    where = f"{target.scheme}://{target.hostname}" if target.scheme and target.hostname else "another path"
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
