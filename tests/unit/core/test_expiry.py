"""What expires: one judgement for everything, and unknown where authentik does not tell."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from authentik_entra_bootstrap.domain import (
    ApiToken,
    AppId,
    Application,
    AppObjectId,
    AuthentikUser,
    ClientSecret,
    KeyCredential,
    KeyId,
    LicenseInfo,
)
from authentik_entra_bootstrap.domain.application_tags import ApplicationTags, Delivered
from authentik_entra_bootstrap.planning.expiry import (
    Expiry,
    ExpiryKind,
    ExpiryState,
    certificate_expiry,
    licence_expiry,
    secret_expiries,
    token_expiries,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ME = AuthentikUser(7, "admin", is_superuser=True)
ROTATOR = AuthentikUser(8, "rotator", is_superuser=False)


@pytest.mark.parametrize(
    ("left", "within", "expected"),
    [
        (31 * DAY, None, ExpiryState.VALID),
        (30 * DAY, None, ExpiryState.SOON),
        (30 * DAY, 29 * DAY, ExpiryState.VALID),
        (40 * DAY, 40 * DAY, ExpiryState.SOON),
        (timedelta(), None, ExpiryState.EXPIRED),
    ],
)
def test_how_near_an_expiry_is(left: timedelta, within: timedelta | None, expected: ExpiryState) -> None:
    assert Expiry(ExpiryKind.TOKEN, "t", NOW + left).state(NOW, within) is expected


def test_what_does_not_expire_or_is_unknown_is_never_near() -> None:
    endless, unknown = Expiry(ExpiryKind.TOKEN, "t"), Expiry(ExpiryKind.TOKEN, unknown="three tokens")
    assert (endless.state(NOW), endless.detail(NOW)) == (ExpiryState.VALID, "does not expire")
    assert (unknown.state(NOW, 999 * DAY), unknown.detail(NOW)) == (
        ExpiryState.UNKNOWN,
        "unknown: three tokens",
    )


@pytest.mark.parametrize(("days", "notice"), [(180, 30), (730, 730 / 6), (6, 1)])
def test_a_secret_is_near_when_it_has_been_due_for_long(days: int, notice: float) -> None:
    secret = ClientSecret(KeyId("k"), "x", None, NOW, NOW + days * DAY)
    assert [item.notice for item in secret_expiries([secret])] == [notice * DAY]


def test_the_rotator_s_certificate_is_the_proven_one() -> None:
    keys = tuple(KeyCredential(KeyId(name), "x", NOW, NOW + 365 * DAY) for name in ("old", "new"))
    tags = ApplicationTags(current=Delivered(KeyId("new"))).texts()
    rotator = Application(AppObjectId("o"), AppId("a"), "rotator", tags=tags, keys=keys)
    [found] = certificate_expiry(rotator)
    assert (found.name, found.at, found.notice) == ("new", NOW + 365 * DAY, 30 * DAY)
    [short] = certificate_expiry(replace(rotator, keys=(replace(keys[1], end_date_time=NOW + 6 * DAY),)))
    assert short.notice == DAY
    assert certificate_expiry(replace(rotator, keys=keys[:1]))[0].state(NOW) is ExpiryState.UNKNOWN
    assert certificate_expiry(None, readable=False)[0].state(NOW) is ExpiryState.UNKNOWN
    assert certificate_expiry(None) == certificate_expiry(replace(rotator, tags=())) == ()


def test_which_token_is_ours_is_said_only_where_it_is_certain() -> None:
    mine, endless = ApiToken("mine", 7, "api", NOW + DAY), ApiToken("other", 7, "api")
    theirs = ApiToken("rotator", 8, "api", NOW + 9 * DAY)

    def seen(user: AuthentikUser, *tokens: ApiToken) -> list[tuple[ExpiryKind, str, datetime | None, bool]]:
        found = token_expiries(user, tokens, "rotator", "rotator")
        return [(item.kind, item.name, item.at, bool(item.unknown)) for item in found]

    rotators = (ExpiryKind.ROTATOR_TOKEN, "rotator", NOW + 9 * DAY, False)
    assert seen(ME, mine, theirs) == [(ExpiryKind.TOKEN, "mine", NOW + DAY, False), rotators]
    assert seen(ROTATOR, theirs) == [rotators]
    assert seen(ME, mine, endless) == [(ExpiryKind.TOKEN, "", None, True)]
    assert seen(ME, endless, replace(endless, identifier="third")) == [
        (ExpiryKind.TOKEN, "other, third", None, False)
    ]
    assert seen(ME) == [(ExpiryKind.TOKEN, "", None, True)]
    [unknown] = token_expiries(ME, (mine, endless), "rotator", "rotator")
    assert "2 API tokens; the first of them expires on 2026-03-02" in unknown.detail(NOW)


def test_a_licence_that_is_there_has_an_expiry() -> None:
    assert licence_expiry(LicenseInfo("unlicensed", datetime(1970, 1, 1, tzinfo=UTC))) == ()
    [found] = licence_expiry(LicenseInfo("expired", NOW - DAY))
    assert found.state(NOW) is ExpiryState.EXPIRED
    assert licence_expiry(LicenseInfo("valid"))[0].state(NOW) is ExpiryState.UNKNOWN
