"""Errors of the API and their bodies, with Django REST framework's own words and codes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

NON_FIELD_ERRORS = "non_field_errors"


class ErrorDetail(str):
    """A message with a code; prints as Django REST framework's class of that name does."""

    __slots__ = ("code",)
    code: str

    def __new__(cls, string: str, code: str = "invalid") -> Self:
        """The text with its code."""
        self = super().__new__(cls, string)
        self.code = code
        return self

    def __repr__(self) -> str:
        return f"ErrorDetail(string={str(self)!r}, code={self.code!r})"


class ValidationError(Exception):
    """400 with messages by field.

    :param detail: one message, a list of them, or a mapping of field name to either.
    :param code: for messages that are plain text.
    """

    def __init__(self, detail: Any, code: str = "invalid") -> None:
        super().__init__("validation failed")
        self.detail: Any = _coded([detail] if isinstance(detail, str) else detail, code)


def _coded(detail: Any, code: str) -> Any:
    """The same structure with every text as :class:`ErrorDetail`."""
    if isinstance(detail, ErrorDetail):
        return detail
    if isinstance(detail, str):
        return ErrorDetail(detail, code)
    if isinstance(detail, Mapping):
        return {
            key: _coded([value] if isinstance(value, str) else value, code) for key, value in detail.items()
        }
    return [_coded(item, code) for item in detail]


def not_an_object(data: Any) -> ValidationError:
    """The refusal of a body that is no JSON object."""
    text = f"Invalid data. Expected a dictionary, but got {type(data).__name__}."
    return ValidationError({NON_FIELD_ERRORS: [text]})


class ApiError(Exception):
    """Any other refusal: a status and ``{"detail": …}``."""

    status = 500
    default = "A server error occurred."

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail or self.default)
        self.body: Any = {"detail": detail or self.default}


class Rejected(ApiError):
    """A view's own refusal: its body is sent as it is, without lists round its texts.

    :param body: the whole reply.
    """

    def __init__(self, body: Any, status: int = 400) -> None:
        super().__init__("refused by the view")
        self.body = body
        self.status = status


class ParseError(ApiError):
    """400: the body cannot be read."""

    status = 400
    default = "Malformed request."


class AuthenticationFailed(ApiError):
    """403, not 401: authentik's token authentication names no challenge."""

    status = 403
    default = "Token invalid/expired"


class NotAuthenticated(ApiError):
    """403: no credentials at all."""

    status = 403
    default = "Authentication credentials were not provided."


class PermissionDenied(ApiError):
    """403: a good token that may not do this."""

    status = 403
    default = "You do not have permission to perform this action."


class NotFound(ApiError):
    """404 in JSON."""

    status = 404
    default = "Not found."


class MethodNotAllowed(ApiError):
    """405 in JSON: the real one."""

    status = 405

    def __init__(self, method: str) -> None:
        super().__init__(f'Method "{method}" not allowed.')


class UnsupportedMediaType(ApiError):
    """415."""

    status = 415

    def __init__(self, media_type: str) -> None:
        super().__init__(f'Unsupported media type "{media_type}" in request.')


class ServerCrash(Exception):
    """An unhandled exception in authentik.

    GET is answered 500; the other methods get the empty 405 of its error page, which serves only GET.
    """
