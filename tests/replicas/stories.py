"""What befalls several processes under load, and how long it takes; each story checks itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, text

from tests.replicas.fleet import LOOK_SECONDS, Replica
from tests.replicas.town import Town

GATEWAY, HOUSEKEEPING, WATCH = "discord ", "housekeeping", "watch luma"
#: What a dead process has in its hands is with others after so long at most.
HANDED_OVER_SECONDS = 30.0
LOOK_AGAIN_SECONDS = 0.2
_IN_HAND = text("SELECT id, worker_id FROM procrastinate_jobs WHERE status = 'doing'")


@dataclass(kw_only=True)
class Told:
    """How a story ended: what is wrong, and what was measured, in seconds or as a number."""

    story: str
    wrong: list[str] = field(default_factory=list)
    measured: dict[str, float] = field(default_factory=dict)

    def note(self, name: str, value: float) -> None:
        """The worst of several counts."""
        self.measured[name] = max(value, self.measured.get(name, 0.0))


@asynccontextmanager
async def under_load(
    town: Town, told: Told, many: int, *, pause: float = 0.2
) -> AsyncIterator[None]:
    """People ask while the block runs; afterwards all is looked at once everything has ended."""
    async with asyncio.TaskGroup() as group:
        again = group.create_task(town.redeliver())
        asking = group.create_task(town.ask(many, pause=pause))
        yield
        await asking
        await town.settled()
        again.cancel()
    told.wrong += await town.wrong()
    told.measured["wishes"] = len(town.asked)
    told.measured["asked again"] = town.unheard


async def ready(town: Town, many: int) -> None:
    """So many processes work together, and people are heard."""
    await town.fleet.start(many)
    await town.fleet.wait_holder(GATEWAY)
    await town.discord.wait_connected(seconds=20)
    await town.slack.wait_connected(many, seconds=20)


async def together(town: Town, *, many: int = 30) -> Told:
    """Nothing happens to them."""
    told = Told(story="three processes, nothing happens")
    await ready(town, 3)
    async with under_load(town, told, many, pause=0.1):
        pass
    told.wrong += [f"log: {each['event']}" for each in town.fleet.log()]
    return told


async def killed(town: Town, *, many: int = 45) -> Told:
    """SIGKILL for each of the first three, in turn, the one that has the roles first."""
    told = Told(story="kill -9 of each of three in turn")
    await ready(town, 3)
    first = town.fleet.living
    async with under_load(town, told, many):
        await asyncio.sleep(2)
        for _ in range(len(first)):
            left = [each for each in first if each.is_alive]
            victim = max(left, key=lambda each: len(each.roles))
            await _kill(town, told, victim)
            await town.fleet.start()
    return told


async def _kill(town: Town, told: Told, victim: Replica) -> None:
    """Kill it, and measure who goes on."""
    roles = victim.roles
    before = {each.id for each in town.discord.gateway.connected}
    at = await victim.kill()
    in_hand = await town.read(_in_hand)
    if GATEWAY in roles:
        await town.discord.wait_for(
            lambda: any(each.id not in before for each in town.discord.gateway.connected), 30
        )
        told.note("gateway back", time.monotonic() - at)
    for role in sorted(roles - {GATEWAY}):
        await town.fleet.wait_holder(role)
        told.note(f"{role} back", time.monotonic() - at)
    await _handed_over(town, in_hand)
    told.note("its jobs go on", time.monotonic() - at)


def _in_hand(conn: Connection) -> dict[int, int | None]:
    return {row[0]: row[1] for row in conn.execute(_IN_HAND)}


async def _handed_over(town: Town, in_hand: dict[int, int | None]) -> None:
    """Wait until nothing of it is still with whoever had it."""
    async with asyncio.timeout(HANDED_OVER_SECONDS):
        while in_hand.items() & (await town.read(_in_hand)).items():
            await asyncio.sleep(LOOK_AGAIN_SECONDS)


async def rolling(town: Town, *, many: int = 45) -> Told:
    """Each is replaced: SIGTERM, then a new one."""
    told = Told(story="rolling restart of three")
    await ready(town, 3)
    async with under_load(town, told, many):
        for each in town.fleet.living:
            roles = each.roles
            before = {session.id for session in town.discord.gateway.connected}
            began = time.monotonic()
            stopping = asyncio.ensure_future(each.stop())
            if GATEWAY in roles:
                await town.discord.wait_for(
                    lambda: any(s.id not in before for s in town.discord.gateway.connected),  # noqa: B023 - awaited here
                    30,
                )
                told.note("gateway back", time.monotonic() - began)
            for role in sorted(roles - {GATEWAY}):
                await town.fleet.wait_holder(role, but=each)
                told.note(f"{role} back", time.monotonic() - began)
            told.note("SIGTERM to end", await stopping)
            await town.fleet.start()
    told.wrong += [f"log: {each['event']}" for each in town.fleet.log()]
    return told


async def frozen(town: Town, *, many: int = 45, seconds: float = 15.0) -> Told:
    """SIGSTOP of the one with the roles, and SIGCONT after others took them over."""
    told = Told(story=f"SIGSTOP for {seconds:.0f} s")
    await ready(town, 3)
    async with under_load(town, told, many):
        await asyncio.sleep(2)
        victim = await town.fleet.wait_holder(GATEWAY)
        roles = victim.roles
        before = {each.id for each in town.discord.gateway.connected}
        at = victim.freeze()
        in_hand = await town.read(_in_hand)
        async with asyncio.TaskGroup() as group:
            group.create_task(_measure(told, "gateway back", at, _new_session(town, before)))
            group.create_task(_measure(told, "its jobs go on", at, _handed_over(town, in_hand)))
            for role in sorted(roles - {GATEWAY}):
                waiting = town.fleet.wait_holder(role, but=victim, seconds=40)
                group.create_task(_measure(told, f"{role} back", at, waiting))
            await asyncio.sleep(max(0.0, at + seconds - time.monotonic()))
        victim.thaw()
        thawed = time.monotonic()
        await _gives_up(victim, roles)
        told.note("gives its roles up", time.monotonic() - thawed)
    return told


async def _measure(told: Told, name: str, since: float, waiting: Any) -> None:
    await waiting
    told.note(name, time.monotonic() - since)


async def _new_session(town: Town, before: set[str]) -> None:
    await town.discord.wait_for(
        lambda: any(each.id not in before for each in town.discord.gateway.connected), 40
    )


async def _gives_up(victim: Replica, roles: set[str]) -> None:
    async with asyncio.timeout(20):
        while victim.roles & roles:
            await asyncio.sleep(LOOK_SECONDS)
