"""What is asked for in the stories, how each of them ends, and where each has to be killed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.notices import ClipForm, Verdict
from bot.simulator import Faults

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
#: ... or refused for certain by one service, and paid for at another one, ...
PAID_ELSEWHERE = (
    "after commit of .*jobs submitting",
    "before POST that is paid",
    "after POST that is paid, refused",
    "before commit of attempts.*jobs accepted",
    "after commit of attempts.*jobs accepted",
    "before other POST that is paid",
    "after other POST that is paid",
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
)
#: A film is what its shots are joined to, once all of them are there.
JOINED = ("before joining of the film", "after joining of the film")
LET_GO = ("before commit of .*jobs delivering", "after commit of .*jobs delivering")
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
#: ... or refused by its size, and shown as something smaller once that is made, ...
REFUSED_IN: Mapping[str, tuple[str, ...]] = {
    "discord": SHOWN_IN["discord"],
    "slack": (
        "before POST /api/files.getUploadURLExternal",
        "after POST /api/files.getUploadURLExternal",
    ),
}
MADE: Mapping[ClipForm, tuple[str, ...]] = {
    "smaller": ("before making it smaller", "after making it smaller"),
    "poster": (
        "after making it smaller, refused",
        "before drawing of its picture",
        "after drawing of its picture",
    ),
}
#: ... and its message written down in the transaction that settles.
SETTLED = (
    "before commit of .*messages.*jobs delivered",
    "after commit of .*messages.*jobs delivered",
)
GIVEN_BACK = ("before commit of .*jobs failed", "after commit of .*jobs failed")
#: What is cancelled while it runs is noted, and charged once it is kept.
CANCEL_ASKED = ("before commit of .*jobs cancel asked", "after commit of .*jobs cancel asked")
TAKEN_BACK = ("before commit of .*jobs cancelled", "after commit of .*jobs cancelled")
#: Where moderators look first, it is charged before they are asked, ...
WAITING = (
    "before commit of .*jobs reviewing",
    "after commit of .*jobs reviewing",
    "before commit of .*errands review",
    "after commit of .*errands review",
)
#: ... they see it, ...
ASKED_IN: Mapping[str, tuple[str, ...]] = {
    chat: tuple(each.replace(" POST", " moderators' POST") for each in shown)
    for chat, shown in SHOWN_IN.items()
}
#: ... one of them decides, ...
DECIDED: Mapping[Verdict, tuple[str, ...]] = {
    "post": (
        "before commit of .*audit_log review post.*jobs delivering",
        "after commit of .*audit_log review post.*jobs delivering",
    ),
    "reject": (
        "before commit of .*audit_log review reject.*jobs failed",
        "after commit of .*audit_log review reject.*jobs failed",
    ),
}
#: ... and what they were asked says so.
ANSWERED_IN: Mapping[str, tuple[str, ...]] = {
    "discord": (
        "before moderators' PATCH /api/v10/channels",
        "after moderators' PATCH /api/v10/channels",
    ),
    "slack": (
        "before moderators' POST /api/chat.update",
        "after moderators' POST /api/chat.update",
    ),
}
#: What names of calls have where something else is shown than the clip as it came; what a chat
#: takes at most then, and how what is shown is told from that.
SHOWS: Mapping[ClipForm, str] = {"smaller": "smaller", "poster": "picture's"}
MOST_BYTES: Mapping[ClipForm, int] = {"smaller": 100_000, "poster": 12_000}
SAYS: Mapping[ClipForm, str] = {
    "original": "",
    "smaller": "Made smaller",
    "poster": "Too large for this place",
}
#: More generations than any story has, and more tries.
MANY = 1000
#: What PostgreSQL was told to commit, and nobody heard whether it did.
IN_DOUBT = "between COMMIT and its answer, of .*"


@dataclass(frozen=True, kw_only=True)
class Story:
    """One request of Ana's.

    With an image it is a reply to one, and its price has to be confirmed. With several shots it is
    for a film of them, of which each is paid for by itself. Where all generations fail, nothing is
    charged and Ana is told. Else the service may call when something happens.

    Where she cancels while it runs, the service does not stop: the clip is charged and kept, and
    not posted. Where clips are reviewed, a moderator looks at it first; one that is rejected stays
    charged, nobody else sees it, and Ana is told.

    A clip that is too large for the chat is shown in another `form`: made smaller, or as a picture
    with a link to it. Where the service `has_another`, it takes nothing, and the other one does.
    """

    name: str
    has_image: bool = False
    shots: int = 1
    fails: bool = False
    is_called: bool = False
    is_cancelled: bool = False
    verdict: Verdict | None = None
    form: ClipForm = "original"
    has_another: bool = False

    @property
    def is_public(self) -> bool:
        """Whether the bot can be reached by others."""
        return self.is_called or self.form == "poster"

    @property
    def most_bytes(self) -> int | None:
        """The largest file that the chat takes; None for its own limit."""
        return MOST_BYTES.get(self.form)

    @property
    def faults(self) -> Faults:
        """What goes wrong at the service that is asked first."""
        faults = Faults()
        if self.fails:
            faults.fail(times=MANY)
        if self.has_another:
            faults.refuse("create", 402, "Insufficient credits", times=MANY)
        return faults

    @property
    def host(self) -> str:
        """Where the video service is; images reach it as links of the chat, not of a dead bot."""
        return "127.0.0.2" if self.has_image else "127.0.0.1"

    @property
    def limits(self) -> dict[str, Any]:
        """What is configured of money."""
        return {"confirm_above_usd": 0.001} if self.has_image else {}

    @property
    def end(self) -> str:
        """The state that its job ends in."""
        if self.fails or self.verdict == "reject":
            return "failed"
        return "cancelled" if self.is_cancelled else "delivered"

    @property
    def generations(self) -> int:
        """How many are paid for, and charged."""
        return 0 if self.fails else self.shots

    @property
    def is_film(self) -> bool:
        """Whether its shots are joined."""
        return self.shots > 1

    @property
    def rows(self) -> list[tuple[str, bool, bool]]:
        """Its jobs in the end: their state, whether money was spent on it, and there is a clip.

        A film comes before its shots, of which each has its own cost.
        """
        film = [(self.end, False, True)] if self.is_film else []
        return [*film, *[(self.end, not self.fails, not self.fails)] * self.shots]

    @property
    def clips(self) -> int:
        """How many everybody sees."""
        return 1 if self.end == "delivered" else 0

    @property
    def has_last_words(self) -> bool:
        """Whether somebody waits for words, not only for a clip."""
        return self.fails or self.is_cancelled or self.verdict is not None

    def essential(self, chat: str, database: str) -> tuple[str, ...]:
        """The points without which the table would prove little."""
        doubt: tuple[str, ...] = ()
        if database == "postgresql":
            refused = ("attempts.*jobs accepted",) if self.has_another else ()
            written = ("jobs submitting", *refused, "jobs generating", *self._written)
            doubt = tuple(IN_DOUBT + each for each in written)
        paid = PAID_ELSEWHERE if self.has_another else PAID
        return (*ACCEPTED, *paid, *CHECKED, *self._way(chat), *doubt)

    def _way(self, chat: str) -> tuple[str, ...]:
        """What comes once it was looked at."""
        if self.fails:
            return GIVEN_BACK
        if self.is_cancelled:
            return (*CANCEL_ASKED, *KEPT, *TAKEN_BACK)
        passed_on: tuple[str, ...] = (*JOINED, *LET_GO) if self.is_film else LET_GO
        if self.verdict is not None:
            decided = DECIDED[self.verdict]
            passed_on = (*WAITING, *ASKED_IN[chat], *decided, *ANSWERED_IN[chat])
        shown = (*self._shown(chat), *SETTLED) if self.clips else ()
        return (*KEPT, *passed_on, *shown)

    def _shown(self, chat: str) -> tuple[str, ...]:
        """How everybody comes to see it."""
        if self.form == "original":
            return SHOWN_IN[chat]
        mark = f" {SHOWS[self.form]} POST"
        then = (each.replace(" POST", mark) for each in SHOWN_IN[chat])
        return (*REFUSED_IN[chat], *MADE[self.form], *then)

    @property
    def _written(self) -> tuple[str, ...]:
        """What is written down after that."""
        if self.fails:
            return ()
        if self.is_cancelled:
            return ("jobs cancel asked", "jobs cancelled")
        review = ("jobs reviewing", f"audit_log review {self.verdict}") if self.verdict else ()
        return (*review, "jobs delivered") if self.clips else review


TEXT = Story(name="text")
FILM = Story(name="film", shots=2)
IMAGE = Story(name="image", has_image=True)
FAILURE = Story(name="failure", fails=True)
CALLED = Story(name="called", is_called=True)
CANCELLED = Story(name="cancelled", is_cancelled=True)
REVIEWED = Story(name="reviewed", verdict="post")
DECLINED = Story(name="declined", verdict="reject")
SMALLER = Story(name="smaller", form="smaller")
LINKED = Story(name="linked", form="poster")
ELSEWHERE = Story(name="elsewhere", has_another=True)
IN_BOTH = (FILM, FAILURE, CALLED, CANCELLED, REVIEWED, DECLINED, SMALLER, LINKED, ELSEWHERE)
#: In Slack an image has no link but the bot's own, which dies with it.
STORIES_IN: Mapping[str, tuple[Story, ...]] = {
    "discord": (TEXT, IMAGE, *IN_BOTH),
    "slack": (TEXT, *IN_BOTH),
    "naive": (TEXT,),
}
