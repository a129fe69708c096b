"""``authentik-entra explain`` and ``authentik-entra completion``: help that asks no service."""

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
_PROGRAMS = ("authentik-entra", "authentik-entra-bootstrap")


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


def _complete(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    return [code for code in entries() if code.startswith(incomplete)]


@click.command()
@click.argument("code", shell_complete=_complete)
def explain(code: str) -> int:
    """Print what an error code means and what to do about it."""
    known = entries()
    for name, text in known.items():
        # A part in capitals is filled in when the error happens.
        if re.fullmatch(re.sub(r"[A-Z]+", r"[\\w-]+", name), code):
            click.echo(f"{code}\n\n{text}")
            return ExitCode.DONE
    import difflib

    near = difflib.get_close_matches(code, known, n=1)
    raise ConfigError(
        "error-code-unknown",
        f"There is no error code {code!r}.",
        f"Did you mean `authentik-entra explain {near[0]}`?"
        if near
        else "Copy the code that stands in brackets.",
    )


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> int:
    """Print the script with which a shell completes commands, options and the names of connections.

    The script calls this program at every completion; it reads the settings file and asks nobody else.
    bash from 4.4 on.
    """
    from click.shell_completion import get_completion_class

    root = ctx.find_root()
    name = root.info_name if root.info_name in _PROGRAMS else _PROGRAMS[0]
    kind = get_completion_class(shell)
    assert kind is not None  # click has all three
    click.echo(kind(root.command, {}, name, f"_{name}_complete".replace("-", "_").upper()).source())
    return ExitCode.DONE
