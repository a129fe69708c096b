"""Relations that hold objects of several types: the list, its count, and both for one type alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from authentik_entra_bootstrap.sandbox.microsoft.graph.call import Call, Reply
from authentik_entra_bootstrap.sandbox.microsoft.graph.model_more import DIRECTORY_OBJECT, ENTITIES
from authentik_entra_bootstrap.sandbox.microsoft.graph.paths import Route
from authentik_entra_bootstrap.sandbox.microsoft.graph.present import count_reply, members_reply
from authentik_entra_bootstrap.sandbox.store import Object

Find = Callable[[Call], list[tuple[str, Object]]]
"""Kind and object of everything in the relation; checks who asks."""


def listing_routes(path: str, kinds: Iterable[str], find: Find) -> list[Route[Call]]:
    """The routes of one relation.

    :param kinds: those it can hold, for addresses such as ``memberOf/microsoft.graph.group``.
    """
    own = _routes(path, "directoryObjects", find)
    return own + [route for kind in kinds for route in _of_kind(path, kind, find)]


def _of_kind(path: str, kind: str, find: Find) -> list[Route[Call]]:
    def chosen(call: Call) -> list[tuple[str, Object]]:
        return [(own, item) for own, item in find(call) if own == kind]

    return _routes(f"{path}/microsoft.graph.{kind}", ENTITIES[kind].path, chosen)


def _routes(path: str, context: str, find: Find) -> list[Route[Call]]:
    def listed(call: Call) -> Reply:
        return members_reply(call, find(call), context=context)

    def counted(call: Call) -> Reply:
        return count_reply(call, DIRECTORY_OBJECT, [item for _, item in find(call)])

    return [Route("GET", path, listed), Route("GET", f"{path}/$count", counted)]
