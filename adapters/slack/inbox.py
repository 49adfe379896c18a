"""What was kept and acknowledged, and not carried out by the process that heard it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from adapters.slack.addresses import NAME
from adapters.slack.events import SlackEvent, read_kept
from adapters.slack.render import draw_sentence
from bot.clock import Clock
from bot.errors import StoreError
from bot.log import get_logger

if TYPE_CHECKING:
    from bot.studio import Noted, Studio

log = get_logger(__name__)
#: After a longer break a person has asked again; the studio sees it the same way.
CARRIED_OUT_WITHIN = timedelta(minutes=10)
#: Where others are at work, each looks so often for what nobody has in hand any more.
LOOK_EVERY = timedelta(seconds=5)
#: What was left of so many people is carried out at once.
AT_ONCE = 16
Person = tuple[str, str]
TOO_LATE = draw_sentence(
    "Raybot was restarted, and what you asked for then was not started. Please ask again."
)


class SlackInbox:
    """Keeps what comes in, and what was left carries it out late, or tells that it is too late."""

    def __init__(
        self,
        studio: Studio,
        *,
        clock: Clock,
        carry_out: Callable[[SlackEvent], Awaitable[None]],
        tell_late: Callable[[SlackEvent], Awaitable[None]],
    ) -> None:
        self._inbox = studio.inbox
        self._replicas = studio.replicas
        self._clock = clock
        self._carry_out = carry_out
        self._tell_late = tell_late
        self._in_hand: set[str] = set()
        self._late: dict[Person, asyncio.Task[None]] = {}
        self._places = asyncio.Semaphore(AT_ONCE)

    async def at_start(self) -> Sequence[Noted]:
        """What the last process left; where others are at work, that shows later."""
        return await self._inbox.undone(NAME) if self._replicas.is_single else ()

    async def run(self, left: Sequence[Noted]) -> None:
        """Take up what was left; where others are at work, look until cancelled for more."""
        async with asyncio.TaskGroup() as group:
            self._take_up(left, group)
            if not self._replicas.is_single:
                await self._look(group)

    async def note(self, heard: SlackEvent) -> bool:
        """Keep it, where it must survive this process; False where it was told before."""
        if not heard.is_kept:
            return True
        return await self._inbox.note(NAME, heard.key, heard.model_dump(mode="json"))

    @asynccontextmanager
    async def in_hand(self, heard: SlackEvent) -> AsyncIterator[None]:
        """Carry it out in this block, however long that takes; nobody else takes it up."""
        if not heard.is_kept:
            yield
            return
        self._in_hand.add(heard.key)
        try:
            yield
            await self._done(heard.key)
        finally:
            self._in_hand.discard(heard.key)

    async def _done(self, key: str) -> None:
        try:
            await self._inbox.done(NAME, key)
        except StoreError as error:
            # It is carried out again later; a job has its own key against that.
            log.error("slack.not_noted", cause=error.sentence)  # noqa: TRY400

    async def _look(self, group: asyncio.TaskGroup) -> None:
        """Take up what is seen in nobody's hands twice: a process may be cut off for a moment."""
        before = frozenset[str]()
        while True:
            # Who is at something now may have done it before the answer to the read is here.
            self._late = {who: task for who, task in self._late.items() if not task.done()}
            try:
                left = await self._left(frozenset(self._in_hand))
                again = [each for each in left if each.key in before]
                self._take_up(await self._inbox.take(NAME, again) if again else (), group)
                before = frozenset(each.key for each in left)
            except StoreError as error:
                before = frozenset()
                log.error("slack.inbox_unread", cause=error.sentence)  # noqa: TRY400
            await self._clock.wait(asyncio.Event(), self._clock.now() + LOOK_EVERY)

    async def _left(self, at_it: frozenset[str]) -> Sequence[Noted]:
        """What this process has no longer in hand, or a process had that is gone."""
        undone = [each for each in await self._inbox.undone(NAME) if each.key not in at_it]
        own = self._replicas.name
        gone = await self._replicas.gone({each.held_by for each in undone} - {own})
        return [each for each in undone if each.held_by == own or each.held_by in gone]

    def _take_up(self, left: Sequence[Noted], group: asyncio.TaskGroup) -> None:
        """Begin with it: a person's requests in their order, beside those of others."""
        by_person: dict[Person, list[Noted]] = {}
        for noted in left:
            person = str(noted.payload.get("workspace")), str(noted.payload.get("user"))
            by_person.setdefault(person, []).append(noted)
        for person in [each for each in by_person if each not in self._late]:
            work = self._one_by_one(by_person[person])
            self._late[person] = group.create_task(work, name="slack left")

    async def _one_by_one(self, left: Sequence[Noted]) -> None:
        oldest = self._clock.now() - CARRIED_OUT_WITHIN
        for noted in left:
            async with self._places:
                await self._end(noted, oldest)

    async def _end(self, noted: Noted, oldest: datetime) -> None:
        if (heard := read_kept(noted.payload)) is None:
            log.error("slack.not_carried_out", cause="Another version kept it.")
            await self._done(noted.key)
        elif noted.received_at >= oldest or heard.kind in ("gone", "reaction"):
            await self._carry_out(heard)
        else:
            await self._tell_late(heard)
            await self._done(noted.key)
