"""Checks a request body against the model, in the words the directory uses for each fault; reads and writes values."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from authentik_entra_bootstrap.sandbox.microsoft.graph import errors
from authentik_entra_bootstrap.sandbox.microsoft.model import COMPLEX, EntityType, unset

BIND = "@odata.bind"
_MOMENT = re.compile(
    r"\d{4}-\d\d-\d\d(?:[Tt]\d\d:\d\d(?::\d\d(?:\.(\d{1,9}))?)?(?:[Zz]|[+-]\d\d:\d\d)?)?\Z", re.ASCII
)
_DURATION = re.compile(
    r"P(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?\Z"
)
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
EMPTY_GUID = "00000000-0000-0000-0000-000000000000"
MAX_LINKS = 20


def parse_moment(text: str) -> datetime:
    """An ISO 8601 moment as aware UTC; digits beyond microseconds are dropped, a missing zone is UTC.

    :raises ValueError: when it is none.
    """
    if _MOMENT.match(text) is None:
        raise ValueError(text)
    moment = datetime.fromisoformat(text.upper())
    try:
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError as error:
        raise ValueError(text) from error


def normalise_moment(text: str) -> str:
    """The same moment as Graph writes it back: UTC with ``Z``, up to seven fractional digits kept.

    :raises ValueError: when it is no moment.
    """
    moment = parse_moment(text)
    match = _MOMENT.match(text)
    fraction = (match.group(1) or "")[:7].rstrip("0") if match else ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}{'.' + fraction if fraction else ''}Z"


def seven_digits(moment: datetime) -> str:
    """``2026-01-31T12:00:00.1234560Z``, the form of credential dates."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}0Z"


def parse_duration(text: str) -> timedelta:
    """An ISO 8601 duration; a year counts 365 days and a month 30, as the directory's policies do.

    :raises ValueError: when it is none.
    """
    match = _DURATION.match(text)
    if match is None or text in ("P", "PT"):
        raise ValueError(text)
    part = {name: float(value) for name, value in match.groupdict(default="0").items()}
    days = part["years"] * 365 + part["months"] * 30 + part["weeks"] * 7 + part["days"]
    try:
        return timedelta(days=days, hours=part["hours"], minutes=part["minutes"], seconds=part["seconds"])
    except OverflowError as error:
        raise ValueError(text) from error


def read_base64(text: str) -> bytes:
    """The bytes of an ``Edm.Binary``: either alphabet, padding optional, line breaks as in PEM files ignored.

    The Azure command line sends a certificate with PEM's line breaks.

    :raises ValueError: when it is none.
    """
    joined = "".join(text.split()).translate(str.maketrans("-_", "+/"))
    return base64.b64decode(joined + "=" * (-len(joined) % 4), validate=True)


def is_guid(text: object) -> bool:
    """Whether a value is a GUID in its usual form with dashes."""
    return isinstance(text, str) and _GUID.fullmatch(text) is not None


def _read_guid(text: str) -> str:
    if not is_guid(text):
        raise ValueError(text)
    return text.lower()


def _read_bytes(text: str) -> str:
    read_base64(text)
    return text


def parse_json(body: bytes, content_type: str, *, required: bool = True) -> dict[str, Any]:
    """The JSON object of a request body; an empty one when there is none and none is required.

    :raises GraphError: 400 ``BadRequest`` for anything else.
    """
    if not body.strip():
        if required:
            raise errors.malformed("Empty Payload. JSON content expected.")
        return {}
    if "json" not in content_type.lower():
        raise errors.unreadable_body()
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise errors.unreadable_body() from error
    if not isinstance(value, dict):
        raise errors.unreadable_body()
    return value


@dataclass(frozen=True)
class Body:
    """A checked body: properties in normal form, and reference lists given as ``name@odata.bind``."""

    props: dict[str, Any]
    binds: dict[str, list[str]]


def spelt(value: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """A JSON object with its properties named as the model does: the service takes them in any case.

    Names that the model does not have stay as they were sent. ``name@odata.bind`` follows its property.
    """
    known = {name.casefold(): name for name in names}
    result: dict[str, Any] = {}
    for given, item in value.items():
        name, mark, annotation = given.partition("@")
        result[known.get(name.casefold(), name) + mark + annotation] = item
    return result


def spelling(name: str, known: Iterable[str]) -> str | None:
    """A name as the model or an object spells it, whatever its case; ``None`` where it has no such name."""
    return next((item for item in known if item.casefold() == name.casefold()), None)


def check_entity(
    entity: EntityType,
    value: dict[str, Any],
    *,
    settable: frozenset[str] = frozenset(),
    binds: tuple[str, ...] = (),
) -> Body:
    """Check a create or update body of an entity.

    :param settable: read-only properties that this operation takes nevertheless.
    :param binds: relations that may be given as ``name@odata.bind``.
    :raises GraphError: 400 for unknown, read-only, ill-typed or too long properties.
    """
    props: dict[str, Any] = {}
    references: dict[str, list[str]] = {}
    for name, item in value.items():
        if name.endswith(BIND):
            relation = name.removesuffix(BIND)
            if relation not in binds:
                raise errors.invalid_property(name)
            links = [item] if isinstance(item, str) else item
            if not isinstance(links, list) or not all(isinstance(link, str) for link in links):
                raise errors.invalid_value(relation, entity.label)
            references[relation] = links
        elif "@odata." in name:
            continue
        elif name not in entity.props:
            raise errors.invalid_property(name)
        elif name in entity.read_only - settable:
            raise errors.read_only(name)
        else:
            props[name] = _convert(entity.props[name], item, name, entity.label)
            _check_length(entity, name, props[name])
    if sum(map(len, references.values())) > MAX_LINKS:
        # Links of every relation together (microsoft-graph-docs-contrib#6453).
        raise errors.bad_request(f"A resource cannot contain more than {MAX_LINKS} link changes")
    return Body(props, references)


def check_complex(type_name: str, value: object, name: str, label: str) -> dict[str, Any]:
    """Check a complex value, e.g. the ``passwordCredential`` of an action's body.

    :raises GraphError: 400 as for entities.
    """
    result: dict[str, Any] = _convert(f"@{type_name}!", value, name, label)
    return result


def merge(kinds: dict[str, str], before: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """An object or complex value after a change: complex values are changed in part, collections replaced whole.

    Complex values are shown with all their properties, whether they were given or not.

    :param kinds: property to kind, as in :mod:`~.model`.
    :param changes: properties in normal form, as :func:`check_entity` returns them.
    """
    result = dict(before)
    for name, value in changes.items():
        kind = kinds[name].rstrip("!")
        if kind.startswith("@") and value is not None:
            inner = COMPLEX[kind[1:]]
            result[name] = merge(inner, {**unset(inner), **(before.get(name) or {})}, value)
        elif kind.startswith("[@"):
            inner = COMPLEX[kind[2:-1]]
            result[name] = [merge(inner, unset(inner), item) for item in value]
        else:
            result[name] = value
    return result


def require(props: dict[str, Any], label: str, *names: str) -> None:
    """Check that properties are there and neither null nor empty.

    :raises GraphError: 400 for the first that is not.
    """
    for name in names:
        if props.get(name) in (None, "", []):
            raise errors.required_value(name, label)


def _check_length(entity: EntityType, name: str, value: object) -> None:
    for text in value if isinstance(value, list) else [value]:
        if isinstance(text, str) and len(text) > entity.limits.get(name, len(text)):
            raise errors.invalid_value(name, entity.label, "InvalidLength")


_PYTHON_TYPES: dict[str, tuple[type, str]] = {"bool": (bool, "Edm.Boolean"), "int": (int, "Edm.Int32")}
_TEXT_READERS: dict[str, tuple[Callable[[str], str], str]] = {
    "guid": (_read_guid, "Edm.Guid"),
    "time": (normalise_moment, "Edm.DateTimeOffset"),
    "bytes": (_read_bytes, "Edm.Binary"),
}
"""Kind to what brings its text to normal form, and its name."""


def _convert(kind: str, value: object, name: str, label: str) -> Any:
    if value is None:
        if kind.endswith("!") or kind.startswith("["):
            raise errors.invalid_value(name, label)
        return None
    kind = kind.rstrip("!")
    if kind.startswith("["):
        if not isinstance(value, list):
            raise _not_a("Collection", name)
        return [_convert(kind[1:-1] + "!", item, name, label) for item in value]
    if kind.startswith("@"):
        return _complex(kind[1:], value, name, label)
    return value if kind == "any" else _scalar(kind, value, name)


def _scalar(kind: str, value: object, name: str) -> Any:
    wanted, edm = _PYTHON_TYPES.get(kind, (str, "Edm.String"))
    if type(value) is not wanted:
        raise _not_a(edm, name)
    if kind not in _TEXT_READERS:
        return value
    read, edm = _TEXT_READERS[kind]
    try:
        return read(str(value))
    except ValueError as error:
        raise _not_a(edm, name) from error


def _complex(type_name: str, value: object, name: str, label: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _not_a(f"microsoft.graph.{type_name}", name)
    kinds = COMPLEX[type_name]
    result: dict[str, Any] = {}
    for inner, item in spelt(value, kinds).items():
        if "@odata." in inner:
            continue
        if inner not in kinds:
            raise errors.invalid_property(inner)
        result[inner] = _convert(kinds[inner], item, inner, label)
    for inner, kind in kinds.items():
        if kind.endswith("!") and inner not in result:
            if kind == "bool!":
                result[inner] = False
                continue
            raise errors.required_value(inner, label)
    return result


def _not_a(edm: str, name: str) -> Exception:
    return errors.malformed(f"Cannot convert the value of property '{name}' to the expected type '{edm}'.")
