"""Finds every error code in the package's source, so that the page of errors can be complete."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import authentik_entra_bootstrap
from authentik_entra_bootstrap import errors
from authentik_entra_bootstrap.errors import BootstrapError

PACKAGE = Path(authentik_entra_bootstrap.__file__).resolve().parent


def error_classes() -> dict[str, type[BootstrapError]]:
    """Every class of the family by name."""
    return {
        name: value
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, BootstrapError)
    }


def error_codes() -> dict[str, frozenset[int]]:
    """Every stable code with the exit codes it ends in, found in the package's source and tables.

    A code that is put together at run time shows its variable part in capitals: ``authentik-FIELD-taken``.

    :raises LookupError: for an error whose code cannot be told from the source.
    """
    found: dict[str, set[int]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        if "sandbox" not in path.relative_to(PACKAGE).parts:
            for code, kind in codes_of(path):
                found.setdefault(code, set()).add(int(kind.exit_code))
    for module in ("entra.error_codes", "authentik.api_errors"):
        table = importlib.import_module(f"authentik_entra_bootstrap.{module}").CODES
        for code, row in table.items():
            found.setdefault(code, set()).add(int(row.kind.exit_code))
    return {code: frozenset(found[code]) for code in sorted(found)}


def codes_of(path: Path) -> Iterator[tuple[str, type[BootstrapError]]]:
    """Code and class of every error that a module makes, and of every wait that can time out.

    :raises LookupError: for an error whose code cannot be told from the source.
    """
    classes = error_classes()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        named = next((item.value for item in node.keywords if item.arg == "code"), None)
        if isinstance(node.func, ast.Name) and node.func.id in classes:
            kind, given = classes[node.func.id], node.args[0] if node.args else named
        elif isinstance(node.func, ast.Attribute) and node.func.attr == "until":
            kind, given = errors.ReplicationTimeout, named
        else:
            continue
        code = _text(given, path) if given is not None else None
        if code is not None:
            yield code, kind
        elif given is not None and path.name != "waiting.py":
            # The waiter hands on the code that it was given: that code is found where it is given.
            raise LookupError(f"{path.name}:{node.lineno}: the code of this error cannot be told")


def _text(code: ast.expr, path: Path) -> str | None:
    if isinstance(code, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "FIELD" for part in code.values)
    found = code.value if isinstance(code, ast.Constant) else None
    if isinstance(code, ast.Name):
        module = ".".join((PACKAGE.name, *path.relative_to(PACKAGE).with_suffix("").parts))
        found = getattr(importlib.import_module(module.removesuffix(".__init__")), code.id, None)
    return found if isinstance(found, str) else None
