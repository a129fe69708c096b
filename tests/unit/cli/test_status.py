"""``status`` as typed: every secret with its standing, alarms for monitoring, the page, the metrics."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from model_world import World

from authentik_entra_bootstrap.domain import TaskRecord
from authentik_entra_bootstrap.domain.application_tags import Delivered
from authentik_entra_bootstrap.errors import Denied

from .conftest import Command


@pytest.fixture
def crowded(command: Command, made: World) -> World:
    """Secrets of every standing: rotated, one by hand, one pending, one stray."""
    made.age(days=130)
    assert command("rotate").code == 0
    end = made.clock.now() + timedelta(days=100)
    made.tenant.make_secret("by hand", end)
    made.tenant.make_secret("authentik-entra:default:00000000000000ff", end)
    pending = made.tenant.make_secret("authentik-entra:default:00000000000000fe", end)
    made.tenant.change_app(tags=made.marks.with_pending(Delivered(pending.record.key_id)).texts())
    return made


def codes(document: dict[str, Any]) -> list[str]:
    return [item["code"] for item in document["alarms"]]


def test_every_secret_stands_there_with_what_it_is_to_us(command: Command, crowded: World) -> None:
    document = command.document("status").json
    found = {item["standing"]: item for item in document["application"]["secrets"]}
    assert set(found) == {"previous", "current", "foreign", "stray", "pending"}
    assert found["previous"]["retire_at"] == "2026-07-10T13:00:00Z"
    assert (found["current"]["retire_at"], found["foreign"]["retire_at"]) == (None, None)
    assert (found["foreign"]["ours"], found["foreign"]["display_name"]) == (False, "by hand")
    assert document["last_rotation"] == found["current"]["start"] == "2026-07-09T13:00:00Z"
    assert document["next"] == {
        "at": "2026-07-09T15:00:00Z",
        "due": False,
        "reason": "a pending secret may be removed",
    }
    assert document["seen_at"] == "2026-07-09T13:00:00Z"


def test_what_is_left_alone_is_a_note_and_no_drift(command: Command, made: World) -> None:
    made.tenant.change_app(sign_in_audience="AzureADMultipleOrgs")
    said = command("status", "--check")
    assert (said.code, "no drift. Notes:" in said.out) == (0, True)


def test_the_bar_shows_start_now_renewal_and_end(command: Command, crowded: World) -> None:
    said = command("status").out
    bars = {line.split()[0]: line for line in said.splitlines() if "  until" in line}
    assert set(bars) == {"previous", "current", "foreign", "stray", "pending"}
    # Read by pytest's capture, which is UTF-8.
    assert "├━━━━━" in bars["previous"]
    assert "◆" in bars["current"]
    assert all("│" in bar for bar in bars.values())
    assert "◆" not in bars["foreign"]
    assert "├┤ start and end" in said
    assert crowded.server.secret not in said


@pytest.mark.parametrize(
    ("days", "within", "expected"),
    [
        (100, "81d", ["secret-ends-soon"]),
        (100, "80d", []),
        (100, "1900h", []),
        (100, None, []),
        (125, None, ["drift"]),
        (127, None, ["rotation-overdue", "drift"]),
        (151, None, ["secret-ends-soon", "rotation-overdue", "drift"]),
        (181, None, ["secret-ended", "rotation-overdue", "proof-failed", "drift"]),
    ],
)
def test_the_end_of_a_secret_is_an_alarm_in_time(
    command: Command, made: World, days: int, within: str | None, expected: list[str]
) -> None:
    made.age(days=days, hours=-2)
    flags = () if within is None else ("--within", within)
    said = command.document("status", "--check", *flags)
    assert codes(said.json) == expected
    assert said.json["healthy"] is not bool(expected)
    assert said.code == (2 if expected else 0)
    text = command("status", *flags)
    assert text.code == 0
    verdict = f"needs attention ({', '.join(expected)})" if expected else "healthy"
    assert text.out.startswith(f"default: {verdict}, next rotation ")
    for code in expected:
        assert f"(!) {code}: " in text.out
    metric = f'authentik_entra_healthy{{connection="default"}} {int(not expected)}\n'
    assert metric in command("status", "--output", "prometheus", *flags).out
    word = "needs attention" if expected else "healthy"
    assert f"</span> {word}</span>" in command("status", "--output", "html", *flags).out


@pytest.mark.parametrize(
    ("licence", "token", "expected"),
    [(31, 31, []), (29, None, ["licence-ends-soon"]), (-1, 29, ["token-ends-soon", "licence-ended"])],
)
def test_what_else_expires_is_an_alarm_a_metric_and_a_warning_of_check(
    command: Command, made: World, licence: int, token: int | None, expected: list[str]
) -> None:
    now = made.clock.now()
    made.server.licence = replace(made.server.licence, valid_until=now + timedelta(days=licence))
    ends = None if token is None else now + timedelta(days=token)
    made.server.api_tokens = (replace(made.server.api_tokens[0], expires=ends),)
    said = command.document("status", "--check")
    assert (said.code, codes(said.json)) == (2 if expected else 0, expected)
    shown = {item["kind"]: item["at"] for item in said.json["expiries"]}
    assert set(shown) == {"client-secret", "authentik-token", "authentik-licence"}
    metrics = command("status", "--output", "prometheus").out
    name = 'authentik_entra_credential_expires_timestamp{connection="default",kind='
    kinds = [line.partition(name)[2].split('"')[1] for line in metrics.splitlines() if name in line]
    assert sorted(kinds) == sorted(kind for kind, at in shown.items() if at)
    assert "Other expiries of default" in command("status", "--output", "html").out
    lines = command.document("check").json["lines"]
    warned = [item for item in lines if item["name"].startswith("expiry of ") and item["level"] == "warning"]
    assert len(warned) == len(expected)
    assert all(item["remedy"] for item in warned)
    if token is None:
        assert "does not expire" in command("status").out


@pytest.mark.parametrize(
    ("call", "code", "unknown"),
    [
        ("entra.find_application", "entra-permission-missing", 1),
        ("entra.find_application", "sign-in-failed", 0),
        ("authentik.api_tokens", "authentik-permission-missing", 1),
        ("authentik.api_tokens", "authentik-token-invalid", 0),
    ],
)
def test_check_calls_an_expiry_unknown_only_for_want_of_a_permission(
    command: Command, made: World, call: str, code: str, unknown: int
) -> None:
    made.wire.fail(call, Denied(code, "May not look."), times=9)
    lines = command.document("check").json["lines"]
    assert len([item for item in lines if item["detail"].startswith("unknown: ")]) == unknown


def test_a_sync_that_stopped_is_not_simply_done(command: Command, made: World) -> None:
    made.server.scheduled.append(
        TaskRecord(
            "microsoft_entra_sync_objects:Microsoft Entra ID:user:1",
            "done",
            made.clock.now() + timedelta(seconds=1),
            ("Syncing page 1 or Users", "Stopping sync due to error: refused"),
        )
    )
    text = " ".join(command("status").out.split())
    assert "sync-stopped: " in text
    assert "but it stopped before its end" in text


def test_verify_reads_no_expiries(command: Command, made: World) -> None:
    for name, reads in (("status", True), ("verify", False)):
        before = len(made.wire.calls)
        assert command(name).code == 0
        assert ("authentik.api_tokens" in {call.name for call in made.wire.calls[before:]}) is reads


def test_a_proof_that_is_missing_or_failed_is_an_alarm(command: Command, made: World) -> None:
    healthy = command.document("status").json
    assert (healthy["last_proof"]["by"], healthy["last_failure"]) == ("sync", None)
    made.server.tasks.clear()
    # Until authentik's first sync after a save, the proof that the run recorded counts.
    recorded = command.document("status", "--check").json
    assert (codes(recorded), recorded["last_proof"]["by"]) == ([], "")
    made.clock.advance(hours=5)
    assert codes(command.document("status", "--check").json) == ["proof-missing"]
    at = made.clock.now()
    good = TaskRecord("sync_objects:Microsoft Entra ID:user:1", "done", at, ("Syncing page 1 or Users",))
    made.server.scheduled.append(good)
    assert command("status", "--check").code == 0
    later = at + timedelta(minutes=1)
    made.server.scheduled.insert(0, replace(good, mtime=later, log_lines=("AADSTS7000215: Invalid",)))
    said = command.document("status", "--check")
    assert (said.code, codes(said.json)) == (2, ["proof-failed"])
    assert said.json["last_failure"]["detail"].startswith("AADSTS7000215")
    # What was proven before stays on record.
    assert said.json["last_proof"]["ok"] is True
    assert "last failure" in command("status").out


def test_a_changed_setting_is_an_alarm(
    command: Command, made: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.server.stored = replace(made.server.provider_now, dry_run=True)
    assert command("status", "--check").code == 0, "no setting says anything about it"
    monkeypatch.setenv("AUTHENTIK_ENTRA_DRY_RUN_SYNC", "false")
    said = command.document("status", "--check")
    assert (said.code, codes(said.json)) == (2, ["drift"])
    assert said.json["alarms"][0]["message"] == "provider dry_run: a dry run writes nothing to the tenant"


def test_an_alarm_names_what_is_missing_and_counts_the_rest(command: Command, world: World) -> None:
    said = command.document("status", "--check")
    (drift,) = [item["message"] for item in said.json["alarms"] if item["code"] == "drift"]
    assert drift == "application: not in the tenant; 2 more differences"


@pytest.mark.parametrize("span", ["soon", "14", "-1d", "14 months"])
def test_a_span_that_is_none_is_refused(command: Command, world: World, span: str) -> None:
    said = command("status", "--check", "--within", span)
    assert said.code == 3
    assert "--within" in said.err
    assert world.wire.calls == []


def test_no_name_on_the_page_steers_its_reading_or_fills_it(command: Command, crowded: World) -> None:
    crowded.tenant.change_app(display_name="pay\u202egnp.exe \x1b[31m" + "x" * 5_000)
    said = command("status", "--output", "html")
    assert "\\u202egnp.exe" in said.out
    assert not {"\u202e", "\x1b"} & set(said.out)
    assert "more characters" in said.out
    assert "x" * 2_000 not in said.out


def test_the_page_is_one_document_of_the_run(command: Command, crowded: World) -> None:
    crowded.tenant.change_app(display_name="<script>alert('x')</script>")
    crowded.wire.fail("authentik.sync_status", Denied("authentik-permission-missing", "May not look."))
    said = command("status", "--output", "html")
    assert said.code == 0
    assert said.out.startswith("<!doctype html>")
    assert said.out.endswith("</html>\n")
    assert "<script" not in said.out
    assert "&lt;script&gt;" in said.out
    assert crowded.server.secret not in said.out
    assert "May not look." in said.out
    failed = command("status", "--output", "html", "--tenant-id", "not a guid")
    assert failed.code == 3
    assert "setting-invalid" in failed.out
    assert "could not be looked at" in failed.out


def test_metrics_for_a_text_file(command: Command, made: World) -> None:
    prometheus = pytest.importorskip("prometheus_client.parser")
    said = command("status", "--output", "prometheus")
    found = {
        family.name: family.samples[0].value
        for family in prometheus.text_string_to_metric_families(said.out)
        if family.samples
    }
    secret = made.held()
    assert found["authentik_entra_secret_expiry_timestamp_seconds"] == secret.end_date_time.timestamp()
    assert found["authentik_entra_last_rotation_timestamp_seconds"] == secret.start_date_time.timestamp()
    assert found["authentik_entra_healthy"] == 1.0
    unhealthy = 'authentik_entra_healthy{connection="default"} 0'
    made.server.tasks.clear()
    made.clock.advance(hours=5)
    assert unhealthy in command("status", "--output", "prometheus").out
    made.wire.fail("entra.organization", Denied("sign-in-failed", "Signing in failed."), times=2)
    for chosen, about in (((), ""), (("--all",), "default: ")):
        said = command("status", "--output", "prometheus", *chosen)
        assert unhealthy in said.out
        assert said.err == f"ERROR: {about}Signing in failed. [sign-in-failed]\n"


def test_other_commands_do_not_print_pages(command: Command) -> None:
    assert command("plan", "--output", "html").code == 3


def test_plain_characters_where_nothing_else_can_be_shown(
    command: Command, crowded: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from authentik_entra_bootstrap.output import terminal

    monkeypatch.setattr(terminal, "is_unicode", lambda _: False)
    said = command("status").out
    bars = [line for line in said.splitlines() if "  until" in line and "key-" in line]
    assert len(bars) == len(crowded.tenant.app.secrets)
    assert all(bar.isascii() for bar in bars)
    assert any("R" in bar for bar in bars)


def test_a_connection_whose_next_rotation_finds_no_place_is_an_alarm(command: Command, made: World) -> None:
    made.tenant.change_app(sign_in_audience="AzureADandPersonalMicrosoftAccount")
    assert "too-many-secrets" not in codes(command.document("status").json)
    made.tenant.make_secret("by hand", made.clock.now() + timedelta(days=100))
    document = command.document("status").json
    assert "too-many-secrets" in codes(document)
    assert command("status", "--check").code == 2


def test_a_document_goes_to_the_file_that_is_named(command: Command, made: World, tmp_path: Path) -> None:
    for form in ("json", "html", "prometheus"):
        printed = command("status", "--output", form)
        said = command("status", "--output", form, "--to", f"status.{form}")
        assert (said.code, said.out) == (0, "")
        assert said.err.endswith(f"Written: status.{form}\n")
        assert (tmp_path / f"status.{form}").read_text().splitlines()[0] == printed.out.splitlines()[0]
    assert command("status", "--to", "page.html").code == 3
    refused = command("status", "--output", "html", "--to", "missing/page.html")
    assert (refused.code, "[output-file-unwritable]" in refused.err) == (3, True)
    assert command("blueprint", "render", "rotation-alerts", "--to", "missing/x.yaml").code == 3
