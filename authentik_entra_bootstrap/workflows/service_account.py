"""Create authentik's service account for a purpose: role, group, account, API token."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from authentik_entra_bootstrap.authentik import AuthentikAccounts, AuthentikPort
from authentik_entra_bootstrap.domain import Account, ApiToken, Group, Role, SecretText
from authentik_entra_bootstrap.errors import Conflict, VerificationFailed
from authentik_entra_bootstrap.planning.differences import Action
from authentik_entra_bootstrap.rotation.proof import Evidence
from authentik_entra_bootstrap.rotator.plan import RotatorStep
from authentik_entra_bootstrap.support.logs import record

SERVICE_ACCOUNT = "service_account"


@dataclass(frozen=True)
class AccountNames:
    """The names of a purpose's objects, as in the blueprint."""

    role: str
    account: str


NAMES: Mapping[str, AccountNames] = {
    "rotation": AccountNames("authentik-entra-rotation", "authentik-entra-rotator"),
    "bootstrap": AccountNames("authentik-entra-bootstrap", "authentik-entra-bootstrap"),
}
"""By purpose. The group is called like the role, the token like the account."""


@dataclass(frozen=True)
class AccountSeen:
    """What exists already.

    :param needed: every permission that the role must give.
    """

    purpose: str
    needed: tuple[str, ...]
    role: Role | None
    group: Group | None
    account: Account | None
    token: ApiToken | None

    @property
    def names(self) -> AccountNames:
        """What the objects are called."""
        return NAMES[self.purpose]

    @property
    def missing(self) -> tuple[str, ...]:
        """Permissions that the role does not give yet."""
        held = self.role.permissions if self.role else frozenset()
        return tuple(name for name in self.needed if name not in held)


async def observe_account(accounts: AuthentikAccounts, purpose: str) -> AccountSeen:
    """Read, and refuse objects that this program did not create.

    :raises Conflict: ``service-account-not-ours``, ``authentik-token-not-ours``.
    """
    names = NAMES[purpose]
    account = await accounts.account(names.account)
    if account is not None and (account.kind != SERVICE_ACCOUNT or account.is_superuser):
        what = "is an administrator" if account.is_superuser else f"is no service account but {account.kind}"
        raise Conflict(
            "service-account-not-ours",
            f"authentik's user {names.account} {what}.",
            "Rename or delete that user; the service account is made by this command.",
        )
    token = await accounts.token(names.account)
    if token is not None and (
        account is None or token.user != account.pk or token.intent != "api" or token.expires is not None
    ):
        raise Conflict(
            "authentik-token-not-ours",
            f"authentik's token {names.account} is another user's, of another intent, or expires.",
            "Delete that token; it is made anew by this command.",
        )
    return AccountSeen(
        purpose,
        await accounts.needed(purpose),
        await accounts.role(names.role),
        await accounts.group(names.role),
        account,
        token,
    )


def account_steps(seen: AccountSeen) -> tuple[RotatorStep, ...]:
    """The missing objects, in the order of their creation. Pure."""
    names, role, group, account = seen.names, seen.role, seen.group, seen.account
    create = partial(RotatorStep, Action.CREATE)
    found = []
    if role is None:
        found.append(create("role", names.role, f"{len(seen.needed)} permissions"))
    elif seen.missing:
        found.append(create("role", names.role, f"lacks {', '.join(seen.missing)}"))
    if group is None or role is None or role.pk not in group.roles:
        found.append(
            create(
                "group",
                names.role,
                "gives its members the role; authentik's sync creates it in the tenant, too",
            )
        )
    if account is None:
        found.append(create("service account", names.account, "a user for programs, without password"))
    if account is None or group is None or account.pk not in group.users:
        found.append(create("member", names.account, f"of the group {names.role}"))
    if seen.token is None:
        found.append(create("token", names.account, "intent API, does not expire"))
    return tuple(found)


def account_warnings(seen: AccountSeen) -> tuple[str, ...]:
    """Permissions that it has and does not need. Pure."""
    found = []
    if more := sorted((seen.role.permissions if seen.role else frozenset()) - set(seen.needed)):
        found.append(f"The role {seen.names.role} gives more than is needed: {', '.join(more)}.")
    groups = set(seen.account.groups if seen.account else ()) - ({seen.group.pk} if seen.group else set())
    if groups or (seen.account and seen.account.roles):
        found.append(f"The account {seen.names.account} is in further groups, or has roles of its own.")
    return tuple(found)


async def make_account(
    accounts: AuthentikAccounts, seen: AccountSeen, done: Callable[[str], None]
) -> SecretText:
    """Create the missing objects and read the token's key.

    :param done: gets each thing that was made, in words.
    :returns: the key; nothing else keeps it.
    :raises BootstrapError: from authentik; what was made stays, and the next run continues.
    """
    names = seen.names
    role = seen.role
    if role is None:
        role = await accounts.create_role(names.role)
        done(f"role {names.role}")
    lacking = [name for name in seen.needed if name not in role.permissions]
    if lacking:
        await accounts.assign(role, lacking)
        done(f"{len(lacking)} permissions for the role {names.role}")
    group = seen.group
    if group is None:
        group = await accounts.create_group(names.role, role)
        done(f"group {names.role}")
    if role.pk not in group.roles:
        await accounts.set_group_roles(group, (*group.roles, role.pk))
        done(f"the role given to the group {names.role}")
    account = seen.account
    if account is None:
        account = await accounts.create_account(names.account)
        done(f"service account {names.account}")
    if account.pk not in group.users:
        await accounts.add_member(group, account)
        done(f"{names.account} put into the group {names.role}")
    if seen.token is None:
        await accounts.create_token(names.account, account)
        record("authentik-token-created", identifier=names.account, purpose=seen.purpose)
        done(f"token {names.account}")
    return await accounts.token_key(names.account)


async def prove_account(authentik: AuthentikPort, purpose: str) -> tuple[Evidence, ...]:
    """Ask authentik which account the new token belongs to, and whether it holds the permissions of its purpose.

    :param authentik: asked with the new token.
    :raises VerificationFailed: ``service-account-insufficient``.
    """
    user = await authentik.me()
    checks = await authentik.permissions(purpose)
    lacking = [item.permission for item in checks if item.held is False]
    if lacking or user.is_superuser:
        what = f"lacks {', '.join(lacking)}" if lacking else "is an administrator's"
        raise VerificationFailed(
            "service-account-insufficient",
            f"The new token of {user.username} {what}.",
            "Look at the account's groups and roles in authentik, then run the same command again.",
        )
    held = sum(1 for item in checks if item.held)
    return (
        Evidence("token-belongs-to", True, user.username),
        Evidence("permissions-held", True, f"{held} of {len(checks)} shown, none missing"),
    )
