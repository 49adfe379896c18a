"""What both chats ask of a person for an act on a clip, and carrying out what was typed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from adapters.drafts import to_remix
from adapters.verbs import Follow
from bot.acts import ACTS, Act
from bot.errors import InvalidRequest
from bot.refs import JobId, MessageRef, ThreadRef
from bot.request import Frame, ImageWork, Requester, VideoWork, Work

if TYPE_CHECKING:
    from bot.studio import Receipt, Studio

#: What is asked for with one press; the others ask for words or a choice first.
AT_ONCE = frozenset({"loop", "variation"})
#: More than one variation, from the list.
SEVERAL = "several"
#: What has a form of its own, is no follow-up, or is a Retry of what failed.
DEEDS = tuple(act for act in ACTS if act not in ("animate", "remix", "retry", "delete"))
#: What is asked for each kind of choice, and what the words are for.
CHOOSE = {"count": "How many?", "resolution": "Size", "ratio": "Shape", "mode": "How far?"}
WORDS: Mapping[Act, str] = {
    "extend": "What happens next?",
    "prequel": "What happened before?",
    "join": "What lies between?",
    "audio": "What does it sound like?",
    "modify": "What does it look like?",
}


def act_of(action: str) -> Act | None:
    """The act that a button or an entry of the list is for; None where it is none of them."""
    act = "variation" if action == SEVERAL else action
    return next((each for each in DEEDS if each == act), None)


def remix_of(work: Work) -> tuple[str, ...]:
    """The button behind which such a work can be changed, where a form can ask for it."""
    return ("remix",) if isinstance(work, VideoWork | ImageWork) else ()


def check_remix(work: Work, job_id: JobId) -> None:
    """Raise `InvalidRequest` for what no form can ask for: its words alone are something else."""
    if work.kind == "story":
        raise InvalidRequest(f"{job_id} is a film. Go on from one of its shots: `show {job_id}`")
    if not isinstance(work, VideoWork | ImageWork):
        raise InvalidRequest(
            f"{job_id} was made of {work.source.job_id}. Ask for it from there again, as you "
            "want it."
        )


async def is_private(studio: Studio, job_id: JobId, requester: Requester) -> bool:
    """Whether it was for its person alone; what comes of it is, too."""
    return (await studio.show(job_id, requester)).line.is_private


async def follow_up(
    studio: Studio,
    command: Follow,
    requester: Requester,
    *,
    dedupe_key: str,
    thread: ThreadRef,
    frame: Frame | None = None,
    asked_in: MessageRef | None = None,
    asked_at: datetime | None = None,
    is_private: bool = False,
    is_age_restricted: bool = False,
    is_confirmed: bool = False,
) -> tuple[Receipt, ...]:
    """Ask for it; `frame` is what the adapter made of the image to end on."""
    work = None
    if command.draft is not None:
        before, is_settled = await studio.settled_work_of(command.job_id, requester)
        if before.kind in ("story", "upscale"):  # Other words would be paid and change nothing.
            check_remix(before, command.job_id)
        work = to_remix(before, command.draft, is_settled=is_settled)
    return await studio.works.follow(
        command.job_id,
        command.act,
        requester,
        dedupe_key=dedupe_key,
        thread=thread,
        choice=command.choice,
        prompt=command.prompt,
        negative_prompt=command.negative_prompt,
        other=command.other,
        frame=frame,
        work=work,
        asked_in=asked_in,
        asked_at=asked_at,
        is_private=is_private,
        is_age_restricted=is_age_restricted,
        is_confirmed=is_confirmed,
    )
