"""The family of errors: stable codes, exit codes, no loss on the way."""

from __future__ import annotations

import ast
import copy
import pickle
import re
from pathlib import Path

import pytest

from authentik_entra_bootstrap import errors
from authentik_entra_bootstrap.domain import CLOUDS, AppId, Provider, ProviderPk, TenantId
from authentik_entra_bootstrap.errors import BootstrapError, ExitCode, RequestTrace
from authentik_entra_bootstrap.output.documents import provider_page

TRACE = RequestTrace("graph", "POST", "/applications", 403, "Authorization_RequestDenied", "r-1", "c-1")


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.UnexpectedAnswer, 1),
        (errors.NotFound, 1),
        (errors.AlreadyExists, 1),
        (errors.ConfigError, 3),
        (errors.Denied, 4),
        (errors.AdminActionRequired, 5),
        (errors.Conflict, 5),
        (errors.UnsupportedServer, 5),
        (errors.VerificationFailed, 6),
        (errors.Temporary, 7),
        (errors.Throttled, 7),
        (errors.Unreachable, 7),
        (errors.ServiceUnavailable, 7),
        (errors.ReplicationTimeout, 7),
    ],
)
def test_exit_codes_are_the_documented_ones(kind: type[BootstrapError], code: int) -> None:
    error = kind("some-code", "What happened.", "Do this.", TRACE, {"a": "b"})
    assert error.exit_code == code
    assert str(error) == "What happened. [some-code]"
    for other in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(other) is kind
        assert (other.code, other.message, other.remedy, other.trace, other.facts) == (
            "some-code",
            "What happened.",
            "Do this.",
            TRACE,
            {"a": "b"},
        )


def test_what_a_service_asked_for_survives_copying() -> None:
    error = errors.Throttled("throttled", "m")
    assert error.retry_after is None
    error.retry_after = 3.5
    assert copy.copy(error).retry_after == 3.5
    lost = errors.Unreachable("u", "m")
    assert lost.sent
    assert len({lost, error}) == 2


@pytest.mark.parametrize(
    ("trace", "line"),
    [
        (
            TRACE,
            "graph POST /applications: 403 Authorization_RequestDenied (request id r-1, correlation id c-1)",
        ),
        (RequestTrace("entra", service_code="AADSTS7000215"), "entra: AADSTS7000215"),
        (RequestTrace("authentik", "GET", "/x/", 500), "authentik GET /x/: 500"),
        (RequestTrace("authentik", "GET", "/x/"), "authentik GET /x/"),
    ],
)
def test_a_trace_is_one_line(trace: RequestTrace, line: str) -> None:
    assert trace.line() == line


def test_exit_codes_do_not_collide() -> None:
    assert sorted(ExitCode) == [0, 1, 2, 3, 4, 5, 6, 7, 130]


def test_addresses_for_people() -> None:
    china = CLOUDS["china"]
    assert china.application_page(AppId("client")).startswith("https://entra.microsoftonline.cn/#view/")
    assert china.consent_page(TenantId("t"), AppId("a b&c")) == (
        "https://login.partner.microsoftonline.cn/t/adminconsent?client_id=a+b%26c"
    )
    assert provider_page(Provider(ProviderPk(3), "p", "c", "t"), "https://ak.example/sub") == (
        "https://ak.example/sub/if/admin/#/core/providers/3"
    )
    assert china.graph_scope == "https://microsoftgraph.chinacloudapi.cn/.default"


def test_a_message_names_a_command_as_it_is_typed() -> None:
    bare = re.compile(r"\brun (?:bootstrap|verify|rotate|teardown|consent|init)\b", re.IGNORECASE)
    for file in Path(errors.__file__).parent.rglob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        docs = {
            ast.get_docstring(node, clean=False)
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module)
        }
        texts = [
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        assert [text for text in texts if text not in docs and bare.search(text)] == [], file.name
