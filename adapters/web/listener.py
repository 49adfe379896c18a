"""What a browser asks for, and sends: pages, images, words, buttons, and the stream of news."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlencode

from adapters.web import render
from adapters.web.asides import MODERATED
from adapters.web.buttons import Pressed
from adapters.web.conversation import Answer
from adapters.web.delivery import Delivery
from adapters.web.desk.router import DeskRouter, error_page
from adapters.web.guard import Guard, Visit
from adapters.web.images import IMAGE
from adapters.web.parse import (
    IMAGE_BYTES,
    field_of,
    file_type,
    read_form,
    to_job_id,
    to_nonce,
    to_said,
)
from adapters.web.rooms import Room
from adapters.web.site import AWAY, FILE_POLICY, Site, refuse, reply
from bot.clock import Clock
from bot.errors import (
    BotError,
    ClipError,
    FrameRejected,
    JobNotFound,
    Refusal,
    SignedOut,
)
from bot.log import get_logger
from bot.ports import WebCall, WebHandler, WebReply, WebRoute
from bot.text import Text, describe_error

if TYPE_CHECKING:
    from bot.studio import Studio

log = get_logger(__name__)
Handler = Callable[[WebCall, Visit, Room], Awaitable[WebReply]]
Told = Callable[[WebCall, BotError], WebReply]
T = TypeVar("T")
BEGINS_AGAIN_AFTER = timedelta(seconds=10)
NOT_HERE = Text(title="Not here", lines=("The playground has no such page.",))
SORRY = "Raybot made a mistake here; its log says which."
#: Where something broke while it was done, nobody knows how far it came.
SEND_AGAIN = (
    "Send the same once more: if it was taken the first time, you are shown that, and nothing is "
    "paid twice."
)
DOUBTFUL = ("X-Doubtful", "yes")
#: The form closes once its answer is drawn: what is no longer on the page is told nothing.
AFTERWARDS = ("HX-Trigger-After-Settle", "pressed")
STATIC_HEADERS = (("Cache-Control", "public, max-age=31536000, immutable"),)
FILE_HEADERS = (("Cache-Control", "private, max-age=3600"),)


class Playground(Delivery):
    """The channel, its threads and the usage page; beside it the desk."""

    def __init__(self, studio: Studio, *, folder: Path, image_days: int, clock: Clock) -> None:
        super().__init__(studio, folder=folder, image_days=image_days, clock=clock)
        self._site = Site(address=studio.entry.address, is_public=studio.entry.is_public)
        self._guard = Guard(studio, self._site)
        self._desk = DeskRouter(studio, self._site, clock=clock)
        self._routes = self._to_routes()

    def _to_routes(self) -> dict[tuple[str, str], WebHandler]:
        handlers: dict[tuple[str, str], Handler] = {
            ("GET", "/"): _to_channel,
            ("GET", "/web/*"): self._find_none,
            ("GET", "/web/chat"): lambda call, visit, room: room.pages.channel(call, visit),
            ("GET", "/web/thread"): lambda call, visit, room: room.pages.thread(call, visit),
            ("GET", "/web/usage"): self._on_usage,
            ("GET", "/web/events"): self._on_events,
            ("GET", "/web/image"): self._on_image,
            ("GET", "/web/poster"): self._on_poster,
            ("GET", "/web/ask"): self._on_ask,
            ("POST", "/web/say"): self._on_say,
            ("POST", "/web/act"): self._on_act,
            ("POST", "/web/image/remove"): self._on_remove,
        }
        routes: dict[tuple[str, str], WebHandler] = {
            each: self._to_answer(handler) for each, handler in handlers.items()
        }
        for path in render.STATIC.iterdir():
            answer = partial(_on_static, path)
            routes["GET", f"/web/static/{path.name}"] = partial(
                self._on_call, answer, self._refuse
            )
        desk = self._desk.answers
        routes |= {
            each: partial(self._on_call, answer, error_page) for each, answer in desk.items()
        }
        knock, upload = self._to_answer(_let_in), self._to_answer(self._on_upload)
        routes["POST", "/web/images"] = WebRoute(knock=knock, answer=upload, max_bytes=IMAGE_BYTES)
        return routes

    def _to_answer(self, handler: Handler) -> WebHandler:
        return partial(self._on_call, partial(self._visited, handler), self._refuse)

    @property
    def routes(self) -> Mapping[tuple[str, str], WebHandler]:
        """All that it answers."""
        return self._routes

    async def run(self) -> None:
        """Show what other processes change, sweep what is old, and ask around for the desk."""
        desk = self._studio.desk
        async with asyncio.TaskGroup() as group:
            for name, work in (
                ("news of other processes", self._hear),
                ("sweep", self._sweep),
                ("queue", self._desk.live.run),
                ("balances", desk.services.run),
                ("checks", desk.checks.run),
            ):
                group.create_task(keep_on(name, work, clock=self._clock), name=name)

    # ---- every call ----------------------------------------------------------------------

    async def _on_call(self, answer: WebHandler, error_page: Told, call: WebCall) -> WebReply:
        """What is said where something goes wrong."""
        if not self._site.lets(call):
            log.info("web.sent_away", path=call.path)
            return refuse(AWAY)
        match await _outcome(answer(call)):
            case BotError() as error:
                if not isinstance(error, Refusal):
                    log.warning("web.not_done", path=call.path, cause=type(error).__name__)
                return error_page(call, error)
            case Exception() as error:
                log.error("web.call_failed", path=call.path, exc_info=error)
                return error_page(call, BotError(SORRY))
            case answered:
                return answered

    async def _visited(self, handler: Handler, call: WebCall) -> WebReply:
        """Answer who may come in."""
        visit = await self._guard.admit(call)
        if isinstance(visit, WebReply):
            return visit
        return await handler(call, visit, self._rooms.of(visit.who))

    def _refuse(self, call: WebCall, error: BotError) -> WebReply:
        if isinstance(error, SignedOut):
            return error_page(call, error)
        text = describe_error(self._studio.reworded(error))
        is_doubtful = call.method == "POST" and not isinstance(error, Refusal)
        if is_doubtful:
            text = replace(text, lines=(error.sentence, SEND_AGAIN))
        if "hx-request" in call.headers:
            headers = (DOUBTFUL,) if is_doubtful else ()
            return reply(render.draw_note(text, error.times), headers=headers)
        gone = isinstance(error, JobNotFound | ClipError | FrameRejected) and call.method == "GET"
        status = 404 if gone else 400 if isinstance(error, Refusal) else 500
        return reply(render.draw("error.html", text=text), status=status)

    # ---- what is read --------------------------------------------------------------------

    async def _on_usage(self, call: WebCall, visit: Visit, room: Room) -> WebReply:
        text, times = await room.conversation.usage()
        return await room.pages.usage(call, visit, text, times)

    async def _on_events(self, call: WebCall, visit: Visit, room: Room) -> WebReply:
        # The header is the browser's own, after a cut; the query is what the page was drawn with.
        seen = call.headers.get("last-event-id") or call.query.get("after", "")
        everything = partial(room.everything, runs_it=visit.runs_it)
        is_in = partial(self._guard.is_in_until, visit)
        hidden = "" if visit.runs_it else MODERATED
        news = room.news.stream(seen, everything, is_in, hidden=hidden)
        return WebReply(
            headers=reply("", kind="text/event-stream").headers,
            stream=news,
            streamer=visit.session,
        )

    async def _on_image(self, call: WebCall, _visit: Visit, _room: Room) -> WebReply:
        return _to_file(await self._images.content(call.query.get("id", "")))

    async def _on_poster(self, call: WebCall, _visit: Visit, room: Room) -> WebReply:
        return _to_file(await room.pages.poster(to_job_id(call.query.get("job", ""))))

    async def _on_ask(self, call: WebCall, _visit: Visit, room: Room) -> WebReply:
        job_id, action = to_job_id(call.query.get("job", "")), call.query.get("act", "")
        offer, prompt = await room.conversation.offer(job_id, action)
        return reply(render.draw("ask.html", form=render.to_form(offer, action, job_id, prompt)))

    async def _find_none(self, call: WebCall, visit: Visit, room: Room) -> WebReply:
        """What is not there; with a slash too many, somebody meant the page before it."""
        meant = call.path.rstrip("/")
        if meant == "/web":
            return await _to_channel(call, visit, room)
        if meant != call.path and ("GET", meant) in self._routes:
            asked = f"?{urlencode(call.query)}" if call.query else ""
            return reply("", status=303, headers=(("Location", f"{meant}{asked}"),))
        return reply(render.draw("error.html", text=NOT_HERE), status=404)

    # ---- what is sent --------------------------------------------------------------------

    async def _on_upload(self, call: WebCall, visit: Visit, _room: Room) -> WebReply:
        """One image, as it is; what it claims to be tells nothing."""
        image = await self._images.keep(call.body, visit.who)
        return reply(render.draw("chip.html", image=image), status=201)

    async def _on_remove(self, call: WebCall, visit: Visit, _room: Room) -> WebReply:
        image = field_of(read_form(call.body), "image")
        await self._images.take_away(image, visit.who)
        # The news takes it off each page: this one's form may be gone with it before the answer.
        await self._rooms.show(f"{IMAGE}{image}", visit.who.person)
        return reply("")

    async def _on_say(self, call: WebCall, visit: Visit, room: Room) -> WebReply:
        answer = await room.conversation.say(to_said(call.body), runs_it=visit.runs_it)
        return await self._answer(visit, room, answer, headers=(("HX-Trigger", "sent"),))

    async def _on_act(self, call: WebCall, visit: Visit, room: Room) -> WebReply:
        form = read_form(call.body)
        pressed = Pressed(
            action=field_of(form, "act"),
            job_id=to_job_id(field_of(form, "job")),
            words=field_of(form, "words"),
            choice=field_of(form, "choice"),
            other=field_of(form, "other"),
            target=field_of(form, "target"),
        )
        nonce = to_nonce(field_of(form, "nonce"))
        answer = await room.conversation.press(pressed, nonce, runs_it=visit.runs_it)
        return await self._answer(visit, room, answer, headers=(AFTERWARDS,))

    async def _answer(
        self, visit: Visit, room: Room, answer: Answer, *, headers: tuple[tuple[str, str], ...]
    ) -> WebReply:
        """Cards as they are now, which are told to other pages, too, and what is to be read."""
        if answer.is_forgotten and visit.is_seated:
            # The desk may know them by another name than the playground.
            await self._studio.entry.leave(visit.session)
        if answer.thread is not None:
            to = ("HX-Redirect", f"/web/thread?job={answer.thread}")
            return reply("", headers=(*headers, to))
        # The stream may bring what is newer before this answer is there.
        seen = ("X-Seen", room.news.seen)
        names = (*answer.jobs, *(f"{IMAGE}{each}" for each in answer.images))
        drawn = [await self._rooms.show(each, room.who.person) for each in names]
        if answer.jobs:
            drawn.append(await room.pages.threads())
        drawn.append(render.draw_note(answer.text, answer.times))
        return reply("\n".join(drawn), headers=(*headers, seen))


async def keep_on(name: str, work: Callable[[], Awaitable[None]], *, clock: Clock) -> None:
    """Work beside the pages until cancelled: what breaks ends nothing else, and begins again."""
    while True:
        broken = await _outcome(work())
        log.error("web.task_failed", task=name, exc_info=broken)
        await clock.wait(asyncio.Event(), clock.now() + BEGINS_AGAIN_AFTER)


async def _outcome(work: Awaitable[T]) -> T | Exception:
    """The boundary: what comes of something, or what went wrong in it."""
    try:
        return await work
    except Exception as error:  # noqa: BLE001 - whoever asked logs it with its traceback
        return error


def _to_file(content: bytes) -> WebReply:
    kind = file_type(content[:16])
    return reply(content, kind=kind, policy=FILE_POLICY, headers=FILE_HEADERS)


async def _to_channel(_call: WebCall, _visit: Visit, _room: Room) -> WebReply:
    """The bare address leads where people talk; who is not let in hears so, as on each page."""
    return reply("", status=303, headers=(("Location", "/web/chat"),))


async def _let_in(_call: WebCall, _visit: Visit, _room: Room) -> WebReply:
    """Whoever is in may send."""
    return WebReply(status=HTTPStatus.CONTINUE)


async def _on_static(path: Path, _call: WebCall) -> WebReply:
    """What the pages are made of; it is in the package, so nobody has to be signed in."""
    kind = render.KINDS.get(path.suffix, "application/octet-stream")
    return reply(await asyncio.to_thread(path.read_bytes), kind=kind, headers=STATIC_HEADERS)
