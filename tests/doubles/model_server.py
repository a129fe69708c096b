"""A small authentik: providers, the stored secret, the audit trail, and a worker that signs in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from model_line import Clock
from model_tenant import Tenant

from authentik_entra_bootstrap.domain import (
    USER_AGENT,
    ApiToken,
    AuthentikApplication,
    LicenseInfo,
    Person,
    Provider,
    ProviderChange,
    ServerInfo,
    TaskRecord,
)

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
BROWSER = "Mozilla/5.0"


@dataclass(frozen=True)
class Backup:
    """What a backup of authentik's database holds."""

    secret: str
    change: ProviderChange | None


class Server:
    """The server. Its attributes are what tests change: a token that lacks something, a worker that stands still."""

    def __init__(self, clock: Clock, tenant: Tenant) -> None:
        self.clock, self.tenant = clock, tenant
        self.info = ServerInfo("2026.5.0", FIELDS | {"discovery_enabled"})
        self.licence = LicenseInfo("valid", datetime(2036, 1, 1, tzinfo=UTC))
        self.api_tokens = (ApiToken("entra-bootstrap", 7, "api"),)
        self.clock_difference = timedelta()
        self.shows_hints = False
        """Whether it gives the stored secret back, as releases up to early 2026 do."""
        self.constant = False
        """Whether nothing but the secret ever changes, so that a read of the provider shows nothing new."""
        self.attaching_is_a_change = False
        """Whether the audit trail takes the assignment to an application for a change of the provider."""
        self.worker_runs = True
        """Whether tasks are processed at all."""
        self.busy = False
        """Whether the last proof is not taken."""
        self.reaches_microsoft = True
        self.names_errors = True
        """Whether the log of a failed attempt has the error (not since 2026.5)."""
        self.events_readable = self.events_writable = self.tasks_readable = True
        self.own_sync_for = 0
        """Looks at ``sync/status`` that find a full sync of the provider running."""
        self.other_sync_for = 0
        """The same for another provider, “Other”."""
        self.stores: object = None
        """What it does to a delivered secret before storing it (a fault when it changes it)."""
        self.mangles = False
        """Whether it changed the last one."""
        self.missing_permissions: frozenset[str] = frozenset()
        self.groups = {"entra-users": "group-1"}
        self.members = {"group-1": frozenset({2, 3})}
        """Of each group, by primary key."""
        self.defaults: tuple[tuple[str, ...], tuple[str, ...]] = ((USER_MAPPING,), (GROUP_MAPPING,))
        self.mappings = {"by mail": "mapping-mail"}
        self.people = (
            Person(1, "akadmin", "root@contoso.example"),
            *(Person(pk, f"user{pk}", f"user{pk}@contoso.example") for pk in range(2, 13)),
        )
        self.linked: frozenset[int] | None = frozenset()
        self.holder: str | None = None
        self.bindings: int | None = 0
        self.stored: Provider | None = None
        self.secret = ""
        self.application: AuthentikApplication | None = None
        self.change: ProviderChange | None = None
        self.tasks: list[TaskRecord] = []
        self.scheduled: list[TaskRecord] = []
        self.whole: list[TaskRecord] = []
        self.told: list[tuple[str, dict[str, object], datetime]] = []
        """Our own events, newest first: action, context, when."""
        self.probes: list[int] = []
        self.syncs = self.requests = 0
        self.signed_in = False
        """Whether the worker has signed in with what is stored now."""
        self.delivered: set[str] = set()
        """Every text that was ever stored."""

    # --- what stands

    @property
    def provider_now(self) -> Provider:
        assert self.stored is not None
        return self.stored

    def shown(self) -> Provider | None:
        """The provider as the API shows it."""
        if self.stored is None or not self.shows_hints:
            return self.stored
        return replace(self.stored, secret_hint=self.secret[:3])

    @property
    def change_id(self) -> str | None:
        """Request id of the audit trail's last change."""
        return self.change.request_id if self.change else None

    @property
    def attached(self) -> bool:
        return bool(
            self.stored
            and self.application
            and int(self.stored.pk) in self.application.backchannel_provider_pks
        )

    @property
    def last_sign_in(self) -> datetime | None:
        """When a task was last seen to sign in."""
        return next(
            (item.mtime for item in self.tasks if any("Syncing" in line for line in item.log_lines)), None
        )

    def works(self) -> bool:
        """Whether every token service replica accepts what is stored."""
        return self.stored is not None and self.tenant.accepted(self.stored.client_id, self.secret)

    def digest(self) -> int:
        """Equal for equal contents, as far as the protocol goes."""
        newest, since = self.last_sign_in, self.change.created if self.change else None
        recent = newest is not None and since is not None and newest >= since
        provider = (self.stored, self.application) if self.stored else None
        return hash((self.secret, self.change, provider, self.busy, self.mangles, self.signed_in, recent))

    # --- what happens to it

    def request_id(self, who: str = "run") -> str:
        self.requests += 1
        return f"{who}-{self.requests}"

    def put(self, secret: str, change: ProviderChange | None) -> None:
        """What the database holds from now on."""
        self.secret, self.change = secret, change
        self.signed_in = False
        self.delivered.add(secret)

    def backup(self) -> Backup:
        return Backup(self.secret, self.change)

    def store(self, text: str, *, mangled: bool = False) -> None:
        """Take a delivered secret."""
        self.mangles = mangled
        kept = text[:-1] if mangled else text
        self.secret = self.stores(kept) if callable(self.stores) else kept

    def saved(
        self,
        action: str = "model_updated",
        *,
        over_http: bool = True,
        who: str = "run",
        agent: str = f"{USER_AGENT}/1.0",
    ) -> str | None:
        """An audit event, and a full sync where the provider is assigned."""
        request = self.request_id(who) if over_http else None
        self.put(self.secret, self._event(request, action, agent if over_http else None))
        if self.attached:
            self.full_sync()
        return request

    def _event(self, request: str | None, action: str, agent: str | None) -> ProviderChange:
        # Only a save without a secret asks for them; fewer states differ without.
        known = self.change is not None and not self.constant
        before = (self.change.request_id, *self.change.earlier)[:4] if known else ()
        return ProviderChange(request, action, self.clock.now(), "operator", agent, before)

    def assigned(self) -> str:
        """The provider was attached to the application, or taken from it."""
        assert self.application is not None
        self.stored = replace(
            self.provider_now, application_slug=self.application.slug if self.attached else None
        )
        request = self.request_id()
        if self.attaching_is_a_change:
            self.change = self._event(request, "model_updated", f"{USER_AGENT}/1.0")
        return request

    def person_changes_provider(self, secret: str | None = None) -> None:
        """Somebody saves the provider in the admin interface, perhaps with another secret."""
        self.secret = self.secret if secret is None else secret
        self.saved(who="person", agent=BROWSER)

    def full_sync(self) -> None:
        """What saving and the four-hourly schedule start."""
        self.syncs += 1
        lines = self.sign_in() if self.worker_runs else ()
        record = TaskRecord(f"sync:{self.syncs}", "done" if lines else "queued", self.clock.now(), lines)
        self.tasks.insert(0, record)

    def sign_in(self, replica: int | None = None) -> tuple[str, ...]:
        """The log of a task of the worker, which signs in with what is stored."""
        if not self.reaches_microsoft:
            return ("Starting sync", "Task finished")
        asked = self.tenant.replica("authentik", replica)
        code = self.tenant.refusal(self.provider_now.client_id, self.secret, asked)
        if code is None:
            self.signed_in = True
            return ("Starting sync", "Syncing page 1 of Users")
        if not self.names_errors:
            return ("Task has been queued", "Task is being processed", "Task will be retried")
        return (f"ClientAuthenticationError {code}: the sign-in was refused.",)

    def probe(self, probe_id: int, replica: int | None = None) -> TaskRecord:
        """The task of a proof, which the worker runs when it is looked at."""
        uid, now = f"probe:{probe_id}", self.clock.now()
        if self.busy or not self.worker_runs:
            return TaskRecord(uid, "queued", now)
        if not self.attached:
            lines: tuple[str, ...] = ("No provider found. Is it assigned to an application?",)
        else:
            lines = self.sign_in(replica)
        good = any("Syncing page" in line for line in lines) or not self.reaches_microsoft
        record = TaskRecord(uid, "done" if good else "queued", now, lines)
        self.tasks = [record, *(task for task in self.tasks if task.uid != uid)]
        return record
