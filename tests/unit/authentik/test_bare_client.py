"""authentik-client's packages are imported bare: the same objects without a thousand models, also among threads."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

BUILD = """
import json, sys
from authentik_client.api_client import ApiClient
from authentik_client.configuration import Configuration
from authentik_client.models.application_request import ApplicationRequest
from authentik_client.models.event_request import EventRequest
from authentik_client.models.patched_microsoft_entra_provider_request import PatchedMicrosoftEntraProviderRequest
from authentik_client.models.sync_object_request import SyncObjectRequest
made = ApiClient(Configuration(host="https://h/api/v3", access_token="t"))
provider = PatchedMicrosoftEntraProviderRequest(
    name="n", property_mappings=["5a35e695-0442-40e7-a2fc-924887eaa8d7"], filter_group=None, dry_run=True,
    user_delete_action="suspend")
event = EventRequest(action="secret_rotate", app="a", context={"b": 1})
sync = SyncObjectRequest(sync_object_model="authentik.core.models.User", sync_object_id="7")
application = ApplicationRequest(name="x", slug="x", backchannel_providers=[1, 2])
out = [made.sanitize_for_serialization(one) for one in (provider, event, sync, application)]
out.append(made.param_serialize("PATCH", "/p/{pk}/", path_params={"pk": "a/b"},
           query_params=[("q", "1"), ("q", "ä")], header_params={"Accept": "application/json"},
           body=provider, auth_settings=["authentik"]))
models = sum(name.startswith("authentik_client.models.") for name in sys.modules)
"""
BARE = f"""
import authentik_entra_bootstrap.authentik
{BUILD}
import authentik_client
from authentik_client import ApiException, rest
from authentik_client.models import EventRequest as Named
assert authentik_client.ApiException is ApiException is authentik_client.exceptions.ApiException
assert Named is EventRequest and authentik_client.CoreApi.__name__ == "CoreApi"
assert not hasattr(authentik_client, "Nothing") and not hasattr(authentik_client, "__wrapped__")
print(json.dumps({{"out": out, "models": models, "version": authentik_client.__version__}}))
"""
USUAL = f"""
import authentik_client
before = authentik_client.EventRequest
import authentik_entra_bootstrap.authentik
{BUILD}
assert EventRequest is before and "__getattr__" not in vars(authentik_client)
print(json.dumps({{"out": out, "models": models, "version": authentik_client.__version__}}))
"""
THREADS = """
import importlib, threading
names = [
    "authentik_entra_bootstrap.authentik", "authentik_entra_bootstrap.workflows.session",
    "authentik_entra_bootstrap.workflows.bootstrap", "authentik_client.models.event_request",
    "authentik_client.models.application_request", "authentik_client.api_client", "authentik_client.rest",
]
# The standard library's modules first, as in every command: Python 3.11 can take threads that import them crosswise for
# a deadlock (python/cpython#106176).
import authentik_entra_bootstrap.workflows.session
ready, done, failed = threading.Barrier(len(names) * 4), [], []
def use(name):
    ready.wait()
    try:
        done.append(importlib.import_module(name))
    except BaseException as error:
        failed.append((name, repr(error)))
threads = [threading.Thread(target=use, args=(name,)) for name in names * 4]
[thread.start() for thread in threads]; [thread.join() for thread in threads]
print(len(done), len(set(done)), failed)
"""
FIRST_IN_THREADS = """
import threading
ready, seen, failed = threading.Barrier(16), [], []
def use():
    ready.wait()
    try:
        from authentik_entra_bootstrap.authentik.adapter import AuthentikAdapter
        from authentik_client.models.event_request import EventRequest
        seen.append((AuthentikAdapter, EventRequest))
    except BaseException as error:
        failed.append(repr(error))
threads = [threading.Thread(target=use) for _ in range(16)]
[thread.start() for thread in threads]; [thread.join() for thread in threads]
print(len(seen), len(set(seen)), failed)
"""


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_run_imports_a_fraction_of_the_models() -> None:
    assert int(run(f"import authentik_entra_bootstrap.authentik\n{BUILD}print(models)")) < 30


@pytest.mark.ordeal
def test_the_same_requests_as_by_the_usual_import_with_a_fraction_of_its_models() -> None:
    bare, usual = json.loads(run(BARE)), json.loads(run(USUAL))
    assert bare["out"] == usual["out"]
    assert bare["version"] == usual["version"]
    assert usual["models"] > 500


@pytest.mark.parametrize("times", [1, pytest.param(6, marks=pytest.mark.ordeal)])
def test_no_import_fails_in_many_processes_with_many_threads(times: int) -> None:
    with ThreadPoolExecutor(2) as pool:
        told = list(pool.map(run, [THREADS, FIRST_IN_THREADS] * times))
    assert told == ["28 7 []\n", "16 1 []\n"] * times
