"""Work on a finished clip: larger, with a sound, in another shape, with another look."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import pytest

from bot.app import App
from bot.errors import InvalidRequest, Refusal
from bot.job import Job, JobState
from bot.refs import JobId
from bot.request import (
    AudioWork,
    ClipWork,
    GenerationRequest,
    ImageWork,
    ModifyWork,
    ReframeWork,
    SourceClip,
    UpscaleWork,
)
from bot.routing.sources import Sources
from bot.simulator import Simulator, SimulatorSettings
from bot.simulator.faces.luma_agents import FACE as AGENTS
from bot.text import describe
from bot.wiring.supply import load_adapter
from tests.conftest import RunningBot, running, to_test_config
from tests.fakes import MovableClock, RecordingAdapter, to_request, to_requester

PRICES = {"ray-flash-2/upscale": 0.001, "ray-flash-2/audio": 0.05}
KINDS: dict[str, type[ClipWork]] = {
    "upscale": UpscaleWork,
    "audio": AudioWork,
    "reframe": ReframeWork,
    "modify": ModifyWork,
}


def deed_request(kind: str, source: JobId, *, user: str = "ana", **work: Any) -> GenerationRequest:
    """What somebody asks to be done to a clip; what is named counts as typed."""
    asked = KINDS[kind].model_validate(
        {"source": SourceClip(job_id=source), **work, "typed": frozenset(work)}
    )
    key = f"{kind}-{source}-{sorted(work.items())}-{user}"
    return to_request(key=key, user=user).model_copy(update={"work": asked})


@pytest.fixture
async def bot(start_bot: Callable[..., Any]) -> RunningBot:
    opened: RunningBot = await start_bot(luma={"prices": PRICES})
    return opened


async def finished(bot: RunningBot, job_id: JobId) -> Job:
    generating = await bot.until(job_id, JobState.GENERATING)
    shown = str(generating.generation_id).partition("#")[0]
    latest = next(
        each
        for each in reversed(list(bot.simulator.generations.values()))
        if shown in (each.id, each.shown_id)
    )
    await bot.simulator.finish(latest.id)
    return await bot.delivered(job_id)


async def do(bot: RunningBot, kind: str, source: JobId, **work: Any) -> Job:
    receipt = await bot.studio.submit(deed_request(kind, source, **work))
    return await finished(bot, receipt.job_id)


def streams_of(bot: RunningBot, job: Job) -> list[str]:
    [posted] = bot.chat.clips(job.id)
    with av.open(posted.path) as clip:
        return [each.type for each in clip.streams]


async def test_each_is_made_posted_and_paid_once(bot: RunningBot) -> None:
    source = (await finished(bot, await bot.ask(aspect_ratio="16:9", resolution="540p"))).id
    larger = await do(bot, "upscale", source, resolution="720p")
    assert larger.clip is not None
    assert larger.plan is not None
    assert (larger.clip.width, larger.clip.height) == (320, 180)
    assert larger.cost == 320 * 180 * 120 * 1000 // 1_000_000
    # 720p in the shape of the clip, and 12 % for the case that it becomes a little larger.
    assert larger.plan.price.micros == pytest.approx(1280 * 720 * 120 * 1000 / 1e6, rel=0.01)
    assert larger.plan.hold == -(-larger.plan.price.micros * 112 // 100)
    [posted] = bot.chat.clips(larger.id)
    assert posted.filename == f"ray-flash-2_{larger.id}_upscale-to-720p.mp4"
    assert f"ray-flash-2 · upscale to 720p · of clip {source}" in describe(posted).lines
    sound = await do(bot, "audio", source, prompt="wind in the trees")
    assert (sound.cost, streams_of(bot, sound)) == (50_000, ["video", "audio"])
    assert sound.plan is not None
    assert sound.plan.hold == 50_000
    wide = await do(bot, "reframe", source, aspect_ratio="9:16")
    assert wide.clip is not None
    assert (wide.clip.width, wide.clip.height) == (288, 512)
    bot.simulator.expire_links()
    other = await do(bot, "modify", source, mode="reimagine_2", prompt="made of paper")
    assert other.cost == 240 * 134 * 120 * 5440 // 1_000_000
    assert len(bot.simulator.generations) == 5
    report = await bot.studio.usage(to_requester())
    assert report.today.delivered == 5
    await bot.check_books()


async def refused(bot: RunningBot, kind: str, source: JobId, **work: Any) -> str:
    with pytest.raises(Refusal) as error:
        await bot.studio.submit(deed_request(kind, source, **work))
    return error.value.sentence


async def test_what_cannot_be_done_is_refused_before_any_money(bot: RunningBot) -> None:
    source = await bot.ask(aspect_ratio="16:9", key="source")
    assert "has no finished clip" in await refused(bot, "upscale", source)
    await finished(bot, source)
    private = to_request(key="secret").model_copy(update={"is_private": True})
    hidden = (await bot.studio.submit(private)).job_id
    await finished(bot, hidden)
    gone = await finished(bot, await bot.ask(key="gone"))
    await bot.studio.delete(gone.id, to_requester())
    still = to_request(key="still").model_copy(
        update={"work": ImageWork(prompt="a red fox", model="photon-1")}
    )
    picture = (await bot.studio.submit(still)).job_id
    await finished(bot, picture)
    before = await bot.studio.usage(to_requester())

    nowhere = JobId("r-0000000000")
    for job_id, user in ((nowhere, "ana"), (hidden, "ben")):
        said = await refused(bot, "modify", job_id, user=user)
        assert said == f"There is no clip {job_id} here."
    foreign = deed_request("modify", source)
    stranger = to_requester(workspace="elsewhere")
    with pytest.raises(InvalidRequest, match=f"There is no clip {source} here"):
        await Sources(bot.app.database).look_up(foreign.model_copy(update={"requester": stranger}))
    assert "was deleted" in await refused(bot, "modify", gone.id)
    assert "Animate it first" in await refused(bot, "audio", picture, prompt="wind")
    assert "Describe the sound" in await refused(bot, "audio", source)
    assert "is 16:9 already" in await refused(bot, "reframe", source, aspect_ratio="16:9")
    assert "4k is off here" in await refused(bot, "upscale", source, resolution="4k")
    assert "Leave the model out" in await refused(bot, "upscale", source, model="ray-2")
    after = await bot.studio.usage(to_requester())
    assert after.today.charged == before.today.charged
    assert len(bot.simulator.generations) == 4
    await bot.check_books()


async def test_a_job_that_failed_has_no_clip(bot: RunningBot) -> None:
    job_id = await bot.ask()
    generating = await bot.until(job_id, JobState.GENERATING)
    await bot.simulator.fail(str(generating.generation_id), "Frame moderation failed")
    await bot.until(job_id, JobState.FAILED)
    assert "has no finished clip" in await refused(bot, "upscale", job_id)


# ---- never twice -------------------------------------------------------------------------------


async def lose(bot: RunningBot, kind: str, source: JobId, **work: Any) -> JobId:
    """Ask, and let the service take it without a word."""
    made = len(bot.simulator.generations)
    bot.simulator.faults.drop("create", accepted=True)
    receipt = await bot.studio.submit(deed_request(kind, source, **work))
    await bot.simulator.wait_for_creates(made + 1)
    await bot.until(receipt.job_id, JobState.SUBMITTING)
    return receipt.job_id


async def reconciled(bot: RunningBot, job_id: JobId, to: JobState) -> None:
    async with asyncio.timeout(30):
        while (await bot.job(job_id)).state is not to:
            await bot.clock.let_pass(seconds=20, moment=0.05)


async def test_what_cannot_be_prepared_keeps_no_slot_from_others(
    start_bot: Callable[..., Any],
) -> None:
    bot = await start_bot(luma={"prices": PRICES, "running_limit": 1})
    source = await finished(bot, await bot.ask(aspect_ratio="16:9"))
    bot.simulator.faults.server_error("get", status=503, times=1000)
    receipt = await bot.studio.submit(deed_request("audio", source.id, prompt="wind"))
    async with asyncio.timeout(30):
        while not (await bot.job(receipt.job_id)).tries:
            await asyncio.sleep(0.02)
    other = await bot.ask()
    await bot.until(other, JobState.GENERATING)
    assert (await bot.job(receipt.job_id)).state is JobState.ACCEPTED
    assert len(bot.simulator.generations) == 2
    await bot.check_books()


async def test_a_lost_answer_is_found_and_paid_once(bot: RunningBot) -> None:
    source = (await finished(bot, await bot.ask(aspect_ratio="16:9"))).id
    for number, (kind, work) in enumerate(
        {"audio": {"prompt": "wind"}, "modify": {"mode": "flex_1"}}.items(), 2
    ):
        job_id = await lose(bot, kind, source, **work)
        await reconciled(bot, job_id, JobState.GENERATING)
        await finished(bot, job_id)
        assert len(bot.simulator.generations) == number
        assert len(bot.chat.clips(job_id)) == 1
    await bot.check_books()


async def test_where_luma_goes_on_under_the_same_id_each_job_has_its_own(
    tmp_path: Path, chat: RecordingAdapter, clock: MovableClock
) -> None:
    settings = SimulatorSettings(
        manual=True, same_clip=True, full_size=False, running_limit=None, same_id=True
    )
    async with Simulator(settings) as server:
        config = to_test_config(tmp_path, server, luma={"prices": PRICES})
        async with running(config, server, chat, clock) as bot:
            source = await finished(bot, await bot.ask(aspect_ratio="16:9"))
            job_id = (
                await bot.studio.submit(deed_request("upscale", source.id, resolution="720p"))
            ).job_id
            generating = await bot.until(job_id, JobState.GENERATING)
            assert str(generating.generation_id).startswith(f"{source.generation_id}#{job_id}")
            looks = server.requests["GET /generations/{id}"] + 2
            async with asyncio.timeout(30):
                while server.requests["GET /generations/{id}"] < looks:
                    await asyncio.sleep(0.01)
            assert (await bot.job(job_id)).state is JobState.GENERATING, "not the old file"
            larger = await finished(bot, job_id)
            assert larger.clip is not None
            assert larger.clip.width == 320
            lost = await lose(bot, "audio", source.id, prompt="wind")
            await reconciled(bot, lost, JobState.GENERATING)
            assert streams_of(bot, await finished(bot, lost)) == ["video", "audio"]
            assert len(server.generations) == 3, "and is not sent again"
            await bot.check_books()


# ---- Ray 3.2 -----------------------------------------------------------------------------------


async def test_clips_of_ray_3_2_get_another_look_and_shape_from_the_terminal(
    tmp_path: Path,
) -> None:
    settings = SimulatorSettings(
        api_key="luma-api-0123456789abcdef",
        min_seconds=0.05,
        max_seconds=0.1,
        same_clip=True,
        full_size=False,
    )
    said = io.StringIO()

    def notices() -> list[dict[str, Any]]:
        return [json.loads(line) for line in said.getvalue().splitlines()]

    def lines() -> Iterator[str]:
        yield "/ray a red fox --dur 10s --res 360p --ar 16:9"
        yield "wait"
        [made] = (each for each in notices() if each["notice"] == "delivered")
        yield f"modify {made['job_id']} flex_2 of paper"
        yield "wait"
        yield f"reframe {made['job_id']} 9:16"

    async with Simulator(settings, face=AGENTS) as server:
        table = {"api_key": settings.api_key, "base_url": server.base_url}
        quick = {"first_look_seconds": 0, "look_seconds": 0.05, "gets_per_second": 100}
        config = to_test_config(
            tmp_path,
            server,
            defaults={"providers": ["luma_agents"]},
            providers={"luma_agents": {**table, **quick}},
            adapters={"terminal": {"folder": str(tmp_path / "clips")}},
        )
        terminal = load_adapter(
            config, "terminal", lines=lines(), stdout=said, is_json=True, assume_yes=True
        )
        async with App(config, {"terminal": terminal}) as app:
            await app.run(asyncio.Event(), until="terminal")
        orders = [each.order for each in server.generations.values()]
    clip, look, shape = (each for each in notices() if each["notice"] == "delivered")
    assert [each["charged_usd"] for each in (clip, look, shape)] == [0.18, 1.08, 0.3]
    assert [(each.deed, each.width, each.height, each.seconds) for each in orders] == [
        (None, 640, 360, 10),
        ("modify", 640, 360, 10),
        ("reframe", 360, 640, 10),
    ]
    assert (shape["width"], shape["height"]) == (90, 160)
    offered = {each["act"]: each for each in clip["acts"]}
    assert set(offered["modify"]["options"].values()) == {1.08}
    assert set(offered["reframe"]["options"]) == {"1:1", "4:3", "21:9", "9:16", "3:4"}
    assert offered["extend"]["price_usd"] == 0.06, "5 s, which is all that Luma adds"
