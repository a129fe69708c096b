"""The files that `schedule` makes for systemd, cron, Compose and Kubernetes, and the image: valid, careful, with commands that exist."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from celery.bin.celery import celery as celery_cli
from jsonschema import Draft7Validator, Draft202012Validator

from authentik_entra_bootstrap.authentik.connection import api_base
from authentik_entra_bootstrap.cli import cli
from authentik_entra_bootstrap.config import ENV_PREFIX, SettingsFile, load_settings
from authentik_entra_bootstrap.config.connection import ConnectionSettings
from authentik_entra_bootstrap.config.worker import WorkerSettings
from authentik_entra_bootstrap.output.schedule import CONTAINER_USER, IMAGE

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "how-to" / "deploy"
SCHEMAS = Path(__file__).parent / "schemas"
UNITS = sorted((FOLDER / "systemd").iterdir())
APP = ["celery", "-A", "authentik_entra_bootstrap.celery_app"]
OURS = "/opt/authentik-entra/bin/"


def check_command(words: list[str]) -> None:
    """A command of ours, or Celery's on our application, with options that exist."""
    if words[:2] == ["sh", "-c"] and words[2].startswith("exec "):
        words = shlex.split(words[2].removeprefix("exec ").replace("$(hostname)", "host"))
    if "while true" in words[-1]:
        words = shlex.split(words[-1].removeprefix("while true; do ").partition(" && ")[0])
    if words[0] == "authentik-entra":
        # click keeps the help options of a command's first context.
        program = click.Context(cli, help_option_names=["-h", "--help"])
        command = cli.get_command(program, words[1])
        assert command is not None, words
        command.make_context(words[1], list(words[2:]), parent=program)
        return
    assert words[:3] == APP, words
    command = celery_cli.commands[words[3]]
    known = {option for parameter in command.params for option in parameter.opts}
    given = [word for word in words[4:] if word.startswith("-")]
    assert set(given) <= known, (words, known)
    if words[3] == "inspect":
        assert words[4] == "ping"


def check_environment(names: Iterable[str]) -> None:
    """Variables that somebody reads."""
    settings = [*ConnectionSettings.model_fields, *WorkerSettings.model_fields, "config"]
    known = {f"{ENV_PREFIX}{name.upper()}" for name in settings}
    assert set(names) <= known | {"AUTHENTIK_TOKEN_FILE", "PYTHONDONTWRITEBYTECODE"}


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_units_hold_commands_and_variables_that_exist(path: Path) -> None:
    unit = configparser.RawConfigParser(strict=False, delimiters="=", comment_prefixes="#")
    unit.optionxform = str
    text = path.read_text(encoding="utf-8")
    unit.read_string(text)
    check_environment(re.findall(r'^Environment="(\w+)=', text, re.MULTILINE))
    if "Service" in unit:
        service = unit["Service"]
        assert service["DynamicUser"] == "yes"
        assert service["ProtectSystem"] == "strict"
        command = shlex.split(service["ExecStart"])
        assert command[0].startswith(OURS)
        check_command([command[0].removeprefix(OURS), *command[1:]])
    else:
        assert path.with_suffix(".service").is_file()


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed here")
    for path in UNITS:
        # The programs have to exist for it.
        text = path.read_text(encoding="utf-8").replace(OURS, f"{Path(sys.executable).parent}/")
        (tmp_path / path.name).write_text(text, encoding="utf-8")

    def complaints() -> list[str]:
        command = ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / path.name) for path in UNITS)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        return [line for line in (ran.stdout + ran.stderr).splitlines() if "authentik-entra" in line]

    assert complaints() == []
    worker = tmp_path / "authentik-entra-worker.service"
    worker.write_text(
        worker.read_text(encoding="utf-8").replace("KillMode=mixed", "KillMode=mild"), encoding="utf-8"
    )
    assert len(complaints()) == 1, "it does look"


def test_the_crontab_holds_a_command_that_exists() -> None:
    lines = (FOLDER / "cron" / "authentik-entra-rotate").read_text(encoding="utf-8").splitlines()[1:]
    *variables, line = lines
    check_environment(re.match(r'(\w+)="[^"]*"$', variable)[1] for variable in variables)
    *times, user, program = line.split()[:7]
    assert (len(times), user) == (5, "rotation")
    check_command([program.removeprefix(OURS), *line.split()[7:]])


def documents(name: str) -> list[dict[str, Any]]:
    return [item for item in yaml.safe_load_all((FOLDER / name).read_text(encoding="utf-8")) if item]


def test_every_line_of_the_page_is_known(library) -> None:
    blocks = library.blocks(FOLDER.parent / "scheduled-rotation.md")
    lines = [line for block in blocks if block.language == "sh" for line in block.text.splitlines()]
    assert lines[0].startswith("authentik-entra schedule systemd")
    for line in lines:
        words = shlex.split(line)
        if words[0] in {"celery", "authentik-entra"}:
            check_command(words)
        elif words[0] == "export":
            variable, _, value = words[1].partition("=")
            setting = {variable.removeprefix(ENV_PREFIX).lower(): value}
            worker = set(setting) <= set(WorkerSettings.model_fields)
            (WorkerSettings if worker else ConnectionSettings).model_validate(setting)
        elif words[0] == "make":
            assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        else:
            assert words[:2] == ["docker", "build"], line
            assert words[words.index("-t") + 1] == IMAGE
            assert (ROOT / words[words.index("-f") + 1]) == FOLDER / "Dockerfile"


@pytest.mark.parametrize("name", ["authentik-entra-rotate", "authentik-entra-worker"])
def test_compose(name: str) -> None:
    (compose,) = documents(f"compose/{name}.yaml")
    schema = json.loads((SCHEMAS / "compose-spec.json").read_text(encoding="utf-8"))
    Draft202012Validator(schema).validate(compose)
    (service,) = compose["services"].values()
    check_command(service["command"])
    health = service["healthcheck"]["test"]
    if name.endswith("worker"):
        assert health[0] == "CMD"
        check_command(health[1:])
    check_environment(service["environment"])
    assert service["user"] == "65532:65532"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert set(service["secrets"]) == set(compose["secrets"])
    assert {item["source"] for item in service["configs"]} == set(compose["configs"])
    assert service["networks"] == ["authentik"]
    assert compose["networks"]["authentik"]["external"] is True
    file = FOLDER / "compose" / compose["configs"]["settings"]["file"]
    settings = load_settings(SettingsFile(file, file.read_text(encoding="utf-8")), environment={})
    assert {str(settings.authentik_token_file), str(settings.operator_certificate_file)} == {
        f"/run/secrets/{secret}" for secret in compose["secrets"]
    }
    base = api_base(settings.authentik_url or "", allow_plain_http=settings.allow_plain_http)
    assert base == "http://server:9000/api/v3"


def test_dockerfile() -> None:
    text = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
    joined = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", "")
    lines = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    words = [word for word, _ in lines]
    last = words.index("FROM", 1)
    assert words[:last] == ["FROM", "COPY", "RUN"]
    assert words[last:] == ["FROM", "COPY", "RUN", "ENV", "USER", "HEALTHCHECK", "CMD"]
    said = dict(lines[last:])
    assert {line for word, line in lines if word == "FROM"} == {
        "python:3.13-slim AS build",
        "python:3.13-slim",
    }
    assert said["USER"] == ":".join(map(str, CONTAINER_USER))
    check_command(json.loads(said["CMD"]))
    check_command(json.loads(said["HEALTHCHECK"].partition("CMD ")[2]))
    environment = dict(item.split("=", 1) for item in shlex.split(said["ENV"]))
    check_environment(set(environment) - {"PATH", "HOME"})
    extras = re.search(r"wheel\[([\w,]+)\]", lines[2][1])
    assert extras is not None
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(extras[1].split(",")) == set(project["optional-dependencies"]) - {"sandbox"}
    # The files of Compose and Kubernetes look for settings and state where the image does.
    for path in FOLDER.glob("*/*.yaml"):
        assert environment["AUTHENTIK_ENTRA_CONFIG"] in path.read_text(encoding="utf-8"), path


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("authentik-entra-worker", [("v1", "ConfigMap"), ("apps/v1", "Deployment")]),
        ("authentik-entra-rotate", [("v1", "ConfigMap"), ("batch/v1", "CronJob")]),
    ],
)
def test_kubernetes(name: str, kinds: list[tuple[str, str]]) -> None:
    found = documents(f"kubernetes/{name}.yaml")
    schema = json.loads((SCHEMAS / "kubernetes-1.32.json").read_text(encoding="utf-8"))
    for item in found:
        version = item["apiVersion"] if "/" in item["apiVersion"] else f"core/{item['apiVersion']}"
        kind = f"io.k8s.api.{version.replace('/', '.')}.{item['kind']}"
        Draft7Validator({**schema, "$ref": f"#/definitions/{kind}"}).validate(item)
    assert [(item["apiVersion"], item["kind"]) for item in found] == kinds
    assert all(item["metadata"]["name"].startswith("authentik-entra") for item in found)
    spec = found[-1]["spec"]
    if found[-1]["kind"] == "CronJob":
        assert spec["concurrencyPolicy"] == "Forbid"
        spec = spec["jobTemplate"]["spec"]
    else:
        assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
    pod = spec["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    check_command(container["command"])
    for probe in ("startupProbe", "livenessProbe"):
        if probe in container:
            check_command(container[probe]["exec"]["command"])
    check_environment(item["name"] for item in container["env"])
    # Secrets are files; what is written to is a volume.
    assert all("valueFrom" not in item for item in container["env"])
    volumes = {item["name"]: item for item in pod["volumes"]}
    mounts = {item["name"]: item["mountPath"] for item in container["volumeMounts"]}
    assert set(mounts) == set(volumes)
    assert "secret" in volumes["secrets"]
    assert mounts["scratch"] == "/tmp"  # noqa: S108  # of the container
    state = next(item["value"] for item in container["env"] if item["name"] == "AUTHENTIK_ENTRA_STATE_DIR")
    assert state.startswith(mounts["state"] + "/")


@pytest.mark.parametrize("name", ["authentik-entra-rotate", "authentik-entra-worker"])
def test_the_settings_of_the_manifest_are_valid(name: str) -> None:
    settings = documents(f"kubernetes/{name}.yaml")[0]["data"]["authentik-entra.toml"]
    found = load_settings(SettingsFile(Path("authentik-entra.toml"), settings), environment={})
    found.desired()
    assert found.operator() is not None


def test_alerts_watch_lines_that_are_written() -> None:
    (rules,) = documents("alerts.yaml")
    expressions = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    events = {event for text in expressions for event in re.findall(r"event='([\w-]+)'", text)}
    package = ROOT / "authentik_entra_bootstrap"
    source = "".join(
        path.read_text(encoding="utf-8")
        for path in (package / "celery_app.py", *(package / "worker").glob("*.py"))
    )
    assert events == {"task-failed", "swept", "certificate-not-renewed"}
    page = (FOLDER.parent / "scheduled-rotation.md").read_text(encoding="utf-8")
    for event in {*events, *re.findall(r"event='([\w-]+)'", page)}:
        assert f'"{event}"' in source, event
