"""How provider and application come into authentik: by its API, or by blueprint with the same result."""

from __future__ import annotations

from typing import Protocol

from authentik_entra_bootstrap.authentik.port import AuthentikPort
from authentik_entra_bootstrap.domain import (
    AuthentikApplication,
    Desired,
    Provider,
    ProviderSpec,
    SecretText,
    Written,
)


class Saving(Protocol):
    """Makes what does not exist. What exists is changed through the API, whoever made it."""

    async def create(self, desired: Desired, spec: ProviderSpec, secret: SecretText) -> Written[Provider]:
        """Create the provider with its secret, not assigned to an application.

        :raises AlreadyExists: a provider of that name appeared meanwhile.
        :raises BootstrapError: refused as a whole; nobody holds the secret then.
        """
        ...

    async def attach(
        self, desired: Desired, provider: Provider, existing: AuthentikApplication | None
    ) -> Written[AuthentikApplication]:
        """Make the provider a backchannel provider of the application, which is created if it does not exist."""
        ...


class ByApi:
    """One request each."""

    def __init__(self, authentik: AuthentikPort) -> None:
        self._authentik = authentik

    async def create(self, desired: Desired, spec: ProviderSpec, secret: SecretText) -> Written[Provider]:
        """See :class:`Saving`."""
        return await self._authentik.create_provider(spec, secret)

    async def attach(
        self, desired: Desired, provider: Provider, existing: AuthentikApplication | None
    ) -> Written[AuthentikApplication]:
        """See :class:`Saving`."""
        if existing is None:
            return await self._authentik.create_application(
                slug=desired.authentik_application_slug,
                name=desired.authentik_application_name,
                backchannel_provider_pks=[int(provider.pk)],
            )
        return await self._authentik.set_backchannel_providers(
            existing.slug, [*existing.backchannel_provider_pks, int(provider.pk)]
        )
