"""What is asked of platforms and services beside the course of a job."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from bot.config import Config
from bot.errors import InvalidRequest, ProviderError
from bot.job import Job
from bot.log import get_logger
from bot.media import Media
from bot.ports import Adapter, Finding, Provider
from bot.refs import MessageRef
from bot.request import Requester
from bot.store.database import Database

log = get_logger(__name__)
#: Looks at all that `raybot check` does, while the bot runs on this database.
Check = Callable[[Config, Database, Media], Awaitable[Sequence[Finding]]]


async def no_check(_config: Config, _database: Database, _media: Media) -> Sequence[Finding]:
    """Where nobody looks."""
    raise InvalidRequest("Nothing looks at this here. On the machine: raybot check")


@dataclass(frozen=True, kw_only=True)
class Reach:
    """The platforms and services of this process, by name."""

    adapters: Mapping[str, Adapter]
    providers: Mapping[str, Provider]

    async def cancel_generation(self, job: Job) -> bool:
        """Stop a generation where its service can; False where it goes on."""
        provider = self.providers.get(job.plan.provider) if job.plan else None
        if provider is None or job.generation_id is None:
            return False
        try:
            return await provider.cancel(job.generation_id)
        except ProviderError as error:
            log.warning("provider.cancel_failed", job=job.id, cause=error.sentence)
            return False

    async def delete_post(self, message: MessageRef) -> None:
        """Remove a message of ours; raises `DeliveryError`s."""
        if (adapter := self.adapters.get(message.thread.adapter)) is not None:
            await adapter.delete(message)

    async def is_admin(self, requester: Requester) -> bool:
        """Whether their platform lets somebody run their place; raises `DeliveryError`s."""
        adapter = self.adapters.get(requester.adapter)
        return adapter is not None and await adapter.is_admin(requester)

    def link_to(self, message: MessageRef) -> str:
        """Where a message of ours is read in a browser; empty where it has no address."""
        adapter = self.adapters.get(message.thread.adapter)
        return adapter.link_to(message) if adapter is not None else ""

    def chats(self) -> dict[str, str]:
        """Why nobody is heard at each platform; empty where all is well."""
        return {name: adapter.trouble or "" for name, adapter in self.adapters.items()}
