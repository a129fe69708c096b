"""Settings of the worker and of the leases: the table ``[worker]``."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, Field, field_validator

from authentik_entra_bootstrap.config.values import STRICT, Duration, FilePath, invalid
from authentik_entra_bootstrap.domain import Network
from authentik_entra_bootstrap.errors import ConfigError
from authentik_entra_bootstrap.support.addresses import AddressError, read_broker
from authentik_entra_bootstrap.support.network import with_trust
from authentik_entra_bootstrap.support.private_files import Unreadable, private_folder, read_line

NO_LEASE = "none"
_BROKERS = ("filesystem", "redis", "rediss", "amqp", "amqps")
_LEASES = ("file", "redis", "rediss", "postgresql", "postgres")
_SHORTEST = timedelta(seconds=1)
_LONGEST = timedelta(days=7)


class WorkerSettings(BaseModel):
    """Every setting of the worker. Field names are the keys in the file."""

    model_config = STRICT

    state_dir: FilePath | None = None
    broker_url: str | None = Field(default=None, repr=False)
    broker_url_file: FilePath | None = None
    lease_url: str | None = Field(default=None, repr=False)
    lease_url_file: FilePath | None = None
    sweep_interval: Duration = timedelta(minutes=15)
    verify_interval: Duration = timedelta(hours=24)
    concurrency: int = Field(default=2, ge=1, le=64)
    rotations_per_sweep: int = Field(default=200, ge=1, le=10_000)
    ca_file: FilePath | None = None
    metrics_port: int | None = Field(default=None, ge=1, le=65535)
    metrics_address: str = "127.0.0.1"

    @field_validator("broker_url")
    @classmethod
    def _is_broker(cls, value: str | None) -> str | None:
        return None if value is None else read_broker(value, _BROKERS)

    @field_validator("lease_url")
    @classmethod
    def _is_lease(cls, value: str | None) -> str | None:
        return value if value in {None, NO_LEASE} else read_broker(value, _LEASES)

    @field_validator("sweep_interval", "verify_interval")
    @classmethod
    def _is_bearable(cls, value: timedelta) -> timedelta:
        if not _SHORTEST <= value <= _LONGEST:
            raise ValueError("between one second and one week is wanted")
        return value

    def trusted_file(self) -> str | None:
        """The CA file for broker, leases and schedule; ``None`` for the system's authorities.

        :raises ConfigError: ``ca-file-unreadable``.
        """
        return with_trust(Network(ca_file=str(self.ca_file) if self.ca_file else None)).ca_file

    def state_folder(self) -> Path:
        """Where broker, schedule and lock files of this machine are; made with mode 0700 where it is missing.

        :raises ConfigError: ``state-folder-unusable``.
        """
        folder = self.state_dir or _default_state()
        private_folder(folder)
        return folder

    def broker(self) -> str:
        """Address of the broker; ``filesystem://`` where none is set.

        :raises ConfigError: ``url-file-unreadable``, ``setting-invalid``.
        """
        return _chosen(self.broker_url, self.broker_url_file, "broker_url", _BROKERS) or "filesystem://"

    def lease(self) -> str:
        """Address of the leases: as set, else the broker where it is Redis, else a folder of this machine.

        :raises ConfigError: ``url-file-unreadable``, ``setting-invalid``.
        """
        chosen = _chosen(self.lease_url, self.lease_url_file, "lease_url", _LEASES)
        if chosen:
            return chosen
        broker = self.broker()
        if urlsplit(broker).scheme in {"redis", "rediss"}:
            return broker
        folder = (self.state_dir or _default_state()) / "leases"
        return f"file://{quote(str(folder.absolute()))}"


def _default_state() -> Path:
    base = os.environ.get("XDG_STATE_HOME") or ""
    # The XDG specification says to ignore relative paths.
    try:
        root = Path(base) if base.startswith("/") else Path("~/.local/state").expanduser()
    except RuntimeError:
        raise ConfigError(
            "state-folder-unusable",
            "There is no folder for the state: this user has no home folder, and HOME and XDG_STATE_HOME are not set.",
            "Set state_dir (or AUTHENTIK_ENTRA_STATE_DIR) to a folder that only this user can write to.",
        ) from None
    return root / "authentik-entra"


def _chosen(value: str | None, file: Path | None, key: str, schemes: tuple[str, ...]) -> str | None:
    if value or file is None:
        return value
    try:
        return read_broker(read_line(file), schemes)
    except Unreadable as error:
        raise ConfigError(
            "url-file-unreadable",
            f"The file {file} of the setting {key}_file cannot be read: {error}.",
            "Check its path and permissions.",
        ) from None
    except AddressError as error:
        raise invalid(f"{file}: {key}: {error}") from None
