from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def certificate() -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "rotator")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 17, NOW, NOW + timedelta(days=365))
    return builder.sign(key, hashes.SHA256())


def entry(certificate: x509.Certificate, **values: Any) -> dict[str, Any]:
    der = base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()
    return {"type": "AsymmetricX509Cert", "usage": "Verify", "key": der, **values}


def test_certificates_by_patch(graph: Any, certificate: x509.Certificate) -> None:
    app = graph.new_app()
    path = f"applications/{app['id']}"
    assert graph.patch(path, {"keyCredentials": [entry(certificate, displayName="r")]}).status_code == 204
    (stored,) = graph.get(path).json()["keyCredentials"]
    thumbprint = base64.b64encode(certificate.fingerprint(hashes.SHA1())).decode()  # noqa: S303  # a thumbprint
    assert (stored["customKeyIdentifier"], stored["key"]) == (thumbprint, None)
    assert stored["endDateTime"] == "2027-11-01T12:00:00Z"
    assert graph.get(f"{path}?$select=keyCredentials").json()["keyCredentials"][0]["key"]
    pem = graph.directory.get("application", app["id"])["_certificates"][stored["keyId"]]
    assert x509.load_pem_x509_certificate(pem.encode()) == certificate
    keep = {
        "keyId": stored["keyId"],
        "type": stored["type"],
        "usage": stored["usage"],
        "displayName": "renamed",
    }
    assert graph.patch(path, {"keyCredentials": [keep, entry(certificate)]}).status_code == 204
    both = graph.get(path).json()["keyCredentials"]
    assert [item["displayName"] for item in both] == ["renamed", "CN=rotator"]
    assert graph.patch(path, {"keyCredentials": []}).status_code == 204
    assert graph.directory.get("application", app["id"])["_certificates"] == {}


def test_forms_of_a_certificate(graph: Any, certificate: x509.Certificate) -> None:
    pem = certificate.public_bytes(Encoding.PEM)
    lines = "\n".join(pem.decode().splitlines()[1:-1])
    for key in (lines, base64.b64encode(pem).decode(), entry(certificate)["key"].rstrip("=")):
        app = graph.new_app()
        path = f"applications/{app['id']}"
        assert graph.patch(path, {"keyCredentials": [entry(certificate, key=key)]}).status_code == 204
        (stored,) = graph.get(f"{path}?$select=keyCredentials").json()["keyCredentials"]
        assert stored["key"] == entry(certificate)["key"]


@pytest.mark.parametrize(
    "change",
    [
        {"key": base64.b64encode(b"no certificate").decode()},
        {"key": None},
        {"type": "Symmetric"},
        {"usage": "Sign"},
        {"endDateTime": "2030-01-01T00:00:00Z"},
        {"startDateTime": "2020-01-01T00:00:00Z"},
    ],
)
def test_bad_certificates(graph: Any, certificate: x509.Certificate, change: dict[str, Any]) -> None:
    path = f"applications/{graph.new_app()['id']}"
    assert graph.patch(path, {"keyCredentials": [entry(certificate, **change)]}).status_code == 400
    assert graph.get(path).json()["keyCredentials"] == []


def test_certificates_fall_under_the_policy(graph: Any, errors: Any, certificate: x509.Certificate) -> None:
    rule = {"restrictionType": "asymmetricKeyLifetime", "maxLifetime": "P180D", "state": "enabled"}
    body = {"isEnabled": True, "applicationRestrictions": {"keyCredentials": [rule]}}
    graph.patch("policies/defaultAppManagementPolicy", body)
    path = f"applications/{graph.new_app()['id']}"
    refused = errors(graph.patch(path, {"keyCredentials": [entry(certificate)]}))
    assert refused[1] == "CredentialInvalidLifetimeAsPerAppPolicy"
    short = entry(certificate, endDateTime="2027-02-01T00:00:00Z")
    assert graph.patch(path, {"keyCredentials": [short]}).status_code == 204


FEDERATED = {
    "name": "github",
    "issuer": "https://token.actions.githubusercontent.com",
    "subject": "repo:o/r:ref:refs/heads/main",
    "audiences": ["api://AzureADTokenExchange"],
}


def test_federated_credentials(graph: Any, errors: Any) -> None:
    path = f"applications/{graph.new_app()['id']}/federatedIdentityCredentials"
    made = graph.post(path, FEDERATED).json()
    assert graph.get(path).json()["value"] == [
        {name: made[name] for name in made if name != "@odata.context"}
    ]
    for key in (f"{path}/{made['id']}", f"{path}/github", f"{path}(name='github')"):
        assert graph.get(key).json()["subject"] == FEDERATED["subject"]
    assert errors(graph.post(path, FEDERATED))[:2] == (409, "Request_MultipleObjectsWithSameKeyValue")
    assert errors(graph.post(path, {**FEDERATED, "name": "other"}))[0] == 409
    assert graph.patch(f"{path}/github", {"subject": "repo:o/r:environment:prod"}).status_code == 204
    assert graph.patch(f"{path}/github", {"name": "renamed"}).status_code == 400
    for name in ("name", "issuer", "subject", "audiences"):
        other = {**FEDERATED, "name": "n", "subject": "s"}
        assert (
            graph.post(path, {key: value for key, value in other.items() if key != name}).status_code == 400
        )
    assert graph.patch(f"{path}(name='two')", {"subject": "other"}).status_code == 404
    assert graph.delete(f"{path}/{made['id']}").status_code == 204
    assert graph.delete(f"{path}/{made['id']}").status_code == 404
    assert graph.get(path).json()["value"] == []


def run(graph: Any, *requests: dict[str, Any]) -> dict[str, Any]:
    reply = graph.post("$batch", {"requests": list(requests)})
    assert reply.status_code == 200, reply.text
    return {item["id"]: item for item in reply.json()["responses"]}


def test_a_batch_runs_in_the_order_of_its_dependencies(graph: Any) -> None:
    json_type = {"Content-Type": "application/json"}
    replies = run(
        graph,
        {
            "id": "patch",
            "method": "PATCH",
            "url": "/applications(uniqueName='b')",
            "dependsOn": ["make"],
            "headers": json_type,
            "body": {"tags": ["x"]},
        },
        {
            "id": "make",
            "method": "post",
            "url": "applications",
            "headers": json_type,
            "body": {"displayName": "B", "uniqueName": "b"},
        },
        {"id": "missing", "method": "GET", "url": "/users/nobody@contoso.example?$select=id"},
        {"id": "late", "method": "GET", "url": "/organization", "dependsOn": ["missing"]},
    )
    assert {name: item["status"] for name, item in replies.items()} == {
        "patch": 204,
        "make": 201,
        "missing": 404,
        "late": 424,
    }
    assert "body" not in replies["patch"]
    assert replies["late"]["body"]["error"]["code"] == "FailedDependency"
    assert replies["make"]["headers"]["Content-Type"].startswith("application/json")
    assert graph.get("applications(uniqueName='b')").json()["tags"] == ["x"]


GET = {"method": "GET", "url": "/organization"}


@pytest.mark.parametrize(
    "requests",
    [
        [],
        [{**GET, "id": str(number)} for number in range(21)],
        [{**GET, "id": "a"}, {**GET, "id": "A"}],
        [{**GET}],
        [{"id": "1", "method": "POST", "url": "/users", "body": {"x": 1}}],
        [{**GET, "id": "1", "dependsOn": ["2"]}],
        [{**GET, "id": "1", "dependsOn": ["2"]}, {**GET, "id": "2", "dependsOn": ["1"]}],
        ["x"],
        "x",
    ],
)
def test_batches_that_cannot_be_read(graph: Any, errors: Any, requests: Any) -> None:
    assert errors(graph.post("$batch", {"requests": requests}))[:2] == (400, "BadRequest")


def test_a_batch_needs_a_token_and_gives_each_part_its_own_rights(graph: Any, errors: Any) -> None:
    assert graph.http.post("/v1.0/$batch", json={"requests": []}).status_code == 401
    assert errors(graph.get("$batch"))[0] == 405
    limited = graph.as_app("User.Read.All")
    replies = run(limited, {**GET, "id": "1"}, {"id": "2", "method": "GET", "url": "/groups"})
    assert {name: item["status"] for name, item in replies.items()} == {"1": 200, "2": 403}
    nested = run(graph, {"id": "1", "method": "POST", "url": "/$batch"})
    assert nested["1"]["status"] == 400
