"""Addresses for people: portal, admin interface, consent. Pure."""

from __future__ import annotations

from urllib.parse import urlencode

from authentik_entra_bootstrap.domain import AppId, Cloud, ProviderPk, TenantId


def application_page(cloud: Cloud, app_id: AppId) -> str:
    """The application in the Microsoft Entra admin center."""
    return f"{cloud.portal}/#view/Microsoft_AAD_RegisteredApps/ApplicationMenuBlade/~/Overview/appId/{app_id}"


def admin_consent(cloud: Cloud, tenant_id: TenantId, app_id: AppId) -> str:
    """The address at which an administrator grants what the application lists (v1 admin consent endpoint)."""
    return f"{cloud.authority}/{tenant_id}/adminconsent?{urlencode({'client_id': app_id})}"


def provider_page(authentik_url: str, pk: ProviderPk) -> str:
    """The provider in authentik's admin interface."""
    return f"{authentik_url}/if/admin/#/core/providers/{pk}"
