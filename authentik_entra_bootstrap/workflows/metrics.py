"""Prometheus metrics of a worker: without effect before :func:`serve` or :func:`enable` is called.

The library is imported then and not before: a worker of several processes writes its values to a folder whose name
the library reads when it is imported (``PROMETHEUS_MULTIPROC_DIR``). It is the extra
``metrics``. Labels are connection names, error codes and phases; never an id or a secret.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from types import ModuleType
from typing import TYPE_CHECKING

from authentik_entra_bootstrap.domain import Application, Desired
from authentik_entra_bootstrap.domain.application_tags import SecretStatus, classify_secrets
from authentik_entra_bootstrap.domain.policy import renew_at
from authentik_entra_bootstrap.errors import ConfigError
from authentik_entra_bootstrap.planning.expiry import Expiry, ExpiryKind
from authentik_entra_bootstrap.support.logs import Happening, Kind, SecretDates, record

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

EXPIRY = (
    "authentik_entra_secret_expiry_timestamp_seconds",
    "When the client secret that authentik holds ends, in seconds since 1970.",
)
RENEW = (
    "authentik_entra_secret_renew_timestamp_seconds",
    "When the secret is due, in seconds since 1970.",
)
ROTATION = (
    "authentik_entra_last_rotation_timestamp_seconds",
    "When the secret was created, in seconds since 1970.",
)
PROOF = (
    "authentik_entra_last_proof_timestamp_seconds",
    "When authentik was last seen to sign in with what it stores, in seconds since 1970.",
)
CREDENTIALS = (
    "authentik_entra_credential_expires_timestamp",
    "When a credential that the connection depends on expires, in seconds since 1970.",
)
HEALTHY = ("authentik_entra_healthy", "1 when status has no alarm, 0 otherwise.")
FAILURES = ("authentik_entra_failures_total", "Runs that failed, by the code of the error.")
STEPS = ("authentik_entra_step_duration_seconds", "How long the phases of a rotation took.")
FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_BUCKETS = (0.1, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600)


@dataclass(frozen=True)
class _Instruments:
    expiry: Gauge
    renew: Gauge
    rotation: Gauge
    proof: Gauge
    credentials: Gauge
    failures: Counter
    steps: Histogram


_instruments: _Instruments | None = None


def enable(registry: CollectorRegistry | None = None) -> None:
    """Collect into the registry of a host that exposes its own. Call it once.

    :param registry: the library's default one when left out.
    :raises ConfigError: ``metrics-library-missing``.
    """
    global _instruments  # noqa: PLW0603 - metrics belong to the process, as the library's registry does
    if _instruments is not None:
        return
    library = _library()
    target = registry or library.REGISTRY
    # The newest value of all processes is the true one, also when its process is gone.
    expiry, renew, rotation, proof = (
        library.Gauge(*names, ("connection",), registry=target, multiprocess_mode="mostrecent")
        for names in (EXPIRY, RENEW, ROTATION, PROOF)
    )
    _instruments = _Instruments(
        expiry,
        renew,
        rotation,
        proof,
        library.Gauge(*CREDENTIALS, ("connection", "kind"), registry=target, multiprocess_mode="mostrecent"),
        library.Counter(*FAILURES, ("connection", "code"), registry=target),
        library.Histogram(*STEPS, ("step",), registry=target, buckets=_BUCKETS),
    )


def serve(port: int, address: str = "127.0.0.1") -> Callable[[], None]:
    """Collect, and answer Prometheus at ``http://ADDRESS:PORT/metrics`` from a thread of this process.

    Call it in the worker's main process, before that starts other processes. All processes write their values to
    files in ``PROMETHEUS_MULTIPROC_DIR``, or in a temporary folder that is removed at the end.

    :param port: 0 takes a free one.
    :param address: ``0.0.0.0`` for every interface, e.g. in a container. There is no secret among the values.
    :returns: stops answering.
    :raises ConfigError: ``metrics-library-missing``; ``metrics-too-late`` when the library was imported before
        without the folder; ``metrics-port-unusable``.
    """
    temporary: tempfile.TemporaryDirectory[str] | None = None
    if not os.environ.get(FOLDER):
        if "prometheus_client" in sys.modules:
            raise ConfigError(
                "metrics-too-late",
                "The metrics library was imported before a folder was set for the values of several processes.",
                f"Call metrics.serve() earlier, or set {FOLDER} to an empty folder before the worker starts.",
            )
        temporary = tempfile.TemporaryDirectory(prefix="authentik-entra-metrics-")
        os.environ[FOLDER] = temporary.name
    library = _library()
    enable()
    from prometheus_client.multiprocess import MultiProcessCollector  # reads the folder's name

    registry = library.CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the library's constructor has no types
    try:
        server, thread = library.start_http_server(port, address, registry)
    except OSError as error:
        raise ConfigError(
            "metrics-port-unusable",
            f"The metrics cannot be served at {address}:{port}: {error.strerror or error}.",
            "Choose another port.",
        ) from None

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()
        if temporary is not None:
            os.environ.pop(FOLDER, None)
            temporary.cleanup()

    return stop


@contextmanager
def _harmless() -> Iterator[None]:
    """Ignore errors while values are written, such as a full disk, so that the run does not fail."""
    try:
        yield
    except (OSError, ValueError) as error:
        record("metrics-not-written", reason=f"{type(error).__name__}: {error}")


def seen(application: Application, desired: Desired) -> None:
    """One observation of a connection's application, for example in a sweep: the dates of the recorded secret."""
    if _instruments is None:
        return
    for item in classify_secrets(application):
        if item.status is SecretStatus.CURRENT:
            secret = item.secret
            due = renew_at(secret, desired.renewal)
            _dates(desired.connection, SecretDates(secret.start_date_time, secret.end_date_time, due))


def expiring(connection: str, expiries: Iterable[Expiry]) -> None:
    """One observation of everything that expires."""
    if _instruments is None:
        return
    with _harmless():
        for item in expiries:
            if item.at is not None:
                _instruments.credentials.labels(connection, item.kind.value).set(item.at.timestamp())


def failed(connection: str, code: str) -> None:
    """A run of a connection failed with this error code."""
    if _instruments is not None:
        with _harmless():
            _instruments.failures.labels(connection, code).inc()


def happened(what: Happening) -> None:
    """Count a failure, and take over the dates of the client secret."""
    if what.kind is Kind.FAILED:
        failed(what.connection, what.code)
    if what.secret is not None:
        _dates(what.connection, what.secret)


def proven(connection: str, at: datetime) -> None:
    """A verification saw authentik sign in at this time."""
    if _instruments is not None:
        with _harmless():
            _instruments.proof.labels(connection).set(at.timestamp())


def stepped(step: str, seconds: float) -> None:
    """The duration of a phase of a rotation."""
    if _instruments is not None:
        with _harmless():
            _instruments.steps.labels(step).observe(seconds)


def _dates(connection: str, secret: SecretDates) -> None:
    if _instruments is None:
        return
    with _harmless():
        _instruments.expiry.labels(connection).set(secret.ends_at.timestamp())
        _instruments.credentials.labels(connection, ExpiryKind.SECRET.value).set(secret.ends_at.timestamp())
        _instruments.renew.labels(connection).set(secret.renew_at.timestamp())
        _instruments.rotation.labels(connection).set(secret.made_at.timestamp())
        if secret.proven_at is not None:
            _instruments.proof.labels(connection).set(secret.proven_at.timestamp())


def _library() -> ModuleType:
    try:
        import prometheus_client  # an extra, and read late on purpose
    except ModuleNotFoundError:
        raise ConfigError(
            "metrics-library-missing",
            "The package prometheus-client is not installed.",
            "Install this program with its extra metrics; in a checkout: pip install '.[metrics]'.",
        ) from None
    return prometheus_client
