"""Microsoft Graph's errors: the envelope's contents and one factory for each text the service is known to send.

Texts and codes are those seen from the real service; where no source names the code, the directory's
general ``Request_BadRequest`` is used.
"""

from __future__ import annotations

from collections.abc import Sequence

INSUFFICIENT = "Insufficient privileges to complete the operation."
BACKING_APPLICATION = (
    "When using this permission, the backing application of the service principal being created must in the "
    "local tenant"
)
_NOT_PRESENT = "does not exist or one of its queried reference-property objects are not present."


class GraphError(Exception):
    """An error reply.

    :param status: HTTP status.
    :param code: Graph's error code, e.g. ``Request_ResourceNotFound``.
    :param message: Graph's own text.
    :param details: ``(code, target)`` pairs; each repeats the message, as the directory does.
    :param headers: extra response headers.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        details: Sequence[tuple[str, str]] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.details = [{"code": kind, "message": message, "target": target} for kind, target in details]
        self.headers = headers or {}


def bad_request(message: str, *details: tuple[str, str]) -> GraphError:
    """400 with the directory's general code."""
    return GraphError(400, "Request_BadRequest", message, details=details)


def malformed(message: str) -> GraphError:
    """400 of the gateway in front of the directory: syntax of the address, the query, or the body."""
    return GraphError(400, "BadRequest", message)


def unreadable_body() -> GraphError:
    """400 for a body that is no JSON object."""
    return malformed(
        "Unable to read JSON request payload. Please ensure Content-Type header is set and payload is of valid "
        "JSON format."
    )


def not_found(resource: str) -> GraphError:
    """404 for an object that does not exist, or that the replica at hand does not know yet."""
    return GraphError(404, "Request_ResourceNotFound", f"Resource '{resource}' {_NOT_PRESENT}")


def missing_reference(resource: str) -> GraphError:
    """400 form of the same, sent when a body refers to an object that is not there."""
    return bad_request(f"Resource '{resource}' {_NOT_PRESENT}")


def denied(message: str = INSUFFICIENT) -> GraphError:
    """403."""
    return GraphError(403, "Authorization_RequestDenied", message)


def conflict(value_of: str) -> GraphError:
    """400 for a property value that another object holds already."""
    return bad_request(
        f"Another object with the same value for property {value_of} already exists.",
        ("ObjectConflict", value_of),
    )


def same_key(status: int, message: str) -> GraphError:
    """The directory's code for an entry that exists already."""
    return GraphError(status, "Request_MultipleObjectsWithSameKeyValue", message)


def invalid_property(name: str) -> GraphError:
    """400 for a property that the resource does not have."""
    return bad_request(f"Invalid property '{name}'.")


def unknown_property(name: str, type_name: str, clause: str = "") -> GraphError:
    """400 for a property a query names and the type does not have.

    :param clause: begins the message: what could not be read.
    """
    return malformed(
        f"{clause}Could not find a property named '{name}' on type 'microsoft.graph.{type_name}'."
    )


def required_value(name: str, resource: str) -> GraphError:
    """400 for a property that must have a value."""
    return bad_request(
        f"A value is required for property '{name}' of resource '{resource}'.", ("MissingValue", name)
    )


def invalid_value(name: str, resource: str, reason: str = "InvalidValue") -> GraphError:
    """400 for a value the property cannot take."""
    return bad_request(
        f"Invalid value specified for property '{name}' of resource '{resource}'.", (reason, name)
    )


def read_only(name: str) -> GraphError:
    """400 for a property only the service sets."""
    return bad_request(f"Property '{name}' is read-only and cannot be set.", ("PropertyReadOnly", name))


def not_served(what: str) -> GraphError:
    """501 of the sandbox itself: what the real service serves and the sandbox does not."""
    return GraphError(501, "notSupported", f"The sandbox does not serve {what}.")


def references_exist(relation: str) -> GraphError:
    """400 for a reference that is there already."""
    return bad_request(
        f"One or more added object references already exist for the following modified properties: '{relation}'."
    )
