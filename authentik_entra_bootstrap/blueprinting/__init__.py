"""Blueprints as documents. Here: YAML read with its tags kept as they are, filled in, written again; those that are shipped.

What tags mean is authentik's: its blueprint documentation, and the importer of 2025.12 to 2026.5.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml

from authentik_entra_bootstrap.errors import ConfigError, did_you_mean

PACKAGE = "authentik_entra_bootstrap"
_DESCRIPTION = "blueprints.goauthentik.io/description"
_CONTEXT = re.compile(r"^context:[^\n]*\n(?:[ \t#][^\n]*\n|\n)*", re.MULTILINE)
_ENTRIES = re.compile(r"^entries:", re.MULTILINE)


@dataclass(frozen=True)
class Tag:
    """One tag with its value.

    :param name: with its exclamation mark, ``!Find``.
    :param value: a text, or a list that may hold tags.
    """

    name: str
    value: Any

    @property
    def arguments(self) -> list[Any]:
        """The tag's list, or its one text."""
        return list(self.value) if isinstance(self.value, list) else [self.value]


class _Loader(yaml.SafeLoader):
    """A safe loader that keeps every tag."""


class _Dumper(yaml.SafeDumper):
    """A safe dumper that writes them again; lists are indented, texts of several lines are blocks."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _keep(loader: _Loader, suffix: str, node: yaml.Node) -> Tag:
    if isinstance(node, yaml.SequenceNode):
        return Tag(f"!{suffix}", loader.construct_sequence(node, deep=True))
    if isinstance(node, yaml.MappingNode):
        return Tag(f"!{suffix}", loader.construct_mapping(node, deep=True))
    assert isinstance(node, yaml.ScalarNode)  # there are three kinds of nodes
    return Tag(f"!{suffix}", loader.construct_scalar(node))


def _write_tag(dumper: _Dumper, tag: Tag) -> yaml.Node:
    if not isinstance(tag.value, list):
        return dumper.represent_scalar(tag.name, str(tag.value))
    return dumper.represent_sequence(tag.name, tag.value, flow_style=_is_short(tag.value))


def _is_short(value: list[Any]) -> bool:
    texts = [
        item.name if isinstance(item, Tag) else str(item)
        for _, item in walk(value)
        if not isinstance(item, list)
    ]
    return sum(len(text) + 2 for text in texts) < 90 and not any("\n" in text for text in texts)


def _write_text(dumper: _Dumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Loader.add_multi_constructor("!", _keep)
_Dumper.add_representer(Tag, _write_tag)
_Dumper.add_representer(str, _write_text)


def load(text: str) -> dict[str, Any]:
    """Read a blueprint.

    :raises ConfigError: ``blueprint-unreadable``: no YAML, or no mapping.
    """
    try:
        document = yaml.load(text, Loader=_Loader)  # a SafeLoader
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark is not None else ""
        raise _unreadable(f"it is no YAML{where}") from None
    if not isinstance(document, dict):
        raise _unreadable("it is no mapping")
    return document


def dump(document: dict[str, Any]) -> str:
    """The document as YAML, its keys in their order."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def filled(text: str, values: Mapping[str, object]) -> str:
    """The blueprint with these values in its context; they win over the file's own.

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


def walk(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value with its place (``entries.0.attrs.name``), tags before what they hold."""
    yield path, value
    if isinstance(value, Tag):
        value = value.value
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from walk(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from walk(inner, f"{path}.{index}" if path else str(index))


def _unreadable(why: str) -> ConfigError:
    return ConfigError(
        "blueprint-unreadable",
        f"The blueprint cannot be read: {why}.",
        "Correct the file, or render it anew.",
    )


# --- shipped blueprints


@dataclass(frozen=True)
class Shipped:
    """One of the blueprints that come with the program.

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
    """All blueprints that come with the program, by name."""
    found = [item for item in _folder().iterdir() if item.name.endswith(".yaml")]
    return tuple(sorted((_read(item) for item in found), key=lambda item: item.name))


def shipped(name: str) -> Shipped:
    """One of the shipped blueprints by its name.

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
