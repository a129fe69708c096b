"""The adapter's address and token, and what every request carries."""

from __future__ import annotations

import asyncio

import pytest

from authentik_entra_bootstrap.authentik.adapter import AuthentikAdapter
from authentik_entra_bootstrap.authentik.connection import api_base
from authentik_entra_bootstrap.authentik.requests import Call, Reply
from authentik_entra_bootstrap.config.connection import ConnectionSettings
from authentik_entra_bootstrap.domain import Network, SecretText
from authentik_entra_bootstrap.errors import ConfigError
from authentik_entra_bootstrap.support.waiting import Waiter

from .conftest import Answer, Stub, adapter_for, serve_basics


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ("https://id.example.com", "https://id.example.com/api/v3"),
        ("https://id.example.com/", "https://id.example.com/api/v3"),
        ("  https://id.example.com/api/v3/ ", "https://id.example.com/api/v3"),
        ("https://id.example.com/api/v3", "https://id.example.com/api/v3"),
        ("https://example.com:9443/sso/", "https://example.com:9443/sso/api/v3"),
        ("https://example.com/sso/api/v3/", "https://example.com/sso/api/v3"),
        ("https://example.com/if/admin/#/core/providers;x", "https://example.com/api/v3"),
        ("https://example.com/sso/if/user/?a=b", "https://example.com/sso/api/v3"),
        ("http://localhost:9000", "http://localhost:9000/api/v3"),
        ("http://127.3.2.1:9000", "http://127.3.2.1:9000/api/v3"),
        ("http://[::1]:9000", "http://[::1]:9000/api/v3"),
    ],
)
def test_addresses_as_people_paste_them(given: str, base: str) -> None:
    assert api_base(given) == base


def test_plain_http_to_another_machine_is_for_those_who_ask_for_it() -> None:
    assert api_base("http://server:9000", allow_plain_http=True) == "http://server:9000/api/v3"
    settings = ConnectionSettings(authentik_url="http://server:9000", allow_plain_http=True)
    assert settings.network().allow_plain_http


UNUSABLE = (
    *("", "id.example.com", "ftp://x", "https://", "https://u:pw-canary@h", "https://h?x=1", "https://h/#a"),
    *("https://h:port", "https://h/a b", "https://[::1"),
)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        *((given, "authentik-url-invalid") for given in UNUSABLE),
        ("http://id.example.com", "authentik-url-insecure"),
    ],
)
def test_unusable_addresses_are_refused(given: str, code: str) -> None:
    with pytest.raises(ConfigError, match=rf"\[{code}\]") as caught:
        api_base(given)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "token", ["", "a b", "canary\n", "canary\r\nX-Evil: 1", "canary\u20ac", "\x00canary"]
)
def test_tokens_that_no_header_can_carry(token: str, waiter: Waiter) -> None:
    with pytest.raises(ConfigError, match=r"\[authentik-token-malformed\]") as caught:
        AuthentikAdapter("https://h", SecretText(token), Network(), waiter)
    assert "canary" not in str(caught.value)


async def test_headers_of_every_request(stub: Stub, adapter: AuthentikAdapter) -> None:
    serve_basics(stub)
    await adapter.server()
    wanted = {
        "authorization": "Bearer canary-token-5f2a9c",
        "accept": "application/json",
        "accept-language": "en",
        "user-agent": "authentik-entra-bootstrap",
    }
    assert all(wanted.items() <= request.headers.items() for request in stub.requests)


async def test_paths_are_percent_encoded(stub: Stub, adapter: AuthentikAdapter) -> None:
    stub.on("GET", "/x/a%2Fb%3Fc%C3%A4/", Answer(200, {}))
    await adapter._api.send(Call("GET", "/x/{key}/", "a/b?cä"))
    assert len(stub.requests) == 1


def test_bodies_are_never_shown() -> None:
    reply = Reply("GET", "/x/", 200, {"content-type": "application/json"}, b'{"client_secret": "canary"}')
    call = Call("POST", "/x/{key}/", 4, body={"a": 1}, secrets={"client_secret": SecretText("canary")})
    assert "canary" not in repr(reply) + repr(call) + repr(call.trace())
    assert call.shown_path == "/x/4/"


async def test_closing_ends_every_connection_and_may_be_repeated(stub: Stub, waiter: Waiter) -> None:
    adapter = adapter_for(stub.url, waiter)
    await asyncio.gather(*(adapter.me() for _ in range(5)))
    await adapter.aclose()
    await adapter.aclose()
    assert (await adapter.me()).pk == 7, "a closed adapter opens anew"
    await adapter.aclose()


def test_an_adapter_outlives_its_event_loop(stub: Stub, waiter: Waiter) -> None:
    """Each task of the worker has an event loop of its own."""
    adapter = adapter_for(stub.url, waiter)
    assert [asyncio.run(adapter.me()).pk for _ in range(2)] == [7, 7]
    asyncio.run(adapter.aclose())
