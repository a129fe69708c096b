"""The API description, generated from the same declarations that answer requests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from authentik_entra_bootstrap.sandbox.authentik.rest.bodies import JSON
from authentik_entra_bootstrap.sandbox.authentik.rest.fields import INTEGER, STRING, Choice, Field, array, ref
from authentik_entra_bootstrap.sandbox.authentik.rest.relations import Nested
from authentik_entra_bootstrap.sandbox.authentik.rest.views import STANDARD, Action, ModelView, Route

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.fields import Shape
    from authentik_entra_bootstrap.sandbox.authentik.rest.model import Serializer
    from authentik_entra_bootstrap.sandbox.authentik.state import State

PARAMETERS: dict[str, tuple[str, Shape]] = {
    "QueryName": ("name", STRING),
    "QueryPaginationOrdering": ("ordering", STRING),
    "QueryPaginationPage": ("page", INTEGER),
    "QueryPaginationPageSize": ("page_size", INTEGER),
    "QuerySearch": ("search", STRING),
}
METHOD_VERBS = {
    "GET": "retrieve",
    "POST": "create",
    "PUT": "update",
    "PATCH": "partial_update",
    "DELETE": "destroy",
}


class Document:
    """One description in the making.

    :param state: gives the version.
    :param routes: every address of the API.
    :param fixed: components that are not made from serializers.
    """

    def __init__(self, state: State, routes: Iterable[Route], fixed: dict[str, Any]) -> None:
        self.state = state
        self.routes = list(routes)
        self.schemas: dict[str, Any] = dict(fixed)

    def build(self) -> dict[str, Any]:
        """The whole OpenAPI 3.0.3 document."""
        paths: dict[str, Any] = {}
        for route in self.routes:
            address = f"/{route.pattern}/".replace("{lookup}", "{" + _lookup(route) + "}")
            paths[address] = {
                method.lower(): self._operation(route, method, action)
                for method, action in route.calls.items()
            }
        refusals = {
            f"{name}Response": {"content": {JSON: {"schema": ref(name)}}, "description": ""}
            for name in ("ValidationError", "GenericError")
        }
        return {
            "openapi": "3.0.3",
            "info": {"title": "authentik", "version": self.state.profile.version},
            "paths": dict(sorted(paths.items())),
            "components": {
                "parameters": {
                    key: {"name": name, "in": "query", "required": False, "schema": shape}
                    for key, (name, shape) in PARAMETERS.items()
                },
                "responses": refusals,
                "schemas": dict(sorted(self.schemas.items())),
                "securitySchemes": {"authentik": {"type": "http", "scheme": "bearer"}},
            },
            "servers": [{"url": "/api/v3"}],
        }

    def _operation(self, route: Route, method: str, action: Action) -> dict[str, Any]:
        parts = [part for part in route.pattern.replace("-", "_").split("/") if "{" not in part]
        verb = action.name if action.name in STANDARD else METHOD_VERBS[method]
        if (action.response or {}).get("type") == "array":
            verb = "list"
        found: dict[str, Any] = {
            "operationId": action.operation_id or "_".join([*parts, verb]),
            "parameters": _parameters(route, action),
            "tags": [parts[0]],
            "security": [{"authentik": []}, *([{}] if route.view.anonymous else [])],
            "responses": self._responses(route, action),
        }
        serializer = action.request
        if isinstance(route.view, ModelView) and action.name in {"create", "update", "partial_update"}:
            serializer = route.view.serializer
        if serializer is not None:
            schema = ref(self._request_component(serializer, partial=method == "PATCH"))
            content = {media: {"schema": schema} for media in action.parses}
            found["requestBody"] = {"content": content, "required": True}
        return found

    def _responses(self, route: Route, action: Action) -> dict[str, Any]:
        schema = action.response
        if schema is None and isinstance(route.view, ModelView) and action.name in STANDARD:
            name = self._component(route.view.serializer)
            schema = ref(self._page(name) if action.name == "list" else name)
        good: dict[str, Any] = {"description": ""}
        if schema is not None and action.name != "destroy":
            good["content"] = {JSON: {"schema": schema}}
        return {
            str(action.status): good,
            "400": {"$ref": "#/components/responses/ValidationErrorResponse"},
            "403": {"$ref": "#/components/responses/GenericErrorResponse"},
        }

    def _page(self, name: str) -> str:
        page = f"Paginated{name}List"
        properties = {
            "pagination": ref("Pagination"),
            "results": array(ref(name)),
            "autocomplete": ref("Autocomplete"),
        }
        self.schemas[page] = {"type": "object", "properties": properties, "required": sorted(properties)}
        return page

    def _component(self, serializer: Serializer) -> str:
        if serializer.name not in self.schemas:
            self.schemas[serializer.name] = {}
            required = {key for key, own in serializer.readable.items() if own.read_only or own.needed}
            self.schemas[serializer.name] = self._object(serializer.readable, required)
        return serializer.name

    def _request_component(self, serializer: Serializer, *, partial: bool) -> str:
        name = f"{'Patched' if partial else ''}{serializer.name}Request"
        if name not in self.schemas:
            required = {key for key, own in serializer.writable.items() if own.needed and not partial}
            self.schemas[name] = self._object(serializer.writable, required)
        return name

    def _object(self, fields: dict[str, Field], required: set[str]) -> dict[str, Any]:
        properties = {name: self._property(own) for name, own in fields.items()}
        found = {"type": "object", "properties": properties}
        return found | ({"required": sorted(required)} if required else {})

    def _property(self, field: Field) -> dict[str, Any]:
        if isinstance(field, Nested):
            self._component(field.serializer)
        if isinstance(field, Choice):
            self.schemas[field.enum] = {"enum": list(field.choices), "type": "string"}
        flags = {"nullable": field.null, "readOnly": field.read_only, "writeOnly": field.write_only}
        flags = {name: True for name, value in flags.items() if value}
        schema = {"allOf": [field.schema]} if "$ref" in field.schema and flags else field.schema
        return {**schema, **flags}


def _lookup(route: Route) -> str:
    return route.view.lookup_name if isinstance(route.view, ModelView) else "id"


def _parameters(route: Route, action: Action) -> list[Any]:
    found: list[Any] = []
    view = route.view
    if route.detail:
        schema = INTEGER if isinstance(view, ModelView) and view.model.key_kind == "integer" else STRING
        found.append({"in": "path", "name": _lookup(route), "schema": schema, "required": True})
    if action.name == "list" and isinstance(view, ModelView):
        names = sorted(name for name in view.filters if name != "name")
        found += [{"in": "query", "name": name, "schema": STRING} for name in names]
        found += [{"$ref": f"#/components/parameters/{name}"} for name in PARAMETERS]
    return found
