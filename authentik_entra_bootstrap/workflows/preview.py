"""Read both services by pages, and predict what authentik's next full sync does to the tenant. Stores and changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence

from authentik_entra_bootstrap.domain import Desired, Provider, TenantUser
from authentik_entra_bootstrap.errors import BootstrapError, Denied
from authentik_entra_bootstrap.planning import ObservedAuthentik
from authentik_entra_bootstrap.planning.differences import Action, Target
from authentik_entra_bootstrap.planning.group_sync import GroupSync
from authentik_entra_bootstrap.planning.permissions import SEE_PEOPLE
from authentik_entra_bootstrap.planning.preview import Preview, SyncRules, sync_rules
from authentik_entra_bootstrap.planning.scope import provider_after, provider_changes
from authentik_entra_bootstrap.planning.user_sync import UserSync
from authentik_entra_bootstrap.support.waiting import result
from authentik_entra_bootstrap.workflows.planning import Prepared
from authentik_entra_bootstrap.workflows.session import Context, Reporter, both

_SIDE_BY_SIDE = 4
"""Mappings that authentik evaluates at the same time."""


def _progress(reporter: Reporter) -> Callable[[str, int], None]:
    """Shows the progress of reading, in one line for all lists."""
    read: dict[str, int] = {}

    def seen(what: str, number: int) -> None:
        read[what] = number
        reporter.doing("reading " + ", ".join(f"{count:,} {name}" for name, count in read.items()))

    return seen


async def preview_of_sync(context: Context, prepared: Prepared) -> Preview | None:
    """The effect of the sync that a plan starts; ``None`` if it starts none. Each save of the provider starts one."""
    plan = prepared.plan
    saves = plan.has(Target.PROVIDER, Action.CREATE, Action.CHANGE) or plan.has(
        Target.FIRST_SYNC, Action.CHANGE
    )
    return await foretell(context, prepared) if saves else None


async def foretell(context: Context, prepared: Prepared, *, evaluate: bool = False) -> Preview:
    """The effect of the first full sync after a plan is applied.

    If an identity may not read users or groups, the preview says so; that is no error.

    :param evaluate: whether to ask authentik for the results of custom property mappings.
    :raises BootstrapError: any other reason why users or groups cannot be read.
    """
    desired, seen = prepared.plan.desired, prepared.authentik
    provider, domains = provider_after(desired, seen), prepared.entra.organization.verified_domains
    progress, notes = _progress(context.reporter), list(_settings_notes(desired, seen))
    if not domains:
        notes.append(
            "The tenant's verified domains cannot be read. Grant Organization.Read.All, or sign in as a person."
        )
    try:
        authentik, tenant = await both(
            context.authentik.people(provider, seen.scope.users, progress), context.entra.people(progress)
        )
    except Denied as error:
        if error.code not in {"authentik-permission-missing", "entra-permission-missing"}:
            raise
        return Preview(dry_run=provider.dry_run, notes=(*notes, _unreadable(error)), unreadable=True)
    defaults = seen.user_mappings, seen.group_mappings
    if desired.user_mappings is not None or desired.group_mappings is not None:
        defaults = await context.authentik.default_mappings()
    rules = sync_rules(provider, seen.server.version, domains, defaults)
    users = UserSync(rules, authentik, tenant)
    mapped: dict[int, TenantUser | None] = {}
    if evaluate and not rules.default_users:
        pending = [person.pk for person in authentik.users if person.pk not in users.accounts]
        try:
            mapped = await _mapped(context, provider, pending)
        except Denied as error:
            if error.code != "authentik-permission-missing":
                raise
            notes.append(f"{error.message} {error.remedy}")
    people = users.run(mapped)
    groups = GroupSync(rules, authentik, tenant, users.accounts)
    occupied: dict[str, bool] = {}
    try:
        await _look_for_members(context, groups, occupied)
    except Denied as error:
        if error.code != "entra-permission-missing":
            raise
        notes.append(f"{error.message} {error.remedy}")
    notes += _rules_notes(rules, basic=tenant.basic, evaluate=evaluate)
    return Preview(people, groups.run(occupied), provider.dry_run, tuple(notes))


async def _mapped(context: Context, provider: Provider, users: Sequence[int]) -> dict[int, TenantUser | None]:
    """The result of a provider's mappings for users.

    :raises Denied: ``authentik-permission-missing``.
    """
    names = {item.pk: item.name for item in await context.authentik.property_mappings()}
    keys = sorted(provider.property_mappings, key=lambda key: names.get(key, ""))
    found: dict[int, TenantUser | None] = {}
    for start in range(0, len(users), _SIDE_BY_SIDE):
        context.reporter.doing(f"evaluating property mappings: {start:,} of {len(users):,} users")
        some = users[start : start + _SIDE_BY_SIDE]
        answers = await asyncio.gather(
            *(context.authentik.mapped_user(keys, pk) for pk in some), return_exceptions=True
        )
        found |= zip(some, map(result, answers), strict=True)
    return found


async def _look_for_members(context: Context, groups: GroupSync, occupied: dict[str, bool]) -> None:
    """Note which linked groups have a linked member already, up to the first of each page.

    :raises Denied: ``entra-permission-missing``.
    """
    for page in groups.questions():
        for key, among in page:
            context.reporter.doing("reading members of the tenant's groups")
            occupied[key] = await context.entra.has_member(key, among)
            if occupied[key]:
                break


# --- what people should know besides


def _settings_notes(desired: Desired, seen: ObservedAuthentik) -> Iterator[str]:
    if seen.provider is None:
        yield "The provider is not in authentik yet: this is the first sync after `authentik-entra bootstrap`."
        return
    if changes := provider_changes(desired, seen):
        yield f"This is the sync after `authentik-entra bootstrap` has changed {', '.join(changes)}."
    if seen.provider.application_slug is None:
        yield (
            "The provider is assigned to no application: authentik syncs nothing until `authentik-entra bootstrap` "
            "assigns it."
        )


def _rules_notes(rules: SyncRules, *, basic: bool, evaluate: bool) -> Iterator[str]:
    for kind, default in (("users", rules.default_users), ("groups", rules.default_groups)):
        if not default:
            yield f"Property mappings of your own make the {kind}: what they decide is unknown."
    if not rules.default_users and not evaluate:
        yield "--evaluate-mappings asks authentik what they make of users that are not linked."
    if basic:
        yield (
            "The operator may read basic properties only: whether accounts are enabled, their mailNickname, and accounts "
            "that an earlier sync made (onPremisesImmutableId) are not seen. User.Read.All shows them."
        )


def _unreadable(error: BootstrapError) -> str:
    if error.code == "entra-permission-missing":
        names = " and ".join(SEE_PEOPLE.smallest)
        return f"{error.message} Grant the operator {names} with admin consent, or sign in as a person."
    return f"{error.message} {error.remedy}"
