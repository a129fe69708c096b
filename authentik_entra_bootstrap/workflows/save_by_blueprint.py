"""Provider and application by blueprint, with the same result as by the API.

If authentik imports blueprints, the client secret is sent with the import, which does not store it.
Older servers know only stored instances, which every user with access to instances can read. There the
blueprint creates the provider with a placeholder, and the secret follows through the API. Then a second
blueprint assigns the provider to its application. authentik does not sign in before that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from authentik_entra_bootstrap.blueprinting import shipped
from authentik_entra_bootstrap.blueprinting.provider import (
    attaching,
    connection_values,
    creating,
    keeping,
    placeholder_for,
    without_secret,
)
from authentik_entra_bootstrap.domain import (
    AppId,
    AuthentikApplication,
    Desired,
    Provider,
    ProviderSpec,
    SecretText,
    Written,
)
from authentik_entra_bootstrap.errors import (
    BootstrapError,
    ConfigError,
    NotFound,
    Temporary,
    UnexpectedAnswer,
)
from authentik_entra_bootstrap.workflows.blueprints import (
    PROVIDER_BLUEPRINT,
    Applied,
    apply_blueprint,
    blueprint_values,
    keep_blueprint,
)
from authentik_entra_bootstrap.workflows.concurrent_runs import Turn, own_sync_ended, wait_for_other_syncs
from authentik_entra_bootstrap.workflows.session import Context

_TRIAL_HEAD = "version: 1\nmetadata:\n  name: authentik-entra permissions\nentries:\n"
_TRIAL = "  - {{model: {model}, conditions: [false], identifiers: {{name: never}}}}\n"


class ViaBlueprint:
    """Implements :class:`~authentik_entra_bootstrap.workflows.bootstrap.Saving`."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def refuse_without_permission(self) -> None:
        """Import something that does nothing, because only an import tells whether the token may import.

        authentik looks at the permissions for every model in the file first; the condition then skips the entry.

        :raises Denied: ``authentik-permission-missing``, naming the permissions.
        """
        if not await self._context.authentik.imports_blueprints():
            return
        models = ("authentik_providers_microsoft_entra.microsoftentraprovider", "authentik_core.application")
        content = _TRIAL_HEAD + "".join(_TRIAL.format(model=model) for model in models)
        await self._context.authentik.import_blueprint(content, {}, {})

    async def create(self, desired: Desired, spec: ProviderSpec, secret: SecretText) -> Written[Provider]:
        """See ``Saving``. On servers without import the returned request is the one that delivered the secret."""
        text = shipped(PROVIDER_BLUEPRINT).text
        values = {**connection_values(desired, spec.client_id, spec.tenant_id), "provider_name": spec.name}
        content = creating(text, spec)
        if not await self._context.authentik.imports_blueprints():
            given = {**values, "client_secret": placeholder_for(desired)}
            await apply_blueprint(self._context, _title(desired), content, given)
            made = await self._made(spec)
            return await self._context.authentik.update_provider(made.pk, {}, secret)
        try:
            applied = await apply_blueprint(
                self._context, _title(desired), content, values, {"client_secret": secret}
            )
        except (Temporary, UnexpectedAnswer):
            # The reply was lost. Another run may have made what is there now: our secret is delivered to be certain.
            found = await self._context.authentik.find_provider(spec.name)
            if found is None or found.client_id.lower() != spec.client_id.lower():
                raise
            return await self._context.authentik.update_provider(found.pk, {}, secret)
        return Written(await self._made(spec), applied.request_id)

    async def attach(
        self, desired: Desired, provider: Provider, existing: AuthentikApplication | None
    ) -> Written[AuthentikApplication]:
        """See ``Saving``; without a request id where authentik's worker assigned it."""
        slug = existing.slug if existing else desired.authentik_application_slug
        title = f"{_title(desired)}, application"
        content = attaching(slug, desired.authentik_application_name, provider.pk, existing, title)
        request_id: str | None = None
        try:
            applied = await apply_blueprint(self._context, title, content)
            request_id = applied.request_id
        except (Temporary, UnexpectedAnswer):
            found = await self._context.authentik.find_application(slug)
            if found is None or int(provider.pk) not in found.backchannel_provider_pks:
                raise
        made = await self._context.authentik.find_application(slug)
        if made is None:
            raise _vanished("application", slug)
        return Written(made, request_id)

    async def _made(self, spec: ProviderSpec) -> Provider:
        found = await self._context.authentik.find_provider(spec.name)
        if found is None:
            raise _vanished("provider", spec.name)
        return found


def _title(desired: Desired) -> str:
    return f"provider of {desired.connection}"


def _vanished(what: str, name: str) -> BootstrapError:
    return NotFound(
        "blueprint-object-missing",
        f"authentik applied the blueprint, but there is no {what} {name!r}.",
        "Run the same command again.",
    )


async def apply_shipped(
    context: Context,
    desired: Desired,
    name: str,
    *,
    given: Mapping[str, str],
    secret: SecretText | None = None,
    keep: bool = False,
) -> Applied:
    """Apply a shipped blueprint once.

    A working provider is not changed. A provider that is missing, or not assigned to an application yet, gets the
    given secret. This program signs in with it first, so authentik never syncs with a secret that does not work.

    :param keep: also store it as an instance, without any secret.
    :raises ConfigError: ``blueprint-secret-missing``, and as :func:`apply_blueprint` does.
    :raises Denied: ``secret-not-accepted``.
    """
    await context.authentik.server()  # refuses an unknown kind of server before anything is changed
    text, title = shipped(name).text, name
    values = await blueprint_values(context, desired, name, given)
    if name == PROVIDER_BLUEPRINT:
        title = f"{name} of {desired.connection}"
        applied = await _apply_provider(context, desired, title, text, values, secret)
        text = keeping(text)
    else:
        applied = await apply_blueprint(context, title, text, values)
    if not keep:
        return applied
    return replace(applied, instance=await keep_blueprint(context, title, text, values))


async def _apply_provider(
    context: Context,
    desired: Desired,
    title: str,
    text: str,
    values: Mapping[str, object],
    secret: SecretText | None,
) -> Applied:
    name = desired.provider_name
    provider = await context.authentik.find_provider(name)
    if provider is not None and provider.application_slug:
        return await apply_blueprint(context, title, without_secret(text), values)
    if secret is None:
        lacks = "is not assigned to an application yet" if provider else "does not exist yet"
        raise ConfigError(
            "blueprint-secret-missing",
            f"The provider {name!r} {lacks}, and no client secret was given for it.",
            "Run `authentik-entra bootstrap --via blueprint`, which makes one, or give --secret-file.",
        )
    client_id, tenant_id = values.get("client_id"), values.get("tenant_id")
    if not client_id or not tenant_id:
        raise ConfigError(
            "blueprint-application-missing",
            f"The tenant has no application with the unique name {desired.unique_name}, and no client id was given.",
            "Run `authentik-entra bootstrap --via blueprint`, or give --set client_id=… --set tenant_id=….",
        )
    spec = ProviderSpec(name, str(client_id), str(tenant_id), (), (), **desired.provider_options)
    # Raises where the token service does not accept it: then authentik never hears of it.
    await context.entra.sign_in_as(AppId(spec.client_id), secret)
    via = ViaBlueprint(context)
    delivery = Turn(context)
    try:
        await delivery.begin()
        await wait_for_other_syncs(context, name)
        if provider is None:
            made = await via.create(desired, spec, secret)
        else:
            made = await context.authentik.update_provider(provider.pk, {}, secret)
        slug = desired.authentik_application_slug
        written = await via.attach(desired, made.value, await context.authentik.find_application(slug))
        if await own_sync_ended(context, made.value):
            # Assigning starts no sync.
            started = await context.authentik.start_sync(made.value.pk)
            written = replace(written, request_id=started.request_id)
    finally:
        await delivery.close()
    imports = await context.authentik.imports_blueprints()
    return Applied("import" if imports else "instance", written.request_id)
