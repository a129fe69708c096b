"""Where settings come from: file, environment, flags, merged in the documented order."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from authentik_entra_bootstrap.config.model import DEFAULT_CONNECTION, ConnectionSettings
from authentik_entra_bootstrap.config.worker import WorkerSettings
from authentik_entra_bootstrap.errors import ConfigError
from authentik_entra_bootstrap.support.addresses import holds_password
from authentik_entra_bootstrap.support.private_files import Unreadable, exposure, read_text

M = TypeVar("M", bound=BaseModel)

DEFAULT_FILE = "authentik-entra.toml"
ENV_PREFIX = "AUTHENTIK_ENTRA_"
SYSTEM_FOLDER = Path("/etc/authentik-entra")
_NO_SETTINGS = ("CONFIG", "LOG")
"""Variables that are read elsewhere: where the settings file is, and the form of the log."""
_KUBERNETES = re.compile(r"_SERVICE_HOST=|_SERVICE_PORT\w*=|_PORT_\d+_(TCP|UDP|SCTP)\w*=|_PORT=\w+://")
"""What Kubernetes sets in every pod for a Service, here one whose name begins with authentik-entra: NAME=value."""

_FOREIGN_VARIABLES = {
    "AUTHENTIK_URL": "authentik_url",
    "AUTHENTIK_TOKEN": "authentik_token",
    "AUTHENTIK_TOKEN_FILE": "authentik_token_file",
    "AZURE_AUTHORITY_HOST": "authority",
}
_HEADER = re.compile(r"\s*\[([^\[\]]+)\]\s*(?:#.*)?$")
_EMPTY = ('""', "''")
"""How a variable says "nothing", e.g. to remove the filter group: one that is empty counts as not set."""
_NOT_IN_FILE = {"authentik_token": "authentik_token_file"}


def settings_path(path: Path | None, environment: Mapping[str, str]) -> Path | None:
    """The settings file of a run; ``None`` where there is none.

    A file that is named is used, whether it exists or not: by flag, or by ``AUTHENTIK_ENTRA_CONFIG``. Else it is the
    first that exists of those in the current folder, in the user's configuration folder, and in ``/etc``.

    :param path: as named by flag.
    """
    if path is not None:
        return path
    if value := environment.get(f"{ENV_PREFIX}CONFIG"):
        return Path(value)
    return next((item for item in _default_places(environment) if _is_there(item)), None)


def _default_places(environment: Mapping[str, str]) -> Iterator[Path]:
    yield Path(DEFAULT_FILE)
    base, home = environment.get("XDG_CONFIG_HOME", ""), environment.get("HOME", "")
    # The specification tells to ignore relative ones.
    if base.startswith("/"):
        yield Path(base) / SYSTEM_FOLDER.name / DEFAULT_FILE
    elif home:
        yield Path(home) / ".config" / SYSTEM_FOLDER.name / DEFAULT_FILE
    yield SYSTEM_FOLDER / DEFAULT_FILE


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a folder that this user may not enter, e.g. the home of another one
        return False


def refuse_unknown_variables(environment: Mapping[str, str]) -> None:
    """Refuse variables that look like settings and are none: a misspelt one would be passed over in silence.

    :raises ConfigError: ``variable-unknown``, with the nearest name.
    """
    known = {f"{ENV_PREFIX}{name}" for name in _NO_SETTINGS}
    known |= {*_names(ConnectionSettings), *_names(WorkerSettings)}
    strange = {name for name in environment if name.startswith(ENV_PREFIX)} - known
    for name in sorted(strange):
        if _KUBERNETES.search(f"{name}={environment[name]}"):
            continue
        (nearest,) = get_close_matches(name, sorted(known), n=1, cutoff=0.0)
        raise ConfigError(
            "variable-unknown",
            f"The environment variable {name} names no setting.",
            f"Did you mean {nearest}? Correct it, or unset it. docs/reference/settings.md lists every setting.",
            facts={"variable": name, "nearest": nearest},
        )


class SettingsFile:
    """One ``authentik-entra.toml``: the tables ``[defaults]``, ``[connections.NAME]`` and ``[worker]``.

    :param path: the file, or ``None`` when there is none.
    """

    def __init__(self, path: Path | None, text: str = "") -> None:
        self.path = path
        self._text = text
        try:
            self._document = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise ConfigError(
                "settings-file-malformed",
                f"{path}: {'it is nested too deeply' if isinstance(error, RecursionError) else error}.",
                "The file is TOML; see docs/reference/settings.md.",
            ) from None
        self._check()

    @classmethod
    def load(cls, path: Path | None, environment: Mapping[str, str]) -> SettingsFile:
        """Read the settings file that :func:`settings_path` finds.

        :raises ConfigError: ``settings-file-unreadable``, ``settings-file-malformed``, ``variable-unknown``.
        """
        refuse_unknown_variables(environment)
        chosen = settings_path(path, environment)
        if chosen is None:
            return cls(None)
        try:
            return cls(chosen, read_text(chosen))
        except Unreadable as error:
            raise ConfigError(
                "settings-file-unreadable",
                f"The settings file {chosen} cannot be read: {error}.",
                "Check the path given with --config or AUTHENTIK_ENTRA_CONFIG.",
            ) from None

    @property
    def place(self) -> str | None:
        """Absolute path of the file, for people and documents; ``None`` where there is none."""
        return str(self.path.absolute()) if self.path else None

    @property
    def connections(self) -> tuple[str, ...]:
        """Names of the connections in the file; the default one when it names none."""
        return tuple(self._document.get("connections", {})) or (DEFAULT_CONNECTION,)

    def values(self, connection: str) -> dict[str, Any]:
        """The file's values for one connection: ``[defaults]`` overlaid with its own table.

        :raises ConfigError: ``unknown-connection``.
        """
        tables = self._document.get("connections", {})
        if connection not in tables and (tables or connection != DEFAULT_CONNECTION):
            raise ConfigError(
                "unknown-connection",
                f"There is no connection {connection!r} in {self.path or DEFAULT_FILE}.",
                f"Known: {', '.join(self.connections)}.",
            )
        return {**self._document.get("defaults", {}), **tables.get(connection, {})}

    @property
    def worker(self) -> dict[str, Any]:
        """The table ``[worker]``."""
        return dict(self._document.get("worker", {}))

    def shared(self, key: str) -> dict[str, Any]:
        """A value of ``[defaults]``, if it is there."""
        defaults = self._document.get("defaults", {})
        return {key: defaults[key]} if key in defaults else {}

    def place_of(self, key: str, connection: str | None = None) -> str:
        """``file:line`` of a key, for error messages; the file alone when the key is not found.

        :param connection: prefer the line in its table, then the one in ``[defaults]``.
        """
        return self._place(key, f"connections.{connection}", "defaults")

    def place_in_worker(self, key: str) -> str:
        """The same for a key of ``[worker]``."""
        return self._place(key, "worker")

    def _place(self, key: str, *tables: str) -> str:
        table, lines = "", dict[str, int]()
        for number, line in enumerate(self._text.splitlines(), start=1):
            if header := _HEADER.match(line):
                table = re.sub(r"[\"'\s]", "", header[1])
            elif re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line):
                lines.setdefault(table, number)
        for wanted in (*tables, *lines):
            if wanted in lines:
                return f"{self.path}:{lines[wanted]}"
        return str(self.path)

    def _check(self) -> None:
        unknown = set(self._document) - {"defaults", "connections", "worker"}
        tables = self._document.get("connections", {})
        shapes = [
            self._document.get("defaults", {}),
            self._document.get("worker", {}),
            tables,
            *(tables.values() if isinstance(tables, dict) else ()),
        ]
        if unknown or not all(isinstance(table, dict) for table in shapes):
            what = f"unknown table or key {min(unknown)!r}" if unknown else "a table is wanted"
            where = self.place_of(min(unknown)) if unknown else self.path
            raise ConfigError(
                "settings-file-malformed",
                f"{where}: {what}.",
                "Settings stand in [defaults], [connections.NAME] and [worker]; see docs/reference/settings.md.",
            )


def load_settings(
    file: SettingsFile,
    *,
    connection: str | None = None,
    environment: Mapping[str, str],
    flags: Mapping[str, object] | None = None,
) -> ConnectionSettings:
    """Merge the sources for one connection: flags over environment over file over defaults.

    ``AZURE_TENANT_ID`` is only used where nothing else names the tenant: it is also azure-identity's own and
    may be the operator's home tenant.

    :param connection: name, or ``None`` for the only one in the file.
    :raises ConfigError: ``setting-invalid``, ``unknown-connection``, ``connection-not-chosen``.
    """
    connection = connection if connection is not None else _only_connection(file)
    from_file = file.values(connection)
    for key, instead in _NOT_IN_FILE.items():
        if key in from_file:
            raise ConfigError(
                "secret-in-settings-file",
                f"{file.place_of(key, connection)}: {key} is a secret and does not belong in a settings file.",
                f"Use {instead}, or the environment.",
            )
    merged: dict[str, Any] = dict(from_file)
    origin: dict[str, str] = {}
    if environment.get("AZURE_TENANT_ID") and "tenant_id" not in merged:
        merged["tenant_id"] = environment["AZURE_TENANT_ID"]
        origin["tenant_id"] = "environment variable AZURE_TENANT_ID"
    for variable, key in {**_foreign(environment), **_own(ConnectionSettings, environment)}.items():
        merged[key] = "" if environment[variable].strip() in _EMPTY else environment[variable]
        origin[key] = f"environment variable {variable}"
    for key, value in (flags or {}).items():
        if value is not None:
            merged[key] = value
            origin[key] = f"--{key.replace('_', '-')}"
    if (flags or {}).get("authentik_token_file") is not None:
        # A file named on the command line is meant, whatever the environment holds.
        merged.pop("authentik_token", None)
    merged["name"] = connection
    origin["name"] = f"connection {connection!r}"
    return _validated(ConnectionSettings, merged, origin, lambda key: file.place_of(key, connection))


def load_worker_settings(file: SettingsFile, environment: Mapping[str, str]) -> WorkerSettings:
    """What the worker and the leases need: environment over the table ``[worker]`` over defaults.

    :raises ConfigError: ``setting-invalid``, ``secret-in-settings-file``.
    """
    # Trust is set once, for both sides and the worker.
    merged = {**file.shared("ca_file"), **file.worker}
    origin: dict[str, str] = {}
    for key in ("broker_url", "lease_url"):
        if holds_password(merged.get(key)):
            raise ConfigError(
                "secret-in-settings-file",
                f"{file.place_in_worker(key)}: {key} holds a password, which does not belong in a settings file.",
                f"Use {key}_file, or the environment.",
            )
    for variable, key in _own(WorkerSettings, environment).items():
        merged[key] = environment[variable]
        origin[key] = f"environment variable {variable}"
    return _validated(WorkerSettings, merged, origin, file.place_in_worker)


def exposed_files(path: Path | None, *settings: BaseModel) -> tuple[str, ...]:
    """Files of the settings that other users can read or change although they must not; one sentence each.

    :param path: the settings file.
    :param settings: whatever names files: settings whose names end in ``_file``.
    """
    files = {} if path is None else {path: ("the settings file", False)}
    for each in settings:
        for name in type(each).model_fields:
            value = getattr(each, name)
            if name.endswith("_file") and isinstance(value, Path):
                files[value] = (name, name != "ca_file")
    found = ((file, name, exposure(file, secret=secret)) for file, (name, secret) in files.items())
    return tuple(f"{file} ({name}): {why}" for file, name, why in found if why)


def _validated(
    model: type[M], merged: Mapping[str, Any], origin: Mapping[str, str], place: Callable[[str], str]
) -> M:
    """The settings, or what is wrong with the first that is.

    :param origin: where a setting comes from that is not the file's.
    :param place: where it stands in the file; asked in case of an error only, because it reads the whole text.
    """
    try:
        return model.model_validate(merged)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        key = str(first["loc"][0]) if first["loc"] else "?"
        reason = str(first["msg"]).removeprefix("Value error, ")
        raise ConfigError(
            "setting-invalid",
            f"{origin.get(key) or (place(key) if key in merged else key)}: {key}: {reason}.",
            "See docs/reference/settings.md for every setting.",
        ) from None


def _only_connection(file: SettingsFile) -> str:
    if len(file.connections) > 1:
        raise ConfigError(
            "connection-not-chosen",
            f"{file.path} holds several connections: {', '.join(file.connections)}.",
            "Choose one with --connection NAME, or all of them with --all.",
        )
    return file.connections[0]


def _foreign(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables of other tools that are set and not empty -> setting."""
    return {name: key for name, key in _FOREIGN_VARIABLES.items() if environment.get(name)}


def _own(model: type[BaseModel], environment: Mapping[str, str]) -> dict[str, str]:
    """Our own variables that are set and not empty -> setting; they win over other tools'."""
    return {name: key for name, key in _names(model).items() if environment.get(name)}


def _names(model: type[BaseModel]) -> dict[str, str]:
    """Variable -> setting, for every setting of a model."""
    return {f"{ENV_PREFIX}{key.upper()}": key for key in model.model_fields if key != "name"}
