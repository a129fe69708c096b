"""The pace: never more than our share in any window, nobody starves, and what Microsoft Graph tells lowers it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authentik_entra_bootstrap.pacing import (
    CHUNK,
    LIMITS,
    RECOVERY,
    SHARE,
    SLOWEST,
    VALID,
    WARNED,
    Book,
    Cost,
    Pace,
    Payer,
    asks,
    burst,
    chunk,
    cost_of,
    pace_after_refusal,
    pace_at,
    rate,
    room,
)

ONE = Payer("app", "tenant")
SHARES = st.floats(0.05, 0.8)
STEPS = st.lists(
    st.tuples(
        # Seconds since the one before.
        st.floats(0, 40) | st.just(0.0),
        # What is wanted: reads, writes, or the word of an answer.
        st.sampled_from(("read", "read", "write", "write", "write", "told", "refused")),
        st.floats(0.8, 1.8),
        st.sampled_from(("app", "other")),
    ),
    min_size=1,
    max_size=120,
)


def play(
    share: float, steps: Sequence[tuple[float, str, float, str]]
) -> tuple[list[tuple[float, Payer, Cost, float]], float]:
    """Every reservation with the moment it was asked for and its start; and all pauses together."""
    book, now, granted, paused = Book(), 1_000.0, list[tuple[float, Payer, Cost, float]](), 0.0
    for gap, what, percentage, name in steps:
        now += gap
        payer = Payer(name, "tenant")
        if what == "told":
            book.slow(payer.name, pace_at(percentage), 0, now)
        elif what == "refused":
            pace = book.paces.get(payer.name, Pace()).at(now)
            book.slow(payer.name, pace_after_refusal(pace), 10 * percentage, now)
            paused += 10 * percentage
        else:
            cost = chunk(Cost(3) if what == "read" else Cost(1, 1), share)
            grant = book.reserve(payer.name, asks(payer, cost, share), now)
            granted.append((now, payer, cost, now + grant.delay))
        if gap > 30:
            book.forget(now)
    return granted, paused


@given(share=SHARES, steps=STEPS)
def test_never_more_than_our_share_in_any_window(
    share: float, steps: list[tuple[float, str, float, str]]
) -> None:
    granted, _ = play(share, steps)
    for limit in LIMITS:
        mine = [
            (start, cost.of(limit.kind))
            for _, payer, cost, start in granted
            if limit.scope == "tenant" or payer.application == "app"
        ]
        for begin, _ in mine:
            # Whatever begins here and ends within the window may have been granted that much sooner.
            spent = sum(amount for start, amount in mine if begin <= start <= begin + limit.window + VALID)
            assert spent <= limit.amount * share * 1.000001, limit


@given(share=SHARES, steps=STEPS)
def test_nobody_starves(share: float, steps: list[tuple[float, str, float, str]]) -> None:
    granted, paused = play(share, steps)
    for name in ("app", "other"):
        starts = [start for _, payer, _, start in granted if payer.application == name]
        assert starts == sorted(starts), "in the order in which they came"
    if not granted:
        return
    first = granted[0][0]
    for kind in ("units", "writes"):
        slowest = min(rate(limit, share) for limit in LIMITS if limit.kind == kind) * SLOWEST
        paused += sum(cost.of(kind) for _, _, cost, _ in granted) / slowest
    for asked, _, _, start in granted:
        assert asked <= start <= max(asked, first) + paused + 1


@given(percentages=st.lists(st.floats(0, 3), min_size=2))
def test_the_more_is_used_the_lower_the_pace(percentages: list[float]) -> None:
    paces = [pace_at(value) for value in sorted(percentages)]
    assert all(SLOWEST <= later <= sooner <= 1 for sooner, later in pairwise(paces))


@given(low=st.floats(0.8, 1.8), high=st.floats(0.8, 1.8), before=st.integers(0, 60))
def test_a_lower_pace_lets_nothing_through_sooner(low: float, high: float, before: int) -> None:
    low, high = sorted((low, high))
    delays = []
    for told in (low, high):
        book = Book()
        for _ in range(before):
            book.reserve(ONE.name, asks(ONE, CHUNK, SHARE), 0.0)
        book.slow(ONE.name, pace_at(told), 0, 0.0)
        delays.append(book.reserve(ONE.name, asks(ONE, CHUNK, SHARE), 1.0).delay)
    assert delays[0] <= delays[1]


def test_the_pace_recovers_and_a_pause_ends() -> None:
    pace = Pace().lowered(100.0, 0.5, 0)
    assert pace.at(100) == 0.5
    assert pace.at(90) == 0.5, "a clock that was set back"
    assert 0.5 < pace.at(160) < 1
    assert pace.at(100 + RECOVERY) == 1
    # What comes later and is milder does not raise it; what is harder lowers it.
    assert pace.lowered(100, 0.9, 0).at(100) == 0.5
    assert pace.lowered(100, 0.2, 0).at(100) == 0.2
    book = Book()
    book.slow(ONE.name, 0.5, 12, 100.0)
    book.slow(ONE.name, 0.5, 3, 101.0)
    assert book.reserve(ONE.name, asks(ONE, Cost(1), SHARE), 102.0).delay == pytest.approx(10)
    assert book.reserve("other@tenant", asks(Payer("other", "tenant"), Cost(1), SHARE), 102.0).delay == 0


def test_a_rest_allows_a_burst_and_a_clock_that_was_set_back_blocks_nobody_for_long() -> None:
    book = Book()
    writes = min(burst(limit, SHARE) for limit in LIMITS if limit.kind == "writes")
    units = min(burst(limit, SHARE) for limit in LIMITS if limit.kind == "units")
    assert book.reserve(ONE.name, asks(ONE, Cost(units, writes), SHARE), 0.0).delay == 0
    assert book.reserve(ONE.name, asks(ONE, CHUNK, SHARE), 0.0).delay > 0
    book = Book({key.key: 1e9 for key in asks(ONE, CHUNK, SHARE)})
    assert book.reserve(ONE.name, asks(ONE, CHUNK, SHARE), 0.0).delay <= 3700
    book.forget(2e9)
    assert book == Book()


@pytest.mark.parametrize(
    ("method", "address", "units", "writes"),
    [
        ("GET", "/applications", 2, 0),
        ("GET", "/applications?$select=id", 1, 0),
        ("GET", "/applications?%24select=id&%24expand=owners", 2, 0),
        ("GET", "/applications(uniqueName='a')?$select=id", 1, 0),
        ("GET", "/applications/x/appManagementPolicies", 2, 0),
        ("GET", "/users?$top=5", 1, 0),
        ("GET", "/users?$top=999", 2, 0),
        ("GET", "/organization?$select=id", 1, 0),
        ("GET", "/groups/x/members", 3, 0),
        ("GET", "/servicePrincipals(appId='x')/appRoleAssignments", 2, 0),
        ("GET", "/servicePrincipals(appId='x')?$select=id,appRoles", 1, 0),
        ("GET", "/oauth2PermissionGrants?$filter=clientId%20eq%20'x'", 2, 0),
        ("POST", "/applications/x/addPassword", 1, 1),
        ("PATCH", "/applications/x?$select=id", 1, 1),
        ("DELETE", "/applications/x", 1, 1),
    ],
)
def test_what_a_request_costs(method: str, address: str, units: int, writes: int) -> None:
    path, _, query = address.partition("?")
    assert cost_of(method, path, query) == Cost(units, writes)


def test_the_room_of_a_quarter_of_an_hour() -> None:
    free = room(900, SHARE)
    for limit in LIMITS:
        assert free.of(limit.kind) <= limit.amount * SHARE * 900 / limit.window
    assert room(900, SHARE, 0.5).writes == free.writes / 2
    assert WARNED == 0.8
