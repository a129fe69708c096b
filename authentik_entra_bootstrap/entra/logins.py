"""The ways for the operator to sign in, by name; each makes one azure-identity credential.

An asynchronous one where azure-identity has it and no person is needed: it asks the token service one request less. Heavy
(azure-identity).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, MutableMapping
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from azure.identity import (
    AzureCliCredential,
    DefaultAzureCredential,
    DeviceCodeCredential,
    EnvironmentCredential,
    InteractiveBrowserCredential,
    ManagedIdentityCredential,
    aio,
)

from authentik_entra_bootstrap.domain import OperatorIdentity, SecretText, TenantId
from authentik_entra_bootstrap.entra.http_client import BlockingTransport, CredentialTransport
from authentik_entra_bootstrap.errors import ConfigError
from authentik_entra_bootstrap.support.private_files import Unreadable, read_file, read_line

Prompt = Callable[[str, str, datetime], None]
Maker = Callable[[CredentialTransport, TenantId | None, Prompt], Any]

_BROWSER_TIMEOUT = 300
_CLI_TIMEOUT = 30


def async_options(transport: CredentialTransport) -> dict[str, Any]:
    """Options of a credential of ``azure.identity.aio``."""
    cloud = transport.service.cloud
    return {
        "authority": cloud.authority,
        # With discovery on, MSAL would ask the global host about every other authority.
        "disable_instance_discovery": not cloud.discovers,
        "transport": transport,
        "retry_total": 0,
        "user_agent": transport.service.network.user_agent,
    }


def _blocking_options(transport: CredentialTransport) -> dict[str, Any]:
    """Options of a credential of ``azure.identity``."""
    return async_options(transport) | {"transport": BlockingTransport(transport)}


def _sends_chain() -> bool:
    """Sign-in by subject name and issuer: asynchronous credentials send no certificate chain (azure-identity 1.27)."""
    return bool(os.environ.get("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN"))


def _service_fabric() -> bool:
    """Its endpoint has its own certificate, which only the synchronous credential checks."""
    return bool(os.environ.get("IDENTITY_SERVER_THUMBPRINT"))


def _with_a_window() -> bool:
    """Members of azure-identity's chain that show a window, and exist as synchronous ones only."""
    chosen = os.environ.get("AZURE_TOKEN_CREDENTIALS", "").strip().lower()
    return chosen == "interactivebrowsercredential" or find_spec("azure.identity.broker") is not None


def _default(transport: CredentialTransport, _tenant: TenantId | None, _prompt: Prompt) -> Any:
    if _sends_chain() or _service_fabric() or _with_a_window():
        return DefaultAzureCredential(**_blocking_options(transport), process_timeout=_CLI_TIMEOUT)
    return aio.DefaultAzureCredential(**async_options(transport), process_timeout=_CLI_TIMEOUT)


def _environment(transport: CredentialTransport, _tenant: TenantId | None, _prompt: Prompt) -> Any:
    if _sends_chain():
        return EnvironmentCredential(**_blocking_options(transport))
    return aio.EnvironmentCredential(**async_options(transport))


def _workload_identity(transport: CredentialTransport, tenant: TenantId | None, _prompt: Prompt) -> Any:
    chosen = None if os.environ.get("AZURE_TENANT_ID") else tenant
    return aio.WorkloadIdentityCredential(**_tenant_option(chosen), **async_options(transport))


def _managed_identity(transport: CredentialTransport, _tenant: TenantId | None, _prompt: Prompt) -> Any:
    make, options = (
        (ManagedIdentityCredential, _blocking_options(transport))
        if _service_fabric()
        else (aio.ManagedIdentityCredential, async_options(transport))
    )
    chosen = {name: options[name] for name in ("transport", "retry_total", "user_agent")}
    return make(client_id=os.environ.get("AZURE_CLIENT_ID"), **chosen)


def _azure_cli(_transport: CredentialTransport, tenant: TenantId | None, _prompt: Prompt) -> Any:
    return AzureCliCredential(tenant_id=tenant or "", process_timeout=_CLI_TIMEOUT)


def _browser(transport: CredentialTransport, tenant: TenantId | None, _prompt: Prompt) -> Any:
    return InteractiveBrowserCredential(
        **_tenant_option(tenant), timeout=_BROWSER_TIMEOUT, **_blocking_options(transport)
    )


def _device_code(transport: CredentialTransport, tenant: TenantId | None, prompt: Prompt) -> Any:
    return DeviceCodeCredential(
        **_tenant_option(tenant), prompt_callback=prompt, **_blocking_options(transport)
    )


def _tenant_option(tenant: TenantId | None) -> dict[str, Any]:
    return {"tenant_id": tenant} if tenant else {}


def sign_in_as_application(
    operator: OperatorIdentity, transport: CredentialTransport, tenant: TenantId | None, _prompt: Prompt
) -> Any:
    """A credential for the operator's application that the settings name, in the connection's tenant.

    :raises ConfigError: ``operator-credential-unusable``.
    :raises ValueError: no tenant is set.
    """
    chosen = tenant or os.environ.get("AZURE_TENANT_ID")
    if not chosen:
        raise ValueError("tenant_id has to be set together with operator_client_id")
    proof = operator_proof(operator)
    make = aio.CertificateCredential if "certificate_data" in proof else aio.ClientSecretCredential
    return make(chosen, operator.app_id, **proof, **async_options(transport))


LOGINS: Mapping[str, Maker] = {
    "default": _default,
    "environment": _environment,
    "workload-identity": _workload_identity,
    "managed-identity": _managed_identity,
    "azure-cli": _azure_cli,
    "browser": _browser,
    "device-code": _device_code,
}
"""Name of ``--login`` -> maker of the credential. ``default`` is azure-identity's own chain; it and ``environment`` take
their tenant from the environment."""


# --- what this machine holds, looked at before any request: azure-identity would hand it to Microsoft as it is, or fail
# with words that name neither variable nor file

_APPLICATION = ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PATH")
_READ_BY = {
    "default": _APPLICATION,
    "environment": _APPLICATION,
    "workload-identity": ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE"),
    "managed-identity": ("AZURE_CLIENT_ID",),
}
"""Login -> the variables that azure-identity reads for it."""
_INSTEAD_OF_A_SECRET = ("AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_PASSWORD")


def check_environment(login: str, environ: MutableMapping[str, str]) -> None:
    """Refuse variables with which azure-identity can only fail, and unset empty ones, which it treats as set.

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
    empty = {name for name, value in environ.items() if name.startswith("AZURE_") and not value.strip()}
    for name in empty:
        del environ[name]
    if (
        {"AZURE_CLIENT_SECRET"} <= empty.intersection(names)
        and all(name in environ for name in names[:2])
        and not any(name in environ for name in _INSTEAD_OF_A_SECRET)
    ):
        raise _unusable("The environment variable AZURE_CLIENT_SECRET", "it is empty")
    certificate, token = "AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_FEDERATED_TOKEN_FILE"
    if certificate in names and certificate in environ:
        password = environ.get("AZURE_CLIENT_CERTIFICATE_PASSWORD")
        read_certificate(
            Path(environ[certificate]),
            certificate,
            SecretText(password) if password else None,
            "AZURE_CLIENT_CERTIFICATE_PASSWORD",
        )
    if token in names and token in environ:
        _line(Path(environ[token]), token)


def operator_proof(operator: OperatorIdentity) -> dict[str, Any]:
    """The credentials of the operator's application as azure-identity's options. Contains secrets.

    :raises ConfigError: ``operator-credential-unusable``.
    """
    if not operator.certificate_file:
        return {"client_secret": _line(Path(operator.secret_file or ""), "operator_secret_file").reveal()}
    password, password_name = None, "operator_certificate_password_file"
    if operator.certificate_password_file:
        password = _line(Path(operator.certificate_password_file), password_name)
    path = Path(operator.certificate_file)
    proof = {"certificate_data": read_certificate(path, "operator_certificate_file", password, password_name)}
    return proof | ({"password": password.reveal()} if password else {})


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
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, pkcs12

    if b"-----BEGIN" in data:
        load_pem_private_key(data, password)
        x509.load_pem_x509_certificate(data)
        return
    key, certificate, _ = pkcs12.load_key_and_certificates(data, password)
    if key is None or certificate is None:
        raise ValueError


def _line(path: Path, name: str) -> SecretText:
    try:
        return SecretText(read_line(path))
    except Unreadable as error:
        raise _unusable(f"The file {path} ({name})", str(error)) from None


def _unusable(where: str, reason: str) -> ConfigError:
    return ConfigError(
        "operator-credential-unusable",
        f"{where} cannot be used for signing in: {reason}.",
        "Correct it. No request was sent.",
    )
