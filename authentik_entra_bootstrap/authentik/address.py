"""authentik's address: what people paste becomes the base of its API, or a clear refusal."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit, urlunsplit

from authentik_entra_bootstrap.errors import ConfigError

API_PATH = "/api/v3"


def api_base(url: str, *, allow_http: bool = False) -> str:
    """The base of authentik's API, without trailing slash, e.g. ``https://id.example.com/sso/api/v3``.

    Takes the address with or without ``/api/v3``, with a trailing slash, below a sub-path, or copied from the
    browser (``…/if/admin/#/core/providers``).

    :param url: authentik's address.
    :param allow_http: accept ``http://`` to other hosts than this one. The token then travels readable.
    :raises ConfigError: ``authentik-url-invalid``, ``authentik-url-insecure``.
    """
    text = url.strip()
    try:
        parts = urlsplit(text)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        raise _invalid("it cannot be parsed") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise _invalid("it must begin with https:// and name a host")
    if parts.username is not None or parts.password is not None:
        raise _invalid("it must not hold a user name or password")
    if any(character.isspace() or ord(character) < 32 for character in text):
        raise _invalid("it holds white space")
    path, browser, _ = parts.path.partition("/if/")
    if (parts.query or parts.fragment) and not browser:
        raise _invalid("it must not have a query or fragment")
    if parts.scheme == "http" and not allow_http and not is_loopback(host):
        raise ConfigError(
            "authentik-url-insecure",
            f"The authentik address uses http:// to {host}: the API token and the client secret would travel readable.",
            "Use the https:// address of authentik.",
        )
    path = path.rstrip("/").removesuffix(API_PATH).removesuffix("/api").rstrip("/")
    return urlunsplit((parts.scheme, parts.netloc, path + API_PATH, "", ""))


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _invalid(why: str) -> ConfigError:
    return ConfigError(
        "authentik-url-invalid",
        f"The authentik address is not usable: {why}.",
        "Give the address that people open in the browser, e.g. https://authentik.example.com.",
    )
