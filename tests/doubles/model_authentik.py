"""``AuthentikPort`` of one run into the in-memory authentik."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from model_line import Line, served
from model_server import Server

from authentik_entra_bootstrap.domain import (
    ApiToken,
    AuthentikApplication,
    AuthentikPeople,
    AuthentikUser,
    Dependent,
    LicenseInfo,
    Link,
    OwnEvent,
    PermissionCheck,
    Person,
    PersonGroup,
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
from authentik_entra_bootstrap.planning.preflight import allows_saving


class Authentik:
    """The server as one run reaches it."""

    service = "authentik"

    def __init__(self, line: Line, server: Server) -> None:
        self.line = line
        self.model = server

    def _may(self, granted: bool, what: str, remedy: str = "") -> None:
        if not granted:
            raise Denied("authentik-permission-missing", f"The token may not {what}.", remedy)

    # --- the server and its token

    @served()
    def server(self, _: int) -> ServerInfo:
        return self.model.info

    @served()
    def service_time(self, _: int) -> datetime:
        return self.model.clock.now() + self.model.clock_difference

    @served()
    def license(self, _: int) -> LicenseInfo:
        return self.model.licence

    @served()
    def imports_blueprints(self, _: int) -> bool:
        return False

    @served()
    def me(self, _: int) -> AuthentikUser:
        return AuthentikUser(7, "entra-bootstrap", is_superuser=False)

    @served()
    def api_tokens(self, _: int) -> tuple[ApiToken, ...]:
        return self.model.api_tokens

    @served()
    def permissions(self, _: int, purpose: str) -> tuple[PermissionCheck, ...]:
        names, missing = ("add_microsoftentraprovider", "view_event"), self.model.missing_permissions
        held = [PermissionCheck(name, name not in missing, purpose) for name in names]
        return (*held, PermissionCheck("change_application", None, purpose))

    # --- what a provider is made of

    @served()
    def default_mappings(self, _: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return self.model.defaults

    @served()
    def mappings_by_name(self, _: int, names: Sequence[str]) -> Mapping[str, str]:
        return {name: self.model.mappings[name] for name in names if name in self.model.mappings}

    @served()
    def property_mappings(self, _: int) -> tuple[PropertyMapping, ...]:
        return tuple(PropertyMapping(pk, name, None, "") for name, pk in self.model.mappings.items())

    @served()
    def find_group(self, _: int, name: str) -> str | None:
        return self.model.groups.get(name)

    @served()
    def group_name(self, _: int, pk: str) -> str | None:
        return next((name for name, key in self.model.groups.items() if key == pk), None)

    @served()
    def provisioning_scope(
        self, _: int, *, filter_group: str | None, exclude_service_accounts: bool
    ) -> ProvisioningScope:
        members = self.model.members.get(filter_group, frozenset()) if filter_group else None
        covered = tuple(
            user
            for user in self.model.people
            if (members is None or user.pk in members)
            and not (exclude_service_accounts and user.username.startswith("service"))
        )
        return ProvisioningScope(covered, 3)

    async def people(
        self, provider: Provider, users: Sequence[Person] | None, seen: Callable[[str, int], None]
    ) -> AuthentikPeople:
        if users is None:
            excluded = provider.exclude_users_service_account
            scope = await self.provisioning_scope(
                filter_group=provider.filter_group, exclude_service_accounts=excluded
            )
            users = scope.users or ()
        linked = (self.model.linked or frozenset()) if provider.pk else frozenset()
        links = [Link(str(pk), f"user{pk}", f"account-{pk}") for pk in sorted(linked)]
        groups = [PersonGroup(key, name) for name, key in self.model.groups.items()]
        return await self.line.call("authentik.people", lambda _: AuthentikPeople(users, groups, links))

    @served()
    def linked_users(self, _: int, pk: ProviderPk) -> frozenset[int] | None:
        return self.model.linked

    # --- the provider

    async def _read(self, name: str, answer: Callable[[], Any]) -> Any:
        kind = "free" if self.model.constant else "read"
        return await self.line.call(f"authentik.{name}", lambda _: answer(), kind=kind)

    async def _provider(self, name: str, fits: Callable[[Provider], bool]) -> Provider | None:
        def answer() -> Provider | None:
            found = self.model.shown()
            return found if found and fits(found) else None

        return await self._read(name, answer)

    async def find_provider(self, name: str) -> Provider | None:
        return await self._provider("find_provider", lambda found: found.name == name)

    async def provider(self, pk: ProviderPk) -> Provider | None:
        return await self._provider("provider", lambda found: found.pk == pk)

    async def providers(self) -> tuple[Provider, ...]:
        found = await self._provider("providers", lambda _: True)
        return (found,) if found else ()

    @served()
    def provider_name_holder(self, _: int, name: str) -> str | None:
        return self.model.holder

    def _licensed(self) -> None:
        if not allows_saving(self.model.licence):
            raise AdminActionRequired(
                "licence-required", "Enterprise is required to create/update this object."
            )

    def _save(self, action: str, secret: SecretText | None, mangled: int) -> Written[Provider]:
        if secret is not None:
            text = secret.reveal()
            # It takes a text always in the same way: one that it has kept as it was, it keeps again.
            garbled = bool(mangled) and text not in self.model.delivered
            self.line.delivering(text, mangled=garbled)
            self.model.store(text, mangled=garbled)
        request = self.model.saved(action)
        self.line.saved()
        return Written(self.model.shown(), request)

    @served("save")
    def create_provider(self, mangled: int, spec: ProviderSpec, secret: SecretText) -> Written[Provider]:
        self._licensed()
        if self.model.stored is not None:
            raise AlreadyExists("provider-name-taken", "provider with this name already exists.")
        named = {name: value for name, value in asdict(spec).items() if value is not None}
        self.model.stored = Provider(pk=ProviderPk(3), **named)
        return self._save("model_created", secret, mangled)

    async def update_provider(
        self, pk: ProviderPk, changes: Mapping[str, object], secret: SecretText | None = None
    ) -> Written[Provider]:
        def update(mangled: int) -> Written[Provider]:
            self._licensed()
            assert pk == self.model.provider_now.pk
            self.model.stored = replace(self.model.provider_now, **dict(changes))
            return self._save("model_updated", secret, mangled)

        return await self.line.call("authentik.update_provider", update, kind="save" if secret else "write")

    @served("write")
    def start_sync(
        self, _: int, pk: ProviderPk, changes: Mapping[str, object] | None = None
    ) -> Written[Provider]:
        return self._save("model_updated", None, 0)

    # --- the application

    async def find_application(self, slug: str) -> AuthentikApplication | None:
        def answer() -> AuthentikApplication | None:
            found = self.model.application
            return found if found and found.slug == slug else None

        return await self._read("find_application", answer)

    @served("write")
    def create_application(
        self, _: int, *, slug: str, name: str, backchannel_provider_pks: Sequence[int]
    ) -> Written[AuthentikApplication]:
        if self.model.application is not None:
            raise AlreadyExists("slug-taken", "Application with this slug already exists.")
        made = AuthentikApplication("app-pk", slug, name, None, tuple(backchannel_provider_pks))
        self.model.application = made
        return Written(made, self.model.assigned())

    @served("write")
    def set_backchannel_providers(
        self, _: int, slug: str, pks: Sequence[int]
    ) -> Written[AuthentikApplication]:
        assert self.model.application is not None
        assert self.model.application.slug == slug
        self.model.application = replace(self.model.application, backchannel_provider_pks=tuple(pks))
        return Written(self.model.application, self.model.assigned())

    # --- proof, tasks, audit trail

    @served("ask")
    def request_proof(self, busy: int, pk: ProviderPk, probe_id: int) -> str | None:
        self.model.busy = bool(busy)
        self.model.probes.append(probe_id)
        return "asked"

    @served("token")
    def proof_task(self, variant: int, pk: ProviderPk, provider_name: str, probe_id: int) -> TaskRecord:
        assert probe_id in self.model.probes
        return self.model.probe(probe_id, self.line.wish(variant))

    @served("read")
    def sync_tasks(self, _: int, pk: ProviderPk) -> tuple[TaskRecord, ...]:
        self._may(self.model.tasks_readable, "view tasks")
        return tuple(self.model.tasks)

    @served()
    def full_syncs(self, _: int, provider_name: str) -> tuple[TaskRecord, ...]:
        return tuple(self.model.whole)

    @served()
    def scheduled_tasks(self, _: int, provider_name: str) -> tuple[TaskRecord, ...]:
        self._may(self.model.tasks_readable, "view tasks")
        return tuple(self.model.scheduled)

    @served()
    def sync_status(self, _: int, pk: ProviderPk) -> SyncStatus:
        running = self.model.own_sync_for > 0
        self.model.own_sync_for -= running
        return SyncStatus(running, self.model.clock.now(), "successful")

    @served()
    def running_syncs(self, _: int, besides: str = "") -> tuple[str, ...]:
        """What waits for one has no part in the protocol's safety."""
        model = self.model
        running = model.other_sync_for > 0
        model.other_sync_for -= running
        own = model.own_sync_for > 0 and model.stored is not None and model.stored.name != besides
        return (*(("Other",) if running else ()), *((model.provider_now.name,) if own else ()))

    async def last_change(self, pk: ProviderPk) -> ProviderChange | None:
        def answer() -> ProviderChange | None:
            self._may(self.model.events_readable, "view events")
            self.line.looked()
            return self.model.change

        kind = "read" if self.model.events_readable else "free"
        return await self.line.call("authentik.last_change", lambda _: answer(), kind=kind)

    @served()
    def emit_event(self, _: int, action: str, context: Mapping[str, object]) -> None:
        self._may(self.model.events_writable, "add events", "Give it add_event.")
        self.model.told.insert(0, (action, dict(context), self.model.clock.now()))

    @served()
    def own_events(self, _: int, connection: str) -> tuple[OwnEvent, ...]:
        self._may(self.model.events_readable, "view events")
        return tuple(
            OwnEvent(str(context["happened"]), at, str(context.get("code", "")))
            for _, context, at in self.model.told
            if context["connection"] == connection
        )

    # --- teardown

    @served()
    def provider_dependents(self, _: int, pk: ProviderPk) -> tuple[Dependent, ...]:
        return (Dependent("schedule", "1", "Schedule", "cascade"),)

    @served()
    def application_dependents(self, _: int, application: AuthentikApplication) -> tuple[Dependent, ...]:
        pks = application.backchannel_provider_pks
        return tuple(Dependent("provider", str(pk), "provider", "cascade") for pk in pks)

    @served()
    def application_bindings(self, _: int, application: AuthentikApplication) -> int | None:
        return self.model.bindings

    def _forget_provider(self) -> None:
        self.model.stored, self.model.secret, self.model.change = None, "", None

    @served("write")
    def delete_provider(self, _: int, pk: ProviderPk) -> bool:
        if self.model.stored is None or self.model.stored.pk != pk:
            return False
        self._forget_provider()
        if self.model.application is not None:
            pks = self.model.application.backchannel_provider_pks
            left = tuple(item for item in pks if item != pk)
            self.model.application = replace(self.model.application, backchannel_provider_pks=left)
        return True

    @served("write")
    def delete_application(self, _: int, application: AuthentikApplication) -> bool:
        if self.model.application is None or self.model.application.slug != application.slug:
            return False
        if self.model.attached:
            self._forget_provider()
        self.model.application = None
        return True
