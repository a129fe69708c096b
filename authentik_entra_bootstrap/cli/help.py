"""``authentik-entra explain`` and ``authentik-entra completion``: help that asks no service."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import click

from authentik_entra_bootstrap.cli.runner import terminal_of_caller
from authentik_entra_bootstrap.errors import ConfigError, ExitCode, did_you_mean

_PAGE = "docs/reference/errors.md"
_ENTRY = re.compile(r"^### (?P<code>\S+)\n+(?P<text>.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
_NUMBER = re.compile(
    r"^\| (?P<numbers>\d[\d, ]*) \| \[(?P<operator>[\w-]+)\]\S* \| (?:\[(?P<sync>[\w-]+)\]|the same)",
    re.MULTILINE,
)
"""A row of the page's table of AADSTS numbers."""
_ALARM = re.compile(r"^\| `(?P<code>[\w-]+)` \| (?P<when>[^|]+) \| (?P<do>[^|]+) \|$", re.MULTILINE)
"""A row of the page's table of alarms."""
_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")
_PROGRAMS = ("authentik-entra", "authentik-entra-bootstrap")


def _page() -> str:
    """The page of errors: in the wheel; in a checkout the repository's."""
    packaged = files("authentik_entra_bootstrap") / "output" / "errors.md"
    page = packaged if packaged.is_file() else Path(__file__).resolve().parents[2] / _PAGE
    return page.read_text(encoding="utf-8")


def entries() -> Mapping[str, str]:
    """Every error code with its entry on the page of errors, as plain text."""
    return {
        found["code"]: _LINK.sub(r"\1", found["text"]).replace("**Do:**", "Do:").strip()
        for found in _ENTRY.finditer(_page())
    }


def alarms() -> Mapping[str, str]:
    """Every alarm of ``status`` with its row on the page of errors, as plain text."""
    return {
        found["code"]: _LINK.sub(r"\1", f"An alarm of `status`: {found['when']}. Do: {found['do']}.")
        for found in _ALARM.finditer(_page())
    }


def sign_in_numbers() -> Mapping[str, tuple[str, str]]:
    """Number behind AADSTS -> its error codes when the operator signs in, and when the sync identity does."""
    return {
        number: (found["operator"], found["sync"] or found["operator"])
        for found in _NUMBER.finditer(_page())
        for number in found["numbers"].split(", ")
    }


def _complete(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    return [code for code in {**alarms(), **entries()} if code.startswith(incomplete)]


def _tell(text: str) -> None:
    """Print paragraphs: lines that the page breaks at its own width wrap at the terminal's."""
    terminal = terminal_of_caller()
    for paragraph in text.split("\n\n"):
        lines = paragraph
        if not paragraph.startswith(("|", "-", "```")):
            one = paragraph.replace("\n", " ")
            lines = re.sub(r"^(Exit code \d+\.) | (?=Do: )", "\\1\n", one)
        for line in lines.splitlines():
            terminal.say(line)
        terminal.say()


@click.command()
@click.argument("code", shell_complete=_complete)
def explain(code: str) -> int:
    """Print what an error code or an alarm means and what to do about it.

    CODE is in brackets after an error's message, or an alarm of `status`. Entra ID's own codes, like AADSTS7000215, are explained, too.
    """
    known = {**alarms(), **entries()}
    numbers = sign_in_numbers()
    if codes := numbers.get(code.upper().removeprefix("AADSTS")):
        who = ("the operator", "the sync identity") if codes[0] != codes[1] else ("any identity",)
        parts = [f"When {name} signs in: {it}\n\n{known[it]}" for name, it in zip(who, codes, strict=False)]
        _tell("\n\n".join([code, *parts]))
        return ExitCode.DONE
    for name, text in known.items():
        # A part in capitals is filled in when the error happens.
        if re.fullmatch(re.sub(r"[A-Z]+", r"[\\w-]+", name), code):
            _tell(f"{code}\n\n{text}")
            return ExitCode.DONE
    nearest = did_you_mean(
        code, [*known, *(f"AADSTS{number}" for number in numbers)], "`authentik-entra explain {}`"
    )
    raise ConfigError(
        "error-code-unknown",
        f"There is no error code {code!r}.",
        nearest or "Copy the code in brackets after an error's message.",
    )


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> int:
    """Print a script with which your shell completes commands, options and names of connections.

    The script calls this program at every completion, which reads the settings file and sends no request.
    bash from 4.4 on.
    """
    from click.shell_completion import get_completion_class

    root = ctx.find_root()
    name = root.info_name if root.info_name in _PROGRAMS else _PROGRAMS[0]
    kind = get_completion_class(shell)
    assert kind is not None  # click has all three
    click.echo(kind(root.command, {}, name, f"_{name}_complete".replace("-", "_").upper()).source())
    return ExitCode.DONE
