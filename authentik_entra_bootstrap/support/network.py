"""How connections are made: the certificate authorities that every connection trusts, and the HTTP proxy of a request."""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from authentik_entra_bootstrap.domain import Network, SecretText
from authentik_entra_bootstrap.errors import ConfigError
from authentik_entra_bootstrap.support.addresses import (
    ESCAPING,
    PORTS,
    AddressError,
    host_and_port,
    read_address,
    unquoted,
)

REQUEST_DEADLINE = 100.0
"""Seconds in which a request is answered, from connecting to the answer's last byte; scaled like every budget."""
TOKEN_LIMIT = 1 << 20
"""Bytes of an answer of a token service."""
ANSWER_LIMIT = 32 << 20
"""Bytes of an answer of Microsoft Graph or authentik, after decompression."""
PAGES_LIMIT = 1000
"""Pages of one list."""
MOST = 8
"""Cached contexts; each holds a bundle of authorities, about a megabyte."""
CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Read where no CA file is set: each library by itself reads only some of them."""
_SYSTEM = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Alpine
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",  # macOS, BSD
)

Stamp = tuple[int, int, int]


def with_trust(network: Network, environ: Mapping[str, str] = os.environ) -> Network:
    """The settings with the PEM file that is trusted, where the setting or the environment names one.

    :raises ConfigError: ``ca-file-unreadable``.
    """
    chosen = network.ca_file or _named(environ)
    if chosen is None:
        return network
    client_context(chosen)
    return replace(network, ca_file=chosen)


def bundle(ca_file: str | None, environ: Mapping[str, str] = os.environ) -> str:
    """The PEM file of trusted authorities: the one that is set, else the environment's, the system's, certifi's.

    :param ca_file: the setting ``ca_file``.
    """
    chosen = ca_file or _named(environ)
    if chosen:
        return chosen
    default = ssl.get_default_verify_paths().cafile
    found = next((path for path in (default, *_SYSTEM) if path and Path(path).is_file()), None)
    if found:
        return found
    import certifi  # a system without authorities of its own is rare

    return certifi.where()


def _named(environ: Mapping[str, str]) -> str | None:
    return next((environ[name] for name in CA_VARIABLES if environ.get(name)), None)


def client_context(ca_file: str | None) -> ssl.SSLContext:
    """The TLS context that verifies servers, cached for each content of a file: reading a bundle takes 20 ms.

    Connections, threads and event loops share it. httpx and urllib3 both set the same protocol on it: ``http/1.1``.

    :param ca_file: PEM file of the authorities that are trusted instead of the system's.
    :raises ConfigError: ``ca-file-unreadable``.
    """
    chosen = bundle(ca_file)
    try:
        return _context(chosen, stamp(chosen), None if ca_file else os.environ.get("SSL_CERT_DIR"))
    except ssl.SSLError as error:
        reason = f"no certificates in PEM form ({error.reason or 'unreadable'})"
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or type(error).__name__).lower()
    raise ConfigError(
        "ca-file-unreadable",
        f"The CA file {chosen} cannot be used: {reason}.",
        "Point the CA setting (ca_file) at a readable PEM file with the certificate authorities to trust.",
    )


@lru_cache(maxsize=MOST)
def _context(file: str, _stamp: Stamp, folder: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=file)
    if folder and Path(folder).is_dir():
        context.load_verify_locations(capath=folder)
    return context


def redis_options(url: str, ca_file: str | None) -> tuple[str, dict[str, Any]]:
    """A Redis's address without its TLS options, and the TLS options for redis-py with our authorities.

    kombu by itself checks no certificate, and ignores every other option where the address holds one.

    :param url: ``redis://…`` or ``rediss://…``.
    """
    parts = urlsplit(url)
    if parts.scheme != "rediss":
        return url, {}
    query = parse_qsl(parts.query)
    options: dict[str, Any] = {"ssl_ca_certs": bundle(ca_file)}
    options |= {name: value for name, value in query if name.startswith("ssl_")}
    options |= {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True}
    rest = urlencode([item for item in query if not item[0].startswith("ssl_")])
    return parts._replace(query=rest).geturl(), options


def rabbitmq_options(ca_file: str | None) -> dict[str, Any]:
    """TLS options for py-amqp with our authorities; kombu fills in the host name."""
    return {"ca_certs": bundle(ca_file), "cert_reqs": ssl.CERT_REQUIRED, "server_hostname": None}


def postgresql_options(
    given: Mapping[str, object], ca_file: str | None, environ: Mapping[str, str] = os.environ
) -> dict[str, Any]:
    """Parameters to add to a connection so that TLS, where it is used, verifies the server.

    ``sslmode=require`` alone would not verify the server: it becomes ``verify-full``. Modes without TLS, and
    ``verify-ca``, are left as they are.

    :param given: the parameters of the address, as libpq names them.
    """
    mode = str(given.get("sslmode") or environ.get("PGSSLMODE") or "prefer")
    if mode not in {"require", "verify-ca", "verify-full"}:
        return {}
    options: dict[str, Any] = {"sslmode": "verify-full" if mode == "require" else mode}
    own = Path(environ.get("HOME", "/"), ".postgresql", "root.crt")
    if not given.get("sslrootcert") and not environ.get("PGSSLROOTCERT") and (ca_file or not own.exists()):
        options["sslrootcert"] = bundle(ca_file)
    return options


def stamp(file: str | Path) -> Stamp:
    """Changes whenever the content of a file does.

    :raises OSError: the file is not there.
    """
    status = Path(file).stat()
    return status.st_mtime_ns, status.st_size, status.st_ino


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
