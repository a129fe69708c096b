"""Requests to Microsoft Graph: as they are sent, repeated where that helps, and ended in any case."""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.core.credentials import AccessToken

import authentik_entra_bootstrap
from authentik_entra_bootstrap.domain import (
    AppId,
    AppObjectId,
    DelegatedGrant,
    KeyId,
)
from authentik_entra_bootstrap.entra import graph
from authentik_entra_bootstrap.entra.adapter import EntraAdapter
from authentik_entra_bootstrap.errors import (
    BootstrapError,
    ConfigError,
    Denied,
    ExitCode,
    NotFound,
    Temporary,
    Throttled,
    UnexpectedAnswer,
    Unreachable,
)
from authentik_entra_bootstrap.support.network import ANSWER_LIMIT

from .conftest import (
    APPLICATION,
    CANARY,
    CLIENT,
    CONTOSO,
    ID,
    NOT_THERE,
    OTHER,
    PRINCIPAL,
    RESOURCE,
    SPEC,
    TENANT,
    WRITES,
    Given,
    Service,
    refused,
)

UNKNOWN = refused(404, "Request_ResourceNotFound", NOT_THERE)
FORBIDDEN = refused(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
EXPIRED = refused(401, "InvalidAuthenticationToken", "expired")
CREATED = httpx.Response(201, json={"id": ID, "appId": OTHER, "displayName": "name"})
DONE = httpx.Response(204)
MADE = httpx.Response(200, json={"keyId": ID, "secretText": CANARY, "endDateTime": "2027-01-01T00:00:00Z"})
create, update, add = WRITES["create"], WRITES["update"], WRITES["add secret"]


def listed(*items: dict[str, Any], **more: str) -> httpx.Response:
    return httpx.Response(200, json={"value": list(items), **more})


def sent(service: Service) -> dict[str, Any]:
    """The last request's body, without what only the SDK adds."""
    return {
        name: value
        for name, value in json.loads(service.requests[-1].content).items()
        if name != "@odata.type"
    }


# --- how it is sent


@pytest.mark.parametrize("call", ["find_application", "managed_applications", "graph_principal", "granted"])
async def test_a_read_passes_at_most_six_frames_of_ours(
    service: Service, entra: EntraAdapter, call: str
) -> None:
    ours = str(Path(authentik_entra_bootstrap.__file__).parent)
    depth: list[int] = []

    def answer(_: httpx.Request) -> httpx.Response:
        frame, found = sys._getframe(), 0
        while frame is not None:
            found += frame.f_code.co_filename.startswith(ours)
            frame = frame.f_back
        depth.append(found)
        return httpx.Response(200, json={"id": ID, "appId": OTHER, "value": []})

    service.always = answer
    given = {"find_application": ["name"], "granted": [AppId(ID), PRINCIPAL]}
    await getattr(entra, call)(*given.get(call, []))
    assert depth
    assert max(depth) <= 6


async def test_requests_as_they_are_sent(service: Service, entra: EntraAdapter) -> None:
    service.always = CREATED
    await entra.create_application(replace(SPEC, notes="note", service_management_reference="ref"))
    request = service.requests[0]
    assert str(request.url) == "https://graph.microsoft.com/v1.0/applications"
    assert request.headers["authorization"].startswith("Bearer ey")
    assert request.headers["client-request-id"]
    assert request.headers["user-agent"].startswith("authentik-entra-bootstrap")
    assert sent(service) == {
        "displayName": "name",
        "uniqueName": "unique-name",
        "signInAudience": "AzureADMyOrg",
        "tags": ["tag"],
        "notes": "note",
        "requiredResourceAccess": [],
        "serviceManagementReference": "ref",
        "owners@odata.bind": [f"https://graph.microsoft.com/v1.0/directoryObjects/{ID}"],
    }
    service.always = DONE
    await entra.update_application(APPLICATION, tags=[], requested_access=frozenset())
    assert sent(service) == {"tags": [], "requiredResourceAccess": []}


async def test_keys_that_would_change_the_address_are_refused(service: Service, entra: EntraAdapter) -> None:
    for name in ("it's", "a/b", "", "a b", "a'or'", "é", "x" * 129):
        with pytest.raises(ConfigError, match="unique-name-invalid"):
            await entra.find_application(name)
    for call in (
        entra.application(AppObjectId("../users")),
        entra.application_by_app_id(AppId("x' or '1")),
        entra.remove_secret(APPLICATION, KeyId("none")),
        entra.find_service_principal(AppId("")),
    ):
        with pytest.raises(ConfigError, match="id-invalid"):
            await call
    assert service.requests == []


async def test_use_outside_of_the_context(service: Service) -> None:
    with pytest.raises(RuntimeError):
        await service.adapter().organization()
    with pytest.raises(ConfigError, match="entra-login-unknown") as caught:
        service.adapter(login="password")
    assert "device-code" in caught.value.remedy


async def test_reads_side_by_side_ask_for_their_own_objects(service: Service, entra: EntraAdapter) -> None:
    async def later(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)
        return httpx.Response(200, json={"id": request.url.path.rpartition("/")[2], "appId": OTHER})

    service.always = later
    ids = [ID, OTHER, TENANT]
    found = await asyncio.gather(*(entra.application(AppObjectId(key)) for key in ids))
    assert [item.app_object_id for item in found if item] == ids
    assert sorted(request.url.path.rpartition("/")[2] for request in service.requests) == sorted(ids)


async def test_what_is_granted_is_read_in_one_go(service: Service, entra: EntraAdapter) -> None:
    running, most = 0, 0

    async def later(request: httpx.Request) -> httpx.Response:
        nonlocal running, most
        running, most = running + 1, max(most, running + 1)
        for _ in range(5):
            await asyncio.sleep(0)
        running -= 1
        return httpx.Response(200, json={"id": ID, "appId": OTHER, "value": []})

    service.always = later
    await entra.granted(AppId(OTHER), PRINCIPAL)
    assert (len(service.requests), most) == (3, 3)


# --- repeated


async def test_transient_answers_are_retried_with_retry_after(service: Service, entra: EntraAdapter) -> None:
    # kiota would send 429, 503 and 504 three times more by itself, also POST.
    service.answers = [
        refused(429, "TooManyRequests", **{"Retry-After": "11"}),
        refused(503, "x", **{"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}),
        httpx.Response(504),
        httpx.ConnectError("refused"),
        httpx.ReadError("gone"),
        httpx.Response(500),
        refused(409, "Directory_ConcurrencyViolation"),
    ]
    assert (await entra.organization()).display_name == "Contoso"
    assert len(service.requests) == 8
    assert len(service.slept) == 7
    assert service.slept[0] >= 11
    assert not any("Retry-Attempt" in request.headers for request in service.requests)


@pytest.mark.parametrize("failure", [httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError])
async def test_a_secret_request_that_was_never_sent_is_sent_again(
    service: Service, entra: EntraAdapter, failure: Callable[[str], Exception]
) -> None:
    service.answers = [failure("x"), failure("x")]
    service.always = MADE
    new = await add(entra)
    assert new.secret_text.reveal() == CANARY
    assert CANARY not in repr(new)
    assert len(service.requests) == 3


@pytest.mark.parametrize(
    "failure",
    [httpx.ReadError, httpx.ReadTimeout, httpx.WriteError, httpx.WriteTimeout, httpx.RemoteProtocolError],
)
async def test_a_secret_request_that_may_have_arrived_is_never_sent_again(
    service: Service, entra: EntraAdapter, failure: Callable[[str], Exception]
) -> None:
    service.always = failure("x")
    with pytest.raises(Unreachable) as caught:
        await add(entra)
    assert caught.value.sent
    assert caught.value.trace is not None
    assert (caught.value.trace.method, caught.value.trace.path) == ("POST", f"/applications/{ID}/addPassword")
    assert len(service.requests) == 1
    assert service.slept == []


@pytest.mark.parametrize(
    "answer",
    [refused(429, "x", **{"Retry-After": "7"}), UNKNOWN, refused(409, "Directory_ConcurrencyViolation")],
)
async def test_a_secret_request_that_made_nothing_is_sent_again(
    service: Service, entra: EntraAdapter, answer: httpx.Response
) -> None:
    service.answers = [CREATED, answer, answer]
    service.always = MADE
    await create(entra)
    assert (await add(entra)).record.key_id == ID
    assert len(service.requests) == 4
    assert len(service.slept) == 2
    assert min(service.slept) >= (7 if answer.status_code == 429 else 0)


GRANT = {"id": "g", "clientId": ID, "resourceId": OTHER, "consentType": "AllPrincipals"}
OF_OTHERS = {**GRANT, "scope": "openid"}
IN_USE = refused(409, "Request_MultipleObjectsWithSameKeyValue", "Permission entry already exists.")
ASSIGNED = {"id": "a", "appRoleId": ID, "principalId": ID, "resourceId": OTHER}


@pytest.mark.parametrize(
    ("name", "answers", "methods"),
    [
        ("create", [CREATED], "POST POST"),
        ("update", [DONE], "PATCH PATCH"),
        ("principal", [IN_USE, httpx.Response(200, json={"id": OTHER, "appId": ID})], "POST POST GET"),
        ("assign", [IN_USE, listed(ASSIGNED)], "POST POST GET"),
        ("grant", [IN_USE, listed({**GRANT, "scope": "User.Read"})], "POST POST GET"),
        ("grant", [IN_USE, listed(OF_OTHERS), DONE], "POST POST GET PATCH"),
        ("remove secret", [refused(400, message="No password credential found with keyId.")], "POST POST"),
        ("delete", [UNKNOWN] * 4, "DELETE DELETE GET GET GET"),
    ],
)
async def test_a_write_that_may_be_repeated_is_sent_again_when_its_reply_was_lost(
    service: Service, entra: EntraAdapter, name: str, answers: list[httpx.Response], methods: str
) -> None:
    service.answers = [httpx.ReadError("lost"), *answers]
    await WRITES[name](entra)
    assert service.methods() == methods.split()
    if methods.endswith("GET PATCH"):
        assert sent(service)["scope"] == "User.Read openid", "theirs are kept"


async def test_granting_what_is_granted_already_sends_nothing(service: Service, entra: EntraAdapter) -> None:
    grant = DelegatedGrant("g", PRINCIPAL, RESOURCE, frozenset({"User.Read", "openid"}))
    await entra.grant_scopes(PRINCIPAL, RESOURCE, frozenset({"User.Read"}), grant)
    assert service.requests == []


async def test_the_services_time_comes_from_a_fresh_reply_and_needs_no_token(
    service: Service, entra: EntraAdapter
) -> None:
    for hour in (11, 12):
        service.always = httpx.Response(401, headers={"Date": f"Mon, 30 Nov 2026 {hour}:00:00 GMT"})
        assert await entra.service_time() == datetime(2026, 11, 30, hour, tzinfo=UTC)
    assert service.credential.asked == 0


async def test_retry_after_is_honoured_until_the_budget_ends(service: Service, entra: EntraAdapter) -> None:
    service.always = refused(429, "x", **{"Retry-After": "40"})
    with pytest.raises(Throttled) as caught:
        await entra.organization()
    assert caught.value.retry_after == 40
    assert [round(pause) for pause in service.slept] == [40, 40]


@pytest.mark.parametrize("status", [200, 403, 404])
async def test_a_page_in_the_place_of_an_answer_says_nothing_about_the_object(
    service: Service, entra: EntraAdapter, status: int
) -> None:
    service.always = httpx.Response(status, html="<p>a proxy's page</p>")
    with pytest.raises(UnexpectedAnswer, match="html"):
        await entra.find_application("name")
    assert len(service.requests) == 1


@pytest.mark.parametrize("name", sorted(WRITES))
@pytest.mark.parametrize("header", ["31536000", "inf", "Fri, 31 Dec 9999 23:59:59 GMT"])
async def test_a_long_retry_after_on_any_write_ends_it_at_once(
    service: Service, entra: EntraAdapter, name: str, header: str
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={"id": ID, "appId": OTHER, "value": []})
        return refused(429, "TooManyRequests", **{"Retry-After": header})

    service.always = answer
    with pytest.raises(Throttled) as caught:
        await WRITES[name](entra)
    assert caught.value.exit_code is ExitCode.TEMPORARY
    assert service.slept == []
    assert sum(method != "GET" for method in service.methods()) == 1


@pytest.mark.parametrize("again", [False, True])
async def test_only_a_host_that_was_never_reached_is_given_up_within_ten_seconds(
    service: Service, entra: EntraAdapter, again: bool
) -> None:
    if again:
        await entra.organization()
    service.always = httpx.ConnectError("refused")
    with pytest.raises(Unreachable, match=r"graph\.microsoft\.com") as caught:
        await entra.organization()
    assert caught.value.code == "entra-unreachable"
    assert (3 < sum(service.slept) < 10) is not again


async def test_a_proxy_that_wants_a_password_is_asked_once(service: Service, entra: EntraAdapter) -> None:
    service.always = httpx.Response(407, text="proxy")
    with pytest.raises(Denied, match=r"\[proxy-authentication-required\]"):
        await create(entra)
    assert service.slept == []


async def test_a_refused_token_is_replaced_once(service: Service, entra: EntraAdapter) -> None:
    service.answers = [EXPIRED]
    await entra.organization()
    assert service.credential.asked == 2
    service.always = EXPIRED
    with pytest.raises(Denied, match=r"\[operator-token-refused\]"):
        await entra.organization()
    assert service.credential.asked == 3


async def test_a_claims_challenge_reaches_the_credential(service: Service) -> None:
    asked: list[str | None] = []

    class Challenged(Given):
        def get_token(self, *scopes: str, **options: Any) -> AccessToken:
            asked.append(options.get("claims"))
            assert options["enable_cae"] is True
            assert scopes == ("https://graph.microsoft.com/.default",)
            return super().get_token()

    challenge = 'Bearer realm="", error="insufficient_claims", claims="eyJhIjoxfQ=="'
    service.answers = [refused(401, "InvalidAuthenticationToken", "x", **{"WWW-Authenticate": challenge})]
    async with service.adapter(credential=Challenged()) as entra:
        await entra.organization()
    assert asked == [None, '{"a":1}']


# --- new objects


@pytest.mark.parametrize("answer", [UNKNOWN, refused(400, message=NOT_THERE), FORBIDDEN])
async def test_an_application_is_waited_for_while_it_is_new(
    service: Service, entra: EntraAdapter, answer: httpx.Response
) -> None:
    service.answers = [CREATED, answer, answer, answer]
    service.always = DONE
    assert (await create(entra)).unique_name == "unique-name"
    await update(entra)
    assert len(service.requests) == 5
    assert len(service.slept) == 3
    service.time += 1000
    service.always = answer
    with pytest.raises((NotFound, Denied)):
        await update(entra)
    assert len(service.slept) == 3


@pytest.mark.parametrize(
    ("answer", "created", "waits"),
    [
        (UNKNOWN, "2026-11-30T11:59:40Z", True),
        (UNKNOWN, "2026-11-30T11:56:40Z", False),
        (UNKNOWN, None, True),
        (FORBIDDEN, "2026-11-30T11:59:55Z", True),
        (FORBIDDEN, "2026-11-30T11:55:00Z", False),
    ],
)
async def test_an_application_is_new_by_its_own_date(
    service: Service, entra: EntraAdapter, answer: httpx.Response, created: str | None, waits: bool
) -> None:
    body = {"id": ID, "appId": OTHER, "createdDateTime": created}
    service.answers = [httpx.Response(200, json=body, headers={"Date": "Mon, 30 Nov 2026 12:00:00 GMT"})]
    service.always = answer
    await entra.application(APPLICATION)
    with pytest.raises((NotFound, Denied)):
        await update(entra)
    assert bool(service.slept) is waits
    assert sum(service.slept) <= (60 if answer is FORBIDDEN else 180)


@pytest.mark.parametrize(
    "answer",
    [
        refused(400, message=f"The appId '{ID}' does not reference a valid application object."),
        refused(400, "NoBackingApplicationObject", "whatever"),
        UNKNOWN,
        refused(
            403,
            "Authorization_RequestDenied",
            "When using this permission, the backing application of the service principal being created must in the local tenant",
        ),
    ],
)
async def test_the_service_principal_waits_for_its_application(
    service: Service, entra: EntraAdapter, answer: httpx.Response
) -> None:
    service.answers = [answer, answer]
    service.always = httpx.Response(201, json={"id": OTHER, "appId": ID})
    made = await entra.create_service_principal(CLIENT)
    assert made.service_principal_object_id == OTHER
    assert len(service.slept) == 2


async def test_an_existing_service_principal_is_fetched_once_it_is_visible(
    service: Service, entra: EntraAdapter
) -> None:
    service.answers = [refused(409, "Request_MultipleObjectsWithSameKeyValue", "already in use"), UNKNOWN]
    service.always = httpx.Response(200, json={"id": OTHER, "appId": ID, "accountEnabled": False})
    assert not (await entra.create_service_principal(CLIENT)).account_enabled
    assert service.methods() == ["POST", "GET", "GET"]


DUPLICATES = [
    refused(400, message="Permission being assigned already exists on the object"),
    refused(400, message="EntitlementGrant entry already exists."),
    refused(400, "Request_MultipleObjectsWithSameKeyValue", "EntitlementGrant entry already exists."),
    refused(409, "Request_MultipleObjectsWithSameKeyValue", "Permission entry already exists."),
]


@pytest.mark.parametrize("answer", DUPLICATES)
async def test_an_existing_assignment_is_believed_only_after_reading_it(
    service: Service, entra: EntraAdapter, answer: httpx.Response
) -> None:
    other = ASSIGNED | {"appRoleId": OTHER}
    service.answers = [refused(400, message="Not a valid reference update."), answer, listed(other)]
    service.always = listed(other, ASSIGNED | {"appRoleId": ID.upper()})
    await WRITES["assign"](entra)
    assert service.methods() == ["POST", "POST", "GET", "GET"]


async def test_an_assignment_that_never_shows_is_no_success(service: Service, entra: EntraAdapter) -> None:
    service.answers = [DUPLICATES[0]]
    service.always = listed()
    with pytest.raises(Temporary, match=r"\[grant-not-visible\]"):
        await WRITES["assign"](entra)


async def test_grants_of_single_users_are_not_the_one_for_all(service: Service, entra: EntraAdapter) -> None:
    service.always = listed(
        GRANT | {"consentType": "Principal", "scope": "User.Read"},
        GRANT | {"resourceId": ID, "scope": "User.Read"},
    )
    assert await entra.delegated_grant(PRINCIPAL, RESOURCE) is None
    assert "AllPrincipals" in str(service.requests[0].url)


async def test_a_restore_whose_reply_was_lost(service: Service, entra: EntraAdapter) -> None:
    service.answers = [httpx.ReadError("lost"), UNKNOWN, CREATED]
    await entra.restore_application(APPLICATION)
    assert service.methods() == ["POST", "POST", "GET"]
    service.always = UNKNOWN
    with pytest.raises(NotFound):
        await entra.restore_application(APPLICATION)


async def test_remove_secret_tells_what_it_cannot_know(service: Service, entra: EntraAdapter) -> None:
    service.answers = [DONE, refused(400, message=f"No password credential found with keyId {OTHER}.")]
    assert await entra.remove_secret(APPLICATION, KeyId(OTHER)) is True
    assert await entra.remove_secret(APPLICATION, KeyId(OTHER)) is False


async def test_policies_that_cannot_be_read_are_not_known(service: Service, entra: EntraAdapter) -> None:
    service.always = FORBIDDEN
    assert not (await entra.secret_policy(APPLICATION)).known
    service.always = refused(400, message="else")
    with pytest.raises(UnexpectedAnswer):
        await entra.secret_policy(None)
    # Too new for the replica: the default policy counts.
    service.answers = [UNKNOWN]
    service.always = httpx.Response(200, json={"id": OTHER, "isEnabled": False})
    assert (await entra.secret_policy(APPLICATION)).known


# --- ended


async def test_pages_are_followed_verbatim_and_nowhere_else(service: Service, entra: EntraAdapter) -> None:
    link = "https://graph.microsoft.com/v1.0/applications/x/owners?$skiptoken=A%2fb'c"
    service.answers = [
        listed({"id": "1"}, **{"@odata.nextLink": link}),
        listed(**{"@odata.nextLink": link + "2"}),
        listed({"id": "2"}),
    ]
    assert await entra.owners(APPLICATION) == {"1", "2"}
    assert str(service.requests[1].url) == link
    for wrong in ("https://evil.example/v1.0/applications", "http://graph.microsoft.com/v1.0/applications"):
        service.requests.clear()
        service.always = listed(**{"@odata.nextLink": wrong})
        with pytest.raises(UnexpectedAnswer):
            await entra.owners(APPLICATION)
        assert len(service.requests) == 1
    service.always = listed(**{"@odata.nextLink": link})
    with pytest.raises(UnexpectedAnswer):
        await entra.owners(APPLICATION)


@pytest.mark.parametrize("seconds", [0.0, 60.0])
async def test_a_list_without_an_end_is_given_up(
    service: Service, entra: EntraAdapter, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    monkeypatch.setattr(graph, "PAGES_LIMIT", 30)

    def answer(_: httpx.Request) -> httpx.Response:
        service.time += seconds
        link = f"https://graph.microsoft.com/v1.0/applications?$skiptoken={len(service.requests)}"
        return listed(**{"@odata.nextLink": link})

    service.always = answer
    with pytest.raises(UnexpectedAnswer, match="does not end"):
        await entra.managed_applications()
    assert len(service.requests) == (31 if seconds == 0 else 2)


class Pieces(httpx.AsyncByteStream):
    """A body that comes in pieces."""

    def __init__(self, *pieces: bytes, ends: bool = True) -> None:
        self.pieces = pieces
        self.ends = ends

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece
        while not self.ends:
            await asyncio.sleep(0.001)
            yield b" "


@pytest.mark.parametrize("drips", [False, True])
async def test_an_answer_that_is_not_whole_at_the_deadline_is_lost(service: Service, drips: bool) -> None:
    async def never(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    service.always = (lambda _: httpx.Response(200, stream=Pieces(ends=False))) if drips else never
    async with service.adapter(scale=0.001) as entra:
        with pytest.raises(Unreachable) as caught:
            await entra.organization()
        assert (caught.value.code, caught.value.sent) == ("entra-reply-lost", True)
        service.requests.clear()
        with pytest.raises(Unreachable):
            await add(entra)
        assert len(service.requests) == 1, "a secret may have been made"


@pytest.mark.parametrize("packed", [False, True])
async def test_an_answer_of_more_than_32_mb_is_not_kept(
    service: Service, entra: EntraAdapter, packed: bool
) -> None:
    much = b" " * (ANSWER_LIMIT + 1)
    content = gzip.compress(much * 2, 1) if packed else much
    headers = {"Content-Encoding": "gzip"} if packed else {}
    service.always = lambda _: httpx.Response(200, headers=headers, stream=Pieces(content))
    with pytest.raises(UnexpectedAnswer, match="more than 32 MB"):
        await entra.organization()
    assert len(service.requests) == 1


async def test_a_packed_answer_is_read(service: Service, entra: EntraAdapter) -> None:
    content = gzip.compress(CONTOSO.content)
    headers = {"Content-Encoding": "gzip"}
    service.always = lambda _: httpx.Response(200, headers=headers, stream=Pieces(content[:20], content[20:]))
    assert (await entra.organization()).display_name == "Contoso"
    for encoding, body in (("br", content), ("gzip", CONTOSO.content)):
        service.always = httpx.Response(200, headers={"Content-Encoding": encoding}, stream=Pieces(body))
        with pytest.raises(UnexpectedAnswer):
            await entra.organization()


@pytest.mark.parametrize("status", [200, 400])
async def test_whatever_an_answer_holds_the_run_goes_on(
    service: Service, entra: EntraAdapter, status: int
) -> None:
    service.always = httpx.Response(status, content=b'{"value": ' + b"[" * 100_000 + b"]" * 100_000 + b"}")
    with pytest.raises(UnexpectedAnswer):
        await entra.organization()
    strange = b'{"value": [{"id": "x", "displayName": "a\\ud800b"}], "error": {"code": 7, "message": "\\udfff", "details": [1]}}'
    headers = [(b"request-id", b"\xe9\xff"), (b"retry-after", b"\xb2"), (b"date", b"\xfc"), (b"x", b"\x80")]
    service.always = httpx.Response(status, content=strange, headers=headers)
    if status == 200:
        assert (await entra.organization()).display_name == "a?b"
        return
    with pytest.raises(UnexpectedAnswer) as caught:
        await entra.organization()
    (caught.value.message + caught.value.trace.line()).encode()


async def test_a_tenant_without_organization(service: Service, entra: EntraAdapter) -> None:
    service.always = listed()
    with pytest.raises(UnexpectedAnswer, match="no organization"):
        await entra.organization()


async def test_an_error_carries_no_token(service: Service, entra: EntraAdapter) -> None:
    service.always = httpx.Response(200, content=b"<html>")
    with pytest.raises(BootstrapError) as caught:
        await entra.organization()
    assert caught.value.__context__ is None
    token = service.requests[0].headers["authorization"].removeprefix("Bearer ")
    assert token not in repr(caught.value) + repr(vars(caught.value))
