"""An in-memory authentik behind ``AuthentikPort``: providers, audit trail, and a worker that signs in."""

# ruff: noqa: ARG002 - the ports' signatures

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta

from memory_entra import MemoryEntra
from memory_wire import Wire, call

from authentik_entra_bootstrap.domain import (
    USER_AGENT,
    AuthentikApplication,
    AuthentikUser,
    Dependent,
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
    SecretText,
    ServerInfo,
    SyncStatus,
    TaskRecord,
    Written,
)
from authentik_entra_bootstrap.errors import AdminActionRequired, AlreadyExists, Denied

FIELDS = frozenset(
    {
        "name",
        "client_id",
        "client_secret",
        "tenant_id",
        "property_mappings",
        "property_mappings_group",
        "filter_group",
        "exclude_users_service_account",
        "user_delete_action",
        "group_delete_action",
        "sync_page_size",
        "sync_page_timeout",
        "dry_run",
    }
)
USER_MAPPING, GROUP_MAPPING = "mapping-user", "mapping-group"


@dataclass
class MemoryAuthentik:
    """The server.

    :param worker_runs: whether tasks are processed at all.
    :param names_errors: whether the log of a failed attempt has the error (not since 2026.5).
    :param own_sync_for: looks at ``sync/status`` that find a full sync of the provider running.
    :param other_sync_for: the same for another provider, “Other”.
    :param stores: what it does to a delivered secret before storing it (a fault when it changes it).
    """

    wire: Wire
    entra: MemoryEntra
    info: ServerInfo = field(default_factory=lambda: ServerInfo("2026.5.0", FIELDS | {"discovery_enabled"}))
    licence: LicenseInfo = field(default_factory=lambda: LicenseInfo("valid"))
    worker_runs: bool = True
    clock_difference: timedelta = field(default_factory=timedelta)
    reaches_microsoft: bool = True
    names_errors: bool = True
    events_readable: bool = True
    events_writable: bool = True
    tasks_readable: bool = True
    stores: object = None
    own_sync_for: int = 0
    other_sync_for: int = 0
    missing_permissions: frozenset[str] = frozenset()
    groups: dict[str, str] = field(default_factory=lambda: {"entra-users": "group-1"})
    defaults: tuple[tuple[str, ...], tuple[str, ...]] = ((USER_MAPPING,), (GROUP_MAPPING,))
    mappings: dict[str, str] = field(default_factory=lambda: {"by mail": "mapping-mail"})
    people: tuple[Person, ...] = field(
        default_factory=lambda: (
            Person(1, "akadmin", "root@contoso.example"),
            *(Person(pk, f"user{pk}", f"user{pk}@contoso.example") for pk in range(2, 13)),
        )
    )
    members: dict[str, frozenset[int]] = field(default_factory=lambda: {"group-1": frozenset({2, 3})})
    """Of each group, by primary key."""
    linked: frozenset[int] | None = frozenset()
    holder: str | None = None
    bindings: int | None = 0
    stored: Provider | None = None
    secret: str = ""
    application: AuthentikApplication | None = None
    change: ProviderChange | None = None
    tasks: list[TaskRecord] = field(default_factory=list)
    scheduled: list[TaskRecord] = field(default_factory=list)
    whole: list[TaskRecord] = field(default_factory=list)
    told: list[tuple[str, dict[str, object], datetime]] = field(default_factory=list)
    """Our own events, newest first: action, context, when."""
    probes: list[int] = field(default_factory=list)
    syncs: int = 0
    requests: int = 0

    # --- the truth

    @property
    def provider_now(self) -> Provider:
        assert self.stored is not None
        return self.stored

    def request_id(self) -> str:
        self.requests += 1
        return f"{self.requests:032x}"

    def saved(self, action: str, *, over_http: bool = True, agent: str = f"{USER_AGENT}/1.0") -> str | None:
        """An audit event, and a full sync where the provider is assigned."""
        request = self.request_id() if over_http else None
        self.change = ProviderChange(
            request, action, self.entra.now, "operator", agent if over_http else None
        )
        if self._attached():
            self.full_sync()
        return request

    def full_sync(self) -> None:
        """What saving and the four-hourly schedule start."""
        self.syncs += 1
        uid = f"sync:{self.syncs}"
        lines = self._sign_in() if self.worker_runs else ()
        state = "done" if lines else "queued"
        self.tasks.insert(0, TaskRecord(uid, state, self.entra.now, lines))

    def _attached(self) -> bool:
        return bool(
            self.stored
            and self.application
            and int(self.stored.pk) in self.application.backchannel_provider_pks
        )

    def _sign_in(self) -> tuple[str, ...]:
        if not self.reaches_microsoft:
            return ("Starting sync", "Task finished")
        refusal = self.entra.accepts(self.provider_now.client_id, self.secret)
        if refusal and not self.names_errors:
            return ("Task has been queued", "Task is being processed", "Task will be retried")
        if refusal == "secret-expired":
            return ("ClientAuthenticationError AADSTS7000222: The provided client secret keys are expired.",)
        if refusal:
            return ("ClientAuthenticationError AADSTS7000215: Invalid client secret provided.",)
        return ("Starting sync", "Syncing page 1 or Users")

    def person_changes_provider(self, secret: str | None = None) -> None:
        """Somebody saves the provider in the admin interface, perhaps with another secret."""
        if secret is not None:
            self.secret = secret
        self.saved("model_updated", agent="Mozilla/5.0")

    # --- AuthentikPort

    @call("authentik")
    async def server(self) -> ServerInfo:
        return self.info

    @call("authentik")
    async def service_time(self) -> datetime:
        return self.entra.now + self.clock_difference

    @call("authentik")
    async def license(self) -> LicenseInfo:
        return self.licence

    @call("authentik")
    async def imports_blueprints(self) -> bool:
        return False

    @call("authentik")
    async def me(self) -> AuthentikUser:
        return AuthentikUser(7, "entra-bootstrap", is_superuser=False)

    @call("authentik")
    async def permissions(self, purpose: str) -> tuple[PermissionCheck, ...]:
        names = ("add_microsoftentraprovider", "view_event", "change_application")
        return tuple(
            PermissionCheck(
                name, None if name == "change_application" else name not in self.missing_permissions, purpose
            )
            for name in names
        )

    @call("authentik")
    async def default_mappings(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return self.defaults

    @call("authentik")
    async def mappings_by_name(self, names: Sequence[str]) -> Mapping[str, str]:
        return {name: self.mappings[name] for name in names if name in self.mappings}

    @call("authentik")
    async def find_provider(self, name: str) -> Provider | None:
        return self.stored if self.stored and self.stored.name == name else None

    @call("authentik")
    async def providers(self) -> tuple[Provider, ...]:
        return (self.stored,) if self.stored else ()

    @call("authentik")
    async def provider_name_holder(self, name: str) -> str | None:
        return self.holder

    def _licensed(self) -> None:
        if not self.licence.allows_saving:
            raise AdminActionRequired(
                "licence-required", "Enterprise is required to create/update this object."
            )

    def _store(self, secret: SecretText) -> None:
        text = secret.reveal()
        self.secret = self.stores(text) if callable(self.stores) else text

    @call("authentik", writes=True)
    async def create_provider(self, spec: ProviderSpec, secret: SecretText) -> Written[Provider]:
        self._licensed()
        if self.stored is not None:
            raise AlreadyExists("provider-name-taken", "provider with this name already exists.")
        named = {name: value for name, value in asdict(spec).items() if value is not None}
        self.stored = Provider(pk=ProviderPk(3), **named)
        self._store(secret)
        return Written(self.stored, self.saved("model_created"))

    @call("authentik", writes=True)
    async def update_provider(
        self, pk: ProviderPk, changes: Mapping[str, object], secret: SecretText | None = None
    ) -> Written[Provider]:
        self._licensed()
        assert pk == self.provider_now.pk
        self.stored = replace(self.provider_now, **dict(changes))  # type: ignore[arg-type]
        if secret is not None:
            self._store(secret)
        return Written(self.stored, self.saved("model_updated"))

    @call("authentik")
    async def find_application(self, slug: str) -> AuthentikApplication | None:
        return self.application if self.application and self.application.slug == slug else None

    @call("authentik", writes=True)
    async def create_application(
        self, *, slug: str, name: str, backchannel_provider_pks: Sequence[int]
    ) -> Written[AuthentikApplication]:
        if self.application is not None:
            raise AlreadyExists("slug-taken", "Application with this slug already exists.")
        self.application = AuthentikApplication("app-pk", slug, name, None, tuple(backchannel_provider_pks))
        return Written(self.application, self._assign())

    @call("authentik", writes=True)
    async def set_backchannel_providers(self, slug: str, pks: Sequence[int]) -> Written[AuthentikApplication]:
        assert self.application is not None
        assert self.application.slug == slug
        self.application = replace(self.application, backchannel_provider_pks=tuple(pks))
        return Written(self.application, self._assign())

    def _assign(self) -> str | None:
        assert self.stored is not None
        assert self.application is not None
        slug = self.application.slug if self._attached() else None
        self.stored = replace(self.stored, application_slug=slug)
        return self.request_id()

    @call("authentik")
    async def find_group(self, name: str) -> str | None:
        return self.groups.get(name)

    @call("authentik")
    async def provisioning_scope(
        self, *, filter_group: str | None, exclude_service_accounts: bool
    ) -> ProvisioningScope:
        members = self.members.get(filter_group, frozenset()) if filter_group else None
        return ProvisioningScope(
            tuple(
                user
                for user in self.people
                if (members is None or user.pk in members)
                and not (exclude_service_accounts and user.username.startswith("service"))
            ),
            3,
        )

    @call("authentik")
    async def linked_users(self, pk: ProviderPk) -> frozenset[int] | None:
        return self.linked

    @call("authentik")
    async def group_name(self, pk: str) -> str | None:
        return next((name for name, key in self.groups.items() if key == pk), None)

    @call("authentik")
    async def property_mappings(self) -> tuple[PropertyMapping, ...]:
        return tuple(PropertyMapping(pk, name, None, "") for name, pk in self.mappings.items())

    @call("authentik", writes=True)
    async def start_sync(
        self, pk: ProviderPk, changes: Mapping[str, object] | None = None
    ) -> Written[Provider]:
        return Written(self.provider_now, self.saved("model_updated"))

    @call("authentik")
    async def request_proof(self, pk: ProviderPk, probe_id: int) -> str | None:
        self.probes.append(probe_id)
        return self.request_id()

    @call("authentik")
    async def proof_task(self, pk: ProviderPk, provider_name: str, probe_id: int) -> TaskRecord | None:
        assert probe_id in self.probes
        if not self.worker_runs:
            return TaskRecord(f"probe:{probe_id}", "queued", self.entra.now)
        if not self._attached():
            lines: tuple[str, ...] = ("No provider found. Is it assigned to an application?",)
        else:
            lines = self._sign_in()
        good = any("Syncing page" in line for line in lines) or not self.reaches_microsoft
        record = TaskRecord(f"probe:{probe_id}", "done" if good else "queued", self.entra.now, lines)
        self.tasks = [record, *(task for task in self.tasks if task.uid != record.uid)]
        return record

    @call("authentik")
    async def sync_tasks(self, pk: ProviderPk) -> tuple[TaskRecord, ...]:
        if not self.tasks_readable:
            raise Denied("authentik-permission-missing", "The token may not view tasks.")
        return tuple(self.tasks)

    @call("authentik")
    async def sync_status(self, pk: ProviderPk) -> SyncStatus:
        running = self.own_sync_for > 0
        self.own_sync_for -= running
        return SyncStatus(running, self.entra.now, "successful")

    @call("authentik")
    async def running_syncs(self, besides: str = "") -> tuple[str, ...]:
        running = self.other_sync_for > 0
        self.other_sync_for -= running
        own = self.own_sync_for > 0 and self.stored is not None and self.stored.name != besides
        return (*(("Other",) if running else ()), *((self.provider_now.name,) if own else ()))

    @call("authentik")
    async def full_syncs(self, provider_name: str) -> tuple[TaskRecord, ...]:
        return tuple(self.whole)

    @call("authentik")
    async def scheduled_tasks(self, provider_name: str) -> tuple[TaskRecord, ...]:
        if not self.tasks_readable:
            raise Denied("authentik-permission-missing", "The token may not view tasks.")
        return tuple(self.scheduled)

    @call("authentik")
    async def emit_event(self, action: str, context: Mapping[str, object]) -> None:
        if not self.events_writable:
            raise Denied(
                "authentik-permission-missing", "The token may not add events.", "Give it add_event."
            )
        self.told.insert(0, (action, dict(context), self.entra.now))

    @call("authentik")
    async def own_events(self, connection: str) -> tuple[OwnEvent, ...]:
        if not self.events_readable:
            raise Denied("authentik-permission-missing", "The token may not view events.")
        return tuple(
            OwnEvent(str(context["happened"]), at, str(context.get("code", "")))
            for _, context, at in self.told
            if context["connection"] == connection
        )

    @call("authentik")
    async def last_change(self, pk: ProviderPk) -> ProviderChange | None:
        if not self.events_readable:
            raise Denied("authentik-permission-missing", "The token may not view events.")
        return self.change

    @call("authentik")
    async def provider_dependents(self, pk: ProviderPk) -> tuple[Dependent, ...]:
        return (Dependent("schedule", "1", "Schedule", "cascade"),)

    @call("authentik")
    async def application_dependents(self, application: AuthentikApplication) -> tuple[Dependent, ...]:
        return tuple(
            Dependent("provider", str(pk), "provider", "cascade")
            for pk in application.backchannel_provider_pks
        )

    @call("authentik")
    async def application_bindings(self, application: AuthentikApplication) -> int | None:
        return self.bindings

    @call("authentik", writes=True)
    async def delete_provider(self, pk: ProviderPk) -> bool:
        if self.stored is None or self.stored.pk != pk:
            return False
        self.stored, self.secret, self.change = None, "", None
        if self.application is not None:
            left = tuple(item for item in self.application.backchannel_provider_pks if item != pk)
            self.application = replace(self.application, backchannel_provider_pks=left)
        return True

    @call("authentik", writes=True)
    async def delete_application(self, application: AuthentikApplication) -> bool:
        if self.application is None or self.application.slug != application.slug:
            return False
        if self._attached():
            self.stored, self.secret, self.change = None, "", None
        self.application = None
        return True
