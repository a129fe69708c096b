"""The ledger in Redis: one script, so that each reservation is one round trip and nobody comes between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from authentik_entra_bootstrap.budget import LedgerFailed
from authentik_entra_bootstrap.pacing import CLOCK_BACK, FOREVER, RECOVERY, SLOWEST, Ask, Grant

PREFIX = "authentik-entra:budget:"
_ANSWER = 3.0
_KEPT = 2 * int(CLOCK_BACK)

_PACE = """
local time = redis.call('TIME')
local now = tonumber(ARGV[1])
if now == nil then now = tonumber(time[1]) + tonumber(time[2]) / 1000000 end
local back, recovery, slowest, kept = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local pace = redis.call('HMGET', KEYS[1], 'factor', 'since', 'until')
local since, untilm = tonumber(pace[2]) or 0, tonumber(pace[3]) or 0
local factor = math.min(1, (tonumber(pace[1]) or 1) + math.max(0, now - since) / recovery * (1 - slowest))
local function text(number) return string.format('%.6f', number) end
"""
RESERVE = (
    _PACE
    + """
local start = math.max(now, math.min(untilm, now + back))
local before = {}
for i = 2, #KEYS do
  local spacing, tolerance = tonumber(ARGV[2 * i + 3]), tonumber(ARGV[2 * i + 4])
  before[i] = math.min(tonumber(redis.call('GET', KEYS[i])) or now, now + back)
  start = math.max(start, before[i] + spacing / factor - tolerance)
end
if start - now > tonumber(ARGV[6]) then return {text(start - now), text(factor), 0} end
for i = 2, #KEYS do
  local needs, tolerance = tonumber(ARGV[2 * i + 3]) / factor, tonumber(ARGV[2 * i + 4])
  redis.call('SET', KEYS[i], text(math.max(before[i] + needs, start + math.min(needs, tolerance))), 'EX', kept)
end
return {text(start - now), text(factor), 1}
"""
)
"""The arithmetic of :meth:`~authentik_entra_bootstrap.pacing.Book.reserve`, by the clock of Redis."""
SLOW = (
    _PACE
    + """
local lowered, pause = tonumber(ARGV[6]), math.min(tonumber(ARGV[7]), back)
if pause > 0 then untilm = math.max(untilm, now + pause) end
redis.call('HSET', KEYS[1], 'factor', text(math.min(factor, lowered)), 'since', text(now), 'until', text(untilm))
redis.call('EXPIRE', KEYS[1], kept)
return 1
"""
)
"""The arithmetic of :meth:`~authentik_entra_bootstrap.pacing.Book.slow`."""


class RedisLedger:
    """A few keys that expire: one for each limit, one for each pace.

    :param url: ``redis://…`` or ``rediss://…``, as redis-py reads it.
    :param now: instead of the clock of Redis.
    """

    blocks = True

    def __init__(self, url: str, now: float | None = None) -> None:
        self._url = url
        self.now = now
        self._open: tuple[Any, Any, Any] | None = None

    def reserve(self, payer: str, wanted: Sequence[Ask], at_most: float = FOREVER) -> Grant:
        """See ``Ledger``."""
        keys = [f"{PREFIX}pace:{payer}", *(f"{PREFIX}{ask.key}" for ask in wanted)]
        numbers = [number for ask in wanted for number in (ask.spacing, ask.tolerance)]
        delay, factor, granted = self._run(0, keys, [at_most, *numbers])
        return Grant(float(delay), float(factor), bool(granted))

    def slow(self, payer: str, factor: float, pause: float) -> None:
        """See ``Ledger``."""
        self._run(1, [f"{PREFIX}pace:{payer}"], [factor, pause])

    def close(self) -> None:
        """See ``Ledger``."""
        opened, self._open = self._open, None
        if opened is not None:
            opened[2].close()

    def _run(self, script: int, keys: list[str], numbers: list[float]) -> Any:
        try:
            import redis  # noqa: PLC0415  # an extra
        except ModuleNotFoundError:
            raise LedgerFailed("the package redis is not installed") from None
        try:
            if self._open is None:
                client: Any = redis.Redis.from_url(
                    self._url,
                    socket_timeout=_ANSWER,
                    socket_connect_timeout=_ANSWER,
                    health_check_interval=15,
                )
                self._open = (client.register_script(RESERVE), client.register_script(SLOW), client)
            clock = "" if self.now is None else repr(self.now)
            values = [clock, CLOCK_BACK, RECOVERY, SLOWEST, _KEPT, *numbers]
            return self._open[script](keys=keys, args=values)
        except (redis.exceptions.RedisError, ValueError) as error:
            raise LedgerFailed(f"Redis: {type(error).__name__}") from None
