"""What is asked for in the stories, how each of them ends, and where each has to be killed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: What no clip comes without, by the names of points: it is accepted, ...
ACCEPTED = ("before commit of .*jobs accepted", "after commit of .*jobs accepted")
#: ... paid for, its id written down, ...
PAID = (
    "after commit of .*jobs submitting",
    "before POST that is paid",
    "after POST that is paid",
    "before commit of .*jobs generating",
    "after commit of .*jobs generating",
)
#: ... looked at, ...
CHECKED = ("before check of the generation", "after check of the generation")
#: ... kept, ...
KEPT = (
    "before fetch of the clip",
    "before probe of the clip",
    "after probe of the clip",
    "before keeping of the file",
    "after keeping of the file",
    "before commit of .*jobs delivering",
    "after commit of .*jobs delivering",
)
#: ... uploaded and shown, ...
SHOWN_IN: Mapping[str, tuple[str, ...]] = {
    "discord": (
        "before POST /api/v10/channels/.* with a file",
        "after POST /api/v10/channels/.* with a file",
    ),
    "slack": (
        "before POST /upload",
        "after POST /upload",
        "before POST /api/files.completeUploadExternal",
        "after POST /api/files.completeUploadExternal",
    ),
}
#: ... and its message written down in the transaction that settles.
SETTLED = (
    "before commit of .*messages.*jobs delivered",
    "after commit of .*messages.*jobs delivered",
)
GIVEN_BACK = ("before commit of .*jobs failed", "after commit of .*jobs failed")
#: What PostgreSQL was told to commit, and nobody heard whether it did.
IN_DOUBT = (
    "between COMMIT and its answer, of .*jobs submitting",
    "between COMMIT and its answer, of .*jobs generating",
)


@dataclass(frozen=True, kw_only=True)
class Story:
    """One request of Ana's.

    With an image it is a reply to one, and its price has to be confirmed. Where all generations
    fail, nothing is charged and Ana is told. Else the service may call when something happens.
    """

    name: str
    has_image: bool = False
    fails: bool = False
    is_called: bool = False

    @property
    def host(self) -> str:
        """Where the video service is; images reach it as links of the chat, not of a dead bot."""
        return "127.0.0.2" if self.has_image else "127.0.0.1"

    @property
    def limits(self) -> dict[str, Any]:
        """What is configured of money."""
        return {"confirm_above_usd": 0.001} if self.has_image else {}

    def essential(self, chat: str, database: str) -> tuple[str, ...]:
        """The points without which the table would prove little."""
        doubt: tuple[str, ...] = IN_DOUBT if database == "postgresql" else ()
        if self.fails:
            return (*ACCEPTED, *PAID, *CHECKED, *GIVEN_BACK, *doubt)
        if doubt:
            doubt = (*doubt, "between COMMIT and its answer, of .*jobs delivered")
        return (*ACCEPTED, *PAID, *CHECKED, *KEPT, *SHOWN_IN[chat], *SETTLED, *doubt)


TEXT = Story(name="text")
IMAGE = Story(name="image", has_image=True)
FAILURE = Story(name="failure", fails=True)
CALLED = Story(name="called", is_called=True)
#: In Slack an image has no link but the bot's own, which dies with it.
STORIES_IN: Mapping[str, tuple[Story, ...]] = {
    "discord": (TEXT, IMAGE, FAILURE, CALLED),
    "slack": (TEXT, FAILURE, CALLED),
    "naive": (TEXT,),
}
