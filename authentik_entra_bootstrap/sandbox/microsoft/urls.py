"""Addresses that callers send, which may be no addresses at all."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def split(text: str) -> SplitResult:
    """The parts of an address; the whole text as the path when it cannot be read, as ``https://[``."""
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - read for the error that it raises
    except ValueError:
        return SplitResult("", "", text, "", "")
    return parts


def is_loopback(text: str) -> bool:
    """Whether the address names this machine."""
    return split(text).hostname in LOOPBACK
