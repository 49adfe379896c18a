"""What every adapter promises: found by its folder, idempotent posts, only delivery errors."""

from __future__ import annotations

import asyncio
import importlib
import io
import pkgutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from discord.gateway import DiscordWebSocket
from discord.http import Route
from pydantic import BaseModel

import adapters
from adapters import discord, slack, terminal, web
from bot.config import SHARED
from bot.dialects import dream_machine
from bot.errors import DeliveryError, DeliveryUnavailable
from bot.notices import About, Delivered, Notice, Queued
from bot.ports import Adapter, Hosting
from bot.refs import JobId, MessageRef, Micros, Price, ThreadRef
from bot.request import VideoWork
from bot.simulator import Simulator
from bot.studio import Studio
from tests.conftest import running, to_test_config
from tests.discord_server import DiscordServer
from tests.fakes import MovableClock, RecordingAdapter, to_requester
from tests.rendered import clip, png
from tests.slack_server import SlackServer

NAMES = [
    module.name for module in pkgutil.iter_modules(adapters.__path__) if module.name not in SHARED
]


class Pocket:
    """A memo in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    def get(self, name: str) -> str | None:
        return self.kept.get(name)

    async def put(self, name: str, value: str) -> None:
        self.kept[name] = value


@dataclass
class Place:
    """An adapter of the running bot, and a conversation that it can post into."""

    adapter: Adapter
    thread: ThreadRef


@asynccontextmanager
async def _terminal(folder: Path) -> AsyncIterator[tuple[BaseModel, ThreadRef, dict[str, Any]]]:
    settings = terminal.Settings(folder=folder / "clips")
    thread = ThreadRef(adapter="terminal", workspace="local", channel="terminal")
    yield settings, thread, {"lines": [], "stdout": io.StringIO()}


@asynccontextmanager
async def _discord(_: Path) -> AsyncIterator[tuple[BaseModel, ThreadRef, dict[str, Any]]]:
    base, gateway = Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY
    try:
        async with DiscordServer() as server:
            channel = server.person("Ana", guild := server.guild("Foxes")).here
            settings = discord.Settings.model_validate(
                {
                    "token": server.token,
                    "api_base_url": server.api_base_url,
                    "gateway_url": server.gateway_url,
                    "shard_count": 1,
                }
            )
            yield (
                settings,
                ThreadRef(adapter="discord", workspace=str(guild.id), channel=str(channel.id)),
                {},
            )
    finally:
        Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY = base, gateway


@asynccontextmanager
async def _slack(_: Path) -> AsyncIterator[tuple[BaseModel, ThreadRef, dict[str, Any]]]:
    async with SlackServer() as server:
        channel = server.channel(team := server.team("Foxes"))
        settings = slack.Settings.model_validate(
            {
                "bot_token": team.bot_token,
                "app_token": server.app_token,
                "api_base_url": server.api_base_url,
                "file_hosts": (server.file_host,),
                "connections": 1,
            }
        )
        yield settings, ThreadRef(adapter="slack", workspace=team.id, channel=channel.id), {}


@asynccontextmanager
async def _web(folder: Path) -> AsyncIterator[tuple[BaseModel, ThreadRef, dict[str, Any]]]:
    settings = web.Settings(folder=folder / "web")
    yield settings, ThreadRef(adapter="web", workspace="local", channel="playground"), {}


MODELS = tuple(dream_machine.MODELS.values())
SURROUNDINGS = {"terminal": _terminal, "discord": _discord, "slack": _slack, "web": _web}


@pytest.fixture(params=NAMES)
async def place(
    request: pytest.FixtureRequest, tmp_path: Path, simulator: Simulator, clock: MovableClock
) -> AsyncIterator[Place]:
    """One of each, within the true bot."""
    name = request.param
    module = importlib.import_module(f"adapters.{name}")
    made: list[Adapter] = []

    def create(studio: Studio) -> Adapter:
        made.append(module.create(settings, studio, clock=clock, **more))
        return made[0]

    config = to_test_config(tmp_path, simulator)
    async with (
        SURROUNDINGS[name](tmp_path) as (settings, thread, more),
        running(config, simulator, RecordingAdapter(), clock, **{name: create}),
    ):
        assert made[0].name == name
        yield Place(made[0], thread)


async def _post(place: Place, notice: Notice, *, key: str, memo: Pocket) -> MessageRef:
    """Post as the bot does: again while the platform is not reached yet."""
    while True:
        try:
            return await place.adapter.post(place.thread, notice, key=key, memo=memo)
        except DeliveryUnavailable:
            await asyncio.sleep(0.01)


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


async def test_a_clip_is_posted_once_for_its_key(place: Place, tmp_path: Path) -> None:
    notice, memo = to_clip(tmp_path), Pocket()
    first = await _post(place, notice, key="k:clip", memo=memo)
    again = await _post(place, notice, key="k:clip", memo=memo)
    other = await _post(place, notice, key="k2:clip", memo=Pocket())
    assert first == again
    assert other != first
    assert await place.adapter.max_upload(place.thread) > 0


async def test_a_status_can_be_posted_and_edited_and_removed(place: Place) -> None:
    queued: Notice = Queued(about=to_about(), position=3, expected=timedelta(seconds=90))
    message = await _post(place, queued, key="s", memo=Pocket())
    await place.adapter.edit(message, queued)
    await place.adapter.delete(message)
    await place.adapter.delete(message)


async def test_an_image_is_shown_by_a_link_or_nowhere(place: Place, tmp_path: Path) -> None:
    queued = Queued(about=to_about(), position=3, expected=None)
    status = await _post(place, queued, key="s", memo=Pocket())
    image = tmp_path / "start.png"
    image.write_bytes(png())
    hosting = Hosting(
        job_id=queued.about.job_id,
        slot="start",
        requester=queued.about.requester,
        thread=place.thread,
        status=status,
        is_hidden=False,
    )
    if not place.adapter.limits(place.thread).can_host:
        with pytest.raises(DeliveryError):
            await place.adapter.host(image, hosting)
        return
    hosted = await place.adapter.host(image, hosting)
    assert hosted.url.startswith("http")
    assert hosted.letter is None, "nothing was made for it that would have to be deleted"


@pytest.mark.parametrize("name", NAMES)
async def test_an_adapter_says_what_it_finds_and_how_to_add_it(name: str, tmp_path: Path) -> None:
    module = importlib.import_module(f"adapters.{name}")
    async with SURROUNDINGS[name](tmp_path) as (settings, thread, _):
        findings = await module.check(
            settings, served={thread.workspace: ()}, models=MODELS, seconds=5
        )
        invitation = await module.install(settings)
    assert findings
    assert [each.sentence for each in findings if not each.is_well] == []
    assert all(each.sentence.startswith(f"{name}: ") for each in findings)
    assert invitation
    assert isinstance(settings.can_host, bool)  # type: ignore[attr-defined]
