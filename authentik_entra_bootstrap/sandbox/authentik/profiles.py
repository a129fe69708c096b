"""What differs between authentik releases, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ProfileName = Literal["2025.12", "2026.2", "2026.5", "2026.8"]


@dataclass(frozen=True)
class Profile:
    """One release line.

    Sources: the recorded exchanges, the published API schemas, and the field drift of the published
    client libraries.
    """

    name: ProfileName
    version: str
    """``version_current`` of ``/admin/version/``."""
    charset: bool
    """Whether JSON replies name their charset in ``content-type`` (until 2026.2)."""
    secret_readable: bool
    """Whether GET shows ``client_secret`` (gone from the 2026.2.7, 2026.5.7 and 2026.8.2 clients)."""
    discovery_enabled: bool = False
    blueprint_import: bool = False
    clean_up: Literal["none", "failing", "working"] = "working"
    """What a full sync does in the end about what left the scope: see the facts of each release. That releases from
    2026.8 on do it is not known: it is what their code means to do."""
    logs_auth_errors: bool = True
    """Whether a failed attempt of a sync task leaves its error in ``previous_logs`` (not on 2026.5)."""

    def at_least(self, name: ProfileName) -> bool:
        """Whether this release line is ``name`` or newer."""
        return _number(self.name) >= _number(name)

    @property
    def json_type(self) -> str:
        """The ``content-type`` of JSON replies."""
        return "application/json; charset=utf-8" if self.charset else "application/json"


def _number(name: str) -> tuple[int, ...]:
    return tuple(int(part) for part in name.split("."))


PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile(name="2025.12", version="2025.12.4", charset=True, secret_readable=True, clean_up="none"),
        Profile(name="2026.2", version="2026.2.2", charset=True, secret_readable=True, clean_up="failing"),
        Profile(
            name="2026.5",
            version="2026.5.0-rc1",
            charset=False,
            secret_readable=True,
            clean_up="failing",
            blueprint_import=True,
            logs_auth_errors=False,
        ),
        Profile(
            name="2026.8",
            version="2026.8.2",
            charset=False,
            secret_readable=False,
            discovery_enabled=True,
            blueprint_import=True,
            logs_auth_errors=False,
        ),
    )
}


def profile_named(name: str) -> Profile:
    """The profile of a release line.

    :param name: such as ``2026.5``.
    :raises ValueError: for a name that is none of :data:`PROFILES`.
    """
    try:
        return PROFILES[name]
    except KeyError:
        raise ValueError(f"unknown authentik profile {name!r}; known: {', '.join(PROFILES)}") from None
