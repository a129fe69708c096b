"""Apply a plan step by step, and prove the result. A second run resumes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Protocol

from authentik_entra_bootstrap.authentik import AuthentikPort
from authentik_entra_bootstrap.domain import (
    Application,
    AuthentikApplication,
    ClientSecret,
    Desired,
    PermissionKind,
    Provider,
    ProviderChange,
    ProviderSpec,
    Renewal,
    SecretText,
    ServicePrincipal,
    Written,
)
from authentik_entra_bootstrap.domain.application_tags import read_tags
from authentik_entra_bootstrap.domain.policy import renew_at
from authentik_entra_bootstrap.errors import AlreadyExists
from authentik_entra_bootstrap.planning import ObservedAuthentik, ObservedEntra
from authentik_entra_bootstrap.planning.consent import ConsentState
from authentik_entra_bootstrap.planning.differences import Action, Target
from authentik_entra_bootstrap.planning.plan import Plan, Step
from authentik_entra_bootstrap.planning.scope import provider_spec
from authentik_entra_bootstrap.rotation.decide import SecretAction
from authentik_entra_bootstrap.rotation.phases import ENTRY, Phase, PhaseResult
from authentik_entra_bootstrap.rotation.proof import Evidence, last_sign_in, proven_at_delivery
from authentik_entra_bootstrap.workflows.concurrent_runs import (
    no_other_pending_secret,
    own_sync_ended,
    provider_appeared,
    running_syncs,
    wait_for_other_syncs,
)
from authentik_entra_bootstrap.workflows.observe import last_change
from authentik_entra_bootstrap.workflows.rotation_phases import run_phases
from authentik_entra_bootstrap.workflows.secret_run import Case, SecretRun, nothing
from authentik_entra_bootstrap.workflows.session import Context, both
from authentik_entra_bootstrap.workflows.tenant import TenantSide


@dataclass(frozen=True)
class Outcome:
    """The connection at the end of a run, and what the run changed.

    :param changed: the steps that wrote.
    :param evidence: the proofs seen, newest last; empty when nothing was proven in this run.
    :param consent: set when the operator may not grant the delegated permissions that are still missing.
    """

    application: Application
    service_principal: ServicePrincipal
    provider: Provider
    authentik_application: AuthentikApplication
    secret: ClientSecret
    changed: tuple[Step, ...]
    evidence: tuple[Evidence, ...]
    consent: ConsentState | None = None
    renewal: Renewal = field(default_factory=Renewal)

    @property
    def renew_at(self) -> datetime:
        """When the secret is due for replacement, aware UTC."""
        return renew_at(self.secret, self.renewal)


async def bootstrap(
    context: Context,
    plan: Plan,
    entra: ObservedEntra,
    authentik: ObservedAuthentik,
    saving: Saving | None = None,
) -> Outcome:
    """Carry out the plan made from these observations. Independent steps run in parallel.

    :param saving: how provider and application are made in authentik; by its API when left out.
    :returns: with ``consent`` set where only delegated permissions are left to an administrator.
    :raises ConsentRequired: application permissions are left to an administrator; no secret was made.
    :raises BootstrapError: the first step that failed; what was done stays, and the next run continues.
    """
    tenant = TenantSide(context, plan, entra)
    application = await tenant.application()
    roles = frozenset(item.name for item in plan.permissions if item.kind is PermissionKind.ROLE)
    case = Case(
        plan.desired,
        plan.secret,
        plan.steps,
        tenant.observed,
        plan.grantable.end_date_time if plan.grantable else None,
        authentik,
        roles,
    )
    making = plan.secret.action is SecretAction.MAKE
    principal, _ = await both(
        tenant.principal(application),
        no_other_pending_secret(context, application, tenant.observed) if making else nothing(),
    )
    grants = partial(tenant.grants, principal, application)
    phase = ENTRY[plan.secret.action, True]
    # Consent may be missing for weeks: no secret is made before the application permissions stand, unless the
    # operator's token says that they surely will.
    beside = phase is Phase.PREFLIGHT and tenant.surely_grants()
    if not beside:
        await grants()
    delivery = ProviderSetup(context, plan, entra, authentik, saving or ByApi(context.authentik))
    run = SecretRun(
        context,
        case,
        application,
        tenant.tags,
        delivery,
        beside_creation=grants if beside else nothing,
    )
    await run_phases(run, phase)
    return _outcome(run, delivery, principal, tenant.left)


class Saving(Protocol):
    """Creates missing objects. Existing ones are changed through the API, also if a person created them."""

    async def create(self, desired: Desired, spec: ProviderSpec, secret: SecretText) -> Written[Provider]:
        """Create the provider with its secret, not assigned to an application.

        :raises AlreadyExists: another process has created a provider of that name.
        :raises BootstrapError: refused as a whole; then authentik does not have the secret.
        """
        ...

    async def attach(
        self, desired: Desired, provider: Provider, existing: AuthentikApplication | None
    ) -> Written[AuthentikApplication]:
        """Make the provider a backchannel provider of the application, which is created if it does not exist."""
        ...


class ByApi:
    """One request each."""

    def __init__(self, authentik: AuthentikPort) -> None:
        self._authentik = authentik

    async def create(self, desired: Desired, spec: ProviderSpec, secret: SecretText) -> Written[Provider]:
        """See :class:`Saving`."""
        return await self._authentik.create_provider(spec, secret)

    async def attach(
        self, desired: Desired, provider: Provider, existing: AuthentikApplication | None
    ) -> Written[AuthentikApplication]:
        """See :class:`Saving`."""
        if existing is None:
            return await self._authentik.create_application(
                slug=desired.authentik_application_slug,
                name=desired.authentik_application_name,
                backchannel_provider_pks=[int(provider.pk)],
            )
        return await self._authentik.set_backchannel_providers(
            existing.slug, [*existing.backchannel_provider_pks, int(provider.pk)]
        )


class ProviderSetup:
    """Delivers the secret to a provider, which it creates if needed, and assigns it to its authentik application."""

    def __init__(
        self,
        context: Context,
        plan: Plan,
        entra: ObservedEntra,
        authentik: ObservedAuthentik,
        saving: Saving,
    ) -> None:
        self.context = context
        self.plan = plan
        self.entra = entra
        self.authentik = authentik
        self.saving = saving
        self.attached: AuthentikApplication | None = authentik.application
        self._idle = False
        """Whether no sync was running when the proof was read."""

    async def cut_over(self, run: SecretRun) -> PhaseResult:
        """Create the provider, or save its changes, and assign it."""
        step = self.plan.step(Target.PROVIDER)
        result = PhaseResult.GOOD
        if step.action is not Action.KEEP or run.provider is None:
            self.context.reporter.begin(step)
            result = await run.deliver(step, partial(self._save, run))
        if result is not PhaseResult.GOOD:
            return result
        await self._attach(run)
        return PhaseResult.SAVED if self.plan.secret.action is SecretAction.KEEP else PhaseResult.GOOD

    async def _save(self, run: SecretRun, text: SecretText | None) -> Written[Provider]:
        if run.provider is not None:
            return await self.context.authentik.update_provider(
                run.provider.pk, self.plan.provider_changes, text
            )
        assert text is not None  # without a provider the decision is MAKE
        spec = provider_spec(
            self.plan.desired, run.application.app_id, self.entra.operator.tenant_id, self.authentik
        )
        try:
            return await self.saving.create(self.plan.desired, spec, text)
        except AlreadyExists:
            raise await provider_appeared(self.context, spec) from None

    async def _attach(self, run: SecretRun) -> None:
        step = self.plan.step(Target.AUTHENTIK_APPLICATION)
        existing = self.authentik.application
        if step.action is Action.KEEP and existing is not None:
            return
        self.context.reporter.begin(step)
        written = await self.saving.attach(self.plan.desired, run.saved_provider(), existing)
        run.saved.append(written.request_id)
        self.attached = written.value
        self.context.reporter.done(step, "holds the provider")

    async def look_beside_proof(self, run: SecretRun) -> ProviderChange | None:
        """Also whether syncs run: those that the provider's creation started were queued before the proof."""
        if not self.plan.has(Target.FIRST_SYNC, Action.CHANGE):
            change, _ = await last_change(self.context.authentik, run.saved_provider().pk)
            return change
        if run.new is not None:
            # The save that starts the first sync delivers the secret again, and is then the last change.
            self._idle = not await running_syncs(self.context)
            return None
        (change, _), running = await both(
            last_change(self.context.authentik, run.saved_provider().pk), running_syncs(self.context)
        )
        self._idle = not running
        return change

    async def before_record(self, run: SecretRun) -> bool:
        """Start the first sync if nothing else has started it."""
        if self.plan.has(Target.FIRST_SYNC, Action.CHANGE):
            await self._first_sync(run)
        return bool(run.saved) or self.plan.secret.action is not SecretAction.KEEP

    async def _first_sync(self, run: SecretRun) -> None:
        """Save the provider once more: every save starts a full sync, the assignment to an application none.

        The save carries the new secret, so that authentik holds it even if a person saved the provider in between.
        """
        step = self.plan.step(Target.FIRST_SYNC)
        provider = run.saved_provider()
        self.context.reporter.begin(step)
        await run.turn.begin()
        if not self._idle:
            if not await own_sync_ended(self.context, provider):
                # One that found no application would have ended at once.
                run.change_now = None
                self.context.reporter.done(step, "runs already")
                return
            await wait_for_other_syncs(self.context, provider.name)
        text = run.new.secret_text if run.new else None
        authentik = self.context.authentik
        written = await (
            authentik.update_provider(provider.pk, {}, text) if text else authentik.start_sync(provider.pk)
        )
        run.saved.append(written.request_id)
        run.change_now = None
        if text is not None:
            run.carried = written.request_id
            if written.request_id is not None:
                # What this save left is known without another look at the audit trail.
                run.change_now = lambda: None
        self.context.reporter.done(step, "started")


def _outcome(
    run: SecretRun, delivery: ProviderSetup, principal: ServicePrincipal, consent: ConsentState | None
) -> Outcome:
    """The connection at the end of the run."""
    plan, seen = delivery.plan, delivery.authentik
    assert delivery.attached is not None  # attached, or observed as such
    if not run.evidence:
        change = seen.last_change
        proof = last_sign_in(seen.sync_tasks, change.created if change else None)
        if proof is None and not plan.changes:
            proof = proven_at_delivery(read_tags(run.application.tags), change)
        run.evidence += [proof] if proof else []
    refused = {item.name for item in consent.missing} if consent else set()
    changed = tuple(
        step
        for step in plan.changes
        if step not in run.stayed and not (step.target is Target.SCOPE and step.key in refused)
    )
    return Outcome(
        run.application,
        principal,
        run.saved_provider(),
        delivery.attached,
        run.held,
        changed,
        tuple(run.evidence),
        consent,
        plan.desired.renewal,
    )
