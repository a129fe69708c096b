"""What differs between an existing object and what is wanted, by property. Pure."""

from __future__ import annotations

from authentik_entra_bootstrap.adoption import adopted
from authentik_entra_bootstrap.domain import Application, Desired, ProviderSpec
from authentik_entra_bootstrap.marks import read_marks
from authentik_entra_bootstrap.observation import ObservedAuthentik
from authentik_entra_bootstrap.permissions import ResolvedPermission


def provider_spec(
    desired: Desired, client_id: str, tenant_id: str, authentik: ObservedAuthentik
) -> ProviderSpec:
    """The provider to create; what no setting names is left to authentik's defaults."""
    return ProviderSpec(
        name=desired.provider_name,
        client_id=client_id,
        tenant_id=tenant_id,
        property_mappings=authentik.user_mappings,
        property_mappings_group=authentik.group_mappings,
        filter_group=authentik.filter_group,
        exclude_users_service_account=desired.exclude_service_accounts,
        user_delete_action=desired.user_delete_action,
        group_delete_action=desired.group_delete_action,
        dry_run=desired.dry_run,
        sync_page_size=desired.sync_page_size,
        sync_page_timeout=desired.sync_page_timeout,
        discovery_enabled=desired.discovery_enabled,
    )


def provider_changes(
    desired: Desired, application: Application | None, authentik: ObservedAuthentik
) -> dict[str, object]:
    """Fields of the existing provider that differ from what the settings name: field -> wanted value.

    A setting that is left out says nothing about the field: what a person chose in authentik stays.
    """
    provider = authentik.provider
    if provider is None or application is None:
        return {}
    wanted: dict[str, object] = {
        "name": desired.provider_name,
        "exclude_users_service_account": desired.exclude_service_accounts,
        "user_delete_action": desired.user_delete_action,
        "group_delete_action": desired.group_delete_action,
        "dry_run": desired.dry_run,
        "sync_page_size": desired.sync_page_size,
        "sync_page_timeout": desired.sync_page_timeout,
        "discovery_enabled": desired.discovery_enabled,
    }
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
    return {
        name: value
        for name, value in changes.items()
        if name == "name" or name in authentik.server.provider_fields
    }


def application_differences(
    desired: Desired, application: Application, permissions: tuple[ResolvedPermission, ...]
) -> tuple[str, ...]:
    """Names of the application's properties that differ from what is wanted."""
    marks = read_marks(application.tags)
    wanted = {permission.requested_access() for permission in permissions}
    reference = desired.service_management_reference
    return tuple(
        name
        for name, differs in (
            ("displayName", application.display_name != desired.application_name),
            ("requiredResourceAccess", not wanted <= application.requested_access),
            ("tags", not marks.managed or marks.connection != desired.connection),
            ("uniqueName", application.unique_name is None and adopted(desired, application)),
            ("isDisabled", not application.enabled),
            (
                "serviceManagementReference",
                reference is not None and application.service_management_reference != reference,
            ),
        )
        if differs
    )
