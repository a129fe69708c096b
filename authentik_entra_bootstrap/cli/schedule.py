"""``authentik-entra schedule``: ready files that run the rotation unattended."""

from __future__ import annotations

import os
import pwd
import shlex
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import replace
from difflib import unified_diff
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from authentik_entra_bootstrap.cli.options import Options, one_connection
from authentik_entra_bootstrap.cli.runner import Result, run_reported
from authentik_entra_bootstrap.errors import ConfigError, ExitCode

if TYPE_CHECKING:
    from authentik_entra_bootstrap.config import SettingsFile
    from authentik_entra_bootstrap.output.schedule import Schedule
    from authentik_entra_bootstrap.output.terminal import Terminal
    from authentik_entra_bootstrap.workflows.session import Runtime

HOMES = ("/home", "/root", "/run/user")
_PRIVATE = (Path("/", "tmp"), Path("/", "var", "tmp"))
_HIDDEN = "the unit cannot see it, because its PrivateTmp=yes hides /tmp and /var/tmp. Move the file to another folder"
_PASSED = (
    *("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("AUTHENTIK_ENTRA_LOG", "AUTHENTIK_ENTRA_SANDBOX"),
)
"""Variables that are no settings, and mean the same to every connection."""
_SIGN_IN = ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE")


@click.command()
@click.argument("flavour", type=click.Choice(["systemd", "cron", "compose", "kubernetes"]))
@one_connection
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write the files there instead of printing them; with --check, compare those there.",
)
@click.option(
    "--celery", is_flag=True, help="Run Celery's worker and schedule instead of `rotate` by a timer."
)
@click.option("--check", is_flag=True, help="Exit code 2 if the installed files differ; shows how.")
@click.option("--replace", "overwrite", is_flag=True, help="Replace files that differ.")
@click.option(
    "--user",
    metavar="NAME",
    help="User who runs it (systemd, cron).  [default: you; for root with systemd, a user that "
    "systemd creates for the unit and gives the files]",
)
@click.option(
    "--image",
    metavar="NAME",
    default="authentik-entra:local",
    show_default=True,
    help="Image of the containers.",
)
def schedule(
    options: Options,
    flavour: str,
    directory: Path | None,
    celery: bool,
    check: bool,
    overwrite: bool,
    user: str | None,
    image: str,
) -> int:
    """Print or write files that rotate client secrets unattended.

    They name this machine's settings and files, and contain
    no secret. Default: for every connection of the settings file.
    """
    from authentik_entra_bootstrap.output.schedule import IMAGE, SYSTEM_FOLDERS, next_steps, render
    from authentik_entra_bootstrap.output.terminal import Terminal

    if celery and flavour == "cron":
        raise click.UsageError("cron does not keep a worker running: use systemd, or leave --celery out.")
    system, root = SYSTEM_FOLDERS.get(flavour), os.geteuid() == 0

    def job(file: SettingsFile, terminal: Terminal, _runtime: Runtime) -> Result:
        runner = user or ("" if flavour == "systemd" and root else pwd.getpwuid(os.geteuid()).pw_name)
        made = replace(_gathered(options, file), user=runner, image=image, celery=celery)
        if celery and flavour == "systemd" and made.chosen:
            text = "A worker works on every connection of the settings file: leave --connection out."
            raise click.UsageError(text)
        _refuse_home(made, flavour)
        files = render(flavour, made)
        for path, why in _unreadable(made, flavour):
            terminal.warn(f"{path} cannot be used by the schedule: {why}.")
        # Standard output is for the files.
        steps = Terminal(terminal.err, terminal.err)
        folder = directory or (Path(system or ".") if check else None)
        if folder is None:
            told = [f"# {name}\n{text}" if len(files) > 1 else text for name, text in files.items()]
            click.echo("\n".join(told), nl=False)
            given = ["--celery"] * celery + [f"--user={user}"] * bool(user)
            given += [f"--image={image}"] * (image != IMAGE)
            given.append(f"--directory={system if system and root else 'schedule'}")
            steps.arguments = options.for_next_steps
            again = shlex.join(["authentik-entra", "schedule", flavour, *given])
            steps.next_steps((again, "writes this to files"))
            return ExitCode.DONE, {}
        differing = {name: text for name, text in files.items() if not _fits(folder / name, text)}
        if check:
            for name in differing:
                click.echo(f"{folder / name}: {'differs' if (folder / name).exists() else 'is not there'}")
            click.echo(f"{flavour}: {'differs from' if differing else 'fits'} the settings, in {folder}")
            return ExitCode.CHANGES_PENDING if differing else ExitCode.DONE, {}
        _write(folder, differing, overwrite=overwrite)
        if further := next_steps(flavour, made, [folder / name for name in files]):
            steps.next_steps(*further)
        return ExitCode.DONE, {}

    return run_reported("schedule", options, job)


def _gathered(options: Options, file: SettingsFile) -> Schedule:
    """The schedule of the connections that are meant, as the settings say."""
    from authentik_entra_bootstrap.worker.sweep import unattended

    names = options.names(file) or file.connections
    for name in names:
        unattended(options.settings(file, name))
    program = Path(sys.argv[0]).absolute().parent
    if not (program / "authentik-entra").exists():
        program = Path(sysconfig.get_path("scripts"))
    made = schedule_of(str(program), file, names, os.environ, options.flags)
    found = [path.stat() for path in made.files if path.exists()]
    owners = {(status.st_uid, status.st_gid) for status in found}
    return replace(made, container_user=owners.pop()) if len(owners) == 1 and (0, 0) not in owners else made


def schedule_of(
    program: str,
    file: SettingsFile,
    names: tuple[str, ...],
    environment: Mapping[str, str],
    flags: Mapping[str, object],
) -> Schedule:
    """The schedule of these connections: what a command must be told that runs with an environment of its own.

    :raises ConfigError: ``schedule-secret-in-environment``; those of :func:`load_settings`.
    """
    from authentik_entra_bootstrap.config import ENV_PREFIX, given_worker_settings
    from authentik_entra_bootstrap.output.schedule import Schedule
    from authentik_entra_bootstrap.support.addresses import holds_password

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
            remedy = "Use an address without a password, or a setting that names a file with the address."
            raise _secret(name, remedy)
    return Schedule(
        program,
        file.place,
        tables,
        _absolute({**file.shared("ca_file"), **file.worker, **worker}),
        {**given, **worker},
        {name: value for name, value in passed.items() if value},
        chosen=names if set(names) != set(file.connections) else (),
    )


def _over_file(
    file: SettingsFile, name: str, environment: Mapping[str, str], flags: Mapping[str, object]
) -> dict[str, object]:
    """Settings from environment and flags, which override a connection's table, with files instead of secrets.

    :raises ConfigError: ``schedule-secret-in-environment``: a secret has no file.
    """
    from authentik_entra_bootstrap.config import given_settings, load_settings

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


def _refuse_home(made: Schedule, flavour: str) -> None:
    """Refuse a program that the user that systemd creates for the unit cannot run.

    :raises ConfigError: ``schedule-program-in-home``.
    """
    places = {Path(made.program), Path(made.program).resolve(), Path(sys.base_prefix)}
    homes = sorted(str(place) for place in places for home in HOMES if place.is_relative_to(home))
    if flavour == "systemd" and not made.user and homes:
        raise ConfigError(
            "schedule-program-in-home",
            f"The program or its Python is installed in {homes[0]}, where the user that systemd creates for the unit may not look.",
            "Install it outside of home folders, for example in /opt/authentik-entra; or name a user with --user.",
        )


def _unreadable(made: Schedule, flavour: str) -> Iterator[tuple[Path, str]]:
    """Paths in the schedule that its user cannot read, each with the reason."""
    from authentik_entra_bootstrap.support.private_files import barred

    user, groups = (0, [0]) if flavour == "kubernetes" else (made.container_user[0], [made.container_user[1]])
    if flavour in {"systemd", "cron"}:
        try:
            account = pwd.getpwnam(made.user or "root")
        except KeyError:
            raise click.BadParameter(
                f"There is no user {made.user} on this machine.", param_hint="--user"
            ) from None
        user, groups = account.pw_uid, os.getgrouplist(account.pw_name, account.pw_gid)
    for path in sorted(made.files):
        # Compose mounts the file alone: the folders above it do not count.
        if why := barred(path, user, groups, folders=flavour != "compose"):
            yield path, why
    if flavour != "systemd":
        return
    named = [Path(made.program)]
    if made.user:
        # Without a user systemd gives the unit copies of these.
        named += [Path(made.settings_file or "/"), *sorted(made.files)]
    for path in named:
        if any(path.is_relative_to(folder) for folder in _PRIVATE):
            yield path, _HIDDEN


def _fits(path: Path, text: str) -> bool:
    """Whether a file holds this text; how it differs is shown."""
    from authentik_entra_bootstrap.support.private_files import Unreadable, read_text

    if not path.exists():
        return False
    try:
        found = read_text(path)
    except Unreadable as error:
        click.echo(f"{path}: {error}")
        return False
    lines = unified_diff(
        found.splitlines(), text.splitlines(), str(path), "by the settings", lineterm="", n=1
    )
    click.echo("".join(f"{line}\n" for line in lines), nl=False)
    return found == text


def _write(folder: Path, files: dict[str, str], *, overwrite: bool) -> None:
    """Write files with mode 0644, all or none where one holds something else.

    :raises ConfigError: ``schedule-file-differs``, ``schedule-file-unwritable``.
    """
    there = [folder / name for name in files if (folder / name).exists()]
    if there and not overwrite:
        raise ConfigError(
            "schedule-file-differs",
            f"{there[0]} holds something else, as shown above. Nothing was written.",
            "Add --replace to replace it, or name another --directory.",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
            (folder / name).chmod(0o644)
            click.echo(f"Written: {folder / name}", err=True)
    except OSError as error:
        raise ConfigError(
            "schedule-file-unwritable",
            f"A file in {folder} cannot be written: {error.strerror or error}.",
            "Name a --directory that you may write to; the next steps then install the files.",
        ) from None
