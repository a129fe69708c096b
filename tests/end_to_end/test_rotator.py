"""The identities of rotation on the sandbox: made by the commands, proven, enough, and good for nothing else."""

from __future__ import annotations

import json
import os
import re
import shlex
import ssl
import stat
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from importlib import resources
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import jwt
import pytest
from azure.core.pipeline.transport import RequestsTransport
from azure.identity import CertificateCredential, ClientSecretCredential
from cryptography.hazmat.primitives.asymmetric import rsa

from authentik_entra_bootstrap.cli import run
from authentik_entra_bootstrap.domain import (
    AppObjectId,
    Cloud,
    FederatedCredential,
    Network,
    ServicePrincipalObjectId,
    TenantId,
)
from authentik_entra_bootstrap.entra.adapter import EntraAdapter
from authentik_entra_bootstrap.errors import AdminActionRequired, AlreadyExists
from authentik_entra_bootstrap.sandbox import Sandbox, Switches
from authentik_entra_bootstrap.sandbox.microsoft.graph.policies import default_policy
from authentik_entra_bootstrap.sandbox.microsoft.permissions_table import GRAPH_APP_ID
from authentik_entra_bootstrap.support.certificates import make_key_pair
from authentik_entra_bootstrap.support.waiting import Waiter
from authentik_entra_bootstrap.workflows import rotator_certificates

ROLE = "Application.ReadWrite.OwnedBy"
SCHEMA = json.loads(
    resources.files("authentik_entra_bootstrap.output").joinpath("schema.json").read_text(encoding="utf-8")
)


def documented(ran: Any) -> dict[str, Any]:
    """A command's document, once it fits the schema."""
    jsonschema.validate(ran.document, SCHEMA)
    return dict(ran.document)


@dataclass
class Api:
    """Raw requests to the sandbox."""

    sandbox: Sandbox
    token: str = ""

    def __call__(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        trust = ssl.create_default_context(cafile=str(self.sandbox.ca_file))
        with httpx.Client(verify=trust, headers=headers) as client:
            return client.request(method, path, **options)


@pytest.fixture
def settled(shell: Callable[..., Any], tmp_path: Path) -> Any:
    """A connection in a tenant whose replicas take their time, and where the key files go."""
    made = shell(switches=Switches(lag=9, flapping=True, secret_lag=12, role_lag=8, app_lag=6))
    assert made("bootstrap", "--yes").code == 0
    made.key_file, made.token_file = tmp_path / "rotator.pem", tmp_path / "token"
    return made


def act_as_rotator(shell: Any, client_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a worker's environment holds: nothing of the operator is left."""
    for name in list(os.environ):
        if name.startswith(("AZURE_CLIENT", "AUTHENTIK_TOKEN")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AUTHENTIK_ENTRA_OPERATOR_CLIENT_ID", client_id)
    monkeypatch.setenv("AUTHENTIK_ENTRA_OPERATOR_CERTIFICATE_FILE", str(shell.key_file))
    monkeypatch.setenv("AUTHENTIK_TOKEN_FILE", str(shell.token_file))


def graph_token(shell: Any, client_id: str) -> str:
    """A token as azure-identity gets it with the key file."""
    environment = shell.sandbox.environment()
    with CertificateCredential(
        environment["AZURE_TENANT_ID"],
        client_id,
        str(shell.key_file),
        authority=environment["AZURE_AUTHORITY_HOST"],
        disable_instance_discovery=True,
        transport=RequestsTransport(connection_verify=str(shell.sandbox.ca_file)),
    ) as credential:
        return credential.get_token(f"{environment['AUTHENTIK_ENTRA_GRAPH_URL']}/.default").token


def test_the_rotator_s_life_with_a_certificate(
    settled: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell, key_file, world = settled, settled.key_file, settled.sandbox.world
    before = world.log.last_seq
    refused = shell("rotator", "create", "--to", str(key_file), "--no-input")
    assert (refused.code, "+ create" in refused.out) == (3, True)
    assert "confirmation-needed" in refused.err
    assert not key_file.exists()
    assert shell("rotator", "show", "--check").code == 2
    assert shell("rotator", "renew", "--to", str(key_file), "--yes").code == 3
    made = documented(shell("rotator", "create", "--to", str(key_file), "--yes", "--output", "json"))
    assert made["rotator"]["permissions"] == [ROLE]
    assert made["connections"][0]["owned"] is True
    assert [item["ok"] for item in made["evidence"]] == [True, True]
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    # Only the public part left this machine.
    tenant = world.default_tenant
    application = tenant.find("application", lambda item: item.get("uniqueName") == "authentik-entra-rotator")
    assert application["_secrets"] == {}
    assert len(application["keyCredentials"]) == 1
    private = key_file.read_text().split("-----")[2].strip().replace("\n", "")[100:160]
    assert private not in json.dumps(list(tenant.all("application")), default=str)
    assert before < world.log.last_seq

    # Again: nothing to do, nothing asked, nothing written, the proof taken.
    again = documented(shell("rotator", "create", "--to", str(key_file), "--output", "json"))
    assert again["changed"] == []
    assert len(again["evidence"]) == 2
    # What it prints can be copied into a shell, and names only a file that holds the certificate.
    for command, file, named in (
        ("create", key_file, {"operator_certificate_file": str(key_file)}),
        ("create", tmp_path / "other.pem", {}),
        ("renew", tmp_path / "other.pem", {}),
    ):
        said = shell("rotator", command, "--to", str(file))
        assert said.code == 0
        assert not (tmp_path / "other.pem").exists()
        sign_in = {"tenant_id": made["tenant_id"], "operator_client_id": made["rotator"]["app_id"], **named}
        lines = re.findall(r"^  export AUTHENTIK_ENTRA_(\w+)=(\S+)$", said.out, re.MULTILINE)
        assert {name.lower(): shlex.split(value)[0] for name, value in lines} == sign_in

    # Eight months later.
    world.clock.advance(250 * 86400)
    due = shell("rotator", "show", "--check")
    assert (due.code, "is due" in due.err) == (2, True)
    new = tmp_path / "new.pem"
    assert "certificate-file-in-use" in shell("rotator", "renew", "--to", str(key_file)).err
    assert shell("rotator", "renew", "--to", str(new), "--yes").code == 0
    world.clock.advance(60)
    seen = documented(shell("rotator", "show", "--output", "json"))
    assert sorted(item["state"] for item in seen["rotator"]["certificates"]) == ["current", "previous"]
    assert graph_token(shell, made["rotator"]["app_id"]), "workers go on with the old file"
    world.clock.advance(8 * 86400)
    assert shell("rotator", "renew", "--to", str(new), "--yes").code == 0
    world.clock.advance(60)
    seen = documented(shell("rotator", "show", "--output", "json"))
    assert [item["state"] for item in seen["rotator"]["certificates"]] == ["current"]
    assert seen["shortcomings"] == []
    text = shell("rotator", "show").out
    assert made["rotator"]["app_id"] in text
    assert "owned" in text


def test_the_rotator_rotates_and_can_do_nothing_else(settled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shell, world = settled, settled.sandbox.world
    key_file = str(shell.key_file)
    made = shell("rotator", "create", "--to", key_file, "--yes", "--output", "json", "-vv")
    token = shell("rotator", "token", "--to", str(shell.token_file), "--yes", "-vv")
    assert token.code == 0
    body = shell.key_file.read_text().split("-----")[2].split()
    assert len(body) > 20
    for hidden in (*body, shell.token_file.read_text(), "eyJ"):
        assert hidden not in made.out + made.err + token.out + token.err
    rotator, connection = made.document["rotator"], made.document["connections"][0]
    environment = shell.sandbox.environment()
    graph = f"{environment['AUTHENTIK_ENTRA_GRAPH_URL']}/v1.0"
    api = Api(shell.sandbox, graph_token(shell, rotator["app_id"]))
    claims = jwt.decode(api.token, options={"verify_signature": False})
    assert claims["roles"] == [ROLE]

    # What a rotation does.
    owned = f"{graph}/applications(appId='{connection['app_id']}')"
    added = api("POST", f"{owned}/addPassword", json={"passwordCredential": {"displayName": "x"}})
    assert added.status_code == 200
    world.clock.advance(60)
    tags = api("GET", owned).json()["tags"]
    assert api("PATCH", owned, json={"tags": tags}).status_code == 204
    removed = api("POST", f"{owned}/removePassword", json={"keyId": added.json()["keyId"]})
    assert removed.status_code == 204

    # Anything else.
    tenant = world.default_tenant
    stranger = shell.sandbox.operator.app_object_id
    user = tenant.find("user", lambda _: True)["id"]
    principal = tenant.find("servicePrincipal", lambda item: item["appId"] == GRAPH_APP_ID)
    admin_role = next(role["id"] for role in principal["appRoles"] if role["value"] == "User.ReadWrite.All")
    grant = {
        "principalId": rotator["service_principal_object_id"],
        "resourceId": principal["id"],
        "appRoleId": admin_role,
    }
    consent = {
        "clientId": rotator["service_principal_object_id"],
        "consentType": "AllPrincipals",
        "resourceId": principal["id"],
        "scope": "User.Read",
    }
    reference = {"@odata.id": f"{graph}/directoryObjects/{user}"}
    for method, path, body in (
        ("GET", "/users", None),
        ("GET", f"/users/{user}", None),
        ("PATCH", f"/users/{user}", {"displayName": "x"}),
        ("GET", "/groups", None),
        ("GET", "/organization", None),
        ("PATCH", f"/applications/{stranger}", {"displayName": "x"}),
        ("POST", f"/applications/{stranger}/addPassword", {}),
        ("DELETE", f"/applications/{stranger}", None),
        ("POST", f"/servicePrincipals/{principal['id']}/appRoleAssignedTo", grant),
        ("POST", "/oauth2PermissionGrants", consent),
        ("POST", f"/applications(appId='{connection['app_id']}')/owners/$ref", reference),
        ("POST", f"/applications/{stranger}/owners/$ref", reference),
    ):
        options = {} if body is None else {"json": body}
        assert api(method, f"{graph}{path}", **options).status_code == 403, (method, path)

    # The check lists each permission; a connection that is due is renewed by these two identities alone.
    shell("check")
    act_as_rotator(shell, rotator["app_id"], monkeypatch)
    checked = shell.run("check", "--as", "rotation")
    assert checked.code == 0, checked.out
    assert checked.out.splitlines()[-1].startswith("  authentik-entra schedule systemd  ")
    assert checked.out.count("held: ") == 6
    assert f"{ROLE} and nothing else" in checked.out
    assert shell.run("check", "--as", "bootstrap").code == 4
    world.clock.advance(130 * 86400)

    # authentik's role alone does not reach what only a bootstrap reads; the rotation's own reads are tried here.
    monkeypatch.setenv("AUTHENTIK_TOKEN", environment["AUTHENTIK_TOKEN"])
    rotated = shell.run("bootstrap", "--yes")
    assert rotated.code == 0, rotated.err
    assert "working and proven" in rotated.out
    assert shell.run("status", "--check").code == 0


@pytest.mark.parametrize("profile", ["2025.12", "2026.8"])
def test_monitoring_needs_no_more_than_the_rotator_s_identities(
    shell: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, profile: str
) -> None:
    made = shell(authentik_profile=profile)
    made.api("POST", "/core/groups/", {"name": "people"})
    monkeypatch.setenv("AUTHENTIK_ENTRA_FILTER_GROUP", "people")
    monkeypatch.setenv("AUTHENTIK_ENTRA_USER_MAPPINGS", "authentik default Microsoft Entra Mapping: User")
    assert made("bootstrap", "--yes").code == 0
    made.key_file, made.token_file = tmp_path / "rotator.pem", tmp_path / "token"
    ran = made("rotator", "create", "--to", str(made.key_file), "--yes", "--output", "json")
    assert made("rotator", "token", "--to", str(made.token_file), "--yes").code == 0
    world = made.sandbox.world
    world.clock.advance(60)
    # A sync that still runs would end between the two looks.
    made.sandbox.authentik.worker.settled()
    full = documented(made("status", "--output", "json"))
    assert {item["kind"]: item["state"] for item in full["expiries"]} == dict.fromkeys(
        ["client-secret", "rotator-certificate", "rotator-token", "authentik-token", "authentik-licence"],
        "valid",
    )
    act_as_rotator(made, ran.document["rotator"]["app_id"], monkeypatch)
    mark = world.log.last_seq
    seen = made.run("status", "--check", "--output", "json")
    document = documented(seen)
    assert (seen.code, document["alarms"], seen.err) == (0, [], "")
    # What both identities see is the same, but for what only an administrator's token shows.
    same = [item for item in full["expiries"] if item["kind"] != "authentik-token"]
    assert document["expiries"] == same
    for name in ("current_secret", "last_proof", "last_sync", "provider", "next", "secret_state"):
        assert document[name] == full[name], name
    unknown = [text for text in document["warnings"] if " is unknown: " in text]
    assert [text.rpartition(".")[0].rpartition(".")[2] for text in unknown] == [
        "view_group",
        "view_microsoftentraprovidermapping",
        "view_application",
    ]
    assert not [entry for entry in world.log.since(mark, Network().user_agent) if entry.write]
    assert len(world.log.since(mark, Network().user_agent)) <= 24
    for arguments in (
        ("status", "--output", "prometheus"),
        ("status", "--output", "html"),
        ("status",),
        ("verify",),
        ("check", "--as", "rotation"),
    ):
        ran = made.run(*arguments)
        assert ran.code == 0, (arguments, ran.err, ran.out)
    # The difference that matters is still seen.
    provider = made.api("GET", "/providers/microsoft_entra/")["results"][0]
    made.api(
        "PATCH",
        f"/core/applications/{provider['assigned_backchannel_application_slug']}/",
        {"backchannel_providers": []},
    )
    drifted = made.run("status", "--check", "--output", "json")
    assert (drifted.code, [item["code"] for item in drifted.document["alarms"]]) == (2, ["drift"])
    # 300 days later the certificate is near its end, and the secret was never renewed.
    world.clock.advance(340 * 86400)
    codes = [item["code"] for item in made.run("status", "--output", "json").document["alarms"]]
    assert codes[:2] == ["secret-ended", "certificate-ends-soon"]


def test_the_rotator_renews_its_own_certificate(
    settled: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shell, world, key_file = settled, settled.sandbox.world, settled.key_file
    made = shell("rotator", "create", "--to", str(key_file), "--yes", "--output", "json").document
    assert shell("rotator", "token", "--to", str(shell.token_file), "--yes").code == 0
    act_as_rotator(shell, made["rotator"]["app_id"], monkeypatch)
    first = key_file.read_bytes()
    world.clock.advance(60)
    assert shell.run("rotate").code == 0
    assert key_file.read_bytes() == first, "nothing is due"
    # Two thirds are over: first the tenant refuses, then the folder, and then it works.
    world.clock.advance(250 * 86400)
    world.switches.own_certificates_refused = True
    refused = shell.run("rotate")
    assert (refused.code, "authentik-entra rotator renew --to NEW_FILE" in refused.err) == (0, True), (
        refused.err
    )
    world.switches.own_certificates_refused = False
    monkeypatch.setattr(
        rotator_certificates, "why_not_replaceable", lambda _: "its folder may not be written to"
    )
    assert "its folder may not be written to" in shell.run("rotate").err
    monkeypatch.undo()
    act_as_rotator(shell, made["rotator"]["app_id"], monkeypatch)
    assert key_file.read_bytes() == first
    for name, value in shell.sandbox.environment().items():
        if not name.startswith(("AZURE_CLIENT", "AUTHENTIK_TOKEN")):
            monkeypatch.setenv(name, value)
    renewed = shell.run("rotate")
    assert (renewed.code, f"certificate in {key_file}: key id" in renewed.err) == (0, True), renewed.err
    second = key_file.read_bytes()
    assert second != first
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    world.clock.advance(60)
    states = [
        item["state"]
        for item in shell("rotator", "show", "--output", "json").document["rotator"]["certificates"]
    ]
    assert sorted(states) == ["current", "previous"]
    # A week later the old one goes; the next run after that has nothing to do.
    act_as_rotator(shell, made["rotator"]["app_id"], monkeypatch)
    for days in (8, 1):
        world.clock.advance(days * 86400)
        mark = world.log.last_seq
        assert shell.run("rotate").code == 0
    assert not [
        entry
        for entry in world.log.since(mark, Network().user_agent)
        if entry.write and "applications" in entry.path
    ]
    shown = shell("rotator", "show", "--output", "json").document
    assert [item["state"] for item in shown["rotator"]["certificates"]] == ["current"]
    assert key_file.read_bytes() == second


def test_a_federated_identity_signs_in_as_the_rotator(settled: Any, tmp_path: Path) -> None:
    from authentik_entra_bootstrap.sandbox.microsoft.clients import trust_issuer

    shell, issuer = settled, "https://cluster.example"
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    jwk = {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())), "kid": "k", "alg": "RS256"}
    trust_issuer(shell.sandbox.world, issuer, {"keys": [jwk]})
    claims = {
        "iss": issuer,
        "sub": "system:serviceaccount:identity:rotator",
        "aud": "api://AzureADTokenExchange",
        "iat": int(time.time()),
        "exp": int(time.time()) + 3600,
    }
    token = tmp_path / "token.jwt"
    token.write_text(jwt.encode(claims, key, algorithm="RS256", headers={"kid": "k"}))
    words = ("--kubernetes", "identity/rotator", "--issuer", issuer)
    made = documented(
        shell("rotator", "federate", *words, "--token-file", str(token), "--yes", "--output", "json")
    )
    assert [item["ok"] for item in made["evidence"]] == [True, True]
    assert made["sign_in"]["AUTHENTIK_ENTRA_LOGIN"] == "workload-identity"
    # Until then a replica may answer that has not heard of it.
    shell.sandbox.world.clock.advance(60)
    again = shell("rotator", "federate", *words, "--token-file", str(token))
    assert again.code == 0, "nothing to do, nothing asked"
    # The variables that it prints are shell.
    lines = again.out.partition("settings of the same name:\n")[2]
    shown = subprocess.run(
        ["/bin/sh", "-euc", f"{lines}\nenv"], env={}, capture_output=True, text=True, check=True
    ).stdout
    assert dict(line.split("=", 1) for line in shown.splitlines() if line.startswith("A")) == made["sign_in"]
    assert made["sign_in"]["AZURE_FEDERATED_TOKEN_FILE"] == str(token)
    github = ("--github", "owner/repository", "--branch", "main")
    assert shell("rotator", "federate", *github, "--yes").code == 0
    changed = shell("rotator", "federate", "--github", "owner/repository", "--environment", "prod", "--yes")
    assert changed.code == 0, changed.err
    shell.sandbox.world.clock.advance(60)
    seen = documented(shell("rotator", "show", "--output", "json"))["rotator"]
    assert {item["subject"] for item in seen["federated_credentials"]} == {
        "system:serviceaccount:identity:rotator",
        "repo:owner/repository:environment:prod",
    }
    assert seen["certificates"] == []
    assert shell("rotator", "federate", *words, "--name", "another").code == 0, "the same identity is kept"
    assert shell("rotator", "show", "--check").code == 0


async def test_what_stands_already_is_success_and_a_policy_s_refusal_is_told() -> None:
    with Sandbox() as sandbox:
        environment, clock = sandbox.environment(), sandbox.world.clock
        credential = ClientSecretCredential(
            environment["AZURE_TENANT_ID"],
            environment["AZURE_CLIENT_ID"],
            environment["AZURE_CLIENT_SECRET"],
            authority=environment["AZURE_AUTHORITY_HOST"],
            disable_instance_discovery=True,
            transport=RequestsTransport(connection_verify=str(sandbox.ca_file)),
        )
        cloud = Cloud(
            "global",
            environment["AZURE_AUTHORITY_HOST"],
            environment["AUTHENTIK_ENTRA_GRAPH_URL"],
            "",
            known=False,
        )
        network = Network(ca_file=str(sandbox.ca_file))
        tenant = TenantId(environment["AZURE_TENANT_ID"])
        async with EntraAdapter(tenant, cloud, network, Waiter(), credential=credential) as entra:
            identities, target = entra, AppObjectId(sandbox.operator.app_object_id)
            owner = ServicePrincipalObjectId(sandbox.operator.service_principal_object_id)
            for _ in range(2):
                await identities.add_owner(target, owner)
            assert await identities.owned_applications(owner) == {sandbox.operator.app_id}
            wanted = FederatedCredential("a", "https://issuer.example", "s", "api://AzureADTokenExchange")
            for item in (wanted, wanted, replace(wanted, subject="t")):
                await identities.set_federated_credential(target, item)
                assert await identities.federated_credentials(target) == (item,)
            with pytest.raises(AlreadyExists):
                await identities.set_federated_credential(target, replace(wanted, name="b", subject="t"))
            pair = make_key_pair("x", clock.now(), timedelta(days=400))
            application = await entra.application(target)
            assert application is not None
            restriction = {
                "restrictionType": "asymmetricKeyLifetime",
                "maxLifetime": "P90D",
                "state": "enabled",
            }
            directory = sandbox.world.default_tenant
            changed = {
                **default_policy(directory),
                "isEnabled": True,
                "applicationRestrictions": {"passwordCredentials": [], "keyCredentials": [restriction]},
            }
            directory.put("policy", changed["id"], changed)
            with pytest.raises(AdminActionRequired, match="certificate-lifetime-exceeds-policy"):
                await identities.replace_keys(target, application.keys, [("x", pair.public)])
        credential.close()


@pytest.mark.parametrize("profile", ["2025.12", "2026.8"])
def test_a_service_account_of_authentik_is_made_once(
    shell: Callable[..., Any], tmp_path: Path, profile: str
) -> None:
    made = shell(authentik_profile=profile)
    assert made("bootstrap", "--yes").code == 0
    file = tmp_path / "token"
    ran = made("rotator", "token", "--to", str(file), "--yes", "--output", "json")
    document = documented(ran)
    key = file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert key not in ran.out + ran.err
    assert len(document["permissions"]) == 6
    assert [item["target"] for item in document["made"]] == [
        "role",
        "group",
        "service account",
        "member",
        "token",
    ]

    # The same file is refused, another one gets the same key, and so does standard output, once.
    refused = made("rotator", "token", "--to", str(file), "--yes")
    assert (refused.code, "secret-file-exists" in refused.err) == (3, True)
    shown = made("rotator", "token", "--to", "-", "--no-input", "--yes")
    assert shown.out == f"{key}\n"
    assert "already there; only the token's key is read" in shown.err
    assert "Done" not in made("rotator", "token", "--to", str(tmp_path / "other"), "--yes").err.replace(
        "Done: the key", ""
    )

    # One token of the intent API, and no app password.
    headers = {"Authorization": f"Bearer {made.sandbox.environment()['AUTHENTIK_TOKEN']}"}
    api, base = Api(made.sandbox, headers["Authorization"].split()[1]), f"{made.sandbox.authentik_url}/api/v3"
    (user,) = api("GET", f"{base}/core/users/?username=authentik-entra-rotator").json()["results"]
    tokens = api("GET", f"{base}/core/tokens/?user__username=authentik-entra-rotator").json()["results"]
    assert [(item["intent"], item["expiring"]) for item in tokens if item["user"] == user["pk"]] == [
        ("api", False)
    ]

    # A permission that was taken away is given again; what somebody added is told, not taken.
    (role,) = api("GET", f"{base}/rbac/roles/?name=authentik-entra-rotation").json()["results"]
    assigned = f"{base}/rbac/permissions/assigned_by_roles/{role['pk']}"
    api("PATCH", f"{assigned}/unassign/", json={"permissions": ["authentik_events.add_event"]})
    api("POST", f"{assigned}/assign/", json={"permissions": ["authentik_core.view_user"]})
    (group,) = api("GET", f"{base}/core/groups/?name=authentik-entra-rotation").json()["results"]
    one = f"{base}/core/groups/{group['pk']}"
    assert api("PATCH", f"{one}/", json={"roles": [], "users": []}).status_code == 200
    mended = made("rotator", "token", "--to", str(tmp_path / "third"), "--yes")
    assert mended.code == 0, mended.err
    assert "lacks authentik_events.add_event" in mended.out
    assert "gives more than is needed: authentik_core.view_user" in mended.err
    api("DELETE", f"{base}/core/tokens/authentik-entra-rotator/")
    api(
        "POST",
        f"{base}/core/tokens/",
        json={"identifier": "authentik-entra-rotator", "user": user["pk"], "intent": "app_password"},
    )
    assert (
        "authentik-token-not-ours" in made("rotator", "token", "--to", str(tmp_path / "fourth"), "--yes").err
    )
    api("POST", f"{base}/core/users/", json={"username": "authentik-entra-bootstrap", "name": "a person"})
    taken = made("rotator", "token", "--to", str(tmp_path / "fifth"), "--for", "bootstrap", "--yes")
    assert (taken.code, "service-account-not-ours" in taken.err) == (5, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "third", "token"]


def test_connections_of_two_tenants_have_no_rotator_in_common(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "authentik-entra.toml"
    tenants = ("11111111-2222-4333-8444-555555555555", "22222222-3333-4444-8555-666666666666")
    file.write_text("".join(f'[connections.c{n}]\ntenant_id = "{id_}"\n' for n, id_ in enumerate(tenants)))
    assert run(["rotator", "show", "--config", str(file)]) == 3
    assert "rotator-several-tenants" in capsys.readouterr().err
    assert run(["rotator", "token", "--to", "-", "--output", "json"]) == 3
    assert "name a file" in capsys.readouterr().out
    assert run(["rotator", "create", "--lifetime", "soon"]) == 3
    assert "180d" in capsys.readouterr().err


def test_a_rotation_runs_with_the_two_identities_alone_and_names_what_either_lacks(
    shell: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = shell()
    pem, key = tmp_path / "rotator.pem", tmp_path / "rotation.token"
    assert run("bootstrap", "--yes").code == 0
    assert run("rotator", "create", "--to", str(pem), "--yes").code == 0
    assert run("rotator", "token", "--to", str(key), "--yes").code == 0
    tenant = run.sandbox.world.default_tenant
    rotator = tenant.find("application", lambda item: "authentik-entra:rotator" in item["tags"])
    for name in ("AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AUTHENTIK_TOKEN"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AUTHENTIK_ENTRA_OPERATOR_CLIENT_ID", rotator["appId"])
    monkeypatch.setenv("AUTHENTIK_ENTRA_OPERATOR_CERTIFICATE_FILE", str(pem))
    monkeypatch.setenv("AUTHENTIK_TOKEN_FILE", str(key))
    (role,) = run.sandbox.authentik.state.tables["role"].where(name="authentik-entra-rotation")
    held = list(role["permissions"])
    assert len(held) == 6

    def changes(mark: int) -> list[Any]:
        # What is tried without a body is refused; the failure is told in the audit trail, as far as the token may.
        entries = run.sandbox.world.log.writes(mark, agent=Network().user_agent)
        done = [entry for entry in entries if entry.status is None or entry.status < 400]
        return [entry for entry in done if "/events/events/" not in entry.path]

    for lacking in held:
        role["permissions"] = [item for item in held if item != lacking]
        mark = run.sandbox.world.log.last_seq
        refused = run.run("rotate", "--now", "--output", "json")
        assert refused.code == 4, (lacking, refused.out)
        # Also not those that cannot be tried without it.
        named = refused.document["error"]["message"]
        assert [item for item in held if item[0] in named] == [lacking], refused.out
        assert changes(mark) == []
    role["permissions"] = held
    done = run.run("rotate", "--now", "--output", "json")
    assert (done.code, done.document["rotated"]) == (0, True), done.out + done.err
    # And what it may not: the application of somebody else.
    app = tenant.find("application", lambda item: item.get("uniqueName") == "authentik-entra-default")
    tenant.put("application", app["id"], {**app, "_owners": []})
    run.sandbox.world.clock.advance(60)
    mark = run.sandbox.world.log.last_seq
    refused = run.run("rotate", "--now", "--output", "json")
    assert (refused.code, refused.document["error"]["code"]) == (4, "entra-not-an-owner"), refused.out
    assert changes(mark) == []
