"""The token service over HTTP: the transport of azure-identity's credentials, and the errors of its answers.

azure-identity's exceptions keep only a text, and MSAL's not even that, so answers are judged where they arrive. Numbers
and codes decide; texts are only shown. Heavy (azure-core, httpx): imported when somebody signs in.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx
from azure.core.exceptions import ServiceRequestError
from azure.core.pipeline.transport import AsyncHttpTransport, HttpResponse, HttpTransport

from authentik_entra_bootstrap.domain import Cloud, Network
from authentik_entra_bootstrap.domain.times import http_date
from authentik_entra_bootstrap.entra.error_codes import LOGIN_SERVICE, fault
from authentik_entra_bootstrap.entra.http_client import connection_fault, http_client, json_of
from authentik_entra_bootstrap.errors import BootstrapError, RequestTrace, Temporary
from authentik_entra_bootstrap.support.proxies import proxy_refusal
from authentik_entra_bootstrap.support.waiting import TOKEN_LIMIT, retry_after


class TokenService:
    """One cloud's token service as this machine reaches it.

    :param deadline: seconds from connecting to the last byte of an answer.
    :param transport: replaces the network, for tests; its owner closes it.
    """

    def __init__(
        self,
        cloud: Cloud,
        network: Network,
        deadline: float,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.cloud = cloud
        self.host = urlsplit(cloud.authority).netloc
        self.network = network
        self.deadline = deadline
        self.transport = transport
        self.reached = False
        """Whether it has answered anything yet."""


class CredentialTransport(AsyncHttpTransport[Any, Any]):
    """What one credential of ``azure.identity.aio`` sends its requests by.

    Each request has a connection of its own, so that several sign-ins in a row meet several replicas.
    """

    def __init__(self, service: TokenService, sign_in: SignIn) -> None:
        self.service = service
        self.sign_in = sign_in
        self.sent = False
        """Whether any request was sent, to any host."""
        self.failure: BootstrapError | None = None
        """The error of the last request to the token service; metadata services of managed identities do not count,
        because their silence only says that there is no such identity here."""

    async def send(self, request: Any, **options: Any) -> Any:
        """Send once.

        :raises ServiceRequestError: there is no answer. Nothing of the request is attached, which may hold a secret.
        """
        service, parts = self.service, urlsplit(request.url)
        network, shorter = service.network, options.get("connection_timeout")
        if isinstance(shorter, int | float):
            network = replace(
                network,
                connect_timeout=min(shorter, network.connect_timeout),
                read_timeout=min(shorter, network.read_timeout),
            )
        # Both classes of requests that azure-core has known have this property.
        body = {"data" if isinstance(request.data, dict) else "content": request.data}
        response, self.sent = None, True
        try:
            async with http_client(
                request.url, network, service.deadline, limit=TOKEN_LIMIT, transport=service.transport
            ) as client:
                response = await client.request(
                    request.method, request.url, headers=dict(request.headers), **body
                )
            failure = token_fault(self.sign_in, response)
        except httpx.RequestError as error:
            trace = RequestTrace("entra", request.method, parts.path)
            failure = connection_fault(error, network, trace)
        if parts.netloc == service.host:
            self.failure = failure
            service.reached = service.reached or response is not None
        if response is None:
            raise ServiceRequestError("no answer")
        return _Answer(request, response)

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    async def __aexit__(self, *_: object) -> None:
        """Nothing to close."""


class BlockingTransport(HttpTransport[Any, Any]):
    """The same for a credential of ``azure.identity``, which works in a thread beside the loop."""

    def __init__(self, transport: CredentialTransport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()

    def send(self, request: Any, **options: Any) -> Any:
        """Send once; see :meth:`CredentialTransport.send`."""
        return asyncio.run_coroutine_threadsafe(self._transport.send(request, **options), self._loop).result()

    def open(self) -> None:
        """Nothing to open."""

    def close(self) -> None:
        """Nothing to close."""

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""


class _Answer(HttpResponse):
    """An answer of httpx as azure-core takes it."""

    def __init__(self, request: Any, response: httpx.Response) -> None:
        super().__init__(request, response)
        self.status_code = response.status_code
        self.reason = response.reason_phrase
        self.headers = response.headers
        self.content_type = response.headers.get("content-type")

    def body(self) -> bytes:
        """The whole body."""
        content: bytes = self.internal_response.content
        return content


# --- errors

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
class SignIn:
    """What is being signed in, for the words of an error."""

    identity: Identity
    tenant: str
    app_id: str
    host: str
    """Host (and port) of the token service."""


def token_fault(
    sign_in: SignIn, response: httpx.Response, *, now: datetime | None = None
) -> BootstrapError | None:
    """The error of an answer; ``None`` for a success, which is metadata or a token.

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
        wants_token = url.path.endswith("/oauth2/v2.0/token")
        if isinstance(found, dict) and (isinstance(body.get("access_token"), str) or not wants_token):
            return None
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
    failure = fault(code, trace=trace, status=f"HTTP {status}", facts=facts, off=off, **words)
    if isinstance(failure, Temporary):
        failure.retry_after = retry_after(headers.get("retry-after"))
    return failure


def clock_off(told: datetime | None, now: datetime) -> str:
    """How far this machine's clock is off, in words; empty below a minute, or where the service told no time.

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
        if number in NUMBERS:
            return NUMBERS[number][0 if identity == "operator" else 1]
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
        "lack": "nobody has consented to it",
        "enough": "consent of an administrator",
    }


def _tried(text: str) -> str:
    """Each credential that was asked with the first sentence of its refusal."""
    attempts = re.findall(r"^\t?(\w+Credential): (.+)$", text, flags=re.MULTILINE)
    if not attempts:
        return text.partition("\n")[0].partition("To mitigate")[0].strip() or "no credential was found"
    return "; ".join(f"{name}: {reason.partition('. ')[0].rstrip('.')}" for name, reason in attempts)
