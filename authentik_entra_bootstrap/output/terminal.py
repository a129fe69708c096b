"""What people see: progress on standard error, results on standard output, never a secret, never colour alone.

On a terminal lines wrap at its width, at words. Elsewhere a fact is one line, and a wait is one line when it ends.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from authentik_entra_bootstrap.errors import BootstrapError
from authentik_entra_bootstrap.planning.differences import Action, Target
from authentik_entra_bootstrap.planning.plan import Step
from authentik_entra_bootstrap.rotation.proof import Evidence
from authentik_entra_bootstrap.support.logs import clean
from authentik_entra_bootstrap.workflows.session import Reporter

if TYPE_CHECKING:
    from rich.status import Status

_SHORTEST_WAIT = 2.0
"""Seconds of a wait that is worth a line."""
_NARROW = 60
"""Columns below which values are not aligned, and tables are lists."""
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
VERBS = {
    Action.CREATE: "creating",
    Action.CHANGE: "changing",
    Action.RETIRE: "removing",
    Action.REMOVE: "removing",
}


class Terminal(Reporter):
    """Renders results and receives progress.

    :param out: where results go. A console with ``soft_wrap`` is not wrapped: a fact is one line.
    :param err: where progress, warnings and errors go.
    :param quiet: no progress, and no result in which nothing was done and nothing is wrong.
    """

    shows_results = True
    """Whether results and errors are shown; a document holds them where one is wanted instead."""

    def __init__(
        self, out: Console | None = None, err: Console | None = None, *, quiet: bool = False
    ) -> None:
        console = partial(Console, highlight=False, markup=False, emoji=False)
        self.out = out or console(file=sys.stdout, soft_wrap=not sys.stdout.isatty())
        self.err = err or console(file=sys.stderr, stderr=True, soft_wrap=not sys.stderr.isatty())
        self.quiet = quiet
        self._muted = False
        self._status: Status | None = None
        self._told: set[str] = set()
        self.unicode = all(is_unicode(console) for console in (self.out, self.err))
        """Whether every character can be shown."""
        self.arguments = ""
        """Options of this command that the next ones need as well, each with a blank before it."""
        self.settings = ""
        """Which settings file the run uses, in words; what plan, check and status show says so."""
        self._good, self._bad = ("✓", "✗") if self.unicode else ("ok", "x")

    @property
    def width(self) -> int | None:
        """Columns of a line of the result; ``None`` where lines are not wrapped."""
        return None if self.out.soft_wrap else self.out.width

    @property
    def narrow(self) -> bool:
        """Whether there is no room for columns beside each other."""
        return self.width is not None and self.width < _NARROW

    def start(self, *, quiet: bool, shows_results: bool) -> None:
        """A command begins."""
        self.quiet, self.shows_results, self._muted = quiet, shows_results, False
        self._told.clear()

    # --- progress (standard error)

    def doing(self, text: str) -> None:
        """Something begins that may take a moment: shown where a line can be redrawn."""
        if self.quiet or not self.err.is_interactive:
            return
        shown = Text(fit(self.err, text))
        if self._status is None:
            self._status = self.err.status(shown, spinner="line")
            self._status.start()
        else:
            self._status.update(shown)

    def begin(self, step: Step) -> None:
        """A step of the plan begins."""
        starts = step.target is Target.FIRST_SYNC
        self.doing(f"{'starting' if starts else VERBS.get(step.action, 'proving that')} {step.label}")

    def done(self, step: Step, detail: str) -> None:
        """Print that a step of the plan is done. Proofs are not printed here: they are part of the result."""
        if step.target is not Target.PROOF:
            self.finished(step.label, detail)

    def finished(self, what: str, detail: str = "") -> None:
        """Something is done."""
        if not self.quiet:
            self._line(f"  ({self._good}) Done: ", "green", with_detail(what, detail))

    def waiting(self, what: str, elapsed: float, usual: str) -> None:
        """A wait continues."""
        self.doing(f"waiting for {what} ({elapsed:.0f} s, usually {usual})")

    def waited(self, what: str, elapsed: float) -> None:
        """A wait is over. Requests that wait for the same thing are one wait to people."""
        if not self.quiet and elapsed >= _SHORTEST_WAIT and what not in self._told:
            self._told.add(what)
            self._line(f"  ({self._good}) Waited: ", "green", f"{elapsed:.0f} s for {what}")

    def warn(self, text: str) -> None:
        """Something people should know."""
        self._line("(!) Warning: ", "yellow", text)

    def stop(self) -> None:
        """Take the spinner away; called before anything is asked and at the end."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def error(self, error: BootstrapError, about: str = "") -> None:
        """An error: what happened and why, what to do, and the ids to report.

        :param about: the connection, in a run of several.
        """
        self.stop()
        if not self.shows_results:
            return
        self._line("ERROR: ", "bold red", f"{about}{': ' if about else ''}{error.message} [{error.code}]")
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
        line = Text(head, style=head_style).append(fit(self.err, text), style=style or "default")
        self._print(self.err, line)

    def _print(self, console: Console, line: Text, hang: int | None = None) -> None:
        if console.soft_wrap:
            console.print(line)
            return
        if hang is None:
            hang = len(line.plain) - len(line.plain.lstrip()) + 2
        for piece in wrapped(line, console.width, hang):
            # A word that is wider than the terminal is broken by the terminal alone: it can be copied whole.
            console.print(piece, soft_wrap=True)

    # --- results (standard output)

    def headline(self, name: str, verdict: str, style: str = "bold", *, news: bool = True) -> None:
        """The first line of a result: what it is about, and how it is.

        :param news: whether something was done, or is wrong. Without it, a quiet terminal shows nothing of the result.
        """
        self._muted = self.quiet and not news
        self.say(f"{name}: {verdict}", style)

    def say(self, text: str = "", style: str = "", reason: str = "", hang: int | None = None) -> None:
        """One line of the result.

        :param reason: is appended in brackets, dimmed.
        :param hang: columns by which wrapped lines are indented.
        """
        self.stop()
        if not self.shows_results or self._muted:
            return
        shown = fit(self.out, text)
        line = Text(with_detail(shown, fit(self.out, reason)), style=style)
        line.stylize("dim", len(shown))
        self._print(self.out, line, hang)

    def source(self) -> None:
        """Where the settings of this run come from."""
        if self.settings:
            self.say(f"  Settings: {self.settings}", "dim")

    def step(self, step: Step) -> None:
        """One step of a plan with its reason."""
        verb = "start" if step.target is Target.FIRST_SYNC else ""
        what = f"{'that ' if step.target is Target.PROOF else ''}{step.label}"
        self.action(step.action, what, step.reason, verb)

    def action(self, action: str, what: str, reason: str, verb: str = "") -> None:
        """What is done about something, and why.

        :param verb: instead of the action's name.
        """
        symbol, style = MARKS[action]
        self.say(f"    {symbol} {verb or action} {what}", style, reason)

    def warnings(self, texts: Sequence[str]) -> None:
        """Warnings that belong to a result: a document holds them, too."""
        if self.shows_results and not self._muted:
            for text in texts:
                self.warn(text)

    def verdict(self, ok: bool | None, text: str) -> None:
        """One line about something that was looked at.

        :param ok: ``None`` for a warning.
        """
        marks = {True: (self._good, "green"), False: (self._bad, "bold red"), None: ("!", "yellow")}
        mark, style = marks[ok]
        self.say(f"  ({mark}) {text}", style, hang=6)

    def evidence(self, evidence: Sequence[Evidence]) -> None:
        """Proofs, one line each."""
        for item in evidence:
            self.verdict(item.ok, f"{item.name}: {item.detail}")

    def rows(self, rows: Sequence[tuple[str, str]]) -> None:
        """Names and values, aligned where there is room."""
        for name, value in rows:
            if self.narrow:
                self.say(f"  {name}: {value}" if name else f"    {value}")
            else:
                self.say(f"  {name:<14}{value}", hang=16)

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[str]], styles: Sequence[str]) -> None:
        """Columns with their heads; where there is no room, a list with the first two as a line for each row.

        :param styles: one for each row.
        """
        columns = list(zip(heads, *rows, strict=True))
        widths = [max(map(cell_len, column)) for column in columns]
        last = sum(widths[:-1]) + 2 * len(widths)
        need = last + max(cell_len(word) for cell in columns[-1] for word in cell.split() or [""])
        if self.width is not None and (self.narrow or need > self.width):
            for (name, verdict, *values), style in zip(rows, styles, strict=True):
                self.say(f"  {name}: {verdict}", style)
                for head, value in zip(heads[2:], values, strict=True):
                    if value:
                        self.say(f"    {head} {value}", hang=6)
            return
        for cells, style in zip((heads, *rows), ("dim", *styles), strict=True):
            padded = [
                cell + " " * (width - cell_len(cell)) for cell, width in zip(cells, widths, strict=True)
            ]
            self.say(f"  {'  '.join(padded)}".rstrip(), style, hang=last)

    def next_steps(self, *commands: tuple[str, str]) -> None:
        """What to do now, at most three of them: commands that work as typed, and what each does.

        Each is given the options with which this command was told its settings.
        """
        self.say("(->) NEXT STEPS:", "bold")
        self.columns(*((f"{command}{self.arguments}", what) for command, what in commands[:3]))

    def columns(self, *rows: tuple[str, str]) -> None:
        """Things, and beside each what it is; below it where there is no room."""
        wide = max(len(name) for name, _ in rows)
        below = self.width is not None and wide > self.width // 2
        for name, what in rows:
            if below:
                # Whole, so that a command can be copied: the terminal alone breaks it.
                self.copyable(f"  {name}")
                self.say(f"    {what}")
            else:
                self.say(f"  {name:<{wide}}  {what}", hang=wide + 4)

    def copyable(self, text: str) -> None:
        """A line of the result to copy: never wrapped."""
        self.stop()
        if self.shows_results and not self._muted:
            self.out.print(Text(fit(self.out, text)), soft_wrap=True)

    def picture(self, title: str) -> str:
        """What a recording console has shown, as SVG without references to other hosts."""
        picture = self.out.export_svg(title=title)
        return re.sub(r"@font-face\s*\{[^}]*\}", "", picture)


_ID = re.compile(r"\b\w+ id [0-9a-f]{8}-")
"""A name of an id with its beginning: no line breaks between them."""


def is_unicode(console: Console) -> bool:
    """Whether the console can show every character."""
    return console.encoding.lower().replace("-", "").startswith("utf")


def fit(console: Console, text: str) -> str:
    """Clean text in which the console's encoding can show everything; what it cannot is shown by number."""
    shown = clean(text)
    if is_unicode(console):
        return shown
    return shown.encode(console.encoding, "backslashreplace").decode(console.encoding)


def with_detail(what: str, detail: str) -> str:
    """A thing with what is said about it in brackets."""
    if not detail:
        return what
    return f"{what}: {detail}" if what.endswith(")") else f"{what} ({detail})"


def wrapped(line: Text, width: int, hang: int) -> Iterator[Text]:
    """The line in pieces of at most ``width`` columns, broken at spaces; a longer word stays whole, to be copied.

    :param hang: columns by which every piece but the first is indented; half the width at most.
    """
    indent, start, end = Text(), 0, 0
    glued = _ID.sub(lambda found: found[0].replace(" ", "_"), line.plain)
    for word in re.finditer(r"\s*\S+", glued):
        if end and cell_len(glued[start : word.end()]) > width - len(indent):
            yield indent + line[start:end]
            indent, start = Text(" " * min(hang, width // 2)), word.end() - len(word[0].lstrip())
        end = word.end()
    yield indent + line[start:end]
