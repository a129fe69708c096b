"""One worker's two ports into the model: what ``rotate`` calls, each call a point at which anything may happen."""

# ruff: noqa: ARG002 - the ports' signatures

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sim_tenant import TENANT, moment

from authentik_entra_bootstrap.domain import (
    AppId,
    Application,
    AppObjectId,
    KeyId,
    LicenseInfo,
    NewClientSecret,
    Organization,
    PermissionCheck,
    Provider,
    ProviderChange,
    ProviderPk,
    SecretPolicy,
    SecretText,
    ServerInfo,
    TaskRecord,
    TokenClaims,
    Written,
)
from authentik_entra_bootstrap.errors import Denied

if TYPE_CHECKING:
    from sim_worker import Worker

_SERVER = ServerInfo("2026.5.0", frozenset({"name", "client_id", "client_secret"}))
_CLAIMS = TokenClaims(TENANT, "operator", AppId("operator"), roles=frozenset({"Application.ReadWrite.All"}))


class Session:
    """A sign-in that succeeded."""

    claims = TokenClaims(TENANT, "sync", AppId("client"))

    async def organization(self) -> Organization:
        return Organization(TENANT, "Contoso")


class Entra:
    """``EntraPort``."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.tenant = worker.world.tenant

    async def operator(self) -> TokenClaims:
        return _CLAIMS

    async def secret_policy(self, app_object_id: AppObjectId | None) -> SecretPolicy:
        return self.worker.world.policy

    async def find_application(self, unique_name: str) -> Application | None:
        return await self.application(AppObjectId("object"))

    async def application(self, app_object_id: AppObjectId) -> Application | None:
        def read(view: int) -> Application:
            return self.tenant.views(self.worker.world.clock)[view].app

        made: Application = await self.worker.call("application", read, kind="replica")
        return made

    async def update_application(
        self, app_object_id: AppObjectId, *, tags: Sequence[str] | None = None, **others: object
    ) -> None:
        assert tags is not None
        assert not others

        def write(_: int) -> None:
            self.tenant.write(self.worker.world.clock, replace(self.tenant.app, tags=tuple(tags)))

        await self.worker.call("update_application", write, kind="write")

    async def add_secret(
        self, app_object_id: AppObjectId, *, display_name: str, end_date_time: datetime
    ) -> NewClientSecret:
        def add(delays: int) -> NewClientSecret:
            world = self.worker.world
            made = self.tenant.add(
                world.clock, display_name, end_date_time, self.worker.name, world.delays[delays]
            )
            return NewClientSecret(made, SecretText(self.tenant.texts[made.key_id]))

        made: NewClientSecret = await self.worker.call("add_secret", add, kind="add")
        return made

    async def remove_secret(self, app_object_id: AppObjectId, key_id: KeyId) -> bool:
        def remove(view: int) -> bool:
            world = self.worker.world
            shown = self.tenant.views(world.clock)[view].app
            if all(item.key_id != key_id for item in shown.secrets):
                return False  # a replica that has not seen it yet
            world.watch.removing(self.worker, key_id)
            return self.tenant.remove(world.clock, key_id)

        done: bool = await self.worker.call("remove_secret", remove, kind="remove")
        return done

    async def sign_in_as(self, app_id: AppId, secret: SecretText) -> Session:
        def sign_in(wish: int) -> Session:
            world = self.worker.world
            replica = self.tenant.replica(self.worker.name, world.wish(wish))
            code = self.tenant.refusal(world.clock, secret.reveal(), replica)
            if code is not None:
                raise Denied("secret-not-accepted", f"{code} by replica {replica}")
            return Session()

        made: Session = await self.worker.call("sign_in_as", sign_in, kind="token")
        return made


class Authentik:
    """``AuthentikPort``."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.server_model = worker.world.server

    async def server(self) -> ServerInfo:
        return _SERVER

    async def license(self) -> LicenseInfo:
        return LicenseInfo("valid")

    async def permissions(self, purpose: str) -> tuple[PermissionCheck, ...]:
        return ()

    async def running_syncs(self, besides: str = "") -> tuple[str, ...]:
        """No other provider: what waits for one has no part in the protocol's safety."""
        return ()

    async def find_provider(self, name: str) -> Provider | None:
        if not self.server_model.hints:
            return self.server_model.provider()
        return await self.provider(ProviderPk(3))

    async def provider(self, pk: ProviderPk) -> Provider | None:
        found: Provider = await self.worker.call(
            "provider", lambda _: self.server_model.provider(), kind="read"
        )
        return found

    async def last_change(self, pk: ProviderPk) -> ProviderChange | None:
        if not self.server_model.readable:
            raise Denied("authentik-permission-missing", "The token may not read audit events.")

        def read(_: int) -> ProviderChange:
            self.worker.looked()
            return self.server_model.change()

        found: ProviderChange = await self.worker.call("last_change", read, kind="read")
        return found

    async def sync_tasks(self, pk: ProviderPk) -> tuple[TaskRecord, ...]:
        found: tuple[TaskRecord, ...] = await self.worker.call(
            "sync_tasks", lambda _: tuple(self.server_model.tasks), kind="read"
        )
        return found

    async def update_provider(
        self, pk: ProviderPk, changes: Mapping[str, object], secret: SecretText | None = None
    ) -> Written[Provider]:
        assert secret is not None
        assert not changes

        def save(mangled: int) -> Written[Provider]:
            world, text = self.worker.world, secret.reveal()
            world.watch.delivering(self.worker, text, mangled=bool(mangled))
            self.server_model.mangles = bool(mangled)
            request = self.server_model.save(world.clock, text[:-1] if mangled else text, "run")
            self.worker.saved()
            return Written(self.server_model.provider(), request)

        written: Written[Provider] = await self.worker.call("update_provider", save, kind="save")
        return written

    async def request_proof(self, pk: ProviderPk, probe_id: int) -> str | None:
        def ask(busy: int) -> str:
            self.server_model.busy = bool(busy)
            return "asked"

        asked: str = await self.worker.call("request_proof", ask, kind="ask")
        return asked

    async def proof_task(self, pk: ProviderPk, provider_name: str, probe_id: int) -> TaskRecord | None:
        def read(wish: int) -> TaskRecord:
            world = self.worker.world
            now = moment(world.clock)
            if self.server_model.busy:
                return TaskRecord(f"probe:{probe_id}", "queued", now)
            lines = self.server_model.sign_in(world.clock, world.wish(wish))
            return TaskRecord(f"probe:{probe_id}", "done" if len(lines) > 1 else "queued", now, lines)

        found: TaskRecord = await self.worker.call("proof_task", read, kind="token")
        return found


def digest(reply: Any) -> int:
    """Equal for replies that tell a worker the same."""
    if isinstance(reply, Application):
        return hash((reply.tags, tuple(item.key_id for item in reply.secrets)))
    if isinstance(reply, tuple):
        return hash(tuple((item.mtime, item.log_lines) for item in reply))
    if isinstance(reply, NewClientSecret):
        return hash(reply.record)
    if isinstance(reply, Session):
        return 1
    return hash(reply)
