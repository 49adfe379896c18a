"""Who comes in at the desk: a link can be looked at, and only the button there spends it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from adapters.web import render
from adapters.web.desk.acts import Acts
from adapters.web.desk.checks import Checks
from adapters.web.desk.clips import Clips
from adapters.web.desk.flash import unseal
from adapters.web.desk.jobs import JobPage
from adapters.web.desk.moderation import Moderation
from adapters.web.desk.money import Money
from adapters.web.desk.people import PeoplePage
from adapters.web.desk.places import Places
from adapters.web.desk.queue import QueuePage
from adapters.web.desk.services import Services
from adapters.web.desk.visit import FIELD, DeskSection, DeskVisit, Handler
from adapters.web.parse import field_of, read_form
from adapters.web.site import STRANGER, Site, refuse, reply
from bot.clock import Clock
from bot.errors import (
    BotError,
    ClipError,
    CommitUnknown,
    InvalidRequest,
    JobNotFound,
    LinkSpent,
    NotAllowed,
    QuotaExceeded,
    Refusal,
    SignedOut,
)
from bot.ports import WebCall, WebHandler, WebReply
from bot.text import Text, describe_error

if TYPE_CHECKING:
    from bot.studio import Studio

ENTER, LEAVE = "/desk/enter", "/desk/leave"
#: Whatever else is asked for below the desk.
ELSE = "/desk/*"
GUEST = "You were let into the playground; the desk is for those who run Raybot or a place."
NOT_IN, NO_WAY = "You are not signed in", "This link opens nothing"
NOT_HERE, NOT_CLEAR = "Not here", "Not understood"
BROKE = "Something went wrong"
LOOK_FIRST = "It may have been done all the same: look at the page before you do it again."
#: So many tries may fail in a minute, from one address and from everywhere.
TRIES, ALL_TRIES = 10, 60
MINUTE = 60.0
NOT_FOUND = 404


class DeskRouter:
    """Answers all of `/desk`: signs people in and out, and hands their calls to the subjects."""

    def __init__(self, studio: Studio, site: Site, *, clock: Clock) -> None:
        self._entry = studio.entry
        self._site = site
        self._clock = clock
        self._tries: list[tuple[float, str]] = []
        queue = QueuePage(studio, clock=clock)
        #: What goes on as it is read.
        self.live = queue.live
        subjects: tuple[DeskSection, ...] = (
            Money(studio),
            Places(studio),
            Acts(studio, site, clock=clock),
            queue,
            JobPage(studio),
            Clips(studio),
            PeoplePage(studio),
            Services(studio, clock=clock),
            Moderation(studio),
            Checks(studio),
        )
        self._handlers: dict[tuple[str, str], Handler] = {}
        for each in subjects:
            self._handlers |= each.handlers

    @property
    def answers(self) -> Mapping[tuple[str, str], WebHandler]:
        """All that it answers; raises `BotError`s, which `told` draws."""
        answers: dict[tuple[str, str], WebHandler] = {
            each: partial(self._seated, handler) for each, handler in self._handlers.items()
        }
        answers["POST", LEAVE] = partial(self._seated, self._leave, is_for_guests=True)
        answers["GET", ELSE] = partial(self._seated, self._find_none)
        answers["GET", ENTER] = self._show_link
        answers["POST", ENTER] = self._enter
        return answers

    # ---- every call ----------------------------------------------------------------------

    async def _seated(
        self, handler: Handler, call: WebCall, *, is_for_guests: bool = False
    ) -> WebReply:
        """Answer who is signed in; what changes anything must come from a form of theirs.

        Guests of the playground have no desk.
        """
        seat = await self._seat(call)
        if not seat.sitting.has_desk and not is_for_guests:
            raise NotAllowed(GUEST)
        if call.method == "POST" and not self._is_proved(call, seat):
            return refuse(STRANGER)
        answer = replace(await handler(call, seat), streamer=seat.key)
        if seat.said is None:
            return answer
        return replace(answer, headers=(*answer.headers, self._site.tell("")))

    async def _seat(self, call: WebCall) -> DeskVisit:
        key = self._site.session_of(call)
        sitting = await self._entry.sitting(key) if key else None
        if sitting is None:
            raise SignedOut
        sealed = self._site.said_to(call) if _is_page(call) else ""
        return DeskVisit(sitting=sitting, key=key, said=unseal(sealed, key))

    def _is_proved(self, call: WebCall, seat: DeskVisit) -> bool:
        given = field_of(read_form(call.body), FIELD)
        return self._site.is_own_page(call) and seat.proves(given)

    # ---- in and out ----------------------------------------------------------------------

    async def _show_link(self, call: WebCall) -> WebReply:
        """A page with a button: chats open links to preview them, which must spend nothing."""
        key = call.query.get("key", "")
        await self._check_open(key, call.client)
        return reply(render.draw("desk/enter.html", key=key))

    async def _enter(self, call: WebCall) -> WebReply:
        if not self._site.is_own_page(call):
            return refuse(STRANGER)
        key = field_of(read_form(call.body), "key")
        await self._check_open(key, call.client)
        session, sitting = await self._entry.enter(key)
        if before := self._site.session_of(call):
            await self._entry.leave(before)
        seconds = int((sitting.ends_at - self._clock.now()).total_seconds())
        where = "/desk" if sitting.has_desk else "/web/chat"
        kept = self._site.keep(session, seconds)
        return reply("", status=303, headers=(kept, ("Location", where)))

    async def _leave(self, _call: WebCall, seat: DeskVisit) -> WebReply:
        await self._entry.leave(seat.key)
        gone = self._site.keep("", 0)
        return reply(render.draw("desk/left.html"), headers=(gone,))

    async def _find_none(self, call: WebCall, seat: DeskVisit) -> WebReply:
        """What is not there; with a slash too many, somebody meant the page before it."""
        meant = call.path.rstrip("/")
        if ("GET", meant) in self._handlers:
            return reply("", status=303, headers=(("Location", meant),))
        return seat.page("nothing.html", here="", status=NOT_FOUND)

    async def _check_open(self, key: str, client: str) -> None:
        if not await self._entry.is_open(key):
            self._count(client)
            raise LinkSpent

    def _count(self, client: str) -> None:
        """Note a try that failed; raises `NotAllowed` where there were many.

        A link that opens is not counted: whatever strangers try, it lets its person in.
        """
        now = self._clock.boottime()
        self._tries = [each for each in self._tries if now - each[0] < MINUTE]
        mine = sum(1 for _, who in self._tries if who == client)
        if mine >= TRIES or len(self._tries) >= ALL_TRIES:
            raise NotAllowed("Too many tries. Wait a minute, then open the link again.")
        self._tries.append((now, client))


def _is_page(call: WebCall) -> bool:
    """Whether a person looks at the whole of what is answered."""
    return call.method == "GET" and call.headers.get("sec-fetch-dest", "document") == "document"


def error_page(call: WebCall, error: BotError) -> WebReply:
    """A page that says what is wrong."""
    status, text = 400 if isinstance(error, Refusal) else 500, describe_error(error)
    if not isinstance(error, Refusal):
        text = _to_trouble(error, has_sent=call.method == "POST")
    is_out = isinstance(error, SignedOut | LinkSpent)
    if isinstance(error, JobNotFound | ClipError):
        status = NOT_FOUND
    if isinstance(error, JobNotFound | ClipError | InvalidRequest):
        # In a chat it is told how to go on there, and that nothing was charged.
        title = NOT_HERE if status == NOT_FOUND else NOT_CLEAR
        text = Text(title=title, lines=(error.sentence,))
    if isinstance(error, NotAllowed) and not isinstance(error, QuotaExceeded):
        status = 401 if isinstance(error, SignedOut) else 403
        title = NOT_IN if isinstance(error, SignedOut) else NO_WAY if is_out else text.title
        text = Text(title=title, lines=(error.sentence,))
    return reply(render.draw("desk/trouble.html", text=text, is_out=is_out), status=status)


def _to_trouble(error: BotError, *, has_sent: bool) -> Text:
    """What went wrong on our side: nobody here asked for a clip that may be charged."""
    if type(error) is not BotError and not isinstance(error, CommitUnknown):
        return Text(title=BROKE, lines=(error.sentence,))
    again = LOOK_FIRST if has_sent else "Load the page again."
    return Text(title=BROKE, lines=(error.sentence, again))
