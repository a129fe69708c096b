"""Addresses: reading what people set, the proxy that a request takes, and pages to open in a browser. Pure.

Everything that comes from outside passes :func:`read_address` before a library sees it: libraries quote what they
cannot read, passwords included. No error here holds any part of an address but its host and port.
"""

from __future__ import annotations

import ipaddress
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

from authentik_entra_bootstrap.domain import AppId, Cloud, ProviderPk, SecretText, TenantId
from authentik_entra_bootstrap.errors import BootstrapError, ConfigError, Denied, RequestTrace, Unreachable

_PORTS = {
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
_ESCAPING = "write special characters in the user name and password percent-encoded (/ as %2F, # as %23, ? as %3F, @ as %40, % as %25)"
_TUNNEL = re.compile(r"(?:Tunnel connection failed: )?([1-5]\d\d)\b")


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
        raise AddressError(f"the address cannot be read; {_ESCAPING}") from None
    user, at, where = parts.netloc.rpartition("@")
    _check_credentials(parts, user, present=bool(at), allowed=credentials)
    for each in where.split(",") if hosts else [where]:
        _check_host(each, may_be_empty=hosts)
    return parts


def _check_credentials(parts: SplitResult, user: str, *, present: bool, allowed: bool) -> None:
    # An @ behind the host is what is left of a password that holds one of / # ?.
    if "@" in user or "@" in parts.path + parts.query + parts.fragment or _HALF_ESCAPE.search(user):
        raise AddressError(f"the address cannot be read; {_ESCAPING}")
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
    """Whether a password may stand in an address, well written or not: something follows a colon before an ``@``."""
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
    return f"{where}:{_PORTS[scheme]}" if named and where and scheme in _PORTS else where


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

    @property
    def full_url(self) -> SecretText:
        """The address with user name and password, for libraries that take them from there."""
        scheme, _, rest = self.url.partition("://")
        text = self.user_info.reveal()
        return SecretText(f"{scheme}://{text}@{rest}" if text else self.url)


def read_proxy(text: str) -> Proxy:
    """The proxy at an address; one without a scheme is an ``http://`` one.

    :raises AddressError: it cannot be used, or it is a SOCKS proxy: the libraries underneath know none.
    """
    if re.match(r"socks\w*://", unquoted(text), re.IGNORECASE):
        raise AddressError("SOCKS proxies are not supported; name an HTTP proxy")
    parts = read_address(text, ("http", "https"), assume="http")
    if parts.query or parts.fragment or parts.path not in {"", "/"}:
        raise AddressError(f"the address of a proxy is http://host:port; {_ESCAPING}")
    user_info, _, where = parts.netloc.rpartition("@")
    return Proxy(f"{parts.scheme}://{where}", SecretText(user_info))


def proxy_for(url: str, setting: str | None, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy that a request takes; the same for both sides.

    The setting goes before the environment and holds for every host. Else ``HTTPS_PROXY`` or ``HTTP_PROXY`` by the
    address's scheme, then ``ALL_PROXY``, unless ``NO_PROXY`` names the host. Of two spellings the lower-case one is
    followed, also where it is empty.

    :param url: the address that is asked.
    :param setting: the setting ``proxy``.
    :raises ConfigError: ``proxy-invalid``.
    """
    if setting:
        return _proxy_of("The setting proxy", setting)
    parts = urlsplit(url)
    if bypasses_proxy(
        parts.hostname or "", parts.port or _PORTS.get(parts.scheme), _variable("no_proxy", environ)[1]
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


# --- pages for people


def application_page(cloud: Cloud, app_id: AppId) -> str:
    """The application in the Microsoft Entra admin center."""
    return f"{cloud.portal}/#view/Microsoft_AAD_RegisteredApps/ApplicationMenuBlade/~/Overview/appId/{app_id}"


def admin_consent(cloud: Cloud, tenant_id: TenantId, app_id: AppId) -> str:
    """The address at which an administrator grants what the application lists (v1 admin consent endpoint)."""
    return f"{cloud.authority}/{tenant_id}/adminconsent?{urlencode({'client_id': app_id})}"


def provider_page(authentik_url: str, pk: ProviderPk) -> str:
    """The provider in authentik's admin interface."""
    return f"{authentik_url}/if/admin/#/core/providers/{pk}"
