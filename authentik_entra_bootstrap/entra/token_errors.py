"""From what the token service answered to our errors. Decides on numbers and codes; texts are only shown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import httpx

from authentik_entra_bootstrap.domain.times import http_date
from authentik_entra_bootstrap.entra.error_codes import LOGIN_SERVICE, fault
from authentik_entra_bootstrap.entra.http_client import json_of
from authentik_entra_bootstrap.errors import BootstrapError, RequestTrace, Temporary
from authentik_entra_bootstrap.support.addresses import proxy_refusal
from authentik_entra_bootstrap.support.waiting import retry_after

Identity = Literal["operator", "sync"]

_ALIKE: dict[str, tuple[int, ...]] = {
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
    "sign-in-declined": (65004,),
    "sign-in-expired": (70019, 70020),
    "tenant-not-found": (90002, 900021, 900023),
}
NUMBERS: dict[int, tuple[str, str]] = {
    7000215: ("operator-secret-wrong", "secret-not-accepted"),
    7000222: ("operator-secret-expired", "secret-expired"),
    **{number: (code, code) for code, numbers in _ALIKE.items() for number in numbers},
}
"""Number behind AADSTS -> (code for the operator, code for the sync identity). Source: Entra's table of
authentication error codes; texts and statuses as seen in the field. 50196 (a loop of requests) comes with status 400
and passes by itself."""

OAUTH: dict[str, str] = {
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
class Exchange:
    """One request that azure-identity made, and its outcome. Holds neither bodies nor credentials."""

    method: str
    host: str
    path: str
    status: int | None = None
    readable: bool = False
    """Whether the answer was a JSON object."""
    error: str = ""
    """OAuth's error code."""
    numbers: tuple[int, ...] = ()
    """The numbers behind AADSTS."""
    text: str = ""
    """First line of the error description."""
    request_id: str | None = None
    correlation_id: str | None = None
    retry_after: float | None = None
    content_type: str = ""
    date: datetime | None = None
    """The service's own time, from the answer's ``Date``."""
    usable: bool = True
    """False for a success that is no JSON object, or no token where one was asked for."""
    unanswered: BootstrapError | None = None
    """Why there is no answer."""

    @property
    def failed(self) -> bool:
        """Whether it gave no token and no metadata."""
        return self.unanswered is not None or (self.status or 0) >= 300

    @property
    def trace(self) -> RequestTrace:
        """For the error."""
        number = f"AADSTS{self.numbers[0]}" if self.numbers else (self.error or None)
        return RequestTrace(
            "entra", self.method, self.path, self.status, number, self.request_id, self.correlation_id
        )


def exchange(response: httpx.Response) -> Exchange:
    """An answered request. Of a success's body nothing is kept."""
    request, status, headers = response.request, response.status_code, response.headers
    path = request.url.path
    found = json_of(response.content)
    answer = found if isinstance(found, dict) else None
    token = answer.get("access_token") if answer else None
    body = answer if answer and status >= 400 else {}
    numbers = body.get("error_codes")
    return Exchange(
        request.method,
        request.url.netloc.decode(),
        path,
        status,
        readable=answer is not None or status < 400,
        error=str(body.get("error") or ""),
        numbers=tuple(item for item in numbers if isinstance(item, int)) if isinstance(numbers, list) else (),
        text=str(body.get("error_description") or "").partition("\n")[0].strip(),
        request_id=body.get("trace_id") or headers.get("x-ms-request-id"),
        correlation_id=body.get("correlation_id") or headers.get("client-request-id"),
        retry_after=retry_after(headers.get("retry-after")),
        content_type=headers.get("content-type", ""),
        date=http_date(headers.get("date")),
        usable=answer is not None and (isinstance(token, str) or not path.endswith("/oauth2/v2.0/token")),
    )


@dataclass(frozen=True)
class SignIn:
    """What is being signed in, for the words of an error."""

    identity: Identity
    tenant: str
    app_id: str
    host: str
    """Host (and port) of the token service."""


def token_fault(
    sign_in: SignIn, exchanges: Sequence[Exchange], text: str, *, now: datetime | None = None
) -> BootstrapError:
    """The error of a failed sign-in.

    :param exchanges: every request of the attempt, oldest first.
    :param text: the library's own words, for where nothing was sent to the token service.
    :param now: by this machine's clock, aware UTC; it dated the assertion. ``None`` reads it.
    """
    # Metadata services of managed identities are not the token service: their silence only says that there
    # is no such identity here.
    asked = [item for item in exchanges if item.host == sign_in.host]
    last = asked[-1] if asked else None
    if last is not None and not last.failed and not last.usable:
        # A proxy's page, or a 200 without a token; the library only says that it could not sign in.
        reason = f"HTTP {last.status} with {last.content_type or 'no content type'} and without a token"
        return fault("unexpected-answer", trace=last.trace, service=LOGIN_SERVICE, reason=reason)
    if last is None or not last.failed:
        return _nobody(sign_in, text)
    if last.unanswered is not None:
        return last.unanswered
    if last.status == 407:
        return proxy_refusal(407, last.host, trace=last.trace)
    words = _words(sign_in, last.text or last.error)
    code = _code(last, sign_in)
    if code == "clock-off":
        off = clock_off(last.date, now or datetime.now(UTC))
        code, words = (code, {**words, "off": off}) if off else ("operator-credential-invalid", words)
    if code == "unexpected-answer":
        reason = f"HTTP {last.status} with {last.content_type or 'no content type'}"
        return fault(code, trace=last.trace, service=LOGIN_SERVICE, reason=reason)
    error = fault(code, trace=last.trace, status=f"HTTP {last.status}", facts=_facts(last), **words)
    if isinstance(error, Temporary):
        error.retry_after = last.retry_after
    return error


def clock_off(told: datetime | None, now: datetime) -> str:
    """How far this machine's clock is off, in words; empty below a minute, or where the service told no time.

    :param told: the ``Date`` of a fresh reply.
    """
    if told is None or abs(now - told) < timedelta(minutes=1):
        return ""
    minutes = round(abs(now - told) / timedelta(minutes=1))
    return f"{minutes} minute{'s' if minutes != 1 else ''} {'ahead' if now > told else 'behind'}"


def _code(last: Exchange, sign_in: SignIn) -> str:
    if last.status == 429:
        return "entra-throttled"
    if (last.status or 0) >= 500:
        return "entra-unavailable"
    found = _by_number(last.numbers, sign_in.identity) or OAUTH.get(last.error)
    if found:
        return found
    return "sign-in-failed" if last.readable and last.error else "unexpected-answer"


def _by_number(numbers: Sequence[int], identity: Identity) -> str | None:
    for number in numbers:
        if number in NUMBERS:
            return NUMBERS[number][0 if identity == "operator" else 1]
    return None


def _nobody(sign_in: SignIn, text: str) -> BootstrapError:
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
        "lack": "nobody has consented to it",
        "enough": "consent of an administrator",
    }


def _facts(last: Exchange) -> dict[str, str]:
    return {"aadsts": str(last.numbers[0])} if last.numbers else {}


def _tried(text: str) -> str:
    """Each credential that was asked with the first sentence of its refusal."""
    attempts = re.findall(r"^\t?(\w+Credential): (.+)$", text, flags=re.MULTILINE)
    if not attempts:
        return text.partition("\n")[0].partition("To mitigate")[0].strip() or "no credential was found"
    return "; ".join(f"{name}: {reason.partition('. ')[0].rstrip('.')}" for name, reason in attempts)
