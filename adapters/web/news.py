"""What changed, for pages that are open: a stream that can be cut and taken up where it was.

Of each card only the latest state is kept, under a number that grows. A page says what it saw
last; whatever changed after that is sent, and nothing else. A number of an earlier process tells
nothing, so then all that a page may show is sent; the page leaves alone what it has already.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.clock import Clock

#: So many cards are remembered, those that changed last.
REMEMBERED = 200
HEARTBEAT = timedelta(seconds=15)
RETRY_MILLISECONDS = 1000
_SEEN = re.compile(r"([0-9a-f]{8})\.([0-9]{1,12})")
#: The page stops listening then, and says so.
SIGNED_OUT = b"event: signed-out\ndata: \n\n"
Everything = Callable[[], Awaitable[list[str]]]
IsIn = Callable[[], Awaitable[datetime | None]]


@dataclass(frozen=True, kw_only=True)
class _Card:
    """How a card looks since it had this number; the `event` is made once for all pages."""

    number: int
    drawn: str
    event: bytes


class News:
    """The latest state of each card that changed, by its name."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._process = secrets.token_hex(4)
        self._number = 0
        #: All that changed after this one is remembered.
        self._oldest = 0
        self._latest: OrderedDict[str, _Card] = OrderedDict()
        self._changed = asyncio.Event()

    @property
    def seen(self) -> str:
        """What a page that is drawn now has seen."""
        return f"{self._process}.{self._number}"

    def tell(self, name: str, drawn: str) -> bool:
        """A card looks like this now; False where it did before, which is no news."""
        if (before := self._latest.get(name)) is not None and before.drawn == drawn:
            return False
        self._number += 1
        event = self._event(self._number, drawn)
        self._latest[name] = _Card(number=self._number, drawn=drawn, event=event)
        self._latest.move_to_end(name)
        if len(self._latest) > REMEMBERED:
            self._oldest = self._latest.popitem(last=False)[1].number
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        return True

    async def stream(
        self, last_seen: str, everything: Everything, is_in: IsIn, *, hidden: str = ""
    ) -> AsyncGenerator[bytes, None]:
        """What a page has not seen yet, and then what comes; `everything` it may show, else.

        `is_in` says how long they may read on, None: no more; then it ends. `hidden` is how names
        begin of what is not for its eyes.
        """
        yield f"retry: {RETRY_MILLISECONDS}\n\n".encode()
        at, until = self._read(last_seen), await is_in()
        while True:
            if until is not None and self._clock.now() >= until:
                until = await is_in()
            if until is None:
                yield SIGNED_OUT
                return
            changed = self._changed
            if at < self._oldest:
                at = self._number
                for drawn in await everything():
                    yield self._event(at, drawn)
            newest = self._number
            for event in self._since(at, hidden):
                yield event
            at = newest
            if self._number <= at:
                await self._clock.wait(changed, min(self._clock.now() + HEARTBEAT, until))
            if not changed.is_set():
                yield b": still here\n\n"

    def _since(self, at: int, hidden: str) -> list[bytes]:
        """What changed after this number, in order: numbers grow from the front to the end."""
        return [
            card.event
            for name, card in self._latest.items()
            if card.number > at and not (hidden and name.startswith(hidden))
        ]

    def _read(self, last_seen: str) -> int:
        """The number that a page saw last; one before all others where it tells nothing."""
        found = _SEEN.fullmatch(last_seen)
        is_ours = found is not None and found[1] == self._process
        number = int(found[2]) if found is not None and is_ours else -1
        return number if number <= self._number else -1

    def _event(self, number: int, drawn: str) -> bytes:
        lines = "".join(f"data: {line}\n" for line in drawn.replace("\r", "").split("\n"))
        return f"id: {self._process}.{number}\nevent: card\n{lines}\n".encode("utf-8", "replace")
