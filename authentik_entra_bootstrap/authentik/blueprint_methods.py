"""The part of the adapter that blueprints are: :class:`~authentik_entra_bootstrap.importing.AuthentikBlueprints`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from authentik_entra_bootstrap.authentik.transport import Api
from authentik_entra_bootstrap.domain import (
    BlueprintInstance,
    BlueprintResult,
    PropertyMapping,
    SecretText,
    Written,
)

if TYPE_CHECKING:
    from authentik_entra_bootstrap.authentik.blueprints import Blueprints


class BlueprintMethods:
    """Every method is described by ``AuthentikBlueprints``."""

    _api: Api

    @cached_property
    def _blueprints(self) -> Blueprints:
        # With it come a YAML reader and the blueprints themselves, which most commands never need.
        from authentik_entra_bootstrap.authentik.blueprints import Blueprints  # noqa: PLC0415

        return Blueprints(self._api)

    async def imports_blueprints(self) -> bool:
        """Whether the server imports blueprints."""
        return await self._blueprints.imports()

    async def import_blueprint(
        self, content: str, values: Mapping[str, object], secrets: Mapping[str, SecretText]
    ) -> Written[BlueprintResult]:
        """Apply a blueprint at once, without storing it."""
        return await self._blueprints.import_(content, values, secrets)

    async def save_blueprint(self, name: str, content: str) -> BlueprintInstance:
        """Store a blueprint as an instance of this name."""
        return await self._blueprints.save(name, content)

    async def apply_blueprint(self, pk: str) -> None:
        """Make the worker apply an instance."""
        await self._blueprints.apply(pk)

    async def blueprint(self, pk: str) -> BlueprintInstance | None:
        """The instance as it stands."""
        return await self._blueprints.get(pk)

    async def blueprint_lines(self, pk: str) -> tuple[str, ...]:
        """What the worker logged when it applied the instance last."""
        return await self._blueprints.lines(pk)

    async def delete_blueprint(self, pk: str) -> bool:
        """Delete an instance; what it made stays."""
        return await self._blueprints.delete(pk)

    async def exists(self, model: str, conditions: Sequence[tuple[str, str]]) -> bool | None:
        """Whether there is an object with these fields."""
        return await self._blueprints.exists(model, conditions)

    async def property_mappings(self) -> tuple[PropertyMapping, ...]:
        """Every property mapping of the provider's kind."""
        return await self._blueprints.mappings()

    async def group_name(self, pk: str) -> str | None:
        """The name of a group."""
        return await self._blueprints.group_name(pk)
