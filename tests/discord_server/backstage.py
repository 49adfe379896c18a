"""All parts of the local Discord, put together; it knows no HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from tests.discord_server.account_routes import Commands
from tests.discord_server.application import Application
from tests.discord_server.cdn import Cdn
from tests.discord_server.faults import Faults, RateLimits
from tests.discord_server.gateway import Gateway
from tests.discord_server.happenings import Happenings
from tests.discord_server.interactions import Interactions
from tests.discord_server.payloads import Payloads
from tests.discord_server.posting import Posting
from tests.discord_server.threads import Threads
from tests.discord_server.wire import Request
from tests.discord_server.world import World
from tests.fakes import MovableClock

T = TypeVar("T")


class Backstage:
    """What people act upon. Whoever waits for something is woken by `notify`."""

    def __init__(self, clock: MovableClock | None = None) -> None:
        self.clock = clock or MovableClock()
        self.world = World(self.clock)
        bot = self.world.add_user("Ray", is_bot=True)
        self.app = Application(id=bot.id, bot=bot, owner=self.world.add_user("Otto"))
        self.requests: list[Request] = []
        #: Faults of this server itself; a test must not pass with any.
        self.crashes: list[Exception] = []
        self.faults = Faults()
        self.limits = RateLimits()
        self.cdn = Cdn(self.world, self.clock)
        self.payloads = Payloads(self.app, self.cdn)
        self.gateway = Gateway(self.world, self.app, self.payloads, self.notify)
        self.happenings = Happenings(self.payloads, self.gateway.dispatch)
        self.posting = Posting(self.world, self.app, self.cdn, self.happenings)
        self.threads = Threads(self.world, self.app, self.happenings, self.posting)
        self.interactions = Interactions(self.world, self.app, self.happenings, self.posting)
        self.commands = Commands(self.world, self.app)
        self._changed = asyncio.Event()

    def notify(self) -> None:
        """Something happened; whoever waits looks again."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def wait_for(self, look: Callable[[], T], seconds: float = 30.0) -> T:
        """Wait until this finds something; it looks whenever anything happens here."""
        try:
            async with asyncio.timeout(seconds):
                while not (found := look()):
                    await self._changed.wait()
        except TimeoutError:
            told = "\n".join(f"  {each}" for each in self.requests[-20:])
            raise AssertionError(f"It did not happen. The last requests:\n{told}") from None
        return found
