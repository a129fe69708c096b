"""What the token service's answers become."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from authentik_entra_bootstrap.entra.http_client import succeeded
from authentik_entra_bootstrap.entra.records import read_claims
from authentik_entra_bootstrap.entra.token_errors import Identity, SignIn, no_answer_fault, token_fault
from authentik_entra_bootstrap.errors import BootstrapError, Temporary, Throttled, UnexpectedAnswer

from .conftest import ID, OTHER, TENANT, jwt

WHO: dict[Identity, SignIn] = {
    "operator": SignIn("operator", TENANT, ID),
    "sync": SignIn("sync", TENANT, ID),
}
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


def answered(status: int = 400, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
    request = httpx.Request("POST", "https://login.example/t/oauth2/v2.0/token")
    content: dict[str, Any] = {"content": body["content"]} if "content" in body else {"json": body}
    return httpx.Response(status, headers=headers, request=request, **content)


def numbered(number: int, status: int = 400, **headers: str) -> httpx.Response:
    ids = {"trace_id": "trace", "correlation_id": "correlation"}
    text = f"AADSTS{number}: some text\r\nTrace ID: trace"
    body = {"error": "invalid_client", "error_codes": [number], "error_description": text}
    return answered(status, headers, **body, **ids)


def failed(answer: httpx.Response, identity: Identity = "operator") -> BootstrapError:
    assert not succeeded(answer)
    return token_fault(WHO[identity], answer, now=NOW)


ALIKE = {
    "application-not-found": (700016,),
    "application-disabled": (7000112,),
    "assignment-required": (50105, 501051),
    "conditional-access": (50131, 53003, 53004, 530003, 530004, 530032),
    "consent-required": (65001,),
    "entra-throttled": (50196,),
    "entra-unavailable": (90033,),
    "interaction-required": (50074, 50076, 50078, 50097),
    "operator-certificate-expired": (1000502,),
    "operator-credential-invalid": (700027,),
    "sign-in-failed": (1234567,),
    "tenant-not-found": (90002, 900023),
}
ROWS = [
    (7000215, "operator-secret-wrong", "secret-not-accepted"),
    (7000222, "operator-secret-expired", "secret-expired"),
    *((number, code, code) for code, numbers in ALIKE.items() for number in numbers),
]


@pytest.mark.parametrize(("number", "operator", "sync"), ROWS, ids=str)
def test_every_number_has_its_error(number: int, operator: str, sync: str) -> None:
    for identity, code in (("operator", operator), ("sync", sync)):
        error = failed(numbered(number), identity)
        assert error.code == code
        assert error.trace is not None
        assert error.trace.line().startswith("entra POST /t/oauth2/v2.0/token: 400 AADSTS")
        assert (error.trace.request_id, error.trace.correlation_id) == ("trace", "correlation")
        assert error.facts["aadsts"] == str(number)
        assert "?" not in error.message + error.remedy
        # A loop of requests is temporary although the answer is 400.
        assert isinstance(error, Temporary) is (code in {"entra-throttled", "entra-unavailable"})


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (answered(429, content=b"slow down"), "entra-throttled"),
        (answered(503, content=b""), "entra-unavailable"),
        (numbered(7000215, 500), "entra-unavailable"),
        (answered(error="authorization_declined"), "sign-in-declined"),
        (answered(error="expired_token"), "sign-in-expired"),
        (answered(error="invalid_scope"), "sign-in-failed"),
        (answered(403, {"Content-Type": "text/html"}, content=b"<p>no</p>"), "unexpected-answer"),
        (answered(302), "unexpected-answer"),
        (answered(407), "proxy-authentication-required"),
        (answered(200, content=b"<html>sign in to the proxy</html>"), "unexpected-answer"),
        (answered(200, content=b"garbage"), "unexpected-answer"),
        (answered(200, content=b"[]"), "unexpected-answer"),
        (answered(200, content=b""), "unexpected-answer"),
        (answered(200, token_type="Bearer", expires_in=3599), "unexpected-answer"),
    ],
)
def test_other_answers_of_the_token_service(answer: httpx.Response, code: str) -> None:
    error = failed(answer)
    assert error.code == code
    assert (f"HTTP {answer.status_code}" in error.message) or code != "unexpected-answer"


def test_a_success_is_no_error() -> None:
    assert succeeded(answered(200, access_token="x"))
    metadata = httpx.Request("GET", "https://login.example/t/.well-known/openid-configuration")
    assert succeeded(httpx.Response(200, json={}, request=metadata))


def test_retry_after_is_kept() -> None:
    error = failed(numbered(50196, 429, **{"Retry-After": "9"}))
    assert isinstance(error, Throttled)
    assert error.retry_after == 9


@pytest.mark.parametrize(
    ("off", "words"),
    [
        (timedelta(minutes=7), "this machine's clock is 7 minutes behind"),
        (timedelta(minutes=-12), "this machine's clock is 12 minutes ahead"),
        (timedelta(minutes=1), "this machine's clock is 1 minute behind"),
        (timedelta(seconds=20), None),
        (None, None),
    ],
)
def test_an_assertion_out_of_its_time_range_tells_how_far_the_clock_is_off(
    off: timedelta | None, words: str | None
) -> None:
    date = "soon" if off is None else (NOW + off).strftime("%a, %d %b %Y %H:%M:%S GMT")
    error = failed(numbered(700024, 401, Date=date))
    assert error.code == ("clock-off" if words else "operator-credential-invalid")
    assert (words or "") in error.message


def test_nobody_signed_in_says_what_was_tried() -> None:
    text = (
        "DefaultAzureCredential failed to retrieve a token from the included credentials.\n"
        "Attempted credentials:\n"
        "\tEnvironmentCredential: EnvironmentCredential authentication unavailable. Environment variables …\n"
        "\tAzureCliCredential: Azure CLI not found on path\n"
        "To mitigate this issue, please refer to …"
    )
    error = no_answer_fault(WHO["operator"], text)
    assert error.code == "no-operator-identity"
    assert error.facts["tried"] == (
        "EnvironmentCredential: EnvironmentCredential authentication unavailable; "
        "AzureCliCredential: Azure CLI not found on path"
    )
    error = no_answer_fault(WHO["operator"], "ERROR: AADSTS700082: The refresh token has expired.")
    assert error.code == "interaction-required"


def test_claims_of_a_token() -> None:
    claims = read_claims(jwt(roles=["A", "B"], exp=1_800_000_000))
    assert (claims.tenant_id, claims.object_id, claims.app_id) == (TENANT, ID, OTHER)
    assert claims.roles == {"A", "B"}
    assert claims.is_app_only
    person = read_claims(
        jwt(scp="User.Read openid", wids=["w"], unique_name="a@b.example", azp="z", appid=None)
    )
    assert (person.scopes, person.directory_roles) == ({"User.Read", "openid"}, {"w"})
    assert (person.user_principal_name, person.app_id) == ("a@b.example", "z")
    for broken in ("opaque", "a.b.c", "a.e30.c", "a.bnVsbA.c"):
        with pytest.raises(UnexpectedAnswer):
            read_claims(broken)
