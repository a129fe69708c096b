"""``authentik-entra schedule``: ready files that run the rotation unattended."""

from __future__ import annotations

import os
import pwd
import shlex
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import replace
from difflib import unified_diff
from pathlib import Path
from typing import TYPE_CHECKING

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


@click.command()
@click.argument("flavour", type=click.Choice(["systemd", "cron", "compose", "kubernetes"]))
@one_connection
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write the files there instead of printing them; with --check, look at those there.",
)
@click.option(
    "--celery", is_flag=True, help="Run Celery's worker and schedule instead of `rotate` by a timer."
)
@click.option(
    "--check", is_flag=True, help="Exit with 2 when the installed files no longer fit, and show why."
)
@click.option("--replace", "overwrite", is_flag=True, help="Replace files that differ.")
@click.option(
    "--user",
    metavar="NAME",
    help="Who runs it (systemd, cron), with all files where they are.  [default: you; in systemd for root, a user of the "
    "unit's own, who is given the files]",
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
    """Print or write ready files that rotate client secrets unattended, for FLAVOUR.

    Units of systemd, a crontab, a project of Docker Compose, or manifests of Kubernetes. They name this machine's
    settings and files, and hold no secret. Without --connection every connection of the settings file is meant.
    """
    from authentik_entra_bootstrap.output.schedule import FLAVOURS, SYSTEM_FOLDERS, next_steps

    if celery and flavour == "cron":
        raise click.UsageError("cron does not keep a worker running: use systemd, or leave --celery out.")
    system, root = SYSTEM_FOLDERS.get(flavour), os.geteuid() == 0

    def job(file: SettingsFile, terminal: Terminal, _runtime: Runtime) -> Result:
        runner = user or ("" if flavour == "systemd" and root else pwd.getpwuid(os.geteuid()).pw_name)
        made = replace(_gathered(options, file, runner), image=image, celery=celery)
        if celery and flavour == "systemd" and made.chosen:
            text = "A worker works on every connection of the settings file: leave --connection out."
            raise click.UsageError(text)
        _refuse_home(made, flavour)
        files = FLAVOURS[flavour](made)
        for path, why in _unreadable(made, flavour):
            terminal.warn(f"{path} is named in the schedule, and {why}.")
        folder = directory or (Path(system or ".") if check else None)
        if folder is None:
            told = [f"# {name}\n{text}" if len(files) > 1 else text for name, text in files.items()]
            click.echo("\n".join(told), nl=False)
            given = [f"--{name.replace('_', '-')}={value}" for name, value in options.flags.items() if value]
            given += [f"--connection={name}" for name in options.connections]
            given += [f"--config={options.config}"] * bool(options.config) + ["--celery"] * celery
            given += [f"--user={user}"] * bool(user) + [
                f"--directory={system if system and root else 'schedule'}"
            ]
            _show_steps(shlex.join(["authentik-entra", "schedule", flavour, *given]))
            return ExitCode.DONE, {}
        differing = {name: text for name, text in files.items() if not _fits(folder / name, text)}
        if check:
            for name in differing:
                click.echo(f"{folder / name}: {'differs' if (folder / name).exists() else 'is not there'}")
            click.echo(f"{flavour}: {'differs from' if differing else 'fits'} the settings, in {folder}")
            return ExitCode.CHANGES_PENDING if differing else ExitCode.DONE, {}
        _write(folder, differing, overwrite=overwrite)
        _show_steps(*next_steps(flavour, made, str(folder), system=str(folder.absolute()) == system))
        return ExitCode.DONE, {}

    return run_reported("schedule", options, job)


def _gathered(options: Options, file: SettingsFile, user: str) -> Schedule:
    """What the settings say about the schedule of the connections that are meant."""
    from authentik_entra_bootstrap.config.job_settings import job_settings
    from authentik_entra_bootstrap.output.schedule import CONTAINER_USER, Schedule
    from authentik_entra_bootstrap.worker.sweep import unattended

    names = options.names(file) or file.connections
    for name in names:
        unattended(options.settings(file, name))
    told = job_settings(file, names, os.environ, options.flags)
    program = Path(sys.argv[0]).absolute().parent
    if not (program / "authentik-entra").exists():
        program = Path(sysconfig.get_path("scripts"))
    owners = {
        (status.st_uid, status.st_gid) for path in told.files if path.exists() for status in [path.stat()]
    }
    return Schedule(
        str(program),
        file.place,
        told,
        chosen=names if set(names) != set(file.connections) else (),
        user=user,
        container_user=owners.pop() if len(owners) == 1 and (0, 0) not in owners else CONTAINER_USER,
    )


def _refuse_home(made: Schedule, flavour: str) -> None:
    """Refuse a program that a user of the unit's own cannot run.

    :raises ConfigError: ``schedule-program-in-home``.
    """
    places = {Path(made.program), Path(made.program).resolve(), Path(sys.base_prefix)}
    homes = sorted(str(place) for place in places for home in HOMES if place.is_relative_to(home))
    if flavour == "systemd" and not made.user and homes:
        raise ConfigError(
            "schedule-program-in-home",
            f"The program or its Python is installed in {homes[0]}, where a user of the unit's own may not look.",
            "Install it outside of home folders, for example in /opt/authentik-entra; or name a user with --user.",
        )


def _unreadable(made: Schedule, flavour: str) -> Iterator[tuple[Path, str]]:
    """Files of the schedule that its user cannot read, and why."""
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
    for path in sorted(made.settings.files):
        # Compose mounts the file alone: the folders above it do not count.
        if why := barred(path, user, groups, folders=flavour != "compose"):
            yield path, why


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


def _show_steps(*commands: str) -> None:
    """What to do next, on standard error: standard output is for the files."""
    click.echo("Next steps:", err=True)
    for command in commands:
        click.echo(f"  {command}", err=True)
