"""What the bot has help from: the bucket that keeps clips, and the check of the operator's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bot.errors import FrameRejected, NotChecked
from bot.job import JobState
from bot.refs import Attachment
from bot.request import ImageFrame
from tests import rendered
from tests.bucket import ACCESS_KEY, NAME, REGION, SECRET_KEY, Bucket
from tests.conftest import RunningBot
from tests.faults.hook import AGES, wait
from tests.faults.outages import (
    MOST_OF_A_CORE,
    before,
    finish_all,
    pass_time,
    readiness,
    spin,
    through,
    until,
)
from tests.faults.proxy import Fault


async def test_a_bucket_out_of_reach_is_waited_for(
    start_bot: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Bucket() as bucket, before(bucket.endpoint) as wire:
        for name, value in {
            "AWS_ENDPOINT_URL": through(wire, bucket.endpoint),
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": REGION,
        }.items():
            monkeypatch.setenv(name, value)
        bot: RunningBot = await start_bot(bot={"media_url": f"s3://{NAME}"})
        bot.chat.images["a"] = rendered.png(400, 300)
        frame = ImageFrame(attachment=Attachment(adapter="recording", id="a"))
        faults: tuple[Fault, ...] = ("refuse", "lose")
        for number, fault in enumerate(faults, start=1):
            job_id = await bot.ask()
            await bot.simulator.wait_for_creates(number)
            await bot.until(job_id, JobState.GENERATING)
            await wire.break_(fault)
            before_all = wire.connections
            await finish_all(bot.simulator)
            await bot.until(job_id, JobState.FETCHING)
            with pytest.raises(FrameRejected, match="media store cannot be reached"):
                await bot.submit("slow zoom", key=fault, start_frame=frame.model_dump())
            await pass_time(bot, seconds=120)
            assert (await bot.job(job_id)).state is JobState.FETCHING
            assert wire.connections - before_all <= 60
            status, said = await readiness(bot)
            assert status == 200
            assert "media store cannot be reached" in said["troubles"]["media"]
            assert await spin() < MOST_OF_A_CORE
            await wire.mend()
            await until(bot, job_id, JobState.DELIVERED)
            assert (await readiness(bot))[1]["troubles"] == {}
        assert len(bot.chat.clips()) == len(bot.simulator.generations) == len(faults)
        await bot.check_books()


async def test_a_check_out_of_reach_lets_nothing_through(start_bot: Callable[..., Any]) -> None:
    async def allow(_: web.Request) -> web.Response:
        return web.json_response({"allow": True})

    app = web.Application()
    app.router.add_post("/check", allow)
    async with TestServer(app) as server, before(str(server.make_url("/check"))) as wire:
        hook = {
            "hook_url": through(wire, str(server.make_url("/check"))),
            "hook_secret": "a-secret-of-the-hook",
            "hook_timeout_seconds": 0.3,
        }
        bot: RunningBot = await start_bot(moderation=hook)
        faults: tuple[Fault, ...] = ("refuse", "drop", "reset", "lose", "truncate", "half-open")
        for fault in faults:
            await wire.break_(fault)
            with pytest.raises(NotChecked):
                await bot.submit(key=fault)
            await wire.mend()
        assert len(wire.calls) <= len(faults), "each is asked once"
        assert bot.simulator.generations == {}
        wait(bot, AGES)
        await bot.ask()
        await bot.simulator.wait_for_creates(1)
        await bot.check_books()
