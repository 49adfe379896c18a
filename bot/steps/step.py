"""What every step of a job shares: the parts it works with, and its guarded write of a result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from bot.acts import Offered
from bot.bot_context import Announce
from bot.choice import is_draining
from bot.clips import Clips
from bot.clock import Clock
from bot.errors import (
    ClipBroken,
    FrameRejected,
    ProviderError,
    ProviderUnavailable,
    Stale,
    ThreadGone,
)
from bot.frames import Frames
from bot.job import Failure, Job, StoredFrame
from bot.log import name_job
from bot.outlook import PASSING, PASSING_SECONDS
from bot.ports import Adapter, Dispatcher, Hosting, Provider
from bot.refs import JobId, MessageRef
from bot.request import PreviousShot, frames_of, is_spoiler
from bot.routing.failover import Failover
from bot.store import jobs, ledger, messages, stories
from bot.store.database import Database
from bot.store.transaction import Tx

NOTHING_TO_START_FROM = (
    "The shot before is not kept any more, so this one has nothing to start from."
)


@dataclass(frozen=True, kw_only=True)
class StepHooks:
    """What steps tell others, and what they ask of them. Providers go by their names."""

    #: Shows how a job stands now.
    announce: Announce
    #: Follows a generation that runs now.
    watch: Callable[[Job], None]
    #: Slows admission down: a provider did not take a submission.
    trouble: Callable[[str, ProviderError], None]
    #: Ends the trouble: a provider took one.
    taken: Callable[[str], None]
    #: Where people watch a job's clip; None where no link can be made.
    clip_link: Callable[[Job], str | None]
    #: What a service may know a person by: always the same, and nobody else can tell who it is.
    pseudonym: Callable[[str], str]
    #: Finds another provider for what one certainly did not take.
    failover: Failover
    #: What can be done with a job's clip.
    acts: Callable[[Job], tuple[Offered, ...]]
    #: Lets a provider look for who waits.
    nudge: Callable[[str], None]
    #: Makes the courier bring what is said beside a job's own messages.
    wake_courier: Callable[[], None]
    #: Where services call back; empty: nowhere.
    public_url: str = ""


@dataclass(frozen=True, kw_only=True)
class StepContext:
    """The parts that steps work with."""

    database: Database
    providers: Mapping[str, Provider]
    adapters: Mapping[str, Adapter]
    frames: Frames
    clips: Clips
    dispatcher: Dispatcher
    clock: Clock
    hooks: StepHooks

    def provider(self, name: str, *, is_for_new: bool = False) -> Provider:
        """A provider by name; raises `ProviderUnavailable` where it is configured no more.

        What `is_for_new` is refused by one that is draining, too.
        """
        provider = self.providers.get(name)
        if provider is None or (is_for_new and is_draining(provider)):
            raise ProviderUnavailable(
                f"The video service {name} is not in use here any more.", provider=name
            )
        return provider

    async def result(self, job: Job, write: Callable[[Tx, Job], Job]) -> Job:
        """Write a step's result if the job still stands where the step began.

        Its version may have grown meanwhile (a person asked to cancel); raises `Stale` otherwise.
        """
        try:
            # Mostly it has not, and who knows the row need not read it.
            changed = await self.database.write(lambda tx: self._write(tx, job, write))
        except Stale:
            changed = await self.database.write(lambda tx: self._write_now(tx, job, write))
        name_job(changed.id, changed.generation_id)
        return changed

    def _write_now(self, tx: Tx, job: Job, write: Callable[[Tx, Job], Job]) -> Job:
        current = jobs.get(tx.conn, job.id)
        if current.state is not job.state or current.attempt != job.attempt:
            raise Stale
        return self._write(tx, current, write)

    def _write(self, tx: Tx, current: Job, write: Callable[[Tx, Job], Job]) -> Job:
        changed = write(tx, current)
        if changed.version == current.version:
            # Nothing was written, so nothing has shown whether the row is still this one.
            raise Stale
        self.dispatcher.go_on(tx, changed.id, changed.next_at)
        stories.wake(tx, self.dispatcher, changed)
        after = PASSING_SECONDS if changed.state in PASSING else 0.0
        tx.after_commit(lambda: self.hooks.announce(changed.id, after=after))
        if changed.failure is not None:
            tx.after_commit(self.hooks.wake_courier)
        return changed

    async def with_start(self, job: Job) -> Job:
        """A shot, or another try of one, with the last frame of the shot before to start from."""
        start, plan = frames_of(job.work)[0], job.plan
        if plan is None or plan.start_frame is not None or not isinstance(start, PreviousShot):
            return job
        before = await self.database.read(lambda conn: stories.before(conn, job))
        if before is None or before.clip is None:
            raise FrameRejected(NOTHING_TO_START_FROM)
        try:
            picture = await self.clips.last_frame(before.clip)
            kept = await self.frames.keep_picture(job.id, "start", picture)
        except ClipBroken as error:
            raise FrameRejected(NOTHING_TO_START_FROM) from error

        def write(tx: Tx, current: Job) -> Job:
            assert current.plan is not None
            changed = current.plan.model_copy(update={"start_frame": kept})
            return jobs.change(tx, current, plan=changed)

        return await self.result(job, write)

    async def chat_link(
        self,
        job: Job,
        frame: StoredFrame,
        *,
        slot: Literal["start", "end"],
        image_input: Literal["link", "bytes"],
    ) -> str | None:
        """A link by the chat's own means, where one is needed and we can make none ourselves.

        Raises `FrameRejected` where the image may be shown nowhere.
        """
        adapter = self.adapters.get(job.request.thread.adapter)
        if adapter is None or not await self.is_hosted(job, image_input):
            return None
        hosting = await self._to_hosting(job, slot)
        try:
            hosted = await adapter.host(await self.frames.local(frame), hosting)
        except ThreadGone as error:
            raise FrameRejected(
                "The image cannot be shown anywhere the video service could fetch it from."
                f" {error.sentence}"
            ) from error
        if hosted.letter is not None and hosted.letter != hosting.letter:
            await self._note_letter(job.id, hosted.letter)
        return hosted.url

    async def _to_hosting(self, job: Job, slot: Literal["start", "end"]) -> Hosting:
        """What the chat must know to show an image of a job."""
        key, images = messages.status_key(job.film or job.id), messages.images_key(job.id)
        status, letter = await self.database.read(
            lambda conn: messages.get_both(conn, key, images)
        )
        return Hosting(
            job_id=job.id,
            slot=slot,
            requester=job.request.requester,
            thread=job.request.thread,
            status=status.message,
            is_hidden=is_spoiler(job.work),
            letter=letter.message,
        )

    async def _note_letter(self, job_id: JobId, letter: MessageRef) -> None:
        """Remember what has to be deleted in the end, which may have come meanwhile."""

        def write(tx: Tx) -> None:
            messages.put(tx, messages.images_key(job_id), job_id, letter, "images")
            tx.after_commit(lambda: self.hooks.announce(job_id))

        await self.database.write(write)

    async def is_hosted(self, job: Job, image_input: Literal["link", "bytes"]) -> bool:
        """Whether the chat must show the images of a job, as nothing else can."""
        thread = job.request.thread
        adapter = self.adapters.get(thread.adapter)
        if adapter is None or await self.frames.can_hand_over(image_input, has_link=False):
            return False
        return adapter.limits(thread).can_host

    async def fail(self, job: Job, failure: Failure) -> None:
        """End a job without a clip and give its hold back."""
        await self.result(
            job, lambda tx, current: ledger.fail(tx, current, self.clock.now(), failure)
        )
