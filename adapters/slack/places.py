"""Which workspaces have the bot, as Slack tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.slack.addresses import NAME

if TYPE_CHECKING:
    from bot.studio import Also, Studio


class Places:
    """Passes on who removed the bot, after which its content goes some time, and who has it."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        #: Those that were heard of since they last left.
        self._here: set[str] = set()

    async def on_heard(self, workspace: str) -> None:
        """Somebody there did something, so that it has the bot."""
        if workspace not in self._here:
            await self.on_here(workspace)

    async def on_here(self, workspace: str) -> None:
        """A workspace has the bot, maybe again."""
        await self._studio.departures.returned(f"{NAME}:{workspace}")
        self._here.add(workspace)

    def returning(self, workspace: str) -> Also:
        """The same, to be written with its new token."""
        return self._studio.departures.returning(f"{NAME}:{workspace}")

    async def on_gone(self, workspace: str) -> None:
        """A workspace removed the bot."""
        self._here.discard(workspace)
        await self._studio.departures.left(f"{NAME}:{workspace}")

    def leaving(self, workspace: str) -> Also:
        """The same, to be written as its token is forgotten."""
        self._here.discard(workspace)
        return self._studio.departures.leaving(f"{NAME}:{workspace}")
