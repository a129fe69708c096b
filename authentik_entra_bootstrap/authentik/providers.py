"""The Microsoft Entra provider, and the application that it is assigned to: read, created, saved, deleted.

Applications are read by slug, never by the filtered list: that one is cached and ignores its filters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from authentik_client.models.application_request import ApplicationRequest
from authentik_client.models.patched_application_request import PatchedApplicationRequest
from authentik_client.models.patched_microsoft_entra_provider_request import (
    PatchedMicrosoftEntraProviderRequest,
)

from authentik_entra_bootstrap.authentik.api_errors import permitted
from authentik_entra_bootstrap.authentik.requests import (
    ALL_PROVIDERS,
    APPLICATIONS,
    BINDINGS,
    PROVIDERS,
    Malformed,
    Query,
    flag,
    items,
    keys,
    mapping,
    needed_number,
    needed_text,
    number,
    text,
    typed,
)
from authentik_entra_bootstrap.authentik.server import Server
from authentik_entra_bootstrap.domain import (
    AuthentikApplication,
    Dependent,
    Provider,
    ProviderPk,
    ProviderSpec,
    SecretText,
    ServerInfo,
    Written,
)
from authentik_entra_bootstrap.errors import AlreadyExists, ConfigError, Denied, NotFound

_SLUG = re.compile(r"[-a-zA-Z0-9_]+")
_PLAIN = re.compile(r"[\w .()-]+")
"""Names that authentik's search finds for certain: it looks for each word within the name."""
_AS_WITHOUT: Mapping[str, object] = {"dry_run": False, "discovery_enabled": True}
"""How a server behaves that lacks the option: asking for just that asks for nothing."""
_HINT_LENGTH = 3


class Providers(Server):
    """Reads and writes of ``/providers/microsoft_entra/`` and ``/core/applications/``."""

    async def provider(self, pk: ProviderPk) -> Provider | None:
        """The provider by primary key."""
        return await self._api.find(PROVIDERS, pk, provider)

    async def find_provider(self, name: str) -> Provider | None:
        """The provider of exactly that name."""
        return await self._api.first(PROVIDERS, provider, lambda found: found.name == name, (("name", name),))

    async def providers(self) -> tuple[Provider, ...]:
        """Every Microsoft Entra provider."""
        return tuple(await self._api.pages(PROVIDERS, provider))

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

    async def _holder(self, name: str, query: Query) -> str | None:
        try:
            found = await self._api.first(
                ALL_PROVIDERS, mapping, lambda fields: fields.get("name") == name, query
            )
        except NotFound:
            return None
        return None if found is None else text(found, "verbose_name") or "provider"

    async def create_provider(self, spec: ProviderSpec, secret: SecretText) -> Written[Provider]:
        """Create the provider with its secret; a lost answer is resolved by reading.

        The provider that was read may have been created by another run that asked for the same at the same time.
        Only its secret differs, and the secret cannot be read. So the secret is delivered once more, and the provider
        holds the one that the caller believes it to hold.

        :raises ConfigError: ``authentik-option-unsupported``.
        """
        wanted = {name: value for name, value in vars(spec).items() if value is not None}
        body = provider_body(wanted, await self._known_server())
        call = PROVIDERS.call("POST", body=body, secrets={"client_secret": secret})

        async def find() -> Provider | None:
            found = await self.find_provider(spec.name)
            if found is not None and not is_as_asked(found, body):
                raise AlreadyExists(
                    "authentik-name-taken",
                    f"authentik has a provider named {found.name} already, with other settings.",
                    "Choose another name, or adopt the existing provider.",
                    call.trace(),
                    {"field": "name"},
                )
            return found

        made = await self._api.create(call, provider, find, what="authentik to create the provider")
        return made if made.request_id else await self.update_provider(made.value.pk, {}, secret)

    async def update_provider(
        self, pk: ProviderPk, changes: Mapping[str, object], secret: SecretText | None = None
    ) -> Written[Provider]:
        """Change fields and, where given, the secret. Repeated on lost answers: once more changes nothing."""
        body = provider_body(changes, await self._known_server())
        secrets = {} if secret is None else {"client_secret": secret}
        return await self._api.write(PROVIDERS.call("PATCH", pk, body=body, secrets=secrets), provider)

    async def start_sync(self, pk: ProviderPk) -> Written[Provider]:
        """Save the provider, which starts a full sync when it is assigned to an application."""
        return await self.update_provider(pk, {})

    async def provider_dependents(self, pk: ProviderPk) -> tuple[Dependent, ...]:
        """authentik's ``used_by`` of the provider; nothing where this release has no such list."""
        return await self._api.find(PROVIDERS, pk, dependents, "used_by/") or ()

    async def delete_provider(self, pk: ProviderPk) -> bool:
        """Delete the provider; its assignment, schedule and records of provisioned objects go along."""
        return await self._api.delete(PROVIDERS, pk)

    async def find_application(self, slug: str) -> AuthentikApplication | None:
        """The application by slug.

        :raises ConfigError: ``authentik-slug-invalid``.
        """
        _check_slug(slug)
        return await self._api.find(APPLICATIONS, slug, application)

    async def create_application(
        self, *, slug: str, name: str, backchannel_provider_pks: Sequence[int]
    ) -> Written[AuthentikApplication]:
        """Create the application with its backchannel providers; a lost answer is resolved by reading."""
        _check_slug(slug)
        wanted = {
            "name": name,
            "slug": slug,
            "backchannel_providers": list(backchannel_provider_pks),
        }
        call = APPLICATIONS.call("POST", body=typed(ApplicationRequest, wanted))

        async def find() -> AuthentikApplication | None:
            found = await self.find_application(slug)
            if found is None:
                return None
            same = set(found.backchannel_provider_pks) == set(backchannel_provider_pks)
            if not same or found.name != name.strip():
                raise AlreadyExists(
                    "authentik-slug-taken",
                    f"authentik has an application with the slug {slug} already, with other settings.",
                    "Choose another slug, or adopt the existing application.",
                    call.trace(),
                    {"field": "slug"},
                )
            return found

        return await self._api.create(call, application, find, what="authentik to create the application")

    async def set_backchannel_providers(self, slug: str, pks: Sequence[int]) -> Written[AuthentikApplication]:
        """Replace the list of backchannel providers."""
        _check_slug(slug)
        body = typed(PatchedApplicationRequest, {"backchannel_providers": list(pks)})
        return await self._api.write(APPLICATIONS.call("PATCH", slug, body=body), application)

    async def application_dependents(self, application: AuthentikApplication) -> tuple[Dependent, ...]:
        """authentik's ``used_by`` of its application."""
        return await self._api.find(APPLICATIONS, application.slug, dependents, "used_by/") or ()

    async def application_bindings(self, application: AuthentikApplication) -> int | None:
        """Number of policy bindings of an application; ``None`` where the token may not look.

        An application is a policy binding model: its primary key is what a binding has as target.
        """
        page = await permitted(self._api.page(BINDINGS, mapping, (("target", application.pk),), size=1))
        return page.count if page else None

    async def delete_application(self, application: AuthentikApplication) -> bool:
        """Delete the application, which takes its backchannel providers along."""
        return await self._api.delete(APPLICATIONS, application.slug)


def _check_slug(slug: str) -> None:
    if not _SLUG.fullmatch(slug):
        raise ConfigError(
            "authentik-slug-invalid",
            f"{slug!r} is not a slug: only letters, digits, hyphens and underscores are allowed.",
            "Choose another slug for the authentik application.",
        )


def provider_body(wanted: Mapping[str, object], info: ServerInfo) -> dict[str, object]:
    """The provider's fields as JSON, without its secret.

    :param wanted: values by field name of :class:`ProviderSpec`; ``filter_group=None`` removes the filter, of other
        fields ``None`` is not sent.
    :raises ConfigError: ``authentik-option-unsupported``, ``authentik-value-invalid``.
    """
    values = {name: value for name, value in wanted.items() if value is not None or name == "filter_group"}
    missing = sorted(
        name
        for name in values.keys() - info.provider_fields
        if values[name] is not None and _AS_WITHOUT.get(name, ...) != values[name]
    )
    if missing:
        raise ConfigError(
            "authentik-option-unsupported",
            f"authentik {info.version} does not have the option {', '.join(missing)} of the Microsoft Entra provider.",
            "Leave the option out, or update authentik.",
            facts={"fields": ", ".join(missing)},
        )
    sent = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
        if name in info.provider_fields
    }
    # The PATCH model for both methods: its fields are the POST's, and the secret, which POST's insists on,
    # joins when the request is written.
    return typed(PatchedMicrosoftEntraProviderRequest, sent)


def is_as_asked(found: Provider, body: Mapping[str, object]) -> bool:
    """Whether a provider that was read has every value that was sent (lists in any order)."""

    def plain(value: object) -> object:
        return frozenset(map(str, value)) if isinstance(value, list | tuple) else str(value).strip()

    read = {name: getattr(found, name, None) for name in body}
    shown = {name for name, value in read.items() if value is not None or name == "filter_group"}
    return all(plain(read[name]) == plain(body[name]) for name in shown)


def provider(body: object) -> Provider:
    """A Microsoft Entra provider; of ``client_secret``, which older servers show, three characters are kept."""
    fields = mapping(body)
    return Provider(
        pk=ProviderPk(needed_number(fields, "pk")),
        name=needed_text(fields, "name"),
        client_id=text(fields, "client_id") or "",
        tenant_id=text(fields, "tenant_id") or "",
        property_mappings=keys(fields, "property_mappings"),
        property_mappings_group=keys(fields, "property_mappings_group"),
        filter_group=text(fields, "filter_group"),
        exclude_users_service_account=flag(fields, "exclude_users_service_account"),
        user_delete_action=text(fields, "user_delete_action") or "delete",
        group_delete_action=text(fields, "group_delete_action") or "delete",
        dry_run=flag(fields, "dry_run"),
        sync_page_size=number(fields, "sync_page_size"),
        sync_page_timeout=text(fields, "sync_page_timeout"),
        discovery_enabled=flag(fields, "discovery_enabled")
        if isinstance(fields.get("discovery_enabled"), bool)
        else None,
        application_slug=text(fields, "assigned_backchannel_application_slug"),
        # As much as Microsoft Graph shows to every reader as the credential's hint.
        secret_hint=(text(fields, "client_secret") or "")[:_HINT_LENGTH] or None,
    )


def application(body: object) -> AuthentikApplication:
    """authentik's application."""
    fields = mapping(body)
    return AuthentikApplication(
        pk=needed_text(fields, "pk"),
        slug=needed_text(fields, "slug"),
        name=text(fields, "name") or "",
        provider_pk=number(fields, "provider"),
        backchannel_provider_pks=tuple(
            pk for pk in items(fields, "backchannel_providers") if isinstance(pk, int)
        ),
        meta_launch_url=text(fields, "meta_launch_url") or None,
    )


def dependents(body: object) -> tuple[Dependent, ...]:
    """authentik's ``used_by`` list: the objects that depend on one."""
    if not isinstance(body, list):
        raise Malformed("it is no list")
    return tuple(
        Dependent(
            model=text(fields, "model_name") or "object",
            pk=str(fields.get("pk") or ""),
            name=text(fields, "name") or str(fields.get("pk")),
            action=text(fields, "action") or "cascade",
        )
        for fields in map(mapping, body)
    )
