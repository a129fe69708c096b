"""What a process of the command line leaves out of the libraries that it imports.

A quarter of a command's CPU time otherwise. Only for a process of our own: where the commands run inside another program,
libraries are what that program expects.
"""

from __future__ import annotations

import gc
import os
import sys

_PARTS = ("h2", "httpx._main")
"""HTTP/2, which nothing here speaks, for httpcore; the command that httpx is, with pygments. Both catch the
``ImportError`` that a ``None`` in the table of modules makes, as they do where these extras are not installed."""
_COLLECT_AFTER = 200_000
"""Objects made and kept between two collections. Python's 700 has it look through what imports make two hundred times
(0.08 s) and find nothing."""


def leave_out() -> None:
    """Do so, for the rest of the process; what is imported already stays."""
    gc.set_threshold(_COLLECT_AFTER, 20, 100)
    for name in _PARTS:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # what the language says for "not to be found"
    # pydantic asks every installed package whether it is a plugin of pydantic's.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")


def end_at_once() -> None:
    """Let the interpreter's last collections find nothing to look through (0.1 s); the process ends with it all."""
    gc.freeze()
