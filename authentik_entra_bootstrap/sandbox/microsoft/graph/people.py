"""Users and groups: ``/users``, ``/me``, ``/groups`` and their members."""

from __future__ import annotations

import re
from typing import Any

from authentik_entra_bootstrap.sandbox.microsoft.graph import errors
from authentik_entra_bootstrap.sandbox.microsoft.graph.address import Key, Route
from authentik_entra_bootstrap.sandbox.microsoft.graph.call import (
    NO_CONTENT,
    Call,
    Reply,
    find,
    find_by,
    related,
)
from authentik_entra_bootstrap.sandbox.microsoft.graph.directory import (
    check_name_free,
    deletion_route,
    initial_owners,
    reference_target,
)
from authentik_entra_bootstrap.sandbox.microsoft.graph.present import (
    entity_reply,
    members_reply,
    read_routes,
)
from authentik_entra_bootstrap.sandbox.microsoft.graph.validation import BIND, check_entity, merge, require
from authentik_entra_bootstrap.sandbox.microsoft.model import GROUP, USER
from authentik_entra_bootstrap.sandbox.store import Object

_NAME = re.compile(r"[A-Za-z0-9'._!#^~-]+@[A-Za-z0-9.-]+\Z")
_NICKNAME = re.compile(r"[!-~]+\Z")
_NOT_IN_NICKNAME = {"user": frozenset("@,;:<>()[]"), "group": frozenset("@()\\[]\";:<>,/' ")}


def _check_nickname(props: dict[str, Any], kind: str, label: str) -> None:
    nickname = props.get("mailNickname")
    if nickname and (not _NICKNAME.match(nickname) or set(nickname) & _NOT_IN_NICKNAME[kind]):
        raise errors.invalid_value("mailNickname", label)


def _check_user(call: Call, props: dict[str, Any], own_id: str | None) -> None:
    name = props.get("userPrincipalName")
    if name is not None and "@" in name and name.rpartition("@")[2].lower() not in call.verified_domains():
        raise errors.bad_request(
            "The domain portion of the userPrincipalName property is invalid. You must use one of the verified domain "
            "names in your organization.",
            ("InvalidDomain", "userPrincipalName"),
        )
    if name is not None and not _NAME.match(name):
        raise errors.invalid_value("userPrincipalName", USER.label)
    _check_nickname(props, "user", USER.label)
    for unique in ("userPrincipalName", "onPremisesImmutableId"):
        other = find_by(call.directory, "user", unique, str(props.get(unique) or ""))
        if other is not None and other["id"] != own_id:
            raise errors.conflict(unique)


def _create_user(call: Call) -> Reply:
    call.authorize("user.create")
    props = check_entity(USER, call.json()).props
    require(props, USER.label, "displayName", "mailNickname", "userPrincipalName")
    if props.get("accountEnabled") is None:
        raise errors.required_value("accountEnabled", USER.label)
    if not (props.get("passwordProfile") or {}).get("password"):
        raise errors.required_value("passwordProfile", USER.label)
    _check_user(call, props, None)
    created: Object = {**call.new_object(), "userType": "Member", **_merged({}, props)}
    call.directory.put("user", created["id"], created)
    return entity_reply(call, USER, created, status=201)


def _merged(before: Object, props: dict[str, Any]) -> Object:
    """A user after a change: a password is taken and never shown again."""
    return {**merge(USER.props, before, props), "passwordProfile": None}


def _update_user(call: Call) -> Reply:
    target = call.target("user", call.keys[0], "user.update")
    props = check_entity(USER, call.json()).props
    for name in ("displayName", "mailNickname", "userPrincipalName"):
        if name in props:
            require(props, USER.label, name)
    _check_user(call, props, target["id"])
    call.directory.put("user", target["id"], _merged(target, props))
    return NO_CONTENT


def _me(call: Call) -> Reply:
    """The signed-in user; apps have none."""
    if call.caller.kind != "user":
        raise errors.malformed("/me request is only valid with delegated authentication flow.")
    return entity_reply(call, USER, _readable_user(call, Key("id", call.caller.oid)))


def _readable_user(call: Call, key: Key) -> Object:
    """A user whom the caller may read; the signed-in user's own record needs less."""
    found = find(call.view, "user", key)
    is_self = found is not None and found["id"] == call.caller.oid
    if not (is_self and call.allows("user.read.self")):
        call.authorize("user.read")
    if found is None:
        raise errors.not_found(key.value)
    return found


def _check_group(props: dict[str, Any]) -> None:
    _check_nickname(props, "group", GROUP.label)
    if props.get("mailEnabled") and "Unified" not in props.get("groupTypes", ()):
        raise errors.bad_request(
            "The service does not currently support writes of mail-enabled groups. Please ensure that the "
            "mail-enablement property is unset and the security-enablement property is set."
        )


def _create_group(call: Call) -> Reply:
    call.authorize("group.create")
    checked = check_entity(GROUP, call.json(), binds=("owners", "members"))
    props = checked.props
    require(props, GROUP.label, "displayName", "mailNickname")
    for name in ("mailEnabled", "securityEnabled"):
        if props.get(name) is None:
            raise errors.required_value(name, GROUP.label)
    _check_group(props)
    if props.get("uniqueName"):
        check_name_free(call, "group", props["uniqueName"])
    base = call.new_object()
    created: Object = {
        **base,
        "renewedDateTime": base["createdDateTime"],
        **props,
        "_owners": initial_owners(call, checked.binds.get("owners")),
        "_members": [],
    }
    created = _with_members(call, created, checked.binds.get("members", []))
    call.directory.put("group", created["id"], created)
    return entity_reply(call, GROUP, created, status=201)


def _update_group(call: Call) -> Reply:
    """``PATCH`` also adds the members that it binds."""
    body = call.json()
    names = {name for name in body if not name.startswith("@odata.")}
    only_members = names == {f"members{BIND}"}
    target = call.target("group", call.keys[0], "group.members.write" if only_members else "group.update")
    if str(body.get("id")).lower() == target["id"]:
        del body["id"]  # naming what the path names changes nothing
    checked = check_entity(GROUP, body, binds=("members",))
    props = checked.props
    if "displayName" in props:
        require(props, GROUP.label, "displayName")
    _check_group({"groupTypes": target.get("groupTypes") or [], **props})
    if props.get("uniqueName", target.get("uniqueName")) != target.get("uniqueName"):
        raise errors.bad_request("Property 'uniqueName' is immutable and cannot be changed.")
    changed = {**target, **props}
    if checked.binds:
        call.authorize("group.members.write", target)
        changed = _with_members(call, changed, checked.binds["members"])
    call.directory.put("group", target["id"], changed)
    return NO_CONTENT


def _with_members(call: Call, group: Object, links: list[str]) -> Object:
    """The group (not yet stored) with more members: all of them or none.

    :raises GraphError: 400 for a member that is one already, or a reference that is none.
    """
    new = [reference_target(call, "members", link) for link in links]
    members: list[str] = group["_members"]
    if set(new) & set(members) or len(set(new)) < len(new):
        raise errors.references_exist("members")
    return {**group, "_members": [*members, *new]}


def _list_members(call: Call) -> Reply:
    group = call.read("group", call.keys[0], "group.members.read")
    return members_reply(call, related(call.view, group, "_members"))


def _add_member(call: Call) -> Reply:
    group = call.target("group", call.keys[0], "group.members.write")
    changed = _with_members(call, group, [str(call.json().get("@odata.id", ""))])
    call.directory.put("group", group["id"], changed)
    return NO_CONTENT


def _remove_member(call: Call) -> Reply:
    group = call.target("group", call.keys[0], "group.members.write")
    member = call.keys[1].value.lower()
    seen = call.view.get("group", group["id"]) or {}
    if member not in seen.get("_members", ()) or member not in group["_members"]:
        raise errors.not_found(call.keys[1].value)
    left = [item for item in group["_members"] if item != member]
    call.directory.put("group", group["id"], {**group, "_members": left})
    return NO_CONTENT


ROUTES: list[Route] = [
    *read_routes(USER, _readable_user),
    deletion_route("user"),
    Route("POST", "users", _create_user),
    Route("GET", "me", _me),
    Route("PATCH", "users/{user}", _update_user),
    *read_routes(GROUP),
    deletion_route("group"),
    Route("POST", "groups", _create_group),
    Route("PATCH", "groups/{group}", _update_group),
    Route("GET", "groups/{group}/members", _list_members),
    Route("POST", "groups/{group}/members/$ref", _add_member),
    Route("DELETE", "groups/{group}/members/{member}/$ref", _remove_member),
]
