"""Questions at the terminal: one Ctrl-C ends them."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import click
import pytest

from authentik_entra_bootstrap.cli import prompts
from authentik_entra_bootstrap.cli.options import Options


def test_the_first_ctrl_c_ends_a_question(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: Any, **_named: Any) -> bool:
        signal.raise_signal(signal.SIGINT)
        return True

    async def run() -> None:
        before = signal.getsignal(signal.SIGINT)
        try:
            prompts.confirm(Options(None, (), False, 0, {}), "Apply?", yes=False)
        finally:
            assert signal.getsignal(signal.SIGINT) is before

    monkeypatch.setattr(click, "confirm", asked)
    monkeypatch.setattr(prompts, "_can_ask", lambda _: True)
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(run())
