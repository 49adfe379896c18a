"""Forgets people who ask for it, and places some days after they removed the bot.

What is to go is a row for each job, so that what one process began the next one ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

from bot.bot_context import BotContext
from bot.clips import Clips
from bot.clock import Clock
from bot.courier import Courier
from bot.errors import BotError, Stale, StoreError, ThreadGone, asks_for_no_clip
from bot.job import TERMINAL, Job
from bot.log import get_logger
from bot.overview import Belongings, Forgetting
from bot.refs import JobId
from bot.request import Requester
from bot.routing.planning import Planner
from bot.store import erasing, jobs, messages, places, settings
from bot.store.database import Database
from bot.store.transaction import Tx
from bot.studio.removal import take_down
from bot.studio.rights import Rights, to_person
from bot.upkeep import for_each

log = get_logger(__name__)
#: How long a place that left may come back to its content.
KEPT_FOR_PLACES = timedelta(days=7)
LOOK_EVERY = timedelta(hours=1)
#: How soon it is looked again for what is still being made, or cannot be reached.
SOON, LATER = timedelta(minutes=1), timedelta(minutes=10)
#: How long after its end a request's images may still be in the middle of being read.
SETTLED_AFTER = timedelta(minutes=2)
#: How long to wait for a message that may have been posted.
TOLD_WITHIN = timedelta(hours=1)
#: How long before what cannot be reached is the operator's to remove.
GIVE_UP_AFTER = timedelta(days=7)
#: Takes a job back for its person.
Cancel = Callable[[JobId, Requester], Awaitable[object]]


class Keeper(Protocol):
    """An adapter that keeps something of people by itself."""

    async def count(self, person: str) -> tuple[int, int]:
        """How many images and messages of somebody it keeps; none of another adapter's person."""

    async def forget(self, person: str) -> None:
        """Let all of that go, now; fine if there is nothing. Raises `StoreError`."""


class Erasure:
    """Forgets what it can now; what a service or a chat does not let go yet is tried again."""

    def __init__(
        self,
        *,
        database: Database,
        planner: Planner,
        clips: Clips,
        clock: Clock,
        context: BotContext,
        rights: Rights,
        courier: Courier,
        cancel: Cancel,
    ) -> None:
        self._database = database
        self._planner = planner
        self._providers = {each.name: each for each in (*planner.providers, *planner.draining)}
        self._clips = clips
        self._clock = clock
        self._context = context
        self._rights = rights
        self._courier = courier
        self._cancel = cancel
        self._due = asyncio.Event()
        self._keepers: list[Keeper] = []

    def also(self, keeper: Keeper) -> None:
        """What this one keeps is counted and goes, too."""
        self._keepers.append(keeper)

    def wake(self) -> None:
        """There is something to do."""
        self._due.set()

    # ---- what is asked for ---------------------------------------------------------------

    @asks_for_no_clip
    async def forget(self, requester: Requester, *, is_confirmed: bool = False) -> Forgetting:
        """What there is of a person in this place; once `is_confirmed` all of it goes.

        It goes on by itself, also after a restart. Asked for again it does nothing more.
        """
        person, now = requester.person, self._clock.now()
        what = await self._belongings(person)

        def begin(tx: Tx) -> bool:
            is_kept = bool(what.brought or what.said)
            if not is_kept and erasing.belongings(tx.conn, person).is_empty:
                return False
            self._begin(tx, person, now)
            settings.write_audit(tx, now, actor=person, act="forget", target=person, detail="")
            return True

        is_begun = is_confirmed and not what.is_empty
        if is_begun:
            await self._let_go(person)
            is_begun = await self._database.write(begin)
        return Forgetting(what=what, is_begun=is_begun)

    async def forget_other(
        self, tenant: str, user: str, *, actor: Requester, is_confirmed: bool = False
    ) -> Forgetting:
        """Forget somebody in a place on behalf of who runs it, which is remembered.

        The adapter has checked that `actor` may. Raises `NotAllowed` and `InvalidRequest`.
        """
        person = to_person(tenant, user)
        self._rights.check(tenant, actor=actor)
        what = await self._belongings(person)
        is_begun = is_confirmed and not what.is_empty
        if is_begun:
            await self._let_go(person)
            await self._rights.act(
                tenant,
                actor,
                "forget",
                lambda tx, now: self._begin(tx, person, now),
                target=person,
            )
        return Forgetting(what=what, of=user, is_begun=is_begun)

    async def _belongings(self, person: str) -> Belongings:
        what = await self._database.read(lambda conn: erasing.belongings(conn, person))
        for keeper in self._keepers:
            images, messages = await keeper.count(person)
            what = replace(what, brought=what.brought + images, said=what.said + messages)
        return what

    async def _let_go(self, person: str) -> None:
        # Before it is written: where it fails they are told, and ask again.
        for keeper in self._keepers:
            await keeper.forget(person)

    def _begin(self, tx: Tx, person: str, now: datetime) -> None:
        erasing.begin(tx, person, now)
        tx.after_commit(self.wake)
        tx.after_commit(self._courier.wake)

    # ---- what goes -----------------------------------------------------------------------

    async def run(self) -> None:
        """Remove what is to go until cancelled."""
        while True:
            self._due.clear()
            try:
                pause = await self.carry_on()
            except StoreError as error:
                log.error("erasure.store_failed", cause=error.sentence)  # noqa: TRY400
                pause = SOON
            await self._clock.wait(self._due, self._clock.now() + pause)

    async def carry_on(self) -> timedelta:
        """Remove all that can go now; how long to wait with the rest."""
        await self._look_at_places()
        await self._database.write(erasing.begin_strewn)
        try:
            left = await self._erase_due()
        finally:
            await self._end_places()
        if not left:
            return LOOK_EVERY
        return SOON if any(each.job.ended_at is None for each in left) else LATER

    async def _erase_due(self) -> list[erasing.Erasing]:
        left, before = await self._database.read(erasing.due), None
        while left and len(left) != before:
            before = len(left)
            await for_each(left, self._try, name=lambda each: each.job.id)
            # One may have waited for another.
            left = await self._database.read(erasing.due)
        return left

    async def _look_at_places(self) -> None:
        """What waits in a place that left is taken back, and what was there goes in time."""
        long_ago = self._clock.now() - KEPT_FOR_PLACES
        await self._database.write(places.come_back_used)
        for tenant in await self._database.read(places.away):
            await self._take_back(tenant)
        for tenant in await self._gone(long_ago):
            await self._begin_place(tenant, long_ago)

    async def _take_back(self, tenant: str) -> None:
        for job in await self._database.read(lambda conn: erasing.waiting(conn, tenant)):
            with suppress(BotError):
                await self._cancel(job.id, job.request.requester)

    async def _begin_place(self, tenant: str, long_ago: datetime) -> None:
        await self._database.write(lambda tx: erasing.begin_place(tx, tenant, long_ago))

    async def _gone(self, long_ago: datetime) -> list[str]:
        return await self._database.read(lambda conn: places.away(conn, before=long_ago))

    async def _end_places(self) -> None:
        long_ago = self._clock.now() - KEPT_FOR_PLACES
        for tenant in await self._gone(long_ago):
            await self._end_place(tenant, long_ago)

    async def _end_place(self, tenant: str, long_ago: datetime) -> None:
        if await self._database.write(lambda tx: erasing.finish_place(tx, tenant, long_ago)):
            log.info("place.forgotten", tenant=tenant)

    # ---- one job -------------------------------------------------------------------------

    async def _try(self, due: erasing.Erasing) -> None:
        job, now = due.job, self._clock.now()
        try:
            is_done = await self._erase(job, is_gone=due.is_gone)
        except BotError as error:
            if isinstance(error, StoreError) and not isinstance(error, Stale):
                raise
            log.info("erasure.put_off", job=job.id, cause=type(error).__name__)
            is_done = job.erased_at is not None and now - job.erased_at >= GIVE_UP_AFTER
            if is_done:
                await self._give_up(job, error)
        if is_done:
            await self._database.write(lambda tx: erasing.finish(tx, job.id))

    async def _erase(self, job: Job, *, is_gone: bool) -> bool:
        """Remove what is a job's; False while it or another has to end first."""
        if job.state not in TERMINAL and not await self._end(job):
            return False
        if job.film is not None and not await self._has_ended(job.film):
            return False
        job = await self._database.read(lambda conn: jobs.get(conn, job.id))
        now = self._clock.now()
        age = now - job.ended_at if job.ended_at is not None else KEPT_FOR_PLACES
        if job.accepted_at is None and age < SETTLED_AFTER:
            return False
        if age < TOLD_WITHIN and not is_gone and await self._is_being_told(job):
            return False
        if job.erased_at is None:
            if not is_gone:
                # A copy whose post was not answered is found by its clip alone.
                await self._courier.settle(job.id, is_begun=True)
            if job.clip is not None:
                await self._clips.delete(job.clip)
            await self._planner.forget_images(job)
            await self._database.write(lambda tx: erasing.blank(tx, job.id, now, is_gone=is_gone))
            self._courier.wake()
        # In direct messages the bot is still there.
        if not is_gone or job.request.requester.is_outside:
            await self._unpost(job)
        return await self._forget_generations(job)

    async def _is_being_told(self, job: Job) -> bool:
        key = messages.status_key(job.id)
        return (await self._database.read(lambda conn: messages.get(conn, key))).is_begun

    async def _unpost(self, job: Job) -> None:
        posted = await self._database.read(lambda conn: erasing.posts(conn, job))
        left = await take_down(self._context, job.id, posted)
        if left is not None:
            await self._database.write(lambda tx: left.note(tx, self._clock.now()))
        for message in posted[-1:]:
            with suppress(ThreadGone):
                await self._courier.clear_thread_title(job, message)

    async def _end(self, job: Job) -> bool:
        """Whether a job has ended that its person cannot wait for; what runs on ends later."""
        if job.film is None and not job.cancel_requested:
            await self._cancel(job.id, job.request.requester)
        return await self._has_ended(job.id)

    async def _has_ended(self, job_id: JobId) -> bool:
        return (await self._database.read(lambda conn: jobs.get(conn, job_id))).state in TERMINAL

    async def _forget_generations(self, job: Job) -> bool:
        leaning = await self._database.read(lambda conn: erasing.leaning(conn, job.id))
        if leaning != "nobody":
            return leaning == "for good"
        for name, generation_id in await self._database.read(
            lambda conn: erasing.generations(conn, job.id)
        ):
            if (provider := self._providers.get(name)) is not None:
                await provider.forget(generation_id)
        return True

    async def _give_up(self, job: Job, error: BotError) -> None:
        now = self._clock.now()
        sentence = (
            f"{job.id} is forgotten, but something of it could not be removed: {error.sentence} "
            "Please remove its message or its generation by hand."
        )
        await self._database.write(
            lambda tx: settings.note_operator(tx, f"erasure:{job.id}", sentence, now, job.id)
        )
