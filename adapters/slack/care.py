"""What stars, letters and reports become, and what moderators decide about reports."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, get_args

from adapters.slack import addresses, parse, render
from adapters.slack.addresses import NAME, Account
from adapters.slack.events import SlackEvent
from adapters.slack.more import REPORTING, read_reason
from adapters.slack.pages import draw_text
from adapters.slack.parse import Person
from adapters.slack.people import People, refuse_others
from adapters.slack.render import Drawn
from bot.errors import BotError, DeliveryError
from bot.log import get_logger
from bot.notices import Outcome
from bot.refs import JobId
from bot.request import Requester
from bot.text import DECIDED, describe, describe_report

if TYPE_CHECKING:
    from bot.studio import Studio

log = get_logger(__name__)
#: The buttons under a report.
OUTCOMES: dict[str, Outcome] = {each: each for each in get_args(Outcome)}


class Care:
    """Passes on what people think of a clip."""

    def __init__(self, studio: Studio, people: People) -> None:
        self._studio = studio
        self._people = people
        self._in_turn = asyncio.Lock()

    async def on_reaction(self, heard: SlackEvent, account: Account) -> None:
        """A star counts for the gallery, a letter sends a copy; nobody is answered in public.

        Raises what keeps a letter back.
        """
        if heard.action == "letter":
            await self._send(heard, account)
            return
        try:
            # A star that is put and taken again ends as it was left.
            async with self._in_turn:
                await self._star(heard, account)
        except BotError as error:
            log.info("slack.star_refused", kind=type(error).__name__)

    async def _star(self, heard: SlackEvent, account: Account) -> None:
        if (found := await self._clip_at(heard, account)) is None:
            return
        (job_id, who), name = found, f"star:{heard.user}"
        known = await self._studio.recall(NAME, name, job_id=job_id)
        if heard.at and known and float(heard.at) < float(known):
            # They have put or taken it since: Slack may tell of that first.
            return
        await self._studio.gallery.star(job_id, who, is_on=heard.action == "star")
        await self._studio.remember(NAME, name, heard.at, job_id=job_id)

    async def _send(self, heard: SlackEvent, account: Account) -> None:
        if found := await self._clip_at(heard, account):
            try:
                await self._studio.gallery.send(*found)
            except DeliveryError as error:
                # It comes later.
                log.info("slack.letter_late", cause=error.sentence)

    async def _clip_at(
        self, heard: SlackEvent, account: Account
    ) -> tuple[JobId, Requester] | None:
        """The job of a clip of ours and who reacted; None for other messages, and for bots."""
        place = addresses.to_thread(account.workspace, heard.channel)
        job_id = await self._studio.job_at(addresses.to_message(place, heard.ts))
        if job_id is None:
            return None
        person = Person(user=heard.user)
        if heard.action != "unstar":
            person = await self._people.of(account, heard.user)
        if person.is_bot:
            return None
        return job_id, parse.to_requester(person, account, is_typed_directly=False)

    async def hear_why(self, heard: SlackEvent, requester: Requester, account: Account) -> Drawn:
        """A filled form: somebody reports a clip, or a moderator rejects one."""
        job_id, reason = read_reason(dict(heard.view))
        if heard.view.get("callback_id") == REPORTING:
            answer = await self._studio.care.report(job_id, requester, reason)
            return draw_text(describe_report(answer))
        await self.check(requester, account)
        decided = await self._studio.reviews.decide(
            job_id, "reject", actor=requester, reason=reason
        )
        return draw_text(describe(decided))

    async def check(self, requester: Requester, account: Account) -> None:
        """Raise `NotAllowed` for who may not decide about the clips of others."""
        person = await self._people.of(account, requester.user)
        refuse_others(self._studio.admin, person, requester)

    async def decide(
        self, action: str, job_id: JobId, requester: Requester, person: Person
    ) -> Drawn:
        """A button under a report."""
        refuse_others(self._studio.admin, person, requester)
        await self._studio.care.decide(job_id, OUTCOMES[action], actor=requester)
        return render.draw_sentence(DECIDED[OUTCOMES[action]])
