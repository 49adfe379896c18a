"""Of several processes that know other providers, one gives up no job that another one serves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from bot.dispatch.replicas import PostgresReplicas
from bot.job import JobState
from bot.replicas import drain_role, watch_role
from bot.store.database import open_database
from bot.store.postgres import postgres_url
from tests.bot.store.conftest import Books
from tests.bot.test_operations import Office
from tests.fakes import MovableClock
from tests.postgres import postgres_database

S = JobState


@pytest.fixture
def url() -> Iterator[str]:
    with postgres_database() as found:
        yield found


@pytest.fixture
async def office(url: str, clock: MovableClock) -> AsyncIterator[Office]:
    """A process with no provider at all, on a database that others share."""
    database = open_database(url)
    await database.start()
    yield Office(Books(database), clock, replicas=PostgresReplicas(postgres_url(url)))
    await database.stop()


@asynccontextmanager
async def another(url: str, role: str) -> AsyncIterator[None]:
    """Another process has a role with a provider that this one does not serve."""
    other, on = PostgresReplicas(postgres_url(url)), asyncio.Event()

    async def watch() -> None:
        on.set()
        await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(other.run()),
            group.create_task(other.alone(role, watch)),
        ]
        await on.wait()
        yield
        for task in tasks:
            task.cancel()


async def look_for(office: Office, minutes: int) -> None:
    """So many minutes pass."""
    await office.operations.unserved.look()
    for _ in range(minutes):
        office.clock.move(minutes=1)
        await office.operations.unserved.look()


async def test_what_another_process_serves_waits_on(office: Office, url: str) -> None:
    waiting = await office.books.reach(S.ACCEPTED)
    async with asyncio.timeout(30), another(url, watch_role("luma")):
        await office.start("other")
        await look_for(office, 15)
    assert await office.books.get(waiting.id) == waiting
    assert await office.untold() == []


async def test_what_no_process_serves_is_told_and_ends_later(office: Office) -> None:
    waiting, runs = await office.books.reach(S.ACCEPTED), await office.books.reach(S.GENERATING)
    await office.start("other")
    await look_for(office, 9)
    assert await office.books.get(waiting.id) == waiting
    [key] = await office.untold()
    assert key.startswith("unserved:luma:")
    await look_for(office, 1)
    ended = await office.books.get(waiting.id)
    assert (ended.state, ended.cost) == (S.FAILED, 0)
    assert office.announced == [waiting.id]
    assert await office.books.get(runs.id) == runs
    assert await office.untold() == [key, f"unserved:{runs.id}"]
    assert await office.books.broken() == {}


async def test_what_a_service_has_that_is_draining_is_not_told_and_what_waits_ends_later(
    office: Office, url: str
) -> None:
    runs = await office.books.reach(S.GENERATING)
    await office.start("other", draining=["luma"])
    async with asyncio.timeout(30), another(url, drain_role("luma")):
        await look_for(office, 15)
        assert await office.untold() == []
        waiting = await office.books.reach(S.ACCEPTED)
        await look_for(office, 9)
        assert await office.books.get(waiting.id) == waiting
        await look_for(office, 1)
    assert (await office.books.get(waiting.id)).state is S.FAILED
    assert await office.books.get(runs.id) == runs
    assert len(await office.untold()) == 1
    assert await office.books.broken() == {}


async def test_what_another_process_drains_is_not_told_and_what_waits_there_ends_later(
    office: Office, url: str
) -> None:
    runs = await office.books.reach(S.GENERATING)
    async with asyncio.timeout(30), another(url, drain_role("luma")):
        await office.start("other")
        await look_for(office, 15)
        assert await office.untold() == []
        waiting = await office.books.reach(S.ACCEPTED)
        await look_for(office, 10)
    assert (await office.books.get(waiting.id)).state is S.FAILED
    assert await office.books.get(runs.id) == runs
    assert len(await office.untold()) == 1


async def test_a_process_that_comes_back_is_waited_for_anew(office: Office, url: str) -> None:
    waiting = await office.books.reach(S.ACCEPTED)
    await look_for(office, 9)
    async with asyncio.timeout(30), another(url, watch_role("luma")):
        await look_for(office, 1)
    async with asyncio.timeout(30):
        while await office.replicas.is_held(watch_role("luma")):
            await asyncio.sleep(0.01)
    await look_for(office, 9)
    assert await office.books.get(waiting.id) == waiting


async def test_a_role_is_held_while_a_process_has_it(office: Office, url: str) -> None:
    async with asyncio.timeout(30):
        async with another(url, watch_role("luma")):
            assert await office.replicas.is_held(watch_role("luma"))
            assert not await office.replicas.is_held(watch_role("fal"))
        while await office.replicas.is_held(watch_role("luma")):
            await asyncio.sleep(0.01)
