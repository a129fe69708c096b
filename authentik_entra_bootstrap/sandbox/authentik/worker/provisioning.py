"""Writing one kind of object to Microsoft Entra ID: matching, creating, updating, deleting, members."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

from authentik_entra_bootstrap.sandbox.authentik.blueprints.values import merge
from authentik_entra_bootstrap.sandbox.authentik.state import Record
from authentik_entra_bootstrap.sandbox.authentik.worker import expressions, wire
from authentik_entra_bootstrap.sandbox.authentik.worker.errors import (
    BadRequestSyncError,
    NotFoundSyncError,
    ObjectExistsSyncError,
    StopSyncError,
)
from authentik_entra_bootstrap.sandbox.authentik.worker.graph import GraphSession
from authentik_entra_bootstrap.sandbox.authentik.worker.objects import Connection, Provider, User
from authentik_entra_bootstrap.sandbox.authentik.worker.repository import Repository

DIRECTORY_OBJECTS = "https://graph.microsoft.com/v1.0/directoryObjects/"
"""How references name members; authentik always uses this host, also where Graph is elsewhere."""


class ObjectClient(ABC):
    """One kind of object of one provider during one task.

    :param domains: verified domains of the tenant (users only).
    """

    kind: str
    collection: str

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
            if value is not None:
                merge(values, value)
        if not values:
            error = ValueError("No mappings configured")
            raise StopSyncError(repr(error), str(error), str(wrapped))
        try:
            return wire.build(self.kind, self._cleaned(values))
        except TypeError as exc:
            raise StopSyncError(repr(exc), str(exc), str(wrapped)) from exc

    def _cleaned(self, values: dict[str, Any]) -> dict[str, Any]:
        return values

    @abstractmethod
    def check(self, model: Any) -> None:
        """Refuse an object that Microsoft would not take.

        :raises BadRequestSyncError: with authentik's text.
        """

    @abstractmethod
    def natural_key(self, model: Any) -> str:
        """The ``$filter`` that finds the object that is in the way."""

    # -- writing -------------------------------------------------------------------------------------------

    async def write(self, record: Record) -> tuple[Record | None, bool]:
        """Create or update the object; the connection, and whether it is new.

        :raises SyncError: as :class:`GraphSession` and :meth:`to_model` do.
        """
        connection = self.repository.connection(self.provider, self.kind, record["pk"])
        if connection is None:
            return await self._create(record), True
        try:
            await self._update(record, connection)
        except NotFoundSyncError:
            self.repository.disconnect(self.kind, connection)
            return await self._create(record), True
        return connection, False

    async def _create(self, record: Record) -> Record | None:
        model = self.to_model(record, None)
        self.check(model)
        try:
            created = await self.graph.request("POST", f"/{self.collection}", body=wire.body(model)) or {}
        except ObjectExistsSyncError:
            params = {"$filter": self.natural_key(model), **self.select()}
            page = await self.graph.get(f"/{self.collection}", params)
            if not page.get("value"):
                return None
            created = page["value"][0]
        return self.repository.connect(self.provider, self.kind, record["pk"], created)

    async def _update(self, record: Record, connection: Record) -> None:
        model = self.to_model(record, connection)
        self.check(model)
        body = wire.body(model)
        body.pop("id", None)
        reply = await self.graph.request(
            "PATCH", f"/{self.collection}/{connection['microsoft_id']}", body=body
        )
        if reply:
            merge(connection["attributes"], wire.attributes(reply))

    async def delete(self, connection: Record) -> None:
        """Do what the provider's delete action says, and forget the connection."""
        action = self.provider[f"{self.kind}_delete_action"]
        path = f"/{self.collection}/{connection['microsoft_id']}"
        if action == "delete":
            await self.graph.request("DELETE", path)
        elif action == "suspend" and self.kind == "user":
            await self.graph.request(
                "PATCH", path, body=wire.body(wire.build("user", {"account_enabled": False}))
            )
        self.repository.disconnect(self.kind, connection)

    # -- reading -------------------------------------------------------------------------------------------

    def select(self) -> dict[str, str]:
        """``$select`` of reads; none for groups, as authentik has it."""
        return {}

    async def discover(self) -> None:
        """Connect objects that are in the tenant already with their namesakes here."""
        async for entity in self.graph.pages(f"/{self.collection}", self.select()):
            record = self.match(entity)
            if (
                record is not None
                and self.repository.connection(self.provider, self.kind, record["pk"]) is None
            ):
                self.repository.connect(self.provider, self.kind, record["pk"], entity)

    @abstractmethod
    def match(self, entity: dict[str, Any]) -> Record | None:
        """The record here that a discovered object belongs to."""


class UserClient(ObjectClient):
    """Users."""

    kind = "user"
    collection = "users"

    def _cleaned(self, values: dict[str, Any]) -> dict[str, Any]:
        # Mappings of some releases end in a stray comma, which makes a tuple of the value; the SDK refuses those.
        return {
            name: value[0] if isinstance(value, tuple) and len(value) == 1 else value
            for name, value in values.items()
            if value is not None
        }

    def check(self, model: Any) -> None:
        """The e-mail address must be in a verified domain."""
        email = str(model.user_principal_name)
        if not any(email.endswith(f"@{domain}") for domain in self.domains):
            raise BadRequestSyncError(f"Invalid email domain: {email}")

    def natural_key(self, model: Any) -> str:
        """By user principal name."""
        return f"userPrincipalName eq '{_quoted(model.user_principal_name)}'"

    def select(self) -> dict[str, str]:
        """The properties authentik keeps."""
        return {"$select": wire.USER_SELECT}

    def match(self, entity: dict[str, Any]) -> Record | None:
        """By e-mail address, else by user principal name (which the default mapping makes of the address)."""
        emails = {str(entity[name]).lower() for name in ("mail", "userPrincipalName") if entity.get(name)}
        for record in self.repository.in_scope(self.provider, "user"):
            if record.get("email") and str(record["email"]).lower() in emails:
                return record
        return None


class GroupClient(ObjectClient):
    """Groups and their members."""

    kind = "group"
    collection = "groups"

    def check(self, model: Any) -> None:
        """Groups have no address."""

    def natural_key(self, model: Any) -> str:
        """By display name."""
        return f"displayName eq '{_quoted(model.display_name)}'"

    def match(self, entity: dict[str, Any]) -> Record | None:
        """By unique name, as authentik does: ordinary groups have none, so they are found when they conflict."""
        if not entity.get("uniqueName"):
            return None
        scope = self.repository.in_scope(self.provider, "group")
        return next((record for record in scope if record["name"] == entity["uniqueName"]), None)

    async def write(self, record: Record) -> tuple[Record | None, bool]:
        """Create or update the group, then add its members that are connected."""
        connection, created = await super().write(record)
        if connection is not None:
            await self.add_members(record, self.repository.members(record))
        return connection, created

    async def add_members(self, record: Record, users: Iterable[int]) -> None:
        """Add users that are connected; those that are members already are no error."""
        for path, member in self._references(record, users):
            try:
                await self.graph.request("POST", path, body={"@odata.id": f"{DIRECTORY_OBJECTS}{member}"})
            except ObjectExistsSyncError:
                continue

    async def remove_members(self, record: Record, users: Iterable[int]) -> None:
        """Remove users that are connected; those that are no members any more are no error."""
        for path, member in self._references(record, users):
            try:
                await self.graph.request("DELETE", path.replace("/$ref", f"/{member}/$ref"))
            except NotFoundSyncError:
                continue

    def _references(self, record: Record, users: Iterable[int]) -> list[tuple[str, str]]:
        group = self.repository.connection(self.provider, "group", record["pk"])
        if group is None:
            return []
        found = (self.repository.connection(self.provider, "user", pk) for pk in users)
        path = f"/groups/{group['microsoft_id']}/members/$ref"
        return [(path, str(connection["microsoft_id"])) for connection in found if connection is not None]


def _quoted(text: Any) -> str:
    return str(text).replace("'", "''")
