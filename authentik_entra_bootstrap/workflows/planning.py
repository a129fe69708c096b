"""Observe, refuse what cannot work, plan. Missing permissions are found before the first write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from authentik_entra_bootstrap.authentik import AuthentikPort
from authentik_entra_bootstrap.domain import Application, Desired, PermissionCheck
from authentik_entra_bootstrap.errors import ConfigError, Denied, ReplicationTimeout
from authentik_entra_bootstrap.planning import ObservedAuthentik, ObservedEntra
from authentik_entra_bootstrap.planning.differences import Action, Target
from authentik_entra_bootstrap.planning.permissions import ROTATE, needs_ownership
from authentik_entra_bootstrap.planning.plan import Plan, make_plan, secret_observation
from authentik_entra_bootstrap.planning.preflight import adopting, belongs, refuse, resolve_names
from authentik_entra_bootstrap.planning.scope import provider_changes, scope_effects
from authentik_entra_bootstrap.rotation.decide import refuse_without_place, stale_read_reason
from authentik_entra_bootstrap.workflows.observe import (
    SETTLING,
    confirmed,
    observe_authentik,
    observe_entra,
    with_history,
)
from authentik_entra_bootstrap.workflows.session import Context, both


@dataclass(frozen=True)
class Prepared:
    """A plan with its observations."""

    plan: Plan
    entra: ObservedEntra
    authentik: ObservedAuthentik


def refuse_scope_change(plan: Plan) -> None:
    """Refuse a plan that changes who is provisioned or what is deleted without a person's consent.

    :raises ConfigError: ``confirmation-needed``.
    """
    if plan.scope_change is not None:
        raise ConfigError(
            "confirmation-needed",
            "This run would change who is provisioned, or what is deleted in the tenant: "
            f"{'; '.join(plan.scope_change.texts)}. Nothing was changed.",
            "Give --accept-scope-change beside --yes to do that, or correct the settings "
            f"({', '.join(plan.scope_change.fields)}).",
            facts={"fields": ", ".join(plan.scope_change.fields)},
        )


async def observe(
    context: Context, desired: Desired, *, saving: bool = False
) -> tuple[ObservedEntra, ObservedAuthentik]:
    """Read both sides.

    Microsoft Graph answers from any replica. Where its answer contradicts what authentik (which is
    consistent) has on record, it is asked again for a while before it is believed.

    :param saving: whether what is missing will be made: then the token's permissions are read along with it.
    :raises BootstrapError: from either side, Entra's first.
    """
    entra, by_name = await both(
        context.waiter.retry(
            lambda: observe_entra(context.entra, desired),
            what="Entra ID to show the application to adopt",
            # A person or another run may have made it a moment ago.
            when=lambda error: getattr(error, "code", "") == "adopt-application-not-found",
            backoff=SETTLING,
        ),
        observe_authentik(context.authentik, desired, saving=saving),
    )
    authentik = await match(context.authentik, desired, entra, by_name)
    wait = context.waiter.begin(SETTLING)
    while (stale := out_of_date(desired, entra, authentik, context)) and await wait.pause(stale):
        entra = await observe_entra(context.entra, desired)
        authentik = await match(context.authentik, desired, entra, by_name)
    wait.over()
    named = resolve_names(desired, entra, authentik)
    return entra, await _what_changes_mean(context.authentik, named, authentik)


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
    if named is None or not belongs(named, application, tenant):
        mine = [item for item in await port.providers() if belongs(item, application, tenant)]
        if mine:
            mine.sort(key=lambda item: item.application_slug != desired.authentik_application_slug)
            holder = authentik.provider_name_holder or ("Microsoft Entra Provider" if named else None)
            authentik = replace(
                authentik,
                same_client=tuple(mine[1:]),
                provider_name_holder=holder,
                **vars(await with_history(port, mine[0])),
            )
    authentik = await confirmed(port, authentik, application)
    slug = resolve_names(desired, entra, authentik).authentik_application_slug
    if slug != desired.authentik_application_slug:
        authentik = replace(authentik, application=await port.find_application(slug))
    return authentik


async def _what_changes_mean(
    port: AuthentikPort, desired: Desired, authentik: ObservedAuthentik
) -> ObservedAuthentik:
    """The observation with the names, people and links that describe changes of an existing provider."""
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
    """Why Entra's answer may come from a replica that lags behind; ``None`` if nothing contradicts it."""
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
    seen = secret_observation(desired, entra.application, authentik, now, abandoned)
    if reason := stale_read_reason(seen, plan.secret):
        return reason
    entra_targets = (Target.SERVICE_PRINCIPAL, Target.ROLE, Target.SCOPE)
    if plan.tags.current and any(plan.has(target, Action.CREATE, Action.CHANGE) for target in entra_targets):
        return "Entra ID to show what was granted"
    return None


async def look(context: Context, desired: Desired) -> Prepared:
    """Observe and plan without applying: conflicts are reported, not raised.

    :raises BootstrapError: a service could not be read.
    """
    entra, authentik = await observe(context, desired)
    return _prepared(context, desired, entra, authentik)


async def prepare(context: Context, desired: Desired) -> Prepared:
    """Observe, refuse a run that is known to fail, and plan.

    :raises BootstrapError: from observation, preflight and planning.
    """
    entra, authentik = await observe(context, desired, saving=True)
    refuse(desired, entra, authentik)
    prepared = _prepared(context, desired, entra, authentik)
    refuse_without_place(entra.application, prepared.plan.secret, context.now())
    await refuse_missing_permissions(context, prepared.plan, authentik.permissions)
    return prepared


def _prepared(
    context: Context, desired: Desired, entra: ObservedEntra, authentik: ObservedAuthentik
) -> Prepared:
    abandoned = context.abandoned(entra.application)
    plan = make_plan(resolve_names(desired, entra, authentik), entra, authentik, context.now(), abandoned)
    return Prepared(plan, entra, authentik)


_NEEDED: tuple[tuple[str, Target, Action], ...] = (
    ("add_microsoftentraprovider", Target.PROVIDER, Action.CREATE),
    ("change_microsoftentraprovider", Target.PROVIDER, Action.CHANGE),
    ("add_application", Target.AUTHENTIK_APPLICATION, Action.CREATE),
    ("change_application", Target.AUTHENTIK_APPLICATION, Action.CHANGE),
    ("add_microsoftentraprovider", Target.PROOF, Action.PROVE),
    ("view_task", Target.PROOF, Action.PROVE),
)
"""Permission by its code name -> the step that fails without it. What is only read was read already."""


async def refuse_missing_permissions(
    context: Context, plan: Plan, known: tuple[PermissionCheck, ...] | None = None
) -> None:
    """Ask authentik which permissions the token holds, if steps of the plan need one.

    :param known: its answer, where it was asked before.
    :raises Denied: ``authentik-permission-missing``, naming the missing ones.
    """
    needed = {name for name, target, action in _NEEDED if plan.has(target, action)}
    if not needed:
        return
    checks = known if known is not None else await context.authentik.permissions("bootstrap")
    # What cannot be told without changing something is tried when its turn comes.
    missing = [
        check for check in checks if check.held is False and check.permission.rpartition(".")[2] in needed
    ]
    if missing:
        raise _lacking(missing, "what the plan needs")


async def refuse_missing_for_rotation(context: Context) -> None:
    """Ask authentik which permissions of the purpose ``rotation`` the token lacks.

    :raises Denied: ``authentik-permission-missing``, naming each.
    """
    checks = await context.authentik.permissions("rotation")
    missing = [check for check in checks if check.held is False]
    if missing:
        raise _lacking(missing, "what a rotation needs")


async def refuse_missing_rotation_rights(context: Context, application: Application) -> None:
    """Check by token and owners that the operator may create and remove client secrets of this application.

    :raises Denied: ``entra-permission-missing``, ``entra-not-an-owner``.
    """
    operator = await context.entra.operator()
    if (lack := ROTATE.lack(operator)) is not None:
        remedy = f"Grant the {lack}; `authentik-entra rotator create` makes an identity that has it."
        raise ROTATE.refused(lack, remedy)
    if not needs_ownership(operator):
        return

    async def owned() -> bool | None:
        # A new owner may not be known to every replica yet.
        return operator.object_id in await context.entra.owners(application.app_object_id) or None

    try:
        await context.waiter.until(
            owned,
            what="Entra ID to show the operator as owner",
            code="entra-not-an-owner",
            backoff=SETTLING,
        )
    except ReplicationTimeout:
        raise not_an_owner(application) from None


def not_an_owner(application: Application) -> Denied:
    """The error of an operator that may change only its own applications, and does not own this one."""
    return Denied(
        "entra-not-an-owner",
        f"The operator's permission reaches only applications that it owns, and it does not own {application.app_id}.",
        "`authentik-entra rotator create`, run by an administrator, makes the rotator its owner.",
        facts={"app_id": application.app_id},
    )


def _lacking(missing: Sequence[PermissionCheck], purpose: str) -> Denied:
    names = ", ".join(check.permission for check in missing)
    return Denied(
        "authentik-permission-missing",
        f"The authentik token lacks {purpose}: {names} ({'; '.join(check.needed_for for check in missing)}).",
        f"Give {names} to a role of the token's user.",
        facts={"missing_permission": missing[0].permission},
    )
