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
    """The provider as it should be."""
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
    """Fields of the existing provider that differ from what is wanted: name -> wanted value."""
    provider = authentik.provider
    if provider is None or application is None:
        return {}
    spec = provider_spec(desired, application.app_id, provider.tenant_id, authentik)
    changes: dict[str, object] = {}
    if provider.name != spec.name:
        changes["name"] = spec.name
    for name in (
        "filter_group",
        "exclude_users_service_account",
        "user_delete_action",
        "group_delete_action",
        "dry_run",
    ):
        if getattr(spec, name) != getattr(provider, name):
            changes[name] = getattr(spec, name)
    for name in ("property_mappings", "property_mappings_group"):
        if set(getattr(spec, name)) != set(getattr(provider, name)):
            changes[name] = getattr(spec, name)
    for name in ("sync_page_size", "sync_page_timeout", "discovery_enabled"):
        wanted = getattr(spec, name)
        if wanted is not None and wanted != getattr(provider, name):
            changes[name] = wanted
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
