"""Who may come to the playground: a browser on this machine, elsewhere whoever is signed in."""

from __future__ import annotations

import asyncio
import hmac
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from adapters.login import whoami
from adapters.web import site
from adapters.web.desk.router import error_page
from adapters.web.desk.visit import DeskVisit
from adapters.web.parse import NAME, TENANT
from adapters.web.site import STRANGER, Site, refuse
from bot.errors import BotError, NotAllowed, SignedOut
from bot.ports import WebCall, WebReply
from bot.request import Requester
from bot.studio import LOCAL

if TYPE_CHECKING:
    from bot.studio import Sitting, Studio

COOKIE = "raybot_web"
COOKIE_SECONDS = 180 * 24 * 3600
TOKEN_HEADER = "x-csrf-token"  # noqa: S105 - the name of a header
FOREVER = datetime.max.replace(tzinfo=UTC)
DESK_ONLY = (
    "The desk is open to you, the playground is not: its clips are paid by whoever runs Raybot. "
    "They can let you in there with `raybot desk-link --playground-only`."
)
_KEY = "csrf key"
_SESSION = re.compile(r"[A-Za-z0-9_-]{32,64}")


@dataclass(frozen=True, kw_only=True)
class Visit:
    """A browser: its session, whether that is new, and what its pages prove themselves with.

    `who` is there; `runs_it`: they decide for the playground's place, and see what is for
    moderators; `is_seated`: they signed in, and can sign out; `has_desk`: to the desk, too.
    """

    session: str
    is_new: bool
    token: str
    who: Requester
    runs_it: bool
    is_seated: bool = False
    has_desk: bool = False


class Guard:
    """Knows browsers by a cookie, and their pages by a token made of it.

    Where others come, it is the cookie of their session, and they are who was let in.
    """

    def __init__(self, studio: Studio, place: Site) -> None:
        self._studio = studio
        self._site = place
        self._here = whoami(NAME)
        self._key = b""
        self._reading = asyncio.Lock()

    async def admit(self, call: WebCall) -> Visit | WebReply:
        """The visit that a call belongs to, or the answer for who may not come in."""
        if self._site.is_public:
            visit = await self._seated(call)
        else:
            visit = await self._visit_here(call)
        if visit is None:
            return error_page(call, NotAllowed(DESK_ONLY))
        if call.method == "GET":
            return visit
        given = call.headers.get(TOKEN_HEADER, "").encode("utf-8", "replace")
        is_proved = not visit.is_new and hmac.compare_digest(given, visit.token.encode())
        if not self._site.is_own_page(call) or not is_proved:
            return refuse(STRANGER)
        return visit

    async def is_in_until(self, visit: Visit) -> datetime | None:
        """When to ask again whether a visit goes on; None: it is over."""
        if not visit.is_seated:
            return FOREVER
        try:
            sitting = await self._studio.entry.sitting(visit.session)
        except NotAllowed:
            return None
        return self._studio.entry.looks_again_at(sitting) if sitting is not None else None

    async def _seated(self, call: WebCall) -> Visit | None:
        key = self._site.session_of(call)
        sitting = await self._studio.entry.sitting(key) if key else None
        if sitting is None:
            raise SignedOut
        if (who := to_visitor(sitting)) is None:
            return None
        token = DeskVisit(sitting=sitting, key=key).token
        return Visit(
            session=key,
            is_new=False,
            token=token,
            who=who,
            runs_it=sitting.sees(TENANT),
            is_seated=True,
            has_desk=sitting.has_desk,
        )

    async def _visit_here(self, call: WebCall) -> Visit:
        known = _session(call)
        session = known or secrets.token_urlsafe(32)
        return Visit(
            session=session,
            is_new=not known,
            token=await self._token(session),
            who=self._here,
            runs_it=True,
            has_desk=call.method == "GET" and await self._is_at_desk(call),
        )

    async def _is_at_desk(self, call: WebCall) -> bool:
        """Whether this browser was let in at the desk, which asks for a link even here."""
        if not (key := self._site.session_of(call)):
            return False
        with suppress(BotError):
            sitting = await self._studio.entry.sitting(key)
            return sitting is not None and sitting.has_desk
        return False

    async def _token(self, session: str) -> str:
        async with self._reading:
            if not self._key:
                kept = await self._studio.vault.get(NAME, _KEY)
                if kept is None:
                    kept = secrets.token_urlsafe(32)
                    await self._studio.vault.put(NAME, _KEY, kept)
                self._key = kept.encode()
        return hmac.new(self._key, session.encode(), "sha256").hexdigest()


def to_visitor(sitting: Sitting) -> Requester | None:
    """Whoever sits there, as the playground knows them; None for those who run one place alone."""
    who = sitting.who
    if sitting.has_desk and sitting.tenant:
        return None
    # No guest is named so: to be called like somebody is not to be them.
    user = who.user if who.adapter == NAME else f"{who.adapter}-{who.user}"
    return Requester(adapter=NAME, workspace=LOCAL, user=user, display_name=who.display_name)


def cookie_of(visit: Visit) -> tuple[tuple[str, str], ...]:
    """The header that lets a new browser be known again; HTTP on loopback cannot be `Secure`."""
    if not visit.is_new:
        return ()
    value = f"{COOKIE}={visit.session}; Path=/web; Max-Age={COOKIE_SECONDS}"
    return (("Set-Cookie", f"{value}; HttpOnly; SameSite=Strict"),)


def _session(call: WebCall) -> str:
    found = site.cookie(call, COOKIE)
    return found if _SESSION.fullmatch(found) else ""
