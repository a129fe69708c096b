"""Kinds of settings that people write in words: spans of time, windows, lists."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from authentik_entra_bootstrap.config.windows import maintenance_window
from authentik_entra_bootstrap.domain import MaintenanceWindow

_DURATION = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(s|m|h|d|w)\s*$", re.IGNORECASE)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def duration(value: object) -> timedelta:
    """A span of time: a number with ``s``, ``m``, ``h``, ``d`` or ``w``.

    :raises ValueError: for anything else.
    """
    if isinstance(value, str) and (match := _DURATION.match(value)):
        try:
            return timedelta(seconds=float(match[1]) * _SECONDS[match[2].lower()])
        except OverflowError:
            raise ValueError("longer than any calendar") from None
    if isinstance(value, timedelta):
        return value
    raise ValueError('a duration like "180d", "2w" or "12h" is wanted')


def _window(value: object) -> object:
    return maintenance_window(value) if isinstance(value, str) else value


def _list(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _path(value: Path) -> Path:
    if "\x00" in str(value):
        raise ValueError("a path without NUL characters is wanted")
    return value


FilePath = Annotated[Path, AfterValidator(_path)]
Duration = Annotated[timedelta, BeforeValidator(duration)]
Window = Annotated[MaintenanceWindow, BeforeValidator(_window)]
Names = Annotated[list[str], BeforeValidator(_list)]
