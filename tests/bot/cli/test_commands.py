"""What a command says where no video service has a key, or where the bot does not answer."""

from __future__ import annotations

import asyncio
import errno
import io
import os
import sys
from pathlib import Path

import pytest

import bot
from bot.app import ADDRESS_FILE
from bot.cli import acts, typed
from bot.cli.commands import demo, for_chat, for_playground
from bot.cli.typed import run_typed
from bot.config import Config, to_config
from bot.errors import ConfigError, Paused, StoreError
from bot.simulator import Simulator
from tests.conftest import RunningBot, running, to_test_config
from tests.fakes import MovableClock, RecordingAdapter
from tests.postgres import postgres_database

KEY = {"api_key": "a-key-0123456789"}
ELSEWHERE = (
    "there is one for comfyui, luma_agents. Name it there, or set "
    "RAYBOT_DEFAULTS__PROVIDERS=comfyui,luma_agents."
)


class Terminal(io.StringIO):
    """Somebody who types."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith("RAYBOT_"):
            monkeypatch.delenv(name)


def config_with(*names: str) -> Config:
    return to_config({"providers": dict.fromkeys(names, KEY)})


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ((), "No video service has a key yet (RAYBOT_PROVIDERS__LUMA__API_KEY)."),
        (("comfyui", "luma_agents"), ELSEWHERE),
    ],
)
def test_the_simulator_is_offered_with_the_reason(
    names: tuple[str, ...],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for answer, providers in (
        ("y\n", ["simulator"]),
        ("n\n", list(to_config({}).defaults.providers)),
    ):
        monkeypatch.setattr(sys, "stdin", Terminal(answer))
        config = for_chat(config_with(*names), wants_simulator=False)
        assert list(config.defaults.providers) == providers
        asked = capsys.readouterr().out
        assert says in asked
        assert asked.count("Use the simulator instead?") == 1


def test_the_command_says_which_version_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["raybot", "--version"])
    with pytest.raises(SystemExit) as ended:
        run_typed()
    assert (ended.value.code, capsys.readouterr().out) == (0, f"raybot {bot.__version__}\n")


def test_the_page_says_why_it_uses_the_simulator(capsys: pytest.CaptureFixture[str]) -> None:
    config = for_playground(config_with("comfyui", "luma_agents"))
    assert list(config.defaults.providers) == ["simulator"]
    assert f"{ELSEWHERE} Until then the simulator draws" in capsys.readouterr().err
    for names in ((), ("luma", "luma_agents")):
        for_playground(config_with(*names))
        assert capsys.readouterr().err == ""


@pytest.mark.parametrize("words", [["migrate"], ["usage", "--chart", "config.toml"]])
def test_a_folder_that_may_not_be_entered_is_a_sentence(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    look = Path.stat

    def refuse(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        if path.name == "config.toml":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return look(path, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", refuse)
    monkeypatch.setattr(sys, "argv", ["raybot", *words])
    with pytest.raises(SystemExit) as ended:
        typed.run_typed()
    assert ended.value.code == 2
    assert capsys.readouterr().err == "raybot: config.toml cannot be read: Permission denied.\n"


@pytest.mark.parametrize("words", ["invite", "manifest"])
@pytest.mark.parametrize("name", ["telegram", "command_text", "discord.setup", ".", ""])
def test_a_chat_that_there_is_not_is_answered_with_those_that_there_are(
    name: str, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["raybot", words, name])
    with pytest.raises(SystemExit) as ended:
        typed.run_typed()
    assert ended.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith(f"raybot: There is no adapter {name!r}.")
    assert err.endswith(
        (" There are discord, slack, terminal, web.\n", " Did you mean 'discord'?\n")
    )


async def test_a_stopped_bot_is_paused_and_resumed_without_any_key(
    tmp_path: Path, simulator: Simulator
) -> None:
    config = to_test_config(tmp_path, simulator)
    async with running(config, simulator, RecordingAdapter(), MovableClock()):
        pass
    bare = to_config({"bot": {"data_dir": str(config.bot.data_dir)}})
    said = await acts.act(bare, "pause", {"message": "Back tomorrow."})
    assert said.startswith("Paused everywhere: nothing is started. 0 jobs stay in line")
    async with running(config, simulator, RecordingAdapter(), MovableClock()) as bot:
        with pytest.raises(Paused, match=r"Back tomorrow\."):
            await bot.ask()
    assert (await acts.act(bare, "resume", {})).startswith("Going on.")
    async with running(config, simulator, RecordingAdapter(), MovableClock()) as bot:
        await bot.ask()
    with pytest.raises(ConfigError, match="No video service has a key"):
        await acts.act(bare, "unpark", {"job_id": "r-0y8xk7m2q4"})


async def test_processes_that_share_a_database_are_paused_without_any_key(
    tmp_path: Path, simulator: Simulator
) -> None:
    with postgres_database() as url:
        shared = {"database_url": url, "single_host": True}
        config = to_test_config(tmp_path, simulator, bot=shared)
        bare = to_config({"bot": {**shared, "data_dir": str(tmp_path / "elsewhere")}})
        async with running(config, simulator, RecordingAdapter(), MovableClock()) as bot:
            await acts.act(bare, "pause", {})
            with pytest.raises(Paused):
                await bot.ask()
            await acts.act(bare, "resume", {})
            await bot.ask()


async def test_a_bot_that_hangs_is_not_waited_for_for_ever(
    bot: RunningBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acts, "ACT_SECONDS", 0.2)
    asked = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()
        writer.close()

    config = bot.config
    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        (config.bot.data_dir / ADDRESS_FILE).write_text(f"http://{host}:{port}", "utf-8")
        with pytest.raises(StoreError, match="Try again, or end it first"):
            await acts.act(config, "pause", {})
        # Its connection was made, and is accepted now or later.
        await asked.wait()


async def test_the_demo_costs_nothing_whatever_the_environment_says(
    tmp_path: Path, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "DEFAULTS__PROVIDERS": "luma",
        "PROVIDERS__LUMA__API_KEY": simulator.settings.api_key,
        "PROVIDERS__LUMA__BASE_URL": simulator.base_url,
        "BOT__DATA_DIR": str(tmp_path / "true"),
        "ADAPTERS__TERMINAL__FOLDER": str(tmp_path / "true"),
    }.items():
        monkeypatch.setenv(f"RAYBOT_{name}", value)
    said, stop = io.StringIO(), asyncio.Event()
    monkeypatch.setattr(sys, "stdout", said)
    playing = asyncio.create_task(demo(tmp_path / "out", tmp_path / "demo", lambda: stop))
    async with asyncio.timeout(18):
        while "job r-" not in said.getvalue() and not playing.done():
            await asyncio.sleep(0.02)
        stop.set()
        await playing
    assert "would cost ≈ $0.14 (a test, nothing charged)" in said.getvalue()
    assert not simulator.requests
    assert not (tmp_path / "true").exists()
