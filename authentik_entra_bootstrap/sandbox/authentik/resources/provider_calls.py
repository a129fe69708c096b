"""The addresses of the Microsoft Entra provider: its calls, and its two sync actions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from authentik_entra_bootstrap.sandbox.authentik.resources import usage
from authentik_entra_bootstrap.sandbox.authentik.rest import listing
from authentik_entra_bootstrap.sandbox.authentik.rest.errors import ServerCrash
from authentik_entra_bootstrap.sandbox.authentik.rest.fields import Boolean, Choice, show_moment
from authentik_entra_bootstrap.sandbox.authentik.rest.replies import Reply
from authentik_entra_bootstrap.sandbox.authentik.rest.serializer import Serializer
from authentik_entra_bootstrap.sandbox.authentik.rest.texts import Text
from authentik_entra_bootstrap.sandbox.authentik.rest.viewset import Action, ModelView

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.rest.model import Model
    from authentik_entra_bootstrap.sandbox.authentik.state import Record, State

SYNC_MODELS = ("authentik.core.models.User", "authentik.core.models.Group")
FULL_SYNC = "authentik.enterprise.providers.microsoft_entra.tasks.microsoft_entra_sync"
UNFINISHED = frozenset({"queued", "consumed", "preprocess", "running", "postprocess"})


def schedules_of(state: State, provider: Record) -> list[Record]:
    """The provider's schedules."""
    return state.tables["schedule"].where(
        rel_obj_model="microsoftentraprovider", rel_obj_id=str(provider["pk"])
    )


def sync_status(state: State, provider: Record) -> Record:
    """What ``sync/status`` shows: the last two are absent before the first sync ends."""
    found: Record = {"is_running": state.worker.is_running(provider["pk"])}
    schedules = {schedule["id"] for schedule in schedules_of(state, provider)}
    tasks = [
        task
        for task in state.tables["task"].where(actor_name=FULL_SYNC)
        if task["rel_obj_id"] in schedules and task["aggregated_status"] not in UNFINISHED
    ]
    tasks.sort(key=lambda task: task["mtime"])
    good = [task for task in tasks if task["aggregated_status"] in {"done", "info"}]
    if good:
        found["last_successful_sync"] = show_moment(good[-1]["mtime"])
    if tasks:
        found["last_sync_status"] = tasks[-1]["aggregated_status"]
    return found


class EntraView(ModelView):
    """The provider's calls and its two sync actions."""

    def __init__(self, state: State, model: Model) -> None:
        self.object_serializer = Serializer(
            "SyncObject",
            {
                "sync_object_model": Choice(
                    choices={name: name for name in SYNC_MODELS}, enum="SyncObjectModelEnum"
                ),
                "sync_object_id": Text(),
                "override_dry_run": Boolean(default=False),
            },
        )
        super().__init__(
            state,
            "providers/microsoft_entra",
            model,
            filters={
                "name": listing.exact("name"),
                "exclude_users_service_account": listing.flag("exclude_users_service_account"),
                "filter_group": listing.reference("filter_group", "group"),
            },
            search=["name"],
            ordering=["name"],
            used_by=usage.OF_PROVIDER,
            actions=[
                Action(
                    "sync_status",
                    "GET",
                    self.status,
                    doc="Get provider's sync status",
                    detail=True,
                    url="sync/status",
                    response={"$ref": "#/components/schemas/SyncStatus"},
                ),
                Action(
                    "sync_object",
                    "POST",
                    self.sync_object,
                    doc="Sync/Re-sync a single user/group object",
                    detail=True,
                    url="sync/object",
                    request=self.object_serializer,
                    response={"$ref": "#/components/schemas/SyncObjectResult"},
                ),
            ],
        )

    def status(self, ctx: Context) -> Reply:
        """Whether a sync runs and how the last one ended."""
        return Reply(sync_status(ctx.state, self.get_object(ctx)))

    async def sync_object(self, ctx: Context) -> Reply:
        """Sync one object now and wait for it.

        :raises ServerCrash: when no result came in time.
        """
        provider = self.get_object(ctx)
        values = self.object_serializer.validate(ctx.request.data if ctx.request else {}, ctx)
        outcome = await ctx.state.worker.sync_object(
            provider["pk"],
            values["sync_object_model"],
            values["sync_object_id"],
            values.get("override_dry_run", False),
        )
        if outcome.failed:
            raise ServerCrash
        return Reply({"messages": outcome.messages})
