"""The invariants, looked at after every step. A broken one raises :class:`Violation`.

I1  No outage. No call of ours makes the secret that authentik holds invalid; authentik is given no secret that a token
    service replica refuses; a secret that authentik was ever given is removed only while authentik signs in with what
    it holds; and a recorded one stays for its overlap.
I2  No stranger: a secret that we did not make is never removed.
I3  No orphan: what authentik is given is on record before; a run that succeeds leaves no other secret that it made; and
    after one undisturbed run every secret of ours is current, resting, or too young to be given up.
I4  No loop: with nothing due, nothing is written.
I5  Truth: what a run reports, and what stands on record after an undisturbed one, is what authentik holds.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from model_line import moment

from authentik_entra_bootstrap.domain import KeyId
from authentik_entra_bootstrap.domain.policy import overlap_of

if TYPE_CHECKING:
    from sim_worker import Worker
    from sim_world import World


class Violation(AssertionError):
    """An invariant does not hold.

    :param invariant: ``I1`` to ``I5``.
    """

    def __init__(self, invariant: str, text: str, log: list[str]) -> None:
        super().__init__(f"{invariant}: {text}\nschedule: {log}")
        self.invariant, self.text, self.log = invariant, text, list(log)


class Watch:
    """Looks at every step of one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.quiet = False
        """Nothing is due: no run may write."""
        self.env_count = 0
        """How often a person or a backup has changed what authentik holds."""
        self.env_last = False
        """Whether that was the last change of it."""
        self.person_acted = False
        self.works = False
        self.protected: dict[KeyId, float] = {}
        """Until when a replaced secret that was on record has to stay, where no two runs met."""
        self.met = False
        """Whether two runs were under way at once."""

    def state(self) -> int:
        return hash((self.env_count, self.env_last, self.person_acted, self.met, tuple(self.protected)))

    def fail(self, invariant: str, text: str) -> Violation:
        return Violation(invariant, text, self.world.log)

    def by_person(self) -> None:
        """What authentik holds was just changed by somebody else than a run."""
        self.env_count += 1
        self.env_last = True

    # --- at single calls

    def removing(self, worker: Worker, key_id: KeyId) -> None:
        """A worker removes a secret."""
        tenant, server = self.world.tenant, self.world.server
        text = tenant.texts[key_id]
        if tenant.owners[key_id] == "stranger":
            raise self.fail("I2", f"{worker.name} removes {key_id}, which is not ours")
        if text == server.secret:
            # What a person does between our last look and the removal, the next call, cannot be seen.
            unseen = self.env_last and self.env_count > worker.env_seen
            if unseen and (worker.since_look <= REMOVAL or not server.events_readable):
                return
            raise self.fail("I1", f"{worker.name} removes {key_id}, which authentik holds")
        known = worker.looks[-1][1] if worker.looks else worker.saved_change
        if text in server.delivered and not server.signed_in and known == server.change_id:
            raise self.fail("I1", f"{worker.name} removes {key_id} without a proof")
        if not self.met and not self.person_acted and self.world.clock < self.protected.get(key_id, 0.0):
            raise self.fail("I1", f"{worker.name} removes {key_id} within its overlap")

    def delivering(self, worker: Worker, text: str, *, mangled: bool) -> None:
        """A worker gives authentik a secret."""
        tenant, server, clock = self.world.tenant, self.world.server, self.world.clock
        key_id = next(key for key, value in tenant.texts.items() if value == text)
        self.env_last = False
        if f"={key_id}" not in tenant.ever_marked:
            raise self.fail("I3", f"{worker.name} delivers {key_id}, which was never on record")
        if not mangled and key_id not in tenant.taken_away and not tenant.accepted(tenant.app.app_id, text):
            raise self.fail(
                "I1", f"{worker.name} delivers {key_id}, which Entra ID does not accept everywhere"
            )
        if mangled or key_id in tenant.taken_away:
            self.works = False
        current = tenant.marks.current
        made = tenant.secret(key_id)
        if current is not None and made is not None and tenant.texts.get(current.key_id) == server.secret:
            stays = overlap_of(made.lifetime, DESIRED_OVERLAP).total_seconds()
            self.protected[current.key_id] = clock + stays - 1

    def stepped(self, who: str, *, ours: bool) -> None:
        """Something happened: does what authentik holds still work?

        :param ours: whether a worker did it, and not a person or the passing of time.
        """
        works = self.world.server.works()
        if self.works and not works and ours and not self.env_last:
            raise self.fail("I1", f"after {who} authentik's secret is not valid any more")
        self.works = works

    def ended(self, worker: Worker) -> None:
        """A run is over."""
        tenant, server = self.world.tenant, self.world.server
        if self.quiet and not self.person_acted and worker.writes:
            raise self.fail("I4", f"nothing was due, and {worker.name} wrote: {worker.writes}")
        if worker.reported is None:
            return
        key_id = worker.reported.key_id
        if server.events_readable and worker.looks:
            held = {text for text, _ in worker.looks}
            # The change that the run began from is taken for an event that is not written yet: nothing is retired
            # then, and the next run rotates.
            restored = worker.saved_change is not None and worker.looks[0][1] == worker.first_change
            if tenant.texts[key_id] not in held and not restored:
                raise self.fail("I5", f"{worker.name} reports {key_id}, and authentik holds {sorted(held)}")
        others = [key for key, owner in tenant.owners.items() if owner == worker.name and key != key_id]
        if not worker.was_late and any(tenant.secret(key) for key in others) and tenant.lag <= 20:
            raise self.fail("I3", f"{worker.name} reports success and leaves {others} behind")

    # --- after the disturbance

    def converges(self, command: str, *, lease: str) -> None:
        """One undisturbed run mends everything; later runs clear up, and then nothing is written any more.

        :param command: of those runs; a rotation comes in between in any case.
        """
        world, tenant, server = self.world, self.world.tenant, self.world.server
        world.advance_to(world.clock + 60)
        self.quiet = False
        strangers = [
            key for key, owner in tenant.owners.items() if owner == "stranger" and tenant.secret(key)
        ]
        if server.mangles:
            # A run that finds a delivered secret only to prove it tells of the failure; the next makes another.
            world.run_alone("honest", command, lease=lease)
            world.advance_to(world.clock + 60)
        self._succeeds("first", command, lease)
        self._all_accounted_for(lease)
        self._writes_nothing("second", command, lease)
        world.advance_to(world.clock + 25 * 3600)
        server.full_sync()
        if not server.events_readable:
            # Without the audit trail only a run that delivers knows enough to remove anything.
            self._succeeds("forced", "rotate --now", lease)
            world.advance_to(world.clock + 25 * 3600)
            server.full_sync()
        self._succeeds("third", "rotate", lease)
        if server.events_readable:
            marks = tenant.marks
            ours = [item.key_id for item in tenant.secrets if tenant.owners[item.key_id] != "stranger"]
            if marks.current is None or ours != [marks.current.key_id] or marks.pending or marks.previous:
                raise self.fail("I3", f"a day later there are {ours}, on record {tenant.marks.texts()}")
        self._writes_nothing("last", command, lease)
        if any(tenant.secret(key) is None for key in strangers):
            raise self.fail("I2", "a secret that is not ours is gone")

    def _succeeds(self, name: str, command: str, lease: str) -> Worker:
        run = self.world.run_alone(name, command, lease=lease)
        if run.error is not None:
            raise self.fail("I3", f"the {name} undisturbed run fails: {run.error}")
        server, tenant = self.world.server, self.world.tenant
        current = tenant.marks.current
        if server.events_readable and (current is None or tenant.texts.get(current.key_id) != server.secret):
            raise self.fail("I5", f"after the {name} run {current} is on record; authentik holds another")
        if server.events_readable and not server.works():
            raise self.fail("I1", f"after the {name} run authentik cannot sign in")
        return run

    def _writes_nothing(self, name: str, command: str, lease: str) -> None:
        run = self._succeeds(name, command, lease)
        if run.writes:
            raise self.fail("I4", f"the {name} run wrote {run.writes}")

    def _all_accounted_for(self, lease: str) -> None:
        tenant, now = self.world.tenant, moment(self.world.clock)
        marks = tenant.marks
        resting = {item.key_id for item in marks.previous if item.retire_at > now}
        for secret in tenant.secrets:
            # Who holds the exclusive lease knows that whoever made it under that lease has ended.
            orphan = lease == "exclusive" and f":{EXCLUSIVE}" in (secret.display_name or "")
            young = not orphan and (now - secret.start_date_time).total_seconds() < STRAY_REST
            current = marks.current is not None and secret.key_id == marks.current.key_id
            ours = tenant.owners[secret.key_id] != "stranger"
            if (
                ours
                and self.world.server.events_readable
                and not (current or secret.key_id in resting or young)
            ):
                raise self.fail("I3", f"{secret.key_id} is left over; on record {tenant.marks.texts()}")


REMOVAL = {"remove_secret", "application"}
"""The calls of a removal: a replica that lags makes it be asked for again."""
EXCLUSIVE = "d0d0d0d0"
"""Where runs with an exclusive lease make their secrets."""
STRAY_REST = 7200.0
"""For the model's lifetimes; the product's own figure is not asked, so that a mutation of it is noticed."""
DESIRED_OVERLAP = timedelta(days=1)
