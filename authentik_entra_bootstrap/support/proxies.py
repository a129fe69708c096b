"""The HTTP proxy of a request, from the setting and the environment, and the errors of a proxy that refuses. Pure."""

from __future__ import annotations

import ipaddress
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from authentik_entra_bootstrap.domain import SecretText
from authentik_entra_bootstrap.errors import BootstrapError, ConfigError, Denied, RequestTrace, Unreachable
from authentik_entra_bootstrap.support.addresses import (
    ESCAPING,
    PORTS,
    AddressError,
    host_and_port,
    read_address,
    unquoted,
)

_TUNNEL = re.compile(r"(?:Tunnel connection failed: )?([1-5]\d\d)\b")


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy.

    :param url: ``scheme://host[:port]``, without user name and password.
    :param user_info: user name and password as they stand in an address, percent-encoded.
    """

    url: str
    user_info: SecretText = field(default=SecretText(""), repr=False)

    @property
    def where(self) -> str:
        """``host:port``, for messages."""
        return host_and_port(self.url)

    @property
    def headers(self) -> dict[str, str]:
        """``Proxy-Authorization``, where a user name is set. It holds the password: for the request alone."""
        text = self.user_info.reveal()
        if not text:
            return {}
        user, _, password = text.partition(":")
        pair = f"{unquote(user)}:{unquote(password)}".encode()
        return {"Proxy-Authorization": f"Basic {b64encode(pair).decode()}"}


def read_proxy(text: str) -> Proxy:
    """The proxy at an address; one without a scheme is an ``http://`` one.

    :raises AddressError: it cannot be used, or it is a SOCKS proxy: the libraries underneath know none.
    """
    if re.match(r"socks\w*://", unquoted(text), re.IGNORECASE):
        raise AddressError("SOCKS proxies are not supported; name an HTTP proxy")
    parts = read_address(text, ("http", "https"), assume="http")
    if parts.query or parts.fragment or parts.path not in {"", "/"}:
        raise AddressError(f"the address of a proxy is http://host:port; {ESCAPING}")
    user_info, _, where = parts.netloc.rpartition("@")
    return Proxy(f"{parts.scheme}://{where}", SecretText(user_info))


def proxy_for(url: str, setting: str | None, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy of a request; both services use this one rule.

    The setting wins over the environment and holds for every host. Without it: ``HTTPS_PROXY`` or ``HTTP_PROXY`` by the
    address's scheme, then ``ALL_PROXY``, unless ``NO_PROXY`` names the host. The lower-case spelling of a variable wins,
    also where it is empty.

    :param url: the address that is asked.
    :param setting: the setting ``proxy``.
    :raises ConfigError: ``proxy-invalid``.
    """
    if setting:
        return _proxy_of("The setting proxy", setting)
    parts = urlsplit(url)
    if bypasses_proxy(
        parts.hostname or "", parts.port or PORTS.get(parts.scheme), _variable("no_proxy", environ)[1]
    ):
        return None
    for name in (f"{parts.scheme}_proxy", "all_proxy"):
        spelling, value = _variable(name, environ)
        if value.strip():
            return _proxy_of(f"The environment variable {spelling}", value)
    return None


def _variable(name: str, environ: Mapping[str, str]) -> tuple[str, str]:
    spelling = name if name in environ else name.upper()
    return spelling, environ.get(spelling, "")


def _proxy_of(origin: str, text: str) -> Proxy:
    try:
        return read_proxy(text)
    except AddressError as error:
        raise ConfigError(
            "proxy-invalid",
            f"{origin} holds no usable proxy: {error}.",
            "Set it to http://host:port, or http://USER:PASSWORD@host:port.",
        ) from None


def bypasses_proxy(host: str, port: int | None, no_proxy: str) -> bool:
    """Whether ``NO_PROXY`` names a host.

    Entries stand between commas or blanks: ``*``; a host name, which stands for its subdomains too, with or without
    a leading dot or ``*.``; an address; a network (``10.0.0.0/8``); each but a network with a port, if wanted. Names
    are not resolved.
    """
    host = host.lower().rstrip(".").strip("[]")
    address = _address(host)
    return any(
        _names(entry, host, address, port)
        for entry in re.split(r"[\s,]+", unquoted(no_proxy).lower())
        if entry
    )


def _names(
    entry: str, host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None, port: int | None
) -> bool:
    if entry == "*":
        return True
    if "/" in entry:
        try:
            return address is not None and address in ipaddress.ip_network(
                entry.replace("[", "").replace("]", ""), strict=False
            )
        except ValueError:
            return False
    if _address(entry) is None:
        bare, colon, number = entry.rpartition(":")
        if colon and number.isdigit():
            if int(number) != port:
                return False
            entry = bare
    entry = entry.strip("[]")
    if address is not None:
        return _address(entry) == address
    name = entry.removeprefix("*").strip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def status_from_proxy(causes: Iterable[BaseException]) -> int | None:
    """The status with which a proxy refused to connect, if that is what happened.

    Neither library keeps it but in a text: httpx's ``ProxyError("407 …")``, and the standard library's
    ``OSError("Tunnel connection failed: 407 …")`` inside urllib3's ``ProxyError``.

    :param causes: an exception of httpx, urllib3 or requests and everything inside it.
    """
    texts = [
        str(cause.args[0])
        for cause in causes
        if cause.args and (type(cause).__name__ == "ProxyError" or type(cause) is OSError)
    ]
    found = next((match for text in texts if (match := _TUNNEL.match(text))), None)
    return int(found[1]) if found else None


def proxy_refusal(
    status: int, target: str, proxy: Proxy | None = None, trace: RequestTrace | None = None
) -> BootstrapError:
    """The error of a proxy that does not connect.

    :param status: what it answered: 407 and other 4xx are final, the rest may pass.
    :param target: ``host:port`` that was to be reached.
    :param proxy: where it is known.
    """
    who = f"The proxy {proxy.where}" if proxy else "The proxy"
    if status == 407:
        lacks = (
            "does not accept the user name and password"
            if proxy and proxy.headers
            else "wants a user name and password"
        )
        return Denied(
            "proxy-authentication-required",
            f"{who} {lacks}, so it does not connect to {target} (status 407).",
            "Put them into the environment instead of the setting proxy: HTTPS_PROXY=http://USER:PASSWORD@host:port, "
            "with special characters percent-encoded.",
            trace,
        )
    if 400 <= status < 500:
        return Denied(
            "proxy-refused",
            f"{who} refuses to connect to {target} (status {status}).",
            f"Let the proxy allow {target}, or name its host in NO_PROXY where it can be reached directly.",
            trace,
        )
    error = Unreachable(
        "proxy-unavailable",
        f"{who} cannot connect to {target} (status {status}).",
        "Check the proxy and its own way to that host; then run the same command again.",
        trace,
    )
    error.sent = False
    return error
