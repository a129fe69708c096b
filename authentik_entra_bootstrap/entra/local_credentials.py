"""What this machine holds for the operator's sign-in: variables and files, looked at before any request.

azure-identity would hand them to Microsoft as they are, or fail with words that name neither variable nor file.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path

from authentik_entra_bootstrap.domain import OperatorIdentity, SecretText
from authentik_entra_bootstrap.errors import ConfigError
from authentik_entra_bootstrap.support.private_files import Unreadable, read_file, read_line

_READ_BY = {
    "default": ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PATH"),
    "environment": (
        "AZURE_TENANT_ID",
        "AZURE_CLIENT_ID",
        "AZURE_CLIENT_SECRET",
        "AZURE_CLIENT_CERTIFICATE_PATH",
    ),
    "certificate": ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_CERTIFICATE_PATH"),
    "workload-identity": ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE"),
    "managed-identity": ("AZURE_CLIENT_ID",),
}
"""Login -> the variables that azure-identity reads for it."""
_OTHERS = ("AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_PASSWORD")
"""By what an application signs in where it has no secret."""


def check_environment(login: str, environ: MutableMapping[str, str]) -> None:
    """Refuse variables that azure-identity could only fail with, and unset the empty ones, which it takes for set.

    :param environ: the process's own, which azure-identity reads.
    :raises ConfigError: ``operator-credential-unusable``.
    """
    names = _READ_BY.get(login, ())
    for name in names:
        value = environ.get(name, "")
        if value.strip() and (value != value.strip() or not value.isprintable()):
            raise _unusable(
                f"The environment variable {name}", "it holds blanks, a line end or control characters"
            )
    applies = "AZURE_CLIENT_SECRET" in names and all(environ.get(name, "").strip() for name in names[:2])
    blank = "AZURE_CLIENT_SECRET" in environ and not environ["AZURE_CLIENT_SECRET"].strip()
    if applies and blank and not any(environ.get(name, "").strip() for name in _OTHERS):
        raise _unusable("The environment variable AZURE_CLIENT_SECRET", "it is empty")
    for name in [name for name, value in environ.items() if name.startswith("AZURE_") and not value.strip()]:
        del environ[name]
    if (
        path := environ.get("AZURE_CLIENT_CERTIFICATE_PATH", "")
        if "AZURE_CLIENT_CERTIFICATE_PATH" in names
        else ""
    ):
        password = environ.get("AZURE_CLIENT_CERTIFICATE_PASSWORD")
        read_certificate(
            Path(path),
            "AZURE_CLIENT_CERTIFICATE_PATH",
            SecretText(password) if password else None,
            "AZURE_CLIENT_CERTIFICATE_PASSWORD",
        )
    if path := environ.get("AZURE_FEDERATED_TOKEN_FILE", "") if "AZURE_FEDERATED_TOKEN_FILE" in names else "":
        _line(Path(path), "AZURE_FEDERATED_TOKEN_FILE")


def operator_secret(operator: OperatorIdentity) -> SecretText:
    """The client secret of the operator's application.

    :raises ConfigError: ``operator-credential-unusable``.
    """
    return _line(Path(operator.secret_file or ""), "operator_secret_file")


def operator_certificate(operator: OperatorIdentity) -> tuple[SecretText | None, bytes]:
    """Password and content of the operator's certificate file.

    :raises ConfigError: ``operator-credential-unusable``.
    """
    password = None
    if operator.certificate_password_file:
        password = _line(Path(operator.certificate_password_file), "operator_certificate_password_file")
    path = Path(operator.certificate_file or "")
    return password, read_certificate(
        path, "operator_certificate_file", password, "operator_certificate_password_file"
    )


def check_operator(operator: OperatorIdentity) -> None:
    """Read what the operator's application signs in with.

    :raises ConfigError: ``operator-credential-unusable``.
    """
    if operator.certificate_file:
        operator_certificate(operator)
    else:
        operator_secret(operator)


def read_certificate(path: Path, name: str, password: SecretText | None, password_name: str) -> bytes:
    """A certificate with its private key, in PEM or PKCS12.

    :param name: of the setting or variable that names the file, and of the one for its password.
    :raises ConfigError: ``operator-credential-unusable``.
    """
    where = f"The file {path} ({name})"
    try:
        data = read_file(path)
    except Unreadable as error:
        raise _unusable(where, str(error)) from None
    secret = password.reveal().encode() if password else None
    try:
        _load(data, secret)
    except TypeError:
        # cryptography's way to tell a password that is missing, or not needed.
        if secret is None:
            raise _unusable(
                where, f"its private key needs a password, and {password_name} is not set"
            ) from None
        raise _unusable(where, f"its private key has no password, and {password_name} is set") from None
    except ValueError:
        wrong = f"; or the password in {password_name} is wrong" if secret else ""
        raise _unusable(where, f"it holds no certificate with its private key{wrong}") from None
    return data


def _load(data: bytes, password: bytes | None) -> None:
    # A tenth of a second, for those who sign in by a certificate.
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, pkcs12  # noqa: PLC0415

    if b"-----BEGIN" in data:
        load_pem_private_key(data, password)
        x509.load_pem_x509_certificate(data)
        return
    key, certificate, _ = pkcs12.load_key_and_certificates(data, password)
    if key is None or certificate is None:
        raise ValueError


def _line(path: Path, name: str) -> SecretText:
    try:
        text = read_line(path)
    except Unreadable as error:
        raise _unusable(f"The file {path} ({name})", str(error)) from None
    if not text:
        raise _unusable(f"The file {path} ({name})", "it is empty")
    return SecretText(text)


def _unusable(where: str, reason: str) -> ConfigError:
    return ConfigError(
        "operator-credential-unusable",
        f"{where} cannot be used for signing in: {reason}.",
        "Correct it; nothing was asked yet.",
    )
