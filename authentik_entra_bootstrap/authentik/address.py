"""authentik's address: what people paste becomes the base of its API, or a clear refusal."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from authentik_entra_bootstrap.addresses import AddressError, authentik_address, is_loopback
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
    try:
        parts = urlsplit(authentik_address(url, assume=""))
    except AddressError as error:
        raise ConfigError(
            "authentik-url-invalid",
            f"The authentik address cannot be used: {error}.",
            "Give the address that people open in the browser, e.g. https://authentik.example.com.",
        ) from None
    host = parts.hostname or ""
    if parts.scheme == "http" and not allow_http and not is_loopback(host):
        raise ConfigError(
            "authentik-url-insecure",
            f"The authentik address uses http:// to {host}: the API token and the client secret would travel readable.",
            "Use the https:// address of authentik.",
        )
    path = parts.path.removesuffix(API_PATH).removesuffix("/api").rstrip("/")
    return urlunsplit((parts.scheme, parts.netloc, path + API_PATH, "", ""))
