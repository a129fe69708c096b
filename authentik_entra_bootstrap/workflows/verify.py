"""Takes the proofs: what each saw, and when. Reads both services with the rights of a rotation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from enum import Enum
from typing import Any, TypeVar, cast

from authentik_entra_bootstrap.authentik import AuthentikPort
from authentik_entra_bootstrap.domain import (
    Application,
    AppObjectId,
    AuthentikApplication,
    Desired,
    Provider,
    SecretPolicy,
)
from authentik_entra_bootstrap.domain.application_tags import SecretStatus, classify_secrets
from authentik_entra_bootstrap.entra import EntraPort
from authentik_entra_bootstrap.errors import BootstrapError, Denied, Temporary, VerificationFailed
from authentik_entra_bootstrap.planning import ObservedAuthentik, ObservedEntra
from authentik_entra_bootstrap.planning.differences import Action, Target
from authentik_entra_bootstrap.planning.plan import Plan, secret_name
from authentik_entra_bootstrap.rotation.proof import UNNAMED, Evidence, Reading, Verdict, read_task
from authentik_entra_bootstrap.rotator.plan import UNIQUE_NAME
from authentik_entra_bootstrap.support.waiting import CONSUMER
from authentik_entra_bootstrap.workflows.concurrent_runs import THREADS, running_syncs, threads_for
from authentik_entra_bootstrap.workflows.planning import Prepared, look
from authentik_entra_bootstrap.workflows.session import Context, both

T = TypeVar("T")
NOT_REACHED = "authentik-does-not-reach-microsoft"
"""Code of a failed proof that says nothing about the secret."""

_PROBE_RANGE = (1 << 30, (1 << 31) - 1)
"""User ids that authentik does not have: it counts from one, in 32 bits."""


async def consumer_proof(
    context: Context, provider: Provider, *, beside: Callable[[], Awaitable[T]] | None = None
) -> tuple[Evidence, T | None]:
    """Make authentik sign in with the secret it stores, and read the log of the task that this started.

    Each probe uses another id that does not exist, so that its task can be recognised. Nothing is written to the
    tenant. A failed attempt is not the end: token service replicas disagree for a while, and authentik tries
    again by itself.

    :param beside: what is read together with the first look at the task; given back where that look was the last.
    :raises VerificationFailed: ``authentik-sign-in-failed``, ``authentik-does-not-reach-microsoft``,
        ``provider-not-assigned``.
    :raises Temporary: ``proof-not-available``: authentik's worker did not run the task in time.
    """
    wait = context.waiter.begin(CONSUMER)
    probe = context.rng.randrange(*_PROBE_RANGE)
    await context.authentik.request_proof(provider.pk, probe)
    failed: Reading | None = None
    while True:
        look = context.authentik.proof_task(provider.pk, provider.name, probe)
        read: T | None = None
        if beside is not None:
            read, task = await both(beside(), look)
            beside = None
        else:
            task = await look
        reading = read_task(task)
        if reading.verdict is Verdict.PROVEN:
            wait.over()
            return Evidence("authentik-signs-in", True, reading.because, context.now()), read
        if reading.verdict is Verdict.FAILED:
            raise _failure(reading, provider)
        if reading.verdict is not Verdict.OPEN and not (failed is not None and failed.refused):
            failed = reading
        if not await wait.pause("authentik's worker to sign in with the secret it stores"):
            break
        if reading.verdict is Verdict.OVER:
            probe = context.rng.randrange(*_PROBE_RANGE)
            await context.authentik.request_proof(provider.pk, probe)
    if failed is not None:
        raise _failure(failed, provider)
    raise await _not_available(context, wait.elapsed, reading)


async def _not_available(context: Context, waited: float, reading: Reading) -> Temporary:
    """Why the worker did not run the proof: most often because full syncs occupy its threads."""
    running = await running_syncs(context)
    if not running:
        return Temporary(
            "proof-not-available",
            f"authentik's worker did not run the proof within {waited:.0f} s ({reading.because}).",
            "Check that authentik's worker is running and not busy; then run the same command again.",
        )
    names = ", ".join(f"“{name}”" for name in running)
    return Temporary(
        "proof-not-available",
        f"authentik's worker did not run the proof within {waited:.0f} s ({reading.because}): it waits behind the full "
        f"sync of {names}. Each running sync holds one of the worker's threads, of which there are two by default.",
        f"Give authentik's worker more threads ({THREADS}={threads_for(max(2, len(running)))} or more) and restart it; "
        "then run the same command again.",
        facts={"running_syncs": ", ".join(running)},
    )


def _failure(reading: Reading, provider: Provider) -> VerificationFailed:
    if "No provider found" in reading.because:
        return not_assigned(provider)
    if not reading.refused:
        return VerificationFailed(
            NOT_REACHED,
            f"authentik has the client secret and did not get an answer from Microsoft: {reading.because}.",
            "Check that authentik's worker reaches Microsoft (DNS, proxy, firewall); then run the same command again. It "
            "only runs the proof. Nothing was retired.",
            facts={"seen": reading.because},
        )
    remedy = "Run `authentik-entra bootstrap`; it delivers a new client secret. Nothing was retired."
    if reading.because == UNNAMED:
        remedy += (
            " If it fails again: look at the application's sign-ins in Entra ID, and at its permissions."
        )
    return VerificationFailed(
        "authentik-sign-in-failed",
        f"authentik could not sign in with the client secret it stores: {reading.because}.",
        remedy,
        facts={"seen": reading.because},
    )


def not_assigned(provider: Provider) -> VerificationFailed:
    """The error of a provider without an application: authentik never signs in for it, so nothing can be proven."""
    return VerificationFailed(
        "provider-not-assigned",
        f"The provider {provider.name!r} is not assigned to an application as backchannel provider.",
        "Run `authentik-entra bootstrap`; it attaches the provider.",
    )


async def verify(
    context: Context, plan: Plan, entra: ObservedEntra, authentik: ObservedAuthentik
) -> tuple[Evidence, ...]:
    """Take every proof that needs no secret text. Failures are evidence, not exceptions."""
    now = context.now()
    if entra.application is None or authentik.provider is None:
        missing = "application in Entra ID" if entra.application is None else "provider in authentik"
        return (Evidence("connection-exists", False, f"there is no {missing}", now),)
    recorded = {SecretStatus.CURRENT, SecretStatus.PENDING}
    secrets = classify_secrets(entra.application, plan.tags)
    found = next((item.secret for item in secrets if item.status in recorded), None)
    lives = found is not None and found.is_live(now)
    until = secret_name(found) if found else "none on record exists"
    holds = plan.secret.kept is not None if authentik.last_change_readable else None
    ungranted = [
        step.subject
        for step in plan.steps
        if step.target in {Target.ROLE, Target.SCOPE} and step.action is Action.CREATE
    ]
    granted = ", ".join(item.name for item in plan.permissions)
    grants = f"missing: {', '.join(ungranted)}" if ungranted else granted
    evidence = [
        Evidence("secret-lives", lives, until, now),
        Evidence("authentik-holds-current", holds, plan.secret.reason, now),
        Evidence("grants", not ungranted, grants, now),
    ]
    try:
        proof, _ = await consumer_proof(context, authentik.provider)
    except VerificationFailed as error:
        proof = Evidence("authentik-signs-in", False, str(error), now)
    except Temporary as error:
        proof = Evidence("authentik-signs-in", None, str(error), now)
    return (*evidence, proof)


def judge(evidence: tuple[Evidence, ...], *, shown: bool = False) -> BootstrapError | None:
    """The error that follows from the evidence; ``None`` if all of it is good.

    :param shown: the evidence is shown beside the error, which then only names it.
    """
    if bad := [item for item in evidence if item.ok is False]:
        names = f"Failed: {', '.join(item.name for item in bad)}."
        details = "; ".join(f"{item.name}: {item.detail}" for item in bad)
        remedy = "Run `authentik-entra bootstrap` to repair the connection. This check changed nothing."
        return VerificationFailed("verification-failed", names if shown else details, remedy)
    for item in evidence:
        if item.ok is None and item.name == "authentik-signs-in":
            message = f"Not available now: {item.name}." if shown else item.detail
            return Temporary("proof-not-available", message, "Run `authentik-entra verify` again later.")
    return None


# --- looking with the permissions of a rotation: the rotator's identities are enough, and what they may not read is unknown.
# Each port is wrapped, so that looking is the same code as for bootstrap. The wrappers skip reads that only a creating run
# needs: the tenant's policy and the default mappings.


class Unread(Enum):
    """Marks a value that the token may not read."""

    UNREAD = 0


async def look_narrowly(
    context: Context, desired: Desired, entra: NarrowEntra | None = None
) -> tuple[Prepared, tuple[str, ...]]:
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
    ports = {"entra": entra or NarrowEntra(context.entra), "authentik": authentik}
    prepared = await look(replace(context, **cast("dict[str, Any]", ports)), desired)
    return prepared, tuple(dict.fromkeys(authentik.notes))


class NarrowEntra:
    """The tenant without its policies; the rotator's application is asked for once."""

    def __init__(self, port: EntraPort) -> None:
        self._port = port
        self._rotator: asyncio.Future[Application | None] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    async def secret_policy(self, _: AppObjectId | None) -> SecretPolicy:
        """Unknown limits; only a new client secret needs them."""
        return SecretPolicy()

    async def find_application(self, unique_name: str) -> Application | None:
        """The application by ``uniqueName``."""
        if unique_name != UNIQUE_NAME:
            return await self._port.find_application(unique_name)
        if self._rotator is None:
            self._rotator = asyncio.ensure_future(self._port.find_application(unique_name))
        return await self._rotator


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
