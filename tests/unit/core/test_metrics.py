"""Metrics: nothing without being asked for; true over several processes; no secret among them."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from authentik_entra_bootstrap.config.connection import ConnectionSettings
from authentik_entra_bootstrap.domain import AppId, Application, AppObjectId, ClientSecret, KeyId
from authentik_entra_bootstrap.domain.application_tags import ApplicationTags, Delivered
from authentik_entra_bootstrap.errors import ConfigError
from authentik_entra_bootstrap.support.logs import Happening, Kind, SecretDates
from authentik_entra_bootstrap.workflows import metrics

START = datetime(2026, 3, 1, tzinfo=UTC)
DATES = SecretDates(START, START + timedelta(days=90), START + timedelta(days=60), START + timedelta(hours=1))


@pytest.fixture
def _off() -> Iterator[None]:
    """Metrics as at the beginning of a process."""
    before, metrics._instruments = metrics._instruments, None
    yield
    metrics._instruments = before


@pytest.mark.usefixtures("_off")
def test_without_being_asked_for_nothing_is_collected() -> None:
    metrics.happened(Happening(Kind.FAILED, "contoso", code="throttled", secret=DATES))
    metrics.stepped("create", 1.0)
    metrics.proven("contoso", START)
    assert metrics._instruments is None


@pytest.mark.usefixtures("_off")
def test_without_the_library_enabling_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ConfigError, match="metrics-library-missing"):
        metrics.enable()


@pytest.mark.usefixtures("_off")
def test_a_host_can_collect_into_a_registry_of_its_own() -> None:
    library = pytest.importorskip("prometheus_client")
    registry = library.CollectorRegistry()
    metrics.enable(registry)
    metrics.enable(registry)
    metrics.happened(Happening(Kind.ROTATED, "contoso", secret=DATES))
    metrics.happened(Happening(Kind.FAILED, "contoso", code="throttled"))
    metrics.happened(Happening(Kind.FAILED, "contoso", code="throttled"))
    metrics.stepped("prove", 3.0)
    by = {"connection": "contoso"}
    value = registry.get_sample_value
    assert value(metrics.EXPIRY[0], by) == DATES.ends_at.timestamp()
    assert value(metrics.RENEW[0], by) == DATES.renew_at.timestamp()
    assert value(metrics.ROTATION[0], by) == START.timestamp()
    assert value(metrics.PROOF[0], by) == (START + timedelta(hours=1)).timestamp()
    assert value(metrics.FAILURES[0], {**by, "code": "throttled"}) == 2
    metrics.proven("contoso", START + timedelta(days=2))
    assert value(metrics.PROOF[0], by) == (START + timedelta(days=2)).timestamp()
    assert value(f"{metrics.STEPS[0]}_bucket", {"step": "prove", "le": "5.0"}) == 1
    assert value(f"{metrics.STEPS[0]}_sum", {"step": "prove"}) == 3.0


@pytest.mark.usefixtures("_off")
def test_values_that_cannot_be_written_harm_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def labels(self, *_: str) -> None:
            raise OSError("No space left on device")

    full = Full()
    monkeypatch.setattr(metrics, "_instruments", metrics._Instruments(*[full] * 7))
    with capture_logs() as lines:
        metrics.happened(Happening(Kind.FAILED, "contoso", code="throttled", secret=DATES))
        metrics.stepped("create", 1.0)
        metrics.proven("contoso", START)
    assert [line["event"] for line in lines] == ["metrics-not-written"] * 4


@pytest.mark.usefixtures("_off")
def test_a_look_at_the_application_shows_the_dates_of_the_secret_on_record() -> None:
    library = pytest.importorskip("prometheus_client")
    registry = library.CollectorRegistry()
    desired = ConnectionSettings(name="contoso").desired()
    end = START + timedelta(days=90)
    secrets = (
        ClientSecret(KeyId("one"), "authentik-entra:contoso:0123456789abcdef", "abc", START, end),
        ClientSecret(KeyId("two"), "by hand", "xyz", START, end + timedelta(days=1)),
    )
    tags = ApplicationTags("contoso", current=Delivered(KeyId("one"), "request"), managed=True).texts()
    application = Application(
        AppObjectId("o"), AppId("a"), "name", "unique", "AzureADMyOrg", tags, frozenset(), secrets
    )
    metrics.seen(application, desired)
    metrics.enable(registry)
    metrics.seen(application, desired)
    assert registry.get_sample_value(metrics.EXPIRY[0], {"connection": "contoso"}) == end.timestamp()
    assert registry.get_sample_value(metrics.PROOF[0], {"connection": "contoso"}) is None


_WORKER = textwrap.dedent(
    """
    import asyncio, os, sys, time
    from datetime import UTC, datetime, timedelta
    from authentik_entra_bootstrap import metrics
    from authentik_entra_bootstrap.support.logs import Happening, Kind, SecretDates

    with __import__("socket").socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    stop = metrics.serve(port)
    start = datetime(2026, 3, 1, tzinfo=UTC)
    for number in (1, 2):
        child = os.fork()
        if child == 0:
            dates = SecretDates(start, start + timedelta(days=90 * number), start + timedelta(days=60))
            metrics.happened(Happening(Kind.ROTATED, "contoso", secret=dates))
            metrics.happened(Happening(Kind.FAILED, "contoso", code="throttled"))
            metrics.stepped("create", 0.2)
            os._exit(0)
        os.waitpid(child, 0)
        time.sleep(0.01)
    print(port, os.environ["PROMETHEUS_MULTIPROC_DIR"], flush=True)
    sys.stdin.readline()
    try:
        metrics.serve(port)
    except Exception as error:
        print(error.code)
    stop()
    print("PROMETHEUS_MULTIPROC_DIR" in os.environ)
    """
)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_several_processes_answer_as_one_and_leave_nothing() -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    process = subprocess.Popen(
        [sys.executable, "-c", _WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    port, folder = process.stdout.readline().split()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=300) as answer:
        text = answer.read().decode()
    out, _ = process.communicate("\n", timeout=300)
    assert process.returncode == 0
    # The second process came later: its dates are the true ones. Counts add up.
    end = (START + timedelta(days=180)).timestamp()
    found = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found[metrics.EXPIRY[0], "contoso"] == end
    assert found[metrics.FAILURES[0], "contoso", "throttled"] == 2.0
    assert found[f"{metrics.STEPS[0]}_count", "create"] == 2.0
    assert out.split() == ["metrics-port-unusable", "False"]
    assert not Path(folder).exists()


def test_the_library_must_not_be_imported_before_the_folder_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("prometheus_client")
    monkeypatch.delenv(metrics.FOLDER, raising=False)
    with pytest.raises(ConfigError, match="metrics-too-late"):
        metrics.serve(0)
