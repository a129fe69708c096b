"""Addresses: which view and which action answer a path and a method."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from authentik_entra_bootstrap.sandbox.authentik.rest.errors import MethodNotAllowed
from authentik_entra_bootstrap.sandbox.authentik.rest.viewset import (
    METHOD_OF,
    STANDARD,
    Action,
    ModelView,
    View,
    spaced,
)

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.rest.replies import Reply


@dataclass
class Route:
    """One address with everything it answers.

    :param view: whose it is.
    :param calls: method to action; standard calls stand there as actions too.
    """

    view: View
    pattern: str
    detail: bool
    suffix: str
    calls: dict[str, Action] = field(default_factory=dict)

    @property
    def allow(self) -> str:
        """The ``Allow`` header."""
        names = [name for name in ("GET", "POST", "PUT", "PATCH", "DELETE") if name in self.calls]
        return ", ".join([*names, *(["HEAD"] if "GET" in self.calls else []), "OPTIONS"])

    @property
    def title(self) -> str:
        """The name that OPTIONS shows: an action's own, or that of the view with what the address is."""
        if not self.view.model:
            return self.view.title
        return f"{self.view.title} {self.suffix}" if self.suffix in {"List", "Instance"} else self.suffix

    @property
    def doc(self) -> str:
        """The description that OPTIONS shows."""
        return next((action.doc for action in self.calls.values() if action.doc), self.view.doc)


def routes_of(view: View) -> list[Route]:
    """The addresses of a view, in the router's order: list, its actions, object, its actions."""
    if not isinstance(view, ModelView):
        return _action_routes(view, detail=False)
    routes = []
    for detail, names in ((False, STANDARD[:2]), (True, STANDARD[2:])):
        route = Route(
            view, view.path + ("/{lookup}" if detail else ""), detail, "Instance" if detail else "List"
        )
        for name in names:
            if name in view.standard:
                status = {"create": 201, "destroy": 204}.get(name, 200)
                action = Action(
                    name,
                    METHOD_OF[name],
                    getattr(view, "list_" if name == "list" else name),
                    detail,
                    status=status,
                )
                route.calls[METHOD_OF[name]] = action
        if detail:
            routes += _action_routes(view, detail=False)
        if route.calls:
            routes.append(route)
    return routes + _action_routes(view, detail=True)


def _action_routes(view: View, *, detail: bool) -> list[Route]:
    routes: dict[str, Route] = {}
    for action in view.actions:
        if action.detail is not detail:
            continue
        middle = "/{lookup}" if detail else ""
        tail = (
            f"/{action.path}" if view.model is not None else ("" if action.url == "." else f"/{action.path}")
        )
        pattern = view.path + middle + tail
        route = routes.setdefault(pattern, Route(view, pattern, detail, spaced(action.name)))
        route.calls[action.method] = action
    return list(routes.values())


async def call(route: Route, ctx: Context, method: str) -> Reply:
    """Check permissions, find the handler, run it.

    :raises MethodNotAllowed: for a method without a handler, after the permissions.
    """
    action = route.calls.get("GET" if method == "HEAD" else method)
    route.view.check_permissions(ctx, method, action)
    if action is None:
        raise MethodNotAllowed(method)
    result = action.handler(ctx)
    return await result if inspect.isawaitable(result) else result
