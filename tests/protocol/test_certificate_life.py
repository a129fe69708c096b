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
from cryptography.hazmat.primitives.asymmetric import rsa
from model_line import Clock
from model_rotator import Directory, key_of
from model_tenant import OPERATOR, TENANT, Tenant
from model_world import Killed, Wire, lost

from authentik_entra_bootstrap.domain import AppId, KeyCredential, SecretText, TokenClaims
from authentik_entra_bootstrap.domain.application_tags import ApplicationTags, Delivered, read_tags
from authentik_entra_bootstrap.errors import AdminActionRequired, BootstrapError, Denied, ServiceUnavailable
from authentik_entra_bootstrap.rotator.credentials import KEY_NAME, renew_key_at
from authentik_entra_bootstrap.rotator.plan import ROLE, TAG, UNIQUE_NAME
from authentik_entra_bootstrap.support import certificates, private_files
from authentik_entra_bootstrap.support.waiting import Waiter
from authentik_entra_bootstrap.workflows import rotator_certificates
from authentik_entra_bootstrap.workflows.rotator_certificates import (
    Renewed,
    RotatorContext,
    RotatorKeys,
    renew_own_certificate,
)

WEEK = timedelta(days=7)
PRIVATE_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
FAULTS = (
    "none",
    "none",
    "killed-before",
    "killed-after",
    "unavailable",
    "lost",
    "refused",
    "read-only",
    "two",
)


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


class Life:
    """One rotator, one file, and whoever signs in with it at any moment."""

    def __init__(self, folder: Path, lifetime: timedelta = timedelta(days=365)) -> None:
        self.clock = Clock()
        self.tenant = Tenant(self.clock)
        self.wire = Wire(self.tenant, watch=self._watch)
        self.entra = Certificates(self.wire, self.tenant)
        self.file = folder / "rotator.pem"
        self.unwritable = ""
        self.violations: list[str] = []
        pair = certificates.make_key_pair(KEY_NAME, self.clock.now(), lifetime)
        self.file.write_text(pair.pem.reveal())
        self.file.chmod(0o640)
        key = KeyCredential(
            pair.public.key_id, KEY_NAME, pair.public.start_date_time, pair.public.end_date_time
        )
        self.entra.registered_at[key.key_id] = pair.public.start_date_time
        self._make_application(key)

    def _make_application(self, key: KeyCredential) -> None:
        from authentik_entra_bootstrap.domain import (
            Application,
            AppObjectId,
            AppRoleAssignment,
            ServicePrincipalObjectId,
        )

        tags = (TAG, *ApplicationTags(managed=True, current=Delivered(key.key_id)).texts())
        made = Application(
            AppObjectId("object"), AppId("rotator"), "rotator", UNIQUE_NAME, tags=tags, keys=(key,)
        )
        principal = ServicePrincipalObjectId("sp")
        self.tenant.change(
            application=made, assignments=(AppRoleAssignment("role-owned-by", principal, principal),)
        )
        self.tenant.operator_claims = TokenClaims(TENANT, OPERATOR, AppId("rotator"), roles=frozenset({ROLE}))

    def _watch(self, made: Any) -> None:
        """After each call anybody may start, read the file, and sign in."""
        self.look(made.name)

    def look(self, after: str) -> None:
        try:
            pem = self.pem()
        except BootstrapError as error:
            self.violations.append(f"no certificate in the file after {after}: {error}")
            return
        if not self.entra.takes(pem):
            self.violations.append(f"the file's certificate does not sign in after {after}")

    def pem(self) -> SecretText:
        return certificates.read_key_pair(self.file).pem

    async def run(self, entra: Certificates | None = None, after: int = 0) -> Renewed | None:
        """One run.

        :param entra: the view of another process; :param after: turns of the loop by which it comes later.
        """
        for _ in range(after):
            await asyncio.sleep(0)
        entra = entra or self.entra
        waiter = Waiter(self.clock.monotonic, self.clock.sleep, random.Random(1))
        context = RotatorContext(entra, waiter, self.clock.now)
        return await renew_own_certificate(context, str(self.file))

    def other_process(self) -> Certificates:
        """The same tenant, over a line of its own: what kills one process does not touch the other."""
        other = copy.copy(self.entra)
        other.line = Wire(self.tenant, name="other", watch=self._watch)
        return other

    @property
    def ours(self) -> list[KeyCredential]:
        return [item for item in self.tenant.app.keys if item.display_name == KEY_NAME]


@pytest.fixture(autouse=True)
def one_private_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Certificates differ, the key behind them need not: making and checking one takes most of a second."""
    monkeypatch.setattr(certificates.rsa, "generate_private_key", lambda **_: PRIVATE_KEY)
    monkeypatch.setattr(certificates, "load_pem_private_key", lambda *_: PRIVATE_KEY)


@pytest.fixture
def life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Life:
    made = Life(tmp_path)
    look_into(made, monkeypatch)
    return made


def look_into(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the folder be read-only when the test says so, and look at the file at every step of replacing it."""
    monkeypatch.setattr(rotator_certificates, "why_not_replaceable", lambda _: life.unwritable)
    for name in ("fsync", "replace"):
        real = getattr(private_files.os, name)

        def watched(*arguments: Any, real: Callable[..., Any] = real, name: str = name) -> Any:
            life.look(f"before {name}")
            done = real(*arguments)
            life.look(name)
            return done

        monkeypatch.setattr(private_files.os, name, watched)


async def disturbed(life: Life, fault: str, rng: random.Random) -> None:
    """One run with a fault somewhere in it."""
    at = len(life.wire.calls) + rng.randrange(30)
    if fault.startswith("killed"):
        life.wire.at(at, Killed, fault.removeprefix("killed-"))
    elif fault == "unavailable":
        life.wire.at(at, lambda: ServiceUnavailable("entra-unavailable", "503"), "before")
    elif fault == "lost":
        life.wire.at(at, lost, "after")
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
    rng, renewed, before = random.Random(seed), 0, key_of(life.pem())
    calm = 0
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


@pytest.mark.parametrize("kind", ["killed-before", "killed-after", "lost", "unavailable"])
async def test_a_renewal_that_ends_at_any_call_is_finished_by_later_runs(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(200):
        folder = tmp_path / f"{kind}-{number}"
        folder.mkdir()
        life = Life(folder)
        with monkeypatch.context() as patched:
            look_into(life, patched)
            life.clock.advance(days=250)
            start = len(life.wire.calls)
            if kind.startswith("killed"):
                life.wire.at(start + number, Killed, kind.removeprefix("killed-"))
            elif kind == "lost":
                life.wire.at(start + number, lost, "after")
            else:
                life.wire.at(start + number, lambda: ServiceUnavailable("entra-unavailable", "503"), "before")
            try:
                await life.run()
            except (BootstrapError, Killed):
                pass
            finally:
                life.wire.calm()
            reached = len(life.wire.calls) > start + number
            for _ in range(4):
                life.clock.advance(days=8)
                await life.run()
            assert life.violations == [], (kind, number)
            assert [item.key_id for item in life.ours] == [key_of(life.pem())], (kind, number)
            assert life.clock.now() < renew_key_at(life.ours[0])
        if not reached:
            assert number > 15
            return
    raise AssertionError


async def two_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes with one file, the second one coming later by each number of steps; the first one may die."""
    for after, dies in itertools.product(range(0, 90, 3), (None, 12, 25)):
        place = folder / f"{after}-{dies}"
        place.mkdir()
        life = Life(place)
        with monkeypatch.context() as patched:
            look_into(life, patched)
            life.clock.advance(days=250)
            life.tenant.lag = 12.0
            if dies is not None:
                life.wire.at(dies, Killed, "after")
            both = (life.run(), life.run(life.other_process(), after))
            await asyncio.gather(*both, return_exceptions=True)
            life.wire.calm()
            life.look("both")
            for _ in range(4):
                life.clock.advance(days=8)
                await life.run()
            assert life.violations == [], (after, dies)
            assert [item.key_id for item in life.ours] == [key_of(life.pem())], (after, dies)


async def test_two_runs_with_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await two_runs(tmp_path, monkeypatch)


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
    renewed = await life.run()
    assert renewed is not None
    assert renewed.key_id == key_of(life.pem())
    assert life.file.stat().st_mode == mode
    assert [item.name for item in life.file.parent.iterdir()] == ["rotator.pem"]
    # An administrator has given the newer certificate to another file.
    other = certificates.make_key_pair(KEY_NAME, life.clock.now(), timedelta(days=365))
    key = KeyCredential(
        other.public.key_id, KEY_NAME, other.public.start_date_time, other.public.end_date_time
    )
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
        folder = tmp_path / str(seed)
        folder.mkdir()
        life = Life(folder)
        FILES.append(life.file)
        with monkeypatch.context() as patched:
            look_into(life, patched)
            try:
                await ten_years(life, seed)
            except AssertionError:
                return
    raise AssertionError(f"{mutation.__name__} went unnoticed")
