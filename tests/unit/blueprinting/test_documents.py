"""Blueprints as documents: reading, checking, filling in, and authentik's own schema of them."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from authentik_entra_bootstrap.blueprinting import (
    Shipped,
    Tag,
    dump,
    filled,
    load,
    shipped,
    shipped_blueprints,
)
from authentik_entra_bootstrap.blueprinting.check import TAGS, Reference, check, references, refusal
from authentik_entra_bootstrap.blueprinting.provider import (
    attaching,
    creating,
    export_connection,
    keeping,
    without_secret,
)
from authentik_entra_bootstrap.domain import (
    AuthentikApplication,
    PropertyMapping,
    Provider,
    ProviderPk,
    ProviderSpec,
)
from authentik_entra_bootstrap.errors import AdminActionRequired, AlreadyExists, ConfigError, Conflict
from authentik_entra_bootstrap.sandbox.authentik.blueprints import tags

ALL = shipped_blueprints()
GIVEN = ("client_id", "tenant_id")
HEAD = "version: 1\nmetadata: {name: x}\nentries:\n"
GROUP = "  - model: authentik_core.group\n"
SPEC = ProviderSpec("Entra", "c", "t", (), ())


def problems(text: str, *given: str) -> list[tuple[str, str]]:
    return [(item.code, item.where) for item in check(load(text), given)]


def test_the_files_of_the_repository_are_those_that_are_shipped() -> None:
    folder = Path(__file__).resolve().parents[3] / "blueprints"
    assert [item.name for item in ALL] == sorted(path.stem for path in folder.glob("*.yaml"))
    assert len(ALL) == 4
    for item in ALL:
        assert item.text == (folder / f"{item.name}.yaml").read_text(encoding="utf-8")
        assert item.text.startswith("# ")
        assert item.description


def test_in_the_wheel_they_lie_beside_the_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "blueprints").mkdir()
    (tmp_path / "blueprints" / "one.yaml").write_text(HEAD)
    module = __import__("sys").modules[shipped.__module__]
    monkeypatch.setattr(
        module, "files", lambda package: tmp_path if package == module.PACKAGE else files(package)
    )
    assert [item.name for item in shipped_blueprints()] == ["one"]


@pytest.mark.parametrize("item", ALL, ids=lambda item: item.name)
def test_shipped_blueprints_pass_the_check_and_survive_being_written_again(item: Any) -> None:
    document = load(item.text)
    assert check(document, GIVEN) == ()
    assert load(dump(document)) == document


def test_the_checker_knows_the_tags_that_the_importer_knows() -> None:
    assert set(TAGS) == {f"!{name}" for name in tags.TAGS}


@pytest.mark.parametrize(
    ("text", "code", "where"),
    [
        (GROUP + "    identifiers: {name: !Nonsense x}\n", "unknown-tag", "entries.0.identifiers.name"),
        (GROUP, "missing-identifiers", "entries.0"),
        (GROUP + "    identifiers: {}\n", "missing-identifiers", "entries.0"),
        (GROUP + "    identifiers: {name: !Context who}\n", "missing-value", "entries.0.identifiers.name"),
        (GROUP + "    identifiers: {name: x}\n    attrs: {parent: !KeyOf later}\n", "unresolved", "entries.0.attrs.parent"),
        (GROUP + "    identifiers: {name: !Find [a.b, x]}\n", "malformed", "entries.0.identifiers.name"),
        (GROUP + "    identifiers: {name: !If [a, b]}\n", "malformed", "entries.0.identifiers.name"),
        (GROUP + "    identifiers: {name: !Env {a: b}}\n", "malformed", "entries.0.identifiers.name"),
        (GROUP + "    identifiers: {name: x}\n    state: there\n", "malformed", "entries.0.state"),
        ("  - identifiers: {name: x}\n", "malformed", "entries.0"),
        (GROUP + "    identifiers: {name: x}\n    attrs: {client_secret: abc}\n", "secret", "entries.0.attrs.client_secret"),
        (GROUP + "    identifiers: {name: x}\n    attrs: {password: abc}\n", "secret", "entries.0.attrs.password"),
        ("  - {model: authentik_core.token, identifiers: {identifier: x}, attrs: {key: abc}}\n", "secret", "entries.0.attrs.key"),
        (GROUP + "    identifiers: {name: x}\n    attrs: {note: Can8Q~" + "a" * 34 + "}\n", "secret", "entries.0.attrs.note"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_place(text: str, code: str, where: str) -> None:
    assert (code, where) in problems(HEAD + text)


def test_head_and_context_are_looked_at_too() -> None:
    assert {where for _, where in problems("version: 2\n")} == {"version", "metadata", "entries"}
    text = HEAD + GROUP + "    identifiers: {name: x}\ncontext: {client_secret: abc}\n"
    assert problems(text) == [("secret", "context.client_secret")]
    fine = GROUP + "    id: a\n    identifiers: {name: !Context who}\n" + GROUP
    fine += (
        "    identifiers: {name: y}\n    attrs: {parent: !KeyOf a, password: !Env X, note: !Context [z, 1]}\n"
    )
    assert problems(HEAD + fine, "who") == []


@pytest.mark.parametrize("text", ["entries: [}", "just text", "- a list", "a: &a [*a"])
def test_what_is_no_blueprint_cannot_be_read(text: str) -> None:
    with pytest.raises(ConfigError, match=r"\[blueprint-unreadable\]"):
        load(text)


def test_filling_in_keeps_everything_else_of_the_file() -> None:
    text = shipped("entra-provider").text
    values = {"client_id": "c: #1", "user_mappings": ["a", "b"], "tenant_id": None, "provider_name": "Other"}
    told = filled(text, values)
    assert load(told)["context"] == {
        "provider_name": "Other",
        "application_name": "Microsoft Entra ID",
        "application_slug": "microsoft-entra-id",
        "client_id": "c: #1",
        "user_mappings": ["a", "b"],
    }
    assert told[: told.index("context:")] == text[: text.index("context:")]
    assert told[told.index("entries:") :] == text[text.index("entries:") :]
    assert filled(text, {"tenant_id": None}) == text
    assert load(filled(HEAD + GROUP, {"a": 1}))["context"] == {"a": 1}
    assert load(filled("version: 1\n", {"a": 1}))["context"] == {"a": 1}


def test_references_follow_the_context() -> None:
    document = load(shipped("entra-provider").text)
    mapping = "authentik_providers_microsoft_entra.microsoftentraprovidermapping"
    managed = "goauthentik.io/providers/microsoft_entra/"
    assert set(references(document, {})) == {
        Reference(mapping, (("managed", f"{managed}user"),)),
        Reference(mapping, (("managed", f"{managed}group"),)),
    }
    assert set(references(document, {"filter_group": "g", "user_mappings": ["a", "b"]})) == {
        Reference("authentik_core.group", (("name", "g"),)),
        Reference(mapping, (("name", "a"),)),
        Reference(mapping, (("name", "b"),)),
        Reference(mapping, (("managed", f"{managed}group"),)),
    }
    # In conditions, what is not there is an answer; what only the server knows is left to it.
    text = GROUP + "    conditions: [!Find [a.b, [x, y]]]\n"
    text += "    identifiers: {name: !Find [a.b, [x, !Env Y]]}\n"
    text += '    attrs: {other: !Find [a.b, [x, !Format ["%s!", !Context w]]]}\n'
    found = references(load(HEAD + text), {"w": "z"})
    assert found == (Reference("a.b", (("x", "z!"),)),)
    assert str(found[0]) == "b with x 'z!'"


def test_forms_of_the_provider_blueprint() -> None:
    text = shipped("entra-provider").text
    made = load(creating(text, SPEC))
    assert {entry["state"] for entry in made["entries"]} == {"must_created"}
    assert "authentik_core.application" not in {entry["model"] for entry in made["entries"]}
    # What is not asked for is left to the server.
    assert "sync_page_size" not in made["entries"][-1]["attrs"]
    for kept in (without_secret(text), keeping(text)):
        assert "client_secret" not in kept.partition("entries:")[2]
        assert check(load(kept), GIVEN) == ()
    for entry in load(keeping(text))["entries"]:
        assert isinstance(entry["conditions"][0], Tag)


def test_refusals_become_errors() -> None:
    assert isinstance(refusal(["Enterprise is required to create/update this object."]), AdminActionRequired)
    assert isinstance(refusal(["State is set to MUST_CREATED and object exists already"]), AlreadyExists)
    plain = refusal(["Entry invalid: x", "Blueprint validation failed"])
    assert isinstance(plain, Conflict)
    assert "Entry invalid: x; Blueprint validation failed" in plain.message
    assert "gave no reason" in refusal([]).message


def test_what_a_blueprint_makes_itself_need_not_exist_before() -> None:
    own = "    identifiers: {name: !Context w}\n"
    user = "  - {model: c.d, identifiers: {name: y}, attrs: {one: !Find [a.b, [name, z]], two: !Find [a.b, [name, q]]}}\n"
    found = references(load(HEAD + "  - model: a.b\n" + own + user), {"w": "z"})
    assert found == (Reference("a.b", (("name", "q"),)),)


def test_objects_of_a_file_refer_to_each_other_by_find_because_authentik_crashes_over_keyof() -> None:
    provider = Provider(ProviderPk(7), "Entra", "c", "t", ("m",), ("m",), "g")
    application = AuthentikApplication("a", "entra", "Entra", None, (7,))
    mapping = PropertyMapping("m", "mine", None, "return {}\n")
    text = export_connection(provider, application, [mapping], "Staff")
    assert "!KeyOf" not in text
    *_, made, holder = load(text)["entries"]
    assert made["attrs"]["filter_group"].arguments == ["authentik_core.group", ["name", "Staff"]]
    assert holder["attrs"]["backchannel_providers"][0].arguments == [made["model"], ["name", "Entra"]]
    assert [item.name for item in ALL if "!KeyOf" in item.text.partition("entries:")[2]] == [
        "rotation-alerts"
    ]


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ConfigError, match="no blueprint 'x'"):
        shipped("x")
    assert shipped("entra-provider.yaml").name == "entra-provider"


def untagged(value: Any) -> Any:
    """The document without what only an import resolves."""
    if isinstance(value, dict):
        return {key: untagged(item) for key, item in value.items() if not isinstance(item, Tag)}
    if isinstance(value, list):
        return [untagged(item) for item in value if not isinstance(item, Tag)]
    return value


@pytest.mark.parametrize("version", ["2025.10.4", "2025.12.4", "2026.2.2", "2026.5.0-rc1"])
def test_shipped_blueprints_fit_authentik_s_schema(contract: Path, version: str) -> None:
    schema = json.loads((contract / "authentik" / f"blueprint-schema-{version}.json").read_text())
    models = {
        item["properties"]["model"]["const"]: item for item in schema["$defs"]["blueprint_entry"]["oneOf"]
    }
    mapping = PropertyMapping("m", "mine", None, "return {}\n")
    provider = Provider(ProviderPk(7), "Entra", "c", "t", ("m",), ("m",), "g", sync_page_size=50)
    application = AuthentikApplication("a", "entra", "Entra", None, (7,), "https://example.com")
    export = export_connection(provider, application, [mapping], "Staff")
    made = [
        Shipped(f"creating {item.name}", "", creating(item.text, SPEC))
        for item in ALL
        if "provider" in item.name
    ]
    attach = attaching("entra", "Entra", ProviderPk(7), application, "x")
    for item in (*ALL, *made, Shipped("export", "", export), Shipped("attaching", "", attach)):
        assert check(load(item.text), (*GIVEN, "client_secret")) == ()
        document = untagged(load(item.text))
        outer = {**schema, "properties": {**schema["properties"], "entries": {"type": "array"}}}
        jsonschema.Draft7Validator(outer).validate(document)
        for entry in document["entries"]:
            # One model's schema at a time: its words are better than those of a choice among a hundred.
            entry_schema = {"$defs": schema["$defs"], **models[entry["model"]]}
            jsonschema.Draft7Validator(entry_schema).validate(entry)
            known = set(schema["$defs"][f"model_{entry['model']}"]["properties"])
            later = {"sync_page_size", "sync_page_timeout", "discovery_enabled"}
            named = {*_names(item.text, entry["model"])}
            assert named - known <= later, (item.name, entry["model"])


def _names(text: str, model: str) -> set[str]:
    """Every field that a shipped file gives objects of a model."""
    return {
        name
        for entry in load(text)["entries"]
        if entry["model"] == model
        for name in (*entry["identifiers"], *entry.get("attrs", {}))
    }
