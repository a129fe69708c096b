"""Checks a request body against the model, in the words the directory uses for each fault; reads and writes values."""

from __future__ import annotations

import base64
import json
import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import MAXYEAR, UTC, datetime, timedelta
from typing import Any, NoReturn

from authentik_entra_bootstrap.sandbox.microsoft.graph.errors import (
    bad_request,
    invalid_property,
    invalid_value,
    malformed,
    read_only,
    required_value,
    unreadable_body,
)
from authentik_entra_bootstrap.sandbox.microsoft.graph.model import COMPLEX, EntityType

BIND = "@odata.bind"
_MOMENT = re.compile(
    r"\d{4}-\d\d-\d\d(?:[Tt]\d\d:\d\d(?::\d\d(?:\.(\d{1,9}))?)?(?:[Zz]|[+-]\d\d:\d\d)?)?\Z", re.ASCII
)
_DURATION = re.compile(
    r"P(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?\Z"
)
EMPTY_GUID = "00000000-0000-0000-0000-000000000000"
MAX_LINKS = 20


def parse_json(body: bytes, content_type: str, *, required: bool = True) -> dict[str, Any]:
    """The JSON object of a request body; an empty one when there is none and none is required.

    :raises GraphError: 400 ``BadRequest`` for anything else.
    """
    if not body.strip():
        if required:
            raise malformed("Empty Payload. JSON content expected.")
        return {}
    if "json" not in content_type.lower():
        raise unreadable_body()
    try:
        value = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise unreadable_body() from error
    if not isinstance(value, dict):
        raise unreadable_body()
    return value


def _no_constant(name: str) -> NoReturn:
    """NaN and the infinities are no JSON, though Python reads them."""
    raise ValueError(name)


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
    for name, item in spelt(value, (*entity.props, *binds)).items():
        if name.endswith(BIND):
            relation = name.removesuffix(BIND)
            if relation not in binds:
                raise invalid_property(name)
            references[relation] = _bind_list(relation, item, entity)
        elif "@odata." in name:
            continue
        elif name not in entity.props:
            raise invalid_property(name)
        elif name in entity.read_only - settable:
            raise read_only(name)
        else:
            props[name] = _convert(entity.props[name], item, name, entity.label)
            _check_length(entity, name, props[name])
    if sum(map(len, references.values())) > MAX_LINKS:
        # Links of every relation together (microsoft-graph-docs-contrib#6453).
        raise bad_request(f"A resource cannot contain more than {MAX_LINKS} link changes")
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
            result[name] = merge(inner, {**_empty(inner), **(before.get(name) or {})}, value)
        elif kind.startswith("[@"):
            inner = COMPLEX[kind[2:-1]]
            result[name] = [merge(inner, _empty(inner), item) for item in value]
        else:
            result[name] = value
    return result


def _empty(kinds: dict[str, str]) -> dict[str, Any]:
    return {name: [] if kind.startswith("[") else None for name, kind in kinds.items()}


def require(props: dict[str, Any], label: str, *names: str) -> None:
    """Check that properties are there and neither null nor empty.

    :raises GraphError: 400 for the first that is not.
    """
    for name in names:
        if props.get(name) in (None, "", []):
            raise required_value(name, label)


def _bind_list(relation: str, value: object, entity: EntityType) -> list[str]:
    links = [value] if isinstance(value, str) else value
    if not isinstance(links, list) or not all(isinstance(link, str) for link in links):
        raise invalid_value(relation, entity.label)
    return [str(link) for link in links]


def _check_length(entity: EntityType, name: str, value: object) -> None:
    limit = entity.limits.get(name)
    if limit is None:
        return
    for text in value if isinstance(value, list) else [value]:
        if isinstance(text, str) and len(text) > limit:
            raise invalid_value(name, entity.label, "InvalidLength")


def _convert(kind: str, value: object, name: str, label: str) -> Any:  # noqa: C901, PLR0912  # one branch per kind
    if kind.startswith("["):
        if value is None:
            raise invalid_value(name, label)
        if not isinstance(value, list):
            raise malformed(_not_a("Collection", name))
        return [_convert(kind[1:-1] + "!", item, name, label) for item in value]
    required = kind.endswith("!")
    kind = kind.rstrip("!")
    if value is None:
        if required:
            raise invalid_value(name, label)
        return None
    if kind == "any":
        return value
    if kind.startswith("@"):
        return _complex(kind[1:], value, name, label)
    if kind == "bool":
        if not isinstance(value, bool):
            raise malformed(_not_a("Edm.Boolean", name))
        return value
    if kind == "int":
        if isinstance(value, bool) or not isinstance(value, int):
            raise malformed(_not_a("Edm.Int32", name))
        return value
    if not isinstance(value, str):
        raise malformed(_not_a("Edm.String", name))
    if kind == "guid" and not is_guid(value):
        raise malformed(_not_a("Edm.Guid", name))
    if kind == "time":
        try:
            return normalise_moment(value)
        except ValueError as error:
            raise malformed(_not_a("Edm.DateTimeOffset", name)) from error
    if kind == "bytes":
        _check_base64(value, name)
    return value.lower() if kind == "guid" else value


def _complex(type_name: str, value: object, name: str, label: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise malformed(_not_a(f"microsoft.graph.{type_name}", name))
    kinds = COMPLEX[type_name]
    result: dict[str, Any] = {}
    for inner, item in spelt(value, kinds).items():
        if "@odata." in inner:
            continue
        if inner not in kinds:
            raise invalid_property(inner)
        result[inner] = _convert(kinds[inner], item, inner, label)
    for inner, kind in kinds.items():
        if kind.endswith("!") and inner not in result:
            if kind == "bool!":
                result[inner] = False
                continue
            raise required_value(inner, label)
    return result


def _check_base64(value: str, name: str) -> None:
    try:
        read_base64(value)
    except ValueError as error:
        raise malformed(_not_a("Edm.Binary", name)) from error


def _not_a(edm: str, name: str) -> str:
    return f"Cannot convert the value of property '{name}' to the expected type '{edm}'."


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


def whole_seconds(moment: datetime) -> str:
    """``2026-01-31T12:00:00Z``, the form of ``createdDateTime``."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def seven_digits(moment: datetime) -> str:
    """``2026-01-31T12:00:00.1234560Z``, the form of credential dates."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}0Z"


def add_years(moment: datetime, years: int) -> datetime:
    """The same day ``years`` later; 29 February becomes the 28th."""
    year = min(moment.year + years, MAXYEAR)
    try:
        return moment.replace(year=year)
    except ValueError:
        return moment.replace(year=year, day=28)


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
    if not isinstance(text, str) or len(text) != 36:
        return False
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
