"""What befalls several processes under load, and how long it takes; each story checks itself."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, text

from tests.replicas.fleet import LOOK_SECONDS, Replica
from tests.replicas.town import A_DAY, RUNNING_LIMIT, Town

#: So many run at once in the story about limits.
FEW = 2
FEW_CLIPS = {"clips_per_person_per_day": A_DAY}
GATEWAY, HOUSEKEEPING, WATCH = "discord ", "housekeeping", "watch luma"
GATEWAY_BACK = "gateway back"
#: So long an answer may take, so who asked just before a process died asks again.
ANSWER_SECONDS = 3.5
#: What a dead process has in its hands is with others after so long at most.
HANDED_OVER_SECONDS = 30.0
LOOK_AGAIN_SECONDS = 0.2
#: What a process was just reading when it died is taken up by another one after three minutes.
SETTLE_SECONDS = 220
#: Also what was given away and that nobody has taken yet.
_IN_HAND = text(
    "SELECT id, worker_id FROM procrastinate_jobs WHERE status = 'doing' OR attempts > 0"
)
#: Whoever was killed looks alive for so long; a long step of another one goes on.
BEATING_SECONDS = 4.0
_BEATING = text(
    "SELECT id FROM procrastinate_workers "
    f"WHERE last_heartbeat > now() - interval '{BEATING_SECONDS} seconds'"
)


@dataclass(kw_only=True)
class Told:
    """How a story ended: what is wrong, and what was measured, in seconds or as a number."""

    story: str
    wrong: list[str] = field(default_factory=list)
    measured: dict[str, float] = field(default_factory=dict)
    #: From when to when somebody may have to ask again.
    gaps: list[tuple[float, float]] = field(default_factory=list)

    def note(self, name: str, value: float) -> None:
        """The worst of several counts."""
        self.measured[name] = max(value, self.measured.get(name, 0.0))


@asynccontextmanager
async def under_load(
    town: Town, told: Told, many: int, *, pause: float = 0.4
) -> AsyncIterator[None]:
    """People ask while the block runs; afterwards all is looked at once everything has ended."""
    async with asyncio.TaskGroup() as group:
        around = [group.create_task(each) for each in (town.redeliver(), town.count_running())]
        asking = group.create_task(town.ask(many, pause=pause))
        yield
        await asking
        told.wrong += await town.settled(seconds=SETTLE_SECONDS)
        for each in around:
            each.cancel()
    told.wrong += await town.wrong()
    if town.most_running > RUNNING_LIMIT:
        told.wrong.append(f"{town.most_running} generations at once")
    told.measured["wishes"] = len(town.asked)
    told.measured["asked again"] = len(town.unheard)
    told.wrong += unexcused(town.unheard, told.gaps)


def unexcused(unheard: Sequence[float], gaps: Sequence[tuple[float, float]]) -> list[str]:
    """Who asked while somebody was there to answer, and was not answered."""
    left = [
        at for at in unheard if not any(start - ANSWER_SECONDS <= at <= end for start, end in gaps)
    ]
    if not gaps:
        return [f"{len(left)} not answered, and nothing had happened"] if left else []
    return [f"not answered {at - gaps[-1][0]:+.1f} s after the last gap began" for at in left]


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
    async with under_load(town, told, many, pause=0.2):
        pass
    told.measured["CPU of one at rest, %"] = await _cpu_at_rest(town.fleet.living)
    told.wrong += [f"log: {each['event']}" for each in town.fleet.log()]
    return told


async def _cpu_at_rest(replicas: Sequence[Replica], *, seconds: float = 10.0) -> float:
    """The share of a core that the busiest of them needs without anything to do."""
    before = [each.cpu_seconds for each in replicas]
    await asyncio.sleep(seconds)
    used = [each.cpu_seconds - was for each, was in zip(replicas, before, strict=True)]
    return 100 * max(used) / seconds


async def killed(town: Town, *, many: int = 36) -> Told:
    """SIGKILL for each of the first three, in turn, the one that has the roles first."""
    told = Told(story="kill -9 of each of three in turn")
    await ready(town, 3)
    first = town.fleet.living
    async with under_load(town, told, many):
        await asyncio.sleep(2)
        for _ in range(len(first)):
            left = [each for each in first if each.is_alive]
            victim = max(left, key=lambda each: len(each.roles))
            await kill(town, told, victim)
            await town.fleet.start()
    return told


async def kill(town: Town, told: Told, victim: Replica) -> None:
    """Kill it, and measure who goes on."""
    roles, before = victim.roles, _sessions(town)
    at = await victim.kill()
    in_hand = await town.read(_in_hand)
    async with asyncio.TaskGroup() as group:
        taking = {
            name: group.create_task(_measure(told, name, at, taking_over))
            for name, taking_over in _taking_over(town, victim, roles, before).items()
        }
        group.create_task(_measure(told, "its jobs go on", at, _handed_over(town, in_hand)))
    # Of one without the gateway nobody in Discord notices anything.
    back = taking.get(GATEWAY_BACK)
    told.gaps.append((at, at + (back.result() if back else 0.0)))


def _sessions(town: Town) -> set[str]:
    """Who listens to Discord now."""
    return {each.id for each in town.discord.gateway.connected}


def _taking_over(
    town: Town, victim: Replica, roles: set[str], before: set[str]
) -> dict[str, Coroutine[Any, Any, object]]:
    """What ends when somebody else has one of these roles, and listens to Discord."""
    found: dict[str, Coroutine[Any, Any, object]] = {
        f"{role} back": town.fleet.wait_holder(role, but=victim, seconds=40)
        for role in sorted(roles - {GATEWAY})
    }
    if GATEWAY in roles:
        found[GATEWAY_BACK] = town.discord.wait_for(lambda: bool(_sessions(town) - before), 40)
    return found


async def _measure(
    told: Told, name: str, since: float, waiting: Coroutine[Any, Any, object]
) -> float:
    await waiting
    seconds = time.monotonic() - since
    told.note(name, seconds)
    return seconds


def _in_hand(conn: Connection) -> dict[int, int | None]:
    return {row[0]: row[1] for row in conn.execute(_IN_HAND)}


def _beating(conn: Connection) -> set[int | None]:
    return set(conn.execute(_BEATING).scalars())


async def _handed_over(town: Town, in_hand: dict[int, int | None]) -> None:
    """Wait until others have taken all of it that was with the one that was killed."""
    looks_dead_at = time.monotonic() + BEATING_SECONDS
    async with asyncio.timeout(HANDED_OVER_SECONDS):
        while left := in_hand.items() & (await town.read(_in_hand)).items():
            is_shown = time.monotonic() > looks_dead_at
            if is_shown and {worker for _, worker in left} <= await town.read(_beating):
                return
            await asyncio.sleep(LOOK_AGAIN_SECONDS)


async def rolling(town: Town, *, many: int = 36) -> Told:
    """Each is replaced: SIGTERM, then a new one."""
    told = Told(story="rolling restart of three")
    await ready(town, 3)
    async with under_load(town, told, many):
        for each in town.fleet.living:
            taking_over = _taking_over(town, each, each.roles, _sessions(town))
            began = time.monotonic()
            async with asyncio.TaskGroup() as group:
                for name, waiting in taking_over.items():
                    group.create_task(_measure(told, name, began, waiting))
                group.create_task(_measure(told, "SIGTERM to end", began, each.stop()))
            told.gaps.append((began, time.monotonic()))
            await town.fleet.start()
    told.wrong += [f"log: {each['event']}" for each in town.fleet.log()]
    return told


async def frozen(town: Town, *, many: int = 36, seconds: float = 15.0) -> Told:
    """SIGSTOP of the one with the roles, and SIGCONT after others took them over."""
    told = Told(story=f"SIGSTOP for {seconds:.0f} s")
    await ready(town, 3)
    async with under_load(town, told, many):
        await asyncio.sleep(2)
        victim = await town.fleet.wait_holder(GATEWAY)
        roles, before = victim.roles, _sessions(town)
        at = victim.freeze()
        in_hand = await town.read(_in_hand)
        async with asyncio.TaskGroup() as group:
            for name, waiting in _taking_over(town, victim, roles, before).items():
                group.create_task(_measure(told, name, at, waiting))
            group.create_task(_measure(told, "its jobs go on", at, _handed_over(town, in_hand)))
            await asyncio.sleep(seconds)
        victim.thaw()
        thawed = time.monotonic()
        await _gives_up(victim, roles)
        told.note("gives its roles up", time.monotonic() - thawed)
        told.gaps.append((at, thawed))
    return told


async def _gives_up(victim: Replica, roles: set[str]) -> None:
    async with asyncio.timeout(20):
        while victim.roles & roles:
            await asyncio.sleep(LOOK_SECONDS)


async def limited(town: Town, *, each: int = 8) -> Told:
    """Two processes, four people with eight wishes each at once, of which five are allowed."""
    told = Told(story=f"two processes, limits of {FEW} running and {A_DAY} a day")
    await town.fleet.start(2)
    await town.fleet.wait_holder(WATCH)
    await town.slack.wait_connected(2, seconds=20)
    async with asyncio.TaskGroup() as group:
        counting = group.create_task(town.count_running())
        await asyncio.gather(
            *(
                person.slash("/ray", f"{person.name} wants fox {number}", seconds=20)
                for number in range(each)
                for person in town.slack_people
            )
        )
        told.wrong += await town.settled(seconds=SETTLE_SECONDS)
        counting.cancel()
    told.measured["most at once"] = town.most_running
    told.measured["wishes"] = each * len(town.slack_people)
    allowed = A_DAY * len(town.slack_people)
    told.measured["clips"] = len(town.luma.generations)
    # The prompt begins with who asks.
    paid = Counter(each.order.prompt.split()[0] for each in town.luma.generations.values())
    if town.most_running != FEW or paid != {who.name: A_DAY for who in town.slack_people}:
        told.wrong.append(f"It should be {FEW} at once, and {A_DAY} clips for each: {paid}.")
    told.wrong += await town.wrong(refused=each * len(town.slack_people) - allowed)
    return told
