"""Gathers the pages of docs/ and those at the root of the repository as the sources of the site."""

from __future__ import annotations

import posixpath
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SECTIONS: Mapping[str, tuple[str, ...]] = {
    "Tutorial": ("tutorial/first-run",),
    "How to": (
        "how-to/bootstrap-a-real-tenant",
        "how-to/preview",
        "how-to/consent",
        "how-to/least-privilege",
        "how-to/rotator-identity",
        "how-to/scheduled-rotation",
        "how-to/monitoring",
        "how-to/several-connections",
        "how-to/adopt",
        "how-to/blueprints",
        "how-to/teardown",
        "how-to/national-clouds",
        "how-to/private-ca-and-proxy",
        "how-to/shell-completion",
        "how-to/use-the-sandbox-for-your-own-client",
    ),
    "When something goes wrong": ("reference/errors",),
    "Reference": (
        "reference/commands",
        "reference/settings",
        "reference/exit-codes",
        "reference/json-output",
        "reference/python-api",
        "reference/sandbox",
    ),
    "Explanation": (
        "explanation/rotation",
        "explanation/proofs",
        "explanation/replication",
        "explanation/security-model",
        "explanation/comparison",
        "explanation/performance",
        "architecture",
    ),
    "Project": ("README", "CHANGELOG", "CONTRIBUTING", "SECURITY"),
}
"""What the site's menu shows, in order; ``README.md`` is its first page."""
OTHERS = (
    "LICENSE",
    "authentik_entra_bootstrap/output/schema.json",
    *(
        path.relative_to(ROOT).as_posix()
        for path in sorted((ROOT / "docs" / "how-to" / "deploy").rglob("*"))
        if path.is_file()
    ),
    *(f"blueprints/{path.name}" for path in sorted((ROOT / "blueprints").glob("*.yaml"))),
)
"""Files outside of docs/ that pages link to."""
PICTURES = tuple(
    path.relative_to(ROOT).as_posix()
    for path in sorted((ROOT / "docs").rglob("*"))
    if path.suffix in {".svg", ".png"}
)
_LINK = re.compile(r"(?<=\]\()([^)\s#]+)(?=[)#])")
_PICTURE = re.compile(r"^(!\[[^\]]*\]\(([^)\s]+)\))$", re.MULTILINE)


def place(path: str) -> str:
    """Where a file of the repository stands in the site."""
    return "index.md" if path == "README.md" else path.removeprefix("docs/")


def relinked(text: str, page: str) -> str:
    """A page's Markdown with its links as they are in the site; a picture links to itself, to be seen in full size.

    :param page: the page's place in the repository.
    """
    here = posixpath.dirname(place(page)) or "."

    def changed(link: re.Match[str]) -> str:
        if "://" in link[1]:
            return link[1]
        target = posixpath.normpath(posixpath.join(posixpath.dirname(page), link[1]))
        return posixpath.relpath(place(target), here)

    return _PICTURE.sub(r"[\1](\2)", _LINK.sub(changed, text))


def sources() -> dict[str, str]:
    """Every page of the site with its text.

    :raises LookupError: for pages that the menu lacks, or that it has and do not exist.
    """
    pages = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").rglob("*.md"))]
    pages += [path.name for path in sorted(ROOT.glob("*.md"))]
    texts = {place(page): relinked((ROOT / page).read_text(encoding="utf-8"), page) for page in pages}
    listed = ["index.md", *(f"{page}.md" for section in SECTIONS.values() for page in section)]
    if sorted(listed) != sorted(texts):
        raise LookupError(f"the menu and the pages differ: {sorted(set(listed) ^ set(texts))}")
    return {**texts, "index.md": texts["index.md"] + _menu()}


def _menu() -> str:
    """The menu, in the words of the site's generator."""
    return "".join(
        "\n".join(["", "```{toctree}", ":hidden:", f":caption: {name}", *pages, "```", ""])
        for name, pages in SECTIONS.items()
    )


def gather(folder: Path) -> None:
    """Write the sources of the site into a folder, which is emptied before."""
    shutil.rmtree(folder, ignore_errors=True)
    for page, text in sources().items():
        path = folder / page
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for name in (*OTHERS, *PICTURES):
        path = folder / place(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, path)


if __name__ == "__main__":
    gather(Path(sys.argv[1]))
