"""Where a schedule begins, and what people may do meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from sim_authentik import Stored
from sim_tenant import moment
from sim_world import World

from authentik_entra_bootstrap.domain import ClientSecret, SecretPolicy
from authentik_entra_bootstrap.domain.application_tags import Delivered, Marks, Previous, read_marks

DAY, HOUR = 86400.0, 3600.0
LIFETIME = timedelta(days=180)
NAME = "authentik-entra:default:aaaaaaaaaaaaaa{:02x}"


def ours(world: World, age: float, *, lifetime: timedelta = LIFETIME) -> ClientSecret:
    """A secret of ours from before."""
    number = len(world.tenant.texts)
    end = moment(world.clock - age) + lifetime
    return world.tenant.add(-DAY, NAME.format(number), end, "start", start=world.clock - age)


def recorded(world: World, marks: Marks) -> None:
    world.tenant.write(-DAY, replace(world.tenant.app, tags=replace(marks, managed=True).tags()))


def begin(
    world: World, *, age: float, before: float | None = None, rested: float = 0.0, stray: float | None = None
) -> None:
    """A connection with a current secret and a stranger's beside it.

    :param age: of the current one, seconds.
    :param before: age of the one before it, which authentik held until then; also what the backup holds.
    :param rested: for how long that one's overlap has been over; negative while it lasts.
    :param stray: age of a secret on no record.
    """
    tenant, server = world.tenant, world.server
    tenant.add(-DAY, "somebody's", moment(400 * DAY), "stranger", start=-10 * DAY)
    old = ours(world, before) if before is not None else None
    current = ours(world, age)
    if stray is not None:
        ours(world, stray)
    previous = (Previous(old.key_id, moment(world.clock - rested)),) if old else ()
    recorded(world, Marks("default", current=Delivered(current.key_id, "start-2"), previous=previous))
    server.put(Stored(tenant.texts[(old or current).key_id], "start-1", world.clock - (before or age)))
    world.backup = server.now
    server.put(Stored(tenant.texts[current.key_id], "start-2", world.clock - age))
    server.sync(world.clock - min(age, 4 * HOUR))


def interrupted(world: World, *, delivered: bool, noted: bool) -> None:
    """An earlier run ended before its proof."""
    begin(world, age=121 * DAY)
    fresh = ours(world, 600.0)
    change = "start-2"
    if delivered:
        change = "run-0"
        world.server.put(Stored(world.tenant.texts[fresh.key_id], change, world.clock - 300))
        world.server.sync(world.clock - 300)
    marks = read_marks(world.tenant.app.tags)
    recorded(world, replace(marks, pending=Delivered(fresh.key_id, change if noted else None)))


def short_policy(world: World) -> None:
    begin(world, age=121 * DAY)
    world.policy = SecretPolicy(True, True, timedelta(days=30))


def not_due(world: World) -> None:
    begin(world, age=10 * DAY)
    world.watch.quiet = True


def just_rotated(world: World) -> None:
    begin(world, age=2 * HOUR, before=121 * DAY, rested=-22 * HOUR)
    world.watch.quiet = True
    # Replicas may still show the moment before the record.
    marks = read_marks(world.tenant.app.tags)
    earlier = Marks("default", current=Delivered(marks.previous[0].key_id, "start-1"))
    shown = world.tenant.app
    recorded(world, earlier)
    world.tenant.write(world.clock - 5, shown)


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
"""Named states in which a schedule begins."""


# --- what people do


def _put(world: World, text: str) -> None:
    world.server.save(world.clock, text, "person")
    world.watch.by_person()


def _restore(world: World) -> None:
    world.server.put(world.backup)
    world.watch.by_person()


def _old_text(world: World) -> None:
    _put(world, world.backup.text)


def _take_away(world: World, secret: ClientSecret | None) -> None:
    if secret is not None:
        world.tenant.taken_away.add(secret.key_id)
        world.tenant.remove(world.clock, secret.key_id)


def _current(world: World) -> ClientSecret | None:
    current = read_marks(world.tenant.app.tags).current
    return world.tenant.secret(current.key_id) if current else None


def _add_foreign(world: World) -> None:
    world.tenant.add(world.clock, "by hand", moment(400 * DAY), "stranger")


PEOPLE: Mapping[str, Callable[[World], None]] = {
    "another secret": lambda world: _put(world, "typed~by~hand"),
    "the secret before": _old_text,
    "another field": lambda world: _put(world, world.server.now.text),
    "backup": _restore,
    "current removed": lambda world: _take_away(world, _current(world)),
    "newest removed": lambda world: _take_away(world, world.tenant.app.secrets[-1]),
    "foreign added": _add_foreign,
}
"""What a person may do at any moment: in authentik (the first four) or in Entra ID."""


@dataclass(frozen=True)
class Scenario:
    """A start, the runs, and what may happen.

    :param runs: one entry for each worker: whether it is told to rotate although nothing is due.
    :param lease: ``none``: runs meet freely. ``exclusive``: they follow each other. ``expiring``: they follow each
        other, unless a lease is lost.
    :param people: which of :data:`PEOPLE` may act.
    :param margin: seconds that a call may take to be carried out.
    """

    start: str
    runs: tuple[bool, ...] = (False, False)
    lease: str = "none"
    people: tuple[str, ...] = ()
    hints: bool = False
    readable: bool = True
    lag: float = 20.0
    margin: float = 3600.0
