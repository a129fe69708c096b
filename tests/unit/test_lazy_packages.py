"""What lazy packages read of the sources of ``__init__`` modules."""

from __future__ import annotations

import pytest

from authentik_entra_bootstrap.lazy_packages import read_exports


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
