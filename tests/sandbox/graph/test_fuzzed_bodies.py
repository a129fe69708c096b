"""Whatever a client sends, the answer is a Graph reply, never a crash."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authentik_entra_bootstrap.sandbox.microsoft.graph.model import COMPLEX, ENTITIES

EDGES = (
    "",
    "x",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59Z",
    "9999-12-31T23:59:59-12:00",
    "2026-13-45T00:00:00Z",
    "P99999999999999D",
    "P1D",
    "http://[",
    "api://x",
    "\u0000",
    "🙂@contoso.example",
    "00000000-0000-0000-0000-000000000000",
    "AsymmetricX509Cert",
    "Verify",
    "passwordLifetime",
    "enabled",
    "Principal",
    "AAAA",
)
scalars = st.none() | st.booleans() | st.integers(-1, 2**40) | st.sampled_from(EDGES) | st.floats()
inner_names = st.sampled_from(sorted({name for props in COMPLEX.values() for name in props}))
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(inner_names, inner, max_size=4),
    max_leaves=6,
)
TARGETS = {
    "application": ("applications", "applications/{app}"),
    "servicePrincipal": ("servicePrincipals", "servicePrincipals/{sp}"),
    "user": ("users", "users/{user}"),
    "group": ("groups", "groups/{group}"),
    "appRoleAssignment": ("servicePrincipals/{sp}/appRoleAssignments", ""),
    "oauth2PermissionGrant": ("oauth2PermissionGrants", "oauth2PermissionGrants/{grant}"),
    "tenantAppManagementPolicy": ("", "policies/defaultAppManagementPolicy"),
    "appManagementPolicy": ("policies/appManagementPolicies", ""),
    "federatedIdentityCredential": ("applications/{app}/federatedIdentityCredentials", ""),
}


def bodies(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    entity = ENTITIES[kind]
    writable = [*sorted(set(entity.props) - entity.read_only), "members@odata.bind", "owners@odata.bind"]
    return st.dictionaries(st.sampled_from(writable), values, max_size=5)


@pytest.fixture
def ids(graph: Any) -> dict[str, str]:
    app, principal = graph.new_principal()
    return {
        "app": app["id"],
        "sp": principal["id"],
        "user": graph.new_user("ada")["id"],
        "group": graph.new_group()["id"],
        "grant": graph.directory.all("oauth2PermissionGrant")[0]["id"],
    }


@pytest.mark.parametrize("kind", sorted(TARGETS))
@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_bodies_of_entities(graph: Any, ids: dict[str, str], kind: str, data: st.DataObject) -> None:
    body = data.draw(bodies(kind))
    for method, template in zip(("POST", "PATCH"), TARGETS[kind], strict=True):
        if template:
            sent = {**MINIMUM.get(kind, {}), **body} if method == "POST" else body
            reply = graph.http.request(
                method,
                f"/v1.0/{template.format(**ids)}",
                content=dumps(sent),
                headers={"Authorization": f"Bearer {graph.token}", "Content-Type": "application/json"},
            )
            assert reply.status_code in (201, 204, 400, 403, 404, 409), reply.text
    assert graph.get(f"applications/{ids['app']}").status_code == 200


MINIMUM: dict[str, dict[str, Any]] = {
    "application": {"displayName": "x"},
    "group": {"displayName": "x", "mailNickname": "x", "mailEnabled": False, "securityEnabled": True},
    "appManagementPolicy": {"displayName": "x"},
}


def dumps(value: Any) -> bytes:
    import json

    return json.dumps(value).encode()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    credential=st.dictionaries(st.sampled_from(sorted(COMPLEX["passwordCredential"])), scalars, max_size=4)
)
def test_bodies_of_secrets(graph: Any, ids: dict[str, str], credential: dict[str, Any]) -> None:
    headers = {"Authorization": f"Bearer {graph.token}", "Content-Type": "application/json"}
    path = f"/v1.0/applications/{ids['app']}"
    added = graph.http.post(
        f"{path}/addPassword", content=dumps({"passwordCredential": credential}), headers=headers
    )
    assert added.status_code in (200, 400, 403)
    removed = graph.http.post(f"{path}/removePassword", content=dumps(credential), headers=headers)
    assert removed.status_code == 400


@pytest.mark.parametrize("text", EDGES)
def test_edges_of_other_texts(graph: Any, ids: dict[str, str], text: str) -> None:
    assert graph.patch(f"applications/{ids['app']}", {"identifierUris": [text]}).status_code in (204, 400)
    rule = {"restrictionType": "passwordLifetime", "maxLifetime": text, "state": "enabled"}
    body = {"applicationRestrictions": {"passwordCredentials": [rule]}}
    assert graph.patch("policies/defaultAppManagementPolicy", body).status_code == (
        204 if text == "P1D" else 400
    )
