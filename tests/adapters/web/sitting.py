"""Somebody who sits at the desk: their browser, and the forms that they send."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count

from bot.overview import Invitation
from bot.request import Requester
from tests.adapters.web.visitor import Reply, Visitor, browsing

_TOLD = re.compile(r'<p class="flash[^"]*" role="(status|alert)"[^>]*>(.*?)</p>')
_TOKEN = re.compile(r'name="csrf" value="([0-9a-f]{64})"')
_numbers = count()


def nonce() -> str:
    """One that no form had yet."""
    return f"nonce-of-a-desk-{next(_numbers):06}"


@dataclass
class Sitter:
    """A browser that is signed in."""

    visitor: Visitor
    token: str

    async def get(self, path: str) -> Reply:
        return await self.visitor.get(path)

    async def send(self, path: str, **fields: str) -> Reply:
        """Send a form as one of our pages has it, and stay where that leads."""
        own = {"csrf": self.token, "nonce": nonce(), "back": "/desk/places"}
        return await self.visitor.post(path, {**own, **fields})

    async def act(self, act: str, **fields: str) -> tuple[str, str]:
        """What was said then, and how it is announced."""
        return told(await self.send(f"/desk/acts/{act}", **fields))


def told(page: Reply) -> tuple[str, str]:
    """How a page announces what an act came to, and its words; nothing where it says nothing."""
    found = _TOLD.search(page.html)
    if found is None:
        return "", ""
    return found[1], html.unescape(re.sub(r"<[^>]+>", "", found[2]))


@asynccontextmanager
async def sitting(visitor: Visitor, invitation: Invitation) -> AsyncIterator[Sitter]:
    """Enter by a link, with a browser of their own."""
    async with browsing(visitor.bot) as own:
        key = invitation.link.partition("key=")[2]
        page = await own.post("/desk/enter", {"key": key})
        token = _TOKEN.search(page.html)
        assert token, page.html
        yield Sitter(own, token[1])


@asynccontextmanager
async def operating(visitor: Visitor) -> AsyncIterator[Sitter]:
    """Whoever runs the bot."""
    entry = visitor.bot.studio.entry
    async with sitting(visitor, await entry.invite_here("op")) as found:
        yield found


@asynccontextmanager
async def running_place(visitor: Visitor, who: Requester) -> AsyncIterator[Sitter]:
    """Somebody who runs a place."""
    visitor.bot.chat.admins.add(who.user)
    async with sitting(visitor, await visitor.bot.studio.entry.invite(who)) as found:
        yield found
