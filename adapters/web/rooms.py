"""The channel of each person: what they said there, its pages, and the news of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from adapters.web import render
from adapters.web.conversation import Conversation
from adapters.web.images import Images
from adapters.web.news import News
from adapters.web.pages import Pages
from bot.clock import Clock
from bot.errors import JobNotFound
from bot.notices import Jobless
from bot.refs import JobId
from bot.request import Requester

if TYPE_CHECKING:
    from bot.studio import Shown, Studio


class Room:
    """One person's channel, however many pages show it."""

    def __init__(self, studio: Studio, images: Images, who: Requester, *, clock: Clock) -> None:
        self.who = who
        self.news = News(clock=clock)
        self.conversation = Conversation(studio, images, who)
        self.pages = Pages(studio, images, self.news, who)
        self._studio = studio
        self._images = images
        self._drawing = asyncio.Lock()

    async def redraw(self, job_id: JobId) -> str:
        """A job's card as it is now, which every page that is open gets, too."""
        # In order: else what was read first could be told last.
        async with self._drawing:
            try:
                shown = await self._studio.show(job_id, self.who)
            except JobNotFound:
                return ""
            drawn = self._draw(shown)
            if self._is_own(shown):
                self.news.tell(job_id, drawn)
            return drawn

    async def everything(self) -> list[str]:
        """The cards of the channel's newest page."""
        lines = await self._studio.jobs(self.who)
        shown = [await self._studio.show(line.job_id, self.who) for line in reversed(lines)]
        return [self._draw(each) for each in shown]

    async def put_up(self, images: Sequence[str]) -> list[str]:
        """The cards of images that stand in the channel, which every page gets, too."""
        shown = [each for each in await self._images.shown(self.who) if each.image in images]
        drawn = [render.draw_image(each, self.who.display_name) for each in shown]
        for each, card in zip(shown, drawn, strict=True):
            self.news.tell(f"image-{each.image}", card)
        return drawn

    async def take_down(self, image: str) -> str:
        """Remove an image that they brought; what takes it off the pages."""
        await self._images.take_away(image, self.who)
        gone = render.draw("gone.html", image=image)
        self.news.tell(f"image-{image}", gone)
        return gone

    def _draw(self, shown: Shown) -> str:
        return render.draw_card(shown, self._images.has, reader=self.who.person)

    def _is_own(self, shown: Shown) -> bool:
        notice = shown.notice
        return not isinstance(notice, Jobless) and notice.about.requester.person == self.who.person


class Rooms:
    """The rooms that somebody has entered since the start."""

    def __init__(self, studio: Studio, images: Images, *, clock: Clock) -> None:
        self._studio = studio
        self._images = images
        self._clock = clock
        self._rooms: dict[str, Room] = {}

    def of(self, who: Requester) -> Room:
        """Somebody's."""
        if (room := self._rooms.get(who.person)) is None:
            room = Room(self._studio, self._images, who, clock=self._clock)
            self._rooms[who.person] = room
        return room

    async def redraw(self, job_id: JobId, who: Requester | None = None) -> None:
        """Tell the pages of who asked for a job how it stands; nobody listens elsewhere."""
        rooms = [self._rooms.get(who.person)] if who is not None else [*self._rooms.values()]
        for room in rooms:
            if room is not None:
                await room.redraw(job_id)
