"""One process has a role, another takes it over; turns are one at a time; word goes round."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import psycopg
import pytest

from bot.dispatch.replicas import GOOD_SECONDS, PostgresReplicas
from bot.dispatch.single import SingleProcess
from bot.dispatch.turns import Turns
from bot.errors import StoreError
from bot.replicas import Replicas
from bot.store.postgres import postgres_url
from tests.faults.proxy import FaultProxy
from tests.postgres import CUT, at_server


class Duty:
    """Work that lasts, and whether it is being done."""

    def __init__(self) -> None:
        self.on = asyncio.Event()
        self.off = asyncio.Event()

    async def work(self) -> None:
        self.on.set()
        self.off.clear()
        try:
            await asyncio.Event().wait()
        finally:
            self.on.clear()
            self.off.set()


@asynccontextmanager
async def at_work(
    replicas: Replicas, duty: Duty, role: str = "watch luma", *, parts: Sequence[str] = ()
) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(replicas.run()),
            group.create_task(replicas.alone(role, duty.work, parts=parts)),
        ]
        yield
        for task in tasks:
            task.cancel()


async def test_a_role_passes_on_when_its_process_ends(url: str) -> None:
    first, second, other = Duty(), Duty(), PostgresReplicas(postgres_url(url))
    async with asyncio.timeout(30), asyncio.TaskGroup():
        async with at_work(PostgresReplicas(postgres_url(url)), first):
            await first.on.wait()
            async with at_work(other, second):
                # It has asked, for all of its roles at once, and got the one of its own.
                await other._roles["process"].held.wait()
                assert not second.on.is_set()
                first_on = first.on.is_set()
        assert first_on
        async with at_work(PostgresReplicas(postgres_url(url)), second):
            await second.on.wait()


async def test_who_is_gone_is_known_at_once_and_who_is_back_too(url: str) -> None:
    one, other = PostgresReplicas(postgres_url(url)), PostgresReplicas(postgres_url(url))
    names = {one.name, other.name, "never there"}
    async with asyncio.timeout(30), at_work(one, Duty()):
        async with at_work(other, Duty()):
            while await one.gone(names) != {"never there"}:
                await asyncio.sleep(0.02)
            assert await one.gone(()) == frozenset()
        while await one.gone(names) != {"never there", other.name}:
            await asyncio.sleep(0.02)
        first = holders(url)
        at_server(url, CUT)
        while not holders(url) - first or await one.gone({one.name}):
            await asyncio.sleep(0.02)
    assert await SingleProcess().gone({"earlier"}) == {"earlier"}


async def test_of_roles_that_share_a_part_one_is_had(url: str) -> None:
    """And who waits for it keeps no other part from others."""
    low, both, high = Duty(), Duty(), Duty()
    shards = {"low": ["0"], "both": ["0", "1"], "high": ["1"]}

    def has(role: str, duty: Duty) -> AbstractAsyncContextManager[None]:
        replicas = PostgresReplicas(postgres_url(url))
        return at_work(replicas, duty, role, parts=shards[role])

    async with asyncio.timeout(30), has("low", low):
        await low.on.wait()
        async with has("both", both):
            async with has("high", high):
                await high.on.wait()
                assert not both.on.is_set()
            assert not both.on.is_set()
            low_on = low.on.is_set()
    assert low_on
    async with asyncio.timeout(30), has("both", both):
        await both.on.wait()
        replicas = PostgresReplicas(postgres_url(url))
        assert await replicas.is_held("0")
        assert await replicas.is_held("1")


async def test_a_lost_connection_ends_the_work_until_the_role_is_back(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However late a busy machine notices that it was cut at once.
    monkeypatch.setattr("bot.dispatch.replicas.GOOD_SECONDS", 60.0)
    duty = Duty()
    async with asyncio.timeout(30), at_work(PostgresReplicas(postgres_url(url)), duty):
        await duty.on.wait()
        at_server(url, CUT)
        await duty.off.wait()
        await duty.on.wait()


async def test_a_database_that_does_not_answer_in_time_is_tried_again(url: str) -> None:
    """As a process finds it that was frozen."""
    replicas, tries, again = PostgresReplicas(postgres_url(url)), 0, asyncio.Event()

    async def work(_: object) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise TimeoutError
        again.set()
        await asyncio.Event().wait()

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        task = group.create_task(replicas._again(work))
        await again.wait()
        task.cancel()


async def test_a_connection_that_was_good_and_is_cut_ends_no_work(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody took the role before it was ours again, over the next one."""
    # However long a busy server takes to let the next one in.
    monkeypatch.setattr("bot.dispatch.replicas.AGAIN_SECONDS", 20.0)
    duty = Duty()
    async with asyncio.timeout(30), at_work(PostgresReplicas(postgres_url(url)), duty):
        await duty.on.wait()
        first = holders(url)
        await asyncio.sleep(GOOD_SECONDS)
        at_server(url, CUT)
        while not holders(url) - first:
            await asyncio.sleep(0.02)
        assert duty.on.is_set()
        assert not duty.off.is_set()


def holders(url: str) -> set[int]:
    """The connections that have a role or a turn."""
    with psycopg.connect(url.replace("+psycopg", "")) as conn:
        found = conn.execute(
            "SELECT pid FROM pg_locks JOIN pg_database ON oid = database"
            " WHERE datname = current_database() AND locktype = 'advisory' AND granted"
        )
        return {row[0] for row in found}


@asynccontextmanager
async def behind_proxy(url: str) -> AsyncIterator[tuple[PostgresReplicas, FaultProxy]]:
    """A process whose way to the database can be broken."""
    address = postgres_url(url)
    assert address.host is not None
    assert address.port is not None
    async with FaultProxy(address.host, address.port) as proxy:
        yield PostgresReplicas(address.set(port=proxy.port)), proxy


async def test_a_network_that_swallows_everything_ends_the_role_alone(url: str) -> None:
    """The process goes on, and has the role again once the network is back."""
    duty = Duty()
    async with asyncio.timeout(30), behind_proxy(url) as (near, proxy), at_work(near, duty):
        await duty.on.wait()
        await proxy.break_("freeze")
        await duty.off.wait()
        await proxy.mend()
        await proxy.cut()
        await duty.on.wait()


async def test_turns_are_taken_one_at_a_time(url: str) -> None:
    replicas = [PostgresReplicas(postgres_url(url)) for _ in range(2)]
    busy, most = 0, 0

    async def take(each: PostgresReplicas) -> None:
        nonlocal busy, most
        async with each.turn("status r-a"):
            busy += 1
            most = max(most, busy)
            await asyncio.sleep(0.01)
            busy -= 1

    async with asyncio.timeout(30), at_work(replicas[0], Duty()), at_work(replicas[1], Duty()):
        await asyncio.gather(*(take(each) for _ in range(10) for each in replicas))
    assert most == 1


async def test_turns_that_are_wanted_and_over_together_cost_few_round_trips(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    replicas, exchange, trips = PostgresReplicas(postgres_url(url)), Turns._exchange, 0

    async def count(self: Turns, conn: psycopg.AsyncConnection) -> None:
        nonlocal trips
        trips += 1
        await exchange(self, conn)

    async def take(number: int) -> None:
        async with replicas.turn(f"status r-{number}"):
            await asyncio.sleep(0)

    monkeypatch.setattr(Turns, "_exchange", count)
    async with asyncio.timeout(30), at_work(replicas, Duty()):
        await asyncio.gather(*map(take, range(50)))
        assert trips < 10


async def test_who_is_cancelled_while_waiting_for_a_turn_leaves_it_free(url: str) -> None:
    one, other = (PostgresReplicas(postgres_url(url)) for _ in range(2))

    async def take(each: PostgresReplicas) -> None:
        async with each.turn("status r-a"):
            pass

    async with asyncio.timeout(30), at_work(one, Duty()), at_work(other, Duty()):
        for loops in range(40):
            # Before it is asked for, and while it is.
            waiting = asyncio.ensure_future(take(one))
            for _ in range(loops):
                await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait({waiting})
            await take(other)
        # Once it is had, and before who asked for it hears of that. The other one has given it
        # back by then, not only said that it is over.
        await take(one)
        waiting, turns = asyncio.ensure_future(take(one)), one._turns
        while not (asked := [each for each in turns._wanted.values() if not each.done()]):
            await asyncio.sleep(0)
        while not asked[0].done():
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        assert (asked[0].result(), waiting.cancelled()) == (True, True)
        await take(other)
        async with other.turn("status r-a"):
            waiting = asyncio.ensure_future(take(one))
            await asyncio.wait({waiting}, timeout=0.05)
            waiting.cancel()
        await take(other)
        await take(one)


async def test_a_turn_ends_with_its_connection_and_the_next_are_asked_for_over_another(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever had it goes on unaware of that."""
    # Who waits is asked for at once, not with the next sign of life.
    monkeypatch.setattr("bot.dispatch.turns.PING_SECONDS", 60.0)
    one, other = (PostgresReplicas(postgres_url(url)) for _ in range(2))
    async with asyncio.timeout(30), at_work(one, Duty()), at_work(other, Duty()):
        async with one.turn("status r-a"):
            at_server(url, CUT)
            async with other.turn("status r-a"):
                pass
        async with other.turn("status r-a"):
            waiting = asyncio.ensure_future(one.turn("status r-a").__aenter__())
            await asyncio.wait({waiting}, timeout=0.3)
            assert not waiting.done()
        await waiting


async def test_a_connection_that_says_nothing_any_more_keeps_nobody_waiting(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even the end that the server makes of it comes through."""
    monkeypatch.setattr("bot.dispatch.replicas.IDLE_SECONDS", 600)
    monkeypatch.setattr("bot.dispatch.turns.SILENT_SECONDS", 2.0)
    duty = Duty()
    async with asyncio.timeout(30), behind_proxy(url) as (near, proxy), at_work(near, duty):
        await duty.on.wait()
        await proxy.break_("freeze")
        waiting = asyncio.ensure_future(near.turn("status r-a").__aenter__())
        await duty.off.wait()
        await proxy.mend()
        await waiting


async def test_all_who_wait_for_a_turn_in_vain_hear_so_at_the_same_time(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = (PostgresReplicas(postgres_url(url)) for _ in range(2))
    ask, asking = Turns._ask, 0

    async def count(self: Turns, number: int) -> None:
        nonlocal asking
        asking += 1
        await ask(self, number)

    at_hand = at_work(one, Duty()), at_work(other, Duty())
    async with asyncio.timeout(30), at_hand[0], at_hand[1], other.turn("status r-a"):
        monkeypatch.setattr("bot.dispatch.turns.PATIENCE_SECONDS", 0.3)
        monkeypatch.setattr(Turns, "_ask", count)
        waiting = [one.turn("status r-a").__aenter__() for _ in range(20)]
        told = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(each) for each in told] == [StoreError] * 20
    # One asks, and maybe some to whom it falls within the moment in which all give up.
    assert asking < 10


@pytest.mark.parametrize("word", ["nudge", "a quote ' and a \\ and ä"])
async def test_others_hear_what_is_told_and_oneself_does_not(url: str, word: str) -> None:
    one, other = PostgresReplicas(postgres_url(url)), PostgresReplicas(postgres_url(url))
    heard: asyncio.Queue[Mapping[str, str]] = asyncio.Queue()
    own: list[Mapping[str, str]] = []
    one.on("nudge", own.append)
    other.on("nudge", heard.put_nowait)
    async with asyncio.timeout(30), at_work(one, Duty()), at_work(other, Duty()):
        while heard.empty():
            one.tell("nudge", provider=word)
            one.tell("unknown", provider=word)
            await asyncio.sleep(0.05)
        assert await heard.get() == {"provider": word}
        while not own:
            other.tell("nudge", provider="an answer")
            await asyncio.sleep(0.05)
    assert own[0] == {"provider": "an answer"}


async def test_a_single_process_has_every_role_and_takes_turns() -> None:
    single, duty = SingleProcess(), Duty()
    async with asyncio.timeout(30), at_work(single, duty):
        await duty.on.wait()
        async with single.turn("a"):
            waiting = asyncio.ensure_future(single.turn("a").__aenter__())
            await asyncio.sleep(0)
            assert not waiting.done()
        await waiting


async def test_a_turn_is_for_one_at_a_time_however_many_want_it() -> None:
    single, busy, most = SingleProcess(), 0, 0

    async def take(times: int) -> None:
        nonlocal busy, most
        for _ in range(times):
            async with single.turn("a"):
                busy += 1
                most = max(most, busy)
                await asyncio.sleep(0)
                busy -= 1

    # Who comes just when a turn is handed on waits, too.
    await asyncio.gather(*(take(3) for _ in range(3)))
    assert (most, single._turns) == (1, {})
