"""The file and the environment are checked at start, and every mistake names its key."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, SecretStr

from bot.config import SHARED, Config, load_config, parts_of, to_config
from bot.errors import ConfigError
from bot.refs import Frozen
from bot.tables import Names, micros


class Service(Frozen):
    """A table such as a provider's or an adapter's."""

    api_key: SecretStr | None = None
    base_url: str = "https://example.org"
    running_limit: int = Field(default=10, ge=1)
    models: Names = ()


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith("RAYBOT_"):
            monkeypatch.delenv(name)


def load(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "config.toml"
    path.write_text(text, "utf-8")
    return load_config(path)


# ---- the file ---------------------------------------------------------------------------------


def test_without_a_file_the_defaults_are_safe() -> None:
    config = load_config()
    assert config.limits.usd_per_person_per_day == 1.0
    assert config.limits.usd_total_per_month == 25.0
    assert config.limits.confirm_above_usd == 1.0
    assert "4k" not in config.limits.resolutions
    assert config.access.servers == config.access.workspaces == ()
    assert not config.access.direct_messages
    assert config.bot.public_host == config.bot.private_host == "127.0.0.1"
    assert config.adapters == ()


def test_the_file_is_read(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        """
        [bot]
        data_dir = "elsewhere"
        [limits]
        timezone = "Asia/Kathmandu"
        resolutions = ["540p", "4k"]
        [adapters.terminal]
        """,
    )
    assert config.bot.data_dir == Path("elsewhere")
    assert config.limits.timezone == "Asia/Kathmandu"
    assert config.limits.resolutions == ("540p", "4k")
    assert config.adapters == ("terminal",)
    assert config.tables["bot"] == {"data_dir": "elsewhere"}


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml\. `raybot init`.* copy config\.example"):
        load_config(tmp_path / "none.toml")


@pytest.mark.parametrize("content", [b"[bot", b"a = 1\na = 2", b"\xff\xfe", b"[bot]\nx = \x00"])
def test_a_file_that_is_no_toml_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"config\.toml cannot be read"):
        load_config(path)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"^{tmp_path} cannot be read: Is a directory\\.$"):
        load_config(tmp_path)


def test_what_an_editor_writes_before_the_text_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[limits]\nusd_total_per_month = 7\n", "utf-8-sig")
    assert load_config(path).limits.usd_total_per_month == 7
    path.write_text("[limits]\n", "utf-16")
    with pytest.raises(ConfigError, match=r"config\.toml cannot be read: save it as UTF-8\.$"):
        load_config(path)


@pytest.mark.parametrize(
    ("tables", "sentence"),
    [
        ({"bott": {}}, r"\[top level\] has no key 'bott'. Did you mean 'bot'\?"),
        ({"provider": {}}, "Did you mean 'providers'"),
        ({"bot": {"data-dir": "x"}}, r"\[bot\] has no key 'data-dir'. Did you mean 'data_dir'\?"),
        ({"limits": {"usd_per_person": 1}}, "Did you mean 'usd_per_person_per_day'"),
        ({"limits": {"zzz": 1}}, r"\[limits\] has no key 'zzz'\.$"),
        ({"bot": 5}, r"'bot' must be a table, written \[bot\]"),
        ({"providers": {"luma": "key"}}, "'providers' must be a table"),
        (
            {"providers": {"lumma": {}}},
            r"\[providers\.lumma\]: there is no provider 'lumma'. Did you mean 'luma'\?",
        ),
        ({"providers": {"simulater": {}}}, r"Did you mean 'simulator'\?"),
        (
            {"providers": {"zzz": {}}},
            r"there is no provider 'zzz'\. There are comfy_router, .*, simulator\.$",
        ),
        (
            {"adapters": {"terminals": {}}},
            r"\[adapters\.terminals\]: there is no adapter 'terminals'. "
            r"Did you mean 'terminal'\?",
        ),
        ({"adapters": {"command_text": {}}}, "there is no adapter 'command_text'"),
        ({"moderation": {"blocked_wordz": ["x"]}}, r"\[moderation\] has no key 'blocked_wordz'"),
        ({"limits": {"roles": [{}]}}, r"\[limits\] roles\.0\.role: Field required"),
        (
            {"limits": {"roles": [{"role": 1, "usd_per_person": 1}]}},
            r"roles\.0: there is no key 'usd_per_person'. Did you mean 'usd_per_person_per_day'\?",
        ),
        ({"limits": []}, "'limits' must be a table"),
    ],
)
def test_what_is_not_known_is_refused_with_the_nearest(
    tables: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        to_config(tables)


@pytest.mark.parametrize(
    ("table", "key", "value", "sentence"),
    [
        ("limits", "timezone", "Berlin", "'Berlin' is no time zone"),
        ("limits", "timezone", "", "'' is no time zone"),
        ("limits", "timezone", "Europe", "use a name such as 'Europe/Berlin'"),
        ("limits", "timezone", "../../etc/passwd", "is no time zone"),
        ("limits", "timezone", "x" * 300, "is no time zone"),
        ("limits", "timezone", 1, "valid string"),
        ("limits", "usd_total_per_month", -1, "greater than or equal to 0"),
        ("limits", "usd_total_per_month", float("inf"), "finite number"),
        ("limits", "usd_total_per_month", float("nan"), "finite number"),
        ("limits", "confirm_above_usd", "a lot", "valid number"),
        ("limits", "running_per_person", 0, "greater than or equal to 1"),
        ("limits", "clips_per_person_per_day", 1.5, "integer"),
        ("limits", "resolutions", ["540p", "8k"], "'360p', '540p', '720p', '1080p' or '4k'"),
        ("defaults", "duration", "7s", "'5s', '9s' or '10s'"),
        ("defaults", "aspect_ratio", "16:10", "'16:9'"),
        ("bot", "public_url", "video.example.org", "Did you mean 'https://video.example.org'?"),
        ("bot", "public_url", "ftp://video.example.org", "looks like https://video.example.org."),
        ("bot", "public_url", "https:///clips", "is no address"),
        ("bot", "public_port", 70_000, "less than or equal to 65535"),
        ("bot", "log_level", "loud", "'debug', 'info', 'warning' or 'error'"),
        ("bot", "clip_retention_days", 0, "greater than or equal to 1"),
        ("bot", "secret_key", 123, "valid string"),
        ("access", "servers", 5, "valid tuple"),
    ],
)
def test_a_value_that_cannot_be_names_its_key(
    table: str, key: str, value: object, sentence: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        to_config({table: {key: value}})
    assert refused.value.sentence.startswith(f"[{table}] {key}")
    assert sentence in refused.value.sentence
    assert "Value error" not in refused.value.sentence


# ---- the environment --------------------------------------------------------------------------


def test_the_environment_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAYBOT_BOT__DATA_DIR", "from-environment")
    monkeypatch.setenv("RAYBOT_LIMITS__USD_TOTAL_PER_MONTH", "7.5")
    monkeypatch.setenv("RAYBOT_DEFAULTS__LOOP", "true")
    monkeypatch.setenv("raybot_bot__public_port", "9000")
    config = load(
        tmp_path,
        """
        [bot]
        data_dir = "from-file"
        public_host = "127.0.0.2"
        [limits]
        usd_total_per_month = 1
        """,
    )
    assert config.bot.data_dir == Path("from-environment")
    assert config.bot.public_host == "127.0.0.2"
    assert config.bot.public_port == 9000
    assert config.limits.usd_total_per_month == 7.5
    assert config.defaults.loop


def test_a_variable_without_a_value_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose files pass on variables that nobody set."""
    monkeypatch.setenv("RAYBOT_BOT__PUBLIC_URL", "")
    monkeypatch.setenv("RAYBOT_LIMITS__TIMEZONE", "")
    config = to_config({"bot": {"public_url": "https://example.org"}})
    assert config.bot.public_url == "https://example.org"
    assert config.limits.timezone == "UTC"


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("luma", ("luma",)),
        ("luma,fal", ("luma", "fal")),
        (" luma , fal ,, ", ("luma", "fal")),
        (",", ()),
        ('["luma"]', ('["luma"]',)),
    ],
)
def test_lists_are_separated_by_commas(
    monkeypatch: pytest.MonkeyPatch, value: str, names: tuple[str, ...]
) -> None:
    monkeypatch.setenv("RAYBOT_DEFAULTS__PROVIDERS", value)
    monkeypatch.setenv("RAYBOT_LIMITS__RESOLUTIONS", "540p, 720p")
    config = to_config({})
    assert config.defaults.providers == names
    assert config.limits.resolutions == ("540p", "720p")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("RAYBOT_BOTT__DATA_DIR", r"RAYBOT_BOTT__DATA_DIR is not known. Did you mean RAYBOT_BOT_"),
        ("RAYBOT_PROVIDER__LUMA__API_KEY", "Did you mean RAYBOT_PROVIDERS__"),
        (
            "RAYBOT_PROVIDERS__LUMMA__API_KEY",
            r"RAYBOT_PROVIDERS__LUMMA__API_KEY: there is no provider 'lumma'. "
            r"Did you mean 'luma'\?",
        ),
        ("RAYBOT_ADAPTERS__TERMINLA__FOLDER", r"Did you mean 'terminal'\?"),
        ("RAYBOT_BOT__DATADIR", r"\[bot\] has no key 'datadir'. Did you mean 'data_dir'\?"),
        ("RAYBOT_BOT_DATA_DIR", "RAYBOT_BOT_DATA_DIR is not known"),
        ("RAYBOT_BOT__DATA__DIR", "is not known"),
        ("RAYBOT_PROVIDERS__LUMA", "is not known"),
        ("RAYBOT_", "RAYBOT_ is not known"),
        ("raybot_wat", "raybot_wat is not known"),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest(
    monkeypatch: pytest.MonkeyPatch, name: str, sentence: str
) -> None:
    monkeypatch.setenv(name, "x")
    with pytest.raises(ConfigError, match=sentence):
        to_config({})


def test_variables_of_others_are_none_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_RAYBOT_BOT__DATADIR", "x")
    monkeypatch.setenv("RAYBOTICS", "x")
    to_config({})


# ---- tables of providers and adapters ---------------------------------------------------------


def test_a_table_is_read_by_its_own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYBOT_PROVIDERS__LUMA__RUNNING_LIMIT", "3")
    monkeypatch.setenv("RAYBOT_PROVIDERS__LUMA__MODELS", "ray-2,ray-flash-2")
    config = to_config({"providers": {"luma": {"base_url": "http://127.0.0.1:1"}}})
    table = config.load_table(Service, "providers.luma")
    assert table.base_url == "http://127.0.0.1:1"
    assert table.running_limit == 3
    assert table.models == ("ray-2", "ray-flash-2")
    assert config.load_table(Service, "providers.fal") == Service()


@pytest.mark.parametrize(("kind", "folder"), [("providers", "bot"), ("adapters", ".")])
def test_every_part_has_its_table(kind: str, folder: str) -> None:
    """What a folder holds is known by its name, without being loaded."""
    found = [
        each.stem
        for each in (Path(__file__).parents[2] / folder / kind).iterdir()
        if (each.suffix == ".py" or (each / "__init__.py").exists())
        and each.stem not in {"__init__", *SHARED}
    ]
    assert {"luma"} <= set(found) or {"terminal"} <= set(found)
    to_config({kind: {name: {} for name in found}})
    assert parts_of(kind) - {"simulator"} == set(found)


def test_an_adapter_is_there_by_its_table_or_by_a_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAYBOT_ADAPTERS__WEB__ENABLED", "true")
    monkeypatch.setenv("raybot_adapters__discord__token", "MTIz.a.token")
    monkeypatch.setenv("RAYBOT_ADAPTERS__TERMINAL__FOLDER", "clips")
    monkeypatch.setenv("RAYBOT_ADAPTERS__SLACK__BOT_TOKEN", "")
    assert to_config({}).adapters == ("discord", "terminal", "web")
    config = to_config({"adapters": {"web": {}, "terminal": {}}})
    assert config.adapters == ("web", "terminal", "discord"), "in the order of the file"


# ---- operators -------------------------------------------------------------------------------


def operators(*workspaces: str, **table: str) -> Config:
    return to_config({"operator": table, "access": {"workspaces": list(workspaces)}})


@pytest.mark.parametrize(
    ("table", "workspaces", "people", "told"),
    [
        ({}, ["T1"], [], []),
        ({"discord_user": "7"}, [], ["discord:7"], ["discord:7"]),
        ({"slack_user": "T2/U1"}, ["T1"], ["slack:T2:U1"], ["slack:T2:U1"]),
        ({"slack_user": "U1"}, ["T1"], ["slack:T1:U1"], ["slack:T1:U1"]),
        ({"slack_channel": "C1"}, ["T1"], [], ["slack:T1:C1"]),
        (
            {"discord_user": "7", "slack_user": "W1", "slack_channel": "E2/G1"},
            ["T1"],
            ["discord:7", "slack:T1:W1"],
            ["discord:7", "slack:E2:G1"],
        ),
    ],
)
def test_operators_and_where_they_are_told(
    table: dict[str, str], workspaces: list[str], people: list[str], told: list[str]
) -> None:
    config = operators(*workspaces, **table)
    assert [each.identity for each in config.operators] == people
    assert [each.identity for each in config.contacts] == told
    assert not any(each.is_channel for each in config.operators)


@pytest.mark.parametrize("workspaces", [(), ("T1", "T2")])
@pytest.mark.parametrize(("key", "value"), [("slack_user", "U1"), ("slack_channel", "C1")])
def test_an_id_of_slack_needs_its_workspace(
    workspaces: tuple[str, ...], key: str, value: str
) -> None:
    with pytest.raises(ConfigError, match=rf"\[operator\] {key}: .*T0123/{value}"):
        operators(*workspaces, **{key: value})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("slack_user", "ana"),
        ("slack_user", "C1"),
        ("slack_user", "T1/"),
        ("slack_user", "T1:U1"),
        ("slack_channel", "#ray"),
        ("slack_channel", "U1"),
        ("slack_channel", "C1/T1"),
    ],
)
def test_what_is_no_id_of_slack_is_named(key: str, value: str) -> None:
    with pytest.raises(ConfigError, match=rf"\[operator\] {key}: .* is no id; .*0123/"):
        operators("T1", **{key: value})


def test_a_wrong_key_in_it_is_named_with_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    config = to_config({"providers": {"luma": {"runing_limit": 3}}})
    with pytest.raises(ConfigError, match=r"\[providers\.luma\].*'running_limit'"):
        config.load_table(Service, "providers.luma")
    monkeypatch.setenv("RAYBOT_ADAPTERS__TERMINAL__APIKEY", "x")
    with pytest.raises(ConfigError, match=r"\[adapters\.terminal\].*'api_key'"):
        to_config({}).load_table(Service, "adapters.terminal")
    config = to_config({"providers": {"luma": {"running_limit": 0}}})
    with pytest.raises(ConfigError, match=r"\[providers\.luma\] running_limit: .*equal to 1"):
        config.load_table(Service, "providers.luma")


@pytest.mark.parametrize("secret", ["123", "1e5", "true", "null", '{"a": 1}', "[1]", "a,b", " x "])
def test_a_secret_stays_the_text_it_is(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    monkeypatch.setenv("RAYBOT_PROVIDERS__LUMA__API_KEY", secret)
    monkeypatch.setenv("RAYBOT_BOT__SECRET_KEY", secret)
    config = to_config({})
    table = config.load_table(Service, "providers.luma")
    assert table.api_key is not None
    assert table.api_key.get_secret_value() == secret
    assert config.bot.secret_key is not None
    assert config.bot.secret_key.get_secret_value() == secret
    assert secret not in repr(table) or len(secret) < 4


def test_a_secret_is_in_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    config = to_config({"providers": {"luma": {"api_key": ["luma-very-secret"]}}})
    with pytest.raises(ConfigError) as refused:
        config.load_table(Service, "providers.luma")
    assert "very-secret" not in repr(refused.value)
    monkeypatch.setenv("RAYBOT_PROVIDERS__LUMA__API_KEY", "luma-very-secret")
    assert "very-secret" not in repr(to_config({}).load_table(Service, "providers.luma"))


def test_a_provider_has_a_key_from_the_file_or_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not to_config({}).has_key("luma")
    assert not to_config({"providers": {"luma": {"base_url": "x"}}}).has_key("luma")
    assert not to_config({"providers": {"luma": {"api_key": ""}}}).has_key("luma")
    assert to_config({"providers": {"luma": {"api_key": "k"}}}).has_key("luma")
    assert to_config({}).has_key("simulator"), "it needs none"
    monkeypatch.setenv("RAYBOT_PROVIDERS__LUMA__API_KEY", "k")
    assert to_config({}).has_key("luma")
    assert not to_config({}).has_key("fal")


def test_a_service_that_is_set_up_and_not_on_the_list_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("raybot_providers__luma_agents__api_key", "k")
    monkeypatch.setenv("RAYBOT_PROVIDERS__LUMA__API_KEY", "k")
    monkeypatch.setenv("RAYBOT_PROVIDERS__COMFYUI__API_KEY", "")
    tables: dict[str, Any] = {"providers": {"mindstudio": {}, "intersect": {"model": "canvas"}}}
    config = to_config(tables)
    assert config.unlisted == ("intersect", "luma_agents")
    assert config.has_key("luma_agents")
    only = config.with_changes({"defaults": {"providers": ("luma_agents",)}})
    assert only.unlisted == ("intersect", "luma")


# ---- changes and money ------------------------------------------------------------------------


def test_a_command_may_change_some_keys_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYBOT_BOT__PUBLIC_PORT", "9000")
    config = to_config({"bot": {"public_url": "https://example.org"}})
    changed = config.with_changes({"bot": {"public_port": 0}})
    assert (changed.bot.public_port, changed.bot.public_url) == (0, "https://example.org")
    assert config.bot.public_port == 9000
    assert changed.limits is config.limits


@pytest.mark.parametrize(
    ("dollars", "exact"),
    [(0.0, 0), (0.153, 153_000), (0.1 + 0.2, 300_000), (1e-6, 1), (25.0, 25_000_000)],
)
def test_dollars_become_whole_micros(dollars: float, exact: int) -> None:
    assert micros(dollars) == exact


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["bot", "limits", "timezone", "data_dir", "luma", "models"])
                | st.text(max_size=5),
                inner,
                max_size=3,
            )
        ),
        max_leaves=8,
    )
)
@settings(max_examples=200)
def test_whatever_is_parsed_is_taken_or_refused_in_words(value: Any) -> None:
    for tables in ({"limits": value}, {"providers": value}, {"bot": {"data_dir": value}}):
        with suppress(ConfigError):
            to_config(tables)
