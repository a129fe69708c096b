"""Addresses of the SDK's requests, put together by its own templates, each kind once.

The SDK's expansion of a template looks at every letter of every selected property, at each request. Requests of one kind
differ by object ids alone, which stand in an address as they are.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from kiota_abstractions.request_information import RequestInformation

_GUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_Values = tuple[tuple[str, Any], ...]


def address(request: RequestInformation) -> str:
    """The request's address, as its own ``url`` would give it."""
    template, path = request.url_template, request.path_parameters
    if not template or RequestInformation.RAW_URL_KEY in path:
        return str(request.url)
    ids = {name: value for name, value in path.items() if isinstance(value, str) and _GUID.fullmatch(value)}
    if not ids:
        return str(request.url)
    # Words that an expansion leaves as they are.
    words = {name: f"-object-{number}-" for number, name in enumerate(ids)}
    query = tuple((name, _frozen(value)) for name, value in request.query_parameters.items())
    found = _expanded(template, tuple({**path, **words}.items()), query)
    if any(found.count(word) != 1 for word in words.values()):
        return str(request.url)  # something else in the address is called so
    for name, word in words.items():
        found = found.replace(word, ids[name])
    return found


@lru_cache(maxsize=64)
def _expanded(template: str, path: _Values, query: _Values) -> str:
    request = RequestInformation(url_template=template, path_parameters=dict(path))
    request.query_parameters = {
        name: list(value) if isinstance(value, tuple) else value for name, value in query
    }
    return str(request.url)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
