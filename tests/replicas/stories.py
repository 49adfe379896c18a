"""What befalls several processes under load, and how long it takes; each story checks itself."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, text

from tests.replicas.cluster import A_DAY, RUNNING_LIMIT, Cluster
from tests.replicas.fleet import LOOK_SECONDS, Replica

#: So many run at once in the story about limits.
FEW = 2
FEW_CLIPS = {"clips_per_person_per_day": A_DAY}
#: The first is followed by the shards, where a process has some only.
GATEWAY, HOUSEKEEPING, WATCH = "discord ", "housekeeping", "watch luma"
GATEWAY_BACK, WATCH_BACK, JOBS_GO_ON = "gateway back", f"{WATCH} back", "its jobs go on"
#: Within so many seconds others go on with what a process did that died, and with all that was on
#: a machine which is lost.
DEATH_GOALS, LOST_SECONDS = {GATEWAY_BACK: 2.0, WATCH_BACK: 10.0, JOBS_GO_ON: 10.0}, 30.0
FROZEN_SECONDS = 15.0
#: So long an answer may take, so who asked just before a process died asks again.
ANSWER_SECONDS = 3.5
#: What a dead process has in its hands is with others after so long at most.
HANDED_OVER_SECONDS = 30.0
LOOK_AGAIN_SECONDS = 0.2
#: So long after the last wish all has ended, on a busy machine.
SETTLE_SECONDS = 120
#: Also what was given away, is due, and nobody has taken yet. An order that was under way is due
#: only when the answer to it cannot come any more.
_IN_HAND = text(
    "SELECT id, worker_id FROM procrastinate_jobs"
    " WHERE status = 'doing' OR (attempts > 0 AND coalesce(scheduled_at <= now(), true))"
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
    #: What of it has to be less than this.
    goals: Mapping[str, float] = field(default_factory=dict)
    #: From when to when somebody may have to ask again.
    gaps: list[tuple[float, float]] = field(default_factory=list)

    @property
    def missed(self) -> list[str]:
        """Which goals were not reached; one that was not measured is not, either."""
        found = {name: self.measured.get(name, math.inf) for name in self.goals}
        return [
            f"{name} {found[name]:.3g} s, and not < {goal:g} s"
            for name, goal in self.goals.items()
            if not found[name] < goal
        ]

    def note(self, name: str, value: float) -> None:
        """The worst of several counts."""
        self.measured[name] = max(value, self.measured.get(name, 0.0))


@asynccontextmanager
async def under_load(
    cluster: Cluster, told: Told, many: int, *, pause: float = 0.4
) -> AsyncIterator[None]:
    """People ask while the block runs; afterwards all is looked at once everything has ended."""
    async with asyncio.TaskGroup() as group:
        around = [
            group.create_task(each) for each in (cluster.redeliver(), cluster.count_running())
        ]
        asking = group.create_task(cluster.ask(many, pause=pause))
        yield
        await asking
        told.wrong += await cluster.settled(seconds=SETTLE_SECONDS)
        for each in around:
            each.cancel()
    told.wrong += await cluster.wrong()
    if cluster.most_running > RUNNING_LIMIT:
        told.wrong.append(f"{cluster.most_running} generations at once")
    told.measured["wishes"] = len(cluster.asked)
    told.measured["asked again"] = len(cluster.unheard)
    told.wrong += unexcused(cluster.unheard, told.gaps)


def unexcused(unheard: Sequence[float], gaps: Sequence[tuple[float, float]]) -> list[str]:
    """Who asked while somebody was there to answer, and was not answered."""
    left = [
        at for at in unheard if not any(start - ANSWER_SECONDS <= at <= end for start, end in gaps)
    ]
    if not gaps:
        return [f"{len(left)} not answered, and nothing had happened"] if left else []
    return [f"not answered {at - gaps[-1][0]:+.1f} s after the last gap began" for at in left]


async def ready(cluster: Cluster, many: int) -> None:
    """So many processes work together, and people are heard."""
    await cluster.fleet.start(many)
    await cluster.fleet.wait_holder(GATEWAY)
    await cluster.discord.wait_connected(seconds=20)
    await cluster.wait_slack(many)


async def together(cluster: Cluster, *, many: int = 30) -> Told:
    """Nothing happens to them."""
    told = Told(story="three processes, nothing happens")
    await ready(cluster, 3)
    async with under_load(cluster, told, many, pause=0.2):
        pass
    told.measured["CPU of one at rest, %"] = await _cpu_at_rest(cluster.fleet.living)
    told.wrong += [f"log: {each['event']}" for each in cluster.fleet.log()]
    return told


async def _cpu_at_rest(replicas: Sequence[Replica], *, seconds: float = 10.0) -> float:
    """The share of a core that the busiest of them needs without anything to do."""
    before = [each.cpu_seconds for each in replicas]
    await asyncio.sleep(seconds)
    used = [each.cpu_seconds - was for each, was in zip(replicas, before, strict=True)]
    return 100 * max(used) / seconds


async def killed(cluster: Cluster, *, many: int = 36) -> Told:
    """SIGKILL for each of the first three, in turn, the one that has the roles first."""
    told = Told(story="kill -9 of each of three in turn", goals=DEATH_GOALS)
    await ready(cluster, 3)
    first = cluster.fleet.living
    async with under_load(cluster, told, many):
        await asyncio.sleep(2)
        for _ in range(len(first)):
            left = [each for each in first if each.is_alive]
            victim = max(left, key=lambda each: len(each.roles))
            await kill(cluster, told, victim)
            await cluster.fleet.start()
    return told


async def called(cluster: Cluster, *, many: int = 36) -> Told:
    """Slack calls them in turn; each is killed, as above, while it may just be called."""
    told = await killed(cluster, many=many)
    told.story = "Slack calls three in turn, kill -9 of each"
    told.measured["processes that were called"] = len(cluster.balancer.took)
    if len(cluster.balancer.took) < 2:
        told.wrong.append("all calls went to one process")
    return told


async def kill(cluster: Cluster, told: Told, victim: Replica) -> None:
    """Kill it, and measure who goes on."""
    roles, before = victim.roles, _sessions(cluster)
    at = await victim.kill()
    in_hand = await cluster.read(_in_hand)
    async with asyncio.TaskGroup() as group:
        taking = {
            name: group.create_task(_measure(told, name, at, taking_over))
            for name, taking_over in _taking_over(cluster, victim, roles, before).items()
        }
        group.create_task(_measure(told, JOBS_GO_ON, at, _handed_over(cluster, in_hand)))
    # Of one without the gateway nobody in Discord notices anything.
    back = taking.get(GATEWAY_BACK)
    told.gaps.append((at, at + (back.result() if back else 0.0)))


def _sessions(cluster: Cluster) -> set[str]:
    """Who listens to Discord now."""
    return {each.id for each in cluster.discord.gateway.connected}


def _taking_over(
    cluster: Cluster, victim: Replica, roles: set[str], before: set[str]
) -> dict[str, Coroutine[Any, Any, object]]:
    """What ends when somebody else has one of these roles, and listens to Discord."""
    found: dict[str, Coroutine[Any, Any, object]] = {
        f"{role} back": cluster.fleet.wait_holder(role, but=victim, seconds=40)
        for role in sorted(roles)
        if not role.startswith(GATEWAY)
    }
    if any(role.startswith(GATEWAY) for role in roles):
        found[GATEWAY_BACK] = cluster.discord.wait_for(
            lambda: bool(_sessions(cluster) - before), 40
        )
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


async def _handed_over(cluster: Cluster, in_hand: dict[int, int | None]) -> None:
    """Wait until others have taken all of it that was with the one that was killed."""
    looks_dead_at = time.monotonic() + BEATING_SECONDS
    async with asyncio.timeout(HANDED_OVER_SECONDS):
        while left := in_hand.items() & (await cluster.read(_in_hand)).items():
            is_shown = time.monotonic() > looks_dead_at
            if is_shown and {worker for _, worker in left} <= await cluster.read(_beating):
                return
            await asyncio.sleep(LOOK_AGAIN_SECONDS)


async def rolling(cluster: Cluster, *, many: int = 36) -> Told:
    """Each is replaced: SIGTERM, then a new one."""
    told = Told(story="rolling restart of three")
    await ready(cluster, 3)
    async with under_load(cluster, told, many):
        for each in cluster.fleet.living:
            taking_over = _taking_over(cluster, each, each.roles, _sessions(cluster))
            began = time.monotonic()
            async with asyncio.TaskGroup() as group:
                for name, waiting in taking_over.items():
                    group.create_task(_measure(told, name, began, waiting))
                group.create_task(_measure(told, "SIGTERM to end", began, each.stop()))
            told.gaps.append((began, time.monotonic()))
            await cluster.fleet.start()
    told.wrong += [f"log: {each['event']}" for each in cluster.fleet.log()]
    return told


async def frozen(cluster: Cluster, *, many: int = 36) -> Told:
    """The one with the roles says nothing any more, and later wakes."""
    told = Told(story=f"SIGSTOP for {FROZEN_SECONDS:.0f} s")
    await ready(cluster, 3)
    async with under_load(cluster, told, many):
        await asyncio.sleep(2)
        await freeze(cluster, told, await cluster.fleet.wait_holder(GATEWAY))
    return told


async def freeze(cluster: Cluster, told: Told, victim: Replica) -> None:
    """SIGSTOP, and SIGCONT after others took its roles over; measure who goes on.

    To all others it is as a machine that is lost: nothing is closed, and nothing said.
    """
    roles, before = victim.roles, _sessions(cluster)
    at = victim.freeze()
    in_hand = await cluster.read(_in_hand)
    taking = _taking_over(cluster, victim, roles, before)
    told.goals = dict.fromkeys([*taking, JOBS_GO_ON], LOST_SECONDS)
    async with asyncio.TaskGroup() as group:
        for name, waiting in taking.items():
            group.create_task(_measure(told, name, at, waiting))
        group.create_task(_measure(told, JOBS_GO_ON, at, _handed_over(cluster, in_hand)))
        await asyncio.sleep(FROZEN_SECONDS)
    victim.thaw()
    thawed = time.monotonic()
    await _gives_up(victim, roles)
    told.note("gives its roles up", time.monotonic() - thawed)
    told.gaps.append((at, thawed))


async def _gives_up(victim: Replica, roles: set[str]) -> None:
    async with asyncio.timeout(30):
        while victim.roles & roles:
            await asyncio.sleep(LOOK_SECONDS)


async def limited(cluster: Cluster, *, each: int = 8) -> Told:
    """Two processes, four people with eight wishes each at once, of which five are allowed."""
    told = Told(story=f"two processes, limits of {FEW} running and {A_DAY} a day")
    await cluster.fleet.start(2)
    await cluster.fleet.wait_holder(WATCH)
    await cluster.slack.wait_connected(2, seconds=20)
    async with asyncio.TaskGroup() as group:
        counting = group.create_task(cluster.count_running())
        await asyncio.gather(
            *(
                person.slash("/ray", f"{person.name} wants fox {number}", seconds=20)
                for number in range(each)
                for person in cluster.slack_people
            )
        )
        told.wrong += await cluster.settled(seconds=SETTLE_SECONDS)
        counting.cancel()
    told.measured["most at once"] = cluster.most_running
    told.measured["wishes"] = each * len(cluster.slack_people)
    allowed = A_DAY * len(cluster.slack_people)
    told.measured["clips"] = len(cluster.luma.generations)
    # The prompt begins with who asks.
    paid = Counter(each.order.prompt.split()[0] for each in cluster.luma.generations.values())
    if cluster.most_running != FEW or paid != {who.name: A_DAY for who in cluster.slack_people}:
        told.wrong.append(f"It should be {FEW} at once, and {A_DAY} clips for each: {paid}.")
    told.wrong += await cluster.wrong(refused=each * len(cluster.slack_people) - allowed)
    return told
