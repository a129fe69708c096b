"""Preflight of a rotation: what the identities hold that it runs with. Read-only, goes on after a failure."""

from __future__ import annotations

from functools import partial

from authentik_entra_bootstrap.domain import Application, Desired, TokenClaims
from authentik_entra_bootstrap.errors import BootstrapError
from authentik_entra_bootstrap.planning.permissions import ROTATE, needs_ownership
from authentik_entra_bootstrap.planning.preflight import refuse_tenant
from authentik_entra_bootstrap.rotator.observation import ROLE
from authentik_entra_bootstrap.workflows.check import (
    CheckLine,
    Level,
    caught,
    clock_lines,
    failed,
    permission_lines,
    right_line,
    server_lines,
    thread_lines,
)
from authentik_entra_bootstrap.workflows.concurrency import both
from authentik_entra_bootstrap.workflows.context import Context
from authentik_entra_bootstrap.workflows.lookup import application_by_marks
from authentik_entra_bootstrap.workflows.token_permissions import not_an_owner


async def check_rotation(
    context: Context, desired: Desired, sharing: frozenset[str] = frozenset()
) -> tuple[CheckLine, ...]:
    """Look at everything that a rotation will need. Changes nothing, raises nothing of ours.

    :param sharing: see :func:`~authentik_entra_bootstrap.workflows.check.check`.
    """
    entra, authentik = await both(_entra(context, desired), _authentik(context, desired, sharing))
    return (*await clock_lines(context), *entra, *authentik)


async def _entra(context: Context, desired: Desired) -> list[CheckLine]:
    operator, error = await caught(context.entra.operator)
    if operator is None:
        return [failed("Entra ID", error)] if error else []
    lines = []
    try:
        refuse_tenant(desired, operator)
    except BootstrapError as wrong:
        return [failed("Entra ID", wrong)]
    who = operator.user_principal_name or f"service principal {operator.object_id}"
    lines = [
        CheckLine("operator identity", Level.OK, who),
        CheckLine("tenant", Level.OK, operator.tenant_id),
        right_line(ROTATE, operator, needed=True),
    ]
    application, error = await caught(partial(_application, context, desired))
    if error is not None:
        return [*lines, failed("application", error)]
    if application is None:
        remedy = "Run `authentik-entra bootstrap` first."
        lines.append(CheckLine("application", Level.WARNING, "there is none to rotate yet", remedy))
    else:
        lines.append(await _ownership(context, application, operator))
    lines.append(_no_more_than_needed(operator))
    return lines


async def _application(context: Context, desired: Desired) -> Application | None:
    found = await context.entra.find_application(desired.unique_name)
    return found or await application_by_marks(context.entra, desired)


async def _ownership(context: Context, application: Application, operator: TokenClaims) -> CheckLine:
    name = "owns the application"
    if not needs_ownership(operator):
        return CheckLine(name, Level.OK, "not needed with what the token holds")
    owners, error = await caught(partial(context.entra.owners, application.app_object_id))
    if owners is None:
        return failed(name, error) if error else CheckLine(name, Level.WARNING, "not known")
    if operator.object_id in owners:
        return CheckLine(name, Level.OK, application.app_id)
    return failed(name, not_an_owner(application))


def _no_more_than_needed(operator: TokenClaims) -> CheckLine:
    more = sorted((operator.roles if operator.is_app_only else operator.scopes) - {ROLE})
    if not more:
        return CheckLine("no more than needed", Level.OK, f"{ROLE} and nothing else")
    remedy = "Rotate as the rotator: `authentik-entra rotator create` makes it."
    return CheckLine(
        "no more than needed", Level.WARNING, f"holds more than rotation needs: {', '.join(more)}", remedy
    )


async def _authentik(context: Context, desired: Desired, sharing: frozenset[str]) -> list[CheckLine]:
    port = context.authentik
    server, error = await caught(port.server)
    if server is None:
        return [failed("authentik", error)] if error else []
    (licence, licence_error), (user, user_error) = await both(caught(port.license), caught(port.me))
    if licence is None or user is None:
        return [failed("authentik", error) for error in (licence_error, user_error) if error]
    lines = server_lines(server, licence, user)
    provider, error = await caught(partial(port.find_provider, desired.provider_name))
    if error is None and provider is None:
        remedy = "Run `authentik-entra bootstrap` first, or check the setting provider_name."
        lines.append(CheckLine("provider", Level.WARNING, f"none called {desired.provider_name}", remedy))
    elif provider is not None:
        lines.append(CheckLine("provider", Level.OK, f"{provider.name} (pk {provider.pk})"))
    elif error is not None and error.code != "authentik-permission-missing":
        # A missing permission has a line of its own.
        lines.append(failed("provider", error))
    lines += await permission_lines(context, "rotation")
    return [*lines, *await thread_lines(context, desired, sharing)]
