"""Read both sides by pages, and foretell what authentik's next full sync does to the tenant. Nothing is kept or changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from authentik_entra_bootstrap.domain import (
    AuthentikPeople,
    Desired,
    MappedUser,
    Organization,
    Provider,
    TenantPeople,
)
from authentik_entra_bootstrap.errors import BootstrapError, Denied
from authentik_entra_bootstrap.planning.differences import Action, Target
from authentik_entra_bootstrap.planning.group_sync import GroupSync
from authentik_entra_bootstrap.planning.observation import ObservedAuthentik
from authentik_entra_bootstrap.planning.permissions import SEE_PEOPLE
from authentik_entra_bootstrap.planning.preview import Preview, SyncRules, sync_rules
from authentik_entra_bootstrap.planning.scope import provider_after, provider_changes
from authentik_entra_bootstrap.planning.user_sync import UserSync
from authentik_entra_bootstrap.support.waiting import result
from authentik_entra_bootstrap.workflows.context import Context, Reporter, both, outcome
from authentik_entra_bootstrap.workflows.planning import Prepared

_SIDE_BY_SIDE = 4
"""Mappings that authentik evaluates at the same time."""
_LISTS = {
    "user": "users",
    "group": "groups",
    "account": "accounts of the tenant",
    "microsoftentraprovideruser": "links",
    "microsoftentraprovidergroup": "links of groups",
}


class _Progress:
    """Tells how much of the lists is read, in one line for all of them."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._read: dict[str, int] = {}

    def __call__(self, what: str, number: int) -> None:
        self._read[_LISTS.get(what, what)] = number
        self._reporter.doing(
            "reading " + ", ".join(f"{count:,} {name}" for name, count in self._read.items())
        )


async def preview_of_sync(context: Context, prepared: Prepared) -> Preview | None:
    """What the sync does that a plan starts; ``None`` where it starts none. Each save of the provider starts one."""
    plan = prepared.plan
    saves = plan.has(Target.PROVIDER, Action.CREATE, Action.CHANGE) or plan.has(
        Target.FIRST_SYNC, Action.CHANGE
    )
    return await foretell(context, prepared) if saves else None


async def foretell(context: Context, prepared: Prepared, *, evaluate: bool = False) -> Preview:
    """What the first full sync does after a plan is applied.

    If an identity may not read users or groups, the preview says so; that is no error.

    :param evaluate: whether to ask authentik for the results of custom property mappings.
    :raises BootstrapError: any other reason why users or groups cannot be read.
    """
    desired, seen = prepared.plan.desired, prepared.authentik
    organization, provider = prepared.entra.organization, provider_after(desired, seen)
    progress = _Progress(context.reporter)
    ask_authentik, ask_tenant = await both(
        outcome(_authentik_people(context, seen, provider, progress)), outcome(context.entra.people(progress))
    )
    notes = [*_settings_notes(desired, seen), *_domain_notes(organization)]
    try:
        authentik, tenant = ask_authentik(), ask_tenant()
    except Denied as error:
        if error.code not in {"authentik-permission-missing", "entra-permission-missing"}:
            raise
        return Preview(dry_run=provider.dry_run, notes=(*notes, _unreadable(error)), unreadable=True)
    defaults = await _default_mappings(context, desired, seen)
    rules = sync_rules(provider, seen.server.version, organization, defaults, {})
    users = UserSync(rules, authentik, tenant)
    if evaluate and not rules.default_users:
        mapped, refused = await _mapped(context, provider, authentik, users)
        notes += refused
        rules = sync_rules(provider, seen.server.version, organization, defaults, mapped)
        users = UserSync(rules, authentik, tenant)
    people = users.run()
    groups = GroupSync(rules, authentik, tenant, users.accounts)
    occupied, unread = await _occupied(context, groups)
    return Preview(
        people,
        groups.run(occupied),
        provider.dry_run,
        (*notes, *unread, *_rules_notes(rules, tenant, evaluate=evaluate)),
    )


async def _authentik_people(
    context: Context, seen: ObservedAuthentik, provider: Provider, progress: Callable[[str, int], None]
) -> AuthentikPeople:
    return await context.authentik.people(
        provider=provider.pk if seen.provider else None,
        filter_group=provider.filter_group,
        exclude_service_accounts=provider.exclude_users_service_account,
        users=seen.scope.users,
        seen=progress,
    )


async def _default_mappings(
    context: Context, desired: Desired, seen: ObservedAuthentik
) -> tuple[Sequence[str], Sequence[str]]:
    if desired.user_mappings is None and desired.group_mappings is None:
        return seen.user_mappings, seen.group_mappings
    return await context.authentik.default_mappings()


async def _mapped(
    context: Context, provider: Provider, authentik: AuthentikPeople, users: UserSync
) -> tuple[Mapping[int, MappedUser | None], list[str]]:
    """What mappings make of the users without an account, and why authentik does not tell it."""
    names = {item.pk: item.name for item in await context.authentik.property_mappings()}
    keys = sorted(provider.property_mappings, key=lambda key: names.get(key, ""))
    pending = [person.pk for person in authentik.users if person.pk not in users.accounts]
    found: dict[int, MappedUser | None] = {}
    for start in range(0, len(pending), _SIDE_BY_SIDE):
        context.reporter.doing(f"evaluating property mappings: {start:,} of {len(pending):,} users")
        some = pending[start : start + _SIDE_BY_SIDE]
        answers = await asyncio.gather(
            *(context.authentik.mapped_user(keys, pk) for pk in some), return_exceptions=True
        )
        for pk, answer in zip(some, answers, strict=True):
            if isinstance(answer, Denied):
                return {}, [f"{answer.message} {answer.remedy}"]
            found[pk] = result(answer)
    return found, []


async def _occupied(context: Context, groups: GroupSync) -> tuple[dict[str, bool], list[str]]:
    """Which linked groups have a linked member already, up to the first of each page; and why that cannot be read."""
    found: dict[str, bool] = {}
    for page in groups.questions():
        for key, among in page:
            context.reporter.doing("reading members of the tenant's groups")
            try:
                found[key] = await context.entra.has_member(key, among)
            except Denied as error:
                return found, [f"{error.message} {error.remedy}"]
            if found[key]:
                break
    return found, []


# --- what people should know besides


def _settings_notes(desired: Desired, seen: ObservedAuthentik) -> list[str]:
    if seen.provider is None:
        return [
            "The provider is not in authentik yet: this is the first sync after `authentik-entra bootstrap`."
        ]
    notes = []
    if changes := provider_changes(desired, seen):
        notes.append(f"This is the sync after `authentik-entra bootstrap` has changed {', '.join(changes)}.")
    if seen.provider.application_slug is None:
        notes.append(
            "The provider is assigned to no application: authentik syncs nothing until `authentik-entra bootstrap` "
            "assigns it."
        )
    return notes


def _domain_notes(organization: Organization) -> list[str]:
    if organization.verified_domains:
        return []
    return [
        "The tenant's verified domains cannot be read. Grant Organization.Read.All, or sign in as a person."
    ]


def _rules_notes(rules: SyncRules, tenant: TenantPeople, *, evaluate: bool) -> list[str]:
    notes = []
    for kind, default in (("users", rules.default_users), ("groups", rules.default_groups)):
        if not default:
            notes.append(f"Property mappings of your own make the {kind}: what they decide is unknown.")
    if not rules.default_users and not evaluate:
        notes.append("--evaluate-mappings asks authentik what they make of users that are not linked.")
    if tenant.basic:
        notes.append(
            "The operator may read basic properties only: whether accounts are enabled, their mailNickname, and accounts "
            "that an earlier sync made (onPremisesImmutableId) are not seen. User.Read.All shows them."
        )
    return notes


def _unreadable(error: BootstrapError) -> str:
    if error.code == "entra-permission-missing":
        names = " and ".join(SEE_PEOPLE.smallest)
        return f"{error.message} Grant the operator {names} with admin consent, or sign in as a person."
    return f"{error.message} {error.remedy}"
