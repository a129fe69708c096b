"""A small Entra ID: one truth, Graph replicas that lag and flap, token service replicas that learn separately.

A read is answered by a replica that is up to date, or by one that shows the tenant as it was some seconds ago. A
sign-in is answered by one of two token service replicas, each of which learns of a new secret, and forgets a removed
one, at a time of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from model_line import Clock, moment

from authentik_entra_bootstrap.domain import (
    MICROSOFT_GRAPH_APP_ID,
    AppId,
    Application,
    AppRoleAssignment,
    ClientSecret,
    DelegatedGrant,
    DeletedApplication,
    KeyId,
    NewClientSecret,
    Organization,
    ResourcePrincipal,
    SecretPolicy,
    SecretText,
    ServicePrincipal,
    ServicePrincipalObjectId,
    TenantId,
    TokenClaims,
)
from authentik_entra_bootstrap.domain.application_tags import ApplicationTags, read_tags

TENANT = TenantId("11111111-2222-4333-8444-555555555555")
OPERATOR = "aaaaaaaa-0000-4000-8000-000000000001"
ORGANIZATION = Organization(TENANT, "Contoso", ("contoso.example",))
GRAPH = ResourcePrincipal(
    ServicePrincipalObjectId("99999999-0000-4000-8000-000000000001"),
    MICROSOFT_GRAPH_APP_ID,
    app_roles={
        "Group.Create": "role-group-create",
        "Group.ReadWrite.All": "role-group-readwrite",
        "GroupMember.ReadWrite.All": "role-member-readwrite",
        "User.ReadWrite.All": "role-user-readwrite",
    },
    scopes={"User.Read": "scope-user-read", "User.ReadWrite.All": "scope-user-readwrite"},
)
ALL_RIGHTS = frozenset(
    {
        "Application.ReadWrite.OwnedBy",
        "Application.Read.All",
        "AppRoleAssignment.ReadWrite.All",
        "DelegatedPermissionGrant.ReadWrite.All",
        "Policy.Read.All",
    }
)
NEVER = float("inf")
REFUSALS = {
    "AADSTS700016": "application-not-found",
    "AADSTS7000215": "secret-not-accepted",
    "AADSTS7000222": "secret-expired",
}
"""The token service's code -> the product's."""


@dataclass(frozen=True)
class View:
    """The tenant at one moment, as a replica that is up to date shows it."""

    application: Application | None = None
    deleted: DeletedApplication | None = None
    owners: frozenset[str] = frozenset()
    principal: ServicePrincipal | None = None
    assignments: tuple[AppRoleAssignment, ...] = ()
    grant: DelegatedGrant | None = None


@dataclass(frozen=True)
class Version:
    """The tenant from a moment on.

    :param digest: equal for equal contents.
    """

    at: float
    view: View
    digest: int


class Tenant:
    """The directory and its token service. Lags are seconds."""

    def __init__(self, clock: Clock, lag: float = 0.0) -> None:
        self.clock = clock
        self.lag = lag
        """By how much a Graph replica may be behind."""
        self.flapping = True
        """Whether only every other reply is that old."""
        self.secret_lag = 0.0
        """After which the token service accepts a new secret, where the line does not say otherwise."""
        self.role_lag = 0.0
        """After which a token has a role that was granted."""
        self.directory_lag = 0.0
        """After which Graph honours it."""
        self.forgets = (0.0, 0.0)
        """For how long each token service replica still accepts a removed secret."""
        self.operator_claims = TokenClaims(TENANT, OPERATOR, AppId("operator"), roles=ALL_RIGHTS)
        self.policy = SecretPolicy(known=True)
        self.may_consent = True
        self.add_secret_refusals = 0
        """How many more times a replica does not know the application yet."""
        self.clock_difference: timedelta | None = timedelta()
        self.others: dict[str, Application] = {}
        """Further applications by unique name."""
        self.versions = [Version(-NEVER, View(), 0)]
        self.kept: Application | None = None
        """What a deleted application was."""
        self.texts: dict[KeyId, str] = {}
        self.owners: dict[KeyId, str] = {}
        """Who made a secret: a run's name, ``start`` for one of ours from before, ``stranger``."""
        self.learns: dict[KeyId, tuple[float, float]] = {}
        """From when each token service replica accepts a secret."""
        self.ends: dict[str, tuple[ClientSecret, tuple[float, float]]] = {}
        """Removed secrets by text, and until when each replica still accepts them."""
        self.removed: list[KeyId] = []
        self.taken_away: set[KeyId] = set()
        """Secrets that a person removed."""
        self.granted_at: dict[str, float] = {}
        self.ever_marked = ""
        self.asked: dict[str, tuple[int, int]] = {}
        """Who signed in last at which token service replica, and how often in a row."""
        self.counter = 0

    # --- the truth

    @property
    def truth(self) -> View:
        return self.versions[-1].view

    @property
    def app(self) -> Application:
        assert self.truth.application is not None
        return self.truth.application

    @property
    def secrets(self) -> tuple[ClientSecret, ...]:
        """Those of the application, if there is one."""
        return self.truth.application.secrets if self.truth.application else ()

    @property
    def marks(self) -> ApplicationTags:
        """What the application remembers for us."""
        return read_tags(self.truth.application.tags) if self.truth.application else ApplicationTags()

    @property
    def digest(self) -> int:
        """Equal for equal contents."""
        return self.versions[-1].digest

    def change(self, *, at: float | None = None, **fields: object) -> None:
        """The truth changes; replicas that lag learn of it later."""
        view = replace(self.truth, **fields)
        self.versions.append(Version(self.clock.seconds if at is None else at, view, hash(view)))
        if view.application is not None:
            self.ever_marked += " ".join(view.application.tags)

    def change_app(self, *, at: float | None = None, **fields: object) -> None:
        self.change(at=at, application=replace(self.app, **fields))

    def next_id(self, kind: str) -> str:
        self.counter += 1
        return f"{kind}-{self.counter:04d}"

    def views(self) -> list[Version]:
        """What replicas may show now, the truth first, then as it was longer and longer ago."""
        shown: list[Version] = []
        for version in reversed(self.versions):
            if all(version.digest != item.digest for item in shown):
                shown.append(version)
            if version.at < self.clock.seconds - self.lag:
                break
        return shown

    # --- client secrets

    def secret(self, key_id: KeyId) -> ClientSecret | None:
        """A secret that exists."""
        return next((item for item in self.secrets if item.key_id == key_id), None)

    def holder_of(self, text: str) -> ClientSecret | None:
        """The secret with this text that exists."""
        return next((item for item in self.secrets if self.texts[item.key_id] == text), None)

    def add(
        self,
        name: str | None,
        end: datetime,
        owner: str,
        delays: tuple[float, float] = (0.0, 0.0),
        *,
        start: float | None = None,
        at: float | None = None,
    ) -> ClientSecret:
        """A new secret, known to each token service replica after a delay.

        :param start: of its lifetime; :param at: from when replicas show it; both now when left out.
        """
        now = self.clock.seconds if at is None else at
        key = KeyId(f"key-{len(self.texts)}")
        self.texts[key] = f"{len(self.texts):03d}~{key}"
        self.owners[key] = owner
        self.learns[key] = (now + delays[0], now + delays[1])
        begins = moment(now if start is None else start)
        made = ClientSecret(key, name, self.texts[key][:3], begins, end)
        self.change_app(at=at, secrets=(*self.secrets, made))
        return made

    def make_secret(
        self, display_name: str | None, end: datetime, text: str | None = None
    ) -> NewClientSecret:
        """A secret that somebody makes now, with its text."""
        made = self.add(display_name, end, "stranger", (self.secret_lag, self.secret_lag))
        self.texts[made.key_id] = text or self.texts[made.key_id]
        return NewClientSecret(made, SecretText(self.texts[made.key_id]))

    def remove(self, key_id: KeyId) -> bool:
        """Take a secret away; the token service forgets it a little later."""
        gone = self.secret(key_id)
        if gone is None:
            return False
        now = self.clock.seconds
        self.removed.append(key_id)
        self.ends[self.texts[key_id]] = (gone, (now + self.forgets[0], now + self.forgets[1]))
        self.change_app(secrets=tuple(item for item in self.secrets if item != gone))
        return True

    # --- the token service

    def replica(self, asker: str, wish: int | None = None) -> int:
        """The token service replica that answers: the other one than before, unless wished.

        Of five sign-ins in a row, each replica answers one: the assumption behind the product's number of sign-ins.
        """
        last, in_a_row = self.asked.get(asker, (1, 0))
        chosen = 1 - last if wish is None or (wish == last and in_a_row >= 4) else wish
        self.asked[asker] = (chosen, in_a_row + 1 if chosen == last else 1)
        return chosen

    def refusal(self, app_id: str, text: str, replica: int) -> str | None:
        """A token service replica's answer to a sign-in: ``None`` for success, else an AADSTS code."""
        application = self.truth.application
        if application is None or application.app_id.lower() != app_id.lower():
            return "AADSTS700016"
        now, found = self.clock.seconds, self.holder_of(text)
        if found is None:
            gone = self.ends.get(text)
            return None if gone is not None and now < gone[1][replica] else "AADSTS7000215"
        if not found.is_live(moment(now)):
            return "AADSTS7000222"
        return None if now >= self.learns[found.key_id][replica] else "AADSTS7000215"

    def accepted(self, app_id: str, text: str) -> bool:
        """Whether a secret with this text exists and every token service replica accepts it."""
        found = self.holder_of(text)
        return found is not None and all(self.refusal(app_id, text, replica) is None for replica in (0, 1))

    def claims(self, app_id: AppId) -> TokenClaims:
        """What a token of the application says now."""
        ripe = self.clock.seconds - self.role_lag
        names = {role_id: name for name, role_id in GRAPH.app_roles.items()}
        roles = frozenset(
            names[item.app_role_id]
            for item in self.truth.assignments
            if item.app_role_id in names and self.granted_at.get(item.app_role_id, ripe) <= ripe
        )
        return TokenClaims(TENANT, "sync", app_id, roles=roles)

    def honours_grants(self) -> bool:
        """Whether Graph knows of every grant."""
        return self.clock.seconds >= max(self.granted_at.values(), default=-NEVER) + self.directory_lag
