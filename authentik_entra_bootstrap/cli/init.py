"""``authentik-entra init``: asks for the settings of a connection, checks each at once, writes the settings file."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from authentik_entra_bootstrap.cli.options import LOGINS, Options, one_connection, yes_option
from authentik_entra_bootstrap.cli.prompts import ask_for, check_answerable, confirm
from authentik_entra_bootstrap.cli.runner import Result, run_reported
from authentik_entra_bootstrap.errors import BootstrapError, ConfigError, Denied, ExitCode

if TYPE_CHECKING:
    from authentik_entra_bootstrap.config import Origins, SettingsFile
    from authentik_entra_bootstrap.config.connection import ConnectionSettings
    from authentik_entra_bootstrap.output.terminal import Terminal
    from authentik_entra_bootstrap.workflows.session import Runtime

_USERS = ("do_nothing", "suspend", "delete")
_GROUPS = ("do_nothing", "delete")
_MISSING = "Set each by its variable or its flag. On a terminal, without --yes and --no-input, this command asks for them."
"""What to do where settings are missing and nothing is asked."""
_SECRETS = frozenset({"authentik_token", "name"})
"""Settings that are never written: the token is named by its file, the connection by its table."""
_AS_DEFAULTS = "# Every setting is as in [defaults].\n"
"""What a table holds that says nothing of its own."""


@click.command()
@one_connection
@click.option("--filter-group", metavar="NAME", help='Group whose members are provisioned; "" for all users.')
@click.option(
    "--user-delete-action",
    type=click.Choice(_USERS),
    help="What happens to the account in the tenant if the user is deleted in authentik.",
)
@click.option("--group-delete-action", type=click.Choice(_GROUPS), help="The same for groups.")
@yes_option
def init(options: Options, yes: bool, **answers: str | None) -> int:
    """Ask for the settings of a connection, check each answer, and write the settings file.

    The file is that of --config, or authentik-entra.toml in your configuration folder. An existing file is never overwritten: --connection NAME adds a
    connection to it. Settings of the environment are written, too; of secrets only the names of their files. --yes accepts every proposed value.
    """
    from authentik_entra_bootstrap.config import SettingsFile, settings_path, user_file

    place = settings_path(options.config, os.environ) or user_file(os.environ) or Path("authentik-entra.toml")
    place = place.expanduser().absolute()
    exists = os.path.lexists(place)
    silent = yes or options.no_input

    def load() -> SettingsFile:
        file = SettingsFile.load(place, os.environ) if exists else SettingsFile(None)
        if exists and (options.connection is None or file.has_table(options.connection)):
            name = f"the connection {options.connection}" if options.connection else "settings"
            raise ConfigError(
                "settings-file-exists",
                f"{place} holds {name} already, and is not overwritten.",
                "Add a connection with `authentik-entra init --connection NAME`, edit the file, or name another with "
                "--config FILE.",
            )
        return file

    def job(file: SettingsFile, terminal: Terminal, runtime: Runtime) -> Result:
        check_answerable(
            options,
            yes=silent,
            otherwise="run the command on a terminal; --yes needs every setting as a flag or variable",
        )
        draft = _Draft(place, file, options, {**options.flags, **answers}, terminal, runtime)
        draft.ask_all(silent=silent)
        text = draft.text()
        terminal.headline(str(place), "to be written")
        for line in text.removeprefix(file.text).strip().splitlines():
            terminal.copyable(f"  {line}")
        confirm(options, f"Write them to {place}?", yes=silent)
        _write(place, file, text)
        terminal.headline(str(place), "written", "bold green")
        # The flags are in the file now.
        terminal.arguments = replace(options, flags={}).for_next_steps
        terminal.next_steps(("authentik-entra check", "looks at everything that bootstrap needs"))
        return ExitCode.DONE, {}

    return run_reported("init", options, job, load)


class _Draft:
    """A settings file in the making: what is given, what is proposed, and what was answered and checked.

    :param file: its present text; empty if there is no file.
    :param flags: every setting that was given as a flag.
    """

    def __init__(
        self,
        place: Path,
        file: SettingsFile,
        options: Options,
        flags: dict[str, object],
        terminal: Terminal,
        runtime: Runtime,
    ) -> None:
        from authentik_entra_bootstrap.config import SettingsFile, given_settings
        from authentik_entra_bootstrap.config.connection import DEFAULT_CONNECTION
        from authentik_entra_bootstrap.workflows import session

        self.terminal, self.runtime, self.services = terminal, runtime, session
        self.name = options.connection or DEFAULT_CONNECTION
        key = f'"{self.name}"' if "." in self.name else self.name
        table = f"[connections.{key}]" if options.connection else "[defaults]"
        # A file without tables of connections is the settings of the only one, which stays one of them.
        only = file.path is not None and not file.has_table(file.connections[0])
        kept = f"\n[connections.{DEFAULT_CONNECTION}]\n{_AS_DEFAULTS}" if only else ""
        head = f"{file.text.rstrip()}\n{kept}\n" if file.path else ""
        self.head = f"{head}{table}\n"
        self.file = SettingsFile(place, self.head)
        self.in_file = self.file.values(self.name)
        self.given = given_settings(self.in_file, os.environ, flags)
        self.flags = {name for name, value in flags.items() if value is not None}
        self.answers: Origins = {}

    def settings(self, **answers: object) -> ConnectionSettings:
        """The settings as far as they are known.

        :param answers: further ones, to be checked.
        :raises ConfigError: ``setting-invalid``.
        """
        from authentik_entra_bootstrap.config import settings_from

        known = {key: value for key, value in self.given.items() if key not in _QUESTIONS}
        said = {key: (value, f"--{key.replace('_', '-')}") for key, value in answers.items()}
        return settings_from(self.file, self.name, known | self.answers | said)

    def ask_all(self, *, silent: bool) -> None:
        """Ask each question until its answer is valid; ``silent`` takes the proposed answers.

        :raises BootstrapError: an answer that cannot be corrected here, or ``settings-missing``.
        """
        if silent:
            given = {key: value for key, (value, _) in self.given.items()}
            needed = ("authentik_url", "authentik_token_file", "tenant_id")
            known = self.settings().model_copy(
                update={"authentik_token": None, **{key: given[key] for key in needed if key in given}}
            )
            known.refuse_missing("tenant_id", remedy=_MISSING)
        for key, (question, choices, check) in _QUESTIONS.items():
            proposed = self._proposed(key)
            while True:
                fixed = silent or key in self.flags
                answer = (proposed or "") if fixed else ask_for(question, proposed, choices)
                try:
                    answer = answer.strip()
                    kept, said = asyncio.run(check(self, answer)) if check else (answer, "")
                except BootstrapError as error:
                    if fixed:
                        raise
                    self.terminal.error(error)
                    continue
                if kept != "" or key in self.given:  # nothing said: the provider's field stays as it is
                    self.answers[key] = kept, f"--{key.replace('_', '-')}"
                if said:
                    self.terminal.verdict(True, said)
                break

    def _proposed(self, key: str) -> str | None:
        value = self.given[key][0] if key in self.given else self.in_file.get(key)
        return str(value) if value is not None else _PROPOSED[key]() if key in _PROPOSED else None

    def text(self) -> str:
        """The whole file: the present one, and a table with every setting that it does not say already."""
        from authentik_entra_bootstrap.config import settings_from

        settings, before = self.settings(), settings_from(self.file, self.name, {})
        given = {key: value for key, (value, _) in (self.given | self.answers).items()}
        lines = [
            f"{key} = {_toml(getattr(settings, key), given[key])}\n"
            for key in type(settings).model_fields
            if key in given and key not in _SECRETS
            if key not in self.in_file or getattr(before, key) != getattr(settings, key)
        ]
        return self.head + ("".join(lines) or _AS_DEFAULTS)

    # --- checks: each returns the value to keep and what was found

    async def address(self, answer: str) -> tuple[object, str]:
        """The server refuses an invalid token in authentik's words, which no other service does."""
        from authentik_entra_bootstrap.domain import SecretText

        settings = self.settings(authentik_url=answer)
        self.terminal.doing("asking authentik")
        try:
            async with self.services.open_authentik(
                settings, self.runtime, token=SecretText("none")
            ) as authentik:
                await authentik.me()
        except Denied as error:
            if error.code != "authentik-token-invalid":
                raise
        return settings.authentik_url, f"authentik answers at {settings.authentik_url}"

    async def token_file(self, answer: str) -> tuple[object, str]:
        """The file can be read, and authentik accepts the token in it."""
        from authentik_entra_bootstrap.support.private_files import exposure

        path = _file(answer)
        settings = self.settings(authentik_token_file=path)
        self.terminal.doing("trying the token")
        async with self.services.open_authentik(settings, self.runtime) as authentik:
            user, version = (await authentik.me()).username, (await authentik.server()).version
        if why := exposure(path, secret=True):
            self.terminal.warn(f"{path}: {why}. Make it your own: chmod 600 {path}")
        return str(path), f"authentik {version} accepts the token of {user}"

    async def tenant(self, answer: str) -> tuple[object, str]:
        """The token service knows the tenant."""
        settings = self.settings()
        self.terminal.doing("looking for the tenant")
        async with self.services.open_tenant(settings, self.runtime) as (entra, _):
            found = await entra.find_tenant(answer)
        return found, f"the tenant is {found}" + (f" ({answer})" if answer.lower() != found else "")

    async def login(self, answer: str) -> tuple[object, str]:
        """The operator can sign in, where that needs no person."""
        from authentik_entra_bootstrap.domain import INTERACTIVE_LOGINS

        settings = self.settings(login=answer)
        if settings.login in INTERACTIVE_LOGINS:
            return answer, ""
        self.terminal.doing("signing in")
        async with self.services.open_tenant(settings, self.runtime) as (entra, _):
            return answer, f"signed in to Entra ID as the client {(await entra.operator()).app_id}"

    async def filter_group(self, answer: str) -> tuple[object, str]:
        """authentik has the group; how many people that means."""
        settings = self.settings(filter_group=answer)
        self.terminal.doing("asking authentik")
        async with self.services.open_authentik(settings, self.runtime) as authentik:
            group = await authentik.find_group(answer) if answer else None
            if answer and group is None:
                raise ConfigError(
                    "unknown-group",
                    f"authentik has no group {answer!r}.",
                    "Give the group's exact name, or none for all users.",
                )
            excluded = bool(settings.exclude_service_accounts)
            scope = await authentik.provisioning_scope(filter_group=group, exclude_service_accounts=excluded)
        who = f"the members of {answer}" if answer else "all users"
        return answer, f"{who} are provisioned{'' if scope.users is None else f': {len(scope.users)} now'}"


def _file(answer: str) -> Path:
    return Path(answer).expanduser().absolute()


def _login() -> str:
    """The login that the environment is set up for; a browser for a person."""
    variables = {name for name, value in os.environ.items() if value}
    if "AZURE_FEDERATED_TOKEN_FILE" in variables:
        return "workload-identity"
    application = variables & {"AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PATH"}
    return "environment" if application and "AZURE_CLIENT_ID" in variables else "browser"


_Question = tuple[
    str, tuple[str, ...], Callable[[_Draft, str], Coroutine[Any, Any, tuple[object, str]]] | None
]
_QUESTIONS: dict[str, _Question] = {
    "authentik_url": ("Address of authentik", (), _Draft.address),
    "authentik_token_file": ("File that holds an API token of authentik", (), _Draft.token_file),
    "tenant_id": ("Tenant: its id, or one of its domains", (), _Draft.tenant),
    "login": ("How you sign in to Entra ID", LOGINS, _Draft.login),
    "filter_group": ("Group whose members are provisioned (empty: all users)", (), _Draft.filter_group),
    "user_delete_action": ("A user deleted in authentik: its account", _USERS, None),
    "group_delete_action": ("A group deleted in authentik: its group in the tenant", _GROUPS, None),
}
"""Setting -> its question, the answers that there are, and its check, if there is one before that of the whole file."""
_PROPOSED: dict[str, Callable[[], str]] = {
    "login": _login,
    "filter_group": str,
    "user_delete_action": lambda: "suspend",
    "group_delete_action": lambda: "do_nothing",
}
"""Where neither flags nor environment nor the file say anything. Nothing in the tenant is lost by these."""


def _toml(value: object, given: object) -> str:
    """A setting in TOML: as read where that is plain, else as given, e.g. a span of time."""
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if isinstance(value, tuple):
        return json.dumps(list(value), ensure_ascii=False)
    # A JSON string of printable characters is a TOML string. A path has to hold in every folder.
    text = (
        str(value.absolute()) if isinstance(value, Path) else value if isinstance(value, str) else str(given)
    )
    return json.dumps(text, ensure_ascii=False)


def _write(place: Path, file: SettingsFile, text: str) -> None:
    """Write a new file with mode 0600, or the present one with more in it.

    :raises ConfigError: ``secret-file-exists``, ``secret-file-unwritable``.
    """
    from authentik_entra_bootstrap.domain import SecretText
    from authentik_entra_bootstrap.support.private_files import unwritable, write_file, write_new

    try:
        if file.path is None:
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_new(place, SecretText(text))
        else:
            write_file(place, text, place.stat().st_mode & 0o777)
    except OSError as error:
        raise unwritable(place, error.strerror or type(error).__name__) from None
