"""Typed settings: flags over environment over file over defaults. Secrets come by environment or file only.

Own variables are ``AUTHENTIK_ENTRA_<SETTING>``. Variables that belong to other tools are read as those define
them: ``AUTHENTIK_URL``, ``AUTHENTIK_TOKEN``, ``AUTHENTIK_TOKEN_FILE``, ``AZURE_TENANT_ID``,
``AZURE_AUTHORITY_HOST`` (the other ``AZURE_*`` are read by azure-identity itself).
"""

from authentik_entra_bootstrap.config.connection import DEFAULT_CONNECTION, ConnectionSettings
from authentik_entra_bootstrap.config.sources import (
    ENV_PREFIX,
    Origins,
    SettingsFile,
    given_settings,
    load_settings,
    load_worker_settings,
    settings_from,
    settings_path,
    user_file,
)
from authentik_entra_bootstrap.config.values import exposed_files
from authentik_entra_bootstrap.config.worker import NO_LEASE, WorkerSettings

__all__ = [
    "DEFAULT_CONNECTION",
    "ENV_PREFIX",
    "NO_LEASE",
    "ConnectionSettings",
    "Origins",
    "SettingsFile",
    "WorkerSettings",
    "exposed_files",
    "given_settings",
    "load_settings",
    "load_worker_settings",
    "settings_from",
    "settings_path",
    "user_file",
]
