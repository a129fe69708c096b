"""The manual page, made from the commands, the settings and the exit codes; see man-pages(7) for its parts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

import click

from authentik_entra_bootstrap._version import __version__

FILES = {
    "authentik-entra.toml": "Settings of one or several connections, in the working directory, or where --config or "
    "AUTHENTIK_ENTRA_CONFIG say. It holds no secrets."
}
SEE_ALSO = "The errors by code, and the guides, are in the documentation that comes with the source."


def manual(
    commands: Iterable[tuple[str, click.Command]],
    variables: Mapping[str, str],
    exit_codes: Mapping[int, str],
) -> str:
    """The page of section 1, as roff for ``man``.

    :param commands: name as typed and command, the program itself first.
    :param variables: environment variable to meaning, in Markdown.
    :param exit_codes: code to meaning, in Markdown.
    """
    (program, root), *rest = commands
    about = _sentences(root)
    name = program.upper()
    lines = [
        '.\\" Made by docs/generate.py; changes belong into the program.',
        f'.TH "{name}" 1 "" "{program} {__version__}" "User Commands"',
        ".nh",
        ".SH NAME",
        _text(f"{program} - {about[0].rstrip('.')[0].lower()}{about[0].rstrip('.')[1:]}"),
        ".SH SYNOPSIS",
        "\n.br\n".join(_synopsis(typed, command) for typed, command in rest),
        ".SH DESCRIPTION",
        *_paragraphs(about),
        ".SH OPTIONS",
        *_options(root),
        ".SH COMMANDS",
    ]
    for typed, command in rest:
        lines += [f".SS {_text(typed.removeprefix(f'{program} '))}", *_paragraphs(_sentences(command))]
        lines += _options(command)
    lines += [".SH EXIT STATUS", *_list({str(code): text for code, text in exit_codes.items()})]
    lines += [".SH ENVIRONMENT", *_list(variables)]
    lines += [".SH FILES", *_list(FILES), ".SH SEE ALSO", _text(SEE_ALSO)]
    return "\n".join(lines) + "\n"


def _synopsis(typed: str, command: click.Command) -> str:
    pieces = " ".join(command.collect_usage_pieces(click.Context(command, info_name=typed)))
    return f".B {_text(typed)}\n{_text(pieces)}"


def _sentences(command: click.Command) -> list[str]:
    """The paragraphs of the help text, each on one line."""
    return [" ".join(part.split()) for part in (command.help or "").split("\n\n")]


def _paragraphs(texts: Iterable[str]) -> Iterator[str]:
    for number, text in enumerate(texts):
        yield from ([".PP"] if number else [])
        yield _text(text)


def _options(command: click.Command) -> Iterator[str]:
    context = click.Context(command, help_option_names=["-h", "--help"])
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and isinstance(parameter, click.Option):
            yield from (".TP", f".B {_text(record[0])}", _text(record[1]))


def _list(entries: Mapping[str, str]) -> Iterator[str]:
    for name, text in entries.items():
        yield from (".TP", f".B {_text(name)}", _text(text))


def _text(text: str) -> str:
    """Plain text for roff: Markdown's marks taken off, signs that roff reads itself escaped."""
    text = re.sub(r"\[([^]]*)\]\([^)]*\.md[^)]*\)", r"\1", text).replace("`", "")
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("…", "...")
    return re.sub(r"^\.", r"\\&.", text)
