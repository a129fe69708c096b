"""Settings, secret and state files: read in one way, never overwritten, and checked for who else may change them."""

from __future__ import annotations

import codecs
import contextlib
import os
import stat
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

from authentik_entra_bootstrap.domain import SecretText
from authentik_entra_bootstrap.errors import ConfigError
from authentik_entra_bootstrap.support.addresses import unquoted

GREATEST = 1024 * 1024
"""Bytes of the greatest file that is read."""
_OTHER_ENCODINGS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


class Unreadable(Exception):
    """Why a file cannot be read, in words, without its content."""


def read_file(path: Path) -> bytes:
    """The content of an ordinary file.

    :raises Unreadable: it cannot be read, or it is a folder, a pipe, a device, or greater than :data:`GREATEST`.
    """
    try:
        # Opening a pipe without a writer would block.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise Unreadable("it is a pipe or a device, not a file")
            data = file.read(GREATEST + 1)
    except IsADirectoryError:
        raise Unreadable("it is a folder") from None
    except OSError as error:
        raise Unreadable((error.strerror or type(error).__name__).lower()) from None
    except ValueError:
        raise Unreadable("its name holds a NUL character") from None
    if len(data) > GREATEST:
        raise Unreadable("it is greater than 1 MB")
    return data


def read_text(path: Path) -> str:
    """The text of a file: UTF-8, with or without byte order mark.

    :raises Unreadable: it cannot be read, or it is other text, or none.
    """
    data = read_file(path)
    for mark, name in _OTHER_ENCODINGS:
        if data.startswith(mark):
            raise Unreadable(f"it is {name} text; save it as UTF-8")
    if b"\x00" in data:
        # UTF-16 without a byte order mark, as some editors save it, has NUL in every second byte.
        raise Unreadable("it is no UTF-8 text (UTF-16 without a mark, or no text at all); save it as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Unreadable("it is no UTF-8 text; save it as UTF-8") from None


def read_line(path: Path) -> str:
    """The one line of a file that holds a token, a secret or an address, without surrounding blanks and quotes.

    :raises Unreadable: it cannot be read, is empty, or holds several lines.
    """
    text = unquoted(read_text(path))
    if not text:
        raise Unreadable("it is empty")
    if len(text.splitlines()) > 1:
        raise Unreadable("it holds several lines")
    return text


def exposure(path: Path, *, secret: bool) -> str:
    """Which other users may read or change a file, in words; empty if none may, or the file does not exist.

    :param secret: whether others must not read it either.
    """
    try:
        status = path.stat()
    except (OSError, ValueError):
        return ""
    if status.st_uid not in {0, os.geteuid()}:
        return "it belongs to another user, who can change it"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "other users can change it"
    return "every user of this machine can read it" if secret and status.st_mode & stat.S_IROTH else ""


def barred(path: Path, user: int, groups: Collection[int], *, folders: bool = True) -> str:
    """Why a user cannot read a file, by owner and mode, in words; empty where they can.

    :param folders: whether the user has to pass the folders above it.
    """
    try:
        for each in (path, *(path.parents if folders else ())):
            status = each.stat()
            mine = 6 if status.st_uid == user else 3 if status.st_gid in groups else 0
            if user and not status.st_mode >> mine & (4 if each == path else 1):
                return f"user id {user} may not {'read it' if each == path else f'enter {each}'}"
    except OSError as error:
        return f"it cannot be looked at: {(error.strerror or type(error).__name__).lower()}"
    return ""


def private_folder(folder: Path) -> None:
    """Make a folder that only its owner may use, or check that no other user can write to an existing one.

    Call it before anything in the folder is opened.

    :raises ConfigError: ``state-folder-unusable``.
    """
    try:
        why = _unsafe_parent(folder)
        if not why:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            why = _unsafe_folder(folder)
    except OSError as error:
        why = (error.strerror or type(error).__name__).lower()
    if why:
        raise ConfigError(
            "state-folder-unusable",
            f"The folder {folder} cannot be used: {why}.",
            "Set state_dir (or AUTHENTIK_ENTRA_STATE_DIR) to a folder that only this user can write to.",
        )


def own_file(path: Path) -> None:
    """Refuse a file of a state folder that another user put there; one that does not exist is accepted.

    :raises ConfigError: ``state-folder-unusable``.
    """
    try:
        status = path.lstat()
    except OSError:
        return
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
        raise ConfigError(
            "state-folder-unusable",
            f"The file {path} is not used: it is a link, or it belongs to another user.",
            "Look at where it comes from, and remove it.",
        )


def _unsafe_folder(folder: Path) -> str:
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode):
        return "it is a link" if stat.S_ISLNK(status.st_mode) else "it is no folder"
    if status.st_uid != os.geteuid():
        return "it belongs to another user"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "others may write to it"
    return "" if os.access(folder, os.W_OK | os.X_OK) else "it cannot be written to"


def _unsafe_parent(folder: Path) -> str:
    """Why others could replace a folder, because of the folders above it."""
    for path in reversed(folder.absolute().parents):
        try:
            status = path.lstat()
        except FileNotFoundError:
            return ""
        if stat.S_ISLNK(status.st_mode):
            # Links of the system itself: /home, /tmp, /var/run.
            if status.st_uid == 0 and len(path.parent.parts) <= 2:
                continue
            return f"{path} is a link"
        if status.st_uid not in {0, os.geteuid()}:
            return f"{path} belongs to another user"
        if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
            return f"every user may write to {path}"
    return "it is a link" if folder.is_symlink() else ""


def write_file(path: Path, text: str, mode: int = 0o666) -> None:
    """Write a file completely or not at all, replacing an existing one; a pipe or a device is written to.

    :param mode: of the file, less the process's umask.
    :raises OSError: it cannot be written.
    """
    place = path.resolve()
    if place.exists() and not place.is_file():
        place.write_text(text, encoding="utf-8")
        return
    made = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        made.replace(place)
    finally:
        made.unlink(missing_ok=True)


def refuse_existing(path: Path) -> None:
    """Refuse a path where a file exists already, or where none can be made.

    :raises ConfigError: ``secret-file-exists``, ``secret-file-unwritable``.
    """
    if os.path.lexists(path):
        raise ConfigError(
            "secret-file-exists",
            f"The file {path} exists already; it is never overwritten.",
            "Name another file, or move this one away.",
        )
    folder = path.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise unwritable(path, "its folder does not exist or may not be written to")


def write_new(path: Path, secret: SecretText) -> None:
    """Write a secret to a new file with mode 0600, completely or not at all.

    :raises ConfigError: ``secret-file-exists``, ``secret-file-unwritable``.
    """
    refuse_existing(path)
    try:
        # The hard link fails if the file was created meanwhile.
        with _written_beside(path, secret) as made:
            _link_or_replace(made, path)
    except FileExistsError:
        refuse_existing(path)
        raise
    except OSError as error:
        raise unwritable(path, error.strerror or type(error).__name__) from None


@contextlib.contextmanager
def _written_beside(place: Path, secret: SecretText, mode: int = 0o600) -> Iterator[Path]:
    """A new file in the same folder that holds a secret; removed where the body leaves it there."""
    descriptor, name = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(secret.reveal().encode())
            file.flush()
            os.fsync(file.fileno())
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _link_or_replace(made: Path, path: Path) -> None:
    try:
        path.hardlink_to(made)
    except FileExistsError:
        raise
    except OSError:
        # A file system without hard links: create the file first, so that nothing is overwritten.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        made.replace(path)


def why_not_replaceable(path: Path) -> str:
    """Why a file cannot be replaced in its place by this process, in words; empty where it can."""
    place = path.resolve()
    if not os.access(place.parent, os.W_OK | os.X_OK):
        return "its folder may not be written to"
    try:
        own = place.stat().st_uid == os.geteuid()
    except OSError as error:
        return (error.strerror or type(error).__name__).lower()
    return "" if own else "it belongs to another user"


def replace_secret(path: Path, secret: SecretText) -> None:
    """Replace the content of a file that holds a secret: after a crash or a power cut it is the old one or the new one.

    The file keeps its mode.

    :raises ConfigError: ``secret-file-unwritable``.
    """
    place = path.resolve()
    try:
        with _written_beside(place, secret, stat.S_IMODE(place.stat().st_mode)) as made:
            made.replace(place)
        folder = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise unwritable(path, error.strerror or type(error).__name__) from None


def read_secret(path: Path) -> SecretText:
    """The text of a file that holds a secret.

    :raises ConfigError: ``secret-file-unreadable``.
    """
    try:
        return SecretText(read_text(path))
    except Unreadable as error:
        raise ConfigError(
            "secret-file-unreadable",
            f"The file {path} cannot be read: {error}.",
            "Check its path and permissions.",
        ) from None


def unwritable(path: Path, reason: str) -> ConfigError:
    """The error of a file that cannot be made."""
    return ConfigError(
        "secret-file-unwritable",
        f"The file {path} cannot be made: {reason}.",
        "Name a file in a folder that exists and that you may write to.",
    )
