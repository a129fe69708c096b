"""Where a schedule begins, and what people may do meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from model_line import moment
from model_tenant import GRAPH, NEVER, OPERATOR, TENANT, Version, View
from sim_worker import BOOTSTRAP, DESIRED, ROTATE
from sim_world import World

from authentik_entra_bootstrap.domain import (
    USER_AGENT,
    AppId,
    Application,
    AppObjectId,
    AppRoleAssignment,
    AuthentikApplication,
    ClientSecret,
    DelegatedGrant,
    Provider,
    ProviderChange,
    ProviderPk,
    SecretPolicy,
    ServicePrincipal,
    ServicePrincipalObjectId,
)
from authentik_entra_bootstrap.domain.application_tags import ApplicationTags, Delivered, Previous
from authentik_entra_bootstrap.planning.permissions import resolve

DAY, HOUR = 86400.0, 3600.0
LIFETIME = timedelta(days=180)
NAME = "authentik-entra:default:aaaaaaaaaaaaaa{:02x}"


_PRINCIPAL = ServicePrincipal(ServicePrincipalObjectId("principal"), AppId("client"))
_BY = (_PRINCIPAL.service_principal_object_id, GRAPH.service_principal_object_id)
_APPLICATION = Application(
    AppObjectId("object"),
    AppId("client"),
    DESIRED.application_name,
    DESIRED.unique_name,
    "AzureADMyOrg",
    ApplicationTags("default", managed=True).texts(),
    frozenset(item.requested_access() for item in resolve(DESIRED.permissions, GRAPH)),
)
_GRANTED = View(
    _APPLICATION,
    owners=frozenset({OPERATOR}),
    principal=_PRINCIPAL,
    assignments=(AppRoleAssignment(GRAPH.app_roles["Group.Create"], *_BY),),
    grant=DelegatedGrant("grant", *_BY, frozenset({"User.Read"})),
)
_PROVIDER = Provider(
    ProviderPk(3), DESIRED.provider_name, "client", str(TENANT), sync_page_size=DESIRED.sync_page_size
)
_SLUG = DESIRED.authentik_application_slug


def ours(world: World, age: float, *, lifetime: timedelta = LIFETIME) -> ClientSecret:
    """A secret of ours from before."""
    number = len(world.tenant.texts)
    end = moment(world.clock - age) + lifetime
    return world.tenant.add(NAME.format(number), end, "start", start=world.clock - age, at=-DAY)


def recorded(world: World, marks: ApplicationTags) -> None:
    world.tenant.change_app(at=-DAY, tags=replace(marks, managed=True).texts())


def directory(world: World, view: View) -> None:
    """What every replica has shown for ever."""
    world.tenant.versions = [Version(-NEVER, view, hash(view))]


def provided(world: World, *, attached: bool = True) -> None:
    """authentik's provider and its application."""
    pks = (int(_PROVIDER.pk),) if attached else ()
    world.server.stored = replace(_PROVIDER, application_slug=_SLUG if attached else None)
    world.server.application = AuthentikApplication("app", _SLUG, "Microsoft Entra ID", None, pks)


def holds(world: World, secret: ClientSecret, change: str, age: float) -> None:
    """authentik was given a secret some time ago."""
    at = moment(world.clock - age)
    text = world.tenant.texts[secret.key_id]
    world.server.put(text, ProviderChange(change, "model_updated", at, "operator", f"{USER_AGENT}/1.0"))


def synced(world: World, age: float) -> None:
    """authentik has signed in some time ago."""
    now, world.time.seconds = world.clock, world.clock - age
    world.server.full_sync()
    world.time.seconds = now


def begin(
    world: World, *, age: float, before: float | None = None, rested: float = 0.0, stray: float | None = None
) -> None:
    """A connection with a current secret and a stranger's beside it.

    :param age: of the current one, seconds.
    :param before: age of the one before it, which authentik held until then; also what the backup holds.
    :param rested: for how long that one's overlap has been over; negative while it lasts.
    :param stray: age of a secret on no record.
    """
    directory(world, _GRANTED)
    provided(world)
    world.tenant.add("somebody's", moment(400 * DAY), "stranger", start=-10 * DAY, at=-DAY)
    old = ours(world, before) if before is not None else None
    current = ours(world, age)
    if stray is not None:
        ours(world, stray)
    previous = (Previous(old.key_id, moment(world.clock - rested)),) if old else ()
    recorded(
        world, ApplicationTags("default", current=Delivered(current.key_id, "start-2"), previous=previous)
    )
    holds(world, old or current, "start-1", before or age)
    world.backup = world.server.backup()
    holds(world, current, "start-2", age)
    synced(world, min(age, 4 * HOUR))


def interrupted(world: World, *, delivered: bool, noted: bool) -> None:
    """An earlier run ended before its proof."""
    begin(world, age=121 * DAY)
    fresh = ours(world, 600.0)
    change = "start-2"
    if delivered:
        change = "run-0"
        holds(world, fresh, change, 300)
        synced(world, 300)
    pending = Delivered(fresh.key_id, change if noted else None)
    recorded(world, replace(world.tenant.marks, pending=pending))


def short_policy(world: World) -> None:
    begin(world, age=121 * DAY)
    world.tenant.policy = SecretPolicy(True, True, timedelta(days=30))


def not_due(world: World) -> None:
    begin(world, age=10 * DAY)
    world.watch.quiet = True


def just_rotated(world: World) -> None:
    begin(world, age=2 * HOUR, before=121 * DAY, rested=-22 * HOUR)
    world.watch.quiet = True
    # Replicas may still show the moment before the record.
    shown = world.tenant.marks
    recorded(world, ApplicationTags("default", current=Delivered(shown.previous[0].key_id, "start-1")))
    world.tenant.change_app(at=world.clock - 5, tags=shown.texts())


def first_delivery(world: World, *, noted: bool, attached: bool) -> None:
    """The first bootstrap ended between the creation of the provider and its record."""
    directory(world, _GRANTED)
    provided(world, attached=attached)
    fresh = ours(world, 600.0)
    holds(world, fresh, "run-0", 300)
    recorded(world, ApplicationTags("default", pending=Delivered(fresh.key_id, "run-0" if noted else None)))


def drifted(world: World, *, age: float) -> None:
    """A field of the provider is not what the settings name."""
    begin(world, age=age)
    world.server.stored = replace(world.server.provider_now, sync_page_size=7)


def detached(world: World) -> None:
    """The provider was taken from its application."""
    begin(world, age=10 * DAY)
    provided(world, attached=False)


STARTS: Mapping[str, Callable[[World], None]] = {
    "not due": not_due,
    "just rotated": just_rotated,
    "due": lambda world: begin(world, age=121 * DAY),
    "due, with older ones": lambda world: begin(
        world,
        age=121 * DAY,
        before=240 * DAY - LIFETIME.total_seconds() + 121 * DAY,
        rested=HOUR,
        stray=3 * HOUR,
    ),
    "overlap over": lambda world: begin(world, age=25 * HOUR, before=122 * DAY, rested=HOUR),
    "pending": lambda world: interrupted(world, delivered=False, noted=False),
    "delivered": lambda world: interrupted(world, delivered=True, noted=False),
    "noted": lambda world: interrupted(world, delivered=True, noted=True),
    "policy shortens": short_policy,
}
"""Named states in which a rotation, or a bootstrap, begins."""
FIRST: Mapping[str, Callable[[World], None]] = {
    "nothing": lambda world: directory(world, View()),
    "application alone": lambda world: directory(world, View(_APPLICATION, owners=frozenset({OPERATOR}))),
    "granted": lambda world: directory(world, _GRANTED),
    "not attached": lambda world: first_delivery(world, noted=False, attached=False),
    "not attached, noted": lambda world: first_delivery(world, noted=True, attached=False),
    "not recorded": lambda world: first_delivery(world, noted=False, attached=True),
    "not proven": lambda world: first_delivery(world, noted=True, attached=True),
    "drifted": lambda world: drifted(world, age=10 * DAY),
    "drifted and due": lambda world: drifted(world, age=121 * DAY),
    "detached": detached,
}
"""Those in which only a bootstrap knows what to do."""


# --- what people do


def _put(world: World, text: str) -> None:
    world.server.person_changes_provider(text)
    world.watch.by_person()


def _restore(world: World) -> None:
    world.server.put(world.backup.secret, world.backup.change)
    world.watch.by_person()


def _old_text(world: World) -> None:
    _put(world, world.backup.secret)


def _take_away(world: World, secret: ClientSecret | None) -> None:
    if secret is not None:
        world.tenant.taken_away.add(secret.key_id)
        world.tenant.remove(secret.key_id)


def _current(world: World) -> ClientSecret | None:
    current = world.tenant.marks.current
    return world.tenant.secret(current.key_id) if current else None


def _add_foreign(world: World) -> None:
    world.tenant.add("by hand", moment(400 * DAY), "stranger")


PEOPLE: Mapping[str, Callable[[World], None]] = {
    "another secret": lambda world: _put(world, "typed~by~hand"),
    "the secret before": _old_text,
    "another field": lambda world: _put(world, world.server.secret),
    "backup": _restore,
    "current removed": lambda world: _take_away(world, _current(world)),
    "newest removed": lambda world: _take_away(world, next(reversed(world.tenant.secrets), None)),
    "foreign added": _add_foreign,
}
"""What a person may do at any moment: in authentik (the first four) or in Entra ID."""


@dataclass(frozen=True)
class Scenario:
    """A start, the runs, and what may happen.

    :param runs: what each worker runs.
    :param lease: ``none``: runs meet freely. ``exclusive``: they follow each other. ``expiring``: they follow each
        other, unless a lease is lost.
    :param people: which of :data:`PEOPLE` may act.
    :param margin: seconds that a call may take to be carried out.
    """

    start: str
    runs: tuple[str, ...] = (ROTATE, ROTATE)
    lease: str = "none"
    people: tuple[str, ...] = ()
    hints: bool = False
    readable: bool = True
    lag: float = 20.0
    margin: float = 3600.0

    @property
    def bootstraps(self) -> bool:
        return BOOTSTRAP in self.runs
