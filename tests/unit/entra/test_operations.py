"""What Microsoft Graph's refusals become, and which of them pass by themselves."""

from __future__ import annotations

import string
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from authentik_entra_bootstrap.domain import AppId, TokenClaims
from authentik_entra_bootstrap.entra import operations
from authentik_entra_bootstrap.entra.adapter import EntraAdapter
from authentik_entra_bootstrap.entra.error_codes import CODES, fault
from authentik_entra_bootstrap.entra.token_errors import NUMBERS, OF_SYNC_IDENTITY
from authentik_entra_bootstrap.errors import (
    AdminActionRequired,
    AlreadyExists,
    BootstrapError,
    Conflict,
    Denied,
    NotFound,
    ServiceUnavailable,
    Temporary,
    Throttled,
    UnexpectedAnswer,
    Unreachable,
)

from .conftest import ID, NOT_THERE, OTHER, TENANT, WRITES, Service, refused

REVOKED = (
    "Continuous access evaluation resulted in challenge with result: InteractionRequired and code: "
    "TokenIssuedBeforeRevocationTimestamp"
)
BY_POLICY = f"not allowed as per assigned policy '{ID}'."
TAKEN = "Another object with the same value for property uniqueName already exists."
TWO_AT_MOST = "You can only add a maximum of 2 encrypted credentials."
NOT_OFFERED = f"Permission being assigned was not found on application '{ID}'."
DENIED = "Authorization_RequestDenied"
CONCURRENT = "Directory_ConcurrencyViolation"
REFUSALS: dict[type[BootstrapError], list[tuple[str, httpx.Response, str]]] = {
    Denied: [
        ("create", refused(401, "InvalidAuthenticationToken", "expired"), "operator-token-refused"),
        ("create", refused(403, DENIED), "entra-permission-missing"),
        ("principal", refused(403, DENIED, "Insufficient"), "entra-permission-missing"),
        ("update", refused(401, "Authorization_IdentityNotFound"), "operator-not-in-tenant"),
        ("update", refused(403, "Authorization_IdentityNotFound"), "operator-not-in-tenant"),
        ("update", refused(401, "InvalidAuthenticationToken", REVOKED), "access-revoked"),
    ],
    AdminActionRequired: [
        ("create", refused(403, "Directory_QuotaExceeded"), "quota-exceeded"),
        ("create", refused(400, "ServiceTreeValueMissing"), "service-management-reference-required"),
        ("create", refused(400, "SignInAudienceNotAllowedAsPerAppPolicy"), "tenant-policy-forbids"),
        ("assign", refused(403, DENIED), "consent-required"),
        ("grant", refused(403, DENIED), "consent-required"),
        (
            "add secret",
            refused(400, "CredentialTypeNotAllowedAsPerAppPolicy", BY_POLICY),
            "secrets-forbidden-by-policy",
        ),
        (
            "add secret",
            refused(400, "CredentialInvalidLifetimeAsPerAppPolicy", BY_POLICY),
            "secret-lifetime-exceeds-policy",
        ),
        ("add secret", refused(403, "Directory_ResourceSizeExceeded"), "too-many-secrets"),
        ("add secret", refused(400, "TooManyCredentials"), "too-many-secrets"),
        ("add secret", refused(400, "TooManyAppPasswords"), "too-many-secrets"),
        ("add secret", refused(400, message=TWO_AT_MOST), "too-many-secrets"),
        ("add secret", refused(400, message="The credential limit has been reached."), "too-many-secrets"),
    ],
    AlreadyExists: [
        ("create", refused(400, message=TAKEN), "unique-name-taken"),
    ],
    UnexpectedAnswer: [
        ("create", refused(400, message="Invalid value specified"), "unexpected-answer"),
        ("add secret", refused(400, message="Something about the display name"), "unexpected-answer"),
        ("create", httpx.Response(403, text="<html>blocked by proxy</html>"), "unexpected-answer"),
        ("create", httpx.Response(404), "unexpected-answer"),
        ("create", httpx.Response(302, headers={"location": "https://portal/"}), "unexpected-answer"),
        ("update", httpx.Response(302, headers={"location": "https://portal/"}), "unexpected-answer"),
        ("create", httpx.Response(201, json=["no", "object"]), "unexpected-answer"),
        ("create", httpx.Response(201, json={"id": ID}), "unexpected-answer"),
        ("create", httpx.Response(201), "unexpected-answer"),
    ],
    Throttled: [
        ("create", refused(429, "TooManyRequests"), "entra-throttled"),
    ],
    ServiceUnavailable: [
        ("create", refused(503, CONCURRENT), "entra-concurrent-change"),
        ("create", refused(409, CONCURRENT), "entra-concurrent-change"),
        ("create", refused(500, "InternalServerError"), "entra-unavailable"),
        ("create", refused(502, "BadGateway"), "entra-unavailable"),
        ("create", refused(504, "GatewayTimeout"), "entra-unavailable"),
        ("create", refused(424, "FailedDependency"), "entra-unavailable"),
    ],
    Conflict: [
        ("create", refused(409, "Something_Else", "in the way"), "entra-conflict"),
    ],
    NotFound: [
        ("update", refused(404, "Request_ResourceNotFound", NOT_THERE), "entra-object-not-found"),
        ("update", refused(400, message=NOT_THERE), "entra-object-not-found"),
        ("assign", refused(400, message=NOT_OFFERED), "permission-not-offered"),
        ("add secret", refused(404, "Request_ResourceNotFound", NOT_THERE), "entra-object-not-found"),
    ],
    Unreachable: [
        ("add secret", httpx.Response(200, json={"keyId": ID, "secretText": None}), "secret-reply-lost"),
        ("add secret", httpx.Response(200, text="<html>proxy</html>"), "secret-reply-lost"),
        ("add secret", httpx.Response(204), "secret-reply-lost"),
        ("add secret", refused(503, "ServiceUnavailable"), "secret-reply-lost"),
        ("add secret", refused(500, "InternalServerError"), "secret-reply-lost"),
        ("add secret", httpx.Response(502, html="<p>bad gateway</p>"), "secret-reply-lost"),
    ],
}


CASES = [(kind, *row) for kind, rows in REFUSALS.items() for row in rows]


@pytest.mark.parametrize(
    ("kind", "name", "answer", "code"),
    CASES,
    ids=[f"{name}-{answer.status_code}-{code}" for _, name, answer, code in CASES],
)
async def test_every_refusal_has_its_error(
    service: Service, entra: EntraAdapter, kind: type[BootstrapError], name: str, answer: Any, code: str
) -> None:
    service.always = answer
    with pytest.raises(BootstrapError) as caught:
        await WRITES[name](entra)
    error = caught.value
    assert (type(error), error.code) == (kind, code)
    assert kind is CODES[code].kind
    assert (error.__cause__, error.__context__) == (None, None)
    assert "?" not in error.message + error.remedy
    assert error.trace is not None
    assert error.trace.status == answer.status_code
    assert error.trace.path.startswith("/")
    assert error.trace.correlation_id
    if not isinstance(error, Temporary) or name == "add secret":
        assert service.slept == []


@pytest.mark.parametrize("inner", ["innerError", "innererror", "InnerError"])
async def test_ids_of_an_error_are_found_however_they_are_spelt(
    service: Service, entra: EntraAdapter, inner: str
) -> None:
    service.answers = [
        refused(400, message="x", inner=inner),
        refused(400, message="x", inner=inner, **{"request-id": "outer", "client-request-id": "echo"}),
    ]
    for ids in (("inner-request", "inner-client"), ("outer", "echo")):
        with pytest.raises(UnexpectedAnswer) as caught:
            await entra.organization()
        assert caught.value.trace is not None
        assert (caught.value.trace.request_id, caught.value.trace.correlation_id) == ids


@pytest.mark.parametrize(
    ("roles", "missing"),
    [
        ((), "Application.ReadWrite.OwnedBy"),
        (("Application.ReadWrite.OwnedBy",), "Application.ReadWrite.All"),
        (("Application.ReadWrite.All",), "Application.ReadWrite.OwnedBy"),
    ],
)
async def test_what_a_refused_service_principal_lacks(
    service: Service, entra: EntraAdapter, roles: tuple[str, ...], missing: str
) -> None:
    service.credential.roles = list(roles)
    service.always = refused(403, DENIED)
    with pytest.raises(Denied) as caught:
        await WRITES["update"](entra)
    assert caught.value.facts["missing_permission"] == missing
    assert "Cloud Application Administrator" in caught.value.remedy


def test_what_a_refused_person_lacks() -> None:
    claims = TokenClaims(TENANT, ID, AppId(OTHER), scopes=frozenset({"User.Read"}), user_principal_name="a@b")
    assert operations.UPDATE_APPLICATION.lack(claims)[1] == "Application.ReadWrite.All"
    enough = replace(claims, scopes=frozenset({"Application.ReadWrite.All"}))
    assert operations.UPDATE_APPLICATION.lack(enough)[1].startswith("Cloud Application Administrator")
    assert operations.ASSIGN_ROLE.lack(enough)[1] == "AppRoleAssignment.ReadWrite.All"


# --- the table of codes


def test_all_codes_in_use_are_in_the_table() -> None:
    folder = Path(__file__).parents[3] / "authentik_entra_bootstrap" / "entra"
    assert {*NUMBERS, *OF_SYNC_IDENTITY.values()} <= set(CODES)
    assert set(OF_SYNC_IDENTITY) <= set(NUMBERS)
    source = "".join(path.read_text() for path in folder.glob("*.py") if path.name != "error_codes.py")
    assert [code for code in CODES if f'"{code}"' not in source] == []


@pytest.mark.parametrize("code", list(CODES))
def test_every_row_can_be_filled(code: str) -> None:
    row = CODES[code]
    names = {name for _, name, _, _ in string.Formatter().parse(row.message + row.remedy) if name}
    error = fault(code, **{name: "some\nword\x1b" for name in names if name != "code"})
    assert "some word" in error.message + error.remedy or not names
    assert "\n" not in error.message
    assert "\x1b" not in error.message
    assert row.message[-1] in ".}"
