"""Preflight: read-only, goes on after a failure, says what to do about each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import TypeVar

from authentik_entra_bootstrap.authentik.port import AuthentikPort
from authentik_entra_bootstrap.domain import (
    AuthentikUser,
    Desired,
    LicenseInfo,
    ServerInfo,
    TokenClaims,
)
from authentik_entra_bootstrap.domain.policy import grantable_end
from authentik_entra_bootstrap.domain.times import in_words
from authentik_entra_bootstrap.errors import BootstrapError, ConfigError, ExitCode
from authentik_entra_bootstrap.planning.observation import ObservedAuthentik, ObservedEntra
from authentik_entra_bootstrap.planning.permissions import GRANT_ROLES, GRANT_SCOPES, REGISTER, Right, resolve
from authentik_entra_bootstrap.planning.preflight import refuse
from authentik_entra_bootstrap.workflows.concurrency import both
from authentik_entra_bootstrap.workflows.context import Context
from authentik_entra_bootstrap.workflows.delivery import THREADS, threads_for
from authentik_entra_bootstrap.workflows.lookup import match
from authentik_entra_bootstrap.workflows.observe import observe_authentik, observe_entra

T = TypeVar("T")

_FEW_NAMES = 5
PERMISSION = "permission "
"""How the name of a line about one of authentik's permissions begins."""
DOUBTFUL_SKEW = timedelta(minutes=2)
REFUSED_SKEW = timedelta(minutes=5)
"""Token services refuse assertions beyond it."""


class Level(StrEnum):
    """How a line of the check turned out."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True)
class CheckLine:
    """One line: what was looked at, how it turned out, what to do.

    :param exit_code: of a failure.
    """

    name: str
    level: Level
    detail: str
    remedy: str = ""
    code: str = ""
    exit_code: ExitCode = ExitCode.DONE


async def check(
    context: Context, desired: Desired, sharing: frozenset[str] = frozenset()
) -> tuple[CheckLine, ...]:
    """Look at everything that bootstrap will need. Changes nothing, raises nothing of ours.

    :param sharing: names of the providers of further connections to the same authentik, by the settings.
    """
    (entra, entra_error), (other, authentik_error) = await both(
        caught(partial(observe_entra, context.entra, desired)),
        caught(partial(_see_authentik, context.authentik, desired)),
    )
    lines: list[CheckLine] = await clock_lines(context)
    if entra is not None:
        lines += _entra(context, desired, entra)
    elif entra_error is not None:
        lines.append(failed("Entra ID", entra_error))
    authentik, user = other or (None, None)
    if authentik is not None and user is not None:
        lines += server_lines(authentik.server, authentik.license, user)
        lines += await permission_lines(context, "bootstrap")
        lines += await thread_lines(context, desired, sharing)
    elif authentik_error is not None:
        lines.append(failed("authentik", authentik_error))
        if not isinstance(authentik_error, ConfigError):
            lines += await _server_alone(context, authentik_error)
    if entra is not None and authentik is not None:
        try:
            matched = await match(context.authentik, desired, entra, authentik)
            refuse(desired, entra, matched)
            lines.append(_names_line(matched))
        except BootstrapError as error:
            known = {line.code for line in lines if line.code}
            lines += [] if error.code in known else [failed("names", error)]
    return tuple(lines)


def worst(lines: tuple[CheckLine, ...]) -> ExitCode:
    """The exit code of a check: the first failure's."""
    return next((line.exit_code for line in lines if line.level is Level.FAILURE), ExitCode.DONE)


def _names_line(authentik: ObservedAuthentik) -> CheckLine:
    """What the names are that were not refused: application and provider free or ours; the slug may be another's."""
    application, provider = authentik.application, authentik.provider
    if application is None or (provider is not None and provider.application_slug == application.slug):
        return CheckLine("names", Level.OK, "application, provider and slug are free or ours")
    detail = (
        f"application and provider are free or ours; the slug {application.slug} belongs to the authentik application "
        f"“{application.name}”, which keeps what it has and gets the provider added"
    )
    if provider is not None and provider.application_slug is not None:
        detail = (
            "application and provider are free or ours; the provider is assigned to the authentik application "
            f"{provider.application_slug}, and another one has the slug {application.slug}"
        )
    return CheckLine(
        "names",
        Level.WARNING,
        detail,
        "If that is not meant, set authentik_application_slug to another slug.",
    )


async def _see_authentik(port: AuthentikPort, desired: Desired) -> tuple[ObservedAuthentik, AuthentikUser]:
    return await both(observe_authentik(port, desired), port.me())


async def caught(job: Callable[[], Awaitable[T]]) -> tuple[T | None, BootstrapError | None]:
    """What a job returns, or the error of ours that it raises."""
    try:
        return await job(), None
    except BootstrapError as error:
        return None, error


def failed(name: str, error: BootstrapError) -> CheckLine:
    """A line for an error."""
    return CheckLine(name, Level.FAILURE, error.message, error.remedy, error.code, error.exit_code)


def _entra(context: Context, desired: Desired, seen: ObservedEntra) -> list[CheckLine]:
    operator = seen.operator
    who = operator.user_principal_name or f"service principal {operator.object_id}"
    lines = [
        CheckLine("operator identity", Level.OK, f"{who} in {seen.organization.display_name}"),
        CheckLine("tenant", Level.OK, operator.tenant_id),
    ]
    lines.append(right_line(REGISTER, operator, needed=True))
    lines += [right_line(right, operator, needed=False) for right in (GRANT_ROLES, GRANT_SCOPES)]
    try:
        resolve(desired.permissions, seen.graph)
        lines.append(CheckLine("permissions", Level.OK, ", ".join(desired.permissions)))
        end = grantable_end(context.now(), desired.secret_lifetime, seen.policy)
    except BootstrapError as error:
        return [*lines, failed("permissions and secret policy", error)]
    if not seen.policy.known:
        detail = "the app management policy may not be read; its limits show when they bite"
        lines.append(CheckLine("secret policy", Level.WARNING, detail, "Policy.Read.All would show it."))
    elif end.clamped and seen.policy.greatest_lifetime is not None:
        detail = f"shortens client secrets to {in_words(seen.policy.greatest_lifetime)}"
        lines.append(CheckLine("secret policy", Level.WARNING, detail))
    else:
        lines.append(CheckLine("secret policy", Level.OK, f"allows {in_words(desired.secret_lifetime)}"))
    return lines


def right_line(right: Right, operator: TokenClaims, *, needed: bool) -> CheckLine:
    """Whether the operator's token shows a right.

    :param needed: whether nobody else can do it afterwards.
    """
    name, lack = f"may {right.purpose}", right.lack(operator)
    if lack is None:
        return CheckLine(name, Level.OK, "shown by the token")
    detail = f"the token lacks the {lack}"
    if needed and operator.is_app_only:
        remedy, code = f"Grant the {lack}.", "entra-permission-missing"
        return CheckLine(name, Level.FAILURE, detail, remedy, code, ExitCode.DENIED)
    remedy = f"Ask for the {lack}, or let an administrator grant consent afterwards."
    return CheckLine(name, Level.WARNING, detail, remedy)


async def clock_lines(context: Context) -> list[CheckLine]:
    """Whether this machine's clock agrees with both services'; each is asked anew."""
    entra, authentik = await both(caught(context.entra.service_time), caught(context.authentik.service_time))
    return [
        clock_line(name, told, error, context.now())
        for name, (told, error) in (("Entra ID", entra), ("authentik", authentik))
    ]


def clock_line(service: str, told: datetime | None, error: BootstrapError | None, now: datetime) -> CheckLine:
    """Whether two clocks agree.

    :param told: the ``Date`` of a fresh reply.
    :param error: why there is none.
    """
    name = f"clock: {service}"
    if told is None:
        detail = error.message if error else f"{service} does not tell its time"
        return CheckLine(name, Level.WARNING, detail)
    off = abs(now - told)
    if off < DOUBTFUL_SKEW:
        return CheckLine(name, Level.OK, f"agrees with {service}'s")
    # Whole minutes read as a span from here on: the header tells whole seconds.
    span = in_words(timedelta(minutes=round(off / timedelta(minutes=1))))
    detail = f"this machine's clock is {span} {'ahead of' if now > told else 'behind'} {service}'s"
    remedy = "Synchronise the clocks (NTP), first of all this machine's."
    if off < REFUSED_SKEW:
        return CheckLine(name, Level.WARNING, detail, remedy)
    return CheckLine(name, Level.FAILURE, detail, remedy, "clock-off", ExitCode.DENIED)


def server_lines(server: ServerInfo, licence: LicenseInfo, user: AuthentikUser) -> list[CheckLine]:
    """What authentik is, whose the token is, and whether a provider can be saved."""
    good = licence.allows_saving
    level = Level.OK if licence.status == "valid" else Level.WARNING if good else Level.FAILURE
    return [
        CheckLine("authentik", Level.OK, f"version {server.version}"),
        CheckLine("token", Level.OK, f"belongs to {user.username}"),
        CheckLine(
            "licence",
            level,
            licence.status,
            "" if level is Level.OK else "See Enterprise > Licenses in authentik.",
            "" if good else "licence-required",
            ExitCode.DONE if good else ExitCode.ADMIN_ACTION,
        ),
    ]


async def thread_lines(context: Context, desired: Desired, sharing: frozenset[str]) -> list[CheckLine]:
    """How many threads authentik's worker should have; nothing for a single provider, for which two are enough."""
    providers, _ = await caught(context.authentik.providers)
    assigned = {item.name for item in providers or () if item.application_slug}
    names = sorted(assigned | sharing | {desired.provider_name})
    if len(names) < 2:
        return []
    shown = ", ".join(names[:_FEW_NAMES]) + (", …" if len(names) > _FEW_NAMES else "")
    number = threads_for(len(names))
    return [
        CheckLine(
            "authentik's worker",
            Level.WARNING,
            f"{len(names)} Microsoft Entra providers share it ({shown}); a full sync holds one of its threads, and the "
            "schedule may start all at once. It has two by default; how many it has, authentik does not tell",
            f"Give it {number} threads ({THREADS}={number}): one for the sync of each provider, one for their pages, one "
            "for proofs, events and blueprints.",
        )
    ]


async def permission_lines(context: Context, purpose: str, refused: str = "") -> list[CheckLine]:
    """Each permission of authentik that a purpose needs, held or missing.

    :param refused: a permission for lack of which authentik has just refused a read: it is missing, whatever else
        seems to show it.
    """
    try:
        checks = await context.authentik.permissions(purpose)
    except BootstrapError as error:
        return [failed("authentik permissions", error)]
    lines = []
    for item in checks:
        name = f"{PERMISSION}{item.permission}"
        if item.held and item.permission != refused:
            lines.append(CheckLine(name, Level.OK, item.needed_for))
        elif item.held is None and item.permission != refused:
            lines.append(CheckLine(name, Level.WARNING, "cannot be told without changing something"))
        else:
            lines.append(
                CheckLine(
                    name,
                    Level.FAILURE,
                    f"missing; needed for {item.needed_for}",
                    "Add it to the role of the token's user.",
                    "authentik-permission-missing",
                    ExitCode.DENIED,
                )
            )
    return lines


async def _server_alone(context: Context, why: BootstrapError) -> list[CheckLine]:
    """When reading failed for lack of a permission, the list of permissions says more than the first 403."""
    server, error = await caught(context.authentik.server)
    if server is None or error is not None:
        return []
    return await permission_lines(context, "bootstrap", why.facts.get("missing_permission", ""))
