"""Writing one kind of object to Microsoft Entra ID: matching, creating, updating, deleting, members.

authentik fills the model classes of msgraph-sdk with a mapping's result (snake_case names) and lets the SDK
serialise them. This module uses the same classes, so names, omissions and refusals are the SDK's own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from authentik_entra_bootstrap.sandbox.authentik.blueprints.values import merge
from authentik_entra_bootstrap.sandbox.authentik.state import Record
from authentik_entra_bootstrap.sandbox.authentik.worker import expressions
from authentik_entra_bootstrap.sandbox.authentik.worker.graph import (
    BadRequestSyncError,
    GraphSession,
    StopSyncError,
)
from authentik_entra_bootstrap.sandbox.authentik.worker.objects import Connection, Provider, User
from authentik_entra_bootstrap.sandbox.authentik.worker.repository import Repository

DIRECTORY_OBJECTS = "https://graph.microsoft.com/v1.0/directoryObjects/"
"""How references name members; authentik always uses this host, also where Graph is elsewhere."""


USER_SELECT = (
    "businessPhones,displayName,givenName,jobTitle,mail,mobilePhone,officeLocation,preferredLanguage,"
    "surname,userPrincipalName,id,onPremisesImmutableId"
)
"""The properties authentik selects when it reads users (its entra user client)."""


@cache
def _model(kind: str) -> Any:
    # The SDK's models take about a second to import: only a worker that writes pays for them.
    if kind == "user":
        from msgraph.generated.models.user import User

        return User
    from msgraph.generated.models.group import Group

    return Group


def build(kind: str, values: dict[str, Any]) -> Any:
    """An msgraph-sdk ``User`` or ``Group`` from a mapping's result.

    :param kind: ``user`` or ``group``.
    :raises TypeError: for a property the SDK's class does not have (``displayName`` for ``display_name``).
    """
    return _model(kind)(**values)


def body(model: Any) -> dict[str, Any]:
    """The JSON object that the SDK would send for a model.

    :raises Exception: whatever the SDK's serialiser raises for a value of a wrong type.
    """
    from kiota_serialization_json.json_serialization_writer import (  # comes with the models
        JsonSerializationWriter,
    )

    writer = JsonSerializationWriter()
    writer.write_object_value(None, model)
    result: dict[str, Any] = json.loads(writer.get_serialized_content())
    return result


class ObjectClient:
    """One kind of object of one provider during one task.

    :param domains: verified domains of the tenant (users only).
    """

    kind: str
    matched: tuple[str, str]
    """The property in the tenant and the column here by which discovery finds an object, letter by letter."""
    selected: Mapping[str, str] = {}
    """``$select`` of discovery; none for groups, as authentik has it."""

    def __init__(
        self, repository: Repository, provider: Record, graph: GraphSession, domains: Iterable[str] = ()
    ) -> None:
        self.repository = repository
        self.provider = provider
        self.graph = graph
        self.domains = tuple(domains)

    # -- mapping -------------------------------------------------------------------------------------------

    def to_model(self, record: Record, connection: Record | None) -> Any:
        """The object to send, from all mappings merged in the order of their names.

        :raises SkipObjectError: when a mapping leaves the object out.
        :raises StopSyncError: when there is no mapping, one fails, or it returns unknown properties.
        """
        state = self.repository.state
        wrapped = self.repository.wrap(self.kind, record)
        user = wrapped if isinstance(wrapped, User) else None
        names: dict[str, Any] = {
            "user": user,
            "provider": Provider(state, self.provider),
            "connection": Connection(state, connection) if connection else None,
        }
        if user is None:
            names["group"] = wrapped
        values: dict[str, Any] = {}
        for mapping in self.repository.mappings(self.provider, self.kind):
            try:
                value = expressions.evaluate(state, mapping, names, user)
            except expressions.ExpressionError as exc:
                self.repository.configuration_error("Failed to evaluate property-mapping", mapping)
                raise StopSyncError(repr(exc), str(exc), str(wrapped)) from exc
            if isinstance(value, dict):
                values = merge(values, value)
        if not values:
            error = ValueError("No mappings configured")
            raise StopSyncError(repr(error), str(error), str(wrapped))
        try:
            return build(self.kind, self._cleaned(values))
        except TypeError as exc:
            raise StopSyncError(repr(exc), str(exc), str(wrapped)) from exc

    def _cleaned(self, values: dict[str, Any]) -> dict[str, Any]:
        return values

    def check(self, model: Any) -> None:
        """Refuse an object that Microsoft would not take.

        :raises BadRequestSyncError: with authentik's text.
        """

    # -- writing -------------------------------------------------------------------------------------------

    async def write(self, record: Record) -> None:
        """Create the object, or overwrite the one that it is linked to.

        It never looks up a name that is taken, and never creates a deleted object again. authentik has code for
        both, but Microsoft Graph's answers never reach it.

        :raises SyncError: as :class:`GraphSession` and :meth:`to_model` do.
        """
        connection = self.repository.connection(self.provider, self.kind, record["pk"])
        model = self.to_model(record, connection)
        self.check(model)
        if connection is None:
            created = await self.graph.request("POST", f"/{self.kind}s", body=body(model)) or {}
            self.repository.connect(self.provider, self.kind, record["pk"], created)
        else:
            if self.kind == "group":
                model.id = connection["microsoft_id"]
            path = f"/{self.kind}s/{connection['microsoft_id']}"
            await self.graph.request("PATCH", path, body=body(model))

    async def delete(self, connection: Record) -> None:
        """Forget the link, then do what the provider's delete action says."""
        self.repository.disconnect(self.kind, connection)
        action = self.provider[f"{self.kind}_delete_action"]
        path = f"/{self.kind}s/{connection['microsoft_id']}"
        if action == "delete":
            await self.graph.request("DELETE", path)
        elif action == "suspend" and self.kind == "user":
            disabled = build("user", {"account_enabled": False})
            await self.graph.request("PATCH", path, body=body(disabled))

    # -- reading -------------------------------------------------------------------------------------------

    async def discover(self) -> None:
        """Connect objects that are in the tenant already with their namesakes here."""
        name, column = self.matched
        async for entity in self.graph.pages(f"/{self.kind}s", dict(self.selected)):
            scope = self.repository.in_scope(self.provider, self.kind) if entity.get(name) else []
            record = next((row for row in scope if row[column] == entity[name]), None)
            if record and self.repository.connection(self.provider, self.kind, record["pk"]) is None:
                self.repository.connect(self.provider, self.kind, record["pk"], entity)


class UserClient(ObjectClient):
    """Users. Accounts that authentik made have no ``mail``."""

    kind = "user"
    matched = ("mail", "email")
    selected: Mapping[str, str] = {"$select": USER_SELECT}

    def _cleaned(self, values: dict[str, Any]) -> dict[str, Any]:
        # Mappings of some releases end in a stray comma, which makes a tuple of the value; the SDK refuses those.
        return {
            name: value[0] if isinstance(value, tuple) and len(value) == 1 else value
            for name, value in values.items()
            if value is not None
        }

    def check(self, model: Any) -> None:
        """The e-mail address must be in a verified domain, letter by letter; from 2026.2 on none is good as well."""
        email = str(model.user_principal_name)
        newer = self.repository.state.profile.at_least("2026.2")
        if not any(email.endswith(f"@{domain}") for domain in self.domains) and (email or not newer):
            prefix = "Bad request: " if newer else ""
            raise BadRequestSyncError(f"{prefix}Invalid email domain: {email}")


class GroupClient(ObjectClient):
    """Groups and their members. Most groups of a tenant have no unique name."""

    kind = "group"
    matched = ("uniqueName", "name")

    async def write(self, record: Record) -> None:
        """Create or overwrite the group, then add every linked member, whether it is one already or not."""
        await super().write(record)
        await self.add_members(record, self.repository.members(record))

    async def add_members(self, record: Record, users: Iterable[int]) -> None:
        """Add the users that are linked, one by one; the first refusal ends it."""
        for group, member in self._references(record, users):
            body = {"@odata.id": f"{DIRECTORY_OBJECTS}{member}"}
            await self.graph.request("POST", f"/groups/{group}/members/$ref", body=body)

    async def remove_members(self, record: Record, users: Iterable[int]) -> None:
        """Remove the users that are linked, one by one; the first refusal ends it."""
        for group, member in self._references(record, users):
            await self.graph.request("DELETE", f"/groups/{group}/members/{member}/$ref")

    def _references(self, record: Record, users: Iterable[int]) -> list[tuple[str, str]]:
        group = self.repository.connection(self.provider, "group", record["pk"])
        wanted = set(users)
        linked = self.repository.connections(self.provider, "user") if group else []
        return [
            (str(group["microsoft_id"]), str(row["microsoft_id"]))
            for row in linked
            if group and row["user"] in wanted
        ]
