"""The meaning of the token service's answers: AADSTS numbers and OAuth's codes become errors.

azure-identity's exceptions keep only a text, and MSAL's not even that, so answers are judged where they arrive. Numbers
and codes decide; texts are only shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import httpx

from authentik_entra_bootstrap.domain.times import http_date
from authentik_entra_bootstrap.entra.error_codes import LOGIN_SERVICE, fault
from authentik_entra_bootstrap.entra.records import json_of
from authentik_entra_bootstrap.errors import BootstrapError, RequestTrace
from authentik_entra_bootstrap.support.network import proxy_refusal
from authentik_entra_bootstrap.support.waiting import retry_after

Identity = Literal["operator", "sync"]

NUMBERS: Mapping[str, tuple[int, ...]] = {
    # 7000229: the service principal is not known everywhere yet.
    "application-not-found": (700016, 7000229),
    "application-disabled": (7000112,),
    "assignment-required": (50105, 501051),
    "clock-off": (700024,),
    "conditional-access": (
        *(50131, 53000, 53001, 53002, 53003, 53004),
        *(530003, 530004, 530032, 530035),
    ),
    "consent-required": (65001,),
    "entra-throttled": (50196, 90055),
    "entra-unavailable": (90006, 90024, 90033),
    "interaction-required": (
        *(50074, 50076, 50078, 50079, 50097, 50158, 50173),
        *(70043, 700082),
    ),
    "operator-certificate-expired": (1000502,),
    "operator-credential-invalid": (
        *(700021, 700027, 700211, 700212, 700213),
        *(7000214, 7000216, 7000218),
    ),
    "operator-secret-expired": (7000222,),
    "operator-secret-wrong": (7000215,),
    "sign-in-declined": (65004,),
    "sign-in-expired": (70019, 70020),
    "tenant-not-found": (90002, 900021, 900023),
}
"""Error code -> its numbers behind AADSTS. Source: Entra's table of authentication error codes; texts and
statuses as seen in the field. 50196 (a loop of requests) comes with status 400 and passes by itself."""

OF_SYNC_IDENTITY: Mapping[str, str] = {
    "operator-secret-expired": "secret-expired",
    "operator-secret-wrong": "secret-not-accepted",
}
"""Error codes that differ when the sync identity signs in."""

OAUTH: Mapping[str, str] = {
    "authorization_declined": "sign-in-declined",
    "expired_token": "sign-in-expired",
    "authorization_pending": "sign-in-expired",
    "interaction_required": "interaction-required",
    "temporarily_unavailable": "entra-unavailable",
    "server_error": "entra-unavailable",
}
"""For answers whose number is not in the table."""

_AADSTS = re.compile(r"AADSTS(\d+)")


@dataclass(frozen=True)
class SignIn:
    """Who signs in, for the text of an error."""

    identity: Identity
    tenant: str
    app_id: str


def token_fault(sign_in: SignIn, response: httpx.Response, *, now: datetime | None = None) -> BootstrapError:
    """The error of an answer that is neither metadata nor a token.

    :param now: by this machine's clock, aware UTC; it dated the assertion. ``None`` reads it.
    """
    status, headers, url = response.status_code, response.headers, response.request.url
    found = json_of(response.content)
    body = found if isinstance(found, dict) else {}
    refused = body if status >= 400 else {}
    given = refused.get("error_codes")
    numbers = [item for item in given if isinstance(item, int)] if isinstance(given, list) else []
    error = str(refused.get("error") or "")
    trace = RequestTrace(
        "entra",
        response.request.method,
        url.path,
        status,
        f"AADSTS{numbers[0]}" if numbers else error or None,
        refused.get("trace_id") or headers.get("x-ms-request-id"),
        refused.get("correlation_id") or headers.get("client-request-id"),
    )
    kind = f"HTTP {status} with {headers.get('content-type') or 'no content type'}"
    if status < 300:
        # A proxy's page, or a 200 without a token; the library only says that it could not sign in.
        reason = f"{kind} and without a token"
        return fault("unexpected-answer", trace=trace, service=LOGIN_SERVICE, reason=reason)
    if status == 407:
        return proxy_refusal(407, url.netloc.decode(), trace=trace)
    code = _code(status, numbers, error, sign_in.identity)
    if code == "unexpected-answer":
        return fault(code, trace=trace, service=LOGIN_SERVICE, reason=kind)
    off = clock_off(http_date(headers.get("date")), now or datetime.now(UTC))
    if code == "clock-off" and not off:
        code = "operator-credential-invalid"
    words = _words(sign_in, str(refused.get("error_description") or "").partition("\n")[0].strip() or error)
    facts = {"aadsts": str(numbers[0])} if numbers else {}
    wait = retry_after(headers.get("retry-after"))
    return fault(code, trace=trace, status=f"HTTP {status}", facts=facts, retry_after=wait, off=off, **words)


def clock_off(told: datetime | None, now: datetime) -> str:
    """How far this machine's clock is off, as text; empty below a minute, or if the service gave no time.

    :param told: the ``Date`` of a fresh reply.
    """
    if told is None or abs(now - told) < timedelta(minutes=1):
        return ""
    minutes = round(abs(now - told) / timedelta(minutes=1))
    return f"{minutes} minute{'s' if minutes != 1 else ''} {'ahead' if now > told else 'behind'}"


def _code(status: int, numbers: Sequence[int], error: str, identity: Identity) -> str:
    if status == 429:
        return "entra-throttled"
    if status >= 500:
        return "entra-unavailable"
    found = _by_number(numbers, identity) or OAUTH.get(error)
    return found or ("sign-in-failed" if error else "unexpected-answer")


def _by_number(numbers: Sequence[int], identity: Identity) -> str | None:
    for number in numbers:
        for code, alike in NUMBERS.items():
            if number in alike:
                return code if identity == "operator" else OF_SYNC_IDENTITY.get(code, code)
    return None


def no_answer_fault(sign_in: SignIn, text: str) -> BootstrapError:
    """The error of a sign-in that sent nothing to the token service, or that the library ended after a success.

    :param text: the library's own words.
    """
    # Credentials that run another program (Azure CLI …) hand on only its text.
    numbers = tuple(int(number) for number in _AADSTS.findall(text))
    if numbers:
        trace = RequestTrace("entra", service_code=f"AADSTS{numbers[0]}")
        code = _by_number(numbers, sign_in.identity) or "sign-in-failed"
        if code == "clock-off":
            # Another program's text tells no time to compare with.
            code = "operator-credential-invalid"
        return fault(code, trace=trace, status="through another program", **_words(sign_in, text))
    tried = _tried(text)
    return fault("no-operator-identity", tried=tried, facts={"tried": tried})


def _words(sign_in: SignIn, reason: str) -> dict[str, Any]:
    # What the message does not name is harmless: the table's texts take only what they need.
    return {
        "service": LOGIN_SERVICE,
        "tenant": sign_in.tenant,
        "app_id": sign_in.app_id,
        "reason": reason.partition("Trace ID:")[0],
        "purpose": "use its own application",
        "lack": "no administrator has consented to it",
        "enough": "consent of an administrator",
    }


def _tried(text: str) -> str:
    """Each credential that was asked with the first sentence of its refusal."""
    attempts = re.findall(r"^\t?(\w+Credential): (.+)$", text, flags=re.MULTILINE)
    if not attempts:
        return text.partition("\n")[0].partition("To mitigate")[0].strip() or "no credential was found"
    return "; ".join(f"{name}: {reason.partition('. ')[0].rstrip('.')}" for name, reason in attempts)
