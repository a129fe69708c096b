"""Blueprints: fill in, apply once or keep as an instance, export a connection.

A blueprint is imported if the server can do that, else applied through a stored instance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from authentik_entra_bootstrap.blueprinting import filled, load, shipped
from authentik_entra_bootstrap.blueprinting.check import check, references, refusal
from authentik_entra_bootstrap.blueprinting.provider import connection_values, export_connection
from authentik_entra_bootstrap.domain import BlueprintInstance, Desired, SecretText
from authentik_entra_bootstrap.errors import BootstrapError, ConfigError
from authentik_entra_bootstrap.support.waiting import CONSUMER
from authentik_entra_bootstrap.workflows.session import Context

PROVIDER_BLUEPRINT = "entra-provider"
CUSTOM_MAPPINGS = "custom-mappings-example"
INSTANCE_PREFIX = "authentik-entra: "
_ENDED = frozenset({"successful", "warning", "error", "orphaned"})


@dataclass(frozen=True)
class Applied:
    """How a blueprint was applied.

    :param how: ``import`` or ``instance``.
    :param request_id: of the import; ``None`` where authentik's worker applied it.
    :param instance: name of the instance that was kept.
    """

    how: str
    request_id: str | None = None
    instance: str | None = None


async def render(context: Context, desired: Desired, name: str, given: Mapping[str, str]) -> str:
    """A shipped blueprint with the connection's values in its context; never with a secret.

    :param given: context values that win over the connection's.
    :raises ConfigError: ``blueprint-unknown``.
    """
    text = shipped(name).text
    return filled(text, await blueprint_values(context, desired, name, given))


async def export(context: Context, desired: Desired) -> str:
    """The connection's provider and application as a blueprint for another authentik.

    :raises ConfigError: ``blueprint-nothing-to-export``.
    """
    provider = await context.authentik.find_provider(desired.provider_name)
    if provider is None:
        raise ConfigError(
            "blueprint-nothing-to-export",
            f"authentik has no Microsoft Entra provider {desired.provider_name!r}.",
            "Run `authentik-entra bootstrap` first, or set provider_name to that of the provider.",
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


async def blueprint_values(
    context: Context, desired: Desired, name: str, given: Mapping[str, str]
) -> Mapping[str, object]:
    """Context of a shipped blueprint for a connection: name -> value; ``None`` for an unknown value.

    :param given: values that win over the connection's.
    """
    values: dict[str, object] = {}
    if name == PROVIDER_BLUEPRINT:
        app_id, tenant_id = await _identity(context, desired, given)
        values = connection_values(desired, app_id, tenant_id)
    elif name == CUSTOM_MAPPINGS and "verified_domains" not in given:
        organization = await context.entra.organization()
        values = {"verified_domains": ", ".join(organization.verified_domains) or None}
    return {**values, **given}


async def _identity(
    context: Context, desired: Desired, given: Mapping[str, str]
) -> tuple[str | None, str | None]:
    """Client id and tenant: as given, else of the existing provider, else of the application in the tenant."""
    if {"client_id", "tenant_id"} <= set(given):
        return given["client_id"], given["tenant_id"]
    provider = await context.authentik.find_provider(desired.provider_name)
    if provider is not None:
        return provider.client_id, provider.tenant_id
    organization = await context.entra.organization()
    application = await context.entra.find_application(desired.unique_name)
    return application.app_id if application else None, organization.tenant_id


async def _check(
    context: Context, text: str, given: Mapping[str, object], secrets: Mapping[str, SecretText]
) -> None:
    """Check a blueprint, and whether authentik has what it refers to, before anything is sent.

    :raises ConfigError: ``blueprint-unreadable``, ``blueprint-broken``, ``blueprint-reference-missing``.
    """
    values = {name: value for name, value in given.items() if value is not None}
    names = {*values, *secrets}
    document = load(text)
    problems = check(document, names)
    if problems:
        listed = "; ".join(f"{problem.where}: {problem.what}" for problem in problems)
        raise ConfigError(
            "blueprint-broken",
            f"The blueprint cannot be applied: {listed}.",
            "Correct it; values that are missing come from the connection's settings.",
            facts={"problems": ", ".join(f"{problem.code} {problem.where}" for problem in problems)},
        )
    wanted = references(document, values)
    missing = [
        str(item) for item in wanted if await context.authentik.exists(item.model, item.conditions) is False
    ]
    if missing:
        raise ConfigError(
            "blueprint-reference-missing",
            f"authentik does not have what the blueprint refers to: {'; '.join(missing)}.",
            "Make it in authentik, or name another one in the settings.",
            facts={"missing": "; ".join(missing)},
        )


async def apply_blueprint(
    context: Context,
    title: str,
    text: str,
    values: Mapping[str, object] | None = None,
    secrets: Mapping[str, SecretText] | None = None,
) -> Applied:
    """Apply a blueprint once, and leave only the objects that it created.

    :param title: name of the instance that exists meanwhile on servers without import.
    :param secrets: given to an import alone; there they are not stored.
    :raises ConfigError: ``blueprint-broken``, ``blueprint-reference-missing``.
    :raises Conflict: ``blueprint-refused``.
    :raises Temporary: ``blueprint-not-applied``: authentik's worker did not do it in time.
    """
    values, secrets = values or {}, secrets or {}
    await _check(context, text, values, secrets)
    if await context.authentik.imports_blueprints():
        result = await context.authentik.import_blueprint(text, values, secrets)
        if not result.value.success:
            raise refusal(result.value.lines)
        return Applied("import", result.request_id)
    if secrets:
        raise AssertionError("a stored blueprint must not be given a secret")
    # Under a name of its own: one that is kept for the same blueprint stays.
    instance = await _run_instance(context, f"{title} (once)", filled(text, values))
    await _remove(context, instance)
    return Applied("instance")


async def keep_blueprint(context: Context, title: str, text: str, values: Mapping[str, object]) -> str:
    """Store a blueprint as an instance that authentik applies again when it changes, and apply it.

    :param text: must hold no secret, and needs none.
    :returns: the instance's name.
    :raises Conflict: ``blueprint-refused``.
    """
    await _check(context, text, values, {})
    return (await _run_instance(context, title, filled(text, values), keep=True)).name


async def _run_instance(
    context: Context, title: str, content: str, *, keep: bool = False
) -> BlueprintInstance:
    """Store, apply, wait. A refused instance is removed."""
    name = f"{INSTANCE_PREFIX}{title}"
    saved = await context.authentik.save_blueprint(name, content)
    good = False
    try:
        await context.authentik.apply_blueprint(saved.pk)

        async def ended() -> BlueprintInstance | None:
            # A save moves last_applied as well: this one is known from the save's own answer.
            seen = await context.authentik.blueprint(saved.pk)
            moved = seen is not None and seen.last_applied != saved.last_applied
            return seen if seen is not None and moved and seen.status in _ENDED else None

        seen = await context.waiter.until(
            ended,
            what="authentik's worker to apply the blueprint",
            code="blueprint-not-applied",
            backoff=CONSUMER,
            remedy="Check that authentik's worker is running and not busy; then run the same command again.",
        )
        if seen.status not in {"successful", "warning"}:
            raise refusal(await context.authentik.blueprint_lines(saved.pk))
        good = True
        return seen
    finally:
        if not good and not keep:
            await _remove(context, saved)


async def _remove(context: Context, instance: BlueprintInstance) -> None:
    """Remove an instance. A failure is ignored: the result of the blueprint matters more."""
    try:
        await context.authentik.delete_blueprint(instance.pk)
    except BootstrapError as error:
        context.reporter.warn(
            f"The blueprint instance “{instance.name}” could not be removed from authentik ({error.code}); it holds "
            "no secret. Remove it under Customization, Blueprints."
        )
