"""Reads both services: the tenant with the connection's application, authentik with the provider and its history."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from authentik_entra_bootstrap.authentik import AuthentikPort
from authentik_entra_bootstrap.domain import (
    AppId,
    Application,
    DeletedApplication,
    Desired,
    Organization,
    PermissionCheck,
    Provider,
    ProviderChange,
    ProviderPk,
    SecretPolicy,
    TokenClaims,
)
from authentik_entra_bootstrap.domain.application_tags import connection_tag, read_tags
from authentik_entra_bootstrap.entra import EntraPort
from authentik_entra_bootstrap.errors import BootstrapError, ConfigError, Conflict, Denied, Temporary
from authentik_entra_bootstrap.planning import ObservedAuthentik, ObservedEntra, ObservedProvider
from authentik_entra_bootstrap.planning.preflight import refuse_tenant
from authentik_entra_bootstrap.rotator.plan import TAG, UNIQUE_NAME
from authentik_entra_bootstrap.support.waiting import Backoff
from authentik_entra_bootstrap.workflows.session import both, outcome

T = TypeVar("T")
Seen = TypeVar("Seen", bound=ObservedProvider)

MAPPINGS_BLUEPRINT = "System - Microsoft Entra Provider - Mappings"
"""The blueprint by which authentik's worker creates its default mappings."""
SETTLING = Backoff(budget=20.0, first=0.4, factor=1.5, ceiling=2.0)
"""How long to read Graph again if its answers contradict each other or authentik's records."""


async def observe_entra(port: EntraPort, desired: Desired) -> ObservedEntra:
    """Read the tenant's side.

    :raises BootstrapError: sign-in, permissions, network.
    """
    operator = await port.operator()
    refuse_tenant(desired, operator)
    (ask_organization, ask_graph), ask_application = await both(
        both(outcome(port.organization()), outcome(port.graph_principal())),
        outcome(_application(port, desired)),
    )
    organization = _organization(ask_organization, operator, ask_application)
    graph = ask_graph()
    application, found_by, rest = ask_application()
    seen = ObservedEntra(operator, organization, graph, application=application, found_by=found_by)
    if application is None:
        deleted, policy = rest
        return replace(seen, deleted=deleted, policy=policy)
    (owners, policy), granted = await both(
        both(port.owners(application.app_object_id), port.secret_policy(application.app_object_id)),
        port.granted(application.app_id, graph.service_principal_object_id),
    )
    return replace(
        seen,
        owners=owners,
        rotator=await _rotator(port) if owners - {operator.object_id} else None,
        policy=policy,
        **vars(granted),
    )


async def _rotator(port: EntraPort) -> str | None:
    """Object id of the rotator's service principal; ``None`` if there is none, or it may not be read."""
    try:
        application = await port.find_application(UNIQUE_NAME)
        if application is None or TAG not in application.tags:
            return None
        principal = await port.find_service_principal(application.app_id)
    except Denied:
        return None
    return principal.service_principal_object_id if principal else None


def _organization(
    answer: Callable[[], Organization], operator: TokenClaims, application: Callable[[], _Found]
) -> Organization:
    """The tenant; by its id alone where the operator may not read it and the connection stands.

    Then only the name is shown, and the rotator, whose one permission reaches applications, goes without.
    """
    try:
        return answer()
    except Denied as error:
        if error.code != "entra-permission-missing":
            raise
        refusal = error
    try:
        stands = application()[0] is not None
    except BootstrapError:
        stands = False
    if not stands:
        raise refusal
    return Organization(operator.tenant_id, operator.tenant_id)


_Rest = tuple[DeletedApplication | None, SecretPolicy]
"""What to read in a tenant without the application."""
_Found = tuple[Application | None, str, _Rest]
"""The application, how it was found, and what else matters if it does not exist."""


async def _application(port: EntraPort, desired: Desired) -> _Found:
    """The application, how it was found, and where there is none: what else matters then.

    Where it is found by its tags, neither the other answers nor their failures count.
    """
    if desired.adopt:
        return await application_to_adopt(port, desired, desired.adopt), "adopt", (None, SecretPolicy())
    application = await port.find_application(desired.unique_name)
    if application is not None:
        return application, "unique-name", (None, SecretPolicy())
    application, (deleted, policy) = await both(
        application_by_tags(port, desired),
        both(
            outcome(port.find_deleted_application(desired.unique_name)),
            outcome(port.secret_policy(None)),
        ),
    )
    rest = (None, SecretPolicy()) if application is not None else (deleted(), policy())
    return application, "tags", rest


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
                "Adopt an application that is registered in this tenant, or run `authentik-entra bootstrap` "
                "without --adopt.",
                facts={"app_id": app_id},
            )
        raise ConfigError(
            "adopt-application-not-found",
            f"The tenant has no application with the client id {app_id}.",
            "Check the Application (client) ID and the tenant; the object id is another one.",
            facts={"app_id": app_id},
        )
    is_its = found.unique_name == desired.unique_name
    holder = found if is_its else await connection_application(port, desired)
    if holder is not None and holder.app_id != found.app_id:
        raise Conflict(
            "connection-has-application",
            f"The connection {desired.connection} has the application {holder.app_id} already.",
            "Remove that one first, or adopt under another connection's name.",
            facts={"app_id": holder.app_id},
        )
    return found


async def connection_application(port: EntraPort, desired: Desired) -> Application | None:
    """The connection's application, by its unique name or else by its tags.

    :raises Conflict: ``several-applications-of-connection``.
    """
    return await port.find_application(desired.unique_name) or await application_by_tags(port, desired)


async def application_by_tags(port: EntraPort, desired: Desired) -> Application | None:
    """The adopted application that carries this connection's tags.

    :raises Conflict: ``several-applications-of-connection``.
    """
    tagged = await port.applications_tagged(connection_tag(desired.connection))
    found = [item for item in tagged if (tags := read_tags(item.tags)).managed and tags.adopted]
    if len(found) > 1:
        raise Conflict(
            "several-applications-of-connection",
            f"Several applications carry the tags of the connection {desired.connection}: "
            f"{', '.join(item.app_id for item in found)}.",
            "Set unique_name to the unique name of the right one, or remove the tags from the others.",
        )
    return found[0] if found else None


async def observe_authentik(
    port: AuthentikPort, desired: Desired, *, saving: bool = False
) -> ObservedAuthentik:
    """Read authentik's side.

    :param saving: see :func:`~authentik_entra_bootstrap.workflows.planning.observe`.

    :raises ConfigError: ``unknown-mapping``, ``unknown-group``.
    :raises Temporary: ``default-mappings-missing``.
    :raises BootstrapError: token, permissions, network, unknown server.
    """
    (
        (server, licence),
        ((named, application), ((user_mappings, group_mappings), group)),
    ) = await both(
        both(port.server(), port.license()),
        both(
            both(named_provider(port, desired), port.find_application(desired.authentik_application_slug)),
            both(_mappings(port, desired), _group(port, desired)),
        ),
    )
    seen = ObservedAuthentik(
        server=server,
        license=licence,
        user_mappings=user_mappings,
        group_mappings=group_mappings,
        filter_group=group,
        application=application,
        **vars(named),
    )
    if seen.provider is not None:
        return seen
    (scope, holder), permissions = await both(
        both(
            port.provisioning_scope(
                filter_group=group, exclude_service_accounts=bool(desired.exclude_service_accounts)
            ),
            port.provider_name_holder(desired.provider_name),
        ),
        _permissions(port, saving=saving),
    )
    return replace(seen, scope=scope, provider_name_holder=holder, permissions=permissions)


async def _permissions(port: AuthentikPort, *, saving: bool) -> tuple[PermissionCheck, ...] | None:
    return await port.permissions("bootstrap") if saving else None


async def _mappings(port: AuthentikPort, desired: Desired) -> tuple[tuple[str, ...], tuple[str, ...]]:
    named = (*(desired.user_mappings or ()), *(desired.group_mappings or ()))
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    if desired.user_mappings is None or desired.group_mappings is None:
        users, groups = await port.default_mappings()
        if (desired.user_mappings is None and not users) or (desired.group_mappings is None and not groups):
            raise Temporary(
                "default-mappings-missing",
                f"authentik has not created its default Microsoft Entra mappings yet ({MAPPINGS_BLUEPRINT}).",
                "Wait until authentik's worker has applied that blueprint (Customization > Blueprints); then run the same "
                "command again. Or name mappings of your own in user_mappings and group_mappings.",
            )
    by_name = await port.mappings_by_name(named) if named else {}
    if unknown := [name for name in named if name not in by_name]:
        raise ConfigError(
            "unknown-mapping",
            f"authentik has no Microsoft Entra property mapping called {', '.join(map(repr, unknown))}.",
            "Check the settings user_mappings and group_mappings; names are case-sensitive.",
        )
    return (
        users if desired.user_mappings is None else tuple(by_name[name] for name in desired.user_mappings),
        groups if desired.group_mappings is None else tuple(by_name[name] for name in desired.group_mappings),
    )


async def _group(port: AuthentikPort, desired: Desired) -> str | None:
    if not desired.filter_group:
        return None
    pk = await port.find_group(desired.filter_group)
    if pk is None:
        raise ConfigError(
            "unknown-group",
            f"authentik has no group called {desired.filter_group!r}.",
            "Check the setting filter_group, or create the group first.",
        )
    return pk


async def named_provider(port: AuthentikPort, desired: Desired) -> ObservedProvider:
    """The provider of the connection's name, with its history, because it is nearly always the right one."""
    found = await port.find_provider(desired.provider_name)
    return ObservedProvider() if found is None else await with_history(port, found)


async def with_history(port: AuthentikPort, provider: Provider) -> ObservedProvider:
    """A provider that was just read, with its history."""
    (change, readable), tasks = await both(
        last_change(port, provider.pk), if_permitted(port.sync_tasks(provider.pk), ())
    )
    return ObservedProvider(
        provider=provider, last_change=change, last_change_readable=readable, sync_tasks=tasks
    )


async def confirmed(port: AuthentikPort, seen: Seen, application: Application) -> Seen:
    """The observation, after a check that the secret's first characters, if the server shows them, fit the audit trail.

    The characters are read before the trail. If both name the same recorded secret, nothing changed in between.
    Otherwise the characters are read again after the trail, and must be the same. Without that, a change between the
    two reads would look like a change of other fields, or like the request that delivered the secret.
    """
    provider = seen.provider
    if provider is None or provider.secret_hint is None:
        return seen
    tags = read_tags(application.tags)
    shown = {item.key_id for item in application.secrets if item.hint == provider.secret_hint}
    held = seen.last_change.request_id if seen.last_change else None
    if any(
        item and item.request_id == held and item.key_id in shown for item in (tags.current, tags.pending)
    ):
        return seen
    while True:
        again = await port.provider(provider.pk) or provider
        if again.secret_hint == provider.secret_hint:
            return replace(seen, provider=again)
        provider = again
        change, readable = await last_change(port, provider.pk)
        seen = replace(seen, last_change=change, last_change_readable=readable)


async def last_change(port: AuthentikPort, pk: ProviderPk) -> tuple[ProviderChange | None, bool]:
    """authentik's last change of a provider, and whether the token may read that."""

    async def read() -> tuple[ProviderChange | None, bool]:
        return await port.last_change(pk), True

    return await if_permitted(read(), (None, False))


async def if_permitted(read: Awaitable[T], otherwise: T) -> T:
    """The result of a read of authentik, or ``otherwise`` if the token may not read it."""
    try:
        return await read
    except Denied as error:
        if error.code != "authentik-permission-missing":
            raise
        return otherwise
