"""The tenant's half of a bootstrap: application, service principal, grants; and a deleted application."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from dataclasses import replace
from enum import Enum
from typing import Any

from authentik_entra_bootstrap.domain import (
    Application,
    ApplicationSpec,
    DeletedApplication,
    Desired,
    PermissionKind,
    ServicePrincipal,
)
from authentik_entra_bootstrap.domain.application_tags import ApplicationTags, read_tags
from authentik_entra_bootstrap.errors import (
    AdminActionRequired,
    AlreadyExists,
    BootstrapError,
    Conflict,
    Temporary,
)
from authentik_entra_bootstrap.planning import ObservedEntra
from authentik_entra_bootstrap.planning.consent import ConsentState, consent_required
from authentik_entra_bootstrap.planning.differences import PERMISSION_TARGETS, Action, Target
from authentik_entra_bootstrap.planning.permissions import GRANT_ROLES, GRANT_SCOPES
from authentik_entra_bootstrap.planning.plan import Plan
from authentik_entra_bootstrap.planning.preflight import adopted, adopting, is_this_connections
from authentik_entra_bootstrap.support.logs import record
from authentik_entra_bootstrap.support.waiting import REPLICATION
from authentik_entra_bootstrap.workflows.consent import missing_consent
from authentik_entra_bootstrap.workflows.session import Context, both, every

NOTES = "Made by authentik-entra-bootstrap for authentik's Microsoft Entra ID provider."


class TenantSide:
    """Carries out the tenant's steps of a plan, up to what a client secret needs. Holds the tags to write.

    :param seen: the observation that the plan was made from.
    """

    def __init__(self, context: Context, plan: Plan, seen: ObservedEntra) -> None:
        self.context = context
        self.plan = plan
        self.desired = plan.desired
        self.seen = seen
        taken_over = f"{context.now():%Y-%m-%d}" if adopting(plan.desired, seen.application) else None
        self.tags: ApplicationTags = replace(
            plan.tags,
            managed=True,
            connection=plan.desired.connection,
            adopted=plan.tags.adopted or taken_over,
        )
        self.observed = plan.tags
        self.granted: frozenset[str] = frozenset()
        """Names of the permissions that this run granted."""
        self.refusal: AdminActionRequired | None = None
        """The first refused grant."""
        self.left: ConsentState | None = None
        """The consent that an administrator has to grant."""

    async def application(self) -> Application:
        """Create the application, change what differs, or keep it.

        :raises BootstrapError: from the service, or ``application-not-ours``, ``application-name-taken``.
        """
        step = self.plan.step(Target.APPLICATION)
        access = frozenset(permission.requested_access() for permission in self.plan.permissions)
        existing = self.seen.application
        if existing is None:
            self.context.reporter.begin(step)
            spec = ApplicationSpec(
                display_name=self.desired.application_name,
                unique_name=self.desired.unique_name,
                tags=self.tags.texts(),
                requested_access=access,
                owner_object_ids=(self.seen.operator.object_id,),
                service_management_reference=self.desired.service_management_reference,
                notes=NOTES,
            )
            try:
                made = await self.context.entra.create_application(spec)
            except AlreadyExists:
                made = await self._adopt_own()
            self.context.reporter.done(step, f"client id {made.app_id}")
            return made
        if step.action is Action.CHANGE:
            self.context.reporter.begin(step)
            await self.context.entra.update_application(
                existing.app_object_id,
                tags=self.tags.texts(),
                requested_access=access | existing.requested_access,
                display_name=self.desired.application_name,
                service_management_reference=self.desired.service_management_reference,
                enable=not existing.enabled,
            )
            if existing.unique_name is None and adopted(self.desired, existing):
                await self._name(existing)
            self.context.reporter.done(step, step.reason)
        return existing

    async def _name(self, existing: Application) -> None:
        """Give an adopted application the unique name by which later runs find it at once; tags find it too."""
        try:
            await self.context.entra.update_application(
                existing.app_object_id, unique_name=self.desired.unique_name
            )
        except Temporary:
            raise
        except BootstrapError as error:
            self.context.reporter.warn(
                f"The unique name {self.desired.unique_name} could not be set ({error.code}); later runs find the "
                "application by its tags and by the provider in authentik."
            )

    async def _adopt_own(self) -> Application:
        """The name is taken: by this program, if the reply to an earlier try was lost or a replica lags."""

        async def look() -> Application | None:
            return await self.context.entra.find_application(self.desired.unique_name)

        found = await self.context.waiter.until(
            look,
            what="Entra ID to show the application that holds the unique name",
            code="application-name-taken",
            backoff=replace(REPLICATION, budget=60.0),
            remedy="A deleted application may hold the name; set unique_name to another name or purge it.",
        )
        if any(tag in self.tags.texts() for tag in found.tags if "connection=" in tag):
            self.observed = read_tags(found.tags)
            self.tags = replace(self.observed, managed=True, connection=self.desired.connection)
            return found
        raise AlreadyExists(
            "application-not-ours",
            f"The unique name {self.desired.unique_name} was taken by another application meanwhile.",
            "Set unique_name to another name.",
        )

    async def principal(self, application: Application) -> ServicePrincipal:
        """Create the service principal if it is missing.

        :raises BootstrapError: from the service.
        """
        step = self.plan.step(Target.SERVICE_PRINCIPAL)
        principal = self.seen.service_principal
        if principal is None:
            self.context.reporter.begin(step)
            principal = await self.context.entra.create_service_principal(application.app_id)
            self.context.reporter.done(step, f"object id {principal.service_principal_object_id}")
        elif not principal.account_enabled:
            self.context.reporter.begin(step)
            await self.context.entra.enable_service_principal(principal.service_principal_object_id)
            self.context.reporter.done(step, "enabled")
        return principal

    def surely_grants(self) -> bool:
        """Whether the operator's token shows every right that grants need, and nothing has refused any so far.

        Where an application stands without them, an earlier run may have been refused.
        """
        operator = self.seen.operator
        return self.seen.application is None and all(
            right.lack(operator) is None for right in (GRANT_ROLES, GRANT_SCOPES)
        )

    async def grants(self, principal: ServicePrincipal, application: Application) -> None:
        """Grant every permission that the operator may grant, and note in ``left`` what an administrator has to.

        :raises ConsentRequired: application permissions are missing. No secret would be of use without them.
        :raises BootstrapError: from the service.
        """
        wanted = [
            item
            for item in self.plan.permissions
            if self.plan.step(PERMISSION_TARGETS[item.kind], item.name).action is Action.CREATE
        ]
        roles = [item for item in wanted if item.kind is PermissionKind.ROLE]
        scopes = frozenset(item.name for item in wanted if item.kind is PermissionKind.SCOPE)
        jobs: list[Coroutine[Any, Any, None]] = [
            self._granting({item.name}, self._grant_role(principal, item.name, item.permission_id))
            for item in roles
        ]
        if scopes:
            jobs.append(self._granting(scopes, self._grant_scopes(principal, scopes)))
        await every(jobs)
        if self.refusal is None:
            return
        state = await missing_consent(self.context, self.plan, self.seen, application, self.granted)
        if state.missing_roles:
            raise consent_required(state, self.refusal)
        self.left = None if state.complete else state

    async def _granting(self, names: Iterable[str], grant: Coroutine[Any, Any, None]) -> None:
        """Grant, and remember whether the operator may: a refusal keeps no other grant from being tried."""
        try:
            await grant
        except AdminActionRequired as error:
            if error.code != "consent-required":
                raise
            self.refusal = self.refusal or error
        else:
            self.granted |= frozenset(names)

    async def _grant_role(self, principal: ServicePrincipal, name: str, role_id: str) -> None:
        step = self.plan.step(Target.ROLE, name)
        self.context.reporter.begin(step)
        await self.context.entra.assign_role(
            principal.service_principal_object_id, self.seen.graph.service_principal_object_id, role_id
        )
        self.context.reporter.done(step, "application permission granted")

    async def _grant_scopes(self, principal: ServicePrincipal, scopes: frozenset[str]) -> None:
        steps = [self.plan.step(Target.SCOPE, name) for name in sorted(scopes)]
        for step in steps:
            self.context.reporter.begin(step)
        await self.context.entra.grant_scopes(
            principal.service_principal_object_id,
            self.seen.graph.service_principal_object_id,
            scopes,
            self.seen.delegated_grant,
        )
        for step in steps:
            self.context.reporter.done(step, "delegated permission granted for all users")


# --- a deleted application of ours that still holds the unique name


class Wish(Enum):
    """What to do with a deleted application."""

    RESTORE = "restore"
    PURGE = "purge"


async def find_deleted(context: Context, desired: Desired) -> DeletedApplication | None:
    """The connection's deleted application; ``None`` if the name is free or a live application has it.

    :raises Conflict: ``application-not-ours``: the application of that name does not carry this connection's tags.
    """
    live, deleted = await both(
        context.entra.find_application(desired.unique_name),
        context.entra.find_deleted_application(desired.unique_name),
    )
    if live is not None or deleted is None:
        return None
    if not is_this_connections(desired, deleted):
        raise Conflict(
            "application-not-ours",
            f"The deleted application {deleted.app_id} holds the unique name {desired.unique_name}, but does not "
            "carry this connection's tags.",
            "Restore it or delete it permanently in the portal, or set unique_name to another name.",
            facts={"app_id": deleted.app_id},
        )
    return deleted


async def settle(context: Context, desired: Desired, deleted: DeletedApplication, wish: Wish) -> None:
    """Restore or delete it, and wait until Graph shows that.

    :raises BootstrapError: from the service; ``application-not-restored`` when it does not show in time.
    """
    what = f"deleted application {deleted.app_id}"
    if wish is Wish.PURGE:
        context.reporter.doing(f"deleting permanently: {what}")
        await context.entra.purge_application(deleted.app_object_id)
    else:
        context.reporter.doing(f"restoring: {what}")
        await context.entra.restore_application(deleted.app_object_id)

        async def back() -> Application | None:
            return await context.entra.find_application(desired.unique_name)

        await context.waiter.until(
            back,
            what="Entra ID to show the restored application",
            code="application-not-restored",
            confirmations=3,
        )
    record(f"application-{wish.value}d", connection=desired.connection, app_id=deleted.app_id)
