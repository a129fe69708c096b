"""Typed settings: flags over environment over file over defaults. Secrets come by environment or file only.

Own variables are ``AUTHENTIK_ENTRA_<SETTING>``. Variables that belong to other tools are read as those define
them: ``AUTHENTIK_URL``, ``AUTHENTIK_TOKEN``, ``AUTHENTIK_TOKEN_FILE``, ``AZURE_TENANT_ID``,
``AZURE_AUTHORITY_HOST`` (the other ``AZURE_*`` are read by azure-identity itself).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from authentik_entra_bootstrap.config.connection import DEFAULT_CONNECTION, DEFAULT_FILE, ConnectionSettings
from authentik_entra_bootstrap.config.values import invalid
from authentik_entra_bootstrap.config.worker import WorkerSettings
from authentik_entra_bootstrap.errors import ConfigError, did_you_mean
from authentik_entra_bootstrap.support.addresses import holds_password
from authentik_entra_bootstrap.support.private_files import Unreadable, read_text

M = TypeVar("M", bound=BaseModel)
Origins = dict[str, tuple[object, str]]
"""Setting -> its value, and where that comes from, for people."""

ENV_PREFIX = "AUTHENTIK_ENTRA_"
FOREIGN_VARIABLES = {
    "AUTHENTIK_URL": "authentik_url",
    "AUTHENTIK_TOKEN": "authentik_token",
    "AUTHENTIK_TOKEN_FILE": "authentik_token_file",
    "AZURE_AUTHORITY_HOST": "authority",
}
"""Variables that belong to other tools -> setting."""
SYSTEM_FOLDER = Path("/etc/authentik-entra")
_KUBERNETES = re.compile(r"_SERVICE_HOST=|_SERVICE_PORT\w*=|_PORT_\d+_(TCP|UDP|SCTP)\w*=|_PORT=\w+://")
"""What Kubernetes sets in every pod for a Service, here one whose name begins with authentik-entra: NAME=value."""
_HEADER = re.compile(r"\s*\[([^\[\]]+)\]\s*(?:#.*)?$")
_EMPTY = ('""', "''")
"""Values of a variable that mean an empty text, e.g. no filter group. An empty variable counts as not set."""


def settings_path(path: Path | None, environment: Mapping[str, str]) -> Path | None:
    """The settings file of a run; ``None`` if there is no file.

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
    if file := user_file(environment):
        yield file
    yield SYSTEM_FOLDER / DEFAULT_FILE


def user_file(environment: Mapping[str, str]) -> Path | None:
    """The settings file in the user's configuration folder; ``None`` for a user without home folder."""
    base, home = environment.get("XDG_CONFIG_HOME", ""), environment.get("HOME", "")
    # The specification tells to ignore relative ones.
    folder = Path(base) if base.startswith("/") else Path(home) / ".config" if home else None
    return folder / SYSTEM_FOLDER.name / DEFAULT_FILE if folder else None


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a folder that this user may not enter, e.g. the home of another one
        return False


def refuse_unknown_variables(environment: Mapping[str, str]) -> None:
    """Refuse variables that look like settings and are none: a misspelt one would be ignored silently.

    :raises ConfigError: ``variable-unknown``, with the nearest name.
    """
    # The settings file's place, the form of the log and the sandbox's address are read elsewhere.
    known = {f"{ENV_PREFIX}{name}" for name in ("CONFIG", "LOG", "SANDBOX")}
    known |= {*_variables(ConnectionSettings), *_variables(WorkerSettings)}
    for name in sorted(set(environment) - known):
        if not name.startswith(ENV_PREFIX) or _KUBERNETES.search(f"{name}={environment[name]}"):
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
        self.text = text
        try:
            self._document = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise ConfigError(
                "settings-file-malformed",
                f"{path}: {'it is nested too deeply' if isinstance(error, RecursionError) else error}.",
                "The file is TOML; see docs/reference/settings.md.",
            ) from None
        self._defaults = self._document.get("defaults", {})
        self._tables = self._document.get("connections", {})
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
        """Absolute path of the file, for people and documents; ``None`` if there is no file."""
        return str(self.path.absolute()) if self.path else None

    @property
    def connections(self) -> tuple[str, ...]:
        """Names of the connections in the file; the default one when it names none."""
        return tuple(self._tables) or (DEFAULT_CONNECTION,)

    @property
    def only_connection(self) -> str:
        """The connection that is meant where none is named.

        :raises ConfigError: ``connection-not-chosen`` for a file of several.
        """
        if len(self.connections) > 1:
            raise ConfigError(
                "connection-not-chosen",
                f"{self.path} holds several connections: {', '.join(self.connections)}.",
                "Choose one with --connection NAME, or all of them with --all.",
            )
        return self.connections[0]

    def has_table(self, connection: str) -> bool:
        """Whether the file has a table for this connection."""
        return connection in self._tables

    def values(self, connection: str) -> dict[str, Any]:
        """The file's values for one connection: ``[defaults]`` overlaid with its own table.

        :raises ConfigError: ``unknown-connection``.
        """
        if connection not in self._tables and (self._tables or connection != DEFAULT_CONNECTION):
            raise ConfigError(
                "unknown-connection",
                f"There is no connection {connection!r} in {self.path or DEFAULT_FILE}.",
                f"{did_you_mean(connection, self.connections)} Known: {', '.join(self.connections)}.".lstrip(),
            )
        return {**self._defaults, **self._tables.get(connection, {})}

    @property
    def worker(self) -> dict[str, Any]:
        """The table ``[worker]``."""
        return dict(self._document.get("worker", {}))

    def shared(self, key: str) -> dict[str, Any]:
        """A value of ``[defaults]``, if it is there."""
        return {key: self._defaults[key]} if key in self._defaults else {}

    def place_of(self, key: str, *tables: str) -> str:
        """``file:line`` of a key, for error messages; the file alone when the key is not found.

        :param tables: prefer the line in the first of these that has one.
        """
        table, lines = "", dict[str, int]()
        for number, line in enumerate(self.text.splitlines(), start=1):
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
        shapes = [self._defaults, self._document.get("worker", {}), self._tables]
        shapes += self._tables.values() if isinstance(self._tables, dict) else ()
        if unknown or not all(isinstance(table, dict) for table in shapes):
            what = f"unknown table or key {min(unknown)!r}" if unknown else "a table is wanted"
            where = self.place_of(min(unknown)) if unknown else self.path
            raise ConfigError(
                "settings-file-malformed",
                f"{where}: {what}.",
                "The tables are [defaults], [connections.NAME] and [worker]; see docs/reference/settings.md.",
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
    connection = connection if connection is not None else file.only_connection
    return settings_from(file, connection, given_settings(file.values(connection), environment, flags or {}))


def given_settings(
    from_file: Mapping[str, object], environment: Mapping[str, str], flags: Mapping[str, object]
) -> Origins:
    """What lies over the file's values of a connection: flags over environment."""
    given: Origins = {}
    if environment.get("AZURE_TENANT_ID") and "tenant_id" not in from_file:
        given["tenant_id"] = environment["AZURE_TENANT_ID"], "environment variable AZURE_TENANT_ID"
    given |= _from_environment(FOREIGN_VARIABLES, environment)
    given |= _from_environment(_variables(ConnectionSettings), environment)
    flags = {key: value for key, value in flags.items() if value is not None}
    given |= {key: (value, f"--{key.replace('_', '-')}") for key, value in flags.items()}
    if "authentik_token_file" in flags:
        # A file named on the command line wins over a token in the environment.
        given.pop("authentik_token", None)
    return given


def settings_from(file: SettingsFile, connection: str, given: Origins) -> ConnectionSettings:
    """The settings of one connection: what is given over the file's values.

    :raises ConfigError: ``setting-invalid``, ``unknown-connection``, ``secret-in-settings-file``.
    """

    def place(key: str) -> str:
        return file.place_of(key, f"connections.{connection}", "defaults")

    from_file = file.values(connection)
    if "authentik_token" in from_file:
        raise _secret_in_file(place("authentik_token"), "authentik_token", "is a secret and")
    named = {"name": (connection, f"connection {connection!r}")}
    return _validated(ConnectionSettings, from_file, place, given | named)


def given_worker_settings(environment: Mapping[str, str]) -> Origins:
    """What the environment sets for the worker, over the table ``[worker]``."""
    return _from_environment(_variables(WorkerSettings), environment)


def load_worker_settings(file: SettingsFile, environment: Mapping[str, str]) -> WorkerSettings:
    """What the worker and the leases need: environment over the table ``[worker]`` over defaults.

    :raises ConfigError: ``setting-invalid``, ``secret-in-settings-file``.
    """

    def place(key: str) -> str:
        return file.place_of(key, "worker")

    # One CA file for both services and the worker.
    from_file = {**file.shared("ca_file"), **file.worker}
    for key in ("broker_url", "lease_url"):
        if holds_password(from_file.get(key)):
            raise _secret_in_file(place(key), key, "holds a password, which")
    return _validated(WorkerSettings, from_file, place, given_worker_settings(environment))


def _validated(
    model: type[M], from_file: Mapping[str, Any], place: Callable[[str], str], given: Origins
) -> M:
    """The settings.

    :param place: returns a key's position in the file; called for an error only, because it reads the whole file.
    :param given: settings that override the file.
    :raises ConfigError: ``setting-invalid``, with everything that is wrong.
    """
    try:
        return model.model_validate({**from_file, **{key: value for key, (value, _) in given.items()}})
    except ValidationError as error:
        wrong = []
        for item in error.errors(include_input=False, include_url=False):
            key = str(item["loc"][0]) if item["loc"] else "?"
            # A flag and a variable name the setting themselves, a line of the file does not.
            where = given[key][1] if key in given else f"{place(key)}: {key}" if key in from_file else key
            wrong.append(f"{where}: {_in_our_words(item, key, model)}")
        raise invalid(*wrong) from None


def _in_our_words(item: ErrorDetails, key: str, model: type[BaseModel]) -> str:
    """What is wrong with a value. pydantic's sentences are about Python: of those only what is wanted is kept."""
    if item["type"] == "extra_forbidden":
        return f"there is no such setting{did_you_mean(key, model.model_fields).replace('Did', '; did').rstrip('?')}"
    text = item["msg"].removeprefix("Value error, ").partition(", unable to")[0]
    text = text.replace("a valid boolean", "true or false").replace("a valid string", "text")
    return re.sub(r"^\w+ should (?:be|have) (?:a valid )?(.*)$", r"\1 is wanted", text)


def _secret_in_file(place: str, key: str, what: str) -> ConfigError:
    return ConfigError(
        "secret-in-settings-file",
        f"{place}: {key} {what} does not belong in a settings file.",
        f"Use {key}_file, or the environment.",
    )


def _variables(model: type[BaseModel]) -> dict[str, str]:
    """Our own variable -> setting, for every setting of a model."""
    return {f"{ENV_PREFIX}{key.upper()}": key for key in model.model_fields if key != "name"}


def _from_environment(variables: Mapping[str, str], environment: Mapping[str, str]) -> Origins:
    """What the variables that are set and not empty say."""
    return {
        key: (
            "" if environment[name].strip() in _EMPTY else environment[name],
            f"environment variable {name}",
        )
        for name, key in variables.items()
        if environment.get(name)
    }
