"""Blueprint instances and their import."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import yaml

from authentik_entra_bootstrap.sandbox.authentik.rest import filters
from authentik_entra_bootstrap.sandbox.authentik.rest.bodies import MULTIPART, Reply
from authentik_entra_bootstrap.sandbox.authentik.rest.errors import Rejected, ServerCrash, ValidationError
from authentik_entra_bootstrap.sandbox.authentik.rest.fields import (
    Boolean,
    Choice,
    Dictionary,
    Moment,
    Text,
    Uuid,
    ref,
)
from authentik_entra_bootstrap.sandbox.authentik.rest.model import Model, Serializer
from authentik_entra_bootstrap.sandbox.authentik.rest.relations import TextList
from authentik_entra_bootstrap.sandbox.authentik.rest.views import Action, ModelView, View

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.state import Record, State

BLUEPRINT = "authentik_blueprints.blueprintinstance"
STATUSES = ("successful", "warning", "error", "orphaned", "unknown")
NO_FILE = "Blueprint file does not exist"


class TagBlindLoader(yaml.SafeLoader):
    """Reads blueprints for their model names only: every custom tag is nothing."""


TagBlindLoader.add_multi_constructor("!", lambda _loader, _suffix, _node: None)


def models_in(content: str) -> list[tuple[str, str]]:
    """Id and model of every entry of a blueprint; an entry without an id is called ``null``.

    :raises ServerCrash: for YAML that cannot be read.
    """
    try:
        data = yaml.load(content, Loader=TagBlindLoader)  # a SafeLoader
    except yaml.YAMLError:
        raise ServerCrash from None
    entries = data.get("entries") if isinstance(data, dict) else None
    if isinstance(entries, dict):
        entries = [row for section in entries.values() if isinstance(section, list) for row in section]
    rows = entries if isinstance(entries, list) else []
    entries = [row for row in rows if isinstance(row, dict) and "model" in row]
    return [(str(row.get("id") or "null"), str(row["model"])) for row in entries]


def check_instance(values: dict[str, Any], _instance: Record | None, _ctx: Context) -> None:
    """Something to apply must be in the request itself, also where a PATCH leaves it as it is.

    :raises ValidationError: when neither is.
    """
    if not values.get("path") and not values.get("content"):
        raise ValidationError("Either path or content must be set.")


def existing_path(value: str, _instance: Record | None, ctx: Context) -> None:
    """Refuse the path of a file that authentik does not have.

    :raises ValidationError: for it.
    """
    if value and not value.startswith("oci://") and ctx.state.tables["blueprint"].find(path=value) is None:
        raise ValidationError(NO_FILE)


def sound_content(value: str, instance: Record | None, ctx: Context) -> None:
    """Validate a blueprint's text with the context that is stored already: none for a new instance.

    :raises ValidationError: with the importer's lines.
    """
    valid, lines = ctx.state.blueprints.validate(value, instance["context"] if instance else {}, ctx)
    if not valid:
        raise ValidationError(["Failed to validate blueprint", *(f"- {line}" for line in lines)])


def blueprint_serializer() -> Serializer:
    """The instance."""
    return Serializer(
        "BlueprintInstance",
        {
            "pk": Uuid(read_only=True),
            "name": Text(unique=("blueprint", "Blueprint Instance with this name already exists.")),
            "path": Text(blank=True, default="", validators=[existing_path]),
            "context": Dictionary(default=dict),
            "last_applied": Moment(read_only=True),
            "last_applied_hash": Text(read_only=True, default=""),
            "status": Choice(
                choices=STATUSES, enum="BlueprintInstanceStatusEnum", default="unknown", read_only=True
            ),
            "enabled": Boolean(default=True),
            "managed_models": TextList(read_only=True, default=list),
            "metadata": Dictionary(read_only=True, default=dict),
            "content": Text(blank=True, default="", validators=[sound_content]),
        },
        check=check_instance,
    )


def blueprint_saved(record: Record, ctx: Context, _created: bool) -> None:
    """``last_applied`` moves with every save, whatever its name says."""
    record["last_applied"] = ctx.state.now()


class BlueprintView(ModelView):
    """The instances' calls."""

    def apply(self, ctx: Context) -> Reply:
        """Queue the application; the answer shows the instance as it is before."""
        record = self.get_object(ctx)
        shown = self.serializer.show(record, ctx)
        ctx.state.worker.apply_blueprint(record["pk"])
        return Reply(shown)

    def import_(self, ctx: Context) -> Reply:
        """Apply an uploaded file at once, without an instance; refusals answer 200 as well."""
        content = uploaded(ctx.data)
        for entry, label in models_in(content):
            app, _, model = label.partition(".")
            if not all(ctx.rights.has(f"{app}.{verb}_{model}") for verb in ("add", "change", "delete")):
                raise Rejected({entry: f"User lacks permission to create {label}"}, 403)
        # Releases before 2026.8 ignore the form's field.
        newest = ctx.state.profile.at_least("2026.8")
        context = uploaded_context(ctx.data.get("context") if newest else None)
        success, logs = ctx.state.blueprints.apply(content, context, ctx)
        return Reply({"logs": logs, "success": success})


def uploaded(data: Any) -> str:
    """The text of the uploaded file; the sandbox has none of authentik's own files.

    :raises ValidationError: for a form without a file.
    :raises ServerCrash: for a file that is no text.
    """
    if "path" in data and "file" not in data:
        raise ValidationError({"path": NO_FILE})
    if "file" not in data:
        raise ValidationError({"file": "No file was submitted."})
    if not isinstance(data["file"], bytes):
        text = "The submitted data was not a file. Check the encoding type on the form."
        raise ValidationError({"file": text})
    if not data["file"]:
        raise ValidationError({"file": "The submitted file is empty."})
    try:
        return str(data["file"].decode())
    except UnicodeDecodeError:
        raise ServerCrash from None


def uploaded_context(text: str | None) -> Record:
    """The context that comes with an upload.

    :raises ValidationError: for what is no JSON object.
    """
    if not text:
        return {}
    try:
        found: Record = json.loads(text)
    except ValueError:
        raise ValidationError({"context": "Value must be valid JSON."}) from None
    if not isinstance(found, dict):
        raise ValidationError({"context": "Value must be a dictionary, and not have any duplicate keys."})
    return found


def content_hash(text: str) -> str:
    """The hash under which an applied blueprint is remembered: SHA-512 in hex."""
    return hashlib.sha512(text.encode()).hexdigest()


def views(state: State) -> list[View]:
    """The addresses of this module; registers its model."""
    model = Model(
        state=state,
        label=BLUEPRINT,
        table_name="blueprint",
        serializer=blueprint_serializer(),
        verbose_name="Blueprint Instance",
        saved=blueprint_saved,
        extra={"last_applied": state.now},
    )
    view = BlueprintView(
        path="managed/blueprints",
        model=model,
        lookup_name="instance_uuid",
        filters=filters.exact("name", "path"),
        search=["name", "path"],
        ordering=["name"],
    )
    view.actions = [
        Action("apply", "POST", view.apply, "apply", detail=True, response=ref("BlueprintInstance"))
    ]
    if state.profile.blueprint_import:
        names = ("file", "path", *(["context"] if state.profile.at_least("2026.8") else []))
        upload = Serializer("BlueprintUpload", {name: Text(required=False) for name in names})
        result = ref("BlueprintImportResult")
        view.actions.append(
            Action(
                "import_",
                "POST",
                view.import_,
                "import",
                parses=(MULTIPART,),
                request=upload,
                response=result,
            )
        )
    return [view]
