"""A secret's text has one way out, and it is called ``reveal``."""

from __future__ import annotations

import copy
import json
import operator
import pickle
import traceback
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authentik_entra_bootstrap.domain import ClientSecret, KeyId, NewClientSecret, SecretText

CANARY = "canary~8Q.not-for-any-log"
SECRET = SecretText(CANARY)
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass
class Holder:
    secret: SecretText


@pytest.mark.parametrize(
    "shown",
    [
        repr(SECRET),
        str(SECRET),
        f"{SECRET}",
        f"{SECRET!r:>30}",
        str.format("{}", SECRET),
        operator.mod("%s %r", (SECRET, SECRET)),
        repr([SECRET]),
        repr({"k": SECRET}),
        repr(Holder(SECRET)),
        repr(NewClientSecret(ClientSecret(KeyId("k"), None, None, NOW, NOW), SECRET)),
        json.dumps({"s": SECRET}, default=str),
        json.dumps({"s": SECRET}, default=repr),
    ],
)
def test_it_is_never_shown(shown: str) -> None:
    assert CANARY not in shown
    assert "***" in shown


@pytest.mark.parametrize(
    "leave", [pickle.dumps, copy.copy, copy.deepcopy, lambda value: asdict(Holder(value))]
)
def test_it_does_not_leave_by_copying(leave: object) -> None:
    assert callable(leave)
    with pytest.raises(TypeError) as caught:
        leave(SECRET)
    assert CANARY not in str(caught.value)


def test_it_is_no_json_value_and_has_no_dictionary() -> None:
    with pytest.raises(TypeError):
        json.dumps(SECRET)
    assert not hasattr(SECRET, "__dict__")
    with pytest.raises(TypeError):
        vars(SECRET)


def test_a_traceback_with_it_in_the_arguments_does_not_show_it() -> None:
    def fails(secret: SecretText) -> None:
        raise ValueError(f"refused {secret}")

    try:
        fails(SECRET)
    except ValueError as error:
        shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert (
        CANARY not in shown.replace("CANARY", "").replace(f"'{CANARY}'", "")
        or "secret = SecretText(***)" in shown
    )
    assert "secret = SecretText(***)" in shown


@given(st.text())
def test_reveal_gives_exactly_what_went_in(text: str) -> None:
    secret = SecretText(text)
    assert secret.reveal() == text
    assert bool(secret) == bool(text)
    assert secret == SecretText(text)
    assert hash(secret) == hash(SecretText(text))
    assert secret != text
    assert secret != SecretText(text + "x")


def test_records_of_secrets_have_no_field_for_the_text() -> None:
    assert {field.name for field in fields(ClientSecret)} == {
        "key_id",
        "display_name",
        "hint",
        "start_date_time",
        "end_date_time",
    }
