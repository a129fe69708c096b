"""The one family of errors: a stable code, what happened and why, what to do, and the exit code."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import ClassVar, NamedTuple


class ExitCode(IntEnum):
    """Exit codes of every command; documented in ``docs/reference/exit-codes.md``."""

    DONE = 0
    UNEXPECTED = 1
    CHANGES_PENDING = 2
    USAGE = 3
    DENIED = 4
    ADMIN_ACTION = 5
    VERIFICATION_FAILED = 6
    TEMPORARY = 7
    INTERRUPTED = 130


@dataclass(frozen=True)
class RequestTrace:
    """What the operator of a service asks for when a request is reported to them. Never holds secrets."""

    service: str
    """``entra``, ``graph`` or ``authentik``."""
    method: str = ""
    path: str = ""
    status: int | None = None
    service_code: str | None = None
    """The service's own error code: Graph's ``error.code``, ``AADSTS7000215``."""
    request_id: str | None = None
    correlation_id: str | None = None

    def line(self) -> str:
        """One line for people: ``graph POST /applications: 403 Authorization_RequestDenied (request …)``."""
        head = " ".join(part for part in (self.service, self.method, self.path) if part)
        tail = " ".join(str(part) for part in (self.status, self.service_code) if part is not None)
        ids = ", ".join(
            f"{name} {value}"
            for name, value in (("request id", self.request_id), ("correlation id", self.correlation_id))
            if value
        )
        return head + (f": {tail}" if tail else "") + (f" ({ids})" if ids else "")


@dataclass
class BootstrapError(Exception):
    """Base of all errors that reach a person.

    :param code: stable kebab-case identifier; a key into ``docs/reference/errors.md``.
    :param message: what happened and why, one or two sentences, no secrets.
    :param remedy: what to do about it; empty when there is nothing to do but report it.
    :param trace: the request that failed, where one did.
    """

    code: str
    message: str
    remedy: str = ""
    trace: RequestTrace | None = None
    facts: dict[str, str] = field(default_factory=dict)
    """Further machine-readable facts for JSON output, e.g. ``{"missing_permission": "…"}``."""

    exit_code: ClassVar[ExitCode] = ExitCode.UNEXPECTED

    def __post_init__(self) -> None:
        # All fields, so that copying and pickling, which rebuild an exception from its args, keep them.
        super().__init__(self.code, self.message, self.remedy, self.trace, self.facts)

    def __str__(self) -> str:
        return f"{self.message} [{self.code}]"

    __hash__ = Exception.__hash__


class ErrorRow(NamedTuple):
    """Class, message and remedy of one code; ``{names}`` are filled in where the error is raised."""

    kind: type[BootstrapError]
    message: str
    remedy: str = ""


def error_of(
    table: Mapping[str, ErrorRow],
    code: str,
    /,
    *,
    trace: RequestTrace | None = None,
    facts: Mapping[str, str] | None = None,
    retry_after: float | None = None,
    sent: bool = True,
    **words: object,
) -> BootstrapError:
    """The error of a code, its texts filled with ``words``.

    :param table: the errors of one service.
    :param facts: machine-readable facts for JSON output; never secrets.
    :param retry_after: seconds that the service asked to wait, for a :class:`Temporary` error.
    :param sent: whether the service may have received the request, for an :class:`Unreachable` one.
    :raises KeyError: for a code that is not in the table.
    """
    row = table[code]
    blanks = _Blanks({name: _one_line(value) for name, value in words.items()})
    message, remedy = row.message.format_map(blanks), row.remedy.format_map(blanks)
    error = row.kind(code, message, remedy, trace=trace, facts=dict(facts or {}))
    if isinstance(error, Temporary):
        error.retry_after = retry_after
    if isinstance(error, Unreachable):
        error.sent = sent
    return error


class _Blanks(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "?"


def _one_line(value: object) -> str:
    # Service texts may span lines and hold control characters; they end up in one line of output.
    text = " ".join(str(value).split())
    return "".join(char for char in text if char.isprintable())[:2000]


def unexpected(error: BaseException) -> BootstrapError:
    """The error for an unexpected exception: its type and where it was raised, not its text.

    Libraries quote in their texts what they stumbled over, passwords included. ``--debug`` shows the traceback.
    """
    place = ""
    trace = error.__traceback__
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__", ""))
        if module.startswith(__name__.partition(".")[0]):
            place = f" at {module}:{trace.tb_lineno}"
        trace = trace.tb_next
    # The operating system's own words hold nothing of ours.
    words = f": {error.strerror}" if isinstance(error, OSError) and error.strerror else ""
    return BootstrapError(
        "unexpected",
        f"An unexpected error occurred: {type(error).__name__}{words}{place}.",
        "Run the command again with --debug to see the traceback, and report it.",
    )


def did_you_mean(given: str, known: Iterable[str], form: str = "{}") -> str:
    """``Did you mean NAME?`` with the known name that is nearest to a misspelt one; empty where none is near.

    :param form: what is suggested, with ``{}`` for the name: a command for example.
    """
    near = difflib.get_close_matches(given, list(known), n=1)
    return f"Did you mean {form.format(near[0])}?" if near else ""


class UnexpectedAnswer(BootstrapError):
    """A service answered something its documentation does not mention."""


class ConfigError(BootstrapError):
    """Settings or arguments are missing or malformed."""

    exit_code = ExitCode.USAGE


class Interrupted(BootstrapError):
    """A person ended the run: Ctrl-C, or the end of standard input at a question."""

    exit_code = ExitCode.INTERRUPTED


class Denied(BootstrapError):
    """Authentication failed or a permission is missing."""

    exit_code = ExitCode.DENIED


class AdminActionRequired(BootstrapError):
    """An administrator has to act: consent, licence, tenant policy."""

    exit_code = ExitCode.ADMIN_ACTION


class Conflict(BootstrapError):
    """An object that this program did not create has the name or place of one that it needs."""

    exit_code = ExitCode.ADMIN_ACTION


class UnsupportedServer(BootstrapError):
    """The authentik server's API has a shape that we do not know."""

    exit_code = ExitCode.ADMIN_ACTION


class VerificationFailed(BootstrapError):
    """A proof failed. Nothing was retired."""

    exit_code = ExitCode.VERIFICATION_FAILED


class Temporary(BootstrapError):
    """The same command may succeed later.

    :param retry_after: seconds the service asked us to wait, if it did.
    """

    exit_code = ExitCode.TEMPORARY
    retry_after: float | None = None


class Throttled(Temporary):
    """A service asked us to slow down and the budget for waiting is used up."""


class Unreachable(Temporary):
    """No connection, or it broke before an answer came.

    ``sent`` tells whether the service may have received the request, i.e. whether a write may have happened;
    adapters set it to ``False`` when the connection was never made.
    """

    sent: bool = True


class ServiceUnavailable(Temporary):
    """5xx answers, concurrency violations, or authentik's empty 405."""


class ReplicationTimeout(Temporary):
    """Something just made did not become visible everywhere within the budget."""


class NotFound(BootstrapError):
    """The object asked for does not exist, or the replica asked does not know it yet."""


class AlreadyExists(BootstrapError):
    """The service holds an object with that key already; read it again before treating it as this program's."""
