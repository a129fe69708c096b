"""Replies, and what a request's headers ask of them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from authentik_entra_bootstrap.sandbox.authentik.rest.errors import (
    NotAcceptable,
    NotFound,
    ParseError,
    UnsupportedMediaType,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from authentik_entra_bootstrap.sandbox.authentik.rest.context import ApiRequest

JSON = "application/json"
MULTIPART = "multipart/form-data"
VARY = "Accept-Language, Cookie"


@dataclass
class Reply:
    """What a handler answers. ``data`` of ``None`` with status 204 sends no body."""

    data: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    text: str | None = None
    """A body that is no JSON, with its ``content-type`` in ``headers``."""


def dump(data: Any) -> bytes:
    """Compact JSON, unescaped."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def check_accept(request: ApiRequest, media_types: Sequence[str] = (JSON,)) -> str:
    """The media type to answer with.

    :raises NotAcceptable: when none of them is wanted.
    """
    wanted = [part.split(";")[0].strip().lower() for part in request.headers.get("accept", "*/*").split(",")]
    for pattern in wanted:
        for media_type in media_types:
            main = media_type.split("/")[0]
            if pattern in {"*/*", "", media_type, f"{main}/*"}:
                return media_type
    raise NotAcceptable


def check_format(request: ApiRequest, media_types: Sequence[str] = (JSON,)) -> None:
    """Look at the ``format`` parameter, which Django REST framework reads on every address.

    :raises NotFound: for a format that the address does not speak.
    """
    formats = {"json"} | ({"yaml"} if any(kind.endswith("yaml") for kind in media_types) else set())
    wanted = request.param("format")
    if wanted and wanted not in formats:
        raise NotFound


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
    if bare == MULTIPART:
        return await _read_form(request, content_type)
    return _read_json(request.body)


def _read_json(body: bytes) -> Any:
    """What a body holds; refusals begin with the words of authentik's parser, orjson.

    :raises ParseError: also for what orjson does not read and Python does.
    """
    try:
        value = json.loads(body.decode(), parse_constant=_refuse_number, parse_float=_finite)
        # A lone surrogate cannot be encoded.
        json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        ended = error.pos >= len(error.doc.rstrip())
        what = "unexpected end of data" if ended else "unexpected character"
        place = f"line {error.lineno} column {error.colno} (char {error.pos})"
        raise ParseError(f"JSON parse error - {what}: {place}") from None
    except UnicodeError:
        raise ParseError(
            "JSON parse error - str is not valid UTF-8: surrogates not allowed: line 1 column 1 (char 0)"
        ) from None
    except (RecursionError, ValueError):
        raise ParseError("JSON parse error - number out of range: line 1 column 1 (char 0)") from None
    return value


def _refuse_number(text: str) -> float:
    raise ValueError(text)


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse_number(text)


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
