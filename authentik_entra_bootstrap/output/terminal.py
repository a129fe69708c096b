"""What people see: progress on standard error, results on standard output, never a secret, never colour alone."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from authentik_entra_bootstrap.errors import BootstrapError
from authentik_entra_bootstrap.planning.differences import Action, Target
from authentik_entra_bootstrap.planning.plan import Plan, Step
from authentik_entra_bootstrap.planning.scope import in_short
from authentik_entra_bootstrap.rotation.proof import Evidence
from authentik_entra_bootstrap.support import addresses
from authentik_entra_bootstrap.support.logs import clean
from authentik_entra_bootstrap.workflows.check import PERMISSION, CheckLine, Level

if TYPE_CHECKING:
    from rich.status import Status

    from authentik_entra_bootstrap.domain import Cloud
    from authentik_entra_bootstrap.planning.observation import ObservedEntra
    from authentik_entra_bootstrap.planning.scope import ScopeChange
    from authentik_entra_bootstrap.workflows.outcome import Outcome

_SYMBOLS = {
    Action.CREATE: "+",
    Action.CHANGE: "~",
    Action.KEEP: "=",
    Action.RETIRE: "-",
    Action.PROVE: "?",
    Action.REMOVE: "-",
}
_STYLES = {
    Action.CREATE: "green",
    Action.CHANGE: "yellow",
    Action.KEEP: "dim",
    Action.RETIRE: "red",
    Action.PROVE: "cyan",
    Action.REMOVE: "red",
}
_NAMES = {
    Target.APPLICATION: "application",
    Target.SERVICE_PRINCIPAL: "service principal",
    Target.ROLE: "permission",
    Target.SCOPE: "permission",
    Target.SECRET: "client secret",
    Target.PROVIDER: "provider",
    Target.AUTHENTIK_APPLICATION: "application",
    Target.PROOF: "proof",
    Target.FIRST_SYNC: "sync",
    Target.DELETED_APPLICATION: "deleted application",
    Target.MARKS: "marks on application",
}
_PLAIN_EVERY = 10.0
"""Seconds between lines of one wait where nothing can be redrawn."""


def _is_unicode(console: Console) -> bool:
    return console.encoding.lower().replace("-", "").startswith("utf")


def _fit(console: Console, text: str) -> str:
    """Clean text in which the console's encoding can show everything; what it cannot is shown by number."""
    shown = clean(text)
    return (
        shown
        if _is_unicode(console)
        else shown.encode(console.encoding, "backslashreplace").decode(console.encoding)
    )


def _label(step: Step) -> str:
    """What a step is about, in a sentence: proof and first sync say it all by themselves."""
    speaks = step.target in {Target.PROOF, Target.FIRST_SYNC}
    return step.subject if speaks else f"{_NAMES[step.target]} {step.subject}"


class Terminal:
    """Renders results and receives progress. Implements the reporter of the workflows.

    :param out: where results go.
    :param err: where progress, warnings and errors go.
    :param quiet: no progress at all (results and errors only).
    """

    def __init__(
        self, out: Console | None = None, err: Console | None = None, *, quiet: bool = False
    ) -> None:
        self.out = out or Console(file=sys.stdout, highlight=False, soft_wrap=True, markup=False, emoji=False)
        self.err = err or Console(
            file=sys.stderr, highlight=False, soft_wrap=True, markup=False, emoji=False, stderr=True
        )
        self.quiet = quiet
        self._status: Status | None = None
        self._said: dict[str, float] = {}
        self._waited_for = ""
        self.unicode = all(_is_unicode(console) for console in (self.out, self.err))
        """Whether every character can be shown."""
        self.settings = ""
        """Which settings file the run uses, in words; what plan, check and status show says so."""
        self._good, self._bad = ("✓", "✗") if self.unicode else ("ok", "x")

    # --- progress (standard error)

    def doing(self, text: str) -> None:
        """Something begins that may take a moment."""
        if self.quiet:
            return
        if self.err.is_terminal:
            if self._status is None:
                self._status = self.err.status(Text(_fit(self.err, text)), spinner="line")
                self._status.start()
            else:
                self._status.update(Text(_fit(self.err, text)))

    def begin(self, step: Step) -> None:
        """A step of the plan begins."""
        verb = {
            Action.CREATE: "creating",
            Action.CHANGE: "changing",
            Action.RETIRE: "removing",
            Action.REMOVE: "removing",
        }
        if step.target is Target.FIRST_SYNC:
            verb[step.action] = "starting"
        self.doing(f"{verb.get(step.action, 'proving that')} {_label(step)}")

    def done(self, step: Step, detail: str) -> None:
        """A step of the plan is done."""
        if not self.quiet:
            self._line(f"  ({self._good}) Done: ", "green", f"{_label(step)}: {detail}")

    def waiting(self, what: str, elapsed: float, usual: str) -> None:
        """A wait goes on."""
        if self.quiet:
            return
        text = f"waiting for {what} ({elapsed:.0f} s, usually {usual})"
        if self.err.is_terminal:
            self.doing(text)
            return
        last = self._said.get(what)
        if last is None or elapsed - last >= _PLAIN_EVERY or elapsed < last:
            self._said[what] = elapsed
            self._line("  ", "", text)

    def waited(self, what: str, elapsed: float) -> None:
        """A wait is over."""
        self._said.pop(what, None)
        if not self.quiet and what != self._waited_for:
            # Requests that wait side by side for the same thing are one wait to people.
            self._waited_for = what
            self._line(f"  ({self._good}) Waited: ", "green", f"{elapsed:.0f} s for {what}")

    def warn(self, text: str) -> None:
        """Something people should know."""
        self._line("(!) Warning: ", "yellow", text)

    def stop(self) -> None:
        """Take the spinner away; called before anything is asked and at the end."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def error(self, error: BootstrapError) -> None:
        """An error: what happened and why, what to do, and the ids to report."""
        self.stop()
        self._line("ERROR: ", "bold red", f"{error.message} [{error.code}]")
        if error.remedy:
            self._line("  What to do: ", "bold", error.remedy)
        if error.trace:
            self._line("  Request: ", "dim", error.trace.line())
        self._line("  More: ", "dim", f"authentik-entra explain {error.code}")

    def announce(self, text: str) -> None:
        """Something a person must act on now, e.g. the device code; shown even when quiet."""
        self.stop()
        self._line("", "", text)

    def note(self, text: str, style: str = "") -> None:
        """A line of progress text."""
        if not self.quiet:
            self._line("", "", text, style)

    def _line(self, head: str, head_style: str, text: str, style: str = "") -> None:
        self.err.print(Text(head, style=head_style).append(_fit(self.err, text), style=style or "default"))

    # --- results (standard output)

    def say(self, text: str = "", style: str = "") -> None:
        """One line of the result."""
        self.stop()
        self.out.print(Text(_fit(self.out, text), style=style))

    def plan(self, plan: Plan, entra: ObservedEntra, authentik_url: str) -> None:
        """The plan: every step with its reason, counts, warnings."""
        organization = entra.organization
        self.say(f"Plan for connection {plan.desired.connection}", "bold")
        self.source()
        for side, title in (
            ("entra", f"Entra ID: {organization.display_name} ({organization.tenant_id})"),
            ("authentik", f"authentik: {authentik_url}"),
        ):
            self.say(f"  {title}", "bold")
            for step in plan.steps:
                if step.target.side == side:
                    self.step(step)
        if plan.scope_change is not None:
            self.scope_change(plan.scope_change)
        elif plan.arriving is not None and plan.scope.groups is not None:
            dry = " Dry run: nothing is written to the tenant." if plan.desired.dry_run else ""
            self.say(
                f"  authentik will provision {plan.arriving} users, and all {plan.scope.groups} groups "
                f"(authentik does not filter groups).{dry}"
            )
        if plan.left_out:
            self.say(f"    Left out: {in_short(plan.left_out)}")
        if plan.changes:
            self.say(
                f"  {plan.count(Action.CREATE)} to create, {plan.count(Action.CHANGE)} to change, "
                f"{plan.count(Action.RETIRE)} to retire."
            )
        else:
            self.say("  Nothing to do: everything is as it should be.", "green")
        for warning in plan.warnings:
            self.warn(warning)

    def scope_change(self, change: ScopeChange) -> None:
        """What a run would change about who is provisioned and what is deleted."""
        self.say("  This changes who is provisioned, or what is deleted in the tenant:", "bold yellow")
        for text in change.texts:
            self.say(f"    {text}", "yellow")

    def source(self) -> None:
        """Where the settings of this run come from."""
        if self.settings:
            self.say(f"  Settings: {self.settings}", "dim")

    def step(self, step: Step) -> None:
        """One step of a plan with its reason."""
        name = f"{_NAMES[step.target]} {_fit(self.out, step.subject)}"
        line = Text(
            f"    {_SYMBOLS[step.action]} {step.action.value:<7}{name:<52}", style=_STYLES[step.action]
        )
        self.stop()
        self.out.print(line.append(f" {_fit(self.out, step.reason)}", style="dim"))

    def outcome(
        self, outcome: Outcome, plan: Plan, cloud: Cloud, authentik_url: str, next_steps: Sequence[str]
    ) -> None:
        """The end of a bootstrap: success, addresses, dates, next steps."""
        self.evidence(outcome.evidence)
        proven = any(item.name == "authentik-signs-in" and item.ok for item in outcome.evidence)
        if not outcome.changed:
            did = "is as it should be; nothing was changed"
        elif proven:
            did = "is working and proven"
        else:
            did = "was brought up to date; `authentik-entra verify` proves it"
        if outcome.consent is None:
            self.say(f"SUCCESS: connection {plan.desired.connection} {did}.", "bold green")
        else:
            self.say(
                f"Connection {plan.desired.connection} {did}. Some consent is left to an administrator.",
                "bold",
            )
        rows = [
            ("application", addresses.application_page(cloud, outcome.application.app_id)),
            ("provider", addresses.provider_page(authentik_url, outcome.provider.pk)),
            ("client id", outcome.application.app_id),
            (
                "secret until",
                f"{outcome.secret.end_date_time:%Y-%m-%d %H:%M} UTC (key id {outcome.secret.key_id})",
            ),
            ("renew from", f"{outcome.renew_at:%Y-%m-%d %H:%M} UTC"),
        ]
        self.rows(rows)
        if next_steps:
            self.say("(->) NEXT STEPS:", "bold")
            for text in next_steps:
                self.say(f"  {text}")

    def evidence(self, evidence: Sequence[Evidence]) -> None:
        """Proofs, one line each."""
        for item in evidence:
            mark, style = {
                True: (self._good, "green"),
                False: (self._bad, "red"),
                None: ("!", "yellow"),
            }[item.ok]
            self.say(f"  ({mark}) {item.name}: {item.detail}", style)

    def check(self, lines: Sequence[CheckLine]) -> None:
        """The lines of a check, each failure with its remedy."""
        marks = {
            Level.OK: (self._good, "green"),
            Level.WARNING: ("!", "yellow"),
            Level.FAILURE: (self._bad, "bold red"),
        }
        self.source()
        permissions = [line for line in lines if line.name.startswith(PERMISSION)]
        all_held = bool(permissions) and all(line.level is Level.OK for line in permissions)
        for line in lines:
            if all_held and line in permissions:
                # One line says it; the JSON document and a missing one list them all.
                if line is permissions[0]:
                    self.say(
                        f"  ({self._good}) permissions in authentik: all {len(permissions)} are held", "green"
                    )
                continue
            mark, style = marks[line.level]
            code = f" [{line.code}]" if line.code else ""
            self.say(f"  ({mark}) {line.name}: {line.detail}{code}", style)
            if line.remedy and line.level is not Level.OK:
                self.say(f"      What to do: {line.remedy}")

    def warnings(self, plan: Plan) -> None:
        """What people should know besides."""
        for warning in plan.warnings:
            self.warn(warning)

    def rows(self, rows: Sequence[tuple[str, str]]) -> None:
        """Names and values, aligned."""
        for name, value in rows:
            self.say(f"  {name:<14}{value.strip()}")

    def picture(self, title: str) -> str:
        """What a recording console has shown, as SVG without references to other hosts."""
        picture = self.out.export_svg(title=title)
        return re.sub(r"@font-face\s*\{[^}]*\}", "", picture)
