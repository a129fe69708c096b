"""Applications: backchannel providers that move, deletions that cascade, a list that is cached."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from authentik_entra_bootstrap.sandbox.authentik.resources.providers import (
    LABEL as PROVIDER,
)
from authentik_entra_bootstrap.sandbox.authentik.resources.providers import (
    USED_BY,
    provider_serializer,
    used_by,
)
from authentik_entra_bootstrap.sandbox.authentik.rest import filters
from authentik_entra_bootstrap.sandbox.authentik.rest.bodies import Reply
from authentik_entra_bootstrap.sandbox.authentik.rest.context import groups_of
from authentik_entra_bootstrap.sandbox.authentik.rest.errors import ValidationError
from authentik_entra_bootstrap.sandbox.authentik.rest.fields import (
    NULLABLE_STRING,
    Boolean,
    Choice,
    Text,
    Uuid,
    computed,
    ref,
    slug,
    url,
)
from authentik_entra_bootstrap.sandbox.authentik.rest.model import Model, Serializer
from authentik_entra_bootstrap.sandbox.authentik.rest.relations import ManyRelated, Nested, Related, row_of
from authentik_entra_bootstrap.sandbox.authentik.rest.views import Action, ModelView, View

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.state import Record, State

LABEL = "authentik_core.application"
RESERVED = ("authorize", "token", "device", "userinfo", "introspect", "revoke")
SEARCHED = ("name", "slug", "meta_launch_url", "meta_description", "meta_publisher", "group")


def not_reserved(value: str, _instance: Record | None, _ctx: Context) -> None:
    """Refuse slugs that are addresses of authentik's OAuth endpoints.

    :raises ValidationError: for one of them.
    """
    if value in RESERVED:
        raise ValidationError(f"The slug '{value}' is reserved and cannot be used for applications.")


def backchannel_rows(record: Record, ctx: Context) -> list[Record]:
    """The providers whose application this is."""
    return ctx.state.tables["provider"].where(backchannel_application=record["pk"])


def one_application(values: dict[str, Any], instance: Record | None, ctx: Context) -> None:
    """A main provider belongs to one application.

    :raises ValidationError: when another has it.
    """
    key = values.get("provider")
    other = ctx.state.tables["application"].find(provider=key) if key else None
    if other is not None and other is not instance:
        raise ValidationError({"provider": "Application with this provider already exists."})


def remember_backchannel(_state: State, record: Record, keys: list[int]) -> None:
    """Keep the wanted providers until the application itself is saved."""
    record["_backchannel"] = keys


def saved(_record: Record, ctx: Context, created: bool) -> None:
    """Forget cached lists when an application is new."""
    if created:
        ctx.state.application_cache.clear()


def attach(record: Record, ctx: Context) -> None:
    """Move the wanted providers to this application and detach the others. Neither writes an event or starts a sync.

    A provider of another application is taken from that application.
    """
    wanted = record.pop("_backchannel", None)
    if wanted is None:
        return
    for provider in backchannel_rows(record, ctx):
        provider["backchannel_application"] = None
    for key in wanted:
        ctx.state.tables["provider"].rows[key]["backchannel_application"] = record["pk"]


def deleting(record: Record, ctx: Context) -> None:
    """Delete the application's backchannel providers and its bindings."""
    for provider in backchannel_rows(record, ctx):
        ctx.state.models[PROVIDER].delete(provider, ctx)
    ctx.state.tables["binding"].remove_where(target=record["pk"])
    for cached in ctx.state.application_cache.values():
        cached[:] = [row for row in cached if row["pk"] != record["pk"]]


def serializer_for(state: State) -> Serializer:
    """The application with the fields of the state's release."""
    newest = state.profile.at_least("2026.8")
    return Serializer(
        "Application",
        {
            "pk": Uuid(read_only=True),
            "name": Text(),
            "slug": slug(
                unique=("application", "Application with this slug already exists."),
                validators=[not_reserved],
            ),
            "provider": Related(table="provider", integer=True, null=True, default=None),
            "provider_obj": Nested(serializer=provider_serializer(), get=row_of("provider")),
            "backchannel_providers": ManyRelated(
                table="provider",
                integer=True,
                default=list,
                get=lambda record, ctx: [row["pk"] for row in backchannel_rows(record, ctx)],
                put=remember_backchannel,
            ),
            "backchannel_providers_obj": Nested(
                serializer=provider_serializer(base=True), many=True, get=backchannel_rows
            ),
            "launch_url": computed(NULLABLE_STRING, lambda record, _ctx: record["meta_launch_url"] or None),
            "open_in_new_tab": Boolean(default=False),
            "meta_launch_url": url(blank=True, default=""),
            "meta_icon": Text(blank=True, default=""),
            "meta_icon_url": computed(NULLABLE_STRING, lambda record, _ctx: record["meta_icon"] or None),
            "meta_icon_themed_urls": computed({"allOf": [ref("ThemedUrls")], "nullable": True}),
            "meta_description": Text(blank=True, default=""),
            "meta_publisher": Text(blank=True, default=""),
            "policy_engine_mode": Choice(choices=("all", "any"), enum="PolicyEngineMode", default="any"),
            "group": Text(blank=True, default=""),
            "meta_hide": Boolean(default=False) if newest else None,
            "pbm_uuid": Uuid(read_only=True) if newest else None,
        },
        check=one_application,
    )


def may_use(state: State, application: Record, user: Record) -> bool:
    """What the policy engine says: all users without bindings, else the bound users and groups."""
    bindings = [row for row in state.tables["binding"].where(target=application["pk"]) if row["enabled"]]
    groups = {group["pk"] for group in groups_of(state, user)}
    results = [(row["user"] == user["pk"] or row["group"] in groups) is not row["negate"] for row in bindings]
    return not results or (all if application["policy_engine_mode"] == "all" else any)(results)


class ApplicationView(ModelView):
    """The application's calls; its list looks at policies instead of permissions."""

    def list_(self, ctx: Context) -> Reply:
        """The caller's applications, from the cache of this page: filters only change the numbers.

        Superusers get the true list with ``superuser_full_list=true``; a search is never cached.
        """
        if ctx.param("superuser_full_list").lower() == "true" and ctx.rights.superuser:
            return super().list_(ctx)
        user = ctx.user or {}
        body = filters.paginate(self.select(self.model.rows(), ctx), ctx, lambda row: row)
        usable = [row for row in body["results"] if may_use(ctx.state, row, user)]
        if not ctx.param("search"):
            cache, key = ctx.state.application_cache, (user["pk"], body["pagination"]["current"])
            usable = cache[key] = cache.get(key) or [copy.copy(row) for row in usable]
        return Reply(body | {"results": [self.serializer.show(row, ctx) for row in usable]})

    def used_by(self, ctx: Context) -> Reply:
        """What points to the application, as far as the caller may see it."""
        record, tables = self.get_object(ctx, "GET"), ctx.state.tables
        providers, bindings = backchannel_rows(record, ctx), tables["binding"].where(target=record["pk"])
        return used_by(
            ctx,
            ("authentik_core.provider", providers, "cascade"),
            ("authentik_policies.policybinding", bindings, "cascade"),
        )


def views(state: State) -> list[View]:
    """The addresses of this module; registers its model."""
    model = Model(
        state=state,
        label=LABEL,
        serializer=serializer_for(state),
        before_create=lambda record, _ctx: record.update(pbm_uuid=record["pk"]),
        saved=saved,
        after_audit=attach,
        deleting=deleting,
    )
    view = ApplicationView(
        path="core/applications",
        model=model,
        lookup="slug",
        lookup_name="slug",
        filters=filters.exact(*SEARCHED),
        search=SEARCHED,
        ordering=["name"],
    )
    view.actions = [Action("used_by", "GET", view.used_by, "used_by", detail=True, response=USED_BY)]
    return [view]
