"""Blueprint instances and their import."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from authentik_entra_bootstrap.sandbox.authentik.resources import common
from authentik_entra_bootstrap.sandbox.authentik.rest import listing
from authentik_entra_bootstrap.sandbox.authentik.rest.errors import (
    Rejected,
    ServerCrash,
    ValidationError,
)
from authentik_entra_bootstrap.sandbox.authentik.rest.fields import (
    Boolean,
    Choice,
    Dictionary,
    Moment,
    Uuid,
)
from authentik_entra_bootstrap.sandbox.authentik.rest.model import Model
from authentik_entra_bootstrap.sandbox.authentik.rest.relations import TextList
from authentik_entra_bootstrap.sandbox.authentik.rest.replies import MULTIPART, Reply
from authentik_entra_bootstrap.sandbox.authentik.rest.serializer import Serializer
from authentik_entra_bootstrap.sandbox.authentik.rest.texts import Text
from authentik_entra_bootstrap.sandbox.authentik.rest.viewset import Action, ModelView, View

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.state import Record, State

BLUEPRINT = "authentik_blueprints.blueprintinstance"
STATUSES = ("successful", "warning", "error", "orphaned", "unknown")


EMPTY = "version: 1\nentries: []\n"
"""Stands for the files that come with authentik, whose objects are there already."""


class TagBlindLoader(yaml.SafeLoader):
    """Reads blueprints for their model names only: every custom tag is nothing."""


TagBlindLoader.add_multi_constructor("!", lambda loader, suffix, node: None)  # noqa: ARG005 - the loader's signature


def models_in(content: str) -> list[tuple[str, str]]:
    """Id and model of every entry of a blueprint; an entry without an id is called ``null``.

    :raises ServerCrash: for YAML that cannot be read.
    """
    try:
        data = yaml.load(content, Loader=TagBlindLoader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError:
        raise ServerCrash from None
    entries = data.get("entries") if isinstance(data, dict) else None
    if isinstance(entries, dict):
        entries = [row for section in entries.values() if isinstance(section, list) for row in section]
    rows = entries if isinstance(entries, list) else []
    entries = [row for row in rows if isinstance(row, dict) and "model" in row]
    return [(str(row.get("id") or "null"), str(row["model"])) for row in entries]


def check_instance(values: dict[str, Any], instance: Record | None, ctx: Context) -> None:  # noqa: ARG001
    """Something to apply must be in the request itself, also where a PATCH leaves it as it is.

    :raises ValidationError: when neither is.
    """
    if not values.get("path") and not values.get("content"):
        raise ValidationError("Either path or content must be set.")


def existing_path(value: str, ctx: Context) -> None:
    """Refuse the path of a file that authentik does not have.

    :raises ValidationError: for it.
    """
    if value and not value.startswith("oci://") and ctx.state.tables["blueprint"].find(path=value) is None:
        raise ValidationError("Blueprint file does not exist")


@dataclass(kw_only=True)
class Content(Text):
    """A blueprint's text, validated with the context that is stored already: none for a new instance."""

    def check(self, value: Any, instance: Record | None, ctx: Context) -> None:
        """The importer's lines say what is wrong."""
        super().check(value, instance, ctx)
        valid, lines = ctx.state.blueprints.validate(value, instance["context"] if instance else {}, ctx)
        if not valid:
            raise ValidationError(["Failed to validate blueprint", *(f"- {line}" for line in lines)])


def blueprint_serializer() -> Serializer:
    """The instance."""
    return Serializer(
        "BlueprintInstance",
        {
            "pk": Uuid(read_only=True, label="Instance uuid"),
            "name": Text(
                unique="Blueprint Instance with this name already exists.", unique_table="blueprint"
            ),
            "path": Text(blank=True, default="", validators=[existing_path]),
            "context": Dictionary(default=dict),
            "last_applied": Moment(read_only=True),
            "last_applied_hash": Text(read_only=True, default=""),
            "status": Choice(
                choices=common.choices(STATUSES),
                enum="BlueprintInstanceStatusEnum",
                default="unknown",
                read_only=True,
            ),
            "enabled": Boolean(default=True),
            "managed_models": TextList(read_only=True, default=list),
            "metadata": Dictionary(read_only=True, default=dict),
            "content": Content(blank=True, default=""),
        },
        check=check_instance,
    )


def blueprint_saved(record: Record, ctx: Context, created: bool) -> None:  # noqa: ARG001
    """``last_applied`` moves with every save, whatever its name says."""
    record["last_applied"] = ctx.state.now()


class BlueprintView(ModelView):
    """The instances' calls."""

    def __init__(self, state: State, model: Model) -> None:
        actions = [
            Action(
                "available",
                "GET",
                self.available,
                doc="Get blueprints",
                response={"type": "array", "items": {"$ref": "#/components/schemas/BlueprintFile"}},
            ),
            Action(
                "apply",
                "POST",
                self.apply,
                doc="Apply a blueprint",
                detail=True,
                response={"$ref": "#/components/schemas/BlueprintInstance"},
            ),
        ]
        if state.profile.blueprint_import:
            upload: dict[str, Any] = {"file": Text(required=False), "path": Text(required=False)}
            if state.profile.blueprint_import_context:
                upload["context"] = Text(required=False)
            actions.append(
                Action(
                    "import_",
                    "POST",
                    self.import_,
                    doc="Import blueprint from .yaml file and apply it once, without creating an instance",
                    url="import",
                    parses=(MULTIPART,),
                    request=Serializer("BlueprintUpload", upload),
                    response={"$ref": "#/components/schemas/BlueprintImportResult"},
                )
            )
        super().__init__(
            state,
            "managed/blueprints",
            model,
            doc="Blueprint instances",
            lookup_name="instance_uuid",
            filters={"name": listing.exact("name"), "path": listing.exact("path")},
            search=["name", "path"],
            ordering=["name"],
            actions=actions,
        )

    def available(self, ctx: Context) -> Reply:  # noqa: ARG002 - the signature of all handlers
        """The files that come with authentik, for anybody with a token."""
        rows = [row for row in self.model.rows() if row["path"] and not row["path"].startswith("oci://")]
        return Reply(
            [
                {
                    "path": row["path"],
                    "last_m": "1980-01-01T00:00:00Z",
                    "hash": row["last_applied_hash"],
                    "meta": row["metadata"],
                }
                for row in rows
            ]
        )

    def apply(self, ctx: Context) -> Reply:
        """Queue the application; the answer shows the instance as it is before."""
        record = self.get_object(ctx)
        shown = self.serializer.show(record, ctx)
        ctx.state.worker.apply_blueprint(record["pk"])
        return Reply(shown)

    def import_(self, ctx: Context) -> Reply:
        """Apply an uploaded file at once, without an instance; refusals answer 200 as well."""
        data = ctx.request.data if ctx.request else {}
        content = self._content(data, ctx)
        rights = self.rights(ctx)
        for entry, label in models_in(content):
            app, _, model = label.partition(".")
            if not all(rights.has(f"{app}.{verb}_{model}") for verb in ("add", "change", "delete")):
                raise Rejected({entry: f"User lacks permission to create {label}"}, 403)
        result = ctx.state.blueprints.apply(content, self._context(data), ctx)
        return Reply({"logs": result.logs, "success": result.success})

    def _content(self, data: Any, ctx: Context) -> str:
        if not isinstance(data, dict) or not ("file" in data or data.get("path")):
            raise ValidationError({"file": ["No file was submitted."]})
        if "file" not in data:
            row = ctx.state.tables["blueprint"].find(path=data["path"])
            if row is None:
                raise ValidationError({"path": ["Blueprint file does not exist"]})
            return str(row["content"]) or EMPTY
        if not isinstance(data["file"], bytes):
            text = "The submitted data was not a file. Check the encoding type on the form."
            raise ValidationError({"file": [text]})
        if not data["file"]:
            raise ValidationError({"file": ["The submitted file is empty."]})
        try:
            return data["file"].decode()
        except UnicodeDecodeError:
            raise ServerCrash from None

    def _context(self, data: Any) -> Record:
        if not self.state.profile.blueprint_import_context or not data.get("context"):
            return {}
        try:
            found = json.loads(data["context"])
        except ValueError:
            raise ValidationError({"context": ["Value must be valid JSON."]}) from None
        if not isinstance(found, dict):
            text = "Value must be a dictionary, and not have any duplicate keys."
            raise ValidationError({"context": [text]})
        return found


def content_hash(text: str) -> str:
    """The hash under which an applied blueprint is remembered: SHA-512 in hex."""
    return hashlib.sha512(text.encode()).hexdigest()


def views(state: State) -> list[View]:
    """The addresses of this module; registers its model."""
    model = Model(
        state=state,
        label=BLUEPRINT,
        class_name="BlueprintInstance",
        table_name="blueprint",
        serializer=blueprint_serializer(),
        verbose_name="Blueprint Instance",
        title=lambda record: f"Blueprint Instance {record['name']}",
        saved=blueprint_saved,
        extra={"last_applied": state.now},
    )
    state.models[model.label] = model
    return [BlueprintView(state, model)]
