"""Both sides as monitoring reads them: the rotator's identities are enough, and what they may not read is unknown.

A port is wrapped by another one that asks less and takes a refusal for an answer, so that looking is the same code as for
bootstrap. What only a run needs that makes something is not asked for: the tenant's policy, the default mappings.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import Any, TypeVar, cast

from authentik_entra_bootstrap.authentik import AuthentikPort
from authentik_entra_bootstrap.domain import (
    AppObjectId,
    AuthentikApplication,
    Desired,
    SecretPolicy,
)
from authentik_entra_bootstrap.domain.application_tags import SecretStatus, classify_secrets
from authentik_entra_bootstrap.entra import EntraPort
from authentik_entra_bootstrap.errors import BootstrapError, Denied
from authentik_entra_bootstrap.planning.expiry import (
    Expiry,
    ExpiryKind,
    ExpiryState,
    certificate_expiry,
    licence_expiry,
    secret_expiries,
    token_expiries,
)
from authentik_entra_bootstrap.rotator.plan import TAG, UNIQUE_NAME
from authentik_entra_bootstrap.workflows.check import CheckLine, Level
from authentik_entra_bootstrap.workflows.observe import application_by_tags
from authentik_entra_bootstrap.workflows.planning import Prepared, look
from authentik_entra_bootstrap.workflows.service_account import NAMES
from authentik_entra_bootstrap.workflows.session import Context, both, outcome

T = TypeVar("T")


class Unread(Enum):
    """Marks a value that the token may not read."""

    UNREAD = 0


@dataclass(frozen=True)
class Monitored:
    """What one look for monitoring shows.

    :param expiries: of everything but client secrets.
    :param notes: what could not be read, for people.
    """

    prepared: Prepared
    expiries: tuple[Expiry, ...]
    notes: tuple[str, ...]


async def monitor(context: Context, desired: Desired) -> Monitored:
    """Look at both sides, and at everything else that expires.

    :raises BootstrapError: what keeps either side from being read.
    """
    (prepared, notes), (rotator, tokens) = await both(
        look_narrowly(context, desired),
        both(outcome(rotator_expiry(context.entra)), outcome(account_expiries(context.authentik))),
    )
    return Monitored(prepared, (*rotator(), *tokens(), *licence_expiry(prepared.authentik.license)), notes)


async def rotator_expiry(port: EntraPort) -> tuple[Expiry, ...]:
    """The certificate of our rotator in this tenant, where there is one."""
    try:
        found = await port.find_application(UNIQUE_NAME)
    except Denied:
        return certificate_expiry(None, readable=False)
    return certificate_expiry(found if found and TAG in found.tags else None)


async def account_expiries(port: AuthentikPort) -> tuple[Expiry, ...]:
    """The token of authentik that this run uses, and the rotator's where it may be seen."""
    names = NAMES["rotation"]
    try:
        user, tokens = await both(port.me(), port.api_tokens())
    except Denied as error:
        return (Expiry(ExpiryKind.TOKEN, unknown=error.message),)
    return token_expiries(user, tokens, names.account, names.account)


async def check_expiries(context: Context, desired: Desired) -> tuple[CheckLine, ...]:
    """A line of ``check`` for each thing that expires; none where a service does not answer, which other lines tell."""

    async def secret() -> tuple[Expiry, ...]:
        found = await context.entra.find_application(desired.unique_name)
        found = found or await application_by_tags(context.entra, desired)
        known = classify_secrets(found) if found else ()
        return secret_expiries(item.secret for item in known if item.status is SecretStatus.CURRENT)

    async def licence() -> tuple[Expiry, ...]:
        return licence_expiry(await context.authentik.license())

    jobs = (secret(), rotator_expiry(context.entra), account_expiries(context.authentik), licence())
    lines: list[CheckLine] = []
    for result in await asyncio.gather(*map(outcome, jobs)):
        with contextlib.suppress(BootstrapError):
            lines += [_line(item, context.now()) for item in result()]
    return tuple(lines)


def _line(item: Expiry, now: datetime) -> CheckLine:
    near = item.state(now) in {ExpiryState.SOON, ExpiryState.EXPIRED}
    level, remedy = (Level.WARNING, item.kind.remedy) if near else (Level.OK, "")
    return CheckLine(f"expiry of the {item.kind.noun}", level, item.detail(now), remedy)


async def look_narrowly(context: Context, desired: Desired) -> tuple[Prepared, tuple[str, ...]]:
    """Look with the permissions of a rotation, and tell what could not be read.

    Settings are left out whose group or mappings the token may not read.

    :raises BootstrapError: what keeps either side from being read.
    """
    authentik = _Authentik(context.authentik)
    if desired.filter_group:
        group = await authentik.read(authentik.find_group(desired.filter_group), "the filter group")
        desired = replace(desired, filter_group=None) if group is Unread.UNREAD else desired
    if named := (*(desired.user_mappings or ()), *(desired.group_mappings or ())):
        mappings = await authentik.read(authentik.mappings_by_name(named), "the choice of property mappings")
        if mappings is Unread.UNREAD:
            desired = replace(desired, user_mappings=None, group_mappings=None)
    ports = {"entra": _Entra(context.entra), "authentik": authentik}
    prepared = await look(replace(context, **cast("dict[str, Any]", ports)), desired)
    return prepared, tuple(dict.fromkeys(authentik.notes))


class _Entra:
    """The tenant without its policies."""

    def __init__(self, port: EntraPort) -> None:
        self._port = port

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    async def secret_policy(self, _: AppObjectId | None) -> SecretPolicy:
        return SecretPolicy()


class _Authentik:
    """authentik as a token sees it that has the permissions of a rotation."""

    def __init__(self, port: AuthentikPort) -> None:
        self._port = port
        self._groups: dict[str, str | None] = {}
        self._mappings: dict[tuple[str, ...], Mapping[str, str]] = {}
        self.notes: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    async def read(self, job: Awaitable[T], what: str) -> T | Unread:
        """What a read returns; where the token lacks the permission, it is noted."""
        try:
            return await job
        except Denied as error:
            if error.code != "authentik-permission-missing":
                raise
            missing = error.facts.get("missing_permission", "a permission")
            self.notes.append(f"{what} is unknown: authentik's token lacks {missing}.")
            return Unread.UNREAD

    async def default_mappings(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        # Only a provider that is created gets them.
        return ("not read",), ("not read",)

    async def find_group(self, name: str) -> str | None:
        if name not in self._groups:
            self._groups[name] = await self._port.find_group(name)
        return self._groups[name]

    async def mappings_by_name(self, names: Sequence[str]) -> Mapping[str, str]:
        key = tuple(names)
        if key not in self._mappings:
            self._mappings[key] = await self._port.mappings_by_name(names)
        return self._mappings[key]

    async def group_name(self, pk: str) -> str | None:
        found = await self.read(self._port.group_name(pk), "the filter group's name")
        return None if found is Unread.UNREAD else found

    async def find_application(self, slug: str) -> AuthentikApplication | None:
        what = "authentik's application, but for its holding the provider,"
        found = await self.read(self._port.find_application(slug), what)
        if found is not Unread.UNREAD:
            return found
        # Each provider tells the application that it is assigned to.
        held = [int(item.pk) for item in await self._port.providers() if item.application_slug == slug]
        return AuthentikApplication("", slug, slug, backchannel_provider_pks=tuple(held))
