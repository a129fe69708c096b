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
    thumbprint = base64.b64encode(certificate.fingerprint(hashes.SHA1())).decode()  # a thumbprint
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
