"""What the pages tell people to type is typed here."""

from __future__ import annotations

import getpass
import json
import os
import re
import ssl
import sys

import click
import httpx

from authentik_entra_bootstrap.authentik.server import wanted_for
from authentik_entra_bootstrap.sandbox import Sandbox
from authentik_entra_bootstrap.sandbox.microsoft.seed import operator_holds


def test_the_tutorial_does_what_it_says(library, shell, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # The second shell: what the sandbox printed was copied, and a person answers.
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / ".config"))
    monkeypatch.setenv("AUTHENTIK_ENTRA_SANDBOX", shell.sandbox.entra_url)
    token = shell.sandbox.ca_file.with_name("authentik-token")
    token.write_text(os.environ["AUTHENTIK_TOKEN"])
    monkeypatch.delenv("AUTHENTIK_TOKEN")
    monkeypatch.setenv("AUTHENTIK_TOKEN_FILE", str(token))
    answers = {"Group": "Research"}
    monkeypatch.setattr(
        click, "prompt", lambda text, default=None, **_: answers.get(text.partition(" ")[0], default)
    )
    monkeypatch.setattr(click, "confirm", lambda *_, **__: True)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    steps = [block for block in library.blocks(library.root / "docs/tutorial/first-run.md") if block.run]
    assert len(steps) >= 13
    for block in steps:
        for line, code in zip(block.text.splitlines(), block.run.split(","), strict=True):
            if code == "curl":
                answer = shell.curl(line)
                assert answer.is_success, (line, answer.text)
                continue
            if line.startswith("unset "):
                for name in line.split()[1:]:
                    monkeypatch.delenv(name)
                continue
            # As root the unit would get a user of its own, who cannot reach a Python in root's home folder.
            user = f" --user {getpass.getuser()}" if line.endswith(" systemd") else ""
            assert shell.run(f"{line}{user}") == int(code), (line, shell.out, shell.err)
            for name, value in re.findall(r"^ *export (\w+)=(.*)$", shell.out, re.MULTILINE):
                monkeypatch.setenv(name, value)
            if line.endswith(" plan"):
                assert "2 users: 2 created" in shell.out
            if line.endswith("--no-input"):
                assert (shell.out == "") is (block.text == f"{line}\n"), shell.out
    assert "1 connection, 1 healthy" in (tmp_path / "connections.html").read_text()


def test_the_sandbox_page_s_requests_are_answered(library, shell):
    page = library.root / "docs/how-to/use-the-sandbox-for-your-own-client.md"
    lines = [block.text.strip() for block in library.blocks(page) if block.text.startswith("curl ")]
    assert len(lines) >= 6
    for line in lines:
        answer = shell.curl(line)
        assert answer.is_success, (line, answer.text)
        if "/token" in line:
            assert answer.json()["token_type"] == "Bearer"
    assert shell.curl(lines[0]).is_success


def test_the_same_seed_gives_the_same_ids_and_secrets():
    environments = []
    for _ in range(2):
        with Sandbox(seed=7) as sandbox:
            environments.append(sandbox.environment())
    for name in ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AUTHENTIK_TOKEN"):
        assert environments[0][name] == environments[1][name]


def test_json_documents_have_the_documented_keys(library, shell, capsys):
    text = (library.root / "docs/reference/json-output.md").read_text(encoding="utf-8")
    shared = text.split("Every document begins with", 1)[1].split("## error", 1)[0]
    shell.run("authentik-entra bootstrap --yes")
    capsys.readouterr()
    for command in ("check", "plan", "bootstrap --yes", "consent", "status", "rotate", "verify"):
        shell.run(f"authentik-entra {command} --output json")
        document = json.loads(capsys.readouterr().out)
        section = text.split(f"## {command.split()[0]}\n", 1)[1].split("\n## ", 1)[0]
        for key in document:
            assert f"`{key}`" in shared + section, (command, key)
    shell.run("authentik-entra plan --output json --tenant-id 11111111-2222-4333-8444-555555555555")
    error = json.loads(capsys.readouterr().out)["error"]
    section = text.split("## error\n", 1)[1].split("\n## ", 1)[0]
    for key in error:
        assert f"`{key}`" in section, key


# --- least privilege


def _operator(library, kind: str) -> set[str]:
    page = library.root / "docs/how-to/least-privilege.md"
    return {row[0] for row in library.table(page, f"<!-- operator: {kind} -->")}


def seeded(shell):
    """The tenant and its operator."""
    return shell.sandbox.world.default_tenant, shell.sandbox.operator


def test_documented_permissions_of_the_operator_are_enough(library, shell, tmp_path):
    shell.sandbox.world.switches.creator_becomes_owner = False
    assert len(_operator(library, "bootstrap")) == 5, "each is needed: tests/end_to_end/test_refusals.py"
    operator_holds(*seeded(shell), *_operator(library, "bootstrap"))
    assert shell.run("authentik-entra check") == 0, shell.out
    assert shell.run("authentik-entra bootstrap --yes") == 0, shell.err
    rotator = f"rotator create --yes --to {tmp_path}/rotator.pem"
    assert shell.run(f"authentik-entra {rotator}") == 4, shell.err
    operator_holds(*seeded(shell), *(_operator(library, "bootstrap") | _operator(library, "rotator")))
    assert shell.run(f"authentik-entra {rotator}") == 0, shell.err
    operator_holds(*seeded(shell), *_operator(library, "later"))
    assert shell.run(f"authentik-entra rotator renew --now --yes --to {tmp_path}/2.pem") == 0
    assert shell.run("authentik-entra bootstrap --yes") == 0, shell.err
    shell.sandbox.world.clock.advance(130 * 86400)
    assert shell.run("authentik-entra plan") == 2, shell.out
    assert shell.run("authentik-entra bootstrap --yes") == 0, shell.err
    operator_holds(*seeded(shell), *_operator(library, "look"))
    assert shell.run("authentik-entra status --check") == 0, shell.out
    assert shell.run("authentik-entra verify") == 0, shell.err


ACCOUNTS = "blueprints/rotator-service-account.yaml"


def test_blueprint_page_and_check_name_the_same_permissions(library):
    page = library.root / "docs/how-to/least-privilege.md"
    for purpose, above in (
        ("bootstrap", "<!-- service account -->"),
        ("rotation", "<!-- rotation account -->"),
    ):
        documented = {row[0] for row in library.table(page, above)}
        assert documented == {item.permission for item in wanted_for(purpose)}


def test_the_identities_of_rotation_are_made_as_the_page_says(library, shell, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert shell.run("authentik-entra bootstrap --yes") == 0
    page = library.root / "docs/how-to/rotator-identity.md"
    steps = [block for block in library.blocks(page) if block.language == "sh"]
    assert len(steps) == 9
    assert all(block.run for block in steps)
    for block in steps:
        with monkeypatch.context() as patch:
            if block.run == "rotator":
                tenant = shell.sandbox.world.default_tenant
                (made,) = [
                    item for item in tenant.all("application") if "authentik-entra:rotator" in item["tags"]
                ]
                for name in ("AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AUTHENTIK_TOKEN"):
                    patch.delenv(name)
                patch.setenv("AUTHENTIK_ENTRA_OPERATOR_CLIENT_ID", made["appId"])
                patch.setenv("AUTHENTIK_ENTRA_OPERATOR_CERTIFICATE_FILE", "rotator.pem")
                patch.setenv("AUTHENTIK_TOKEN_FILE", "authentik-rotator.token")
            assert shell.run(block.text.strip()) == 0, (block.text, shell.out, shell.err)
            assert "FAIL" not in shell.out
    assert {path.name for path in tmp_path.iterdir()} == {
        "rotator.pem",
        "rotator-2.pem",
        "authentik-rotator.token",
        "authentik-bootstrap.token",
    }


def test_the_blueprint_s_account_is_enough(library, shell):
    headers = {"Authorization": f"Bearer {os.environ['AUTHENTIK_TOKEN']}"}
    trust = ssl.create_default_context(cafile=os.environ["AUTHENTIK_ENTRA_CA_FILE"])
    with httpx.Client(base_url=f"{os.environ['AUTHENTIK_URL']}/api/v3", headers=headers, verify=trust) as api:
        content = (library.root / ACCOUNTS).read_bytes()
        answer = api.post("/managed/blueprints/import/", files={"file": ("account.yaml", content)})
        assert answer.json()["success"], answer.text
        key = api.get("/core/tokens/authentik-entra-bootstrap/view_key/").json()["key"]
        os.environ["AUTHENTIK_TOKEN"] = key
    for command in ("check", "bootstrap --yes", "status --check", "verify", "bootstrap --yes"):
        assert shell.run(f"authentik-entra {command}") == 0, (command, shell.out, shell.err)
