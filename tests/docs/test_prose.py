"""The check of pages, docstrings and messages finds what it should, and everything in this repository passes it."""

from __future__ import annotations

import importlib

import pytest


@pytest.fixture
def prose(library, monkeypatch):
    monkeypatch.syspath_prepend(library.root / "docs")
    return importlib.import_module("prose_check")


def _reasons(prose, text: str) -> list[str]:
    return [finding.why for finding in prose.text_findings("page", text)]


def test_a_sentence_has_at_most_thirty_words(prose):
    thirty = " ".join(["Word"] * 30)
    assert _reasons(prose, f"{thirty}. {thirty}.") == []
    (reason,) = _reasons(prose, f"{thirty}. {thirty} more.")
    assert reason.startswith("31 words: ")


def test_a_word_of_the_list_is_found_with_the_better_one(prose):
    (reason,) = _reasons(prose, "Press the Tabulator key.")
    assert reason.startswith('"Tabulator", better: Tab')
    assert _reasons(prose, "Only then does it report success.") == []
    assert len(_reasons(prose, "Only then it reports success.")) == 1


@pytest.mark.parametrize(
    "riddle",
    [
        "Remove what nobody uses.",
        "It is left alone.",
        "Tasks are told apart.",
        "The wait goes on.",
        "A file in the place of a secret.",
    ],
)
def test_a_riddle_is_found(prose, riddle):
    assert len(_reasons(prose, riddle)) == 1


def test_lists_code_and_fields_are_no_long_sentences(prose):
    names = ", ".join(f"the application {number}" for number in range(20))
    fields = "".join(f"    :param name{number}: one of many fields\n" for number in range(10))
    for text in (f"It creates these objects: {names}.", f"Run `{names}` now.", f"Summary.\n\n{fields}"):
        assert _reasons(prose, text) == []
    assert len(_reasons(prose, f"It creates {names}.")) == 1


def test_docstrings_and_messages_are_read_and_a_table_s_docstrings_only(prose, monkeypatch, tmp_path):
    monkeypatch.setattr(prose, "ROOT", tmp_path)
    module = tmp_path / "module.py"
    module.write_text('"""Waits a moment in vain."""\nTEXT = f"{1} waits here in vain"\n', encoding="utf-8")
    assert [finding.place for finding in prose.module_findings(module)] == ["module.py:1", "module.py:2"]
    monkeypatch.setattr(prose, "TABLES", {"module.py"})
    assert [finding.place for finding in prose.module_findings(module)] == ["module.py:1"]


def test_pages_and_modules_pass(prose, library):
    assert all((library.root / name).is_file() for name in prose.TABLES)
    assert list(prose.findings()) == []
