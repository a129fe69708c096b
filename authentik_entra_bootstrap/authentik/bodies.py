"""Request bodies: built by the client library's models, limited to the fields that the server has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from authentik_client.models.patched_microsoft_entra_provider_request import (
    PatchedMicrosoftEntraProviderRequest,
)
from pydantic import ValidationError
from pydantic_core import to_jsonable_python

from authentik_entra_bootstrap.domain import ProviderSpec, ServerInfo
from authentik_entra_bootstrap.errors import ConfigError

_SPEC_FIELDS = tuple(field.name for field in fields(ProviderSpec))
_AS_WITHOUT: Mapping[str, object] = {"dry_run": False, "discovery_enabled": True}
"""How a server behaves that lacks the option: asking for just that asks for nothing."""


def unsupported_fields(spec: ProviderSpec, info: ServerInfo) -> tuple[str, ...]:
    """Options that the spec asks for and the server does not have, e.g. ``discovery_enabled`` before 2026.8."""
    return _unsupported({name: getattr(spec, name) for name in _SPEC_FIELDS}, info)


def provider_body(wanted: ProviderSpec | Mapping[str, object], info: ServerInfo) -> dict[str, object]:
    """The provider's fields as JSON, without its secret.

    :param wanted: a spec (whose ``None`` means: not sent), or changes by field name of the spec
        (whose ``filter_group=None`` removes the filter).
    :raises ConfigError: ``authentik-option-unsupported``, ``authentik-value-invalid``.
    """
    if isinstance(wanted, ProviderSpec):
        values = {name: getattr(wanted, name) for name in _SPEC_FIELDS if getattr(wanted, name) is not None}
    else:
        strange = sorted(set(wanted) - set(_SPEC_FIELDS))
        if strange:
            raise ConfigError("authentik-value-invalid", f"The provider has no field {', '.join(strange)}.")
        values = {
            name: value for name, value in wanted.items() if value is not None or name == "filter_group"
        }
    missing = _unsupported(values, info)
    if missing:
        raise ConfigError(
            "authentik-option-unsupported",
            f"authentik {info.version} does not have the option {', '.join(missing)} of the Microsoft Entra provider.",
            "Leave the option out, or update authentik.",
            facts={"fields": ", ".join(missing)},
        )
    supported = {
        name: list(value) if isinstance(value, tuple | frozenset | set) else value
        for name, value in values.items()
        if name in info.provider_fields
    }
    # The PATCH model for both methods: its fields are the POST's, and the secret, which POST's insists on,
    # joins when the request is written.
    return typed(PatchedMicrosoftEntraProviderRequest, supported)


def typed(model: Any, values: Mapping[str, object]) -> dict[str, object]:
    """Validate and serialise by a request model of the client library; fields that the installed client does not know pass unchanged.

    :raises ConfigError: ``authentik-value-invalid``, naming the fields and not their values.
    """
    known = {name: value for name, value in values.items() if name in model.model_fields}
    try:
        body: dict[str, object] = to_jsonable_python(model(**known).to_dict())
    except ValidationError as error:
        refused = sorted({".".join(str(part) for part in entry["loc"][:1]) for entry in error.errors()})
    else:
        # Only what was asked for: the models of some versions add defaults.
        return {name: body.get(name, value) for name, value in values.items()}
    raise ConfigError(
        "authentik-value-invalid",
        f"authentik would refuse the value of {', '.join(refused)}.",
        "Correct the setting.",
        facts={"fields": ", ".join(refused)},
    )


def _unsupported(values: Mapping[str, object], info: ServerInfo) -> tuple[str, ...]:
    return tuple(
        name
        for name, value in values.items()
        if value is not None and name not in info.provider_fields and _AS_WITHOUT.get(name, ...) != value
    )
