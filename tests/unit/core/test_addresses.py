"""Addresses from outside: what is refused, and never quoted; and which proxy a request takes."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest

from authentik_entra_bootstrap.errors import ConfigError, Denied, ExitCode, Unreachable
from authentik_entra_bootstrap.support.addresses import (
    AddressError,
    authentik_address,
    bypasses_proxy,
    holds_password,
    host_and_port,
    proxy_for,
    read_address,
    read_broker,
    read_proxy,
)
from authentik_entra_bootstrap.support.network import proxy_refusal, status_from_proxy

CANARY = "canary9d1"
BROKERS = ("redis", "rediss", "amqp", "amqps", "postgresql", "http", "https")
GRAPH = "https://graph.microsoft.com/v1.0"


# --- one validator


@pytest.mark.parametrize("scheme", BROKERS)
@pytest.mark.parametrize(
    "rest",
    [
        *(f"user:{CANARY}{character}rest@host.example:1/0" for character in "/#?@%[] "),
        *(f"user:12{character}{CANARY}@host.example/0" for character in "/#?@"),
        f"user:{CANARY}\r@host.example",
        f"user:{CANARY}\x00@host.example",
        f"user:{CANARY}%00@host.example",
        f"user:{CANARY}%zz@host.example",
        f"user:{CANARY}\u202e@host.example",
        f"user:{CANARY}@",
        f"user:{CANARY}@host.example:0",
        f"user:{CANARY}@host.example:65536",
        f"user:{CANARY}@host.example:6379x",
        f"user:{CANARY}@host.example:٣",
        f"user:{CANARY}@host..example",
        f"user:{CANARY}@{'a' * 64}.example",
        f"user:{CANARY}@ho st.example",
        f"user:{CANARY}@[::1",
        f"user:{CANARY}@[nonsense]",
        f"user:{CANARY}@[::1]x",
    ],
)
def test_an_address_that_libraries_would_read_differently_is_refused_without_being_quoted(
    scheme: str, rest: str
) -> None:
    for quoted in (f"{scheme}://{rest}", f'"{scheme}://{rest}"'):
        with pytest.raises(AddressError) as caught:
            read_address(quoted, BROKERS)
        assert CANARY not in str(caught.value)
        assert caught.value.__cause__ is None


@pytest.mark.parametrize("given", [f"redis.example:{CANARY}", f":{CANARY}@host", "", "redis:/host", "//host"])
def test_a_missing_scheme_is_refused_where_none_can_be_assumed(given: str) -> None:
    with pytest.raises(
        AddressError, match="an address that begins with redis://, rediss:// is wanted"
    ) as caught:
        read_address(given, ("redis", "rediss"))
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("  redis://:p%2Fw%40@host.example:6379/0\r\n", "redis://:p%2Fw%40@host.example:6379/0"),
        ("'redis://host.example'", "redis://host.example"),
        ('" redis://[::1]:6379/1 "', "redis://[::1]:6379/1"),
        ("redis://user:pä:ss@bücher.example.", "redis://user:pä:ss@bücher.example."),
        ("amqp://guest:guest@mq_1.example//", "amqp://guest:guest@mq_1.example//"),
    ],
)
def test_blanks_and_quotes_around_an_address_are_taken_off(given: str, read: str) -> None:
    assert read_address(given, ("redis", "amqp")).geturl() == read


def test_brokers_and_leases_keep_what_their_libraries_take() -> None:
    for url in (
        "filesystem://",
        "file:///var/lib/state%20folder",
        "postgresql://u:p@a.example:5432,b.example:5433/db?target_session_attrs=read-write",
        "postgresql:///db?host=/var/run/postgresql",
        "amqp://u:p@a.example//;amqp://u:p@b.example//",
        "rediss://:p@h.example:6380/0?ssl_certfile=/c.pem&ssl_cert_reqs=required",
    ):
        assert read_broker(url, ("filesystem", "file", "postgresql", "amqp", "rediss")) == url


@pytest.mark.parametrize(
    "query",
    ["ssl_cert_reqs=none", "ssl_cert_reqs=CERT_NONE", "ssl_cert_reqs=optional", "ssl_check_hostname=False"],
)
def test_an_address_cannot_turn_the_check_of_the_certificate_off(query: str) -> None:
    with pytest.raises(AddressError, match="always checked"):
        read_broker(f"rediss://h.example/0?{query}", ("rediss",))


@pytest.mark.parametrize(
    ("copied", "address"),
    [
        ("https://id.example.com/if/admin/#/administration/overview", "https://id.example.com"),
        ('https://id.example.com/if/admin/#/core/providers;%7B"search":"a@b"%7D', "https://id.example.com"),
        ("https://id.example.com:9443/sso/if/user/#/library", "https://id.example.com:9443/sso"),
        ("https://id.example.com/if/flow/default-authentication-flow/?next=%2F", "https://id.example.com"),
        ("id.example.com/", "https://id.example.com"),
        ("https://ID.example.com/api/v3/", "https://id.example.com/api/v3"),
    ],
)
def test_authentiks_address_as_the_browser_shows_it(copied: str, address: str) -> None:
    assert authentik_address(copied) == address


def test_messages_name_host_and_port_alone() -> None:
    assert host_and_port(f"rediss://u:{CANARY}@h.example/0") == "h.example:6379"
    assert host_and_port("https://[::1]/x") == "[::1]:443"
    assert host_and_port("postgres://a.example:1,b.example:2/x") == "a.example:1,b.example:2"


def test_a_password_is_found_in_an_address_however_it_is_written() -> None:
    assert holds_password("redis://:p/w@h")
    assert holds_password("u:p#w@h:1")
    assert not holds_password("redis://user@h:6379/0")
    assert not holds_password(None)


# --- one reading of proxies


def chosen(url: str = GRAPH, setting: str | None = None, **environ: str) -> str | None:
    proxy = proxy_for(url, setting, environ)
    return proxy.url if proxy else None


def test_the_setting_goes_before_the_environment_and_its_exceptions() -> None:
    environ = {"HTTPS_PROXY": "http://env.example:1", "NO_PROXY": "*"}
    assert chosen(setting="http://set.example:2", **environ) == "http://set.example:2"
    assert chosen(**environ) is None
    assert chosen() is None


def test_variables_by_scheme_and_spelling() -> None:
    both = {"HTTPS_PROXY": "http://upper.example:1", "https_proxy": "http://lower.example:1"}
    assert chosen(**both) == "http://lower.example:1"
    assert chosen(HTTP_PROXY="http://h.example:1") is None
    assert chosen("http://id.example/", HTTP_PROXY="http://h.example:1") == "http://h.example:1"
    assert chosen(all_proxy="http://all.example:1") == "http://all.example:1"
    assert chosen(ALL_PROXY="socks5://s.example:1", HTTPS_PROXY="http://h.example:1") == "http://h.example:1"
    assert chosen(https_proxy="", HTTPS_PROXY="http://h.example:1") is None, (
        "the usual way to do without for once"
    )
    assert chosen(HTTPS_PROXY="  ", ALL_PROXY="http://all.example:1") == "http://all.example:1"


@pytest.mark.parametrize(
    ("entry", "hosts", "others"),
    [
        ("*", ["graph.microsoft.com", "10.1.2.3"], []),
        (
            "example.com",
            ["example.com", "id.example.com", "EXAMPLE.com."],
            ["notexample.com", "example.com.evil"],
        ),
        (".example.com", ["id.example.com", "example.com"], ["badexample.com"]),
        ("*.example.com", ["id.example.com"], ["badexample.com"]),
        ("example.com:8443", ["example.com:8443", "id.example.com:8443"], ["example.com", "example.com:443"]),
        ("10.0.0.0/8", ["10.1.2.3"], ["11.1.2.3", "ten.example"]),
        ("10.1.2.3/8", ["10.200.0.1"], []),
        ("10.1.2.3", ["10.1.2.3"], ["10.1.2.33", "210.1.2.3"]),
        ("10.1.2.3:8443", ["10.1.2.3:8443"], ["10.1.2.3"]),
        ("fd00::/8", ["[fd12::1]"], ["[fe80::1]"]),
        ("[fd12::1]:8443", ["[fd12::1]:8443"], ["[fd12::1]"]),
        ("::1", ["[::1]"], ["[::2]"]),
        ("a.example, b.example\tc.example", ["a.example", "b.example", "c.example"], ["d.example"]),
        ("10.0.0.0/99, ., :443, //", [], ["10.1.2.3", "graph.microsoft.com"]),
    ],
)
def test_hosts_domains_ports_and_networks_that_need_no_proxy(
    entry: str, hosts: list[str], others: list[str]
) -> None:
    environ = {"HTTPS_PROXY": "http://proxy.example:1", "NO_PROXY": entry}
    assert [chosen(f"https://{host}/x", **environ) for host in hosts] == [None] * len(hosts)
    assert [chosen(f"https://{host}/x", **environ) for host in others] == ["http://proxy.example:1"] * len(
        others
    )


def test_an_ipv4_address_written_as_ipv6_is_the_same_address() -> None:
    assert bypasses_proxy("::ffff:10.1.2.3", 443, "10.0.0.0/8")


@pytest.mark.parametrize(
    "form", ["http://{}@p.example:3128", "{}@p.example:3128", "' http://{}@p.example:3128/ '\r"]
)
def test_user_and_password_are_decoded_and_sent_by_header_alone(form: str) -> None:
    proxy = read_proxy(form.format(f"do%40main%5Cuser:{CANARY}%2F%23%3Fü:x"))
    assert proxy.url == "http://p.example:3128"
    sent = proxy.headers["Proxy-Authorization"].removeprefix("Basic ")
    assert base64.b64decode(sent).decode() == f"do@main\\user:{CANARY}/#?ü:x"
    assert CANARY not in repr(proxy)
    assert read_proxy("p.example:3128").headers == {}


@pytest.mark.parametrize(
    "text",
    [
        "socks5://p.example:1",
        "SOCKS5h://p.example:1",
        "'socks4://p.example'",
        "ftp://p.example",
        f"http://u:{CANARY}/x@p.example",
        f"http://u:{CANARY}@p.example/path",
        f"http://u:{CANARY}@p.example:port",
        f"http:p.example:{CANARY}",
        "http://",
    ],
)
def test_a_proxy_that_cannot_be_used_is_refused_by_the_name_of_its_variable(text: str) -> None:
    for environ, name in (({"HTTPS_PROXY": text}, "HTTPS_PROXY"), ({"all_proxy": text}, "all_proxy")):
        with pytest.raises(ConfigError, match=name) as caught:
            proxy_for(GRAPH, None, environ)
        assert caught.value.code == "proxy-invalid"
        assert ("SOCKS" in caught.value.message) is ("socks" in text.lower())
        assert CANARY not in repr(caught.value) + str(caught.value)
    with pytest.raises(ConfigError, match="setting proxy"):
        proxy_for(GRAPH, text, {})


def test_what_a_proxy_answers_is_found_in_either_librarys_failure() -> None:
    class ProxyError(Exception):
        pass

    assert status_from_proxy([httpx.ProxyError("407 Proxy Authentication Required")]) == 407
    tunnel: list[BaseException] = [
        ProxyError("Unable to connect to proxy"),
        OSError("Tunnel connection failed: 403 No"),
    ]
    assert status_from_proxy(tunnel) == 403
    assert status_from_proxy([OSError(111, "Connection refused"), ValueError("407 no")]) is None
    assert status_from_proxy([httpx.ConnectError("All connection attempts failed")]) is None


@pytest.mark.parametrize(
    ("status", "kind", "code", "exit_code"),
    [
        (407, Denied, "proxy-authentication-required", ExitCode.DENIED),
        (403, Denied, "proxy-refused", ExitCode.DENIED),
        (502, Unreachable, "proxy-unavailable", ExitCode.TEMPORARY),
    ],
)
def test_a_proxys_refusal_is_final_and_named(status: int, kind: Any, code: str, exit_code: int) -> None:
    error = proxy_refusal(status, "graph.microsoft.com:443", read_proxy(f"u:{CANARY}@p.example:1"))
    assert isinstance(error, kind)
    assert (error.code, error.exit_code) == (code, exit_code)
    assert "p.example:1" in error.message
    assert "graph.microsoft.com:443" in error.message
    assert error.remedy
    assert CANARY not in repr(error)


def test_a_refused_password_is_told_from_a_missing_one() -> None:
    given = proxy_refusal(407, "h:443", read_proxy("u:p@p.example:1")).message
    assert "does not accept the user name and password" in given
    assert "wants a user name and password" in proxy_refusal(407, "h:443", read_proxy("p.example:1")).message
