"""One trust for every TLS client: contexts are made once for a file; what each library is told; what a failure is called."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import certifi
import pytest
import trustme

from authentik_entra_bootstrap.domain import Network
from authentik_entra_bootstrap.errors import ConfigError
from authentik_entra_bootstrap.support import network

BUNDLE = Path(certifi.where()).read_bytes()


@pytest.fixture(autouse=True)
def _own_trust(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*network.CA_VARIABLES, "SSL_CERT_DIR", "PGSSLMODE", "PGSSLROOTCERT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def ca(tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(path)
    return str(path)


def test_one_context_for_each_content_of_a_file(ca: str) -> None:
    first = network.client_context(ca)
    assert network.client_context(ca) is first
    assert (first.verify_mode, first.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert len(first.get_ca_certs()) == 1, "instead of the system's authorities"
    trustme.CA().cert_pem.write_to_path(ca)
    os.utime(ca, (1, 1))
    assert network.client_context(ca).get_ca_certs() != first.get_ca_certs()


def test_without_a_setting_the_environment_counts_and_then_the_system(
    ca: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert network.with_trust(Network(ca_file=ca), {"SSL_CERT_FILE": "/other"}).ca_file == ca
    for name in network.CA_VARIABLES:
        assert network.with_trust(Network(), {name: ca}).ca_file == ca
        assert network.bundle(None, {name: ca}) == ca
    assert network.with_trust(Network(), {}).ca_file is None
    assert Path(network.bundle(None)).is_file()
    assert network.client_context(None) is network.client_context(None)
    empty = type("Paths", (), {"cafile": None})
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: empty)
    monkeypatch.setattr(network, "_SYSTEM", (str(tmp_path / "nowhere"),))
    assert network.bundle(None) == certifi.where()


def test_a_folder_of_authorities_in_the_environment_is_trusted_too(
    ca: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = network.client_context(None)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert network.client_context(None) is not plain


def test_a_ca_file_that_cannot_be_used_is_named_each_time(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("no certificate", encoding="utf-8")
    for wrong in (str(empty), str(tmp_path), str(tmp_path / "missing.pem"), "a\x00b"):
        for _ in range(2):
            with pytest.raises(ConfigError, match=r"\[ca-file-unreadable\]") as caught:
                network.with_trust(Network(ca_file=wrong), {})
            assert wrong in caught.value.message


def test_few_contexts_are_kept(tmp_path: Path) -> None:
    made = []
    for number in range(network.MOST + 4):
        file = tmp_path / f"{number}.pem"
        file.write_bytes(BUNDLE[:6000].rpartition(b"-----BEGIN")[0])
        made.append(network.client_context(str(file)))
    assert network.client_context(str(tmp_path / "0.pem")) is not made[0]


def test_redis_is_told_to_check_the_server_whatever_else_its_address_says(ca: str) -> None:
    url = "rediss://:p@h.example:6380/0?ssl_certfile=/c.pem&ssl_cert_reqs=none&socket_timeout=3"
    address, options = network.redis_options(url, ca)
    assert address == "rediss://:p@h.example:6380/0?socket_timeout=3"
    assert options == {
        "ssl_ca_certs": ca,
        "ssl_certfile": "/c.pem",
        "ssl_cert_reqs": ssl.CERT_REQUIRED,
        "ssl_check_hostname": True,
    }
    assert network.redis_options("redis://h/0?x=1", ca) == ("redis://h/0?x=1", {})


def test_rabbitmq_is_told_to_check_the_server(ca: str) -> None:
    assert network.rabbitmq_options(ca) == {
        "ca_certs": ca,
        "cert_reqs": ssl.CERT_REQUIRED,
        "server_hostname": None,
    }


@pytest.mark.parametrize(
    ("given", "environ", "added"),
    [
        ({}, {}, {}),
        ({"sslmode": "disable"}, {"PGSSLMODE": "require"}, {}),
        ({"sslmode": "prefer"}, {}, {}),
        ({"sslmode": "require"}, {}, {"sslmode": "verify-full", "sslrootcert": "CA"}),
        ({}, {"PGSSLMODE": "require"}, {"sslmode": "verify-full", "sslrootcert": "CA"}),
        ({"sslmode": "verify-full"}, {}, {"sslmode": "verify-full", "sslrootcert": "CA"}),
        ({"sslmode": "verify-ca"}, {}, {"sslmode": "verify-ca", "sslrootcert": "CA"}),
        ({"sslmode": "require", "sslrootcert": "/own.pem"}, {}, {"sslmode": "verify-full"}),
        ({"sslmode": "require"}, {"PGSSLROOTCERT": "/own.pem"}, {"sslmode": "verify-full"}),
    ],
)
def test_postgresql_checks_the_server_where_tls_is_asked_for(
    given: dict[str, str], environ: dict[str, str], added: dict[str, str], ca: str
) -> None:
    wanted = {name: ca if value == "CA" else value for name, value in added.items()}
    assert network.postgresql_options(given, ca, environ) == wanted


def test_libpqs_own_file_of_authorities_is_left_to_it(tmp_path: Path) -> None:
    (tmp_path / ".postgresql").mkdir()
    (tmp_path / ".postgresql" / "root.crt").write_bytes(BUNDLE)
    assert network.postgresql_options({"sslmode": "require"}, None, {"HOME": str(tmp_path)}) == {
        "sslmode": "verify-full"
    }


def test_an_untrusted_certificate_is_found_inside_any_exception() -> None:
    certificate = ssl.SSLCertVerificationError(1, "x")
    certificate.verify_message = "self-signed certificate"
    for outer in (ValueError("x", certificate), ValueError("x")):
        outer.__context__ = certificate
        assert network.untrusted(outer) == "self-signed certificate"
    loop = ValueError("x")
    loop.__context__ = loop
    assert network.untrusted(loop) is None
    error = network.not_trusted("h.example:443", "self-signed certificate")
    assert error.message == "The certificate of h.example:443 is not trusted: self-signed certificate."
