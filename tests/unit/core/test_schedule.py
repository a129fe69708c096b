"""The files that rotate unattended: what each kind names, how values are written in it, and no secret anywhere."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from authentik_entra_bootstrap.cli.schedule import schedule_of
from authentik_entra_bootstrap.config import SettingsFile, load_settings
from authentik_entra_bootstrap.errors import ConfigError
from authentik_entra_bootstrap.output.schedule import Schedule, next_steps, render

TENANT = "11111111-2222-4333-8444-555555555555"
PLAIN = f"""
[defaults]
tenant_id = "{TENANT}"
authentik_url = "https://authentik.example.com"
authentik_token_file = "/secrets/token"
operator_client_id = "operator"
operator_certificate_file = "/secrets/rotator.pem"
[connections.staff]
filter_group = 'Staff "$HOME" 100 % ü'
secret_lifetime = "90d"
permissions = ["User.Read.All", "Group.Read.All"]
dry_run_sync = true
[connections.Part_ners]
"""
APART = f"""
[defaults]
tenant_id = "{TENANT}"
operator_client_id = "operator"
[connections.a]
operator_certificate_file = "/secrets/a.pem"
[connections.b]
operator_certificate_file = "/secrets/b.pem"
"""
CANARY = "canary-1f2e3d"


def told(
    text: str = PLAIN,
    environment: Mapping[str, str] | None = None,
    names: tuple[str, ...] = (),
    **flags: object,
) -> Schedule:
    file = SettingsFile(Path("/etc/authentik-entra.toml"), text)
    return schedule_of("/opt/entra/bin", file, names or file.connections, environment or {}, flags)


def schedule(made: Schedule | None = None, **fields: Any) -> Schedule:
    return replace(made or told(), **{"chosen": (), **fields})


def systemd(made: Schedule) -> dict[str, str]:
    return render("systemd", made)


def cron(made: Schedule) -> dict[str, str]:
    return render("cron", made)


def compose(made: Schedule) -> dict[str, str]:
    return render("compose", made)


# --- what a job must be told


def test_files_are_named_absolutely_and_what_the_file_lacks_is_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    found = told(
        f'[connections.default]\nauthentik_token_file = "token"\noperator_client_id = "o"\ntenant_id = "{TENANT}"\n'
        'operator_certificate_file = "/x"\n',
        {
            "AUTHENTIK_URL": "https://a.example",
            "AUTHENTIK_ENTRA_CA_FILE": "ca.pem",
            "AUTHENTIK_ENTRA_STATE_DIR": "/state",
            "AUTHENTIK_ENTRA_LOGIN": "browser",
            "AZURE_CLIENT_ID": "mine",
            "https_proxy": "http://proxy:3128",
        },
        timeout=2.0,
    )
    assert found.tables["default"]["authentik_token_file"] == f"{tmp_path}/token"
    assert found.given == {
        "authentik_url": "https://a.example",
        "ca_file": "ca.pem",
        "timeout": 2.0,
        "state_dir": "/state",
    }
    assert found.worker["ca_file"] == f"{tmp_path}/ca.pem"
    assert found.environment == {"HTTPS_PROXY": "http://proxy:3128"}


def test_a_tenant_of_azure_identity_s_stays_behind_the_settings_of_each_connection() -> None:
    text = f'[connections.a]\ntenant_id = "{TENANT}"\n[connections.b]\n'
    found = told(text, {"AZURE_TENANT_ID": TENANT.replace("1", "9"), "AZURE_CLIENT_ID": "mine"})
    assert "tenant_id" not in found.given
    assert found.environment == {"AZURE_TENANT_ID": TENANT.replace("1", "9"), "AZURE_CLIENT_ID": "mine"}
    assert found.tables["a"]["tenant_id"] == TENANT
    assert found.tables["b"]["tenant_id"] == TENANT.replace("1", "9")


def test_a_certificate_of_azure_identity_s_is_the_operator_s() -> None:
    found = told("", {"AZURE_CLIENT_ID": "mine", "AZURE_CLIENT_CERTIFICATE_PATH": "/own.pem"})
    assert found.given == {"operator_client_id": "mine", "operator_certificate_file": "/own.pem"}


@pytest.mark.parametrize(
    "variables",
    [
        {"AUTHENTIK_TOKEN": CANARY},
        {"AZURE_CLIENT_SECRET": CANARY},
        {"HTTPS_PROXY": f"http://me:{CANARY}@proxy:3128"},
        {"AUTHENTIK_ENTRA_BROKER_URL": f"redis://:{CANARY}@redis"},
    ],
)
def test_a_secret_in_the_environment_is_refused_with_what_to_do(variables: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"\[schedule-secret-in-environment\]") as refused:
        told("", variables)
    assert next(iter(variables)) in refused.value.message
    assert CANARY not in str(refused.value)


def test_a_secret_that_a_file_stands_in_for_is_left_out_everywhere() -> None:
    found = told(environment={"AUTHENTIK_TOKEN": CANARY, "AZURE_CLIENT_SECRET": CANARY})
    made = schedule(found, user="ada")
    flavours = ("systemd", "cron", "compose", "kubernetes")
    texts = "".join(text for flavour in flavours for text in render(flavour, made).values())
    assert CANARY not in f"{found}{texts}"
    assert "/secrets/token" in texts


# --- systemd


def test_systemd_hands_files_to_a_user_of_the_unit_s_own() -> None:
    files = systemd(schedule())
    assert list(files) == ["authentik-entra-rotate.service", "authentik-entra-rotate.timer"]
    lines = files["authentik-entra-rotate.service"].splitlines()
    assert {"DynamicUser=yes", "ProtectHome=yes", "SuccessExitStatus=7"} <= set(lines)
    assert "LoadCredential=config:/etc/authentik-entra.toml" in lines
    assert "LoadCredential=operator-certificate:/secrets/rotator.pem" in lines
    assert 'Environment="AUTHENTIK_ENTRA_CONFIG=%d/config"' in lines
    assert 'Environment="AUTHENTIK_ENTRA_OPERATOR_CERTIFICATE_FILE=%d/operator-certificate"' in lines
    assert "ExecStart=/opt/entra/bin/authentik-entra rotate --quiet --no-input --all" in lines
    assert "OnCalendar=hourly" in files["authentik-entra-rotate.timer"]


def test_systemd_runs_as_a_named_user_with_the_files_where_they_are() -> None:
    text = systemd(schedule(user="ada", chosen=("Part_ners",)))["authentik-entra-rotate-part-ners.service"]
    assert "LoadCredential" not in text
    assert "User=ada\nProtectHome=read-only\n" in text
    assert 'ReadWritePaths="-/secrets"' in text, "the rotator renews its certificate there"
    assert 'Environment="AUTHENTIK_ENTRA_OPERATOR_CERTIFICATE_FILE=/secrets/rotator.pem"' in text
    assert "rotate --quiet --no-input --connection Part_ners\n" in text


def test_systemd_keeps_a_worker_running() -> None:
    ((name, text),) = systemd(schedule(celery=True)).items()
    assert name == "authentik-entra-worker.service"
    assert (
        "ExecStart=/opt/entra/bin/celery -A authentik_entra_bootstrap.celery_app worker -B -l INFO\n" in text
    )
    assert "Restart=always" in text
    assert text.endswith("WantedBy=multi-user.target\n")


def test_what_systemd_would_fill_in_is_written_so_that_it_does_not() -> None:
    settings = told(environment={"AUTHENTIK_ENTRA_FILTER_GROUP": 'a "b" $c %d \\e'})
    text = systemd(replace(schedule(settings), program="/opt/my $x 5%"))["authentik-entra-rotate.service"]
    assert 'Environment="AUTHENTIK_ENTRA_FILTER_GROUP=a \\"b\\" $c %%d \\\\e"' in text
    assert 'ExecStart="/opt/my $$x 5%%/authentik-entra" rotate' in text


def test_one_unit_cannot_be_given_several_files_for_one_setting() -> None:
    with pytest.raises(ConfigError, match=r"\[schedule-files-differ\]"):
        systemd(schedule(told(APART)))
    alone = systemd(schedule(told(APART, names=("a",)), chosen=("a",)))
    assert "LoadCredential=operator-certificate:/secrets/a.pem" in alone["authentik-entra-rotate-a.service"]
    # A user who may read both finds them by the settings file.
    assert "CERTIFICATE" not in systemd(schedule(told(APART), user="ada"))["authentik-entra-rotate.service"]


@pytest.mark.parametrize("flavour", ["systemd", "cron"])
def test_a_line_break_does_not_become_a_line_of_a_file(flavour: str) -> None:
    settings = told('[connections.default]\nca_file = "/a\\nUser=root"\n')
    with pytest.raises(ConfigError, match="AUTHENTIK_ENTRA_CA_FILE") as refused:
        render(flavour, schedule(settings, user="ada"))
    assert refused.value.code == "schedule-value-unprintable"


# --- cron


def test_cron_has_one_line_and_its_variables() -> None:
    ((name, text),) = cron(replace(schedule(user="ada"), program="/opt/5%")).items()
    assert name == "authentik-entra-rotate", "cron skips names with a dot"
    *variables, line = text.splitlines()[1:]
    assert 'AUTHENTIK_ENTRA_CONFIG="/etc/authentik-entra.toml"' in variables
    assert line == "17 * * * * ada /opt/5\\%/authentik-entra rotate --quiet --no-input --all"
    assert text.endswith("\n"), "cron skips a line without an end"


# --- containers


def settings_of(text: str) -> dict[str, Any]:
    file = SettingsFile(Path("authentik-entra.toml"), text)
    return {name: load_settings(file, connection=name, environment={}) for name in file.connections}


def test_compose_mounts_the_files_and_holds_all_settings() -> None:
    files = compose(schedule(container_user=(1000, 1001)))
    assert list(files) == ["authentik-entra-rotate.yaml", "authentik-entra-rotate.toml"]
    document = yaml.safe_load(files["authentik-entra-rotate.yaml"])
    (service,) = document["services"].values()
    assert document["secrets"] == {
        "authentik-token": {"file": "/secrets/token"},
        "operator-certificate": {"file": "/secrets/rotator.pem"},
    }
    assert service["secrets"] == list(document["secrets"])
    assert service["user"] == "1000:1001"
    assert "uid=1000,gid=1001" in service["tmpfs"][1]
    assert service["command"][2].startswith(
        "while true; do authentik-entra rotate --quiet --no-input --all && "
    )
    assert "$$(find" in service["healthcheck"]["test"][1], "Compose reads one dollar sign as its own"
    assert service["pull_policy"] == "never"
    assert "missing" in compose(schedule(image="registry.example.com/x:1"))["authentik-entra-rotate.yaml"]
    inside = settings_of(files["authentik-entra-rotate.toml"])
    before = settings_of(PLAIN)
    for name, settings in inside.items():
        assert str(settings.authentik_token_file) == "/run/secrets/authentik-token"
        assert settings.desired() == before[name].desired()


def test_compose_reaches_authentik_beside_it_when_that_is_allowed() -> None:
    beside = told(authentik_url="http://server:9000", allow_plain_http=True)
    settings = settings_of(compose(schedule(beside))["authentik-entra-rotate.toml"])["staff"]
    assert (settings.authentik_url, settings.allow_plain_http) == ("http://server:9000", True)


def test_connections_with_different_files_have_different_secrets_in_a_container() -> None:
    files = compose(schedule(told(APART)))
    secrets = yaml.safe_load(files["authentik-entra-rotate.yaml"])["secrets"]
    named = {
        re.findall('certificate_file = "/run/secrets/(.*)"', part)[0]
        for part in files["authentik-entra-rotate.toml"].split("[connections")[1:]
    }
    assert {secrets[name]["file"] for name in named} == {"/secrets/a.pem", "/secrets/b.pem"}


@pytest.mark.parametrize("celery", [False, True])
def test_kubernetes_mounts_settings_and_a_secret(celery: bool) -> None:
    made = schedule(celery=celery, chosen=("Part_ners",))
    (text,) = render("kubernetes", made).values()
    config, job = yaml.safe_load_all(text)
    assert (
        settings_of(config["data"]["authentik-entra.toml"])["staff"].filter_group == 'Staff "$HOME" 100 % ü'
    )
    assert job["kind"] == ("Deployment" if celery else "CronJob")
    spec = job["spec"] if celery else job["spec"]["jobTemplate"]["spec"]
    volumes = {item["name"]: item for item in spec["template"]["spec"]["volumes"]}
    assert volumes["settings"]["configMap"]["name"] == config["metadata"]["name"] == made.title
    step = shlex.split(next_steps("kubernetes", made, [Path("here")])[0][0])
    assert step[:5] == ["kubectl", "create", "secret", "generic", volumes["secrets"]["secret"]["secretName"]]
    given = {word.removeprefix("--from-file=").partition("=")[0] for word in step[5:]}
    mounted = set(
        re.findall('"/run/secrets/authentik-entra/([^"]+)"', config["data"]["authentik-entra.toml"])
    )
    assert given == mounted == {"authentik-token", "operator-certificate"}
