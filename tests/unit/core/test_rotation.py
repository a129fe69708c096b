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


def test_a_recorded_delivery_that_authentik_confirms_is_kept() -> None:
    decision = decide(SEEN)
    assert (decision.action, decision.reason, decision.certain) == (SecretAction.KEEP, "current", True)
    assert decision.kept == secret(CURRENT)
    assert decision.delivered == Delivered(CURRENT, "req-1")
    assert decision.retire == ()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"application": None}, "there is no application yet"),
        ({"provider": None}, "no provider holds a client secret yet"),
        (
            {"provider": replace(PROVIDER, client_id="else")},
            "the provider holds another application's client id",
        ),
        (
            {"tags": ApplicationTags("default", managed=True)},
            "no delivered secret is on record: an earlier run was interrupted",
        ),
        ({"application": application()}, "the current client secret was removed in Entra ID"),
        ({"application": application(secret(CURRENT, age=181))}, "the current client secret has expired"),
        (
            {"change": ProviderChange("req-2", "model_updated", NOW)},
            "the provider was changed in authentik since the secret was delivered",
        ),
        (
            {"change": ProviderChange(None, "model_updated", NOW)},
            "the provider was changed in authentik since the secret was delivered",
        ),
        ({"change": None}, "the provider was changed in authentik since the secret was delivered"),
        (
            {"application": application(secret(CURRENT, age=120))},
            "about two thirds of its lifetime have passed",
        ),
    ],
)
def test_a_new_secret_is_made_and_the_reason_said(changes: dict[str, object], reason: str) -> None:
    seen = replace(SEEN, **changes)
    decision = decide(seen)
    assert decision.action is SecretAction.MAKE
    assert decision.reason == reason
    if seen.tags.current:
        assert CURRENT not in decision.retire


def test_a_secret_that_is_due_is_still_the_one_that_authentik_holds() -> None:
    decision = decide(replace(SEEN, application=application(secret(CURRENT, age=120))))
    assert decision.kept is not None
    assert decision.kept.key_id == CURRENT
    assert decision.delivered == Delivered(CURRENT, "req-1")


def test_just_before_two_thirds_it_is_kept() -> None:
    almost = replace(SEEN, application=application(secret(CURRENT, age=119)))
    assert decide(almost).action is SecretAction.KEEP


def test_where_events_cannot_be_read_the_record_is_believed_but_not_certain() -> None:
    decision = decide(replace(SEEN, change=None, change_readable=False))
    assert decision.action is SecretAction.KEEP
    assert not decision.certain
    assert "cannot be read" in decision.reason


def _pending(**changes: object) -> SecretObservation:
    seen = replace(
        SEEN,
        application=application(secret(CURRENT), secret(PENDING, age=0)),
        tags=replace(SEEN.tags, pending=Delivered(PENDING, "req-2")),
        change=ProviderChange("req-2", "model_updated", NOW),
    )
    return replace(seen, **changes)


def test_a_delivered_secret_whose_proof_is_missing_is_only_proven() -> None:
    decision = decide(_pending())
    assert decision.action is SecretAction.PROVE
    assert decision.kept is not None
    assert decision.kept.key_id == PENDING
    assert decision.delivered == Delivered(PENDING, "req-2")
    assert decision.retire == ()  # the one before rests for its overlap


@pytest.mark.parametrize(
    "changes",
    [
        {"tags": replace(SEEN.tags, pending=Delivered(PENDING))},
        {"change": ProviderChange("req-3", "model_updated", NOW)},
        {"application": application(secret(CURRENT), secret(PENDING, age=200))},
        {"application": application(secret(CURRENT))},
    ],
)
def test_a_pending_secret_that_authentik_does_not_surely_hold_is_replaced(changes: dict[str, object]) -> None:
    decision = decide(_pending(**changes))
    assert decision.action is SecretAction.MAKE
    assert CURRENT not in decision.retire


def test_a_pending_secret_that_was_never_delivered_is_retired_once_nobody_can_deliver_it_any_more() -> None:
    seen = _pending(
        tags=replace(SEEN.tags, pending=Delivered(PENDING)),
        change=ProviderChange("req-1", "model_updated", NOW),
    )
    young = decide(seen)
    assert young.action is SecretAction.KEEP
    assert young.retire == ()
    assert young.resting == (Previous(PENDING, NOW + timedelta(hours=2)),)
    for later in (replace(seen, now=NOW + timedelta(hours=2)), replace(seen, abandoned=frozenset({PENDING}))):
        decision = decide(later)
        assert decision.action is SecretAction.KEEP
        assert (decision.retire, decision.resting) == ((PENDING,), ())


def test_where_no_provider_ever_held_a_secret_whatever_was_made_may_go() -> None:
    decision = decide(_pending(provider=None))
    assert decision.action is SecretAction.MAKE
    assert decision.retire == (PENDING,)


@pytest.mark.parametrize(
    ("shown", "action", "state", "certain"),
    [
        ("cur", SecretAction.KEEP, State.CURRENT, True),
        ("els", SecretAction.MAKE, State.CHANGED, True),
        (None, SecretAction.MAKE, State.CHANGED, True),
    ],
)
def test_the_first_characters_tell_a_changed_field_from_a_changed_secret(
    shown: str | None, action: SecretAction, state: State, certain: bool
) -> None:
    seen = replace(
        SEEN,
        application=application(secret(CURRENT, hint="cur"), secret(OLD, age=150, hint="old")),
        provider=replace(PROVIDER, secret_hint=shown),
        change=ProviderChange("somebody-else", "model_updated", NOW),
    )
    decision = decide(seen)
    assert (decision.action, decision.state, decision.certain) == (action, state, certain)


def test_first_characters_that_two_secrets_share_tell_nothing() -> None:
    seen = replace(
        SEEN,
        application=application(secret(CURRENT, hint="abc"), secret(OLD, age=150, hint="abc")),
        provider=replace(PROVIDER, secret_hint="abc"),
        change=ProviderChange("somebody-else", "model_updated", NOW),
    )
    assert decide(seen).state is State.CHANGED
    assert decide(replace(seen, change=SEEN.change)).state is State.CURRENT


def test_a_secret_changed_without_a_request_is_noticed_by_its_first_characters() -> None:
    seen = replace(
        SEEN,
        application=application(secret(CURRENT, hint="cur")),
        provider=replace(PROVIDER, secret_hint="xyz"),
    )
    decision = decide(seen)
    assert (decision.action, decision.state) == (SecretAction.MAKE, State.CHANGED)
    assert "another client secret" in decision.reason


def test_a_delivery_whose_record_was_lost_is_recognised_by_its_first_characters() -> None:
    seen = _pending(
        application=application(secret(CURRENT, hint="cur"), secret(PENDING, age=0, hint="pen")),
        tags=replace(SEEN.tags, pending=Delivered(PENDING)),
        provider=replace(PROVIDER, secret_hint="pen"),
        change=ProviderChange("lost-answer", "model_updated", NOW),
    )
    decision = decide(seen)
    assert (decision.action, decision.state) == (SecretAction.PROVE, State.DELIVERED)
    assert decision.delivered == Delivered(PENDING, "lost-answer")
    assert decision.retire == ()


@pytest.mark.parametrize(
    ("agent", "waits"),
    [("Mozilla/5.0", False), ("authentik-entra-bootstrap/1.0", True), (None, True)],
)
def test_a_change_made_with_another_program_is_on_no_record_and_not_waited_for(
    agent: str | None, waits: bool
) -> None:
    seen = replace(SEEN, change=ProviderChange("req-9", "model_updated", NOW, "somebody", agent))
    decision = decide(seen)
    assert decision.state is State.CHANGED, "the secret may have been changed: a new one is made all the same"
    assert bool(stale_read_reason(seen, decision)) is waits


def test_asked_for_means_now() -> None:
    decision = decide(replace(SEEN, force=True))
    assert (decision.action, decision.state, decision.reason) == (SecretAction.MAKE, State.DUE, "asked for")
    assert decision.kept == secret(CURRENT)


@pytest.mark.parametrize(("hours", "retired"), [(1, ()), (0, (OLD,)), (-1, (OLD,))])
def test_a_previous_secret_rests_until_its_time(hours: int, retired: tuple[KeyId, ...]) -> None:
    decision = decide(
        replace(
            SEEN,
            application=application(secret(CURRENT), secret(OLD, age=150)),
            tags=replace(SEEN.tags, previous=(Previous(OLD, NOW + timedelta(hours=hours)),)),
        )
    )
    assert decision.retire == retired


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
