"""Finds sentences that are too long and words that this project does not use, in pages, docstrings and messages.

``python docs/prose_check.py`` prints one line for each finding and ends with 1 if there is one. Code blocks, inline code,
addresses and generated pages are left out: their source is checked instead.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
LONGEST = 30

# A pattern, and what to write instead.
WORDS: Mapping[str, str] = {
    r"in vain": "Timed out after … waiting for …",
    r"needs? it not": "does not need it",
    r"at it right now": "being written",
    r"want(s|ed)? a run": "is due",
    r"without a word": "silently",
    r"whoever": "the process, the person, or the run that …",
    r"nobody sits": "cannot use interactive logins",
    r"the real thing": "use it with your tenant",
    r"goes along": "also deleted",
    r"tabulator": "Tab",
    r"what stands|stands? (in|as|there|beside|on|at)|stood": "is, is stored, is kept",
    r"g(?:ives?|ave|iving) way": "stops without changing anything",
    r"of ours": "created by this program",
    r"only then(?! do(?:es)?\b)": "… only after …",
    r"spoilt": "corrupt",
    r"at somebody's|somebody's": "name the person",
    r"by chance": "random",
    r"ends? of its own accord|by itself passes": "name what ends",
    r"text lies": "is stored",
    r"be had": "is available",
    r"thereof|therein|hereby|whereof|wherein": "name the thing",
    r"came to nothing": "failed",
    r"nobody|anybody|everybody|somebody else": "name the user, the process or the machine",
    r"left alone|leaves? alone": "not changed, kept",
    r"told apart|tells? apart": "found by, distinguished by",
    r"in the place of": "instead of",
    r"goes on": "continues",
}
_WORDS = [(re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE), instead) for pattern, instead in WORDS.items()]

# Written by docs/generate.py from texts that are checked, and the history, which keeps its words.
GENERATED = {"docs/reference/commands.md", "CHANGELOG.md"}
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_TAG = re.compile(r"</?[a-z!][^<>]*>")
_CODE = re.compile(r"``[^`]+``|`[^`]+`")
# A list after a colon, or between dots, is no sentence.
_LIST = re.compile(r":\s[^.:]*(?:,[^,.:]*){3,}|[^·.]* · [^.\n]*")
_SENTENCE = re.compile(r"(?<=[.!?:])[\"')\]*]*\s+(?=[\"'(\[*]*(?:[A-Z`…]|--))")
_BLOCK = re.compile(r"\n\s*\n|\n(?=\s*(?:[-*|>#]|\d+\.|:(?:param|raises|ivar|returns?)\b)\s?)|\|")


# Modules with tables of names in strings, written as their service writes them. Only their docstrings are prose.
TABLES = {
    # The properties of Microsoft Graph's entities.
    "authentik_entra_bootstrap/sandbox/microsoft/model.py",
    # The ids, names and titles of Microsoft Graph's permissions.
    "authentik_entra_bootstrap/sandbox/microsoft/permissions_table.py",
}


class Finding(NamedTuple):
    """A sentence to rewrite: its place, and the reason."""

    place: str
    why: str


def text_findings(place: str, text: str) -> Iterator[Finding]:
    """The sentences of a text to rewrite. Markdown's inline code counts as one word, a list as none."""
    plain = _TAG.sub(" ", _LINK.sub(r"\1", _CODE.sub("`x`", text)))
    for block in (" ".join(item.split()) for item in _BLOCK.split(plain)):
        for sentence in _SENTENCE.split(_LIST.sub(":", block)):
            words = [word for word in sentence.split() if re.search(r"\w", word)]
            if len(words) > LONGEST:
                yield Finding(place, f"{len(words)} words: {' '.join(words[:9])} …")
        for sentence in _SENTENCE.split(block):
            for pattern, instead in _WORDS:
                if found := pattern.search(sentence):
                    yield Finding(place, f'"{found[0]}", better: {instead}: {sentence[:80]}')


def page_findings(page: Path) -> Iterator[Finding]:
    """The sentences of a Markdown page to rewrite."""
    yield from text_findings(
        str(page.relative_to(ROOT)), _COMMENT.sub("", _FENCE.sub("\n\n", page.read_text(encoding="utf-8")))
    )


def _docstrings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            yield node.lineno, node.value.value


def _texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Docstrings and messages of a module: its string constants, and its f-strings with ``x`` for each value."""
    inside: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            inside |= {id(part) for part in ast.walk(node)} - {id(node)}
            yield (
                node.lineno,
                "".join(str(p.value) if isinstance(p, ast.Constant) else "x" for p in node.values),
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.lineno, node.value


def module_findings(module: Path) -> Iterator[Finding]:
    """The sentences of a module's docstrings and messages to rewrite."""
    name = str(module.relative_to(ROOT))
    tree = ast.parse(module.read_text(encoding="utf-8"))
    for line, text in _docstrings(tree) if name in TABLES else _texts(tree):
        if len(text.split()) >= 4:
            yield from text_findings(f"{name}:{line}", text)


def findings() -> Iterator[Finding]:
    """The sentences of all pages and modules to rewrite."""
    for page in [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]:
        if str(page.relative_to(ROOT)) not in GENERATED:
            yield from page_findings(page)
    for module in sorted((ROOT / "authentik_entra_bootstrap").rglob("*.py")):
        yield from module_findings(module)


if __name__ == "__main__":
    found = [f"{finding.place}: {finding.why}\n" for finding in findings()]
    sys.stdout.writelines(found or ["Prose: nothing to rewrite.\n"])
    sys.exit(bool(found))
