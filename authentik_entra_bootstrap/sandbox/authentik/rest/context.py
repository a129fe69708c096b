"""Who asks, and for what: handed to serializers, models and views."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.state import Record, State


@dataclass
class ApiRequest:
    """One HTTP request as the views see it."""

    method: str
    path: str
    query_string: str
    headers: dict[str, str]
    """Lower-case names."""
    body: bytes
    request_id: str
    client_ip: str = "127.0.0.1"
    host: str = "localhost"
    data: Any = None
    """The parsed body, set before a handler runs."""
    params: dict[str, list[str]] = field(init=False)

    def __post_init__(self) -> None:
        self.params = parse_qs(self.query_string, keep_blank_values=True)

    def param(self, name: str, default: str = "") -> str:
        """The last value of a query parameter, as Django's QueryDict has it."""
        return self.params.get(name, [default])[-1]


@dataclass
class Context:
    """What a serializer, a model or a handler may need beside its data."""

    state: State
    request: ApiRequest | None = None
    """``None`` for changes that do not come over HTTP (the worker)."""
    user: Record | None = None
    blueprint: bool = False
    """Whether the change comes from a blueprint."""
    kwargs: dict[str, str] = field(default_factory=dict)
    """Named parts of the request's path."""
    logs: list[Record] = field(default_factory=list)
    """Log lines the running request has written, for the blueprint import's reply."""
