"""kill -9 between any two shots, then a restart: one film, posted once, each shot paid once."""

from __future__ import annotations

import json
import signal
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from bot.request import StoryWork
from bot.simulator import Simulator
from bot.store import integrity
from tests.journey.test_restart_in_each_state import World, _simulator

SHOTS = 3
#: So many commits, posts and calls after the first shot was submitted, then after the second.
POINTS = [(5, 13), (10, 8)]


class Theatre(World):
    """A world in which a story was asked for."""

    def __init__(self, folder: Path, simulator: Simulator) -> None:
        folder.mkdir()
        (folder / "boundaries.log").touch()
        super().__init__(folder, simulator, "video")
        work = StoryWork(shots=("a red fox wakes up", "a red fox runs", "a red fox sleeps"))
        self.request = self.request.model_copy(update={"work": work})
        self.service = simulator

    def check(self) -> None:
        told = (self.folder / "boundaries.log").read_text()
        posts = (self.folder / "posts.jsonl").read_text().splitlines()
        kinds = Counter(json.loads(line)["kind"] for line in posts)
        assert kinds["Delivered"] == 1, told
        paid = [each for each in self.service.generations.values() if each.state != "failed"]
        assert len(paid) == SHOTS, told
        database = self.folder / "data/raybot.db"
        with closing(sqlite3.connect(database)) as conn:
            rows = conn.execute("SELECT state, shot, cost > 0 FROM jobs ORDER BY shot").fetchall()
        shots = [("delivered", number, 1) for number in range(1, SHOTS + 1)]
        assert rows == [("delivered", None, 0), *shots], told
        engine = create_engine(f"sqlite:///{database}")
        with engine.connect() as conn_:
            assert integrity.broken_invariants(conn_) == {}, told
        engine.dispose()


@pytest.mark.parametrize("points", POINTS)
async def test_killed_between_any_two_shots(tmp_path: Path, points: tuple[int, int]) -> None:
    async with _simulator() as simulator:
        theatre = Theatre(tmp_path / "theatre", simulator)
        for shot, later in enumerate(points, start=1):
            dies = theatre.orders(die_at=later, after_submits=1, is_restart=shot > 1)
            assert await theatre.live(dies) == -signal.SIGKILL
            assert len(simulator.generations) == shot
        assert await theatre.live(theatre.orders(is_restart=True)) == 0
        theatre.check()
