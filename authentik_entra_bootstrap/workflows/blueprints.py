"""What the blueprint commands do: fill one in, apply one, export a connection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from authentik_entra_bootstrap.blueprinting import (
    check,
    connection_values,
    export_connection,
    filled,
    keeping,
    load,
    shipped,
    without_secret,
)
from authentik_entra_bootstrap.domain import (
    AppId,
    Desired,
    Provider,
    ProviderSpec,
    SecretText,
)
from authentik_entra_bootstrap.errors import ConfigError
from authentik_entra_bootstrap.workflows.apply_blueprint import Applied, apply_blueprint, keep_blueprint
from authentik_entra_bootstrap.workflows.context import Context
from authentik_entra_bootstrap.workflows.delivery import Delivery, own_sync_ended, wait_for_other_syncs
from authentik_entra_bootstrap.workflows.save_by_blueprint import ViaBlueprint

PROVIDER = "entra-provider"
CUSTOM_MAPPINGS = "custom-mappings-example"


@dataclass(frozen=True)
class Named:
    """A shipped blueprint with the values that a connection gives it.

    :param values: context by name; ``None`` where a value is not known.
    """

    name: str
    text: str
    values: Mapping[str, object]


async def render(context: Context, desired: Desired, name: str, given: Mapping[str, str]) -> str:
    """A shipped blueprint with the connection's values in its context; never with a secret.

    :param given: context values that win over the connection's.
    :raises ConfigError: ``blueprint-unknown``.
    """
    named = await _named(context, desired, name, given)
    return filled(named.text, named.values)


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

    A provider that works is left alone. One that is missing, or not assigned to an application yet, gets the secret
    that is given, after it has signed in with it: authentik never syncs with a secret that does not work.

    :param keep: also store it as an instance, without any secret.
    :raises ConfigError: ``blueprint-secret-missing``, and as :func:`apply_blueprint` does.
    :raises Denied: ``secret-not-accepted``.
    """
    await context.authentik.server()  # refuses an unknown kind of server before anything is changed
    named = await _named(context, desired, name, given)
    if name == PROVIDER:
        applied = await _apply_provider(context, desired, named, secret)
        kept = keeping(named.text)
    else:
        applied = await apply_blueprint(context, named.name, named.text, named.values)
        kept = named.text
    if not keep:
        return applied
    title = f"{named.name} of {desired.connection}" if name == PROVIDER else named.name
    instance = await keep_blueprint(context, title, kept, named.values)
    return replace(applied, instance=instance)


async def export(context: Context, desired: Desired) -> str:
    """The connection's provider and application as a blueprint for another authentik.

    :raises ConfigError: ``blueprint-nothing-to-export``.
    """
    provider = await context.authentik.find_provider(desired.provider_name)
    if provider is None:
        raise ConfigError(
            "blueprint-nothing-to-export",
            f"authentik has no Microsoft Entra provider {desired.provider_name!r}.",
            "Run bootstrap first, or set provider_name to that of the provider.",
        )
    used = {*provider.property_mappings, *provider.property_mappings_group}
    mappings = [item for item in await context.authentik.property_mappings() if item.pk in used]
    group = await context.authentik.group_name(provider.filter_group) if provider.filter_group else None
    slug = provider.application_slug
    application = await context.authentik.find_application(slug) if slug else None
    text = export_connection(provider, application, mappings, group)
    problems = [item.where for item in check(load(text)) if item.code == "secret"]
    if problems:
        raise ConfigError(
            "blueprint-holds-secret",
            f"The export would hold what looks like a secret: {', '.join(problems)}.",
            "Take it out of the property mapping's expression; authentik can read it from elsewhere.",
        )
    return text


async def _named(context: Context, desired: Desired, name: str, given: Mapping[str, str]) -> Named:
    text = shipped(name).text
    values: dict[str, object] = {}
    if name == PROVIDER:
        app_id, tenant_id = await _identity(context, desired, given)
        values = connection_values(desired, app_id, tenant_id)
    elif name == CUSTOM_MAPPINGS and "verified_domains" not in given:
        organization = await context.entra.organization()
        values = {"verified_domains": ", ".join(organization.verified_domains) or None}
    return Named(name, text, {**values, **given})


async def _identity(
    context: Context, desired: Desired, given: Mapping[str, str]
) -> tuple[str | None, str | None]:
    """Client id and tenant: as given, of the provider that exists, else of the application in the tenant."""
    if {"client_id", "tenant_id"} <= set(given):
        return given["client_id"], given["tenant_id"]
    provider = await context.authentik.find_provider(desired.provider_name)
    if provider is not None:
        return provider.client_id, provider.tenant_id
    organization = await context.entra.organization()
    application = await context.entra.find_application(desired.unique_name)
    return application.app_id if application else None, organization.tenant_id


async def _apply_provider(
    context: Context, desired: Desired, named: Named, secret: SecretText | None
) -> Applied:
    provider = await context.authentik.find_provider(desired.provider_name)
    if provider is not None and provider.application_slug:
        title = f"{named.name} of {desired.connection}"
        return await apply_blueprint(context, title, without_secret(named.text), named.values)
    if secret is None:
        raise ConfigError(
            "blueprint-secret-missing",
            f"The provider {desired.provider_name!r} "
            + ("is not assigned to an application yet" if provider else "does not exist yet")
            + ", and no client secret was given for it.",
            "Run `authentik-entra bootstrap --via blueprint`, which makes one, or give --secret-file.",
        )
    client_id, tenant_id = named.values.get("client_id"), named.values.get("tenant_id")
    if not client_id or not tenant_id:
        raise ConfigError(
            "blueprint-application-missing",
            f"The tenant has no application with the unique name {desired.unique_name}, and no client id was given.",
            "Run `authentik-entra bootstrap --via blueprint`, or give --set client_id=… --set tenant_id=….",
        )
    spec = _spec(desired, str(client_id), str(tenant_id))
    # Raises where the token service does not accept it: then authentik never hears of it.
    await context.entra.sign_in_as(AppId(spec.client_id), secret)
    via = ViaBlueprint(context)
    delivery = Delivery(context)
    try:
        await delivery.begin()
        await wait_for_other_syncs(context, spec.name)
        made = await _with_secret(context, via, desired, spec, secret, provider)
        slug = desired.authentik_application_slug
        written = await via.attach(desired, made, await context.authentik.find_application(slug))
        if await own_sync_ended(context, made):
            # Assigning starts no sync.
            written = replace(written, request_id=(await context.authentik.start_sync(made.pk)).request_id)
    finally:
        await delivery.close()
    imports = await context.authentik.imports_blueprints()
    return Applied("import" if imports else "instance", written.request_id)


async def _with_secret(
    context: Context,
    via: ViaBlueprint,
    desired: Desired,
    spec: ProviderSpec,
    secret: SecretText,
    provider: Provider | None,
) -> Provider:
    if provider is None:
        return (await via.create(desired, spec, secret)).value
    return (await context.authentik.update_provider(provider.pk, {}, secret)).value


def _spec(desired: Desired, client_id: str, tenant_id: str) -> ProviderSpec:
    """What identifies the provider, and what is asked for beyond authentik's defaults; the context has the rest."""
    return ProviderSpec(
        desired.provider_name,
        client_id,
        tenant_id,
        (),
        (),
        exclude_users_service_account=desired.exclude_service_accounts,
        user_delete_action=desired.user_delete_action,
        group_delete_action=desired.group_delete_action,
        dry_run=desired.dry_run,
        sync_page_size=desired.sync_page_size,
        sync_page_timeout=desired.sync_page_timeout,
        discovery_enabled=desired.discovery_enabled,
    )
