"""Bodies of requests and replies."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from authentik_entra_bootstrap.sandbox.authentik.rest.errors import ParseError, UnsupportedMediaType

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from authentik_entra_bootstrap.sandbox.authentik.rest.context import ApiRequest

JSON = "application/json"
MULTIPART = "multipart/form-data"


@dataclass
class Reply:
    """What a handler answers. ``data`` of ``None`` sends no body."""

    data: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    text: str | None = None
    """A body that is no JSON, with its ``content-type`` in ``headers``."""


def dump(data: Any) -> bytes:
    """Compact JSON, unescaped."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


async def read_body(request: ApiRequest, media_types: Sequence[str] = (JSON,)) -> Any:
    """The parsed body; an empty mapping when there is none.

    :raises UnsupportedMediaType: for a body of another type.
    :raises ParseError: for a body that cannot be read.
    """
    if not request.body:
        return {}
    content_type = request.headers.get("content-type", "")
    bare = content_type.split(";")[0].strip().lower()
    if bare not in media_types:
        raise UnsupportedMediaType(content_type)
    return await _read_form(request, content_type) if bare == MULTIPART else _read_json(request.body)


def _read_json(body: bytes) -> Any:
    """What a body holds; refusals begin with the words of authentik's parser, orjson.

    :raises ParseError: also for what Python reads and orjson does not: infinite numbers, lone surrogates.
    """
    try:
        value = json.loads(body.decode(), parse_constant=_finite, parse_float=_finite)
        json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        what = "unexpected end of data" if error.pos >= len(error.doc.rstrip()) else "unexpected character"
        place = f"line {error.lineno} column {error.colno} (char {error.pos})"
        raise ParseError(f"JSON parse error - {what}: {place}") from None
    except (RecursionError, ValueError):
        raise ParseError("JSON parse error - number out of range: line 1 column 1 (char 0)") from None
    return value


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


async def _read_form(request: ApiRequest, content_type: str) -> dict[str, Any]:
    """Form fields as text, files as bytes."""
    if not parse_options_header(content_type)[1].get(b"boundary"):
        raise ParseError("Multipart form parse error - Invalid boundary in multipart: None")

    async def chunks() -> AsyncGenerator[bytes, None]:
        yield request.body
        yield b""

    try:
        form = await MultiPartParser(Headers({"content-type": content_type}), chunks()).parse()
    except MultiPartException as error:
        raise ParseError(f"Multipart form parse error - {error.message}") from None
    found: dict[str, Any] = {}
    for name, value in form.multi_items():
        found[name] = await value.read() if isinstance(value, UploadFile) else value
    await form.close()
    return found


def error_data(detail: Any) -> Any:
    """A validation error's detail as plain JSON."""
    if isinstance(detail, Mapping):
        return {key: error_data(value) for key, value in detail.items()}
    if isinstance(detail, list | tuple):
        return [error_data(value) for value in detail]
    return str(detail)
