"""Where the bot is, as Discord tells it: which servers, what they take, is it let in at all."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Protocol

from adapters.discord.parse import NAME
from bot.clock import Clock
from bot.errors import StoreError
from bot.log import get_logger

if TYPE_CHECKING:
    from bot.studio import Studio

log = get_logger(__name__)
#: Boosts of a server come and go, and with them what it takes.
LEARNED_SECONDS = 3600.0


class HearsPlaces(Protocol):
    """Who hears which servers have the bot."""

    async def on_place(self, guild_id: int, *, is_here: bool) -> None:
        """A server has the bot, or removed it."""

    async def on_places(self, guild_ids: Collection[int], *, is_all: bool) -> None:
        """These servers have the bot: all that do, or those of some shards."""

    async def on_refused(self, sentence: str) -> None:
        """Discord lets us in no more, anywhere."""


class Places:
    """Passes on who added the bot, and who removed it, after which its content goes some time.

    The operator hears where Discord itself turns it away.
    """

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    async def on_place(self, guild_id: int, *, is_here: bool) -> None:
        """A server has the bot, or removed it."""
        departures, tenant = self._studio.departures, f"{NAME}:{guild_id}"
        try:
            await (departures.returned(tenant) if is_here else departures.left(tenant))
        except StoreError as error:
            log.warning("discord.place_not_noted", guild=guild_id, cause=error.sentence)

    async def on_places(self, guild_ids: Collection[int], *, is_all: bool) -> None:
        """These servers have the bot; where they are all, others may have left meanwhile."""
        tenants = {f"{NAME}:{each}" for each in guild_ids}
        try:
            await self._studio.departures.present(NAME, tenants, is_all=is_all)
        except StoreError as error:
            log.warning("discord.places_not_noted", cause=error.sentence)

    async def on_refused(self, sentence: str) -> None:
        """Discord lets us in no more; other chats can tell the operator."""
        try:
            await self._studio.tell_operator(f"{NAME}:refused", sentence)
        except StoreError as error:
            log.warning("discord.refusal_not_noted", cause=error.sentence)


class LearnedSizes:
    """How many bytes of a file servers take, as far as that was learned, and for an hour."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._learned: dict[str, tuple[int, float]] = {}

    def learn(self, workspace: str, size: int) -> None:
        """A server takes so many."""
        self._learned[workspace] = size, self._clock.boottime() + LEARNED_SECONDS

    def of(self, workspace: str) -> int | None:
        """How many a server takes; None where that is not known, or not any more."""
        _, until = self._learned.get(workspace, (0, 0.0))
        return self.last(workspace) if self._clock.boottime() < until else None

    def last(self, workspace: str) -> int | None:
        """The same, however long ago that was learned."""
        return self._learned[workspace][0] if workspace in self._learned else None
