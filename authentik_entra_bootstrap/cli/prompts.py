"""Questions to the person at the terminal: apply the plan, change who is provisioned. These are the only questions."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from authentik_entra_bootstrap.cli.options import Options
from authentik_entra_bootstrap.errors import ConfigError

if TYPE_CHECKING:
    from authentik_entra_bootstrap.planning.plan import Plan

PLAN = "look at them with `authentik-entra plan`"
ON_A_TERMINAL = "run the command on a terminal, where it shows them and asks"


class Declined(click.Abort):
    """A person answered no: a reason to leave this connection, not to stop the others.

    :param text: what to say about it: what was changed before the question was asked.
    """

    def __init__(self, text: str = "Nothing was changed.") -> None:
        super().__init__(text)


def confirm(options: Options, question: str, *, yes: bool, otherwise: str = PLAN) -> None:
    """Ask once, on a terminal only.

    :param otherwise: what to do instead of ``--yes`` without a terminal, in the words of a remedy.
    :raises ConfigError: ``confirmation-needed`` without a terminal.
    :raises Declined: the answer was no.
    """
    check_answerable(options, yes=yes, otherwise=otherwise)
    if not yes:
        _ask(question)


def confirm_scope(options: Options, plan: Plan, *, accepted: bool) -> None:
    """Ask about a change of who is provisioned or what is deleted: ``--yes`` is no answer to that.

    :param accepted: do not ask.
    :raises ConfigError: ``confirmation-needed`` without a terminal.
    :raises Declined: the answer was no.
    """
    from authentik_entra_bootstrap.workflows.planning import refuse_scope_change

    if plan.scope_change is None or accepted:
        return
    if not _can_ask(options):
        refuse_scope_change(plan)
    _ask("Change who is provisioned, or what is deleted in the tenant, as shown above?")


def check_answerable(options: Options, *, yes: bool, otherwise: str = PLAN) -> None:
    """Check that a question can be answered, or needs no answer.

    :param otherwise: as for :func:`confirm`.
    :raises ConfigError: ``confirmation-needed`` without a terminal.
    """
    if not yes and not _can_ask(options):
        raise ConfigError(
            "confirmation-needed",
            "This command asks for confirmation, and this process cannot ask.",
            f"Give --yes to apply the changes, or {otherwise}.",
        )


def ask_for(question: str, proposed: str | None, choices: tuple[str, ...] = ()) -> str:
    """Ask for a value.

    :param proposed: the answer if Enter is pressed; ``None`` where an answer is needed.
    :param choices: the only answers that there are.
    """
    kind = click.Choice(choices) if choices else None
    answer: str = click.prompt(question, default=proposed, type=kind, show_default=bool(proposed), err=True)
    return answer


def _can_ask(options: Options) -> bool:
    return not (options.no_input or options.json or not sys.stdin.isatty())


def _ask(question: str) -> None:
    from authentik_entra_bootstrap.support.waiting import asking_a_person

    with asking_a_person(), _interruptible():
        agreed = click.confirm(question, default=False, err=True)
    if not agreed:
        raise Declined


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let the first Ctrl-C end the question: asyncio would only cancel the task, which waits for the answer."""
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler) or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
