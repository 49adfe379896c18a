"""Simulators in a process of their own, and what the bench may ask them beside Luma's API.

It asks through a pipe, so that what is measured sees nothing but that API. The simulator is
imported where it runs: it draws clips, and what that needs belongs to no measured process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, Self, cast

from bench.children import CONTEXT, end
from bot.clock import SystemClock

if TYPE_CHECKING:
    from bot.simulator import Simulator

KEY = "luma-simulator"
START_SECONDS = 60.0
LOOKS = ("GET /generations", "GET /generations/{id}")
PROMPT = "a red fox in snow"
BODY = {
    "model": "ray-flash-2",
    "prompt": PROMPT,
    "aspect_ratio": "1:1",
    "duration": "5s",
    "resolution": "540p",
}


def to_prompt(number: int) -> str:
    """What is asked for by the `number`th request: two with the same words are the same one."""
    return f"{PROMPT}, number {number}"


@dataclass(frozen=True, kw_only=True)
class Account:
    """One simulated account; without `callbacks` each one it would send is lost.

    The first `lost_answers` orders are taken and paid, and the connection closes without a reply.
    Two with the same `seed` take equally long for their first generation, their second and so on.
    """

    min_seconds: float = 20.0
    max_seconds: float = 40.0
    callbacks: bool = False
    manual: bool = False
    full_size: bool = True
    seed: int | None = None
    lost_answers: int = 0

    def open(self) -> Simulator:
        """The simulator: no limits of its own, so that the program's are what is measured."""
        from bot.simulator import Faults, Simulator, SimulatorSettings

        settings = SimulatorSettings(
            api_key=KEY,
            min_seconds=self.min_seconds,
            max_seconds=self.max_seconds,
            manual=self.manual,
            same_clip=True,
            full_size=self.full_size,
            latency_seconds=0.1,
            running_limit=None,
            creates_per_minute=None,
            balance_cents=1e12,
            seed=self.seed,
        )
        faults = Faults()
        if not self.callbacks:
            faults.break_callback("lost", times=50_000)
        faults.drop("create", accepted=True, times=self.lost_answers)
        return Simulator(settings, faults)


@dataclass(frozen=True, kw_only=True)
class Report:
    """What an account saw: requests by kind, and when generations began and were completed."""

    requests: dict[str, int]
    created: dict[str, float] = field(repr=False)
    completed: dict[str, float] = field(repr=False)

    @property
    def looks(self) -> int:
        """GETs of generations, by list or one by one."""
        return sum(self.requests.get(each, 0) for each in LOOKS)

    @property
    def calls(self) -> int:
        """All requests to the API; downloads of clips are none."""
        return sum(count for kind, count in self.requests.items() if "/cdn/" not in kind)


class Service:
    """Some accounts, in one process. Use as a context manager."""

    def __init__(self, accounts: Sequence[Account]) -> None:
        self._pipe, theirs = CONTEXT.Pipe()
        self._process = CONTEXT.Process(
            target=serve, args=(theirs, tuple(accounts)), daemon=True, name="service"
        )
        self._process.start()
        theirs.close()
        self.urls = cast("list[str]", self._receive(START_SECONDS))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        end(self._process)

    def report(self, account: int = 0) -> Report:
        """What this account saw until now."""
        return cast("Report", self._ask("report", account))

    def orders(self, account: int = 0) -> dict[str, str]:
        """What each generation was ordered with in words, by its id."""
        return cast("dict[str, str]", self._ask("orders", account))

    def begin(self, count: int, account: int = 0) -> list[str]:
        """Let so many generations run that nobody asked for by HTTP; their ids, oldest first."""
        return cast("list[str]", self._ask("begin", account, count))

    def finish(self, ids: Collection[str], account: int = 0) -> None:
        """Complete these now."""
        self._ask("finish", account, list(ids))

    def _ask(self, *question: object) -> object:
        self._pipe.send(question)
        return self._receive(START_SECONDS)

    def _receive(self, seconds: float) -> object:
        if not self._pipe.poll(seconds):
            raise TimeoutError("the simulator does not answer")
        return self._pipe.recv()


def serve(pipe: Connection, accounts: Sequence[Account]) -> None:
    """The child: until the bench closes its end."""
    asyncio.run(_serve(pipe, accounts))


async def _serve(pipe: Connection, accounts: Sequence[Account]) -> None:
    async with AsyncExitStack() as stack:
        simulators = [await stack.enter_async_context(each.open()) for each in accounts]
        pipe.send([each.base_url for each in simulators])
        loop = asyncio.get_running_loop()
        asked = asyncio.Event()
        loop.add_reader(pipe.fileno(), asked.set)
        while True:
            await asked.wait()
            asked.clear()
            try:
                while pipe.poll():
                    name, account, *arguments = pipe.recv()
                    pipe.send(await _answer(simulators[account], name, *arguments))
            except (EOFError, OSError):
                loop.remove_reader(pipe.fileno())
                return


async def _answer(simulator: Simulator, name: str, *arguments: Any) -> object:
    match name:
        case "begin":
            return [_begin(simulator) for _ in range(arguments[0])]
        case "finish":
            for each in arguments[0]:
                await simulator.finish(each)
            return None
        case "orders":
            return {each.id: each.order.prompt for each in simulator.generations.values()}
        case _:
            return _report(simulator)


def _begin(simulator: Simulator) -> str:
    from bot.simulator.order import read_order

    origin = simulator.base_url.split("/dream-machine", maxsplit=1)[0]
    order = read_order(BODY)
    generation = simulator.account.create(order, BODY, SystemClock().now(), origin)
    simulator.begin(generation)
    return generation.id


def _report(simulator: Simulator) -> Report:
    generations = simulator.generations.values()
    return Report(
        requests=dict(simulator.requests),
        created={each.id: each.created_at.timestamp() for each in generations},
        completed={
            each.id: each.completed_at.timestamp() for each in generations if each.completed_at
        },
    )
