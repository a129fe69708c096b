"""What blueprints need of authentik; a part of the port, which :mod:`~.ports` puts together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from authentik_entra_bootstrap.domain import (
    BlueprintInstance,
    BlueprintResult,
    PropertyMapping,
    SecretText,
    Written,
)


class AuthentikBlueprints(Protocol):
    """Importing blueprints, storing them as instances, and what an export reads."""

    async def imports_blueprints(self) -> bool:
        """Whether the server imports blueprints without storing them."""
        ...

    async def import_blueprint(
        self, content: str, values: Mapping[str, object], secrets: Mapping[str, SecretText]
    ) -> Written[BlueprintResult]:
        """Apply a blueprint at once and without storing it; only where :meth:`imports_blueprints`.

        Values and secrets are given as context where the server takes one, else within the uploaded file.

        :raises Denied: ``authentik-permission-missing``: add, change and delete are needed on every model in it.
        :raises Temporary: no answer, or the importer crashed; it may have been applied all the same.
        """
        ...

    async def save_blueprint(self, name: str, content: str) -> BlueprintInstance:
        """Store a blueprint as an enabled instance of this name; one that exists gets the content.

        The content is stored and can be read: it must hold no secret.

        :raises Conflict: ``blueprint-refused``: authentik's validation refuses the content.
        """
        ...

    async def apply_blueprint(self, pk: str) -> None:
        """Make authentik's worker apply an instance; it answers before that is done."""
        ...

    async def blueprint(self, pk: str) -> BlueprintInstance | None:
        """The instance as it stands."""
        ...

    async def blueprint_lines(self, pk: str) -> tuple[str, ...]:
        """What the worker logged when it applied the instance last; nothing where tasks may not be read."""
        ...

    async def delete_blueprint(self, pk: str) -> bool:
        """Delete an instance; what it made stays. ``False`` when there was none."""
        ...

    async def exists(self, model: str, conditions: Sequence[tuple[str, str]]) -> bool | None:
        """Whether there is an object with these fields; ``None`` where that cannot be told.

        :param model: ``authentik_core.group``.
        """
        ...

    async def property_mappings(self) -> tuple[PropertyMapping, ...]:
        """Every property mapping of the Microsoft Entra provider."""
        ...

    async def group_name(self, pk: str) -> str | None:
        """The name of a group."""
        ...
