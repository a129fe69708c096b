"""Answers become records, the same as through the SDK's own models; policies and settings are read tolerantly."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from kiota_serialization_json.json_parse_node_factory import JsonParseNodeFactory

from authentik_entra_bootstrap.domain import (
    AppId,
    ClientSecret,
    KeyId,
    PermissionKind,
    RequestedAccess,
)
from authentik_entra_bootstrap.entra import records
from authentik_entra_bootstrap.entra.credentials import effective_policy, iso_duration
from authentik_entra_bootstrap.errors import UnexpectedAnswer

ID = "20000000-0000-4000-8000-000000000002"
OTHER = "30000000-0000-4000-8000-000000000003"
ROLE = "97235f07-e226-4f63-ace3-39588e11d3a1"

APPLICATION: dict[str, Any] = {
    "@odata.context": "https://graph.microsoft.com/v1.0/$metadata#applications/$entity",
    "id": ID,
    "appId": OTHER,
    "displayName": "authentik",
    "uniqueName": "unique",
    "signInAudience": "AzureADMyOrg",
    "createdDateTime": "2026-10-07T08:09:10Z",
    "tags": ["a", "b"],
    "serviceManagementReference": "ref",
    "somethingNew": {"of": "Microsoft's"},
    "web": {"redirectUris": ["https://a.example/"], "homePageUrl": None},
    "spa": {"redirectUris": []},
    "publicClient": {"redirectUris": ["http://localhost"]},
    "requiredResourceAccess": [
        {
            "resourceAppId": "00000003-0000-0000-c000-000000000000",
            "resourceAccess": [{"id": ROLE, "type": "Role"}, {"id": OTHER, "type": "Scope"}],
        }
    ],
    "passwordCredentials": [
        {
            "customKeyIdentifier": None,
            "displayName": "first",
            "endDateTime": "2027-01-05T08:09:10.1234567Z",
            "hint": "abc",
            "keyId": ROLE,
            "secretText": None,
            "startDateTime": "2026-10-07T08:09:10.1234567Z",
        }
    ],
}


def through_the_sdk(name: str, module: str, body: dict[str, Any]) -> Any:
    from importlib import import_module

    model = getattr(import_module(f"msgraph.generated.models.{module}"), name)
    node = JsonParseNodeFactory().get_root_parse_node("application/json", json.dumps(body).encode())
    return node.get_object_value(model)


def test_an_application_reads_the_same_as_through_the_sdk() -> None:
    ours = records.application(APPLICATION)
    theirs = through_the_sdk("Application", "application", APPLICATION)
    alike = ("app_id", "display_name", "unique_name", "sign_in_audience", "service_management_reference")
    for name in (*alike, "created_date_time"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert (ours.app_object_id, ours.tags) == (theirs.id, tuple(theirs.tags))
    assert ours.redirect_uris == (*theirs.web.redirect_uris, *theirs.public_client.redirect_uris)
    assert ours.requested_access == {
        RequestedAccess(AppId(resource.resource_app_id), str(access.id), PermissionKind(access.type))
        for resource in theirs.required_resource_access
        for access in resource.resource_access
    }
    assert ours.secrets == tuple(
        ClientSecret(
            KeyId(str(item.key_id)), item.display_name, item.hint, item.start_date_time, item.end_date_time
        )
        for item in theirs.password_credentials
    )


def test_the_other_records_read_the_same_as_through_the_sdk() -> None:
    body = {"id": "opaque-_id", "appRoleId": ROLE, "principalId": ID, "resourceId": OTHER}
    ours = records.role_assignment(body)
    theirs = through_the_sdk("AppRoleAssignment", "app_role_assignment", body)
    for name in ("app_role_id", "principal_id", "resource_id"):
        assert getattr(ours, name) == str(getattr(theirs, name)), name
    grant = {"id": "x", "clientId": ID, "resourceId": OTHER, "scope": " User.Read  openid"}
    assert records.delegated_grant(grant).scopes == set(
        through_the_sdk("OAuth2PermissionGrant", "o_auth2_permission_grant", grant).scope.split()
    )
    principal = {"id": ID, "appId": OTHER, "accountEnabled": False}
    theirs = through_the_sdk("ServicePrincipal", "service_principal", principal)
    assert records.service_principal(principal).account_enabled is theirs.account_enabled is False
    secret = {"keyId": ID, "displayName": "x", "endDateTime": "2027-01-01T00:00:00Z"}
    (listed,) = records.service_principal({**principal, "passwordCredentials": [secret]}).secrets
    assert (listed.key_id, listed.end_date_time) == (ID, datetime(2027, 1, 1, tzinfo=UTC))
    tenant = {"id": ID, "displayName": "Contoso", "verifiedDomains": [{"name": "a.example"}, {"name": None}]}
    theirs = through_the_sdk("Organization", "organization", tenant)
    found = records.organization(tenant)
    assert (found.tenant_id, found.display_name) == (theirs.id, theirs.display_name)
    assert found.verified_domains == ("a.example",)


def test_records_survive_missing_and_null_properties() -> None:
    bare = records.application({"id": ID, "appId": OTHER})
    assert (bare.tags, bare.secrets, bare.requested_access, bare.redirect_uris) == ((), (), frozenset(), ())
    nulls = records.application(dict.fromkeys(APPLICATION, None) | {"id": ID, "appId": OTHER})
    assert nulls == bare
    undated = records.client_secret({"keyId": ID})
    assert not undated.is_live(datetime.now(UTC))
    for name in ("application", "service_principal", "organization", "role_assignment"):
        with pytest.raises(UnexpectedAnswer, match="an answer without"):
            getattr(records, name)({})
    assert records.deleted_application({"id": ID, "appId": OTHER}).unique_name is None


def test_only_permissions_that_can_be_granted_are_offered() -> None:
    def entry(name: str, **changes: Any) -> dict[str, Any]:
        return {"id": name.lower(), "value": name, "isEnabled": True} | changes

    found = records.resource_principal(
        {
            "id": ID,
            "appId": OTHER,
            "appRoles": [
                entry("One", allowedMemberTypes=["Application"]),
                entry("Off", isEnabled=False),
                entry("People", allowedMemberTypes=["User"]),
                entry("", value=None),
            ],
            "oauth2PermissionScopes": [entry("Two"), entry("Off", isEnabled=False)],
        }
    )
    assert found.app_roles == {"One": "one"}
    assert found.scopes == {"Two": "two"}


def test_a_new_secret_needs_its_text() -> None:
    whole = {"keyId": ID, "secretText": "canary~text", "endDateTime": "2027-01-01T00:00:00Z"}
    assert records.new_client_secret(whole).secret_text.reveal() == "canary~text"
    for name in whole:
        with pytest.raises(UnexpectedAnswer, match="an answer without"):
            records.new_client_secret(whole | {name: None})


# --- policies


@pytest.mark.parametrize(
    ("text", "days"),
    [("P90D", 90), ("P1Y", 365), ("P3M", 90), ("P2W", 14), ("PT36H", 1.5), ("P4DT12H30M", 4 + 12.5 / 24)],
)
def test_durations(text: str, days: float) -> None:
    assert iso_duration(text) == timedelta(days=days)


@pytest.mark.parametrize("text", [None, 5, "", "90", "P", "PX", "12:00:00", "P-5D"])
def test_what_is_no_duration(text: object) -> None:
    assert iso_duration(text) is None


def lifetime(value: str | None, **changes: Any) -> dict[str, Any]:
    return {"restrictionType": "passwordLifetime", "maxLifetime": value} | changes


def since(day: str) -> dict[str, str]:
    return {"restrictForAppsCreatedAfterDateTime": f"{day}T00:00:00Z"}


CREATED = datetime(2026, 6, 1, tzinfo=UTC)
UNKNOWN_RULES = ({"restrictionType": "customPasswordAddition"}, {"restrictionType": "new"})


@pytest.mark.parametrize(
    ("restrictions", "created", "expected"),
    [
        ((), CREATED, (True, True, None)),
        ((lifetime("P90D"),), CREATED, (True, True, 90)),
        ((lifetime("P90D"), lifetime("P30D")), CREATED, (True, True, 30)),
        ((lifetime("P90D", state="disabled"),), CREATED, (True, True, None)),
        ((lifetime("P90D", state="enabled"),), CREATED, (True, True, 90)),
        ((lifetime("P90D", **since("2026-07-01")),), CREATED, (True, True, None)),
        ((lifetime("P90D", **since("2026-05-01")),), CREATED, (True, True, 90)),
        ((lifetime("P90D", **since("2026-07-01")),), None, (True, True, 90)),
        ((lifetime("nonsense"),), CREATED, (False, True, None)),
        (({"restrictionType": "passwordAddition"},), CREATED, (True, False, None)),
        (UNKNOWN_RULES, CREATED, (True, True, None)),
    ],
)
def test_effective_policy(
    restrictions: tuple[dict[str, Any], ...],
    created: datetime | None,
    expected: tuple[bool, bool, int | None],
) -> None:
    found = effective_policy(restrictions, created)
    days = found.greatest_lifetime.days if found.greatest_lifetime else None
    assert (found.known, found.addition_allowed, days) == expected


def test_importing_the_codes_loads_nothing_heavy() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from authentik_entra_bootstrap.entra.error_codes import CODES; "
        "print([name for name in ('azure.identity', 'msal', 'msgraph', 'httpx', 'pydantic') if name in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, capture_output=True, text=True, check=True)  # our own words
    assert found.stdout.strip() == "[]"
