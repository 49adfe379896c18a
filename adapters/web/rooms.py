"""The channel of each person: what stands there, its pages, and the news of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapters.web import render
from adapters.web.asides import ASIDE, Asides, Kept
from adapters.web.conversation import Conversation
from adapters.web.images import IMAGE, Brought, Images
from adapters.web.news import News
from adapters.web.pages import Pages
from bot.clock import Clock
from bot.errors import JobNotFound
from bot.notices import Jobless
from bot.refs import JobId
from bot.request import Requester

if TYPE_CHECKING:
    from bot.studio import Shown, Studio

#: What one process tells the others: a card, an image or a message looks another way now.
CHANGED = "page changed"


@dataclass(frozen=True, kw_only=True)
class RoomContext:
    """What all rooms have in common; `is_alone`: one person uses the page, on this machine."""

    studio: Studio
    images: Images
    asides: Asides
    clock: Clock
    is_alone: bool


class Room:
    """One person's channel, however many pages show it."""

    def __init__(self, building: RoomContext, who: Requester) -> None:
        self.who = who
        self.news = News(clock=building.clock)
        self.conversation = Conversation(
            building.studio,
            building.images,
            who,
            clock=building.clock,
        )
        self._reader = "" if building.is_alone else who.person
        self.pages = Pages(
            building.studio, building.images, building.asides, self.news, who, reader=self._reader
        )
        self._studio = building.studio
        self._images = building.images
        self._asides = building.asides
        self._drawing = asyncio.Lock()

    async def show(self, name: str) -> tuple[str, bool]:
        """Something as it is now, for every page that is open, and whether that is news.

        By its name on the page: a job, an image, or a message beside jobs.
        """
        # In order: else what was read first could be told last.
        async with self._drawing:
            drawn = await self._draw(name)
            return drawn, bool(drawn) and self.news.tell(name, drawn)

    async def everything(self, *, runs_it: bool) -> list[str]:
        """The channel's newest page."""
        lines = await self._studio.jobs(self.who)
        shown = [await self._studio.show(line.job_id, self.who) for line in reversed(lines)]
        asides = await self._asides.shown(self.who.user, runs_it=runs_it)
        return [
            *map(self._draw_card, shown),
            *map(self._draw_image, await self._images.shown(self.who)),
            *map(self._draw_aside, asides),
        ]

    async def _draw(self, name: str) -> str:
        """Empty for what is not in this room, such as somebody else's job."""
        every: dict[str, str] = {}
        if name.startswith(IMAGE):
            images = await self._images.shown(self.who)
            every = {each.name: self._draw_image(each) for each in images}
        elif name.startswith(ASIDE):
            asides = await self._asides.shown(self.who.user)
            every = {each.name: self._draw_aside(each) for each in asides}
        else:
            return await self._draw_own(JobId(name))
        return every.get(name) or render.draw_gone(name)

    async def _draw_own(self, job_id: JobId) -> str:
        try:
            shown = await self._studio.show(job_id, self.who)
        except JobNotFound:
            return ""
        notice = shown.notice
        is_own = isinstance(notice, Jobless) or notice.about.requester.person == self.who.person
        return self._draw_card(shown) if is_own else ""

    def _draw_card(self, shown: Shown) -> str:
        return render.draw_card(shown, self._images.has, reader=self._reader)

    def _draw_image(self, image: Brought) -> str:
        return render.draw_image(image, self.who.display_name)

    def _draw_aside(self, aside: Kept) -> str:
        return render.draw_aside(aside, self._images.has)


class Rooms:
    """The rooms that somebody has entered since the start."""

    def __init__(self, building: RoomContext) -> None:
        self._building = building
        self._rooms: dict[str, Room] = {}

    def of(self, who: Requester) -> Room:
        """Somebody's."""
        if (room := self._rooms.get(who.person)) is None:
            room = self._rooms[who.person] = Room(self._building, who)
        return room

    async def show(self, name: str, person: str = "", *, is_heard: bool = False) -> str:
        """Show it in somebody's room, or in each, here and at other processes; how it looks.

        `is_heard`: another process said so. Where nobody entered, nobody has to be told.
        """
        rooms = [self._rooms.get(person)] if person else [*self._rooms.values()]
        drawn, is_same = "", bool(rooms)
        for room in rooms:
            drawn, is_news = await room.show(name) if room is not None else ("", True)
            is_same = is_same and not is_news
        if not is_heard and not is_same:
            self._building.studio.replicas.tell(CHANGED, name=name, person=person)
        return drawn
