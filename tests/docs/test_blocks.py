"""Every block of commands on every page is carried out, in the order of the page, against a sandbox of its own."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import httpx
import pytest

from authentik_entra_bootstrap.sandbox.microsoft.objects import application, iso, service_principal
from authentik_entra_bootstrap.sandbox.microsoft.seed import operator_holds, seed_tenant
from authentik_entra_bootstrap.support.addresses import bypasses_proxy, proxy_for
from authentik_entra_bootstrap.support.certificates import make_key_pair

ROOT = Path(__file__).resolve().parents[2]
OWN_TESTS = {
    "docs/tutorial/first-run.md": "test_run.py::test_the_tutorial_does_what_it_says",
    "docs/how-to/use-the-sandbox-for-your-own-client.md": "test_run.py::test_the_sandbox_page_s_requests_are_answered",
    "docs/how-to/rotator-identity.md": "test_run.py::test_the_identities_of_rotation_are_made_as_the_page_says",
    "docs/how-to/scheduled-rotation.md": "test_deploy.py::test_every_line_of_the_page_is_known",
}
"""Pages whose blocks another test carries out."""
ELSEWHERE = {
    "authentik-entra demo": "tests/end_to_end/test_commands.py",
    "authentik-entra sandbox": "tests/end_to_end/test_commands.py",
    "authentik-entra sandbox --seed 7 --port 8443 --authentik-port 9443": "tests/end_to_end/test_commands.py",
    "authentik-entra bootstrap --cloud usgov": "tests/end_to_end/test_clouds.py",
    "make record": "tests/replay/test_cassettes.py",
    "git diff --stat tests/cassettes": "tests/cassettes/bootstrap.yaml",
    "man -l docs/reference/authentik-entra.1": "docs/reference/authentik-entra.1",
    # These need a package index, a real tenant, or start this very run.
    "make demo": "Makefile",
    "make test": "Makefile",
    "make lint": "Makefile",
    "make bench": "Makefile",
    "make record CASSETTES=real": "Makefile",
    "export AZURE_TENANT_ID=... AZURE_CLIENT_ID=... AZURE_CLIENT_SECRET=...": "tests/replay/cassette_record.py",
    "export AUTHENTIK_URL=https://authentik.example.com AUTHENTIK_TOKEN=...": "tests/replay/cassette_record.py",
}
"""Lines that cannot be carried out here, and what has to be there for them, or tries them."""


@dataclass
class Stage:
    """One page's sandbox, and what a reader has before the page begins."""

    shell: Any
    folder: Path
    monkeypatch: pytest.MonkeyPatch

    @property
    def tenant(self) -> Any:
        return self.shell.sandbox.world.default_tenant

    def bootstrap(self, more: str = "") -> None:
        assert self.shell.run(f"authentik-entra bootstrap --yes {more}") == 0, self.shell.err

    def start_anew(self) -> None:
        """A tenant and an authentik without the connection."""
        self.shell.run("authentik-entra teardown --yes --purge")
        for kind in ("application", "servicePrincipal", "deletedItem"):
            for item in self.tenant.all(kind):
                if item.get("displayName") == "authentik provisioning":
                    self.tenant.remove(kind, item["id"])
        self.bootstrap()

    def carry_out(self, block: Any) -> None:
        """One block, by its mark."""
        if block.run == "bash":
            self._in_bash(block.text)
            return
        codes = iter((block.run or "").split(","))
        for line in block.text.splitlines():
            if line in ELSEWHERE:
                continue
            if line.startswith("export "):
                for word in shlex.split(os.path.expandvars(line))[1:]:
                    self.export(*word.split("=", 1))
                continue
            assert line.startswith("authentik-entra "), line
            code = self.shell.run(line)
            assert str(code) == next(codes, None), (line, self.shell.out, self.shell.err)
        assert next(codes, "") == "", "more exit codes than commands"

    def export(self, name: str, value: str) -> None:
        """Set a variable as the page says, with this sandbox's values in the place of the example's."""
        known = self.shell.sandbox.environment()
        if name == "AUTHENTIK_TOKEN_FILE":
            path = self.folder / "token"
            path.write_text(known["AUTHENTIK_TOKEN"], encoding="utf-8")
            self.monkeypatch.delenv("AUTHENTIK_TOKEN", raising=False)
            value = str(path)
        elif name == "AZURE_CLIENT_CERTIFICATE_PATH":
            self.monkeypatch.delenv("AZURE_CLIENT_SECRET")
            value = self._certificate()
        elif name == "AUTHENTIK_ENTRA_LOGIN":
            assert value == "browser"
            value = "environment"  # nobody is there to type into a browser
        elif name == "AUTHENTIK_ENTRA_PROXY":
            assert re.fullmatch(r"http://proxy\.example\.com:\d+", value)
            return
        elif name in {"HTTPS_PROXY", "NO_PROXY"}:
            # The example's proxy is nowhere; that its value can be read is what is looked at.
            assert proxy_for("https://graph.example", None, {name: value}) or bypasses_proxy(
                "10.1.2.3", 443, value
            )
            return
        else:
            value = known["AZURE_TENANT_ID" if name == "AUTHENTIK_ENTRA_TENANT_ID" else name]
        self.monkeypatch.setenv(name, value)

    def _certificate(self) -> str:
        """A certificate of the operator's, as the file that azure-identity reads."""
        pair = make_key_pair("operator", datetime.now(UTC), timedelta(days=30)).pem.reveal()
        _, begin, certificate = pair.partition("-----BEGIN CERTIFICATE-----")
        operator = self.shell.sandbox.operator
        app = self.tenant.find("application", lambda item: item["appId"] == operator.app_id)
        here = self.shell.sandbox.world.clock.now()
        ends = {"startDateTime": iso(here), "endDateTime": iso(here + timedelta(days=30))}
        kind = {"type": "AsymmetricX509Cert", "usage": "Verify"}
        app["keyCredentials"].append({"keyId": "operator", **kind, **ends})
        app["_certificates"]["operator"] = begin + certificate
        self.tenant.put("application", app["id"], app)
        path = self.folder / "operator.pem"
        path.write_text(pair, encoding="ascii")
        return str(path)

    def _in_bash(self, text: str) -> None:
        """What needs a shell, with the program in ``PATH``."""
        program = self.folder / "bin" / "authentik-entra"
        if not program.exists():
            program.parent.mkdir()
            code = "from authentik_entra_bootstrap.cli import main\nmain()\n"
            program.write_text(f"#!{sys.executable}\n{code}", encoding="utf-8")
            program.chmod(0o755)
        environment = {
            **os.environ,
            "HOME": str(self.folder),
            "PYTHONPATH": str(ROOT),
            "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
        }
        ran = subprocess.run(
            ["bash", "--norc", "-c", f"set -e\n{text}" if "case" not in text else text],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        self.shell.out, self.shell.err = ran.stdout, ran.stderr


# What stands before each block of a page: each step is run up to its next yield, then the block.


def _standing(stage: Stage) -> Iterator[None]:
    stage.bootstrap()
    yield


def _with_token(stage: Stage) -> Iterator[None]:
    stage.export("AUTHENTIK_TOKEN_FILE", "")
    yield


def _adopt(stage: Stage) -> Iterator[None]:
    when = iso(stage.shell.sandbox.world.clock.now() - timedelta(days=90))
    client = "0c0ffee0-1111-4222-8333-444455556666"
    made = application("0b1ec700-1111-4222-8333-444455556666", client, "By hand", "contoso.example", when)
    stage.tenant.put("application", made["id"], made)
    principal = service_principal(
        "0b1ec700-2222-4222-8333-444455556666", client, "By hand", stage.tenant.tenant_id, when
    )
    stage.tenant.put("servicePrincipal", principal["id"], principal)
    yield


def _consent(stage: Stage) -> Iterator[None]:
    some = ("Application.ReadWrite.OwnedBy", "Application.Read.All", "Directory.Read.All")
    operator_holds(stage.tenant, stage.shell.sandbox.operator, *some)
    for _ in range(3):
        yield
    # The administrator opens the address that the third block printed, and accepts.
    administrator = {"user": stage.shell.sandbox.operator.upn("admin")}
    trust = ssl.create_default_context(cafile=os.environ["AUTHENTIK_ENTRA_CA_FILE"])
    answer = httpx.post(stage.shell.out.strip(), data=administrator, verify=trust)
    assert "Permissions granted" in answer.text
    yield


def _several(stage: Stage) -> Iterator[None]:
    world = stage.shell.sandbox.world
    other = seed_tenant(world, display_name="Fabrikam (sandbox)", name="fabrikam")
    (block,) = [
        found
        for found in re.findall(
            r"```toml\n(.*?)```", (ROOT / "docs/how-to/several-connections.md").read_text("utf-8"), re.DOTALL
        )
        if "[defaults]" in found
    ]
    token = stage.folder / "token"
    token.write_text(stage.shell.sandbox.authentik.token, encoding="utf-8")
    text = block.replace("https://authentik.example.com", os.environ["AUTHENTIK_URL"])
    text = text.replace("/run/secrets/authentik-token", str(token))
    for example, operator in (
        ("11111111-2222-4333-8444-555555555555", stage.shell.sandbox.operator),
        ("22222222-3333-4444-8555-666666666666", other),
    ):
        secret = stage.folder / operator.tenant_id
        secret.write_text(operator.secret, encoding="utf-8")
        text = text.replace(
            f'tenant_id = "{example}"',
            f'tenant_id = "{operator.tenant_id}"\noperator_client_id = "{operator.app_id}"\n'
            f'operator_secret_file = "{secret}"',
        )
    (stage.folder / "authentik-entra.toml").write_text(text, encoding="utf-8")
    authentik = stage.shell.sandbox.authentik
    for name in ("Staff", "Partners"):
        authentik.state.models["authentik_core.group"].create({"name": name}, authentik.context())
    for name in ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"):
        stage.monkeypatch.delenv(name)
    yield


def _teardown(stage: Stage) -> Iterator[None]:
    stage.bootstrap()
    yield
    stage.start_anew()
    yield
    stage.start_anew()
    assert stage.shell.run("authentik-entra teardown --yes") == 0
    yield
    yield


SCENES: dict[str, Callable[[Stage], Iterator[None]]] = {
    "README.md": _with_token,
    "docs/how-to/bootstrap-a-real-tenant.md": _with_token,
    "docs/how-to/adopt.md": _adopt,
    "docs/how-to/consent.md": _consent,
    "docs/how-to/several-connections.md": _several,
    "docs/how-to/teardown.md": _teardown,
    "docs/explanation/proofs.md": _standing,
    "docs/how-to/monitoring.md": _standing,
    "docs/reference/errors.md": _standing,
}
AFTERWARDS: dict[str, Callable[[Stage], bool]] = {
    "docs/how-to/shell-completion.md": lambda stage: (
        (stage.folder / ".zfunc/_authentik-entra").read_text().startswith("#compdef authentik-entra")
        and "complete" in (stage.folder / ".config/fish/completions/authentik-entra.fish").read_text()
    ),
    "docs/reference/exit-codes.md": lambda stage: "look at the alarms" in stage.shell.out,
    "docs/how-to/bootstrap-a-real-tenant.md": lambda stage: (
        "AZURE_CLIENT_SECRET" not in os.environ
        and not [item for item in stage.tenant.all("application") if item.get("uniqueName")]
    ),
    "docs/how-to/several-connections.md": lambda stage: (
        len(list(stage.shell.sandbox.authentik.state.tables["provider"])) == 2
    ),
}
"""What must hold when the last block of a page was carried out."""


def _pages() -> list[str]:
    """Every page with blocks for a shell that no test of its own carries out."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    names = [page.relative_to(ROOT).as_posix() for page in pages if "```sh\n" in page.read_text("utf-8")]
    return sorted(set(names) - set(OWN_TESTS))


@pytest.mark.parametrize("page", _pages())
def test_the_blocks_of_a_page_do_what_it_says(
    page: str, library: Any, shell: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = [block for block in library.blocks(ROOT / page) if block.language == "sh"]
    if any(block.run == "bash" for block in blocks) and shutil.which("bash") is None:
        pytest.skip("bash is not on this machine")
    monkeypatch.chdir(tmp_path)
    # A person sits there and says yes.
    monkeypatch.setattr(click, "confirm", lambda *_, **__: True)
    monkeypatch.setattr(click, "prompt", lambda *_, default=None, **__: default)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / ".config"))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    stage = Stage(shell, tmp_path, monkeypatch)
    steps = SCENES.get(page, lambda _: iter(()))(stage)
    for block in blocks:
        next(steps, None)
        stage.carry_out(block)
    assert next(steps, "over") == "over"
    assert AFTERWARDS.get(page, lambda _: True)(stage)


def test_nothing_is_left_out_without_a_reason(library: Any) -> None:
    lines = {line for block in library.blocks() if block.language == "sh" for line in block.text.splitlines()}
    assert set(ELSEWHERE) <= lines, "no page has this line any more"
    assert all((ROOT / name).exists() for name in ELSEWHERE.values())
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert {line.split()[1] for line in lines if line.startswith("make ")} <= targets
    for page, test in OWN_TESTS.items():
        assert (ROOT / page).exists()
        file, _, name = test.partition("::")
        assert f"def {name}(" in (Path(__file__).parent / file).read_text("utf-8")
