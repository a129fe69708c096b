"""Settings: precedence, names of what is wrong and where, and nothing secret in any message."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authentik_entra_bootstrap import config
from authentik_entra_bootstrap.config import ENV_PREFIX, SettingsFile, load_settings
from authentik_entra_bootstrap.config.connection import ConnectionSettings
from authentik_entra_bootstrap.config.worker import WorkerSettings
from authentik_entra_bootstrap.errors import ConfigError

HOME = "11111111-1111-4111-8111-111111111111"
WANTED = "22222222-2222-4222-8222-222222222222"
OTHER = "33333333-3333-4333-8333-333333333333"
CANARY = "canary~token~value"


def file(text: str) -> SettingsFile:
    return SettingsFile(Path("authentik-entra.toml"), text)


def load(text: str = "", environment: dict[str, str] | None = None, **more: Any) -> ConnectionSettings:
    return load_settings(file(text), environment=environment or {}, **more)


def refused(text: str = "", environment: dict[str, str] | None = None, **more: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(text, environment, **more)
    assert CANARY not in str(caught.value) + caught.value.remedy
    assert caught.value.__cause__ is None
    return caught.value


# --- precedence


def test_flags_over_environment_over_file_over_defaults() -> None:
    text = "[defaults]\nproxy = 'http://file:1'\ncloud = 'china'\n"
    environment = {f"{ENV_PREFIX}PROXY": "http://environment:2"}
    assert load().proxy is None
    assert load(text).proxy == "http://file:1"
    assert load(text, environment).proxy == "http://environment:2"
    assert load(text, environment, flags={"proxy": "http://flag:3"}).proxy == "http://flag:3"
    assert load(text, environment, flags={"proxy": None}).proxy == "http://environment:2"
    assert load(text, environment, flags={"proxy": None}).cloud == "china"


def test_a_connections_own_table_lies_over_the_defaults() -> None:
    text = "[defaults]\ncloud = 'china'\nproxy = 'http://a'\n[connections.north]\ncloud = 'usgov'\n"
    settings = load(text)
    assert (settings.name, settings.cloud, settings.proxy) == ("north", "usgov", "http://a")


def test_the_tenant_of_azure_identity_only_fills_a_gap() -> None:
    home = {"AZURE_TENANT_ID": HOME}
    assert load("", home).tenant_id == HOME
    assert load(f"[defaults]\ntenant_id = '{WANTED}'", home).tenant_id == WANTED
    assert load("", home | {f"{ENV_PREFIX}TENANT_ID": OTHER}).tenant_id == OTHER
    assert load("", home, flags={"tenant_id": OTHER}).tenant_id == OTHER
    assert load("", {"AZURE_TENANT_ID": ""}).tenant_id is None


def test_variables_of_other_tools_and_our_own_over_them() -> None:
    environment = {
        "AUTHENTIK_URL": "ak.example/",
        "AUTHENTIK_TOKEN": f" {CANARY}\n",
        "AZURE_AUTHORITY_HOST": "login.microsoftonline.us",
    }
    settings = load("", environment)
    assert settings.authentik_url == "https://ak.example"
    assert settings.token().reveal() == CANARY
    assert settings.resolved_cloud().authority == "https://login.microsoftonline.us"
    assert settings.resolved_cloud().known
    own = environment | {f"{ENV_PREFIX}AUTHENTIK_URL": "https://own.example:9443/sub"}
    assert load("", own).authentik_url == "https://own.example:9443/sub"


def test_the_environment_does_not_name_the_connection() -> None:
    assert load("", {f"{ENV_PREFIX}NAME": "north"}).name == "default"


def test_values_from_the_environment_have_their_types() -> None:
    environment = {
        f"{ENV_PREFIX}PERMISSIONS": "User.Read, Group.Create,",
        f"{ENV_PREFIX}SECRET_LIFETIME": "2w",
        f"{ENV_PREFIX}OVERLAP": "1.5h",
        f"{ENV_PREFIX}SYNC_PAGE_SIZE": "50",
        f"{ENV_PREFIX}DRY_RUN_SYNC": "true",
        f"{ENV_PREFIX}TIMEOUT": "2.5",
    }
    settings = load("", environment)
    assert settings.permissions == ("User.Read", "Group.Create")
    assert settings.secret_lifetime == timedelta(weeks=2)
    assert settings.overlap == timedelta(minutes=90)
    assert (settings.sync_page_size, settings.dry_run_sync, settings.timeout) == (50, True, 2.5)


def test_a_setting_of_the_provider_that_is_left_out_says_nothing_about_it() -> None:
    keys = ("filter_group", "exclude_service_accounts", "user_delete_action", "group_delete_action")
    keys += ("dry_run_sync", "user_mappings", "group_mappings")
    for environment in ({}, {f"{ENV_PREFIX}{key.upper()}": "" for key in keys}):
        found = load("", environment).desired()
        assert {getattr(found, key.removesuffix("_sync")) for key in keys} == {None}


def test_no_filter_group_is_named_in_the_file_by_flag_and_in_the_environment() -> None:
    staff = '[defaults]\nfilter_group = "Staff"\n'
    assert load('[defaults]\nfilter_group = ""\n').desired().filter_group == ""
    assert load(staff, flags={"filter_group": ""}).desired().filter_group == ""
    for nothing in ('""', "''"):
        assert load(staff, {f"{ENV_PREFIX}FILTER_GROUP": nothing}).desired().filter_group == ""
    assert load(staff, {f"{ENV_PREFIX}FILTER_GROUP": ""}).desired().filter_group == "Staff", (
        "counts as not set"
    )


def test_suspend_is_refused_for_groups_with_the_reason() -> None:
    error = refused('[defaults]\ngroup_delete_action = "suspend"\n')
    assert (error.code, error.exit_code) == ("setting-invalid", 3)
    assert error.message.startswith(
        "authentik-entra.toml:2: group_delete_action: authentik cannot suspend a group"
    )
    assert load('[defaults]\nuser_delete_action = "suspend"\n').desired().user_delete_action == "suspend"


# --- where the file is, and what names no setting


def test_the_file_is_looked_for_in_five_places_and_the_first_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, home, etc = tmp_path / "here", tmp_path / "home", tmp_path / "etc" / "authentik-entra"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(config, "SYSTEM_FOLDER", etc)
    environment = {"HOME": str(home), f"{ENV_PREFIX}CONFIG": str(tmp_path / "named.toml")}
    unnamed = {"HOME": str(home)}
    assert SettingsFile.load(None, unnamed).place is None
    places = [
        etc / "authentik-entra.toml",
        home / ".config" / "authentik-entra" / "authentik-entra.toml",
        here / "authentik-entra.toml",
    ]
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("")
        assert SettingsFile.load(None, unnamed).place == str(place)
    places[2].unlink()
    xdg = tmp_path / "xdg" / "authentik-entra" / "authentik-entra.toml"
    xdg.parent.mkdir(parents=True)
    xdg.write_text("")
    assert SettingsFile.load(None, {**unnamed, "XDG_CONFIG_HOME": str(tmp_path / "xdg")}).place == str(xdg)
    assert SettingsFile.load(None, {**unnamed, "XDG_CONFIG_HOME": "xdg"}).place == str(places[1]), "relative"
    assert SettingsFile.load(None, {}).place == str(places[0]), "no home, no folder of the user's"
    with pytest.raises(ConfigError) as caught:
        SettingsFile.load(None, environment)
    assert caught.value.code == "settings-file-unreadable", "one that is named is used or is an error"
    (tmp_path / "flag.toml").write_text("")
    assert SettingsFile.load(tmp_path / "flag.toml", environment).place == str(tmp_path / "flag.toml")


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("FILTERGROUP", "FILTER_GROUP"),
        ("FILTER_GROUPS", "FILTER_GROUP"),
        ("USER_DELETE", "USER_DELETE_ACTION"),
        ("DRYRUN_SYNC", "DRY_RUN_SYNC"),
        ("CONFIG_FILE", "CONFIG"),
        ("METRIC_PORT", "METRICS_PORT"),
        ("BROKERURL", "BROKER_URL"),
    ],
)
def test_a_variable_that_names_no_setting_is_refused_with_the_nearest_name(
    variable: str, nearest: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        SettingsFile.load(None, {f"{ENV_PREFIX}{variable}": ""})
    assert (caught.value.code, caught.value.exit_code) == ("variable-unknown", 3)
    assert f"{ENV_PREFIX}{variable} names no setting" in caught.value.message
    assert f"Did you mean {ENV_PREFIX}{nearest}?" in caught.value.remedy


def test_the_programs_own_variables_and_those_of_kubernetes_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = [*ConnectionSettings.model_fields, *WorkerSettings.model_fields]
    mine = {f"{ENV_PREFIX}{key.upper()}": "" for key in settings if key != "name"}
    service = {
        "SERVICE_HOST": "10.0.0.1",
        "SERVICE_PORT": "9102",
        "SERVICE_PORT_METRICS": "9102",
        "PORT": "tcp://10.0.0.1:9102",
        "PORT_9102_TCP": "tcp://10.0.0.1:9102",
        "PORT_9102_TCP_ADDR": "10.0.0.1",
    }
    pod = {f"{ENV_PREFIX}WORKER_{name}": value for name, value in service.items()}
    others = {f"{ENV_PREFIX}LOG": "json", "_AUTHENTIK_ENTRA_COMPLETE": "bash_complete", "AUTHENTIK_URL": "x"}
    assert SettingsFile.load(None, {**mine, **pod, **others}).path is None


# --- wrong values


WRONG: list[tuple[str, object]] = [
    ("tenant_id", "contoso.onmicrosoft.com"),
    ("cloud", "moon"),
    ("login", "password"),
    ("timeout", 0),
    ("timeout", "nan"),
    ("timeout", 21),
    ("unique_name", "with space"),
    ("authentik_application_slug", "a/b"),
    ("secret_lifetime", "180"),
    ("secret_lifetime", "99999999999999d"),
    ("overlap", "tomorrow"),
    ("permissions", ","),
    ("user_delete_action", "explode"),
    ("sync_page_size", 0),
    *(
        ("sync_page_timeout", value)
        for value in ("soon", "30", "minutes", "years=1", "minutes=x", "hours=1; days=1")
    ),
    ("dry_run_sync", "perhaps"),
    ("application_name", "x" * 257),
    *(
        (key, value)
        for key in ("authentik_url", "authority", "graph_url", "portal_url", "proxy")
        for value in (
            "ftp://host",
            "https://",
            f"https://user:{CANARY}@host",
            f"https://:{CANARY}@host",
            f"https://host?token={CANARY}",
            f"https://host#{CANARY}",
            "https://host:99999",
            "https://[nonsense",
        )
    ),
]


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_a_wrong_value_is_named_with_where_it_stands(key: str, value: object) -> None:
    text = (
        f"# first line\n[defaults]\n{key} = {value!r}\n" if value != "nan" else f"\n[defaults]\n{key} = nan\n"
    )
    by_file = refused(text)
    assert by_file.code == "setting-invalid"
    assert by_file.message.startswith(f"authentik-entra.toml:3: {key}: ")
    variable = f"{ENV_PREFIX}{key.upper()}"
    by_variable = refused("", {variable: str(value)})
    assert by_variable.code == "setting-invalid"
    assert by_variable.message.startswith(f"environment variable {variable}: ")
    by_flag = refused("", flags={key: value})
    assert by_flag.message.startswith(f"--{key.replace('_', '-')}: ")


@pytest.mark.parametrize("value", ["minutes=30", "Hours=1;minutes=30.5", "weeks= 2", "milliseconds=500"])
def test_times_in_authentiks_words_are_taken(value: str) -> None:
    assert load(f'[defaults]\nsync_page_timeout = "{value}"\n').desired().sync_page_timeout == value


NAMES = ("application_name", "provider_name", "authentik_application_name", "authentik_application_slug")
NAMES += ("unique_name", "filter_group", "service_management_reference")


@pytest.mark.parametrize("key", NAMES)
@pytest.mark.parametrize("hidden", ["\\u0007", "\\u001b[31m", "\\n", "\\u0000", "\\u202e", "\\u200b"])
def test_what_cannot_be_seen_is_in_no_name(key: str, hidden: str) -> None:
    error = refused(f'[defaults]\n{key} = "a{hidden}b"\n')
    assert error.code == "setting-invalid"
    assert error.message.startswith(f"authentik-entra.toml:2: {key}: ")
    assert error.message.isprintable()


def test_variables_of_other_tools_are_named_as_well() -> None:
    for variable in ("AZURE_TENANT_ID", "AUTHENTIK_URL", "AZURE_AUTHORITY_HOST"):
        assert refused("", {variable: "ftp://x"}).message.startswith(f"environment variable {variable}: ")


def test_the_line_is_that_of_the_chosen_connection() -> None:
    text = "[defaults]\ncloud='global'\n[connections.a]\ncloud = 'china'\n[connections.\"b.c\"] # here\n\"cloud\"='moon'\n"
    assert refused(text, connection="b.c").message.startswith("authentik-entra.toml:6: cloud: ")
    inline = "connections.a = {cloud = 'moon'}\n"
    assert refused(inline).message.startswith("authentik-entra.toml: cloud: ")


def test_everything_that_is_wrong_is_named_in_one_message() -> None:
    text = "[defaults]\nfilter_gruop = 'x'\nzzz = 1\ntimeout = 0\ncloud = 'moon'\ndry_run_sync = 'perhaps'\n"
    parts = refused(text).message.removesuffix(".").split("; authentik-entra.toml:")
    assert sorted(part.removeprefix("authentik-entra.toml:") for part in parts) == [
        "2: filter_gruop: there is no such setting; did you mean filter_group",
        "3: zzz: there is no such setting",
        "4: timeout: greater than 0 is wanted",
        "5: cloud: 'global', 'usgov', 'usgov-dod' or 'china' is wanted",
        "6: dry_run_sync: true or false is wanted",
    ]


@pytest.mark.parametrize("name", ["with space", "-x", "ü", "x" * 65, ""])
def test_names_of_connections_are_plain(name: str) -> None:
    error = refused(f'[connections."{name}"]\n')
    assert error.code == "setting-invalid"
    assert error.message.startswith(f"connection {name!r}: ")


def test_the_token_does_not_belong_in_the_file() -> None:
    error = refused(f"[connections.a]\n\nauthentik_token = '{CANARY}'\n")
    assert error.code == "secret-in-settings-file"
    assert error.message.startswith("authentik-entra.toml:3: ")


@given(st.dictionaries(st.sampled_from([name for name, _ in WRONG]), st.text(max_size=40), max_size=3))
def test_hostile_strings_are_accepted_or_refused_but_never_crash(values: dict[str, str]) -> None:
    environment = {f"{ENV_PREFIX}{key.upper()}": value for key, value in values.items()}
    with suppress(ConfigError):
        settings = load("", environment)
        settings.desired()
        settings.resolved_cloud()


# --- the file


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[defaults\n", "line 1"),
        ("[defaults]\ncloud = \n", "line 2"),
        ("[defaults]\ncloud = 'a'\ncloud = 'b'\n", "line 3"),
        ("cloud = 'china'\n", "authentik-entra.toml:1: unknown table or key 'cloud'"),
        ("[conections.a]\n", "unknown table or key 'conections'"),
        ("defaults = 3\n", "a table is wanted"),
        ("connections = [1]\n", "a table is wanted"),
        ("[connections]\na = 'x'\n", "a table is wanted"),
    ],
)
def test_a_malformed_file_is_told_with_its_line(text: str, part: str) -> None:
    error = refused(text)
    assert error.code == "settings-file-malformed"
    assert part in error.message


def test_several_connections_need_a_choice() -> None:
    text = "[connections.a]\n[connections.b]\n"
    error = refused(text)
    assert error.code == "connection-not-chosen"
    assert "a, b" in error.message
    assert load(text, connection="b").name == "b"


@pytest.mark.parametrize(
    ("text", "name"), [("[connections.a]\n", "b"), ("", "b"), ("[connections.a]\n", "default")]
)
def test_an_unknown_connection_is_refused(text: str, name: str) -> None:
    assert refused(text, connection=name).code == "unknown-connection"


# --- the token


def test_a_token_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(f"{CANARY}\n")
    assert load("", {"AUTHENTIK_TOKEN_FILE": str(path)}).token().reveal() == CANARY
    both = {"AUTHENTIK_TOKEN_FILE": str(path), "AUTHENTIK_TOKEN": "another"}
    assert load("", both).token().reveal() == "another"
    flag = load("", both, flags={"authentik_token_file": str(path)})
    assert flag.token().reveal() == CANARY


def test_no_token_is_said(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(" \n")
    for environment in ({}, {"AUTHENTIK_TOKEN": " "}):
        with pytest.raises(ConfigError, match=r"\[settings-missing\]"):
            load("", environment).token()
    with pytest.raises(ConfigError, match=r"it is empty.*\[authentik-token-file-unreadable\]"):
        load("", {"AUTHENTIK_TOKEN_FILE": str(tmp_path / "token")}).token()


@pytest.mark.parametrize("token", [f"{CANARY}\n{CANARY}", f"{CANARY} x", f"{CANARY}ü", f"{CANARY}\x00"])
def test_a_token_that_no_header_can_carry_is_refused_without_being_quoted(token: str) -> None:
    with pytest.raises(ConfigError, match=r"\[authentik-token-malformed\]") as caught:
        load("", {"AUTHENTIK_TOKEN": token}).token()
    assert CANARY not in str(caught.value)


def test_the_token_is_never_shown() -> None:
    settings = load("", {"AUTHENTIK_TOKEN": CANARY})
    for shown in (repr(settings), str(settings), settings.model_dump_json(), repr(settings.model_dump())):
        assert CANARY not in shown


# --- what settings resolve to


def test_the_defaults_of_the_only_connection() -> None:
    desired = load().desired()
    assert desired.connection == "default"
    assert desired.unique_name == "authentik-entra-default"
    assert desired.provider_name == desired.authentik_application_name == "Microsoft Entra ID"
    assert desired.authentik_application_slug == "microsoft-entra-id"
    assert len(desired.permissions) == 5
    assert desired.secret_lifetime == timedelta(days=180)
    assert desired.overlap == timedelta(hours=24)


def test_names_of_a_named_connection_carry_its_name() -> None:
    desired = load("[connections.'North.1']\n").desired()
    assert desired.unique_name == "authentik-entra-North.1"
    assert desired.provider_name == "Microsoft Entra ID (North.1)"
    assert desired.authentik_application_slug == "microsoft-entra-id-north-1"
    assert len(load(f"[connections.{'x' * 60}]\n").desired().authentik_application_slug) == 50


def test_the_overlap_of_a_short_lived_secret_is_short() -> None:
    assert load("[defaults]\nsecret_lifetime = '12h'\n").desired().overlap == timedelta(hours=2)


def test_a_foreign_authority_is_not_known_to_microsoft() -> None:
    assert load().resolved_cloud().known
    own = {"authority": "https://localhost:1", "graph_url": "https://localhost:2"}
    resolved = load("", flags=own).resolved_cloud()
    assert (resolved.authority, resolved.graph, resolved.known) == (*own.values(), False)


def test_the_ca_file_must_exist(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    with pytest.raises(ConfigError, match=r"\[ca-file-unreadable\]"):
        load("", {f"{ENV_PREFIX}CA_FILE": str(path)}).network()
    path.write_text("pem")
    assert load("", {f"{ENV_PREFIX}CA_FILE": str(path)}).network().ca_file == str(path)
    assert load().network().ca_file is None


def test_a_library_user_gives_spans_and_leaves_things_out() -> None:
    settings = ConnectionSettings(tenant_id=None, secret_lifetime=timedelta(days=2), overlap=timedelta(0))
    desired = settings.desired()
    assert (desired.tenant_id, desired.secret_lifetime, desired.overlap) == (
        None,
        timedelta(days=2),
        timedelta(0),
    )
