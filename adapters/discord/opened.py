"""A client of discord.py that leaves no connection open, whenever it is given up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

import discord

C = TypeVar("C", bound=discord.Client)


@asynccontextmanager
async def opened(client: C) -> AsyncIterator[C]:
    """Use a client, made with a connector, until the block ends.

    discord.py closes it in a task, which a cancel meanwhile ends before it has come that far.
    """
    async with client.http.connector, client:
        yield client
