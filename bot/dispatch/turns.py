"""Turns among processes: session advisory locks over one connection, asked for many at once.

Each is one round trip of many that a crowd's messages take, so those that are wanted and those
that are over at the same moment share it. A process that froze loses its turns with the
connection, which the server ends when it says nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import psycopg

from bot.alongside import within
from bot.dispatch.single import SingleProcess
from bot.errors import StoreError

#: How long a turn of another process is waited for, and the pause before it is asked for again.
PATIENCE_SECONDS, AGAIN_SECONDS = 20.0, 0.1
#: How often the connection says something. An answer is waited for until the server has ended it
#: for silence: with it go the turns of all who are at work, who do not hear of that.
PING_SECONDS, SILENT_SECONDS = 3.0, 10.0
_ASK = (
    "SELECT n, is_over, CASE WHEN is_over THEN pg_advisory_unlock(n)"
    " ELSE pg_try_advisory_lock(n) END"
    " FROM unnest(%s::bigint[], %s::boolean[]) AS asked (n, is_over)"
)


class Turns:
    """Lets one at a time take each turn: of those here, and of all processes."""

    def __init__(self) -> None:
        self._here = SingleProcess()
        self._wanted: dict[int, asyncio.Future[bool]] = {}
        self._over: list[int] = []
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def take(self, number: int) -> AsyncIterator[None]:
        """Wait for whoever has this lock, in any process; raises `StoreError`."""
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await stack.enter_async_context(self._here.turn(str(number)))
                    await self._ask(number)
                    stack.callback(self._give_back, number)
            except TimeoutError as error:
                told = "The database is busy or cannot be reached. Try again."
                raise StoreError(told) from error
            yield

    async def _ask(self, number: int) -> None:
        """Ask for it until it is given."""
        while True:
            self._wanted[number] = asked = asyncio.get_running_loop().create_future()
            self._changed.set()
            try:
                if await asked:
                    return
            except asyncio.CancelledError:
                if not asked.cancelled() and asked.result():
                    self._give_back(number)  # It was given at this very moment.
                raise
            await asyncio.sleep(AGAIN_SECONDS)

    def _give_back(self, number: int) -> None:
        self._over.append(number)
        self._changed.set()

    async def keep(self, conn: psycopg.AsyncConnection) -> None:
        """Ask for them until the connection is lost; what was asked then is asked over the next.

        Nobody hears that a turn was lost with it.
        """
        self._over.clear()
        self._changed.set()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(PING_SECONDS):
                    await self._changed.wait()
            self._changed.clear()
            await within(SILENT_SECONDS, self._exchange(conn))

    async def _exchange(self, conn: psycopg.AsyncConnection) -> None:
        over, self._over = self._over, []
        self._wanted = {n: each for n, each in self._wanted.items() if not each.done()}
        wanted = dict(self._wanted)
        kinds = [True] * len(over) + [False] * len(wanted)
        found = await conn.execute(_ASK, ([*over, *wanted], kinds))
        for number, is_over, is_given in await found.fetchall():
            if is_over:
                continue
            asked = wanted[number]
            if self._wanted.get(number) is asked:
                del self._wanted[number]
            if not asked.done():
                asked.set_result(is_given)
            elif is_given:
                self._give_back(number)  # Who asked was cancelled meanwhile.
