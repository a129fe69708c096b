"""Errors by their codes."""

from __future__ import annotations

from collections.abc import Mapping

from authentik_entra_bootstrap.entra.code_table import ROWS, CodeRow
from authentik_entra_bootstrap.errors import BootstrapError, RequestTrace

CODES: Mapping[str, CodeRow] = {row.code: row for row in ROWS}
"""Code -> row."""


class _Blanks(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "?"


def fault(
    code: str,
    /,
    *,
    trace: RequestTrace | None = None,
    facts: Mapping[str, str] | None = None,
    **words: object,
) -> BootstrapError:
    """The error of a code, its texts filled with ``words``.

    :param facts: machine-readable facts for JSON output; never secrets.
    :raises KeyError: for a code that is not in the table.
    """
    row = CODES[code]
    blanks = _Blanks({name: _clean(value) for name, value in words.items()})
    return row.kind(
        row.code,
        _filled(row.message, blanks),
        _filled(row.remedy, blanks),
        trace=trace,
        facts=dict(facts or {}),
    )


def _clean(value: object) -> str:
    # Service texts may span lines and hold control characters; they end up in one line of output.
    text = " ".join(str(value).split())
    return "".join(char for char in text if char.isprintable())[:600]


def _filled(template: str, words: _Blanks) -> str:
    return template.format_map(words)
