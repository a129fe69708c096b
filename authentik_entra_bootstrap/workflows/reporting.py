"""Who is told what a run does. The command line prints; library users may pass nothing."""

from __future__ import annotations

from typing import Protocol

from authentik_entra_bootstrap.planning.plan import Step
from authentik_entra_bootstrap.support.waiting import Progress, Silent


class Reporter(Progress, Protocol):
    """Receives the steps of a run besides the waits."""

    def doing(self, text: str) -> None:
        """Something begins that may take a moment."""

    def begin(self, step: Step) -> None:
        """A step of the plan begins."""

    def done(self, step: Step, detail: str) -> None:
        """A step of the plan is done; ``detail`` holds ids, never secrets."""

    def warn(self, text: str) -> None:
        """Something people should know."""


class Quiet(Silent):
    """Tells nobody."""

    def doing(self, text: str) -> None:
        """Say nothing."""

    def begin(self, step: Step) -> None:
        """Say nothing."""

    def done(self, step: Step, detail: str) -> None:
        """Say nothing."""

    def warn(self, text: str) -> None:
        """Say nothing."""
