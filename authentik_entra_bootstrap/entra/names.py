"""What may stand in an address. The SDK escapes neither quotes nor slashes in keys, so they are refused here."""

from __future__ import annotations

import re
from uuid import UUID

from authentik_entra_bootstrap.entra.codes import fault

_UNIQUE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,127}")


def checked_unique_name(name: str) -> str:
    """A ``uniqueName`` that can be a key.

    :raises ConfigError: ``unique-name-invalid``.
    """
    if not _UNIQUE_NAME.fullmatch(name):
        raise fault("unique-name-invalid", name=name)
    return name


def checked_guid(value: str, what: str) -> str:
    """A GUID in its usual form.

    :param what: which id it is, for people.
    :raises ConfigError: ``id-invalid``.
    """
    return str(as_guid(value, what))


def as_guid(value: str, what: str) -> UUID:
    """The same, as the SDK's models want it.

    :raises ConfigError: ``id-invalid``.
    """
    try:
        return UUID(value)
    except ValueError:
        pass
    raise fault("id-invalid", what=what, value=value)
