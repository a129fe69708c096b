from __future__ import annotations

import pytest

from authentik_entra_bootstrap.authentik.adapter import api_base
from authentik_entra_bootstrap.errors import ConfigError


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


@pytest.mark.parametrize(
    "given",
    [
        "",
        "id.example.com",
        "ftp://x",
        "https://",
        "https://u:pw-canary@h",
        "https://h?x=1",
        "https://h/#a",
        "https://h:port",
        "https://h/a b",
        "https://[::1",
    ],
)
def test_unusable_addresses_are_refused(given: str) -> None:
    with pytest.raises(ConfigError) as caught:
        api_base(given)
    assert caught.value.code == "authentik-url-invalid"
    assert "canary" not in str(caught.value)


def test_plain_http_is_refused_unless_allowed() -> None:
    with pytest.raises(ConfigError) as caught:
        api_base("http://id.example.com")
    assert caught.value.code == "authentik-url-insecure"
