"""The rotator's pure parts: federated credentials, and what keeps it from rotating; files that hold a secret."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from authentik_entra_bootstrap.domain import (
    AppId,
    Application,
    AppObjectId,
    AppRoleAssignment,
    KeyCredential,
    KeyId,
    PublicCertificate,
    ResourcePrincipal,
    SecretText,
    ServicePrincipal,
    ServicePrincipalObjectId,
    TenantId,
    TokenClaims,
)
from authentik_entra_bootstrap.domain.application_tags import ApplicationTags, Delivered, Previous
from authentik_entra_bootstrap.errors import ConfigError
from authentik_entra_bootstrap.rotator.credentials import (
    AUDIENCES,
    GITHUB_ISSUER,
    KEY_NAME,
    KeyAction,
    check_key_lifetime,
    decide_own_key,
    federated_credential,
    key_rest,
)
from authentik_entra_bootstrap.rotator.plan import ROLE, TAG, ConnectionSeen, RotatorSeen, shortcomings
from authentik_entra_bootstrap.support import private_files
from authentik_entra_bootstrap.support.certificates import make_key_pair, read_key_pair

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_each_kind_of_federated_identity() -> None:
    made = federated_credential("global", kubernetes="identity/rotator", issuer="https://cluster.example")
    assert made.subject == "system:serviceaccount:identity:rotator"
    assert (made.name, made.audience) == ("kubernetes", "api://AzureADTokenExchange")
    made = federated_credential("china", github="owner/repository", branch="main")
    assert (made.issuer, made.subject) == (GITHUB_ISSUER, "repo:owner/repository:ref:refs/heads/main")
    assert made.audience == "api://AzureADTokenExchangeChina"
    made = federated_credential("usgov", github="owner/repository", environment="production", name="mine")
    assert (made.name, made.subject) == ("mine", "repo:owner/repository:environment:production")
    made = federated_credential("usgov-dod", issuer="https://issuer.example", subject="somebody")
    assert (made.name, made.subject) == ("federated", "somebody")
    assert len(AUDIENCES) == 4


@pytest.mark.parametrize(
    "words",
    [
        {},
        {"issuer": "https://issuer.example"},
        {"issuer": "http://issuer.example", "subject": "x"},
        {"kubernetes": "identity/rotator"},
        {"kubernetes": "rotator", "issuer": "https://cluster.example"},
        {"kubernetes": "a/b", "issuer": "https://cluster.example", "subject": "x"},
        {"github": "owner/repository"},
        {"github": "owner/repository", "branch": "main", "environment": "production"},
        {"github": "owner", "branch": "main"},
        {"github": "owner/repository", "branch": "main", "issuer": "https://issuer.example"},
        {"issuer": "https://issuer.example", "subject": "x", "branch": "main"},
    ],
)
def test_words_that_name_no_identity(words: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="federation-unclear"):
        federated_credential("global", **words)


def seen() -> RotatorSeen:
    key = KeyCredential(KeyId("k"), "x", NOW, NOW + timedelta(days=300))
    application = Application(
        AppObjectId("o"), AppId("c"), "rotator", tags=(TAG, "authentik-entra:current=k"), keys=(key,)
    )
    principal = ServicePrincipal(ServicePrincipalObjectId("sp"), AppId("c"))
    graph = ResourcePrincipal(ServicePrincipalObjectId("graph"), AppId("g"), {ROLE: "Role-Id"}, {})
    granted = AppRoleAssignment(
        "role-id", principal.service_principal_object_id, graph.service_principal_object_id
    )
    return RotatorSeen(
        TokenClaims(TenantId("t"), "me", AppId("operator")),
        graph,
        application,
        principal=principal,
        assignments=(granted,),
        owned=frozenset({application.app_id}),
        connections=(ConnectionSeen("a", application, owned=True), ConnectionSeen("b")),
    )


def test_what_keeps_the_rotator_from_rotating() -> None:
    well = seen()
    assert well.application is not None
    assert well.principal is not None
    assert shortcomings(well, NOW) == ()
    for changed, at, words in (
        (replace(well, application=None), NOW, "no rotator"),
        (replace(well, principal=replace(well.principal, account_enabled=False)), NOW, "disabled"),
        (replace(well, assignments=()), NOW, "not granted"),
        (well, NOW + timedelta(days=200), "is due"),
        (well, NOW + timedelta(days=300), "has ended"),
        (replace(well, application=replace(well.application, keys=())), NOW, "neither"),
        (replace(well, owned=frozenset()), NOW, "renew its certificate"),
        (replace(well, connections=(ConnectionSeen("a", well.application),)), NOW, "connection a"),
    ):
        (found,) = shortcomings(changed, at)
        assert words in found


def test_what_the_rotator_does_about_its_own_certificate() -> None:
    file = PublicCertificate(KeyId("k"), b"", NOW, NOW + timedelta(days=300))
    day = timedelta(days=1)

    def key(name: str, start: datetime = NOW) -> KeyCredential:
        return KeyCredential(KeyId(name), KEY_NAME, start, start + timedelta(days=300))

    def decided(at: datetime, marks: ApplicationTags, *keys: KeyCredential) -> KeyAction:
        application = Application(AppObjectId("o"), AppId("c"), "rotator", tags=marks.texts(), keys=keys)
        return decide_own_key(application, file, at)

    current, pending = ApplicationTags(current=Delivered(KeyId("k"))), Delivered(KeyId("p"))
    due = NOW + timedelta(days=200)
    assert decided(due - day, current, key("k")) is KeyAction.KEEP
    assert decided(due, current, key("k")) is KeyAction.MAKE
    assert decided(due, current, key("other")) is KeyAction.KEEP, "a late replica"
    # The file was replaced, and the run died before it could say so.
    assert decided(due, ApplicationTags(pending=Delivered(KeyId("k"))), key("k")) is KeyAction.PROVE
    # Another run made one a moment ago; after a while it is taken for abandoned.
    tried = replace(current, pending=pending)
    assert decided(due + day, tried, key("k"), key("p", due)) is KeyAction.KEEP
    assert decided(due + 7 * day, tried, key("k"), key("p", due)) is KeyAction.PROVE
    assert decided(due, tried, key("k")) is KeyAction.MAKE, "marked, and never registered"
    # A replaced one, once its overlap is over.
    rest = replace(current, previous=(Previous(KeyId("o"), NOW + 9 * day),))
    assert decided(NOW + 8 * day, rest, key("k"), key("o")) is KeyAction.KEEP
    assert decided(NOW + 9 * day, rest, key("k"), key("o")) is KeyAction.PROVE
    with pytest.raises(ConfigError, match="certificate-replaced"):
        decided(NOW, ApplicationTags(current=Delivered(KeyId("n"))), key("k"), key("n"))
    short = PublicCertificate(KeyId("k"), b"", NOW, NOW + 50 * timedelta(hours=1))
    assert (key_rest(short), key_rest(key("k"))) == (timedelta(hours=1), timedelta(days=6))


def test_lifetimes_of_certificates() -> None:
    check_key_lifetime(timedelta(days=365))
    for wrong in (timedelta(hours=23), timedelta(days=731)):
        with pytest.raises(ConfigError, match="certificate-lifetime-invalid"):
            check_key_lifetime(wrong)


def test_a_key_pair_survives_its_file(tmp_path: Path) -> None:
    made = make_key_pair("x", NOW, timedelta(days=30))
    path = tmp_path / "key.pem"
    private_files.write_new(path, made.pem)
    assert read_key_pair(path) == made
    assert made.public.start_date_time < NOW
    assert made.public.end_date_time == NOW + timedelta(days=30)
    certificate = made.pem.reveal().partition("-----BEGIN CERTIFICATE")
    path.write_text("-----BEGIN CERTIFICATE" + certificate[2])
    with pytest.raises(ConfigError, match="certificate-file-invalid"):
        read_key_pair(path)
    other = make_key_pair("y", NOW, timedelta(days=30)).pem.reveal().partition("-----BEGIN CERTIFICATE")
    path.write_text(other[0] + "-----BEGIN CERTIFICATE" + certificate[2])
    with pytest.raises(ConfigError, match="certificate-file-invalid"):
        read_key_pair(path)


def test_a_secret_s_file_on_a_file_system_without_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", no_links)
    path = tmp_path / "secret"
    private_files.write_new(path, SecretText("text"))
    assert path.read_text() == "text"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(ConfigError, match="secret-file-exists"):
        private_files.write_new(path, SecretText("other"))
    assert path.read_text() == "text"


def test_a_secret_s_file_that_appears_meanwhile_or_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "secret"
    fsync = os.fsync

    def somebody_was_faster(descriptor: int) -> None:
        fsync(descriptor)
        path.write_text("somebody's")

    monkeypatch.setattr(os, "fsync", somebody_was_faster)
    with pytest.raises(ConfigError, match="secret-file-exists"):
        private_files.write_new(path, SecretText("text"))
    assert path.read_text() == "somebody's"

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match="No space left"):
        private_files.write_new(tmp_path / "another", SecretText("text"))
    assert list(tmp_path.iterdir()) == [path]
