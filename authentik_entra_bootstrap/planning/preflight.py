"""What is known before the first write: what is taken over, refusals, and warnings before a person says yes. Pure.

Taking over an application needs consent once (``--adopt CLIENT_ID``). From then on the application carries our tags, one
of which (``authentik-entra:adopted=DAY``) says that it was not made here. Later runs find it by ``uniqueName``, which is
filled in where it was null, or else by its tags. Every owner can write tags, so they count only where authentik's provider
holds the same client id.

A name of anything that exists is changed only where the settings give one. A run without its settings file renames
nothing, and moves no provider to another application of authentik.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from authentik_entra_bootstrap.domain import (
    Application,
    DeletedApplication,
    Desired,
    LicenseInfo,
    PermissionKind,
    Provider,
    ServerInfo,
    TokenClaims,
)
from authentik_entra_bootstrap.domain.application_tags import read_tags
from authentik_entra_bootstrap.domain.policy import Grantable
from authentik_entra_bootstrap.domain.times import in_words
from authentik_entra_bootstrap.errors import AdminActionRequired, ConfigError, Conflict, Denied
from authentik_entra_bootstrap.planning import ObservedAuthentik, ObservedEntra
from authentik_entra_bootstrap.planning.consent import states
from authentik_entra_bootstrap.planning.permissions import (
    GRANT_ROLES,
    GRANT_SCOPES,
    REGISTER,
    ROTATE,
    ResolvedPermission,
)
from authentik_entra_bootstrap.planning.scope import NO_ADDRESS, in_short, left_out

ADMINISTRATOR = "akadmin"


def asked(desired: Desired, application: Application) -> bool:
    """Whether this run is asked to take over this application."""
    return desired.adopt is not None and desired.adopt.lower() == application.app_id.lower()


def adopting(desired: Desired, application: Application | None) -> bool:
    """Whether this run takes the application over: asked for, and not ours yet."""
    return application is not None and asked(desired, application) and not read_tags(application.tags).managed


def adopted(desired: Desired, application: Application) -> bool:
    """Whether the application was not made by this program, and was or now is taken over."""
    return read_tags(application.tags).adopted is not None or adopting(desired, application)


def belongs(provider: Provider, application: Application | DeletedApplication, tenant_id: str) -> bool:
    """Whether a provider signs in as this application in this tenant."""
    return (
        provider.client_id.lower() == application.app_id.lower()
        and provider.tenant_id.lower() == tenant_id.lower()
    )


def resolve_names(desired: Desired, entra: ObservedEntra, authentik: ObservedAuthentik) -> Desired:
    """What is wanted, with the names of what exists wherever the settings do not give another.

    The provider's name is also kept where another provider holds the wanted one.
    """
    application, provider = entra.application, authentik.provider
    if application is None:
        return desired
    names: dict[str, str] = {"application_name": application.display_name}
    if application.unique_name:
        names["unique_name"] = application.unique_name
    mine = provider is not None and belongs(provider, application, entra.operator.tenant_id)
    if provider is not None and mine:
        names["provider_name"] = provider.name
        if provider.application_slug:
            names["authentik_application_slug"] = provider.application_slug
    names = {name: value for name, value in names.items() if name not in desired.explicit_names}
    if provider is not None and mine and authentik.provider_name_holder is not None:
        names["provider_name"] = provider.name
    return replace(desired, **names)  # type: ignore[arg-type]  # each of these fields is a text


def refuse_adoption(desired: Desired, entra: ObservedEntra, authentik: ObservedAuthentik) -> None:
    """Refuse what must not be taken over, or not be believed.

    :raises Conflict: ``application-not-confirmed``, ``several-providers-of-application``.
    """
    application, provider = entra.application, authentik.provider
    if application is None:
        return
    mine = provider is not None and belongs(provider, application, entra.operator.tenant_id)
    if entra.found_by == "tags" and not mine:
        raise Conflict(
            "application-not-confirmed",
            f"The application {application.app_id} carries the tags of the connection {desired.connection}, but has "
            "another unique name, and no provider in authentik holds its client id. Tags alone are no proof.",
            f"If it is the right one, run `authentik-entra bootstrap --adopt {application.app_id}` once, "
            "or set unique_name to its unique name.",
            facts={"app_id": application.app_id},
        )
    if mine and provider is not None and authentik.same_client and provider.name != desired.provider_name:
        names = sorted(repr(item.name) for item in (provider, *authentik.same_client))
        raise Conflict(
            "several-providers-of-application",
            f"Several providers in authentik hold the client id {application.app_id}: {', '.join(names)}.",
            "Set provider_name to the one that this connection is to look after.",
            facts={"app_id": application.app_id},
        )


def refuse(desired: Desired, entra: ObservedEntra, authentik: ObservedAuthentik) -> None:
    """Raise the first reason not to begin.

    :raises BootstrapError: with the code named in each check below.
    """
    refuse_tenant(desired, entra.operator)
    # A user's token may act through ownership and roles that it does not show, so only service principals,
    # whose token is the whole truth, are refused beforehand.
    right = REGISTER if entra.application is None else ROTATE
    if entra.operator.is_app_only and (lack := right.lack(entra.operator)):
        raise right.refused(lack)
    _refuse_application(desired, entra)
    _refuse_server(desired, authentik)
    _refuse_provider(desired, entra, authentik)
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


def refuse_foreign(desired: Desired, application: Application, *, remedy: str, adopt: bool = False) -> None:
    """Refuse an application without this program's tags, or with another connection's.

    :param remedy: what to do about one without them.
    :param adopt: accept one without this program's tags.
    :raises Conflict: ``application-not-ours``, ``application-of-another-connection``.
    """
    tags, facts = read_tags(application.tags), {"app_id": str(application.app_id)}
    if not tags.managed and not adopt:
        raise Conflict(
            "application-not-ours",
            f"The application {application.app_id} has the unique name {desired.unique_name}, but not "
            "this program's tags. Nothing was changed.",
            remedy,
            facts=facts,
        )
    if tags.connection not in {None, desired.connection}:
        raise Conflict(
            "application-of-another-connection",
            f"The application {application.app_id} belongs to the connection {tags.connection!r}.",
            "Use that connection's name, or set unique_name to another name.",
            facts=facts,
        )


def _refuse_application(desired: Desired, entra: ObservedEntra) -> None:
    application = entra.application
    if application is not None:
        command = f"authentik-entra bootstrap --adopt {application.app_id}"
        remedy = f"To take it over, run `{command}`; else set unique_name to another name."
        refuse_foreign(desired, application, remedy=remedy, adopt=asked(desired, application))
    elif entra.deleted is not None:
        raise Conflict(
            "application-deleted",
            f"A deleted application still holds the unique name {desired.unique_name} "
            f"(object id {entra.deleted.app_object_id}, up to 30 days).",
            "It is this connection's: run `authentik-entra bootstrap --restore` to bring it back, "
            "or `authentik-entra bootstrap --purge-deleted` to "
            "delete it permanently first."
            if is_this_connections(desired, entra.deleted)
            else "Restore it or delete it permanently under App registrations > Deleted applications, "
            "or set unique_name to another name.",
            facts={"app_object_id": entra.deleted.app_object_id},
        )


def is_this_connections(desired: Desired, deleted: DeletedApplication) -> bool:
    """Whether a deleted application carries this connection's tags. Nothing else is restored or purged."""
    tags = read_tags(deleted.tags)
    return tags.managed and tags.connection == desired.connection


def allows_saving(licence: LicenseInfo) -> bool:
    """Whether the Microsoft Entra provider can be created and saved: every save needs a licence."""
    return licence.status in {"valid", "expiry_soon", "limit_exceeded_user", "limit_exceeded_admin"}


def refuse_unlicensed(licence: LicenseInfo) -> None:
    """Refuse a server on which no provider can be saved.

    :raises AdminActionRequired: ``licence-required``.
    """
    if not allows_saving(licence):
        raise AdminActionRequired(
            "licence-required",
            f"authentik's enterprise licence is {licence.status}; the Microsoft Entra ID provider cannot "
            "be saved without a valid one.",
            "Install a valid licence under Enterprise > Licenses.",
        )


def _refuse_server(desired: Desired, authentik: ObservedAuthentik) -> None:
    refuse_unlicensed(authentik.license)
    for name in ("sync_page_size", "sync_page_timeout", "discovery_enabled", "dry_run"):
        value = getattr(desired, name)
        asks = bool(value) if name == "dry_run" else value is not None
        if asks and name not in authentik.server.provider_fields:
            raise ConfigError(
                "option-not-supported-by-server",
                f"authentik {authentik.server.version} has no {name} on its Microsoft Entra ID provider.",
                "Leave the setting out, or upgrade authentik.",
            )


def _refuse_provider(desired: Desired, entra: ObservedEntra, authentik: ObservedAuthentik) -> None:
    provider = authentik.provider
    if provider is None:
        if authentik.provider_name_holder is not None:
            raise Conflict(
                "provider-name-taken",
                f"authentik has another provider called {desired.provider_name!r} ({authentik.provider_name_holder}).",
                "Set provider_name to another name; names are unique among all providers.",
            )
    elif entra.application is None or not belongs(provider, entra.application, entra.operator.tenant_id):
        raise Conflict(
            "provider-points-elsewhere",
            f"The provider {provider.name!r} belongs to the application {provider.client_id} in tenant "
            f"{provider.tenant_id}, not to this connection's.",
            f"To take over that application, run `authentik-entra bootstrap --adopt {provider.client_id or 'CLIENT_ID'}`; "
            "else set "
            "provider_name to another name, or delete that provider.",
            facts={"client_id": provider.client_id, "tenant_id": provider.tenant_id},
        )


def warnings(
    desired: Desired,
    entra: ObservedEntra,
    authentik: ObservedAuthentik,
    permissions: tuple[ResolvedPermission, ...],
    grantable: Grantable | None,
) -> Iterator[str]:
    """What people should know before they say yes, and what is not a reason to refuse a run.

    What the application has beyond the settings is among the differences
    (:mod:`~authentik_entra_bootstrap.planning.differences`).

    :param grantable: of the client secret that is made, if one is.
    """
    missing = {item.kind for item in states(permissions, entra) if item.granted is False}
    for kind, right, when in (
        (PermissionKind.ROLE, GRANT_ROLES, "before a client secret is made"),
        (PermissionKind.SCOPE, GRANT_SCOPES, "after everything else"),
    ):
        lack = right.lack(entra.operator)
        if kind in missing and lack:
            yield (
                f"The operator's token does not show what it takes to {right.purpose}: {lack}. "
                f"If Entra ID refuses it, an administrator's consent is asked for {when} (exit code 5)."
            )
    if grantable and grantable.clamped:
        yield (
            f"The tenant's policy shortens the client secret's lifetime from {in_words(desired.secret_lifetime)} "
            f"to {in_words(entra.policy.greatest_lifetime or desired.secret_lifetime)}."
        )
    if authentik.provider is None and not desired.dry_run:
        yield from _first_sync_warnings(entra, authentik)
    if authentik.server.unencrypted:
        yield unencrypted(authentik.server)
    if authentik.license.status not in {"valid", "unlicensed"}:
        yield f"authentik's enterprise licence reports: {authentik.license.status}."


def unencrypted(server: ServerInfo) -> str:
    """What ``http://`` to another machine means."""
    return (
        f"The API token and the client secret travel unencrypted to {server.unencrypted} (allow_plain_http is set): "
        "every machine on the network path can read them."
    )


def _first_sync_warnings(entra: ObservedEntra, authentik: ObservedAuthentik) -> Iterator[str]:
    """About the first full sync of a provider that is created."""
    scope = authentik.scope
    away = left_out(scope.users or (), entra.organization.verified_domains)
    arriving = {user.username for user in scope.users or ()} - away.keys()
    if authentik.filter_group is None:
        told = f", its administrator {ADMINISTRATOR} included" if ADMINISTRATOR in arriving else ""
        yield (
            f"No filter group is set: authentik provisions all its users{told}. "
            "Set filter_group to provision only the members of one group."
        )
    elif ADMINISTRATOR in arriving:
        yield f"authentik's administrator {ADMINISTRATOR} is a member of the filter group, and is provisioned."
    if scope.builtin_groups:
        names = ", ".join(scope.builtin_groups)
        yield f"authentik creates every group in the tenant, its built-in ones included: {names}."
    without = [username for username, reason in away.items() if reason == NO_ADDRESS]
    if without:
        yield (
            f"authentik 2026.2 and later stops its sync of users at one without an e-mail address: {in_short(without)}. "
            "Set exclude_service_accounts = true, or give each an address."
        )
