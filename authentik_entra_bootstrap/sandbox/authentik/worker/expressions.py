"""Evaluation of property mapping expressions.

An expression is the body of a Python function, as in authentik, and runs with the names that authentik offers.
Left out on purpose: modules other than the listed ones, network access (``requests`` and the DNS helpers find
nothing), policies (``ak_call_policy`` knows none), JWT and mail helpers.

This does not isolate untrusted code: expressions come from the sandbox's administrator, on this machine.
"""

from __future__ import annotations

import builtins
import importlib
import ipaddress
import logging
import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from types import SimpleNamespace
from typing import Any

from authentik_entra_bootstrap.sandbox.authentik.blueprints.values import slugify
from authentik_entra_bootstrap.sandbox.authentik.resources.mappings import compile_expression
from authentik_entra_bootstrap.sandbox.authentik.state import Record, State
from authentik_entra_bootstrap.sandbox.authentik.worker.graph import SkipObjectError
from authentik_entra_bootstrap.sandbox.authentik.worker.objects import QuerySet, User

_LOGGER = logging.getLogger(__name__)

_MODULES = """
base64 binascii collections datetime functools hashlib hmac itertools json math operator random re secrets string
textwrap time typing unicodedata urllib urllib.parse uuid zlib msgraph
"""
MODULES = frozenset(_MODULES.split())
"""What an expression may import: these, and the model classes of msgraph-sdk."""

_HIDDEN = ("open", "input", "breakpoint", "exec", "eval", "compile", "exit", "quit", "help", "memoryview")


class ExpressionError(Exception):
    """An expression could not be compiled or raised something. ``__cause__`` is the original."""


def evaluate(state: State, mapping: Record, names: dict[str, Any], user: User | None) -> Any:
    """The value that a mapping returns.

    :param names: ``user`` or ``group``, ``provider``, ``connection``.
    :param user: what ``request.user`` is.
    :raises SkipObjectError: when the expression says so.
    :raises ExpressionError: when it cannot be compiled, or raises.
    """
    request = SimpleNamespace(
        user=user,
        http_request=None,
        obj=SimpleNamespace(name=mapping["name"]),
        context=dict(names),
        debug=False,
    )
    scope = {
        **_helpers(state),
        **names,
        "request": request,
        "__builtins__": _builtins(),
        "__name__": "mapping",
    }
    try:
        # The sandbox's administrator wrote this code for this machine: see the module's docstring.
        exec(compile_expression(mapping["expression"], str(mapping["name"])), scope)  # noqa: S102  # as authentik does
    except SkipObjectError:
        raise
    except Exception as exc:
        raise ExpressionError(f"{type(exc).__name__}: {exc}") from exc
    return scope["result"]


def plain(value: Any) -> Any:
    """A mapping's result in JSON's types; other objects as Python shows them."""
    if is_dataclass(value):
        value = {one.name: getattr(value, one.name) for one in fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if value is None or isinstance(value, str | int | float) else str(value)


def _builtins() -> dict[str, Any]:
    allowed = {name: value for name, value in vars(builtins).items() if name not in _HIDDEN}
    allowed["__import__"] = _import
    return allowed


def _import(name: str, _globals: Any = None, _locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
    if level or not (name in MODULES or name.startswith("msgraph.generated.models.")):
        raise ImportError(f"the sandbox's expressions cannot import {name!r}")
    module = importlib.import_module(name)
    return module if fromlist else importlib.import_module(name.partition(".")[0])


def _helpers(state: State) -> dict[str, Any]:
    def user_by(**lookups: Any) -> User | None:
        users = QuerySet(User(state, row) for row in state.tables["user"])
        found: User | None = users.filter(**lookups).first()
        return found

    def call_policy(name: str, **_: Any) -> Any:
        raise ValueError(f"Policy '{name}' not found.")

    return {
        "SkipObject": SkipObjectError,
        "ak_call_policy": call_policy,
        "ak_create_event": _log_nothing,
        "ak_is_group_member": lambda user, **lookups: user.all_groups().filter(**lookups).exists(),
        "ak_logger": SimpleNamespace(
            **dict.fromkeys(("debug", "info", "warning", "error", "exception"), _log_nothing)
        ),
        "ak_user_by": user_by,
        "ak_user_has_authenticator": lambda _user, _device_type=None: False,
        "ip_address": ipaddress.ip_address,
        "ip_network": ipaddress.ip_network,
        "list_flatten": lambda value: (value[0] if value else None) if isinstance(value, list) else value,
        "regex_match": lambda value, regex: re.search(regex, value) is not None,
        "regex_replace": lambda value, regex, repl: re.sub(regex, repl, value),
        "requests": _NoNetwork(),
        "resolve_dns": lambda _host, _ip_version=None: [],
        "reverse_dns": lambda address: address,
        "slugify": slugify,
    }


def _log_nothing(event: str, **_: Any) -> None:
    """``ak_logger`` and ``ak_create_event``: structlog's calling convention; values may be personal data."""
    _LOGGER.debug("an expression logs %s", event)


class _NoNetwork:
    """``requests``: the sandbox has no way out."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def refuse(*_: Any, **__: Any) -> Any:
            raise ConnectionError(f"the sandbox's expressions have no network (requests.{name})")

        return refuse
