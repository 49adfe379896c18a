"""Where our pages are, and what shows that a browser is on one of them. What every answer carries.

On this machine alone there is no sign-in, so whatever comes by another name, or from another
page, is sent away. On a public address whoever comes must be signed in, whatever a proxy before
us says of them.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlsplit

from bot.ports import WebCall, WebReply

SITTING, SAID = "raybot_desk", "raybot_said"
#: So long a page may take to come that shows what an act came to.
SAID_SECONDS = 60
_PORTS = {"http": 80, "https": 443}
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


def refuse(sentence: str) -> WebReply:
    """Sent away."""
    return reply(sentence, kind="text/plain; charset=utf-8", status=403)


@dataclass(frozen=True, kw_only=True)
class Site:
    """Our pages at an address; `is_public`: others than this machine come there."""

    address: str
    is_public: bool

    def lets(self, call: WebCall) -> bool:
        """Whether such a call may be looked at."""
        return (self.is_public or is_from_here(call)) and not is_embedded(call)

    def is_own_page(self, call: WebCall) -> bool:
        """Whether the browser says that one of our own pages sent it."""
        origin = call.headers.get("origin", "")
        if origin in ("", "null"):
            return call.headers.get("sec-fetch-site") == "same-origin"
        if self.is_public:
            return origin == self._origin
        return origin == f"http://{call.headers.get('host', '')}"

    @cached_property
    def _origin(self) -> str:
        """As a browser writes it, however the address was written."""
        ours = urlsplit(self.address)
        host, port = ours.hostname or "", ours.port
        host = f"[{host}]" if ":" in host else host.encode("idna").decode()
        is_usual = port in (None, _PORTS.get(ours.scheme))
        return f"{ours.scheme}://{host}" if is_usual else f"{ours.scheme}://{host}:{port}"

    def session_of(self, call: WebCall) -> str:
        """The key of the session that a browser brings; empty without one."""
        return cookie(call, self._named(SITTING))

    def keep(self, session: str, seconds: int) -> tuple[str, str]:
        """The header that lets a browser keep its session; with no seconds, forget it."""
        return self._keep(SITTING, session, seconds)

    def said_to(self, call: WebCall) -> str:
        """What an act came to, sealed, as the browser brings it; empty without."""
        return cookie(call, self._named(SAID))

    def tell(self, sealed: str) -> tuple[str, str]:
        """The header that lets the next page say what an act came to; empty: it was said."""
        return self._keep(SAID, sealed, SAID_SECONDS if sealed else 0)

    def _keep(self, name: str, value: str, seconds: int) -> tuple[str, str]:
        kept = f"{self._named(name)}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax"
        return ("Set-Cookie", f"{kept}; Secure" if self.is_public else kept)

    def _named(self, name: str) -> str:
        """With TLS, nobody else of the same domain can set it."""
        return f"__Host-{name}" if self.is_public else name


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


def is_embedded(call: WebCall) -> bool:
    """Whether a page of somebody else wants it for itself; a link there may lead here."""
    is_foreign = call.headers.get("sec-fetch-site") in ("cross-site", "same-site")
    return is_foreign and call.headers.get("sec-fetch-mode") != "navigate"


def cookie(call: WebCall, name: str) -> str:
    """A cookie's value; empty without one. Others of the same host may hold anything."""
    pairs = (each.partition("=") for each in call.headers.get("cookie", "").split(";"))
    own = (value.strip().strip('"') for found, _, value in pairs if found.strip() == name)
    return next(own, "")


def _host(call: WebCall) -> str:
    try:
        return urlsplit(f"//{call.headers.get('host', '')}").hostname or ""
    except ValueError:
        return ""
