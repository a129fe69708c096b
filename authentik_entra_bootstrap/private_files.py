"""Files that hold a secret: made once, readable by their owner alone, never overwritten."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from authentik_entra_bootstrap.domain import SecretText
from authentik_entra_bootstrap.errors import ConfigError

_GREATEST = 64 * 1024


def refuse_existing(path: Path) -> None:
    """Refuse a file that is there already, whatever it holds, and a place where none can be made.

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
        raise _unwritable(path, "its folder does not exist or may not be written to")


def write_new(path: Path, secret: SecretText) -> None:
    """Write a secret to a new file with mode 0600: whole, or not at all.

    :raises ConfigError: ``secret-file-exists``, ``secret-file-unwritable``.
    """
    refuse_existing(path)
    try:
        # mkstemp makes it 0600; the link fails where somebody made the file meanwhile.
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(secret.reveal().encode())
                file.flush()
                os.fsync(file.fileno())
            _put(Path(name), path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                Path(name).unlink()
    except FileExistsError:
        refuse_existing(path)
        raise
    except OSError as error:
        raise _unwritable(path, error.strerror or type(error).__name__) from None


def _put(made: Path, path: Path) -> None:
    try:
        path.hardlink_to(made)
    except FileExistsError:
        raise
    except OSError:
        # A file system without hard links. The name is taken first, so that nothing is overwritten.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        made.replace(path)


def read_secret(path: Path) -> SecretText:
    """The text of a file that holds a secret.

    :raises ConfigError: ``secret-file-unreadable``.
    """
    try:
        with path.open("rb") as file:
            return SecretText(file.read(_GREATEST).decode())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            "secret-file-unreadable",
            f"The file {path} cannot be read: {type(error).__name__}.",
            "Check its path and permissions.",
        ) from None


def _unwritable(path: Path, reason: str) -> ConfigError:
    return ConfigError(
        "secret-file-unwritable",
        f"The file {path} cannot be made: {reason}.",
        "Name a file in a folder that exists and that you may write to.",
    )
