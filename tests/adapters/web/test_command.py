"""`raybot playground` as a newcomer starts it: a process of its own, an address, Ctrl-C."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import signal
import sys
from pathlib import Path

import aiohttp
import pytest

from adapters import web
from bot.cli.acts import desk_link as write_link
from bot.clock import SystemClock
from bot.config import to_config
from bot.errors import InvalidRequest
from bot.store import sittings
from bot.store.database import open_database
from tests.postgres import postgres_database

ROOT = Path(__file__).resolve().parents[3]
ENDS_WITHIN = 10
WEB = {"enabled": True}


async def test_it_says_where_the_pages_are_and_ends_at_once(tmp_path: Path) -> None:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("RAYBOT_")
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bot",
        "playground",
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        told = (await process.stdout.readline()).decode()
        address = re.search(r"http://127\.0\.0\.1:\d+/web/chat", told)
        assert address, told
        async with aiohttp.ClientSession() as session, session.get(address[0]) as page:
            assert "Nothing here yet" in await page.text()
            told = (await process.stdout.readline()).decode()
            links = [re.search(r"http://127\S+/desk/enter\?key=[\w-]{43}", told)]
            config = to_config({"bot": {"data_dir": str(tmp_path / "data")}})
            written = await write_link(config, "", has_desk=True)
            links.append(re.search(r"http://127\S+/desk/enter\?key=[\w-]{43}\n", written))
            for link in links:
                assert link
                async with session.get(link[0].strip()) as shown:
                    assert "Sign in" in await shown.text()
            events = address[0].replace("/chat", "/events")
            async with session.get(events) as news:
                assert await news.content.readline() == b"retry: 1000\n"
                process.send_signal(signal.SIGINT)
                async with asyncio.timeout(ENDS_WITHIN):
                    # Who listens is no reason to wait.
                    assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
        complaints = (await process.communicate())[1].decode()
    assert "Traceback" not in complaints
    assert (tmp_path / "data" / "raybot.db").exists()


async def test_where_no_bot_runs_it_says_so(tmp_path: Path) -> None:
    config = to_config(
        {"bot": {"data_dir": str(tmp_path)}, "adapters": {"web": {"enabled": True}}}
    )
    with pytest.raises(InvalidRequest, match="Start it first"):
        await write_link(config, "", has_desk=True)


async def test_of_several_processes_at_one_address_none_has_to_run_here(tmp_path: Path) -> None:
    with postgres_database() as url:
        bot = {"data_dir": str(tmp_path), "database_url": url, "single_host": True}
        tables = {
            "bot": {**bot, "public_url": "https://ray.example"},
            "adapters": {"web": {**WEB, "folder": str(tmp_path / "web")}},
            "defaults": {"providers": ["simulator"]},
        }
        nowhere = to_config({**tables, "bot": bot})
        with pytest.raises(InvalidRequest, match=r"On PostgreSQL a link needs \[bot\] public_url"):
            await write_link(nowhere, "Ana", has_desk=False)
        written = await write_link(to_config(tables), "Ana", has_desk=False)
        link, told, *more = written.splitlines()
        assert link.startswith("https://ray.example/desk/enter?key=")
        assert "lets Ana into the playground" in told
        assert more == []
        database = open_database(url)
        await database.start_reading()
        hashed = hashlib.sha256(link.partition("key=")[2].encode()).hexdigest()
        now = SystemClock().now()
        try:
            assert await database.read(lambda conn: sittings.has_link(conn, hashed, now))
        finally:
            await database.stop()


@pytest.mark.parametrize(
    ("public_url", "where"),
    [("", "on this machine, at /web/chat"), ("https://ray.example", "https://ray.example/desk")],
)
async def test_the_check_says_where_the_pages_are(public_url: str, where: str) -> None:
    settings = web.Settings(enabled=True)
    [found] = await web.check(settings, served={}, models=(), public_url=public_url)
    assert found.is_well
    assert where in found.sentence
