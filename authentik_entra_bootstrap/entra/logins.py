"""The ways for the operator to sign in, by name; each makes one azure-identity credential.

An asynchronous one wherever azure-identity has it and it does the same: it asks the token service one request less.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from authentik_entra_bootstrap.domain import OperatorIdentity, TenantId
from authentik_entra_bootstrap.entra.lazy_identity import asynchronous, blocking, has_broker


class Making(Protocol):
    """What a credential is made with."""

    def asynchronous(self) -> dict[str, Any]:
        """Options of a credential of ``azure.identity.aio``."""
        ...

    def blocking(self) -> dict[str, Any]:
        """Options of a credential of ``azure.identity``."""
        ...


Prompt = Callable[[str, str, datetime], None]
Maker = Callable[[Making, TenantId | None, Prompt], Any]

_BROWSER_TIMEOUT = 300
_CLI_TIMEOUT = 30


def _sends_chain() -> bool:
    """Sign-in by subject name and issuer: asynchronous credentials send no certificate chain (azure-identity 1.27)."""
    return bool(os.environ.get("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN"))


def _service_fabric() -> bool:
    """Its endpoint has a certificate of its own, which only the synchronous credential checks."""
    return bool(os.environ.get("IDENTITY_SERVER_THUMBPRINT"))


def _with_a_window() -> bool:
    """Members of azure-identity's chain that show a window, and exist as synchronous ones only."""
    chosen = os.environ.get("AZURE_TOKEN_CREDENTIALS", "").strip().lower()
    return chosen == "interactivebrowsercredential" or has_broker()


def _default(making: Making, _tenant: TenantId | None, _prompt: Prompt) -> Any:
    name = "DefaultAzureCredential"
    if _sends_chain() or _service_fabric() or _with_a_window():
        return blocking(name)(**making.blocking(), process_timeout=_CLI_TIMEOUT)
    return asynchronous(name)(**making.asynchronous(), process_timeout=_CLI_TIMEOUT)


def _environment(making: Making, _tenant: TenantId | None, _prompt: Prompt) -> Any:
    if _sends_chain():
        return blocking("EnvironmentCredential")(**making.blocking())
    return asynchronous("EnvironmentCredential")(**making.asynchronous())


def _workload_identity(making: Making, tenant: TenantId | None, _prompt: Prompt) -> Any:
    chosen = {"tenant_id": tenant} if tenant and not os.environ.get("AZURE_TENANT_ID") else {}
    return asynchronous("WorkloadIdentityCredential")(**chosen, **making.asynchronous())


def _managed_identity(making: Making, _tenant: TenantId | None, _prompt: Prompt) -> Any:
    def shared(options: dict[str, Any]) -> dict[str, Any]:
        return {name: options[name] for name in ("transport", "retry_total", "user_agent")}

    name, client_id = "ManagedIdentityCredential", os.environ.get("AZURE_CLIENT_ID")
    if _service_fabric():
        return blocking(name)(client_id=client_id, **shared(making.blocking()))
    return asynchronous(name)(client_id=client_id, **shared(making.asynchronous()))


def _azure_cli(_making: Making, tenant: TenantId | None, _prompt: Prompt) -> Any:
    return asynchronous("AzureCliCredential")(tenant_id=tenant or "", process_timeout=_CLI_TIMEOUT)


def _browser(making: Making, tenant: TenantId | None, _prompt: Prompt) -> Any:
    chosen: dict[str, Any] = {"tenant_id": tenant} if tenant else {}
    return blocking("InteractiveBrowserCredential")(**chosen, timeout=_BROWSER_TIMEOUT, **making.blocking())


def _device_code(making: Making, tenant: TenantId | None, prompt: Prompt) -> Any:
    chosen: dict[str, Any] = {"tenant_id": tenant} if tenant else {}
    return blocking("DeviceCodeCredential")(**chosen, prompt_callback=prompt, **making.blocking())


def sign_in_as_application(
    operator: OperatorIdentity, making: Making, tenant: TenantId | None, _prompt: Prompt
) -> Any:
    """A credential for the operator's application that the settings name, in the connection's tenant.

    :raises OSError: a file cannot be read.
    :raises ValueError: it holds nothing usable, or no tenant is set.
    """
    chosen = tenant or os.environ.get("AZURE_TENANT_ID")
    if not chosen:
        raise ValueError("tenant_id has to be set together with operator_client_id")
    options = making.asynchronous()
    if operator.certificate_file:
        return asynchronous("CertificateCredential")(
            chosen, operator.app_id, operator.certificate_file, **options
        )
    text = Path(operator.secret_file or "").read_text(encoding="utf-8").strip()
    return asynchronous("ClientSecretCredential")(chosen, operator.app_id, text, **options)


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
