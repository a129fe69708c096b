"""Apply a plan, step by step, and prove the result. Re-running is resuming."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from authentik_entra_bootstrap.domain import (
    Application,
    AuthentikApplication,
    PermissionKind,
    Provider,
    ProviderChange,
    SecretText,
    ServicePrincipal,
    Written,
)
from authentik_entra_bootstrap.domain.application_tags import read_marks
from authentik_entra_bootstrap.errors import AlreadyExists
from authentik_entra_bootstrap.planning.consent import ConsentState
from authentik_entra_bootstrap.planning.differences import Action, Target
from authentik_entra_bootstrap.planning.observation import ObservedAuthentik, ObservedEntra
from authentik_entra_bootstrap.planning.plan import Plan
from authentik_entra_bootstrap.planning.scope import provider_spec
from authentik_entra_bootstrap.rotation.decide import SecretAction
from authentik_entra_bootstrap.rotation.phases import Came, Phase, entry
from authentik_entra_bootstrap.rotation.proof import last_sign_in, proven_at_delivery
from authentik_entra_bootstrap.workflows.concurrency import both, outcome
from authentik_entra_bootstrap.workflows.concurrent_runs import provider_appeared
from authentik_entra_bootstrap.workflows.context import Context
from authentik_entra_bootstrap.workflows.delivery import own_sync_ended, running_syncs, wait_for_other_syncs
from authentik_entra_bootstrap.workflows.outcome import Outcome
from authentik_entra_bootstrap.workflows.save_provider import ByApi, Saving
from authentik_entra_bootstrap.workflows.secret_run import SecretRun
from authentik_entra_bootstrap.workflows.secret_state import Case
from authentik_entra_bootstrap.workflows.tenant import TenantSide


async def bootstrap(
    context: Context,
    plan: Plan,
    entra: ObservedEntra,
    authentik: ObservedAuthentik,
    saving: Saving | None = None,
) -> Outcome:
    """Carry out the plan made from these observations.

    What does not depend on each other runs side by side.

    :param saving: how provider and application are made in authentik; by its API when left out.
    :returns: with ``consent`` set where only delegated permissions are left to an administrator.
    :raises ConsentRequired: application permissions are left to an administrator; no secret was made.
    :raises BootstrapError: the first step that failed; what was done stays, and the next run continues.
    """
    tenant = TenantSide(context, plan, entra)
    application = await tenant.application()
    run = _Run(context, plan, entra, authentik, tenant, application, saving or ByApi(context.authentik))
    principal, _ = await both(tenant.principal(application), run.look_for_others())
    # Consent may be missing for weeks: no secret is made before the application permissions stand, unless the
    # operator's token says that they surely will.
    run.granting = partial(tenant.grants, principal, application)
    if not tenant.surely_grants():
        await run.settle_grants()
    await run.carry_out(entry(plan.secret, saves_provider=True))
    return run.outcome(principal)


class _Run(SecretRun):
    """The client secret's phases, with a provider that may have to be created, and its authentik application."""

    def __init__(
        self,
        context: Context,
        plan: Plan,
        entra: ObservedEntra,
        authentik: ObservedAuthentik,
        tenant: TenantSide,
        application: Application,
        saving: Saving,
    ) -> None:
        roles = frozenset(item.name for item in plan.permissions if item.kind is PermissionKind.ROLE)
        case = Case(
            plan.desired,
            plan.secret,
            plan.steps,
            tenant.observed,
            plan.grantable.end_date_time if plan.grantable else None,
            authentik.last_change,
            authentik.last_change_readable,
            authentik.sync_tasks,
            roles,
        )
        super().__init__(context, case, application, authentik.provider, tenant.marks)
        self.plan = plan
        self.saving = saving
        self.seen = entra
        self.other = authentik
        self.attached: AuthentikApplication | None = authentik.application
        self.consent: ConsentState | None = None
        self.granting: Callable[[], Awaitable[ConsentState | None]] | None = None
        """Grants that are still to be made, beside the secret; whatever comes of them counts before it is marked."""
        self._granted: Callable[[], ConsentState | None] | None = None
        self._idle = False
        """Whether no sync ran when the proof was read."""

    async def carry_out(self, phase: Phase) -> None:
        """Run from a phase to the end; grants that no secret is made beside come first.

        :raises BootstrapError: see :class:`SecretRun`.
        """
        if phase is not Phase.PREFLIGHT:
            await self.settle_grants()
        await super().carry_out(phase)

    async def look_for_others(self) -> None:
        """Look for another run, where a secret will be made.

        :raises Temporary: ``another-run-active``.
        """
        if self.plan.secret.action is SecretAction.MAKE:
            await self.alone()
            self.known_alone = True

    async def create(self) -> Came:
        """Make the secret, beside the grants."""
        granting, self.granting = self.granting, None
        if granting is None:
            return await super().create()
        came, self._granted = await both(super().create(), outcome(granting()))
        return came

    async def mark(self) -> Came:
        """See :class:`SecretRun`; where a grant has failed, the secret is removed again instead."""
        if self._granted is not None:
            self.consent = self._granted()
        return await super().mark()

    async def settle_grants(self) -> None:
        """Make the grants that no secret is made beside.

        :raises ConsentRequired: see :meth:`TenantSide.grants`.
        """
        granting, self.granting = self.granting, None
        if granting is not None:
            self.consent = await granting()

    async def cut_over(self) -> Came:
        """Create or save the provider, where there is something to save, and attach it."""
        step = self.plan.step(Target.PROVIDER)
        came = Came.GOOD
        if step.action is not Action.KEEP or self.provider is None:
            self.context.reporter.begin(step)
            came = await self.deliver(step, self._save)
        if came is not Came.GOOD:
            return came
        await self._attach()
        return Came.SAVED if self.plan.secret.action is SecretAction.KEEP else Came.GOOD

    async def _save(self, text: SecretText | None) -> Written[Provider]:
        if self.provider is not None:
            return await self.context.authentik.update_provider(
                self.provider.pk, self.plan.provider_changes, text
            )
        assert text is not None  # noqa: S101 - without a provider the decision is MAKE
        spec = provider_spec(
            self.plan.desired, self.application.app_id, self.seen.operator.tenant_id, self.other
        )
        try:
            return await self.saving.create(self.plan.desired, spec, text)
        except AlreadyExists:
            raise await provider_appeared(self.context, spec) from None

    async def _attach(self) -> None:
        step = self.plan.step(Target.AUTHENTIK_APPLICATION)
        existing = self.other.application
        if step.action is Action.KEEP and existing is not None:
            return
        self.context.reporter.begin(step)
        written = await self.saving.attach(self.plan.desired, self.saved_provider(), existing)
        self.saved.append(written.request_id)
        self.attached = written.value
        self.context.reporter.done(step, "holds the provider")

    async def finish(self) -> Came:
        """Start the first sync where nothing has, and record; also when only fields were changed."""
        if self.plan.has(Target.FIRST_SYNC, Action.CHANGE):
            await self._first_sync()
        if self.saved or self.plan.secret.action is not SecretAction.KEEP:
            return await super().finish()
        return Came.GOOD

    async def look_beside_proof(self, provider: Provider) -> ProviderChange | None:
        """Also whether syncs run: those that the provider's creation started were queued before the proof."""
        if not self.plan.has(Target.FIRST_SYNC, Action.CHANGE):
            return await super().look_beside_proof(provider)
        if self.new is not None:
            # The save that starts the first sync delivers the secret again, and is then the last change.
            self._idle = not await running_syncs(self.context)
            return None
        change, running = await both(super().look_beside_proof(provider), running_syncs(self.context))
        self._idle = not running
        return change

    async def _first_sync(self) -> None:
        """Save the provider once more: every save starts a full sync, the assignment to an application none.

        The new secret goes along, so that authentik holds it whoever saved the provider in between.
        """
        step = self.plan.step(Target.FIRST_SYNC)
        provider = self.saved_provider()
        self.context.reporter.begin(step)
        await self.delivery.begin()
        if not self._idle:
            if not await own_sync_ended(self.context, provider):
                # One that found no application would have ended at once.
                self.change_now = None
                self.context.reporter.done(step, "runs already")
                return
            await wait_for_other_syncs(self.context, provider.name)
        text = self.new.secret_text if self.new else None
        authentik = self.context.authentik
        written = await (
            authentik.update_provider(provider.pk, {}, text) if text else authentik.start_sync(provider.pk)
        )
        self.saved.append(written.request_id)
        self.change_now = None
        if text is not None:
            self.carried = written.request_id
            if written.request_id is not None:
                # What this save left is known without another look at the audit trail.
                self.change_now = lambda: None
        self.context.reporter.done(step, "started")

    def outcome(self, principal: ServicePrincipal) -> Outcome:
        """What stands now."""
        secret = self.new.record if self.new else self.plan.secret.kept
        assert secret is not None  # noqa: S101 - MAKE makes one, KEEP and PROVE have one
        assert self.attached is not None  # noqa: S101 - attached, or observed as such
        if not self.evidence:
            change = self.other.last_change
            seen = last_sign_in(self.other.sync_tasks, change.created if change else None)
            if seen is None and not self.plan.changes:
                seen = proven_at_delivery(read_marks(self.application.tags), change)
            self.evidence += [seen] if seen else []
        refused = {item.name for item in self.consent.missing} if self.consent else set()
        changed = tuple(
            step
            for step in self.plan.changes
            if step not in self.stayed and not (step.target is Target.SCOPE and step.key in refused)
        )
        return Outcome(
            self.application,
            principal,
            self.saved_provider(),
            self.attached,
            secret,
            changed,
            tuple(self.evidence),
            self.consent,
            self.plan.desired.renewal,
        )
