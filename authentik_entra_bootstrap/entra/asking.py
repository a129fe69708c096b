"""Asking azure-identity's credentials of either kind, and their failures as ours.

Heavy (azure-core): imported when somebody signs in.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from azure.core.exceptions import ClientAuthenticationError

from authentik_entra_bootstrap.entra.codes import fault
from authentik_entra_bootstrap.entra.exchanges import Exchange
from authentik_entra_bootstrap.entra.token_faults import SignIn, token_fault
from authentik_entra_bootstrap.errors import BootstrapError

T = TypeVar("T")


async def guarded(who: SignIn, exchanges: list[Exchange], ask: Callable[[], Awaitable[T]]) -> T:
    """Ask and give failures as ours.

    They are raised outside the handlers, so that no library exception, whose request may hold the secret,
    stays attached to them.
    """
    exchanges.clear()
    failure: BootstrapError
    try:
        return await ask()
    except BootstrapError:
        raise
    except Exception as error:  # noqa: BLE001  # the library documents no complete list; nothing may leak out
        failure = _failure(who, exchanges, error)
    raise failure


def guarded_call(who: SignIn, exchanges: list[Exchange], ask: Callable[[], T]) -> T:
    """The same for what blocks; within its thread, so that no thread hands on a library's exception."""
    exchanges.clear()
    failure: BootstrapError
    try:
        return ask()
    except Exception as error:  # noqa: BLE001  # as above
        failure = _failure(who, exchanges, error)
    raise failure


def _failure(who: SignIn, exchanges: list[Exchange], error: Exception) -> BootstrapError:
    if isinstance(error, ClientAuthenticationError):
        return token_fault(who, exchanges, str(error.message))
    if isinstance(error, ValueError | OSError):
        # Malformed settings: a certificate that cannot be read, an authority that is no address.
        return (
            token_fault(who, exchanges, "")
            if exchanges
            else fault("operator-credential-invalid", reason=error)
        )
    return token_fault(who, exchanges, type(error).__name__)


def is_asynchronous(credential: Any) -> bool:
    """Whether it is one that is awaited."""
    return credential is not None and inspect.iscoroutinefunction(credential.get_token)


async def close(credential: Any) -> None:
    """Close a credential's connections, where it has any."""
    ending = getattr(credential, "close", None)
    if ending is not None:
        with contextlib.suppress(Exception):
            closing = ending()
            if inspect.isawaitable(closing):
                await closing


async def in_daemon_thread(call: Callable[[], T]) -> T:
    """Like ``asyncio.to_thread``, but an interrupt does not wait for a person who never signs in."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def work() -> None:
        result, failure = None, None
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001  # handed on to the waiting task, whatever it is
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop was closed by an interrupt
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=work, name="sign-in", daemon=True).start()
    return await future
