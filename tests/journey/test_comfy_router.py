"""A key without a queue: the answer is the clip, also for a process that did not hear it."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.app import App
from bot.config import Config, to_config
from bot.job import JobState
from bot.notices import Uncertain
from bot.simulator import Faults, Simulator, SimulatorSettings
from bot.simulator.faces.comfy_router import ComfyRouterFace
from bot.store.schema import operator_notices
from bot.wiring.supply import load_adapter
from tests.conftest import running
from tests.fakes import MovableClock, RecordingAdapter, to_requester

KEY = "comfyui-0123456789abcdef"


@pytest.fixture
async def face() -> AsyncIterator[ComfyRouterFace]:
    settings = SimulatorSettings(
        api_key=KEY, min_seconds=0.2, max_seconds=0.3, same_clip=True, full_size=False
    )
    async with Simulator(settings, Faults(), face=ComfyRouterFace) as server:
        assert isinstance(server.face, ComfyRouterFace)
        server.face.has_queue = False
        yield server.face


def configured(face: ComfyRouterFace, folder: Path) -> Config:
    provider: dict[str, Any] = {
        "api_key": KEY,
        "base_url": face.simulator.base_url,
        "delivery": "sync",
        "submit_timeout_seconds": 5,
    }
    return to_config(
        {
            "bot": {
                "data_dir": str(folder / "data"),
                "public_port": 0,
                "private_port": 0,
                "min_free_bytes": 0,
            },
            "defaults": {"providers": ["comfy_router"]},
            "providers": {"comfy_router": provider},
            "adapters": {"terminal": {"folder": str(folder / "clips")}},
        }
    )


async def ask(config: Config, clock: MovableClock) -> list[str]:
    """One typed line, and what was told of it."""
    said = io.StringIO()
    terminal = load_adapter(
        config, "terminal", lines=["/ray a red fox"], stdout=said, is_json=True, assume_yes=True
    )
    async with App(config, {"terminal": terminal}, clock=clock) as app:
        await app.run(asyncio.Event(), until="terminal")
        assert app.exit_code("terminal") == 0, said.getvalue()
    return [json.loads(line)["notice"] for line in said.getvalue().splitlines()]


async def test_the_answer_to_one_post_is_the_clip(face: ComfyRouterFace, tmp_path: Path) -> None:
    told = await ask(configured(face, tmp_path), MovableClock())
    assert told.count("delivered") == 1
    assert len(face.simulator.generations) == 1
    assert face.simulator.requests["POST /v2/models/luma/{model}"] == 1


async def test_what_was_cancelled_while_in_doubt_is_not_bought_by_asking(
    face: ComfyRouterFace,
    tmp_path: Path,
    chat: RecordingAdapter,
    clock: MovableClock,
) -> None:
    server = face.simulator
    server.faults.drop("create", accepted=False)
    config = configured(face, tmp_path)
    async with running(config, server, chat, clock) as bot:
        job_id = await bot.ask()
        await bot.until(job_id, JobState.SUBMITTING)
        await bot.studio.cancel(job_id, to_requester())
        async with asyncio.timeout(30):
            while (job := await bot.job(job_id)).state is JobState.SUBMITTING:
                await clock.let_pass(seconds=20)
        assert job.state is JobState.UNCERTAIN
        assert server.generations == {}
        await chat.until(lambda: isinstance(chat.status(job_id), Uncertain))
        told = await bot.app.database.read(
            lambda conn: conn.execute(operator_notices.select()).all()
        )
        assert any("It was cancelled meanwhile." in str(each) for each in told)
        await bot.app.operations.resolve(job_id, "release", generation_id=None, actor="test")
        ended = await bot.until(job_id, JobState.FAILED)
        assert ended.cost == 0
        await bot.check_books()
    assert server.generations == {}


async def test_an_answer_that_was_cut_off_is_collected_later(
    face: ComfyRouterFace, tmp_path: Path
) -> None:
    face.deadline_seconds, clock = 0.05, MovableClock()
    asking = asyncio.ensure_future(ask(configured(face, tmp_path), clock))
    await face.simulator.wait_for_creates(1)
    while not asking.done():
        clock.move(seconds=20)
        await asyncio.wait([asking], timeout=0.05)
    assert (await asking).count("delivered") == 1
    assert len(face.simulator.generations) == 1
    assert face.simulator.requests["POST /v2/models/luma/{model}"] > 1
