"""What differs in the tenant: application, service principal, permissions, owners, client secrets. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from authentik_entra_bootstrap.domain import (
    MICROSOFT_GRAPH_APP_ID,
    Application,
    ClientSecret,
    PermissionKind,
    RequestedAccess,
)
from authentik_entra_bootstrap.domain.application_tags import is_ours, read_marks
from authentik_entra_bootstrap.planning.adoption import adopted
from authentik_entra_bootstrap.planning.consent import states
from authentik_entra_bootstrap.planning.drift.records import Drift, DriftAction
from authentik_entra_bootstrap.planning.observation import ObservedEntra
from authentik_entra_bootstrap.planning.plan import Plan, Target
from authentik_entra_bootstrap.rotation.decide import SecretAction


def tenant_drift(plan: Plan, entra: ObservedEntra, now: datetime) -> Iterator[Drift]:
    """Differences in the tenant."""
    application = entra.application
    if application is None:
        deleted = entra.deleted is not None
        yield _entra(
            Target.APPLICATION,
            "exists",
            plan.desired.application_name,
            "deleted" if deleted else None,
            DriftAction.NEEDS_YOU if deleted else DriftAction.CREATE,
            "restore it, or delete it permanently: it holds the unique name"
            if deleted
            else "not in the tenant",
        )
    else:
        yield from _application(plan, application)
        if entra.found_by == "marks":
            yield _entra(
                Target.APPLICATION,
                "uniqueName",
                None,
                application.unique_name,
                DriftAction.KEEP,
                "found by its tags and authentik's provider; set unique_name to it to find it without a search",
            )
        yield from _principal(entra)
        yield from _permissions(plan, entra, application)
        yield from _owners(entra)
        yield from _secrets(plan, application, now)
        for secret in entra.service_principal.secrets if entra.service_principal else ():
            yield _entra(
                Target.SERVICE_PRINCIPAL,
                f"passwordCredentials {secret.key_id}",
                None,
                _shown(secret, now),
                DriftAction.KEEP,
                "not made by us, and it signs in as well: never removed here",
            )


def _entra(
    target: Target, name: str, wanted: str | None, found: str | None, action: DriftAction, reason: str
) -> Drift:
    return Drift("entra", target.value, name, wanted, found, action, reason)


def _application(plan: Plan, application: Application) -> Iterator[Drift]:
    desired, marks, target = plan.desired, read_marks(application.tags), Target.APPLICATION
    if application.display_name != desired.application_name:
        yield _entra(
            target,
            "displayName",
            desired.application_name,
            application.display_name,
            DriftAction.CHANGE,
            "renamed",
        )
    if not marks.managed or marks.connection != desired.connection:
        other = marks.connection not in {None, desired.connection}
        yield _entra(
            target,
            "tags",
            f"our tags of the connection {desired.connection}",
            f"tags of the connection {marks.connection}" if marks.connection else None,
            DriftAction.NEEDS_YOU if other else DriftAction.CHANGE,
            "it belongs to another connection" if other else "our tags are added; all others are kept",
        )
    if application.unique_name is None and adopted(desired, application):
        yield _entra(
            target,
            "uniqueName",
            desired.unique_name,
            None,
            DriftAction.CHANGE,
            "later runs find the application by it; it can be set once",
        )
    if not application.enabled:
        yield _entra(
            target,
            "isDisabled",
            "false",
            "true",
            DriftAction.CHANGE,
            "a disabled application gets no tokens: authentik's sign-in fails",
        )
    reference = desired.service_management_reference
    if reference is not None and application.service_management_reference != reference:
        yield _entra(
            target,
            "serviceManagementReference",
            reference,
            application.service_management_reference,
            DriftAction.CHANGE,
            "differs from the settings",
        )
    if application.sign_in_audience not in {None, "AzureADMyOrg"}:
        yield _entra(
            target,
            "signInAudience",
            "AzureADMyOrg",
            application.sign_in_audience,
            DriftAction.KEEP,
            "other tenants may be using it; change it yourself when none does",
        )
    if application.redirect_uris:
        yield _entra(
            target,
            "redirectUris",
            None,
            ", ".join(application.redirect_uris),
            DriftAction.KEEP,
            "authentik needs none; something else may sign people in with this application",
        )
    for name in application.certificates:
        yield _entra(
            target, "keyCredentials", None, name, DriftAction.KEEP, "not made by us; it signs in as well"
        )


def _principal(entra: ObservedEntra) -> Iterator[Drift]:
    principal = entra.service_principal
    if principal is None:
        yield _entra(
            Target.SERVICE_PRINCIPAL,
            "exists",
            "yes",
            None,
            DriftAction.CREATE,
            "admin consent attaches to it",
        )
    elif not principal.account_enabled:
        yield _entra(
            Target.SERVICE_PRINCIPAL,
            "accountEnabled",
            "true",
            "false",
            DriftAction.CHANGE,
            "authentik's sign-in fails while it is disabled",
        )


def _permissions(plan: Plan, entra: ObservedEntra, application: Application) -> Iterator[Drift]:
    roles = {value: name for name, value in entra.graph.app_roles.items()}
    scopes = {value: name for name, value in entra.graph.scopes.items()}
    graph = entra.graph.service_principal_object_id
    consented = entra.delegated_grant.scopes if entra.delegated_grant else frozenset()
    for item, state in zip(plan.permissions, states(plan.permissions, entra), strict=True):
        listed = item.requested_access() in application.requested_access
        there = state.granted is not False
        if not (listed and there):
            yield _entra(
                Target.ROLE if item.kind is PermissionKind.ROLE else Target.SCOPE,
                item.name,
                "listed and granted",
                {(True, False): "listed, not granted", (False, True): "granted, not listed"}.get(
                    (listed, there)
                ),
                DriftAction.CHANGE,
                "a later consent in the portal would revoke it" if there else "authentik needs it",
            )
    wanted = {item.requested_access() for item in plan.permissions}
    wanted_ids = {item.permission_id for item in plan.permissions}
    wanted_scopes = {item.name for item in plan.permissions if item.kind is PermissionKind.SCOPE}
    extra: dict[tuple[Target, str], list[str]] = {}
    for access in application.requested_access - wanted:
        extra.setdefault(_named(access, roles, scopes), []).append("listed")
    for assignment in entra.role_assignments:
        if assignment.resource_id != graph:
            name = f"{assignment.app_role_id} of resource {assignment.resource_id}"
            extra.setdefault((Target.ROLE, name), []).append("granted")
        elif assignment.app_role_id not in wanted_ids:
            name = roles.get(assignment.app_role_id, assignment.app_role_id)
            extra.setdefault((Target.ROLE, name), []).append("granted")
    for name in consented - wanted_scopes:
        extra.setdefault((Target.SCOPE, name), []).append("granted")
    for (target, name), found in sorted(extra.items()):
        yield _entra(
            target,
            name,
            None,
            " and ".join(found),
            DriftAction.KEEP,
            "not in the settings; whether something else needs it cannot be known",
        )


def _named(access: RequestedAccess, roles: dict[str, str], scopes: dict[str, str]) -> tuple[Target, str]:
    is_role = access.kind is PermissionKind.ROLE
    names = roles if is_role else scopes
    target = Target.ROLE if is_role else Target.SCOPE
    if access.resource_app_id.lower() != MICROSOFT_GRAPH_APP_ID:
        return target, f"{access.permission_id} of application {access.resource_app_id}"
    return target, names.get(access.permission_id, access.permission_id)


def _owners(entra: ObservedEntra) -> Iterator[Drift]:
    operator = entra.operator.object_id
    if operator not in entra.owners:
        yield _entra(
            Target.APPLICATION,
            "owners",
            f"the operator {operator} among them",
            f"{len(entra.owners)} owners without it",
            DriftAction.KEEP,
            "Application.ReadWrite.OwnedBy would not be enough for this operator; add it as owner for least privilege",
        )
    for owner in sorted(entra.owners - {operator, entra.rotator}):
        yield _entra(
            Target.APPLICATION,
            "owners",
            None,
            owner,
            DriftAction.KEEP,
            "an owner can make secrets and change tags",
        )


def _secrets(plan: Plan, application: Application, now: datetime) -> Iterator[Drift]:
    resting = {item.key_id: item.retire_at for item in plan.secret.resting}
    for secret in application.secrets:
        if not is_ours(secret):
            yield _entra(
                Target.SECRET,
                secret.key_id,
                None,
                _shown(secret, now),
                DriftAction.KEEP,
                "not made by us: never removed here. Remove it in the portal when nothing uses it",
            )
        elif secret.key_id in plan.secret.retire:
            yield _entra(
                Target.SECRET,
                secret.key_id,
                None,
                _shown(secret, now),
                DriftAction.REMOVE,
                "ours, and nothing uses it; removed after a proof",
            )
        elif secret.key_id in resting:
            yield _entra(
                Target.SECRET,
                secret.key_id,
                None,
                _shown(secret, now),
                DriftAction.KEEP,
                "ours, and on no record: a run may still be about to deliver it. Removed after "
                f"{resting[secret.key_id]:%Y-%m-%d %H:%M} UTC",
            )
    if plan.secret.action is not SecretAction.KEEP:
        kept = plan.secret.kept
        yield _entra(
            Target.SECRET,
            "current",
            "a proven client secret",
            _shown(kept, now) if kept else None,
            DriftAction.CREATE if plan.secret.action is SecretAction.MAKE else DriftAction.CHANGE,
            plan.secret.reason,
        )


def _shown(secret: ClientSecret, now: datetime) -> str:
    name = repr(secret.display_name) if secret.display_name else "without a name"
    word = "valid until" if secret.end_date_time > now else "expired on"
    return f"{name}, {word} {secret.end_date_time:%Y-%m-%d}"
