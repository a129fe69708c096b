"""Preflight of a bootstrap or a rotation: read-only; continues after a failure; each failure has its remedy."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeVar

from authentik_entra_bootstrap.authentik import AuthentikPort
from authentik_entra_bootstrap.domain import AuthentikUser, Desired, LicenseInfo, ServerInfo, TokenClaims
from authentik_entra_bootstrap.domain.policy import grantable_end
from authentik_entra_bootstrap.domain.times import in_words
from authentik_entra_bootstrap.errors import (
    AdminActionRequired,
    BootstrapError,
    ConfigError,
    Denied,
    ExitCode,
)
from authentik_entra_bootstrap.planning import ObservedAuthentik, ObservedEntra
from authentik_entra_bootstrap.planning.permissions import (
    GRANT_ROLES,
    GRANT_SCOPES,
    REGISTER,
    ROTATE,
    Right,
    needs_ownership,
    resolve,
)
from authentik_entra_bootstrap.planning.preflight import allows_saving, refuse, refuse_tenant, unencrypted
from authentik_entra_bootstrap.rotator.plan import ROLE
from authentik_entra_bootstrap.workflows.concurrent_runs import THREADS, threads_for
from authentik_entra_bootstrap.workflows.observe import (
    connection_application,
    observe_authentik,
    observe_entra,
)
from authentik_entra_bootstrap.workflows.planning import match, not_an_owner
from authentik_entra_bootstrap.workflows.session import Context, both

T = TypeVar("T")

PERMISSION = "permission "
"""Prefix of the name of a line about one of authentik's permissions."""
WARNED_SKEW = timedelta(minutes=2)
REFUSED_SKEW = timedelta(minutes=5)
"""Token services refuse assertions beyond it."""


class Level(StrEnum):
    """The level of a line of the check."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True)
class CheckLine:
    """One line: what was checked, the result, and the remedy.

    :param exit_code: of a failure.
    """

    name: str
    level: Level
    detail: str
    remedy: str = ""
    code: str = ""
    exit_code: ExitCode = ExitCode.DONE


def _ok(name: str, detail: str) -> CheckLine:
    return CheckLine(name, Level.OK, detail)


def _warning(name: str, detail: str, remedy: str = "") -> CheckLine:
    return CheckLine(name, Level.WARNING, detail, remedy)


def _failure(name: str, error: BootstrapError) -> CheckLine:
    return CheckLine(name, Level.FAILURE, error.message, error.remedy, error.code, error.exit_code)


async def _caught(job: Awaitable[T]) -> tuple[T | None, BootstrapError | None]:
    """What a job returns, or the :class:`BootstrapError` that it raises."""
    try:
        return await job, None
    except BootstrapError as error:
        return None, error


async def _lines(name: str, job: Awaitable[list[CheckLine]]) -> list[CheckLine]:
    """The lines that a job returns, or one for the error that it raises."""
    lines, error = await _caught(job)
    return [_failure(name, error)] if error else lines or []


async def check(
    context: Context, desired: Desired, sharing: frozenset[str] = frozenset()
) -> tuple[CheckLine, ...]:
    """Check everything that bootstrap needs. Changes nothing; errors become lines.

    :param sharing: names of the providers of further connections to the same authentik, by the settings.
    """
    (entra, entra_error), (other, authentik_error) = await both(
        _caught(observe_entra(context.entra, desired)),
        _caught(both(observe_authentik(context.authentik, desired), context.authentik.me())),
    )
    lines = await _clock_lines(context)
    if entra is not None:
        lines += _tenant_lines(context, desired, entra)
    elif entra_error is not None:
        lines.append(_failure("Entra ID", entra_error))
    if other is not None:
        authentik, user = other
        lines += _server_lines(authentik.server, authentik.license, user)
        lines += await _permission_lines(context.authentik, "bootstrap")
        lines += await _thread_lines(context.authentik, desired, sharing)
        if entra is not None:
            names = await _lines("names", _names_lines(context, desired, entra, authentik))
            known = {line.code for line in lines if line.code}
            lines += [line for line in names if line.code not in known]
    elif authentik_error is not None:
        lines.append(_failure("authentik", authentik_error))
        if not isinstance(authentik_error, ConfigError) and (await _caught(context.authentik.server()))[0]:
            # When reading failed for lack of a permission, the list of permissions says more than the first 403.
            refused = authentik_error.facts.get("missing_permission", "")
            lines += await _permission_lines(context.authentik, "bootstrap", refused)
    return tuple(lines)


async def check_rotation(
    context: Context, desired: Desired, sharing: frozenset[str] = frozenset()
) -> tuple[CheckLine, ...]:
    """Check everything that a rotation needs. Changes nothing; errors become lines.

    :param sharing: see :func:`check`.
    """
    entra, authentik = await both(
        _lines("Entra ID", _rotation_tenant_lines(context, desired)),
        _lines("authentik", _rotation_authentik_lines(context.authentik, desired, sharing)),
    )
    return (*await _clock_lines(context), *entra, *authentik)


def worst(lines: tuple[CheckLine, ...]) -> ExitCode:
    """The exit code of a check: the first failure's."""
    return next((line.exit_code for line in lines if line.level is Level.FAILURE), ExitCode.DONE)


async def _names_lines(
    context: Context, desired: Desired, entra: ObservedEntra, seen: ObservedAuthentik
) -> list[CheckLine]:
    """Whether the names of application and provider are free or this connection's; the slug may be another application's."""
    authentik = await match(context.authentik, desired, entra, seen)
    refuse(desired, entra, authentik)
    application, provider = authentik.application, authentik.provider
    if application is None or (provider is not None and provider.application_slug == application.slug):
        return [_ok("names", "application, provider and slug are free or this connection's")]
    detail = (
        f"the slug {application.slug} belongs to the authentik application “{application.name}”, which keeps what it "
        "has and gets the provider added"
    )
    if provider is not None and provider.application_slug is not None:
        detail = (
            f"the provider is assigned to the authentik application {provider.application_slug}, and another one "
            f"has the slug {application.slug}"
        )
    remedy = "If that is not meant, set authentik_application_slug to another slug."
    return [_warning("names", f"application and provider are free or this connection's; {detail}", remedy)]


def _operator_lines(operator: TokenClaims, tenant: str = "") -> list[CheckLine]:
    who = operator.user_principal_name or f"a service principal (object id {operator.object_id})"
    where = f"{tenant} ({operator.tenant_id})" if tenant else operator.tenant_id
    return [_ok("operator identity", who), _ok("tenant", where)]


def _tenant_lines(context: Context, desired: Desired, seen: ObservedEntra) -> list[CheckLine]:
    operator = seen.operator
    lines = [
        *_operator_lines(operator, seen.organization.display_name),
        _right_line(REGISTER, operator, needed=True),
        *(_right_line(right, operator, needed=False) for right in (GRANT_ROLES, GRANT_SCOPES)),
    ]
    try:
        resolve(desired.permissions, seen.graph)
        lines.append(_ok("permissions", ", ".join(desired.permissions)))
        end = grantable_end(context.now(), desired.secret_lifetime, seen.policy)
    except BootstrapError as error:
        return [*lines, _failure("permissions and secret policy", error)]
    policy = _ok("secret policy", f"allows {in_words(desired.secret_lifetime)}")
    limit = seen.policy.greatest_lifetime
    if not seen.policy.known:
        detail = "the app management policy may not be read; its limits show when they bite"
        policy = _warning("secret policy", detail, "Policy.Read.All would show it.")
    elif end.clamped and limit is not None:
        policy = _warning("secret policy", f"shortens client secrets to {in_words(limit)}")
    return [*lines, policy]


async def _rotation_tenant_lines(context: Context, desired: Desired) -> list[CheckLine]:
    operator = await context.entra.operator()
    refuse_tenant(desired, operator)
    lines = [*_operator_lines(operator), _right_line(ROTATE, operator, needed=True)]
    lines += await _lines("application", _application_lines(context, desired, operator))
    if more := sorted((operator.roles if operator.is_app_only else operator.scopes) - {ROLE}):
        detail = f"holds more than rotation needs: {', '.join(more)}"
        remedy = "Rotate as the rotator: `authentik-entra rotator create` makes it."
        return [*lines, _warning("no more than needed", detail, remedy)]
    return [*lines, _ok("no more than needed", f"{ROLE} and nothing else")]


async def _application_lines(context: Context, desired: Desired, operator: TokenClaims) -> list[CheckLine]:
    application = await connection_application(context.entra, desired)
    if application is None:
        remedy = "Run `authentik-entra bootstrap` first."
        return [_warning("application", "there is none to rotate yet", remedy)]
    name = "owns the application"
    if not needs_ownership(operator):
        return [_ok(name, "not needed with what the token holds")]
    owners, error = await _caught(context.entra.owners(application.app_object_id))
    if owners is not None and operator.object_id not in owners:
        error = not_an_owner(application)
    return [
        _failure(name, error)
        if error
        else _ok(name, f"{application.display_name} (client id {application.app_id})")
    ]


async def _rotation_authentik_lines(
    port: AuthentikPort, desired: Desired, sharing: frozenset[str]
) -> list[CheckLine]:
    server = await port.server()
    (licence, wrong), (user, also) = await both(_caught(port.license()), _caught(port.me()))
    if licence is None or user is None:
        return [_failure("authentik", error) for error in (wrong, also) if error]
    lines = _server_lines(server, licence, user)
    provider, error = await _caught(port.find_provider(desired.provider_name))
    if provider is not None:
        lines.append(_ok("provider", f"{provider.name} (pk {provider.pk})"))
    elif error is None:
        remedy = "Run `authentik-entra bootstrap` first, or check the setting provider_name."
        lines.append(_warning("provider", f"none called {desired.provider_name}", remedy))
    elif error.code != "authentik-permission-missing":  # which has a line of its own
        lines.append(_failure("provider", error))
    return [*lines, *await _permission_lines(port, "rotation"), *await _thread_lines(port, desired, sharing)]


def _right_line(right: Right, operator: TokenClaims, *, needed: bool) -> CheckLine:
    """Whether the operator's token shows a right.

    :param needed: whether no other identity can do it later.
    """
    name, lack = f"may {right.purpose}", right.lack(operator)
    if lack is None:
        return _ok(name, "shown by the token")
    detail = f"the token lacks the {lack}"
    if needed and operator.is_app_only:
        return _failure(name, Denied("entra-permission-missing", detail, f"Grant the {lack}."))
    return _warning(name, detail, f"Ask for the {lack}, or let an administrator grant consent afterwards.")


async def _clock_lines(context: Context) -> list[CheckLine]:
    """Whether this machine's clock agrees with both services'; each is asked again."""
    entra = _clock_line(context, "Entra ID", context.entra.service_time())
    return [*await both(entra, _clock_line(context, "authentik", context.authentik.service_time()))]


async def _clock_line(context: Context, service: str, clock: Awaitable[datetime | None]) -> CheckLine:
    name = f"clock: {service}"
    told, error = await _caught(clock)
    if told is None:
        return _warning(name, error.message if error else f"{service} does not tell its time")
    now = context.now()
    off = abs(now - told)
    if off < WARNED_SKEW:
        return _ok(name, f"agrees with {service}'s")
    # Whole minutes read as a span from here on: the header tells whole seconds.
    span = in_words(timedelta(minutes=round(off / timedelta(minutes=1))))
    detail = f"this machine's clock is {span} {'ahead of' if now > told else 'behind'} {service}'s"
    remedy = "Synchronise the clocks (NTP), first of all this machine's."
    if off < REFUSED_SKEW:
        return _warning(name, detail, remedy)
    return _failure(name, Denied("clock-off", detail, remedy))


def _server_lines(server: ServerInfo, licence: LicenseInfo, user: AuthentikUser) -> list[CheckLine]:
    """authentik's version, the token's user, and whether a provider can be saved."""
    lines = [_ok("authentik", f"version {server.version}"), _ok("token", f"belongs to {user.username}")]
    if server.unencrypted:
        remedy = "Use authentik's https:// address unless both run on one private network."
        lines.append(_warning("encryption", unencrypted(server), remedy))
    if licence.status == "valid":
        return [*lines, _ok("licence", licence.status)]
    remedy = "See Enterprise > Licenses in authentik."
    if allows_saving(licence):
        return [*lines, _warning("licence", licence.status, remedy)]
    return [*lines, _failure("licence", AdminActionRequired("licence-required", licence.status, remedy))]


async def _thread_lines(port: AuthentikPort, desired: Desired, sharing: frozenset[str]) -> list[CheckLine]:
    """How many threads authentik's worker should have; nothing for a single provider, for which two are enough."""
    providers, _ = await _caught(port.providers())
    assigned = {item.name for item in providers or () if item.application_slug}
    names = sorted(assigned | sharing | {desired.provider_name})
    if len(names) < 2:
        return []
    shown = ", ".join([*names[:5], "…"] if len(names) > 5 else names)
    detail = (
        f"{len(names)} Microsoft Entra providers share it ({shown}); a full sync holds one of its threads, and the "
        "schedule may start all at once. It has two by default; how many it has, authentik does not tell"
    )
    remedy = (
        f"Give it {threads_for(len(names))} threads ({THREADS}={threads_for(len(names))}): one for the sync of each "
        "provider, one for their pages, one for proofs, events and blueprints."
    )
    return [_warning("authentik's worker", detail, remedy)]


async def _permission_lines(port: AuthentikPort, purpose: str, refused: str = "") -> list[CheckLine]:
    """Each permission of authentik that a purpose needs, held or missing.

    :param refused: a permission for lack of which authentik has just refused a read: it is missing, whatever else
        seems to show it.
    """
    checks, error = await _caught(port.permissions(purpose))
    if error is not None:
        return [_failure("authentik permissions", error)]
    lines = []
    for item in checks or ():
        name = f"{PERMISSION}{item.permission}"
        if item.permission == refused or item.held is False:
            detail, remedy = (
                f"missing; needed for {item.needed_for}",
                "Add it to the role of the token's user.",
            )
            lines.append(_failure(name, Denied("authentik-permission-missing", detail, remedy)))
        elif item.held:
            lines.append(_ok(name, item.needed_for))
        else:
            lines.append(_warning(name, "not known without changing something"))
    return lines
