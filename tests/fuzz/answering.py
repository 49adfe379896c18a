"""A true server that answers what was spoilt, for whoever asks services over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from hypothesis import given

from bot.errors import BotError
from tests.bot.test_service import Api, serving
from tests.fuzz import few
from tests.fuzz.mutations import bodies, bounded, to_bytes


@asynccontextmanager
async def answering() -> AsyncIterator[tuple[Api, str]]:
    """A server that says whatever it was given, and its address."""
    api = Api([])
    async with serving(api) as address:
        yield api, f"{address}/"


def answers(*seeds: Any) -> list[bytes]:
    """What it says, one after the other, the true ones first."""
    collected = [to_bytes(each) for each in seeds]

    @few
    @given(bodies(*seeds))
    def collect(body: bytes) -> None:
        collected.append(body)

    collect()
    return collected


def says(api: Api, body: bytes, *, status: int = 200) -> None:
    """From now on it answers this."""
    api.replies = [web.Response(status=status, body=body, content_type="application/json")]


async def outcome(call: Awaitable[Any]) -> Any:
    """What it gives, or the error of ours."""
    with bounded():
        try:
            return await call
        except BotError as error:
            return error
    raise AssertionError("not reached")
