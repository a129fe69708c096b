"""What authentik's mappings return, and what of it goes over the wire to Microsoft Graph.

authentik fills the model classes of msgraph-sdk with the mapping's result (snake_case names) and lets the SDK
serialise them; the same classes are used here, so names, omissions and refusals are the SDK's own.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

USER_SELECT = (
    "businessPhones,displayName,givenName,jobTitle,mail,mobilePhone,officeLocation,preferredLanguage,"
    "surname,userPrincipalName,id,onPremisesImmutableId"
)
"""The properties authentik selects when it reads users (its entra user client)."""

_CAMEL = re.compile(r"(?<=[a-z0-9])([A-Z])")


@cache
def _model(kind: str) -> Any:
    # The SDK's models take about a second to import: only a worker that writes pays for them.
    if kind == "user":
        from msgraph.generated.models.user import User  # noqa: PLC0415 - see above

        return User
    from msgraph.generated.models.group import Group  # noqa: PLC0415 - see above

    return Group


def build(kind: str, values: dict[str, Any]) -> Any:
    """An msgraph-sdk ``User`` or ``Group`` from a mapping's result.

    :param kind: ``user`` or ``group``.
    :raises TypeError: for a property the SDK's class does not have (``displayName`` for ``display_name``).
    """
    return _model(kind)(**values)


def body(model: Any) -> dict[str, Any]:
    """The JSON object that the SDK would send for a model.

    :raises Exception: whatever the SDK's serialiser raises for a value of a wrong type.
    """
    from kiota_serialization_json.json_serialization_writer import (  # noqa: PLC0415 - comes with the models
        JsonSerializationWriter,
    )

    writer = JsonSerializationWriter()
    writer.write_object_value(None, model)
    result: dict[str, Any] = json.loads(writer.get_serialized_content())
    return result


def attributes(entity: dict[str, Any]) -> dict[str, Any]:
    """A user of Graph as authentik keeps it on the link: what has a value, under snake_case names."""
    values = {_CAMEL.sub(r"_\1", name).lower(): value for name, value in entity.items() if "@" not in name}
    values["odata_type"] = "#microsoft.graph.user"
    values["additional_data"] = {
        name: value for name, value in entity.items() if "@" in name and name != "@odata.type"
    }
    return {name: value for name, value in values.items() if value not in (None, [], {})}
