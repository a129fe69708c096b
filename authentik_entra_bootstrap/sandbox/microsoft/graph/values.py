"""Values as Microsoft Graph writes them: moments, durations, ids."""

from __future__ import annotations

import base64
import random
import re
import uuid
from datetime import MAXYEAR, UTC, datetime, timedelta

_MOMENT = re.compile(
    r"\d{4}-\d\d-\d\d(?:[Tt]\d\d:\d\d(?::\d\d(?:\.(\d{1,9}))?)?(?:[Zz]|[+-]\d\d:\d\d)?)?\Z", re.ASCII
)
_DURATION = re.compile(
    r"P(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?\Z"
)
EMPTY_GUID = "00000000-0000-0000-0000-000000000000"


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


def new_guid(rng: random.Random) -> str:
    """A version 4 GUID from the world's randomness."""
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def opaque_id(rng: random.Random, *guids: str) -> str:
    """A base64url id such as grants have: the bytes of some GUIDs, filled up to 32 with random ones."""
    raw = b"".join(uuid.UUID(guid).bytes_le for guid in guids)[:32]
    return base64.urlsafe_b64encode(raw + rng.randbytes(32 - len(raw))).decode().rstrip("=")
