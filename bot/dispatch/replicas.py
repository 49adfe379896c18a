"""Several processes on one PostgreSQL: roles that one of them has, turns, and word to the others.

A role and a turn are session advisory locks, so they end with the connection that holds them,
and so with its process. A process that froze loses its roles after `IDLE_SECONDS`, when the server
ends the connection that says nothing. What is told is a hint: who must know for certain reads a
row.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress

import psycopg
from sqlalchemy import URL

from bot.alongside import alongside, within
from bot.dispatch.turns import Turns
from bot.errors import StoreError
from bot.log import get_logger
from bot.store.database import cause
from bot.store.postgres import connect_args, conninfo

CHANNEL = "raybot"
IDLE_SECONDS, PING_SECONDS = 10, 3.0
#: How often a process tries to take over a role, whose holder may have died.
TRY_SECONDS = 0.3
AGAIN_SECONDS = 1.0
LISTEN_SECONDS = 5.0
#: After each word; what is told meanwhile is said in one go.
BREATH_SECONDS = 0.05
#: A connection that was cut sooner than that is no better the next time.
GOOD_SECONDS = 1.0
#: PostgreSQL takes no longer notices.
LONGEST_NOTICE = 7900
#: Any session's, as PostgreSQL shows the halves of a lock's number.
_HELD = (
    "SELECT (classid::bigint << 32) | objid::bigint AS n FROM pg_locks"
    " WHERE locktype = 'advisory' AND granted AND objsubid = 1"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND (classid::bigint << 32) | objid::bigint = ANY(%s::bigint[])"
)
_TRY = "SELECT n, pg_try_advisory_lock(n) FROM unnest(%s::bigint[]) AS n"
_SAY = "SELECT pg_notify(%s, word) FROM unnest(%s::text[]) AS word"
_GIVE_BACK = "SELECT pg_advisory_unlock(n) FROM unnest(%s::bigint[]) AS n"
log = get_logger(__name__)
Work = Callable[[], Awaitable[None]]


class PostgresReplicas:
    """One of the processes that share a PostgreSQL database."""

    def __init__(self, url: URL) -> None:
        self._url = url
        #: A name of this process's own: a start makes a new one.
        self.name = secrets.token_hex(8)
        #: That of this process shows the others that it is there.
        self._roles = {"process": _Role([_own(self.name)])}
        self._ears: dict[str, Callable[[Mapping[str, str]], None]] = {}
        self._outgoing: asyncio.Queue[str] = asyncio.Queue(10_000)
        self._turns = Turns()

    @property
    def is_single(self) -> bool:
        """Not even while no other runs: one may begin any time."""
        return False

    # ---- what others ask -----------------------------------------------------------------

    async def alone(self, role: str, work: Work, *, parts: Sequence[str] = ()) -> None:
        """Do the work whenever the role is ours, with all its parts, until it ends by itself."""
        mine = self._roles.setdefault(role, _Role(parts or (role,)))
        while True:
            await mine.held.wait()
            log.info("replica.on_duty", role=role)
            if await mine.do(work):
                return
            log.warning("replica.off_duty", role=role)

    async def is_held(self, role: str) -> bool:
        """Ask the database."""
        return bool(await self._held([to_number("role", role)]))

    async def gone(self, names: Collection[str]) -> frozenset[str]:
        """Those whose connection, and so their lock, has ended."""
        numbers = {to_number("role", _own(name)): name for name in names}
        held = await self._held(list(numbers)) if numbers else ()
        return frozenset(names) - {numbers[each] for each in held}

    async def _held(self, numbers: list[int]) -> frozenset[int]:
        """Those of these locks that any session has, asked over a connection of its own."""
        try:
            async with await self._connect() as conn:
                found = await conn.execute(_HELD, (numbers,))
                return frozenset(row[0] for row in await found.fetchall())
        except psycopg.Error as error:
            raise StoreError("The database cannot be reached. Try again.") from error

    def turn(self, name: str) -> AbstractAsyncContextManager[None]:
        """Wait for whoever is busy with this, in any process."""
        return self._turns.take(to_number("turn", name))

    def tell(self, subject: str, **said: str) -> None:
        """Put it on its way; too many at once, or too long a word, are left out."""
        notice = json.dumps({"from": self.name, "subject": subject, "said": said})
        if len(notice.encode()) <= LONGEST_NOTICE:
            with suppress(asyncio.QueueFull):
                self._outgoing.put_nowait(notice)

    def on(self, subject: str, hear: Callable[[Mapping[str, str]], None]) -> None:
        """Hear of a subject from now on."""
        self._ears[subject] = hear

    # ---- life ----------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep roles and turns, listen and tell until cancelled; each again if it was cut off."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._again(self._keep_roles), name="roles")
            group.create_task(self._again(self._turns.keep), name="turns")
            group.create_task(self._again(self._listen), name="ears")
            group.create_task(self._again(self._speak), name="mouth")

    async def _again(self, work: Callable[[psycopg.AsyncConnection], Awaitable[None]]) -> None:
        is_lost = False
        while True:
            try:
                conn = await self._connect()
                is_lost = False
                try:
                    await work(conn)
                finally:
                    await conn.close()  # Its own exit would ask a silent one to roll back.
            except (psycopg.Error, TimeoutError) as error:
                if not is_lost:
                    log.warning("replica.lost_database", cause=cause(error))
                is_lost = True
            await asyncio.sleep(AGAIN_SECONDS)

    async def _connect(self) -> psycopg.AsyncConnection:
        return await psycopg.AsyncConnection.connect(
            conninfo(self._url),
            autocommit=True,
            **connect_args(idle_session_timeout=f"{IDLE_SECONDS}s"),
        )

    async def _keep_roles(self, conn: psycopg.AsyncConnection) -> None:
        """Keep them over a connection that is cut, where they are still ours over the next one."""
        try:
            while True:
                began = time.monotonic()
                try:
                    await self._hold(conn)
                except psycopg.Error:
                    if time.monotonic() - began < GOOD_SECONDS:
                        raise
                for role in self._roles.values():
                    role.is_certain = False
                await conn.close()
                async with asyncio.timeout(AGAIN_SECONDS):
                    conn = await self._connect()
        finally:
            for role in self._roles.values():
                role.lose()
            await conn.close()

    async def _hold(self, conn: psycopg.AsyncConnection) -> None:
        while True:
            await within(PING_SECONDS, self._try(conn))
            await asyncio.sleep(TRY_SECONDS)

    async def _try(self, conn: psycopg.AsyncConnection) -> None:
        """Take what nobody has; without anything to take, this shows that the connection lives."""
        open_ = [each for each in self._roles.values() if not each.is_certain]
        found = await conn.execute(_TRY, ([number for each in open_ for number in each.numbers],))
        ours = {number for number, is_ours in await found.fetchall() if is_ours}
        for each in open_:
            if each.numbers <= ours:
                each.take()
                continue
            each.lose()
            if some := each.numbers & ours:
                # Who has all the others may need it.
                await conn.execute(_GIVE_BACK, (list(some),))

    async def _listen(self, conn: psycopg.AsyncConnection) -> None:
        await conn.execute(f"LISTEN {CHANNEL}")
        while True:
            async for notice in conn.notifies(timeout=LISTEN_SECONDS):
                self._hear(notice.payload)
            await within(PING_SECONDS, conn.execute("SELECT 1"))

    def _hear(self, payload: str) -> None:
        try:
            told = json.loads(payload)
            ear = self._ears.get(told["subject"]) if told["from"] != self.name else None
            if ear is not None:
                ear(told["said"])
        except (ValueError, KeyError, TypeError) as error:
            log.warning("replica.not_understood", cause=type(error).__name__)

    async def _speak(self, conn: psycopg.AsyncConnection) -> None:
        while True:
            try:
                async with asyncio.timeout(LISTEN_SECONDS):
                    words = [await self._outgoing.get()]
            except TimeoutError:
                await within(PING_SECONDS, conn.execute("SELECT 1"))
                continue
            while not self._outgoing.empty():
                words.append(self._outgoing.get_nowait())
            await within(PING_SECONDS, conn.execute(_SAY, (CHANNEL, words)))
            await asyncio.sleep(BREATH_SECONDS)


class _Role:
    """What only one process does; ours while `held` is set, unless that is uncertain just now."""

    def __init__(self, parts: Sequence[str]) -> None:
        self.numbers = {to_number("role", each) for each in parts}
        self.held = asyncio.Event()
        self.is_certain = False
        self._lost = asyncio.Event()

    def take(self) -> None:
        self.is_certain = True
        self.held.set()

    def lose(self) -> None:
        self.is_certain = False
        self.held.clear()
        self._lost.set()

    async def do(self, work: Work) -> bool:
        """Whether the work ended by itself; it is cancelled where the role is lost."""
        self._lost.clear()
        if not self.held.is_set():
            return False
        async with alongside(work()) as doing, alongside(self._lost.wait()) as losing:
            await asyncio.wait({doing, losing}, return_when=asyncio.FIRST_COMPLETED)
            if doing.done():
                doing.result()
                return True
            return False


def _own(name: str) -> str:
    """The role that a process has as long as it is there."""
    return f"process {name}"


def to_number(kind: str, name: str) -> int:
    """The 64-bit number by which PostgreSQL knows a lock."""
    digest = hashlib.sha256(f"{kind}:{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
