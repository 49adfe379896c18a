"""What every step of a job shares: the parts it works with, and its guarded write of a result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from bot.clips import Clips
from bot.clock import Clock
from bot.errors import ProviderError, ProviderUnavailable, Stale
from bot.frames import Frames
from bot.job import Failure, Job, StoredFrame
from bot.ports import Adapter, Dispatcher, Provider
from bot.refs import JobId
from bot.store import jobs, ledger
from bot.store.database import Database, Tx


@dataclass(frozen=True, kw_only=True)
class Wiring:
    """What steps tell others: a status to show, a generation to watch, a provider's state.

    `trouble(provider, error)` slows admission down; `taken(provider)` ends the trouble.
    """

    announce: Callable[[JobId], None]
    watch: Callable[[Job], None]
    trouble: Callable[[str, ProviderError], None]
    taken: Callable[[str], None]
    clip_link: Callable[[JobId], str | None]
    public_url: str = ""


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """The parts that steps work with."""

    database: Database
    providers: Mapping[str, Provider]
    adapters: Mapping[str, Adapter]
    frames: Frames
    clips: Clips
    dispatcher: Dispatcher
    clock: Clock
    wiring: Wiring

    def provider(self, name: str) -> Provider:
        """A provider by name; raises `ProviderUnavailable` where it is configured no more."""
        provider = self.providers.get(name)
        if provider is None:
            raise ProviderUnavailable(
                f"The video service {name} is not configured any more.", provider=name
            )
        return provider

    async def result(self, job: Job, write: Callable[[Tx, Job], Job]) -> Job:
        """Write a step's result if the job still stands where the step began.

        Its version may have grown meanwhile (a person asked to cancel); raises `Stale` otherwise.
        """

        def work(tx: Tx) -> Job:
            current = jobs.get(tx.conn, job.id)
            if current.state is not job.state or current.attempt != job.attempt:
                raise Stale
            changed = write(tx, current)
            if changed.next_at is not None:
                self.dispatcher.wake(tx, job.id, changed.next_at)
            tx.after_commit(lambda: self.wiring.announce(job.id))
            return changed

        return await self.database.write(work)

    async def chat_link(
        self, job: Job, frame: StoredFrame, image_input: Literal["link", "bytes"]
    ) -> str | None:
        """A link by the chat's own means, where one is needed and we can make none ourselves."""
        adapter = self.adapters.get(job.request.thread.adapter)
        if adapter is None or self.frames.can_hand_over(image_input, has_link=False):
            return None
        return await adapter.host(await self.frames.local(frame), job.id)

    async def fail(self, job: Job, failure: Failure) -> None:
        """End a job without a clip and give its hold back."""
        await self.result(
            job, lambda tx, current: ledger.fail(tx, current, self.clock.now(), failure)
        )
