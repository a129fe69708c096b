from __future__ import annotations

import base64
from typing import Any
from urllib.parse import quote

import pytest

EVENTUAL = {"ConsistencyLevel": "eventual"}


@pytest.fixture
def apps(graph: Any) -> dict[str, Any]:
    return {
        name: graph.new_app(displayName=name, tags=tags, uniqueName=unique, identifierUris=uris)
        for name, tags, unique, uris in (
            ("Alpha", ["x", "managed by us"], "alpha", ["api://alpha"]),
            ("alphabet", ["y"], None, []),
            ("O'Neil", [], "it's", []),
        )
    }


def names(reply: Any) -> list[str]:
    assert reply.status_code == 200, reply.text
    return [item["displayName"] for item in reply.json()["value"]]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("displayName eq 'alpha'", ["Alpha"]),
        ("displayName eq 'O''Neil'", ["O'Neil"]),
        ("DisplayName eq 'alpha' and Tags/any(t:t eq 'x')", ["Alpha"]),
        ("startswith(displayName,'alpha')", ["Alpha", "alphabet"]),
        ("startsWith(displayName, 'alpha') and uniqueName eq null", ["alphabet"]),
        ("displayName in ('Alpha', 'O''Neil')", ["Alpha", "O'Neil"]),
        ("uniqueName eq 'it''s'", ["O'Neil"]),
        ("tags/any(t:t eq 'managed by us')", ["Alpha"]),
        ("tags/any(t:startswith(t,'managed'))", ["Alpha"]),
        ("identifierUris/any(x:x eq 'api://alpha')", ["Alpha"]),
        ("(displayName eq 'Alpha' or displayName eq 'alphabet') and tags/any(t:t eq 'y')", ["alphabet"]),
        ("createdDateTime ge 2026-11-01T12:00:00Z and startswith(displayName,'O')", ["O'Neil"]),
        ("createdDateTime ge 2026-11-02", []),
    ],
)
def test_filters_without_a_header(graph: Any, apps: Any, text: str, found: list[str]) -> None:
    assert names(graph.get(f"applications?$filter={quote(text)}")) == found


def test_a_count_needs_the_header(graph: Any, apps: Any) -> None:
    first = graph.get("applications?$count=true&$top=3", **EVENTUAL).json()
    second = graph.get(first["@odata.nextLink"].partition("/v1.0/")[2], **EVENTUAL).json()
    assert (first["@odata.count"], len(second["value"])) == (4, 1)
    assert "@odata.count" not in second
    assert "@odata.count" not in graph.get("applications?$count=true").json()


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ('$search="displayName:alpha"', "$search"),
        ("$orderby=displayName", "$orderby"),
        ("$expand=owners", "$expand"),
        ("$filter=endswith(displayName,'bet')", "endswith"),
        ("$filter=tags/all(t:t eq 'x')", "all"),
        ("$filter=displayName ne 'Alpha'", "ne"),
        ("$filter=not(startswith(displayName,'a'))", "not"),
    ],
)
def test_what_the_sandbox_does_not_serve_it_says(
    graph: Any, errors: Any, apps: Any, query: str, what: str
) -> None:
    reply = graph.get(f"applications?{query}&$count=true", **EVENTUAL)
    assert errors(reply) == (501, "notSupported", f"The sandbox does not serve {what}.")


def skip_token(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("$filter=nothing eq 'x'", "BadRequest"),
        ("$filter=displayName eq", "BadRequest"),
        ("$filter=displayName = 'x'", "BadRequest"),
        ("$filter=displayName eq 'x", "BadRequest"),
        ("$filter=displayName eq true", "BadRequest"),
        ("$filter=appId eq 00000003-0000-0000-c000-000000000000", "BadRequest"),
        ("$filter=createdDateTime ge '2026-11-02'", "BadRequest"),
        ("$filter=isDisabled eq 'true'", "BadRequest"),
        ("$filter=tags eq 'x'", "Request_UnsupportedQuery"),
        ("$filter=displayName/any(x:x eq 'y')", "BadRequest"),
        ("$filter=contains(displayName,'x')", "Request_UnsupportedQuery"),
        ("$filter=passwordCredentials/any(x:x/displayName eq 'y')", "Request_UnsupportedQuery"),
        ("$filter=notes eq 'x'", "Request_UnsupportedQuery"),
        ("$filter=" + "(" * 3000 + "appId eq '1'", "BadRequest"),
        ("$select=nothing", "BadRequest"),
        ("$top=0", "Request_BadRequest"),
        ("$top=1000", "Request_BadRequest"),
        ("$top=many", "BadRequest"),
        ("$top=" + "9" * 5000, "BadRequest"),
        ("$skip=1", "BadRequest"),
        ("$apply=x", "BadRequest"),
        ("$top=1&$top=2", "BadRequest"),
        ("$skiptoken=rubbish", "Directory_ExpiredPageToken"),
        ("$skiptoken=" + skip_token("[" * 20_000), "Directory_ExpiredPageToken"),
        ("$skiptoken=" + skip_token('["x", 1e999]'), "Directory_ExpiredPageToken"),
    ],
)
def test_queries_that_are_refused(graph: Any, errors: Any, apps: Any, query: str, code: str) -> None:
    assert errors(graph.get(f"applications?{query}"))[:2] == (400, code)


def test_refusals_name_the_clause_and_the_types(graph: Any, errors: Any) -> None:
    unknown = "Could not find a property named 'nothing' on type 'microsoft.graph.application'."
    types = "A binary operator with incompatible types was detected. Found operand types 'Edm.String' and "
    for query, message in (
        ("$select=id,nothing", f"Parsing OData Select and Expand failed: {unknown}"),
        ("$filter=nothing eq 1", f"Invalid filter clause: {unknown}"),
        (
            "$filter=appId ge 00000003-0000-0000-c000-000000000000",
            f"Invalid filter clause: {types}'Edm.Guid' for operator kind 'GreaterThanOrEqual'.",
        ),
        ("$filter=appId eq 3", f"Invalid filter clause: {types}'Edm.Int32' for operator kind 'Equal'."),
    ):
        assert errors(graph.get(f"applications?{query}")) == (400, "BadRequest", message)
    tenant = f"servicePrincipals?$select=id&$filter=appOwnerOrganizationId eq {graph.operator.tenant_id}"
    assert [item["id"] for item in graph.get(tenant).json()["value"]] == [graph.oid]


def test_select_and_contexts(graph: Any, apps: Any) -> None:
    app = apps["Alpha"]
    one = graph.get(f"applications/{app['id']}?$select=appId,displayName").json()
    assert one == {
        "@odata.context": "https://sandbox.test/v1.0/$metadata#applications(appId,displayName)/$entity",
        "appId": app["appId"],
        "displayName": "Alpha",
    }
    listed = graph.get("applications?$select=appId&$filter=uniqueName eq 'alpha'").json()
    assert listed["value"] == [{"appId": app["appId"]}]
    assert listed["@odata.context"] == "https://sandbox.test/v1.0/$metadata#applications(appId)"


def test_pages_hold_everything_once_even_when_objects_vanish_between_them(graph: Any) -> None:
    made = [graph.new_user(f"u{number:03}")["id"] for number in range(7)]
    reply = graph.get("users?$top=3&$select=id&$filter=startswith(mailNickname,'u0')").json()
    seen = [item["id"] for item in reply["value"]]
    graph.delete(f"users/{made[1]}")
    while "@odata.nextLink" in reply:
        link = reply["@odata.nextLink"]
        assert link.startswith("https://sandbox.test/v1.0/users?")
        reply = graph.http.get(link, headers={"Authorization": f"Bearer {graph.token}"}).json()
        seen += [item["id"] for item in reply["value"]]
    assert seen == made


def test_default_page_is_one_hundred(graph: Any) -> None:
    for number in range(101):
        graph.directory.put("user", f"id-{number}", {"id": f"id-{number}", "displayName": "x"})
    reply = graph.get("users").json()
    assert len(reply["value"]) == 100
    assert "$skiptoken=" in reply["@odata.nextLink"]


def test_the_headers_of_a_reply(graph: Any) -> None:
    reply = graph.get("applications?$select=id", client_request_id="11111111-2222-3333-4444-555555555555")
    assert reply.headers["client-request-id"] == "11111111-2222-3333-4444-555555555555"
    assert reply.headers["request-id"] != reply.headers["client-request-id"]
    assert reply.headers["Content-Type"].startswith("application/json;odata.metadata=minimal;")
    assert reply.headers["OData-Version"] == "4.0"
    assert '"ServerInfo"' in reply.headers["x-ms-ags-diagnostic"]
    failed = graph.get("applications/none")
    assert failed.headers["Content-Type"] == "application/json"
    inner = failed.json()["error"]["innerError"]
    assert inner["request-id"] == inner["client-request-id"] == failed.headers["request-id"]
    assert inner["date"] == "2026-11-01T12:00:00"
    assert failed.headers["Strict-Transport-Security"] == "max-age=31536000"


def test_unknown_addresses_and_methods(graph: Any, errors: Any) -> None:
    assert errors(graph.get("nothing/here")) == (
        400,
        "BadRequest",
        "Resource not found for the segment 'nothing'.",
    )
    assert errors(graph.get("applications/x/nothing"))[2] == "Resource not found for the segment 'nothing'."
    assert errors(graph.delete("applications")) == (
        405,
        "Request_BadRequest",
        "Specified HTTP method is not allowed for the request target.",
    )
    missing = errors(graph.get("applications/00000000-1111-2222-3333-444444444444"))
    assert missing[:2] == (404, "Request_ResourceNotFound")
    assert missing[2].startswith(
        "Resource '00000000-1111-2222-3333-444444444444' does not exist or one of its"
    )
