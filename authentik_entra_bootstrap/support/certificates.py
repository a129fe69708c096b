"""Key pairs for signing in without a client secret: made here, the private half never leaves this machine.

Heavy (cryptography): imported when a key is made or read.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from authentik_entra_bootstrap.domain import KeyId, PublicCertificate, SecretText
from authentik_entra_bootstrap.errors import ConfigError
from authentik_entra_bootstrap.support.private_files import read_secret

KEY_SIZE = 2048
BACKDATED = timedelta(minutes=10)
"""The tenant's clock may be behind ours; a certificate from the future is refused."""


@dataclass(frozen=True)
class KeyPair:
    """A private key with its certificate.

    :param pem: both in PEM, key first, as azure-identity reads them.
    """

    pem: SecretText
    public: PublicCertificate


def make_key_pair(name: str, now: datetime, lifetime: timedelta) -> KeyPair:
    """A new RSA key and a self-signed certificate.

    :param name: common name of the certificate.
    :param now: aware UTC; the certificate ends ``lifetime`` later.
    """
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_SIZE)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = now.replace(microsecond=0)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + lifetime)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem = SecretText((private + certificate.public_bytes(Encoding.PEM)).decode())
    return KeyPair(pem, _public(certificate))


def read_key_pair(path: Path) -> KeyPair:
    """A key pair as :func:`make_key_pair` made it, from its file.

    :raises ConfigError: ``secret-file-unreadable``, or ``certificate-file-invalid`` for a file that holds no
        private key with its certificate.
    """
    pem = read_secret(path)
    try:
        data = pem.reveal().encode()
        certificate = x509.load_pem_x509_certificate(data)
        fits = load_pem_private_key(data, None).public_key() == certificate.public_key()
    except (ValueError, TypeError):
        fits = False
    if not fits:
        raise ConfigError(
            "certificate-file-invalid",
            f"The file {path} exists and holds no private key with its certificate.",
            "Name the rotator's key file, or a file that does not exist yet.",
        )
    return KeyPair(pem, _public(certificate))


def _public(certificate: x509.Certificate) -> PublicCertificate:
    digest = certificate.fingerprint(hashes.SHA256())
    return PublicCertificate(
        # Chosen by us, so that a file and an entry of keyCredentials are matched without another property.
        KeyId(str(uuid.UUID(bytes=digest[:16], version=4))),
        certificate.public_bytes(Encoding.DER),
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
    )
