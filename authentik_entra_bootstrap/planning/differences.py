"""Every difference between what is wanted and what is there, with what is done about it. Pure.

The plan turns this list into steps, ``plan`` and ``status`` show it as drift, and monitoring counts it. It
also has what a run does not change, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial

from authentik_entra_bootstrap.domain import (
    Application,
    AuthentikApplication,
    ClientSecret,
    Desired,
    PermissionKind,
)
from authentik_entra_bootstrap.domain.application_tags import classify_secrets, read_tags
from authentik_entra_bootstrap.planning import ObservedAuthentik, ObservedEntra
from authentik_entra_bootstrap.planning.consent import states, unwanted
from authentik_entra_bootstrap.planning.permissions import ResolvedPermission
from authentik_entra_bootstrap.planning.preflight import adopted, belongs
from authentik_entra_bootstrap.planning.scope import provider_changes, shown_value
from authentik_entra_bootstrap.rotation.decide import SecretAction, SecretDecision


class Action(StrEnum):
    """What is done about a difference, and what a step of a plan does."""

    CREATE = "create"
    CHANGE = "change"
    KEEP = "keep"
    """Not changed. A difference has the reason; it is not a fault."""
    RETIRE = "retire"
    PROVE = "prove"
    REMOVE = "remove"
    NEEDS_YOU = "needs-you"
    """A person has to decide or to act."""

    @property
    def changes(self) -> bool:
        """Whether a step writes."""
        return self in {Action.CREATE, Action.CHANGE, Action.RETIRE, Action.REMOVE}


class Target(StrEnum):
    """What a difference or a step is about; the workflows have one handler for each."""

    APPLICATION = "application"
    SERVICE_PRINCIPAL = "service-principal"
    ROLE = "application-permission"
    SCOPE = "delegated-permission"
    SECRET = "client-secret"
    PROVIDER = "provider"
    AUTHENTIK_APPLICATION = "authentik-application"
    PROOF = "proof"
    FIRST_SYNC = "first-sync"
    DELETED_APPLICATION = "deleted-application"
    TAGS = "marks"

    @property
    def side(self) -> str:
        """``entra`` or ``authentik``."""
        ours = {Target.PROVIDER, Target.AUTHENTIK_APPLICATION, Target.FIRST_SYNC, Target.PROOF}
        return "authentik" if self in ours else "entra"


PERMISSION_TARGETS = {PermissionKind.ROLE: Target.ROLE, PermissionKind.SCOPE: Target.SCOPE}
LISTED_ONLY = "listed, not granted"
_GRANTED_ONLY = "granted, not listed"


@dataclass(frozen=True)
class Difference:
    """One difference.

    :param property: the property's name at its service, the permission's name, or a key id; ``exists`` for an object
        that is missing altogether.
    :param wanted: as text; ``None``: nothing of the kind.
    :param found: as text; ``None``: absent.
    """

    target: Target
    property: str
    wanted: str | None
    found: str | None
    action: Action
    reason: str


def find_differences(
    desired: Desired,
    entra: ObservedEntra,
    authentik: ObservedAuthentik,
    permissions: Sequence[ResolvedPermission],
    secret: SecretDecision,
    now: datetime,
) -> tuple[Difference, ...]:
    """Compare both sides with what is wanted; empty for a connection that is as it should be."""
    return (
        *_tenant(desired, entra, permissions, secret, now),
        *_provider(desired, entra, authentik),
        *_authentik_application(desired, authentik),
    )


def _tenant(
    desired: Desired,
    entra: ObservedEntra,
    permissions: Sequence[ResolvedPermission],
    secret: SecretDecision,
    now: datetime,
) -> Iterator[Difference]:
    application = entra.application
    if application is not None:
        yield from _application(desired, entra, application)
        yield from _service_principal(entra)
        yield from _permissions(permissions, entra, application)
        yield from _owners(entra)
        yield from _secrets(entra, application, secret, now)
        return
    differ = partial(Difference, Target.APPLICATION, "exists", desired.application_name)
    if entra.deleted is None:
        yield differ(None, Action.CREATE, "not in the tenant")
    else:
        reason = "restore it, or delete it permanently: it holds the unique name"
        yield differ("deleted", Action.NEEDS_YOU, reason)


def _application(desired: Desired, entra: ObservedEntra, application: Application) -> Iterator[Difference]:
    differ = partial(Difference, Target.APPLICATION)
    tags = read_tags(application.tags)
    if (name := application.display_name) != desired.application_name:
        yield differ("displayName", desired.application_name, name, Action.CHANGE, "renamed")
    wanted = f"this program's tags of the connection {desired.connection}"
    tagged = f"tags of the connection {tags.connection}" if tags.connection else None
    if tags.connection not in {None, desired.connection}:
        yield differ("tags", wanted, tagged, Action.NEEDS_YOU, "it belongs to another connection")
    elif not tags.managed or tags.connection is None:
        yield differ(
            "tags", wanted, tagged, Action.CHANGE, "this program's tags are added; all others are kept"
        )
    if application.unique_name is None and adopted(desired, application):
        reason = "later runs find the application by it; it can be set once"
        yield differ("uniqueName", desired.unique_name, None, Action.CHANGE, reason)
    if not application.enabled:
        reason = "a disabled application gets no tokens: authentik's sign-in fails"
        yield differ("isDisabled", "false", "true", Action.CHANGE, reason)
    reference, found = desired.service_management_reference, application.service_management_reference
    if reference is not None and found != reference:
        yield differ("serviceManagementReference", reference, found, Action.CHANGE, _FROM_SETTINGS)
    yield from _left_alone(application)
    if entra.found_by == "tags":
        reason = (
            "found by its tags and authentik's provider; set unique_name to it to find it without a search"
        )
        yield differ("uniqueName", None, application.unique_name, Action.KEEP, reason)


def _left_alone(application: Application) -> Iterator[Difference]:
    differ = partial(Difference, Target.APPLICATION)
    if application.sign_in_audience not in {None, "AzureADMyOrg"}:
        reason = "other tenants may be using it; change it yourself when none does"
        yield differ("signInAudience", "AzureADMyOrg", application.sign_in_audience, Action.KEEP, reason)
    if application.redirect_uris:
        reason = "authentik needs none; something else may sign people in with this application"
        yield differ("redirectUris", None, ", ".join(application.redirect_uris), Action.KEEP, reason)
    for name in application.certificates:
        yield differ("keyCredentials", None, name, Action.KEEP, "not made by us; it signs in as well")


def _service_principal(entra: ObservedEntra) -> Iterator[Difference]:
    differ = partial(Difference, Target.SERVICE_PRINCIPAL)
    if entra.service_principal is None:
        yield differ("exists", "yes", None, Action.CREATE, "admin consent attaches to it")
    elif not entra.service_principal.account_enabled:
        reason = "authentik's sign-in fails while it is disabled"
        yield differ("accountEnabled", "true", "false", Action.CHANGE, reason)


def _permissions(
    permissions: Sequence[ResolvedPermission], entra: ObservedEntra, application: Application
) -> Iterator[Difference]:
    for item in states(permissions, entra):
        listed = item.requested_access() in application.requested_access
        granted = item.granted is not False
        if not (listed and granted):
            found = LISTED_ONLY if listed else _GRANTED_ONLY if granted else None
            reason = "a later consent in the portal would revoke it" if granted else "authentik needs it"
            target = PERMISSION_TARGETS[item.kind]
            yield Difference(target, item.name, "listed and granted", found, Action.CHANGE, reason)
    reason = "not in the settings; whether something else needs it cannot be known"
    for (kind, name), ways in sorted(unwanted(permissions, entra, application).items()):
        yield Difference(PERMISSION_TARGETS[kind], name, None, " and ".join(ways), Action.KEEP, reason)


def _owners(entra: ObservedEntra) -> Iterator[Difference]:
    differ = partial(Difference, Target.APPLICATION, "owners")
    operator = entra.operator.object_id
    if operator not in entra.owners:
        yield differ(
            f"the operator {operator} among them",
            f"{len(entra.owners)} owners without it",
            Action.KEEP,
            "Application.ReadWrite.OwnedBy would not be enough for this operator; add it as owner for least privilege",
        )
    for owner in sorted(entra.owners - {operator, entra.rotator}):
        yield differ(None, owner, Action.KEEP, "an owner can make secrets and change tags")


def _secrets(
    entra: ObservedEntra, application: Application, decision: SecretDecision, now: datetime
) -> Iterator[Difference]:
    resting = {item.key_id: item.retire_at for item in decision.resting}
    principal = entra.service_principal
    for item in classify_secrets(application, of_principal=principal.secrets if principal else ()):
        key_id, shown = item.secret.key_id, _shown(item.secret, now)
        differ = partial(Difference, Target.SECRET, key_id, None, shown)
        if item.holder == "service-principal":
            name = f"passwordCredentials {key_id}"
            reason = "not made by us, and it signs in as well: never removed here"
            yield Difference(Target.SERVICE_PRINCIPAL, name, None, shown, Action.KEEP, reason)
        elif not item.ours:
            reason = "not made by us: never removed here. Remove it in the portal when nothing uses it"
            yield differ(Action.KEEP, reason)
        elif key_id in decision.retire:
            yield differ(Action.REMOVE, "created by this program, no longer used; removed after the proof")
        elif key_id in resting:
            reason = (
                "created by this program, and on no record: a run may still be about to deliver it. Removed after "
                f"{resting[key_id]:%Y-%m-%d %H:%M} UTC"
            )
            yield differ(Action.KEEP, reason)
    if decision.action is not SecretAction.KEEP:
        found = _shown(decision.kept, now) if decision.kept else None
        action = Action.CREATE if decision.action is SecretAction.MAKE else Action.CHANGE
        yield Difference(Target.SECRET, "current", "a proven client secret", found, action, decision.reason)


def _shown(secret: ClientSecret, now: datetime) -> str:
    name = repr(secret.display_name) if secret.display_name else "without a name"
    word = "valid until" if secret.end_date_time > now else "expired on"
    return f"{name}, {word} {secret.end_date_time:%Y-%m-%d}"


_FROM_SETTINGS = "differs from the settings"
_WHY = {
    "name": "renamed; found by its client id",
    "dry_run": "a dry run writes nothing to the tenant",
    "filter_group": "decides who is provisioned",
    "property_mappings": "decides what users look like in the tenant",
    "property_mappings_group": "decides what groups look like in the tenant",
}


def _provider(desired: Desired, entra: ObservedEntra, authentik: ObservedAuthentik) -> Iterator[Difference]:
    differ = partial(Difference, Target.PROVIDER)
    provider, application, holder = authentik.provider, entra.application, authentik.provider_name_holder
    if provider is None:
        if holder:
            reason = "names are unique among all providers"
            yield differ("exists", desired.provider_name, f"{holder} of that name", Action.NEEDS_YOU, reason)
        else:
            yield differ("exists", desired.provider_name, None, Action.CREATE, "not in authentik")
        return
    tenant = entra.operator.tenant_id
    reason = (
        "it points elsewhere: set it back, delete the provider, or take over its application with --adopt"
    )
    for name, wanted, its in (
        ("client_id", application.app_id if application else None, provider.client_id),
        ("tenant_id", tenant, provider.tenant_id),
    ):
        if wanted is None or wanted.lower() != its.lower():
            yield differ(name, wanted, its, Action.NEEDS_YOU, reason)
    if application is None or not belongs(provider, application, tenant):
        return
    if holder is not None:
        reason = f"found by its client id; the wanted name belongs to another provider ({holder})"
        yield differ("name", None, provider.name, Action.KEEP, reason)
    for name, value in provider_changes(desired, authentik).items():
        shown, found = (shown_value(item, authentik.names) for item in (value, getattr(provider, name)))
        yield differ(name, shown, found, Action.CHANGE, _WHY.get(name, _FROM_SETTINGS))
    for other in authentik.same_client:
        reason = (
            "a second provider signs in as the same application; two of them provision against each other"
        )
        yield differ("client_id", None, f"{other.name} (pk {other.pk})", Action.NEEDS_YOU, reason)


def _authentik_application(desired: Desired, authentik: ObservedAuthentik) -> Iterator[Difference]:
    differ = partial(Difference, Target.AUTHENTIK_APPLICATION)
    provider, application = authentik.provider, authentik.application
    if application is None:
        slug = desired.authentik_application_slug
        yield differ("exists", slug, None, Action.CREATE, "not in authentik")
        return
    attached = partial(differ, "backchannel_providers")
    if provider is None:
        reason = "the application is there without the provider; what it holds is kept"
        yield attached(desired.provider_name, _others(application), Action.CHANGE, reason)
        return
    if int(provider.pk) not in application.backchannel_provider_pks:
        wanted = f"{provider.name} in {application.slug}"
        if elsewhere := provider.application_slug:
            reason = "moves back here; authentik does not sync a provider without an application"
            yield attached(wanted, f"in {elsewhere}", Action.CHANGE, reason)
        else:
            reason = "unassigned: authentik does not sync it"
            yield attached(wanted, _others(application), Action.CHANGE, reason)
    if application.provider_pk == int(provider.pk):
        reason = (
            "also its main provider: people see an application that they cannot open; clear it in authentik"
        )
        yield differ("provider", None, provider.name, Action.KEEP, reason)


def _others(application: AuthentikApplication) -> str | None:
    count = len(application.backchannel_provider_pks)
    return f"{count} other providers" if count else None
