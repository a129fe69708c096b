"""Kinds of values that settings hold: spans, windows, names, addresses, and files with one line of text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

from authentik_entra_bootstrap.domain import MaintenanceWindow
from authentik_entra_bootstrap.domain.times import read_span, read_window
from authentik_entra_bootstrap.errors import ConfigError
from authentik_entra_bootstrap.support.addresses import authentik_address, read_origin, read_proxy
from authentik_entra_bootstrap.support.private_files import exposure

STRICT = ConfigDict(
    extra="forbid", str_strip_whitespace=True, hide_input_in_errors=True, arbitrary_types_allowed=True
)
"""How every table of settings is read."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HOSTILE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_JOINERS = "\u200c\u200d"
_TIMEOUT = re.compile(r"(?i)((micro|milli)?seconds|minutes|hours|days|weeks)=\s*\d+(\.\d+)?\s*")
"""One part of a duration as authentik's validator takes it."""


def _window(value: object) -> object:
    return read_window(value) if isinstance(value, str) else value


def _list(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _path(value: Path) -> Path:
    if "\x00" in str(value):
        raise ValueError("a path without NUL characters is wanted")
    return value


def _guid(value: str) -> str:
    try:
        return str(UUID(value))
    except ValueError:
        raise ValueError(
            "this is no GUID. The Directory (tenant) ID is on the overview page of Entra ID; `authentik-entra init` finds it by a domain"
        ) from None


def _matching(pattern: str | re.Pattern[str], wanted: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if value and not re.fullmatch(pattern, value):
            raise ValueError(wanted)
        return value

    return check


def _visible(value: str) -> str:
    # Cc, Cf without the joiners that scripts and emoji need, line and paragraph separators, surrogates.
    for character in value:
        if unicodedata.category(character) in _HOSTILE and character not in _JOINERS:
            raise ValueError(f"the character U+{ord(character):04X} cannot be seen and steers terminals")
    return value


def _sync_timeout(value: str) -> str:
    # authentik would refuse it only when the provider is written, behind everything in the tenant.
    if value and not all(_TIMEOUT.fullmatch(part) for part in value.split(";")):
        raise ValueError('a time in authentik\'s words like "minutes=30" or "hours=1;minutes=30" is wanted')
    return value


def _https(value: str) -> str:
    # azure-identity refuses another scheme, and tokens must not travel readable.
    return read_origin(value, ["https"]).geturl()


def _proxy(value: str) -> str:
    proxy = read_proxy(value)
    if proxy.headers:
        raise ValueError("a user name and password belong into HTTPS_PROXY: this setting might be shown")
    return proxy.url


def _not_suspend(value: object) -> object:
    if value == "suspend":
        raise ValueError(
            "authentik cannot suspend a group, and does nothing instead: use do_nothing or delete"
        )
    return value


Duration = Annotated[timedelta, BeforeValidator(read_span)]
Window = Annotated[MaintenanceWindow, BeforeValidator(_window)]
Names = Annotated[tuple[str, ...], BeforeValidator(_list)]
FilePath = Annotated[Path, AfterValidator(_path)]
Guid = Annotated[str, AfterValidator(_guid)]
PlainName = Annotated[
    str,
    AfterValidator(
        _matching(_NAME, "letters, digits, '.', '_' and '-' only, beginning with a letter or digit")
    ),
]
Slug = Annotated[
    str, AfterValidator(_matching(r"[-a-zA-Z0-9_]+", "a slug holds letters, digits, '-' and '_' only"))
]
Text = Annotated[str, AfterValidator(_visible)]
SyncTimeout = Annotated[str, AfterValidator(_sync_timeout)]
HttpsOrigin = Annotated[str, AfterValidator(_https)]
AuthentikUrl = Annotated[str, AfterValidator(authentik_address)]
ProxyUrl = Annotated[str, AfterValidator(_proxy)]
NotSuspend = BeforeValidator(_not_suspend)


def invalid(*problems: str) -> ConfigError:
    """The error of values that cannot be used.

    :param problems: for each its place, its key and what is wrong, with colons between.
    """
    return ConfigError(
        "setting-invalid", f"{'; '.join(problems)}.", "See docs/reference/settings.md for every setting."
    )


def exposed_files(path: Path | None, *settings: BaseModel) -> tuple[str, ...]:
    """Files of the settings that other users can read or change although they must not; one sentence each.

    :param path: the settings file.
    :param settings: the settings; those whose names end in ``_file`` name files.
    """
    files = {} if path is None else {path: ("the settings file", False)}
    for each in settings:
        for name in type(each).model_fields:
            value = getattr(each, name)
            if name.endswith("_file") and isinstance(value, Path):
                files[value] = (name, name != "ca_file")
    found = ((file, name, exposure(file, secret=secret)) for file, (name, secret) in files.items())
    return tuple(f"{file} ({name}): {why}" for file, name, why in found if why)
