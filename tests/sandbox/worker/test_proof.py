"""``sync/object`` and what the task log shows, row by row of the recorded outcomes."""

from __future__ import annotations

import asyncio
import gc
import socket
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from authentik_entra_bootstrap.sandbox.authentik.worker.graph import GraphSession, Transport

MODEL = "authentik.core.models.User"
NOWHERE = "999999"
MIDDLEWARE = "authentik.tasks.middleware.TaskLogMiddleware"


async def prove(bench: Any, provider: Any, object_id: str = NOWHERE, **options: bool) -> tuple[bool, Any]:
    done = await bench.worker.sync_object(provider["pk"], MODEL, object_id, options.get("override", False))
    (task,) = [
        row for row in bench.tasks("sync_objects") if row["uid"].endswith(f":entra:user:{object_id}:manual")
    ]
    return done, task


async def test_good_secret(bench: Any) -> None:
    provider = bench.connection()
    await bench.settle()
    bench.recorder.calls.clear()
    done, task = await prove(bench, provider)
    assert done
    assert task["state"] == "done"
    assert bench.events(task)[2] == "Syncing page 1 or Users"
    assert task["logs"][2]["logger"] == task["uid"]
    assert (task["rel_obj_app_label"], task["rel_obj_model"], task["rel_obj_id"]) == (
        "authentik_providers_microsoft_entra",
        "microsoftentraprovider",
        str(provider["pk"]),
    )
    # One token request, the organization, the users; no write.
    assert [call["path"].partition("?")[0] for call in bench.recorder.calls] == [
        f"/{provider['tenant_id']}/oauth2/v2.0/token",
        "/v1.0/organization",
        "/v1.0/users",
    ]
    assert bench.writes() == []


async def test_wrong_secret_on_a_release_that_logs_errors(make_bench: Any) -> None:
    bench = await make_bench("2025.12")
    provider = bench.connection(assigned=True)
    await bench.settle()
    provider["client_secret"] = "other"
    done, task = await prove(bench, provider)
    assert not done
    assert (task["state"], task["aggregated_status"], task["retries"]) == ("queued", "queued", 1)
    (line,) = task["logs"]
    assert (line["event"], line["logger"]) == ("Task will be retried", MIDDLEWARE)
    delay = line["attributes"]["delay"]
    assert 7500 <= delay <= 15000
    due = bench.clock.now() + timedelta(milliseconds=delay)
    assert abs(task["eta"] - due) < timedelta(milliseconds=2)
    queued, processed, error = task["previous_logs"]
    assert (queued["event"], processed["event"]) == ("Task has been queued", "Task is being processed")
    assert error["log_level"] == "error"
    assert error["event"].startswith(
        "(ClientAuthenticationError(\"Microsoft Entra ID error '(invalid_client) AADSTS7000215: Invalid client secret provided."
    )
    assert error["event"].endswith(", None, None)")
    assert bench.refused_sign_ins() == ["AADSTS7000215"]


async def test_wrong_secret_leaves_no_error_line_on_the_newest_release(make_bench: Any) -> None:
    bench = await make_bench("2026.8")
    provider = bench.connection()
    await bench.settle()
    provider["client_secret"] = "other"
    done, task = await prove(bench, provider)
    assert not done
    assert [line["event"] for line in task["previous_logs"]] == [
        "Task has been queued",
        "Task is being processed",
    ]
    assert [line["event"] for line in task["logs"]] == ["Task will be retried"]


async def test_connection_errors_count_as_unreachable(bench: Any) -> None:
    provider = bench.connection()
    await bench.settle()

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    await bench.worker.stop()
    bench.worker._make_http = lambda: httpx.AsyncClient(transport=httpx.MockTransport(refuse))
    await bench.worker.start()
    done, task = await prove(bench, provider)
    assert done
    assert "Syncing page 1 or Users" not in bench.events(task)


async def test_unassigned_provider(bench: Any) -> None:
    provider = bench.connection(assigned=False)
    done, task = await prove(bench, provider)
    assert done
    warning = task["logs"][2]
    assert (warning["log_level"], warning["event"]) == (
        "warning",
        "No provider found. Is it assigned to an application?",
    )
    assert task["aggregated_status"] == "done"
    assert bench.worker.sign_ins == []


@pytest.mark.parametrize("switch", ["halted", "busy"])
async def test_no_worker_or_a_busy_one(bench: Any, switch: str) -> None:
    provider = bench.connection()
    await bench.settle()
    setattr(bench.worker.switches, switch, True)
    done, task = await prove(bench, provider)
    assert not done
    await bench.settle()
    assert (task["state"], bench.events(task)) == ("queued", ["Task has been queued"])
    setattr(bench.worker.switches, switch, False)
    await bench.settle()
    assert task["state"] == "done"


async def test_patience_holds_the_failing_reply(bench: Any) -> None:
    provider = bench.connection(client_secret="wrong")
    await bench.settle()
    bench.worker.switches.patience = 0.2
    before = asyncio.get_running_loop().time()
    done, _ = await prove(bench, provider)
    assert not done
    assert asyncio.get_running_loop().time() - before >= 0.2


async def test_one_object_is_written_and_dry_run_can_be_overridden(bench: Any) -> None:
    provider = bench.connection(dry_run=True)
    await bench.settle()
    alice = bench.person("alice")
    bench.person("bob")
    await bench.settle()
    assert bench.names("user") == []
    await prove(bench, provider, str(alice["pk"]), override=True)
    assert bench.names("user") == ["Alice"]
    assert provider["dry_run"] is True


async def test_failed_task_is_retried_on_the_sandbox_clock_and_given_up_in_the_end(bench: Any) -> None:
    provider = bench.connection(assigned=True)
    await bench.settle()
    provider["client_secret"] = "other"
    _, task = await prove(bench, provider)
    await bench.later(seconds=5)
    assert task["retries"] == 1
    delays = [task["logs"][0]["attributes"]["delay"]]
    for attempt in range(2, 6):
        await bench.later(hours=1)
        assert task["retries"] == attempt
        delays.append(task["logs"][0]["attributes"]["delay"])
    assert all(
        low <= delay <= 2 * low
        for delay, low in zip(delays, [7500, 15000, 30000, 60000, 120000], strict=True)
    )
    await bench.later(hours=1)
    assert (task["state"], task["aggregated_status"], task["retries"]) == ("rejected", "rejected", 5)


async def test_retry_succeeds_once_the_secret_is_right(bench: Any) -> None:
    provider = bench.connection(client_secret="wrong")
    await bench.settle()
    _, task = await prove(bench, provider)
    assert task["state"] == "queued"
    provider["client_secret"] = bench.operator.secret
    await bench.later(seconds=16)
    assert task["state"] == "done"
    assert "Syncing page 1 or Users" in bench.events(task)


async def test_newest_task_comes_first_by_mtime(bench: Any) -> None:
    provider = bench.connection()
    await bench.settle()
    for number in range(3):
        await prove(bench, provider, str(900 + number))
    rows = sorted(bench.tasks("sync_objects"), key=lambda row: row["mtime"], reverse=True)
    assert rows[0]["uid"].endswith(":user:902:manual")


async def test_a_worker_that_is_stopped_in_a_handshake_leaves_no_connection() -> None:
    """A leaked connection would be told by pytest as an unraisable exception once it is collected."""
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        url = f"https://127.0.0.1:{mute.getsockname()[1]}"
        async with httpx.AsyncClient(trust_env=False) as http:
            transport = Transport(http, url, lambda _: None, lambda: datetime.now(UTC))
            session = GraphSession(
                transport, {"pk": 1, "tenant_id": "t", "client_id": "c", "client_secret": "s"}, dry_run=False
            )
            syncing = asyncio.create_task(session.request("GET", "/organization"))
            mute.settimeout(10)
            connection, _ = await asyncio.to_thread(mute.accept)
            with connection:
                # The client's first message: from here on it waits for the handshake.
                await asyncio.to_thread(connection.recv, 1)
                syncing.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await syncing
    gc.collect()
