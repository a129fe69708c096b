"""``/groups``: create, upsert, read, change, delete."""

from __future__ import annotations

import re
from typing import Any

from authentik_entra_bootstrap.sandbox.microsoft.graph.authorize import authorize
from authentik_entra_bootstrap.sandbox.microsoft.graph.call import NO_CONTENT, Call, Reply
from authentik_entra_bootstrap.sandbox.microsoft.graph.directory import check_name_free, deletion_route
from authentik_entra_bootstrap.sandbox.microsoft.graph.errors import (
    bad_request,
    invalid_value,
    required_value,
)
from authentik_entra_bootstrap.sandbox.microsoft.graph.model import GROUP
from authentik_entra_bootstrap.sandbox.microsoft.graph.paths import Route
from authentik_entra_bootstrap.sandbox.microsoft.graph.present import entity_reply, read_routes
from authentik_entra_bootstrap.sandbox.microsoft.graph.relations import (
    add_members,
    initial_members,
    initial_owners,
    members_operation,
)
from authentik_entra_bootstrap.sandbox.microsoft.graph.validation import BIND, check_entity, require
from authentik_entra_bootstrap.sandbox.store import Object

KIND = "group"
_NICKNAME = re.compile(r"[!-~]*\Z")
_FORBIDDEN = set("@()\\[]\";:<>,/' ")


def _check(props: dict[str, Any]) -> None:
    nickname = props.get("mailNickname")
    if nickname is not None and (not _NICKNAME.match(nickname) or set(nickname) & _FORBIDDEN):
        raise invalid_value("mailNickname", GROUP.label)
    if props.get("mailEnabled") and "Unified" not in props.get("groupTypes", ()):
        raise bad_request(
            "The service does not currently support writes of mail-enabled groups. Please ensure that the "
            "mail-enablement property is unset and the security-enablement property is set."
        )


def _create(call: Call) -> Reply:
    authorize(call.caller, "group.create")
    return _make(call, call.json())


def _make(call: Call, body: dict[str, Any]) -> Reply:
    checked = check_entity(GROUP, body, binds=("owners", "members"))
    props = checked.props
    if props.get("isAssignableToRole"):
        authorize(call.caller, "group.create.privileged")
    require(props, GROUP.label, "displayName", "mailNickname")
    for name in ("mailEnabled", "securityEnabled"):
        if props.get(name) is None:
            raise required_value(name, GROUP.label)
    _check(props)
    if not props["securityEnabled"] and not props["mailEnabled"]:
        raise invalid_value("securityEnabled", GROUP.label)
    if props.get("uniqueName") == "":
        raise invalid_value("uniqueName", GROUP.label)
    if props.get("uniqueName"):
        check_name_free(call, KIND, props["uniqueName"])
    base = call.new_object()
    created: Object = {
        **GROUP.empty(),
        **base,
        "renewedDateTime": base["createdDateTime"],
        **props,
        "_owners": initial_owners(call, checked.binds.get("owners")),
        "_members": initial_members(call, checked.binds.get("members", [])),
    }
    call.directory.put(KIND, created["id"], created)
    return entity_reply(call, GROUP, created, status=201)


def _update(call: Call) -> Reply:
    """``PATCH``: by ``uniqueName`` with ``Prefer: create-if-missing`` it also creates; adds bound members."""
    new = call.missing(KIND, "uniqueName", GROUP.label)
    if new is not None:
        return _make(call, new)
    body = call.json()
    names = {name for name in body if not name.startswith("@odata.")}
    only_members = names == {f"members{BIND}"}
    target = call.target(KIND, call.keys[0], "group.members.write" if only_members else "group.update")
    if str(body.get("id")).lower() == target["id"]:
        body = {
            name: value for name, value in body.items() if name != "id"
        }  # naming what the path names changes nothing
    checked = check_entity(GROUP, body, binds=("members",))
    props = checked.props
    if "displayName" in props:
        require(props, GROUP.label, "displayName")
    _check({"groupTypes": target.get("groupTypes") or [], **props})
    before = target.get("uniqueName")
    if "uniqueName" in props and props["uniqueName"] != before:
        if before is not None:
            raise bad_request("Property 'uniqueName' is immutable and cannot be changed.")
        check_name_free(call, KIND, props["uniqueName"])
    if "isAssignableToRole" in props and props["isAssignableToRole"] != target.get("isAssignableToRole"):
        raise bad_request("Property 'isAssignableToRole' is immutable and cannot be changed.")
    changed = {**target, **props}
    if checked.binds:
        authorize(call.caller, members_operation(target), target)
        changed = add_members(call, changed, checked.binds["members"])
    call.directory.put(KIND, target["id"], changed)
    return NO_CONTENT


ROUTES: list[Route[Call]] = [
    *read_routes(GROUP),
    deletion_route(KIND, "groups"),
    Route("POST", "groups", _create),
    Route("PATCH", "groups/{group}", _update),
]
