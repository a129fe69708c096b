"""Property mapping expressions with the names that authentik offers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from authentik_entra_bootstrap.sandbox.authentik.worker import expressions
from authentik_entra_bootstrap.sandbox.authentik.worker.graph import SkipObjectError
from authentik_entra_bootstrap.sandbox.authentik.worker.objects import Connection, Group, Provider, User


@pytest.fixture
async def run(make_bench: Any) -> Any:
    """Evaluates an expression for user ``alice`` of group ``Staff`` below ``Everyone``."""
    bench = await make_bench()
    alice = bench.person("alice", attributes={"department": "R&D"})
    staff = bench.group("Staff", alice)
    everyone = bench.group("Everyone")
    bench.change("authentik_core.group", everyone, attributes={"country": "DE", "department": "all"})
    bench.change("authentik_core.group", staff, parents=[everyone["pk"]])
    provider = bench.connection(assigned=False)
    user = User(bench.state, alice)
    names = {
        "user": user,
        "group": Group(bench.state, staff),
        "provider": Provider(bench.state, provider),
        "connection": None,
    }

    def evaluate(expression: str) -> Any:
        return expressions.evaluate(bench.state, {"name": "m", "expression": expression}, names, user)

    return evaluate


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("return {'display_name': request.user.name}", {"display_name": "Alice"}),
        ("return user.attributes.get('department')", "R&D"),
        ("return request.user.group_attributes(request)", {"country": "DE", "department": "R&D"}),
        ("return [g.name for g in user.ak_groups.all()]", ["Staff"]),
        ("return sorted(g.name for g in user.all_groups())", ["Everyone", "Staff"]),
        ("return ak_is_group_member(user, name='Everyone')", True),
        ("return ak_is_group_member(request.user, name='Nobody')", False),
        ("return ak_user_by(username='alice').email", "alice@contoso.example"),
        ("return ak_user_by(email__iexact='ALICE@contoso.example').username", "alice"),
        ("return ak_user_by(username='bob')", None),
        ("return [g.name for g in user.groups.filter(name__startswith='St')]", ["Staff"]),
        ("return user.groups.first().parents.first().name", "Everyone"),
        ("return group.users.count()", 1),
        ("return provider.name", "entra"),
        ("return slugify('Größe & Co. KG')", "groe-co-kg"),
        ("return regex_replace(user.email, '@.*', '@x.org')", "alice@x.org"),
        ("return regex_match(user.email, '^alice')", True),
        ("return list_flatten(['a', 'b'])", "a"),
        ("return resolve_dns('example.org')", []),
        ("return str(ip_address('127.0.0.1'))", "127.0.0.1"),
        ("import re\nreturn re.sub('a', 'b', 'a')", "b"),
        ("from urllib.parse import quote\nreturn quote('a b')", "a%20b"),
        ("ak_logger.info('hello', secret='x')\nreturn None", None),
        ("ak_create_event('custom_x', message='y')\nreturn ak_user_has_authenticator(user)", False),
        ("", None),
        ("# only a comment\nreturn 1", 1),
        ("def f(x):\n    return x * 2\nreturn [f(i) for i in range(2)]", [0, 2]),
    ],
)
async def test_expression_gives(run: Any, expression: str, expected: Any) -> None:
    assert run(expression) == expected


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("return nothing", "NameError"),
        ("return open('/etc/passwd')", "NameError"),
        ("import os\nreturn os.environ", "ImportError"),
        ("import subprocess", "ImportError"),
        ("return requests.get('https://example.org')", "ConnectionError"),
        ("return provider.client_secret", "AttributeError"),
        ("return ak_call_policy('p')", "ValueError: Policy 'p' not found."),
        (
            "return user.groups.filter(nope='x').exists()",
            "ValueError: Cannot resolve keyword 'nope' into field.",
        ),
        ("return user.nope", "AttributeError: 'User' object has no attribute 'nope'"),
        ("this is no python", "SyntaxError"),
    ],
)
async def test_expression_fails(run: Any, expression: str, message: str) -> None:
    with pytest.raises(expressions.ExpressionError, match=f"^{message}"):
        run(expression)


async def test_skip_object_passes_through(run: Any) -> None:
    with pytest.raises(SkipObjectError):
        run("raise SkipObject")


def test_connection_shows_what_is_stored() -> None:
    connection = Connection(SimpleNamespace(), {"id": "c", "attributes": {"on_premises_immutable_id": "x"}})
    assert connection.pk == "c"
    assert connection.attributes["on_premises_immutable_id"] == "x"
