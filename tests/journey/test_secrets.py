"""A bot with every kind of secret: none of them, and nothing that is asked, is in its log."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from bot.job import JobState
from bot.web import act_token
from tests.conftest import KEY, RunningBot
from tests.fakes import RecordingAdapter
from tests.ports import free_port
from tests.secrecy import read_logs

HOOK_SECRET = "a-very-private-hook-secret"


async def test_no_secret_of_a_whole_house_is_in_its_log(
    tmp_path: Path, start_bot: Callable[..., Any], chat: RecordingAdapter
) -> None:
    port, asked = free_port(), []

    async def moderate(request: web.Request) -> web.Response:
        asked.append(request.headers["x-raybot-signature"])
        return web.Response(status=500, text=await request.text())

    app = web.Application()
    app.add_routes([web.post("/hook", moderate)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", hook_port := free_port())
    await site.start()
    chat.max_upload_bytes = 2_000
    try:
        with read_logs() as said:
            bot: RunningBot = await start_bot(
                bot={"public_port": port, "public_url": f"http://127.0.0.1:{port}"},
                moderation={
                    "hook_url": f"http://127.0.0.1:{hook_port}/hook?key=a-very-private-query",
                    "hook_secret": HOOK_SECRET,
                    "hook_fails": "open",
                },
            )
            bot.simulator.faults.server_error("create")
            job_id = await bot.ask("a red fox in snow")
            bot.clock.move(seconds=30)
            await bot.simulator.wait_for_creates(1)
            await bot.until(job_id, JobState.GENERATING)
            [generation] = bot.simulator.generations.values()
            await bot.simulator.finish(generation.id)
            await bot.delivered(job_id)
    finally:
        await runner.cleanup()
    [clip] = chat.clips()
    assert clip.original_link is not None
    hidden = {
        KEY,
        HOOK_SECRET,
        *asked,
        generation.token or KEY,
        clip.original_link.partition("?")[2],
        (tmp_path / "data" / "secret.key").read_text("utf-8"),
        act_token((tmp_path / "data" / "secret.key").read_text("utf-8").strip()),
    }
    assert len(hidden) == 7
    log = said.getvalue()
    assert "hook.no_answer" in log
    assert [each for each in hidden if each in log] == []
