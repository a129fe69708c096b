"""One reader for text files, folders that nobody else can change, and who else may touch a file."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from authentik_entra_bootstrap.config import SettingsFile, load_settings
from authentik_entra_bootstrap.config.connection import ConnectionSettings
from authentik_entra_bootstrap.config.values import exposed_files
from authentik_entra_bootstrap.config.worker import WorkerSettings
from authentik_entra_bootstrap.domain import SecretText
from authentik_entra_bootstrap.errors import ConfigError
from authentik_entra_bootstrap.support import private_files
from authentik_entra_bootstrap.support.leases import open_lease
from authentik_entra_bootstrap.support.private_files import (
    GREATEST,
    Unreadable,
    exposure,
    own_file,
    private_folder,
    read_line,
    read_secret,
    read_text,
    write_file,
)

ROOT = os.geteuid() == 0


# --- one reader


@pytest.mark.parametrize(
    "data",
    [
        b"se cret\n",
        b"\xef\xbb\xbfse cret\r\n",
        b'"se cret"\r\n',
        b"'se cret' \t\n\n",
        b"  se cret",
        b'\xef\xbb\xbf " se cret "\n',
    ],
)
def test_a_line_is_read_whatever_an_editor_put_around_it(data: bytes, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(data)
    assert read_line(file) == "se cret"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("töken".encode("utf-16"), "UTF-16"),
        ("töken".encode("utf-16-be"), "UTF-16 without a mark"),
        ("töken".encode("utf-32"), "UTF-32"),
        ("töken".encode("latin-1"), "no UTF-8 text"),
        (b"a\x00b", "no UTF-8 text"),
        (b"x" * (GREATEST + 1), "greater than 1 MB"),
        (b"one\ntwo\n", "several lines"),
    ],
)
def test_other_text_is_refused_by_name(data: bytes, why: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(data)
    with pytest.raises(Unreadable, match=why):
        read_line(file)


def test_what_is_no_ordinary_file_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, why in (
        (tmp_path / "pipe", "pipe or a device"),
        (Path("/dev/zero"), "pipe or a device"),
        (tmp_path, "folder"),
        (tmp_path / "missing", "no such file"),
        (Path("a\x00b"), "NUL"),
    ):
        with pytest.raises(Unreadable, match=why):
            read_text(path)
    with pytest.raises(ConfigError, match=r"\[secret-file-unreadable\]"):
        read_secret(tmp_path / "pipe")


@pytest.mark.parametrize("data", [b"\xef\xbb\xbftok-123\r\n", b'"tok-123"'])
def test_token_and_address_files_and_settings_share_the_reader(data: bytes, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_bytes(data)
    settings = tmp_path / "settings.toml"
    settings.write_bytes(b"\xef\xbb\xbf[defaults]\r\nauthentik_token_file = '" + bytes(token) + b"'\r\n")
    assert load_settings(SettingsFile.load(settings, {}), environment={}).token().reveal() == "tok-123"
    url = tmp_path / "url"
    url.write_bytes(b"\xef\xbb\xbf'redis://:p@h.example/0'\r\n")
    assert WorkerSettings(broker_url_file=url).broker() == "redis://:p@h.example/0"
    for path in (token, url, settings):
        path.write_bytes(path.read_bytes().decode("utf-8-sig").encode("utf-16"))
    for code, read in (
        ("authentik-token-file-unreadable", ConnectionSettings(authentik_token_file=token).token),
        ("url-file-unreadable", WorkerSettings(broker_url_file=url).broker),
        ("settings-file-unreadable", lambda: SettingsFile.load(settings, {})),
    ):
        with pytest.raises(ConfigError, match="UTF-16") as caught:
            read()
        assert caught.value.code == code


# --- folders that nobody else can change


def refused(folder: Path, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as caught:
        private_folder(folder)
    assert caught.value.code == "state-folder-unusable"


def test_a_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    private_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
    private_folder(tmp_path / "a" / "b")


def test_a_folder_reached_through_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real" / "state").mkdir(parents=True, mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "state").symlink_to(tmp_path / "real" / "state")
    refused(tmp_path / "state", "it is a link")
    refused(tmp_path / "link" / "state", "link is a link")
    refused(tmp_path / "link" / "new", "link is a link")
    assert not (tmp_path / "real" / "new").exists()


def test_a_folder_below_one_that_everybody_writes_to_is_refused_unless_it_is_sticky(tmp_path: Path) -> None:
    open_to_all = tmp_path / "shared"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    refused(open_to_all / "state", "every user may write to")
    assert not (open_to_all / "state").exists()
    open_to_all.chmod(0o1777)
    private_folder(open_to_all / "state")
    (open_to_all / "state").chmod(0o777)
    refused(open_to_all / "state", "others may write to it")


def test_a_file_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    refused(tmp_path / "state", "exists|no folder")


@pytest.mark.skipif(not ROOT, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_refused_before_anything_in_it_is_opened(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    os.mkfifo(state / "domain")
    os.chown(state, 12345, 12345)
    refused(state, "belongs to another user")
    refused(state / "below", "belongs to another user")
    with pytest.raises(ConfigError, match="another user"):
        open_lease(f"file://{state}", "x")
    assert [item.name for item in state.iterdir()] == ["domain"]


@pytest.mark.skipif(not ROOT, reason="only root can give a file away")
def test_a_file_that_somebody_else_put_into_the_folder_is_not_opened(tmp_path: Path) -> None:
    file = tmp_path / "beat-schedule.db"
    own_file(file)
    file.write_bytes(b"")
    own_file(file)
    os.chown(file, 12345, 12345)
    with pytest.raises(ConfigError, match="belongs to another user"):
        own_file(file)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="it is a link"):
        own_file(tmp_path / "link")


def test_a_user_without_a_home_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda _: (_ for _ in ()).throw(KeyError("no such user")))
    with pytest.raises(ConfigError, match="no home folder"):
        WorkerSettings().state_folder()


# --- who else may touch a file


@pytest.mark.parametrize(
    ("mode", "secret", "plain"),
    [
        (0o600, "", ""),
        (0o640, "", ""),
        (0o644, "every user of this machine can read it", ""),
        (0o620, "other users can change it", "other users can change it"),
        (0o602, "other users can change it", "other users can change it"),
    ],
)
def test_files_that_others_can_read_or_change_are_told(
    mode: int, secret: str, plain: str, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    file.chmod(mode)
    assert (exposure(file, secret=True), exposure(file, secret=False)) == (secret, plain)


def test_each_file_of_the_settings_is_looked_at(tmp_path: Path) -> None:
    for name, mode in (("settings.toml", 0o666), ("token", 0o644), ("secret", 0o600), ("ca.pem", 0o644)):
        (tmp_path / name).write_text("x")
        (tmp_path / name).chmod(mode)
    settings = ConnectionSettings(
        authentik_token_file=tmp_path / "token",
        operator_secret_file=tmp_path / "secret",
        ca_file=tmp_path / "ca.pem",
    )
    assert exposed_files(tmp_path / "settings.toml", settings, settings) == (
        f"{tmp_path}/settings.toml (the settings file): other users can change it",
        f"{tmp_path}/token (authentik_token_file): every user of this machine can read it",
    )


def test_a_result_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    file, pipe = tmp_path / "page.html", tmp_path / "pipe"
    write_file(file, "one")
    write_file(file, "two", 0o600)
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("two", 0o600)
    link = tmp_path / "link"
    link.symlink_to(file)
    write_file(link, "three")
    assert (link.is_symlink(), file.read_text()) == (True, "three")
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_file(pipe, "four")
    assert os.read(reader, 10) == b"four"
    os.close(reader)
    with pytest.raises(FileNotFoundError):
        write_file(tmp_path / "missing" / "file", "x")
    with pytest.raises(UnicodeEncodeError):
        write_file(file, "\ud800")
    assert file.read_text() == "three"
    assert sorted(item.name for item in tmp_path.iterdir()) == ["link", "page.html", "pipe"]


def test_a_replaced_file_is_the_old_one_or_the_new_one_after_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "key.pem"
    path.write_text("old")
    path.chmod(0o640)
    done: list[str] = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)

        def step(*arguments: Any, real: Callable[..., Any] = real, name: str = name) -> Any:
            folder = name == "fsync" and stat.S_ISDIR(os.fstat(arguments[0]).st_mode)
            done.append(f"{name} {'folder' if folder else 'file'}: {path.read_text()}")
            return real(*arguments)

        monkeypatch.setattr(os, name, step)
    private_files.replace_secret(path, SecretText("new"))
    assert done == ["fsync file: old", "replace file: old", "fsync folder: new"]
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", 0o640)
    assert [item.name for item in tmp_path.iterdir()] == ["key.pem"]

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match="secret-file-unwritable"):
        private_files.replace_secret(path, SecretText("newer"))
    assert path.read_text() == "new"
    assert [item.name for item in tmp_path.iterdir()] == ["key.pem"]


def test_why_a_file_cannot_be_replaced_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key.pem"
    path.write_text("old")
    assert private_files.why_not_replaceable(path) == ""
    assert private_files.why_not_replaceable(tmp_path / "gone") == "no such file or directory"
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert private_files.why_not_replaceable(path) == "it belongs to another user"
    # As on a read-only file system, e.g. a Secret of Kubernetes.
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert private_files.why_not_replaceable(path) == "its folder may not be written to"
