"""Which application and which provider are this connection's, beyond their names."""

from __future__ import annotations

from dataclasses import replace

from authentik_entra_bootstrap.authentik.port import AuthentikPort
from authentik_entra_bootstrap.domain import (
    AppId,
    Application,
    Desired,
    Provider,
    ProviderChange,
    ProviderPk,
    TaskRecord,
)
from authentik_entra_bootstrap.domain.application_tags import connection_tag, read_marks
from authentik_entra_bootstrap.entra.port import EntraPort
from authentik_entra_bootstrap.errors import ConfigError, Conflict, Denied
from authentik_entra_bootstrap.planning.adoption import belongs, resolve_names
from authentik_entra_bootstrap.planning.observation import ObservedAuthentik, ObservedEntra
from authentik_entra_bootstrap.workflows.concurrent_runs import last_change
from authentik_entra_bootstrap.workflows.context import both


async def application_to_adopt(port: EntraPort, desired: Desired, app_id: AppId) -> Application:
    """The application by client id, if it can be taken over.

    :raises ConfigError: ``adopt-application-not-found``.
    :raises Conflict: ``adopt-application-of-another-tenant``, ``connection-has-application``.
    """
    found = await port.application_by_app_id(app_id)
    if found is None:
        if await port.find_service_principal(app_id) is not None:
            raise Conflict(
                "adopt-application-of-another-tenant",
                f"{app_id} is an application of another tenant: this tenant has only its service principal.",
                "Adopt an application that is registered in this tenant, or run bootstrap without --adopt.",
                facts={"app_id": app_id},
            )
        raise ConfigError(
            "adopt-application-not-found",
            f"The tenant has no application with the client id {app_id}.",
            "Check the Application (client) ID and the tenant; the object id is another one.",
            facts={"app_id": app_id},
        )
    holder = found if found.unique_name == desired.unique_name else await _holder(port, desired)
    if holder is not None and holder.app_id != found.app_id:
        raise Conflict(
            "connection-has-application",
            f"The connection {desired.connection} has the application {holder.app_id} already.",
            "Remove that one first, or adopt under another connection's name.",
            facts={"app_id": holder.app_id},
        )
    return found


async def _holder(port: EntraPort, desired: Desired) -> Application | None:
    return await port.find_application(desired.unique_name) or await application_by_marks(port, desired)


async def application_by_marks(port: EntraPort, desired: Desired) -> Application | None:
    """The adopted application that carries this connection's tags.

    :raises Conflict: ``several-applications-of-connection``.
    """
    tagged = await port.applications_tagged(connection_tag(desired.connection))
    found = [item for item in tagged if (marks := read_marks(item.tags)).managed and marks.adopted]
    if len(found) > 1:
        raise Conflict(
            "several-applications-of-connection",
            f"Several applications carry the tags of the connection {desired.connection}: "
            f"{', '.join(item.app_id for item in found)}.",
            "Set unique_name to the unique name of the right one, or remove the tags from the others.",
        )
    return found[0] if found else None


async def match(
    port: AuthentikPort, desired: Desired, entra: ObservedEntra, authentik: ObservedAuthentik
) -> ObservedAuthentik:
    """The observation with the provider that signs in as the application, whatever its name, and its application.

    A provider of the wanted name that signs in as another application stays when there is no better one.
    """
    application, named = entra.application, authentik.provider
    if application is None:
        return authentik
    tenant = entra.operator.tenant_id
    past = named, authentik.last_change, authentik.last_change_readable, authentik.sync_tasks
    if named is None or not belongs(named, application, tenant):
        mine = [item for item in await port.providers() if belongs(item, application, tenant)]
        if mine:
            mine.sort(key=lambda item: item.application_slug != desired.authentik_application_slug)
            holder = authentik.provider_name_holder or ("Microsoft Entra Provider" if named else None)
            authentik = replace(authentik, same_client=tuple(mine[1:]), provider_name_holder=holder)
            past = await history(port, mine[0])
    provider, change, readable, tasks = await confirmed(port, past, application)
    authentik = replace(
        authentik, provider=provider, last_change=change, last_change_readable=readable, sync_tasks=tasks
    )
    slug = resolve_names(desired, entra, authentik).authentik_application_slug
    if slug != desired.authentik_application_slug:
        authentik = replace(authentik, application=await port.find_application(slug))
    return authentik


History = tuple[Provider | None, ProviderChange | None, bool, tuple[TaskRecord, ...]]
"""A provider, its last change, whether that may be read at all, and its newest sync tasks."""


async def named_provider(port: AuthentikPort, desired: Desired) -> History:
    """The provider of the connection's name, and at once its history: it is nearly always the right one."""
    found = await port.find_provider(desired.provider_name)
    return (None, None, True, ()) if found is None else await history(port, found)


async def history(port: AuthentikPort, provider: Provider) -> History:
    """What authentik remembers of a provider that was just read."""
    (change, readable), tasks = await both(last_change(port, provider.pk), sync_tasks(port, provider.pk))
    return provider, change, readable, tasks


async def confirmed(port: AuthentikPort, seen: History, application: Application) -> History:
    """The history in which the first characters of the secret, where the server shows them, fit the audit trail.

    They are read before the trail. Where both tell the same of a secret on record, nothing happened in between. Else
    they have to be the same before and after: a change between the two reads would seem to be one of other fields
    only, or be taken for the request that delivered the secret.
    """
    provider, change, readable, tasks = seen
    if provider is None or provider.secret_hint is None:
        return seen
    marks = read_marks(application.tags)
    shown = {item.key_id for item in application.secrets if item.hint == provider.secret_hint}
    held = change.request_id if change else None
    if any(
        item and item.request_id == held and item.key_id in shown for item in (marks.current, marks.pending)
    ):
        return seen
    while True:
        again = await port.provider(provider.pk) or provider
        if again.secret_hint == provider.secret_hint:
            return again, change, readable, tasks
        provider = again
        change, readable = await last_change(port, provider.pk)


async def sync_tasks(port: AuthentikPort, pk: ProviderPk) -> tuple[TaskRecord, ...]:
    """Its newest sync tasks; none where they may not be read."""
    try:
        return await port.sync_tasks(pk)
    except Denied as error:
        if error.code != "authentik-permission-missing":
            raise
        return ()
