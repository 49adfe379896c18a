"""Each video service, from a line typed in a terminal to the clip in a file, paid once."""

from __future__ import annotations

import asyncio
import importlib
import io
import json
import pkgutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

import bot.providers
from bot.app import App
from bot.config import Config, to_config
from bot.simulator import Faults, Simulator, SimulatorSettings
from bot.wiring.supply import load_adapter
from tests.rendered import png
from tests.secrecy import life_of, read_logs

NAMES = [module.name for module in pkgutil.iter_modules(bot.providers.__path__)]
SECRET = "a-very-private-key-0123456789"


@pytest.fixture(params=NAMES)
async def service(request: pytest.FixtureRequest) -> AsyncIterator[tuple[str, Simulator]]:
    """A video service on loopback whose clips take a moment."""
    settings = SimulatorSettings(
        api_key=SECRET, min_seconds=0.1, max_seconds=0.2, same_clip=True, full_size=False
    )
    face = importlib.import_module(f"bot.simulator.faces.{request.param}").FACE
    async with Simulator(settings, Faults(), face=face) as server:
        yield request.param, server


def configure(tmp_path: Path, name: str, server: Simulator) -> Config:
    """One service, a terminal, and enough money."""
    return to_config(
        {
            "bot": {
                "data_dir": str(tmp_path / "data"),
                "public_port": 0,
                "private_port": 0,
                "min_free_bytes": 0,
            },
            "defaults": {"providers": [name]},
            "limits": {"usd_per_person_per_day": 100},
            "providers": {
                name: {
                    "api_key": SECRET,
                    "base_url": server.base_url,
                    "first_look_seconds": 0.1,
                    "look_seconds": 0.1,
                    **server.face.table,
                }
            },
            "adapters": {"terminal": {"folder": str(tmp_path / "clips")}},
        }
    )


async def test_two_typed_lines_become_two_clips_each_paid_once(
    tmp_path: Path, service: tuple[str, Simulator]
) -> None:
    name, server = service
    picture = tmp_path / "lake.png"
    picture.write_bytes(png(400, 300))
    config = configure(tmp_path, name, server)
    start = f" --start {picture}" if server.face.takes_images else ""
    said = io.StringIO()
    terminal = load_adapter(
        config,
        "terminal",
        lines=["/ray a red fox --ar 16:9", f"/ray slow zoom{start}"],
        stdout=said,
        is_json=True,
        assume_yes=True,
    )
    with read_logs("json") as logged:
        async with App(config, {"terminal": terminal}) as app:
            await app.run(asyncio.Event(), until="terminal")
            assert app.exit_code("terminal") == 0, said.getvalue()
            told = said.getvalue() + app._metrics.render().decode()
    records = [json.loads(line) for line in said.getvalue().splitlines()]
    first, second = {each["job_id"] for each in records if each["notice"] == "delivered"}
    assert life_of(first, logged.getvalue(), second)
    assert life_of(second, logged.getvalue(), first)
    assert len(server.generations) == 2
    has_image = [each.order.start is not None for each in server.generations.values()]
    assert has_image.count(True) == (1 if server.face.takes_images else 0)
    with closing(sqlite3.connect(tmp_path / "data" / "raybot.db")) as book:
        entries = book.execute("SELECT kind, micros FROM ledger_entries").fetchall()
        told += "".join(book.iterdump())
    assert sorted(kind for kind, _ in entries) == ["hold", "hold", "settle", "settle"]
    assert all(micros > 0 for _, micros in entries)
    told += logged.getvalue()
    for secret in (SECRET, *(each.token or SECRET for each in server.generations.values())):
        assert secret not in told


async def test_what_the_service_will_not_make_is_told_and_given_back(
    tmp_path: Path, service: tuple[str, Simulator]
) -> None:
    name, server = service
    config = configure(tmp_path, name, server)
    said = io.StringIO()
    terminal = load_adapter(
        config,
        "terminal",
        lines=["/ray something moderated"],
        stdout=said,
        is_json=True,
        assume_yes=True,
    )
    async with App(config, {"terminal": terminal}) as app:
        await app.run(asyncio.Event(), until="terminal")
    [failed] = [
        notice
        for line in said.getvalue().splitlines()
        if (notice := json.loads(line))["notice"] == "failed"
    ]
    assert failed["code"] == "moderation"
    assert len(server.generations) == 1
    with closing(sqlite3.connect(tmp_path / "data" / "raybot.db")) as book:
        entries = book.execute("SELECT kind FROM ledger_entries").fetchall()
    assert sorted(entries) == [("hold",), ("release",)]
