"""The negative control: a bot as it is commonly written, which saves what it did after it did it.

It keeps its jobs in a database, asks Luma, waits, posts the clip with Discord's REST API and goes
on where it was after a restart. The matrix has to show what is wrong with that.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp

PROMPT = "a red fox in snow"
TABLE = "CREATE TABLE IF NOT EXISTS jobs (prompt TEXT, generation TEXT, posted INTEGER DEFAULT 0)"
AGENT = "DiscordBot (https://example.com, 1)"


class NaiveBot:
    """Everything it does; `cross` is told of each point that it passes."""

    def __init__(
        self, folder: Path, settings: dict[str, Any], cross: Callable[[str], None]
    ) -> None:
        self._book = folder / "naive.db"
        self._settings = settings
        self._cross = cross

    async def run(self) -> None:
        """Bring every job that is not done yet to its end."""
        with closing(sqlite3.connect(self._book)) as book:
            book.execute(TABLE)
            if not book.execute("SELECT 1 FROM jobs").fetchone():
                self._save(book, "INSERT INTO jobs (prompt) VALUES (?)", PROMPT)
            async with aiohttp.ClientSession() as session:
                rows = "SELECT prompt, generation FROM jobs WHERE NOT posted"
                for prompt, generation in book.execute(rows).fetchall():
                    await self._carry_out(book, session, prompt, generation)

    async def _carry_out(
        self,
        book: sqlite3.Connection,
        session: aiohttp.ClientSession,
        prompt: str,
        generation: str | None,
    ) -> None:
        luma, key = self._settings["luma"], {"Authorization": f"Bearer {self._settings['key']}"}
        if generation is None:
            self._cross("before POST that is paid")
            order = {"prompt": prompt, "model": "ray-flash-2", "duration": "5s"}
            async with session.post(f"{luma}/generations", json=order, headers=key) as reply:
                generation = (await reply.json())["id"]
            self._cross("after POST that is paid")
            self._save(book, "UPDATE jobs SET generation = ?", generation)
        while True:
            async with session.get(f"{luma}/generations/{generation}", headers=key) as reply:
                told = await reply.json()
            if told["state"] == "completed":
                break
            await asyncio.sleep(0.02)
        async with session.get(told["assets"]["video"]) as reply:
            clip = await reply.read()
        self._cross("before POST of the clip")
        form = aiohttp.FormData()
        form.add_field("files[0]", clip, filename="clip.mp4", content_type="video/mp4")
        bot = {"Authorization": f"Bot {self._settings['token']}", "User-Agent": AGENT}
        async with session.post(self._settings["posts"], data=form, headers=bot) as reply:
            reply.raise_for_status()
        self._cross("after POST of the clip")
        self._save(book, "UPDATE jobs SET posted = ?", 1)

    def _save(self, book: sqlite3.Connection, statement: str, value: object) -> None:
        self._cross(f"before {statement.partition(' ')[0]}")
        with book:
            book.execute(statement, (value,))
        self._cross(f"after {statement.partition(' ')[0]}")
