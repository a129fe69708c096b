"""One request to authentik and its answer, as data: addresses, bodies, fields of answers, secrets taken out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_jsonable_python

from authentik_entra_bootstrap.domain import SecretText
from authentik_entra_bootstrap.domain.times import read_time
from authentik_entra_bootstrap.errors import ConfigError, RequestTrace
from authentik_entra_bootstrap.support.network import read_json

Query = Sequence[tuple[str, str]]
_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_VERBS = {"GET": "view", "OPTIONS": "view", "POST": "add", "PATCH": "change", "DELETE": "delete"}


@dataclass(frozen=True)
class Call:
    """One request.

    :param path: below ``/api/v3``; ``{key}`` stands for ``key``, which is percent-encoded.
    :param body: JSON body without its secrets; ``None`` sends none.
    :param secrets: body fields that hold secrets; they are revealed only when the request is written.
    :param permission: authentik's name of the permission it needs, for the error when that is missing.
    :param read_timeout: seconds; ``None`` takes the network's.
    :param upload: parts of a multipart form instead of a body; ``file`` is sent as a file. They may hold secrets.
    """

    method: str
    path: str
    key: str | int = ""
    query: Query = ()
    body: Mapping[str, object] | None = None
    secrets: Mapping[str, SecretText] = field(default_factory=dict)
    permission: str = ""
    read_timeout: float | None = None
    upload: Mapping[str, SecretText] | None = None

    @property
    def shown_path(self) -> str:
        """The path with its key, without the query."""
        return self.path.replace("{key}", str(self.key))

    def trace(self) -> RequestTrace:
        """What to tell authentik's operator about this request."""
        return RequestTrace("authentik", self.method, self.shown_path)


@dataclass(frozen=True)
class Resource:
    """One kind of authentik's objects: the address of its list, and authentik's permissions on it.

    :param path: below ``/api/v3``.
    :param label: authentik's ``app.model``.
    :param key: the field that an object's own address ends with.
    """

    path: str
    label: str
    key: str = "pk"

    def permission(self, verb: str) -> str:
        """The name of a permission, e.g. ``authentik_core.view_group``."""
        app, _, model = self.label.partition(".")
        return f"{app}.{verb}_{model}"

    def call(self, method: str, key: str | int = "", rest: str = "", **fields: Any) -> Call:
        """A request to the list, or with a key to one object, that needs the method's usual permission.

        :param rest: of the address, after the object's own.
        :param fields: of :class:`Call`.
        """
        path = self.path if key == "" else f"{self.path}{{key}}/{rest}"
        return Call(method, path, key, **{"permission": self.permission(_VERBS[method]), **fields})


PROVIDERS = Resource(
    "/providers/microsoft_entra/", "authentik_providers_microsoft_entra.microsoftentraprovider"
)
PROVISIONED_USERS = Resource(
    "/providers/microsoft_entra_users/", "authentik_providers_microsoft_entra.microsoftentraprovideruser"
)
PROVISIONED_GROUPS = Resource(
    "/providers/microsoft_entra_groups/", "authentik_providers_microsoft_entra.microsoftentraprovidergroup"
)
MAPPINGS = Resource(
    "/propertymappings/provider/microsoft_entra/",
    "authentik_providers_microsoft_entra.microsoftentraprovidermapping",
)
ALL_PROVIDERS = Resource("/providers/all/", "authentik_core.provider")
APPLICATIONS = Resource("/core/applications/", "authentik_core.application", "slug")
BINDINGS = Resource("/policies/bindings/", "authentik_policies.policybinding")
TASKS = Resource("/tasks/tasks/", "authentik_tasks.task")
EVENTS = Resource("/events/events/", "authentik_events.event")
TRANSPORTS = Resource("/events/transports/", "authentik_events.notificationtransport")
BLUEPRINTS = Resource("/managed/blueprints/", "authentik_blueprints.blueprintinstance")
USERS = Resource("/core/users/", "authentik_core.user")
GROUPS = Resource("/core/groups/", "authentik_core.group")
BRIEF_GROUP: Query = (
    ("include_users", "false"),
    ("include_children", "false"),
    ("include_parents", "false"),
)
"""Leaves out of a group what costs authentik further reads; primary keys of its members stay."""
TOKENS = Resource("/core/tokens/", "authentik_core.token", "identifier")
ROLES = Resource("/rbac/roles/", "authentik_rbac.role")


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
        try:
            return read_json(self.data.decode("utf-8-sig", "replace"))
        except ValueError:
            raise Malformed("its body is no JSON") from None

    def json_or_none(self) -> object:
        """The body as JSON if it says so and is; ``None`` otherwise."""
        try:
            return self.json() if self.is_json else None
        except Malformed:
            return None


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


# --- fields of answers: unknown ones are ignored, missing ones get a default, unknown words are kept


class Malformed(ValueError):
    """An answer lacks what identifies the object, or is of another kind. The text names fields, never values."""


def mapping(body: object) -> Mapping[str, object]:
    """The body as a JSON object.

    :raises Malformed: it is none.
    """
    if not isinstance(body, dict):
        raise Malformed("it is no JSON object")
    return body


def child(body: Mapping[str, object], name: str) -> Mapping[str, object]:
    """A nested object; empty if it is missing."""
    value = body.get(name)
    return value if isinstance(value, dict) else {}


def items(body: Mapping[str, object], name: str) -> Sequence[object]:
    """A list; empty if it is missing."""
    value = body.get(name)
    return value if isinstance(value, list) else ()


def keys(body: Mapping[str, object], name: str) -> tuple[str, ...]:
    """A list of primary keys as text."""
    return tuple(map(str, items(body, name)))


def text(body: Mapping[str, object], name: str) -> str | None:
    """A string field; ``None`` where it is missing, null or something else."""
    value = body.get(name)
    return value if isinstance(value, str) else None


def number(body: Mapping[str, object], name: str) -> int | None:
    """A whole number, also written as text."""
    value = body.get(name)
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def flag(body: Mapping[str, object], name: str, default: bool = False) -> bool:
    """A boolean."""
    value = body.get(name)
    return value if isinstance(value, bool) else default


def moment(body: Mapping[str, object], name: str) -> datetime | None:
    """A time, aware UTC; ``None`` where it is missing or unreadable."""
    return read_time(body.get(name))


def needed_text(body: Mapping[str, object], name: str) -> str:
    """A string field without which the record means nothing.

    :raises Malformed: it is missing or no string.
    """
    value = text(body, name)
    if value is None:
        raise Malformed(f"it has no usable {name}")
    return value


def needed_number(body: Mapping[str, object], name: str) -> int:
    """A whole number without which the record means nothing.

    :raises Malformed: it is missing or no number.
    """
    value = number(body, name)
    if value is None:
        raise Malformed(f"it has no usable {name}")
    return value


# --- secrets taken out of what authentik sends back and people may read

HIDDEN = "***"
_SHORTEST = 6
"""Characters. Shorter texts are parts of ordinary words, and no service creates secrets that short."""
_SECRET_WORDS = re.compile(
    r"(?i)^value$|secret|passw(?:or)?d|token|authorization|assertion|credential|api_key"
)
_KEYED = re.compile(
    r"(?i)((?:client_?secret|secret_?text|client_?assertion|password|passwd|(?:access|refresh|id)_?token"
    r"|api_?key|authorization|secret|token|value)\b\\?[\"']?\s*[:=]\s*\\?[\"']?)"
    r"(?!AADSTS)(?:Bearer\s+)?[^\s\"',;&}\\]+"
)
_SHAPED = (
    re.compile(r"(?i)\bbearer\s+[A-Za-z0-9._~+/=-]{8,}"),
    re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?"),
    # Entra's client secrets: three characters, a digit, "Q~", then 31 to 34 more.
    re.compile(r"[A-Za-z0-9_~.-]{3}\dQ~[A-Za-z0-9_~.-]{31,34}"),
)


def holds_secret(name: str) -> bool:
    """Whether a field of that name holds a secret."""
    return _SECRET_WORDS.search(name) is not None


class Redactor:
    """Removes the secrets it was told of, and what looks like one."""

    def __init__(self) -> None:
        self._known: set[SecretText] = set()

    def add(self, secret: SecretText) -> None:
        """Remember a secret that must never be shown."""
        if len(secret.reveal().strip()) >= _SHORTEST:
            self._known.add(secret)

    def text(self, text: str) -> str:
        """The text without the secrets known, also JSON-escaped, and without anything that looks like one."""
        for secret in self._known:
            raw = secret.reveal()
            for form in sorted({raw, raw.strip(), json.dumps(raw)[1:-1]}, key=len, reverse=True):
                text = text.replace(form, HIDDEN)
        for shape in _SHAPED:
            text = shape.sub(HIDDEN, text)
        return _KEYED.sub(rf"\1{HIDDEN}", text)
