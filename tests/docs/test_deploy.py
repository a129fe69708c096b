"""The files for systemd, Docker Compose and Kubernetes: well-formed, careful, and every command in them exists."""

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

from authentik_entra_bootstrap.cli import cli
from authentik_entra_bootstrap.config import SettingsFile, WorkerSettings, load_settings, load_worker_settings
from authentik_entra_bootstrap.config.sources import ENV_PREFIX, ConnectionSettings

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "deploy"
UNITS = sorted(path.name for path in FOLDER.iterdir() if path.suffix in {".service", ".timer"})
APP = ["celery", "-A", "authentik_entra_bootstrap.celery_app"]
OURS = "/opt/authentik-entra/bin/"


def check_command(words: list[str]) -> None:
    """A command of ours, or Celery's on our application, with options that exist."""
    if words[:2] == ["sh", "-c"]:
        words = shlex.split(words[2].removeprefix("exec ").replace("$(hostname)", "host"))
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


@pytest.mark.parametrize("name", UNITS)
def test_units_hold_commands_and_variables_that_exist(name: str) -> None:
    unit = configparser.RawConfigParser(strict=False, delimiters="=", comment_prefixes="#")
    unit.optionxform = str
    text = (FOLDER / name).read_text(encoding="utf-8")
    unit.read_string(text)
    check_environment(re.findall(r"^Environment=(\w+)=", text, re.MULTILINE))
    if "Service" in unit:
        service = unit["Service"]
        assert service["DynamicUser"] == "yes"
        assert service["ProtectSystem"] == "strict"
        command = shlex.split(service["ExecStart"])
        assert command[0].startswith(OURS)
        check_command([command[0].removeprefix(OURS), *command[1:]])
    else:
        assert (FOLDER / name.replace(".timer", ".service")).is_file()


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed here")
    for name in UNITS:
        text = (FOLDER / name).read_text(encoding="utf-8")
        # The programs have to exist for it.
        (tmp_path / name).write_text(text.replace(OURS, f"{Path(sys.executable).parent}/"), encoding="utf-8")
    command = ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / name) for name in UNITS)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    complaints = [line for line in (ran.stdout + ran.stderr).splitlines() if "authentik-entra" in line]
    assert complaints == []


def documents(name: str) -> list[dict[str, Any]]:
    return [item for item in yaml.safe_load_all((FOLDER / name).read_text(encoding="utf-8")) if item]


def test_every_line_of_the_page_is_known(library) -> None:
    blocks = library.blocks(FOLDER.parent / "scheduled-rotation.md")
    lines = [line for block in blocks if block.language == "sh" for line in block.text.splitlines()]
    assert len(lines) >= 8
    project = tomllib.loads((library.root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for line in lines:
        words = shlex.split(line)
        if words[0] == "celery":
            check_command(words)
        elif words[0] == "export":
            variable, _, value = words[1].partition("=")
            assert WorkerSettings.model_validate({variable.removeprefix(ENV_PREFIX).lower(): value}).broker()
        else:
            assert words[:2] == ["pip", "install"], line
            name, _, extras = words[2].rstrip("]").partition("[")
            assert name == project["name"]
            assert {extra for extra in extras.split(",") if extra} <= set(project["optional-dependencies"])


def test_compose() -> None:
    (compose,) = documents("compose.yaml")
    assert set(compose) == {"services", "configs", "secrets", "volumes"}
    (service,) = compose["services"].values()
    check_command(service["command"])
    assert service["healthcheck"]["test"][0] == "CMD"
    check_command(service["healthcheck"]["test"][1:])
    check_environment(service["environment"])
    assert service["user"] == "65532:65532"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert set(service["secrets"]) == set(compose["secrets"])
    assert {item.split(":")[0] for item in service["volumes"]} == set(compose["volumes"])
    assert {item["source"] for item in service["configs"]} == set(compose["configs"])
    assert all(value.startswith("/run/secrets/") for value in service["environment"].values())


def test_dockerfile() -> None:
    text = (FOLDER / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", "")
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
    assert [word for word, _ in lines] == ["FROM", "RUN", "ENV", "USER", "CMD"]
    said = dict(lines)
    assert said["USER"] == "65532:65532"
    check_command(json.loads(said["CMD"]))
    check_environment(item.partition("=")[0] for item in shlex.split(said["ENV"]))
    extras = re.search(r"authentik-entra-bootstrap\[([\w,]+)\]", said["RUN"])
    assert extras is not None
    assert set(extras[1].split(",")) == {"redis", "rabbitmq", "postgresql"}


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("kubernetes-worker.yaml", [("v1", "ConfigMap"), ("apps/v1", "Deployment")]),
        ("kubernetes-cronjob.yaml", [("batch/v1", "CronJob")]),
    ],
)
def test_kubernetes(name: str, kinds: list[tuple[str, str]]) -> None:
    found = documents(name)
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


def test_the_settings_of_the_manifest_are_valid() -> None:
    settings = documents("kubernetes-worker.yaml")[0]["data"]["authentik-entra.toml"]
    file = SettingsFile(Path("authentik-entra.toml"), settings)
    for connection in file.connections:
        found = load_settings(file, connection=connection, environment={})
        found.desired()
        assert found.operator() is not None
    assert load_worker_settings(file, {}).broker_url_file == Path("/run/secrets/authentik-entra/broker-url")


def test_alerts_watch_lines_that_are_written() -> None:
    (rules,) = documents("alerts.yaml")
    expressions = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    events = {event for text in expressions for event in re.findall(r"event='([\w-]+)'", text)}
    package = Path(__file__).resolve().parents[2] / "authentik_entra_bootstrap"
    source = "".join(
        path.read_text(encoding="utf-8")
        for path in (package / "celery_app.py", *(package / "worker").glob("*.py"))
    )
    assert events == {"task-failed", "swept"}
    page = (FOLDER.parent / "scheduled-rotation.md").read_text(encoding="utf-8")
    for event in {*events, *re.findall(r"event='([\w-]+)'", page)}:
        assert f'"{event}"' in source, event
