"""Taking over an application and a provider that this program did not make. Pure.

Taking over needs consent once (``--adopt CLIENT_ID``). From then on the application carries our tags, one of which
(``authentik-entra:adopted=DAY``) says that it was not made here. Later runs find it by ``uniqueName``, which is filled
in where it was null, or else by its tags. Every owner can write tags, so they count only where authentik's provider
holds the same client id.

A name of anything that exists is changed only where the settings give one. A run without its settings file renames
nothing, and moves no provider to another application of authentik.
"""

from __future__ import annotations

from dataclasses import replace

from authentik_entra_bootstrap.domain import Application, DeletedApplication, Desired, Provider
from authentik_entra_bootstrap.domain.application_tags import read_tags
from authentik_entra_bootstrap.errors import Conflict
from authentik_entra_bootstrap.planning.observation import ObservedAuthentik, ObservedEntra


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
