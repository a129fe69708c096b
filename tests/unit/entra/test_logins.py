"""Mistakes on this machine are told as such, before any request; empty variables count as unset."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)

from authentik_entra_bootstrap.domain import CLOUDS, AppId, Network, OperatorIdentity, TenantId
from authentik_entra_bootstrap.entra.adapter import EntraAdapter
from authentik_entra_bootstrap.entra.logins import (
    check_environment,
    operator_proof,
)
from authentik_entra_bootstrap.errors import ConfigError, ExitCode
from authentik_entra_bootstrap.support.certificates import make_key_pair
from authentik_entra_bootstrap.support.waiting import Waiter

TENANT = TenantId("11111111-2222-4333-8444-555555555555")
APP = AppId("66666666-2222-4333-8444-555555555555")
CANARY = "canary-local-4d"
SET = {"AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": APP}


@pytest.fixture(scope="module")
def pem() -> bytes:
    return make_key_pair("test", datetime.now(UTC), timedelta(days=30)).pem.reveal().encode()


@pytest.fixture(scope="module")
def encrypted(pem: bytes) -> bytes:
    key = load_pem_private_key(pem, None)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(CANARY.encode()))
    return private + x509.load_pem_x509_certificate(pem).public_bytes(Encoding.PEM)


def refused(login: str = "default", **environ: str) -> str:
    with pytest.raises(ConfigError, match=r"\[operator-credential-unusable\]") as caught:
        check_environment(login, dict(environ))
    assert caught.value.exit_code is ExitCode.USAGE
    assert CANARY not in repr(caught.value)
    return caught.value.message


@pytest.mark.parametrize("login", ["default", "environment"])
@pytest.mark.parametrize("blank", ["", "  ", "\r\n"])
def test_an_empty_client_secret_is_named(login: str, blank: str) -> None:
    assert "AZURE_CLIENT_SECRET" in refused(login, **SET, AZURE_CLIENT_SECRET=blank)


def test_empty_variables_count_as_unset_for_azure_identity_too() -> None:
    environ = {
        **SET,
        "AZURE_CLIENT_SECRET": "",
        "AZURE_PASSWORD": "p",
        "AZURE_USERNAME": "",
        "AZURE_AUTHORITY_HOST": " ",
        "OTHER": "",
    }
    check_environment("default", environ)
    assert environ == {**SET, "AZURE_PASSWORD": "p", "OTHER": ""}
    only_secret = {"AZURE_CLIENT_SECRET": ""}
    check_environment("default", only_secret)
    assert only_secret == {}
    check_environment("azure-cli", {**SET, "AZURE_CLIENT_SECRET": ""})


@pytest.mark.parametrize("name", ["AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"])
@pytest.mark.parametrize("value", ["{}\r", " {}", "{}\n", "a\x00{}", "a\u202e{}"])
def test_a_variable_with_a_line_end_or_control_character_is_named(name: str, value: str) -> None:
    environ = {**SET, "AZURE_CLIENT_SECRET": "x", name: value.format(CANARY)}
    assert name in refused("environment", **environ)
    check_environment("azure-cli", dict(environ))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (None, "no such file"),
        ("sécret".encode("utf-16"), "UTF-16"),
        (b" \r\n", "it is empty"),
        (b"a\nb", "several lines"),
    ],
)
def test_a_secret_file_that_cannot_be_used_is_named(data: bytes | None, why: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    if data is not None:
        file.write_bytes(data)
    with pytest.raises(ConfigError, match=why) as caught:
        operator_proof(OperatorIdentity(APP, secret_file=str(file)))
    assert f"{file} (operator_secret_file)" in caught.value.message


def test_a_certificate_that_cannot_be_used_is_named(pem: bytes, encrypted: bytes, tmp_path: Path) -> None:
    file, missing = tmp_path / "certificate.pem", tmp_path / "missing.pem"
    path = {**SET, "AZURE_CLIENT_CERTIFICATE_PATH": str(file)}
    assert "no such file" in refused("environment", **{**path, "AZURE_CLIENT_CERTIFICATE_PATH": str(missing)})
    file.write_bytes(b"-----BEGIN nothing")
    assert "holds no certificate with its private key" in refused("environment", **path)
    file.write_bytes(pem[: pem.index(b"-----BEGIN CERTIFICATE")])
    assert "holds no certificate with its private key" in refused("environment", **path)
    file.write_bytes(encrypted)
    unset = refused("default", **path)
    assert "needs a password, and AZURE_CLIENT_CERTIFICATE_PASSWORD is not set" in unset
    wrong = refused("default", **path, AZURE_CLIENT_CERTIFICATE_PASSWORD=f"not {CANARY}")
    assert "password in AZURE_CLIENT_CERTIFICATE_PASSWORD is wrong" in wrong
    check_environment("default", {**path, "AZURE_CLIENT_CERTIFICATE_PASSWORD": CANARY})
    file.write_bytes(pem)
    needless = refused("default", **path, AZURE_CLIENT_CERTIFICATE_PASSWORD=CANARY)
    assert "has no password" in needless
    check_environment("default", dict(path))


def test_the_operators_certificate_has_a_setting_for_its_password(
    pem: bytes, encrypted: bytes, tmp_path: Path
) -> None:
    file, password = tmp_path / "certificate", tmp_path / "password"
    password.write_bytes(f"\ufeff{CANARY}\r\n".encode())
    alone, both = (
        OperatorIdentity(APP, None, str(file)),
        OperatorIdentity(APP, None, str(file), str(password)),
    )
    certificate, key = x509.load_pem_x509_certificate(pem), load_pem_private_key(pem, None)
    bag = pkcs12.serialize_key_and_certificates(
        b"x",
        key,  # an RSA key
        certificate,
        None,
        BestAvailableEncryption(CANARY.encode()),
    )
    for data in (encrypted, bag):
        file.write_bytes(data)
        with pytest.raises(ConfigError, match="operator_certificate_file"):
            operator_proof(alone)
        assert operator_proof(both) == {"certificate_data": data, "password": CANARY}


def test_a_federated_token_that_is_missing_is_named(tmp_path: Path) -> None:
    environ = {**SET, "AZURE_FEDERATED_TOKEN_FILE": str(tmp_path / "token")}
    assert "AZURE_FEDERATED_TOKEN_FILE" in refused("workload-identity", **environ)


async def test_nothing_is_asked_where_something_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**SET, "AZURE_CLIENT_SECRET": ""}.items():
        monkeypatch.setenv(name, value)
    adapter = EntraAdapter(TENANT, CLOUDS["global"], Network(), Waiter())
    with pytest.raises(ConfigError, match="AZURE_CLIENT_SECRET"):
        await adapter.__aenter__()
