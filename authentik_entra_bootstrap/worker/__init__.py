"""The Celery worker: its settings here, its broker, its sweep and the runs that it sends. The tasks are in ``celery_app``.

Each sweep reads from the tenant what is due. A message that is lost or delivered twice changes nothing. The settings are
read again when the file changes; while it is broken, the last good ones are used.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

import structlog

from authentik_entra_bootstrap.config import SettingsFile, load_settings, load_worker_settings, settings_path
from authentik_entra_bootstrap.config.connection import ConnectionSettings
from authentik_entra_bootstrap.config.values import exposed_files
from authentik_entra_bootstrap.config.worker import WorkerSettings
from authentik_entra_bootstrap.domain.policy import overlap_of
from authentik_entra_bootstrap.errors import ConfigError
from authentik_entra_bootstrap.support.network import Stamp, stamp

_log = structlog.wrap_logger(logging.getLogger("authentik_entra_bootstrap.worker"))
_SWEEPS_PER_OVERLAP = 2
"""An overlap is at most a sixth of the lifetime. So a secret of one hour is swept every five minutes and renewed at 40
minutes, with time for several tries."""
_SHORTEST = timedelta(minutes=1)
"""Also for an overlap of zero."""


@dataclass(frozen=True)
class Settings:
    """Everything of one settings file and the environment, checked."""

    worker: WorkerSettings
    connections: Mapping[str, ConnectionSettings]
    exposed: tuple[str, ...] = ()
    """Files that other users can read or change, one sentence each."""

    @cached_property
    def sweep_every(self) -> timedelta:
        """``sweep_interval``, or less where the overlap of a connection's secrets is so short that it would be late."""
        shortest = min(overlap_of(item.secret_lifetime, item.overlap) for item in self.connections.values())
        return min(self.worker.sweep_interval, max(shortest / _SWEEPS_PER_OVERLAP, _SHORTEST))


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read the file and the environment.

    :raises ConfigError: one of them is wrong.
    """
    file = SettingsFile.load(None, environment)
    connections = {
        name: load_settings(file, connection=name, environment=environment) for name in file.connections
    }
    for settings in connections.values():
        settings.desired()
    worker = load_worker_settings(file, environment)
    return Settings(worker, connections, exposed_files(file.path, worker, *connections.values()))


class SettingsSource:
    """The current settings; the file is read only when it has changed."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._environment = environment
        self._seen: Stamp | None = None
        self._settings: Settings | None = None

    def current(self) -> Settings:
        """The settings of the file as it is now, or, where that is broken, the last good ones.

        :raises ConfigError: there are no good ones yet.
        """
        seen = self._stamp()
        if self._settings is not None and seen == self._seen:
            return self._settings
        first = self._settings is None
        try:
            self._settings = read_settings(self._environment)
            for sentence in self._settings.exposed if first else ():
                _log.warning("file-exposed", what=sentence, remedy="chown it to this user, and chmod go-rwx")
        except ConfigError as error:
            if self._settings is None:
                raise
            _log.error("settings-not-reloaded", code=error.code, message=error.message, remedy=error.remedy)
        self._seen = seen
        return self._settings

    def _stamp(self) -> Stamp | None:
        path = settings_path(None, self._environment)
        try:
            return stamp(path) if path else None
        except OSError:
            return None
