"""Recorded exchanges with both services, replayed without any network through the real commands."""

from __future__ import annotations

import gzip
import json
import re
import socket
import zlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cassette_format
import cassette_record
import pytest
import yaml
from cassette_format import FOLDER, LIBRARIES, Player, playing, read_header
from cassette_libraries import import_all, patched_leftovers
from cassette_record import chosen, real_target, record, sandbox_target
from cassette_scenarios import AUTHENTIK_URL, BY_NAME, SCENARIOS, Ran, Scenario, at_once, run
from cassette_scrub import DOMAIN, JWT, MAIL, SCRUBBED, Scrubber, claims_of, unsigned_token
from vcr.errors import CannotOverwriteExistingCassetteException, UnhandledHTTPRequestError
from vcr.request import Request

from authentik_entra_bootstrap.sandbox.clock import SandboxClock

FILES = sorted(FOLDER.glob("*.yaml"))
NAMES = [scenario.name for scenario in SCENARIOS]


@pytest.fixture(scope="module", autouse=True)
def _libraries() -> None:
    import_all()


@pytest.fixture
def replay(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Ran, Player]]:
    """Run a scenario's command on its cassette; any connection, also to this machine, is an error."""

    def refuse(_socket: socket.socket, address: object) -> None:
        raise AssertionError(f"a replay connected to {address}")

    def play(
        scenario: Scenario, *more: str, environment: dict[str, str] | None = None, scrubber: Any = None
    ) -> tuple[Ran, Player]:
        header = read_header(cassette_format.FOLDER / f"{scenario.name}.yaml")
        values = {
            "AZURE_TENANT_ID": header.tenant_id,
            "AZURE_CLIENT_ID": header.client_id,
            "AZURE_CLIENT_SECRET": "made-up",
            "AUTHENTIK_URL": AUTHENTIK_URL,
            "AUTHENTIK_TOKEN": "made-up",
            **(environment or {}),
        }
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        clock = SandboxClock(header.moment, running=False)
        changed = Scenario(scenario.name, arguments=(*scenario.arguments, *more))
        request = (scrubber or Scrubber(known={"made-up"})).request
        with (
            monkeypatch.context() as offline,
            playing(scenario.name, request) as cassette,
        ):
            offline.setattr(socket.socket, "connect", refuse)
            offline.setattr(socket.socket, "connect_ex", refuse)
            ran = run(changed, clock, at_once)
        return ran, cassette

    return play


@pytest.mark.parametrize("name", NAMES)
def test_every_recorded_exchange_is_had_again(replay: Callable, name: str) -> None:
    scenario = BY_NAME[name]
    ran, cassette = replay(scenario)
    cassette.check()
    assert (ran.code, ran.error) == (scenario.exit_code, scenario.error), ran.err + ran.out
    assert "Traceback" not in ran.err
    assert SCRUBBED not in ran.out
    if not scenario.error:
        evidence = {item["name"]: item["ok"] for item in ran.document["evidence"]}
        assert evidence["authentik-signs-in"] is True
        assert all(evidence.values())
    assert patched_leftovers() == []


def reads(method: str, uri: str, body: str | bytes | None) -> bool:
    """Whether a request changes nothing by itself: also a batch of such."""
    if uri.endswith("/$batch"):
        return all(part["method"] == "GET" for part in json.loads(body or "{}")["requests"])
    return method in {"GET", "OPTIONS"}


def test_nothing_is_written_by_the_second_run(replay: Callable) -> None:
    ran, cassette = replay(BY_NAME["second-run"])
    writes = [
        request for request in cassette.requests if not reads(request.method, request.uri, request.body)
    ]
    assert [request.uri.rpartition("/")[2] for request in writes] == ["token"]
    assert ran.document["changed"] == []


@pytest.mark.parametrize(
    "name", [scenario.name for scenario in SCENARIOS if scenario.error and scenario.name != "consent-missing"]
)
def test_a_refusal_that_can_be_known_before_is_made_before_the_first_write(name: str) -> None:
    document = yaml.load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    requests = [entry["request"] for entry in document["interactions"]]
    writes = [entry for entry in requests if not reads(entry["method"], entry["uri"], entry["body"])]
    assert requests
    assert all(entry["uri"].endswith("/oauth2/v2.0/token") for entry in writes)


# --- a cassette notices what is different


def test_a_request_that_is_not_in_the_cassette_is_an_error_whatever_the_program_makes_of_it(
    replay: Callable,
) -> None:
    environment = {"AUTHENTIK_ENTRA_APPLICATION_NAME": "another name"}
    ran, cassette = replay(BY_NAME["bootstrap"], environment=environment)
    assert ran.code != 0, "the program took an answer that nobody has recorded"
    with pytest.raises(CannotOverwriteExistingCassetteException) as caught:
        cassette.check()
    assert caught.value.failed_request.method == "POST"
    assert caught.value.failed_request.path == "/v1.0/applications"
    assert b"another name" in caught.value.failed_request.body


@pytest.mark.parametrize(
    "environment",
    [
        {"AZURE_CLIENT_ID": "20000000-0000-4000-8000-000000000000"},
        {"AUTHENTIK_ENTRA_UNIQUE_NAME": "another"},
        {"AUTHENTIK_ENTRA_PROVIDER_NAME": "another"},
        {"AUTHENTIK_URL": "https://another.example.com"},
    ],
    ids=lambda environment: next(iter(environment)),
)
def test_each_library_is_watched(replay: Callable, environment: dict[str, str]) -> None:
    _, cassette = replay(BY_NAME["second-run"], environment=environment)
    with pytest.raises(CannotOverwriteExistingCassetteException):
        cassette.check()


def test_a_request_that_is_no_longer_sent_is_an_error(replay: Callable) -> None:
    reading = Scenario("bootstrap", arguments=("plan", "--login", "environment", "--output", "json"))
    _, cassette = replay(reading)
    cassette.misses.clear()  # whether it asks for more than bootstrap is not the question here
    with pytest.raises(AssertionError, match=r"never sent: .*addPassword"):
        cassette.check()


def test_an_answer_is_played_once(replay: Callable) -> None:
    _, cassette = replay(BY_NAME["second-run"])
    cassette.check()
    assert not cassette.can_play_response_for(cassette.requests[0])
    with pytest.raises(UnhandledHTTPRequestError):
        cassette.play_response(cassette.requests[0])
    with pytest.raises(CannotOverwriteExistingCassetteException):
        cassette.check()


# --- what the files hold


def test_every_scenario_has_its_cassette_and_every_cassette_its_scenario() -> None:
    assert sorted(file.stem for file in FILES) == sorted(NAMES)
    assert {file.suffix for file in FOLDER.iterdir()} == {".yaml"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_header_says_what_it_was_recorded_against(file: Path) -> None:
    header = read_header(file)
    assert header.against in {"sandbox", "real tenant"}
    assert re.fullmatch(r"\d+\.\d+.*", header.version)
    assert header.authentik == BY_NAME[file.stem].profile or header.against == "real tenant"
    assert header.moment.tzinfo is not None
    assert header.moment < datetime.now(UTC)
    assert header.libraries.keys() == set(LIBRARIES)
    assert all(re.fullmatch(r"[\w.+-]+", version) for version in header.libraries.values())
    assert header.command == " ".join(("authentik-entra", *BY_NAME[file.stem].arguments))
    assert header.python.startswith(("CPython 3.", "PyPy 3."))


FORBIDDEN = {
    "a loopback address": r"127\.0\.0\.|localhost|\[::1\]|0\.0\.0\.0",
    "a port": r"https?://[^\s/\"']+:\d",
    "a local path": r"(?<![\w.])(?:/home/|/root/|/tmp/|/Users/|/usr/|[A-Z]:\\)",
    "an Authorization header": r"(?i)authorization\\?\"?:|\bbearer\s+[A-Za-z0-9._~+/-]{8,}|\bbasic\s+[A-Za-z0-9+/=]{12,}",
    "a cookie": r"(?i)set-cookie|\bcookie:|authentik_(?:session|csrf)|x-csrftoken",
    "a credential in a form": r"(?<![\w.(])(?:client_secret|client_assertion|refresh_token|password)=",
    "a private key": r"-----BEGIN",
    "an Entra client secret": r"(?<![\w~.-])[\w~.-]{3}[78]Q~[\w~.-]{31,34}",
    "a refresh token": r"\b[01]\.A[\w-]{40,}",
}


def findings(text: str) -> list[str]:
    """What stands in a text that must not stand in a cassette."""
    found = [
        f"{what}: {match.group()[:60]}"
        for what, form in FORBIDDEN.items()
        for match in [re.search(form, text)]
        if match
    ]
    for token in JWT.findall(text):
        header, _, signature = claims_of(token)
        if signature or header.get("alg") != "none":
            found.append("a signed token")
    found += [f"a mail address: {mail}" for mail in MAIL.findall(text) if not mail.endswith(f"@{DOMAIN}")]
    for name, value in re.findall(r'"(client_?[sS]ecret|secretText|token|key|password)": "([^"]*)"', text):
        if value not in {SCRUBBED, ""}:
            found.append(f"a value of {name}")
    # Random texts: longer than any word, with letters of both cases and digits, and no GUID or name of a field.
    rest = re.sub(r'"id": "[\w-]{43}"', "", JWT.sub("", text))  # Graph's ids of assignments and grants
    for word in re.findall(r"(?<![\w.~+/-])[\w~+/-]{32,}(?![\w.~+/-])", rest):
        if re.fullmatch(r"/(applications|servicePrincipals)/[0-9a-f-]{36}(/[A-Za-z]+)?", word):
            continue  # the address of a part of a batch
        classes = [re.search(form, word) for form in (r"[a-z]", r"[A-Z]", r"\d")]
        if all(classes) and not word.startswith(("application/", "Microsoft")):
            found.append(f"a random text: {word[:6]}…")
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_nothing_secret_personal_or_local_stands_in_a_cassette(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert findings(text) == []
    document = yaml.load(text, Loader=yaml.CSafeLoader)
    hosts = {re.match(r"https://([^/]+)/", entry["request"]["uri"])[1] for entry in document["interactions"]}
    assert hosts <= {"login.microsoftonline.com", "graph.microsoft.com", "authentik.example.com"}
    for entry in document["interactions"]:
        assert entry["request"]["headers"].keys() <= {"Content-Type"}


@pytest.mark.parametrize(
    "text",
    [
        "uri: https://127.0.0.1/x",
        "uri: https://example.com:8443/x",
        "at /root/x.py",
        "Authorization: x",
        "bearer abcdefghijkl",
        "Set-Cookie: a=b",
        "grant_type=x&client_secret=y",
        "-----BEGIN PRIVATE KEY-----",
        "abc8Q~" + "x" * 34,
        "eyJhbGciOiJSUzI1NiJ9.eyJ0aWQiOiIxIn0.c2ln",
        "someone@fabrikam.com",
        '"secretText": "x"',
        '"token": "x"',
        "aB3" * 12,
    ],
)
def test_the_search_finds_what_it_is_for(text: str) -> None:
    assert findings(text)


# --- scrubbing


def signed(**claims: Any) -> str:
    head, body, _ = unsigned_token(claims).split(".")
    return f"{head}.{body}.c2lnbmF0dXJl"


def answer(body: Any, **headers: str) -> dict[str, Any]:
    sent = {"Content-Type": ["application/json"], **{name: [value] for name, value in headers.items()}}
    body = {"string": json.dumps(body).encode()}
    return {"status": {"code": 200, "message": "OK"}, "headers": sent, "body": body}


def body_of(scrubbed: dict[str, Any]) -> Any:
    return json.loads(scrubbed["body"]["string"])


def test_a_token_keeps_the_claims_that_are_read_and_loses_its_signature() -> None:
    scrubber = Scrubber({"tenant-real": "tenant-made-up"})
    token = signed(
        tid="tenant-real", roles=["User.Read.All"], upn="a@b.example", ipaddr="1.2.3.4", sub="x", exp=5
    )
    body = body_of(scrubber.response(answer({"access_token": token, "token_type": "Bearer"})))
    _, claims, signature = claims_of(body["access_token"])
    assert claims == {
        "tid": "tenant-made-up",
        "roles": ["User.Read.All"],
        "exp": 5,
        "upn": f"person@{DOMAIN}",
    }
    assert signature == ""
    assert body["token_type"] == "Bearer"


def test_a_new_secret_is_known_from_then_on_wherever_it_turns_up() -> None:
    scrubber = Scrubber()
    made = {"keyId": "k", "hint": "top", "secretText": "top-secret-text", "displayName": "ours"}
    assert body_of(scrubber.response(answer(made))) == {
        "keyId": "k",
        "hint": SCRUBBED[:3],
        "secretText": SCRUBBED,
        "displayName": "ours",
    }
    kind = {"Content-Type": "application/json"}
    address, body = "https://x.example/?q=top-secret-text", b'{"value": "top-secret-text"}'
    scrubbed = scrubber.request(Request("POST", address, body, kind))
    assert scrubbed.uri == f"https://x.example/?q={SCRUBBED}"
    assert json.loads(scrubbed.body) == {"value": SCRUBBED}
    assert "top-secret" not in repr(scrubber)


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_compressed_answers_are_looked_into(encoding: str, compress: Callable[[bytes], bytes]) -> None:
    compressed = answer({}, **{"Content-Encoding": encoding})
    compressed["body"]["string"] = compress(b'{"secretText": "top-secret-text"}')
    scrubbed = Scrubber().response(compressed)
    assert body_of(scrubbed) == {"secretText": SCRUBBED}
    assert scrubbed["headers"].keys() == {"Content-Type"}
    compressed["body"]["string"] = b'{"secretText": "decoded-by-the-library"}'
    assert body_of(Scrubber().response(compressed)) == {"secretText": SCRUBBED}


def test_requests_compare_whatever_the_credential_and_the_order() -> None:
    scrubber = Scrubber()
    form = {"Content-Type": "application/x-www-form-urlencoded", "Authorization": "Bearer x", "Cookie": "a=b"}
    by_secret = "scope=s&client_secret=1&client_id=c"
    by_certificate = "client_id=c&client_assertion=z&client_assertion_type=jwt&scope=s"
    one, other = (
        scrubber.request(Request("POST", "https://x.example/token", body, form))
        for body in (by_secret, by_certificate)
    )
    assert one.body == other.body == f"client_id=c&credential={SCRUBBED}&scope=s".encode()
    assert dict(one.headers) == {"Content-Type": "application/x-www-form-urlencoded"}
    assert scrubber.request(one).body == one.body


def test_people_and_headers_are_taken_out() -> None:
    user = {"username": "ada", "name": "Ada Lovelace", "email": "ada@fabrikam.com", "pk": 5}
    event = {"user": user, "client_ip": "10.1.2.3", "tags": ["x:current=k@r"], "text": "by ada@fabrikam.com"}
    scrubbed = Scrubber().response(
        answer(event, **{"Set-Cookie": "a=b", "X-authentik-id": "r", "Server": "x"})
    )
    assert body_of(scrubbed) == {
        "user": {"username": "person", "name": "A Person", "email": f"person@{DOMAIN}", "pk": 5},
        "client_ip": "192.0.2.1",
        "tags": ["x:current=k@r"],
        "text": f"by person@{DOMAIN}",
    }
    assert scrubbed["headers"].keys() == {"Content-Type", "X-authentik-id"}
    organization = {
        "displayName": "Fabrikam",
        "verifiedDomains": [{"name": "fabrikam.com", "isDefault": True}],
    }
    assert body_of(Scrubber().response(answer({"value": [organization]}))) == {
        "value": [{"displayName": "Contoso", "verifiedDomains": [{"name": DOMAIN, "isDefault": True}]}]
    }


# --- recording


def test_a_real_tenant_stands_under_other_names() -> None:
    environment = {
        "AZURE_TENANT_ID": "30000000-0000-4000-8000-000000000000",
        "AZURE_CLIENT_ID": "40000000-0000-4000-8000-000000000000",
        "AUTHENTIK_URL": "https://sso.fabrikam.com/",
        "AUTHENTIK_TOKEN": "made-up",
    }
    target = real_target(environment)
    text = " ".join(environment.values()) + " sso.fabrikam.com"
    scrubbed = Scrubber(target.names, {"made-up"}).text(text)
    assert not [value for value in environment.values() if value.rstrip("/") in scrubbed]
    assert scrubbed.endswith("authentik.example.com")
    assert "made-up" not in repr(target)
    with pytest.raises(SystemExit, match="AUTHENTIK_TOKEN"):
        real_target({**environment, "AUTHENTIK_TOKEN": ""})


def test_what_is_recorded_is_chosen_by_the_environment() -> None:
    assert chosen({}) == list(SCENARIOS)
    assert [item.name for item in chosen({"CASSETTES": "real"})] == [
        "bootstrap",
        "second-run",
        "operator-secret-wrong",
        "authentik-token-invalid",
    ]
    only = {"CASSETTES": "real", "CASSETTES_ONLY": "licence-missing, second-run"}
    assert [item.name for item in chosen(only)] == ["second-run", "licence-missing"]
    with pytest.raises(SystemExit, match="no-such"):
        chosen({"CASSETTES_ONLY": "no-such"})


@pytest.mark.parametrize("against", ["sandbox", "real tenant"])
def test_a_recording_can_be_replayed_and_holds_no_secret(
    replay: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, against: str
) -> None:
    """A "real tenant" is here the sandbox under the names of the real services, recorded as a real one is."""
    scenario = BY_NAME["licence-missing"]
    monkeypatch.setattr(cassette_record, "FOLDER", tmp_path)
    monkeypatch.setattr(cassette_format, "FOLDER", tmp_path)
    with sandbox_target(scenario) as sandbox:
        target = sandbox
        if against == "real tenant":
            for name, value in sandbox.environment.items():
                monkeypatch.setenv(name, value)
            target = replace(real_target(sandbox.environment), pause=at_once)
        record(scenario, target)
    file = tmp_path / "licence-missing.yaml"
    text = file.read_text(encoding="utf-8")
    header = read_header(file)
    assert findings(text) == []
    assert header.against == against
    assert header.authentik == ("2026.5" if against == "sandbox" else "2026.5.0-rc1")
    assert (sandbox.environment["AZURE_TENANT_ID"] in text) == (against == "sandbox")
    monkeypatch.delenv("AUTHENTIK_ENTRA_CA_FILE", raising=False)
    ran, cassette = replay(scenario)
    cassette.check()
    assert ran.error == scenario.error
    assert header.moment.tzinfo is UTC


def test_a_recording_that_ends_otherwise_is_not_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cassette_record, "FOLDER", tmp_path)
    scenario = replace(BY_NAME["authentik-token-invalid"], error="another-code")
    with sandbox_target(scenario) as target, pytest.raises(SystemExit, match="authentik-token-invalid"):
        record(scenario, target)
    assert list(tmp_path.iterdir()) == []
