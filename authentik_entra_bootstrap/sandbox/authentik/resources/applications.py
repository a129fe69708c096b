"""Applications: backchannel providers that move, deletions that cascade, a list that is cached."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from authentik_entra_bootstrap.sandbox.authentik.resources import common, usage
from authentik_entra_bootstrap.sandbox.authentik.resources.providers import LABEL as PROVIDER
from authentik_entra_bootstrap.sandbox.authentik.resources.providers import provider_serializer
from authentik_entra_bootstrap.sandbox.authentik.rest import listing
from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
from authentik_entra_bootstrap.sandbox.authentik.rest.errors import (
    NotFound,
    Rejected,
    ValidationError,
)
from authentik_entra_bootstrap.sandbox.authentik.rest.fields import Boolean, Choice, Plain, Uuid
from authentik_entra_bootstrap.sandbox.authentik.rest.model import Model
from authentik_entra_bootstrap.sandbox.authentik.rest.rbac import groups_of
from authentik_entra_bootstrap.sandbox.authentik.rest.relations import ManyRelated, Nested, Related
from authentik_entra_bootstrap.sandbox.authentik.rest.replies import Reply
from authentik_entra_bootstrap.sandbox.authentik.rest.serializer import Serializer
from authentik_entra_bootstrap.sandbox.authentik.rest.texts import Slug, Text, Url
from authentik_entra_bootstrap.sandbox.authentik.rest.viewset import Action, ModelView, View

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.state import Record, State

LABEL = "authentik_core.application"
RESERVED = ("authorize", "token", "device", "userinfo", "introspect", "revoke")
ENGINE_MODES = {"all": "all, all policies must pass", "any": "any, any policy must pass"}
SEARCHED = ("name", "slug", "meta_launch_url", "meta_description", "meta_publisher", "group")


def not_reserved(value: Any, ctx: Context) -> None:  # noqa: ARG001 - the signature of all validators
    """Refuse slugs that are addresses of authentik's OAuth endpoints.

    :raises ValidationError: for one of them.
    """
    if value in RESERVED:
        raise ValidationError(f"The slug '{value}' is reserved and cannot be used for applications.")


def backchannel_rows(record: Record, ctx: Context) -> list[Record]:
    """The providers whose application this is."""
    return ctx.state.tables["provider"].where(backchannel_application=record["pk"])


def main_provider(record: Record, ctx: Context) -> Record | None:
    """The application's main provider."""
    return ctx.state.tables["provider"].get(record["provider"])


def one_application(value: Any, instance: Record | None, ctx: Context) -> None:
    """A main provider belongs to one application.

    :raises ValidationError: when another has it.
    """
    key = value.get("provider")
    other = ctx.state.tables["application"].find(provider=key) if key else None
    if other is not None and (instance is None or other["pk"] != instance["pk"]):
        raise ValidationError({"provider": ["Application with this provider already exists."]})


def remember_backchannel(state: State, record: Record, keys: list[int]) -> None:  # noqa: ARG001
    """Keep the wanted providers until the application itself is saved."""
    record["_backchannel"] = keys


def saved(record: Record, ctx: Context, created: bool) -> None:  # noqa: ARG001 - the signature of all
    """Forget cached lists when an application is new."""
    if created:
        ctx.state.application_cache.clear()


def attach(record: Record, ctx: Context) -> None:
    """Move the wanted providers here and let go of the others: no event of theirs, and no sync.

    A provider that another application has is taken from it without a word.
    """
    wanted = record.pop("_backchannel", None)
    if wanted is None:
        return
    for provider in backchannel_rows(record, ctx):
        provider["backchannel_application"] = None
    for key in wanted:
        ctx.state.tables["provider"].rows[key]["backchannel_application"] = record["pk"]


def deleting(record: Record, ctx: Context) -> None:
    """The application's backchannel providers and its policy bindings go with it."""
    for provider in backchannel_rows(record, ctx):
        ctx.state.models[PROVIDER].delete(provider, ctx)
    for binding in ctx.state.tables["binding"].where(target=record["pk"]):
        ctx.state.tables["binding"].remove(binding["pk"])
    for cached in ctx.state.application_cache.values():
        cached[:] = [row for row in cached if row["pk"] != record["pk"]]


def serializer_for(state: State) -> Serializer:
    """The application with the fields of the state's release."""
    profile = state.profile
    base, full = provider_serializer(base=True), provider_serializer()
    null_string = common.NULLABLE_STRING
    return Serializer(
        "Application",
        {
            "pk": Uuid(read_only=True, label="Pbm uuid"),
            "name": Text(),
            "slug": Slug(
                unique="Application with this slug already exists.",
                unique_table="application",
                validators=[not_reserved],
            ),
            "provider": Related(table="provider", integer=True, null=True, default=None),
            "provider_obj": Nested(serializer=lambda: full, get=main_provider),
            "backchannel_providers": ManyRelated(
                table="provider",
                integer=True,
                default=list,
                get=lambda record, ctx: [row["pk"] for row in backchannel_rows(record, ctx)],
                put=remember_backchannel,
            ),
            "backchannel_providers_obj": Nested(serializer=lambda: base, many=True, get=backchannel_rows),
            "launch_url": Plain(shape=null_string, get=lambda record, _: record["meta_launch_url"] or None),
            "open_in_new_tab": Boolean(default=False),
            "meta_launch_url": Url(blank=True, default=""),
            "meta_icon": Text(blank=True, default=""),
            "meta_icon_url": Plain(shape=null_string, get=lambda record, _: record["meta_icon"] or None),
            "meta_icon_themed_urls": Plain(
                shape={"allOf": [{"$ref": "#/components/schemas/ThemedUrls"}], "nullable": True},
                get=lambda record, ctx: None,  # noqa: ARG005
            ),
            "meta_description": Text(blank=True, default=""),
            "meta_publisher": Text(blank=True, default=""),
            "policy_engine_mode": Choice(choices=ENGINE_MODES, enum="PolicyEngineMode", default="any"),
            "group": Text(blank=True, default=""),
            "meta_hide": Boolean(default=False) if profile.application_meta_hide else None,
            "pbm_uuid": Uuid(read_only=True) if profile.application_pbm_uuid else None,
        },
        check=one_application,
    )


def may_use(state: State, application: Record, user: Record) -> bool:
    """What the policy engine says: everybody without bindings, else the bound users and groups."""
    bindings = [row for row in state.tables["binding"].where(target=application["pk"]) if row["enabled"]]
    if not bindings:
        return True
    groups = {group["pk"] for group in groups_of(state, user)}
    results = [(row["user"] == user["pk"] or row["group"] in groups) is not row["negate"] for row in bindings]
    return all(results) if application["policy_engine_mode"] == "all" else any(results)


class ApplicationView(ModelView):
    """The application's calls; its list looks at policies instead of permissions."""

    def __init__(self, state: State, model: Model) -> None:
        super().__init__(
            state,
            "core/applications",
            model,
            lookup="slug",
            lookup_name="slug",
            filters={name: listing.exact(name) for name in SEARCHED},
            search=SEARCHED,
            ordering=["name"],
            used_by=usage.OF_APPLICATION,
            actions=[
                Action(
                    "check_access",
                    "GET",
                    self.check_access,
                    doc="Check access to a single application by slug",
                    detail=True,
                    public=True,
                    response={"$ref": "#/components/schemas/PolicyTestResult"},
                )
            ],
        )

    def list_(self, ctx: Context) -> Reply:
        """The caller's applications, from the cache of this page: filters only change the numbers.

        Superusers get the true list with ``superuser_full_list=true``; a search is never cached.
        """
        assert ctx.request is not None  # noqa: S101 - views are only reached by requests
        assert ctx.user is not None  # noqa: S101 - no anonymous access here
        request, user = ctx.request, ctx.user
        if request.param("superuser_full_list").lower() == "true" and self.rights(ctx).superuser:
            return super().list_(ctx)
        page = listing.paginate(self.select(self.model.rows(), ctx), ctx)
        if "for_user" in request.params:
            user = self._other_user(ctx, ["Invalid input."])
            rows = [row for row in page.rows if may_use(self.state, row, user)]
        elif request.param("search"):
            rows = [row for row in page.rows if may_use(self.state, row, user)]
        else:
            rows = self._cached((user["pk"], page.number), page.rows, user)
        return Reply(page.envelope([self.serializer.show(row, ctx) for row in rows]))

    def _cached(self, key: tuple[int, int], rows: list[Record], user: Record) -> list[Record]:
        cache = self.state.application_cache
        if not cache.get(key):
            cache[key] = [copy.copy(row) for row in rows if may_use(self.state, row, user)]
        return cache[key]

    def _other_user(self, ctx: Context, malformed: Any) -> Record:
        """The user whom ``for_user`` names.

        :param malformed: body of the refusal of what is no number.
        :raises Rejected: for nobody, and for somebody whose applications the caller may not see.
        """
        text = ctx.request.param("for_user") if ctx.request else ""
        try:
            user = self.state.tables["user"].get(int(text))
        except ValueError:
            raise Rejected(malformed) from None
        if user is None or not self.rights(ctx).has("authentik_core.view_user_applications", user["pk"]):
            raise Rejected({"for_user": "User not found"})
        return user

    def check_access(self, ctx: Context) -> Reply:
        """Whether the caller (or, for superusers, ``for_user``) may use the application."""
        assert ctx.user is not None  # noqa: S101 - no anonymous access here
        application = self.model.table.find(slug=ctx.kwargs["lookup"])
        if application is None:
            raise NotFound("No Application matches the given query.")
        user = ctx.user
        if ctx.request and self.rights(ctx).superuser and "for_user" in ctx.request.params:
            user = self._other_user(ctx, {"for_user": "for_user must be numerical"})
        passing = may_use(self.state, application, user)
        return Reply({"passing": passing, "messages": [], "log_messages": []})


def views(state: State) -> list[View]:
    """The addresses of this module; registers its model."""
    model = Model(
        state=state,
        label=LABEL,
        class_name="Application",
        table_name="application",
        serializer=serializer_for(state),
        verbose_name="Application",
        before_create=lambda record, ctx: record.update(pbm_uuid=record["pk"]),  # noqa: ARG005
        saved=saved,
        after_audit=attach,
        deleting=deleting,
    )
    state.models[LABEL] = model
    return [ApplicationView(state, model)]
