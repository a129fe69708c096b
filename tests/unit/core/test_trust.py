"""TLS contexts are made once for a file, and anew when it changes."""

from __future__ import annotations

import ssl
from pathlib import Path

import certifi
import pytest

from authentik_entra_bootstrap import trust

BUNDLE = Path(certifi.where()).read_bytes()
made: list[str | None] = []


def make(ca_file: str | None) -> ssl.SSLContext:
    made.append(ca_file)
    return ssl.create_default_context(cafile=ca_file)


def make_otherwise(ca_file: str | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_file)


@pytest.fixture(autouse=True)
def _nothing_made() -> None:
    made.clear()


def test_one_for_each_content_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(BUNDLE)
    first = trust.shared_context(make, str(file))
    assert trust.shared_context(make, str(file)) is first
    assert trust.shared_context(make_otherwise, str(file)) is not first, (
        "what one library sets is not another's"
    )
    file.write_bytes(BUNDLE + b"\n")
    assert trust.shared_context(make, str(file)) is not first
    assert made == [str(file)] * 2


def test_without_a_file_the_environment_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = trust.shared_context(make, None)
    assert trust.shared_context(make, None) is first
    monkeypatch.setenv("SSL_CERT_FILE", certifi.where())
    assert trust.shared_context(make, None) is not first


def test_what_cannot_be_read_is_told_each_time(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    for _ in range(2):
        with pytest.raises(OSError, match="No such file"):
            trust.shared_context(make, str(file))
    file.write_text("no certificate", encoding="utf-8")
    for _ in range(2):
        with pytest.raises(ssl.SSLError):
            trust.shared_context(make, str(file))


def test_few_are_kept(tmp_path: Path) -> None:
    for number in range(trust.MOST + 4):
        file = tmp_path / f"{number}.pem"
        file.write_bytes(BUNDLE[:6000].rpartition(b"-----BEGIN")[0])
        trust.shared_context(make, str(file))
    first = tmp_path / "0.pem"
    trust.shared_context(make, str(first))
    assert made.count(str(first)) == 2
