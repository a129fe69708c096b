"""Read both sides, concurrently and read-only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from authentik_entra_bootstrap.authentik.port import AuthentikPort
from authentik_entra_bootstrap.domain import (
    Application,
    DeletedApplication,
    Desired,
    Organization,
    PermissionCheck,
    ProvisioningScope,
    SecretPolicy,
    TokenClaims,
)
from authentik_entra_bootstrap.entra.port import EntraPort
from authentik_entra_bootstrap.errors import BootstrapError, ConfigError, Denied, Temporary
from authentik_entra_bootstrap.planning.adoption import adopting, resolve_names
from authentik_entra_bootstrap.planning.differences import Action, Target
from authentik_entra_bootstrap.planning.observation import ObservedAuthentik, ObservedEntra
from authentik_entra_bootstrap.planning.plan import make_plan, secret_observation
from authentik_entra_bootstrap.planning.preflight import refuse_tenant
from authentik_entra_bootstrap.planning.scope import provider_changes, scope_effects
from authentik_entra_bootstrap.rotation.decide import stale_read_reason
from authentik_entra_bootstrap.rotator.observation import TAG, UNIQUE_NAME
from authentik_entra_bootstrap.support.waiting import Backoff
from authentik_entra_bootstrap.workflows.context import Context, both, outcome
from authentik_entra_bootstrap.workflows.lookup import (
    application_by_marks,
    application_to_adopt,
    match,
    named_provider,
)

MAPPINGS_BLUEPRINT = "System - Microsoft Entra Provider - Mappings"
"""The blueprint by which authentik's worker creates its default mappings."""
SETTLING = Backoff(budget=20.0, first=0.4, factor=1.5, ceiling=2.0)
"""How long an answer that contradicts authentik's records is taken for an out-of-date replica's."""


async def observe(
    context: Context, desired: Desired, *, saving: bool = False
) -> tuple[ObservedEntra, ObservedAuthentik]:
    """Read both sides.

    Microsoft Graph answers from any replica. Where its answer contradicts what authentik (which is
    consistent) has on record, it is asked again for a while before it is believed.

    :param saving: whether what is missing will be made: then the token's permissions are read along with it.
    :raises BootstrapError: from either side, Entra's first.
    """
    entra, named = await both(
        context.waiter.retry(
            lambda: observe_entra(context.entra, desired),
            what="Entra ID to show the application to adopt",
            # Somebody may have made it a moment ago.
            when=lambda error: getattr(error, "code", "") == "adopt-application-not-found",
            backoff=SETTLING,
        ),
        observe_authentik(context.authentik, desired, saving=saving),
    )
    authentik = await match(context.authentik, desired, entra, named)
    wait = context.waiter.begin(SETTLING)
    while (doubt := out_of_date(desired, entra, authentik, context)) and await wait.pause(doubt):
        entra = await observe_entra(context.entra, desired)
        authentik = await match(context.authentik, desired, entra, named)
    wait.over()
    return entra, await _what_changes_mean(
        context.authentik, resolve_names(desired, entra, authentik), authentik
    )


async def _what_changes_mean(
    port: AuthentikPort, desired: Desired, authentik: ObservedAuthentik
) -> ObservedAuthentik:
    """The observation with what it takes to tell people about changes of an existing provider: names, people, links."""
    provider = authentik.provider
    changes = provider_changes(desired, authentik)
    if provider is None or not changes:
        return authentik
    names: dict[str, str] = {}
    if "filter_group" in changes:
        for pk in filter(None, (provider.filter_group, authentik.filter_group)):
            names[pk] = await port.group_name(pk) or "unknown"
    if {"property_mappings", "property_mappings_group"} & changes.keys():
        names |= {item.pk: item.name for item in await port.property_mappings()}
    authentik = replace(authentik, names=names)
    if not scope_effects(provider, changes):
        return authentik
    group = provider.filter_group if desired.filter_group is None else authentik.filter_group
    excluded = provider.exclude_users_service_account
    wanted = excluded if desired.exclude_service_accounts is None else desired.exclude_service_accounts
    now, (after, linked) = await both(
        port.provisioning_scope(filter_group=provider.filter_group, exclude_service_accounts=excluded),
        both(
            port.provisioning_scope(filter_group=group, exclude_service_accounts=wanted),
            port.linked_users(provider.pk),
        ),
    )
    return replace(authentik, scope_now=now, scope=after, linked=linked)


def out_of_date(
    desired: Desired, entra: ObservedEntra, authentik: ObservedAuthentik, context: Context
) -> str | None:
    """Why Entra's answer may come from a replica that lags behind; ``None`` when nothing contradicts it."""
    provider = authentik.provider
    if provider is None or provider.tenant_id.lower() != entra.operator.tenant_id.lower():
        return None
    if entra.application is None:
        return "Entra ID to show the application that authentik knows" if entra.deleted is None else None
    if provider.client_id.lower() != entra.application.app_id.lower():
        return None
    if adopting(desired, entra.application):
        return None
    now, abandoned = context.now(), context.abandoned(entra.application)
    plan = make_plan(resolve_names(desired, entra, authentik), entra, authentik, now, abandoned)
    if doubt := stale_read_reason(secret_observation(desired, entra, authentik, now, abandoned), plan.secret):
        return doubt
    entra_targets = (Target.SERVICE_PRINCIPAL, Target.ROLE, Target.SCOPE)
    if plan.marks.current and any(plan.has(target, Action.CREATE, Action.CHANGE) for target in entra_targets):
        return "Entra ID to show what was granted"
    return None


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
        service_principal=granted.service_principal,
        role_assignments=granted.role_assignments,
        delegated_grant=granted.delegated_grant,
        grants_readable=granted.grants_readable,
    )


async def _rotator(port: EntraPort) -> str | None:
    """Object id of our rotator's service principal; ``None`` where there is none, or it may not be read."""
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
"""What a tenant without the application is looked at for."""
_Found = tuple[Application | None, str, _Rest]
"""The application, how it was found, and what else matters where there is none."""


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
        application_by_marks(port, desired),
        both(
            outcome(port.find_deleted_application(desired.unique_name)),
            outcome(port.secret_policy(None)),
        ),
    )
    rest = (None, SecretPolicy()) if application is not None else (deleted(), policy())
    return application, "marks", rest


async def observe_authentik(
    port: AuthentikPort, desired: Desired, *, saving: bool = False
) -> ObservedAuthentik:
    """Read authentik's side.

    :param saving: see :func:`observe`.

    :raises ConfigError: ``unknown-mapping``, ``unknown-group``.
    :raises Temporary: ``default-mappings-missing``.
    :raises BootstrapError: token, permissions, network, unknown server.
    """
    (
        (server, licence),
        ((past, application), ((user_mappings, group_mappings), group)),
    ) = await both(
        both(port.server(), port.license()),
        both(
            both(named_provider(port, desired), port.find_application(desired.authentik_application_slug)),
            both(_mappings(port, desired), _group(port, desired)),
        ),
    )
    provider, change, readable, tasks = past
    scope = ProvisioningScope(None, None)
    holder: str | None = None
    permissions: tuple[PermissionCheck, ...] | None = None
    if provider is None:
        (scope, holder), permissions = await both(
            both(
                port.provisioning_scope(
                    filter_group=group, exclude_service_accounts=bool(desired.exclude_service_accounts)
                ),
                port.provider_name_holder(desired.provider_name),
            ),
            _permissions(port, saving=saving),
        )
    return ObservedAuthentik(
        server=server,
        license=licence,
        user_mappings=user_mappings,
        group_mappings=group_mappings,
        filter_group=group,
        provider=provider,
        provider_name_holder=holder,
        application=application,
        last_change=change,
        last_change_readable=readable,
        scope=scope,
        sync_tasks=tasks,
        permissions=permissions,
    )


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
