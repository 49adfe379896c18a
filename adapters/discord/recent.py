"""Which of one's own jobs there are to pick from, where an id is asked for. Decides nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from discord import app_commands

from adapters.discord.buttons import LABEL_CHARS, Choice, Interaction
from adapters.discord.parse import where_asked
from bot.errors import BotError
from bot.job import JobState
from bot.refs import JobId
from bot.request import Requester
from bot.text import clean

if TYPE_CHECKING:
    from bot.studio import JobLine, Studio

MOST = 25
Asking = Callable[[Interaction], Awaitable[Requester]]


class Recent:
    """The newest jobs of a person, for lists in forms and while they type."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    async def jobs(
        self, _interaction: Interaction, requester: Requester, typed: str
    ) -> list[Choice]:
        """Those whose id or prompt fits what is typed."""
        return [_to_choice(each) for each in await self._found(requester, typed)][:MOST]

    async def clips(
        self,
        interaction: Interaction,
        requester: Requester,
        typed: str = "",
        *,
        but: JobId | None = None,
    ) -> list[Choice]:
        """The same of those whose clip is there; private ones only where nobody else reads."""
        is_open = where_asked(interaction) == "here"
        return [
            _to_choice(each)
            for each in await self._found(requester, typed)
            if each.state == JobState.DELIVERED
            and each.message is not None
            and each.job_id != but
            and not (is_open and each.is_private)
        ][:MOST]

    async def suggest(
        self, interaction: Interaction, who: Asking, typed: str, *, is_clip: bool
    ) -> list[app_commands.Choice[str]]:
        """Those of whoever types; none where they may have none."""
        with suppress(BotError):
            find = self.clips if is_clip else self.jobs
            found = await find(interaction, await who(interaction), typed)
            return [app_commands.Choice(name=each.label, value=each.value) for each in found]
        return []

    async def _found(self, requester: Requester, typed: str) -> list[JobLine]:
        wanted = typed.strip().lower()
        if not wanted.startswith("r-"):
            return list(await self._studio.jobs(requester, search=wanted, page=1))
        lines = await self._studio.jobs(requester, search="", page=1)
        return [each for each in lines if each.job_id.startswith(wanted)]


def _to_choice(line: JobLine) -> Choice:
    said = " · ".join(part for part in (line.job_id, clean(line.prompt, limit=70)) if part)
    return Choice(label=said[:LABEL_CHARS], value=line.job_id)
