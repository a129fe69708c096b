"""``AuthentikPort`` of one run into the in-memory authentik."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from model_line import Line
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


class Authentik:
    """The server as one run reaches it."""

    def __init__(self, line: Line, server: Server) -> None:
        self.line = line
        self.model = server

    async def _call(self, name: str, answer: Callable[[], Any], kind: str = "free") -> Any:
        return await self.line.call(f"authentik.{name}", lambda _: answer(), kind=kind)

    def _may(self, granted: bool, what: str, remedy: str = "") -> None:
        if not granted:
            raise Denied("authentik-permission-missing", f"The token may not {what}.", remedy)

    # --- the server and its token

    async def server(self) -> ServerInfo:
        return await self._call("server", lambda: self.model.info)

    async def service_time(self) -> datetime:
        return await self._call("service_time", lambda: self.model.clock.now() + self.model.clock_difference)

    async def license(self) -> LicenseInfo:
        return await self._call("license", lambda: self.model.licence)

    async def imports_blueprints(self) -> bool:
        return await self._call("imports_blueprints", lambda: False)

    async def me(self) -> AuthentikUser:
        return await self._call("me", lambda: AuthentikUser(7, "entra-bootstrap", is_superuser=False))

    async def api_tokens(self) -> tuple[ApiToken, ...]:
        return await self._call("api_tokens", lambda: self.model.api_tokens)

    async def permissions(self, purpose: str) -> tuple[PermissionCheck, ...]:
        def answer() -> tuple[PermissionCheck, ...]:
            missing = self.model.missing_permissions
            return (
                *(
                    PermissionCheck(name, name not in missing, purpose)
                    for name in ("add_microsoftentraprovider", "view_event")
                ),
                PermissionCheck("change_application", None, purpose),
            )

        return await self._call("permissions", answer)

    # --- what a provider is made of

    async def default_mappings(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return await self._call("default_mappings", lambda: self.model.defaults)

    async def mappings_by_name(self, names: Sequence[str]) -> Mapping[str, str]:
        def answer() -> Mapping[str, str]:
            there = self.model.mappings
            return {name: there[name] for name in names if name in there}

        return await self._call("mappings_by_name", answer)

    async def property_mappings(self) -> tuple[PropertyMapping, ...]:
        return await self._call(
            "property_mappings",
            lambda: tuple(PropertyMapping(pk, name, None, "") for name, pk in self.model.mappings.items()),
        )

    async def find_group(self, name: str) -> str | None:
        return await self._call("find_group", lambda: self.model.groups.get(name))

    async def group_name(self, pk: str) -> str | None:
        return await self._call(
            "group_name", lambda: next((name for name, key in self.model.groups.items() if key == pk), None)
        )

    async def provisioning_scope(
        self, *, filter_group: str | None, exclude_service_accounts: bool
    ) -> ProvisioningScope:
        def answer() -> ProvisioningScope:
            members = self.model.members.get(filter_group, frozenset()) if filter_group else None
            covered = tuple(
                user
                for user in self.model.people
                if (members is None or user.pk in members)
                and not (exclude_service_accounts and user.username.startswith("service"))
            )
            return ProvisioningScope(covered, 3)

        return await self._call("provisioning_scope", answer)

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
        return await self._call("people", lambda: AuthentikPeople(users, groups, links))

    async def linked_users(self, pk: ProviderPk) -> frozenset[int] | None:
        return await self._call("linked_users", lambda: self.model.linked)

    # --- the provider

    async def _provider(self, name: str, fits: Callable[[Provider], bool]) -> Provider | None:
        def answer() -> Provider | None:
            found = self.model.shown()
            return found if found and fits(found) else None

        return await self._call(name, answer, "free" if self.model.constant else "read")

    async def find_provider(self, name: str) -> Provider | None:
        return await self._provider("find_provider", lambda found: found.name == name)

    async def provider(self, pk: ProviderPk) -> Provider | None:
        return await self._provider("provider", lambda found: found.pk == pk)

    async def providers(self) -> tuple[Provider, ...]:
        found = await self._provider("providers", lambda _: True)
        return (found,) if found else ()

    async def provider_name_holder(self, name: str) -> str | None:
        return await self._call("provider_name_holder", lambda: self.model.holder)

    def _licensed(self) -> None:
        if not self.model.licence.allows_saving:
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

    async def create_provider(self, spec: ProviderSpec, secret: SecretText) -> Written[Provider]:
        def create(mangled: int) -> Written[Provider]:
            self._licensed()
            if self.model.stored is not None:
                raise AlreadyExists("provider-name-taken", "provider with this name already exists.")
            named = {name: value for name, value in asdict(spec).items() if value is not None}
            self.model.stored = Provider(pk=ProviderPk(3), **named)
            return self._save("model_created", secret, mangled)

        return await self.line.call("authentik.create_provider", create, kind="save")

    async def update_provider(
        self, pk: ProviderPk, changes: Mapping[str, object], secret: SecretText | None = None
    ) -> Written[Provider]:
        def update(mangled: int) -> Written[Provider]:
            self._licensed()
            assert pk == self.model.provider_now.pk
            self.model.stored = replace(self.model.provider_now, **dict(changes))
            return self._save("model_updated", secret, mangled)

        return await self.line.call("authentik.update_provider", update, kind="save" if secret else "write")

    async def start_sync(
        self, pk: ProviderPk, changes: Mapping[str, object] | None = None
    ) -> Written[Provider]:
        return await self._call("start_sync", lambda: self._save("model_updated", None, 0), "write")

    # --- the application

    async def find_application(self, slug: str) -> AuthentikApplication | None:
        def answer() -> AuthentikApplication | None:
            found = self.model.application
            return found if found and found.slug == slug else None

        return await self._call("find_application", answer, "free" if self.model.constant else "read")

    async def create_application(
        self, *, slug: str, name: str, backchannel_provider_pks: Sequence[int]
    ) -> Written[AuthentikApplication]:
        def create() -> Written[AuthentikApplication]:
            if self.model.application is not None:
                raise AlreadyExists("slug-taken", "Application with this slug already exists.")
            made = AuthentikApplication("app-pk", slug, name, None, tuple(backchannel_provider_pks))
            self.model.application = made
            return Written(made, self.model.assigned())

        return await self._call("create_application", create, "write")

    async def set_backchannel_providers(self, slug: str, pks: Sequence[int]) -> Written[AuthentikApplication]:
        def attach() -> Written[AuthentikApplication]:
            assert self.model.application is not None
            assert self.model.application.slug == slug
            self.model.application = replace(self.model.application, backchannel_provider_pks=tuple(pks))
            return Written(self.model.application, self.model.assigned())

        return await self._call("set_backchannel_providers", attach, "write")

    # --- proof, tasks, audit trail

    async def request_proof(self, pk: ProviderPk, probe_id: int) -> str | None:
        def ask(busy: int) -> str:
            self.model.busy = bool(busy)
            self.model.probes.append(probe_id)
            return "asked"

        return await self.line.call("authentik.request_proof", ask, kind="ask")

    async def proof_task(self, pk: ProviderPk, provider_name: str, probe_id: int) -> TaskRecord | None:
        def read(variant: int) -> TaskRecord:
            assert probe_id in self.model.probes
            return self.model.probe(probe_id, self.line.wish(variant))

        return await self.line.call("authentik.proof_task", read, kind="token")

    async def _tasks(self, name: str, tasks: Callable[[], list[TaskRecord]], kind: str = "free") -> Any:
        def answer() -> tuple[TaskRecord, ...]:
            self._may(self.model.tasks_readable, "view tasks")
            return tuple(tasks())

        return await self._call(name, answer, kind)

    async def sync_tasks(self, pk: ProviderPk) -> tuple[TaskRecord, ...]:
        return await self._tasks("sync_tasks", lambda: self.model.tasks, "read")

    async def full_syncs(self, provider_name: str) -> tuple[TaskRecord, ...]:
        return await self._call("full_syncs", lambda: tuple(self.model.whole))

    async def scheduled_tasks(self, provider_name: str) -> tuple[TaskRecord, ...]:
        return await self._tasks("scheduled_tasks", lambda: self.model.scheduled)

    async def sync_status(self, pk: ProviderPk) -> SyncStatus:
        def answer() -> SyncStatus:
            running = self.model.own_sync_for > 0
            self.model.own_sync_for -= running
            return SyncStatus(running, self.model.clock.now(), "successful")

        return await self._call("sync_status", answer)

    async def running_syncs(self, besides: str = "") -> tuple[str, ...]:
        """What waits for one has no part in the protocol's safety."""

        def answer() -> tuple[str, ...]:
            model = self.model
            running = model.other_sync_for > 0
            model.other_sync_for -= running
            own = model.own_sync_for > 0 and model.stored is not None and model.stored.name != besides
            return (*(("Other",) if running else ()), *((model.provider_now.name,) if own else ()))

        return await self._call("running_syncs", answer)

    async def last_change(self, pk: ProviderPk) -> ProviderChange | None:
        def answer() -> ProviderChange | None:
            self._may(self.model.events_readable, "view events")
            self.line.looked()
            return self.model.change

        return await self._call("last_change", answer, "read" if self.model.events_readable else "free")

    async def emit_event(self, action: str, context: Mapping[str, object]) -> None:
        def write() -> None:
            self._may(self.model.events_writable, "add events", "Give it add_event.")
            self.model.told.insert(0, (action, dict(context), self.model.clock.now()))

        await self._call("emit_event", write)

    async def own_events(self, connection: str) -> tuple[OwnEvent, ...]:
        def answer() -> tuple[OwnEvent, ...]:
            self._may(self.model.events_readable, "view events")
            return tuple(
                OwnEvent(str(context["happened"]), at, str(context.get("code", "")))
                for _, context, at in self.model.told
                if context["connection"] == connection
            )

        return await self._call("own_events", answer)

    # --- teardown

    async def provider_dependents(self, pk: ProviderPk) -> tuple[Dependent, ...]:
        schedule = Dependent("schedule", "1", "Schedule", "cascade")
        return await self._call("provider_dependents", lambda: (schedule,))

    async def application_dependents(self, application: AuthentikApplication) -> tuple[Dependent, ...]:
        found = tuple(
            Dependent("provider", str(pk), "provider", "cascade")
            for pk in application.backchannel_provider_pks
        )
        return await self._call("application_dependents", lambda: found)

    async def application_bindings(self, application: AuthentikApplication) -> int | None:
        return await self._call("application_bindings", lambda: self.model.bindings)

    def _forget_provider(self) -> None:
        self.model.stored, self.model.secret, self.model.change = None, "", None

    async def delete_provider(self, pk: ProviderPk) -> bool:
        def delete() -> bool:
            if self.model.stored is None or self.model.stored.pk != pk:
                return False
            self._forget_provider()
            if self.model.application is not None:
                pks = self.model.application.backchannel_provider_pks
                left = tuple(item for item in pks if item != pk)
                self.model.application = replace(self.model.application, backchannel_provider_pks=left)
            return True

        return await self._call("delete_provider", delete, "write")

    async def delete_application(self, application: AuthentikApplication) -> bool:
        def delete() -> bool:
            if self.model.application is None or self.model.application.slug != application.slug:
                return False
            if self.model.attached:
                self._forget_provider()
            self.model.application = None
            return True

        return await self._call("delete_application", delete, "write")
