"""Taking over an application and a provider that somebody else made. Pure.

Taking over needs consent once (``--adopt CLIENT_ID``); from then on the application carries our tags, one of
which (``authentik-entra:adopted=DAY``) says that it was not made here. Names that people gave are kept unless
the settings name others. Later runs find the application by ``uniqueName``, which is filled in where it was
null, or else by its tags; tags alone prove nothing, because every owner can write them, so authentik's provider
has to hold the same client id.

The same holds for names of everything that exists: a name is changed only where the settings give one. A run
without its settings file renames nothing, and moves no provider to another application of authentik.
"""

from __future__ import annotations

from dataclasses import replace

from authentik_entra_bootstrap.domain import Application, Desired, Provider
from authentik_entra_bootstrap.domain.application_tags import read_marks
from authentik_entra_bootstrap.errors import Conflict
from authentik_entra_bootstrap.planning.observation import ObservedAuthentik, ObservedEntra


def asked(desired: Desired, application: Application) -> bool:
    """Whether this run was told to take over this application."""
    return desired.adopt is not None and desired.adopt.lower() == application.app_id.lower()


def adopting(desired: Desired, application: Application | None) -> bool:
    """Whether this run takes the application over: asked for, and not ours yet."""
    return (
        application is not None and asked(desired, application) and not read_marks(application.tags).managed
    )


def adopted(desired: Desired, application: Application) -> bool:
    """Whether the application was made by somebody else and is, or now becomes, ours to look after."""
    return read_marks(application.tags).adopted is not None or adopting(desired, application)


def belongs(provider: Provider, application: Application, tenant_id: str) -> bool:
    """Whether a provider signs in as this application in this tenant."""
    return (
        provider.client_id.lower() == application.app_id.lower()
        and provider.tenant_id.lower() == tenant_id.lower()
    )


def settled(desired: Desired, entra: ObservedEntra, authentik: ObservedAuthentik) -> Desired:
    """What is wanted, with names that are kept filled in from what exists.

    A name is kept where the settings do not give another, or where another provider holds the wanted one.
    """
    application, provider = entra.application, authentik.provider
    if application is None:
        return desired
    kept: dict[str, str] = {}
    if application.unique_name:
        kept["unique_name"] = application.unique_name
    mine = provider is not None and belongs(provider, application, entra.operator.tenant_id)
    kept["application_name"] = application.display_name
    if provider is not None and mine:
        kept["provider_name"] = provider.name
        if provider.application_slug:
            kept["authentik_application_slug"] = provider.application_slug
    kept = {name: value for name, value in kept.items() if name not in desired.explicit_names}
    if provider is not None and mine and authentik.provider_name_holder is not None:
        kept["provider_name"] = provider.name
    return replace(desired, **kept)  # type: ignore[arg-type]


def refuse_adoption(desired: Desired, entra: ObservedEntra, authentik: ObservedAuthentik) -> None:
    """Refuse what must not be taken over, or not be believed.

    :raises Conflict: ``application-not-confirmed``, ``several-providers-of-application``.
    """
    application, provider = entra.application, authentik.provider
    if application is None:
        return
    mine = provider is not None and belongs(provider, application, entra.operator.tenant_id)
    if entra.found_by == "marks" and not mine:
        raise Conflict(
            "application-not-confirmed",
            f"The application {application.app_id} carries the tags of the connection {desired.connection}, but has "
            "another unique name, and no provider in authentik holds its client id. Tags alone are no proof.",
            f"If it is the right one, run bootstrap --adopt {application.app_id} once, "
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
