"""How long and how large a body may be, with the time of the loop moved by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import cast

import pytest
from aiohttp import web

from bot.bodies import FOR_FILES, Patience, read_body

FOR_CALLS = Patience(whole=10.0, silence=10.0)


@dataclass
class Line:
    """A slow line as the content of a request: so many bytes, one each so many seconds."""

    count: int
    seconds: float

    @property
    def content(self) -> Line:
        return self

    async def iter_chunked(self, _: int) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        for _ in range(self.count):
            later = loop.time() + self.seconds
            loop.time = lambda later=later: later  # type: ignore[method-assign, misc]
            # What is due by now ends it here.
            for _ in range(3):
                await asyncio.sleep(0)
            yield b"x"


async def _read(line: Line, patience: Patience, most: int = 1000) -> bytes:
    loop = asyncio.get_running_loop()
    try:
        return await read_body(cast("web.Request", line), most, patience)
    finally:
        del loop.time


@pytest.mark.parametrize(
    ("line", "patience", "arrives"),
    [
        (Line(count=9, seconds=1), FOR_CALLS, True),
        (Line(count=11, seconds=1), FOR_CALLS, False),
        (Line(count=14, seconds=20), FOR_FILES, True),
        (Line(count=16, seconds=20), FOR_FILES, False),
        (Line(count=1, seconds=31), FOR_FILES, False),
    ],
)
async def test_a_body_may_take_so_long(line: Line, patience: Patience, *, arrives: bool) -> None:
    if arrives:
        assert await _read(line, patience) == b"x" * line.count
        return
    with pytest.raises(web.HTTPRequestTimeout):
        await _read(line, patience)


async def test_a_body_that_is_too_large_is_not_read_to_its_end() -> None:
    with pytest.raises(web.HTTPRequestEntityTooLarge):
        await _read(Line(count=11, seconds=0), FOR_CALLS, most=10)
