"""One operation on a tenant's directory: who calls, what they may do, and how handlers find objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from authentik_entra_bootstrap.sandbox.microsoft.graph import errors
from authentik_entra_bootstrap.sandbox.microsoft.graph.address import Key, Query
from authentik_entra_bootstrap.sandbox.microsoft.graph.validation import (
    is_guid,
    parse_json,
    spelt,
)
from authentik_entra_bootstrap.sandbox.microsoft.model import ENTITIES
from authentik_entra_bootstrap.sandbox.microsoft.objects import iso
from authentik_entra_bootstrap.sandbox.microsoft.permissions_table import RULES, Rule
from authentik_entra_bootstrap.sandbox.microsoft.tokens import Caller
from authentik_entra_bootstrap.sandbox.store import Directory, Object, View
from authentik_entra_bootstrap.sandbox.world import World

ALTERNATE_KEYS = {
    "application": ("appId", "uniqueName"),
    "servicePrincipal": ("appId",),
    "group": ("uniqueName",),
    "user": ("userPrincipalName",),
}
PRINCIPALS = ("user", "group", "servicePrincipal", "application")
"""Kinds that can stand behind a directory object's id."""
SPELLING = frozenset(
    {name for entity in ENTITIES.values() for name in entity.props}
    | {"owners", "members", "passwordCredential", "keyId"}
)
"""Every property of a body, and every parameter of an action, as the service spells it."""
AS_USER = "Directory.AccessAsUser.All"
"""Delegated permission that stands for most scopes of the directory (Azure's own clients use it)."""


@dataclass(frozen=True)
class Reply:
    """Status, JSON body (``None``: empty) and extra headers."""

    status: int
    body: dict[str, Any] | None = None
    headers: dict[str, str] = field(default_factory=dict)


NO_CONTENT = Reply(204)


@dataclass(frozen=True)
class Call:
    """One request.

    :param view: the replica that answers this request; it also resolves what a write is aimed at.
    :param keys: the keys in the address, in their order.
    :param path: the address below ``/v1.0``, as sent, for next links.
    :param headers: request headers, names in lower case.
    """

    world: World
    directory: Directory
    view: View
    caller: Caller
    path: str
    keys: tuple[Key, ...]
    query: Query
    headers: Mapping[str, str]
    body: bytes

    @property
    def now(self) -> datetime:
        """The sandbox's moment."""
        return self.world.clock.now()

    @property
    def base(self) -> str:
        """Microsoft Graph's address with version, without a slash at the end."""
        host = self.headers.get("host", "")
        if host.partition(":")[0].lower() in self.world.names:
            return f"https://{host}/v1.0"
        return f"{self.world.entra_url}/v1.0"

    def json(self, *, required: bool = True) -> dict[str, Any]:
        """The request's body, with properties spelt as the service does: it takes them in any case.

        :raises GraphError: 400 when it is no JSON object.
        """
        body = parse_json(self.body, self.headers.get("content-type", ""), required=required)
        return spelt(body, SPELLING)

    def authorize(self, operation: str, target: Object | None = None) -> None:
        """Let the caller through or refuse it.

        Without a target, a caller whose right depends on ownership passes: the object has to be found first.

        :param operation: a key of :data:`RULES`.
        :param target: the object acted on, as the replica knows it.
        :raises GraphError: 403.
        """
        rule = RULES[operation]
        if self.allows(operation, target):
            return
        if self.caller.kind == "user" and not rule.as_user and not self._has_scope(rule, rule.delegated):
            # Azure/azure-cli#23906.
            raise errors.GraphError(
                403,
                "AccessDenied",
                "You cannot perform the requested operation, required scopes are missing in the token.",
            )
        raise errors.denied()

    def allows(self, operation: str, target: Object | None = None) -> bool:
        """Whether :meth:`authorize` would let the caller through."""
        rule, caller = RULES[operation], self.caller
        owns = target is None or self.owns(target)
        if caller.kind == "app":
            if caller.directory_roles & rule.roles:
                return True
            if rule.also and not caller.roles & rule.also:
                return False
            return bool(caller.roles & rule.application) or (bool(caller.roles & rule.owned) and owns)
        if not self._has_scope(rule, rule.delegated) or (rule.also and not self._has_scope(rule, rule.also)):
            return False
        # Where a setting of the tenant decides for ordinary users, the handler asks it.
        if not rule.roles or rule.role_by_setting or caller.directory_roles & rule.roles:
            return True
        return rule.owner_without_role and owns

    def _has_scope(self, rule: Rule, names: frozenset[str]) -> bool:
        return bool(self.caller.scopes & names) or (rule.as_user and AS_USER in self.caller.scopes)

    def owns(self, target: Object) -> bool:
        """Whether the caller stands among the object's owners."""
        return self.caller.oid in target.get("_owners", ())

    def upserts(self, name: str) -> bool:
        """Whether the request creates what is missing: addressed by this alternate key, and ``Prefer`` says so."""
        given = self.headers.get("prefer", "").lower().split(",")
        wanted = "create-if-missing" in (item.partition(";")[0].strip() for item in given)
        return wanted and self.keys[0].name.lower() == name.lower()

    def upsert_body(self, kind: str, name: str, *, required: bool = True) -> dict[str, Any] | None:
        """The body of an upsert of what this replica does not know yet, with the key; ``None`` for a change.

        :raises GraphError: 403, 400 for a body that names another key.
        """
        key = self.keys[0]
        if not self.upserts(name) or find(self.view, kind, key) is not None:
            return None
        self.authorize(f"{kind}.create")
        body = self.json(required=required)
        if str(body.get(name, key.value)).lower() != key.value.lower():
            raise errors.invalid_value(name, ENTITIES[kind].label)
        return {**body, name: key.value}

    def read(self, kind: str, key: Key, operation: str) -> Object:
        """An object as the replica knows it, for reading.

        :raises GraphError: 403, 404.
        """
        self.authorize(operation)
        found = find(self.view, kind, key)
        hidden = kind == "application" and self.world.switches.post_create_variant == "404"
        if found is None or (hidden and self.just_created(found)):
            raise errors.not_found(key.value)
        return found

    def target(self, kind: str, key: Key, operation: str) -> Object:
        """The primary's version of an object that this replica knows, for writing.

        :raises GraphError: 403, 404; for a just created application also what the switch says.
        """
        self.authorize(operation)
        known = find(self.view, kind, key)
        if known is None:
            raise errors.not_found(key.value)
        variant = self.world.switches.post_create_variant
        if kind == "application" and variant != "none" and self.just_created(known):
            raise {
                "404": errors.not_found(key.value),
                "400": errors.missing_reference(key.value),
                "403": errors.denied(),
            }[variant]
        self.authorize(operation, known)
        primary = self.directory.get(kind, known["id"])
        if primary is None:
            raise errors.not_found(key.value)
        return primary

    def just_created(self, target: Object) -> bool:
        """Whether an application is younger than the greatest replication lag."""
        created = self.directory.created_at("application", target["id"])
        return created is not None and self.now - created < timedelta(seconds=self.world.switches.lag)

    def principal(self, object_id: str) -> tuple[str, Object]:
        """Kind and object behind an id, as the replica knows it.

        :raises GraphError: 404 when nothing is there.
        """
        for kind in PRINCIPALS:
            found = self.view.get(kind, object_id)
            if found is not None:
                return kind, found
        raise errors.not_found(object_id)

    def new_object(self) -> Object:
        """The properties every new directory object has, charged to the caller's quota.

        :raises GraphError: 403 ``Directory_QuotaExceeded``.
        """
        quota = self.world.switches.object_quota
        if quota is not None:
            kinds = (*PRINCIPALS, "deletedItem")
            items = (item for kind in kinds for item in self.directory.all(kind))
            if sum(item.get("_createdBy") == self.caller.oid for item in items) >= quota:
                raise errors.GraphError(
                    403,
                    "Directory_QuotaExceeded",
                    "The directory object quota limit for the Principal has been exceeded. Please ask your "
                    "administrator to increase the quota limit or delete objects to reduce the used quota.",
                )
        return {
            "id": self.world.guid("graph"),
            "createdDateTime": iso(self.now),
            "_createdBy": self.caller.oid,
        }

    def verified_domains(self) -> list[str]:
        """The tenant's verified domains in lower case, the default one first."""
        domains = self.directory.all("organization")[0]["verifiedDomains"]
        return [domain["name"].lower() for domain in sorted(domains, key=lambda item: not item["isDefault"])]


def find(reader: View, kind: str, key: Key) -> Object | None:
    """The object of a kind that a key addresses, letter case ignored.

    :raises GraphError: 400 for a key the kind does not have.
    """
    name = key.name
    if name == "id":
        if kind in PRINCIPALS and kind != "user":
            return reader.get(kind, checked_identifier(key.value))
        if kind != "user" or is_guid(key.value):
            return reader.get(kind, key.value.lower() if is_guid(key.value) else key.value)
        name = "userPrincipalName"
    for alternate in ALTERNATE_KEYS.get(kind, ()):
        if alternate.lower() == name.lower():
            return find_by(reader, kind, alternate, key.value)
    raise errors.bad_request(f"The key '{name}' is not a key of the resource.")


def checked_identifier(value: str) -> str:
    """An object id in the form in which the directory keeps it.

    :raises GraphError: 400 for one that is no GUID (microsoft-graph-docs-contrib#3854).
    """
    if not is_guid(value):
        raise errors.bad_request(f"Invalid object identifier '{value}'.")
    return value.lower()


def find_by(reader: View, kind: str, name: str, value: str) -> Object | None:
    """The first object of a kind whose property has this value, letter case ignored."""
    wanted = value.casefold()
    return reader.find(kind, lambda item: str(item.get(name) or "").casefold() == wanted) if value else None


def reference_id(link: object) -> str:
    """The object id at the end of an ``@odata.id`` link, whatever its host and collection.

    :raises GraphError: 400 when there is none.
    """
    if isinstance(link, str) and "/" in link:
        tail = link.rstrip("/").rpartition("/")[2]
        if tail.endswith(")") and "(" in tail:
            tail = tail.rpartition("(")[2][:-1].strip("'")
        if is_guid(tail):
            return tail.lower()
    raise errors.bad_request("Invalid URL was specified in the '@odata.id' of the reference.")


def related(reader: View, value: Object, relation: str) -> list[tuple[str, Object]]:
    """Kind and object for each id in a private list such as ``_owners``, as far as the reader knows them."""
    kinds = ("policy",) if relation == "_appManagementPolicies" else PRINCIPALS
    found = ((kind, reader.get(kind, object_id)) for object_id in value.get(relation, ()) for kind in kinds)
    return [(kind, item) for kind, item in found if item is not None]
