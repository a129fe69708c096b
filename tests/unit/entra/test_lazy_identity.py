"""azure-identity and MSAL imported lazily hold the same objects as imported the usual way."""

from __future__ import annotations

import json
import subprocess
import sys

LOADED = """
import json, sys
from authentik_entra_bootstrap.entra import lazy_identity
found = [lazy_identity.asynchronous("ClientSecretCredential"), lazy_identity.blocking("AzureCliCredential")]
print(json.dumps({"modules": [name for name in sys.modules if name.partition(".")[0] in {"azure", "msal", "requests"}],
                  "found": [f"{one.__module__}.{one.__name__}" for one in found]}))
"""
NAMES = """
import json, sys
if sys.argv[1] == "lazy":
    from authentik_entra_bootstrap.entra import lazy_identity
    lazy_identity.asynchronous("ClientSecretCredential")
    assert "azure.identity.aio._credentials.azure_powershell" not in sys.modules
import azure.identity, azure.identity.aio, msal
from azure.identity import *
from azure.identity.aio._credentials.azure_powershell import AzurePowerShellCredential as one
assert one is azure.identity.aio.AzurePowerShellCredential
assert ClientSecretCredential is azure.identity.ClientSecretCredential
assert azure.identity.__version__ and msal.__version__
found = {}
for package in (azure.identity, azure.identity._credentials, azure.identity.aio, azure.identity.aio._credentials, msal):
    names = [name for name in dir(package) if not name.startswith("_")]
    for name in names:
        value = getattr(package, name)
        if not isinstance(value, type(sys)):
            found[f"{package.__name__}.{name}"] = f"{value.__module__}.{value.__qualname__}" if callable(value) else repr(value)
for wrong in (azure.identity, msal):
    try:
        wrong.Nothing
    except AttributeError:
        continue
    raise SystemExit("made up a name")
print(json.dumps(found))
"""


def run(code: str, *arguments: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_a_credential_imports_what_it_needs() -> None:
    loaded = run(LOADED)
    assert loaded["found"] == [
        "azure.identity.aio._credentials.client_secret.ClientSecretCredential",
        "azure.identity._credentials.azure_cli.AzureCliCredential",
    ]
    modules = set(loaded["modules"])  # type: ignore[arg-type]
    assert not modules & {"requests", "msal.managed_identity", "azure.identity._credentials.default"}
    assert "msal.token_cache" in modules


def test_every_name_stands_for_the_same_object_as_in_the_usual_import() -> None:
    lazy, usual = run(NAMES, "lazy"), run(NAMES, "usual")
    assert {name: lazy[name] for name in lazy.keys() & usual.keys()} == {
        name: usual[name] for name in lazy.keys() & usual.keys()
    }
    assert usual.keys() - lazy.keys() == set()
    assert len(usual) > 80


def test_what_was_imported_before_stays() -> None:
    code = """
import json, azure.identity.aio, msal
before = azure.identity.aio.ClientSecretCredential, msal.TokenCache
from authentik_entra_bootstrap.entra import lazy_identity
after = lazy_identity.asynchronous("ClientSecretCredential"), msal.TokenCache
print(json.dumps({"same": before == after, "broker": lazy_identity.has_broker()}))
"""
    assert run(code) == {"same": True, "broker": False}
