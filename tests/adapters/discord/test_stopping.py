"""What was heard before the bot stops is answered, or cut off after a while, which is no fault."""

from __future__ import annotations

import asyncio
import logging

import pytest

from tests.adapters.discord.conftest import LocalDiscord


async def stop_meanwhile(
    local_discord: LocalDiscord, method: str, path: str, *, speak: bool
) -> None:
    """Stop the bot while it waits for Discord, and wait until nothing of it is left."""
    others = asyncio.all_tasks()
    async with local_discord.community() as community:
        gate = community.discord.faults.hold(method, path)
        if speak:
            await community.ana.say(community.general, f"<@{community.discord.app.id}> help")
        else:
            await community.ana.slash("ray jobs")
        async with asyncio.timeout(30):
            await gate.reached.wait()
    left = asyncio.all_tasks() - others - {asyncio.current_task()}
    gate.open()
    if left:
        await asyncio.wait(left, timeout=2)


@pytest.mark.parametrize(
    ("method", "path", "speak"),
    [
        ("POST", r"/interactions/\d+/[^/]+/callback$", False),
        ("PATCH", r"/webhooks/.*/messages/@original$", False),
        ("POST", r"/channels/\d+/messages$", True),
    ],
)
async def test_an_answer_under_way_is_no_fault(
    local_discord: LocalDiscord,
    caplog: pytest.LogCaptureFixture,
    method: str,
    path: str,
    speak: bool,
) -> None:
    caplog.set_level(logging.WARNING)
    await stop_meanwhile(local_discord, method, path, speak=speak)
    assert [each.getMessage() for each in caplog.records if each.exc_info] == []
    assert "Traceback" not in caplog.text


async def test_who_was_heard_is_answered_before_the_bot_goes(
    local_discord: LocalDiscord, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with asyncio.TaskGroup() as group, local_discord.community() as community:
        gate = community.discord.faults.hold("PATCH", r"/webhooks/.*/messages/@original$")
        asked = await community.ana.slash("ray jobs")
        async with asyncio.timeout(30):
            await gate.reached.wait()

        async def open_late() -> None:
            gateway = community.discord.gateway
            await community.discord.wait_for(lambda: not gateway.connected)
            for _ in range(200):  # Turns in which a bot that did not wait would be gone.
                await asyncio.sleep(0)
            gate.open()

        group.create_task(open_late())
    assert asked.original is not None
    assert asked.original.content
    assert "discord.cut_off" not in caplog.text
