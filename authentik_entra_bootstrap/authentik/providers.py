"""The provider's own endpoints."""

from __future__ import annotations

from collections.abc import Mapping

from authentik_entra_bootstrap.authentik import records
from authentik_entra_bootstrap.authentik.audit import PROVIDER_MODEL, AuditTrail
from authentik_entra_bootstrap.authentik.creation import create_once
from authentik_entra_bootstrap.authentik.permission_names import ADD_PROVIDER, CHANGE_PROVIDER, VIEW_PROVIDER
from authentik_entra_bootstrap.authentik.server import PROVIDERS
from authentik_entra_bootstrap.authentik.transport import Api
from authentik_entra_bootstrap.authentik.wire import Call
from authentik_entra_bootstrap.domain import Provider, ProviderPk, SecretText, Written
from authentik_entra_bootstrap.errors import AlreadyExists, NotFound

ONE_PROVIDER = PROVIDERS + "{pk}/"


class ProviderCalls:
    """Reads and writes of ``/providers/microsoft_entra/``."""

    def __init__(self, api: Api, audit: AuditTrail) -> None:
        self._api = api
        self._audit = audit

    async def get(self, pk: ProviderPk) -> Provider | None:
        """The provider by primary key."""
        try:
            reply = await self._api.get(ONE_PROVIDER, permission=VIEW_PROVIDER, pk=pk)
        except NotFound:
            return None
        return self._api.read(reply, records.provider)

    async def named(self, name: str) -> Provider | None:
        """The provider of exactly that name."""
        found = await self._api.pages(
            PROVIDERS,
            records.provider,
            permission=VIEW_PROVIDER,
            query=(("name", name),),
            done=lambda provider: provider.name == name,
        )
        return next((provider for provider in found if provider.name == name), None)

    async def all(self) -> tuple[Provider, ...]:
        """Every Microsoft Entra provider."""
        return tuple(await self._api.pages(PROVIDERS, records.provider, permission=VIEW_PROVIDER))

    async def post(self, body: Mapping[str, object], secrets: Mapping[str, SecretText]) -> Written[Provider]:
        """Create a provider; a lost answer is settled by reading.

        What was read may as well be another run's, which asked for the same at the same time. Only its secret
        differs, and that cannot be read: so the secret is then delivered once more, and the provider holds the
        one that the caller believes it to hold.

        :param body: all fields but the secret ones.
        :param secrets: the secret ones.
        """
        call = Call("POST", PROVIDERS, body=body, secrets=secrets, permission=ADD_PROVIDER)

        certain: set[str | None] = set()

        async def post() -> Written[Provider]:
            reply = await self._api.send(call)
            certain.add(reply.request_id)
            return Written(self._api.read(reply, records.provider), reply.request_id)

        async def find_ours() -> Provider | None:
            found = await self.named(str(body["name"]))
            if found is not None and not is_as_asked(found, body):
                raise AlreadyExists(
                    "authentik-name-taken",
                    f"authentik has a provider named {found.name} already, with other settings.",
                    "Choose another name, or adopt what exists.",
                    call.trace(),
                    {"field": "name"},
                )
            return found

        async def request_id(made: Provider) -> str | None:
            return await self._audit.request_that_created(str(made.pk), PROVIDER_MODEL)

        made = await create_once(
            self._api.waiter, post, find_ours, request_id, what="authentik to create the provider"
        )
        if certain or not secrets:
            return made
        return await self.patch(made.value.pk, {}, secrets)

    async def patch(
        self, pk: ProviderPk, body: Mapping[str, object], secrets: Mapping[str, SecretText]
    ) -> Written[Provider]:
        """Save a provider. Repeated on lost answers: the same values once more change nothing."""
        call = Call("PATCH", ONE_PROVIDER, {"pk": pk}, body=body, secrets=secrets, permission=CHANGE_PROVIDER)
        reply = await self._api.repeat(call)
        return Written(self._api.read(reply, records.provider), reply.request_id)


def is_as_asked(found: Provider, body: Mapping[str, object]) -> bool:
    """Whether a provider that was read has every value that was sent (lists in any order)."""
    for name, sent in body.items():
        value = getattr(found, name, None)
        if value is None and name != "filter_group":
            continue  # the server does not show it
        if isinstance(sent, list):
            same = sorted(map(str, set(sent))) == sorted(map(str, value or ()))
        elif isinstance(value, str):
            same = str(sent).strip() == value
        else:
            same = sent == value
        if not same:
            return False
    return True
