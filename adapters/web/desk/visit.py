"""Somebody who is signed in, and what their pages prove themselves with."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from adapters.web import render
from adapters.web.desk.flash import FlashMessage
from adapters.web.site import reply
from bot.ports import WebCall, WebReply
from bot.studio import Sitting

#: The pages as they stand in the list beside them: address, name, sign.
PAGES = (
    ("/desk", "Money", "$"),
    ("/desk/queue", "Queue", "≡"),
    ("/desk/clips", "Clips", "▷"),
    ("/desk/people", "People", "◇"),
    ("/desk/services", "Services", "≈"),
    ("/desk/moderation", "Moderation", "!"),
    ("/desk/places", "Places", "⌂"),
)
#: What only the operator has.
OPERATORS_PAGES = (("/desk/checks", "Checks", "✓"),)
FIELD = "csrf"


@dataclass(frozen=True, kw_only=True)
class DeskVisit:
    """Who is signed in, by the key of their session; `said` is what their last act came to."""

    sitting: Sitting
    key: str
    said: FlashMessage | None = None

    @property
    def token(self) -> str:
        """What a form of theirs carries, which nobody without the session can know."""
        return hmac.new(self.key.encode(), b"raybot desk form", "sha256").hexdigest()

    def proves(self, given: str) -> bool:
        """Whether a form is one of theirs."""
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.token.encode())

    def page(self, template: str, *, here: str, status: int = 200, **values: Any) -> WebReply:
        """A page of the desk; `here` is its address."""
        who = self.sitting.who
        drawn = render.draw(
            f"desk/{template}",
            token=self.token,
            name=who.display_name or who.user,
            reach=self.sitting.tenant,
            ends_at=self.sitting.ends_at,
            pages=PAGES if self.sitting.tenant else PAGES + OPERATORS_PAGES,
            here=here,
            said=self.said,
            **values,
        )
        return reply(drawn, status=status)


Handler = Callable[[WebCall, DeskVisit], Awaitable[WebReply]]


class DeskSection(Protocol):
    """One subject of the desk."""

    @property
    def handlers(self) -> Mapping[tuple[str, str], Handler]:
        """What it answers, by method and path (`/desk/…`)."""
