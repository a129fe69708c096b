"""Every recorded exchange, replayed in the order in which it was made, gets the same kind of answer."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.authentik.conftest import CONTRACT, UUID, VERSIONS

VARYING = [
    (UUID, "<uuid>"),
    (re.compile(r"\b[0-9a-f]{32,128}\b"), "<hex>"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ][\d:.]+(?:Z|\+00:00)?"), "<time>"),
    (re.compile(r"\b\d{10}(?=[a-z])"), "<number>"),
    (re.compile(r"--user-\d+|:user:\d+:"), "<user>"),
    (re.compile(r"127\.0\.0\.1:\d+|\blocalhost\b"), "<host>"),
]
LEFT_OUT = re.compile(r"<[a-z ]*left out>|<cut>$")
ANY_VALUE = {
    *(
        "avatar",
        "num_pk",
        "user_agent",
        "delay",
        "version_latest",
        "version_latest_valid",
        "last_applied_hash",
    ),
    *("is_running", "count", "total_pages", "next", "end_index", "host", "domain_url", "crontab", "expiry"),
    *("latest_valid", "last_task_status", "exception"),
}
"""Keys whose values depend on when and where it was recorded: only their type counts."""
KEYS = {"pk", "user", "users", "user_pk", "provider", "backchannel_providers", "rel_obj_id", "identifier"}
HISTORY = {
    *("08_bootstrap_06", "08_rotate2_06", "08_bootstrap_18", "08_rotate2_13", "05_proof_wrong_task"),
    *("05_proof_expired_task", "04_tasks_rel", "08_rotate2_11"),
}
"""Lists whose content is the recorded server's past: items are compared by their keys."""


def exchanges() -> list[Any]:
    found = [
        pytest.param(profile, path.stem, id=f"{profile}-{path.stem}")
        for profile, version in VERSIONS.items()
        for path in sorted((CONTRACT / f"exchanges-{version}").glob("*.json"))
    ]
    reason = pytest.mark.skip(reason="the recorded exchanges are not here")
    return found or [pytest.param("", "", marks=reason)]


def plain(text: str) -> str:
    for pattern, name in VARYING:
        text = pattern.sub(name, text)
    return text


def compare(theirs: Any, ours: Any, where: str, *, loose: bool) -> None:
    key = where.rpartition(".")[2].partition("[")[0]
    if isinstance(theirs, str) and LEFT_OUT.search(theirs):
        return
    if key in ANY_VALUE or (key in KEYS and not isinstance(theirs, dict | list)):
        assert type(theirs) is type(ours) or loose, where
    elif isinstance(theirs, dict):
        assert isinstance(ours, dict), where
        if where.endswith(".attributes") or loose:
            assert set(theirs) == set(ours), where
        else:
            assert list(theirs) == list(ours), where
        for name in theirs:
            compare(theirs[name], ours[name], f"{where}.{name}", loose=loose)
    elif isinstance(theirs, list):
        assert isinstance(ours, list), where
        assert loose or len(theirs) == len(ours), f"{where}: {len(theirs)} items, ours {len(ours)}"
        assert bool(theirs) == bool(ours) or loose, where
        if loose and theirs and ours and isinstance(theirs[0], dict):
            assert set(theirs[0]) == set(ours[0]), where
            return
        for index, (one, other) in enumerate(zip(theirs, ours, strict=False)):
            compare(one, other, f"{where}[{index}]", loose=loose)
    elif isinstance(theirs, str):
        assert isinstance(ours, str), where
        assert plain(theirs) == plain(ours), where
    else:
        assert theirs == ours, where


@pytest.mark.parametrize(("profile", "name"), exchanges())
def test_recorded_exchange(profile: str, name: str, replayed: Callable[[str], Any]) -> None:
    recorded, ours = replayed(profile)[name]
    assert ours.status_code == recorded["status"], ours.text
    for header in ("content-type", "allow", "vary"):
        assert ours.headers.get(header) == recorded["headers"].get(header), header
    assert re.fullmatch("[0-9a-f]{32}", ours.headers["x-authentik-id"])
    body: Any = ours.text
    if body and ours.headers["content-type"].startswith("application/json"):
        body = ours.json()
    compare(told(name, recorded["body"]), body, "body", loose=name in HISTORY)


def told(name: str, body: Any) -> Any:
    """What of a recorded body the sandbox answers, too: of OPTIONS whether a field is needed and may be written."""
    if name != "02_options":
        return body
    kept = ("required", "read_only")
    fields = body["actions"]["POST"].items()
    return {"actions": {"POST": {field: {key: rules[key] for key in kept} for field, rules in fields}}}
