"""Everything that changes something: each form is carried out once, and says what it came to."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from adapters.web.desk.act import DeskAct, Form
from adapters.web.desk.act_on_jobs import ActsOnJobs
from adapters.web.desk.act_on_people import ActsOnPeople
from adapters.web.desk.act_on_places import ActsOnPlaces
from adapters.web.desk.flash import FlashMessage, seal
from adapters.web.desk.visit import DeskVisit, Handler
from adapters.web.parse import field_of, read_form
from adapters.web.site import Site, reply
from bot.clock import Clock
from bot.errors import BotError, Refusal
from bot.log import get_logger
from bot.ports import WebCall, WebReply

if TYPE_CHECKING:
    from bot.studio import Studio

log = get_logger(__name__)
HOME = "/desk"
#: Our own pages, and nothing that a browser could take for another address.
_BACK = re.compile(r"/desk(?:/[\w-]+(?:\.[\w-]+)*)*(?:\?[\w=&%+.:~-]*)?(?:#[\w-]*)?", re.ASCII)
#: So many forms are remembered, which are those of some hours.
MOST_FORMS = 1000


class Acts:
    """The POST routes of the desk; `router` has proved that a form is one of ours."""

    def __init__(self, studio: Studio, site: Site, *, clock: Clock) -> None:
        self._site = site
        self._once = Once()
        self._acts: dict[str, DeskAct] = {
            **ActsOnJobs(studio).acts,
            **ActsOnPeople(studio, clock=clock).acts,
            **ActsOnPlaces(studio).acts,
        }

    @property
    def handlers(self) -> Mapping[tuple[str, str], Handler]:
        """Each act by its path."""
        return {("POST", path): partial(self._answer, act) for path, act in self._acts.items()}

    async def _answer(self, act: DeskAct, call: WebCall, visit: DeskVisit) -> WebReply:
        """Carry it out, then go back to the page where it was pressed."""
        form = read_form(call.body)
        mark = hashlib.sha256(f"{visit.key} {call.path} ".encode() + call.body).hexdigest()
        try:
            given = Form(fields=form)
            said = await self._once.answer(mark, lambda: act(given, visit.sitting))
        except BotError as error:
            if not isinstance(error, Refusal):
                log.warning("desk.not_done", path=call.path, cause=type(error).__name__)
            said = FlashMessage(sentence=error.sentence, is_refusal=True)
        back = ("Location", to_back(field_of(form, "back")))
        return reply("", status=303, headers=(back, self._site.tell(seal(said, visit.key))))


class Once:
    """Remembers what forms came to, so that one that is sent twice acts once."""

    def __init__(self) -> None:
        self._sent: dict[str, _Sent] = {}

    async def answer(self, mark: str, act: Callable[[], Awaitable[FlashMessage]]) -> FlashMessage:
        """What the form with this mark came to; a refusal is not remembered."""
        sent = self._sent.setdefault(mark, _Sent())
        while len(self._sent) > MOST_FORMS:
            del self._sent[next(iter(self._sent))]
        async with sent.turn:
            if sent.said is None:
                sent.said = await act()
            return sent.said


class _Sent:
    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self.said: FlashMessage | None = None


def to_back(address: str) -> str:
    """A page of the desk to go back to; its first page for anything else."""
    return address if _BACK.fullmatch(address) else HOME
