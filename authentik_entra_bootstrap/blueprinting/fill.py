"""Filling in a blueprint's ``context:``, with everything else in the file left as it is."""

from __future__ import annotations

import re
from collections.abc import Mapping

from authentik_entra_bootstrap.blueprinting.yaml_tags import dump, load

_CONTEXT = re.compile(r"^context:[^\n]*\n(?:[ \t#][^\n]*\n|\n)*", re.MULTILINE)
_ENTRIES = re.compile(r"^entries:", re.MULTILINE)


def filled(text: str, values: Mapping[str, object]) -> str:
    """The blueprint with these values in its context; they win over those that stand there.

    A value does not become part of an entry, so authentik's log lines, which show refused entries, do not show it.

    :param values: by name; those that are ``None`` are left out.
    :raises ConfigError: ``blueprint-unreadable``.
    """
    given = {name: value for name, value in values.items() if value is not None}
    if not given:
        return text
    before = load(text).get("context") or {}
    block = dump({"context": {**before, **given}})
    found = _CONTEXT.search(text)
    if found is not None:
        return text[: found.start()] + block + text[found.end() :]
    at = _ENTRIES.search(text)
    return text + block if at is None else text[: at.start()] + block + text[at.start() :]
