"""What runs keep of the Microsoft side: tokens until shortly before their end, connections as long as they fit."""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import time
from typing import Any

import certifi
import pytest
from azure.core.credentials import AccessToken

from authentik_entra_bootstrap.config.model import CLOUDS
from authentik_entra_bootstrap.domain import AppId, Network, OperatorIdentity, TenantId, TokenClaims
from authentik_entra_bootstrap.entra import kept as kept_module
from authentik_entra_bootstrap.entra.kept import FRESH, MOST_TOKENS, KeptEntra, TokenKey, token_key

CLOUD = next(iter(CLOUDS.values()))
TENANT = TenantId("11111111-2222-4333-8444-555555555555")
CLAIMS = TokenClaims(TENANT, AppId("66666666-7777-4888-8999-000000000000"), None, frozenset(), frozenset())


class Inner:
    """Signs in, and counts how often."""

    def __init__(self, lasts: float = 3600.0) -> None:
        self.lasts = lasts
        self.asked: list[str | None] = []
        self.forgotten = 0

    async def get_token(self, *_scopes: str, claims: str | None = None, **_: Any) -> AccessToken:
        self.asked.append(claims)
        return AccessToken(f"token {len(self.asked)}", int(time() + self.lasts))

    async def claims(self) -> TokenClaims:
        return CLAIMS

    def forget(self) -> None:
        self.forgotten += 1

    async def close(self) -> None:
        pass


def key(number: int = 0, **changed: Any) -> TokenKey:
    found = token_key(CLOUD, TenantId(f"{TENANT[:-4]}{number:04d}"), "environment", None)
    assert found is not None
    return TokenKey(**{**vars(found), **changed})


def texts(kept: KeptEntra, inner: Any, which: TokenKey, *claims: str | None) -> list[str]:
    """Tokens of one run that asks so often."""

    async def run() -> list[str]:
        tokens = kept.tokens(inner, which)
        return [(await tokens.get_token("scope", claims=item)).token for item in claims]

    return asyncio.run(run())


def test_the_next_run_does_not_sign_in_again() -> None:
    kept, inner = KeptEntra(), Inner()
    assert texts(kept, inner, key(), None, None) == ["token 1", "token 1"]
    later = Inner()
    assert texts(kept, later, key(), None) == ["token 1"]
    assert later.asked == []
    assert texts(kept, later, key(1), None) == ["token 1"], "another tenant's is another"
    assert later.asked == [None]


def test_a_token_is_replaced_before_it_ends() -> None:
    kept, inner = KeptEntra(), Inner(lasts=FRESH - 5)
    assert texts(kept, inner, key(), None, None) == ["token 1", "token 2"]


def test_a_challenge_and_a_refusal_make_a_new_one() -> None:
    kept, inner = KeptEntra(), Inner()
    assert texts(kept, inner, key(), None, "challenge", None) == ["token 1", "token 2", "token 2"]

    async def refused() -> str:
        tokens = kept.tokens(inner, key())  # type: ignore[arg-type]
        tokens.forget()
        return (await tokens.get_token("scope")).token

    assert asyncio.run(refused()) == "token 3"
    assert inner.forgotten == 1


def test_only_so_many_are_kept() -> None:
    kept, inner = KeptEntra(), Inner()
    for number in range(MOST_TOKENS):
        texts(kept, inner, key(number), None)
    texts(kept, inner, key(0), None)
    texts(kept, inner, key(MOST_TOKENS), None)
    assert kept.token(key(0)) is not None, "used last but one"
    assert kept.token(key(1)) is None
    assert kept.token(key(2)) is not None


def test_a_changed_credential_signs_in_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "operator.secret"
    file.write_text("one", encoding="utf-8")
    operator = OperatorIdentity(CLAIMS.app_id, secret_file=str(file))
    first = token_key(CLOUD, TENANT, "environment", operator)
    assert token_key(CLOUD, TENANT, "environment", operator) == first
    file.write_text("another", encoding="utf-8")
    assert token_key(CLOUD, TENANT, "environment", operator) != first
    file.unlink()
    assert token_key(CLOUD, TENANT, "environment", operator) != first
    before = token_key(CLOUD, TENANT, "environment", None)
    monkeypatch.setenv("AZURE_CLIENT_ID", "somebody else")
    assert token_key(CLOUD, TENANT, "environment", None) != before


def test_a_persons_token_is_not_kept() -> None:
    kept, inner = KeptEntra(), Inner()
    assert token_key(CLOUD, TENANT, "browser", None) is None
    assert kept.tokens(inner, None) is inner  # type: ignore[arg-type, comparison-overlap]


def test_connections_are_shared_until_the_ca_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(Path(certifi.where()).read_bytes())
    network = Network(ca_file=str(file))

    async def run() -> None:
        kept = KeptEntra()
        first = kept.transport(CLOUD, network)
        assert kept.transport(CLOUD, network) is first
        file.write_bytes(file.read_bytes() + b"\n")
        assert kept.transport(CLOUD, network) is not first
        for number in range(kept_module.MOST_TRANSPORTS):
            kept.transport(CLOUD, Network(proxy=f"http://proxy{number}.example:3128"))
        await kept.tidy()
        assert kept.transport(CLOUD, network) is not first
        await kept.disconnect()

    asyncio.run(run())
