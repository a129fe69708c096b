import pytest

from authentik_entra_bootstrap.sandbox.clock import SandboxClock
from authentik_entra_bootstrap.sandbox.requestlog import (
    RequestLog,
    current_request,
    is_write,
    longest_chain,
    note_caller,
    server_for,
)


@pytest.fixture
def log() -> RequestLog:
    return RequestLog(SandboxClock(running=False))


@pytest.mark.parametrize(
    ("server", "method", "path", "expected"),
    [
        ("graph", "GET", "/v1.0/applications", False),
        ("graph", "POST", "/v1.0/applications", True),
        ("graph", "PATCH", "/v1.0/applications(uniqueName='x')", True),
        ("graph", "DELETE", "/v1.0/applications/1", True),
        ("entra", "POST", "/t/oauth2/v2.0/token", False),
        ("authentik", "OPTIONS", "/api/v3/core/users/", False),
        ("authentik", "PATCH", "/api/v3/providers/microsoft_entra/1/", True),
        ("authentik", "POST", "/api/v3/providers/microsoft_entra/1/sync/object/", False),
    ],
)
def test_what_counts_as_a_write(server, method: str, path: str, expected: bool) -> None:
    assert is_write(server, method, path) is expected


def test_graph_and_the_token_service_share_a_host() -> None:
    assert server_for("entra", "/v1.0/users") == "graph"
    assert server_for("entra", "/beta/users") == "graph"
    assert server_for("entra", "/tenant/oauth2/v2.0/token") == "entra"
    assert server_for("authentik", "/v1.0/users") == "authentik"


def test_overlapping_requests_can_be_told_from_successive_ones(log: RequestLog) -> None:
    first = log.enter("graph", "GET", "/v1.0/users", "1")
    second = log.enter("graph", "POST", "/v1.0/users", "2")
    log.leave(first, 200)
    third = log.enter("graph", "GET", "/v1.0/users", "3", query="$top=1")
    assert first.overlaps(second)
    assert second.overlaps(third)
    assert not first.overlaps(third)
    log.leave(second, None)
    log.leave(third, 200)
    assert log.all()[2].path == "/v1.0/users?$top=1"
    assert [entry.request_id for entry in log.writes()] == ["2"]
    assert [entry.request_id for entry in log.since(second.seq)] == ["3"]
    assert log.since(log.last_seq) == []


def test_an_entry_is_closed_once(log: RequestLog) -> None:
    entry = log.enter("graph", "GET", "/", "1")
    log.leave(entry, 200)
    left = entry.left
    log.leave(entry, None)
    assert (entry.status, entry.left, log.last_seq) == (200, left, left)


def test_one_programs_requests_are_told_from_anothers(log: RequestLog) -> None:
    log.enter("graph", "POST", "/v1.0/groups", "1", agent="python-httpx/0.28.1")
    first = log.enter("graph", "POST", "/v1.0/groups", "2", agent="python-httpx/0.28.1 ours/1")
    log.enter("graph", "GET", "/v1.0/groups", "3", agent="ours/1")
    assert [entry.request_id for entry in log.writes(agent="ours")] == ["2"]
    assert [entry.request_id for entry in log.since(first.seq, "ours")] == ["3"]


def test_the_longest_chain_leaves_out_what_overlaps(log: RequestLog) -> None:
    one, beside = log.enter("graph", "GET", "/1", "1"), log.enter("graph", "GET", "/2", "2")
    log.leave(one, 200)
    after = log.enter("graph", "GET", "/3", "3")
    log.leave(beside, 200)
    log.leave(after, 200)
    last = log.enter("graph", "GET", "/4", "4")
    assert longest_chain(log.all()) == 2, "what runs still has no end"
    log.leave(last, 200)
    assert longest_chain(log.all()) == 3
    assert longest_chain([]) == 0


def test_notes_reach_the_running_request_only(log: RequestLog) -> None:
    entry = log.enter("graph", "POST", "/v1.0/groups", "1")
    note_caller("nobody")
    with log.handling(entry):
        assert current_request() is entry
        note_caller("somebody")
    note_caller("nobody")
    assert current_request() is None
    assert log.all()[0].caller == "somebody"
    before = log.last_seq
    log.clear()
    assert (log.all(), log.last_seq) == ([], before)
