"""Queue: what waits and runs now, and goes on as it is read."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from adapters.web import render
from adapters.web.desk.addresses import person_path, to_path
from adapters.web.desk.live import Live, View
from adapters.web.desk.tables import Column, Link, Table, as_file
from adapters.web.desk.visit import DeskVisit, Handler
from adapters.web.site import reply
from bot.clock import Clock
from bot.desk_job_views import Queue, Standing
from bot.ports import WebCall, WebReply

if TYPE_CHECKING:
    from bot.studio import Studio

HERE = "/desk/queue"
#: So many jobs a file has at the most.
MOST_IN_FILE = 2000
BEFORE = (
    Column(name="job", kind="job"),
    Column(name="state", kind="state"),
    Column(name="person", kind="name"),
)
AFTER = (
    Column(name="model"),
    Column(name="service"),
    Column(name="place in line", kind="number"),
    Column(name="since", kind="time"),
    Column(name="price", kind="money"),
    Column(name="waits because"),
)
SERVICES = (
    Column(name="service"),
    Column(name="running", kind="number"),
    Column(name="slots", kind="number"),
    Column(name="trouble"),
)


class QueuePage:
    """The page, its file, and the stream of what changes."""

    def __init__(self, studio: Studio, *, clock: Clock) -> None:
        self._jobs = studio.desk.jobs
        self._clips = studio.desk.clips
        self.live = Live(studio, self._draw, clock=clock)

    @property
    def handlers(self) -> Mapping[tuple[str, str], Handler]:
        """What it answers."""
        return {
            ("GET", HERE): self._page,
            ("GET", "/desk/queue.csv"): self._file,
            ("GET", "/desk/events"): self._events,
        }

    async def _page(self, call: WebCall, visit: DeskVisit) -> WebReply:
        view = _view(call, visit)
        drawn, seen = await self.live.now(view)
        place = "" if visit.sitting.tenant else view.tenant
        return visit.page(
            "queue.html",
            here=HERE,
            drawn=drawn,
            events=to_path("/desk/events", after=seen, place=place),
            place=place,
            places=await self._clips.tenants(visit.sitting),
        )

    async def _draw(self, view: View) -> str:
        queue = await self._jobs.queue(view.tenant)
        place = view.tenant if view.has_places else ""
        table = to_table(
            queue, has_places=view.has_places, file=to_path(f"{HERE}.csv", place=place)
        )
        return render.draw("desk/queue_now.html", queue=queue, tables=(table, to_services(queue)))

    async def _file(self, call: WebCall, visit: DeskVisit) -> WebReply:
        view = _view(call, visit)
        queue = await self._jobs.queue(view.tenant, most=MOST_IN_FILE)
        if call.query.get("of") == "services":
            return await as_file(partial(to_services, queue), "services")
        to_file = partial(to_table, queue, has_places=view.has_places)
        return await as_file(to_file, "queue")

    async def _events(self, call: WebCall, visit: DeskVisit) -> WebReply:
        # The header is the browser's own, after a cut; the query is what the page was drawn with.
        seen = call.headers.get("last-event-id") or call.query.get("after", "")
        answer = reply("", kind="text/event-stream")
        stream = self.live.follow(_view(call, visit), seen, visit)
        return WebReply(headers=answer.headers, stream=stream)


def _view(call: WebCall, visit: DeskVisit) -> View:
    own = visit.sitting.tenant
    return View(tenant=own or call.query.get("place", "")[:200], has_places=not own)


def to_table(queue: Queue, *, has_places: bool, file: str = "") -> Table:
    """What has not ended, as a table."""
    places = (Column(name="place"),) if has_places else ()
    return Table(
        title="Jobs, the oldest first",
        columns=(*BEFORE, *places, *AFTER),
        rows=[_row(each, has_places=has_places) for each in queue.lines],
        file=file,
        empty="Nothing waits and nothing runs.",
    )


def _row(each: Standing, *, has_places: bool) -> tuple[object, ...]:
    who = Link(words=each.name, href=person_path(each.person))
    return (
        each.job_id,
        each.state,
        who,
        *((each.tenant,) if has_places else ()),
        f"{each.model}, film" if each.is_film else _shot(each),
        each.provider or None,
        each.position or None,
        each.since,
        each.price,
        each.trouble or (f"{each.waits_for} comes first" if each.waits_for else None),
    )


def _shot(each: Standing) -> str:
    return f"{each.model}, shot {each.shot}" if each.shot else each.model


def to_services(queue: Queue) -> Table:
    """The video services, as a table."""
    return Table(
        title="Video services, for all places together",
        columns=SERVICES,
        rows=[
            (each.name, each.running, each.slots, each.trouble or None) for each in queue.providers
        ],
        file="/desk/queue.csv?of=services",
    )
