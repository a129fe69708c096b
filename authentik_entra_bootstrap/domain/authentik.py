"""authentik's objects as this project sees them: immutable, times aware UTC, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from authentik_entra_bootstrap.domain.connection import ProviderPk


@dataclass(frozen=True)
class ServerInfo:
    """What the authentik server is, read from its own version and schema, never guessed from one of them."""

    version: str
    provider_fields: frozenset[str]
    """Writable fields of the Microsoft Entra provider."""
    unencrypted: str = ""
    """authentik's host where it is another machine that is reached without TLS; else empty."""


@dataclass(frozen=True)
class LicenseInfo:
    """The enterprise licence's summary."""

    status: str
    """``valid``, ``unlicensed``, ``expired``, ``expiry_soon``, ``limit_exceeded_user``,
    ``limit_exceeded_admin``, ``read_only`` or a word newer than this code."""
    valid_until: datetime | None = None


@dataclass(frozen=True)
class Provider:
    """authentik's Microsoft Entra ID provider. ``client_secret`` is never part of it."""

    pk: ProviderPk
    name: str
    client_id: str
    tenant_id: str
    property_mappings: tuple[str, ...] = ()
    property_mappings_group: tuple[str, ...] = ()
    filter_group: str | None = None
    exclude_users_service_account: bool = False
    user_delete_action: str = "delete"
    group_delete_action: str = "delete"
    dry_run: bool = False
    sync_page_size: int | None = None
    sync_page_timeout: str | None = None
    discovery_enabled: bool | None = None
    application_slug: str | None = None
    """Slug of the application it is a backchannel provider of."""
    secret_hint: str | None = None
    """First three characters of the stored client secret, where the server gives it back (to early 2026)."""


@dataclass(frozen=True)
class ProviderSpec:
    """Desired values of the provider's fields. ``None`` leaves them to the server's default."""

    name: str
    client_id: str
    tenant_id: str
    property_mappings: tuple[str, ...]
    property_mappings_group: tuple[str, ...]
    filter_group: str | None = None
    exclude_users_service_account: bool | None = None
    user_delete_action: str | None = None
    group_delete_action: str | None = None
    dry_run: bool | None = None
    sync_page_size: int | None = None
    sync_page_timeout: str | None = None
    discovery_enabled: bool | None = None


@dataclass(frozen=True)
class AuthentikApplication:
    """authentik's application, as opposed to :class:`Application` in Entra."""

    pk: str
    slug: str
    name: str
    provider_pk: int | None = None
    backchannel_provider_pks: tuple[int, ...] = ()
    meta_launch_url: str | None = None


@dataclass(frozen=True)
class Dependent:
    """One entry of authentik's ``used_by``: an object that depends on another, and what the other's deletion does to it.

    :param action: ``cascade`` (deleted along), ``cascade_many`` (only the link goes), ``set_null``,
        ``set_default``, ``left_dangling`` or a word newer than this code.
    """

    model: str
    pk: str
    name: str
    action: str


@dataclass(frozen=True)
class AuthentikUser:
    """Whom the API token belongs to."""

    pk: int
    username: str
    is_superuser: bool


@dataclass(frozen=True)
class ApiToken:
    """A token of authentik without its key.

    :param user: primary key of its user.
    :param expires: aware UTC; ``None`` for one that does not expire.
    """

    identifier: str
    user: int
    intent: str
    expires: datetime | None = None


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


@dataclass(frozen=True)
class ProvisioningScope:
    """What a full sync covers. ``None`` where the token may not look.

    :param users: those that the filter group and the exclusion of service accounts leave.
    :param groups: their number: authentik filters users only, and creates every group in the tenant.
    :param builtin_groups: groups that authentik itself brings along (``authentik Admins``, …).
    """

    users: tuple[Person, ...] | None = None
    groups: int | None = None
    builtin_groups: tuple[str, ...] = ()


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


@dataclass(frozen=True)
class AuthentikPeople:
    """What authentik brings to the tenant, and what it has linked already."""

    users: Sequence[Person]
    groups: Sequence[PersonGroup]
    user_links: Sequence[Link] = ()
    group_links: Sequence[Link] = ()


@dataclass(frozen=True)
class ProviderChange:
    """The last change of the provider in authentik's audit trail."""

    request_id: str | None
    """``X-authentik-id`` of the request that made it; ``None`` for changes not made over HTTP."""
    action: str
    created: datetime
    user: str | None = None
    user_agent: str | None = None
    """Of that request; ``None`` where there was none, or it is not known."""
    earlier: tuple[str | None, ...] = ()
    """Request ids of the changes before it, newest first, as far as the trail was read."""


@dataclass(frozen=True)
class TaskRecord:
    """One task of authentik's worker."""

    uid: str
    state: str
    mtime: datetime | None
    log_lines: tuple[str, ...] = ()
    """Event texts of ``previous_logs`` and ``logs`` in order, attributes appended; secrets redacted."""


@dataclass(frozen=True)
class SyncStatus:
    """authentik's own report of its last sync. No proof of anything: skipped syncs count as successful."""

    is_running: bool
    last_successful_sync: datetime | None = None
    last_sync_status: str | None = None


@dataclass(frozen=True)
class PermissionCheck:
    """Whether the token holds one permission; ``None``: cannot be told without changing something."""

    permission: str
    held: bool | None
    needed_for: str = ""


@dataclass(frozen=True)
class BlueprintResult:
    """How authentik took an imported blueprint.

    :param lines: what its importer logged, secrets redacted; attributes are left out, they repeat the entries.
    """

    success: bool
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class BlueprintInstance:
    """A blueprint that authentik stores and applies again when it changes."""

    pk: str
    name: str
    status: str
    """``successful``, ``warning``, ``error``, ``orphaned``, ``unknown`` or a word newer than this code."""
    last_applied: datetime | None = None
    """Moves with every save, whatever its name says."""


@dataclass(frozen=True)
class PropertyMapping:
    """A property mapping of the Microsoft Entra provider.

    :param managed: authentik's own name of one that it brings along; ``None`` for one made by a person.
    """

    pk: str
    name: str
    managed: str | None
    expression: str


@dataclass(frozen=True)
class OwnEvent:
    """An event that this program wrote to authentik's audit trail.

    :param happened: what happened, in the program's own word (``events.Kind``).
    :param code: of the error, for a failure.
    """

    happened: str
    created: datetime
    code: str = ""


@dataclass(frozen=True)
class Role:
    """A role with the permissions that it gives on everything."""

    pk: str
    name: str
    permissions: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Group:
    """A group with its roles and members."""

    pk: str
    name: str
    roles: tuple[str, ...] = ()
    users: tuple[int, ...] = ()


@dataclass(frozen=True)
class Account:
    """A user of authentik, as far as its rights go."""

    pk: int
    username: str
    kind: str
    is_superuser: bool = False
    groups: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
