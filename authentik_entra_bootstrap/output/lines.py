"""The words and marks of a line, what of it a console can show, and where it breaks."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from authentik_entra_bootstrap.planning.differences import Action, Target
from authentik_entra_bootstrap.planning.plan import Step
from authentik_entra_bootstrap.support.logs import clean

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
NAMES = {
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
SAY_ALL = {Target.PROOF: "that ", Target.FIRST_SYNC: ""}
"""What is said before the subject of a step that says it all by itself."""
VERBS = {
    Action.CREATE: "creating",
    Action.CHANGE: "changing",
    Action.RETIRE: "removing",
    Action.REMOVE: "removing",
}
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


def label(step: Step) -> str:
    """What a step is about, in a sentence: proof and first sync say it all by themselves."""
    return step.subject if step.target in SAY_ALL else f"{NAMES[step.target]} {step.subject}"


def with_detail(what: str, detail: str) -> str:
    """A thing with what is said about it in brackets."""
    if not detail:
        return what
    return f"{what}: {detail}" if what.endswith(")") else f"{what} ({detail})"


def wrapped(line: Text, width: int, hang: int) -> Iterator[Text]:
    """The line in pieces of at most ``width`` columns, broken at spaces; a longer word stays whole, to be copied.

    :param hang: columns by which every piece but the first is indented; half the width at most.
    """
    rest, indent, hang = line, "", min(hang, width // 2)
    while cell_len(rest.plain) > width - len(indent):
        room = width - len(indent)
        plain = _ID.sub(lambda found: found[0].replace(" ", "_"), rest.plain)
        begin = len(plain) - len(plain.lstrip())
        fits = len(plain)
        while cell_len(plain[:fits]) > room:
            fits -= 1
        cut = plain.rfind(" ", begin, fits + 1)
        if cut < 0:
            cut = plain.find(" ", fits)
        if cut < 0:
            break
        yield Text(indent) + rest[: len(plain[:cut].rstrip())]
        after = plain[cut:]
        rest, indent = rest[cut + len(after) - len(after.lstrip()) :], " " * hang
    yield Text(indent) + rest
