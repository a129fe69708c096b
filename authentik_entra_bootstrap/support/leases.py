"""Leases: one run at a time for one connection, one delivery at a time for one authentik.

The place is a folder of one machine, Redis or PostgreSQL, each through a well-kept library. Leases save work: the
rotation is safe without them, because it looks at both services itself.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import string
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

import filelock

from authentik_entra_bootstrap.domain import TenantId
from authentik_entra_bootstrap.errors import ConfigError, Temporary
from authentik_entra_bootstrap.support.addresses import AddressError, read_broker
from authentik_entra_bootstrap.support.private_files import own_file, private_folder
from authentik_entra_bootstrap.support.server_leases import PostgresqlLease, RedisLease, unreachable

_SCHEMES = ("file", "redis", "rediss", "postgresql", "postgres")
_DIGITS = 8


class Lease(Protocol):
    """A lock that ends by itself when its holder is gone. Not thread-safe, except :meth:`renew` and :meth:`held`.

    :param period: seconds between two renewals while it is held.
    :param domain: eight hexadecimal digits for a place whose leases cannot be lost by a process that lives: an earlier
        holder has ended; empty where leases expire.
    """

    period: float
    domain: str

    def acquire(self) -> bool:
        """Take it without waiting; ``False`` when another run holds it.

        :raises Unreachable: ``lease-unreachable``.
        :raises ConfigError: ``tls-not-trusted``.
        """
        ...

    def renew(self) -> bool:
        """Hold it for longer; ``False`` when it is lost for good."""
        ...

    def held(self) -> bool:
        """Whether it is still ours, as far as can be told now."""
        ...

    def release(self) -> None:
        """Give it back; never fails."""
        ...


class Hold:
    """A lease that is held: a thread renews it. :meth:`guard` may be called from any thread."""

    def __init__(self, lease: Lease, name: str) -> None:
        self._lease = lease
        self._name = name
        self._lost = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._renew, name=f"lease {name}", daemon=True)
        self._thread.start()

    @property
    def domain(self) -> str:
        """See ``Lease``."""
        return self._lease.domain

    def guard(self) -> None:
        """Check that the lease is still ours.

        :raises Temporary: ``another-run-active``: it was lost, so another run may hold it by now.
        """
        if self._lost.is_set() or not self._lease.held():
            self._lost.set()
            raise Temporary(
                "another-run-active",
                f"The lease of {self._name} was lost during this run, and another run may hold it. This run stopped.",
                "Run the same command again; it continues where this run stopped.",
            )

    def end(self) -> None:
        """Stop renewing and give the lease back."""
        self._over.set()
        self._thread.join()
        self._lease.release()

    def _renew(self) -> None:
        while not self._over.wait(self._lease.period):
            if not self._lease.renew():
                self._lost.set()
                return


@contextmanager
def hold(lease: Lease, name: str) -> Iterator[Hold]:
    """Hold a lease while the body runs.

    :raises Temporary: ``another-run-active``: another run holds it.
    :raises Unreachable: ``lease-unreachable``.
    """
    with ExitStack() as unless_held:
        unless_held.callback(lease.release)
        if not lease.acquire():
            raise Temporary(
                "another-run-active",
                f"Another run holds the lease of {name}.",
                "Wait until the other run has ended; then run the same command again.",
            )
        held = Hold(lease, name)
        unless_held.pop_all()
    try:
        yield held
    finally:
        held.end()


def lease_name(connection: str, tenant: TenantId) -> str:
    """The name of a connection's lease, the same on every machine and in every settings file."""
    return f"{tenant.lower()}.{connection}"


def delivery_lease_name(url: str) -> str:
    """The name of an authentik's lease: the same for each way to write its address, and for every path below it."""
    parts = urlsplit(url.strip())
    scheme, host = parts.scheme.lower(), (parts.hostname or "").rstrip(".")
    port = parts.port or (443 if scheme == "https" else 80)
    digest = hashlib.sha256(f"{scheme}://{host}:{port}".encode()).hexdigest()
    return f"authentik.{digest[:16]}"


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


def open_lease(url: str, name: str, ca_file: str | None = None) -> Lease:
    """The lease of a name, not taken yet. Only the library that the address needs is imported.

    :param url: of the place: ``file:///folder``, ``redis://…``, ``rediss://…``, ``postgresql://…``.
    :param ca_file: PEM file of the authorities to trust instead of the system's.
    :raises ConfigError: ``lease-url-invalid``, ``lease-library-missing``, ``state-folder-unusable``.
    """
    try:
        url = read_broker(url, _SCHEMES)
    except AddressError as error:
        raise _invalid(str(error)) from None
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.netloc in {"", "localhost"} and parts.path.startswith("/"):
        return FileLease(Path(unquote(parts.path)), name)
    if parts.scheme in {"redis", "rediss"}:
        return RedisLease(url, name, ca_file)
    if parts.scheme in {"postgresql", "postgres"}:
        return PostgresqlLease(url, name, ca_file)
    raise _invalid("it names another machine's folder")


def _invalid(reason: str) -> ConfigError:
    return ConfigError(
        "lease-url-invalid",
        f"The address of the leases cannot be used: {reason}.",
        "Set lease_url to file:///folder, redis://…, rediss://…, postgresql://…, or none.",
    )
