"""The client secret as a field of the provider: ``client_secret`` (to 2026.8, and while 2026.11 takes either)."""

from __future__ import annotations

from collections.abc import Mapping

from authentik_entra_bootstrap.authentik.provider_calls import ProviderCalls
from authentik_entra_bootstrap.domain import Provider, ProviderPk, SecretText, Written

FIELD = "client_secret"


class InlineSecret:
    """Delivers the secret within the provider's own write."""

    def __init__(self, calls: ProviderCalls) -> None:
        self._calls = calls

    async def create(self, body: Mapping[str, object], secret: SecretText) -> Written[Provider]:
        """Create the provider with its secret."""
        return await self._calls.post(body, {FIELD: secret})

    async def update(
        self, pk: ProviderPk, body: Mapping[str, object], secret: SecretText
    ) -> Written[Provider]:
        """Save the provider with a new secret."""
        return await self._calls.patch(pk, body, {FIELD: secret})
