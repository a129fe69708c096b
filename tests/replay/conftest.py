"""Loads the helpers of the cassettes: test folders are no packages."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

for _name in ("cassette_libraries", "cassette_scrub", "cassette_format", "cassette_scenarios", "record"):
    _known = f"{_name}" if _name.startswith("cassette_") else f"cassette_{_name}"
    if _known not in sys.modules:
        _spec = importlib.util.spec_from_file_location(_known, Path(__file__).parent / f"{_name}.py")
        assert _spec is not None
        assert _spec.loader is not None
        sys.modules[_known] = importlib.util.module_from_spec(_spec)
        _spec.loader.exec_module(sys.modules[_known])
