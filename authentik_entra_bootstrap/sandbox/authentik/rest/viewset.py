"""View sets: what a resource answers, in the order in which Django REST framework looks at a request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from authentik_entra_bootstrap.sandbox.authentik.rest import listing
from authentik_entra_bootstrap.sandbox.authentik.rest.errors import (
    NotFound,
    PermissionDenied,
    ValidationError,
)
from authentik_entra_bootstrap.sandbox.authentik.rest.rbac import Rights
from authentik_entra_bootstrap.sandbox.authentik.rest.relations import read_uuid
from authentik_entra_bootstrap.sandbox.authentik.rest.replies import JSON, Reply

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.rest.model import Model
    from authentik_entra_bootstrap.sandbox.authentik.rest.serializer import Serializer
    from authentik_entra_bootstrap.sandbox.authentik.state import Record, State

Handler = Callable[["Context"], Reply | Awaitable[Reply]]

VERBS = {"GET": "view", "POST": "add", "PUT": "change", "PATCH": "change", "DELETE": "delete"}
STANDARD = ("list", "create", "retrieve", "update", "partial_update", "destroy")
METHOD_OF = {
    "list": "GET",
    "create": "POST",
    "retrieve": "GET",
    "update": "PUT",
    "partial_update": "PATCH",
    "destroy": "DELETE",
}


@dataclass(frozen=True)
class Action:
    """One call of a view beside the standard six.

    :param handler: gets the context; path parts are in ``ctx.kwargs``.
    :param url: path behind the list's or the object's address, such as ``sync/status``.
    :param permission: needed globally; ``None`` leaves it to the method (GET free, POST ``add_…``).
    :param public: whether any valid token will do.
    """

    name: str
    method: str
    handler: Handler
    detail: bool = False
    url: str = ""
    permission: str | None = None
    public: bool = False
    parses: Sequence[str] = (JSON,)
    renders: Sequence[str] = (JSON,)
    request: Serializer | None = None
    response: Mapping[str, Any] = field(default_factory=dict)
    """The reply's schema for the API description; empty for no body."""
    status: int = 200
    operation_id: str = ""
    """In the API description, where the usual rule does not give it."""
    doc: str = ""
    """Shown by OPTIONS; the view's own when left out."""

    @property
    def path(self) -> str:
        """The address part, the name when no other was given."""
        return self.url or self.name


class View:
    """One address family without a model: a few actions on one path.

    :param path: below ``/api/v3/``, without slashes at the ends.
    :param title: shown by OPTIONS.
    :param anonymous: whether it answers without any token.
    :param slash: what the address ends in; a few addresses of older releases lack the slash.
    """

    model: Model | None = None

    def __init__(
        self,
        state: State,
        path: str,
        *,
        title: str,
        doc: str = "",
        actions: Sequence[Action] = (),
        anonymous: bool = False,
        slash: str = "/",
    ) -> None:
        self.slash = slash
        self.state = state
        self.path = path
        self.title = title
        self.doc = doc
        self.actions = list(actions)
        self.anonymous = anonymous

    def check_permissions(self, ctx: Context, method: str, action: Action | None) -> None:  # noqa: ARG002
        """Refuse before the handler is even looked for.

        :raises PermissionDenied: for a caller without the action's permission.
        """
        if action is not None and action.permission and not action.public:
            self.rights(ctx).need(action.permission)

    def rights(self, ctx: Context) -> Rights:
        """The caller's rights."""
        return Rights(self.state, ctx.user)


class ModelView(View):
    """The standard calls on a model.

    :param standard: which of list, create, retrieve, update, partial_update, destroy exist.
    :param lookup: the column that the address holds.
    :param lookup_name: its name in the API description.
    :param search: columns that ``search`` looks into, or what is found by way of a row.
    :param ordering: the order when the request asks for none.
    :param owner: column that holds the owner's key; owners see and change their own.
    :param create_free: whether creation needs no permission.
    """

    def __init__(
        self,
        state: State,
        path: str,
        model: Model,
        *,
        title: str = "",
        doc: str = "",
        standard: Sequence[str] = STANDARD,
        actions: Sequence[Action] = (),
        lookup: str = "",
        lookup_name: str = "",
        filters: Mapping[str, listing.Filter] | None = None,
        search: Sequence[listing.Column] = (),
        ordering: Sequence[str] = (),
        owner: str = "",
        create_free: bool = False,
        serializer: Serializer | None = None,
        used_by: Callable[[Record, Context], list[Record]] | None = None,
    ) -> None:
        super().__init__(state, path, title=title or spaced(model.class_name), doc=doc, actions=actions)
        self.doc = doc or f"{model.class_name} Viewset"
        self.model: Model = model
        self.serializer = serializer or model.serializer
        self.standard = tuple(standard)
        self.lookup = lookup or model.table.key
        self.lookup_name = lookup_name or ("id" if model.key_kind == "integer" else "uuid")
        self.filters = dict(filters or {})
        self.search = tuple(search)
        self.ordering = tuple(ordering)
        self.owner = owner
        self.create_free = create_free
        self._used_by = used_by
        if used_by is not None:
            self.actions.append(
                Action(
                    name="used_by",
                    method="GET",
                    handler=self.used_by,
                    detail=True,
                    doc="Get a list of all objects that use this object",
                    response={"type": "array", "items": {"$ref": "#/components/schemas/UsedBy"}},
                )
            )

    # -- permissions -------------------------------------------------------------------------------

    def permission(self, verb: str) -> str:
        """``app.verb_model``."""
        return f"{self.model.app}.{verb}_{self.model.model_name}"

    def check_permissions(self, ctx: Context, method: str, action: Action | None) -> None:
        """Model permissions for addresses without an object; objects are checked when they are read."""
        super().check_permissions(ctx, method, action)
        if ctx.kwargs or (action is not None and action.public):
            return
        verb = VERBS.get(method)
        if verb in {None, "view"} or (verb == "add" and self.create_free):
            return
        if action is None or not action.permission:
            self.rights(ctx).need(self.permission(str(verb)))

    def visible(self, ctx: Context) -> list[Record]:
        """The rows that the caller may see.

        :raises PermissionDenied: when there is none and the caller has no global permission; the accounts of
            outposts are told that there is none.
        """
        rows, rights = self.model.rows(), self.rights(ctx)
        permission = self.permission("view")
        if rights.has(permission):
            return rows
        if self.owner and ctx.user:
            return [row for row in rows if row.get(self.owner) == ctx.user["pk"]]
        allowed = [row for row in rows if rights.has(permission, row[self.model.table.key])]
        outpost = ctx.user is not None and ctx.user["type"] == "internal_service_account"
        if not allowed and not outpost:
            raise PermissionDenied
        return allowed

    def get_object(self, ctx: Context, method: str | None = None, *, visible: bool = True) -> Record:
        """The row that the address names, if the caller may do this to it.

        :param visible: whether the caller must be allowed to see it as well.
        :raises NotFound: when there is no such row, or a malformed key.
        """
        text = ctx.kwargs["lookup"]
        if self.lookup == self.model.table.key:
            self._check_key(text)
        rows = self.visible(ctx) if visible else self.model.rows()
        for row in rows:
            if str(row.get(self.lookup)) == text:
                self._check_object(ctx, row, method or (ctx.request.method if ctx.request else "GET"))
                return row
        raise NotFound(f"No {self.model.class_name} matches the given query.")

    def _check_key(self, text: str) -> None:
        try:
            if self.model.key_kind == "integer":
                int(text)
            else:
                read_uuid(text)
        except (ValueError, ValidationError):
            raise NotFound from None

    def _check_object(self, ctx: Context, row: Record, method: str) -> None:
        verb = VERBS.get(method, "view")
        if verb == "view" or (self.owner and ctx.user and row.get(self.owner) == ctx.user["pk"]):
            return
        self.rights(ctx).need(self.permission(verb), row[self.model.table.key])

    # -- standard calls ----------------------------------------------------------------------------

    def select(self, rows: list[Record], ctx: Context) -> list[Record]:
        """Filter, search and order."""
        rows = listing.apply_filters(rows, self.filters, ctx)
        asked = ctx.request.param("ordering") if ctx.request else ""
        known = {own.column for own in self.serializer.readable.values()} | set(self.serializer.readable)
        wanted = [part.strip() for part in asked.split(",")]
        wanted = [part for part in wanted if part.lstrip("-") in known]
        rows = listing.order(rows, wanted or self.ordering)
        return listing.search(rows, self.search, ctx.request.param("search") if ctx.request else "")

    def list_(self, ctx: Context) -> Reply:
        """GET on the list."""
        page = listing.paginate(self.select(self.visible(ctx), ctx), ctx)
        return Reply(page.envelope([self.serializer.show(row, ctx) for row in page.rows]))

    def create(self, ctx: Context) -> Reply:
        """POST on the list."""
        assert ctx.request is not None  # noqa: S101 - views are only reached by requests
        values = self.serializer.validate(ctx.request.data, ctx)
        record = self.perform_create(values, ctx)
        return Reply(self.serializer.show(record, ctx), 201)

    def perform_create(self, values: dict[str, Any], ctx: Context) -> Record:
        """Store a validated new object."""
        return self.model.create(values, ctx)

    def retrieve(self, ctx: Context) -> Reply:
        """GET on an object."""
        return Reply(self.serializer.show(self.get_object(ctx), ctx))

    def update(self, ctx: Context) -> Reply:
        """PUT on an object."""
        return self._change(ctx, partial=False)

    def partial_update(self, ctx: Context) -> Reply:
        """PATCH on an object."""
        return self._change(ctx, partial=True)

    def _change(self, ctx: Context, *, partial: bool) -> Reply:
        assert ctx.request is not None  # noqa: S101 - views are only reached by requests
        record = self.get_object(ctx)
        values = self.serializer.validate(ctx.request.data, ctx, instance=record, partial=partial)
        self.model.update(record, values, ctx)
        return Reply(self.serializer.show(record, ctx))

    def destroy(self, ctx: Context) -> Reply:
        """DELETE on an object."""
        self.model.delete(self.get_object(ctx), ctx)
        return Reply(status=204)

    def used_by(self, ctx: Context) -> Reply:
        """Who points to the object, as far as the caller may see them."""
        record, rights = self.get_object(ctx, "GET"), self.rights(ctx)
        entries = self._used_by(record, ctx) if self._used_by else []
        return Reply(
            [one for one in entries if rights.has(f"{one['app']}.view_{one['model_name']}", one["pk"])]
        )


def spaced(name: str) -> str:
    """``MicrosoftEntraProvider`` as ``Microsoft Entra Provider``, ``sync_status`` as ``Sync status``."""
    if "_" in name or name.islower():
        return name.replace("_", " ").capitalize()
    words = ""
    for index, letter in enumerate(name):
        words += f" {letter}" if index and letter.isupper() and not name[index - 1].isupper() else letter
    return words
