"""What a person decides about a film in the making; how it goes on by itself is the tracker's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from bot.bot_context import BotContext
from bot.clock import Clock
from bot.errors import InvalidRequest, NotNow, QuotaExceeded, Stale, TooLate, asks_for_no_clip
from bot.job import TERMINAL, Job, JobState, Plan
from bot.notices import Notice
from bot.refs import JobId
from bot.request import Requester, StoryWork, to_video
from bot.routing.failover import without_alternatives
from bot.routing.planning import Planner
from bot.store import jobs, stories
from bot.store.database import Database
from bot.store.transaction import Tx
from bot.storyline import to_story
from bot.studio.intake import Intake
from bot.studio.receipts import Receipt
from bot.studio.screening import Screening

Own = Callable[[JobId, Requester], Awaitable[Job]]
Audit = Callable[[Tx, Job, Requester, str], None]
TO_COME_BACK = frozenset({JobState.RECEIVED, JobState.ACCEPTED, JobState.GENERATING})


class Stories:
    """Redo a shot, finish without the rest, cancel. A film itself is submitted like any work."""

    def __init__(
        self,
        *,
        database: Database,
        planner: Planner,
        intake: Intake,
        clock: Clock,
        context: BotContext,
        own: Own,
        audit: Audit,
    ) -> None:
        self._database = database
        self._planner = planner
        self._intake = intake
        self._clock = clock
        self._context = context
        self._own = own
        self._audit = audit
        self._screening = Screening(planner=planner, context=context)

    def check(self, shots: Sequence[str]) -> None:
        """Raise `InvalidRequest` where these lines are no film, before anybody asks for one."""
        to_story(StoryWork(shots=tuple(shots)))

    async def redo(
        self,
        job_id: JobId,
        shot: int,
        requester: Requester,
        *,
        dedupe_key: str,
        prompt: str = "",
    ) -> Receipt:
        """Make the failed shot of a film again, with other words if given, at its own price.

        `dedupe_key` is the same where the same is said again. Raises `Refusal`s; then nothing is
        charged, and the film waits on.
        """
        film = await self._own(job_id, requester)
        if await self._database.read(lambda conn: jobs.by_dedupe_key(conn, dedupe_key)):
            return await self._receipt(film)
        failed = await self._failed(film)
        if failed.shot != shot:
            raise InvalidRequest(f"It is shot {failed.shot} of {job_id} that can be made again.")
        work = to_video(failed.request.work)
        work = work.model_copy(update={"prompt": prompt.strip() or work.prompt})
        request = failed.request.model_copy(update={"work": work})
        again = replace(failed, request=request)
        standing = (await self._intake.preparation.check_again(again)).standing
        plan = await self._planner.plan(film, work)
        await self._screening.check(again, plan, self._screening.policy(standing))
        await self._replace(failed, plan, dedupe_key)
        self._context.nudge(plan.provider)
        return await self._receipt(film)

    async def _failed(self, film: Job) -> Job:
        """The shot that a film waits for a word on."""
        ahead = next((each for each in await self.shots(film) if each.state != "delivered"), None)
        if film.state is JobState.GENERATING and ahead is not None and ahead.state in TERMINAL:
            return ahead
        if not film.is_film:
            raise InvalidRequest(f"{film.id} is no film.")
        raise TooLate(f"{film.id} has no shot that failed and waits for a word.")

    async def _replace(self, failed: Job, plan: Plan, dedupe_key: str) -> None:
        limits, now = self._context.limits, self._clock.now()

        def write(tx: Tx, taken: Plan) -> Job:
            shot = jobs.get(tx.conn, failed.id)
            assert shot.film is not None
            film = jobs.get(tx.conn, shot.film)
            if film.state is not JobState.GENERATING or shot.shot is None:
                raise Stale(f"{film.id} has gone on meanwhile.")
            return stories.replace(tx, shot, dedupe_key, taken, limits, now)

        if plan.others:
            with suppress(QuotaExceeded):
                await self._intake.receipts.write(lambda tx: write(tx, plan))
                return
        await self._intake.receipts.write(lambda tx: write(tx, without_alternatives(plan)))

    @asks_for_no_clip
    async def finish(self, job_id: JobId, requester: Requester) -> Notice:
        """Make the film of the shots before the one that failed; the others cost nothing."""
        film = await self._own(job_id, requester)
        failed = await self._failed(film)
        if failed.shot == 1:
            raise NotNow(f"No shot of {job_id} is made yet. Cancel it instead.")
        return await self._decide(film, requester, "finish", stories.finish)

    async def cancel(self, film: Job, requester: Requester) -> Notice:
        """Take a film back: what has not run is free, what ran is charged and kept."""
        if film.state not in TO_COME_BACK:
            raise TooLate(f"{film.id} has already ended or is being put together.")
        running = [each for each in await self.shots(film) if each.state is JobState.GENERATING]
        stopped = frozenset(
            [each.generation_id for each in running if await self._context.cancel_generation(each)]
        )
        notice = await self._decide(
            film,
            requester,
            "cancel",
            lambda tx, job, now: stories.cancel(tx, job, now, stopped=stopped),
        )
        for provider in self._planner.providers:
            self._context.nudge(provider.name)
        return notice

    async def _decide(
        self,
        film: Job,
        requester: Requester,
        act: str,
        work: Callable[[Tx, Job, datetime], Job],
    ) -> Notice:
        def write(tx: Tx) -> Job:
            current = jobs.get(tx.conn, film.id)
            if current.state is not film.state:
                raise Stale(f"{film.id} has gone on meanwhile.")
            self._audit(tx, current, requester, act)
            return work(tx, current, self._clock.now())

        return await self._context.to_notice(await self._intake.receipts.write(write))

    async def _receipt(self, film: Job) -> Receipt:
        now = await self._database.read(lambda conn: jobs.get(conn, film.id))
        return Receipt(job_id=film.id, notice=await self._context.to_notice(now))

    async def shots(self, job: Job) -> list[Job]:
        """The shots of a film; none of any other job."""
        if not job.is_film:
            return []
        return await self._database.read(lambda conn: stories.shots(conn, job.id))

    async def every(self, job: Job) -> list[Job]:
        """A job and, of a film, all its shots, those that were made again too."""
        if not job.is_film:
            return [job]
        return [job, *await self._database.read(lambda conn: stories.every(conn, job.id))]
