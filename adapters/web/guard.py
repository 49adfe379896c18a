"""Who may come to the playground: a browser on this machine, elsewhere whoever is signed in."""

from __future__ import annotations

import asyncio
import hmac
import re
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from adapters.web import site
from adapters.web.parse import NAME, TENANT
from adapters.web.site import STRANGER, Site, refuse
from bot.errors import SignedOut
from bot.ports import WebCall, WebReply

if TYPE_CHECKING:
    from bot.studio import Sitting, Studio

COOKIE = "raybot_web"
COOKIE_SECONDS = 180 * 24 * 3600
TOKEN_HEADER = "x-csrf-token"  # noqa: S105 - the name of a header
_KEY = "csrf key"
_SESSION = re.compile(r"[A-Za-z0-9_-]{32,64}")


@dataclass(frozen=True, kw_only=True)
class Visit:
    """A browser: its session, whether that is new, and what its pages prove themselves with.

    `runs_it`: its person decides for the playground's place, and sees what is for moderators.
    """

    session: str
    is_new: bool
    token: str
    runs_it: bool


class Guard:
    """Knows browsers by a cookie, and their pages by a token made of it."""

    def __init__(self, studio: Studio, place: Site) -> None:
        self._studio = studio
        self._site = place
        self._key = b""
        self._reading = asyncio.Lock()

    async def admit(self, call: WebCall) -> Visit | WebReply:
        """The visit that a call belongs to, or the answer for who may not come in."""
        runs_it = not self._site.is_public or (await self._sitting(call)).sees(TENANT)
        session = _session(call)
        visit = Visit(
            session=session or secrets.token_urlsafe(32),
            is_new=not session,
            token=await self._token(session) if session else "",
            runs_it=runs_it,
        )
        if call.method == "GET":
            return visit if session else await self._welcome(visit)
        given = call.headers.get(TOKEN_HEADER, "")
        is_proved = bool(session) and hmac.compare_digest(given.encode(), visit.token.encode())
        if not self._site.is_own_page(call) or not is_proved:
            return refuse(STRANGER)
        return visit

    async def _sitting(self, call: WebCall) -> Sitting:
        key = self._site.session_of(call)
        sitting = await self._studio.entry.sitting(key) if key else None
        if sitting is None:
            raise SignedOut
        return sitting

    async def _welcome(self, visit: Visit) -> Visit:
        return replace(visit, token=await self._token(visit.session))

    async def _token(self, session: str) -> str:
        async with self._reading:
            if not self._key:
                kept = await self._studio.vault.get(NAME, _KEY)
                if kept is None:
                    kept = secrets.token_urlsafe(32)
                    await self._studio.vault.put(NAME, _KEY, kept)
                self._key = kept.encode()
        return hmac.new(self._key, session.encode(), "sha256").hexdigest()


def cookie_of(visit: Visit) -> tuple[tuple[str, str], ...]:
    """The header that lets a new browser be known again; HTTP on loopback cannot be `Secure`."""
    if not visit.is_new:
        return ()
    value = f"{COOKIE}={visit.session}; Path=/web; Max-Age={COOKIE_SECONDS}"
    return (("Set-Cookie", f"{value}; HttpOnly; SameSite=Strict"),)


def _session(call: WebCall) -> str:
    found = site.cookie(call, COOKIE)
    return found if _SESSION.fullmatch(found) else ""
