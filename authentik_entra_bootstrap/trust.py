"""TLS contexts, made once for each CA file: to read a bundle of authorities takes 20 ms, and each connection would."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

MOST = 8
"""Contexts that are kept; each holds a bundle of authorities, about a megabyte."""
_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""What OpenSSL and httpx look at where no CA file is named."""

Maker = Callable[[str | None], ssl.SSLContext]
Stamp = tuple[int, int, int]


def shared_context(make: Maker, ca_file: str | None) -> ssl.SSLContext:
    """The context that ``make`` gives for a CA file; made anew when the file has changed.

    Any number of connections, threads and event loops may use one context. What one of them sets on it, it sets for
    all: each library is to have a ``make`` of its own.

    :param make: a function of a module: contexts are kept by it.
    :param ca_file: PEM file, or ``None`` for whatever ``make`` trusts by itself.
    :raises OSError: the file cannot be read.
    :raises ssl.SSLError: it holds no certificate.
    """
    variables = tuple(os.environ.get(name) for name in _VARIABLES)
    return _context(make, ca_file, stamp(ca_file) if ca_file else None, variables)


def stamp(file: str) -> Stamp:
    """What tells one content of a file from the next.

    :raises OSError: the file is not there.
    """
    status = Path(file).stat()
    return status.st_mtime_ns, status.st_size, status.st_ino


def stamp_of(file: str | None) -> Stamp | None:
    """The stamp of a file, if one is named and there; whoever reads it tells what is wrong with it."""
    try:
        return stamp(file) if file else None
    except OSError:
        return None


@lru_cache(maxsize=MOST)
def _context(
    make: Maker, ca_file: str | None, _stamp: Stamp | None, _variables: tuple[str | None, ...]
) -> ssl.SSLContext:
    return make(ca_file)
