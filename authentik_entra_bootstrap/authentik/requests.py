"""One request to authentik and its answer, as data; bodies by the client library's request models."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_jsonable_python

from authentik_entra_bootstrap.domain import SecretText
from authentik_entra_bootstrap.errors import ConfigError, RequestTrace

Query = Sequence[tuple[str, str]]
_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


@dataclass(frozen=True)
class Call:
    """One request.

    :param path: below ``/api/v3``, with ``{names}`` for ``params``, which are percent-encoded.
    :param body: JSON body without its secrets; ``None`` sends none.
    :param secrets: body fields that hold secrets; they are revealed only when the request is written.
    :param permission: authentik's name of the permission it needs, for the error when that is missing.
    :param read_timeout: seconds; ``None`` takes the network's.
    :param upload: parts of a multipart form instead of a body; ``file`` is sent as a file. They may hold secrets.
    """

    method: str
    path: str
    params: Mapping[str, str | int] = field(default_factory=dict)
    query: Query = ()
    body: Mapping[str, object] | None = None
    secrets: Mapping[str, SecretText] = field(default_factory=dict)
    permission: str = ""
    read_timeout: float | None = None
    upload: Mapping[str, SecretText] | None = None

    @property
    def shown_path(self) -> str:
        """The path with its parameters, without the query."""
        return self.path.format(**{name: str(value) for name, value in self.params.items()})

    def trace(self, status: int | None = None, request_id: str | None = None) -> RequestTrace:
        """What to tell authentik's operator about this request."""
        return RequestTrace("authentik", self.method, self.shown_path, status, request_id=request_id)


class Malformed(ValueError):
    """An answer lacks what identifies the object, or is of another kind. The text names fields, never values."""


@dataclass(frozen=True, repr=False)
class Reply:
    """One answer. Its body may hold a client secret (older servers show it), so it is never shown."""

    method: str
    path: str
    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    data: bytes

    def __repr__(self) -> str:
        return f"Reply({self.method} {self.path}: {self.status}, {len(self.data)} bytes)"

    @property
    def request_id(self) -> str | None:
        """``X-authentik-id``: the id of this request in authentik's log and audit trail."""
        told = self.headers.get("x-authentik-id", "")
        return told if _REQUEST_ID.fullmatch(told) else None

    @property
    def is_json(self) -> bool:
        """Whether the content type says JSON."""
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        return kind == "application/json" or kind.endswith("+json")

    def trace(self) -> RequestTrace:
        """What to tell authentik's operator about this request."""
        return RequestTrace("authentik", self.method, self.path, self.status, request_id=self.request_id)

    def json(self) -> object:
        """The body as JSON.

        :raises Malformed: it is none.
        """
        # By itself, json would let halves of surrogate pairs through, which nothing can print or send.
        text = self.data.decode("utf-8", "replace")
        try:
            parsed: object = json.loads(text, parse_constant=_refuse)
            if _SURROGATE.search(text):
                parsed = json.loads(json.dumps(parsed, ensure_ascii=False).encode("utf-8", "replace"))
        except (ValueError, RecursionError):
            raise Malformed("its body is no JSON") from None
        return parsed

    def json_or_none(self) -> object:
        """The body as JSON if it says so and is; ``None`` otherwise."""
        if not self.is_json:
            return None
        try:
            return self.json()
        except Malformed:
            return None


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is no JSON")


def typed(model: Any, values: Mapping[str, object]) -> dict[str, object]:
    """Validate and serialise by a request model of the client library; fields that the installed client does not know pass unchanged.

    :raises ConfigError: ``authentik-value-invalid``, naming the fields and not their values.
    """
    known = {name: value for name, value in values.items() if name in model.model_fields}
    try:
        body: dict[str, object] = to_jsonable_python(model(**known).to_dict())
    except ValidationError as error:
        refused = sorted({".".join(str(part) for part in entry["loc"][:1]) for entry in error.errors()})
    else:
        # Only what was asked for: the models of some versions add defaults.
        return {name: body.get(name, value) for name, value in values.items()}
    raise ConfigError(
        "authentik-value-invalid",
        f"authentik would refuse the value of {', '.join(refused)}.",
        "Correct the setting.",
        facts={"fields": ", ".join(refused)},
    )
