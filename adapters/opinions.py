"""What is typed about a clip where who types runs the bot: stars, reports, reviews.

The terminal and the page in the browser have it in common.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from adapters.verbs import SURE_ID
from adapters.work_text import to_job_id
from bot.errors import Filtered, InvalidRequest
from bot.notices import Outcome, Verdict
from bot.refs import JobId
from bot.request import Requester
from bot.text import DECIDED, Text, describe_report

if TYPE_CHECKING:
    from bot.studio import Studio

HELP = (
    "Of a clip: star, unstar or mail r-… · report r-… and why. Reported: keep, remove or block "
    "r-… · For review: post r-…, or reject r-… and why · Asked for your image: allow or deny r-…",
)
MODERATORS = "moderators_channel"
OUTCOMES: dict[str, Outcome] = {"keep": "kept", "remove": "removed", "block": "blocked"}
VERDICTS: dict[str, Verdict] = {"post": "post", "reject": "reject"}
#: Accept the rules, lend an image, or do not.
ANSWERS = {"accept": True, "allow": True, "deny": False}
_VERBS = ("star", "unstar", "mail", "post", *OUTCOMES, *ANSWERS)
_ID = r"`?r-([0-9a-z]{4,16})`?"
_TYPED = re.compile(rf"({'|'.join(_VERBS)})\s+{_ID}()", re.IGNORECASE)
_WITH_WHY = re.compile(rf"(report|reject)\s+{SURE_ID}(?:\s+(.+))?", re.IGNORECASE | re.DOTALL)
_LONE = frozenset({*_VERBS, "report", "reject"})


@dataclass(frozen=True, kw_only=True)
class Opinion:
    """`star ID`, `report ID why` and their like."""

    verb: str
    job_id: JobId
    reason: str = ""


def read_opinion(text: str) -> Opinion | None:
    """What is thought of a clip; None where it is something else.

    Raises `InvalidRequest` for a word that lacks its job: a clip of that word would be paid.
    """
    text = text.strip()
    if match := _TYPED.fullmatch(text) or _WITH_WHY.fullmatch(text):
        verb, job_id = match[1].lower(), to_job_id(match[2])
        return Opinion(verb=verb, job_id=job_id, reason=(match[3] or "").strip())
    if text.lower() in _LONE:
        word = text.lower()
        raise InvalidRequest(
            f"{word} needs a job's id: {word} r-0yb7k2m9q, for example; jobs lists yours. For a "
            "clip of that word, say more of what there is to see.",
            field="prompt",
        )
    return None


class Opinions:
    """Passes them on; whoever sits here is the moderator of this machine's place, too."""

    def __init__(self, studio: Studio, *, channel: str, has_buttons: bool = False) -> None:
        self._studio = studio
        self._channel = channel
        self._has_buttons = has_buttons

    async def look_here(self, actor: Requester) -> None:
        """Let what moderators look at be shown here, unless they have another channel."""
        admin = self._studio.admin
        if MODERATORS not in (await admin.rules(actor.tenant)).policy:
            await admin.set_policy(actor.tenant, {MODERATORS: self._channel}, actor=actor)

    async def pass_on(self, said: Opinion, who: Requester) -> Text:
        """A star, a letter, a report, or what is decided about one; raises `Refusal`s."""
        job_id = said.job_id
        match said.verb:
            case "star" | "unstar":
                return await self._star(job_id, who, is_on=said.verb == "star")
            case "mail":
                answer = await self._studio.gallery.send(job_id, who)
                again = f"You have a copy already. To get the clip again: show {job_id}"
                return _said("Here is your copy." if answer == "sent" else again)
            case "report":
                return await self._report(said, who)
            case _:
                outcome = OUTCOMES[said.verb]
                await self._studio.care.decide(job_id, outcome, actor=who)
                return _said(DECIDED[outcome])

    async def _star(self, job_id: JobId, who: Requester, *, is_on: bool) -> Text:
        if await self._studio.gallery.star(job_id, who, is_on=is_on) == "own":
            return _said("It is your own clip, so only the stars of others count.")
        return _said("Starred." if is_on else "Your star is taken back.")

    async def _report(self, said: Opinion, who: Requester) -> Text:
        await self.look_here(who)
        answer = await self._studio.care.report(said.job_id, who, said.reason)
        text = describe_report(answer)
        if answer == "decided" or self._has_buttons:
            return text
        return replace(text, lines=(*text.lines, to_decide(said.job_id)))


def to_decide(job_id: JobId) -> str:
    """What can be typed about a clip that was reported."""
    return f"To decide about it: keep {job_id}, remove {job_id}, or block {job_id}"


def to_review(job_id: JobId) -> str:
    """What can be typed about a clip that waits for a moderator."""
    return f"To decide about it: post {job_id}, or reject {job_id} and why"


def to_lend(job_id: JobId, owner: str) -> str:
    """What can be typed about an image that is asked for."""
    return f"{owner} can answer here: allow {job_id}, or deny {job_id}"


def to_edit(job_id: str, minded: Filtered) -> str:
    """What can be typed where a filter refused something; the words are edited, nothing else."""
    if minded == "image":
        return "To ask again: type it with --start and another image"
    return f"To ask again: remix {job_id} and other words; its flags and images stay"


def _said(sentence: str) -> Text:
    return Text(title=sentence, tone="good")
