"""Refusals that are known before the first write. Pure: observation in, an error or nothing out."""

from __future__ import annotations

from authentik_entra_bootstrap.domain import DeletedApplication, Desired, LicenseInfo, TokenClaims
from authentik_entra_bootstrap.domain.application_tags import read_marks
from authentik_entra_bootstrap.errors import AdminActionRequired, ConfigError, Conflict, Denied
from authentik_entra_bootstrap.planning import rights
from authentik_entra_bootstrap.planning.adoption import asked, refuse_adoption
from authentik_entra_bootstrap.planning.observation import ObservedAuthentik, ObservedEntra


def refuse(desired: Desired, entra: ObservedEntra, authentik: ObservedAuthentik) -> None:
    """Raise the first reason not to begin.

    :raises BootstrapError: with the code named in each check below.
    """
    refuse_tenant(desired, entra.operator)
    _rights(entra)
    _application(desired, entra)
    _server(desired, authentik)
    _provider(desired, entra, authentik)
    refuse_adoption(desired, entra, authentik)


def refuse_tenant(desired: Desired, operator: TokenClaims) -> None:
    """Refuse an operator of another tenant than the one set.

    :raises Denied: ``wrong-tenant``.
    """
    tenant = operator.tenant_id
    if desired.tenant_id and desired.tenant_id.lower() != tenant.lower():
        raise Denied(
            "wrong-tenant",
            f"The operator is signed in to tenant {tenant}, wanted is {desired.tenant_id}.",
            "Sign in to the wanted tenant (AZURE_TENANT_ID, or `az login --tenant`), or change tenant_id.",
        )


def _rights(entra: ObservedEntra) -> None:
    # A user's token may act through ownership and roles that it does not show, so only service principals,
    # whose token is the whole truth, are refused beforehand.
    right = rights.REGISTER if entra.application is None else rights.ROTATE
    if entra.operator.is_app_only and (lack := rights.missing(right, entra.operator)):
        raise Denied(
            "entra-permission-missing",
            f"The operator may not {right.purpose}: it lacks the {lack}.",
            f"Grant it {lack.rpartition(' ')[2]} of Microsoft Graph, with admin consent.",
            facts={"missing_permission": lack.rpartition(" ")[2]},
        )


def _application(desired: Desired, entra: ObservedEntra) -> None:
    application = entra.application
    if application is not None:
        marks = read_marks(application.tags)
        if not marks.managed and not asked(desired, application):
            raise Conflict(
                "application-not-ours",
                f"The application {application.app_id} has the unique name {desired.unique_name}, but does not "
                "carry our mark.",
                f"To take it over, run bootstrap --adopt {application.app_id}; else set unique_name to another name.",
                facts={"app_id": application.app_id},
            )
        if marks.connection not in {None, desired.connection}:
            raise Conflict(
                "application-of-another-connection",
                f"The application {application.app_id} belongs to the connection {marks.connection!r}.",
                "Use that connection's name, or set unique_name to another name.",
                facts={"app_id": application.app_id},
            )
    elif entra.deleted is not None:
        raise Conflict(
            "application-deleted",
            f"A deleted application still holds the unique name {desired.unique_name} "
            f"(object id {entra.deleted.app_object_id}, up to 30 days).",
            _ways_out(desired, entra.deleted),
            facts={"app_object_id": entra.deleted.app_object_id},
        )


def _ways_out(desired: Desired, deleted: DeletedApplication) -> str:
    marks = read_marks(deleted.tags)
    if marks.managed and marks.connection == desired.connection:
        return (
            "It is this connection's: run bootstrap --restore to bring it back, or bootstrap --purge-deleted to "
            "delete it permanently first."
        )
    return (
        "Restore it or delete it permanently under App registrations > Deleted applications, "
        "or set unique_name to another name."
    )


def refuse_unlicensed(licence: LicenseInfo) -> None:
    """Refuse a server on which no provider can be saved.

    :raises AdminActionRequired: ``licence-required``.
    """
    if not licence.allows_saving:
        raise AdminActionRequired(
            "licence-required",
            f"authentik's enterprise licence is {licence.status}; the Microsoft Entra ID provider cannot "
            "be saved without a valid one.",
            "Install a valid licence under Enterprise > Licenses.",
        )


def _server(desired: Desired, authentik: ObservedAuthentik) -> None:
    refuse_unlicensed(authentik.license)
    asked = {
        "sync_page_size": desired.sync_page_size,
        "sync_page_timeout": desired.sync_page_timeout,
        "discovery_enabled": desired.discovery_enabled,
        "dry_run": desired.dry_run or None,
    }
    for name, value in asked.items():
        if value is not None and name not in authentik.server.provider_fields:
            raise ConfigError(
                "option-not-supported-by-server",
                f"authentik {authentik.server.version} has no {name} on its Microsoft Entra ID provider.",
                "Leave the setting out, or upgrade authentik.",
            )


def _provider(desired: Desired, entra: ObservedEntra, authentik: ObservedAuthentik) -> None:
    provider = authentik.provider
    if provider is None:
        if authentik.provider_name_holder is not None:
            raise Conflict(
                "provider-name-taken",
                f"authentik has another provider called {desired.provider_name!r} ({authentik.provider_name_holder}).",
                "Set provider_name to another name; names are unique among all providers.",
            )
        return
    mine = entra.application.app_id if entra.application else None
    tenant = entra.operator.tenant_id
    if (
        mine is None
        or provider.client_id.lower() != mine.lower()
        or provider.tenant_id.lower() != tenant.lower()
    ):
        raise Conflict(
            "provider-points-elsewhere",
            f"The provider {provider.name!r} belongs to the application {provider.client_id} in tenant "
            f"{provider.tenant_id}, not to this connection's.",
            f"To take over that application, run bootstrap --adopt {provider.client_id or 'CLIENT_ID'}; else set "
            "provider_name to another name, or delete that provider.",
            facts={"client_id": provider.client_id, "tenant_id": provider.tenant_id},
        )
