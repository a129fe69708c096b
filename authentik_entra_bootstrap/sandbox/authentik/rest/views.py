"""View sets: what a resource answers, in the order in which Django REST framework looks at a request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from authentik_entra_bootstrap.sandbox.authentik.rest import filters
from authentik_entra_bootstrap.sandbox.authentik.rest.bodies import JSON, Reply
from authentik_entra_bootstrap.sandbox.authentik.rest.errors import (
    ApiError,
    NotFound,
    PermissionDenied,
    ValidationError,
)
from authentik_entra_bootstrap.sandbox.authentik.rest.fields import Shape, read_uuid
from authentik_entra_bootstrap.sandbox.authentik.rest.filters import Column, Filter

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.rest.model import Model, Serializer
    from authentik_entra_bootstrap.sandbox.authentik.state import Record

Handler = Callable[["Context"], Reply | Awaitable[Reply]]

VERBS = {"GET": "view", "HEAD": "view", "POST": "add", "PUT": "change", "PATCH": "change", "DELETE": "delete"}
STANDARD = {
    "list": "GET",
    "create": "POST",
    "retrieve": "GET",
    "update": "PUT",
    "partial_update": "PATCH",
    "destroy": "DELETE",
}
"""The standard calls of a model's view, with their methods; the first two are those of the list."""


@dataclass(frozen=True)
class Action:
    """One call of a view.

    :param url: path behind the list's or the object's address, such as ``sync/status``.
    :param detail: whether it is a call on an object, whose key is in ``ctx.lookup``.
    :param permission: needed globally; without one the method decides (GET free, POST ``add_…``).
    :param public: whether any valid token will do.
    """

    name: str
    method: str
    handler: Handler
    url: str = ""
    detail: bool = False
    permission: str = ""
    public: bool = False
    parses: Sequence[str] = (JSON,)
    request: Serializer | None = None
    response: Shape | None = None
    """The reply in the API description; ``None`` for no body."""
    status: int = 200
    operation_id: str = ""
    """In the API description, where the usual rule does not give it."""


@dataclass
class Route:
    """One address with everything it answers.

    :param calls: method to action; standard calls are actions too.
    """

    view: View
    pattern: str
    detail: bool
    calls: dict[str, Action] = field(default_factory=dict)

    @property
    def allow(self) -> str:
        """The ``Allow`` header."""
        names = [name for name in ("GET", "POST", "PUT", "PATCH", "DELETE") if name in self.calls]
        return ", ".join([*names, *(["HEAD"] if "GET" in self.calls else []), "OPTIONS"])


@dataclass(kw_only=True)
class View:
    """One address family without a model: a few actions.

    :param path: below ``/api/v3/``, without slashes at the ends.
    :param anonymous: whether it answers without any token.
    """

    path: str
    actions: Sequence[Action] = ()
    anonymous: bool = False

    def check_permissions(self, ctx: Context, _method: str, action: Action | None) -> None:
        """Refuse before the handler is even looked for.

        :raises PermissionDenied: for a caller without the action's permission.
        """
        if action is not None and action.permission and not action.public:
            ctx.rights.need(action.permission)

    def routes(self) -> list[Route]:
        """The addresses of the view."""
        return self._action_routes(detail=False)

    def _action_routes(self, *, detail: bool) -> list[Route]:
        routes: dict[str, Route] = {}
        for action in self.actions:
            if action.detail is detail:
                parts = (self.path, "{lookup}" if detail else "", action.url)
                pattern = "/".join(filter(None, parts))
                routes.setdefault(pattern, Route(self, pattern, detail)).calls[action.method] = action
        return list(routes.values())

    def options(self, _ctx: Context, _route: Route) -> dict[str, Any]:
        """What OPTIONS shows of the fields that the caller may write: nothing without a model."""
        return {}


@dataclass(kw_only=True)
class ModelView(View):
    """The standard calls on a model.

    :param standard: which of :data:`STANDARD` exist.
    :param lookup: the column that the address holds; the key of the model's table when left out.
    :param lookup_name: its name in the API description.
    :param search: columns that ``search`` looks into.
    :param ordering: the order when the request asks for none.
    :param owner: column that holds the owner's key; owners see and change their own.
    :param create_free: whether creation needs no permission.
    """

    model: Model
    standard: Sequence[str] = tuple(STANDARD)
    lookup: str = ""
    lookup_name: str = ""
    filters: Mapping[str, Filter] = field(default_factory=dict)
    search: Sequence[Column] = ()
    ordering: Sequence[str] = ()
    owner: str = ""
    create_free: bool = False

    def __post_init__(self) -> None:
        self.serializer = self.model.serializer
        self.lookup = self.lookup or self.model.table.key
        self.lookup_name = self.lookup_name or ("id" if self.model.key_kind == "integer" else "uuid")

    def routes(self) -> list[Route]:
        """The addresses in the router's order: list, its actions, object, its actions."""
        lists, objects = Route(self, self.path, False), Route(self, f"{self.path}/{{lookup}}", True)
        for name in self.standard:
            detail = name not in {"list", "create"}
            method, status = STANDARD[name], {"create": 201, "destroy": 204}.get(name, 200)
            handler = getattr(self, "list_" if name == "list" else name)
            action = Action(name, method, handler, detail=detail, status=status)
            (objects if detail else lists).calls[method] = action
        routes = [lists, *self._action_routes(detail=False), objects, *self._action_routes(detail=True)]
        return [route for route in routes if route.calls]

    # -- permissions -------------------------------------------------------------------------------

    def check_permissions(self, ctx: Context, method: str, action: Action | None) -> None:
        """Model permissions for addresses without an object; objects are checked when they are read."""
        super().check_permissions(ctx, method, action)
        if ctx.lookup is not None or (action is not None and (action.public or action.permission)):
            return
        verb = VERBS.get(method, "view")
        if verb != "view" and not (verb == "add" and self.create_free):
            ctx.rights.need(self.model.permission(verb))

    def options(self, ctx: Context, route: Route) -> dict[str, Any]:
        """The fields of the calls that the caller may do, each with its rules."""
        fields = {
            name: {"required": own.needed, "read_only": own.read_only}
            for name, own in self.serializer.fields.items()
        }
        found = {}
        for method in ("PUT", "POST"):
            if method not in route.calls:
                continue
            try:
                self.check_permissions(ctx, method, route.calls[method])
                if method == "PUT":
                    self.get_object(ctx, method)
            except ApiError:
                continue
            found[method] = fields
        return {"actions": found} if found else {}

    def visible(self, ctx: Context) -> list[Record]:
        """The rows that the caller may see.

        :raises PermissionDenied: when there is none and the caller has no global permission; the accounts of
            outposts are told that there is none.
        """
        rows, rights, permission = self.model.rows(), ctx.rights, self.model.permission("view")
        if rights.has(permission):
            return rows
        if self.owner and ctx.user:
            return [row for row in rows if row.get(self.owner) == ctx.user["pk"]]
        allowed = [row for row in rows if rights.has(permission, row[self.model.table.key])]
        if not allowed and (ctx.user is None or ctx.user["type"] != "internal_service_account"):
            raise PermissionDenied
        return allowed

    def get_object(self, ctx: Context, method: str = "", *, visible: bool = True) -> Record:
        """The row that the address names, if the caller may do this to it.

        :param method: what the caller needs a permission for; the request's when left out.
        :param visible: whether the caller must be allowed to see it as well.
        :raises NotFound: when there is no such row, or a malformed key.
        """
        text, key = str(ctx.lookup), self.model.table.key
        if self.lookup == key:
            try:
                int(text) if self.model.key_kind == "integer" else read_uuid(text)
            except (ValueError, ValidationError):
                raise NotFound from None
        rows = self.visible(ctx) if visible else self.model.rows()
        for row in rows:
            if str(row.get(self.lookup)) == text:
                verb = VERBS[method or ctx.method]
                own = self.owner and ctx.user and row.get(self.owner) == ctx.user["pk"]
                if verb != "view" and not own:
                    ctx.rights.need(self.model.permission(verb), row[key])
                return row
        raise NotFound(f"No {self.model.class_name} matches the given query.")

    # -- standard calls ----------------------------------------------------------------------------

    def select(self, rows: list[Record], ctx: Context) -> list[Record]:
        """Filter, order and search."""
        rows = filters.apply_filters(rows, self.filters, ctx)
        known = {own.column for own in self.serializer.readable.values()} | set(self.serializer.readable)
        asked = [part.strip() for part in ctx.param("ordering").split(",")]
        wanted = [part for part in asked if part.lstrip("-") in known]
        return filters.search(filters.order(rows, wanted or self.ordering), self.search, ctx.param("search"))

    def list_(self, ctx: Context) -> Reply:
        """GET on the list."""
        rows = self.select(self.visible(ctx), ctx)
        return Reply(filters.paginate(rows, ctx, lambda row: self.serializer.show(row, ctx)))

    def create(self, ctx: Context) -> Reply:
        """POST on the list."""
        record = self.perform_create(self.serializer.validate(ctx.data, ctx), ctx)
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
        record = self.get_object(ctx)
        values = self.serializer.validate(ctx.data, ctx, instance=record, partial=partial)
        self.model.update(record, values, ctx)
        return Reply(self.serializer.show(record, ctx))

    def destroy(self, ctx: Context) -> Reply:
        """DELETE on an object."""
        self.model.delete(self.get_object(ctx), ctx)
        return Reply(status=204)
