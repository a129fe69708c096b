"""All or nothing: taking back what happened to the tables."""

from __future__ import annotations

import copy
from typing import Any

from authentik_entra_bootstrap.sandbox.authentik.state import State

APPEND_ONLY = frozenset({"task", "event"})
"""Tables whose rows a blueprint adds to but never changes: no copies are needed to take it back."""


class Transaction:
    """The tables as they are when this is made.

    Rows are restored in place: whoever holds one (the user of the running request) keeps a valid row.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._rows: dict[str, list[tuple[Any, dict[str, Any], dict[str, Any] | None]]] = {}
        for name, table in state.tables.items():
            kept = name in APPEND_ONLY
            self._rows[name] = [
                (key, row, None if kept else copy.deepcopy(row)) for key, row in table.rows.items()
            ]
        self._cache = dict(state.application_cache)

    def roll_back(self) -> None:
        """Make everything as it was. Numbers that sequences gave out stay used, as in a database."""
        for name, rows in self._rows.items():
            table = self._state.tables[name]
            table.rows.clear()
            for key, row, before in rows:
                if before is not None:
                    row.clear()
                    row.update(before)
                table.rows[key] = row
        self._state.application_cache.clear()
        self._state.application_cache.update(self._cache)
        forget = getattr(self._state.worker, "rolled_back", None)
        if forget is not None:
            forget()
