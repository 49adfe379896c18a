"""Fetch and deliver: the finished clip is kept first, then posted once, and charged with that."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Unpack

from bot.clips import filename as clip_filename
from bot.errors import (
    BotError,
    ClipBroken,
    DeliveryUnavailable,
    PostedBefore,
    ProviderError,
    Stale,
    ThreadGone,
)
from bot.job import Failure, Job, JobState
from bot.notices import (
    Delivered,
)
from bot.outlook import charge_of, to_about, took
from bot.ports import Adapter
from bot.pricing import price_of
from bot.refs import MessageRef, Micros, ThreadRef, money
from bot.steps.step import StepContext
from bot.store import jobs, ledger, lineage, messages, reviews, settings, stories
from bot.store.columns import JobColumns
from bot.store.transaction import Tx
from bot.text import gist, thing

GIVE_UP_POSTING = timedelta(hours=24)
#: How many posts in vain, a minute apart, are a day of trying; a stopped bot's days do not count.
POSTS_IN_VAIN = 1440
BROKEN_FETCHES = 3
#: How long before moderators are asked again.
ASK_AGAIN = timedelta(days=1)
EACH_IS_KEPT = "Each shot is kept by its own id."
NONE_IS_SEEN = (
    "Here clips are shown once a moderator has looked at them, and no moderator has looked at its "
    "shots. They are kept, and not shown while that holds. Ask those who run this place."
)


class Deliverer:
    """Keeps a finished clip and puts it into its thread."""

    def __init__(self, context: StepContext) -> None:
        self._context = context

    async def fetch(self, job: Job) -> Job:
        """Keep the finished file; raises `ClipError`, or `ProviderError` for a fresh link."""
        if job.is_film:
            return await self._join(job)
        assert job.plan is not None
        url = (await self._fresh_link(job) if job.tries > 0 else None) or job.clip_url
        clip = await self._context.clips.fetch(
            url or "", job.id, is_still=job.work.kind == "image"
        )
        charged = price_of(job, clip)
        now = self._context.clock.now()

        def write(tx: Tx, current: Job) -> Job:
            columns: JobColumns = {"clip": clip, "seconds": clip.seconds, "tries": 0}
            if current.cancel_requested:
                if reviews.is_asked(tx.conn, current):
                    columns["failure"] = reviews.NEVER_LOOKED_AT
                return ledger.end(tx, current, JobState.CANCELLED, now, charged=charged, **columns)
            return _to_next(tx, current, now, charged, **columns)

        return await self._context.result(job, write)

    async def _fresh_link(self, job: Job) -> str | None:
        """The link that its provider shows now: links end. None where the known one has to do."""
        assert job.plan is not None
        if job.generation_id is None:
            return None
        try:
            provider = self._context.provider(job.plan.provider)
            seen = (await provider.check([job.generation_id])).get(job.generation_id)
        except ProviderError:
            if job.clip_url is None:
                raise
            return None
        return seen.clip_url if seen else None

    async def ask_moderators(self, job: Job) -> None:
        """Show them the clip, and ask again while nobody decides; the operator helps out."""
        now = self._context.clock.now()

        def write(tx: Tx, current: Job) -> Job:
            has_channel = reviews.ask(tx, current, now)
            tx.after_commit(self._context.hooks.wake_courier)
            if not has_channel or current.tries > 0:
                sentence = f"{current.id} waits for a moderator. `raybot review {current.id} post`"
                sentence += ", or `… reject`, decides about it, too."
                settings.note_operator(tx, f"review:{current.id}", sentence, now, current.id)
            is_last = current.tries + 1 >= messages.MOST_ASKED
            again = None if is_last else now + ASK_AGAIN
            return jobs.change(tx, current, tries=current.tries + 1, next_at=again)

        await self._context.result(job, write)

    async def _join(self, film: Job) -> Job:
        """Keep the film, made of the shots that there are."""
        shots = await self._shots(film)
        made = [each.clip for each in shots if each.state is JobState.DELIVERED and each.clip]
        clip, now = await self._context.clips.join(film.id, made), self._context.clock.now()

        def write(tx: Tx, current: Job) -> Job:
            return _to_next(tx, current, now, Micros(0), clip=clip, seconds=clip.seconds)

        return await self._context.result(film, write)

    async def _shots(self, job: Job) -> list[Job]:
        if not job.is_film:
            return []
        return await self._context.database.read(lambda conn: stories.shots(conn, job.id))

    async def deliver(self, job: Job) -> None:
        """Post the clip, then remember the message and settle in one transaction.

        A shot is posted with its film.
        """
        if job.film is not None:
            await self._context.result(
                job, lambda tx, current: self._settle(tx, current, JobState.DELIVERED, None)
            )
            return
        adapter = self._context.adapters.get(job.request.thread.adapter)
        if adapter is None:
            raise DeliveryUnavailable("This chat platform is not configured any more.")
        thread = job.request.thread
        try:
            message = await self._post(job, adapter, thread)
        except PostedBefore:
            raise
        except ThreadGone as gone:
            direct = await adapter.direct(job.request.requester)
            if direct is None or direct == thread:
                await self.keep(job, gone)
                return
            message = await self._post(job, adapter, direct)
        await self._context.result(
            job, lambda tx, current: self._settle(tx, current, JobState.DELIVERED, message)
        )

    async def _post(self, job: Job, adapter: Adapter, thread: ThreadRef) -> MessageRef:
        assert job.clip is not None
        key = messages.clip_key(job.id)
        limit = await adapter.max_upload(thread)
        link = self._context.hooks.clip_link(job)
        path, form = await self._context.clips.fitted(job.clip, limit, has_link=link is not None)
        size = job.clip.bytes
        if form != "original":
            size = (await asyncio.to_thread(path.stat)).st_size
        shots = await self._shots(job)
        (posted, status), parent, is_still_due = await self._context.database.read(
            lambda conn: (
                messages.get_both(conn, key, messages.status_key(job.id)),
                lineage.parent(conn, job),
                jobs.stands(conn, job),
            )
        )
        if not is_still_due:
            # This process was frozen, and it was delivered or given up elsewhere meanwhile.
            raise Stale
        about = to_about(job, parent, shots)
        notice = Delivered(
            # A clip answers what asked for it, else the job's status message.
            about=replace(about, asked_in=about.asked_in or status.message),
            path=str(path),
            filename=clip_filename(job.id, path, model=job.work.model, prompt=gist(job.work)),
            width=job.clip.width,
            height=job.clip.height,
            seconds=job.clip.seconds,
            bytes=size,
            charged=charge_of(shots) if shots else price_of(job, job.clip),
            took=took(job),
            form=form,
            original_link=None if form == "original" else link,
            acts=self._context.hooks.acts(job),
        )
        memo = messages.StoredMemo(self._context.database, key, job.id, posted.kept)
        return await adapter.post(thread, notice, key=key, memo=memo)

    def _settle(
        self,
        tx: Tx,
        job: Job,
        to: JobState,
        message: MessageRef | None,
        failure: Failure | None = None,
    ) -> Job:
        assert job.clip is not None
        now = self._context.clock.now()
        if message is not None:
            messages.put(tx, messages.clip_key(job.id), job.id, message, "clip")
        return ledger.end(
            tx,
            job,
            to,
            now,
            charged=price_of(job, job.clip),
            message=message,
            failure=failure,
        )

    async def keep(self, job: Job, error: BotError) -> None:
        """A paid clip that cannot be posted any more is kept and charged, unless it is gone."""
        if isinstance(error, ClipBroken) and not await self._is_kept(job):
            await self._note_lost(job)
            return
        is_kept = f"The {thing(job.work)} is kept: `show {job.id}` gives it to you."
        failure = Failure(code="kept", sentence=f"{error.sentence} {is_kept}")
        await self._context.result(
            job, lambda tx, current: self._settle(tx, current, JobState.FAILED, None, failure)
        )

    async def _is_kept(self, job: Job) -> bool:
        assert job.clip is not None
        try:
            await self._context.clips.local(job.clip)
        except ClipBroken:
            return False
        return True

    async def _note_lost(self, job: Job) -> None:
        """Somebody else removed the file before it was posted: nobody is charged for that now."""
        assert job.clip is not None
        clip, now = job.clip, self._context.clock.now()

        def write(tx: Tx, current: Job) -> Job:
            is_paid = job.is_film or ledger.is_settled(tx.conn, job.id)
            unpaid = Micros(0) if is_paid else price_of(job, clip)
            then, told = (EACH_IS_KEPT if job.is_film else "Ask for it again."), ""
            if is_paid and not job.is_film:
                then = "It was charged before: ask those who run Raybot for that."
                told = f" The person who asked was charged {money(job.cost)} for it before."
            gone = f"The file of the {thing(job.work)} is gone, so it cannot be posted. {then}"
            failure = Failure(code="clip_broken", sentence=gone)
            settings.note_operator(
                tx,
                f"lost:{job.id}",
                f"The file of {job.id} is gone from the media store and was never posted; the "
                f"video service may still have it. Does anything else delete files there?{told}",
                now,
                job.id,
            )
            return ledger.fail(tx, current, now, failure, provider_cost=unpaid)

        await self._context.result(job, write)

    async def write_off(self, job: Job, error: BotError) -> None:
        """A clip that stays broken: its person pays nothing, we note what we paid."""
        assert job.plan is not None
        cost = job.plan.price.charged
        now = self._context.clock.now()
        if job.is_film:
            await self._write_off_film(job, error)
            return
        failure = Failure(code="clip_broken", sentence=error.sentence)

        def write(tx: Tx, current: Job) -> Job:
            settings.note_operator(
                tx,
                f"broken:{job.id}",
                f"The {thing(job.work)} of {job.id} stayed broken after {BROKEN_FETCHES} fetches; "
                f"the person who asked was not charged. Ask the service for {money(cost)} back.",
                now,
                job.id,
            )
            return ledger.fail(tx, current, now, failure, provider_cost=cost)

        await self._context.result(job, write)

    async def _write_off_film(self, film: Job, error: BotError) -> None:
        now = self._context.clock.now()

        def write(tx: Tx, current: Job) -> Job:
            then = NONE_IS_SEEN if reviews.is_asked(tx.conn, current) else EACH_IS_KEPT
            sentence = f"Its shots could not be joined: {error.sentence} {then}"
            return ledger.fail(tx, current, now, Failure(code="kept", sentence=sentence))

        await self._context.result(film, write)


def _to_next(
    tx: Tx, job: Job, now: datetime, charged: Micros, **columns: Unpack[JobColumns]
) -> Job:
    """A clip that was kept is posted, or waits for a moderator where its place wants that."""
    if reviews.is_asked(tx.conn, job):
        return ledger.settle(tx, job, now, charged=charged, **columns)
    values: JobColumns = {**columns, "next_at": now}
    return jobs.move(tx, job, JobState.DELIVERING, now, **values)


def is_past_posting(job: Job, now: datetime) -> bool:
    """Whether a clip was tried to be posted for long enough: a day has passed, and was used."""
    is_old = now - (job.completed_at or job.created_at) > GIVE_UP_POSTING
    return is_old and job.tries >= POSTS_IN_VAIN
