"""How connections are made: the certificate authorities that every connection trusts, and why a connection failed."""

from __future__ import annotations

import json
import os
import re
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from authentik_entra_bootstrap.domain import Network
from authentik_entra_bootstrap.errors import BootstrapError, ConfigError, Denied, RequestTrace, Unreachable
from authentik_entra_bootstrap.support.addresses import Proxy

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

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")

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


# --- answers


def read_json(text: str) -> object:
    """What JSON text stands for. Halves of surrogate pairs, which nothing can print or send, become question marks.

    :raises ValueError: it is none, or nested too deeply to be read.
    """
    try:
        value: object = json.loads(text, parse_constant=_refuse)
        if _SURROGATE.search(text):
            value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is no JSON")


# --- why a connection failed, for both services, brokers and leases

_LIBPQ = re.compile(r"certificate verify failed|server certificate for \"[^\"]*\" does not match host name")
"""libpq has no error code for it."""
_TUNNEL = re.compile(r"(?:Tunnel connection failed: )?([1-5]\d\d)\b")


def untrusted(error: BaseException) -> str | None:
    """Why a certificate was not trusted, if that is what happened.

    :param error: any library's exception; looked through to its causes.
    """
    for item in causes(error):
        if isinstance(item, ssl.SSLCertVerificationError):
            return item.verify_message or "certificate verify failed"
        if type(item).__module__.startswith("psycopg") and (match := _LIBPQ.search(str(item))):
            return match[0]
    return None


def not_trusted(where: str, reason: str, trace: RequestTrace | None = None) -> ConfigError:
    """The error of a server whose certificate is not trusted.

    :param where: ``host:port``.
    :param reason: the library's words for it.
    """
    return ConfigError(
        "tls-not-trusted",
        f"The certificate of {where} is not trusted: {reason}.",
        "If a proxy or a private authority issued it, point the CA setting (ca_file) at the issuer's PEM file.",
        trace,
        {"host": where},
    )


def causes(error: BaseException) -> Iterable[BaseException]:
    """The exception and everything inside it: causes, arguments (urllib3), ``reason``, ``inner_exception``."""
    queue: list[object] = [error]
    seen: set[int] = set()
    while queue:
        current = queue.pop(0)
        if not isinstance(current, BaseException) or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        queue += [current.__cause__, current.__context__, *current.args]
        queue += [getattr(current, name, None) for name in ("reason", "inner_exception", "original_error")]


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
