"""Logging: structured lines on standard error, secrets redacted, libraries quiet unless asked; and the events in them.

What happens to a connection's client secret becomes one line of the log, and is told to a listener: authentik's audit trail
and the metrics. None of it ever holds the text of a secret, and none of it can make a rotation fail.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import unicodedata
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from authentik_entra_bootstrap.domain.times import write_time

_logger = logging.getLogger("authentik_entra_bootstrap.support.events")
FORMAT_VARIABLE = "AUTHENTIK_ENTRA_LOG"
"""``json`` makes each line of the log a JSON object, for log collectors."""
_SECRET_KEYS = re.compile(r"secret|token|password|assertion|authorization|device_code|refresh", re.IGNORECASE)
_USER_INFO = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30}://)[^\s'\"<>]*@")
"""Up to the last ``@``: passwords hold ``/``, ``#``, ``?`` and ``@`` where people did not escape them. A scheme is short: without
that bound a long word takes time by the square of its length."""
_STEERING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_LINE_ENDS = re.compile(r"\s*[\r\n]+\s*")
LONGEST = 4_000
"""Characters of one line of the log."""
_SEARCHED = 64_000
"""Characters of a message that are searched for credentials; the rest is cut off."""
_BEARER = re.compile(r"(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]+", re.IGNORECASE)
_PAIR = re.compile(
    r"""(?P<key>(?:secret|secretText|secret_text|token|client_assertion|device_code|password|passphrase|"""
    r"""authorization|(?<![A-Za-z])key)\\*["']?\s*[:=]\s*)"""
    r"""(?P<value>\\+"(?:(?!\\+").)*\\+"|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s,;&}]+)""",
    re.IGNORECASE | re.DOTALL,
)
_JWT = re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")


def clean(text: str) -> str:
    """Text from a service or a person, safe to print: control and direction characters are shown by number."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char if unicodedata.category(char) not in _STEERING else f"\\u{ord(char):04x}" for char in text
    )


def short(text: str, most: int = LONGEST) -> str:
    """Text cut to ``most`` characters, with the number of characters that were cut off."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text) - most} more characters)"


def redact(text: str) -> str:
    """Redact what looks like a credential: bearer tokens, JWTs, passwords in addresses, values of well-known keys."""
    text = _USER_INFO.sub(r"\1***@", text)
    text = _BEARER.sub(r"\1 ***", text)
    text = _JWT.sub("***", text)
    return _PAIR.sub(lambda match: f"{match['key']}***", text)


def _message_of(record: logging.LogRecord) -> str:
    """The record's message, with the last line of an exception."""
    try:
        text = record.getMessage()
    except (TypeError, ValueError, KeyError):
        # A library passed arguments that do not fit its own message.
        text = f"{record.msg} (arguments left out)"
    if record.exc_info and record.exc_info[1] is not None:
        text += f" ({type(record.exc_info[1]).__name__}: {record.exc_info[1]})"
    return text[:_SEARCHED] + "…" if len(text) > _SEARCHED else text


class _JsonLines(logging.Formatter):
    """One JSON object on each line. Each text in it is redacted by itself."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON: the fields of a structured line, or ``event`` alone; with level, logger and time."""
        text = _message_of(record)
        try:
            found = json.loads(text) if record.name.startswith("authentik_entra_bootstrap") else None
        except ValueError:
            found = None
        fields = found if isinstance(found, dict) else {"event": text}
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        head = {"timestamp": at, "level": record.levelname.lower(), "logger": record.name}
        if record.processName != "MainProcess":
            head["process"] = str(record.process)
        return json.dumps({**head, **_redacted(fields)})


def _redacted(value: Any) -> Any:
    if isinstance(value, str):
        return short(redact(value))
    if isinstance(value, dict):
        return {str(key): _redacted(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(item) for item in value]
    return value


class _Redacting(logging.Filter):
    """Redacts every record, also those of libraries. A record is one line; of a traceback the last line is kept."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the record in place; never drops it."""
        record.msg, record.args = short(clean(_LINE_ENDS.sub(" ", redact(_message_of(record)).strip()))), None
        record.exc_info = record.exc_text = record.stack_info = None
        return True


def _mask_keys(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {key: "***" if _SECRET_KEYS.search(key) else value for key, value in event.items()}


def configure_logging(verbose: int) -> None:
    """Send logs to standard error.

    :param verbose: 0: this program's warnings; 1: its debug lines; 2: the libraries' debug lines too.
    """
    _set_up(
        logging.StreamHandler(sys.stderr),
        "%(levelname)s %(name)s %(message)s",
        level=logging.DEBUG if verbose > 1 else logging.ERROR,
        ours=logging.DEBUG if verbose else logging.WARNING,
    )


def configure_worker_logging(level: int, file: str | None = None) -> None:
    """Send the logs of a worker's process to standard error or a file, redacted as well.

    :param level: of the logging module; Celery's option ``-l``.
    """
    handler = logging.FileHandler(file, encoding="utf-8") if file else logging.StreamHandler(sys.stderr)
    _set_up(handler, "%(asctime)s %(levelname)s %(process)d %(name)s %(message)s", level=level, ours=level)
    # httpx logs each request at INFO, which would bury our events; azure-identity logs whole refusals.
    for name, least in (("httpx", logging.WARNING), ("azure", logging.ERROR)):
        logging.getLogger(name).setLevel(max(level, least) if level > logging.DEBUG else level)


def _set_up(handler: logging.Handler, form: str, *, level: int, ours: int) -> None:
    as_json = os.environ.get(FORMAT_VARIABLE, "").strip().lower() == "json"
    if as_json:
        handler.setFormatter(_JsonLines())
    else:
        handler.addFilter(_Redacting())
        handler.setFormatter(logging.Formatter(form))
    # Warnings of libraries become log records, so that they are redacted too.
    logging.captureWarnings(False)  # another library may have replaced the hook meanwhile
    logging.captureWarnings(True)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("authentik_entra_bootstrap").setLevel(ours)
    if ours > logging.INFO and "structlog" not in sys.modules:
        # Events are written at INFO, so none will be, and importing structlog takes a tenth of a short command's time.
        # Where it is imported already, as in the worker, it is configured so that its warnings are redacted.
        return
    import structlog

    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            _mask_keys,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(default=str)
            if as_json
            else structlog.processors.KeyValueRenderer(key_order=["event"]),
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


# --- events


def record(event: str, **fields: object) -> None:
    """Write one line: connection, key ids and request ids, never the text of a secret.

    :param event: stable kebab-case name, e.g. ``secret-created``.
    """
    if not _logger.isEnabledFor(logging.INFO) and "structlog" not in sys.modules:
        # Nobody listens, as in a command without -v: structlog with all it imports is not needed.
        return
    import structlog

    # Bound to the standard logger, so that a library user's output stays clean without any configuration.
    structlog.wrap_logger(_logger).info(event, **fields)


class Kind(StrEnum):
    """What happened to a connection."""

    ROTATED = "rotation-done"
    """It has a new client secret, and authentik has signed in with it."""
    KEPT = "rotation-not-needed"
    """Its client secret stays; what nothing uses may have been removed."""
    FAILED = "rotation-failed"
    EXPIRING = "secret-expiring"
    """A run failed, and the secret in use ends soon."""
    RECOVERED = "rotation-recovered"
    """The first success after a failure, or after a run that was interrupted."""


@dataclass(frozen=True)
class SecretDates:
    """The client secret that authentik holds, as far as it is known. Moments are aware UTC.

    :param made_at: when it was made.
    :param ends_at: when it ends.
    :param renew_at: from when a run replaces it.
    :param proven_at: when authentik was last seen to sign in, by this run.
    """

    made_at: datetime
    ends_at: datetime
    renew_at: datetime
    proven_at: datetime | None = None


@dataclass(frozen=True)
class Happening:
    """One thing that happened.

    :param rotation_id: of the rotation that made the secret; empty where none was made.
    :param key_ids: of the secrets by what became of them: ``made``, ``held``, ``retired``.
    :param request_ids: of the requests that tell it in the services' own logs.
    :param reachable: false where authentik itself did not answer, so that it need not be asked to write anything.
    :param code: of the error, with ``message``, and in ``remedy`` what to do.
    """

    kind: Kind
    connection: str
    rotation_id: str = ""
    key_ids: Mapping[str, Sequence[str]] | None = None
    request_ids: tuple[str, ...] = ()
    code: str = ""
    message: str = ""
    remedy: str = ""
    secret: SecretDates | None = None
    reachable: bool = True

    def facts(self) -> dict[str, object]:
        """What is known, as plain values; unknown things are left out."""
        found: dict[str, object] = {
            "connection": self.connection,
            "rotation_id": self.rotation_id,
            "key_ids": {name: list(ids) for name, ids in (self.key_ids or {}).items() if ids},
            "request_ids": list(self.request_ids),
            "code": self.code,
            "message": self.message,
            "what_to_do": self.remedy,
        }
        if self.secret is not None:
            found["expires"] = write_time(self.secret.ends_at)
            found["renew_from"] = write_time(self.secret.renew_at)
        return {name: value for name, value in found.items() if value}


class Listener:
    """Receives rotations and failures besides the log; this one does nothing. No listener ever raises."""

    async def happened(self, what: Happening) -> None:
        """Something happened."""

    async def failing(self, connection: str) -> bool:
        """Whether the last that was told of a connection is a failure."""
        return False

    def stepped(self, step: str, seconds: float) -> None:
        """A phase of a rotation took so long."""


async def tell(listener: Listener, what: Happening) -> None:
    """Write one line of the log, and tell the listener."""
    record(what.kind.value, **what.facts())
    await listener.happened(what)
