"""What the replica of the token service that answers a request knows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from authentik_entra_bootstrap.sandbox.store import Directory, Object, View, replica_lag
from authentik_entra_bootstrap.sandbox.world import World


@dataclass(frozen=True)
class Credential:
    """A secret or certificate that a replica still takes: the directory's entry and its private part."""

    key_id: str
    entry: Object
    private: str

    def lives(self, now: datetime) -> bool:
        """Whether ``now`` lies in the credential's lifetime."""
        start, end = _moment(self.entry.get("startDateTime")), _moment(self.entry.get("endDateTime"))
        return (start is None or start <= now) and not (end is not None and end <= now)

    def expired(self, now: datetime) -> bool:
        """Whether its end has passed."""
        end = _moment(self.entry.get("endDateTime"))
        return end is not None and end <= now


class Replica:
    """One replica's sight of one tenant, drawn by the seed; make a new one for every request.

    Changes reach the token service by kind: applications and service principals after
    ``switches.app_lag``, new credentials after ``secret_lag``, removed ones are forgotten after
    ``removed_secret_lag``, grants arrive after ``role_lag``; each on the slowest replica, sooner on others.
    """

    def __init__(self, world: World, directory: Directory) -> None:
        self.world = world
        self.directory = directory
        self._count = max(1, world.switches.sts_replicas)
        self._index = world.stream("sts").randrange(self._count)
        self.now = world.clock.now()

    @property
    def tenant_id(self) -> str:
        """The tenant's id."""
        return self.directory.tenant_id

    @property
    def tenant_name(self) -> str:
        """The organization's display name, as errors quote it."""
        return str(
            next((entry["displayName"] for entry in self.directory.all("organization")), self.tenant_id)
        )

    def _since(self, greatest: float) -> datetime:
        return self.now - replica_lag(greatest, self._index, self._count)

    @property
    def apps(self) -> View:
        """Applications and service principals."""
        return self.directory.as_of(self._since(self.world.switches.app_lag))

    @property
    def grants(self) -> View:
        """App role assignments and delegated grants."""
        return self.directory.as_of(self._since(self.world.switches.role_lag))

    def service_principal(self, app_id: str) -> Object | None:
        """The service principal of an application in this tenant."""
        return self._by_app_id("servicePrincipal", app_id)

    def application(self, app_id: str) -> Object | None:
        """The application in this tenant."""
        return self._by_app_id("application", app_id)

    def _by_app_id(self, kind: str, app_id: str) -> Object | None:
        return self.apps.find(kind, lambda item: item["appId"].lower() == app_id.lower())

    def resource(self, name: str) -> Object | None:
        """The service principal of a resource, by application id or by one of its names."""
        wanted = name.rstrip("/").lower()

        def named(entry: Object) -> bool:
            names = [entry["appId"], *entry.get("servicePrincipalNames", ())]
            return any(wanted == str(own).rstrip("/").lower() for own in names)

        return self.apps.find("servicePrincipal", named)

    def secrets(self, application_id: str, principal_id: str) -> list[Credential]:
        """The client secrets that this replica takes; ``private`` is the text's hash.

        A secret of the service principal signs in like one of the application.
        """
        return self._of_both(application_id, principal_id, "passwordCredentials", "_secrets")

    def certificates(self, application_id: str, principal_id: str) -> list[Credential]:
        """The certificates that this replica takes, of both; ``private`` is the certificate as PEM."""
        return self._of_both(application_id, principal_id, "keyCredentials", "_certificates")

    def _of_both(self, application_id: str, principal_id: str, listed: str, private: str) -> list[Credential]:
        return [
            *self._credentials("application", application_id, listed, private),
            *self._credentials("servicePrincipal", principal_id, listed, private),
        ]

    def _credentials(self, kind: str, object_id: str, listed: str, private: str) -> list[Credential]:
        switches = self.world.switches
        known, forgotten = self._since(switches.secret_lag), self._since(switches.removed_secret_lag)
        added: dict[str, datetime] = {}
        removed: dict[str, datetime] = {}
        found: dict[str, Credential] = {}
        for moment, version in self.directory.history(kind, object_id, min(known, forgotten)):
            entries = {entry["keyId"]: entry for entry in (version or {}).get(listed, ())}
            hidden = (version or {}).get(private, {})
            present = hidden.keys() & entries.keys()
            for key in present:
                added.setdefault(key, moment)
                removed.pop(key, None)
                found[key] = Credential(key, entries[key], hidden[key])
            for key in found.keys() - present:
                removed.setdefault(key, moment)
        return [
            credential
            for key, credential in found.items()
            if added[key] <= known and (key not in removed or removed[key] > forgotten)
        ]

    def app_roles(self, principal_id: str, resource: Object) -> set[str]:
        """Values of the application permissions that a service principal holds on a resource."""
        names = {
            role["id"]: role["value"] for role in resource.get("appRoles", ()) if role.get("isEnabled", True)
        }
        return {
            names[entry["appRoleId"]]
            for entry in self.grants.select(
                "appRoleAssignment", lambda item: item["principalId"] == principal_id
            )
            if entry["resourceId"] == resource["id"] and entry["appRoleId"] in names
        }

    def scopes(self, client_id: str, resource: Object, user_id: str) -> set[str]:
        """Delegated permissions granted to a client (its service principal's id) for a user."""
        return {
            scope
            for entry in self.grants.select(
                "oauth2PermissionGrant", lambda item: item["clientId"] == client_id
            )
            if entry["resourceId"] == resource["id"]
            and (entry["consentType"] == "AllPrincipals" or entry.get("principalId") == user_id)
            for scope in str(entry.get("scope", "")).split()
        }


def _moment(value: Any) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else None
