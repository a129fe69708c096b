"""How a sync can end other than well; the names and their meaning are authentik's."""

from __future__ import annotations


class SyncError(Exception):
    """Base of everything a sync raises on purpose."""


class TransientSyncError(SyncError):
    """Microsoft could not be reached; authentik ends such a task quietly."""


class FaultError(Exception):
    """A mistake in authentik's own code, in the words of the Python error that it is there."""


class BadRequestSyncError(SyncError):
    """authentik itself refuses one object; the others go on."""


class SkipObjectError(SyncError):
    """A mapping asked to leave this object out (``raise SkipObject``)."""


class DryRunRejectedError(SyncError):
    """A write that authentik's own dry run held back.

    :ivar url: below ``/v1.0``. :ivar method: HTTP method. :ivar body: JSON text of the request.
    """

    def __init__(self, url: str, method: str, body: str) -> None:
        super().__init__()
        self.url = url
        self.method = method
        self.body = body


class StopSyncError(SyncError):
    """Microsoft refused a sign-in or a request, or a mapping fails: what is left of the page is dropped.

    :param cause_text: ``repr`` of what went wrong, as authentik shows it in the task's error line.
    :param detail: the same for people.
    :param obj: the object that was being written, if any.
    """

    def __init__(self, cause_text: str, detail: str, obj: str | None = None) -> None:
        super().__init__(cause_text)
        self.cause_text = cause_text
        self.detail_text = detail
        self.obj = obj

    def __str__(self) -> str:
        # authentik's exception never calls its base's constructor: its text is the tuple of its arguments.
        return f"({self.cause_text}, None, None)"

    def detail(self) -> str:
        """Human readable, as in "Stopping sync due to error: …"."""
        return f"Error {self.detail_text}" + (f", caused by {self.obj}" if self.obj else "")
