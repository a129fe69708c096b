"""The ways for the operator to sign in, by name; each makes one azure-identity credential.

An asynchronous one where azure-identity has it and no person is needed: it asks the token service one request less. Heavy
(azure-identity).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import datetime
from importlib.util import find_spec
from typing import Any

from azure.core.pipeline.transport import AsyncioRequestsTransport, RequestsTransport
from azure.identity import (
    AzureCliCredential,
    DefaultAzureCredential,
    DeviceCodeCredential,
    EnvironmentCredential,
    InteractiveBrowserCredential,
    ManagedIdentityCredential,
    aio,
)

from authentik_entra_bootstrap.domain import OperatorIdentity, TenantId
from authentik_entra_bootstrap.entra.local_credentials import operator_certificate, operator_secret
from authentik_entra_bootstrap.entra.token_service import Attempt

Prompt = Callable[[str, str, datetime], None]
Maker = Callable[[Attempt, TenantId | None, Prompt], Any]

_BROWSER_TIMEOUT = 300
_CLI_TIMEOUT = 30


def awaited(attempt: Attempt) -> dict[str, Any]:
    """Options of a credential of ``azure.identity.aio``."""
    return _options(attempt, AsyncioRequestsTransport(session=attempt.session()))


def _blocking(attempt: Attempt) -> dict[str, Any]:
    """Options of a credential of ``azure.identity``."""
    return _options(attempt, RequestsTransport(session=attempt.session()))


def _options(attempt: Attempt, transport: object) -> dict[str, Any]:
    cloud = attempt.service.cloud
    return {
        "authority": cloud.authority,
        # With discovery on, MSAL would ask the global host about every other authority.
        "disable_instance_discovery": not cloud.discovers,
        "transport": transport,
        "retry_total": 0,
        "user_agent": attempt.service.network.user_agent,
    }


def _sends_chain() -> bool:
    """Sign-in by subject name and issuer: asynchronous credentials send no certificate chain (azure-identity 1.27)."""
    return bool(os.environ.get("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN"))


def _service_fabric() -> bool:
    """Its endpoint has a certificate of its own, which only the synchronous credential checks."""
    return bool(os.environ.get("IDENTITY_SERVER_THUMBPRINT"))


def _with_a_window() -> bool:
    """Members of azure-identity's chain that show a window, and exist as synchronous ones only."""
    chosen = os.environ.get("AZURE_TOKEN_CREDENTIALS", "").strip().lower()
    return chosen == "interactivebrowsercredential" or find_spec("azure.identity.broker") is not None


def _default(attempt: Attempt, _tenant: TenantId | None, _prompt: Prompt) -> Any:
    if _sends_chain() or _service_fabric() or _with_a_window():
        return DefaultAzureCredential(**_blocking(attempt), process_timeout=_CLI_TIMEOUT)
    return aio.DefaultAzureCredential(**awaited(attempt), process_timeout=_CLI_TIMEOUT)


def _environment(attempt: Attempt, _tenant: TenantId | None, _prompt: Prompt) -> Any:
    if _sends_chain():
        return EnvironmentCredential(**_blocking(attempt))
    return aio.EnvironmentCredential(**awaited(attempt))


def _workload_identity(attempt: Attempt, tenant: TenantId | None, _prompt: Prompt) -> Any:
    chosen = {"tenant_id": tenant} if tenant and not os.environ.get("AZURE_TENANT_ID") else {}
    return aio.WorkloadIdentityCredential(**chosen, **awaited(attempt))


def _managed_identity(attempt: Attempt, _tenant: TenantId | None, _prompt: Prompt) -> Any:
    client_id = os.environ.get("AZURE_CLIENT_ID")
    options = _blocking(attempt) if _service_fabric() else awaited(attempt)
    chosen = {name: options[name] for name in ("transport", "retry_total", "user_agent")}
    if _service_fabric():
        return ManagedIdentityCredential(client_id=client_id, **chosen)
    return aio.ManagedIdentityCredential(client_id=client_id, **chosen)


def _azure_cli(_attempt: Attempt, tenant: TenantId | None, _prompt: Prompt) -> Any:
    return AzureCliCredential(tenant_id=tenant or "", process_timeout=_CLI_TIMEOUT)


def _browser(attempt: Attempt, tenant: TenantId | None, _prompt: Prompt) -> Any:
    chosen: dict[str, Any] = {"tenant_id": tenant} if tenant else {}
    return InteractiveBrowserCredential(**chosen, timeout=_BROWSER_TIMEOUT, **_blocking(attempt))


def _device_code(attempt: Attempt, tenant: TenantId | None, prompt: Prompt) -> Any:
    chosen: dict[str, Any] = {"tenant_id": tenant} if tenant else {}
    return DeviceCodeCredential(**chosen, prompt_callback=prompt, **_blocking(attempt))


def sign_in_as_application(
    operator: OperatorIdentity, attempt: Attempt, tenant: TenantId | None, _prompt: Prompt
) -> Any:
    """A credential for the operator's application that the settings name, in the connection's tenant.

    :raises ConfigError: ``operator-credential-unusable``.
    :raises ValueError: no tenant is set.
    """
    chosen = tenant or os.environ.get("AZURE_TENANT_ID")
    if not chosen:
        raise ValueError("tenant_id has to be set together with operator_client_id")
    options = awaited(attempt)
    if operator.certificate_file:
        password, data = operator_certificate(operator)
        if password:
            options["password"] = password.reveal()
        return aio.CertificateCredential(chosen, operator.app_id, certificate_data=data, **options)
    text = operator_secret(operator).reveal()
    return aio.ClientSecretCredential(chosen, operator.app_id, text, **options)


LOGINS: Mapping[str, Maker] = {
    "default": _default,
    "environment": _environment,
    "certificate": _environment,
    "workload-identity": _workload_identity,
    "managed-identity": _managed_identity,
    "azure-cli": _azure_cli,
    "browser": _browser,
    "device-code": _device_code,
}
"""Name of ``--login`` -> maker of the credential. ``default`` is azure-identity's own chain; ``certificate`` is
the environment with ``AZURE_CLIENT_CERTIFICATE_PATH``. Those take their tenant from the environment."""
INTERACTIVE = frozenset({"browser", "device-code"})
"""Logins that need a person, and whose credential is kept as long as possible."""
