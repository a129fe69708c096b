"""Finds every error code in the package's source, so that the page of errors can be complete."""  # noqa: INP001 - docs is a folder of pages, no package

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
        if "sandbox" in path.relative_to(PACKAGE).parts:
            continue
        for code, kind in _Source(path).codes():
            found.setdefault(code, set()).add(int(kind.exit_code))
    for module in ("entra.error_codes", "authentik.failures"):
        table = importlib.import_module(f"authentik_entra_bootstrap.{module}").CODES
        for code, row in table.items():
            found.setdefault(code, set()).add(int(row.kind.exit_code))
    return {code: frozenset(found[code]) for code in sorted(found)}


class _Source:
    """One module's calls that make errors: of an error class, or of a local helper that hands its code on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tree = ast.parse(path.read_text(encoding="utf-8"))
        self.classes = error_classes()
        self.assigned: dict[str, list[ast.expr]] = {}
        self.helpers: dict[str, type[BootstrapError]] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                self.assigned.setdefault(node.targets[0].id, []).append(node.value)
            elif isinstance(node, ast.FunctionDef) and (kind := self._handed_on(node)):
                self.helpers[node.name] = kind

    def codes(self) -> Iterator[tuple[str, type[BootstrapError]]]:
        """Code and class of every error that the module makes."""
        parameters = {
            node: node.args.args[0].arg
            for node in ast.walk(self.tree)
            if isinstance(node, ast.FunctionDef) and node.name in self.helpers
        }
        skipped = {
            id(call)
            for helper, name in parameters.items()
            for call in ast.walk(helper)
            if isinstance(call, ast.Call) and isinstance(_first(call), ast.Name) and _first(call).id == name  # type: ignore[union-attr]
        }
        for node in ast.walk(self.tree):
            if not isinstance(node, ast.Call) or id(node) in skipped:
                continue
            waits = next((item.value for item in node.keywords if item.arg == "code"), None)
            kind = self._kind(node)
            if kind is not None and (first := _first(node)) is not None:
                for code in self._texts(first, node):
                    yield code, kind
            elif isinstance(node.func, ast.Attribute) and node.func.attr == "until" and waits is not None:
                for code in self._texts(waits, node):
                    yield code, errors.ReplicationTimeout

    def _kind(self, call: ast.Call) -> type[BootstrapError] | None:
        name = call.func.id if isinstance(call.func, ast.Name) else ""
        return self.classes.get(name) or self.helpers.get(name)

    def _handed_on(self, function: ast.FunctionDef) -> type[BootstrapError] | None:
        if not function.args.args or self.path.name == "waiting.py":
            return None
        first = function.args.args[0].arg
        for node in ast.walk(function):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in self.classes
            ):
                code = _first(node)
                if isinstance(code, ast.Name) and code.id == first:
                    return self.classes[node.func.id]
        return None

    def _texts(self, node: ast.expr, call: ast.Call) -> Iterator[str]:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.IfExp):
            yield from self._texts(node.body, call)
            yield from self._texts(node.orelse, call)
        elif isinstance(node, ast.JoinedStr):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else "FIELD" for part in node.values
            )
        elif isinstance(node, ast.Name) and node.id in self.assigned:
            for value in self.assigned[node.id]:
                yield from self._texts(value, call)
        elif isinstance(node, ast.Name) and (value := self._imported(node.id)) is not None:
            yield value
        elif self.path.name != "waiting.py":
            # The waits hand on the code that they were given: it is found where it is given.
            raise LookupError(f"{self.path.name}:{call.lineno}: the code of this error cannot be told")

    def _imported(self, name: str) -> str | None:
        module = ".".join((PACKAGE.name, *self.path.relative_to(PACKAGE).with_suffix("").parts))
        value = getattr(importlib.import_module(module.removesuffix(".__init__")), name, None)
        return value if isinstance(value, str) else None


def _first(call: ast.Call) -> ast.expr | None:
    named = next((item.value for item in call.keywords if item.arg == "code"), None)
    return call.args[0] if call.args else named
