"""Ready files that run the rotation unattended: for systemd, cron, Docker Compose and Kubernetes. Pure.

No file holds a secret: each names the files that do. systemd gives the unit copies of them (``LoadCredential``), Compose
and Kubernetes mount them as secrets. The files' texts are in ``templates/``; ``@name`` stands for what is filled in.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files as package_files
from pathlib import Path, PurePosixPath
from string import Template
from textwrap import indent
from typing import Any

from authentik_entra_bootstrap.config import ENV_PREFIX
from authentik_entra_bootstrap.errors import ConfigError

Table = Mapping[str, Any]
Files = dict[str, str]
"""Name of a file -> its text, or the file that it stands for."""

IMAGE = "authentik-entra:local"
CONTAINER_USER = (65532, 65532)
"""User and group of the image, by ``docs/how-to/deploy/Dockerfile``."""
_CELERY = ("celery", "-A", "authentik_entra_bootstrap.celery_app")
_PING = (*_CELERY, "inspect", "ping", "-t", "10")
_IN_CONTAINER = {
    f"{ENV_PREFIX}CONFIG": "/etc/authentik-entra/authentik-entra.toml",
    # A folder below the volume, so that it can be private.
    f"{ENV_PREFIX}STATE_DIR": "/var/lib/authentik-entra/state",
}


@dataclass(frozen=True)
class Schedule:
    """What runs, as whom, and with which settings: none is a secret, and every file is named by its absolute path.

    :param program: folder of the commands ``authentik-entra`` and ``celery``.
    :param settings_file: absolute path; ``None`` where environment and flags say everything.
    :param tables: connection -> its settings from file, environment and flags.
    :param worker: those of the table ``[worker]``.
    :param given: the settings among them that are not in the settings file, the same for all connections.
    :param environment: variables that other libraries read.
    :param chosen: connections to name in the command; empty where it is to work on all of the settings file.
    :param user: as whom the command runs, with all files where they are; empty for one that systemd creates.
    :param container_user: user and group in Compose's container.
    """

    program: str
    settings_file: str | None
    tables: Mapping[str, Table]
    worker: Table
    given: Table
    environment: Mapping[str, str]
    chosen: tuple[str, ...] = ()
    user: str = ""
    container_user: tuple[int, int] = CONTAINER_USER
    image: str = IMAGE
    celery: bool = False

    @property
    def files(self) -> frozenset[Path]:
        """Every file that a setting names."""
        tables = (*self.tables.values(), self.worker)
        return frozenset(Path(table[key]) for table in tables for key in table if key.endswith("_file"))

    @property
    def title(self) -> str:
        """Name of units, files and objects: ``authentik-entra-rotate`` or ``…-worker``, and the chosen connections."""
        words = ["authentik-entra", "worker" if self.celery else "rotate", *self.chosen]
        return re.sub(r"[^a-z0-9-]+", "-", "-".join(words).lower())

    def command(self, *, container: bool = False) -> list[str]:
        """The command; outside a container with its path."""
        if self.celery:
            words = [*_CELERY, "worker", "-B", "-l", "INFO"]
        else:
            words = ["authentik-entra", "rotate", "--quiet", "--no-input"]
            # A container's settings file holds the chosen connections alone.
            if self.chosen and not container:
                words += [word for name in self.chosen for word in ("--connection", name)]
            elif len(self.tables) > 1:
                words.append("--all")
        return words if container else [f"{self.program}/{words[0]}", *words[1:]]


class _Template(Template):
    """Text in which ``@name`` stands for a value: ``$`` and ``%`` mean something to those who read the files."""

    delimiter = "@"


def _filled(name: str, **values: object) -> str:
    text = (package_files(__package__) / "templates" / name).read_text(encoding="utf-8")
    return _Template(text).substitute({key: str(value) for key, value in values.items()})


# --- on a machine: the settings file as it is, and variables for what it does not hold


def _common_files(schedule: Schedule) -> Files:
    """Setting -> file, of every setting for which all connections name the same file.

    :raises ConfigError: ``schedule-files-differ`` where one unit would need several.
    """
    common = {key: str(path) for key, path in schedule.worker.items() if key.endswith("_file")}
    tables = schedule.tables.values()
    for key in dict.fromkeys(key for table in tables for key in table if key.endswith("_file")):
        paths = {table.get(key) for table in tables}
        if len(paths) == 1:
            common[key] = str(paths.pop())
        elif not schedule.user:
            raise ConfigError(
                "schedule-files-differ",
                f"The connections name different files for {key}; a systemd unit gets one file for each setting.",
                "Schedule each connection alone with --connection NAME, or add --user NAME: a user who "
                "may read all of them.",
            )
    return common


def _variables(schedule: Schedule, files: Files) -> Files:
    """Variables of a command: what the settings file does not hold, and where the files are."""
    plain = {key: value for key, value in schedule.given.items() if not key.endswith("_file")}
    texts = {
        key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in plain.items()
    }
    place = {"config": schedule.settings_file} if schedule.settings_file else {}
    named = {f"{ENV_PREFIX}{key.upper()}": value for key, value in {**place, **texts, **files}.items()}
    variables = {**named, **schedule.environment}
    for name, value in variables.items():
        if not value.isprintable():
            raise ConfigError(
                "schedule-value-unprintable",
                f"The value of {name} contains a line break or a control character, which a line of a file cannot contain.",
                "Change it, or rename the file.",
            )
    return variables


def _quoted(value: str, *, specifiers: bool = False) -> str:
    """A value for a unit, inside its double quotes.

    :param specifiers: whether ``%`` stands for what systemd fills in.
    """
    text = value.replace("\\", "\\\\").replace('"', '\\"')
    return text if specifiers else text.replace("%", "%%")


def systemd(schedule: Schedule) -> Files:
    """A service with its timer; with Celery the worker's service."""
    files = _common_files(schedule)
    variables = _variables(schedule, files)
    lines = [f"User={schedule.user}", "ProtectHome=read-only"] if schedule.user else ["DynamicUser=yes"]
    credentials: Files = {}
    if not schedule.user:
        lines.append("ProtectHome=yes")
        places = {"config": schedule.settings_file} if schedule.settings_file else {}
        for key, path in {**places, **files}.items():
            name = key.removesuffix("_file").replace("_", "-")
            credentials[f"{ENV_PREFIX}{key.upper()}"] = f"%d/{name}"
            lines.append(f"LoadCredential={name}:{path.replace('%', '%%')}")
    elif certificate := files.get("operator_certificate_file"):
        lines.append("# The rotator can renew its certificate in this file.")
        lines.append(f'ReadWritePaths="-{_quoted(str(PurePosixPath(certificate).parent))}"')
    credentials[f"{ENV_PREFIX}STATE_DIR"] = "%S/authentik-entra"
    for name, value in {**variables, **credentials}.items():
        lines.append(f'Environment="{name}={_quoted(value, specifiers=name in credentials)}"')
    command = " ".join(f'"{_quoted(word)}"'.replace("$", "$$") for word in schedule.command())
    values = {
        "of": f" ({_quoted(', '.join(schedule.chosen))})" if schedule.chosen else "",
        "settings": "\n".join(lines),
        "command": re.sub(r'"([\w@+=:,./%-]+)"', r"\1", command),
        "hardening": _filled("hardening.conf").rstrip(),
    }
    kinds = ("worker.service",) if schedule.celery else ("rotate.service", "rotate.timer")
    return {f"{schedule.title}.{kind.partition('.')[2]}": _filled(kind, **values) for kind in kinds}


def cron(schedule: Schedule) -> Files:
    """A file for ``/etc/cron.d``. cron mails what the command prints, which is nothing while all is well."""
    variables = _variables(schedule, _common_files(schedule))
    lines = [f'{name}="{value}"' for name, value in variables.items()]
    # In a command, cron turns a bare % into a line break.
    command = shlex.join(schedule.command()).replace("%", "\\%")
    return {schedule.title: "\n".join([*lines, f"17 * * * * {schedule.user} {command}"])}


# --- in containers: a settings file of their own, in which files have the names that they have there


def container_settings(schedule: Schedule, folder: str = "/run/secrets") -> tuple[str, Files]:
    """The settings file inside a container, and its secrets: name -> file on this machine.

    :param folder: where the container finds the secrets.
    """
    secrets: Files = {}

    def lines(header: str, table: Table, owner: str) -> Iterator[str]:
        yield header
        for key, value in table.items():
            if key.endswith("_file"):
                name = key.removesuffix("_file").replace("_", "-")
                if secrets.setdefault(name, value) != value:
                    name = re.sub(r"[^a-z0-9-]+", "-", f"{name}-{owner}".lower())
                    secrets[name] = value
                yield f'{key} = "{folder}/{name}"'
            elif key != "state_dir":
                # JSON's strings, numbers, booleans and lists are TOML's.
                yield f"{key} = {json.dumps(value, ensure_ascii=False)}"
        yield ""

    made = [
        line
        for name, table in schedule.tables.items()
        for line in lines(f"[connections.{json.dumps(name)}]", table, name)
    ]
    made += lines("[worker]", schedule.worker, "worker") if schedule.worker else []
    return "\n".join(made), secrets


def _container(schedule: Schedule) -> Files:
    """Variables of a command in a container."""
    return {**_IN_CONTAINER, **schedule.environment}


def _block(depth: int, lines: list[str]) -> str:
    """Entries of a YAML mapping or list, each on a line of its own."""
    return "".join(f"\n{' ' * depth}{line}" for line in lines)


def compose(schedule: Schedule) -> Files:
    """A project of Compose that joins authentik's network, and its settings file.

    Compose gives a file the owner and mode that it has (docker/compose#9648), and cannot write a config into a read-only
    container (docker/compose#12031).
    """
    settings, secrets = container_settings(schedule)
    command = schedule.command(container=True)
    health = ["CMD", *_PING]
    if not schedule.celery:
        command = [
            "sh",
            "-c",
            f"while true; do {shlex.join(command)} && touch /var/lib/authentik-entra/done; sleep 3600; done",
        ]
        health = ["CMD-SHELL", 'test -n "$(find /var/lib/authentik-entra/done -mmin -180)"']

    def told(value: object) -> str:
        # Compose fills in what follows a dollar sign.
        return json.dumps(value, ensure_ascii=False).replace("$", "$$")

    text = _filled(
        "compose.yaml",
        title=schedule.title,
        image=told(schedule.image),
        # Where no registry is named, none has it: the Dockerfile makes it on this machine.
        pull="missing" if "/" in schedule.image else "never",
        command=told(command),
        variables=_block(6, [f"{name}: {told(value)}" for name, value in _container(schedule).items()]),
        mounts=_block(6, [f"- {name}" for name in secrets]),
        secrets=_block(2, [f"{name}: {{file: {told(path)}}}" for name, path in secrets.items()]),
        uid=schedule.container_user[0],
        gid=schedule.container_user[1],
        health=told(health),
    )
    return {f"{schedule.title}.yaml": text, f"{schedule.title}.toml": settings}


def kubernetes(schedule: Schedule) -> Files:
    """A ConfigMap and a CronJob; with Celery a Deployment of workers. The Secret is made by ``kubectl``."""
    settings, _ = container_settings(schedule, "/run/secrets/authentik-entra")
    variables = _container(schedule).items()
    pod = _filled(
        "pod.yaml",
        title=schedule.title,
        image=json.dumps(schedule.image),
        command=json.dumps(schedule.command(container=True)),
        variables=_block(6, [f"- {{name: {name}, value: {json.dumps(value)}}}" for name, value in variables]),
        memory="256Mi" if schedule.celery else "128Mi",
    )
    job = _filled(
        "deployment.yaml" if schedule.celery else "cronjob.yaml",
        title=schedule.title,
        pod=indent(pod.rstrip(), " " * (6 if schedule.celery else 10)),
        ping=shlex.join(_PING),
    )
    config = _filled("configmap.yaml", title=schedule.title, toml=indent(settings.rstrip(), " " * 4))
    return {f"{schedule.title}.yaml": config + job}


SYSTEM_FOLDERS = {"systemd": "/etc/systemd/system", "cron": "/etc/cron.d"}
"""Where the system looks for files."""
_FLAVOURS = {"systemd": systemd, "cron": cron, "compose": compose, "kubernetes": kubernetes}


def render(flavour: str, schedule: Schedule) -> Files:
    """The files of a flavour.

    :raises ConfigError: ``schedule-files-differ``, ``schedule-value-unprintable``.
    """
    head = f"# Made by `authentik-entra schedule {flavour}`; --check compares it with the settings."
    return {name: f"{head}\n{text.rstrip()}\n" for name, text in _FLAVOURS[flavour](schedule).items()}


def next_steps(flavour: str, schedule: Schedule, paths: Sequence[Path]) -> tuple[tuple[str, str], ...]:
    """The commands that set the written files to work, as they are typed, and what each does.

    :param paths: of the files, the first one first.
    """
    title, names = schedule.title, [str(path) for path in paths]
    if flavour == "compose":
        return ((shlex.join(["docker", "compose", "-f", names[0], "up", "-d"]), "starts it"),)
    if flavour == "kubernetes":
        secrets = [f"--from-file={name}={path}" for name, path in container_settings(schedule)[1].items()]
        secret = shlex.join(["kubectl", "create", "secret", "generic", title, *secrets])
        apply = shlex.join(["kubectl", "apply", "-f", names[0]])
        return (secret, "gives the cluster the secrets"), (apply, "starts it")
    folder = SYSTEM_FOLDERS[flavour]
    installed = str(paths[0].absolute().parent) == folder
    install = shlex.join(["sudo", "install", "-m", "0644", *names, f"{folder}/"])
    steps = () if installed else ((install, f"puts it where {flavour} looks"),)
    if flavour == "cron":
        return steps
    sudo, unit = "" if installed else "sudo ", f"{title}.{'service' if schedule.celery else 'timer'}"
    reload = f"{sudo}systemctl daemon-reload", "has systemd read it"
    return (*steps, reload, (f"{sudo}systemctl enable --now {unit}", "starts it, now and at every boot"))
