"""Users and groups of authentik, accounts and groups of the tenant, and what links them: many of each, so with slots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Person:
    """A user of authentik whom a sync may provision.

    :param uid: authentik's opaque id of the user; its default mapping writes it as ``onPremisesImmutableId``.
    """

    pk: int
    username: str
    email: str = ""
    name: str = ""
    is_active: bool = True
    uid: str = ""


@dataclass(frozen=True, slots=True)
class PersonGroup:
    """A group of authentik with the primary keys of its direct members."""

    pk: str
    name: str
    members: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Link:
    """What authentik remembers: which object of the tenant belongs to one of its users or groups.

    :param key: primary key of the user or group, as text.
    :param name: its username or name.
    """

    key: str
    name: str
    microsoft_id: str


@dataclass(frozen=True, slots=True)
class MappedUser:
    """What a property mapping makes of a user, as far as Entra ID judges it. The password is never part of it."""

    display_name: str
    mail_nickname: str
    user_principal_name: str
    account_enabled: bool
    immutable_id: str = ""


@dataclass(frozen=True, slots=True)
class TenantUser:
    """An account of the tenant.

    :param mail_nickname: like the following fields, ``None`` where the operator may read only basic properties.
    :param on_premises: whether it is synchronised from an Active Directory.
    """

    object_id: str
    user_principal_name: str
    display_name: str = ""
    mail: str = ""
    mail_nickname: str | None = None
    account_enabled: bool | None = None
    immutable_id: str | None = None
    on_premises: bool | None = None


@dataclass(frozen=True, slots=True)
class TenantGroup:
    """A group of the tenant."""

    object_id: str
    display_name: str
    unique_name: str = ""
    mail_nickname: str = ""


@dataclass(frozen=True)
class TenantPeople:
    """The tenant's accounts and groups.

    :param basic: whether the operator may read only the basic properties of accounts (``User.ReadBasic.All``).
    """

    users: Sequence[TenantUser]
    groups: Sequence[TenantGroup]
    basic: bool = False


@dataclass(frozen=True)
class AuthentikPeople:
    """What authentik brings to the tenant, and what it has linked already."""

    users: Sequence[Person]
    groups: Sequence[PersonGroup]
    user_links: Sequence[Link] = ()
    group_links: Sequence[Link] = ()
