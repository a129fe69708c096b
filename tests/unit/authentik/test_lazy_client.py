"""The lazy import gives the same objects as the usual one, without building all models."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from authentik_entra_bootstrap.lazy_packages import read_exports

BUILD = """
import json, sys
def build(client, configuration, models):
    made = client.ApiClient(configuration.Configuration(host="https://h/api/v3", access_token="t"))
    provider = models.PatchedMicrosoftEntraProviderRequest(
        name="n", property_mappings=["5a35e695-0442-40e7-a2fc-924887eaa8d7"], filter_group=None, dry_run=True,
        user_delete_action="suspend")
    event = models.EventRequest(action="secret_rotate", app="a", context={"b": 1})
    sync = models.SyncObjectRequest(sync_object_model="authentik.core.models.User", sync_object_id="7")
    application = models.ApplicationRequest(name="x", slug="x", backchannel_providers=[1, 2])
    out = [made.sanitize_for_serialization(one) for one in (provider, event, sync, application)]
    out.append(made.param_serialize("PATCH", "/p/{pk}/", path_params={"pk": "a/b"},
               query_params=[("q", "1"), ("q", "ä")], header_params={"Accept": "application/json"},
               body=provider, auth_settings=["authentik"]))
    out.append(repr(made.deserialize('{"messages": []}', "SyncObjectResult"
               if hasattr(models, "SyncObjectResult") else "object", "application/json")))
    return out
def count():
    return sum(name.startswith("authentik_client.models.") for name in sys.modules)
"""
LAZY = (
    BUILD
    + """
from authentik_entra_bootstrap.authentik import lazy_client
client, configuration, models = (lazy_client.load(n) for n in ("api_client", "configuration", "models"))
out = build(client, configuration, models)
import authentik_client
from authentik_client import ApiException, Configuration
from authentik_client.models.event_request import EventRequest
assert authentik_client.EventRequest is EventRequest is models.EventRequest
assert authentik_client.exceptions.ApiException is ApiException
assert "CoreApi" in dir(authentik_client) and "CoreApi" in authentik_client.__all__
try:
    authentik_client.Nothing
except AttributeError:
    pass
else:
    raise SystemExit("made up a name")
print(json.dumps({"out": out, "models": count(), "version": authentik_client.__version__}))
"""
)
USUAL = (
    BUILD
    + """
import authentik_client
from authentik_client import api_client, configuration, models
before = models.EventRequest
from authentik_entra_bootstrap.authentik import lazy_client
assert lazy_client.load() is authentik_client and lazy_client.model("EventRequest") is before
print(json.dumps({"out": build(api_client, configuration, models), "models": count(),
                  "version": authentik_client.__version__}))
"""
)
THREADS = """
import sys, threading
from authentik_entra_bootstrap.authentik import lazy_client
ready = threading.Barrier(9)
seen = []
def use():
    ready.wait()
    lazy_client.load("api_client")
    seen.append(lazy_client.model("EventRequest"))
def plain():
    ready.wait()
    while "authentik_client" not in sys.modules:
        pass
    from authentik_client.models.event_request import EventRequest
    seen.append(EventRequest)
threads = [threading.Thread(target=use) for _ in range(8)] + [threading.Thread(target=plain)]
[t.start() for t in threads]; [t.join() for t in threads]
assert len(seen) == 9 and len(set(seen)) == 1, seen
"""


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_same_requests_and_models_as_the_usual_import_with_a_fraction_of_its_modules() -> None:
    lazy, usual = json.loads(run(LAZY)), json.loads(run(USUAL))
    assert lazy["out"] == usual["out"]
    assert lazy["version"] == usual["version"]
    assert lazy["models"] < 30
    assert usual["models"] > 500


def test_threads_get_one_package() -> None:
    run(THREADS)


def test_reads_the_layouts_of_the_generator() -> None:
    exports = read_exports(
        '"""doc"""\n__version__ = "1"\n__all__ = ["A"]\nfrom authentik_client.models.a import A as A, B\n',
        "authentik_client",
        "authentik_client",
    )
    assert exports is not None
    assert exports.names == {"A": ("authentik_client.models.a", "A"), "B": ("authentik_client.models.a", "B")}
    assert exports.assigned["__version__"] == "1"


def test_reads_the_layouts_of_microsoft_s_libraries() -> None:
    source = (
        "from ._version import VERSION\nfrom .. import Error\nfrom .._a.b import C\n__version__ = VERSION\n"
    )
    exports = read_exports(source, "azure.identity.aio", "azure.identity")
    assert exports is not None
    assert exports.names == {
        "VERSION": ("azure.identity.aio._version", "VERSION"),
        "__version__": ("azure.identity.aio._version", "VERSION"),
        "Error": ("azure.identity", "Error"),
        "C": ("azure.identity._a.b", "C"),
    }
    assert read_exports("from ... import core\n", "azure.identity.aio", "azure.identity") is None


@pytest.mark.parametrize(
    "source",
    [
        "import os\n",
        "from authentik_client.models.a import *\n",
        "from elsewhere import A\n",
        "if True:\n    from authentik_client.models.a import A\n",
        "x = f()\n",
        "def broken(\n",
        "a.b = 1\n",
        "from . import models\n",
    ],
)
def test_leaves_unknown_layouts_to_the_usual_import(source: str) -> None:
    assert read_exports(source, "authentik_client", "authentik_client") is None
