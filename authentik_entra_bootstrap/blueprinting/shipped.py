"""The blueprints that come with the program."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from authentik_entra_bootstrap.blueprinting.document import load
from authentik_entra_bootstrap.errors import ConfigError, did_you_mean

PACKAGE = "authentik_entra_bootstrap"
PROVIDER = "entra-provider"
SERVICE_ACCOUNTS = "rotator-service-account"
_DESCRIPTION = "blueprints.goauthentik.io/description"


@dataclass(frozen=True)
class Shipped:
    """One of them.

    :param name: the file's name without its ending; what the commands take.
    :param text: the whole file.
    """

    name: str
    description: str
    text: str


def _folder() -> Traversable:
    """The folder in the wheel; in a checkout, which has none there, the repository's."""
    packaged = files(PACKAGE) / "blueprints"
    return packaged if packaged.is_dir() else Path(__file__).resolve().parents[2] / "blueprints"


def shipped_blueprints() -> tuple[Shipped, ...]:
    """All of them, by name."""
    found = [item for item in _folder().iterdir() if item.name.endswith(".yaml")]
    return tuple(sorted((_read(item) for item in found), key=lambda item: item.name))


def shipped(name: str) -> Shipped:
    """One by name.

    :raises ConfigError: ``blueprint-unknown``.
    """
    known = {item.name: item for item in shipped_blueprints()}
    if found := known.get(name.removesuffix(".yaml")):
        return found
    raise ConfigError(
        "blueprint-unknown",
        f"There is no blueprint {name!r}.",
        f"{did_you_mean(name, known)} `authentik-entra blueprint list` lists them.".lstrip(),
    )


def _read(item: Traversable) -> Shipped:
    text = item.read_text(encoding="utf-8")
    labels = load(text).get("metadata", {}).get("labels", {})
    return Shipped(item.name.removesuffix(".yaml"), str(labels.get(_DESCRIPTION, "")), text)
