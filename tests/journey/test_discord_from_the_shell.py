"""A newcomer's way: `init`, `run`, a slash command and its clip, against a Discord next door."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.discord_server.remote import Remote, outside
from tests.journey.test_commands import environment

GUILD = 424242
FREE_PORTS = {"RAYBOT_BOT__PUBLIC_PORT": "0", "RAYBOT_BOT__PRIVATE_PORT": "0"}
TOKEN = "RAYBOT_ADAPTERS__DISCORD__TOKEN"


@pytest.fixture
async def remote() -> AsyncIterator[Remote]:
    async with outside(guild_id=GUILD) as server:
        yield server


def to_environment(remote: Remote, **values: str) -> dict[str, str]:
    """Where Discord is, and a simulator in a hurry; no file says so."""
    return environment(
        **FREE_PORTS,
        RAYBOT_ADAPTERS__DISCORD__API_BASE_URL=remote.api_base_url,
        RAYBOT_ADAPTERS__DISCORD__GATEWAY_URL=remote.gateway_url,
        RAYBOT_PROVIDERS__SIMULATOR__SPEED="100",
        RAYBOT_BOT__MIN_FREE_BYTES="0",
        PROMPT_TOOLKIT_NO_CPR="1",
        **values,
    )


async def start(*words: str, cwd: Path, env: dict[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bot",
        *words,
        cwd=cwd,
        env=env,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def raybot(*words: str, cwd: Path, env: dict[str, str]) -> tuple[int | None, str, str]:
    process = await start(*words, cwd=cwd, env=env)
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_from_init_to_a_clip_and_an_orderly_end(tmp_path: Path, remote: Remote) -> None:
    env = to_environment(remote, **{TOKEN: remote.token})
    init = ("init", "--provider", "simulator", "--server", str(GUILD))
    code, out, err = await raybot(*init, cwd=tmp_path, env=env)
    assert (code, err) == (0, ""), out
    assert f"ok    discord: Foxes ({GUILD}): the bot can post in 1 channel" in out
    assert "permissions=309237746688&scope=bot+applications.commands" in out
    assert out.endswith("Next: raybot run (in a checkout: make run)\n")
    for kept in ("config.toml", "data/secret.key"):
        assert stat.S_IMODE((tmp_path / kept).stat().st_mode) == 0o600
    assert remote.token not in (tmp_path / "config.toml").read_text("utf-8") + out

    running = await start("run", "--config", "config.toml", cwd=tmp_path, env=env)
    await remote.wait("connected", seconds=30)
    asked = await remote.call("Ana", "slash", "ray create", prompt="a red fox in snow")
    answer = await remote.wait("answer", interaction=asked)
    assert answer["is_ephemeral"]
    clip = await remote.wait(
        "message", channel=remote.start["channel"], text="a red fox", files=True, seconds=15
    )
    [(name, file)] = clip["files"].items()
    assert name.endswith(".mp4")
    assert (await remote.file(file))[4:8] == b"ftyp"

    running.send_signal(signal.SIGTERM)
    out_bytes, err_bytes = await running.communicate()
    assert running.returncode == 0
    for fault in (b"Traceback", b"Unclosed", b"error", b"warning"):
        assert fault not in err_bytes
    assert remote.token.encode() not in out_bytes + err_bytes

    code, out, _ = await raybot("check", "--config", "config.toml", cwd=tmp_path, env=env)
    assert "ok    discord: the commands are those of this version" in out
    assert (code, "The books add up" in out) == (0, True), out


async def test_an_invitation_and_a_wrong_token_in_a_script(tmp_path: Path, remote: Remote) -> None:
    env = to_environment(remote, **{TOKEN: remote.token})
    code, out, _ = await raybot("invite", "discord", cwd=tmp_path, env=env)
    assert code == 0
    assert f"client_id={remote.start['app_id']}&permissions=309237746688" in out
    code, out, err = await raybot("invite", "discrod", cwd=tmp_path, env=env)
    assert (code, err) == (2, "raybot: There is no adapter 'discrod'. Did you mean 'discord'?\n")
    script = ("init", "--provider", "simulator", "--discord-token", "MTIz.wrong.token")
    code, out, err = await raybot(*script, cwd=tmp_path, env=to_environment(remote))
    assert code == 2
    assert err.startswith("raybot: [adapters.discord] token: Discord does not accept it.")
    assert "MTIz.wrong.token" not in out + err
    assert not (tmp_path / "config.toml").exists()


@pytest.mark.parametrize("terminal", ["xterm", "dumb"])
async def test_somebody_at_a_terminal_is_asked(
    tmp_path: Path, remote: Remote, terminal: str
) -> None:
    """As it is typed: prompt, secret, wrong token, token, server, operator."""
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bot",
        "init",
        cwd=tmp_path,
        env=to_environment(remote, TERM=terminal),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,  # Nothing is read from the terminal of whoever runs the tests.
    )
    os.close(theirs)
    loop, heard, seen = asyncio.get_running_loop(), bytearray(), asyncio.Event()

    def on_readable() -> None:
        try:
            heard.extend(os.read(ours, 65536))
        except OSError:  # The other side has gone.
            loop.remove_reader(ours)
        seen.set()

    loop.add_reader(ours, on_readable)

    read = 0

    async def expect(words: str, answer: str | None) -> None:
        """Answer once it is shown; what is typed before a prompt stands there is echoed."""
        nonlocal read
        while (at := heard.find(words.encode(), read)) < 0:
            seen.clear()
            await seen.wait()
        read = at + len(words)
        if answer is not None:
            os.write(ours, f"{answer}\r".encode())

    async with asyncio.timeout(18):
        await expect("Video service", "simulator")
        await expect("Where people talk to it", "")
        await expect("Discord token", "MTIz.wrong.token")
        await expect("does not accept it", None)
        await expect("Discord token", remote.token)
        await expect("Servers that may use it", "")
        await expect("Your own Discord user id", "")
        assert await process.wait() == 0
    loop.remove_reader(ours)
    os.close(ours)
    said = heard.decode()
    assert remote.token not in said
    assert "MTIz.wrong.token" not in said
    assert f'servers = ["{GUILD}"]' in (tmp_path / "config.toml").read_text("utf-8")
    assert remote.token in (tmp_path / "config.toml").read_text("utf-8")
