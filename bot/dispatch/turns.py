"""Turns among processes: session advisory locks over a few connections of their own.

A process that froze loses them with its connections, which the server ends when they say nothing.
No pool of a library keeps these: one whose connections have all ended was seen to wait for none.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import psycopg

from bot.alongside import alongside
from bot.errors import StoreError

AT_ONCE = 16
#: How long a turn is waited for while too many others wait.
PATIENCE_SECONDS = 30.0
#: The server ends a connection that says nothing for longer than twice that.
PING_SECONDS, FRESH_SECONDS = 3.0, 5.0
_WAIT = "SELECT pg_advisory_lock(%s)"
_DONE = "SELECT pg_advisory_unlock(%s)"


class Turns:
    """Lends a connection to each turn; `connect` opens one."""

    def __init__(self, connect: Callable[[], Awaitable[psycopg.AsyncConnection]]) -> None:
        self._connect = connect
        self._places = asyncio.Semaphore(AT_ONCE)
        self._idle: list[tuple[float, psycopg.AsyncConnection]] = []
        self._is_over = False

    @asynccontextmanager
    async def take(self, number: int) -> AsyncIterator[None]:
        """Wait for whoever has this lock, in any process; raises `StoreError`."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._places.acquire()
        except TimeoutError as error:
            raise StoreError("The database is very busy. Try again.") from error
        try:
            conn = await self._lock(number)
            try:
                async with alongside(_ping(conn)):
                    yield
            finally:
                await self._unlock(conn, number)
        finally:
            self._places.release()

    async def close(self) -> None:
        """Close what nobody uses; what is in use closes with its turn."""
        self._is_over = True
        while self._idle:
            await self._idle.pop()[1].close()

    async def _lock(self, number: int) -> psycopg.AsyncConnection:
        """A connection that has it; one that ended unseen is replaced."""
        while True:
            old = await self._fresh()
            try:
                conn = old or await self._connect()
                try:
                    await conn.execute(_WAIT, (number,))
                except BaseException:
                    await conn.close()
                    raise
            except psycopg.OperationalError as error:
                if old is None or isinstance(error, psycopg.errors.LockNotAvailable):
                    raise StoreError("The database cannot be reached. Try again.") from error
            else:
                return conn

    async def _fresh(self) -> psycopg.AsyncConnection | None:
        """The connection that was used last, unless that is long ago."""
        while self._idle:
            used_at, conn = self._idle.pop()
            if time.monotonic() - used_at < FRESH_SECONDS and not conn.closed:
                return conn
            await conn.close()
        return None

    async def _unlock(self, conn: psycopg.AsyncConnection, number: int) -> None:
        try:
            await conn.execute(_DONE, (number,))
        except psycopg.Error:
            await conn.close()  # The turn ends with its connection anyway.
        except BaseException:
            await conn.close()
            raise
        else:
            if self._is_over:
                await conn.close()
                return
            self._idle.append((time.monotonic(), conn))


async def _ping(conn: psycopg.AsyncConnection) -> None:
    """Show that we are alive; where the connection is lost the turn is, too, and nobody hears."""
    with suppress(psycopg.Error):
        while True:
            await asyncio.sleep(PING_SECONDS)
            await conn.execute("SELECT 1")
