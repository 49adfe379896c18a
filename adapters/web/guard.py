"""Who may come in: pages of our own, in a browser on this machine. What every answer carries.

There is no sign-in here, so whatever comes by another name, or from another page, is sent away.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import re
import secrets
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from adapters.web.parse import NAME
from bot.ports import WebCall, WebReply

if TYPE_CHECKING:
    from bot.studio import Studio

COOKIE = "raybot_web"
COOKIE_SECONDS = 180 * 24 * 3600
TOKEN_HEADER = "x-csrf-token"  # noqa: S105 - the name of a header
_KEY = "csrf key"
_SESSION = re.compile(r"[A-Za-z0-9_-]{32,64}")
_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
#: What only a proxy adds: then the caller is not at this machine.
_FORWARDED = ("x-forwarded-for", "x-forwarded-host", "forwarded", "via", "x-real-ip")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "media-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
#: Of what people brought, nothing may run.
FILE_POLICY = "default-src 'none'; sandbox; frame-ancestors 'none'"
_HEADERS = (
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), microphone=(), geolocation=()"),
)
AWAY = "This page is for a browser on the machine that Raybot runs on."
STRANGER = "This did not come from a page of Raybot. Load the page again."


@dataclass(frozen=True, kw_only=True)
class Visit:
    """A browser: its session, whether that is new, and what its pages prove themselves with."""

    session: str
    is_new: bool
    token: str


def reply(
    body: bytes | str,
    *,
    kind: str = "text/html; charset=utf-8",
    status: int = 200,
    policy: str = POLICY,
    headers: tuple[tuple[str, str], ...] = (),
) -> WebReply:
    """An answer with all that protects it."""
    content = body.encode("utf-8", "replace") if isinstance(body, str) else body
    every = (("Content-Type", kind), ("Content-Security-Policy", policy), *_HEADERS, *headers)
    return WebReply(status=status, headers=every, body=content)


def is_from_here(call: WebCall) -> bool:
    """Whether it came to a name of this machine, from this machine, and through no proxy.

    A page elsewhere can let its own name lead to 127.0.0.1, and would then be of our origin.
    """
    if _host(call) not in _NAMES or any(name in call.headers for name in _FORWARDED):
        return False
    try:
        return ipaddress.ip_address(call.client).is_loopback
    except ValueError:
        return False


def is_own_page(call: WebCall) -> bool:
    """Whether the browser says that one of our own pages sent it."""
    origin = call.headers.get("origin", "")
    if origin in ("", "null"):
        return call.headers.get("sec-fetch-site") == "same-origin"
    return origin == f"http://{call.headers.get('host', '')}"


def is_embedded(call: WebCall) -> bool:
    """Whether a page of somebody else wants it for itself; a link there may lead here."""
    is_foreign = call.headers.get("sec-fetch-site") in ("cross-site", "same-site")
    return is_foreign and call.headers.get("sec-fetch-mode") != "navigate"


def _host(call: WebCall) -> str:
    try:
        return urlsplit(f"//{call.headers.get('host', '')}").hostname or ""
    except ValueError:
        return ""


class Guard:
    """Knows browsers by a cookie, and their pages by a token made of it."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._key = b""
        self._reading = asyncio.Lock()

    async def admit(self, call: WebCall) -> Visit | WebReply:
        """The visit that a call belongs to, or the answer for who may not come in."""
        if not is_from_here(call) or is_embedded(call):
            return reply(AWAY, kind="text/plain; charset=utf-8", status=403)
        session = _session(call)
        visit = Visit(
            session=session or secrets.token_urlsafe(32),
            is_new=not session,
            token=await self._token(session) if session else "",
        )
        if call.method == "GET":
            return visit if session else await self._welcome(visit)
        given = call.headers.get(TOKEN_HEADER, "")
        is_proved = bool(session) and hmac.compare_digest(given.encode(), visit.token.encode())
        if not is_own_page(call) or not is_proved:
            return reply(STRANGER, kind="text/plain; charset=utf-8", status=403)
        return visit

    async def _welcome(self, visit: Visit) -> Visit:
        token = await self._token(visit.session)
        return Visit(session=visit.session, is_new=True, token=token)

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
    try:
        found = SimpleCookie(call.headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found is not None and _SESSION.fullmatch(found.value) else ""
