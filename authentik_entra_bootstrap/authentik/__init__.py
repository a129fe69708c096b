"""The authentik side: what the workflows need of it, and one adapter for servers from 2025.10 on (:mod:`~.adapter`).

Importing this package registers authentik-client's packages without running their ``__init__`` modules. Those import
every API and every model, which costs eight seconds of CPU and 130 MB. This program needs a dozen of the modules.
The packages are registered once, before threads start, so that all threads import the same packages.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from typing import Protocol

from authentik_entra_bootstrap.domain import (
    Account,
    ApiToken,
    AuthentikApplication,
    AuthentikPeople,
    AuthentikUser,
    BlueprintInstance,
    BlueprintResult,
    Dependent,
    Group,
    LicenseInfo,
    OwnEvent,
    PermissionCheck,
    Person,
    PropertyMapping,
    Provider,
    ProviderChange,
    ProviderPk,
    ProviderSpec,
    ProvisioningScope,
    Role,
    SecretText,
    ServerInfo,
    SyncStatus,
    TaskRecord,
    TenantUser,
    Written,
)


class AuthentikPort(Protocol):
    """authentik, as the owner of the API token."""

    async def server(self) -> ServerInfo:
        """Version and the provider's fields, read anew.

        :raises Denied: ``authentik-token-invalid``.
        :raises UnsupportedServer: the provider has no field for the client secret.
        """

    async def service_time(self) -> datetime | None:
        """authentik's time, from the ``Date`` of a fresh reply; ``None`` if the reply has none."""

    async def license(self) -> LicenseInfo:
        """The enterprise licence's summary."""

    async def me(self) -> AuthentikUser:
        """Whom the token belongs to."""

    async def api_tokens(self) -> tuple[ApiToken, ...]:
        """Every API token that this one may see: its user's own, and an administrator's all.

        :raises Denied: ``authentik-permission-missing``.
        """

    async def permissions(self, purpose: str) -> tuple[PermissionCheck, ...]:
        """Each permission that a purpose needs, held or missing, found without changing anything.

        :param purpose: ``bootstrap`` or ``rotation``.
        """

    async def default_mappings(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Primary keys of authentik's managed mappings: (users, groups); empty until its worker has created them."""

    async def mappings_by_name(self, names: Sequence[str]) -> Mapping[str, str]:
        """Property mappings of this provider type by name: name -> pk; unknown names are left out."""

    async def find_provider(self, name: str) -> Provider | None:
        """The Microsoft Entra provider of that exact name."""

    async def provider(self, pk: ProviderPk) -> Provider | None:
        """The provider by primary key."""

    async def providers(self) -> tuple[Provider, ...]:
        """Every Microsoft Entra provider."""

    async def provider_name_holder(self, name: str) -> str | None:
        """Verbose type of *any* provider with that name (names are unique among all types)."""

    async def create_provider(self, spec: ProviderSpec, secret: SecretText) -> Written[Provider]:
        """Create the provider with its secret in one write.

        :raises AdminActionRequired: ``licence-required``.
        :raises AlreadyExists: the name is taken.
        """

    async def update_provider(
        self, pk: ProviderPk, changes: Mapping[str, object], secret: SecretText | None = None
    ) -> Written[Provider]:
        """PATCH fields of the provider and, where given, deliver a new secret.

        :param changes: field name of :class:`ProviderSpec` -> value.
        """

    async def find_application(self, slug: str) -> AuthentikApplication | None:
        """authentik's application by slug."""

    async def create_application(
        self, *, slug: str, name: str, backchannel_provider_pks: Sequence[int]
    ) -> Written[AuthentikApplication]:
        """Create the application with its backchannel providers in one write."""

    async def set_backchannel_providers(self, slug: str, pks: Sequence[int]) -> Written[AuthentikApplication]:
        """Replace the application's backchannel providers; the caller keeps the others in the list."""

    async def find_group(self, name: str) -> str | None:
        """Primary key of the group with that exact name."""

    async def provisioning_scope(
        self, *, filter_group: str | None, exclude_service_accounts: bool
    ) -> ProvisioningScope:
        """What a full sync would cover; fields are ``None`` where the token may not look."""

    async def people(
        self, provider: Provider, users: Sequence[Person] | None, seen: Callable[[str, int], None]
    ) -> AuthentikPeople:
        """Users in a provider's scope, all groups with their members, and what is linked already.

        :param provider: without primary key (0) where it is not made yet.
        :param users: in scope, where they were read before.
        :param seen: is told the name of a list and how many of its entries are read.
        :raises Denied: ``authentik-permission-missing``.
        """

    async def mapped_user(self, mappings: Sequence[str], user: int) -> TenantUser | None:
        """What property mappings make of a user who is not linked, by authentik's own test of them.

        :param mappings: in the order of their names, in which authentik merges what they return.
        :returns: ``None`` where one fails, or does not give all that Entra ID needs.
        :raises Denied: ``authentik-permission-missing``: the test takes the right to add mappings.
        """

    async def linked_users(self, pk: ProviderPk) -> frozenset[int] | None:
        """Primary keys of the users linked to accounts of the tenant; ``None`` where the token may not look."""

    async def start_sync(self, pk: ProviderPk) -> Written[Provider]:
        """Save the (assigned) provider unchanged, which makes authentik start a full sync at once."""

    async def request_proof(self, pk: ProviderPk, probe_id: int) -> str | None:
        """Make authentik sign in with the secret it stores by syncing a user that does not exist.

        :returns: request id of the call. Its answer proves nothing; read :meth:`proof_task`.
        :raises NotFound: no such provider.
        """

    async def proof_task(self, pk: ProviderPk, provider_name: str, probe_id: int) -> TaskRecord | None:
        """The task that :meth:`request_proof` started; ``None`` while there is none."""

    async def sync_tasks(self, pk: ProviderPk) -> tuple[TaskRecord, ...]:
        """The newest sync tasks of the provider, newest first."""

    async def scheduled_tasks(self, provider_name: str) -> tuple[TaskRecord, ...]:
        """The newest page syncs of a provider, newest first, scheduled ones included."""

    async def full_syncs(self, provider_name: str) -> tuple[TaskRecord, ...]:
        """The newest full syncs of a provider, newest first, scheduled ones included."""

    async def running_syncs(self, besides: str = "") -> tuple[str, ...]:
        """Names of the Microsoft Entra providers whose full sync runs now.

        :param besides: name of a provider that is not asked about.
        :raises Denied: ``authentik-permission-missing``.
        """

    async def sync_status(self, pk: ProviderPk) -> SyncStatus:
        """authentik's own view of its last sync.

        :raises NotFound: no such provider.
        """

    async def last_change(self, pk: ProviderPk) -> ProviderChange | None:
        """The newest audit event that created or changed the provider.

        :raises Denied: ``authentik-permission-missing`` where events may not be read.
        """

    async def emit_event(self, action: str, context: Mapping[str, object]) -> None:
        """Write an audit event; best effort, raises only :class:`Denied`."""

    async def own_events(self, connection: str) -> tuple[OwnEvent, ...]:
        """The newest events that :meth:`emit_event` wrote about a connection, newest first.

        :raises Denied: ``authentik-permission-missing``.
        """

    async def provider_dependents(self, pk: ProviderPk) -> tuple[Dependent, ...]:
        """Objects that depend on the provider, by authentik's own list (``used_by``)."""

    async def application_dependents(self, application: AuthentikApplication) -> tuple[Dependent, ...]:
        """Objects that depend on the application, its backchannel providers included."""

    async def application_bindings(self, application: AuthentikApplication) -> int | None:
        """Number of policy bindings of the application; ``None`` where the token may not look."""

    async def delete_provider(self, pk: ProviderPk) -> bool:
        """Delete the provider; ``False`` when there was none.

        :raises Denied: ``authentik-permission-missing``.
        """

    async def delete_application(self, application: AuthentikApplication) -> bool:
        """Delete the application and with it its backchannel providers; ``False`` when there was none."""

    async def imports_blueprints(self) -> bool:
        """Whether the server imports blueprints without storing them."""

    async def import_blueprint(
        self, content: str, values: Mapping[str, object], secrets: Mapping[str, SecretText]
    ) -> Written[BlueprintResult]:
        """Apply a blueprint at once and without storing it; only where :meth:`imports_blueprints`.

        Values and secrets are given as context where the server takes one, else within the uploaded file.

        :raises Denied: ``authentik-permission-missing``: add, change and delete are needed on every model in it.
        :raises Temporary: no answer, or the importer crashed; it may have been applied all the same.
        """

    async def save_blueprint(self, name: str, content: str) -> BlueprintInstance:
        """Store a blueprint as an enabled instance of this name; one that exists gets the content.

        The content is stored and can be read: it must hold no secret.

        :raises Conflict: ``blueprint-refused``: authentik's validation refuses the content.
        """

    async def apply_blueprint(self, pk: str) -> None:
        """Make authentik's worker apply an instance; it answers before that is done."""

    async def blueprint(self, pk: str) -> BlueprintInstance | None:
        """The instance by primary key."""

    async def blueprint_lines(self, pk: str) -> tuple[str, ...]:
        """What the worker logged when it applied the instance last; nothing where tasks may not be read."""

    async def delete_blueprint(self, pk: str) -> bool:
        """Delete an instance and keep the objects it made; ``False`` when there was none."""

    async def exists(self, model: str, conditions: Sequence[tuple[str, str]]) -> bool | None:
        """Whether there is an object with these fields; ``None`` where that cannot be told.

        :param model: ``authentik_core.group``.
        """

    async def property_mappings(self) -> tuple[PropertyMapping, ...]:
        """Every property mapping of the Microsoft Entra provider."""

    async def group_name(self, pk: str) -> str | None:
        """The name of a group."""


class AuthentikAccounts(Protocol):
    """Roles, groups, users and tokens, as an administrator. Creating what exists already is success."""

    async def needed(self, purpose: str) -> tuple[str, ...]:
        """Every permission of a purpose, by authentik's names.

        :param purpose: ``bootstrap`` or ``rotation``.
        """

    async def role(self, name: str) -> Role | None:
        """The role of that name."""

    async def create_role(self, name: str) -> Role:
        """Make a role that gives nothing yet."""

    async def assign(self, role: Role, permissions: Sequence[str]) -> None:
        """Give a role further permissions."""

    async def group(self, name: str) -> Group | None:
        """The group of that name."""

    async def create_group(self, name: str, role: Role) -> Group:
        """Make a group whose members have a role."""

    async def set_group_roles(self, group: Group, roles: Sequence[str]) -> None:
        """Replace the roles of a group; the caller keeps the others in the list."""

    async def add_member(self, group: Group, account: Account) -> None:
        """Put a user into a group."""

    async def account(self, username: str) -> Account | None:
        """The user of that name."""

    async def create_account(self, username: str) -> Account:
        """Make a service account, without the app password that authentik's own call would give it."""

    async def token(self, identifier: str) -> ApiToken | None:
        """The token of that identifier."""

    async def create_token(self, identifier: str, account: Account) -> ApiToken:
        """Make a token of the intent API that does not expire."""

    async def token_key(self, identifier: str) -> SecretText:
        """The token's key."""


# --- the client library


def _import_bare(name: str) -> None:
    """Put a package into ``sys.modules`` that finds its modules, and runs its ``__init__`` only for a name of that."""
    spec = find_spec(name)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    package, loader = module_from_spec(spec), spec.loader

    def find(attribute: str) -> object:
        if attribute.startswith("__") and attribute != "__version__":
            raise AttributeError(f"module {name!r} has no attribute {attribute!r}")
        if find_spec(f"{name}.{attribute}"):
            return import_module(f"{name}.{attribute}")
        # Another part of the program uses the client library in the usual way.
        loader.exec_module(package)
        if attribute not in vars(package):
            raise AttributeError(f"module {name!r} has no attribute {attribute!r}")
        return vars(package)[attribute]

    vars(package)["__getattr__"] = find
    sys.modules[name] = package
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, package)


if "authentik_client" not in sys.modules:
    for _name in ("authentik_client", "authentik_client.api", "authentik_client.models"):
        _import_bare(_name)
