"""The authentik side: one adapter for servers from 2025.10 on.

Importing this package registers authentik-client's packages without running their ``__init__`` modules. Those import
every API and every model, which costs eight seconds of CPU and 130 MB. This program needs a dozen of the modules.
The packages are registered once, before threads start, so that all threads import the same packages.
"""

import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec


def _import_bare(name: str) -> None:
    """Put a package into ``sys.modules`` that finds its modules, and runs its ``__init__`` only for a name of that."""
    spec = find_spec(name)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    package, loader = module_from_spec(spec), spec.loader

    def find(attribute: str) -> object:
        if attribute.startswith("__") and attribute != "__version__":
            raise AttributeError(f"module {name!r} has no attribute {attribute!r}")
        if find_spec(f"{name}.{attribute}"):
            return import_module(f"{name}.{attribute}")
        # Another part of the program uses the client library in the usual way.
        loader.exec_module(package)
        if attribute not in vars(package):
            raise AttributeError(f"module {name!r} has no attribute {attribute!r}")
        return vars(package)[attribute]

    vars(package)["__getattr__"] = find
    sys.modules[name] = package
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, package)


if "authentik_client" not in sys.modules:
    for _name in ("authentik_client", "authentik_client.api", "authentik_client.models"):
        _import_bare(_name)
