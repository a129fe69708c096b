"""What each client secret is to us, and when a connection wants attention."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from authentik_entra_bootstrap.config.connection import ConnectionSettings
from authentik_entra_bootstrap.domain import AppId, Application, AppObjectId, ClientSecret, KeyId
from authentik_entra_bootstrap.domain.application_tags import (
    ApplicationTags,
    Delivered,
    Previous,
    SecretStatus,
    attention,
    classify_secrets,
    urgency,
)
from authentik_entra_bootstrap.domain.policy import renew_at

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DESIRED = ConnectionSettings().desired()
DAY = timedelta(days=1)


def secret(key: str, *, age: timedelta, ours: bool = True) -> ClientSecret:
    name = f"authentik-entra:default:{0:016x}" if ours else "theirs"
    return ClientSecret(KeyId(key), name, None, NOW - age, NOW - age + 180 * DAY)


def application(marks: ApplicationTags, *secrets: ClientSecret) -> Application:
    return Application(
        AppObjectId("o"), AppId("a"), "n", tags=replace(marks, managed=True).texts(), secrets=secrets
    )


CURRENT = secret("current", age=10 * DAY)
CALM = ApplicationTags("default", current=Delivered(KeyId("current"), "r"))


def test_every_secret_has_its_place_oldest_first() -> None:
    marks = replace(
        CALM, pending=Delivered(KeyId("pending")), previous=(Previous(KeyId("previous"), NOW + DAY),)
    )
    stray = timedelta(hours=1)
    found = classify_secrets(
        application(
            marks,
            secret("stray", age=stray),
            CURRENT,
            secret("previous", age=130 * DAY),
            secret("foreign", age=20 * DAY, ours=False),
            secret("pending", age=timedelta(minutes=1)),
        )
    )
    assert [(item.secret.key_id, item.status) for item in found] == [
        ("previous", SecretStatus.PREVIOUS),
        ("foreign", SecretStatus.FOREIGN),
        ("current", SecretStatus.CURRENT),
        ("stray", SecretStatus.STRAY),
        ("pending", SecretStatus.PENDING),
    ]
    assert [item.retire_at for item in found] == [
        NOW + DAY,
        None,
        None,
        NOW - stray + timedelta(hours=2),
        NOW - timedelta(minutes=1) + timedelta(hours=2),
    ]


def test_a_secret_of_somebody_else_that_is_on_record_is_the_current_one() -> None:
    taken = secret("current", age=DAY, ours=False)
    assert [item.status for item in classify_secrets(application(CALM, taken))] == [SecretStatus.CURRENT]


@pytest.mark.parametrize(
    ("marks", "secrets", "due", "reason"),
    [
        (ApplicationTags("default"), (CURRENT,), True, "no delivered secret is on record"),
        (CALM, (), True, "the current secret is gone"),
        (
            replace(CALM, pending=Delivered(KeyId("pending"), "r2")),
            (CURRENT, secret("pending", age=DAY)),
            True,
            "a delivered secret has not been proven",
        ),
        (CALM, (CURRENT,), False, "the client secret is due"),
        (CALM, (secret("current", age=121 * DAY),), True, "the client secret is due"),
        (CALM, (CURRENT, secret("x", age=timedelta(hours=1))), False, "a stray secret may be removed"),
        (CALM, (CURRENT, secret("x", age=timedelta(hours=2))), True, "a stray secret may be removed"),
        (CALM, (CURRENT, secret("x", age=DAY, ours=False)), False, "the client secret is due"),
        (
            replace(CALM, previous=(Previous(KeyId("old"), NOW),)),
            (CURRENT, secret("old", age=130 * DAY)),
            True,
            "a previous secret may be removed",
        ),
    ],
)
def test_attention_is_wanted_for_a_reason(
    marks: ApplicationTags, secrets: tuple[ClientSecret, ...], due: bool, reason: str
) -> None:
    found = attention(application(marks, *secrets), DESIRED, NOW)
    assert (found.due, found.reason) == (due, reason)
    assert (found.at <= NOW) == due


def test_a_calm_connection_wants_attention_when_its_secret_is_due() -> None:
    found = attention(application(CALM, CURRENT), DESIRED, NOW)
    assert found.at == renew_at(CURRENT, DESIRED.renewal)
    later = attention(application(CALM, CURRENT), DESIRED, found.at)
    assert later.due


def test_the_sooner_the_current_secret_ends_the_more_urgent_it_is() -> None:
    older = secret("current", age=100 * DAY)
    assert urgency(application(CALM, older)) < urgency(application(CALM, CURRENT))
    # What is on no record, is gone, or was delivered and not proven, comes before everything.
    unproven = replace(CALM, pending=Delivered(KeyId("pending"), "r"))
    for odd in (
        application(ApplicationTags("default"), CURRENT),
        application(CALM),
        application(unproven, CURRENT, secret("pending", age=DAY)),
    ):
        assert urgency(odd) < NOW - 10_000 * DAY
