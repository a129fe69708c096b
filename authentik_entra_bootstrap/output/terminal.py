"""What people see: progress on standard error, results on standard output, never a secret, never colour alone."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from authentik_entra_bootstrap.errors import BootstrapError
from authentik_entra_bootstrap.planning.differences import Action, Target
from authentik_entra_bootstrap.planning.plan import Step
from authentik_entra_bootstrap.rotation.proof import Evidence
from authentik_entra_bootstrap.support.logs import clean

if TYPE_CHECKING:
    from rich.status import Status

MARKS = {
    "create": ("+", "green"),
    "change": ("~", "yellow"),
    "keep": ("=", "dim"),
    "retire": ("-", "red"),
    "remove": ("-", "red"),
    "prove": ("?", "cyan"),
    "needs-you": ("!", "bold red"),
}
"""Symbol and style of each action, of a plan's steps and of differences."""
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
    if _is_unicode(console):
        return shown
    return shown.encode(console.encoding, "backslashreplace").decode(console.encoding)


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

    shows_results = True
    """Whether results and errors are shown; a document holds them where one is wanted instead."""

    def __init__(
        self, out: Console | None = None, err: Console | None = None, *, quiet: bool = False
    ) -> None:
        console = partial(Console, highlight=False, soft_wrap=True, markup=False, emoji=False)
        self.out = out or console(file=sys.stdout)
        self.err = err or console(file=sys.stderr, stderr=True)
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
        if self.quiet or not self.err.is_terminal:
            return
        shown = Text(_fit(self.err, text))
        if self._status is None:
            self._status = self.err.status(shown, spinner="line")
            self._status.start()
        else:
            self._status.update(shown)

    def begin(self, step: Step) -> None:
        """A step of the plan begins."""
        verb = {
            Action.CREATE: "creating",
            Action.CHANGE: "changing",
            Action.RETIRE: "removing",
            Action.REMOVE: "removing",
        }
        starts = step.target is Target.FIRST_SYNC
        self.doing(f"{'starting' if starts else verb.get(step.action, 'proving that')} {_label(step)}")

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
        if not self.shows_results:
            return
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

    def say(self, text: str = "", style: str = "", reason: str = "") -> None:
        """One line of the result.

        :param reason: is appended dimmed.
        """
        self.stop()
        if self.shows_results:
            line = Text(_fit(self.out, text), style=style)
            self.out.print(line.append(_fit(self.out, reason), style="dim") if reason else line)

    def source(self) -> None:
        """Where the settings of this run come from."""
        if self.settings:
            self.say(f"  Settings: {self.settings}", "dim")

    def step(self, step: Step) -> None:
        """One step of a plan with its reason."""
        name = f"{_NAMES[step.target]} {_fit(self.out, step.subject)}"
        symbol, style = MARKS[step.action]
        self.say(f"    {symbol} {step.action.value:<7}{name:<52}", style, f" {step.reason}")

    def warnings(self, texts: Sequence[str]) -> None:
        """Warnings that belong to a result: a document holds them, too."""
        if self.shows_results:
            for text in texts:
                self.warn(text)

    def verdict(self, ok: bool | None, text: str) -> None:
        """One line about something that was looked at.

        :param ok: ``None`` for a warning.
        """
        marks = {True: (self._good, "green"), False: (self._bad, "bold red"), None: ("!", "yellow")}
        mark, style = marks[ok]
        self.say(f"  ({mark}) {text}", style)

    def evidence(self, evidence: Sequence[Evidence]) -> None:
        """Proofs, one line each."""
        for item in evidence:
            self.verdict(item.ok, f"{item.name}: {item.detail}")

    def rows(self, rows: Sequence[tuple[str, str]]) -> None:
        """Names and values, aligned."""
        for name, value in rows:
            self.say(f"  {name:<14}{value.strip()}")

    def picture(self, title: str) -> str:
        """What a recording console has shown, as SVG without references to other hosts."""
        picture = self.out.export_svg(title=title)
        return re.sub(r"@font-face\s*\{[^}]*\}", "", picture)
