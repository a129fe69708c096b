"""What a sync reads and writes in authentik's own tables."""

from __future__ import annotations

import re
from typing import Any

from authentik_entra_bootstrap.sandbox.authentik import audit
from authentik_entra_bootstrap.sandbox.authentik.resources.people import ANONYMOUS
from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
from authentik_entra_bootstrap.sandbox.authentik.state import Record, State
from authentik_entra_bootstrap.sandbox.authentik.worker.objects import Group, Row, User

SERVICE_ACCOUNTS = frozenset({"service_account", "internal_service_account"})
MODELS = {"authentik.core.models.User": "user", "authentik.core.models.Group": "group"}


_CAMEL = re.compile(r"(?<=[a-z0-9])([A-Z])")


def attributes(entity: dict[str, Any]) -> dict[str, Any]:
    """A user of Graph as authentik keeps it on the link: what has a value, under snake_case names."""
    values = {_CAMEL.sub(r"_\1", name).lower(): value for name, value in entity.items() if "@" not in name}
    values["odata_type"] = "#microsoft.graph.user"
    values["additional_data"] = {
        name: value for name, value in entity.items() if "@" in name and name != "@odata.type"
    }
    return {name: value for name, value in values.items() if value not in (None, [], {})}


class Repository:
    """Providers, the objects in their scope, mappings and connections."""

    def __init__(self, state: State) -> None:
        self.state = state

    def assigned(self, provider_pk: int) -> Record | None:
        """The provider, if it exists and an application has it as backchannel provider."""
        provider = self.state.tables["provider"].get(provider_pk)
        return provider if provider is not None and provider["backchannel_application"] else None

    def assigned_all(self) -> list[Record]:
        """Every provider that is assigned to an application."""
        return [row for row in self.state.tables["provider"] if row["backchannel_application"]]

    def mappings(self, provider: Record, kind: str) -> list[Record]:
        """The provider's mappings for users or groups, by name."""
        keys = provider["property_mappings" if kind == "user" else "property_mappings_group"]
        rows = (self.state.tables["mapping"].get(key) for key in keys or ())
        return sorted((row for row in rows if row is not None), key=lambda row: str(row["name"]))

    def in_scope(self, provider: Record, kind: str) -> list[Record]:
        """The users or groups that the provider syncs, by primary key.

        The filter group restricts users only, to its direct members.
        """
        if kind == "group":
            return sorted(self.state.tables["group"], key=lambda row: str(row["pk"]))
        rows = [row for row in self.state.tables["user"] if row["username"] != ANONYMOUS]
        if provider.get("exclude_users_service_account"):
            rows = [row for row in rows if row.get("type") not in SERVICE_ACCOUNTS]
        if provider.get("filter_group"):
            group = self.state.tables["group"].get(provider["filter_group"])
            allowed = set(self.members(group)) if group else set()
            rows = [row for row in rows if row["pk"] in allowed]
        return sorted(rows, key=lambda row: int(row["pk"]))

    def find(self, kind: str, key: Any) -> Record | None:
        """A user or group by primary key, in text or as it is stored."""
        return next((row for row in self.state.tables[kind] if str(row["pk"]) == str(key)), None)

    def members(self, group: Record) -> list[int]:
        """Primary keys of the group's direct members."""
        return sorted(group.get("users") or ())

    def wrap(self, kind: str, record: Record) -> Row:
        """The record as expressions see it."""
        return User(self.state, record) if kind == "user" else Group(self.state, record)

    # -- connections ---------------------------------------------------------------------------------------

    def connection(self, provider: Record, kind: str, key: Any) -> Record | None:
        """The object's connection to Microsoft Entra ID."""
        return self.state.tables[f"entra_{kind}"].find(**{"provider": provider["pk"], kind: key})

    def connections(self, provider: Record, kind: str) -> list[Record]:
        """Every connection of the provider."""
        return self.state.tables[f"entra_{kind}"].where(provider=provider["pk"])

    def connections_of(self, kind: str, key: Any) -> list[Record]:
        """Every connection of one object, of all providers."""
        return self.state.tables[f"entra_{kind}"].where(**{kind: key})

    def connect(self, provider: Record, kind: str, key: Any, entity: Record) -> Record:
        """Remember which object in Microsoft Entra ID belongs to one here."""
        return self.state.tables[f"entra_{kind}"].add(
            {
                "id": self.state.uuid(),
                "microsoft_id": entity["id"],
                kind: key,
                "provider": provider["pk"],
                "attributes": attributes(entity) if kind == "user" else {},
            }
        )

    def disconnect(self, kind: str, connection: Record) -> None:
        """Forget a connection; a missing one is no error."""
        self.state.tables[f"entra_{kind}"].remove(connection["id"])

    def configuration_error(self, message: str, mapping: Record) -> None:
        """Write the audit event of a mapping that fails."""
        audit.write(
            Context(state=self.state),
            "configuration_error",
            {"message": message, "mapping": {"pk": audit.undashed(mapping["pk"]), "name": mapping["name"]}},
            app="authentik.lib.sync.outgoing.base",
        )
