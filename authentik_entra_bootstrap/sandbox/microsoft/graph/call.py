"""One operation on a tenant's directory: what the handlers get, and how they find objects."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from authentik_entra_bootstrap.sandbox.microsoft.graph.authorize import authorize, is_administrator
from authentik_entra_bootstrap.sandbox.microsoft.graph.errors import (
    GraphError,
    bad_request,
    denied,
    invalid_value,
    missing_reference,
    not_found,
    quota_exceeded,
)
from authentik_entra_bootstrap.sandbox.microsoft.graph.model import ENTITIES
from authentik_entra_bootstrap.sandbox.microsoft.graph.paths import Key
from authentik_entra_bootstrap.sandbox.microsoft.graph.query import Query
from authentik_entra_bootstrap.sandbox.microsoft.graph.validation import (
    is_guid,
    parse_json,
    spelt,
    whole_seconds,
)
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
    {name for entity in ENTITIES.values() for name in (*entity.props, *entity.relations)}
    | {"passwordCredential", "keyId"}
)
"""Every property of a body, and every parameter of an action, as the service spells it."""
_TYPE = re.compile(r"/[a-z]+(\.[a-z]+)+\Z", re.IGNORECASE)
Reader = Directory | View
"""The primary or a replica."""
KEPT = timedelta(days=30)
"""How long a deleted object can be restored."""


@dataclass(frozen=True)
class Reply:
    """Status, JSON body (``None``: empty; text: as it is) and extra headers."""

    status: int
    body: dict[str, Any] | str | None = None
    headers: dict[str, str] = field(default_factory=dict)


NO_CONTENT = Reply(204)


@dataclass(frozen=True)
class Call:
    """One request, or one part of a batch.

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
        return f"{self.world.entra_url.rstrip('/')}/v1.0"

    def json(self, *, required: bool = True) -> dict[str, Any]:
        """The request's body.

        :raises GraphError: 400 when it is no JSON object.
        """
        body = parse_json(self.body, self.headers.get("content-type", ""), required=required)
        return spelt(body, SPELLING)

    def upserts(self, name: str) -> bool:
        """Whether the request creates what is missing: addressed by this alternate key, and ``Prefer`` says so."""
        given = self.headers.get("prefer", "").lower().split(",")
        wanted = "create-if-missing" in (item.partition(";")[0].strip() for item in given)
        return wanted and self.keys[0].name.lower() == name.lower()

    def missing(self, kind: str, name: str, label: str, *, required: bool = True) -> dict[str, Any] | None:
        """The body of an upsert of what this replica does not know yet, with the key; ``None`` for a change.

        :raises GraphError: 403, 400 for a body that names another key.
        """
        key = self.keys[0]
        if not self.upserts(name) or find(self.view, kind, key) is not None:
            return None
        authorize(self.caller, f"{kind}.create")
        body = self.json(required=required)
        if str(body.get(name, key.value)).lower() != key.value.lower():
            raise invalid_value(name, label)
        return {**body, name: key.value}

    def read(self, kind: str, key: Key, operation: str) -> Object:
        """An object as the replica knows it, for reading.

        :raises GraphError: 403, 404.
        """
        authorize(self.caller, operation)
        found = find(self.view, kind, key)
        if found is None:
            raise not_found(key.value)
        if (
            kind == "application"
            and self.world.switches.post_create_variant == "404"
            and self.just_created(found)
        ):
            raise not_found(key.value)
        return found

    def target(self, kind: str, key: Key, operation: str) -> Object:
        """The primary's version of an object that this replica knows, for writing.

        :raises GraphError: 403, 404; for a just created application also what the switch says.
        """
        authorize(self.caller, operation)
        known = find(self.view, kind, key)
        if known is None:
            raise not_found(key.value)
        if kind == "application":
            self._post_create(known, key)
        authorize(self.caller, operation, known)
        primary = self.directory.get(kind, known["id"])
        if primary is None:
            raise not_found(key.value)
        return primary

    def just_created(self, target: Object) -> bool:
        """Whether an application is younger than the greatest replication lag."""
        created = self.directory.created_at("application", target["id"])
        return created is not None and self.now - created < timedelta(seconds=self.world.switches.lag)

    def _post_create(self, target: Object, key: Key) -> None:
        variant = self.world.switches.post_create_variant
        if variant == "none" or not self.just_created(target):
            return
        if variant == "404":
            raise not_found(key.value)
        raise missing_reference(key.value) if variant == "400" else denied()

    def reference(self, link: object) -> tuple[str, Object]:
        """Kind and object behind an ``@odata.id``, as the replica knows it.

        :raises GraphError: 400 for no link at all, 404 when nothing is there.
        """
        object_id = reference_id(link)
        for kind in PRINCIPALS:
            found = self.view.get(kind, object_id)
            if found is not None:
                return kind, found
        raise not_found(object_id)

    def new_object(self) -> Object:
        """The properties every new directory object has, charged to the caller's quota.

        :raises GraphError: 403 ``Directory_QuotaExceeded``.
        """
        self._check_quota()
        return {
            "id": self.world.guid("graph"),
            "deletedDateTime": None,
            "createdDateTime": whole_seconds(self.now),
            "_createdBy": self.caller.oid,
        }

    def _check_quota(self) -> None:
        quota = self.world.switches.object_quota
        if quota is None or is_administrator(self.caller):
            return
        kinds = (*PRINCIPALS, "deletedItem")
        used = sum(
            item.get("_createdBy") == self.caller.oid for kind in kinds for item in self.directory.all(kind)
        )
        if used >= quota:
            raise quota_exceeded()

    def default_domain(self) -> str:
        """The tenant's default verified domain; empty when it has none."""
        domains = self.verified_domains()
        return next((name for name, default in domains.items() if default), next(iter(domains), ""))

    def verified_domains(self) -> dict[str, bool]:
        """The tenant's verified domains in lower case, and whether each is the default."""
        return {
            domain["name"].lower(): bool(domain.get("isDefault"))
            for organization in self.directory.all("organization")
            for domain in organization.get("verifiedDomains", ())
        }


def find(reader: Reader, kind: str, key: Key) -> Object | None:
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
    alternates = {alternate.lower(): alternate for alternate in ALTERNATE_KEYS.get(kind, ())}
    if name.lower() not in alternates:
        raise bad_request(f"The key '{name}' is not a key of the resource.")
    return find_by(reader, kind, alternates[name.lower()], key.value)


def checked_identifier(value: str) -> str:
    """An object id in the form in which the directory keeps it.

    :raises GraphError: 400 for one that is no GUID (microsoft-graph-docs-contrib#3854).
    """
    if not is_guid(value):
        raise bad_request(f"Invalid object identifier '{value}'.")
    return value.lower()


def find_by(reader: Reader, kind: str, name: str, value: str) -> Object | None:
    """The first object of a kind whose property has this value, letter case ignored."""
    wanted = value.casefold()
    return reader.find(kind, lambda item: str(item.get(name) or "").casefold() == wanted) if value else None


def reference_id(link: object) -> str:
    """The object id at the end of an ``@odata.id`` link, whatever its host and collection.

    A type may follow it, as in the links that the directory itself gives.

    :raises GraphError: 400 when there is none.
    """
    if isinstance(link, str) and "/" in link:
        tail = _TYPE.sub("", link.rstrip("/")).rpartition("/")[2]
        if tail.endswith(")") and "(" in tail:
            tail = tail.rpartition("(")[2][:-1].strip("'")
        if is_guid(tail):
            return tail.lower()
    raise GraphError(
        400, "Request_BadRequest", "Invalid URL was specified in the '@odata.id' of the reference."
    )


def related(reader: Reader, value: Object, relation: str) -> list[tuple[str, Object]]:
    """Kind and object for each id in a private list such as ``_owners``, as far as the reader knows them."""
    kinds = ("policy",) if relation == "_appManagementPolicies" else PRINCIPALS
    found = ((kind, reader.get(kind, object_id)) for object_id in value.get(relation, ()) for kind in kinds)
    return [(kind, item) for kind, item in found if item is not None]
