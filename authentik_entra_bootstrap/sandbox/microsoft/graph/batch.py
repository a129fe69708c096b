"""``POST /$batch``: up to twenty requests in one, each with its own outcome."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from authentik_entra_bootstrap.sandbox.microsoft.graph.call import Reply
from authentik_entra_bootstrap.sandbox.microsoft.graph.errors import GraphError, malformed, method_not_allowed
from authentik_entra_bootstrap.sandbox.microsoft.graph.service import (
    Request,
    error_reply,
    perform,
    transport_headers,
)
from authentik_entra_bootstrap.sandbox.microsoft.graph.validation import parse_json
from authentik_entra_bootstrap.sandbox.microsoft.tokens import Caller
from authentik_entra_bootstrap.sandbox.requestlog import note_write
from authentik_entra_bootstrap.sandbox.world import World

MOST = 20
_METHODS = frozenset({"GET", "POST", "PATCH", "PUT", "DELETE"})


def run_batch(world: World, caller: Caller, request: Request) -> Reply:
    """Run a batch: 200 whenever it can be read, whatever becomes of its parts.

    A part whose prerequisite failed is answered 424.

    :raises GraphError: 400 for a batch that cannot be read, 405 for another method than POST.
    """
    if request.method != "POST":
        raise method_not_allowed()
    items = _checked(parse_json(request.body, request.headers.get("content-type", "")))
    if any(item["method"] != "GET" for item in items):
        note_write()
    done: dict[str, Reply] = {}
    answers: list[dict[str, Any]] = []
    for item in _in_order(items):
        own_id = world.guid("request")
        failed = any(done[name.lower()].status >= 400 for name in item["dependsOn"])
        part = _part(item)
        if failed:
            error = GraphError(
                424, "FailedDependency", "The request has not been executed: a request it depends on failed."
            )
            reply = error_reply(world, error, own_id, part.headers)
        else:
            reply = perform(world, caller, part, own_id)
        done[item["id"].lower()] = reply
        answers.append(_answer(item["id"], reply, transport_headers(reply, own_id, part.headers)))
    return Reply(200, {"responses": answers})


def _checked(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The batch's items in one form.

    :raises GraphError: 400.
    """
    requests = body.get("requests")
    if not isinstance(requests, list) or not requests:
        raise malformed("Invalid batch payload format.")
    if len(requests) > MOST:
        raise malformed(f"Number of batch request steps exceeds the maximum value of {MOST}.")
    items = [_item(entry) for entry in requests]
    ids = [item["id"].lower() for item in items]
    if len(set(ids)) != len(ids):
        raise malformed("Invalid batch payload format: request ids must be unique.")
    for item in items:
        if any(name.lower() not in ids for name in item["dependsOn"]):
            raise malformed(
                f"Invalid batch payload format: request id : {item['id']} depends on an unknown request."
            )
    return items


def _item(entry: object) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise malformed("Invalid batch payload format.")
    if isinstance(entry.get("id"), int) and not isinstance(entry["id"], bool):
        # Some clients number their requests (pnp/cli-microsoft365#5885); the answer has text.
        entry = {**entry, "id": str(entry["id"])}
    if not all(isinstance(entry.get(name), str) for name in ("id", "method", "url")):
        raise malformed("Invalid batch payload format.")
    headers = entry.get("headers") or {}
    depends = entry.get("dependsOn") or []
    if not isinstance(headers, Mapping) or not isinstance(depends, list):
        raise malformed("Invalid batch payload format.")
    lower = {str(name).lower(): str(value) for name, value in headers.items()}
    method = entry["method"].upper()
    if method not in _METHODS or not entry["id"]:
        raise malformed("Invalid batch payload format.")
    has_body = entry.get("body") is not None
    if has_body and "content-type" not in lower:
        raise malformed(f"Write request id : {entry['id']} does not contain Content-Type header or body.")
    return {
        "id": entry["id"],
        "method": method,
        "url": entry["url"],
        "headers": lower,
        "dependsOn": [str(name) for name in depends],
        "body": json.dumps(entry["body"]).encode() if has_body else b"",
    }


def _in_order(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The items with every prerequisite before what needs it.

    :raises GraphError: 400 for a circle.
    """
    ordered: list[dict[str, Any]] = []
    ready: set[str] = set()
    waiting = list(items)
    while waiting:
        possible = [item for item in waiting if all(name.lower() in ready for name in item["dependsOn"])]
        if not possible:
            raise malformed("Invalid batch payload format: the dependencies form a circle.")
        first = possible[0]
        ordered.append(first)
        ready.add(first["id"].lower())
        waiting.remove(first)
    return ordered


def _part(item: dict[str, Any]) -> Request:
    path, _, query = item["url"].partition("?")
    return Request(item["method"], path, query, item["headers"], item["body"])


def _answer(item_id: str, reply: Reply, headers: dict[str, str]) -> dict[str, Any]:
    answer: dict[str, Any] = {"id": item_id, "status": reply.status, "headers": headers}
    if reply.body is not None:
        answer["body"] = reply.body
    return answer
