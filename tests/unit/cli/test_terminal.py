"""What people see, on any console: colours or none, any encoding, hostile names."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from authentik_entra_bootstrap.errors import Denied, RequestTrace
from authentik_entra_bootstrap.output.checks import show_check
from authentik_entra_bootstrap.output.terminal import Terminal, wrapped
from authentik_entra_bootstrap.planning.differences import Action, Target
from authentik_entra_bootstrap.planning.plan import Step
from authentik_entra_bootstrap.rotation.proof import Evidence
from authentik_entra_bootstrap.support.logs import clean
from authentik_entra_bootstrap.workflows.check import CheckLine, Level

STEP = Step(Action.CREATE, Target.APPLICATION, "name", "why")
HOSTILE = "\x1b[31mred\x1b[0m\r\nfake line\x07\u202eesrever\u200b\x9b2J[bold]markup[/bold] :smile:"


class Bytes:
    """A text file of a given encoding, as standard output is one."""

    def __init__(self, encoding: str) -> None:
        self.raw = io.BytesIO()
        self.file = io.TextIOWrapper(self.raw, encoding=encoding, write_through=True)

    def text(self) -> str:
        return self.raw.getvalue().decode(self.file.encoding)


Made = tuple[Terminal, Bytes, Bytes]


def make(encoding: str = "utf-8", *, tty: bool = False, quiet: bool = False, **options: Any) -> Made:
    out, err = Bytes(encoding), Bytes(encoding)
    kind: dict[str, Any] = {
        "force_terminal": tty,
        "highlight": False,
        "soft_wrap": True,
        "markup": False,
        "emoji": False,
    }
    consoles = [Console(file=item.file, **kind, **options) for item in (out, err)]
    return Terminal(*consoles, quiet=quiet), out, err


def everything(terminal: Terminal, text: str) -> None:
    """Say one text in every way."""
    step = Step(Action.CREATE, Target.PROVIDER, text, text)
    terminal.doing(text)
    terminal.doing(text)
    terminal.begin(step)
    terminal.waiting(text, 1.0, text)
    terminal.waited(text, 2.0)
    terminal.done(step, text)
    terminal.finished(text)
    terminal.warn(text)
    terminal.note(text)
    terminal.announce(text)
    terminal.say(text)
    terminal.step(step)
    terminal.evidence([Evidence("a", True, text), Evidence("b", False, text), Evidence("c", None, text)])
    show_check(terminal, text, [CheckLine(text, level, text, text, "code") for level in Level])
    terminal.headline(text, text)
    terminal.rows([(text, text)])
    terminal.table((text, text, text), [(text, text, text)], [""])
    terminal.next_steps((text, text))
    terminal.error(Denied("code", text, text, RequestTrace("graph", "GET", text, 403)))
    terminal.stop()


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1", "cp1252", "utf-16-le"])
@pytest.mark.parametrize("tty", [False, True])
def test_hostile_names_steer_no_console_and_fit_every_encoding(encoding: str, tty: bool) -> None:
    terminal, out, err = make(encoding, tty=tty, color_system=None)
    everything(terminal, HOSTILE + " Zoë 日本 \U0001f600 \udc80")
    shown = out.text() + err.text()
    assert "\x1b[31m" not in shown
    for char in "\x07\u202e\u200b\x9b":
        assert char not in shown
    assert "\\u001b[31mred" in shown
    assert "\\u202e" in shown
    assert "[bold]markup[/bold] :smile:" in shown
    if not tty:
        assert "\nfake line" not in shown
        assert "\r" not in shown


@settings(deadline=None)
@given(st.text(max_size=40))
def test_any_text_can_be_shown_anywhere(text: str) -> None:
    for encoding in ("ascii", "utf-8"):
        terminal, _, _ = make(encoding)
        everything(terminal, text)


@given(st.text())
def test_clean_text_is_one_line_without_controls(text: str) -> None:
    shown = clean(text)
    assert len(shown.splitlines()) <= 1
    assert shown.isprintable() or all(
        char.isprintable() or char.isspace() or ord(char) > 0x7F for char in shown
    )
    assert "\x1b" not in shown
    assert clean(shown) == shown


@pytest.mark.parametrize(("encoding", "good", "bad"), [("utf-8", "✓", "✗"), ("ascii", "ok", "x")])
def test_symbols_follow_the_encoding(encoding: str, good: str, bad: str) -> None:
    terminal, out, err = make(encoding)
    terminal.done(STEP, "id 1")
    terminal.evidence(
        [Evidence("a", True, "seen"), Evidence("b", False, "seen"), Evidence("c", None, "seen")]
    )
    assert err.text() == f"  ({good}) Done: application name (id 1)\n"
    assert out.text() == f"  ({good}) a: seen\n  ({bad}) b: seen\n  (!) c: seen\n"


def test_one_poor_stream_makes_both_plain() -> None:
    out, err = Bytes("ascii"), Bytes("utf-8")
    terminal = Terminal(Console(file=out.file), Console(file=err.file))
    terminal.evidence([Evidence("a", True, "seen")])
    assert "(ok)" in out.text()


def test_colour_only_on_terminals_and_never_with_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)

    def shown(tty: bool) -> str:
        terminal, out, err = make(tty=tty)
        terminal.say("text", "bold green")
        terminal.warn("careful")
        return out.text() + err.text()

    assert "\x1b[1;32m" in shown(True)
    assert shown(False) == "text\n(!) Warning: careful\n"
    monkeypatch.setenv("NO_COLOR", "1")
    assert "32m" not in shown(True)
    assert "33m" not in shown(True)


def test_without_a_terminal_a_wait_is_one_line_when_it_ends() -> None:
    terminal, _, err = make()
    terminal.doing("not said")
    for elapsed in (0.0, 10.0, 21.0):
        terminal.waiting("Entra ID", elapsed, "seconds")
    terminal.waiting("another", 3.0, "minutes")
    assert err.text() == ""
    terminal.waited("Entra ID", 22.4)
    terminal.waited("Entra ID", 23.1)
    terminal.waited("another", 1.9)
    assert err.text() == "  (✓) Waited: 22 s for Entra ID\n"
    terminal.start(quiet=False, shows_results=True)
    terminal.waited("Entra ID", 5.0)
    assert err.text().splitlines()[1:] == ["  (✓) Waited: 5 s for Entra ID"]


def test_a_terminal_that_cannot_redraw_a_line_shows_no_spinner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    terminal, _, err = make(tty=True)
    terminal.doing("reading both sides")
    terminal.stop()
    assert err.text() == ""


def lines(width: int, show: Callable[[Terminal], None]) -> list[str]:
    """What is shown on a terminal so wide."""
    out = io.StringIO()
    console = Console(file=out, width=width, highlight=False, markup=False, emoji=False)
    show(Terminal(console, console))
    return out.getvalue().splitlines()


def test_lines_wrap_at_words_with_a_hanging_indent_and_long_words_stay_whole() -> None:
    address = "https://entra.example/" + "x" * 40
    assert lines(30, lambda terminal: terminal.warn(f"one two three four five {address} six")) == [
        "(!) Warning: one two three",
        "  four five",
        f"  {address}",
        "  six",
    ]
    assert lines(24, lambda terminal: terminal.verdict(True, "name: what was seen of it")) == [
        "  (✓) name: what was",
        "      seen of it",
    ]
    wide = lines(70, lambda terminal: terminal.rows([("expires", "on a day " * 8)]))
    assert wide[1].startswith(" " * 16 + "on a day")
    assert lines(30, lambda terminal: terminal.rows([("expires", "on a day " * 4)]))[1][:5] == "    o"


@given(st.text(alphabet="ab  \u65e5", max_size=80), st.integers(4, 40), st.integers(0, 60))
def test_wrapping_loses_nothing_but_the_space_at_a_break(text: str, width: int, hang: int) -> None:
    pieces = [piece.plain for piece in wrapped(Text(text), width, hang)]
    assert " ".join(" ".join(pieces).split()) == " ".join(text.split())
    for piece in pieces:
        assert piece == piece.rstrip() or piece is pieces[-1]
        assert cell_len(piece) <= width or " " not in piece.strip()


def test_a_table_without_room_is_a_list() -> None:
    heads = ("connection", "verdict", "secret until", "alarms")
    rows = [("staff", "healthy", "2027-03-28", ""), ("x" * 12, "alarm", "2026-12-01", "drift sync-stopped")]

    def show(terminal: Terminal) -> None:
        terminal.table(heads, rows, ["", ""])

    assert lines(80, show) == [
        "  connection    verdict  secret until  alarms",
        "  staff         healthy  2027-03-28",
        "  xxxxxxxxxxxx  alarm    2026-12-01    drift sync-stopped",
    ]
    assert lines(40, show) == [
        "  staff: healthy",
        "    secret until 2027-03-28",
        "  xxxxxxxxxxxx: alarm",
        "    secret until 2026-12-01",
        "    alarms drift sync-stopped",
    ]


def test_a_next_step_that_does_not_fit_is_one_line_to_copy() -> None:
    command = "sudo install -m 0644 " + " ".join(f"made/unit-{number}.service" for number in range(5))
    shown = lines(80, lambda terminal: terminal.next_steps((command, "puts it in place")))
    assert shown == ["(->) NEXT STEPS:", f"  {command}", "    puts it in place"]


def test_next_steps_are_three_at_most() -> None:
    shown = lines(80, lambda terminal: terminal.next_steps(*((f"step {n}", "does it") for n in range(5))))
    assert shown == ["(->) NEXT STEPS:", *(f"  step {n}  does it" for n in range(3))]


def test_on_a_terminal_a_wait_is_redrawn_and_taken_away() -> None:
    terminal, out, err = make(tty=True, color_system=None)
    terminal.begin(STEP)
    terminal.waiting("Entra ID", 3.0, "seconds")
    terminal.say("result")
    assert "creating application name" in err.text() or "waiting for Entra ID" in err.text()
    assert out.text() == "result\n"
    assert terminal._status is None


def test_quiet_leaves_results_warnings_and_errors() -> None:
    terminal, out, err = make(quiet=True)
    everything(terminal, "text")
    assert "Done" not in err.text()
    assert "Waited" not in err.text()
    assert "waiting" not in err.text()
    assert "(!) Warning: text" in err.text()
    assert "ERROR: text [code]" in err.text()
    assert err.text().count("\ntext\n") == 1  # what a person must act on
    assert "text" in out.text()
    before = out.text()
    terminal.headline("default", "healthy", news=False)
    terminal.say("  details")
    terminal.warnings(["of the details"])
    assert out.text() == before
    assert "of the details" not in err.text()
    terminal.headline("default", "rotated")
    terminal.say("  details")
    assert out.text() == f"{before}default: rotated\n  details\n"


def test_an_error_without_remedy_and_request_is_short() -> None:
    terminal, _, err = make()
    terminal.error(Denied("code", "What happened."))
    assert err.text() == "ERROR: What happened. [code]\n  More: authentik-entra explain code\n"


def test_remedies_stand_only_where_something_is_to_be_done() -> None:
    terminal, out, _ = make()
    show_check(
        terminal,
        "default",
        [CheckLine("a", Level.OK, "good", "not needed"), CheckLine("b", Level.FAILURE, "bad", "do it")],
    )
    assert (
        out.text()
        == "default: not ready for bootstrap, 1 problem\n  (✓) a: good\n  (✗) b: bad\n      What to do: do it\n"
    )


def test_permissions_that_are_all_held_are_one_line_and_a_missing_one_lists_them_all() -> None:
    held = [CheckLine(f"permission p{number}", Level.OK, "for it") for number in range(3)]
    terminal, out, _ = make()
    show_check(
        terminal,
        "default",
        [CheckLine("token", Level.OK, "good"), *held, CheckLine("names", Level.OK, "free")],
    )
    assert out.text().splitlines() == [
        "default: ready for bootstrap",
        "  (✓) token: good",
        "  (✓) permissions in authentik: all 3 are held",
        "  (✓) names: free",
    ]
    terminal, out, _ = make()
    show_check(terminal, "default", [*held, CheckLine("permission p3", Level.FAILURE, "missing", "Add it.")])
    assert len(out.text().splitlines()) == 6


def test_a_picture_refers_to_no_other_host() -> None:
    console = Console(record=True, file=io.StringIO(), width=80)
    terminal = Terminal(console, console)
    terminal.say("shown")
    picture = terminal.picture("title")
    assert "<svg" in picture
    assert "shown" in picture
    assert "@font-face" not in picture
    assert "url(http" not in picture


def test_the_default_consoles_are_the_standard_streams(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    terminal.say("result")
    terminal.warn("warning")
    captured = capsys.readouterr()
    assert captured.out == "result\n"
    assert captured.err == "(!) Warning: warning\n"


def _reporters() -> list[Callable[[], Any]]:
    from authentik_entra_bootstrap.workflows.session import Reporter

    return [Reporter, lambda: make()[0]]


@pytest.mark.parametrize("factory", _reporters())
def test_reporters_offer_everything_that_workflows_tell(factory: Callable[[], Any]) -> None:
    reporter = factory()
    reporter.doing("x")
    reporter.begin(STEP)
    reporter.done(STEP, "x")
    reporter.warn("x")
    reporter.waiting("x", 1.0, "y")
    reporter.waited("x", 1.0)
