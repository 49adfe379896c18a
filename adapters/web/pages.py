"""The pages: the channel, a thread, the usage; each is drawn from the jobs that there are."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from adapters.admin_text import page_in
from adapters.web import render
from adapters.web.asides import Asides
from adapters.web.guard import Visit, cookie_of
from adapters.web.images import Images
from adapters.web.news import News
from adapters.web.parse import to_job_id
from adapters.web.site import reply
from bot.errors import JobNotFound
from bot.notices import Delivered
from bot.ports import WebCall, WebReply
from bot.refs import JobId
from bot.request import Requester
from bot.text import Text, clean

if TYPE_CHECKING:
    from bot.studio import Shown, Studio

#: So many jobs the studio gives at once.
PAGE = 20
TITLE_CHARS = 90
#: So many jobs of one thread are shown, the oldest first.
MOST_IN_THREAD = 60


class Pages:
    """Draws them for a visit."""

    def __init__(
        self,
        studio: Studio,
        images: Images,
        asides: Asides,
        news: News,
        requester: Requester,
        *,
        reader: str,
    ) -> None:
        self._studio = studio
        self._images = images
        self._asides = asides
        self._news = news
        self._who = requester
        self._reader = reader

    async def channel(self, call: WebCall, visit: Visit) -> WebReply:
        """All that was said, the newest at the end; older pages by their number."""
        page = page_in(call.query.get("page", ""))
        # Before the jobs are read: what changes meanwhile is told twice rather than not at all.
        seen = self._news.seen
        lines = await self._studio.jobs(self._who, page=page)
        shown = [await self._studio.show(each.job_id, self._who) for each in reversed(lines)]
        has_more = len(lines) == PAGE
        items = [(each.line.created_at, self._draw(each)) for each in shown]
        since = items[0][0] if has_more else None
        if page == 1:
            items += [
                (each.at, render.draw_image(each, self._who.display_name, is_news=False))
                for each in await self._images.shown(self._who)
                if since is None or each.at >= since
            ]
            items += [
                (each.at, render.draw_aside(each, self._images.has, is_news=False))
                for each in await self._asides.shown(self._who.user, runs_it=visit.runs_it)
                if since is None or each.at >= since or each.buttons
            ]
        cards = [card for _, card in sorted(items, key=lambda item: item[0])]
        return await self._page(
            "channel.html", visit, cards=cards, seen=seen, page=page, has_more=has_more
        )

    async def thread(self, call: WebCall, visit: Visit) -> WebReply:
        """A job with all that came of it, and what it came of."""
        job_id = to_job_id(call.query.get("job", ""))
        seen = self._news.seen
        first = await self._studio.show(job_id, self._who)
        root = first.parents[-1].job_id if first.parents else job_id
        family = await self._family(root)
        cards = [self._draw(each) for each in family]
        last = next(
            (each for each in reversed(family) if isinstance(each.notice, Delivered)), None
        )
        return await self._page(
            "thread.html",
            visit,
            cards=cards,
            seen=seen,
            job_id=job_id,
            title=clean(family[0].line.prompt, limit=TITLE_CHARS) if family else "",
            goes_on=last.line.job_id if last is not None else "",
        )

    def _draw(self, shown: Shown) -> str:
        return render.draw_card(shown, self._images.has, reader=self._reader, is_news=False)

    async def _family(self, root: JobId) -> list[Shown]:
        """A job and what came of it, however far, by time."""
        family: list[Shown] = []
        waiting, seen = [root], {root}
        while waiting and len(family) < MOST_IN_THREAD:
            try:
                shown = await self._studio.show(waiting.pop(0), self._who)
            except JobNotFound:
                continue
            family.append(shown)
            new = [each.job_id for each in shown.children if each.job_id not in seen]
            waiting += new
            seen.update(new)
        return sorted(family, key=lambda each: each.line.created_at)

    async def usage(
        self, _call: WebCall, visit: Visit, text: Text, times: Sequence[datetime]
    ) -> WebReply:
        """What was used, and what is left."""
        lines = render.lines_of(text, times)
        rows = render.rows_of(text, times)
        return await self._page("usage.html", visit, text=text, lines=lines, rows=rows)

    async def threads(self) -> str:
        """The list of threads as it is now, for a page that is open."""
        return render.draw("threads.html", threads=await self._threads(), is_news=True)

    async def _threads(self) -> list[Mapping[str, Any]]:
        lines = await self._studio.jobs(self._who)
        return [render.to_thread(each) for each in lines]

    async def poster(self, job_id: JobId) -> bytes:
        """A clip's picture; raises `JobNotFound` and `ClipError`s."""
        path = await self._studio.poster(job_id, self._who)
        return await asyncio.to_thread(path.read_bytes)

    async def _page(self, template: str, visit: Visit, **values: object) -> WebReply:
        drawn = render.draw(
            template,
            token=visit.token,
            name=self._who.display_name,
            is_seated=visit.is_seated,
            has_desk=visit.has_desk,
            threads=await self._threads(),
            is_news=False,
            **values,
        )
        return reply(drawn, headers=cookie_of(visit))
