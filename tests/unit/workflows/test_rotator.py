"""The rotator: any call may be the last of a dying process; it is never locked out, and the next run finishes."""

from __future__ import annotations

import itertools
import stat
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from model_line import START
from model_rotator import RotatorWorld, key_of
from model_tenant import OPERATOR
from model_world import ACCIDENTS, at_each_call

from authentik_entra_bootstrap.config.connection import ConnectionSettings
from authentik_entra_bootstrap.domain import FederatedCredential, KeyCredential, SecretText
from authentik_entra_bootstrap.domain.application_tags import read_tags
from authentik_entra_bootstrap.errors import (
    ConfigError,
    Conflict,
    Denied,
    VerificationFailed,
)
from authentik_entra_bootstrap.rotator.credentials import KEY_NAME
from authentik_entra_bootstrap.rotator.plan import TAG, UNIQUE_NAME
from authentik_entra_bootstrap.support import certificates
from authentik_entra_bootstrap.workflows.rotator import RotatorRun, Wanted

FOREIGN = KeyCredential("foreign", "somebody's", START, START + timedelta(days=9999))
DESIRED = ConnectionSettings().desired()
RIGHTS = ("Application.ReadWrite.All", "Directory.Read.All", "AppRoleAssignment.ReadWrite.All")
pytestmark = pytest.mark.usefixtures("_one_private_key")


class World(RotatorWorld):
    """One folder for key files, and a worker that goes on with the last proven key."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.sign_in_as("operator", *RIGHTS)
        self.folder = folder
        self.worker: SecretText | None = None
        self.locked_out: list[str] = []

    def look(self, after: str) -> None:
        if self.worker is not None and not self.entra.takes(self.worker):
            self.locked_out.append(after)

    async def run(self, name: str = "key.pem", **wanted: Any) -> RotatorRun:
        asked = Wanted(key_file=self.folder / name, **wanted)
        run = RotatorRun(self.context(), [DESIRED], asked)
        await run.prepare()
        await run.apply()
        return run

    def pem(self, name: str = "key.pem") -> SecretText:
        return certificates.read_key_pair(self.folder / name).pem

    @property
    def keys(self) -> set[str]:
        return {item.key_id for item in self.tenant.app.keys}

    def assert_ready(self, name: str = "key.pem") -> None:
        truth, marks = self.tenant.truth, read_tags(self.tenant.app.tags)
        assert truth.principal is not None
        assert [item.app_role_id for item in truth.assignments] == ["role-owned-by"]
        assert self.entra.connection_owners == {OPERATOR, truth.principal.service_principal_object_id}
        assert marks.pending is None
        assert marks.current is not None
        assert marks.current.key_id == key_of(self.pem(name))
        assert self.keys == {marks.current.key_id} | {item.key_id for item in marks.previous}
        assert TAG in self.tenant.app.tags
        assert self.locked_out == []


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def sweep(folder: Path, kind: str, prepare: Any, run: Any, judge: Any) -> int:
    """Let something happen at each call in turn; a run afterwards must finish what that one began."""
    places = itertools.count()

    async def begin() -> World:
        place = folder / str(next(places))
        place.mkdir()
        world = World(place)
        await prepare(world)
        return world

    async def finished(world: World) -> None:
        await run(world)
        await judge(world)

    return await at_each_call(kind, begin, run, finished)


async def nothing(world: World) -> None:
    """An empty tenant."""


async def made_and_due(world: World) -> None:
    await world.run()
    world.worker = world.pem()
    world.clock.advance(days=250)


@pytest.mark.parametrize("kind", ACCIDENTS)
async def test_an_interrupted_create_is_finished_by_the_next(kind: str, tmp_path: Path) -> None:
    async def judge(world: World) -> None:
        world.assert_ready()
        assert len(world.keys) == 1
        with world.wire.no_writes():
            await world.run()

    assert await sweep(tmp_path, kind, nothing, World.run, judge) > 20


@pytest.mark.parametrize(("kind", "lag"), [*((kind, 0.0) for kind in ACCIDENTS), ("killed-after", 12.0)])
async def test_an_interrupted_renewal_never_locks_out(kind: str, lag: float, tmp_path: Path) -> None:
    async def renew(world: World) -> None:
        world.tenant.lag = world.entra.key_lag = lag
        await world.run("new.pem")

    async def judge(world: World) -> None:
        world.assert_ready("new.pem")
        assert len(world.keys) == 2, "the worker still has the old one"
        world.worker = world.pem("new.pem")
        world.clock.advance(days=8)
        await world.run("new.pem")
        world.assert_ready("new.pem")
        assert len(world.keys) == 1

    assert await sweep(tmp_path, kind, made_and_due, renew, judge) > 15


async def test_the_key_file_is_private_and_never_overwritten(world: World) -> None:
    await world.run()
    path = world.folder / "key.pem"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [item.name for item in world.folder.iterdir()] == ["key.pem"]
    before = path.read_bytes()
    strange = world.folder / "strange.pem"
    strange.write_text("nobody's key\n")
    with pytest.raises(ConfigError, match="certificate-file-invalid"):
        await world.run("strange.pem")
    other = certificates.make_key_pair(KEY_NAME, world.clock.now(), timedelta(days=1))
    strange.write_text(other.pem.reveal())
    with pytest.raises(ConfigError, match="certificate-not-registered"):
        await world.run("strange.pem")
    calls = len(world.wire.calls)
    (world.folder / "gone").symlink_to(world.folder / "nowhere")
    with pytest.raises(ConfigError, match="secret-file-unreadable"):
        await world.run("gone")
    with pytest.raises(ConfigError, match="secret-file-unwritable"):
        await world.run("no-such-folder/key.pem", force=True)
    assert world.wire.writes(calls) == []
    assert path.read_bytes() == before


async def test_a_due_certificate_wants_another_file(world: World) -> None:
    await made_and_due(world)
    with pytest.raises(ConfigError, match="certificate-file-in-use"):
        await world.run()
    await world.run("new.pem")
    with pytest.raises(ConfigError, match="certificate-replaced"):
        await world.run()
    assert world.locked_out == []


async def test_without_overlap_the_old_one_goes_at_once_and_only_ours(world: World) -> None:
    await world.run()
    world.tenant.change_app(keys=(FOREIGN, *world.tenant.app.keys))
    before = len(world.wire.calls)
    outcome = await world.run("new.pem", force=True, overlap=timedelta())
    assert world.keys == {"foreign", key_of(world.pem("new.pem"))}
    assert [step.target for step in outcome.plan.changes] == ["certificate", "certificate"]
    assert world.wire.writes(before).count("identities.replace_keys") == 2


async def test_nothing_due_and_another_file_named_makes_nothing(world: World) -> None:
    await world.run()
    with world.wire.no_writes():
        await world.run("other.pem")
    assert not (world.folder / "other.pem").exists()


async def test_more_than_the_one_permission_fails_the_proof(world: World) -> None:
    world.entra.extra_roles = frozenset({"User.Read.All"})
    with pytest.raises(VerificationFailed, match=r"User\.Read\.All"):
        await world.run()
    world.entra.extra_roles = frozenset()
    await world.run()
    world.assert_ready()


async def test_somebody_else_s_application_is_left_alone(world: World) -> None:
    await world.run()
    world.tenant.change_app(tags=("other",))
    with world.wire.only_writes("entra.delete_application"):
        with pytest.raises(Conflict, match="rotator-name-taken"):
            await world.run()
        await world.entra.delete_application(world.tenant.app.app_object_id)
        with pytest.raises(Conflict, match="rotator-deleted"):
            await world.run("new.pem")
    assert UNIQUE_NAME == "authentik-entra-rotator"


@pytest.mark.parametrize("left_out", RIGHTS)
async def test_what_the_operator_lacks_is_named_before_anything_is_written(
    left_out: str, world: World
) -> None:
    claims = world.tenant.operator_claims
    await world.run()
    world.tenant.change(assignments=())
    world.entra.connection_owners = frozenset({OPERATOR})
    world.tenant.operator_claims = replace(claims, roles=claims.roles - {left_out})
    with world.wire.no_writes(), pytest.raises(Denied, match="entra-permission-missing") as caught:
        await world.run()
    # Application.ReadWrite.All includes reading, which granting needs besides.
    assert left_out in caught.value.message or left_out == "Application.ReadWrite.All"


async def test_a_federated_credential_takes_the_place_of_a_certificate(world: World) -> None:
    wanted = FederatedCredential(
        "kubernetes", "https://cluster.example", "system:serviceaccount:a:b", "api://x"
    )
    asked = Wanted(federated=wanted)
    for expected in (5, 0):
        run = RotatorRun(world.context(), [DESIRED], asked)
        assert len((await run.prepare()).changes) == expected
        await run.apply()
        assert run.seen.federated == (wanted,)
    assert world.tenant.app.keys == ()
    with pytest.raises(ConfigError, match="certificate-file-missing"):
        await RotatorRun(world.context(), [DESIRED], Wanted()).prepare()
