"""kill -9 before and after every commit, POST and post: one clip, one payment, one message."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from bot.job import JobState
from bot.refs import Attachment
from bot.request import ImageFrame, ImageWork
from bot.simulator import Faults, Simulator, SimulatorSettings
from bot.store import integrity
from tests.conftest import to_test_config
from tests.fakes import to_request
from tests.forked import processes
from tests.journey import crashing
from tests.ports import free_port
from tests.rendered import png
from tests.secrecy import found_in

SHARES = 8


class World:
    """What outlives the bot: the provider, the chat and the disk."""

    def __init__(self, folder: Path, simulator: Simulator, kind: str) -> None:
        self.folder = folder
        self._simulator = simulator
        image = folder / "lake.png"
        image.write_bytes(png(320, 240))
        frame = ImageFrame(attachment=Attachment(adapter="recording", id=str(image)))
        self.request = to_request("a red fox", key="k1", start_frame=frame.model_dump())
        if kind == "image":
            still = ImageWork(prompt="a red fox", typed=frozenset({"prompt"}))
            self.request = to_request(key="k1").model_copy(update={"work": still})

    def orders(self, **changes: Any) -> crashing.Orders:
        config = to_test_config(self.folder, self._simulator)
        tables = {**config.tables}
        tables["bot"] = {**tables["bot"], "public_port": self._port()}
        tables["bot"]["public_url"] = f"http://127.0.0.1:{tables['bot']['public_port']}"
        orders = crashing.Orders(tables, (self.request.model_dump_json(),), str(self.folder))
        return replace(orders, **changes)

    def _port(self) -> int:
        kept = self.folder / "port"
        if not kept.exists():
            kept.write_text(str(free_port()))
        return int(kept.read_text())

    async def live(self, orders: crashing.Orders) -> int | None:
        """One life of the bot, whose log tells nothing; its exit code, minus nine: killed."""
        child = processes().Process(target=crashing.live, args=(orders,))
        child.start()
        await asyncio.to_thread(child.join, 40)
        if child.is_alive():
            child.kill()
        assert found_in((self.folder / "bot.log").read_text("utf-8")) == []
        return child.exitcode

    def check(self) -> None:
        """Nothing lost, nothing twice, and the books are right."""
        told = (self.folder / "boundaries.log").read_text()
        lines = (self.folder / "posts.jsonl").read_text().splitlines()
        kinds = Counter(json.loads(line)["kind"] for line in lines)
        assert kinds["Delivered"] == 1, told
        # One whose image could not be fetched from a dead bot failed, and was refunded.
        paid = [each for each in self._simulator.generations.values() if each.state != "failed"]
        assert len(paid) == 1, told
        with closing(sqlite3.connect(self.folder / "data/raybot.db")) as conn:
            [(state, cost)] = conn.execute("SELECT state, cost FROM jobs").fetchall()
        assert state == JobState.DELIVERED, told
        assert cost > 0, told
        engine = create_engine(f"sqlite:///{self.folder / 'data/raybot.db'}")
        with engine.connect() as conn_:
            assert integrity.broken_invariants(conn_) == {}, told
        engine.dispose()


async def _world(folder: Path, simulator: Simulator, kind: str) -> World:
    folder.mkdir()
    (folder / "boundaries.log").touch()
    return World(folder, simulator, kind)


def _simulator() -> Simulator:
    return Simulator(
        SimulatorSettings(
            min_seconds=0.05,
            max_seconds=0.06,
            same_clip=True,
            full_size=False,
            running_limit=None,
            creates_per_minute=None,
        ),
        Faults(),
    )


#: Of a still, which takes the same steps, three boundaries are enough.
CASES = [*(("video", share) for share in range(SHARES)), ("image", 7)]


@pytest.mark.parametrize(("kind", "share"), CASES)
async def test_killed_at_every_boundary(tmp_path: Path, kind: str, share: int) -> None:
    async with _simulator() as simulator:
        world = await _world(tmp_path / "whole", simulator, kind)
        assert await world.live(world.orders()) == 0
        boundaries = int((world.folder / "passed").read_text())
    assert boundaries > 20
    for die_at in range(1 + share, boundaries + 1, SHARES):
        async with _simulator() as simulator:
            world = await _world(tmp_path / str(die_at), simulator, kind)
            code = await world.live(world.orders(die_at=die_at))
            if code == 0:
                continue
            assert code == -signal.SIGKILL
            assert await world.live(world.orders(is_restart=True)) == 0
            world.check()
