"""What the running bot answers at its doors, the private one above all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from bot.job import JobState
from bot.ports import WebCall, WebReply
from bot.refs import JobId
from bot.store import jobs
from bot.web import act_token
from tests.bot.store.conftest import one_batch
from tests.conftest import RunningBot


@pytest.fixture
async def door(bot: RunningBot) -> AsyncIterator[aiohttp.ClientSession]:
    bearer = {"Authorization": f"Bearer {act_token(bot.app._secret)}"}
    async with aiohttp.ClientSession(bot.app._web.private_address, headers=bearer) as session:
        yield session


async def act(door: aiohttp.ClientSession, name: str, **values: object) -> tuple[int, Any]:
    async with door.post(f"/acts/{name}", json=values) as answer:
        return answer.status, await answer.json()


async def problems(door: aiohttp.ClientSession) -> tuple[int, Any]:
    async with door.get("/readyz") as answer:
        return answer.status, (await answer.json())["problems"]


async def figures(door: aiohttp.ClientSession) -> dict[str, float]:
    """What the page for Prometheus says, by name alone."""
    async with door.get("/metrics") as answer:
        families = text_string_to_metric_families(await answer.text())
        return {each.name: each.value for family in families for each in family.samples}


async def parked(bot: RunningBot) -> JobId:
    """A paid job that was put aside while it generates."""
    job_id = await bot.ask()
    await bot.until(job_id, JobState.GENERATING)
    now = bot.clock.now()
    await bot.app.database.write(
        lambda tx: jobs.change(tx, jobs.get(tx.conn, job_id), parked_at=now, next_at=None)
    )
    return job_id


async def rename(bot: RunningBot, old: str, new: str) -> None:
    """Take a table away from the bot, or give it back."""
    statement = text(f"ALTER TABLE {old} RENAME TO {new}")
    await bot.app.database.write(lambda tx: tx.conn.execute(statement).rowcount)


async def test_ready_while_the_database_writes_and_reads(
    bot: RunningBot, door: aiohttp.ClientSession
) -> None:
    assert await problems(door) == (200, {})
    await rename(bot, "settings", "lost")
    status, said = await problems(door)
    assert status == 503
    assert "no such table: settings" in said["database"]
    await rename(bot, "lost", "settings")
    assert await problems(door) == (200, {})


async def test_the_figures_say_so_too_and_say_it_of_this_moment(
    bot: RunningBot, door: aiohttp.ClientSession
) -> None:
    assert (await figures(door))["raybot_ready"] == 1
    assert (await figures(door))["raybot_disk_free_bytes"] > 0
    assert (await figures(door))["raybot_chat_trouble"] == 0
    bot.chat.trouble = "It is not connected."
    await rename(bot, "settings", "lost")
    told = await figures(door)
    assert (told["raybot_ready"], told["raybot_chat_trouble"]) == (0, 1)
    await rename(bot, "lost", "settings")
    assert (await figures(door))["raybot_ready"] == 1


async def test_ready_is_answered_while_many_write(
    bot: RunningBot, door: aiohttp.ClientSession
) -> None:
    async with asyncio.TaskGroup() as group, one_batch(bot.app.database):
        waiting = group.create_task(problems(door))
        for _ in range(100):
            group.create_task(bot.app.database.write(lambda _tx: None))
        await asyncio.sleep(0)
        assert not waiting.done()
    assert waiting.result() == (200, {})


async def test_a_job_that_was_put_aside_is_not_ended_while_its_clip_may_come(
    bot: RunningBot, door: aiohttp.ClientSession
) -> None:
    job_id = await parked(bot)
    status, said = await act(door, "resolve", job_id=job_id, how="release")
    assert status == 400
    assert (
        f"luma knows its generation {next(iter(bot.simulator.generations))}" in (said["sentence"])
    )
    assert await act(door, "unpark", job_id=job_id) == (
        200,
        {
            "job_id": job_id,
            "state": "generating",
            "sentence": f"{job_id} is now generating.",
        },
    )
    await bot.simulator.finish(next(iter(bot.simulator.generations)))
    await bot.delivered(job_id)
    await bot.check_books()


@pytest.mark.parametrize(
    ("name", "values", "sentence"),
    [
        ("resolve", {"job_id": "r-none", "how": "burn"}, "Say adopt, charge or release."),
        ("resolve", {"how": "release"}, "There is no job ."),
        ("resolve", {"job_id": "r-none", "how": "adopt"}, "Say which generation"),
        ("dance", {}, "There is no act 'dance'."),
    ],
)
async def test_an_act_that_makes_no_sense_is_refused(
    door: aiohttp.ClientSession, name: str, values: dict[str, str], sentence: str
) -> None:
    status, said = await act(door, name, **values)
    assert status in (400, 404)
    assert said["sentence"].startswith(sentence)


async def test_an_adapter_answers_at_the_public_door(bot: RunningBot) -> None:
    async def answer(call: WebCall) -> WebReply:
        return WebReply(body=call.body[::-1])

    bot.chat.routes = {("POST", "/recording/events"): answer}
    async with aiohttp.ClientSession(bot.app._web.public_address) as outside:
        answered = await outside.post("/recording/events", data=b"abc")
        assert (answered.status, await answered.read()) == (200, b"cba")
        assert (await outside.get("/recording/events")).status == 404
        assert (await outside.post("/nobody/events")).status == 404
