"""``explain`` prints the entry of every error code."""

from __future__ import annotations

import pytest

from authentik_entra_bootstrap.cli import run
from authentik_entra_bootstrap.cli.help import entries


def test_an_error_code_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "confirmation-needed"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("confirmation-needed\n\nExit code ")
    assert "Do: " in said
    assert "](" not in said


def test_a_code_with_a_part_that_is_filled_in_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "authentik-slug-taken"]) == 0
    assert capsys.readouterr().out.startswith("authentik-slug-taken\n")


def test_every_entry_has_a_text() -> None:
    assert len(entries()) > 100
    assert [code for code, text in entries().items() if not text.startswith("Exit code ")] == []


def test_an_unknown_code_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "confirmation-neded"]) == 3
    assert "Did you mean `authentik-entra explain confirmation-needed`?" in capsys.readouterr().err
