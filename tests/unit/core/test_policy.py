"""Lifetimes: what is asked, what is granted, when it is renewed."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authentik_entra_bootstrap.domain import ClientSecret, KeyId, MaintenanceWindow, Renewal, SecretPolicy
from authentik_entra_bootstrap.domain.policy import (
    CLOCK_MARGIN,
    FLIGHT,
    GREATEST_LIFETIME,
    MINIMUM_LIFETIME,
    TRIES_LEFT,
    attempt_limit,
    check_lifetime,
    check_renewal,
    grantable_end,
    next_opening,
    overlap_of,
    renew_at,
    stray_rest,
)
from authentik_entra_bootstrap.errors import AdminActionRequired, ConfigError

NOW = datetime(2026, 3, 1, tzinfo=UTC)
lifetimes = st.timedeltas(MINIMUM_LIFETIME, GREATEST_LIFETIME)
limits = st.none() | st.timedeltas(timedelta(0), timedelta(days=4000))


@given(lifetimes, limits)
def test_what_is_asked_for_is_never_more_than_wanted_or_allowed(
    asked: timedelta, limit: timedelta | None
) -> None:
    policy = SecretPolicy(True, True, limit)
    if limit is not None and limit < MINIMUM_LIFETIME:
        with pytest.raises(AdminActionRequired, match=r"\[secret-lifetime-too-short\]"):
            grantable_end(NOW, asked, policy)
        return
    granted = grantable_end(NOW, asked, policy)
    span = granted.end_date_time - NOW
    assert span <= asked
    assert granted.clamped == (limit is not None and asked > limit)
    if limit is None or asked <= limit - CLOCK_MARGIN:
        assert span == asked
    else:
        assert span == limit - CLOCK_MARGIN
    assert span >= MINIMUM_LIFETIME - CLOCK_MARGIN


@given(lifetimes, limits)
def test_a_secret_just_granted_is_never_due(asked: timedelta, limit: timedelta | None) -> None:
    if limit is not None and limit < MINIMUM_LIFETIME:
        return
    end = grantable_end(NOW, asked, SecretPolicy(True, True, limit)).end_date_time
    secret = ClientSecret(KeyId("k"), None, None, NOW, end)
    due = renew_at(secret)
    assert NOW + (end - NOW) / 2 < due < end
    assert abs(due - (NOW + secret.lifetime * 2 / 3)) < timedelta(seconds=1)


def test_a_policy_may_forbid_secrets() -> None:
    with pytest.raises(AdminActionRequired, match=r"\[secrets-forbidden-by-policy\]"):
        grantable_end(NOW, timedelta(days=1), SecretPolicy(True, addition_allowed=False))


@given(lifetimes)
def test_lifetimes_that_work_are_accepted(lifetime: timedelta) -> None:
    check_lifetime(lifetime)


@pytest.mark.parametrize(
    "lifetime", [timedelta(0), timedelta(minutes=59), timedelta(days=731), timedelta(days=-1)]
)
def test_lifetimes_that_cannot_work_are_refused(lifetime: timedelta) -> None:
    with pytest.raises(ConfigError, match=r"\[secret-lifetime-invalid\]"):
        check_lifetime(lifetime)


def test_a_policy_of_less_than_an_hour_is_refused_and_one_of_an_hour_is_used() -> None:
    for asked in (MINIMUM_LIFETIME, timedelta(days=180)):
        with pytest.raises(AdminActionRequired) as caught:
            grantable_end(NOW, asked, SecretPolicy(True, True, timedelta(minutes=59)))
        assert "59 minutes" in caught.value.message
        granted = grantable_end(NOW, asked, SecretPolicy(True, True, MINIMUM_LIFETIME))
        assert granted.end_date_time == NOW + timedelta(minutes=55)


# --- when a secret is renewed

renew_befores = st.none() | st.floats(0.001, 2 / 3)
windows = st.none() | st.builds(
    MaintenanceWindow,
    st.frozensets(st.integers(0, 6), min_size=1),
    st.builds(time, st.integers(0, 23), st.sampled_from([0, 30])),
    st.builds(time, st.integers(0, 23), st.just(15)),
    st.sampled_from([ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York"), ZoneInfo("UTC")]),
)


@given(lifetimes, lifetimes, renew_befores, windows, st.text(max_size=8))
def test_renewal_comes_after_a_third_of_the_granted_lifetime_and_leaves_time_before_its_end(
    granted: timedelta, asked: timedelta, share: float | None, window: MaintenanceWindow | None, name: str
) -> None:
    before = None if share is None else asked * share
    if before is not None and before > timedelta(0):
        check_renewal(asked, before)
    secret = ClientSecret(KeyId("k"), None, None, NOW, NOW + granted)
    due = renew_at(secret, Renewal(name, before, window))
    assert due >= NOW + granted / 3 - timedelta(seconds=1)
    plain = renew_at(secret, Renewal(name, before))
    assert due >= plain
    if before is None or before >= granted / TRIES_LEFT:
        # Also in a window at least a tenth of the lifetime is left, or the window is not waited for.
        assert due == plain or secret.end_date_time - due >= granted / TRIES_LEFT
    if window is not None and due != plain:
        local = due.astimezone(window.zone)
        assert next_opening(window, due) == due, local


@given(lifetimes, st.lists(st.text(min_size=1, max_size=8), min_size=2, max_size=5, unique=True))
def test_connections_are_spread_over_a_twentieth_of_the_lifetime(
    lifetime: timedelta, names: list[str]
) -> None:
    secret = ClientSecret(KeyId("k"), None, None, NOW, NOW + lifetime)
    latest = renew_at(secret)
    moments = [renew_at(secret, Renewal(name)) for name in names]
    assert moments == [renew_at(secret, Renewal(name)) for name in names]
    assert all(latest - lifetime / 20 - timedelta(seconds=1) <= moment <= latest for moment in moments)
    assert len(set(moments)) == len(names)


@pytest.mark.parametrize("before", [timedelta(0), timedelta(days=-1), timedelta(days=121)])
def test_a_renewal_right_after_the_making_is_refused(before: timedelta) -> None:
    with pytest.raises(ConfigError, match=r"\[renew-before-invalid\]"):
        check_renewal(timedelta(days=180), before)


@given(lifetimes, st.timedeltas(timedelta(0), timedelta(days=60)))
def test_overlap_and_the_rest_of_strays_scale_with_the_lifetime(
    lifetime: timedelta, overlap: timedelta
) -> None:
    assert overlap_of(lifetime, overlap) == min(overlap, lifetime / 6)
    assert timedelta(minutes=10) <= attempt_limit(lifetime) <= timedelta(hours=1)
    # The margin between the two is the protocol's timing assumption; a dead run's request fits into it.
    assert stray_rest(lifetime) - attempt_limit(lifetime) >= attempt_limit(lifetime) > FLIGHT
    # Whatever rests is gone before the next renewal.
    assert stray_rest(lifetime) <= lifetime / 3 + timedelta(seconds=1)
