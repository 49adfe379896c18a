"""What every adapter promises: found by its folder, idempotent posts, only delivery errors."""

from __future__ import annotations

import importlib
import io
import pkgutil
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

import adapters
from bot.clock import SystemClock
from bot.notices import About, Delivered, Notice, Queued
from bot.ports import Adapter
from bot.refs import JobId, Micros, Price, ThreadRef
from bot.request import VideoWork
from bot.studio import Studio
from tests.fakes import to_requester
from tests.rendered import clip

NAMES = [
    module.name
    for module in pkgutil.iter_modules(adapters.__path__)
    if module.name != "command_text"
]
SURROUNDINGS: dict[str, Any] = {"terminal": {"lines": [], "stdout": io.StringIO()}}


class Pocket:
    """A memo in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    def get(self, name: str) -> str | None:
        return self.kept.get(name)

    async def put(self, name: str, value: str) -> None:
        self.kept[name] = value


@pytest.fixture(params=NAMES)
def adapter(request: pytest.FixtureRequest, tmp_path: Path) -> Adapter:
    """One of each; no studio, because nothing is asked here."""
    module = importlib.import_module(f"adapters.{request.param}")
    settings = module.Settings(folder=tmp_path / "clips")
    made: Adapter = module.create(
        settings, cast("Studio", None), clock=SystemClock(), **SURROUNDINGS.get(request.param, {})
    )
    assert made.name == request.param
    return made


def to_about(job_id: str = "r-0000000001") -> About:
    return About(
        job_id=JobId(job_id),
        requester=to_requester(),
        work=VideoWork(prompt="a *fox* [red]<@here>\x1b[31m"),
        price=Price(micros=Micros(136_858)),
    )


def to_clip(folder: Path) -> Delivered:
    path = folder / "made.mp4"
    path.write_bytes(clip())
    return Delivered(
        about=to_about(),
        path=str(path),
        filename="ray-flash-2_r-0000000001_a-fox.mp4",
        width=64,
        height=64,
        seconds=1.0,
        bytes=path.stat().st_size,
        charged=Micros(136_858),
        took=timedelta(seconds=40),
    )


def thread_of(adapter: Adapter) -> ThreadRef:
    return ThreadRef(adapter=adapter.name, workspace="local", channel="general")


async def test_a_clip_is_posted_once_for_its_key(adapter: Adapter, tmp_path: Path) -> None:
    notice, memo = to_clip(tmp_path), Pocket()
    first = await adapter.post(thread_of(adapter), notice, key="k:clip", memo=memo)
    again = await adapter.post(thread_of(adapter), notice, key="k:clip", memo=memo)
    other = await adapter.post(thread_of(adapter), notice, key="k2:clip", memo=Pocket())
    assert first == again
    assert other != first


async def test_a_status_can_be_posted_and_edited(adapter: Adapter) -> None:
    queued: Notice = Queued(about=to_about(), position=3, expected=timedelta(seconds=90))
    message = await adapter.post(thread_of(adapter), queued, key="s", memo=Pocket())
    await adapter.edit(message, queued)


async def test_limits_are_told_for_a_place(adapter: Adapter) -> None:
    limits = adapter.limits(thread_of(adapter))
    assert limits.max_upload_bytes > 0
    assert limits.max_text_chars > 0
