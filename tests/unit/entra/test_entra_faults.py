"""Each refusal of Microsoft Graph and of the token service becomes the one error of the table."""

from __future__ import annotations

import json
import random
import string
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.core.credentials import AccessToken

from authentik_entra_bootstrap.domain import (
    CLOUDS,
    AppId,
    ApplicationSpec,
    AppObjectId,
    KeyId,
    Network,
    ServicePrincipalObjectId,
    TenantId,
    TokenClaims,
)
from authentik_entra_bootstrap.entra import CODES, operations
from authentik_entra_bootstrap.entra.adapter import EntraAdapter
from authentik_entra_bootstrap.entra.error_codes import fault
from authentik_entra_bootstrap.entra.records import read_claims
from authentik_entra_bootstrap.entra.token_errors import NUMBERS, Exchange, SignIn, exchange, token_fault
from authentik_entra_bootstrap.errors import (
    AdminActionRequired,
    AlreadyExists,
    BootstrapError,
    ConfigError,
    Conflict,
    Denied,
    NotFound,
    ServiceUnavailable,
    Temporary,
    Throttled,
    UnexpectedAnswer,
    Unreachable,
)
from authentik_entra_bootstrap.support.waiting import Waiter

TENANT = TenantId("10000000-0000-4000-8000-000000000001")
ID = "20000000-0000-4000-8000-000000000002"
OTHER = "30000000-0000-4000-8000-000000000003"
CANARY = "c4n~ary.S3cret-of-the-test"


def jwt(**claims: Any) -> str:
    import base64

    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'none'})}.{part({'tid': TENANT, 'oid': ID, 'appid': OTHER} | claims)}.sig"


class Given:
    """A credential that has a token already."""

    def __init__(self, *roles: str) -> None:
        self.asked = 0
        self.roles = list(roles)

    def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        self.asked += 1
        return AccessToken(jwt(roles=self.roles), 4_000_000_000)


class World:
    """A transport that answers what it is told, and a waiter whose clock is this object."""

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.always: Any = None
        self.requests: list[httpx.Request] = []
        self.time = 0.0
        self.slept: list[float] = []
        self.credential = Given("Application.ReadWrite.OwnedBy")

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if self.answers else self.always
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def adapter(self, **changes: Any) -> EntraAdapter:
        options = {
            "tenant_id": TENANT,
            "cloud": CLOUDS["global"],
            "network": Network(),
            "waiter": Waiter(lambda: self.time, self.sleep, random.Random(0)),
            "credential": self.credential,
            "transport": httpx.MockTransport(self.handle),
        }
        return EntraAdapter(**(options | changes))


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def entra(world: World) -> AsyncIterator[EntraAdapter]:
    async with world.adapter() as adapter:
        yield adapter


def refused(
    status: int,
    code: str = "Request_BadRequest",
    message: str = "",
    inner: str = "innerError",
    **headers: str,
) -> httpx.Response:
    details = (
        [{"code": "ObjectConflict", "message": message, "target": "uniqueName"}]
        if "uniqueName" in message
        else []
    )
    body = {
        "error": {
            "code": code,
            "message": message,
            "details": details,
            inner: {
                "date": "2026-01-01T00:00:00",
                "request-id": "inner-request",
                "client-request-id": "inner-client",
            },
        }
    }
    return httpx.Response(status, json=body, headers=headers)


SPEC = ApplicationSpec("name", "unique-name", ("tag",), frozenset(), (ID,))
END = datetime(2027, 1, 1, tzinfo=UTC)
NOT_THERE = "Resource 'x' does not exist or one of its queried reference-property objects are not present."


def create(entra: EntraAdapter) -> Any:
    return entra.create_application(SPEC)


def update(entra: EntraAdapter) -> Any:
    return entra.update_application(AppObjectId(ID), tags=["x"])


def assign(entra: EntraAdapter) -> Any:
    return entra.assign_role(ServicePrincipalObjectId(ID), ServicePrincipalObjectId(OTHER), ID)


def grant(entra: EntraAdapter) -> Any:
    return entra.grant_scopes(
        ServicePrincipalObjectId(ID), ServicePrincipalObjectId(OTHER), frozenset({"User.Read"}), None
    )


def add(entra: EntraAdapter) -> Any:
    return entra.add_secret(AppObjectId(ID), display_name="name", end_date_time=END)


def principal(entra: EntraAdapter) -> Any:
    return entra.create_service_principal(AppId(ID))


REFUSALS: list[tuple[Any, httpx.Response, type[BootstrapError], str]] = [
    (create, refused(401, "InvalidAuthenticationToken", "expired"), Denied, "operator-token-refused"),
    (create, refused(403, "Authorization_RequestDenied"), Denied, "entra-permission-missing"),
    (create, refused(403, "Directory_QuotaExceeded"), AdminActionRequired, "quota-exceeded"),
    (
        create,
        refused(400, "ServiceTreeValueMissing"),
        AdminActionRequired,
        "service-management-reference-required",
    ),
    (
        create,
        refused(400, "SignInAudienceNotAllowedAsPerAppPolicy"),
        AdminActionRequired,
        "tenant-policy-forbids",
    ),
    (
        create,
        refused(400, message="Another object with the same value for property uniqueName already exists."),
        AlreadyExists,
        "unique-name-taken",
    ),
    (create, refused(400, message="Invalid value specified"), UnexpectedAnswer, "unexpected-answer"),
    (create, refused(429, "TooManyRequests"), Throttled, "entra-throttled"),
    (create, refused(503, "Directory_ConcurrencyViolation"), ServiceUnavailable, "entra-concurrent-change"),
    (create, refused(409, "Directory_ConcurrencyViolation"), ServiceUnavailable, "entra-concurrent-change"),
    (create, refused(500, "InternalServerError"), ServiceUnavailable, "entra-unavailable"),
    (create, refused(502, "BadGateway"), ServiceUnavailable, "entra-unavailable"),
    (create, refused(504, "GatewayTimeout"), ServiceUnavailable, "entra-unavailable"),
    (create, refused(424, "FailedDependency"), ServiceUnavailable, "entra-unavailable"),
    (create, refused(409, "Something_Else", "in the way"), Conflict, "entra-conflict"),
    (update, refused(404, "Request_ResourceNotFound", NOT_THERE), NotFound, "entra-object-not-found"),
    (update, refused(400, message=NOT_THERE), NotFound, "entra-object-not-found"),
    (
        principal,
        refused(403, "Authorization_RequestDenied", "Insufficient"),
        Denied,
        "entra-permission-missing",
    ),
    (assign, refused(403, "Authorization_RequestDenied"), AdminActionRequired, "consent-required"),
    (
        assign,
        refused(400, message=f"Permission being assigned was not found on application '{ID}'."),
        NotFound,
        "permission-not-offered",
    ),
    (grant, refused(403, "Authorization_RequestDenied"), AdminActionRequired, "consent-required"),
    (
        add,
        refused(400, "CredentialTypeNotAllowedAsPerAppPolicy", f"not allowed as per assigned policy '{ID}'."),
        AdminActionRequired,
        "secrets-forbidden-by-policy",
    ),
    (
        add,
        refused(400, "CredentialInvalidLifetimeAsPerAppPolicy", f"exceeds … assigned policy '{ID}'."),
        AdminActionRequired,
        "secret-lifetime-exceeds-policy",
    ),
    (add, refused(403, "Directory_ResourceSizeExceeded"), AdminActionRequired, "too-many-secrets"),
    (add, refused(400, "TooManyCredentials"), AdminActionRequired, "too-many-secrets"),
    (add, refused(400, "TooManyAppPasswords"), AdminActionRequired, "too-many-secrets"),
    (
        add,
        refused(400, message="You can only add a maximum of 2 encrypted credentials."),
        AdminActionRequired,
        "too-many-secrets",
    ),
    (
        add,
        refused(400, message="The credential limit has been reached."),
        AdminActionRequired,
        "too-many-secrets",
    ),
    (update, refused(401, "Authorization_IdentityNotFound"), Denied, "operator-not-in-tenant"),
    (update, refused(403, "Authorization_IdentityNotFound"), Denied, "operator-not-in-tenant"),
    (
        update,
        refused(
            401,
            "InvalidAuthenticationToken",
            "Continuous access evaluation resulted in challenge with result: InteractionRequired and code: "
            "TokenIssuedBeforeRevocationTimestamp",
        ),
        Denied,
        "access-revoked",
    ),
    (add, refused(404, "Request_ResourceNotFound", NOT_THERE), NotFound, "entra-object-not-found"),
    (add, refused(400, message="Something about the display name"), UnexpectedAnswer, "unexpected-answer"),
    (add, httpx.Response(200, json={"keyId": ID, "secretText": None}), Unreachable, "secret-reply-lost"),
    (add, httpx.Response(200, text="<html>proxy</html>"), Unreachable, "secret-reply-lost"),
    (add, httpx.Response(204), Unreachable, "secret-reply-lost"),
    (add, refused(503, "ServiceUnavailable"), Unreachable, "secret-reply-lost"),
    (
        create,
        httpx.Response(403, text="<html>blocked by proxy</html>"),
        UnexpectedAnswer,
        "unexpected-answer",
    ),
    (create, httpx.Response(404), UnexpectedAnswer, "unexpected-answer"),
    (
        create,
        httpx.Response(302, headers={"location": "https://portal/"}),
        UnexpectedAnswer,
        "unexpected-answer",
    ),
    (
        update,
        httpx.Response(302, headers={"location": "https://portal/"}),
        UnexpectedAnswer,
        "unexpected-answer",
    ),
    (create, httpx.Response(201, json=["no", "object"]), UnexpectedAnswer, "unexpected-answer"),
    (create, httpx.Response(201, json={"id": ID}), UnexpectedAnswer, "unexpected-answer"),
    (create, httpx.Response(201), UnexpectedAnswer, "unexpected-answer"),
]


@pytest.mark.parametrize(
    ("call", "answer", "kind", "code"),
    REFUSALS,
    ids=[f"{call.__name__}-{answer.status_code}-{code}" for call, answer, _, code in REFUSALS],
)
async def test_every_refusal_has_its_error(
    world: World,
    entra: EntraAdapter,
    call: Any,
    answer: httpx.Response,
    kind: type[BootstrapError],
    code: str,
) -> None:
    world.always = answer
    with pytest.raises(BootstrapError) as caught:
        await call(entra)
    error = caught.value
    assert (type(error), error.code) == (kind, code)
    assert kind is CODES[code].kind
    assert error.__cause__ is None
    assert error.__context__ is None
    assert "?" not in error.message + error.remedy
    assert error.trace is not None
    assert error.trace.status == answer.status_code
    assert error.trace.path.startswith("/")
    assert error.trace.correlation_id
    if not isinstance(error, Temporary) or call is add:
        assert world.slept == []


async def test_a_proxy_that_wants_a_password_is_asked_once(world: World, entra: EntraAdapter) -> None:
    world.always = httpx.Response(407, text="proxy")
    with pytest.raises(Denied, match=r"\[proxy-authentication-required\]"):
        await create(entra)
    assert world.slept == []


async def test_ids_of_an_error_are_found_however_they_are_spelt(world: World, entra: EntraAdapter) -> None:
    for inner in ("innerError", "innererror", "InnerError"):
        world.always = refused(400, message="x", inner=inner)
        with pytest.raises(UnexpectedAnswer) as caught:
            await entra.organization()
        assert caught.value.trace is not None
        assert caught.value.trace.request_id == "inner-request"
    world.always = refused(400, message="x", **{"request-id": "outer", "client-request-id": "echo"})
    with pytest.raises(UnexpectedAnswer) as caught:
        await entra.organization()
    assert caught.value.trace is not None
    assert (caught.value.trace.request_id, caught.value.trace.correlation_id) == ("outer", "echo")


@pytest.mark.parametrize(
    ("roles", "missing"),
    [
        ((), "Application.ReadWrite.OwnedBy"),
        (("Application.ReadWrite.OwnedBy",), "Application.ReadWrite.All"),
        (("Application.ReadWrite.All",), "Application.ReadWrite.OwnedBy"),
    ],
)
async def test_what_a_refused_service_principal_lacks(
    world: World, entra: EntraAdapter, roles: tuple[str, ...], missing: str
) -> None:
    world.credential.roles = list(roles)
    world.always = refused(403, "Authorization_RequestDenied")
    with pytest.raises(Denied) as caught:
        await update(entra)
    assert caught.value.facts["missing_permission"] == missing
    assert "Cloud Application Administrator" in caught.value.remedy


def test_what_a_refused_person_lacks() -> None:
    claims = TokenClaims(TENANT, ID, AppId(OTHER), scopes=frozenset({"User.Read"}), user_principal_name="a@b")
    assert operations.UPDATE_APPLICATION.lack(claims)[1] == "Application.ReadWrite.All"
    enough = replace(claims, scopes=frozenset({"Application.ReadWrite.All"}))
    assert operations.UPDATE_APPLICATION.lack(enough)[1].startswith("Cloud Application Administrator")
    assert operations.ASSIGN_ROLE.lack(enough)[1] == "AppRoleAssignment.ReadWrite.All"


# --- retries


async def test_transient_answers_are_retried_with_retry_after(world: World, entra: EntraAdapter) -> None:
    world.answers = [
        refused(429, "TooManyRequests", **{"Retry-After": "11"}),
        refused(503, "x", **{"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}),
        httpx.ConnectError("refused"),
        httpx.ReadError("gone"),
        httpx.Response(500),
        refused(409, "Directory_ConcurrencyViolation"),
    ]
    world.always = httpx.Response(200, json={"value": [{"id": TENANT, "displayName": "Contoso"}]})
    assert (await entra.organization()).display_name == "Contoso"
    assert len(world.requests) == 7
    assert len(world.slept) == 6
    assert world.slept[0] >= 11


@pytest.mark.parametrize(
    "failure", [httpx.ConnectError("x"), httpx.ConnectTimeout("x"), httpx.ProxyError("x")]
)
async def test_a_secret_request_that_was_never_sent_is_sent_again(
    world: World, entra: EntraAdapter, failure: Exception
) -> None:
    world.answers = [failure, failure]
    world.always = httpx.Response(
        200, json={"keyId": ID, "secretText": CANARY, "endDateTime": "2027-01-01T00:00:00Z"}
    )
    new = await add(entra)
    assert new.secret_text.reveal() == CANARY
    assert CANARY not in repr(new)
    assert len(world.requests) == 3


@pytest.mark.parametrize(
    "failure",
    [
        httpx.ReadError("x"),
        httpx.ReadTimeout("x"),
        httpx.WriteError("x"),
        httpx.WriteTimeout("x"),
        httpx.RemoteProtocolError("x"),
    ],
)
async def test_a_secret_request_that_may_have_arrived_is_never_sent_again(
    world: World, entra: EntraAdapter, failure: Exception
) -> None:
    world.always = failure
    with pytest.raises(Unreachable) as caught:
        await add(entra)
    assert caught.value.sent
    assert caught.value.trace is not None
    assert (caught.value.trace.method, caught.value.trace.path) == ("POST", f"/applications/{ID}/addPassword")
    assert len(world.requests) == 1
    assert world.slept == []


async def test_the_sdk_itself_never_repeats(world: World, entra: EntraAdapter) -> None:
    # kiota would send 429, 503 and 504 three times more, also POST.
    for status in (429, 503, 504):
        world.requests.clear()
        world.answers = [refused(status, "x")]
        world.always = httpx.Response(200, json={"value": [{"id": TENANT}]})
        await entra.organization()
        assert len(world.requests) == 2
        assert "Retry-Attempt" not in world.requests[-1].headers


def application(**changes: Any) -> httpx.Response:
    body = {"id": ID, "appId": OTHER, "displayName": "name", "passwordCredentials": []} | changes
    return httpx.Response(201, json=body)


NEW_APPLICATION_REFUSALS = [
    refused(404, "Request_ResourceNotFound", NOT_THERE),
    refused(400, message=NOT_THERE),
    refused(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation."),
]


@pytest.mark.parametrize("answer", NEW_APPLICATION_REFUSALS, ids=lambda answer: str(answer.status_code))
async def test_a_new_application_is_waited_for(
    world: World, entra: EntraAdapter, answer: httpx.Response
) -> None:
    world.answers = [application(), answer, answer, answer]
    world.always = httpx.Response(204)
    made = await create(entra)
    assert made.unique_name == "unique-name"
    await update(entra)
    assert len(world.requests) == 5
    assert len(world.slept) == 3


@pytest.mark.parametrize("answer", NEW_APPLICATION_REFUSALS, ids=lambda answer: str(answer.status_code))
async def test_an_old_application_is_not_waited_for(
    world: World, entra: EntraAdapter, answer: httpx.Response
) -> None:
    world.answers = [application()]
    world.always = answer
    await create(entra)
    world.time += 1000
    with pytest.raises((NotFound, Denied)):
        await update(entra)
    assert world.slept == []


PRINCIPAL_WAITS = [
    refused(
        400,
        message=f"The appId '{ID}' of the service principal does not reference a valid application object.",
    ),
    refused(400, "NoBackingApplicationObject", "whatever"),
    refused(404, "Request_ResourceNotFound", NOT_THERE),
    refused(
        403,
        "Authorization_RequestDenied",
        "When using this permission, the backing application of the service principal being created must in the local tenant",
    ),
]


@pytest.mark.parametrize("answer", PRINCIPAL_WAITS)
async def test_the_service_principal_waits_for_its_application(
    world: World, entra: EntraAdapter, answer: httpx.Response
) -> None:
    world.answers = [answer, answer]
    world.always = httpx.Response(201, json={"id": OTHER, "appId": ID})
    made = await principal(entra)
    assert made.service_principal_object_id == OTHER
    assert len(world.slept) == 2


async def test_an_existing_service_principal_is_fetched_once_it_is_visible(
    world: World, entra: EntraAdapter
) -> None:
    world.answers = [
        refused(409, "Request_MultipleObjectsWithSameKeyValue", "already in use"),
        refused(404, "Request_ResourceNotFound", NOT_THERE),
    ]
    world.always = httpx.Response(200, json={"id": OTHER, "appId": ID, "accountEnabled": False})
    made = await principal(entra)
    assert not made.account_enabled
    assert [request.method for request in world.requests] == ["POST", "GET", "GET"]


DUPLICATES = [
    refused(400, message="Permission being assigned already exists on the object"),
    refused(400, message="EntitlementGrant entry already exists."),
    refused(400, "Request_MultipleObjectsWithSameKeyValue", "EntitlementGrant entry already exists."),
    refused(409, "Request_MultipleObjectsWithSameKeyValue", "Permission entry already exists."),
]


@pytest.mark.parametrize("answer", DUPLICATES)
async def test_an_existing_assignment_is_believed_only_after_reading_it(
    world: World, entra: EntraAdapter, answer: httpx.Response
) -> None:
    other = {"id": "a", "appRoleId": OTHER, "principalId": ID, "resourceId": OTHER}
    world.answers = [
        refused(400, message="Not a valid reference update."),
        answer,
        httpx.Response(200, json={"value": [other]}),
    ]
    world.always = httpx.Response(200, json={"value": [other, other | {"appRoleId": ID.upper()}]})
    await assign(entra)
    assert [request.method for request in world.requests] == ["POST", "POST", "GET", "GET"]


async def test_an_assignment_that_never_shows_is_no_success(world: World, entra: EntraAdapter) -> None:
    world.answers = [DUPLICATES[0]]
    world.always = httpx.Response(200, json={"value": []})
    with pytest.raises(Temporary) as caught:
        await assign(entra)
    assert caught.value.code == "grant-not-visible"


async def test_a_refused_token_is_replaced_once(world: World, entra: EntraAdapter) -> None:
    world.answers = [refused(401, "InvalidAuthenticationToken", "expired")]
    world.always = httpx.Response(200, json={"value": [{"id": TENANT}]})
    await entra.organization()
    assert world.credential.asked == 2
    world.always = refused(401, "InvalidAuthenticationToken", "expired")
    with pytest.raises(Denied) as caught:
        await entra.organization()
    assert caught.value.code == "operator-token-refused"
    assert world.credential.asked == 3


async def test_a_claims_challenge_reaches_the_credential(world: World) -> None:
    asked: list[str | None] = []

    class Challenged(Given):
        def get_token(self, *scopes: str, **options: Any) -> AccessToken:
            asked.append(options.get("claims"))
            assert options["enable_cae"] is True
            assert scopes == ("https://graph.microsoft.com/.default",)
            return super().get_token()

    world.answers = [
        httpx.Response(
            401,
            headers={
                "WWW-Authenticate": 'Bearer realm="", error="insufficient_claims", claims="eyJhIjoxfQ=="'
            },
            json={"error": {"code": "InvalidAuthenticationToken", "message": "x"}},
        )
    ]
    world.always = httpx.Response(200, json={"value": [{"id": TENANT}]})
    async with world.adapter(credential=Challenged()) as entra:
        await entra.organization()
    assert asked == [None, '{"a":1}']


# --- requests


async def test_requests_as_they_are_sent(world: World, entra: EntraAdapter) -> None:
    world.always = application()
    await entra.create_application(replace(SPEC, notes="note", service_management_reference="ref"))
    request = world.requests[0]
    assert str(request.url) == "https://graph.microsoft.com/v1.0/applications"
    assert request.headers["authorization"].startswith("Bearer ey")
    assert request.headers["client-request-id"]
    assert request.headers["user-agent"].startswith("authentik-entra-bootstrap")
    body = json.loads(request.content)
    body.pop("@odata.type", None)
    assert body == {
        "displayName": "name",
        "uniqueName": "unique-name",
        "signInAudience": "AzureADMyOrg",
        "tags": ["tag"],
        "notes": "note",
        "requiredResourceAccess": [],
        "serviceManagementReference": "ref",
        "owners@odata.bind": [f"https://graph.microsoft.com/v1.0/directoryObjects/{ID}"],
    }
    world.always = httpx.Response(204)
    await entra.update_application(AppObjectId(ID), tags=[], requested_access=frozenset())
    body = json.loads(world.requests[-1].content)
    body.pop("@odata.type", None)
    assert body == {"tags": [], "requiredResourceAccess": []}


async def test_keys_that_would_change_the_address_are_refused(world: World, entra: EntraAdapter) -> None:
    for name in ("it's", "a/b", "", "a b", "a'or'", "é", "x" * 129):
        with pytest.raises(ConfigError, match="unique-name-invalid"):
            await entra.find_application(name)
    for call in (
        entra.application(AppObjectId("../users")),
        entra.application_by_app_id(AppId("x' or '1")),
        entra.remove_secret(AppObjectId(ID), KeyId("none")),
        entra.find_service_principal(AppId("")),
    ):
        with pytest.raises(ConfigError, match="id-invalid"):
            await call
    assert world.requests == []


async def test_pages_are_followed_verbatim_and_nowhere_else(world: World, entra: EntraAdapter) -> None:
    link = "https://graph.microsoft.com/v1.0/applications/x/owners?$skiptoken=A%2fb'c"
    world.answers = [
        httpx.Response(200, json={"value": [{"id": "1"}], "@odata.nextLink": link}),
        httpx.Response(200, json={"value": [], "@odata.nextLink": link + "2"}),
        httpx.Response(200, json={"value": [{"id": "2"}]}),
    ]
    assert await entra.owners(AppObjectId(ID)) == {"1", "2"}
    assert str(world.requests[1].url) == link
    for wrong in ("https://evil.example/v1.0/applications", "http://graph.microsoft.com/v1.0/applications"):
        world.requests.clear()
        world.always = httpx.Response(200, json={"value": [], "@odata.nextLink": wrong})
        with pytest.raises(UnexpectedAnswer):
            await entra.owners(AppObjectId(ID))
        assert len(world.requests) == 1
    world.always = httpx.Response(200, json={"value": [], "@odata.nextLink": link})
    with pytest.raises(UnexpectedAnswer):
        await entra.owners(AppObjectId(ID))


async def test_remove_secret_tells_what_it_cannot_know(world: World, entra: EntraAdapter) -> None:
    world.always = httpx.Response(204)
    assert await entra.remove_secret(AppObjectId(ID), KeyId(OTHER)) is True
    world.always = refused(400, message=f"No password credential found with keyId {OTHER}.")
    assert await entra.remove_secret(AppObjectId(ID), KeyId(OTHER)) is False


async def test_use_outside_of_the_context() -> None:
    adapter = World().adapter()
    with pytest.raises(RuntimeError):
        await adapter.organization()
    with pytest.raises(ConfigError) as caught:
        World().adapter(login="password")
    assert caught.value.code == "entra-login-unknown"
    assert "device-code" in caught.value.remedy


# --- the token service

WHO = {
    "operator": SignIn("operator", TENANT, ID, "login.example"),
    "sync": SignIn("sync", TENANT, ID, "login.example"),
}


def answered(number: int = 0, status: int = 400, **changes: Any) -> Exchange:
    values = {
        "readable": True,
        "error": "invalid_client",
        "numbers": (number,) if number else (),
        "text": f"AADSTS{number}: some text",
        "request_id": "trace",
        "correlation_id": "correlation",
    }
    return Exchange("POST", "login.example", "/t/oauth2/v2.0/token", status, **(values | changes))


TOKEN_ROWS = [
    (7000215, "operator-secret-wrong", "secret-not-accepted"),
    (7000222, "operator-secret-expired", "secret-expired"),
    (700016, "application-not-found", "application-not-found"),
    (90002, "tenant-not-found", "tenant-not-found"),
    (900023, "tenant-not-found", "tenant-not-found"),
    (53003, "conditional-access", "conditional-access"),
    (65001, "consent-required", "consent-required"),
    (7000112, "application-disabled", "application-disabled"),
    (50076, "interaction-required", "interaction-required"),
    (700027, "operator-credential-invalid", "operator-credential-invalid"),
    (90033, "entra-unavailable", "entra-unavailable"),
    (1234567, "sign-in-failed", "sign-in-failed"),
    (50196, "entra-throttled", "entra-throttled"),
    *(
        (number, "conditional-access", "conditional-access")
        for number in (50131, 53004, 530003, 530004, 530032)
    ),
    *((number, "interaction-required", "interaction-required") for number in (50074, 50078, 50097)),
    (1000502, "operator-certificate-expired", "operator-certificate-expired"),
    (50105, "assignment-required", "assignment-required"),
    (501051, "assignment-required", "assignment-required"),
]


@pytest.mark.parametrize("identity", ["operator", "sync"])
@pytest.mark.parametrize("row", TOKEN_ROWS, ids=lambda row: str(row[0]))
def test_every_number_has_its_error(row: tuple[int, str, str], identity: str) -> None:
    error = token_fault(WHO[identity], [answered(row[0])], "")
    assert error.code == row[1 if identity == "operator" else 2]
    assert error.trace is not None
    assert error.trace.line().startswith("entra POST /t/oauth2/v2.0/token: 400 AADSTS")
    assert error.trace.request_id == "trace"
    assert error.facts["aadsts"] == str(row[0])
    assert "?" not in error.message + error.remedy


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (answered(status=429, retry_after=9.0), "entra-throttled"),
        (answered(status=429, readable=False, error=""), "entra-throttled"),
        (answered(status=503, readable=False, error=""), "entra-unavailable"),
        (answered(7000215, status=500), "entra-unavailable"),
        (answered(error="authorization_declined"), "sign-in-declined"),
        (answered(error="expired_token"), "sign-in-expired"),
        (answered(status=403, readable=False, error="", content_type="text/html"), "unexpected-answer"),
        (answered(status=302, error=""), "unexpected-answer"),
        (answered(error="invalid_scope"), "sign-in-failed"),
        (answered(status=0, unanswered=fault("entra-reply-lost")), "entra-reply-lost"),
    ],
)
def test_other_answers_of_the_token_service(answer: Exchange, code: str) -> None:
    error = token_fault(WHO["operator"], [answered(7000215), answer], "library text")
    assert error.code == code
    if code == "entra-throttled":
        assert isinstance(error, Throttled)
        assert error.retry_after == answer.retry_after


def test_a_request_loop_is_temporary_although_the_answer_is_400() -> None:
    assert isinstance(token_fault(WHO["operator"], [answered(50196)], ""), Temporary)


@pytest.mark.parametrize(
    ("minutes", "words"),
    [
        (7, "this machine's clock is 7 minutes behind"),
        (-12, "this machine's clock is 12 minutes ahead"),
        (1, "this machine's clock is 1 minute behind"),
    ],
)
def test_an_assertion_out_of_its_time_range_tells_how_far_the_clock_is_off(minutes: int, words: str) -> None:
    now = datetime(2026, 11, 1, 12, tzinfo=UTC)
    refused = answered(700024, status=401, date=now + timedelta(minutes=minutes))
    error = token_fault(WHO["operator"], [refused], "", now=now)
    assert error.code == "clock-off"
    assert words in error.message


@pytest.mark.parametrize("told", [None, datetime(2026, 11, 1, 12, 0, 20, tzinfo=UTC)])
def test_an_assertion_out_of_its_time_range_with_a_good_clock_is_the_credentials_fault(
    told: datetime | None,
) -> None:
    now = datetime(2026, 11, 1, 12, tzinfo=UTC)
    error = token_fault(WHO["operator"], [answered(700024, date=told)], "", now=now)
    assert error.code == "operator-credential-invalid"


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"<html>sign in to the proxy</html>", "text/html"),
        (b"garbage", "application/json"),
        (b"[]", "application/json"),
        (b"{}", "application/json"),
        (b'{"token_type": "Bearer", "expires_in": 3599}', "application/json"),
        (b"", ""),
    ],
)
def test_a_success_without_a_token_is_an_unexpected_answer(content: bytes, content_type: str) -> None:
    answer = reply(200, content, {"Content-Type": content_type})
    error = token_fault(WHO["operator"], [answer], "ClientSecretCredential: no token")
    assert error.code == "unexpected-answer"
    assert "HTTP 200" in error.message


def test_the_time_that_the_token_service_tells_is_kept() -> None:
    answer = reply(400, b"{}", {"Date": "Sun, 01 Nov 2026 12:00:00 GMT"})
    assert answer.date == datetime(2026, 11, 1, 12, tzinfo=UTC)
    assert reply(400, b"{}", {"Date": "soon"}).date is None


def reply(status: int, content: bytes, headers: dict[str, str]) -> Exchange:
    request = httpx.Request("POST", "https://login.example/t/oauth2/v2.0/token")
    return exchange(httpx.Response(status, content=content, headers=headers, request=request))


def test_nobody_signed_in_says_what_was_tried() -> None:
    text = (
        "DefaultAzureCredential failed to retrieve a token from the included credentials.\n"
        "Attempted credentials:\n"
        "\tEnvironmentCredential: EnvironmentCredential authentication unavailable. Environment variables …\n"
        "\tAzureCliCredential: Azure CLI not found on path\n"
        "To mitigate this issue, please refer to …"
    )
    metadata = replace(answered(), host="169.254.169.254", unanswered=fault("entra-unreachable"))
    error = token_fault(WHO["operator"], [metadata], text)
    assert error.code == "no-operator-identity"
    assert error.facts["tried"] == (
        "EnvironmentCredential: EnvironmentCredential authentication unavailable; "
        "AzureCliCredential: Azure CLI not found on path"
    )
    error = token_fault(WHO["operator"], [], "ERROR: AADSTS700082: The refresh token has expired.")
    assert error.code == "interaction-required"


def test_all_codes_in_use_are_in_the_table() -> None:
    folder = Path(__file__).parents[3] / "authentik_entra_bootstrap" / "entra"
    used = {code for pair in NUMBERS.values() for code in pair}
    assert used <= set(CODES)
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


# --- tokens


def test_claims_of_a_token() -> None:
    claims = read_claims(jwt(roles=["A", "B"], exp=1_800_000_000))
    assert (claims.tenant_id, claims.object_id, claims.app_id) == (TENANT, ID, OTHER)
    assert claims.roles == {"A", "B"}
    assert claims.is_app_only
    person = read_claims(
        jwt(scp="User.Read openid", wids=["w"], unique_name="a@b.example", azp="z", appid=None)
    )
    assert person.scopes == {"User.Read", "openid"}
    assert person.directory_roles == {"w"}
    assert person.user_principal_name == "a@b.example"
    assert person.app_id == "z"
    for broken in ("opaque", "a.b.c", "a.e30.c", "a.bnVsbA.c"):
        with pytest.raises(UnexpectedAnswer):
            read_claims(broken)


async def test_a_token_of_another_tenant_is_refused(world: World) -> None:
    async with world.adapter(tenant_id=TenantId(OTHER)) as entra:
        with pytest.raises(Denied) as caught:
            await entra.operator()
        assert caught.value.code == "wrong-tenant"
        with pytest.raises(Denied):
            await entra.organization()
    assert world.requests == []
    async with world.adapter(tenant_id=TenantId(TENANT.upper())) as entra:
        assert (await entra.operator()).tenant_id == TENANT


async def test_the_token_is_kept_until_it_is_about_to_expire(world: World, entra: EntraAdapter) -> None:
    world.always = httpx.Response(200, json={"value": [{"id": TENANT}]})
    for _ in range(3):
        await entra.organization()
    assert world.credential.asked == 1
    entra._tokens._token = AccessToken(jwt(), 0)
    await entra.organization()
    assert world.credential.asked == 2


async def test_credentials_that_fail_in_their_own_way(world: World) -> None:
    class Failing:
        def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
            raise KeyError(CANARY)

    async with world.adapter(credential=Failing()) as entra:
        with pytest.raises(Denied) as caught:
            await entra.operator()
    assert caught.value.code == "no-operator-identity"
    assert CANARY not in repr(caught.value) + repr(vars(caught.value))
    assert caught.value.__context__ is None


def test_a_token_is_never_shown_by_its_session() -> None:
    from authentik_entra_bootstrap.entra.adapter import OneToken

    text = jwt()
    token = OneToken(AccessToken(text, 0))
    assert text not in repr(token) + repr(vars(token))


async def test_concurrent_requests_share_one_new_token(world: World, entra: EntraAdapter) -> None:
    import asyncio

    def answer(request: httpx.Request) -> httpx.Response:
        if world.credential.asked == 1:
            return refused(401, "InvalidAuthenticationToken", "expired")
        return httpx.Response(200, json={"value": [{"id": TENANT}]})

    world.always = answer
    await asyncio.gather(*(entra.organization() for _ in range(5)))
    assert world.credential.asked == 2


async def test_a_true_403_on_an_old_application_is_told_at_once(world: World, entra: EntraAdapter) -> None:
    old = httpx.Response(
        200,
        json={"id": ID, "appId": OTHER, "createdDateTime": "2026-01-01T00:00:00Z"},
        headers={"Date": "Thu, 01 Jan 2026 00:05:00 GMT"},
    )
    young = httpx.Response(
        200,
        json={"id": ID, "appId": OTHER, "createdDateTime": "2026-01-01T00:00:00Z"},
        headers={"Date": "Thu, 01 Jan 2026 00:00:05 GMT"},
    )
    for found, waits in ((old, False), (young, True)):
        async with world.adapter() as adapter:
            world.slept.clear()
            world.answers = [found]
            world.always = refused(403, "Authorization_RequestDenied")
            await adapter.application(AppObjectId(ID))
            with pytest.raises(Denied):
                await update(adapter)
            assert bool(world.slept) is waits
            assert sum(world.slept) <= 60


async def test_a_restore_whose_reply_was_lost(world: World, entra: EntraAdapter) -> None:
    gone = refused(404, "Request_ResourceNotFound", NOT_THERE)
    world.answers = [httpx.ReadError("lost"), gone, httpx.Response(200, json={"id": ID, "appId": OTHER})]
    await entra.restore_application(AppObjectId(ID))
    assert [request.method for request in world.requests] == ["POST", "POST", "GET"]
    world.always = gone
    with pytest.raises(NotFound):
        await entra.restore_application(AppObjectId(ID))


async def test_a_tenant_without_organization(world: World, entra: EntraAdapter) -> None:
    world.always = httpx.Response(200, json={"value": []})
    with pytest.raises(UnexpectedAnswer, match="no organization"):
        await entra.organization()


async def test_policies_that_cannot_be_read_are_not_known(world: World, entra: EntraAdapter) -> None:
    world.always = refused(403, "Authorization_RequestDenied")
    assert not (await entra.secret_policy(AppObjectId(ID))).known
    world.always = refused(400, "Request_BadRequest", "else")
    with pytest.raises(UnexpectedAnswer):
        await entra.secret_policy(None)
    # Too new for the replica: the default policy counts.
    world.answers = [refused(404, "Request_ResourceNotFound", NOT_THERE)]
    world.always = httpx.Response(200, json={"id": OTHER, "isEnabled": False})
    assert (await entra.secret_policy(AppObjectId(ID))).known


async def test_grants_of_single_users_are_not_the_one_for_all(world: World, entra: EntraAdapter) -> None:
    grant = {"id": "g", "clientId": ID, "resourceId": OTHER, "consentType": "Principal", "scope": "User.Read"}
    world.always = httpx.Response(
        200, json={"value": [grant, grant | {"resourceId": ID, "consentType": "AllPrincipals"}]}
    )
    ids = (ServicePrincipalObjectId(ID), ServicePrincipalObjectId(OTHER))
    assert await entra.delegated_grant(*ids) is None
    assert "AllPrincipals" in str(world.requests[0].url)
