"""Take a connection down: authentik first, then Entra ID. Running again finishes what an interrupted run began."""

from __future__ import annotations

from dataclasses import replace

from authentik_entra_bootstrap.domain import (
    Application,
    AppObjectId,
    DeletedApplication,
    Desired,
    KeyId,
    ProviderPk,
)
from authentik_entra_bootstrap.domain.application_tags import is_ours
from authentik_entra_bootstrap.planning.differences import Target
from authentik_entra_bootstrap.planning.plan import Step
from authentik_entra_bootstrap.planning.preflight import refuse_tenant
from authentik_entra_bootstrap.planning.teardown import TeardownPlan, TeardownSeen, our_provider, why_kept
from authentik_entra_bootstrap.support.logs import record
from authentik_entra_bootstrap.workflows.client_secrets import remove_secret
from authentik_entra_bootstrap.workflows.observe import SETTLING, connection_application
from authentik_entra_bootstrap.workflows.session import Context, both

ABSENT = 3
"""Reads in a row that have to show nothing before an object counts as missing, because replicas lag."""


async def look_before_teardown(context: Context, desired: Desired) -> TeardownSeen:
    """Read both sides, as far as a teardown needs them.

    :raises BootstrapError: what keeps one of them from being read; ``wrong-tenant``.
    """
    operator = await context.entra.operator()
    refuse_tenant(desired, operator)
    port = context.authentik
    # The server is asked first, so that an unknown kind of server is refused before anything is removed.
    organization, (_, (providers, application)) = await both(
        context.entra.organization(),
        both(
            port.server(),
            both(port.providers(), port.find_application(desired.authentik_application_slug)),
        ),
    )
    live, deleted = await _in_the_tenant(context, desired)
    seen = TeardownSeen(
        operator,
        organization,
        application=live,
        deleted=deleted,
        providers=providers,
        authentik_application=application,
    )
    provider, _ = our_provider(desired, seen)
    if provider is not None:
        seen = replace(seen, provider_dependents=await port.provider_dependents(provider.pk))
    if application is not None:
        dependents, bindings = await both(
            port.application_dependents(application), port.application_bindings(application)
        )
        seen = replace(seen, application_dependents=dependents, bindings=bindings)
    return seen


async def _in_the_tenant(
    context: Context, desired: Desired
) -> tuple[Application | None, DeletedApplication | None]:
    """The live and the deleted application, asked again while replicas contradict each other."""
    wait, absent = context.waiter.begin(SETTLING), 0
    while True:
        live, deleted = await both(
            connection_application(context.entra, desired),
            context.entra.find_deleted_application(desired.unique_name),
        )
        twice = live is not None and deleted is not None and live.app_object_id == deleted.app_object_id
        absent = absent + 1 if live is None and deleted is None else 0
        if not twice and absent in {0, ABSENT}:
            wait.over()
            return live, deleted
        if not await wait.pause("Entra ID to show whether the application was deleted"):
            # Deleting what is deleted already is success, so the live one may be wrong without harm.
            return live, None if twice else deleted


async def teardown(context: Context, plan: TeardownPlan, *, purge: bool = False) -> tuple[Step, ...]:
    """Carry out the plan in its order.

    :param purge: delete the application permanently once it is among the deleted items.
    :returns: the steps that were done; one that has become impossible to do safely is left out with a warning.
    :raises BootstrapError: the first step that failed; the next run continues there.
    """
    done: list[Step] = []
    for step in plan.steps:
        context.reporter.begin(step)
        said = await _remove(context, plan, step, purge=purge)
        if said is None:
            continue
        record(f"{step.target}-removed", connection=plan.desired.connection, subject=step.subject)
        context.reporter.done(step, said)
        done.append(step)
    return tuple(done)


async def _remove(context: Context, plan: TeardownPlan, step: Step, *, purge: bool) -> str | None:
    """Carry out one step.

    :returns: what was done, in words; ``None`` for a step that has become impossible to do safely.
    """
    entra, application = context.entra, plan.seen.application
    if step.target is Target.PROVIDER:
        there = await context.authentik.delete_provider(ProviderPk(int(step.key)))
        return "deleted" if there else "was deleted already"
    if step.target is Target.AUTHENTIK_APPLICATION:
        return await _remove_authentik_application(context, plan.desired, step.key)
    if step.target is Target.DELETED_APPLICATION:
        await entra.purge_application(AppObjectId(step.key))
        return "deleted permanently"
    assert application is not None  # the other steps are about it
    if step.target is Target.SECRET:
        secret = next(item for item in application.secrets if item.key_id == step.key)
        if not is_ours(secret):  # not an assert: it holds with `python -O`, too
            raise AssertionError("only client secrets of this program are ever removed")
        await remove_secret(context, application, KeyId(step.key))
        return "removed"
    if step.target is Target.TAGS:
        # Last of all: until then the next run finds by them what is left to do.
        await entra.update_application(application.app_object_id, tags=plan.tags.foreign)
        return "removed"
    await entra.delete_application(application.app_object_id)
    if not purge:
        return "deleted; restorable for 30 days"
    await entra.purge_application(application.app_object_id)
    return "deleted permanently"


async def _remove_authentik_application(context: Context, desired: Desired, slug: str) -> str | None:
    """Delete it, if it has not changed since the plan: a person may have started to use it."""
    port = context.authentik
    application = await port.find_application(slug)
    if application is None:
        return "was deleted already"
    dependents, bindings = await both(
        port.application_dependents(application), port.application_bindings(application)
    )
    # Its deletion would also delete other providers, so it is read again at the last moment.
    if kept := why_kept(desired, application, None, dependents, bindings):
        context.reporter.warn(f"authentik's application {slug} stays: {kept}.")
        return None
    await port.delete_application(application)
    return "deleted"
