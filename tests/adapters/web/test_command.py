"""`raybot playground` as a newcomer starts it: a process of its own, an address, Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import aiohttp

ROOT = Path(__file__).resolve().parents[3]
ENDS_WITHIN = 10


async def test_it_says_where_the_page_is_and_ends_at_once(tmp_path: Path) -> None:
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
        said = (await process.communicate())[1].decode()
    assert "Traceback" not in said
    assert (tmp_path / "data" / "raybot.db").exists()
