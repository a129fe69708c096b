"""From the directory's objects to replies: selection, lists, pages, contexts."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

from authentik_entra_bootstrap.sandbox.microsoft.graph.address import Key, Route
from authentik_entra_bootstrap.sandbox.microsoft.graph.call import Call, Reply
from authentik_entra_bootstrap.sandbox.microsoft.model import DIRECTORY_OBJECT, ENTITIES, EntityType
from authentik_entra_bootstrap.sandbox.store import Object


def public(entity: EntityType, value: Object, select: Sequence[str] | None = None) -> dict[str, Any]:
    """An object as Graph shows it: nothing private, no secret, the selected or default properties."""
    full = {**entity.empty(), **{name: item for name, item in value.items() if not name.startswith("_")}}
    chosen = select if select is not None else entity.by_default
    shown = {name: full[name] for name in chosen if name in full} if chosen is not None else full
    if "keyCredentials" in shown and select is None:
        # The public key itself is returned only to those who ask for the property by name.
        shown["keyCredentials"] = [{**key, "key": None} for key in shown["keyCredentials"]]
    return {
        name: item for name, item in shown.items() if item is not None or not entity.props[name].endswith("!")
    }


def present_member(call: Call, kind: str, value: Object) -> dict[str, Any]:
    """An object in a list of mixed types: with its type, and only the selected properties that it has."""
    entity = ENTITIES[kind]
    chosen = call.query.select(DIRECTORY_OBJECT)
    select = None if chosen is None else [name for name in chosen if name in entity.props]
    return {"@odata.type": f"#microsoft.graph.{kind}", **public(entity, value, select)}


def _context(call: Call, entity: EntityType, place: str) -> str:
    names = call.query.select(entity)
    selected = f"({','.join(names)})" if names else ""
    return f"{call.base}/$metadata#{place or entity.path}{selected}"


def entity_reply(call: Call, entity: EntityType, value: Object, *, status: int = 200) -> Reply:
    """One entity."""
    shown = public(entity, value, call.query.select(entity))
    return Reply(status, {"@odata.context": f"{_context(call, entity, '')}/$entity", **shown})


def list_reply(call: Call, entity: EntityType, items: list[Object], *, place: str = "") -> Reply:
    """A page of a collection, with ``@odata.count`` and ``@odata.nextLink``.

    :param place: what the context names, when it is not the entity's collection.
    """
    select = call.query.select(entity)
    return _page(call, entity, place, items, lambda item: public(entity, item, select))


def members_reply(call: Call, items: list[tuple[str, Object]]) -> Reply:
    """The same for a collection of mixed types."""
    kinds = {item["id"]: kind for kind, item in items}
    objects = [item for _, item in items]
    return _page(
        call, DIRECTORY_OBJECT, "", objects, lambda item: present_member(call, kinds[item["id"]], item)
    )


def _page(
    call: Call,
    entity: EntityType,
    place: str,
    items: list[Object],
    show: Callable[[Object], dict[str, Any]],
) -> Reply:
    query = call.query
    left = query.filtered(items, entity)
    page, token = query.page(left)
    body: dict[str, Any] = {"@odata.context": _context(call, entity, place)}
    if query.counts:
        body["@odata.count"] = len(left)
    if token is not None:
        body["@odata.nextLink"] = f"{call.base}/{call.path.lstrip('/')}?{query.next_query(token)}"
    body["value"] = [show(copy.deepcopy(item)) for item in page]
    return Reply(200, body)


def read_routes(entity: EntityType, read_one: Callable[[Call, Key], Object] | None = None) -> list[Route]:
    """The routes that read a kind of object: the list, one, one of its properties.

    :param read_one: where more than the operation ``<kind>.read`` decides who may read one.
    """
    kind, path, operation = entity.name, entity.path, f"{entity.name}.read"

    def listed(call: Call) -> Reply:
        call.authorize(operation)
        return list_reply(call, entity, call.view.shared(kind))

    def read(call: Call) -> Object:
        return read_one(call, call.keys[0]) if read_one else call.read(kind, call.keys[0], operation)

    one = f"{path}/{{{kind}}}"
    return [
        Route("GET", path, listed),
        Route("GET", one, lambda call: entity_reply(call, entity, read(call))),
    ]
