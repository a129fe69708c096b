"""Entries become objects, all of them or none; refusals say why in authentik's words."""

from __future__ import annotations

from typing import Any

import pytest

from authentik_entra_bootstrap.sandbox.authentik.rest.errors import ServerCrash

PROVIDER = "authentik_providers_microsoft_entra.microsoftentraprovider"
MAPPING = f"{PROVIDER}mapping"


def connection(state: str = "present", secret: str | None = None, name: str = "imp-entra") -> str:
    """The blueprint of the recorded imports."""
    return f"""
version: 1
metadata:
  name: entra-test
  labels:
    blueprints.goauthentik.io/description: test
context:
  tenant_id: "22222222-2222-2222-2222-222222222222"
entries:
  - model: {PROVIDER}
    id: provider
    state: {state}
    identifiers:
      name: {name}
    attrs:
      client_id: lit-client
      client_secret: {secret or "imp-literal"}
      tenant_id: !Context tenant_id
      dry_run: true
      property_mappings:
        - !Find [{MAPPING}, [managed, goauthentik.io/providers/microsoft_entra/user]]
      property_mappings_group:
        - !Find [{MAPPING}, [managed, goauthentik.io/providers/microsoft_entra/group]]
  - model: authentik_core.application
    state: present
    identifiers:
      slug: {name}
    attrs:
      name: {name}
      backchannel_providers:
        - !KeyOf provider
"""


async def test_provider_and_application(site: Any) -> None:
    result = site.apply(connection())
    assert result.success
    provider = site.one("provider", name="imp-entra")
    application = site.one("application", slug="imp-entra")
    assert provider["backchannel_application"] == application["pk"]
    assert provider["tenant_id"] == "22222222-2222-2222-2222-222222222222"
    assert provider["property_mappings"] == [
        site.one("mapping", managed="goauthentik.io/providers/microsoft_entra/user")["pk"]
    ]


async def test_present_overwrites_created_does_not(site: Any) -> None:
    site.apply(connection())
    assert site.apply(connection(secret="second")).success
    assert site.one("provider", name="imp-entra")["client_secret"] == "second"
    assert site.apply(connection(state="created", secret="third")).success
    assert site.one("provider", name="imp-entra")["client_secret"] == "second"


async def test_must_created_and_absent(site: Any) -> None:
    assert site.apply(connection(state="must_created")).success
    result = site.apply(connection(state="must_created"))
    assert not result.success
    text = "State is set to must_created and object exists already"
    assert (
        result.logs[0]["event"] == f"Entry invalid: {{'name': [ErrorDetail(string='{text}', code='unique')]}}"
    )
    gone = f"version: 1\nentries:\n- {{model: {PROVIDER}, state: absent, identifiers: {{name: imp-entra}}}}\n"
    assert site.apply(gone).success
    assert site.rows("provider") == []
    assert site.apply(gone).success


async def test_refused_entry_echoes_its_attributes(site: Any) -> None:
    content = connection(secret="!Context client_secret").replace("client_id: lit-client", "client_id: null")
    result = site.apply(content)
    assert not result.success
    entry, failed = result.logs
    errors = (
        "Serializer errors {'client_id': [ErrorDetail(string='This field may not be null.', code='null')], "
        "'client_secret': [ErrorDetail(string='This field may not be null.', code='null')]}"
    )
    assert entry["event"] == f"Entry invalid: {errors}"
    assert (entry["log_level"], entry["logger"]) == ("warning", "authentik.blueprints.v1.importer")
    assert entry["attributes"]["error"] == errors
    mappings = {row["managed"].rpartition("/")[2]: row["pk"] for row in site.rows("mapping")}
    assert entry["attributes"]["entry"] == {
        "model": PROVIDER,
        "state": "present",
        "conditions": [],
        "identifiers": {"name": "imp-entra"},
        "attrs": {
            "client_id": None,
            "client_secret": "None",
            "tenant_id": "None",
            "dry_run": True,
            "property_mappings": [mappings["user"]],
            "property_mappings_group": [mappings["group"]],
        },
        "permissions": [],
        "id": "provider",
        "_state": {"instance": None},
    }
    assert failed["event"] == "Blueprint validation failed"
    literal = site.apply(connection(secret="the-literal").replace("client_id: lit-client", "client_id: null"))
    assert "the-literal" in str(literal.logs), (
        "true to the real server: whoever prints these must redact them"
    )


async def test_nothing_remains_of_a_blueprint_whose_last_entry_fails(site: Any) -> None:
    before = {name: dict(table.rows) for name, table in site.state.tables.items()}
    content = (
        connection() + "  - {model: authentik_core.application, identifiers: {slug: other}, attrs: {}}\n"
    )
    result = site.apply(content)
    assert [line["event"] for line in result.logs[-2:]] == [
        "Entry invalid: Serializer errors {'name': [ErrorDetail(string='This field is required.', code='required')]}",
        "Blueprint validation failed",
    ]
    assert {name: dict(table.rows) for name, table in site.state.tables.items()} == before
    await site.worker.settle()
    assert (
        site.rows(
            "task", actor_name="authentik.enterprise.providers.microsoft_entra.tasks.microsoft_entra_sync"
        )
        == []
    )


async def test_rollback_restores_changed_rows_in_place(site: Any) -> None:
    site.apply(connection())
    row = site.one("provider", name="imp-entra")
    broken = connection(secret="new") + "  - {model: no.model, identifiers: {a: b}}\n"
    assert not site.apply(broken).success
    assert site.one("provider", name="imp-entra") is row
    assert row["client_secret"] == "imp-literal"


async def test_validation_changes_nothing_and_reports_lines(site: Any) -> None:
    good, lines = site.importer.validate(connection(), {}, site.ctx)
    assert (good, lines, site.rows("provider")) == (True, [], [])
    good, lines = site.importer.validate(connection(secret="!Context missing"), {}, site.ctx)
    assert not good
    assert lines[-1] == "Blueprint validation failed"
    assert len(lines) == 2


async def test_unknown_model_and_version(site: Any) -> None:
    good, lines = site.importer.validate("entries: [{model: no.model, identifiers: {a: 1}}]", {}, site.ctx)
    assert (good, lines) == (False, ["App or Model does not exist", "Blueprint validation failed"])
    assert site.importer.validate("version: 2\nentries: []", {}, site.ctx) == (
        False,
        ["Invalid blueprint version"],
    )


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{model: authentik_core.group, attrs: {name: x}}", "No or invalid identifiers"),
        (
            "{model: authentik_core.group, identifiers: {nope: x}}",
            "Invalid identifier field: Cannot resolve keyword",
        ),
        (
            "{model: authentik_core.group, identifiers: {name: !Find [no.model, [a, b]]}}",
            "App 'no' doesn't have a 'model' model.",
        ),
    ],
)
async def test_entry_is_refused(site: Any, entry: str, message: str) -> None:
    good, lines = site.importer.validate(f"version: 1\nentries:\n- {entry}\n", {}, site.ctx)
    assert not good
    assert lines[0].startswith(f"Entry invalid: {message}")


async def test_conditions_skip_entries(site: Any) -> None:
    content = """
entries:
- {model: authentik_core.group, identifiers: {name: yes-group}, conditions: [!Context "goauthentik.io/enterprise/licensed"]}
- {model: authentik_core.group, identifiers: {name: no-group}, conditions: [true, !Context missing]}
"""
    assert site.apply(content).success
    assert site.rows("group", name="yes-group")
    assert not site.rows("group", name="no-group")


async def test_identifiers_find_by_key_or_by_all_others(site: Any) -> None:
    group = site.one("group", name="authentik Admins")
    content = f"""
entries:
- model: authentik_core.group
  identifiers: {{pk: {group["pk"]}}}
  attrs: {{attributes: {{a: {{b: 1}}}}}}
- model: authentik_core.group
  identifiers: {{attributes: {{a: {{b: 1}}}}}}
  attrs: {{attributes: {{found: true}}}}
- model: authentik_core.group
  identifiers: {{name__iexact: "AUTHENTIK READ-ONLY"}}
  attrs: {{attributes: {{also: true}}}}
"""
    result = site.apply(content)
    assert result.success, result.logs
    assert group["attributes"]["found"] is True
    assert site.one("group", name="authentik Read-only")["attributes"] == {"also": True}


async def test_given_keys_are_replaced_where_they_are_referred_to(site: Any) -> None:
    key = "11111111-1111-1111-1111-111111111111"
    admins = site.one("group", name="authentik Admins")
    content = f"""
entries:
- model: authentik_core.group
  identifiers: {{pk: {key}, name: authentik Admins}}
- model: authentik_core.group
  identifiers: {{pk: 22222222-2222-2222-2222-222222222222, name: child}}
  attrs: {{parents: [{key}]}}
"""
    result = site.apply(content)
    assert result.success, result.logs
    child = site.one("group", name="child")
    assert child["pk"] == "22222222-2222-2222-2222-222222222222"
    assert child["parents"] == [admins["pk"]]


async def test_service_account_with_role_and_token(site: Any) -> None:
    content = f"""
context: {{rights: [{", ".join(f"{PROVIDER.split('.', maxsplit=1)[0]}.{verb}_microsoftentraprovider" for verb in ("view", "change"))}]}}
entries:
  role:
  - model: authentik_rbac.role
    id: role
    identifiers: {{name: rotator}}
    attrs:
      permissions: !Enumerate [!Context rights, SEQ, !Value 0]
  people:
  - model: authentik_core.user
    id: robot
    identifiers: {{username: rotator}}
    attrs: {{name: Rotator, type: service_account, path: service-accounts, roles: [!KeyOf role], password: pw}}
  - model: authentik_core.token
    identifiers: {{identifier: rotator-api}}
    attrs: {{user: !KeyOf robot, intent: api, expiring: false, key: !Env [SECRET, none]}}
"""
    for _ in range(2):
        result = site.apply(content)
        assert result.success, result.logs
    robot = site.one("user", username="rotator")
    token = site.one("token", identifier="rotator-api")
    assert (token["key"], token["user"], token["intent"]) == ("from-env", robot["pk"], "api")
    response = await site.http.get(
        "/providers/microsoft_entra/", headers={"authorization": "Bearer from-env"}
    )
    assert response.status_code == 200
    response = await site.http.get("/core/groups/", headers={"authorization": "Bearer from-env"})
    assert response.status_code == 403


async def test_attributes_of_blueprints_are_checked(site: Any) -> None:
    entry = "{model: authentik_rbac.role, identifiers: {name: r}, attrs: {permissions: [no.such_right]}}"
    good, lines = site.importer.validate(f"entries: [{entry}]", {}, site.ctx)
    assert not good
    assert '"no.such_right" is not a valid choice.' in lines[0]
    entry = '{model: authentik_core.token, identifiers: {identifier: t}, attrs: {user: 1, key: ""}}'
    _, lines = site.importer.validate(f"entries: [{entry}]", {}, site.ctx)
    assert "'key': [ErrorDetail(string='This field may not be blank.', code='blank')]" in lines[0]


async def test_notification_rule_with_policy_and_binding(site: Any) -> None:
    content = """
entries:
- model: authentik_policies_expression.expressionpolicy
  id: policy
  identifiers: {name: entra-sync-failed}
  attrs: {expression: return event.action == "configuration_error"}
- model: authentik_events.notificationtransport
  id: transport
  identifiers: {name: hook}
  attrs: {mode: webhook, webhook_url: "https://example.org/hook"}
- model: authentik_events.notificationrule
  id: rule
  identifiers: {name: entra-rule}
  attrs: {severity: alert, transports: [!KeyOf transport]}
- model: authentik_policies.policybinding
  identifiers: {target: !KeyOf rule, policy: !KeyOf policy, order: 0}
  attrs: {enabled: true}
"""
    for _ in range(2):
        result = site.apply(content)
        assert result.success, result.logs
    rule = site.one("rule", name="entra-rule")
    assert len([row for row in site.rows("binding") if row["target"] == rule["pk"]]) == 1
    assert site.one("rule", name="entra-rule")["transports"] == [site.one("transport", name="hook")["pk"]]


async def test_file_tag_and_sections_and_find_object(make_site: Any, tmp_path: Any) -> None:
    site = await make_site()
    (tmp_path / "name").write_text(" from-file\n")
    content = f"""
entries:
  one:
  - model: authentik_core.group
    identifiers: {{name: !File {tmp_path / "name"}}}
    attrs:
      attributes: {{admins: !AtIndex [!FindObject [authentik_core.group, [name, authentik Admins]], name]}}
"""
    result = site.apply(content)
    assert result.success, result.logs
    assert site.one("group", name="from-file")["attributes"] == {"admins": "authentik Admins"}


@pytest.mark.parametrize(
    ("conditions", "found"),
    [
        ("[name, authentik Admins]", True),
        ("[name__iexact, AUTHENTIK ADMINS]", True),
        ("[name__contains, Admin]", True),
        ("[name__startswith, Admin]", False),
        ("[name__istartswith, AUTHENTIK A]", True),
        ("[name__endswith, Admins]", True),
        ("[name__in, [a, authentik Admins]]", True),
        ("[is_superuser, true]", True),
        ("[is_superuser, true], [name, authentik Read-only]", False),
        ("[attributes__team__name, x]", False),
        ("[attributes, {}]", True),
        ("[users, 3]", True),
        ("[users, 77]", False),
        ("[parents__isnull, true]", False),
    ],
)
async def test_find_understands_lookups(site: Any, conditions: str, found: bool) -> None:
    admin = site.one("user", username="akadmin")["pk"]
    conditions = conditions.replace("[users, 3]", f"[users, {admin}]")
    content = f"""
entries:
- model: authentik_core.group
  identifiers: {{name: result}}
  attrs: {{attributes: {{found: !Find [authentik_core.group, {conditions}]}}}}
"""
    result = site.apply(content)
    assert result.success, result.logs
    assert (site.one("group", name="result")["attributes"]["found"] is not None) is found


async def test_find_by_an_unknown_field_crashes_like_the_real_server(site: Any) -> None:
    entry = "{model: authentik_core.group, identifiers: {name: !Find [authentik_core.group, [nope, 1]]}}"
    with pytest.raises(ServerCrash):
        site.importer.validate(f"entries: [{entry}]", {}, site.ctx)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ("{user: 1, key: [1]}", "'key': [ErrorDetail(string='Not a valid string.', code='invalid')]"),
        ("{user: 1, key: null}", "'key': [ErrorDetail(string='This field may not be null.', code='null')]"),
    ],
)
async def test_token_keys_are_texts(site: Any, attributes: str, message: str) -> None:
    entry = f"{{model: authentik_core.token, identifiers: {{identifier: t}}, attrs: {attributes}}}"
    _, lines = site.importer.validate(f"entries: [{entry}]", {}, site.ctx)
    assert message in lines[0]


async def test_permissions_must_be_a_list_and_users_get_them_too(site: Any) -> None:
    entry = "{model: authentik_rbac.role, identifiers: {name: r}, attrs: {permissions: all}}"
    _, lines = site.importer.validate(f"entries: [{entry}]", {}, site.ctx)
    assert 'Expected a list of items but got type "str".' in lines[0]
    entry = (
        "{model: authentik_core.user, identifiers: {username: u}, "
        "attrs: {name: U, permissions: [authentik_core.view_group]}}"
    )
    assert site.apply(f"entries: [{entry}]").success
    (role,) = site.one("user", username="u")["roles"]
    assert site.state.tables["role"].get(role)["permissions"] == [("authentik_core.view_group", "")]
