"""What differs in authentik: the provider, and the application that holds it. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from authentik_entra_bootstrap.domain import AuthentikApplication, Provider
from authentik_entra_bootstrap.planning.adoption import belongs
from authentik_entra_bootstrap.planning.differences import shown_value
from authentik_entra_bootstrap.planning.drift.records import Drift, DriftAction
from authentik_entra_bootstrap.planning.observation import ObservedAuthentik, ObservedEntra
from authentik_entra_bootstrap.planning.plan import Plan, Target


def _authentik(
    target: Target, name: str, wanted: str | None, found: str | None, action: DriftAction, reason: str
) -> Drift:
    return Drift("authentik", target.value, name, wanted, found, action, reason)


def provider_drift(plan: Plan, entra: ObservedEntra, authentik: ObservedAuthentik) -> Iterator[Drift]:
    """Differences of the provider in authentik."""
    provider, application, target = authentik.provider, entra.application, Target.PROVIDER
    if provider is None:
        taken = authentik.provider_name_holder
        yield _authentik(
            target,
            "exists",
            plan.desired.provider_name,
            f"{taken} of that name" if taken else None,
            DriftAction.NEEDS_YOU if taken else DriftAction.CREATE,
            "names are unique among all providers" if taken else "not in authentik",
        )
        return
    tenant = entra.operator.tenant_id
    for name, wanted, found in (
        ("client_id", application.app_id if application else None, provider.client_id),
        ("tenant_id", tenant, provider.tenant_id),
    ):
        if wanted is None or wanted.lower() != found.lower():
            yield _authentik(
                target,
                name,
                wanted,
                found,
                DriftAction.NEEDS_YOU,
                "it points elsewhere: set it back, delete the provider, or take over its application with --adopt",
            )
    if application is None or not belongs(provider, application, tenant):
        return
    if authentik.provider_name_holder is not None:
        yield _authentik(
            target,
            "name",
            None,
            provider.name,
            DriftAction.KEEP,
            f"found by its client id; the wanted name belongs to another provider ({authentik.provider_name_holder})",
        )
    for name, value in plan.provider_changes.items():
        yield _authentik(
            target,
            name,
            shown_value(value, authentik.names),
            shown_value(getattr(provider, name), authentik.names),
            DriftAction.CHANGE,
            _WHY.get(name, _DIFFERS),
        )
    for other in authentik.same_client:
        yield _authentik(
            target,
            "client_id",
            None,
            f"{other.name} (pk {other.pk})",
            DriftAction.NEEDS_YOU,
            "a second provider signs in as the same application; two of them provision against each other",
        )


_DIFFERS = "differs from the settings"
_WHY = {
    "name": "renamed; found by its client id",
    "dry_run": "a dry run writes nothing to the tenant",
    "filter_group": "decides who is provisioned",
    "property_mappings": "decides what users look like in the tenant",
    "property_mappings_group": "decides what groups look like in the tenant",
}


def assignment_drift(plan: Plan, authentik: ObservedAuthentik) -> Iterator[Drift]:
    """Differences of the application that should hold the provider."""
    provider, application = authentik.provider, authentik.application
    slug, target = plan.desired.authentik_application_slug, Target.AUTHENTIK_APPLICATION
    if application is None:
        yield _authentik(target, "exists", slug, None, DriftAction.CREATE, "not in authentik")
    elif provider is None:
        yield _authentik(
            target,
            "backchannel_providers",
            plan.desired.provider_name,
            _others(application),
            DriftAction.CHANGE,
            "the application is there without the provider; what it holds is kept",
        )
    elif int(provider.pk) not in application.backchannel_provider_pks:
        yield from _detached(provider, application, target)
    if application is not None and provider is not None and application.provider_pk == int(provider.pk):
        yield _authentik(
            target,
            "provider",
            None,
            provider.name,
            DriftAction.KEEP,
            "also its main provider: people see an application that they cannot open; clear it in authentik",
        )


def _detached(provider: Provider, application: AuthentikApplication, target: Target) -> Iterator[Drift]:
    elsewhere = provider.application_slug
    yield _authentik(
        target,
        "backchannel_providers",
        f"{provider.name} in {application.slug}",
        f"in {elsewhere}" if elsewhere else _others(application),
        DriftAction.CHANGE,
        "moves back here; authentik does not sync a provider without an application"
        if elsewhere
        else "unassigned: authentik does not sync it",
    )


def _others(application: AuthentikApplication) -> str | None:
    count = len(application.backchannel_provider_pks)
    return f"{count} other providers" if count else None
