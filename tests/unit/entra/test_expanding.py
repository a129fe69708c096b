"""Addresses are those that the SDK's own expansion gives."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from kiota_abstractions.method import Method
from kiota_abstractions.request_information import RequestInformation

from authentik_entra_bootstrap.entra import expanding

BASE = "https://graph.microsoft.com/v1.0"
ITEM = "{+baseurl}/applications/{application%2Did}{?%24expand,%24select}"
NAMED = "{+baseurl}/applications(uniqueName='{uniqueName}'){?%24expand,%24select}"
TWO = "{+baseurl}/servicePrincipals/{sp%2Did}/appRoleAssignments/{a%2Did}{?%24top}"
LIST = "{+baseurl}/applications{?%24filter,%24select,%24top}"


def request(template: str, path: dict[str, Any], **query: Any) -> RequestInformation:
    made = RequestInformation(Method.GET, template, {"baseurl": BASE, **path})
    made.query_parameters = {f"%24{name}": value for name, value in query.items()}
    return made


@pytest.mark.parametrize("_again", range(2))
@pytest.mark.parametrize(
    ("template", "path", "query"),
    [
        (ITEM, {"application%2Did": "ID"}, {}),
        (ITEM, {"application%2Did": "ID"}, {"select": ["id", "appId", "display name"]}),
        (ITEM, {"application%2Did": "not an id/at all"}, {"select": ["id"]}),
        (ITEM, {"application%2Did": "-object-0-"}, {"select": ["id"]}),
        (TWO, {"sp%2Did": "ID", "a%2Did": "ID"}, {"top": 5}),
        (TWO, {"sp%2Did": "ID", "a%2Did": "a/b"}, {}),
        (TWO, {"sp%2Did": "ID", "a%2Did": "-object-0-"}, {}),
        (ITEM, {"application%2Did": "ID"}, {"select": ["-object-0-"]}),
        (NAMED, {"uniqueName": "it's"}, {"select": ["id"]}),
        (LIST, {}, {"filter": "tags/any(t:t eq 'a&b')", "select": ["id"], "top": 999}),
        (LIST, {RequestInformation.RAW_URL_KEY: f"{BASE}/next?$skiptoken=x"}, {}),
    ],
)
def test_as_the_sdk_expands_it(
    template: str, path: dict[str, Any], query: dict[str, Any], _again: int
) -> None:
    values = {name: str(uuid4()) if value == "ID" else value for name, value in path.items()}
    assert expanding.address(request(template, values, **query)) == request(template, values, **query).url


def test_each_kind_is_expanded_once() -> None:
    expanding._expanded.cache_clear()
    for _ in range(5):
        expanding.address(request(ITEM, {"application%2Did": str(uuid4())}, select=["id", "tags"]))
    assert expanding._expanded.cache_info().misses == 1
