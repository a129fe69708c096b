"""One rotation of a connection's client secret: the same code by hand, from cron and in a Celery task.

Reads far less than a bootstrap does and needs far less: of the tenant the application alone, of authentik the
provider and what is remembered of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from authentik_entra_bootstrap.domain import (
    Application,
    ClientSecret,
    Desired,
    KeyId,
    LicenseInfo,
    Provider,
    ProviderChange,
    TokenClaims,
)
from authentik_entra_bootstrap.domain.application_tags import Attention, attention, read_tags
from authentik_entra_bootstrap.domain.policy import grantable_end
from authentik_entra_bootstrap.errors import (
    AdminActionRequired,
    BootstrapError,
    ConfigError,
)
from authentik_entra_bootstrap.planning import ObservedProvider
from authentik_entra_bootstrap.planning.differences import Action, Target
from authentik_entra_bootstrap.planning.plan import PROOF_STEP, Step, secret_observation, secret_steps
from authentik_entra_bootstrap.planning.preflight import (
    belongs,
    refuse_foreign,
    refuse_tenant,
    refuse_unlicensed,
)
from authentik_entra_bootstrap.rotation.decide import (
    SecretAction,
    SecretDecision,
    decide,
    refuse_without_place,
    stale_read_reason,
)
from authentik_entra_bootstrap.rotation.phases import ENTRY, PhaseResult
from authentik_entra_bootstrap.rotation.proof import Evidence
from authentik_entra_bootstrap.workflows.concurrent_runs import wait_for_other_syncs
from authentik_entra_bootstrap.workflows.observe import (
    SETTLING,
    confirmed,
    connection_application,
    last_change,
    named_provider,
    with_history,
)
from authentik_entra_bootstrap.workflows.planning import (
    refuse_missing_for_rotation,
    refuse_missing_rotation_rights,
)
from authentik_entra_bootstrap.workflows.rotation_events import RotationEvents, tell_failure
from authentik_entra_bootstrap.workflows.rotation_phases import run_phases
from authentik_entra_bootstrap.workflows.secret_run import Case, SecretRun
from authentik_entra_bootstrap.workflows.session import Context, both
from authentik_entra_bootstrap.workflows.verify import not_assigned


@dataclass(frozen=True, kw_only=True)
class ObservedConnection(ObservedProvider):
    """What a rotation reads from both services."""

    operator: TokenClaims
    license: LicenseInfo
    application: Application
    provider: Provider


@dataclass(frozen=True)
class RotationPlan:
    """A decision with the steps that carry it out."""

    desired: Desired
    seen: ObservedConnection
    decision: SecretDecision
    steps: tuple[Step, ...]
    end_date_time: datetime | None

    @property
    def changes(self) -> tuple[Step, ...]:
        """The steps that write."""
        return tuple(step for step in self.steps if step.action.changes)


@dataclass(frozen=True)
class RotationOutcome:
    """The result of a run.

    :param secret: the client secret that authentik holds now.
    :param rotated: whether it is another one than before.
    :param retired: key ids of removed secrets.
    :param attention: when the connection wants the next run, and why.
    """

    decision: SecretDecision
    provider: Provider
    secret: ClientSecret
    rotated: bool
    retired: tuple[KeyId, ...]
    evidence: tuple[Evidence, ...]
    attention: Attention

    @property
    def due_at(self) -> datetime:
        """When the connection's next run is due, aware UTC."""
        return self.attention.at


class ProviderUpdate:
    """Delivers into the existing provider, and changes nothing else of it."""

    async def cut_over(self, run: SecretRun) -> PhaseResult:
        """Save the provider with the new secret."""
        pk, step = run.saved_provider().pk, run.step(Target.PROVIDER)
        run.context.reporter.begin(step)
        return await run.deliver(step, lambda text: run.context.authentik.update_provider(pk, {}, text))

    async def look_beside_proof(self, run: SecretRun) -> ProviderChange | None:
        """authentik's last change of the provider."""
        change, _ = await last_change(run.context.authentik, run.saved_provider().pk)
        return change

    async def before_record(self, run: SecretRun) -> bool:
        """There is always something to record, without further steps."""
        return True


async def rotate(context: Context, desired: Desired, *, force: bool = False) -> RotationOutcome:
    """Read, decide, and do what is due: a new secret, a missing proof, a retirement, or nothing.

    :param force: make a new secret although none is due.
    :raises Temporary: run again later; what was begun is finished or undone by the next run.
    :raises BootstrapError: a person has to act; nothing was changed, or the secret in use still works.
    """
    return await carry_out(context, await plan_rotation(context, desired, force=force))


async def plan_rotation(context: Context, desired: Desired, *, force: bool = False) -> RotationPlan:
    """Read both services and decide. Changes nothing.

    :raises ConfigError: ``connection-not-bootstrapped``.
    :raises BootstrapError: what keeps either side from being read, or a rotation from succeeding; it is told.
    """
    seen: ObservedConnection | None = None
    try:
        seen = await observe_connection(context, desired)
        return await _decided(context, desired, seen, force=force)
    except BootstrapError as error:
        await tell_failure(context, desired, error, seen.application if seen else None)
        raise


async def _decided(
    context: Context, desired: Desired, seen: ObservedConnection, *, force: bool
) -> RotationPlan:
    wait = context.waiter.begin(SETTLING)
    while True:
        application = seen.application
        known = secret_observation(
            desired, application, seen, context.now(), context.abandoned(application), force=force
        )
        decision = decide(known)
        stale = stale_read_reason(known, decision)
        if stale is None or not await wait.pause(stale):
            break
        # A replica that has forgotten the application is older still.
        fresh = await context.entra.application(application.app_object_id)
        seen = replace(seen, application=fresh or application)
    wait.over()
    refuse_without_place(application, decision, context.now())
    grantable = None
    if decision.action is SecretAction.MAKE:
        (policy, _), _ = await both(
            both(
                context.entra.secret_policy(application.app_object_id),
                both(
                    refuse_missing_rotation_rights(context, application), refuse_missing_for_rotation(context)
                ),
            ),
            # Before a secret is made that could not be delivered.
            wait_for_other_syncs(context, seen.provider.name),
        )
        refuse_unlicensed(seen.license)
        grantable = grantable_end(context.now(), desired.secret_lifetime, policy)
    steps = (*secret_steps(decision, grantable, application), *_authentik_steps(seen.provider, decision))
    end = grantable.end_date_time if grantable else None
    return RotationPlan(desired, seen, decision, steps, end)


async def carry_out(context: Context, plan: RotationPlan) -> RotationOutcome:
    """Carry out a plan that was made this very moment.

    So another run is not looked for again before the secret is made; before it is delivered, it is.

    :raises BootstrapError: see :func:`rotate`.
    """
    seen, decision, application = plan.seen, plan.decision, plan.seen.application
    tags = read_tags(application.tags)
    case = Case(
        plan.desired,
        decision,
        plan.steps,
        tags,
        plan.end_date_time,
        seen,
        frozenset(plan.desired.permissions),
        strict_roles=False,
    )
    events = RotationEvents(context)
    run = SecretRun(
        context,
        case,
        application,
        replace(tags, managed=True, connection=plan.desired.connection),
        ProviderUpdate(),
        events,
    )
    try:
        await run_phases(run, ENTRY[decision.action, False])
    except BootstrapError as error:
        await tell_failure(context, plan.desired, error, application, run)
        raise
    await events.tell(run)
    left = [item for item in application.secrets if item.key_id not in run.retired]
    now_there = replace(
        application,
        secrets=(*left, run.new.record) if run.new else tuple(left),
        tags=run.tags.texts(),
    )
    return RotationOutcome(
        decision,
        run.saved_provider(),
        run.held,
        run.new is not None,
        run.retired,
        tuple(run.evidence),
        attention(now_there, plan.desired, context.now()),
    )


async def observe_connection(context: Context, desired: Desired) -> ObservedConnection:
    """Read what a decision about the client secret needs.

    :raises ConfigError: ``connection-not-bootstrapped``.
    :raises Conflict: the application or the provider is not this connection's.
    :raises VerificationFailed: ``provider-not-assigned``: authentik could prove nothing.
    """
    port = context.authentik
    # The server's answer refuses an unknown kind of server.
    (operator, application), (_, (licence, seen)) = await both(
        both(context.entra.operator(), _application(context, desired)),
        both(port.server(), both(port.license(), named_provider(port, desired))),
    )
    refuse_tenant(desired, operator)
    refuse_foreign(
        desired, application, remedy="Check unique_name, or run `authentik-entra bootstrap` first."
    )
    provider = seen.provider
    if provider is None or not belongs(provider, application, operator.tenant_id):
        found = await port.providers()
        provider = next((item for item in found if belongs(item, application, operator.tenant_id)), None)
    if provider is None:
        raise _not_bootstrapped(desired, "authentik has no provider that signs in as its application")
    if provider.application_slug is None:
        raise not_assigned(provider)
    if provider is not seen.provider:
        seen = await with_history(port, provider)
    seen = await confirmed(port, seen, application)
    return ObservedConnection(operator=operator, license=licence, application=application, **vars(seen))


async def _application(context: Context, desired: Desired) -> Application:
    found = await connection_application(context.entra, desired)
    if found is None:
        raise _not_bootstrapped(desired, "the tenant has no application of it")
    if not found.enabled:
        raise AdminActionRequired(
            "application-disabled",
            f"The application {found.app_id} is disabled: no client secret of it signs in.",
            "Run `authentik-entra bootstrap`; it enables the application.",
        )
    return found


def _not_bootstrapped(desired: Desired, why: str) -> ConfigError:
    return ConfigError(
        "connection-not-bootstrapped",
        f"There is nothing to rotate for the connection {desired.connection}: {why}.",
        "Run `authentik-entra bootstrap` first. Right after one, wait until the tenant's replicas agree.",
    )


def _authentik_steps(provider: Provider, decision: SecretDecision) -> tuple[Step, ...]:
    if decision.action is SecretAction.KEEP:
        return ()
    if decision.action is SecretAction.PROVE:
        return (PROOF_STEP,)
    save = Step(Action.CHANGE, Target.PROVIDER, provider.name, "is given the new client secret")
    return (save, PROOF_STEP)
