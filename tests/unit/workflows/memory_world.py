"""Both in-memory services, one connection's settings, and the invariants watched at every call."""

# ruff: noqa: ARG002 - the ports' signatures

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from memory_authentik import MemoryAuthentik
from memory_entra import MemoryEntra
from memory_wire import Call, Clock, Wire

from authentik_entra_bootstrap.config import ConnectionSettings
from authentik_entra_bootstrap.domain import ClientSecret, Desired
from authentik_entra_bootstrap.domain.application_tags import Marks, is_ours, read_marks
from authentik_entra_bootstrap.planning.plan import Step
from authentik_entra_bootstrap.support.waiting import Waiter
from authentik_entra_bootstrap.workflows.bootstrap import bootstrap
from authentik_entra_bootstrap.workflows.context import Context
from authentik_entra_bootstrap.workflows.outcome import Outcome
from authentik_entra_bootstrap.workflows.planning import prepare


@dataclass
class Recorder:
    """A reporter that remembers what it was told."""

    steps: list[Step] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    waits: list[str] = field(default_factory=list)

    def doing(self, text: str) -> None:
        """Nothing to remember."""

    def begin(self, step: Step) -> None:
        """Nothing to remember."""

    def done(self, step: Step, detail: str) -> None:
        self.steps.append(step)

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def waiting(self, what: str, elapsed: float, usual: str) -> None:
        self.waits.append(what)

    def waited(self, what: str, elapsed: float) -> None:
        """Nothing to remember."""


DOMAIN = "0d0d0d0d"
"""Runs follow each other here: whoever made a secret before has ended."""


class World:
    """One tenant, one authentik, one connection."""

    def __init__(self, **settings: Any) -> None:
        self.clock = Clock()
        self.wire = Wire(self.clock)
        self.entra = MemoryEntra(self.wire)
        self.authentik = MemoryAuthentik(self.wire, self.entra)
        self.desired: Desired = ConnectionSettings(**settings).desired()
        self.reporter = Recorder()
        self.outages: list[str] = []
        self._worked = ""
        self._ids = itertools.count(1)
        self.wire.watch = self._watch

    def _watch(self, call: Call) -> None:
        """No outage: a secret with which authentik could sign in stays good until it holds another."""
        provider = self.authentik.stored
        if provider is None or self.entra.truth.application is None:
            return
        works = self.entra.accepts(provider.client_id, self.authentik.secret) is None
        if self._worked and self._worked == self.authentik.secret and not works and not self._expired():
            self.outages.append(call.name)
        self._worked = self.authentik.secret if works else ""

    def _expired(self) -> bool:
        held = [item for item in self.entra.app.secrets if self.entra.texts[item.key_id] == self._worked]
        return bool(held) and not held[0].is_live(self.clock.now())

    def context(self) -> Context:
        waiter = Waiter(
            monotonic=self.clock.monotonic,
            sleep=self.clock.sleep,
            rng=random.Random(1),
            progress=self.reporter,
        )
        return Context(
            self.entra,  # type: ignore[arg-type]
            self.authentik,  # type: ignore[arg-type]
            waiter,
            self.reporter,
            now=self.clock.now,
            new_rotation_id=lambda: f"{next(self._ids):016x}",
            rng=random.Random(2),
            domain=DOMAIN,
        )

    def want(self, **changes: Any) -> None:
        self.desired = replace(self.desired, **changes)

    async def run(self) -> Outcome:
        """One undisturbed or disturbed run of bootstrap."""
        context = self.context()
        prepared = await prepare(context, self.desired)
        return await bootstrap(context, prepared.plan, prepared.entra, prepared.authentik)

    # --- what stands

    @property
    def ours(self) -> list[ClientSecret]:
        return [secret for secret in self.entra.app.secrets if is_ours(secret)]

    @property
    def foreign(self) -> list[ClientSecret]:
        return [secret for secret in self.entra.app.secrets if not is_ours(secret)]

    @property
    def marks(self) -> Marks:
        return read_marks(self.entra.app.tags)

    def held(self) -> ClientSecret:
        """The secret that authentik really stores."""
        texts = self.entra.texts
        return next(item for item in self.entra.app.secrets if texts[item.key_id] == self.authentik.secret)

    def assert_converged(self, secrets: int = 1) -> None:
        """What must stand after an undisturbed run."""
        truth = self.entra.truth
        assert truth.principal is not None
        assert len(truth.assignments) == 4
        assert truth.grant is not None
        assert truth.grant.scopes >= {"User.Read"}
        assert self.authentik.application is not None
        assert self.authentik.application.backchannel_provider_pks == (3,)
        marks = self.marks
        assert marks.managed
        assert marks.connection == self.desired.connection
        assert marks.pending is None
        assert marks.current is not None
        held = self.held()
        assert marks.current.key_id == held.key_id
        assert self.authentik.change is not None
        assert marks.current.request_id == self.authentik.change.request_id
        assert held.is_live(self.clock.now())
        resting = {item.key_id for item in marks.previous}
        assert {secret.key_id for secret in self.ours} == {held.key_id} | resting
        assert len(self.ours) == secrets
        assert self.outages == []

    def age(self, **span: float) -> None:
        """Time passes; authentik's four-hourly sync has run meanwhile."""
        self.clock.advance(timedelta(**span).total_seconds())
        if self.authentik.stored is not None:
            self.authentik.full_sync()
