"""Both sides through a proxy that wants a password, over TLS: one reading of the environment, one error."""

from __future__ import annotations

import base64
import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

PASSWORD = "p@ss/w#rd"
ESCAPED = "p%40ss%2Fw%23rd"


class Proxy:
    """Connects for whoever shows user name and password; keeps what it was asked for."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.asked: list[tuple[str, bool]] = []
        self._wanted = b"proxy-authorization: basic " + base64.b64encode(f"user:{PASSWORD}".encode()).lower()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            if not (data := connection.recv(4096)):
                return
            head += data
        target = head.split()[1].decode()
        known = self._wanted in head.lower()
        self.asked.append((target, known))
        if not known:
            connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        host, _, port = target.rpartition(":")
        with socket.create_connection((host, int(port))) as upstream:
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            threading.Thread(target=self._pump, args=(connection, upstream), daemon=True).start()
            self._pump(upstream, connection)

    @staticmethod
    def _pump(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    made = Proxy()
    yield made
    made.listener.close()


def hosts(shell: Any) -> set[str]:
    urls = [
        value
        for name, value in shell.sandbox.environment().items()
        if name.endswith(("_URL", "_HOST", "AUTHORITY"))
    ]
    return {urlsplit(url).netloc for url in urls}


def test_user_and_password_reach_the_proxy_from_both_sides(shell, proxy, monkeypatch):
    made = shell()
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:{ESCAPED}@127.0.0.1:{proxy.port}")
    ran = made("check", "--output", "json")
    assert ran.code == 0, ran.out + ran.err
    assert {target for target, known in proxy.asked if known} == hosts(made)
    assert all(known for _, known in proxy.asked)


def test_a_network_in_no_proxy_is_read_the_same_by_both_sides(shell, proxy, monkeypatch):
    made = shell()
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
    monkeypatch.setenv("NO_PROXY", "192.0.2.0/24,127.0.0.0/8,localhost")
    assert made("check", "--output", "json").code == 0
    assert proxy.asked == []
