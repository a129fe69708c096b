"""What the settings change about authentik's provider, and what that means in people: who comes, leaves, is deleted. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from authentik_entra_bootstrap.domain import (
    Desired,
    Person,
    Provider,
    ProviderPk,
    ProviderSpec,
    ProvisioningScope,
)
from authentik_entra_bootstrap.planning import ObservedAuthentik


def provider_spec(
    desired: Desired, client_id: str, tenant_id: str, authentik: ObservedAuthentik
) -> ProviderSpec:
    """The provider to create; what no setting names is left to authentik's defaults."""
    return ProviderSpec(
        desired.provider_name,
        client_id,
        tenant_id,
        authentik.user_mappings,
        authentik.group_mappings,
        authentik.filter_group,
        **desired.provider_options,
    )


def provider_changes(desired: Desired, authentik: ObservedAuthentik) -> dict[str, object]:
    """Fields of the existing provider that differ from what the settings name: field -> wanted value.

    A setting that is left out says nothing about the field: what a person chose in authentik stays.
    """
    provider = authentik.provider
    if provider is None:
        return {}
    wanted: dict[str, object] = {"name": desired.provider_name, **desired.provider_options}
    changes = {
        name: value
        for name, value in wanted.items()
        if value is not None and value != getattr(provider, name)
    }
    if desired.filter_group is not None and authentik.filter_group != provider.filter_group:
        changes["filter_group"] = authentik.filter_group
    changes |= {
        name: mappings
        for name, named, mappings in (
            ("property_mappings", desired.user_mappings, authentik.user_mappings),
            ("property_mappings_group", desired.group_mappings, authentik.group_mappings),
        )
        if named is not None and set(mappings) != set(getattr(provider, name))
    }
    known = {"name", *authentik.server.provider_fields}
    return {name: value for name, value in changes.items() if name in known}


def provider_after(desired: Desired, authentik: ObservedAuthentik) -> Provider:
    """The provider as bootstrap leaves it; for one that is not made yet with authentik's defaults."""
    values: dict[str, Any] = provider_changes(desired, authentik)
    if authentik.provider is not None:
        return replace(authentik.provider, **values)
    spec = vars(provider_spec(desired, "", "", authentik))
    values = {name: value for name, value in spec.items() if value is not None}
    return Provider(ProviderPk(0), **values)


class Effect(StrEnum):
    """What a change of the provider's scope does in the tenant."""

    WIDENS = "widens"
    NARROWS = "narrows"
    REPLACES = "replaces"
    """One filter group by another: some people come, others leave."""
    DELETES_MORE = "deletes-more"


@dataclass(frozen=True)
class ScopeChange:
    """What the settings change about who is provisioned, and about what is deleted in the tenant.

    :param fields: field of the provider -> effect.
    :param before: number of users that arrive in the tenant today; ``None`` where the token may not look.
    :param after: the same after the change.
    :param leaving: number of linked accounts that leave the scope; ``None`` where the token may not look.
    :param texts: what it means, for people.
    """

    fields: Mapping[str, Effect]
    before: int | None
    after: int | None
    leaving: int | None
    texts: tuple[str, ...]


NO_ADDRESS = "no e-mail address"
_FEW = 5


def in_short(items: Sequence[str], between: str = "; ") -> str:
    """The first few, and how many more there are."""
    more = f" and {len(items) - _FEW} more" if len(items) > _FEW else ""
    return between.join(items[:_FEW]) + more


def address_problem(email: str, domains: Sequence[str]) -> str:
    """Why authentik cannot use an e-mail address as user principal name; empty where it can.

    authentik compares the end of the address by its exact case (``MicrosoftEntraSyncClient.check_email_valid``).

    :param domains: verified in the tenant; none where they could not be read: then nothing is wrong with any.
    """
    if not email:
        return NO_ADDRESS
    if domains and not any(email.endswith(f"@{domain}") for domain in domains):
        return f"{email.rpartition('@')[2]} is not verified in this tenant"
    return ""


def left_out(users: Collection[Person], domains: Sequence[str]) -> dict[str, str]:
    """Users whose e-mail address authentik cannot use as user principal name: username -> why.

    :param domains: see :func:`address_problem`.
    """
    problems = ((user.username, address_problem(user.email, domains)) for user in users)
    return {username: problem for username, problem in problems if problem}


def arriving(scope: ProvisioningScope, domains: Sequence[str]) -> int | None:
    """How many users a full sync brings into the tenant; ``None`` where the token may not look."""
    return None if scope.users is None else len(scope.users) - len(left_out(scope.users, domains))


_HARSHNESS: Mapping[str, Mapping[str, int]] = {
    "user_delete_action": {"do_nothing": 0, "suspend": 1, "delete": 2},
    "group_delete_action": {"do_nothing": 0, "suspend": 0, "delete": 2},
}
"""authentik treats ``suspend`` for groups like ``do_nothing``."""


def scope_effects(provider: Provider, changes: Mapping[str, object]) -> dict[str, Effect]:
    """The fields among ``changes`` that decide who is provisioned or what is deleted, with their effects.

    A dry run that begins is none of them: authentik writes nothing then.
    """
    effects: dict[str, Effect] = {}
    if "filter_group" in changes:
        if changes["filter_group"] is None:
            effects["filter_group"] = Effect.WIDENS
        else:
            effects["filter_group"] = Effect.REPLACES if provider.filter_group else Effect.NARROWS
    if "exclude_users_service_account" in changes:
        excluded = changes["exclude_users_service_account"]
        effects["exclude_users_service_account"] = Effect.NARROWS if excluded else Effect.WIDENS
    if changes.get("dry_run") is False:
        effects["dry_run"] = Effect.WIDENS
    for name, harsh in _HARSHNESS.items():
        if name in changes and harsh.get(str(changes[name]), 0) > harsh.get(getattr(provider, name), 0):
            effects[name] = Effect.DELETES_MORE
    return effects


def scope_change(
    changes: Mapping[str, object], authentik: ObservedAuthentik, domains: Sequence[str]
) -> ScopeChange | None:
    """What changes of an existing provider mean in people; ``None`` where they leave its scope as it is.

    :param changes: see :func:`provider_changes`.
    :param domains: see :func:`left_out`.
    """
    provider = authentik.provider
    effects = scope_effects(provider, changes) if provider else {}
    if provider is None or not effects:
        return None
    before = 0 if "dry_run" in effects else arriving(authentik.scope_now, domains)
    after = arriving(authentik.scope, domains)
    leaving = _leaving(effects, authentik)
    texts = [
        f"{name}: {shown_value(getattr(provider, name), authentik.names) or 'none'} -> "
        f"{shown_value(changes[name], authentik.names) or 'none'}{_MEANS.get(name, '')}"
        for name in effects
    ]
    if set(effects.values()) != {Effect.DELETES_MORE}:
        if before is None or after is None:
            texts.append("the number of users is not known: the token lacks authentik_core.view_user")
        else:
            texts.append(f"{before} users -> {after} users")
    if "dry_run" in effects:
        texts.append("all groups of authentik are created in the tenant (authentik does not filter groups)")
    texts += _leaving_texts(leaving, str(changes.get("user_delete_action", provider.user_delete_action)))
    return ScopeChange(effects, before, after, leaving, tuple(texts))


_MEANS = {
    "dry_run": ": authentik begins to write to the tenant",
    "user_delete_action": ": of a user that is deleted in authentik, the account in the tenant",
    "group_delete_action": ": of a group that is deleted in authentik, the group in the tenant",
}


def _leaving(effects: Mapping[str, Effect], authentik: ObservedAuthentik) -> int | None:
    """How many linked accounts leave the scope; ``None`` where either number may not be read."""
    if not {Effect.NARROWS, Effect.REPLACES} & set(effects.values()):
        return 0
    if authentik.linked is None or authentik.scope.users is None:
        return None
    return len(authentik.linked - {user.pk for user in authentik.scope.users})


def _leaving_texts(leaving: int | None, action: str) -> Iterator[str]:
    """What becomes of the linked accounts that leave the scope.

    :param action: the provider's ``user_delete_action``.
    """
    does = {"delete": "may delete them", "suspend": "may disable them"}.get(action, "leaves them as they are")
    fate = f"authentik {does} in the tenant (user_delete_action = {action})"
    if leaving is None:
        yield (
            "linked accounts cannot be counted: the token lacks authentik_core.view_user or "
            "authentik_providers_microsoft_entra.view_microsoftentraprovideruser. "
            f"Of those that leave the scope: {fate}"
        )
    elif leaving:
        yield f"{leaving} linked accounts leave the scope: {fate}"
    if leaving != 0:
        # authentik 2026.2 and later fails in its clean-up of them, and repeats the whole sync up to five times.
        yield "authentik 2026.2 and later repeats its full syncs while linked accounts are out of the scope"


def shown_value(value: object, names: Mapping[str, str]) -> str | None:
    """A field's value for people: names first, primary keys in brackets; ``None`` for nothing."""
    if isinstance(value, tuple):
        return ", ".join(sorted(filter(None, (shown_value(item, names) for item in value)))) or None
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return None
    return f"{names[str(value)]} ({value})" if str(value) in names else str(value)
