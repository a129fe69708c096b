"""The Microsoft Entra provider: read, created with its client secret, saved, deleted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields

from authentik_client.models.patched_microsoft_entra_provider_request import (
    PatchedMicrosoftEntraProviderRequest,
)

from authentik_entra_bootstrap.authentik import records
from authentik_entra_bootstrap.authentik.audit import PROVIDER_MODEL, AuditTrail
from authentik_entra_bootstrap.authentik.permission_names import (
    ADD_PROVIDER,
    CHANGE_PROVIDER,
    DELETE_PROVIDER,
    VIEW_ANY_PROVIDER,
    VIEW_PROVIDER,
)
from authentik_entra_bootstrap.authentik.requests import Call, Query, typed
from authentik_entra_bootstrap.authentik.server import PROVIDERS, Server
from authentik_entra_bootstrap.domain import (
    Dependent,
    Provider,
    ProviderPk,
    ProviderSpec,
    SecretText,
    ServerInfo,
    Written,
)
from authentik_entra_bootstrap.errors import AlreadyExists, ConfigError, Denied, NotFound

ONE_PROVIDER = PROVIDERS + "{pk}/"
ALL_PROVIDERS = "/providers/all/"
_PLAIN = re.compile(r"[\w .()-]+")
"""Names that authentik's search finds for certain: it looks for each word within the name."""
_SPEC_FIELDS = tuple(field.name for field in fields(ProviderSpec))
_AS_WITHOUT: Mapping[str, object] = {"dry_run": False, "discovery_enabled": True}
"""How a server behaves that lacks the option: asking for just that asks for nothing."""


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

        made = await self._api.create_once(
            post, find_ours, request_id, what="authentik to create the provider"
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


def _unsupported(values: Mapping[str, object], info: ServerInfo) -> tuple[str, ...]:
    return tuple(
        name
        for name, value in values.items()
        if value is not None and name not in info.provider_fields and _AS_WITHOUT.get(name, ...) != value
    )
