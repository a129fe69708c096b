"""What looks like a credential is taken out of every log line, whoever wrote it."""

from __future__ import annotations

import json
import logging
import warnings
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authentik_entra_bootstrap.support.logs import configure_logging, record, redact

CANARY = "Zq8~canary.not-for-any_log"
JWT = "eyJ0eXAiOiJKV1QiLCJhbGci.eyJhdWQiOiJodHRwczovL2dy.c2lnbmF0dXJl_-x"


@pytest.mark.parametrize(
    "line",
    [
        f"Authorization: Bearer {CANARY}",
        f"authorization: Basic {CANARY}",
        f"headers {{'Authorization': 'Bearer {CANARY}'}}",
        f"POST body grant_type=client_credentials&client_secret={CANARY}&scope=x",
        f'{{"client_secret": "{CANARY}", "name": "x"}}',
        f"{{'client_secret': '{CANARY}'}}",
        f'{{"secretText":"{CANARY}"}}',
        f"secret_text={CANARY}",
        f'"access_token" : "{CANARY}"',
        f"refresh_token={CANARY};",
        f"id_token={CANARY}",
        f"device_code={CANARY}",
        f"client_assertion={CANARY}",
        f"password: {CANARY}",
        f'{{"key": "{CANARY}"}}',
        f"api_key={CANARY}",
        f"AUTHENTIK_TOKEN={CANARY}",
        json.dumps(json.dumps({"client_secret": CANARY})),
        json.dumps(json.dumps(json.dumps({"client_secret": CANARY}))),
        repr(json.dumps({"secretText": CANARY}).encode()),
        urlencode({"client_secret": CANARY}),
        f'{{"client_secret": "with \\"quotes\\" {CANARY}"}}',
    ],
)
def test_credentials_are_taken_out(line: str) -> None:
    assert CANARY not in redact(line)
    assert "***" in redact(line)


def test_tokens_are_taken_out_wherever_they_stand() -> None:
    assert redact(f"token was {JWT}, good") == "token was ***, good"


@given(st.text(min_size=4))
def test_whatever_a_secret_holds_its_json_is_taken_out(text: str) -> None:
    marked = f"canary{text}canary"
    assert (
        redact(json.dumps({"a": 1, "client_secret": marked, "b": 2}))
        == '{"a": 1, "client_secret": ***, "b": 2}'
    )


@pytest.mark.parametrize(
    "line",
    [
        "",
        "key_id=7f2c request_id=00ff",
        "GET https://graph.example/v1.0/applications?$top=5",
        "monkey: banana",
        "Waited 12 s for Entra ID to accept the new client secret",
    ],
)
def test_ordinary_lines_stay_as_they_are(line: str) -> None:
    assert redact(line) == line


@given(st.text())
def test_redacting_twice_is_redacting_once(text: str) -> None:
    assert redact(redact(text)) == redact(text)


def test_every_library_goes_through_the_gate(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(2)
    library = logging.getLogger("some.library")
    library.debug("sending %s with %r", f"Bearer {CANARY}", {"client_secret": CANARY})

    def fail() -> None:
        raise ValueError(f"client_secret={CANARY}")

    try:
        fail()
    except ValueError:
        library.exception("failed", stack_info=True)
    library.debug("%d", "no number")
    shown = capsys.readouterr().err
    assert CANARY not in shown
    assert "Bearer ***" in shown
    assert "ValueError: client_secret=***" in shown
    assert "arguments left out" in shown


@pytest.mark.parametrize(
    ("verbose", "ours", "theirs"), [(0, False, False), (1, True, False), (2, True, True)]
)
def test_how_much_is_said(verbose: int, ours: bool, theirs: bool, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(verbose)
    record("secret-created", connection="default", key_id="7f2c", secret_text=CANARY)
    logging.getLogger("azure.identity").info("theirs")
    captured = capsys.readouterr()
    assert ("secret-created" in captured.err) is ours
    assert ("theirs" in captured.err) is theirs
    assert CANARY not in captured.err
    assert captured.out == ""
    if ours:
        assert "key_id='7f2c'" in captured.err
        assert "secret_text=***" in captured.err


def test_without_configuration_events_print_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    record("secret-created", connection="default")
    assert capsys.readouterr().out == ""


def test_lines_can_be_json_and_hold_no_credential(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AUTHENTIK_ENTRA_LOG", "json")
    configure_logging(1)
    record("rotation-done", connection="contoso", key_ids={"made": ["key-1"]}, client_secret=CANARY)
    ours = logging.getLogger("authentik_entra_bootstrap.entra")
    ours.warning('answer {"secretText": "%s"}', CANARY)
    ours.warning("[1, 2]")
    ours.error("went wrong: Bearer %s", CANARY, exc_info=ValueError(f"client_secret={CANARY}"))
    said = capsys.readouterr().err
    assert CANARY not in said
    lines = [json.loads(line) for line in said.splitlines()]
    first = lines[0]
    assert (first["event"], first["connection"], first["key_ids"]) == (
        "rotation-done",
        "contoso",
        {"made": ["key-1"]},
    )
    assert first["client_secret"] == "***"
    assert [line["level"] for line in lines] == ["info", "warning", "warning", "error"]
    assert lines[2]["event"] == "[1, 2]"
    assert lines[3]["event"].startswith("went wrong: Bearer ***")
    assert all(line["timestamp"].endswith("+00:00") or line["timestamp"].endswith("Z") for line in lines)


HOSTILE = "name\r\nERROR faked \x1b[31mred\u202egnp.exe\u2028"


@pytest.mark.parametrize("verbose", [0, 1, 2])
def test_a_record_is_one_line_that_steers_no_terminal(
    verbose: int, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(verbose)
    logging.getLogger("authentik_entra_bootstrap.entra").error("refused: %s", HOSTILE)
    logging.getLogger("some.library").error("task %s", HOSTILE, exc_info=ValueError(HOSTILE))
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 2
    assert all(character.isprintable() for line in said.splitlines() for character in line)
    assert "\\u001b[31mred\\u202egnp.exe" in said


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_megabyte_stays_out_of_the_log(
    form: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AUTHENTIK_ENTRA_LOG", form)
    configure_logging(2)
    logging.getLogger("celery").error("received %s", f"client_secret={CANARY} " + "x" * 1_000_000)
    said = capsys.readouterr().err
    assert len(said) < 5_000
    assert CANARY not in said
    assert "more characters" in said


def test_warnings_of_libraries_pass_the_gate(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(2)
    shown = warnings.showwarning
    shown(UserWarning(f"{HOSTILE} client_secret={CANARY}"), UserWarning, "library.py", 1)
    said = capsys.readouterr().err
    logging.captureWarnings(False)
    assert len(said.splitlines()) == 1
    assert CANARY not in said
    assert "\x1b" not in said


@pytest.mark.parametrize("password", ["p", "p/w", "p#w", "p?w", "p@w", "p%2Fw"])
def test_passwords_of_addresses_are_taken_out_however_they_are_written(password: str) -> None:
    said = redact(f"cannot connect to rediss://user:{CANARY}{password}@host.example:6379/0: refused")
    assert CANARY not in said
    assert said == "cannot connect to rediss://***@host.example:6379/0: refused"
