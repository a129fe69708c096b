"""What the pages say about each other and about the program's surface."""

from __future__ import annotations

import ast
import posixpath
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from authentik_entra_bootstrap.cli.runner import SANDBOX as SANDBOX_VARIABLE
from authentik_entra_bootstrap.config import ENV_PREFIX, SettingsFile, load_settings, load_worker_settings
from authentik_entra_bootstrap.config.connection import ConnectionSettings
from authentik_entra_bootstrap.config.worker import WorkerSettings
from authentik_entra_bootstrap.support.logs import FORMAT_VARIABLE

_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in _HEADING.findall(text)}


def test_every_link_leads_somewhere(library):
    broken = []
    for page in library.pages:
        for link in _LINK.findall(_FENCE.sub("", page.read_text(encoding="utf-8"))):
            if link.startswith("https://"):
                continue
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            if not target.is_file() or (anchor and anchor not in _anchors(target)):
                broken.append(f"{page.relative_to(library.root)}: {link}")
    assert broken == []


def test_every_page_is_on_the_list_of_all_pages(library):
    docs = library.root / "docs"
    linked = {docs / link for link in _LINK.findall((docs / "README.md").read_text(encoding="utf-8"))}
    pages = {page for page in library.pages if "docs" in page.parts} - {docs / "README.md"}
    assert len(pages) > 10
    assert pages == linked
    assert "docs/README.md" in _LINK.findall((library.root / "README.md").read_text(encoding="utf-8"))


def test_addresses_of_errors_that_the_program_prints_exist(library, generator):
    anchors = _anchors(library.root / "docs" / "reference" / "errors.md")
    assert {code.lower() for code in generator.error_scan.error_codes()} <= anchors


def test_every_block_says_its_language(library):
    assert {block.language for block in library.blocks()} <= {"sh", "toml", "python", "text"}


def test_every_settings_file_on_a_page_is_valid(library):
    files = [block for block in library.blocks() if block.language == "toml"]
    assert len(files) >= 3
    for block in files:
        file = SettingsFile(block.page, block.text)
        for name in file.connections:
            load_settings(file, connection=name, environment={}).desired()
        load_worker_settings(file, {})


def test_every_variable_on_a_page_is_read(library):
    known = {f"{ENV_PREFIX}{name.upper()}" for name in ConnectionSettings.model_fields if name != "name"}
    known |= {f"{ENV_PREFIX}{name.upper()}" for name in WorkerSettings.model_fields}
    known |= {f"{ENV_PREFIX}CONFIG", ENV_PREFIX}
    for page in library.pages:
        named = set(re.findall(rf"{ENV_PREFIX}[A-Z_]*", page.read_text(encoding="utf-8")))
        assert named - {FORMAT_VARIABLE, SANDBOX_VARIABLE} <= known, page


def test_the_readme_is_short(library):
    text = (library.root / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120
    (shown,) = (block for block in library.blocks(library.root / "README.md") if block.language == "text")
    assert 10 < len(shown.text.splitlines()) <= 25


def test_architecture_has_the_layers_that_are_checked(library):
    project = tomllib.loads((library.root / "pyproject.toml").read_text(encoding="utf-8"))
    contract = project["tool"]["importlinter"]["contracts"][0]
    layers = [[name.strip() for name in re.split("[|:]", layer)] for layer in contract["layers"]]
    rows = library.table(library.root / "docs" / "architecture.md", "<!-- layers -->")
    assert [re.findall(r"[\w.]+", row[1]) for row in rows] == layers


def test_architecture_answers_with_files_that_exist(library):
    rows = library.table(library.root / "docs" / "architecture.md", "<!-- answers -->")
    named = [re.findall(r"[\w/]+\.py", row[1]) for row in rows]
    assert len(named) == 10
    assert all(named)
    package = library.root / "authentik_entra_bootstrap"
    assert [name for names in named for name in names if not (package / name).is_file()] == []


def test_architecture_shows_tags_as_they_are_written(library):
    from datetime import UTC, datetime

    from authentik_entra_bootstrap.domain import KeyId
    from authentik_entra_bootstrap.domain.application_tags import (
        ApplicationTags,
        Delivered,
        Previous,
        read_tags,
        secret_display_name,
    )

    key = KeyId("KEY_ID")
    moment = datetime(2026, 1, 31, 12, tzinfo=UTC)
    wanted = {
        tag
        for pending in (Delivered(key), Delivered(key, "REQUEST_ID"))
        for tag in ApplicationTags(
            "NAME", pending, Delivered(key, "REQUEST_ID"), (Previous(key, moment),), adopted="DAY"
        ).texts()
    }
    page = library.root / "docs" / "architecture.md"
    rows = library.table(page, "**Tags of the application**, in this form:")
    assert {row[0] for row in rows} == wanted
    assert read_tags(tuple(wanted)).foreign == ()
    assert f"`{secret_display_name('NAME', 'ROTATION_ID')}`" in page.read_text(encoding="utf-8")


def test_sandbox_page_lists_kinds_and_fields_of_faults(library):
    from dataclasses import fields

    from authentik_entra_bootstrap.sandbox.faults import KINDS, Fault

    page = library.root / "docs" / "reference" / "sandbox.md"
    assert {row[0] for row in library.table(page, "## Faults")} == set(KINDS) - {"call"}
    text = page.read_text(encoding="utf-8").split("| field | default | meaning |", 1)[1].split("## ", 1)[0]
    named = set(
        re.findall(r"`(\w+)`", " ".join(line.split("|")[1] for line in text.splitlines() if "|" in line))
    )
    assert named == {item.name for item in fields(Fault) if item.init} - {"call"}


def test_sandbox_page_lists_every_address_of_the_control_api(library):
    from authentik_entra_bootstrap.sandbox.control import Control
    from authentik_entra_bootstrap.sandbox.world import World

    text = (library.root / "docs" / "reference" / "sandbox.md").read_text(encoding="utf-8")
    for route in Control(World(), dict).router().routes:
        assert f"/_sandbox{route.path.replace('{name}', 'NAME')}`" in text, route.path


def _said(folder: Path, *, without: str = "") -> str:
    """Every text in the source below a folder, what is filled in left out."""
    texts = []
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse("" if without in path.parts else path.read_text(encoding="utf-8"))):
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            said = [part.value if isinstance(part, ast.Constant) else "…" for part in parts]
            texts.append("".join(map(str, said)))
    return "\n".join(texts)


def test_the_page_of_errors_quotes_what_is_said(library):
    page = library.root / "docs" / "reference" / "errors.md"
    package = library.root / "authentik_entra_bootstrap"
    places = {
        "<!-- ours -->": _said(package, without="sandbox"),
        "<!-- authentik -->": _said(package / "sandbox" / "authentik"),
        "<!-- graph -->": _said(package / "sandbox" / "microsoft"),
    }
    assert all(len(library.table(page, above)) >= 6 for above in places)
    unsaid = [
        row[0] for above, said in places.items() for row in library.table(page, above) if row[0] not in said
    ]
    assert unsaid == []


def test_every_page_is_in_the_site_s_menu_and_its_links_lead_somewhere(library, monkeypatch):
    monkeypatch.syspath_prepend(library.root / "docs")
    import site_sources

    texts = site_sources.sources()
    files = {*texts, *map(site_sources.place, (*site_sources.OTHERS, *site_sources.PICTURES))}
    assert len(texts) == len(library.pages)
    for page, text in texts.items():
        for link in _LINK.findall(_FENCE.sub("", text)):
            path = link.partition("#")[0]
            if path and "://" not in path:
                assert posixpath.normpath(posixpath.join(posixpath.dirname(page), path)) in files, (
                    page,
                    link,
                )
    monkeypatch.setitem(site_sources.SECTIONS, "Tutorial", ())
    with pytest.raises(LookupError, match="first-run"):
        site_sources.sources()


def test_no_machine_paths_and_no_package_hosts_in_tracked_files(library):
    # Put together here, so that this file does not hold them itself.
    hosts = ["py" + "pi.", "python" + "hosted", "npm" + "js."]
    wrong = "|".join(
        [r"(^|[^[:alnum:]_./])/" + r"(home|Users|work|tmp)/[[:alnum:]_]", *map(re.escape, hosts)]
    )
    found = subprocess.run(
        ["git", "grep", "-nIE", wrong],
        cwd=library.root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.returncode, found.stdout) == (1, "")
