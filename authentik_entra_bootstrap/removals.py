"""What taking a connection down needs of authentik; a part of the port, which :mod:`~.ports` puts together."""

from __future__ import annotations

from typing import Protocol

from authentik_entra_bootstrap.domain import AuthentikApplication, Dependent, ProviderPk


class AuthentikRemovals(Protocol):
    """Deletions in authentik, and the reads before them. A deletion of what is gone already is success."""

    async def provider_dependents(self, pk: ProviderPk) -> tuple[Dependent, ...]:
        """What hangs from the provider, by authentik's own list (``used_by``)."""
        ...

    async def application_dependents(self, application: AuthentikApplication) -> tuple[Dependent, ...]:
        """What hangs from the application, its backchannel providers among it."""
        ...

    async def application_bindings(self, application: AuthentikApplication) -> int | None:
        """Number of policy bindings of the application; ``None`` where the token may not look."""
        ...

    async def delete_provider(self, pk: ProviderPk) -> bool:
        """Delete the provider; ``False`` when there was none.

        :raises Denied: ``authentik-permission-missing``.
        """
        ...

    async def delete_application(self, application: AuthentikApplication) -> bool:
        """Delete the application, which takes its backchannel providers along; ``False`` when there was none."""
        ...
