"""The settings of a job that runs with an environment of its own: what it must be told, and no secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from authentik_entra_bootstrap.config.sources import (
    ENV_PREFIX,
    SettingsFile,
    given_settings,
    given_worker_settings,
    load_settings,
)
from authentik_entra_bootstrap.errors import ConfigError
from authentik_entra_bootstrap.support.addresses import holds_password

_PASSED = (
    *("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("AUTHENTIK_ENTRA_LOG", "AUTHENTIK_ENTRA_SANDBOX"),
)
"""Variables that are no settings, and mean the same to every connection."""
_SIGN_IN = ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE")


@dataclass(frozen=True)
class JobSettings:
    """Settings without secrets; every file is named by its absolute path.

    :param tables: connection -> its settings from file, environment and flags.
    :param worker: those of the table ``[worker]``.
    :param given: the settings among them that are not in the settings file, the same for all connections.
    :param environment: variables that other libraries read.
    """

    tables: Mapping[str, Mapping[str, Any]]
    worker: Mapping[str, Any]
    given: Mapping[str, Any]
    environment: Mapping[str, str]

    @property
    def files(self) -> frozenset[Path]:
        """Every file that a setting names."""
        tables = (*self.tables.values(), self.worker)
        return frozenset(Path(table[key]) for table in tables for key in table if key.endswith("_file"))


def job_settings(
    file: SettingsFile, names: tuple[str, ...], environment: Mapping[str, str], flags: Mapping[str, object]
) -> JobSettings:
    """What a job for these connections must be told.

    :raises ConfigError: ``schedule-secret-in-environment``; those of :func:`load_settings`.
    """
    over = {name: _over_file(file, name, environment, flags) for name in names}
    tables = {name: _absolute({**file.values(name), **over[name]}) for name in names}
    given = {key: value for table in over.values() for key, value in table.items()}
    worker = {key: value for key, (value, _) in given_worker_settings(environment).items()}
    passed = {name: environment.get(name) or environment.get(name.lower(), "") for name in _PASSED}
    if any("operator_client_id" not in table for table in tables.values()):
        passed |= {name: environment.get(name, "") for name in _SIGN_IN}
    if "tenant_id" in given and f"{ENV_PREFIX}TENANT_ID" not in environment and not flags.get("tenant_id"):
        # AZURE_TENANT_ID counts only where a connection names no tenant; a variable of ours wins over all of them.
        del given["tenant_id"]
        passed["AZURE_TENANT_ID"] = environment["AZURE_TENANT_ID"]
    named = {f"{ENV_PREFIX}{key.upper()}": value for key, value in worker.items()}
    for name, value in {**passed, **named}.items():
        if holds_password(value):
            raise _secret(
                name, "Use an address without a password, or a setting that names a file with the address."
            )
    return JobSettings(
        tables,
        _absolute({**file.shared("ca_file"), **file.worker, **worker}),
        {**given, **worker},
        {name: value for name, value in passed.items() if value},
    )


def _over_file(
    file: SettingsFile, name: str, environment: Mapping[str, str], flags: Mapping[str, object]
) -> dict[str, object]:
    """Settings from environment and flags, which override a connection's table, with files instead of secrets.

    :raises ConfigError: ``schedule-secret-in-environment``: a secret has no file.
    """
    from_file = file.values(name)
    over = {key: value for key, (value, _) in given_settings(from_file, environment, flags).items()}
    if over.pop("authentik_token", None) and "authentik_token_file" not in {**from_file, **over}:
        raise _secret(
            "AUTHENTIK_TOKEN",
            "Make a token for rotation in a file with `authentik-entra rotator token`, and set AUTHENTIK_TOKEN_FILE to it.",
        )
    if load_settings(file, connection=name, environment=environment, flags=flags).operator() is not None:
        over.pop("login", None)  # the operator signs in
    elif certificate := environment.get("AZURE_CLIENT_CERTIFICATE_PATH"):
        over["operator_client_id"] = environment.get("AZURE_CLIENT_ID", "")
        over["operator_certificate_file"] = certificate
    elif environment.get("AZURE_CLIENT_SECRET"):
        raise _secret(
            "AZURE_CLIENT_SECRET",
            "Make an identity for rotation with `authentik-entra rotator create`, and set operator_client_id and "
            "operator_certificate_file as it says.",
        )
    return over


def _absolute(table: Mapping[str, Any]) -> dict[str, Any]:
    """The same settings; a job has another current folder, so that its files need absolute paths."""
    return {
        key: str(Path(value).absolute()) if key.endswith("_file") and value else value
        for key, value in table.items()
    }


def _secret(name: str, remedy: str) -> ConfigError:
    return ConfigError(
        "schedule-secret-in-environment",
        f"The variable {name} holds a secret, and the files of a schedule hold none: they can name a file only.",
        remedy,
    )
