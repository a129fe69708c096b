"""A small authentik: the stored secret, the audit trail, and a worker that signs in."""

from __future__ import annotations

from dataclasses import dataclass

from sim_tenant import TENANT, Tenant, moment

from authentik_entra_bootstrap.domain import Provider, ProviderChange, ProviderPk, TaskRecord

PROVIDER = Provider(
    ProviderPk(3), "Microsoft Entra ID", "client", str(TENANT), application_slug="microsoft-entra-id"
)


@dataclass(frozen=True)
class Stored:
    """What authentik's database holds: a backup is one of these.

    :param change: request id of the audit trail's last change.
    """

    text: str
    change: str
    created: float


class Server:
    """The server.

    :param hints: whether it gives the stored secret back, as releases up to early 2026 do.
    :param readable: whether the token may read audit events.
    """

    def __init__(self, tenant: Tenant, *, hints: bool, readable: bool) -> None:
        self.tenant = tenant
        self.hints = hints
        self.readable = readable
        self.now = Stored("", "", 0.0)
        self.requests = 0
        self.tasks: list[TaskRecord] = []
        self.busy = False
        self.mangles = False
        self.signed_in = False
        """Whether the worker has signed in with what is stored now."""
        self.delivered: set[str] = set()
        """Every text that was ever stored."""

    def provider(self) -> Provider:
        """As the API shows it."""
        if not self.hints:
            return PROVIDER
        return Provider(
            PROVIDER.pk,
            PROVIDER.name,
            PROVIDER.client_id,
            PROVIDER.tenant_id,
            application_slug=PROVIDER.application_slug,
            secret_hint=self.now.text[:3],
        )

    def change(self) -> ProviderChange:
        """The trail's last change."""
        return ProviderChange(self.now.change, "model_updated", moment(self.now.created), "somebody")

    def save(self, at: float, text: str, who: str) -> str:
        """Store a text; saving an assigned provider starts a full sync at once."""
        self.requests += 1
        self.put(Stored(text, f"{who}-{self.requests}", at))
        self.sync(at)
        return self.now.change

    def put(self, stored: Stored) -> None:
        """The database from now on."""
        self.now = stored
        self.signed_in = False
        self.delivered.add(stored.text)

    def sync(self, at: float, replica: int | None = None) -> None:
        """A full sync, as the schedule and each save start one."""
        lines = self.sign_in(at, replica)
        self.tasks.insert(0, TaskRecord(f"sync:{len(self.tasks)}", "done", moment(at), lines))

    def sign_in(self, at: float, replica: int | None = None) -> tuple[str, ...]:
        """The log of a task of the worker, which signs in with what is stored."""
        code = self.tenant.refusal(at, self.now.text, self.tenant.replica("authentik", replica))
        if code is not None:
            return (f"ClientAuthenticationError {code}",)
        self.signed_in = True
        return ("Starting sync", "Syncing page 1 of Users")

    def digest(self) -> int:
        """Equal for equal contents."""
        newest = next((item for item in self.tasks if "Syncing" in item.log_lines[-1]), None)
        recent = newest is not None and newest.mtime is not None and newest.mtime >= moment(self.now.created)
        return hash((self.now, self.busy, self.mangles, self.signed_in, recent))
