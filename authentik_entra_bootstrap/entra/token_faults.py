"""From what the token service answered to our errors. Decides on numbers and codes; texts are only shown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from authentik_entra_bootstrap.entra.codes import fault
from authentik_entra_bootstrap.errors import BootstrapError, RequestTrace, Temporary

if TYPE_CHECKING:
    from authentik_entra_bootstrap.entra.exchanges import Exchange

Identity = Literal["operator", "sync"]

NUMBERS: dict[int, tuple[str, str]] = {
    7000215: ("operator-secret-wrong", "secret-not-accepted"),
    7000222: ("operator-secret-expired", "secret-expired"),
    700016: ("application-not-found", "application-not-found"),
    # The service principal is not known everywhere yet.
    7000229: ("application-not-found", "application-not-found"),
    7000112: ("application-disabled", "application-disabled"),
    90002: ("tenant-not-found", "tenant-not-found"),
    900021: ("tenant-not-found", "tenant-not-found"),
    900023: ("tenant-not-found", "tenant-not-found"),
    53000: ("conditional-access", "conditional-access"),
    53001: ("conditional-access", "conditional-access"),
    53002: ("conditional-access", "conditional-access"),
    53003: ("conditional-access", "conditional-access"),
    530035: ("conditional-access", "conditional-access"),
    65001: ("consent-required", "consent-required"),
    65004: ("sign-in-declined", "sign-in-declined"),
    700021: ("operator-credential-invalid", "operator-credential-invalid"),
    700024: ("operator-credential-invalid", "operator-credential-invalid"),
    700027: ("operator-credential-invalid", "operator-credential-invalid"),
    700211: ("operator-credential-invalid", "operator-credential-invalid"),
    700212: ("operator-credential-invalid", "operator-credential-invalid"),
    700213: ("operator-credential-invalid", "operator-credential-invalid"),
    7000214: ("operator-credential-invalid", "operator-credential-invalid"),
    7000216: ("operator-credential-invalid", "operator-credential-invalid"),
    7000218: ("operator-credential-invalid", "operator-credential-invalid"),
    50076: ("interaction-required", "interaction-required"),
    50079: ("interaction-required", "interaction-required"),
    50158: ("interaction-required", "interaction-required"),
    50173: ("interaction-required", "interaction-required"),
    70043: ("interaction-required", "interaction-required"),
    700082: ("interaction-required", "interaction-required"),
    70019: ("sign-in-expired", "sign-in-expired"),
    70020: ("sign-in-expired", "sign-in-expired"),
    90006: ("entra-unavailable", "entra-unavailable"),
    90024: ("entra-unavailable", "entra-unavailable"),
    90033: ("entra-unavailable", "entra-unavailable"),
    90055: ("entra-throttled", "entra-throttled"),
}
"""Number behind AADSTS -> (code for the operator, code for the sync identity). Source: Entra's table of
authentication error codes; texts and statuses as seen in the field."""

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
_SERVICE = "The token service"


@dataclass(frozen=True)
class SignIn:
    """What is being signed in, for the words of an error."""

    identity: Identity
    tenant: str
    app_id: str
    host: str
    """Host (and port) of the token service."""


def token_fault(sign_in: SignIn, exchanges: Sequence[Exchange], text: str) -> BootstrapError:
    """The error of a failed sign-in.

    :param exchanges: every request of the attempt, oldest first.
    :param text: the library's own words, for where nothing was sent to the token service.
    """
    # Metadata services of managed identities are not the token service: their silence only says that there
    # is no such identity here.
    asked = [item for item in exchanges if item.host == sign_in.host]
    last = asked[-1] if asked else None
    if last is not None and not last.failed and "html" in last.content_type.lower():
        # A proxy's page with status 200; the library only says that it could not sign in.
        reason = f"HTTP {last.status} with {last.content_type}"
        return fault("unexpected-answer", trace=last.trace, service=_SERVICE, reason=reason)
    if last is None or not last.failed:
        return _nobody(sign_in, text)
    if last.broken is not None:
        return last.broken.fault(last.host, last.trace)
    words = _words(sign_in, last.text or last.error)
    code = _code(last, sign_in)
    if code == "unexpected-answer":
        reason = f"HTTP {last.status} with {last.content_type or 'no content type'}"
        return fault(code, trace=last.trace, service=_SERVICE, reason=reason)
    error = fault(code, trace=last.trace, status=f"HTTP {last.status}", facts=_facts(last), **words)
    if isinstance(error, Temporary):
        error.retry_after = last.retry_after
    return error


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
        return fault(code, trace=trace, status="through another program", **_words(sign_in, text))
    tried = _tried(text)
    return fault("no-operator-identity", tried=tried, facts={"tried": tried})


def _words(sign_in: SignIn, reason: str) -> dict[str, Any]:
    # What the message does not name is harmless: the table's texts take only what they need.
    return {
        "service": _SERVICE,
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
