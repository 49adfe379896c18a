"""Shows images in the chat, so that a video service can fetch them by Discord's own links."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import discord

from bot.ports import Hosting
from bot.refs import JobId, MessageRef

REMEMBERED = 10_000


@dataclass(kw_only=True)
class Shown:
    """The images of one job by their slot. `letter` is the direct message that holds them."""

    images: dict[str, discord.Attachment] = field(default_factory=dict)
    letter: MessageRef | None = None


class Shelf:
    """Which images are shown where, while this process lives."""

    def __init__(self) -> None:
        self._shown: OrderedDict[JobId, Shown] = OrderedDict()

    def of(self, job_id: JobId) -> Shown:
        """What is shown for a job."""
        shown = self._shown.setdefault(job_id, Shown())
        while len(self._shown) > REMEMBERED:
            self._shown.popitem(last=False)
        return shown

    def letter(self, job_id: JobId) -> MessageRef | None:
        """The direct message that holds a job's images."""
        shown = self._shown.get(job_id)
        return shown.letter if shown is not None else None

    def forget(self, job_id: JobId) -> None:
        """The job has ended, and its images are shown no more."""
        self._shown.pop(job_id, None)


async def attach(
    own: discord.PartialMessage, image: Path, hosting: Hosting, shown: Shown
) -> discord.Attachment:
    """Put an image onto a message of ours in place of the one of this slot; as Discord has it."""
    name = f"{hosting.slot}{image.suffix}"
    others = [each for slot, each in shown.images.items() if slot != hosting.slot]
    # An image that was shown before this process lived is left out, and so removed.
    attachments: list[Any] = [*others, discord.File(image, filename=name)]
    edited = await own.edit(attachments=attachments)
    found = next(each for each in edited.attachments if each.filename == name)
    shown.images[hosting.slot] = found
    return found
