"""What one connection should be: the settings resolved into plain values. Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from authentik_entra_bootstrap.domain.authentik import PROVIDER_OPTIONS
from authentik_entra_bootstrap.domain.base import AppId, TenantId

DEFAULT_PERMISSIONS = (
    "Group.Create",
    "Group.ReadWrite.All",
    "GroupMember.ReadWrite.All",
    "User.Read",
    "User.ReadWrite.All",
)
"""The five permissions of authentik's documentation, by name."""


@dataclass(frozen=True)
class MaintenanceWindow:
    """Days and hours in which client secrets are to be replaced.

    :param days: days on which the window opens, Monday is 0.
    :param opens: local time of ``zone``.
    :param closes: local time; at or before ``opens`` it is meant on the next day.
    """

    days: frozenset[int]
    opens: time
    closes: time
    zone: ZoneInfo


@dataclass(frozen=True)
class Renewal:
    """When a client secret is replaced.

    :param spread_by: text that decides the connection's place in the spread; empty for none.
    :param renew_before: how long before its end, or ``None`` for two thirds into the granted lifetime.
    :param window: wait for it, unless the secret would end before.
    """

    spread_by: str = ""
    renew_before: timedelta | None = None
    window: MaintenanceWindow | None = None


@dataclass(frozen=True)
class Desired:
    """One tenant's application, one authentik provider, its authentik application.

    :param connection: the connection's name; letters, digits, ``-``, ``_`` and ``.`` only.
    :param tenant_id: the wanted tenant, or ``None`` to take the one the operator signs in to.
    :param application_name: display name of the application in Entra.
    :param unique_name: its ``uniqueName``, by which every later run finds it.
    :param permissions: Microsoft Graph permissions by name.
    :param secret_lifetime: asked lifetime of a client secret; the tenant's policy may shorten it.
    :param overlap: how long a replaced secret stays valid at the most; short lifetimes shorten it.
    :param renew_before: how long before its end a secret is replaced, or ``None`` for two thirds into its lifetime.
    :param maintenance_window: when secrets are replaced, or ``None`` for any time.
    :param user_mappings: names of property mappings. ``None``, as for every field of the provider below: an existing
        provider keeps what it has, a new one gets authentik's default.
    :param filter_group: name of the group whose members alone are provisioned; ``""`` for no filter.
    :param adopt: client id of an existing application to take over in this run.
    :param explicit_names: settings for names that were set by a person (``application_name``, ``provider_name``,
        ``authentik_application_slug``): only those rename what exists.
    :param dry_run: authentik's own dry run: it signs in and reads, and writes nothing to the tenant.
    """

    connection: str
    tenant_id: TenantId | None
    application_name: str
    unique_name: str
    permissions: tuple[str, ...]
    secret_lifetime: timedelta
    overlap: timedelta
    provider_name: str
    authentik_application_name: str
    authentik_application_slug: str
    service_management_reference: str | None = None
    user_mappings: tuple[str, ...] | None = None
    group_mappings: tuple[str, ...] | None = None
    filter_group: str | None = None
    exclude_service_accounts: bool | None = None
    user_delete_action: str | None = None
    group_delete_action: str | None = None
    sync_page_size: int | None = None
    sync_page_timeout: str | None = None
    discovery_enabled: bool | None = None
    dry_run: bool | None = None
    adopt: AppId | None = None
    explicit_names: frozenset[str] = frozenset()
    renew_before: timedelta | None = None
    maintenance_window: MaintenanceWindow | None = None

    @property
    def renewal(self) -> Renewal:
        """When this connection's client secrets are replaced."""
        return Renewal(self.connection, self.renew_before, self.maintenance_window)

    @property
    def provider_options(self) -> dict[str, Any]:
        """The settings of :data:`PROVIDER_OPTIONS` by the provider's field; ``None`` for one that is not set."""
        renamed = {"exclude_users_service_account": "exclude_service_accounts"}
        return {field: getattr(self, renamed.get(field, field)) for field in PROVIDER_OPTIONS}
