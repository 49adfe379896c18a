"""A still from words, and a clip from that still: each paid once, whatever happens between."""

from __future__ import annotations

import asyncio
import io
import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from PIL import Image

from bot.app import App
from bot.config import Config, to_config
from bot.errors import InvalidRequest
from bot.job import Job, JobState
from bot.notices import Delivered, Uncertain
from bot.refs import JobId
from bot.request import ClipFrame, GenerationRequest, ImageWork, to_video
from bot.simulator import Faults, Simulator, SimulatorSettings
from bot.simulator.faces.luma import FACE as LUMA
from bot.simulator.faces.luma_agents import FACE as AGENTS
from bot.simulator.faces.replicate import FACE as REPLICATE
from bot.text import describe
from bot.wiring.supply import load_adapter
from tests.conftest import RunningBot, running, to_test_config
from tests.fakes import MovableClock, RecordingAdapter, to_request, to_requester
from tests.ports import free_port

KEY = "luma-api-0123456789abcdef0123456789"
SETTINGS: dict[str, Any] = {
    "api_key": KEY,
    "same_clip": True,
    "full_size": False,
    "running_limit": None,
    "creates_per_minute": None,
}


def table_of(server: Simulator, **changes: Any) -> dict[str, Any]:
    table = {
        "api_key": server.settings.api_key,
        "base_url": server.base_url,
        "submit_timeout_seconds": 2,
    }
    return {**table, "first_look_seconds": 0, "look_seconds": 0.05, **changes}


# ---- as it is typed --------------------------------------------------------------------------


def configure(folder: Path, providers: dict[str, Simulator]) -> Config:
    port = free_port()
    return to_config(
        {
            "bot": {
                "data_dir": str(folder / "data"),
                "public_port": port,
                "public_url": f"http://127.0.0.1:{port}",
                "private_port": 0,
                "min_free_bytes": 0,
            },
            "defaults": {"providers": list(providers)},
            "limits": {"usd_per_person_per_day": 100},
            "providers": {name: table_of(server) for name, server in providers.items()},
            "adapters": {"terminal": {"folder": str(folder / "clips")}},
        }
    )


async def play(config: Config, *lines: str) -> list[dict[str, Any]]:
    """A script at the terminal, and every notice of it."""
    said = io.StringIO()
    terminal = load_adapter(
        config, "terminal", lines=list(lines), stdout=said, is_json=True, assume_yes=True
    )
    async with App(config, {"terminal": terminal}) as app:
        await app.run(asyncio.Event(), until="terminal")
    return [json.loads(line) for line in said.getvalue().splitlines()]


@pytest.mark.parametrize("animated_by", ["luma_agents", "luma"])
async def test_a_typed_still_is_made_and_then_animated_each_paid_once(
    tmp_path: Path, animated_by: str
) -> None:
    settings = SimulatorSettings(**SETTINGS, min_seconds=0.05, max_seconds=0.1)
    async with AsyncExitStack() as stack:
        agents = await stack.enter_async_context(Simulator(settings, face=AGENTS))
        services = {"luma_agents": agents}
        if animated_by == "luma":
            other = replace(settings, api_key="luma-another-key-0123456789")
            luma = await stack.enter_async_context(Simulator(other, face=LUMA))
            services = {"luma": luma, **services}
        told = await play(
            configure(tmp_path, services),
            "/ray a red fox in snow --still --ar 16:9 --model uni-1",
            "wait",
            "> 2 it looks around --dur 5s --res 540p",
            "wait",
            "usage",
        )
        still, clip = (each for each in told if each["notice"] == "delivered")
        made = list(agents.generations.values())
        animated = list(services[animated_by].generations.values())[-1].order
    assert still["sentence"] == "Your picture is ready"
    assert (still["width"], still["height"], still["seconds"]) == (512, 288, 0)
    assert still["charged_usd"] == 0.0404
    picture = Path(still["path"])
    assert picture.name.startswith("uni-1_r-")
    with Image.open(picture) as shown:
        assert (shown.format, shown.size) == ("JPEG", (512, 288))
    assert Path(clip["path"]).suffix == ".mp4"
    assert clip["charged_usd"] > 0
    assert made[0].order.is_still
    assert len(made) == (2 if animated_by == "luma_agents" else 1)
    assert animated.start is not None
    assert animated.start.kind == "image", "our picture, and no generation of theirs"
    if animated_by == "luma_agents":
        assert animated.start.content
    [usage] = [each for each in told if each["notice"] == "usage"]
    assert (usage["today"]["delivered"], round(usage["today"]["seconds"])) == (2, 5)
    with closing(sqlite3.connect(tmp_path / "data" / "raybot.db")) as book:
        entries = book.execute("SELECT kind FROM ledger_entries").fetchall()
    assert sorted(entries) == [("hold",), ("hold",), ("settle",), ("settle",)]


async def test_where_nothing_makes_stills_it_is_said_and_nothing_held(tmp_path: Path) -> None:
    async with Simulator(SimulatorSettings(api_key="r8_0123456789"), face=REPLICATE) as other:
        told = await play(
            configure(tmp_path, {"replicate": other}),
            "/ray still water at dawn --still",
            "/ray a fox --still --dur 9s",
        )
        assert not other.generations
    missing, longer = told
    assert "The operator can add luma or luma_agents." in missing["sentence"]
    assert longer["field"] == "duration"


# ---- whatever happens ------------------------------------------------------------------------


@pytest.fixture
async def agents() -> AsyncIterator[Simulator]:
    settings = SimulatorSettings(**SETTINGS, manual=True)
    async with Simulator(settings, Faults(), face=AGENTS) as server:
        yield server


@pytest.fixture
async def open_agents(
    tmp_path: Path, agents: Simulator, chat: RecordingAdapter, clock: MovableClock
) -> AsyncIterator[Callable[..., Any]]:
    """Starts the bot with this service alone, again and again if wished."""
    async with AsyncExitStack() as stack:

        async def start(**tables: dict[str, Any]) -> RunningBot:
            tables.setdefault("defaults", {})
            tables["defaults"] = {"providers": ["luma_agents"], **tables["defaults"]}
            provider = {"luma_agents": table_of(agents, gets_per_second=100)}
            config = to_test_config(tmp_path, agents, providers=provider, **tables)
            return await stack.enter_async_context(running(config, agents, chat, clock))

        yield start


@pytest.fixture
async def bot(open_agents: Callable[..., Any]) -> RunningBot:
    opened: RunningBot = await open_agents()
    return opened


def still_request(key: str = "k-still", **work: Any) -> GenerationRequest:
    """A picture of a fox."""
    values = {"prompt": "a red fox", **work}
    asked = ImageWork.model_validate({**values, "typed": frozenset(values)})
    return to_request(key=key).model_copy(update={"work": asked})


async def ask_still(bot: RunningBot, key: str = "k-still", **work: Any) -> JobId:
    return (await bot.studio.submit(still_request(key, **work))).job_id


async def finished(bot: RunningBot, job_id: JobId) -> Job:
    generating = await bot.until(job_id, JobState.GENERATING)
    await bot.simulator.finish(str(generating.generation_id))
    return await bot.delivered(job_id)


async def test_a_still_is_one_frame_and_no_seconds(bot: RunningBot) -> None:
    job = await finished(bot, await ask_still(bot, aspect_ratio="16:9"))
    assert job.clip is not None
    assert (job.clip.frames, job.clip.seconds, job.cost) == (1, 0, 40_400)
    assert job.plan is not None
    assert (job.plan.hold, job.plan.rate) == (40_400, 0)
    [posted] = bot.chat.clips(job.id)
    lines = "\n".join(describe(posted).lines)
    assert describe(posted).title == "Your picture is ready"
    assert "512×288 · 0.0 MB" in lines
    assert "uni-1 · still · 16:9" in lines
    report = await bot.studio.usage(to_requester())
    assert (report.today.delivered, report.today.seconds) == (1, 0)
    await bot.check_books()


async def test_a_still_that_fails_is_given_back(bot: RunningBot) -> None:
    job_id = await ask_still(bot)
    generating = await bot.until(job_id, JobState.GENERATING)
    await bot.simulator.fail(str(generating.generation_id), "content_moderated")
    job = await bot.until(job_id, JobState.FAILED)
    assert job.cost == 0
    await bot.chat.until(lambda: bot.chat.status(job_id) is not None)
    notice = await bot.studio.show(job_id, to_requester())
    assert describe(notice.notice).title == "No picture this time"
    await bot.check_books()


async def test_a_lost_answer_is_the_operators_to_clear_up_and_not_paid_again(
    bot: RunningBot,
) -> None:
    bot.simulator.faults.drop("create", accepted=True)
    job_id = await ask_still(bot)
    await bot.simulator.wait_for_creates(1)
    async with asyncio.timeout(30):
        while (await bot.job(job_id)).state is not JobState.UNCERTAIN:
            await bot.clock.let_pass(seconds=20)
    await bot.chat.until(lambda: isinstance(bot.chat.status(job_id), Uncertain))
    [generation] = bot.simulator.generations
    await bot.simulator.finish(generation)
    await bot.app.operations.act(
        "resolve", {"job_id": job_id, "how": "adopt", "generation_id": generation}
    )
    job = await bot.delivered(job_id)
    assert job.cost == 40_400
    assert len(bot.simulator.generations) == 1
    await bot.check_books()


async def test_a_damaged_picture_is_fetched_again(bot: RunningBot) -> None:
    bot.simulator.faults.break_clip("cut", times=1)
    job_id = await ask_still(bot)
    generating = await bot.until(job_id, JobState.GENERATING)
    await bot.simulator.finish(str(generating.generation_id))
    async with asyncio.timeout(30):
        while (await bot.job(job_id)).state is not JobState.DELIVERED:
            await bot.clock.let_pass(seconds=20)
    assert len(bot.simulator.generations) == 1
    await bot.check_books()


async def test_a_still_outlives_a_restart(
    tmp_path: Path, agents: Simulator, chat: RecordingAdapter, clock: MovableClock
) -> None:
    provider = {"luma_agents": table_of(agents)}
    config = to_test_config(
        tmp_path, agents, defaults={"providers": ["luma_agents"]}, providers=provider
    )
    async with running(config, agents, chat, clock) as bot:
        job_id = await ask_still(bot)
        await bot.until(job_id, JobState.GENERATING)
    [generation] = agents.generations
    await agents.finish(generation)
    async with running(config, agents, chat, clock) as bot:
        await bot.delivered(job_id)
        await bot.check_books()
    assert len(agents.generations) == len(chat.clips(job_id)) == 1


async def test_a_still_becomes_the_first_frame_of_a_clip(bot: RunningBot) -> None:
    still = await finished(bot, await ask_still(bot))
    job_id = still.id
    assert still.clip is not None

    start = ClipFrame(job_id=job_id)
    asked = to_request("it runs", key="k2", start_frame=start.model_dump())
    clip = (await bot.studio.submit(asked)).job_id
    work = to_video((await bot.job(clip)).request.work)
    assert work.start_frame == ClipFrame(job_id=job_id, is_still=True)
    job = await finished(bot, clip)
    assert job.plan is not None
    assert job.plan.start_frame is not None, "a copy of its own"
    assert job.plan.work.aspect_ratio == "1:1", "as the picture is"
    assert f"start picture {job_id}" in "\n".join(describe(bot.chat.clips(clip)[0]).lines)
    order = list(bot.simulator.generations.values())[-1].order
    assert order.start is not None
    with Image.open(io.BytesIO(order.start.content or b"")) as sent:
        assert sent.size == (still.clip.width, still.clip.height)
    await bot.check_books()


async def test_what_became_of_a_still_is_looked_up_and_not_believed(bot: RunningBot) -> None:
    clip = await bot.ask("a fox", key="k1")
    generating = await bot.until(clip, JobState.GENERATING)
    await bot.simulator.finish(str(generating.generation_id))
    await bot.delivered(clip)
    lie = ClipFrame(job_id=clip, is_still=True)
    receipt = await bot.studio.submit(
        to_request("it runs", key="k2", start_frame=lie.model_dump())
    )
    job = await bot.job(receipt.job_id)
    assert to_video(job.work).start_frame == ClipFrame(job_id=clip)
    assert job.plan is not None
    assert job.plan.start_frame is None


async def test_only_a_still_that_is_there_can_be_animated(bot: RunningBot) -> None:
    private = still_request().model_copy(update={"is_private": True})
    job_id = (await bot.studio.submit(private)).job_id
    frame = ClipFrame(job_id=job_id).model_dump()
    with pytest.raises(InvalidRequest, match="has no finished picture"):
        await bot.studio.submit(to_request("it runs", key="k2", start_frame=frame))
    await finished(bot, job_id)
    with pytest.raises(InvalidRequest, match="There is no picture"):
        await bot.studio.submit(to_request("it runs", key="k3", user="ben", start_frame=frame))
    await bot.studio.delete(job_id, to_requester())
    shown = await bot.studio.show(job_id, to_requester())
    assert not isinstance(shown.notice, Delivered)
    with pytest.raises(InvalidRequest, match="was deleted"):
        await bot.studio.submit(to_request("it runs", key="k4", start_frame=frame))
    with pytest.raises(InvalidRequest, match="has no picture"):
        await bot.studio.delete(await ask_and_fail(bot), to_requester())
    await bot.check_books()


async def ask_and_fail(bot: RunningBot) -> JobId:
    job_id = await ask_still(bot, key="k-fail")
    generating = await bot.until(job_id, JobState.GENERATING)
    await bot.simulator.fail(str(generating.generation_id), "content_moderated")
    return (await bot.until(job_id, JobState.FAILED)).id


async def test_a_still_too_large_for_the_place_is_made_smaller_beside_a_link(
    open_agents: Callable[..., Any],
) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    bot: RunningBot = await open_agents(bot={"public_port": port, "public_url": address})
    bot.chat.max_upload_bytes = 12_000
    job = await finished(bot, await ask_still(bot, aspect_ratio="16:9"))
    assert job.clip is not None
    assert job.clip.bytes > 12_000
    [posted] = bot.chat.clips(job.id)
    assert (posted.form, Path(posted.filename).suffix) == ("smaller", ".jpg")
    assert "Made smaller to fit this place." in describe(posted).lines
    assert posted.original_link is not None
    async with aiohttp.ClientSession() as session, session.get(posted.original_link) as reply:
        assert reply.content_type == "image/jpeg"
        assert len(await reply.read()) == job.clip.bytes
    await bot.check_books()


async def test_another_try_of_a_still_is_a_still(bot: RunningBot) -> None:
    job = await finished(bot, await ask_still(bot, model="uni-1-max"))
    assert job.cost == 100_000
    again = await bot.studio.retry(
        job.id, to_requester(), dedupe_key="again", thread=job.request.thread
    )
    second = await finished(bot, again.job_id)
    assert second.request.work == job.request.work
    assert second.cost == 100_000
    await bot.check_books()


async def test_limits_hold_for_stills_too(open_agents: Callable[..., Any]) -> None:
    bot: RunningBot = await open_agents(limits={"models": ["ray-3.2", "uni-1"], "resolutions": []})
    with pytest.raises(InvalidRequest, match="nearest is uni-1"):
        await ask_still(bot, "k1", model="uni-3")
    job = await finished(bot, await ask_still(bot, "k2"))
    assert job.cost == 40_400
