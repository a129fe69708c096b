"""Loads the model (test folders are no packages)."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

for _name in (
    "sim_loop",
    "sim_tenant",
    "sim_authentik",
    "sim_ports",
    "sim_watch",
    "sim_worker",
    "sim_world",
    "sim_starts",
    "sim_explorer",
    "sim_families",
):
    if _name not in sys.modules:
        _spec = importlib.util.spec_from_file_location(_name, Path(__file__).parent / f"{_name}.py")
        assert _spec is not None
        assert _spec.loader is not None
        sys.modules[_name] = importlib.util.module_from_spec(_spec)
        _spec.loader.exec_module(sys.modules[_name])
