"""``/users`` and ``/me``."""

from __future__ import annotations

import re
from typing import Any

from authentik_entra_bootstrap.sandbox.microsoft.graph.authorize import allowed, authorize
from authentik_entra_bootstrap.sandbox.microsoft.graph.call import NO_CONTENT, Call, Reply, find, find_by
from authentik_entra_bootstrap.sandbox.microsoft.graph.directory import deletion_route
from authentik_entra_bootstrap.sandbox.microsoft.graph.errors import (
    bad_request,
    conflict,
    invalid_value,
    malformed,
    not_found,
    required_value,
)
from authentik_entra_bootstrap.sandbox.microsoft.graph.model import USER
from authentik_entra_bootstrap.sandbox.microsoft.graph.paths import Key, Route
from authentik_entra_bootstrap.sandbox.microsoft.graph.present import entity_reply, read_routes
from authentik_entra_bootstrap.sandbox.microsoft.graph.validation import check_entity, merge, require
from authentik_entra_bootstrap.sandbox.store import Object

KIND = "user"
_NAME = re.compile(r"[A-Za-z0-9'._!#^~-]+@[A-Za-z0-9.-]+\Z")
_NICKNAME = re.compile(r"[!-~]+\Z")
_NOT_IN_NICKNAME = frozenset("@,;:<>()[]")
_SPECIAL = ("accountEnabled", "passwordProfile")
_UNIQUE = ("userPrincipalName", "onPremisesImmutableId")


def _check(call: Call, props: dict[str, Any], own_id: str | None) -> None:
    name = props.get("userPrincipalName")
    if name is not None:
        _check_name(call, name)
    nickname = props.get("mailNickname")
    if nickname is not None and (not _NICKNAME.match(nickname) or set(nickname) & _NOT_IN_NICKNAME):
        raise invalid_value("mailNickname", USER.label)
    for unique in _UNIQUE:
        if props.get(unique):
            other = find_by(call.directory, KIND, unique, props[unique])
            if other is not None and other["id"] != own_id:
                raise conflict(unique)
    location = props.get("usageLocation")
    if location is not None and not re.fullmatch(r"[A-Za-z]{2}", location):
        raise invalid_value("usageLocation", USER.label)


def _check_name(call: Call, name: str) -> None:
    if "@" not in name:
        raise invalid_value("userPrincipalName", USER.label)
    if name.rpartition("@")[2].lower() not in call.verified_domains():
        raise bad_request(
            "The domain portion of the userPrincipalName property is invalid. You must use one of the verified domain "
            "names in your organization.",
            ("InvalidDomain", "userPrincipalName"),
        )
    if not _NAME.match(name):
        raise invalid_value("userPrincipalName", USER.label)


def _create(call: Call) -> Reply:
    authorize(call.caller, "user.create")
    props = check_entity(USER, call.json()).props
    require(props, USER.label, "displayName", "mailNickname", "userPrincipalName")
    if props.get("accountEnabled") is None:
        raise required_value("accountEnabled", USER.label)
    if not (props.get("passwordProfile") or {}).get("password"):
        raise required_value("passwordProfile", USER.label)
    _check(call, props, None)
    created: Object = {
        **USER.empty(),
        **call.new_object(),
        "userType": "Member",
        "showInAddressList": None,
        **merge(USER.props, {}, props),
        "passwordProfile": None,
        "_directoryRoles": [],
    }
    call.directory.put(KIND, created["id"], created)
    return entity_reply(call, USER, created, status=201)


def _update(call: Call) -> Reply:
    body = call.json()
    changed = [name for name in body if "@odata." not in name]
    special = changed[0] if len(changed) == 1 and changed[0] in _SPECIAL else ""
    target = call.target(KIND, call.keys[0], f"user.update.{special}" if special else "user.update")
    props = check_entity(USER, body).props
    for name in ("displayName", "mailNickname", "userPrincipalName"):
        if name in props:
            require(props, USER.label, name)
    _check(call, props, target["id"])
    # A password is taken and never shown again.
    call.directory.put(KIND, target["id"], {**merge(USER.props, target, props), "passwordProfile": None})
    return NO_CONTENT


def _me(call: Call) -> Reply:
    """The signed-in user; apps have none."""
    if call.caller.kind != "user":
        raise malformed("/me request is only valid with delegated authentication flow.")
    return entity_reply(call, USER, _readable(call, Key("id", call.caller.oid)))


def _readable(call: Call, key: Key) -> Object:
    """A user whom the caller may read; the signed-in user's own record needs less."""
    found = find(call.view, KIND, key)
    is_self = found is not None and found["id"] == call.caller.oid
    if not (is_self and allowed(call.caller, "user.read.self")):
        authorize(call.caller, "user.read")
    if found is None:
        raise not_found(key.value)
    return found


ROUTES: list[Route[Call]] = [
    deletion_route(KIND, "users"),
    *read_routes(USER, _readable),
    Route("POST", "users", _create),
    Route("GET", "me", _me),
    Route("PATCH", "users/{user}", _update),
]
