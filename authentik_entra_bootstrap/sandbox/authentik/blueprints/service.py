"""The blueprint importer as the API and the worker use it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from authentik_entra_bootstrap.sandbox.authentik.blueprints import loader, query
from authentik_entra_bootstrap.sandbox.authentik.blueprints.document import Blueprint, UnreadableError
from authentik_entra_bootstrap.sandbox.authentik.blueprints.importer import Importer
from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
from authentik_entra_bootstrap.sandbox.authentik.rest.errors import ServerCrash
from authentik_entra_bootstrap.sandbox.authentik.state import ImportResult, Record, State


def read_file(path: str) -> str | None:
    """The text of a file, ``None`` when it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


class BlueprintImporter:
    """Validates and applies blueprints.

    :param environment: what ``!Env`` sees; this process's environment when left out.
    :param read: what ``!File`` reads.
    :param directory: folder of blueprint files for instances that have a ``path``.
    """

    def __init__(
        self,
        state: State,
        *,
        environment: Mapping[str, str] | None = None,
        read: Callable[[str], str | None] = read_file,
        directory: Path | None = None,
    ) -> None:
        self._state = state
        self._environment = os.environ if environment is None else environment
        self._read = read
        self._directory = directory
        self._applying: list[Any] = []

    def validate(self, content: str, context: Record, ctx: Context) -> tuple[bool, list[str]]:
        """Whether the content could be applied, with the events of the log lines.

        :param context: of the instance.
        :raises ServerCrash: for YAML that cannot be read, unknown tags and wrong structure.
        """
        ctx = replace(ctx, logs=[])
        good = self._crashing(lambda: self._importer(content, context, ctx).validate())
        return good, [str(line["event"]) for line in ctx.logs]

    def apply(self, content: str, context: Record, ctx: Context) -> ImportResult:
        """Validate, then apply in one transaction.

        :raises ServerCrash: as :meth:`validate`.
        """
        ctx = replace(ctx, logs=[])

        def run() -> bool:
            importer = self._importer(content, context, ctx)
            return importer.validate() and importer.apply()

        return ImportResult(self._crashing(run), ctx.logs)

    def metadata(self, content: str) -> Record | None:
        """The blueprint's metadata: name and labels.

        :raises ServerCrash: as :meth:`validate`.
        """
        try:
            return loader.parse(content).metadata
        except UnreadableError as exc:
            raise ServerCrash(str(exc)) from exc

    def content_of(self, instance: Record) -> str | None:
        """The text of an instance: its own, else of its file; ``None`` when that cannot be read."""
        content = str(instance.get("content") or "")
        path = instance.get("path") or ""
        if content or not path:
            return content
        if self._directory is None:
            return None
        target = (self._directory / path).resolve()
        return read_file(str(target)) if target.is_relative_to(self._directory.resolve()) else None

    def bundled(self, instance: Record) -> bool:
        """Whether the instance is one of authentik's own files, which the sandbox does not hold."""
        return bool(instance.get("path")) and not instance.get("content") and self._directory is None

    def _crashing(self, work: Callable[[], bool]) -> bool:
        try:
            return work()
        except (UnreadableError, query.FieldError) as exc:
            raise ServerCrash(str(exc)) from exc

    def _importer(self, content: str, context: Record, ctx: Context) -> Importer:
        blueprint: Blueprint = loader.parse(content, context, self._defaults())
        return Importer(
            self._state,
            blueprint,
            ctx,
            environment=self._environment.get,
            read=self._read,
            nested=self._nested,
        )

    def _defaults(self) -> Record:
        models = {model.model_name: model.app for model in self._state.models.values()}
        return {
            "goauthentik.io/enterprise/licensed": self._state.licensed(),
            "goauthentik.io/rbac/models": models,
        }

    def _nested(self, instance: Record, ctx: Context) -> bool:
        """Apply an instance from within another; one that is being applied already is left alone."""
        content = self.content_of(instance)
        if content is None or not instance.get("enabled", True) or instance["pk"] in self._applying:
            return False
        self._applying.append(instance["pk"])
        try:
            return self._importer(content, instance.get("context") or {}, ctx).apply()
        finally:
            self._applying.pop()
