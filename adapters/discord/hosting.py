"""Shows images in the chat, so that a video service can fetch them by Discord's own links."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import discord

from adapters.discord.messages import to_letter, to_nonce
from bot.ports import Hosting
from bot.refs import JobId

REMEMBERED = 10_000
Shown = dict[str, discord.Attachment]
"""The images that are shown for one job, by their slot."""


class HostedImages:
    """Which images are shown, while this process lives."""

    def __init__(self) -> None:
        self._shown: OrderedDict[JobId, Shown] = OrderedDict()

    def of(self, job_id: JobId) -> Shown:
        """What is shown for a job."""
        shown = self._shown.setdefault(job_id, {})
        while len(self._shown) > REMEMBERED:
            self._shown.popitem(last=False)
        return shown

    def forget(self, job_id: JobId) -> None:
        """The job has ended, and its images are shown no more."""
        self._shown.pop(job_id, None)


async def send(
    place: discord.abc.Messageable, image: Path, hosting: Hosting, shown: Shown
) -> discord.Message:
    """A message that shows an image; sent once more soon after, Discord has it as the same."""
    name = f"{hosting.slot}{image.suffix}"
    sent = await place.send(
        to_letter(hosting.job_id),
        file=discord.File(image, filename=name),
        nonce=to_nonce(f"{hosting.job_id}:images"),
    )
    shown[hosting.slot] = next(each for each in sent.attachments if each.filename == name)
    return sent


async def attach(
    own: discord.PartialMessage, image: Path, hosting: Hosting, shown: Shown
) -> discord.Attachment:
    """Put an image onto a message of ours in place of the one of this slot; as Discord has it."""
    name = f"{hosting.slot}{image.suffix}"
    others = [each for slot, each in shown.items() if slot != hosting.slot]
    # An image that was shown before this process lived is left out, and so removed.
    attachments: list[Any] = [*others, discord.File(image, filename=name)]
    edited = await own.edit(attachments=attachments)
    found = next(each for each in edited.attachments if each.filename == name)
    shown[hosting.slot] = found
    return found
