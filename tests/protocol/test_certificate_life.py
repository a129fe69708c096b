"""Ten years of the rotator's certificate, which it renews itself: with faults, never without one that signs in.

Each week a run looks after the certificate. Runs die before or after any call, lose replies, meet late replicas, refusals
and a folder that may not be written to, and sometimes two of them, with one file, run into each other.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from model_rotator import Directory, RotatorWorld, key_of
from model_world import ACCIDENTS, Killed, Wire, at_each_call

from authentik_entra_bootstrap.domain import (
    AppId,
    Application,
    AppObjectId,
    AppRoleAssignment,
    KeyCredential,
    KeyId,
    SecretText,
    ServicePrincipalObjectId,
)
from authentik_entra_bootstrap.domain.application_tags import ApplicationTags, Delivered, read_tags
from authentik_entra_bootstrap.errors import AdminActionRequired, BootstrapError, Denied
from authentik_entra_bootstrap.rotator.credentials import KEY_NAME, renew_key_at
from authentik_entra_bootstrap.rotator.plan import ROLE, TAG, UNIQUE_NAME
from authentik_entra_bootstrap.support import certificates, private_files
from authentik_entra_bootstrap.workflows import rotator_certificates
from authentik_entra_bootstrap.workflows.rotator_certificates import (
    RotatorKeys,
    renew_own_certificate,
)

WEEK = timedelta(days=7)
REAL = {name: getattr(private_files.os, name) for name in ("fsync", "replace")}
pytestmark = pytest.mark.usefixtures("_one_private_key")
FAULTS = ("none", "none", *ACCIDENTS, "refused", "read-only", "two")


class Certificates(Directory):
    """The rotator's own view: it may change its own application, unless the tenant refuses."""

    refuses = ""

    async def update_application(self, *arguments: Any, **changes: Any) -> None:
        if self.refuses == "tags":
            raise Denied("entra-permission-missing", "The operator may not change the application.")
        await super().update_application(*arguments, **changes)

    async def replace_keys(self, *arguments: Any) -> None:
        if self.refuses:
            raise Denied("entra-permission-missing", "The operator may not change the certificates.")
        await super().replace_keys(*arguments)


class Life(RotatorWorld):
    """One rotator, one file, and whoever signs in with it at any moment."""

    entra: Certificates

    def __init__(self, folder: Path, lifetime: timedelta = timedelta(days=365)) -> None:
        super().__init__(Certificates)
        folder.mkdir(exist_ok=True)
        self.file = folder / "rotator.pem"
        self.unwritable = ""
        self.violations: list[str] = []
        pair = certificates.make_key_pair(KEY_NAME, self.clock.now(), lifetime)
        self.file.write_text(pair.pem.reveal())
        self.file.chmod(0o640)
        key = key_credential(pair)
        self.entra.registered_at[key.key_id] = key.start_date_time
        self._make_application(key)

    def _make_application(self, key: KeyCredential) -> None:
        tags = (TAG, *ApplicationTags(managed=True, current=Delivered(key.key_id)).texts())
        made = Application(
            AppObjectId("object"), AppId("rotator"), "rotator", UNIQUE_NAME, tags=tags, keys=(key,)
        )
        principal = ServicePrincipalObjectId("sp")
        self.tenant.change(
            application=made, assignments=(AppRoleAssignment("role-owned-by", principal, principal),)
        )
        self.sign_in_as("rotator", ROLE)

    def look(self, after: str) -> None:
        """After each call anybody may start, read the file, and sign in."""
        try:
            pem = self.pem()
        except BootstrapError as error:
            self.violations.append(f"no certificate in the file after {after}: {error}")
            return
        if not self.entra.takes(pem):
            self.violations.append(f"the file's certificate does not sign in after {after}")

    def pem(self) -> SecretText:
        return certificates.read_key_pair(self.file).pem

    async def run(self, entra: Certificates | None = None, after: int = 0) -> KeyId | None:
        """One run.

        :param entra: the view of another process; :param after: turns of the loop by which it comes later.
        """
        for _ in range(after):
            await asyncio.sleep(0)
        return await renew_own_certificate(self.context(entra), str(self.file))

    def other_process(self) -> Certificates:
        """The same tenant, over a line of its own: what kills one process does not touch the other."""
        other = copy.copy(self.entra)
        other.line = Wire(self.tenant, name="other", watch=self.wire.watch)
        return other

    @property
    def ours(self) -> list[KeyCredential]:
        return [item for item in self.tenant.app.keys if item.display_name == KEY_NAME]


def key_credential(pair: certificates.KeyPair) -> KeyCredential:
    public = pair.public
    return KeyCredential(public.key_id, KEY_NAME, public.start_date_time, public.end_date_time)


@pytest.fixture
def life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Life:
    made = Life(tmp_path)
    look_into(made, monkeypatch)
    return made


def look_into(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the folder be read-only when the test says so, and look at the file at every step of replacing it."""
    monkeypatch.setattr(rotator_certificates, "why_not_replaceable", lambda _: life.unwritable)
    for name, real in REAL.items():

        def watched(*arguments: Any, real: Callable[..., Any] = real, name: str = name) -> Any:
            life.look(f"before {name}")
            done = real(*arguments)
            life.look(name)
            return done

        monkeypatch.setattr(private_files.os, name, watched)


async def disturbed(life: Life, fault: str, rng: random.Random) -> None:
    """One run with a fault somewhere in it."""
    at = len(life.wire.calls) + rng.randrange(30)
    if fault in ACCIDENTS:
        life.wire.happens(at, fault)
    elif fault == "refused":
        life.entra.refuses = rng.choice(["tags", "keys"])
    elif fault == "read-only":
        life.unwritable = "its folder may not be written to"
    try:
        runs = [life.run()]
        if fault == "two":
            runs.append(life.run(life.other_process(), rng.randrange(60)))
        for result in await asyncio.gather(*runs, return_exceptions=True):
            if isinstance(result, BaseException) and not isinstance(result, BootstrapError | Killed):
                raise result
    finally:
        life.wire.calm()
        life.entra.refuses = life.unwritable = ""
    life.look("the run")


async def ten_years(life: Life, seed: int) -> int:
    """How often the certificate was renewed. Weeks with faults, and a calm one now and then."""
    rng, renewed, calm, before = random.Random(seed), 0, 0, key_of(life.pem())
    for week in range(520):
        life.clock.advance(WEEK.total_seconds() + rng.randrange(3600))
        life.tenant.lag, life.entra.key_lag = rng.choice([0.0, 0.0, 12.0, 40.0]), rng.choice([0.0, 8.0, 60.0])
        fault = rng.choice(FAULTS) if week % 52 < 44 else "none"
        await disturbed(life, fault, rng)
        calm = calm + 1 if fault == "none" else 0
        renewed += key_of(life.pem()) != before
        before = key_of(life.pem())
        assert life.violations == [], (seed, week, fault)
        age = life.clock.now() - certificates.read_key_pair(life.file).public.start_date_time
        # Calm weeks after a renewal: nothing is left of it, and of none that failed.
        if calm >= 3 and age > 3 * WEEK:
            marks = read_tags(life.tenant.app.tags)
            assert [item.key_id for item in life.ours] == [before], (seed, week)
            assert (marks.pending, marks.current and marks.current.key_id) == (None, before)
    return renewed


@pytest.mark.parametrize(
    "seed", [0, 1, 2, *(pytest.param(seed, marks=pytest.mark.ordeal) for seed in range(3, 12))]
)
async def test_ten_years_with_faults(life: Life, seed: int) -> None:
    assert 13 <= await ten_years(life, seed) <= 16


@pytest.mark.parametrize("kind", ACCIDENTS)
async def test_a_renewal_that_ends_at_any_call_is_finished_by_later_runs(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = itertools.count()

    async def due() -> Life:
        life = Life(tmp_path / str(next(places)))
        look_into(life, monkeypatch)
        life.clock.advance(days=250)
        return life

    assert await at_each_call(kind, due, Life.run, settles) > 15


async def settles(life: Life) -> None:
    """What must hold four undisturbed runs later."""
    life.look("the run")
    for _ in range(4):
        life.clock.advance(days=8)
        await life.run()
    assert life.violations == []
    assert [item.key_id for item in life.ours] == [key_of(life.pem())]
    assert life.clock.now() < renew_key_at(life.ours[0])


@pytest.mark.parametrize("dies", [None, 12, 25])
async def test_two_runs_with_one_file(
    dies: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second process comes later by each number of steps; the first one may die."""
    for after in range(0, 90, 3):
        life = Life(tmp_path / str(after))
        look_into(life, monkeypatch)
        life.clock.advance(days=250)
        life.tenant.lag = 12.0
        if dies is not None:
            life.wire.happens(dies, "killed-after")
        both = (life.run(), life.run(life.other_process(), after))
        await asyncio.gather(*both, return_exceptions=True)
        life.wire.calm()
        await settles(life)


@pytest.mark.parametrize("refuses", ["tags", "keys", "read-only"])
async def test_what_the_rotator_may_not_do_is_an_alarm_with_the_command(life: Life, refuses: str) -> None:
    life.clock.advance(days=250)
    before, calls = life.pem(), len(life.wire.calls)
    life.entra.refuses = refuses if refuses != "read-only" else ""
    life.unwritable = "its folder may not be written to" if refuses == "read-only" else ""
    with pytest.raises(AdminActionRequired, match="certificate-not-renewed") as caught:
        await life.run()
    assert "authentik-entra rotator renew --to" in caught.value.remedy
    assert (life.pem(), len(life.ours)) == (before, 1)
    assert life.wire.writes(calls) == (["entra.update_application"] if refuses == "keys" else [])


async def test_nothing_due_writes_nothing_and_others_files_are_left_alone(life: Life) -> None:
    assert await life.run() is None
    assert life.wire.writes() == []
    mode = life.file.stat().st_mode
    life.clock.advance(days=250)
    assert await life.run() == key_of(life.pem())
    assert life.file.stat().st_mode == mode
    assert [item.name for item in life.file.parent.iterdir()] == ["rotator.pem"]
    # An administrator has given the newer certificate to another file.
    other = certificates.make_key_pair(KEY_NAME, life.clock.now(), timedelta(days=365))
    key = key_credential(other)
    marks = replace(read_tags(life.tenant.app.tags), current=Delivered(key.key_id))
    life.tenant.change_app(keys=(*life.tenant.app.keys, key), tags=marks.texts())
    before = len(life.wire.calls)
    with pytest.raises(AdminActionRequired, match="another file"):
        await life.run()
    # Another application's certificate is none of the rotator's business.
    life.tenant.operator_claims = replace(life.tenant.operator_claims, app_id=AppId("other"))
    assert await life.run() is None
    assert life.wire.writes(before) == []


# --- what the simulation must notice


def file_before_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    async def register(keys: RotatorKeys, certificate: Any) -> None:
        rotator_certificates.replace_secret(FILES[-1], PEMS[-1])
        await real(keys, certificate)

    real, real_make = RotatorKeys.register, certificates.make_key_pair

    def make(*arguments: Any) -> Any:
        made = real_make(*arguments)
        PEMS.append(made.pem)
        return made

    monkeypatch.setattr(rotator_certificates, "make_key_pair", make)
    monkeypatch.setattr(RotatorKeys, "register", register)


def file_before_sign_in(monkeypatch: pytest.MonkeyPatch) -> None:
    async def believed(context: Any, application: Any, pair: Any) -> None:
        """Entra ID lists it, so it will sign in."""

    monkeypatch.setattr(rotator_certificates, "prove_certificate", believed)


def old_removed_before_sign_in(monkeypatch: pytest.MonkeyPatch) -> None:
    async def prove(context: Any, application: Any, pair: Any) -> None:
        left = [item for item in await _keys(context, application) if item.key_id == pair.public.key_id]
        await context.entra.replace_keys(application.app_object_id, left)
        await real(context, application, pair)

    real = rotator_certificates.prove_certificate
    monkeypatch.setattr(rotator_certificates, "prove_certificate", prove)


async def _keys(context: Any, application: Any) -> tuple[KeyCredential, ...]:
    return (await context.entra.application(application.app_object_id)).keys


def written_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def write(path: Path, secret: SecretText) -> None:
        with path.open("w") as file:
            private_files.os.fsync(file.fileno())
            file.write(secret.reveal())

    monkeypatch.setattr(rotator_certificates, "replace_secret", write)


def strays_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    real = rotator_certificates.removable
    monkeypatch.setattr(rotator_certificates, "removable", lambda *given: real(*given)[:0])


FILES: list[Path] = []
PEMS: list[SecretText] = []
MUTATIONS = (
    file_before_proof,
    file_before_sign_in,
    old_removed_before_sign_in,
    written_in_place,
    strays_stay,
)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda item: item.__name__)
async def test_each_mutation_is_noticed(
    mutation: Callable[[pytest.MonkeyPatch], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutation(monkeypatch)
    for seed in range(6):
        life = Life(tmp_path / str(seed))
        FILES.append(life.file)
        look_into(life, monkeypatch)
        try:
            await ten_years(life, seed)
        except AssertionError:
            return
    raise AssertionError(f"{mutation.__name__} went unnoticed")
