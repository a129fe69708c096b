"""A lease as a locked file: for the runs of one machine. The operating system gives it back when a process dies."""

from __future__ import annotations

import os
import secrets
import string
from pathlib import Path

import filelock

from authentik_entra_bootstrap.support.leases.lease import unreachable
from authentik_entra_bootstrap.support.private_files import own_file, private_folder

_DIGITS = 8


class FileLease:
    """One file of a folder, locked for as long as the lease is held.

    :param folder: made with mode 0700 where it is missing.
    :raises ConfigError: ``state-folder-unusable``.
    """

    period = 5.0

    def __init__(self, folder: Path, name: str) -> None:
        private_folder(folder)
        self._path = folder / f"{name}.lock"
        own_file(self._path)
        own_file(folder / "domain")
        # Acquired and released by different threads; never shared with another lease of this process.
        self._lock = filelock.FileLock(self._path, timeout=0, mode=0o600, thread_local=False)
        self._identity: tuple[int, int] | None = None
        self.domain = _domain(folder / "domain")

    def acquire(self) -> bool:
        """Lock the file; see ``Lease``."""
        try:
            self._lock.acquire()
            self._identity = self._seen()
        except filelock.Timeout:
            return False
        except OSError as error:
            raise unreachable(f"The folder {self._path.parent}", error) from None
        return True

    def renew(self) -> bool:
        """A locked file needs no renewal; only its removal loses it."""
        return self.held()

    def held(self) -> bool:
        """Whether the file that others would lock is the one that we locked."""
        try:
            return self._identity is not None and self._seen() == self._identity
        except OSError:
            return False

    def release(self) -> None:
        """Unlock the file."""
        self._identity = None
        self._lock.release(force=True)

    def _seen(self) -> tuple[int, int]:
        status = self._path.stat()
        return status.st_dev, status.st_ino


def _domain(path: Path) -> str:
    """The folder's own name for itself, drawn by the first process that uses it; empty where none can be kept."""
    try:
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(secrets.token_hex(_DIGITS // 2))
    except FileExistsError:
        pass
    except OSError:
        return ""
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
    # Being written, or corrupt: ignored.
    return text if len(text) == _DIGITS and not set(text) - set(string.hexdigits.lower()) else ""
