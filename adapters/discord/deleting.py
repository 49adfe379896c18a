"""Delete, pressed or typed, which asks once more: what is deleted does not come back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import discord

from adapters.discord import parse
from adapters.discord.choices import Button
from adapters.discord.replies import tell
from bot.refs import JobId
from bot.request import Requester
from bot.text import thing

if TYPE_CHECKING:
    from bot.studio import Studio

Interaction = discord.Interaction[Any]
#: The button under a clip, and the one under the question.
ASK, SURE = "delete", "deletesure"
ACTS = frozenset({ASK, SURE})


def question(job_id: JobId, what: str) -> tuple[str, Button]:
    """Whether this thing is to be deleted, and the button that does it."""
    said = (
        f"Delete the {what} of `{job_id}`? It is removed here and wherever Raybot keeps it, "
        "for good. What it cost stays charged."
    )
    return said, Button(label="Delete", action=SURE, job=job_id, style="danger")


async def act(
    interaction: Interaction, studio: Studio, action: str, target: str, requester: Requester
) -> None:
    """Ask, or do it; the studio decides who may."""
    job_id = parse.to_job_id(target)
    what = thing(await studio.work_of(job_id, requester))
    if action == ASK:
        said, sure = question(job_id, what)
        await tell(interaction, said, drawn=[sure])
        return
    await studio.delete(job_id, requester, is_moderator=parse.is_moderator(interaction))
    await tell(interaction, f"The {what} of `{job_id}` is deleted.")
