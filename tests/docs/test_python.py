"""The pages' Python does what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
import yaml

from authentik_entra_bootstrap.workflows import metrics


def _script(library, page: str) -> str:
    (block,) = [block for block in library.blocks(library.root / page) if block.language == "python"]
    return block.text


def test_the_page_of_the_python_api_runs(library, shell):
    result = subprocess.run(
        [sys.executable, "-c", _script(library, "docs/reference/python-api.md")],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "AUTHENTIK_ENTRA_LEASE_URL": "none", "PYTHONPATH": str(library.root)},
    )
    assert result.returncode == 0, result.stderr
    said = result.stdout.splitlines()
    assert said[0] == "11 changes"
    assert said[2].startswith("rotated: False next run:")
    assert said[3].startswith("current ")
    assert len(said) == 4


def test_the_page_of_the_python_api_has_every_public_name(library):
    import authentik_entra_bootstrap as package

    text = (library.root / "docs/reference/python-api.md").read_text(encoding="utf-8")
    assert all(name in text for name in package.__all__ if name != "__version__")
    assert set(dir(package)) == set(package.__all__)
    with pytest.raises(AttributeError):
        _ = package.nothing_of_the_kind
    # The function, although a module has the same name.
    import authentik_entra_bootstrap.planning.plan

    assert callable(package.plan)


def test_importing_the_package_imports_nothing_heavy(library):
    script = (
        "import sys, authentik_entra_bootstrap as a; a.__version__; a.Temporary\n"
        "print([m for m in ('httpx', 'pydantic', 'msgraph', 'azure', 'rich', 'click') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=library.root
    )
    assert result.stdout.strip() == "[]"


def test_the_page_of_monitoring_runs_and_its_rules_name_metrics_that_exist(library):
    pytest.importorskip("prometheus_client")
    page = "docs/how-to/monitoring.md"
    environment = {name: value for name, value in os.environ.items() if name != metrics.FOLDER}
    subprocess.run(
        [sys.executable, "-c", _script(library, page)],
        check=True,
        timeout=300,
        env=environment,
        cwd=library.root,
    )
    (rules,) = [block for block in library.blocks(library.root / page) if block.text.startswith("groups:")]
    alerts = yaml.safe_load(rules.text)["groups"][0]["rules"]
    pairs = (
        metrics.EXPIRY,
        metrics.RENEW,
        metrics.ROTATION,
        metrics.PROOF,
        metrics.CREDENTIALS,
        metrics.HEALTHY,
        metrics.FAILURES,
    )
    known = {name for name, _ in (*pairs, metrics.STEPS)}
    used = {name for alert in alerts for name in re.findall(r"authentik_entra_\w+", alert["expr"])}
    assert len(alerts) == 6
    assert used <= known
    text = (library.root / page).read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in known)
