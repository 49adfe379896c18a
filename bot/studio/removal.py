"""Takes a clip away from everywhere: its post, the copies of it, the kept file, its images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from bot.bot_context import BotContext
from bot.clips import Clips
from bot.clock import Clock
from bot.courier import Courier
from bot.errors import ClipUnavailable, DeliveryUnavailable, NotRemoved, PostStays, ThreadGone
from bot.job import DELETED, Failure, Job
from bot.refs import JobId, MessageRef
from bot.routing.planning import Planner
from bot.store import errands, jobs, settings, stories
from bot.store.database import Database
from bot.store.transaction import Tx
from bot.text import thing


@dataclass(frozen=True, kw_only=True)
class Stays:
    """A message of a job that its platform does not let us remove, and why."""

    job_id: JobId
    message: MessageRef
    link: str
    why: str

    def note(self, tx: Tx, now: datetime) -> None:
        """Tell the operator, once a day for each channel."""
        place = self.message.thread
        key = f"stays:{place.adapter}:{place.workspace}:{place.channel}:{now:%Y-%m-%d}"
        where = f" ({self.link})" if self.link else ""
        sentence = (
            f"A message of {self.job_id}{where} was to be removed and still stands there: "
            f"{self.why} Please remove it by hand, and maybe others there."
        )
        settings.note_operator(tx, key, sentence, now, self.job_id)


async def take_down(
    context: BotContext, job_id: JobId, posts: Iterable[MessageRef]
) -> Stays | None:
    """Remove messages of ours; the last that stays, where its platform does not let go of it.

    What is gone already is removed. Raises `DeliveryUnavailable`.
    """
    left: Stays | None = None
    for message in posts:
        try:
            await context.delete_post(message)
        except ThreadGone as gone:
            link = context.link_to(message)
            left = Stays(job_id=job_id, message=message, link=link, why=gone.sentence)
    return left


class Removal:
    """Removes clips; whoever asks again after a crash has it all done once more."""

    def __init__(
        self,
        *,
        database: Database,
        planner: Planner,
        clips: Clips,
        clock: Clock,
        context: BotContext,
        courier: Courier,
    ) -> None:
        self._database = database
        self._planner = planner
        self._clips = clips
        self._clock = clock
        self._context = context
        self._courier = courier

    async def remove(self, job: Job, *, by: str) -> Job:
        """Remove what an ended job made, so that every link to it is dead; `by` is a person.

        The job and what it cost stay; a film goes with its shots. Raises `NotRemoved`, and
        `PostStays` where all went but a message that its platform keeps.
        """
        every = [job]
        if job.is_film:
            every += await self._database.read(lambda conn: stories.every(conn, job.id))
        if not any(each.clip for each in every):
            return job
        with _told():
            # A copy that is just being posted is known first, or it would outlive its clip.
            await self._courier.settle(job.id)
            left = await self._take_down(job)
            for each in every:
                if each.clip is not None:
                    await self._clips.delete(each.clip)
                await self._planner.forget_images(each)

        def note(tx: Tx) -> Job:
            if left is not None:
                left.note(tx, self._clock.now())
            gone = [each.id for each in every if each.clip is not None and each.id != job.id]
            for each in gone:
                self._note(tx, each, by)
            return self._note(tx, job.id, by)

        removed = await self._database.write(note)
        _check(removed, left)
        return removed

    async def remove_post(self, job: Job) -> None:
        """Remove the message of a clip that was deleted before; raises as `remove` does."""
        with _told():
            left = await self._take_down(job)
        _check(job, left)

    async def _take_down(self, job: Job) -> Stays | None:
        posts = [job.message] if job.message is not None else []
        return await take_down(self._context, job.id, posts)

    def _note(self, tx: Tx, job_id: JobId, by: str) -> Job:
        job, now = jobs.get(tx.conn, job_id), self._clock.now()
        if is_deleted(job):
            return job
        is_own, owner = job.request.requester.person == by, job.request.requester.person
        if not is_own:
            settings.write_audit(tx, now, actor=by, act="delete", target=job.id, detail=owner)
        who = "the person who asked for it" if is_own else "a moderator"
        failure = Failure(code=DELETED, sentence=f"The {thing(job.work)} was deleted by {who}.")
        errands.renew(tx, job_id, now)
        tx.after_commit(self._courier.wake)
        tx.after_commit(lambda: self._context.announce(job_id))
        return jobs.change(tx, job, clip=None, clip_url=None, failure=failure)


def is_deleted(job: Job) -> bool:
    """Whether what it made was removed."""
    return job.failure is not None and job.failure.code == DELETED


@contextmanager
def _told() -> Iterator[None]:
    """Let what cannot be reached now say what it means here, where nobody tries again."""
    try:
        yield
    except DeliveryUnavailable as error:
        said = f"It could not be removed now and still stands there. {error.sentence}"
        raise NotRemoved(said, retry_after=error.retry_after) from error
    except ClipUnavailable as error:
        raise NotRemoved(f"Not all of it could be removed now. {error.sentence}") from error


def _check(job: Job, left: Stays | None) -> None:
    if left is not None:
        what = f"The {thing(job.work)} of {job.id} is deleted, but its message still stands there."
        raise PostStays(f"{what} {left.why}")
