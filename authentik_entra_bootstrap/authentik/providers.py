"""The Microsoft Entra provider: read, created with its client secret, saved, deleted."""

from __future__ import annotations

import re
from collections.abc import Mapping

from authentik_entra_bootstrap.authentik import records
from authentik_entra_bootstrap.authentik.audit import PROVIDER_MODEL, AuditTrail
from authentik_entra_bootstrap.authentik.bodies import provider_body
from authentik_entra_bootstrap.authentik.creation import create_once
from authentik_entra_bootstrap.authentik.permission_names import (
    ADD_PROVIDER,
    CHANGE_PROVIDER,
    DELETE_PROVIDER,
    VIEW_ANY_PROVIDER,
    VIEW_PROVIDER,
)
from authentik_entra_bootstrap.authentik.server import PROVIDERS, Server
from authentik_entra_bootstrap.authentik.wire import Call, Query
from authentik_entra_bootstrap.domain import (
    Dependent,
    Provider,
    ProviderPk,
    ProviderSpec,
    SecretText,
    Written,
)
from authentik_entra_bootstrap.errors import AlreadyExists, Denied, NotFound

ONE_PROVIDER = PROVIDERS + "{pk}/"
ALL_PROVIDERS = "/providers/all/"
_PLAIN = re.compile(r"[\w .()-]+")
"""Names that authentik's search finds for certain: it looks for each word within the name."""


class Providers(Server, AuditTrail):
    """Reads and writes of ``/providers/microsoft_entra/``."""

    async def provider(self, pk: ProviderPk) -> Provider | None:
        """The provider by primary key."""
        return await self._api.find(ONE_PROVIDER, records.provider, permission=VIEW_PROVIDER, pk=pk)

    async def find_provider(self, name: str) -> Provider | None:
        """The provider of exactly that name."""
        return await self._api.first(
            PROVIDERS,
            records.provider,
            lambda provider: provider.name == name,
            permission=VIEW_PROVIDER,
            query=(("name", name),),
        )

    async def providers(self) -> tuple[Provider, ...]:
        """Every Microsoft Entra provider."""
        return tuple(await self._api.pages(PROVIDERS, records.provider, permission=VIEW_PROVIDER))

    async def provider_name_holder(self, name: str) -> str | None:
        """Verbose type of any provider of that name.

        A token that may not see the other types is told only of Microsoft Entra providers.
        """
        try:
            holder = await self._holder(name, (("search", name),))
            if holder is None and not _PLAIN.fullmatch(name):
                # The search takes quotes and commas for its own.
                holder = await self._holder(name, ())
        except Denied as error:
            if error.code != "authentik-permission-missing":
                raise
            return "Microsoft Entra Provider" if await self.find_provider(name) else None
        return holder

    async def create_provider(self, spec: ProviderSpec, secret: SecretText) -> Written[Provider]:
        """Create the provider with its secret; a lost answer is settled by reading.

        What was read may as well be another run's, which asked for the same at the same time. Only its secret
        differs, and that cannot be read: so the secret is then delivered once more, and the provider holds the
        one that the caller believes it to hold.

        :raises ConfigError: ``authentik-option-unsupported``, see :func:`unsupported_fields`.
        """
        body, secrets = provider_body(spec, await self._known_server()), {"client_secret": secret}
        call = Call("POST", PROVIDERS, body=body, secrets=secrets, permission=ADD_PROVIDER)
        certain: set[str | None] = set()

        async def post() -> Written[Provider]:
            reply = await self._api.send(call)
            certain.add(reply.request_id)
            return Written(self._api.read(reply, records.provider), reply.request_id)

        async def find_ours() -> Provider | None:
            found = await self.find_provider(spec.name)
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
            return await self.request_that_created(str(made.pk), PROVIDER_MODEL)

        made = await create_once(
            self._api.waiter, post, find_ours, request_id, what="authentik to create the provider"
        )
        return made if certain else await self.update_provider(made.value.pk, {}, secret)

    async def update_provider(
        self, pk: ProviderPk, changes: Mapping[str, object], secret: SecretText | None = None
    ) -> Written[Provider]:
        """Change fields and, where given, the secret. Repeated on lost answers: once more changes nothing.

        :raises NotFound: no such provider.
        """
        body = provider_body(changes, await self._known_server())
        secrets = {} if secret is None else {"client_secret": secret}
        call = Call("PATCH", ONE_PROVIDER, {"pk": pk}, body=body, secrets=secrets, permission=CHANGE_PROVIDER)
        reply = await self._api.repeat(call)
        return Written(self._api.read(reply, records.provider), reply.request_id)

    async def start_sync(
        self, pk: ProviderPk, changes: Mapping[str, object] | None = None
    ) -> Written[Provider]:
        """Save the provider, which starts a full sync when it is assigned to an application."""
        return await self.update_provider(pk, changes or {})

    async def provider_dependents(self, pk: ProviderPk) -> tuple[Dependent, ...]:
        """authentik's ``used_by`` of the provider; nothing where this release has no such list."""
        found = await self._api.find(
            ONE_PROVIDER + "used_by/", records.dependents, permission=VIEW_PROVIDER, pk=pk
        )
        return found or ()

    async def delete_provider(self, pk: ProviderPk) -> bool:
        """Delete the provider; its assignment, schedule and records of provisioned objects go along.

        :returns: ``False`` when there was none.
        """
        return await self._api.delete(ONE_PROVIDER, permission=DELETE_PROVIDER, pk=pk)

    async def _holder(self, name: str, query: Query) -> str | None:
        """Verbose type of the provider of that name; a search may miss names with unusual characters."""
        try:
            found = await self._api.first(
                ALL_PROVIDERS,
                records.mapping,
                lambda fields: fields.get("name") == name,
                permission=VIEW_ANY_PROVIDER,
                query=query,
            )
        except NotFound:
            return None
        return None if found is None else records.text(found, "verbose_name") or "provider"


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
