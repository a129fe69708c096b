"""The API description, generated from the same declarations that answer requests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from authentik_entra_bootstrap.sandbox.authentik.rest.fields import Choice, Field
from authentik_entra_bootstrap.sandbox.authentik.rest.relations import Nested
from authentik_entra_bootstrap.sandbox.authentik.rest.replies import JSON
from authentik_entra_bootstrap.sandbox.authentik.rest.routes import Route
from authentik_entra_bootstrap.sandbox.authentik.rest.viewset import Action, ModelView

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.serializer import Serializer
    from authentik_entra_bootstrap.sandbox.authentik.state import State

REF = "#/components/schemas/"
PARAMETERS = {
    "QueryName": ("name", "string"),
    "QueryPaginationOrdering": ("ordering", "string"),
    "QueryPaginationPage": ("page", "integer"),
    "QueryPaginationPageSize": ("page_size", "integer"),
    "QuerySearch": ("search", "string"),
}
VERBS = {
    "list": "list",
    "create": "create",
    "retrieve": "retrieve",
    "update": "update",
    "partial_update": "partial_update",
    "destroy": "destroy",
}
METHOD_VERBS = {"GET": "retrieve", "POST": "create", "PUT": "update", "PATCH": "partial_update"}


class Document:
    """One description in the making.

    :param state: gives version and shapes.
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
            address = "/" + route.pattern.replace("{lookup}", "{" + self._lookup(route) + "}")
            address += route.view.slash
            for method, action in route.calls.items():
                paths.setdefault(address, {})[method.lower()] = self._operation(route, method, action)
        error = {"$ref": f"{REF}ValidationError"}
        generic = {"$ref": f"{REF}GenericError"}
        return {
            "openapi": "3.0.3",
            "info": {
                "title": "authentik",
                "version": self.state.profile.version,
                "description": "Making authentication simple.",
            },
            "paths": dict(sorted(paths.items())),
            "components": {
                "parameters": {key: _parameter(*value) for key, value in PARAMETERS.items()},
                "responses": {
                    "ValidationErrorResponse": {"content": {JSON: {"schema": error}}, "description": ""},
                    "GenericErrorResponse": {"content": {JSON: {"schema": generic}}, "description": ""},
                },
                "schemas": dict(sorted(self.schemas.items())),
                "securitySchemes": {"authentik": {"type": "http", "scheme": "bearer"}},
            },
            "servers": [{"url": "/api/v3"}],
        }

    def _lookup(self, route: Route) -> str:
        return route.view.lookup_name if isinstance(route.view, ModelView) else "id"

    def _operation(self, route: Route, method: str, action: Action) -> dict[str, Any]:
        view = route.view
        parts = [part for part in route.pattern.replace("-", "_").split("/") if "{" not in part]
        listed = action.name == "list" or action.response.get("type") == "array"
        verb = VERBS.get(action.name) or ("list" if listed else METHOD_VERBS.get(method, "destroy"))
        found: dict[str, Any] = {
            "operationId": action.operation_id or "_".join([*parts, verb]),
            "description": view.doc,
            "parameters": self._parameters(route, action),
            "tags": [parts[0]],
            "security": [{"authentik": []}, *([{}] if view.anonymous else [])],
            "responses": self._responses(route, action),
        }
        body = self._body(route, method, action)
        if body:
            found["requestBody"] = body
        if not found["parameters"]:
            del found["parameters"]
        return found

    def _parameters(self, route: Route, action: Action) -> list[Any]:
        found: list[Any] = []
        if route.detail:
            view = route.view
            integer = isinstance(view, ModelView) and view.model.key_kind == "integer"
            schema = {"type": "integer"} if integer else {"type": "string"}
            found.append({"in": "path", "name": self._lookup(route), "schema": schema, "required": True})
        if action.name == "list" and isinstance(route.view, ModelView):
            found += [
                {"in": "query", "name": name, "schema": {"type": "string"}}
                for name in sorted(route.view.filters)
                if name != "name"
            ]
            found += [{"$ref": f"#/components/parameters/{name}"} for name in PARAMETERS]
        return found

    def _body(self, route: Route, method: str, action: Action) -> dict[str, Any] | None:
        serializer = action.request
        if serializer is None and isinstance(route.view, ModelView) and action.name in route.view.standard:
            serializer = route.view.serializer if method in {"POST", "PUT", "PATCH"} else None
        if serializer is None:
            return None
        name = self._request_component(serializer, partial=method == "PATCH")
        content = {media: {"schema": {"$ref": f"{REF}{name}"}} for media in action.parses}
        return {"content": content, "required": True}

    def _responses(self, route: Route, action: Action) -> dict[str, Any]:
        schema: dict[str, Any] | None = dict(action.response) or None
        if schema is None and isinstance(route.view, ModelView) and action.name in route.view.standard:
            name = self._component(route.view.serializer)
            schema = {"$ref": f"{REF}{name}"}
            if action.name == "list":
                schema = {"$ref": f"{REF}{self._page(name)}"}
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
        self.schemas[page] = {
            "type": "object",
            "properties": {
                "pagination": {"$ref": f"{REF}Pagination"},
                "results": {"type": "array", "items": {"$ref": f"{REF}{name}"}},
                "autocomplete": {"$ref": f"{REF}Autocomplete"},
            },
            "required": ["autocomplete", "pagination", "results"],
        }
        return page

    def _component(self, serializer: Serializer) -> str:
        if serializer.name not in self.schemas:
            self.schemas[serializer.name] = {}
            properties = {name: self._property(field) for name, field in serializer.readable.items()}
            required = sorted(
                name for name, field in serializer.readable.items() if field.read_only or field.needed
            )
            self.schemas[serializer.name] = _object(serializer.doc, properties, required)
        return serializer.name

    def _request_component(self, serializer: Serializer, *, partial: bool) -> str:
        name = f"{'Patched' if partial else ''}{serializer.name}Request"
        if name not in self.schemas:
            properties = {key: self._property(field) for key, field in serializer.writable.items()}
            needed = sorted(key for key, field in serializer.writable.items() if field.needed)
            self.schemas[name] = _object(serializer.doc, properties, [] if partial else needed)
        return name

    def _property(self, field: Field) -> dict[str, Any]:
        if isinstance(field, Nested):
            self._component(field.serializer())
        if isinstance(field, Choice):
            self.schemas[field.enum] = {"enum": list(field.choices), "type": "string"}
        schema = field.schema()
        flags: dict[str, Any] = {}
        if field.null:
            flags["nullable"] = True
        if field.read_only:
            flags["readOnly"] = True
        if field.write_only:
            flags["writeOnly"] = True
        if field.help_text:
            flags["description"] = field.help_text
        if "$ref" in schema and flags:
            schema = {"allOf": [schema]}
        return schema | flags


def _object(doc: str, properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "object", "description": doc, "properties": properties}
    return found | ({"required": required} if required else {})


def _parameter(name: str, kind: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": {"type": kind}}
