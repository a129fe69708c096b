"""From the directory's objects to replies: selection, expansion, lists, pages, contexts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from authentik_entra_bootstrap.sandbox.microsoft.graph.authorize import authorize
from authentik_entra_bootstrap.sandbox.microsoft.graph.call import (
    NO_CONTENT,
    PRINCIPALS,
    Call,
    Reader,
    Reply,
    related,
)
from authentik_entra_bootstrap.sandbox.microsoft.graph.errors import not_served
from authentik_entra_bootstrap.sandbox.microsoft.graph.model import (
    APP_POLICY,
    DIRECTORY_OBJECT,
    ENTITIES,
    EntityType,
)
from authentik_entra_bootstrap.sandbox.microsoft.graph.paths import PROPERTY, Key, Route, no_segment
from authentik_entra_bootstrap.sandbox.microsoft.graph.query import Query
from authentik_entra_bootstrap.sandbox.microsoft.graph.validation import spelling
from authentik_entra_bootstrap.sandbox.store import Object

EXPANDED = 20
"""Objects that ``$expand`` returns of a relation."""


def reader_for(call: Call) -> Reader:
    """Where a list is read: advanced queries read an index that is as stale as the slowest replica."""
    if not call.query.advanced:
        return call.view
    return call.directory.as_of(call.now - timedelta(seconds=call.world.switches.lag))


def public(entity: EntityType, value: Object, select: Sequence[str] | None = None) -> dict[str, Any]:
    """An object as Graph shows it: nothing private, no secret, the selected or default properties."""
    full = {**entity.empty(), **{name: item for name, item in value.items() if not name.startswith("_")}}
    if select is None and entity.by_default is not None:
        select = entity.by_default
    shown = {name: full[name] for name in select if name in full} if select is not None else full
    if "keyCredentials" in shown and (select is None or "keyCredentials" not in select):
        # The public key itself is returned only to those who ask for the property by name.
        shown["keyCredentials"] = [{**key, "key": None} for key in shown["keyCredentials"]]
    if shown.get("passwordProfile") is not None:
        shown["passwordProfile"] = None
    return {
        name: item for name, item in shown.items() if item is not None or not entity.props[name].endswith("!")
    }


def present(call: Call, entity: EntityType, value: Object, query: Query) -> dict[str, Any]:
    """An object with selection and expansion.

    :raises GraphError: 400 for unknown properties or relations.
    """
    result = public(entity, value, query.select(entity))
    for relation, inner in query.expand(entity).items():
        found = related(call.view, value, entity.relations[relation])[:EXPANDED]
        result[relation] = [_expanded(kind, item, inner) for kind, item in found]
    return result


def _expanded(kind: str, value: Object, query: Query) -> dict[str, Any]:
    """One object of a relation: with its type only where the relation holds several."""
    if kind in PRINCIPALS:
        return present_member(kind, value, query)
    return public(APP_POLICY, value, query.select(APP_POLICY))


def present_member(kind: str, value: Object, query: Query) -> dict[str, Any]:
    """An object in a list of mixed types: with its type, and only the selected properties that it has."""
    entity = ENTITIES[kind]
    chosen = query.select(DIRECTORY_OBJECT)
    select = None if chosen is None else [name for name in chosen if name in entity.props]
    return {"@odata.type": f"#microsoft.graph.{kind}", **public(entity, value, select)}


def entity_reply(
    call: Call, entity: EntityType, value: Object, *, status: int = 200, context: str = ""
) -> Reply:
    """One entity.

    :param context: what stands behind ``$metadata#``, when it is not the entity's collection.
    """
    shown = present(call, entity, value, call.query)
    names = call.query.select(entity)
    selected = f"({','.join(names)})" if names else ""
    place = context or f"{entity.path}{selected}/$entity"
    return Reply(status, {"@odata.context": f"{call.base}/$metadata#{place}", **shown})


def property_reply(call: Call, entity: EntityType, read: Callable[[], Object]) -> Reply:
    """One property of an object, addressed by the last segment: ``/servicePrincipals/{id}/appRoles``.

    :param read: gives the object.
    :raises GraphError: 400 for a segment that is no property.
    """
    given = call.keys[-1].value
    name = spelling(given, entity.props)
    if name is None or call.keys[-1].name != "id":
        raise no_segment(given)
    value = read()
    shown = public(entity, value, [name]).get(name)
    if shown is None:
        return NO_CONTENT
    context = {"@odata.context": f"{call.base}/$metadata#{entity.path}('{value['id']}')/{name}"}
    return Reply(200, {**context, **(shown if isinstance(shown, dict) else {"value": shown})})


def list_reply(call: Call, entity: EntityType, items: list[Object], *, context: str = "") -> Reply:
    """A page of a collection, with ``@odata.count`` and ``@odata.nextLink``."""
    query = call.query
    left = query.filtered(items, entity)
    page, token = query.page(left)
    return _collection(
        call, entity, context, [present(call, entity, item, query) for item in page], len(left), token
    )


def members_reply(call: Call, items: list[tuple[str, Object]]) -> Reply:
    """The same for a collection of mixed types."""
    query = call.query
    kinds = {item["id"]: kind for kind, item in items}
    left = query.filtered([item for _, item in items], DIRECTORY_OBJECT)
    page, token = query.page(left)
    shown = [present_member(kinds[item["id"]], item, query) for item in page]
    return _collection(call, DIRECTORY_OBJECT, "", shown, len(left), token)


def _collection(
    call: Call, entity: EntityType, context: str, shown: list[dict[str, Any]], total: int, token: str | None
) -> Reply:
    query = call.query
    names = query.select(entity)
    selected = f"({','.join(names)})" if names else ""
    body: dict[str, Any] = {"@odata.context": f"{call.base}/$metadata#{context or entity.path}{selected}"}
    if query.count and query.eventual and query.first_page:
        body["@odata.count"] = total
    if token is not None:
        body["@odata.nextLink"] = f"{call.base}/{call.path.lstrip('/')}?{query.next_query(token)}"
    body["value"] = shown
    return Reply(200, body)


def no_delta(_: Call) -> Reply:
    """Delta queries are not part of the sandbox, and it says so instead of taking ``delta`` for an id.

    :raises GraphError: 501, always.
    """
    raise not_served("delta queries")


def read_routes(
    entity: EntityType, read_one: Callable[[Call, Key], Object] | None = None
) -> list[Route[Call]]:
    """The routes that read a kind of object: the list, one, one of its properties; and what delta queries hear.

    :param read_one: where more than the operation ``<kind>.read`` decides who may read one.
    """
    kind, path, operation = entity.name, entity.path, f"{entity.name}.read"

    def listed(call: Call) -> Reply:
        authorize(call.caller, operation)
        return list_reply(call, entity, reader_for(call).all(kind))

    def read(call: Call) -> Object:
        return read_one(call, call.keys[0]) if read_one else call.read(kind, call.keys[0], operation)

    return [
        Route("GET", path, listed),
        Route("GET", f"{path}/{{{kind}}}", lambda call: entity_reply(call, entity, read(call))),
        Route(
            "GET",
            f"{path}/{{{kind}}}/{PROPERTY}",
            lambda call: property_reply(call, entity, lambda: read(call)),
        ),
        Route("GET", f"{path}/delta", no_delta),
    ]
