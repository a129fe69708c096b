"""The decision about the client secret: every branch with its reason."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authentik_entra_bootstrap.domain import (
    AppId,
    Application,
    AppObjectId,
    ClientSecret,
    KeyId,
    Provider,
    ProviderChange,
    ProviderPk,
)
from authentik_entra_bootstrap.domain.application_tags import ApplicationTags, Delivered, Previous, is_ours
from authentik_entra_bootstrap.rotation.decide import (
    SecretAction,
    SecretObservation,
    State,
    decide,
    stale_read_reason,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
CURRENT, PENDING, OLD, FOREIGN = KeyId("current"), KeyId("pending"), KeyId("old"), KeyId("foreign")
NAME = "authentik-entra:default:0123456789abcdef"


def secret(
    key: KeyId, *, name: str | None = NAME, age: int = 10, life: int = 180, hint: str | None = None
) -> ClientSecret:
    start = NOW - timedelta(days=age)
    return ClientSecret(key, name, hint, start, start + timedelta(days=life))


def application(*secrets: ClientSecret) -> Application:
    return Application(AppObjectId("o"), AppId("App-Id"), "n", secrets=secrets)


PROVIDER = Provider(ProviderPk(1), "p", "app-id", "tenant")
SEEN = SecretObservation(
    NOW,
    application(secret(CURRENT), secret(FOREIGN, name="theirs")),
    ApplicationTags("default", current=Delivered(CURRENT, "req-1"), managed=True),
    PROVIDER,
    ProviderChange("req-1", "model_updated", NOW),
)


KEEP, MAKE, PROVE = SecretAction.KEEP, SecretAction.MAKE, SecretAction.PROVE
DUE = application(secret(CURRENT, age=120))
BY_SOMEBODY = "the provider was changed in authentik since the secret was delivered"


def changed(request_id: str | None, agent: str | None = None) -> ProviderChange:
    return ProviderChange(request_id, "model_updated", NOW, "somebody", agent)


def seen(**changes: object) -> SecretObservation:
    return replace(SEEN, **changes)


def pending(**changes: object) -> SecretObservation:
    """A secret was delivered, and its proof is missing."""
    return seen(
        **{
            "application": application(secret(CURRENT), secret(PENDING, age=0)),
            "tags": replace(SEEN.tags, pending=Delivered(PENDING, "req-2")),
            "change": changed("req-2"),
            **changes,
        }
    )


def hinted(shown: str | None, current: str, old: str | None = None, **changes: object) -> SecretObservation:
    """authentik shows the first characters of what it stores; Entra ID those of its secrets."""
    secrets = [secret(CURRENT, hint=current)] + ([secret(OLD, age=150, hint=old)] if old else [])
    return seen(
        **{"application": application(*secrets), "provider": replace(PROVIDER, secret_hint=shown), **changes}
    )


def previous(hours: int) -> SecretObservation:
    """The overlap of the secret before ends in so many hours."""
    return seen(
        application=application(secret(CURRENT), secret(OLD, age=150)),
        tags=replace(SEEN.tags, previous=(Previous(OLD, NOW + timedelta(hours=hours)),)),
    )


UNMARKED = replace(SEEN.tags, pending=Delivered(PENDING))
UNDELIVERED = pending(tags=UNMARKED, change=changed("req-1"))
REASONS: dict[str, SecretObservation] = {
    "there is no application yet": seen(application=None),
    "no provider holds a client secret yet": seen(provider=None),
    "the provider holds another application's client id": seen(provider=replace(PROVIDER, client_id="else")),
    "no delivered secret is on record: an earlier run was interrupted": seen(
        tags=ApplicationTags("default", managed=True)
    ),
    "the current client secret was removed in Entra ID": seen(application=application()),
    "the current client secret has expired": seen(application=application(secret(CURRENT, age=181))),
    "about two thirds of its lifetime have passed": seen(application=DUE),
}
IN_USE = {"kept": secret(CURRENT), "delivered": Delivered(CURRENT, "req-1")}
CASES: dict[str, tuple[SecretObservation, dict[str, object]]] = {
    "recorded, and authentik confirms it": (
        SEEN,
        {"action": KEEP, "reason": "current", "certain": True, "retire": (), **IN_USE},
    ),
    **{reason: (case, {"action": MAKE, "reason": reason}) for reason, case in REASONS.items()},
    **{
        f"changed by request {request}": (
            seen(change=change),
            {"action": MAKE, "reason": BY_SOMEBODY, "state": State.CHANGED},
        )
        for request, change in (("req-2", changed("req-2")), (None, changed(None)), ("unknown", None))
    },
    "due, still the one that authentik holds": (
        seen(application=DUE),
        {"action": MAKE, **IN_USE, "kept": secret(CURRENT, age=120)},
    ),
    "just before two thirds": (seen(application=application(secret(CURRENT, age=119))), {"action": KEEP}),
    "asked for": (
        seen(force=True),
        {"action": MAKE, "state": State.DUE, "reason": "asked for", "kept": secret(CURRENT)},
    ),
    # The one before rests for its overlap.
    "delivered, not proven": (
        pending(),
        {
            "action": PROVE,
            "kept": secret(PENDING, age=0),
            "delivered": Delivered(PENDING, "req-2"),
            "retire": (),
        },
    ),
    **{
        f"pending, not surely held: {why}": (pending(**changes), {"action": MAKE})
        for why, changes in {
            "on no record": {"tags": UNMARKED},
            "changed since": {"change": changed("req-3")},
            "expired": {"application": application(secret(CURRENT), secret(PENDING, age=200))},
            "removed": {"application": application(secret(CURRENT))},
        }.items()
    },
    "pending, never delivered": (
        UNDELIVERED,
        {"action": KEEP, "retire": (), "resting": (Previous(PENDING, NOW + timedelta(hours=2)),)},
    ),
    **{
        f"pending, never delivered, {why}": (
            replace(UNDELIVERED, **changes),
            {"action": KEEP, "retire": (PENDING,), "resting": ()},
        )
        for why, changes in {
            "too old to be delivered": {"now": NOW + timedelta(hours=2)},
            "its maker has ended": {"abandoned": frozenset({PENDING})},
        }.items()
    },
    "no provider ever held it": (pending(provider=None), {"action": MAKE, "retire": (PENDING,)}),
    **{
        f"a change by somebody else, shown {shown}": (
            hinted(shown, "cur", "old", change=changed("somebody-else")),
            {"action": action, "state": state, "certain": True},
        )
        for shown, action, state in (
            ("cur", KEEP, State.CURRENT),
            ("els", MAKE, State.CHANGED),
            (None, MAKE, State.CHANGED),
        )
    },
    "first characters that two secrets share tell nothing": (
        hinted("abc", "abc", "abc", change=changed("somebody-else")),
        {"state": State.CHANGED},
    ),
    "nor do they when nothing was changed": (hinted("abc", "abc", "abc"), {"state": State.CURRENT}),
    "changed without a request": (hinted("xyz", "cur"), {"action": MAKE, "state": State.CHANGED}),
    "the record of the delivery was lost": (
        pending(
            application=application(secret(CURRENT, hint="cur"), secret(PENDING, age=0, hint="pen")),
            tags=UNMARKED,
            provider=replace(PROVIDER, secret_hint="pen"),
            change=changed("lost-answer"),
        ),
        {
            "action": PROVE,
            "state": State.DELIVERED,
            "delivered": Delivered(PENDING, "lost-answer"),
            "retire": (),
        },
    ),
    **{
        f"previous one, {hours} h left": (previous(hours), {"retire": retired})
        for hours, retired in ((1, ()), (0, (OLD,)), (-1, (OLD,)))
    },
}


@pytest.mark.parametrize(("case", "wanted"), CASES.values(), ids=CASES)
def test_each_observation_leads_to_its_decision(case: SecretObservation, wanted: dict[str, object]) -> None:
    decision = decide(case)
    assert {name: getattr(decision, name) for name in wanted} == wanted
    assert case.tags.current is None or CURRENT not in decision.retire


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (seen(change=None, change_readable=False), "cannot be read"),
        (hinted("xyz", "cur"), "a different client secret"),
    ],
)
def test_a_reason_says_what_the_decision_rests_on(case: SecretObservation, words: str) -> None:
    decision = decide(case)
    assert words in decision.reason
    # Where events cannot be read the record is believed, but not certain.
    assert (decision.action is KEEP) is not decision.certain


@pytest.mark.parametrize(
    ("agent", "waits"),
    [("Mozilla/5.0", False), ("authentik-entra-bootstrap/1.0", True), (None, True)],
)
def test_a_change_made_with_another_program_is_on_no_record_and_not_waited_for(
    agent: str | None, waits: bool
) -> None:
    case = seen(change=changed("req-9", agent))
    decision = decide(case)
    assert decision.state is State.CHANGED, "the secret may have been changed: a new one is made all the same"
    assert bool(stale_read_reason(case, decision)) is waits


keys = st.sampled_from([CURRENT, PENDING, OLD, FOREIGN])
deliveries = st.none() | st.builds(Delivered, keys, st.none() | st.sampled_from(["req-1", "req-2"]))
secrets = st.lists(
    st.builds(
        lambda key, ours, age: secret(key, name=NAME if ours and key != FOREIGN else "theirs", age=age),
        keys,
        st.booleans(),
        st.integers(-5, 300),
    ),
    unique_by=lambda item: item.key_id,
    max_size=4,
)
observations = st.builds(
    SecretObservation,
    st.just(NOW),
    st.none() | secrets.map(lambda items: application(*items)),
    st.builds(
        ApplicationTags,
        st.just("default"),
        deliveries,
        deliveries,
        st.lists(st.builds(Previous, keys, st.sampled_from([NOW, NOW + timedelta(days=1)])), max_size=2).map(
            tuple
        ),
    ),
    st.none() | st.just(PROVIDER),
    st.none()
    | st.builds(ProviderChange, st.none() | st.sampled_from(["req-1", "req-2"]), st.just("u"), st.just(NOW)),
    st.booleans(),
)


@given(observations)
def test_in_every_state_nothing_in_use_and_nothing_foreign_is_retired(seen: SecretObservation) -> None:
    decision = decide(seen)
    assert decision.reason
    by_key = {item.key_id: item for item in (seen.application.secrets if seen.application else ())}
    for key in decision.retire:
        assert is_ours(by_key[key])
        assert decision.kept is None or key != decision.kept.key_id
        assert seen.tags.current is None or key != seen.tags.current.key_id
        assert all(item.key_id != key or item.retire_at <= NOW for item in seen.tags.previous)
    if decision.action is not SecretAction.MAKE:
        assert decision.kept is not None
        assert decision.kept.is_live(NOW)
        assert decision.delivered is not None
        assert decision.delivered.key_id == decision.kept.key_id
        if seen.change_readable:
            assert seen.change is not None
            assert decision.delivered.request_id == seen.change.request_id
