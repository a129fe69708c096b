"""Generated pages are up to date, and the scan behind the list of errors sees every error."""

from __future__ import annotations

import re
import sys

import pytest

from authentik_entra_bootstrap import errors
from authentik_entra_bootstrap.config.worker import WorkerSettings
from authentik_entra_bootstrap.errors import ExitCode
from authentik_entra_bootstrap.rotation.decide import State
from authentik_entra_bootstrap.rotation.phases import PROTOCOL, Phase


def test_generated_pages_are_up_to_date(generator):
    stale = [
        path.name
        for path, text in generator.pages().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    assert stale == [], "run `make docs`"


def test_the_manual_page_has_everything_and_is_roff(generator):
    page = generator.manual()
    plain = page.replace("\\-", "-")
    for name, command in generator.commands():
        for parameter in command.params:
            assert max(parameter.opts, key=len) in plain or parameter.name in {"shell", "flavour"}, (
                name,
                parameter.name,
            )
        assert f".B {name}\n" in plain or command is generator.cli
    for key in generator.setting_names():
        assert all(variable in plain for variable in generator._variables(key))
    for code in ExitCode:
        assert f".B {int(code)}\n" in plain
    macros = {line.split(" ")[0] for line in page.splitlines() if line.startswith(".")}
    assert macros == {'.\\"', ".TH", ".nh", ".SH", ".SS", ".PP", ".TP", ".B", ".br"}
    assert not [line for line in page.splitlines() if not line or line.startswith("'")]
    # Whatever begins with a backslash is one of roff's own escapes.
    assert set(re.findall(r"\\.", page)) <= {"\\-", "\\(", "\\&", "\\e", '\\"'}


def test_a_setting_an_exit_code_or_an_error_without_an_entry_is_noticed_and_the_reverse(
    generator, monkeypatch
):
    assert list(generator.MEANINGS) == generator.setting_names()
    assert list(generator.WORKER_MEANINGS) == list(WorkerSettings.model_fields)
    assert set(generator.EXIT_CODES) == set(ExitCode)
    page = (generator.REFERENCE / "errors.md").read_text(encoding="utf-8")
    with pytest.raises(LookupError, match=r"stale \['made-up'\]"):
        generator.errors_page(page + "\n### made-up\n\nNobody raises it.\n")
    codes = generator.error_scan.error_codes()
    monkeypatch.setattr(generator.error_scan, "error_codes", lambda: {**codes, "made-up": frozenset({1})})
    with pytest.raises(LookupError, match=r"missing \['made-up'\]"):
        generator.errors_page(page)


@pytest.mark.parametrize(
    ("source", "code", "kind"),
    [
        ('raise Denied("plain-code", "…")', "plain-code", errors.Denied),
        ('raise ConfigError(code="named-code", message="…")', "named-code", errors.ConfigError),
        ('raise AlreadyExists(f"kind-{x}-taken", "…")', "kind-FIELD-taken", errors.AlreadyExists),
        ('waiter.until(probe, what="…", code="waited-code")', "waited-code", errors.ReplicationTimeout),
    ],
)
def test_the_scan_finds_codes_however_they_are_given(generator, tmp_path, source, code, kind):
    module = tmp_path / "module.py"
    module.write_text(source, encoding="utf-8")
    assert list(generator.error_scan.codes_of(module)) == [(code, kind)]


def test_the_scan_refuses_a_code_that_it_cannot_tell(generator, tmp_path, monkeypatch):
    module = tmp_path / "module.py"
    module.write_text('raise Denied(make_up(), "…")', encoding="utf-8")
    monkeypatch.setattr(generator.error_scan, "PACKAGE", tmp_path)
    with pytest.raises(LookupError, match=r"module\.py:1"):
        list(generator.error_scan.codes_of(module))


def test_the_list_of_errors_holds_those_of_every_part(generator):
    codes = generator.error_scan.error_codes()
    for code in (
        "another-run-active",
        "setting-invalid",
        "wrong-tenant",
        "licence-required",
        "secret-not-accepted-yet",
        "port-in-use",
    ):
        assert code in codes
    assert codes["verification-failed"] == {6}
    assert len(codes) > 90


def test_the_picture_of_the_rotation_is_up_to_date_and_shows_everything(library):
    sys.path.insert(0, str(library.root / "docs"))
    try:
        import rotation_picture
    finally:
        sys.path.pop(0)
    drawn = (library.root / "docs" / "explanation" / "rotation.svg").read_text(encoding="utf-8")
    assert drawn == rotation_picture.rotation_svg(), "run `make docs`"
    shown = set(re.findall(r">([^<]+)</text>", drawn))
    for name in [*State, *(phase for phase in Phase if phase is not Phase.END)]:
        assert name.value in shown
    assert set(rotation_picture.DECIDED) == set(State)
    arrows = [kind for kind in re.findall(r"url\(#([a-z]+)\)", drawn) if kind != "entry"]
    wanted = [came.value for phase, came in PROTOCOL if phase not in rotation_picture.SIDE]
    assert sorted(arrows) == sorted(wanted)


def test_the_page_about_the_rotation_names_every_mutation_and_family(library):
    page = (library.root / "docs" / "explanation" / "rotation.md").read_text(encoding="utf-8")
    source = (library.root / "tests" / "protocol" / "test_mutations.py").read_text(encoding="utf-8")
    names = re.findall(r'^    "([^"]+)": Mutation\(', source, flags=re.MULTILINE)
    assert len(names) >= 20
    assert re.findall(r"^\| ([^|]+) \| I\d \| [\d,]+ \|$", page, flags=re.MULTILINE) == names
