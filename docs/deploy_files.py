"""The files under ``how-to/deploy/``, as ``authentik-entra schedule`` makes them for an example's settings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from authentik_entra_bootstrap.cli.schedule import schedule_of
from authentik_entra_bootstrap.config import SettingsFile
from authentik_entra_bootstrap.output.schedule import render

FOLDER = Path(__file__).resolve().parent / "how-to" / "deploy"
SETTINGS = """
[connections.default]
tenant_id = "11111111-2222-4333-8444-555555555555"
operator_client_id = "99999999-8888-4777-8666-555555555555"
operator_certificate_file = "/etc/authentik-entra/rotator.pem"
authentik_url = "https://authentik.example.com"
authentik_token_file = "/etc/authentik-entra/authentik-token"
"""
BESIDE_AUTHENTIK = {"authentik_url": "http://server:9000", "allow_plain_http": True}
"""Flags of the example of Compose: its containers reach authentik's by the name of the service."""


def deploy_files() -> dict[Path, str]:
    """Path -> text of every one."""
    file = SettingsFile(Path("/etc/authentik-entra/authentik-entra.toml"), SETTINGS)
    made: dict[Path, str] = {}
    for flavour in ("systemd", "cron", "compose", "kubernetes"):
        flags = BESIDE_AUTHENTIK if flavour == "compose" else {}
        schedule = schedule_of("/opt/authentik-entra/bin", file, file.connections, {}, flags)
        kinds = [replace(schedule, user="rotation")] if flavour == "cron" else [schedule]
        kinds += [replace(schedule, celery=True)] if flavour != "cron" else []
        for kind in kinds:
            made |= {FOLDER / flavour / name: text for name, text in render(flavour, kind).items()}
    return made
