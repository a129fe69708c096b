"""Blueprint instances over the API: validation, application in the worker, and the hourly look."""

from __future__ import annotations

import hashlib
from typing import Any

from authentik_entra_bootstrap.sandbox.authentik.worker import tasks

NEEDS_CONTEXT = """version: 1
metadata:
  name: entra-test
  labels:
    blueprints.goauthentik.io/description: test
entries:
- model: authentik_core.group
  identifiers: {name: !Context group}
"""
GROUP = "version: 1\nentries:\n- {model: authentik_core.group, identifiers: {name: made}, attrs: {attributes: {n: 1}}}"


async def create(site: Any, **body: Any) -> Any:
    response = await site.http.post("/managed/blueprints/", json={"name": "bp", **body})
    assert response.status_code == 201, response.text
    return response.json()


async def test_two_steps_and_application_in_the_worker(site: Any) -> None:
    made = await create(site, content="version: 1\nentries: []", context={"group": "from-context"})
    address = f"/managed/blueprints/{made['pk']}/"
    changed = await site.http.patch(address, json={"content": NEEDS_CONTEXT})
    assert changed.status_code == 200
    assert (changed.json()["status"], changed.json()["last_applied_hash"]) == ("unknown", "")
    applied = await site.http.post(f"{address}apply/")
    assert (applied.status_code, applied.json()["status"]) == (200, "unknown")
    await site.worker.settle()
    after = (await site.http.get(address)).json()
    assert after["status"] == "successful"
    assert after["metadata"] == {
        "name": "entra-test",
        "labels": {"blueprints.goauthentik.io/description": "test"},
    }
    assert after["last_applied_hash"] == hashlib.sha512(after["content"].encode()).hexdigest()
    assert after["context"] == {"group": "from-context"}
    assert site.one("group", name="from-context")
    task = site.rows("task", actor_name=tasks.APPLY_BLUEPRINT)[-1]
    assert (task["rel_obj_model"], task["rel_obj_id"], task["state"]) == (
        "blueprintinstance",
        made["pk"],
        "done",
    )
    assert task["uid"].endswith(":bp")


async def test_disabled_instance_is_skipped(site: Any) -> None:
    made = await create(site, content=GROUP, enabled=False)
    await site.http.post(f"/managed/blueprints/{made['pk']}/apply/")
    await site.worker.settle()
    row = site.state.tables["blueprint"].get(made["pk"])
    assert (row["status"], row["last_applied_hash"], site.rows("group", name="made")) == ("unknown", "", [])
    task = site.rows("task", actor_name=tasks.APPLY_BLUEPRINT)[-1]
    assert task["logs"][2]["event"] == "Blueprint bp is disabled, skipping"


async def test_failed_application_shows_in_status_and_task(site: Any) -> None:
    made = await create(site, content=GROUP)
    row = site.state.tables["blueprint"].get(made["pk"])
    row["content"] = "version: 1\nentries:\n- {model: authentik_core.group, attrs: {name: x}}"
    await site.http.post(f"/managed/blueprints/{made['pk']}/apply/")
    await site.worker.settle()
    assert row["status"] == "error"
    task = site.rows("task", actor_name=tasks.APPLY_BLUEPRINT)[-1]
    assert "Entry invalid: No or invalid identifiers" in [line["event"] for line in task["logs"]]
    row["content"] = "entries: [}"
    site.worker.apply_blueprint(made["pk"])
    await site.worker.settle()
    assert row["status"] == "error"


async def test_changed_content_is_applied_within_the_hour_and_only_once(site: Any) -> None:
    made = await create(site, content=GROUP)
    await site.later(hours=1)
    assert site.one("group", name="made")["attributes"] == {"n": 1}
    count = len(site.rows("task", actor_name=tasks.APPLY_BLUEPRINT))
    site.one("group", name="made")["attributes"] = {"n": "changed by hand"}
    await site.later(hours=5)
    assert len(site.rows("task", actor_name=tasks.APPLY_BLUEPRINT)) == count
    await site.http.patch(
        f"/managed/blueprints/{made['pk']}/", json={"content": GROUP.replace("{n: 1}", "{n: 2}")}
    )
    await site.later(hours=1)
    assert site.one("group", name="made")["attributes"] == {"n": 2}


async def test_bundled_instances_apply_without_a_file(site: Any) -> None:
    row = next(row for row in site.state.tables["blueprint"] if row["path"])
    before = row["last_applied_hash"]
    site.worker.apply_blueprint(row["pk"])
    await site.worker.settle()
    assert (row["status"], row["last_applied_hash"]) == ("successful", before)


async def test_missing_instance_is_a_warning(site: Any) -> None:
    site.worker.apply_blueprint("0")
    await site.worker.settle()
    task = site.rows("task", actor_name=tasks.APPLY_BLUEPRINT)[-1]
    assert task["logs"][2]["event"] == "Could not find blueprint 0, skipping"
