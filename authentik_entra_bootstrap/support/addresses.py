"""Addresses that people set: of authentik, brokers, leases and proxies; and which proxy a request takes. Pure.

Everything that comes from outside passes :func:`read_address` before a library sees it: libraries quote what they
cannot read, passwords included. No error here holds any part of an address but its host and port.
"""

from __future__ import annotations

import ipaddress
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from authentik_entra_bootstrap.domain import SecretText
from authentik_entra_bootstrap.errors import ConfigError

PORTS = {
    "http": 80,
    "https": 443,
    "redis": 6379,
    "rediss": 6379,
    "amqp": 5672,
    "amqps": 5671,
    "postgresql": 5432,
}
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_PAGE = re.compile(r"/if/(?:admin|user|flow|rac|session-end|help)(?=[/?#]|$)")
"""Where the path of authentik's own pages begins, behind a sub-path if there is one."""
_UNCHECKED = frozenset(
    {("ssl_cert_reqs", "none"), ("ssl_cert_reqs", "optional"), ("ssl_check_hostname", "false")}
)
_LABEL = re.compile(r"[\w-]{1,63}")
_HALF_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
ESCAPING = "write special characters in the user name and password percent-encoded (/ as %2F, # as %23, ? as %3F, @ as %40, % as %25)"


class AddressError(ValueError):
    """Why an address cannot be used, without the address."""


def unquoted(text: str) -> str:
    """The text without white space around it, and without one pair of quotes around the whole."""
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1].strip()
    return text


def read_address(
    text: str, schemes: Iterable[str], *, assume: str = "", credentials: bool = True, hosts: bool = False
) -> SplitResult:
    """The parts of an address; their ``geturl()`` is what a library may be given.

    White space and quotes around the whole are taken off.

    :param schemes: the schemes that are allowed.
    :param assume: the scheme of an address that names none; empty where one has to be named.
    :param credentials: whether a user name and password are allowed.
    :param hosts: whether several hosts, or none, are allowed, as libpq reads them.
    :raises AddressError: it cannot be used.
    """
    text = unquoted(text)
    known = tuple(schemes)
    wanted = f"an address that begins with {', '.join(f'{name}://' for name in known)} is wanted"
    if any(character.isspace() or not character.isprintable() for character in text):
        raise AddressError("the address holds white space or control characters")
    if not _SCHEME.match(text):
        if not assume:
            raise AddressError(wanted)
        text = f"{assume}://{text}"
    scheme = text.partition("://")[0].lower()
    if scheme not in known:
        raise AddressError(wanted)
    try:
        parts = urlsplit(text)
    except ValueError:
        raise AddressError(f"the address cannot be read; {ESCAPING}") from None
    user, at, where = parts.netloc.rpartition("@")
    _check_credentials(parts, user, present=bool(at), allowed=credentials)
    for each in where.split(",") if hosts else [where]:
        _check_host(each, may_be_empty=hosts)
    return parts


def _check_credentials(parts: SplitResult, user: str, *, present: bool, allowed: bool) -> None:
    # An @ behind the host is what is left of a password that holds one of / # ?.
    if "@" in user or "@" in parts.path + parts.query + parts.fragment or _HALF_ESCAPE.search(user):
        raise AddressError(f"the address cannot be read; {ESCAPING}")
    if "%00" in user:
        raise AddressError("the user name or password holds a NUL character")
    if present and not allowed:
        raise AddressError("the address must not hold a user name or password")


def _check_host(where: str, *, may_be_empty: bool) -> None:
    host, port = where, ""
    if where.startswith("["):
        host, _, port = where[1:].partition("]")
        try:
            ipaddress.IPv6Address(host.partition("%25")[0])
        except ValueError:
            raise AddressError("the address in brackets is no IPv6 address") from None
        if port and not port.startswith(":"):
            raise AddressError("the port is no number between 1 and 65535")
        port = port[1:]
    else:
        host, _, port = where.partition(":")
        labels = host.removesuffix(".").split(".")
        if not host and not may_be_empty:
            raise AddressError("the address names no host")
        if host and (len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels)):
            raise AddressError("the address holds no usable host name")
    if port and not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536):
        raise AddressError("the port is no number between 1 and 65535")


def read_broker(text: str, schemes: Iterable[str]) -> str:
    """The address of a broker or of the leases, as a library may be given it.

    :raises AddressError: it cannot be used, or it turns the check of the server's certificate off.
    """
    libpq = frozenset({"postgresql", "postgres"})
    text = unquoted(text)
    scheme = text.partition("://")[0].lower()
    if scheme in {"file", "filesystem"} & set(schemes):
        if not text.isprintable():
            raise AddressError("the address holds control characters")
        return text
    # kombu takes several addresses of RabbitMQ.
    several = re.split(r";(?=amqps?://)", text) if scheme in {"amqp", "amqps"} else [text]
    parts = [read_address(each, schemes, hosts=scheme in libpq) for each in several]
    for name, value in parse_qsl(parts[0].query):
        if (name, value.lower().removeprefix("cert_")) in _UNCHECKED:
            raise AddressError(
                f"the server's certificate is always checked; leave {name} out and set ca_file"
            )
    # Not put together again: an address without a host would lose its slashes. redis-py wants the scheme in lower case.
    return scheme + text[len(scheme) :]


def holds_password(text: object) -> bool:
    """Whether an address, valid or not, may contain a password: text between a colon and an ``@``."""
    return isinstance(text, str) and re.search(r":[^@]+@", text.partition("://")[2] or text) is not None


def read_origin(
    text: str, schemes: Iterable[str] = ("https", "http"), *, assume: str = "https"
) -> SplitResult:
    """The parts of a service's address: no user name, password, query or fragment.

    :raises AddressError: it cannot be used.
    """
    parts = read_address(text, schemes, assume=assume, credentials=False)
    if parts.query or parts.fragment:
        raise AddressError("the address must not have a query or fragment")
    return parts._replace(netloc=parts.netloc.lower(), path=parts.path.rstrip("/"))


def authentik_address(text: str, *, assume: str = "https") -> str:
    """authentik's address as people copy it from the browser, without the page: ``…/if/admin/#/core/providers``.

    :raises AddressError: it cannot be used.
    """
    return read_origin(_PAGE.split(unquoted(text), maxsplit=1)[0], assume=assume).geturl()


def host_and_port(url: str) -> str:
    """``host:port`` of an address, for messages: no user name, password or path.

    :param url: as :func:`read_address` accepts it.
    """
    parts = urlsplit(url)
    where = parts.netloc.rpartition("@")[2]
    scheme = "postgresql" if parts.scheme == "postgres" else parts.scheme
    named = where.endswith("]") or ":" not in where.rpartition("]")[2]
    return f"{where}:{PORTS[scheme]}" if named and where and scheme in PORTS else where


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


# --- proxies


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy.

    :param url: ``scheme://host[:port]``, without user name and password.
    :param user_info: user name and password as in an address, percent-encoded.
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

    Commas or blanks separate entries: ``*``, a host name, an address, or a network (``10.0.0.0/8``). A host name
    includes its subdomains, with or without a leading dot or ``*.``. All but a network may have a port. Names are
    not resolved.
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
