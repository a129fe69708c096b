"""Imports packages whose ``__init__`` imports everything they hold, without that.

Lazy packages stand in the place of the ``__init__`` modules: same names, same objects, imported when they are asked for
(PEP 562). The table of names is read from the ``__init__`` sources themselves, so it fits whatever version is installed; a
layout that this reader does not know is imported the usual way.
"""

from __future__ import annotations

import ast
import importlib
import importlib.machinery
import importlib.util
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

_lock = threading.Lock()


@dataclass(frozen=True)
class Exports:
    """What an ``__init__`` exports: name -> (module, name there), and its plain assignments."""

    names: Mapping[str, tuple[str, str]]
    assigned: Mapping[str, object]


def import_lazily(*packages: str) -> None:
    """Import packages without what their ``__init__`` modules import.

    Nothing is replaced when the first of them was imported before, in the usual way or by this function.

    :param packages: dotted names, the outermost one first; the others are inside it.
    :raises ModuleNotFoundError: the package that the outermost one is in is not installed.
    """
    with _lock:
        if packages[0] in sys.modules:
            return
        tables = _read_tables(packages)
        if tables is None:
            return
        finder = _LazyFinder(tables)
        # The import system's own locks make this safe: another thread importing the package meanwhile either
        # began before (and is waited for) or gets the same lazy packages.
        sys.meta_path.insert(0, finder)
        try:
            for name in packages:
                importlib.import_module(name)
        finally:
            sys.meta_path.remove(finder)


def read_exports(source: str, package: str, root: str) -> Exports | None:
    """What the source of an ``__init__`` exports; ``None`` when it does more than import and assign.

    :param source: Python source text.
    :param package: dotted name of the package that it belongs to.
    :param root: name of the package that all of it must come from.
    """
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return None
    names: dict[str, tuple[str, str]] = {}
    assigned: dict[str, object] = {}
    for statement in tree.body:
        if isinstance(statement, ast.ImportFrom):
            module = _module(statement, package)
            if not f"{module}.".startswith(f"{root}.") or module == package:
                return None
            for alias in statement.names:
                names[alias.asname or alias.name] = (module, alias.name)
        elif isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            if not _assign(statement.targets[0], statement.value, names, assigned):
                return None
        elif not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)):
            return None
    return None if "*" in names else Exports(names, assigned)


def _module(statement: ast.ImportFrom, package: str) -> str:
    """The absolute name of the module that something is imported from."""
    if statement.level == 0:
        return str(statement.module)
    above = package.split(".")[: len(package.split(".")) - statement.level + 1]
    return ".".join([*above, *([statement.module] if statement.module else [])])


def _assign(
    target: ast.expr, value: ast.expr, names: dict[str, tuple[str, str]], assigned: dict[str, object]
) -> bool:
    if not isinstance(target, ast.Name):
        return False
    if isinstance(value, ast.Name) and value.id in names:
        names[target.id] = names[value.id]
        return True
    try:
        assigned[target.id] = ast.literal_eval(value)
    except ValueError:
        return False
    return True


def _read_tables(packages: Sequence[str]) -> dict[str, Exports] | None:
    root = packages[0]
    spec = importlib.util.find_spec(root)
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent
    depth = len(root.split("."))
    tables: dict[str, Exports] = {}
    for name in packages:
        file = folder.joinpath(*name.split(".")[depth:], "__init__.py")
        if not file.is_file():
            return None
        exports = read_exports(file.read_text(encoding="utf-8"), name, root)
        if exports is None or not exports.names:
            return None
        tables[name] = exports
    return tables


class _LazyFinder:
    """Hands out lazy loaders for the packages; everything else takes its usual way."""

    def __init__(self, tables: Mapping[str, Exports]) -> None:
        self._tables = tables

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The usual spec with a lazy loader."""
        if name not in self._tables:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is None or spec.origin is None:
            return None
        spec.loader = _LazyLoader(name, spec.origin, self._tables[name])
        return spec


class _LazyLoader(importlib.machinery.SourceFileLoader):
    """Fills a package with a ``__getattr__`` instead of running its ``__init__``."""

    def __init__(self, name: str, origin: str, exports: Exports) -> None:
        super().__init__(name, origin)
        self._exports = exports

    def exec_module(self, module: ModuleType) -> None:
        """Give the package its names without importing what they stand for."""
        exports = self._exports
        package = module.__name__
        depth = len(package) + 1
        children = {
            source[depth:].split(".")[0]: f"{package}.{source[depth:].split('.')[0]}"
            for source, _ in exports.names.values()
            if source.startswith(f"{package}.")
        }

        def resolve(name: str) -> object:
            value: object
            if name in exports.names:
                source, original = exports.names[name]
                value = getattr(importlib.import_module(source), original)
            elif name in children:
                value = importlib.import_module(children[name])
            else:
                raise AttributeError(f"module {package!r} has no attribute {name!r}")
            setattr(module, name, value)
            return value

        vars(module).update(exports.assigned)
        vars(module).setdefault("__all__", sorted(exports.names))
        vars(module)["__getattr__"] = resolve
        vars(module)["__dir__"] = lambda: sorted({*vars(module), *exports.names})
