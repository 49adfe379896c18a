"""Carries out what was typed to be made of a clip."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.drafts import to_remix
from adapters.verbs import Follow
from bot.refs import MessageRef, ThreadRef
from bot.request import Frame, Requester

if TYPE_CHECKING:
    from bot.studio import Receipt, Studio


async def follow_up(
    studio: Studio,
    command: Follow,
    requester: Requester,
    *,
    dedupe_key: str,
    thread: ThreadRef,
    frame: Frame | None = None,
    asked_in: MessageRef | None = None,
    is_private: bool = False,
    is_age_restricted: bool = False,
    is_confirmed: bool = False,
) -> tuple[Receipt, ...]:
    """Ask for it; `frame` is what the adapter made of the image to end on."""
    work = None
    if command.draft is not None:
        before = await studio.work_of(command.job_id, requester)
        work = to_remix(before, command.draft)
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
        is_private=is_private,
        is_age_restricted=is_age_restricted,
        is_confirmed=is_confirmed,
    )
