"""``authentik-entra explain``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import click

from authentik_entra_bootstrap.errors import ConfigError, ExitCode

_PAGE = "docs/reference/errors.md"
_ENTRY = re.compile(r"^### (?P<code>\S+)\n+(?P<text>.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")


def _complete(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    return [code for code in entries() if code.startswith(incomplete)]


@click.command()
@click.argument("code", shell_complete=_complete)
def command(code: str) -> int:
    """Print what an error code means and what to do about it."""
    click.echo(f"{code}\n\n{explanation(code)}")
    return ExitCode.DONE


def entries() -> Mapping[str, str]:
    """Every error code with its entry on the page of errors, as plain text.

    The page is in the wheel; in a checkout it is the repository's.
    """
    packaged = files("authentik_entra_bootstrap") / "output" / "errors.md"
    page = packaged if packaged.is_file() else Path(__file__).resolve().parents[2] / _PAGE
    return {
        found["code"]: _LINK.sub(r"\1", found["text"]).replace("**Do:**", "Do:").strip()
        for found in _ENTRY.finditer(page.read_text(encoding="utf-8"))
    }


def explanation(code: str) -> str:
    """The entry of one code.

    :raises ConfigError: ``error-code-unknown``.
    """
    import difflib

    known = entries()
    for name, text in known.items():
        # A part in capitals is filled in when the error happens.
        if re.fullmatch(re.sub(r"[A-Z]+", r"[\\w-]+", name), code):
            return text
    near = difflib.get_close_matches(code, known, n=1)
    raise ConfigError(
        "error-code-unknown",
        f"There is no error code {code!r}.",
        f"Did you mean `authentik-entra explain {near[0]}`?"
        if near
        else "Copy the code that stands in brackets.",
    )
