"""What a person did that the bot is told of, and what it answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.slack_server.board import Board
from tests.slack_server.problems import Json
from tests.slack_server.world import Channel, Message, View

#: A link to answer by is good for so many uses and so long.
MOST_USES, LINK_LIVES = 5, timedelta(minutes=30)


@dataclass(kw_only=True, eq=False)
class Envelope:
    """One thing told to the bot: by a socket, or by a call at its door."""

    id: str
    type: str
    payload: Json
    asked: Asked | None = None
    tries: int = 0
    sent_at: datetime = datetime.min.replace(tzinfo=UTC)
    #: How far the clock had been moved then.
    moved: timedelta = timedelta(0)
    #: So many acknowledgements came and were lost.
    lost: int = 0
    acked_at: datetime | None = None
    ack: Json | None = None
    #: Over HTTP: the status of the last answer.
    status: int | None = None
    error: str = ""

    @property
    def is_acked(self) -> bool:
        return self.acked_at is not None


@dataclass(kw_only=True, eq=False)
class Asked:
    """A command, a press, a shortcut or a filled form; `error` is what Slack shows for a failure.

    `messages` are the private answers, `error` may be "dispatch_failed" or "operation_timeout".
    """

    board: Board
    user: str
    channel: Channel | None = None
    source: Message | None = None
    views: list[View] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    envelopes: list[Envelope] = field(default_factory=list)
    error: str = ""

    @property
    def said(self) -> list[str]:
        """The words of the private answers."""
        return [each.plain for each in self.messages if not each.deleted]

    @property
    def view(self) -> View | None:
        """The view that was opened by it last."""
        return self.views[-1] if self.views else None

    @property
    def is_acked(self) -> bool:
        return bool(self.envelopes) and all(each.is_acked for each in self.envelopes)

    async def wait_said(
        self, predicate: Callable[[str], Any] = bool, *, seconds: float = 30.0
    ) -> str:
        """Wait for a private answer, e.g. `lambda text: "Started" in text`."""
        return await self.board.wait_for(
            lambda: next((each for each in self.said if predicate(each)), None), seconds
        )

    async def wait_view(self, *, seconds: float = 30.0) -> View:
        """Wait until it opens a view."""
        return await self.board.wait_for(lambda: self.view, seconds)


@dataclass(kw_only=True, eq=False)
class Link:
    """A `response_url`."""

    id: str
    asked: Asked
    channel: Channel
    at: datetime
    uses: int = 0
