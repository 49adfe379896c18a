"""`raybot init` asks, proves each answer live, and writes a file that only its owner reads."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from discord.gateway import DiscordWebSocket
from discord.http import Route

from bot.cli.onboarding import (
    FirstConfig,
    Onboarding,
    refuse_to_overwrite,
    to_toml,
    write,
)
from bot.cli.prompts import Given, Question, Script
from bot.config import load_config
from bot.errors import ConfigError, InvalidRequest
from bot.simulator import Simulator
from tests.conftest import KEY
from tests.discord_server import DiscordServer
from tests.ports import free_port
from tests.slack_portal import APP_TOKEN, BOT_TOKEN, WORKSPACE, SlackPortal

FOXES, OWLS = 424242, 777777
TOKEN = "RAYBOT_ADAPTERS__DISCORD__TOKEN"


class Talker:
    """Somebody who gives these answers, one after the other; an empty one takes the default."""

    is_there = True

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked: list[Question] = []
        self.heard: list[str] = []

    def say(self, line: str) -> None:
        self.heard.append(line)

    async def ask(self, question: Question) -> str:
        self.asked.append(question)
        return self.answers.pop(0) or question.default


@pytest.fixture
async def discord_server() -> AsyncIterator[DiscordServer]:
    async with DiscordServer() as server:
        yield server


@pytest.fixture
async def portal() -> AsyncIterator[SlackPortal]:
    async with SlackPortal() as portal:
        yield portal


@pytest.fixture(autouse=True)
def _world(
    monkeypatch: pytest.MonkeyPatch,
    simulator: Simulator,
    discord_server: DiscordServer,
    portal: SlackPortal,
) -> None:
    """All services are on loopback, by the settings that everybody has."""
    for name in os.environ:
        if name.upper().startswith("RAYBOT_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(Route, "BASE", Route.BASE)
    monkeypatch.setattr(DiscordWebSocket, "DEFAULT_GATEWAY", DiscordWebSocket.DEFAULT_GATEWAY)
    monkeypatch.setenv("RAYBOT_PROVIDERS__LUMA__BASE_URL", simulator.base_url)
    monkeypatch.setenv("RAYBOT_ADAPTERS__DISCORD__API_BASE_URL", discord_server.api_base_url)
    monkeypatch.setenv("RAYBOT_ADAPTERS__SLACK__API_BASE_URL", portal.base_url)


async def set_up(person: Talker | Script, **given: object) -> FirstConfig:
    tokens = {
        "discord": {"token": given.pop("discord_token", "")},
        "slack": {key: given.pop(f"slack_{key}", "") for key in ("bot_token", "app_token")},
    }
    said = {"tokens": tokens, **given}
    return await Onboarding(Given(**said), person, seconds=5).run()  # type: ignore[arg-type]


# ---- somebody answers ---------------------------------------------------------------------------


async def test_a_conversation_becomes_a_configuration(
    discord_server: DiscordServer, tmp_path: Path
) -> None:
    discord_server.guild("Foxes", guild_id=FOXES)
    discord_server.guild("Owls", guild_id=OWLS)
    person = Talker("luma", KEY, "", discord_server.token, "2", "")
    first = await set_up(person)
    assert person.answers == []
    offered = person.asked[0]
    assert offered.default == "luma"
    assert "Video service: luma or " in offered.text
    assert "mindstudio" not in offered.text, "it wants more than a key"
    write(path := tmp_path / "config.toml", to_toml(first))
    config = load_config(path)
    assert config.defaults.providers == ("luma",)
    assert config.access.servers == (str(OWLS),)
    owner = f"discord:{discord_server.app.owner.id}"
    assert [each.identity for each in config.operators] == [owner]
    assert list(config.tables["adapters"]) == ["discord"]
    assert config.has_key("luma")
    assert "# Owls" in path.read_text("utf-8")
    assert "The key is good, $100.00 is left." in person.heard
    assert any("this is Ray, owned by" in each for each in person.heard)


async def test_secrets_are_asked_as_secrets_and_never_shown(
    discord_server: DiscordServer,
) -> None:
    discord_server.guild("Foxes", guild_id=FOXES)
    wrong, token = "MTIz.wrong.token", discord_server.token
    person = Talker("luma", "luma-wrong-key", KEY, "discord", wrong, token, "", "")
    await set_up(person)
    hidden = {each.flag for each in person.asked if each.is_secret}
    assert hidden == {"--key", "--discord-token"}
    shown = "\n".join([*person.heard, *(each.text for each in person.asked)])
    for secret in ("luma-wrong-key", KEY, wrong, token):
        assert secret not in shown


async def test_a_wrong_answer_is_said_at_once_and_asked_again(
    discord_server: DiscordServer,
) -> None:
    discord_server.guild("Foxes", guild_id=FOXES)
    keys, tokens = ("luma-wrong-key", KEY), ("bad token", discord_server.token)
    person = Talker("lumma", "luma", *keys, "irc", "", *tokens, "fox", "1", "me", "55")
    first = await set_up(person)
    assert person.answers == []
    said = "\n".join(person.heard)
    assert "There is no video service 'lumma'. Did you mean 'luma'?" in said
    assert "Luma refuses this key." in said
    assert "There is no chat 'irc'." in said
    assert "Discord does not accept it" in said
    assert "'fox' is neither a number of the list nor an id." in said
    assert "'me' is no user id; it has digits only." in said
    assert first.tables["operator"] == {"discord_user": "55"}


@pytest.mark.parametrize("answers", [("terminal",), ("discord", ""), ("slack", "")])
async def test_the_simulator_needs_no_key_and_the_terminal_no_token(
    answers: tuple[str, ...],
) -> None:
    first = await set_up(Talker("simulator", *answers))
    assert first.bot is None
    text = to_toml(first)
    assert 'providers = ["simulator"]  # clips are marked TEST, nothing is charged' in text
    assert "[adapters.terminal]" in text
    assert "discord" not in text
    assert "slack" not in text


async def test_a_bot_in_no_server_gets_its_link_and_is_looked_for_again(
    discord_server: DiscordServer,
) -> None:
    class Adds(Talker):
        async def ask(self, question: Question) -> str:
            if question.flag == "--server" and len(self.answers) == 3:
                discord_server.guild("Foxes", guild_id=FOXES)
            return await super().ask(question)

    person = Adds("simulator", "", discord_server.token, "", "", "")
    first = await set_up(person)
    assert first.tables["access"] == {"servers": [str(FOXES)]}
    said = "\n".join(person.heard)
    assert "Ray is in no server yet." in said
    assert "scope=bot+applications.commands" in said
    later = await set_up(Talker("simulator", "", discord_server.token, "later", ""))
    assert later.tables["access"] == {"servers": []}
    assert "nobody is served yet" in to_toml(later)


@pytest.mark.parametrize("failed", ["MTIz.wrong.token", "away"])
async def test_a_token_that_failed_can_be_left_out_as_the_question_says(
    failed: str, discord_server: DiscordServer
) -> None:
    if failed == "away":
        discord_server.faults.error("GET", "/users/@me", 400, 0, times=9)
    person = Talker("simulator", "discord", failed, "", "No")
    first = await set_up(person)
    assert (person.answers, first.bot) == ([], None)
    assert "[adapters.terminal]" in to_toml(first)
    asked = [each.text for each in person.asked if each.flag == "--discord-token"]
    assert asked[0].endswith("(Enter: not now, in the terminal only)")
    again = "(Enter: the same again; no: not now, in the terminal only)"
    assert [each.endswith(again) for each in asked] == [False, True, True]


async def test_a_service_that_is_away_is_said_and_enter_tries_the_same_again(
    discord_server: DiscordServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    discord_server.guild("Foxes", guild_id=FOXES)
    discord_server.faults.error("GET", "/users/@me", 400, 0, times=1)
    person = Talker("simulator", "", discord_server.token, "", "", "")
    await set_up(person)
    assert any("So the token is not proved." in each for each in person.heard)
    monkeypatch.setenv("RAYBOT_PROVIDERS__LUMA__BASE_URL", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(ConfigError, match="cannot be reached now, so the key is not proved"):
        await set_up(Script(), key=KEY)


# ---- Slack ------------------------------------------------------------------------------------


async def test_slack_is_a_link_and_two_tokens(tmp_path: Path, portal: SlackPortal) -> None:
    person = Talker("simulator", "slack", BOT_TOKEN, APP_TOKEN, "U0ANA")
    first = await set_up(person)
    assert person.answers == []
    said = "\n".join(person.heard)
    assert "https://api.slack.com/apps?new_app=1&manifest_json=" in said
    assert "The tokens are good: this is @ray." in said
    assert {each.flag for each in person.asked if each.is_secret} == {
        "--slack-bot-token",
        "--slack-app-token",
    }
    for secret in (BOT_TOKEN, APP_TOKEN):
        assert secret not in said
    write(path := tmp_path / "config.toml", to_toml(first))
    config = load_config(path)
    assert list(config.tables["adapters"]) == ["slack"]
    assert config.access.workspaces == (WORKSPACE,)
    assert [each.identity for each in config.operators] == [f"slack:{WORKSPACE}:U0ANA"]
    assert "# Foxes" in path.read_text("utf-8")
    assert first.bot is not None
    assert "/invite @ray" in first.bot.invitation
    assert portal.calls == ["auth.test", "auth.test", "bots.info", "apps.connections.open"]


async def test_each_token_of_slack_is_proved_as_soon_as_it_is_given() -> None:
    tokens = (APP_TOKEN, "xoxb-wrong", BOT_TOKEN, "xapp-wrong", APP_TOKEN)
    person = Talker("simulator", "slack", *tokens, "ana", "")
    first = await set_up(person)
    assert person.answers == []
    said = "\n".join(person.heard)
    assert "bot_token: this is another kind of token. It begins with xoxb-" in said
    assert "bot_token: Slack does not accept it." in said
    assert "app_token: Slack does not accept it." in said
    assert "'ana' is no user id; it begins with U or W." in said
    assert "operator" not in first.tables, "nobody has to be told"
    assert first.tables["adapters.slack"] == {"bot_token": BOT_TOKEN, "app_token": APP_TOKEN}


async def test_slack_without_its_second_token_is_left_for_later() -> None:
    first = await set_up(Talker("simulator", "slack", BOT_TOKEN, ""))
    assert first.bot is None
    assert BOT_TOKEN not in to_toml(first)
    assert "[adapters.terminal]" in to_toml(first)


async def test_a_script_sets_slack_up_by_flags_or_by_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    both = {"slack_bot_token": BOT_TOKEN, "slack_app_token": APP_TOKEN}
    first = await set_up(Script(), provider="simulator", **both)
    assert first.tables["access"] == {"workspaces": [WORKSPACE]}
    assert "operator" not in first.tables
    with pytest.raises(ConfigError, match="--slack-app-token is missing"):
        await set_up(Script(), provider="simulator", slack_bot_token=BOT_TOKEN)
    wrong: list[tuple[dict[str, object], str]] = [
        ({"servers": ("T0OWLS",)}, "the token is not of 'T0OWLS'"),
        ({"operator": "ana"}, "'ana' is no user id"),
    ]
    for given, says in wrong:
        with pytest.raises(ConfigError, match=says):
            await set_up(Script(), provider="simulator", **both, **given)
    monkeypatch.setenv("RAYBOT_ADAPTERS__SLACK__BOT_TOKEN", BOT_TOKEN)
    monkeypatch.setenv("RAYBOT_ADAPTERS__SLACK__APP_TOKEN", APP_TOKEN)
    text = to_toml(await set_up(Script(), provider="simulator", operator="U0ANA"))
    assert "[adapters.slack]" in text
    assert 'slack_user = "U0ANA"' in text
    assert BOT_TOKEN not in text
    assert APP_TOKEN not in text
    monkeypatch.setenv("RAYBOT_ADAPTERS__SLACK__APP_TOKEN", "xapp-wrong")
    with pytest.raises(ConfigError, match="It was read from RAYBOT_ADAPTERS__SLACK__APP_TOKEN"):
        await set_up(Talker(), provider="simulator")


async def test_an_absent_slack_is_said_and_enter_tries_the_same_token_again(
    portal: SlackPortal,
) -> None:
    class Waits(Talker):
        async def ask(self, question: Question) -> str:
            if len(self.answers) == 3:
                portal.statuses.clear()
            return await super().ask(question)

    portal.statuses["auth.test"] = 503
    person = Waits("simulator", "slack", BOT_TOKEN, "", APP_TOKEN, "")
    first = await set_up(person)
    assert any("So the token is not proved." in each for each in person.heard)
    assert first.tables["access"] == {"workspaces": [WORKSPACE]}


# ---- a script ---------------------------------------------------------------------------------


async def test_a_script_gives_everything_by_flags(discord_server: DiscordServer) -> None:
    first = await set_up(
        Script(), key=KEY, discord_token=discord_server.token, servers=(str(FOXES),)
    )
    assert first.tables["defaults"] == {"providers": ["luma"]}
    assert first.tables["access"] == {"servers": [str(FOXES)]}
    assert first.tables["operator"] == {"discord_user": str(discord_server.app.owner.id)}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "--provider is missing"),
        ({"provider": "luma"}, "--key is missing"),
        ({"provider": "fall"}, "There is no video service 'fall'. Did you mean 'fal'"),
        ({"provider": "sora"}, "There is no video service 'sora'. There are comfy_router, "),
        ({"provider": "mindstudio", "key": KEY}, "mindstudio wants more than a key"),
        ({"key": "luma-wrong-key"}, "Luma refuses this key"),
        ({"key": "luma-…"}, "api_key: a character in it can be in no key"),
        ({"provider": "simulator", "discord_token": "x"}, "Discord does not accept it"),
        ({"provider": "simulator", "servers": ("abc",)}, "^--server is of a chat, and none was"),
        ({"provider": "simulator", "operator": "1"}, "^--operator is of a chat, .* --discord-tok"),
        ({"provider": "simulator", "discord_token": "", "servers": ("Foxes",)}, ""),
    ],
)
async def test_a_script_that_gives_too_little_or_wrong_things_is_refused(
    given: dict[str, object], says: str, discord_server: DiscordServer
) -> None:
    if not says:
        given, says = {**given, "discord_token": discord_server.token}, "'Foxes' is no id"
    with pytest.raises(ConfigError, match=says):
        await set_up(Script(), **given)


async def test_what_the_environment_holds_is_proved_and_not_written(
    discord_server: DiscordServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYBOT_PROVIDERS__LUMA__API_KEY", KEY)
    monkeypatch.setenv(TOKEN, discord_server.token)
    text = to_toml(await set_up(Script()))
    assert "[adapters.discord]" in text
    assert discord_server.token not in text
    assert KEY not in text
    monkeypatch.setenv(TOKEN, "MTIz.wrong.token")
    with pytest.raises(ConfigError, match=f"It was read from {TOKEN}"):
        await set_up(Talker(), provider="simulator")
    monkeypatch.setenv("RAYBOT_PROVIDERS__LUMA__API_KEY", "luma-…")
    with pytest.raises(ConfigError, match=r"again\. It was read from RAYBOT_PROVIDERS__LUMA"):
        await set_up(Talker())


# ---- the file ---------------------------------------------------------------------------------


def test_only_its_owner_reads_it_and_it_is_never_overwritten_unasked(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    before = os.umask(0)
    try:
        write(path, "old")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(InvalidRequest, match="exists already"):
        refuse_to_overwrite(path)
    write(path, "new")
    assert path.read_text("utf-8") == "new"
    assert [each.name for each in tmp_path.iterdir()] == ["config.toml"]
    with pytest.raises(ConfigError, match="cannot be written"):
        write(tmp_path / "none" / "config.toml", "x")


def test_what_people_call_things_cannot_break_the_file(tmp_path: Path) -> None:
    first = FirstConfig(
        tables={"access": {"servers": ["1"]}, "providers.luma": {"api_key": 'a"\\b'}},
        remarks={"servers": 'Foxes\n[bot]\ndata_dir = "/x"'},
    )
    write(path := tmp_path / "config.toml", to_toml(first))
    config = load_config(path)
    assert config.access.servers == ("1",)
    assert config.bot.data_dir == Path("data")
    assert config.tables["providers"]["luma"]["api_key"] == 'a"\\b'
